/*
 * Shards: the blocks of a file are spread over all of them, GROUP neighbours in one, so that one
 * large file does not queue up at one mutex and a request takes one or two of them. Its groups go
 * round all shards, so that none is full much earlier than the others. The attributes
 * of an inode are with its first blocks: a small file is in one shard.
 *
 * Locks: shard_slot.lock protects shard_slot.shard. No two are held at once, and nothing else is
 * locked or called under them but malloc, mmap and their opposites.
 */
#include "blocks.h"

#include "lock.h"
#include "shard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define GROUP_SHIFT 6u
#define SHARD_BYTES ((uint64_t)4 << 20) /* a shard for each of these */
#define SHARDS_MAX 16u

/* On cache lines of its own: neighbours are locked by different threads. */
struct shard_slot {
	_Alignas(64) struct lock lock;
	struct shard shard; /* under lock */
};

struct blocks {
	unsigned n; /* of shards, constant */
	_Atomic uint64_t limit;
	struct shard_slot slots[];
};

static uint64_t group_of(uint64_t index)
{
	return index == BLOCKS_ATTR ? 0 : index >> GROUP_SHIFT;
}

/* The last index that is in the same shard for sure as `index` is. */
static uint64_t group_end(uint64_t index)
{
	return index == BLOCKS_ATTR ? index : index | ((1u << GROUP_SHIFT) - 1);
}

static unsigned slot_number(const struct blocks *b, uint64_t ino, uint64_t index)
{
	uint32_t start = (uint32_t)(XXH3_64bits(&ino, sizeof ino) >> 32);
	return (start + (uint32_t)group_of(index)) % b->n;
}

static struct shard_slot *slot_of(struct blocks *b, uint64_t ino, uint64_t index)
{
	return &b->slots[slot_number(b, ino, index)];
}

int blocks_new(uint64_t limit, struct blocks **ret)
{
	uint64_t n = limit / SHARD_BYTES;
	n = n < 1 ? 1 : n > SHARDS_MAX ? SHARDS_MAX : n;
	size_t size = sizeof(struct blocks) + (size_t)n * sizeof(struct shard_slot);
	struct blocks *b = aligned_alloc(_Alignof(struct blocks), size);
	if (!b)
		return -ENOMEM;
	atomic_init(&b->limit, limit);
	for (b->n = 0; b->n < n; b->n++) {
		if (shard_init(&b->slots[b->n].shard, limit / n) < 0) {
			blocks_free(b);
			return -ENOMEM;
		}
		lock_init(&b->slots[b->n].lock);
	}
	*ret = b;
	return 0;
}

struct blocks *blocks_free(struct blocks *b)
{
	if (!b)
		return NULL;
	for (unsigned i = 0; i < b->n; i++) {
		shard_destroy(&b->slots[i].shard);
		lock_destroy(&b->slots[i].lock);
	}
	free(b);
	return NULL;
}

/* How many of the `count` blocks from `first` on are in one group. */
static size_t run_length(uint64_t first, size_t count)
{
	uint64_t left = group_end(first) - first + 1;
	return left < count ? (size_t)left : count;
}

size_t blocks_get(struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now,
	struct block **ret, int64_t *ret_ttl_left)
{
	size_t found = 0;
	*ret_ttl_left = INT64_MAX;
	for (size_t i = 0; i < count;) {
		struct shard_slot *slot = slot_of(b, ino, first + i);
		size_t end = i + run_length(first + i, count - i);
		lock_acquire(&slot->lock);
		for (; i < end; i++) {
			int64_t expires;
			ret[i] = shard_get(&slot->shard, ino, first + i, now, &expires);
			if (!ret[i])
				continue;
			found++;
			if (expires - now < *ret_ttl_left)
				*ret_ttl_left = expires - now;
		}
		lock_release(&slot->lock);
	}
	return found;
}

/* When a block that is put at `now` expires. */
static int64_t expiry(int64_t now, int64_t ttl)
{
	return ttl > INT64_MAX - now ? INT64_MAX : now + ttl;
}

int blocks_put(struct blocks *b, uint64_t ino, uint64_t first, size_t count,
	struct block *const *blocks, int64_t now, int64_t ttl)
{
	int r = 0;
	for (size_t i = 0; i < count;) {
		struct shard_slot *slot = slot_of(b, ino, first + i);
		size_t end = i + run_length(first + i, count - i);
		lock_acquire(&slot->lock);
		for (; i < end; i++) {
			if (!blocks[i] || ttl <= 0)
				shard_drop(&slot->shard, ino, first + i, first + i);
			else if (shard_put(&slot->shard, ino, first + i, blocks[i], now,
					 expiry(now, ttl)) < 0)
				r = -ENOMEM;
		}
		lock_release(&slot->lock);
	}
	return r;
}

static void drop_in(struct shard_slot *slot, uint64_t ino, uint64_t first, uint64_t last)
{
	lock_acquire(&slot->lock);
	shard_drop(&slot->shard, ino, first, last);
	lock_release(&slot->lock);
}

