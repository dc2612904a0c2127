/*
 * The options that can be changed while the mount is in use, as they are now: cache_size,
 * cache_ttl, sync and on_cache_error.
 */
#pragma once

#include "options.h"

#include "cache/store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct settings {
	pthread_mutex_t changing; /* of who changes them; held while the store does, and no other */
	pthread_mutex_t lock;	  /* over `now`, a leaf */
	struct options now;	  /* its strings are those of the options it began with */
	/* Those of `now`, for who asks often; without the lock. */
	_Atomic int64_t cache_ttl_ns;
	_Atomic enum options_sync sync;
};

/* As the mount was asked for; `o` must stay. */
void settings_init(struct settings *s, const struct options *o) NONNULL(1, 2);
void settings_destroy(struct settings *s) NONNULL(1);

/* A copy, to look at. */
struct options settings_get(struct settings *s) MUST_CHECK NONNULL(1);

static inline int64_t settings_ttl(const struct settings *s)
{
	return atomic_load_explicit(&s->cache_ttl_ns, memory_order_relaxed);
}

/* Is a write flushed before it is answered? `asked`: its handle was opened with O_SYNC or O_DSYNC.
 */
static inline bool settings_flushes(const struct settings *s, bool asked)
{
	enum options_sync sync = atomic_load_explicit(&s->sync, memory_order_relaxed);
	return sync == OPTIONS_SYNC_ALWAYS || (asked && sync != OPTIONS_SYNC_DISABLED);
}

/*
 * Changes them, as options_change() has it, here and in the stack of stores. *ret_before: what they
 * were. 0, or a negative errno with a line in errmsg, and nothing has changed: -EINVAL: text makes
 * no sense; or those of stack_set(). May wait for a commit and a flush.
 */
int settings_change(struct settings *s, struct store *store, const char *text,
	struct options *ret_before, char *errmsg, size_t errmsg_size) MUST_CHECK
	NONNULL(1, 2, 3, 4, 5);
