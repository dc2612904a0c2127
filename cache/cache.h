/*
 * The write-through cache: a store that wraps a store.
 *
 * What it promises:
 *   - A change is answered when the store below has committed it (and flushed it, as `sync` says)
 *     and the cache agrees with it. Changes of several callers are committed in groups.
 *   - A read is one committed state. One issued after a change was answered sees that change.
 *   - A failed change is never seen. After a failure the cache has what the store has, or nothing.
 *   - Nothing is served past its TTL, counted from when it was loaded or written: the inode's own
 *     (store_attr.ttl), else `ttl_ns`.
 *   - What store_poll() tells of was dropped before it is told: what is read from then on is as
 * new.
 *   - What is cached takes at most `size` bytes.
 *
 * Use: open a store, cache_new() on it, use the result with the functions of store.h, and close
 * the result, which closes the store below as well.
 *
 * Where the cache has been left without the new data after a commit (no memory, or `update_fault`)
 * the change is in the store, what it altered is dropped from the cache, and the caller gets 0 with
 * `drop_on_error`, else -EIO with change.doubtful set, so that a cache above drops it as well.
 */
#pragma once

#include "cache/store/store.h"

/* When changes reach stable storage; product's `sync=`. */
enum cache_sync {
	CACHE_SYNC_ALWAYS,   /* data: before the answer; the rest: with the next flush, or in 1 s */
	CACHE_SYNC_STANDARD, /* all: with the next flush, or in 1 s */
	CACHE_SYNC_DISABLED, /* whenever; store_flush() returns 0 at once */
};

struct cache_config {
	uint64_t size;	/* most bytes of memory for what is cached; 0: cache nothing */
	int64_t ttl_ns; /* of inodes that have none of their own; 0: never serve from the cache */
	enum cache_sync sync;
	bool drop_on_error; /* a failed update of the cache after a commit is no error */
	/* Nothing is dropped because of what others change, and store_poll() tells of
	 * STORE_EVENT_GONE only: the TTL alone decides how old a read may be. */
	bool blind;

	/* All the callbacks may be NULL, and are called from any thread with no lock held. */

	/* Before the cache is updated after a committed change of data; a negative errno: this
	 * update fails. */
	int (*update_fault)(void *arg);
	void *update_fault_arg;
	int64_t (*now_ns)(void *arg); /* the clock of the TTLs; NULL: CLOCK_MONOTONIC */
	void *now_arg;
	/* On the calling thread, before anything that may wait for the store. */
	void (*before_blocking)(void *arg);
	void *before_blocking_arg;
};

/* Wraps `next`, which it owns from now on if it succeeds. -ENOMEM, -EAGAIN (no thread). */
int cache_new(const struct cache_config *cfg, struct store *next, struct store **ret) MUST_CHECK
	NONNULL(1, 2, 3);

/* What can be changed while it is in use. */
struct cache_settings {
	uint64_t size;
	int64_t ttl_ns;
	enum cache_sync sync;
	bool drop_on_error;
};

/*
 * Changes the settings of a cache: all, or (an error) none. They hold for whatever begins after it
 * has returned; by then
 *   - what does not fit into a smaller size is evicted;
 *   - what is cached expires as if a shorter TTL had held all the time. So does what belongs to
 *     inodes with a TTL of their own, which so may expire early; a longer TTL holds for what is
 *     cached from now on;
 *   - with CACHE_SYNC_ALWAYS all that was committed is flushed, also what was answered before.
 * -ENOMEM, -EAGAIN (no thread), errors of store_flush(). `s` is what cache_new() has made, here and
 * below. Any thread.
 */
int cache_set(struct store *s, const struct cache_settings *to) MUST_CHECK NONNULL(1, 2);

/* Takes all that is cached of an inode, or everything, out of the cache: what is read from now on
 * is read from the store. */
void cache_forget(struct store *s, uint64_t ino) NONNULL(1);
void cache_forget_all(struct store *s) NONNULL(1);

/* What is cached, in pieces: blocks_walk() (cache/blocks.h) by the clock of the TTLs. */
struct blocks_seen;
size_t cache_walk(struct store *s, uint64_t *cursor, struct blocks_seen *ret, size_t max) MUST_CHECK
	NONNULL(1, 2, 3);

/*
 * Warming: reads blocks as store_read() does, and has them stay as what is used often does. Room is
 * made for them by evicting others, but never what was warmed in the same session. When there is no
 * room any more, `full`, nothing is read, or less kept.
 */
struct cache_warmed {
	uint32_t blocks; /* that the file has in the range */
	uint32_t kept;	 /* of these, in the cache now: less if it is full, if a change of them came
			    in   between, or with a TTL of 0 */
	bool full;
	int64_t ttl_ns; /* that holds for the inode, unless full */
};
uint16_t cache_warm_begin(struct store *s) NONNULL(1) MUST_CHECK; /* a new session */
int cache_warm(struct store *s, uint64_t ino, uint64_t first, uint32_t count, uint16_t session,
	struct cache_warmed *ret) MUST_CHECK NONNULL(1, 6);
