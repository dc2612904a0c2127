/*
 * One shard of the block cache: the data structure alone, without a lock, a clock or I/O. Only
 * blocks.c uses it, which gives each shard a mutex and chooses the shard of a block.
 */
#pragma once

#include "blocks.h"
#include "ghost.h"

struct entry;
struct chain;

struct queue {
	struct entry *head; /* the newest */
	struct entry *tail; /* the next to go */
	uint64_t bytes;
};

struct shard {
	uint64_t limit;
	int64_t now;	/* the latest that it was told of */
	uint64_t bytes; /* entries, their blocks, chains, and the tables */

	struct entry **entries; /* hash table by (inode, index) */
	size_t n_buckets;	/* a power of two, as the other one */
	size_t n_entries;
	struct chain **chains; /* hash table by inode */
	size_t n_chain_buckets;
	size_t n_chains;

	struct queue small; /* what came once */
	struct queue main;  /* what was used again */
	struct ghost ghost;

	uint64_t blocks;
	uint64_t expired;
	uint64_t evictions;
	uint64_t invalidations;
};

/* -ENOMEM */
int shard_init(struct shard *s, uint64_t limit) MUST_CHECK NONNULL(1);
void shard_destroy(struct shard *s) NONNULL(1);

/* The block with a reference for the caller, and when it expires; or NULL. */
struct block *shard_get(struct shard *s, uint64_t ino, uint64_t index, int64_t now,
	int64_t *ret_expires) NONNULL(1, 5) MUST_CHECK;

/* Takes its own reference; -ENOMEM and nothing is cached, not what was there before either. */
int shard_put(struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t now,
	int64_t expires) MUST_CHECK NONNULL(1, 4);

void shard_drop(struct shard *s, uint64_t ino, uint64_t first, uint64_t last) NONNULL(1);
void shard_drop_all(struct shard *s) NONNULL(1);

bool shard_peek(const struct shard *s, uint64_t ino, uint64_t index, int64_t now,
	int64_t *ret_ttl_left) NONNULL(1, 5) MUST_CHECK;

/* Is (ino, index) to be in the shard that is checked? */
typedef bool shard_owner_fn(const void *arg, uint64_t ino, uint64_t index);

/* NULL, or the invariant that does not hold. */
const char *shard_check(const struct shard *s, shard_owner_fn *owner, const void *arg)
	NONNULL(1, 2) MUST_CHECK;
