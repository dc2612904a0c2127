/*
 * States of a block in the cache, and what the fields mean in each:
 *
 *   state    entry   queue   expires      ghost    shard_get()
 *   absent   no      -       -            maybe    NULL
 *   fresh    yes     small   > now        no care  the block; uses + 1, at most USES_MAX
 *                    main
 *   expired  yes     small   <= now       no care  NULL, and it becomes absent
 *                    main
 *
 *   absent -> fresh    shard_put(): into small, or into main if its ghost is there (it was evicted
 *                      lately, or expired while in main)
 *   fresh -> fresh     shard_put() of newer contents: keeps its place, counts as a use
 *   fresh -> expired   by itself
 *   any -> absent      shard_drop(); eviction; shard_get() when expired
 *
 * Eviction: while small has more than a tenth of the limit (or main is empty) the tail of small
 * goes: to main when it was used at least twice since it came, else it is evicted and leaves a
 * ghost. Otherwise the tail of main goes: back to the head with one use less when it has uses
 * left, else it is evicted. Before all that, a tail that is expired is evicted, whatever its uses.
 *
 * Invariants (shard_check):
 *   - an entry is exactly once in the index (under its hash), in one chain (that of its inode) and
 *     in one queue; the counts and bytes of all of them are right;
 *   - a chain exists exactly while its inode has entries;
 *   - bytes <= limit, unless nothing is cached (then the tables alone may exceed a tiny limit);
 *   - an expired entry takes memory but is never given out.
 */
#include "shard_internal.h"

#include <errno.h>

#define SMALL_SHARE 10u	    /* small has limit / SMALL_SHARE */
#define ROTATIONS_MAX 1024u /* entries that one eviction may send round main */
#define CHUNK_SHARE 64u	    /* a slab grows by limit / CHUNK_SHARE at most */

uint64_t shard_bytes(const struct shard *s)
{
	return s->block_bytes + slab_bytes(&s->entries) + slab_bytes(&s->chains) +
	       table_bytes(&s->index) + table_bytes(&s->inodes) + ghost_bytes(&s->ghost);
}

/* Queues */

static struct queue *queue_of(struct shard *s, const struct entry *e)
{
	return e->in_main ? &s->main : &s->small;
}

static void queue_push(struct shard *s, uint32_t handle)
{
	struct entry *e = shard_entry(s, handle);
	struct queue *q = queue_of(s, e);
	e->queue_prev = 0;
	e->queue_next = q->head;
	*(q->head ? &shard_entry(s, q->head)->queue_prev : &q->tail) = handle;
	q->head = handle;
	q->bytes += entry_cost(e);
}

static void queue_remove(struct shard *s, const struct entry *e)
{
	struct queue *q = queue_of(s, e);
	*(e->queue_prev ? &shard_entry(s, e->queue_prev)->queue_next : &q->head) = e->queue_next;
	*(e->queue_next ? &shard_entry(s, e->queue_next)->queue_prev : &q->tail) = e->queue_prev;
	q->bytes -= entry_cost(e);
}

void shard_requeue(struct shard *s, uint32_t handle, bool in_main)
{
	struct entry *e = shard_entry(s, handle);
	queue_remove(s, e);
	e->in_main = in_main;
	queue_push(s, handle);
}

/* Chains: the entries of an inode */

static uint32_t find_chain(const struct shard *s, uint64_t ino)
{
	uint32_t hash = hash_ino(ino), handle;
	for (size_t pos = hash; (handle = table_next(&s->inodes, hash, &pos));)
		if (shard_chain(s, handle)->ino == ino)
			break;
	return handle;
}

/* The chain of an inode, a new one if need be; 0: no memory. */
static uint32_t need_chain(struct shard *s, uint64_t ino)
{
	uint32_t handle = find_chain(s, ino);
	if (handle)
		return handle;
	handle = slab_alloc(&s->chains);
	if (!handle)
		return 0;
	if (table_add(&s->inodes, hash_ino(ino), handle) < 0) {
		slab_free(&s->chains, handle);
		return 0;
	}
	shard_chain(s, handle)->ino = ino;
	return handle;
}