void blocks_drop(struct blocks *b, uint64_t ino, uint64_t first, uint64_t last)
{
	if (last == BLOCKS_ATTR) {
		drop_in(slot_of(b, ino, BLOCKS_ATTR), ino, BLOCKS_ATTR, BLOCKS_ATTR);
		if (first == BLOCKS_ATTR)
			return;
		last = BLOCKS_LAST;
	}
	if (group_of(last) - group_of(first) >= b->n) {
		for (unsigned i = 0; i < b->n; i++)
			drop_in(&b->slots[i], ino, first, last);
		return;
	}
	for (uint64_t from = first; from <= last; from = group_end(from) + 1) {
		uint64_t to = group_end(from) < last ? group_end(from) : last;
		drop_in(slot_of(b, ino, from), ino, from, to);
	}
}

void blocks_drop_all(struct blocks *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		lock_acquire(&b->slots[i].lock);
		shard_drop_all(&b->slots[i].shard);
		lock_release(&b->slots[i].lock);
	}
}

bool blocks_peek(struct blocks *b, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_ttl_left)
{
	struct shard_slot *slot = slot_of(b, ino, index);
	lock_acquire(&slot->lock);
	bool fresh = shard_peek(&slot->shard, ino, index, now, ret_ttl_left);
	lock_release(&slot->lock);
	return fresh;
}

bool blocks_reserve(
	struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now, uint16_t session)
{
	bool all = true;
	for (size_t i = 0; i < count && all;) {
		struct shard_slot *slot = slot_of(b, ino, first + i);
		size_t n = run_length(first + i, count - i);
		lock_acquire(&slot->lock);
		all = shard_reserve(&slot->shard, ino, first + i, first + i + n - 1, now, session);
		lock_release(&slot->lock);
		i += n;
	}
	return all;
}

size_t blocks_keep(
	struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now, uint16_t session)
{
	size_t kept = 0;
	for (size_t i = 0; i < count;) {
		struct shard_slot *slot = slot_of(b, ino, first + i);
		size_t end = i + run_length(first + i, count - i);
		lock_acquire(&slot->lock);
		for (; i < end; i++)
			kept += shard_keep(&slot->shard, ino, first + i, now, session);
		lock_release(&slot->lock);
	}
	return kept;
}

void blocks_age(struct blocks *b, int64_t by)
{
	for (unsigned i = 0; i < b->n; i++) {
		lock_acquire(&b->slots[i].lock);
		shard_age(&b->slots[i].shard, by);
		lock_release(&b->slots[i].lock);
	}
}

int blocks_resize(struct blocks *b, uint64_t limit)
{
	struct shard fresh[SHARDS_MAX];
	for (unsigned i = 0; i < b->n; i++) {
		if (shard_init(&fresh[i], limit / b->n) < 0) {
			while (i-- > 0)
				shard_destroy(&fresh[i]);
			return -ENOMEM;
		}
	}
	atomic_store(&b->limit, limit);
	for (unsigned i = 0; i < b->n; i++) {
		lock_acquire(&b->slots[i].lock);
		shard_become(&b->slots[i].shard, &fresh[i]);
		lock_release(&b->slots[i].lock);
	}
	return 0;
}

void blocks_count(struct blocks *b, struct blocks_counts *ret)
{
	*ret = (struct blocks_counts){.limit = atomic_load(&b->limit)};
	for (unsigned i = 0; i < b->n; i++) {
		struct shard_slot *slot = &b->slots[i];
		lock_acquire(&slot->lock);
		ret->bytes += shard_bytes(&slot->shard);
		ret->blocks += slot->shard.blocks;
		ret->expired += slot->shard.expired;
		ret->evictions += slot->shard.evictions;
		ret->invalidations += slot->shard.invalidations;
		lock_release(&slot->lock);
	}
}

/* A cursor is the number of a shard and a place in it. */
size_t blocks_walk(
	struct blocks *b, uint64_t *cursor, int64_t now, struct blocks_seen *ret, size_t max)
{
	uint64_t number = *cursor >> 32;
	uint32_t place = (uint32_t)*cursor;
	if (number >= b->n) {
		*cursor = BLOCKS_WALK_END;
		return 0;
	}
	struct shard_slot *slot = &b->slots[number];
	lock_acquire(&slot->lock);
	size_t n = shard_walk(&slot->shard, &place, now, ret, max);
	lock_release(&slot->lock);
	number += place == 0;
	*cursor = number < b->n ? number << 32 | place : BLOCKS_WALK_END;
	return n;
}

struct owner {
	const struct blocks *blocks;
	unsigned number;
};

static bool owns(const void *arg, uint64_t ino, uint64_t index)
{
	const struct owner *o = arg;
	return slot_number(o->blocks, ino, index) == o->number;
}

const char *blocks_check(struct blocks *b)
{
	const char *broken = NULL;
	for (unsigned i = 0; i < b->n && !broken; i++) {
		lock_acquire(&b->slots[i].lock);
		const struct owner owner = {b, i};
		broken = shard_check(&b->slots[i].shard, owns, &owner);
		lock_release(&b->slots[i].lock);
	}
	return broken;
}
