/*
 * What the files of the cache share: the struct, and the paths that read.c and write.c are.
 *
 * Locks, in the order in which they may be held together: guard stripe, then block shard. Those of
 * commit and flusher are leaves. None is held during a call of the store below or of a callback,
 * but for `setting`, which comes before all others and orders those who change settings.
 */
#pragma once

#include "blocks.h"
#include "cache.h"
#include "commit.h"
#include "flusher.h"
#include "guard.h"

#include <stdatomic.h>

struct cache {
	struct store store;
	/* Constant after creation; what they point to has its own locks. */
	struct cache_config cfg;
	struct store *next;
	struct blocks *blocks;
	struct guard *guard;
	struct commit commit;
	struct flusher flusher;

	struct lock setting; /* of who changes these, in cache_set(); the first of all locks */
	uint64_t size;	     /* under it */
	/* Those of the configuration hold no more: */
	_Atomic int64_t ttl_ns;
	_Atomic int sync; /* enum cache_sync */
	atomic_bool drop_on_error;
	atomic_uint sessions; /* of warming, so far */

	atomic_uint_fast64_t hits;
	atomic_uint_fast64_t misses;
	atomic_uint_fast64_t update_failures;
};

struct cache *cache_of(struct store *s) NONNULL(1) MUST_CHECK;
int64_t cache_now(const struct cache *c) NONNULL(1) MUST_CHECK;
void cache_before_blocking(const struct cache *c) NONNULL(1);

enum cache_sync cache_sync(const struct cache *c) NONNULL(1) MUST_CHECK;

/* The TTL of what belongs to an inode. */
int64_t cache_ttl(const struct cache *c, const struct store_attr *attr) NONNULL(1, 2) MUST_CHECK;

/*
 * Attributes in the block cache. Nothing known, or past its TTL: false. A put that fails is a drop.
 *
 * The version that comes with them says which state of the inode its cached blocks are of, so it
 * stays known when the attributes are not served any more. Blocks of one state are never served
 * with the size, or beside the blocks, of another one.
 */
bool cache_get_attr(struct cache *c, uint64_t ino, int64_t now, struct store_attr *ret)
	NONNULL(1, 4) MUST_CHECK;
void cache_put_attr(struct cache *c, const struct store_attr *attr, int64_t now) NONNULL(1, 2);

/* Others have altered the inode, or a change of ours had no clear end, and the caller has dropped
 * all that it can have altered: the attributes are not served any more, and the blocks that are
 * left go with whatever version is heard of next. */
void cache_tell_attr(struct cache *c, uint64_t ino) NONNULL(1);

/* The version that the inode's cached blocks go with; 0: not known. */
#define CACHE_ANY_VERSION UINT64_MAX
uint64_t cache_version(struct cache *c, uint64_t ino, int64_t now) NONNULL(1) MUST_CHECK;

/* Attributes came from the store, and no change of our own is under way (the stripe's lock is
 * held): if they are of another version than the cached blocks, others have altered the inode,
 * though nobody may have been told yet, and the blocks are dropped. False: what came is older
 * than what there is, and must not be put. */
bool cache_agree(struct cache *c, const struct store_attr *attr, int64_t now)
	NONNULL(1, 2) MUST_CHECK;

/*
 * poll.c: store_ops.poll, and its two parts. Others have changed the store: takes what `range`
 * says, or everything, out of the cache. What was loaded from the store before the call does not
 * enter the cache after it, and what changes of our own put that are under way is dropped as well.
 */
int cache_poll(struct store *s, store_event_fn *fn, void *arg) NONNULL(1, 2) MUST_CHECK;
void cache_drop(struct cache *c, const struct guard_range *range) NONNULL(1, 2);
void cache_drop_all(struct cache *c) NONNULL(1);

/* write.c: store_ops.apply */
void cache_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
	NONNULL(1, 2);

/* write.c: returns when all that is being committed is over. */
void cache_await_commits(struct cache *c) NONNULL(1);

/* write.c: applies one batch; a commit_apply_fn on a struct cache. */
void cache_commit(void *arg, struct commit_job *first, bool durable) NONNULL(1, 2);

/* read.c: store_ops.read, getattr and lookup */
int cache_read(struct store *s, uint64_t ino, uint64_t first, uint32_t count,
	struct store_span *ret) NONNULL(1, 5) MUST_CHECK;
int cache_getattr(struct store *s, uint64_t ino, struct store_attr *ret) NONNULL(1, 3) MUST_CHECK;
int cache_lookup(struct store *s, uint64_t parent, const char *name, size_t len,
	struct store_attr *ret) NONNULL(1, 3, 5) MUST_CHECK;