static void free_chain_if_empty(struct shard *s, uint32_t handle)
{
	const struct chain *c = shard_chain(s, handle);
	if (c->n > 0)
		return;
	table_remove(&s->inodes, hash_ino(c->ino), handle);
	slab_free(&s->chains, handle);
}

static void chain_push(struct shard *s, uint32_t handle)
{
	struct entry *e = shard_entry(s, handle);
	struct chain *c = shard_chain(s, e->chain);
	e->chain_prev = 0;
	e->chain_next = c->first;
	if (c->first)
		shard_entry(s, c->first)->chain_prev = handle;
	c->first = handle;
	c->n++;
}

static void chain_remove(struct shard *s, const struct entry *e)
{
	struct chain *c = shard_chain(s, e->chain);
	*(e->chain_prev ? &shard_entry(s, e->chain_prev)->chain_next : &c->first) = e->chain_next;
	if (e->chain_next)
		shard_entry(s, e->chain_next)->chain_prev = e->chain_prev;
	c->n--;
	free_chain_if_empty(s, e->chain);
}

/* Entries */

uint32_t shard_find(const struct shard *s, uint64_t ino, uint64_t index)
{
	uint32_t hash = (uint32_t)hash_key(ino, index), handle;
	for (size_t pos = hash; (handle = table_next(&s->index, hash, &pos));) {
		const struct entry *e = shard_entry(s, handle);
		if (e->index == index && e->ino == ino)
			break;
	}
	return handle;
}

static void entry_remove(struct shard *s, uint32_t handle)
{
	struct entry *e = shard_entry(s, handle);
	table_remove(&s->index, (uint32_t)hash_key(e->ino, e->index), handle);
	queue_remove(s, e);
	chain_remove(s, e);
	s->block_bytes -= e->block_cost;
	if (is_data(e->index))
		s->blocks--;
	block_unref(e->block);
	e->block = NULL;
	slab_free(&s->entries, handle);
}

static void use(struct entry *e)
{
	if (e->uses < USES_MAX)
		e->uses++;
}

/* Eviction */

void shard_evict(struct shard *s, uint32_t handle)
{
	if (is_data(shard_entry(s, handle)->index))
		s->evictions++;
	entry_remove(s, handle);
}

/* Makes some room: evicts one entry. There must be one. */
static void evict_one(struct shard *s)
{
	const uint32_t tails[] = {s->small.tail, s->main.tail};
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		if (tails[i] && shard_entry(s, tails[i])->expires <= s->now) {
			shard_evict(s, tails[i]);
			return;
		}
	}
	while (s->small.tail && (s->small.bytes > s->limit / SMALL_SHARE || !s->main.tail)) {
		uint32_t handle = s->small.tail;
		struct entry *e = shard_entry(s, handle);
		if (e->uses < USES_PROMOTE) {
			ghost_add(&s->ghost, hash_key(e->ino, e->index));
			shard_evict(s, handle);
			return;
		}
		e->uses = 0;
		shard_requeue(s, handle, true);
	}
	assert(s->main.tail);
	for (unsigned i = 0; i < ROTATIONS_MAX; i++) {
		uint32_t handle = s->main.tail;
		struct entry *e = shard_entry(s, handle);
		if (e->uses == 0)
			break;
		e->uses--;
		shard_requeue(s, handle, true);
	}
	shard_evict(s, s->main.tail);
}

/* Moves an entry to another place of the slab, where there is one. */
static void entry_move(struct shard *s, uint32_t from)
{
	uint32_t to = slab_alloc(&s->entries);
	assert(to);
	struct entry *old = shard_entry(s, from), *e = shard_entry(s, to);
	*e = *old;
	struct queue *q = queue_of(s, e);
	*(e->queue_prev ? &shard_entry(s, e->queue_prev)->queue_next : &q->head) = to;
	*(e->queue_next ? &shard_entry(s, e->queue_next)->queue_prev : &q->tail) = to;
	*(e->chain_prev ? &shard_entry(s, e->chain_prev)->chain_next
			: &shard_chain(s, e->chain)->first) = to;
	if (e->chain_next)
		shard_entry(s, e->chain_next)->chain_prev = to;
	table_move(&s->index, (uint32_t)hash_key(e->ino, e->index), from, to);
	old->block = NULL;
	slab_free(&s->entries, from);
}

