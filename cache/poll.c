/*
 * What others have changed in the store leaves the cache.
 *
 *   event       out of the cache
 *   ATTR, GONE  the inode's attributes
 *   NAME        the directory's attributes; names are not cached
 *   DATA        the blocks named, and the inode's attributes
 *   ALL         everything
 */
#include "internal.h"

void cache_drop(struct cache *c, const struct guard_range *range)
{
	struct guard_intent intent = {.range = *range};
	guard_begin_drop(c->guard, &intent);
	do {
		if (range->first <= range->last)
			blocks_drop(c->blocks, range->ino, range->first, range->last);
		if (range->attr)
			cache_tell_attr(c, range->ino);
	} while (!guard_end(c->guard, &intent));
}

void cache_drop_all(struct cache *c)
{
	guard_forget(c->guard); /* first: a fill before this is dropped, one after it is refused */
	blocks_drop_all(c->blocks);
}

struct polling {
	struct cache *cache;
	store_event_fn *fn;
	void *arg;
};

static void drop(struct cache *c, const struct store_event *event)
{
	switch (event->kind) {
	case STORE_EVENT_ATTR:
	case STORE_EVENT_NAME:
	case STORE_EVENT_GONE:
		cache_drop(c, &(struct guard_range){event->ino, 1, 0, true});
		return;
	case STORE_EVENT_DATA:
		cache_drop(c, &(struct guard_range){event->ino, event->first,
				      event->last < BLOCKS_LAST ? event->last : BLOCKS_LAST, true});
		return;
	case STORE_EVENT_ALL:
		cache_drop_all(c);
		return;
	}
}

static bool drop_and_tell(void *arg, const struct store_event *event)
{
	const struct polling *p = arg;
	if (!p->cache->cfg.blind)
		drop(p->cache, event);
	else if (event->kind != STORE_EVENT_GONE)
		return false;
	return p->fn(p->arg, event);
}

int cache_poll(struct store *s, store_event_fn *fn, void *arg)
{
	struct polling p = {cache_of(s), fn, arg};
	cache_before_blocking(p.cache);
	return store_poll(p.cache->next, drop_and_tell, &p);
}
