/*
 * The read path.
 *
 *   1. Under the stripe's lock: is a change of what is asked for under way? Then step 4. Else take
 *      the token and collect what is cached. Everything there: that is one state, done.
 *   2. Without a lock: read the smallest range that covers what is missing.
 *   3. Under the lock: if the token holds for all that was asked for, and the inode's version is
 *      the one it had in step 1, what was collected and what was loaded are one state. What was
 *      loaded enters the cache as far as the token holds for it.
 *   4. Otherwise: read all of it from the store, in one piece, past the cache.
 *
 * The token knows nothing of what others change, another mount or an SQL client: that is what the
 * version is for. One that has moved without a change of our own says that they have altered the
 * inode, though nobody may have been told yet; then all its blocks leave the cache, so that the old
 * ones are never read together with new ones, nor with a new size: whoever hears of the version
 * (a read, getattr, lookup) sees to that (cache_agree).
 *
 * The size of the file is part of the state. It comes with what was loaded; where nothing had to
 * be loaded, from the cached attributes. If the range reaches past the end of the file as these
 * have it, then a change of attributes under way counts as an overlap: it may be a new size.
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* One read, on its way. */
struct reading {
	struct cache *c;
	struct guard_range range; /* what was asked for */
	struct guard_stripe *stripe;
	uint64_t token;
	int64_t now;
	bool have_attr;		/* `attr` is known */
	uint64_t version;	/* that the cached blocks go with: cache_version() */
	struct store_attr attr; /* cached, or of the moment of `loaded` */
	uint32_t count;		/* of blocks[], at most as many as asked for */
	uint32_t found;		/* of these, so many are not NULL */
	int64_t ttl_left;	/* of the oldest of them */
	struct store_span loaded;
	struct block *blocks[STORE_READ_MAX]; /* references, or NULL: not cached */
};

static uint64_t blocks_of(uint64_t size)
{
	return size / STORE_BLOCK_SIZE + (size % STORE_BLOCK_SIZE != 0);
}

/* How many of `count` blocks from `first` on a file of this size has. */
static uint32_t clamp(uint64_t size, uint64_t first, uint32_t count)
{
	uint64_t all = blocks_of(size);
	if (all <= first)
		return 0;
	return all - first < count ? (uint32_t)(all - first) : count;
}

static void release(struct reading *rd)
{
	for (uint32_t i = 0; i < rd->count; i++)
		block_unref(rd->blocks[i]);
	rd->count = rd->found = 0;
	store_span_release(&rd->loaded);
}

/* Step 4: past the cache. */
static int read_through(struct reading *rd, struct store_span *ret)
{
	uint32_t count = (uint32_t)(rd->range.last - rd->range.first + 1);
	release(rd);
	cache_before_blocking(rd->c);
	int r = store_read(rd->c->next, rd->range.ino, rd->range.first, count, ret);
	if (r == 0)
		atomic_fetch_add(&rd->c->misses, clamp(ret->attr.size, rd->range.first, count));
	return r;
}

/* Step 1. False: a change is under way. */
static bool collect(struct reading *rd)
{
	struct cache *c = rd->c;
	uint32_t count = (uint32_t)(rd->range.last - rd->range.first + 1);
	lock_acquire(&rd->stripe->lock);
	rd->token = rd->stripe->token;
	rd->have_attr = cache_get_attr(c, rd->range.ino, rd->now, &rd->attr);
	rd->version = cache_version(c, rd->range.ino, rd->now);
	rd->count = count;
	if (rd->have_attr && S_ISREG(rd->attr.mode)) {
		rd->count = clamp(rd->attr.size, rd->range.first, count);
		rd->range.attr = rd->count < count;
	}
	bool quiet = guard_holds(rd->stripe, rd->token, &rd->range);
	if (quiet)
		rd->found = (uint32_t)blocks_get(c->blocks, rd->range.ino, rd->range.first,
			rd->count, rd->now, rd->blocks, &rd->ttl_left);
	else
		rd->count = 0;
	lock_release(&rd->stripe->lock);
	return quiet;
}

/* Step 2: loads what is missing; that can be the attributes alone. */
static int load(struct reading *rd)
{
	uint64_t ino = rd->range.ino;
	cache_before_blocking(rd->c);
	if (rd->found == rd->count)
		return store_getattr(rd->c->next, ino, &rd->attr);
	uint32_t from = 0, to = rd->count - 1;
	while (rd->blocks[from])
		from++;
	while (rd->blocks[to])
		to--;
	int r = store_read(rd->c->next, ino, rd->range.first + from, to - from + 1, &rd->loaded);
	if (r == 0)
		rd->attr = rd->loaded.attr;
	return r;
}

