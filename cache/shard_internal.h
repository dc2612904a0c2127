/*
 * What shard.c and shard_check.c share: what a shard is made of. Entries and chains name each other
 * by their handles in the shard's slabs; 0 is none.
 */
#pragma once

#include "shard.h"

#include "pages.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define USES_MAX 3u
#define USES_PROMOTE 2u

/* One line of the processor's cache. */
struct entry {
	uint64_t ino;
	uint64_t index;
	int64_t expires;
	struct block *block;
	uint32_t queue_prev, queue_next; /* entries, towards head, towards tail */
	uint32_t chain_prev, chain_next; /* entries */
	uint32_t chain;
	uint32_t block_cost; /* bytes that the block takes */
	uint8_t uses;
	bool in_main;
	uint16_t session; /* that has warmed it; 0: none */
};
static_assert(sizeof(struct entry) == 64, "an entry is one line");

/* The entries of one inode. */
struct chain {
	uint64_t ino;
	uint32_t first;
	uint32_t n;
};

static inline struct entry *shard_entry(const struct shard *s, uint32_t handle)
{
	return slab_at(&s->entries, handle);
}

static inline struct chain *shard_chain(const struct shard *s, uint32_t handle)
{
	return slab_at(&s->chains, handle);
}

/* What an allocation really takes from the heap (glibc: 8 bytes more, in steps of 16). */
static inline uint32_t heap_cost(size_t size)
{
	size_t n = (size + 8 + 15) & ~(size_t)15;
	return n < 32 ? 32 : (uint32_t)n;
}

static inline uint32_t shard_block_cost(const struct block *block)
{
	return heap_cost(sizeof *block + block->len);
}

/* With the block: what the queues count. */
static inline uint64_t entry_cost(const struct entry *e)
{
	return sizeof *e + e->block_cost;
}

/* The index has the low half of it. */
static inline uint64_t hash_key(uint64_t ino, uint64_t index)
{
	const uint64_t key[2] = {ino, index};
	return XXH3_64bits(key, sizeof key);
}

static inline uint32_t hash_ino(uint64_t ino)
{
	return (uint32_t)XXH3_64bits(&ino, sizeof ino);
}

static inline bool is_data(uint64_t index)
{
	return index != BLOCKS_ATTR;
}

/* shard.c, for shard_tune.c */

/* The entry of a block; 0: none. */
uint32_t shard_find(const struct shard *s, uint64_t ino, uint64_t index) NONNULL(1) MUST_CHECK;
/* To the head of main, or of small. */
void shard_requeue(struct shard *s, uint32_t handle, bool in_main) NONNULL(1);
void shard_evict(struct shard *s, uint32_t handle) NONNULL(1);
/* True: it has moved entries, and perhaps given memory back. */
bool shard_compact(struct shard *s) NONNULL(1) MUST_CHECK;
/* A copy of an entry of another shard, which is not in this one. Evicts others for it; false: it
 * cannot be kept. */
bool shard_adopt(struct shard *s, const struct entry *from) NONNULL(1, 2) MUST_CHECK;
