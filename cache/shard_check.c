/* The executable copy of the table in shard.c. */
#include "shard_internal.h"

static const char *check_queue(
	const struct shard *s, const struct queue *q, bool main, size_t *ret_n, uint64_t *ret_bytes)
{
	uint64_t bytes = 0;
	uint32_t newer = 0;
	for (uint32_t handle = q->head, next; handle; newer = handle, handle = next) {
		const struct entry *e = shard_entry(s, handle);
		if (e->queue_prev != newer)
			return "a queue's links agree";
		if (e->in_main != main)
			return "an entry is in the queue that it says";
		if (e->uses > USES_MAX)
			return "uses are bounded";
		if (!e->block || e->block_cost != shard_block_cost(e->block))
			return "an entry's cost is that of its block";
		bytes += entry_cost(e);
		*ret_bytes += e->block_cost;
		++*ret_n;
		next = e->queue_next;
	}
	if (q->tail != newer)
		return "a queue's tail is its last";
	return bytes == q->bytes ? NULL : "a queue's bytes are those of its entries";
}

static const char *check_chain(const struct shard *s, uint32_t chain, size_t *ret_entries)
{
	const struct chain *c = shard_chain(s, chain);
	uint32_t before = 0;
	size_t n = 0;
	for (uint32_t handle = c->first, next; handle; before = handle, handle = next) {
		const struct entry *e = shard_entry(s, handle);
		if (e->ino != c->ino || e->chain != chain || e->chain_prev != before)
			return "a chain has its inode's entries";
		n++;
		next = e->chain_next;
	}
	*ret_entries += n;
	return n > 0 && n == c->n ? NULL : "a chain is as long as it says, and not empty";
}

static const char *check_chains(const struct shard *s, size_t *ret_entries)
{
	const char *broken = NULL;
	for (size_t i = 0; i < s->inodes.n && !broken; i++) {
		uint64_t slot = s->inodes.slots[i];
		if (slot == 0)
			continue;
		broken = check_chain(s, (uint32_t)slot, ret_entries);
		if (slot >> 32 != hash_ino(shard_chain(s, (uint32_t)slot)->ino))
			broken = "a chain is under its hash";
	}
	if (!broken && !table_check(&s->inodes))
		broken = "a chain is where it is looked for";
	if (!broken && (s->inodes.used != s->chains.used))
		broken = "all chains are in the table";
	return broken;
}

static const char *check_index(const struct shard *s, shard_owner_fn *owner, const void *arg)
{
	uint64_t blocks = 0;
	for (size_t i = 0; i < s->index.n; i++) {
		uint64_t slot = s->index.slots[i];
		if (slot == 0)
			continue;
		const struct entry *e = shard_entry(s, (uint32_t)slot);
		if (slot >> 32 != (uint32_t)hash_key(e->ino, e->index))
			return "an entry is under its hash";
		if (!owner(arg, e->ino, e->index))
			return "an entry is in its shard";
		blocks += is_data(e->index);
	}
	if (!table_check(&s->index))
		return "an entry is where it is looked for";
	return blocks == s->blocks ? NULL : "data blocks are counted";
}

const char *shard_check(const struct shard *s, shard_owner_fn *owner, const void *arg)
{
	size_t in_queues = 0, in_chains = 0;
	uint64_t bytes = 0;
	const char *broken = check_queue(s, &s->small, false, &in_queues, &bytes);
	if (!broken)
		broken = check_queue(s, &s->main, true, &in_queues, &bytes);
	if (!broken)
		broken = check_chains(s, &in_chains);
	if (!broken)
		broken = check_index(s, owner, arg);
	if (broken)
		return broken;
	if (in_queues != s->entries.used || in_chains != s->entries.used ||
		s->index.used != s->entries.used)
		return "an entry is once in the index, in one chain and in one queue";
	if (bytes != s->block_bytes)
		return "the bytes of blocks are those of all there are";
	if (s->entries.used > 0 && shard_bytes(s) > s->limit)
		return "bytes are within the limit";
	return NULL;
}
