/*
 * The cache as a store: what it is made of, and the operations that it hands on as they are.
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cache *cache_of(struct store *s)
{
	return CONTAINER_OF(s, struct cache, store);
}

int64_t cache_now(const struct cache *c)
{
	if (c->cfg.now_ns)
		return c->cfg.now_ns(c->cfg.now_arg);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void cache_before_blocking(const struct cache *c)
{
	if (c->cfg.before_blocking)
		c->cfg.before_blocking(c->cfg.before_blocking_arg);
}

int64_t cache_ttl(const struct cache *c, const struct store_attr *attr)
{
	return attr->ttl < 0 ? atomic_load_explicit(&c->ttl_ns, memory_order_relaxed) : attr->ttl;
}

enum cache_sync cache_sync(const struct cache *c)
{
	return (enum cache_sync)atomic_load(&c->sync);
}

/* How the attributes of an inode are kept: also when they are not served any more, for the sake of
 * the version. */
struct kept_attr {
	struct store_attr attr;
	int64_t since;
	bool told; /* others have altered the inode, and what they did was dropped */
};

static bool get_kept(struct cache *c, uint64_t ino, int64_t now, struct kept_attr *ret)
{
	struct block *block;
	int64_t unused;
	if (blocks_get(c->blocks, ino, BLOCKS_ATTR, 1, now, &block, &unused) == 0)
		return false;
	memcpy(ret, block->data, sizeof *ret);
	block_unref(block);
	return true;
}

static void put_kept(struct cache *c, const struct kept_attr *kept, int64_t now)
{
	static_assert(sizeof *kept <= STORE_BLOCK_SIZE, "attributes fit into a block");
	struct block *block = cache_ttl(c, &kept->attr) > 0 ? block_new(sizeof *kept) : NULL;
	if (block)
		memcpy(block->data, kept, sizeof *kept);
	/* Without a block this drops what was there. */
	int r = blocks_put(c->blocks, kept->attr.ino, BLOCKS_ATTR, 1, &block, now, INT64_MAX);
	(void)r; /* it is not cached, then: no harm */
	block_unref(block);
}

bool cache_get_attr(struct cache *c, uint64_t ino, int64_t now, struct store_attr *ret)
{
	struct kept_attr kept;
	if (!get_kept(c, ino, now, &kept) || kept.told ||
		now - kept.since >= cache_ttl(c, &kept.attr))
		return false;
	*ret = kept.attr;
	ret->age += now - kept.since;
	return true;
}

void cache_put_attr(struct cache *c, const struct store_attr *attr, int64_t now)
{
	put_kept(c, &(struct kept_attr){*attr, now, false}, now);
}

void cache_tell_attr(struct cache *c, uint64_t ino)
{
	struct kept_attr kept;
	int64_t now = cache_now(c);
	if (!get_kept(c, ino, now, &kept))
		return;
	kept.told = true;
	put_kept(c, &kept, now);
}

uint64_t cache_version(struct cache *c, uint64_t ino, int64_t now)
{
	struct kept_attr kept;
	if (!get_kept(c, ino, now, &kept))
		return 0;
	return kept.told ? CACHE_ANY_VERSION : kept.attr.version;
}

bool cache_agree(struct cache *c, const struct store_attr *attr, int64_t now)
{
	uint64_t version = cache_version(c, attr->ino, now);
	if (version == attr->version || version == CACHE_ANY_VERSION)
		return true;
	/* What is older than what there is (it came late) says nothing of the blocks. */
	bool newer = attr->version > version;
	blocks_drop(c->blocks, attr->ino, 0, newer ? BLOCKS_LAST : BLOCKS_ATTR);
	return newer;
}

static int pass_flush(struct store *s)
{
	struct cache *c = cache_of(s);
	if (cache_sync(c) == CACHE_SYNC_DISABLED)
		return 0;
	cache_before_blocking(c);
	return flusher_flush(&c->flusher);
}

static int pass_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	cache_before_blocking(cache_of(s));
	return store_readlink(cache_of(s)->next, ino, buf, size);
}

static int pass_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	cache_before_blocking(cache_of(s));
	return store_readdir(cache_of(s)->next, dir, after, with_attr, fn, arg);
}

