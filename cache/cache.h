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