/* Puts what was loaded into the cache, as far as it is still what the store has. */
static void install(struct reading *rd) REQUIRES(rd->stripe->lock);
static void install(struct reading *rd)
{
	struct cache *c = rd->c;
	const struct store_span *span = &rd->loaded;
	struct guard_range all = {rd->range.ino, span->first, span->first + span->count - 1, false};
	struct guard_range attr = {rd->range.ino, 1, 0, true};
	bool quiet = guard_holds(rd->stripe, rd->token, &attr);
	if (quiet && !cache_agree(c, &rd->attr, rd->now))
		return;
	if (span->count > 0 && guard_holds(rd->stripe, rd->token, &all)) {
		int r = blocks_put(c->blocks, all.ino, all.first, span->count, span->blocks,
			rd->now, cache_ttl(c, &rd->attr));
		(void)r; /* not cached, then: the next read asks the store again */
	}
	if (quiet)
		cache_put_attr(c, &rd->attr, rd->now);
}

/* Step 3. False: what was collected and what was loaded may be two states. */
static bool confirm(struct reading *rd)
{
	lock_acquire(&rd->stripe->lock);
	bool one_state = guard_holds(rd->stripe, rd->token, &rd->range);
	if (one_state)
		install(rd);
	lock_release(&rd->stripe->lock);
	bool mixed = rd->found > 0 && rd->version != CACHE_ANY_VERSION &&
		     rd->attr.version != rd->version;
	return one_state && !mixed;
}

/* Makes the answer of what was collected and loaded. False: something is missing all the same. */
static bool combine(struct reading *rd, struct store_span *ret)
{
	const struct store_span *span = &rd->loaded;
	uint32_t asked = (uint32_t)(rd->range.last - rd->range.first + 1);
	uint32_t count = clamp(rd->attr.size, rd->range.first, asked), hits = 0;
	if (count > rd->count)
		return false; /* others made the file longer than the cached attributes had it */
	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = rd->range.first + i - span->first;
		if (rd->blocks[i])
			hits++;
		else if (at < span->count)
			rd->blocks[i] = block_ref(span->blocks[at]);
		else
			return false;
	}
	ret->ttl_left = rd->ttl_left;
	if (span->count > 0 && span->ttl_left < ret->ttl_left)
		ret->ttl_left = span->ttl_left; /* what is below may be a cache as well */
	ret->first = rd->range.first;
	ret->count = count;
	ret->attr = rd->attr;
	memcpy(ret->blocks, rd->blocks, count * sizeof(struct block *));
	memset(rd->blocks, 0, count * sizeof(struct block *)); /* they are the caller's now */
	atomic_fetch_add(&rd->c->hits, hits);
	if (count > hits)
		atomic_fetch_add(&rd->c->misses, count - hits);
	return true;
}

int cache_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	struct cache *c = cache_of(s);
	UNINITIALIZED struct reading rd;
	rd.c = c;
	rd.range = (struct guard_range){ino, first, first + count - 1, false};
	rd.stripe = guard_stripe(c->guard, ino);
	rd.now = cache_now(c);
	rd.count = rd.found = rd.loaded.count = 0;
	rd.loaded.first = 0;

	if (!collect(&rd))
		return read_through(&rd, ret);
	if (!rd.have_attr || rd.found < rd.count || !S_ISREG(rd.attr.mode)) {
		int r = load(&rd);
		if (r < 0) {
			release(&rd);
			return r;
		}
		if (!S_ISREG(rd.attr.mode) || !confirm(&rd))
			return read_through(&rd, ret);
	}
	if (!combine(&rd, ret))
		return read_through(&rd, ret);
	release(&rd);
	return 0;
}

/* Attributes that were loaded enter the cache if no change of them was or is under way since. */
int cache_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	struct cache *c = cache_of(s);
	struct guard_stripe *stripe = guard_stripe(c->guard, ino);
	const struct guard_range range = {ino, 1, 0, true};
	int64_t now = cache_now(c);
	struct store_attr attr;

	lock_acquire(&stripe->lock);
	uint64_t token = stripe->token;
	bool hit = guard_holds(stripe, token, &range) && cache_get_attr(c, ino, now, &attr);
	lock_release(&stripe->lock);
	if (!hit) {
		cache_before_blocking(c);
		int r = store_getattr(c->next, ino, &attr);
		if (r < 0)
			return r;
		lock_acquire(&stripe->lock);
		if (guard_holds(stripe, token, &range) && cache_agree(c, &attr, now))
			cache_put_attr(c, &attr, now);
		lock_release(&stripe->lock);
	}
	*ret = attr;
	return 0;
}

/* Names are not cached; the attributes that come with one are. */
int cache_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	struct cache *c = cache_of(s);
	uint64_t moment = guard_moment(c->guard);
	int64_t now = cache_now(c);
	struct store_attr attr;
	cache_before_blocking(c);
	int r = store_lookup(c->next, parent, name, len, &attr);
	if (r < 0)
		return r;
	const struct guard_range range = {attr.ino, 1, 0, true};
	struct guard_stripe *stripe = guard_stripe(c->guard, attr.ino);
	lock_acquire(&stripe->lock);
	if (guard_moment(c->guard) == moment && guard_holds(stripe, stripe->token, &range) &&
		cache_agree(c, &attr, now))
		cache_put_attr(c, &attr, now);
	lock_release(&stripe->lock);
	*ret = attr;
	return 0;
}