/* A few entries that stay in use, of very many that were there, would keep all of the slab. */
static void compact(struct shard *s)
{
	uint32_t handle, left = slab_drain(&s->entries, &handle);
	for (; left > 0; handle++) {
		if (shard_entry(s, handle)->block) {
			entry_move(s, handle);
			left--;
		}
	}
}

bool shard_compact(struct shard *s)
{
	bool sparse = slab_sparse(&s->entries);
	if (sparse)
		compact(s);
	return sparse;
}

/* One step towards less memory; there must be an entry. */
static void give_way(struct shard *s)
{
	if (!shard_compact(s))
		evict_one(s);
}

/* What one more entry takes. It takes nothing but its block where others have gone. */
static uint64_t bytes_of_one_more(const struct shard *s, uint32_t block_cost)
{
	return block_cost + slab_next_bytes(&s->entries) + slab_next_bytes(&s->chains);
}

static void trim(struct shard *s)
{
	while (s->entries.used > 0 && shard_bytes(s) > s->limit)
		give_way(s);
}

/* False: there cannot be any. */
static bool make_room(struct shard *s, uint32_t block_cost)
{
	while (shard_bytes(s) + bytes_of_one_more(s, block_cost) > s->limit) {
		if (s->entries.used == 0)
			return false;
		give_way(s);
	}
	return true;
}

/* A new entry in the index and in its chain, the rest zero; 0: no memory, and nothing has changed.
 */
static uint32_t new_entry(struct shard *s, uint64_t ino, uint64_t index)
{
	uint32_t chain = need_chain(s, ino);
	if (!chain)
		return 0;
	uint32_t handle = slab_alloc(&s->entries);
	if (handle && table_add(&s->index, (uint32_t)hash_key(ino, index), handle) < 0) {
		slab_free(&s->entries, handle);
		handle = 0;
	}
	if (!handle) {
		free_chain_if_empty(s, chain);
		return 0;
	}
	*shard_entry(s, handle) = (struct entry){.ino = ino, .index = index, .chain = chain};
	chain_push(s, handle);
	return handle;
}

/* Into its queue and the counts. */
static void enter(struct shard *s, uint32_t handle)
{
	const struct entry *e = shard_entry(s, handle);
	queue_push(s, handle);
	s->block_bytes += e->block_cost;
	if (is_data(e->index))
		s->blocks++;
	trim(s); /* the tables may have grown */
}

static int entry_add(
	struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t expires)
{
	uint32_t block_cost = shard_block_cost(block);
	if (!make_room(s, block_cost))
		return 0; /* too small a cache: it caches nothing */
	uint32_t handle = new_entry(s, ino, index);
	if (!handle)
		return -ENOMEM;
	struct entry *e = shard_entry(s, handle);
	e->block = block_ref(block);
	e->block_cost = block_cost;
	e->expires = expires;
	e->in_main = ghost_take(&s->ghost, hash_key(ino, index));
	enter(s, handle);
	return 0;
}

bool shard_adopt(struct shard *s, const struct entry *from)
{
	uint32_t handle = make_room(s, from->block_cost) ? new_entry(s, from->ino, from->index) : 0;
	if (!handle)
		return false;
	struct entry *e = shard_entry(s, handle);
	e->block = block_ref(from->block);
	e->block_cost = from->block_cost;
	e->expires = from->expires;
	e->uses = from->uses;
	e->in_main = from->in_main;
	e->session = from->session;
	enter(s, handle);
	return true;
}

/* Newer contents for an entry that is there. */
static void entry_replace(struct shard *s, struct entry *e, struct block *block, int64_t expires)
{
	uint32_t block_cost = shard_block_cost(block);
	struct queue *q = queue_of(s, e);
	q->bytes = q->bytes - e->block_cost + block_cost;
	s->block_bytes = s->block_bytes - e->block_cost + block_cost;
	e->block_cost = block_cost;
	block_ref(block);
	block_unref(e->block);
	e->block = block;
	e->expires = expires;
	use(e);
	trim(s);
}

