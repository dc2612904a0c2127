/*
 * What is asked of a cache that is in use: other settings, to forget, to be warmed.
 *
 * A setting holds for whatever begins after cache_set() has returned. What is under way may have
 * taken the old one:
 *   - a commit: so the level is looked at when a batch is committed, and an empty job in the queue
 *     is over only after the batch before it;
 *   - a fill, with the old TTL: so every token that was taken with it is made not to hold, and what
 *     was put before that is aged;
 *   - a write, with the old TTL: it looks at the TTL again when it has put its blocks, and drops
 *     them.
 */
#include "internal.h"

/* Everything that was committed with the old level is on stable storage. */
static int flush_all(struct cache *c)
{
	cache_before_blocking(c);
	cache_await_commits(c);
	return flusher_flush(&c->flusher);
}

static int set_sync(struct cache *c, enum cache_sync to)
{
	enum cache_sync from = cache_sync(c);
	if (to == from)
		return 0;
	int r = flusher_set_background(&c->flusher, to != CACHE_SYNC_DISABLED);
	if (r < 0)
		return r;
	atomic_store(&c->sync, to);
	if (to == CACHE_SYNC_ALWAYS)
		r = flush_all(c);
	if (r < 0) {
		atomic_store(&c->sync, from);
		(void)!flusher_set_background(&c->flusher, from != CACHE_SYNC_DISABLED);
	}
	return r;
}

static void set_ttl(struct cache *c, int64_t to)
{
	int64_t from = atomic_exchange(&c->ttl_ns, to);
	if (to >= from)
		return;
	guard_forget(c->guard);
	blocks_age(c->blocks, from - to);
}

int cache_set(struct store *s, const struct cache_settings *to)
{
	struct cache *c = cache_of(s);
	lock_acquire(&c->setting);
	enum cache_sync level = cache_sync(c);
	int r = set_sync(c, to->sync);
	if (r == 0 && to->size != c->size) {
		r = blocks_resize(c->blocks, to->size);
		if (r < 0)
			(void)!set_sync(c, level);
		else
			c->size = to->size;
	}
	if (r == 0) {
		set_ttl(c, to->ttl_ns);
		atomic_store(&c->drop_on_error, to->drop_on_error);
	}
	lock_release(&c->setting);
	return r;
}

void cache_forget(struct store *s, uint64_t ino)
{
	cache_drop(cache_of(s), &(struct guard_range){ino, 0, BLOCKS_LAST, true});
}

void cache_forget_all(struct store *s)
{
	cache_drop_all(cache_of(s));
}

size_t cache_walk(struct store *s, uint64_t *cursor, struct blocks_seen *ret, size_t max)
{
	struct cache *c = cache_of(s);
	return blocks_walk(c->blocks, cursor, cache_now(c), ret, max);
}

uint16_t cache_warm_begin(struct store *s)
{
	struct cache *c = cache_of(s);
	uint16_t session = (uint16_t)atomic_fetch_add(&c->sessions, 1);
	return session ? session : (uint16_t)atomic_fetch_add(&c->sessions, 1);
}

int cache_warm(struct store *s, uint64_t ino, uint64_t first, uint32_t count, uint16_t session,
	struct cache_warmed *ret)
{
	struct cache *c = cache_of(s);
	UNINITIALIZED struct store_span span;
	if (!blocks_reserve(c->blocks, ino, first, count, cache_now(c), session)) {
		*ret = (struct cache_warmed){.full = true};
		return 0;
	}
	int r = cache_read(s, ino, first, count, &span);
	if (r < 0)
		return r;
	*ret = (struct cache_warmed){.blocks = span.count, .ttl_ns = cache_ttl(c, &span.attr)};
	store_span_release(&span);
	int64_t now = cache_now(c);
	ret->kept = (uint32_t)blocks_keep(c->blocks, ino, first, ret->blocks, now, session);
	(void)!blocks_keep(c->blocks, ino, BLOCKS_ATTR, 1, now, session);
	ret->full = ret->kept < ret->blocks && ret->ttl_ns > 0 &&
		    !blocks_reserve(c->blocks, ino, first, ret->blocks, now, session);
	return 0;
}
