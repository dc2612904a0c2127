/*
 * One shard of the block cache: the data structure alone, without a lock, a clock or I/O. Only
 * blocks.c uses it, which gives each shard a mutex and chooses the shard of a block.
 */
#pragma once

#include "blocks.h"
#include "ghost.h"
#include "slab.h"
#include "table.h"

struct entry;

struct queue {
	uint32_t head; /* entry, the newest; 0: none */
	uint32_t tail; /* the next to go */
	uint64_t bytes;
};

struct shard {
	struct table index;  /* of entries, by (inode, index) */
	struct slab entries; /* these two first: what shard_get() needs is in two lines */
	int64_t now;	     /* the latest that it was told of */
	uint64_t limit;

	struct queue small; /* what came once */
	struct queue main;  /* what was used again */

	struct table inodes; /* of chains, by inode */
	struct slab chains;
	struct ghost ghost;

	uint64_t block_bytes; /* of the entries' blocks */
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

/* Takes its own reference; -ENOMEM: it was not there, and is not. */
int shard_put(struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t now,
	int64_t expires) MUST_CHECK NONNULL(1, 4);

void shard_drop(struct shard *s, uint64_t ino, uint64_t first, uint64_t last) NONNULL(1);
void shard_drop_all(struct shard *s) NONNULL(1);

/* Bytes of memory that it takes: blocks, entries, chains, and the tables. */
uint64_t shard_bytes(const struct shard *s) NONNULL(1) MUST_CHECK;

bool shard_peek(const struct shard *s, uint64_t ino, uint64_t index, int64_t now,
	int64_t *ret_ttl_left) NONNULL(1, 5) MUST_CHECK;

/* shard_tune.c */

/* See blocks_reserve(), blocks_keep(), blocks_age() and blocks_resize(). */
bool shard_reserve(struct shard *s, uint64_t ino, uint64_t first, uint64_t last, int64_t now,
	uint16_t session) NONNULL(1) MUST_CHECK;
bool shard_keep(struct shard *s, uint64_t ino, uint64_t index, int64_t now, uint16_t session)
	NONNULL(1) MUST_CHECK;
void shard_age(struct shard *s, int64_t by) NONNULL(1);

/* Moves what is in `s` to `fresh`, as much of it as has room, and makes *s what *fresh is, which
 * was set up with another limit. */
void shard_become(struct shard *s, struct shard *fresh) NONNULL(1, 2);

/* shard_walk.c */

/* Writes what is at the next places after *place (0: the first), `max` of them at most, to ret, and
 * returns how many there were; *place is where to go on, 0: nowhere. */
size_t shard_walk(const struct shard *s, uint32_t *place, int64_t now, struct blocks_seen *ret,
	size_t max) NONNULL(1, 2, 4) MUST_CHECK;

/* shard_check.c */

/* Is (ino, index) to be in the shard that is checked? */
typedef bool shard_owner_fn(const void *arg, uint64_t ino, uint64_t index);

/* NULL, or the invariant that does not hold. */
const char *shard_check(const struct shard *s, shard_owner_fn *owner, const void *arg)
	NONNULL(1, 2) MUST_CHECK;