static void tell_time(struct shard *s, int64_t now)
{
	if (s->now < now)
		s->now = now;
}

int shard_put(struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t now,
	int64_t expires)
{
	tell_time(s, now);
	uint32_t handle = shard_find(s, ino, index);
	if (!handle)
		return entry_add(s, ino, index, block, expires);
	entry_replace(s, shard_entry(s, handle), block, expires);
	return 0;
}

struct block *shard_get(
	struct shard *s, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_expires)
{
	uint32_t handle = shard_find(s, ino, index);
	tell_time(s, now);
	if (!handle)
		return NULL;
	struct entry *e = shard_entry(s, handle);
	if (e->expires <= now) {
		if (is_data(index))
			s->expired++;
		if (e->in_main) /* it was in use: it need not prove that again */
			ghost_add(&s->ghost, hash_key(ino, index));
		entry_remove(s, handle);
		return NULL;
	}
	use(e);
	*ret_expires = e->expires;
	return block_ref(e->block);
}

bool shard_peek(
	const struct shard *s, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_ttl_left)
{
	uint32_t handle = shard_find(s, ino, index);
	if (!handle || shard_entry(s, handle)->expires <= now)
		return false;
	*ret_ttl_left = shard_entry(s, handle)->expires - now;
	return true;
}

static void drop(struct shard *s, uint32_t handle)
{
	if (is_data(shard_entry(s, handle)->index))
		s->invalidations++;
	entry_remove(s, handle);
}

void shard_drop(struct shard *s, uint64_t ino, uint64_t first, uint64_t last)
{
	uint32_t chain = find_chain(s, ino);
	if (!chain)
		return;
	if (last - first < shard_chain(s, chain)->n) {
		for (uint64_t index = first;; index++) {
			uint32_t handle = shard_find(s, ino, index);
			if (handle)
				drop(s, handle);
			if (index == last)
				return;
		}
	}
	uint32_t next;
	for (uint32_t handle = shard_chain(s, chain)->first; handle; handle = next) {
		const struct entry *e = shard_entry(s, handle);
		next = e->chain_next; /* the chain goes with its last entry */
		if (e->index >= first && e->index <= last)
			drop(s, handle);
	}
}

void shard_drop_all(struct shard *s)
{
	while (s->small.tail)
		drop(s, s->small.tail);
	while (s->main.tail)
		drop(s, s->main.tail);
	ghost_clear(&s->ghost);
}

/* Of the slabs: small enough for a tiny limit, and huge pages for a large one. */
static uint32_t chunk_bytes(uint64_t limit)
{
	size_t bytes = PAGES_SIZE;
	while (bytes < PAGES_HUGE && bytes * 2 <= limit / CHUNK_SHARE)
		bytes *= 2;
	return (uint32_t)bytes;
}

int shard_init(struct shard *s, uint64_t limit)
{
	*s = (struct shard){.limit = limit, .now = INT64_MIN};
	slab_init(&s->entries, sizeof(struct entry), chunk_bytes(limit));
	slab_init(&s->chains, sizeof(struct chain), chunk_bytes(limit));
	/* As many ghosts as main can have whole blocks, as the paper has it. */
	uint64_t whole = sizeof(struct entry) + heap_cost(sizeof(struct block) + STORE_BLOCK_SIZE);
	if (table_init(&s->index) < 0 || table_init(&s->inodes) < 0 ||
		ghost_init(&s->ghost, (size_t)((limit - limit / SMALL_SHARE) / whole)) < 0) {
		shard_destroy(s);
		return -ENOMEM;
	}
	return 0;
}

void shard_destroy(struct shard *s)
{
	const uint32_t tails[] = {s->small.tail, s->main.tail};
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		for (uint32_t handle = tails[i]; handle;
			handle = shard_entry(s, handle)->queue_prev)
			block_unref(shard_entry(s, handle)->block);
	ghost_destroy(&s->ghost);
	table_fini(&s->index);
	table_fini(&s->inodes);
	slab_fini(&s->entries);
	slab_fini(&s->chains);
}
