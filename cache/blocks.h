/*
 * The block cache as a data structure: whole blocks, keyed by (inode, index), bounded by bytes,
 * each with its time to live. It reads no clock (callers pass `now`) and does no I/O.
 *
 * A block's TTL counts from blocks_put(), not from its use. One that is past it is never returned;
 * it costs nothing but its memory until somebody asks for it or it is evicted, which it is as soon
 * as its turn comes.
 *
 * The attributes of an inode are kept in it too, as the block BLOCKS_ATTR of that inode, so that
 * there is one mechanism for TTL, eviction and dropping. They are not counted as blocks.
 *
 * Which block goes when room is needed is decided by S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak:
 * "FIFO queues are all you need for cache eviction", SOSP 2023): it keeps what is used again
 * through a scan of any length. docs/measurements.md has the comparison.
 *
 * All functions may be called from any thread, also at once. A range may be spread over several
 * locks, so a range is not got, put or dropped at one moment; who needs that has to see to it
 * (cache/guard.h).
 */
#pragma once

#include "cache/store/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCKS_ATTR UINT64_MAX	     /* the index of an inode's attributes */
#define BLOCKS_LAST (UINT64_MAX - 1) /* the last index that data can have */

struct blocks;

struct blocks_counts {
	uint64_t bytes;	 /* in use now: blocks and all that is needed to keep them */
	uint64_t limit;	 /* never more than this */
	uint64_t blocks; /* data blocks now */
	uint64_t expired;
	uint64_t evictions;
	uint64_t invalidations; /* data blocks that blocks_drop took out */
};

/* A cache of at most `limit` bytes of memory. One too small for a block caches nothing. -ENOMEM. */
int blocks_new(uint64_t limit, struct blocks **ret) MUST_CHECK NONNULL(2);

/* Takes NULL. Returns NULL. Blocks that others hold stay theirs. */
struct blocks *blocks_free(struct blocks *b);

/*
 * Looks for blocks [first, first + count) and sets ret[i] to block first + i, with a reference for
 * the caller, or to NULL. Returns how many were found; *ret_ttl_left is
 * what is left of the TTL of the oldest of them, INT64_MAX if there are none.
 */
size_t blocks_get(struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now,
	struct block **ret, int64_t *ret_ttl_left) NONNULL(1, 6, 7);

/*
 * Makes `blocks` the contents of [first, first + count), to be served until now + ttl; the cache
 * takes its own references. With ttl <= 0 they are dropped instead. An entry of NULL drops that
 * block. -ENOMEM: what could not be kept is not in the cache, neither new nor old.
 */
int blocks_put(struct blocks *b, uint64_t ino, uint64_t first, size_t count,
	struct block *const *blocks, int64_t now, int64_t ttl) MUST_CHECK NONNULL(1, 5);

/* Takes out [first, last], both included; last BLOCKS_LAST: to the end; BLOCKS_ATTR: and the
 * attributes. Costs as much as there is cached, not as the range is long. */
void blocks_drop(struct blocks *b, uint64_t ino, uint64_t first, uint64_t last) NONNULL(1);
void blocks_drop_all(struct blocks *b) NONNULL(1);

/* Is the block there and fresh, and for how long still? Changes nothing. */
bool blocks_peek(struct blocks *b, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_ttl_left)
	NONNULL(1, 5);

/*
 * Warming: blocks_reserve(), then put them as always, then blocks_keep(). What was kept for a
 * `session` (not 0) is not evicted to reserve room for more of it, only by what others put later.
 *
 * Makes room for those of [first, first + count) that are not there, by evicting what is not of the
 * session. False: there is none for all of them. Others may take what was reserved.
 */
bool blocks_reserve(struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now,
	uint16_t session) NONNULL(1) MUST_CHECK;

/* Those of [first, first + count) that are there and fresh are of the session now, and stay as long
 * as what is used often. Returns how many. */
size_t blocks_keep(struct blocks *b, uint64_t ino, uint64_t first, size_t count, int64_t now,
	uint16_t session) NONNULL(1) MUST_CHECK;

/* All data blocks expire `by` nanoseconds earlier. */
void blocks_age(struct blocks *b, int64_t by) NONNULL(1);

/* Another limit. What does not fit any more is evicted, and its memory free, on return. -ENOMEM:
 * nothing has changed. One call at a time. */
int blocks_resize(struct blocks *b, uint64_t limit) MUST_CHECK NONNULL(1);

/*
 * What is in the cache, in pieces: at most `max` places are looked at, under one lock, and what is
 * there is written to ret, which has room for `max`. Begin with *cursor = 0, and go on until it is
 * BLOCKS_WALK_END. Returns how many were found, which may be none before the end. What stays in the
 * cache for the whole walk is found once, unless it was moved meanwhile to save memory; any cursor
 * is taken. Changes nothing, and no use is counted.
 */
#define BLOCKS_WALK_END UINT64_MAX
struct blocks_seen {
	uint64_t ino;
	int64_t ttl_left; /* nanoseconds; 0: past its TTL */
	uint32_t bytes;	  /* with what is needed to keep it, but for tables */
	bool data;	  /* false: the inode's attributes */
};
size_t blocks_walk(struct blocks *b, uint64_t *cursor, int64_t now, struct blocks_seen *ret,
	size_t max) NONNULL(1, 2, 4) MUST_CHECK;

void blocks_count(struct blocks *b, struct blocks_counts *ret) NONNULL(1, 2);

/* Checks every invariant (blocks.c has the table). NULL: all hold; else the one that does not. */
const char *blocks_check(struct blocks *b) NONNULL(1) MUST_CHECK;