static ssize_t pass_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	cache_before_blocking(cache_of(s));
	return store_getxattr(cache_of(s)->next, ino, name, len, buf, size);
}

static int pass_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	cache_before_blocking(cache_of(s));
	return store_listxattr(cache_of(s)->next, ino, fn, arg);
}

static int pass_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	cache_before_blocking(cache_of(s));
	return store_seek(cache_of(s)->next, ino, offset, data, ret);
}

static int pass_statfs(struct store *s, struct store_space *ret)
{
	cache_before_blocking(cache_of(s));
	return store_statfs(cache_of(s)->next, ret);
}

static int pass_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	cache_before_blocking(cache_of(s));
	return store_orphans(cache_of(s)->next, fn, arg);
}

static int pass_poll_fd(struct store *s)
{
	return store_poll_fd(cache_of(s)->next);
}

static int pass_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	cache_before_blocking(cache_of(s));
	return store_path(cache_of(s)->next, ino, buf, size);
}

static ssize_t cache_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	struct cache *c = cache_of(s);
	cache_before_blocking(c);
	ssize_t n = store_block_info(c->next, ino, first, count, ret);
	int64_t now = cache_now(c);
	for (ssize_t i = 0; i < n; i++) {
		ret[i].ttl_left = 0;
		ret[i].cached = blocks_peek(c->blocks, ino, ret[i].index, now, &ret[i].ttl_left);
	}
	return n;
}

static void cache_stats(struct store *s, struct store_stats *stats)
{
	struct cache *c = cache_of(s);
	struct blocks_counts counts;
	cache_before_blocking(c);
	store_stats(c->next, stats);
	blocks_count(c->blocks, &counts);
	stats->cache_hits = atomic_load(&c->hits);
	stats->cache_misses = atomic_load(&c->misses);
	stats->cache_expired = counts.expired;
	stats->cache_evictions = counts.evictions;
	stats->cache_invalidations = counts.invalidations;
	stats->cache_update_failures = atomic_load(&c->update_failures);
	stats->cache_bytes = counts.bytes;
	stats->cache_limit_bytes = counts.limit;
	stats->cache_blocks = counts.blocks;
}

static struct cache *cache_free(struct cache *c)
{
	c->blocks = blocks_free(c->blocks);
	c->guard = guard_free(c->guard);
	lock_destroy(&c->setting);
	free(c);
	return NULL;
}

static void cache_close(struct store *s)
{
	struct cache *c = cache_of(s);
	flusher_destroy(&c->flusher);
	commit_destroy(&c->commit);
	c->next = store_close(c->next);
	cache_free(c);
}

static const struct store_ops cache_ops = {
	.apply = cache_apply,
	.flush = pass_flush,
	.read = cache_read,
	.getattr = cache_getattr,
	.lookup = cache_lookup,
	.readlink = pass_readlink,
	.readdir = pass_readdir,
	.getxattr = pass_getxattr,
	.listxattr = pass_listxattr,
	.seek = pass_seek,
	.statfs = pass_statfs,
	.orphans = pass_orphans,
	.poll = cache_poll,
	.poll_fd = pass_poll_fd,
	.path = pass_path,
	.block_info = cache_block_info,
	.stats = cache_stats,
	.close = cache_close,
};

int cache_new(const struct cache_config *cfg, struct store *next, struct store **ret)
{
	struct cache *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->store.ops = &cache_ops;
	c->cfg = *cfg;
	c->next = next;
	c->size = cfg->size;
	atomic_init(&c->ttl_ns, cfg->ttl_ns);
	atomic_init(&c->sync, cfg->sync);
	atomic_init(&c->drop_on_error, cfg->drop_on_error);
	atomic_init(&c->sessions, 1);
	lock_init(&c->setting);
	int r = blocks_new(cfg->size, &c->blocks);
	if (r == 0)
		r = guard_new(&c->guard);
	if (r == 0)
		r = flusher_init(&c->flusher, next, cfg->sync != CACHE_SYNC_DISABLED);
	if (r < 0) {
		cache_free(c);
		return r;
	}
	commit_init(&c->commit, cache_commit, c);
	*ret = &c->store;
	return 0;
}
