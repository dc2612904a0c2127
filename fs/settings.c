#include "settings.h"

#include "stack.h"

#include <stdio.h>
#include <string.h>

void settings_init(struct settings *s, const struct options *o)
{
	pthread_mutex_init(&s->changing, NULL);
	pthread_mutex_init(&s->lock, NULL);
	s->now = *o;
	atomic_init(&s->cache_ttl_ns, o->cache_ttl_ns);
	atomic_init(&s->sync, o->sync);
}

void settings_destroy(struct settings *s)
{
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->changing);
}

struct options settings_get(struct settings *s)
{
	pthread_mutex_lock(&s->lock);
	struct options now = s->now;
	pthread_mutex_unlock(&s->lock);
	return now;
}

static void put(struct settings *s, const struct options *to)
{
	pthread_mutex_lock(&s->lock);
	s->now = *to;
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->cache_ttl_ns, to->cache_ttl_ns);
	atomic_store(&s->sync, to->sync);
}

int settings_change(struct settings *s, struct store *store, const char *text,
	struct options *ret_before, char *errmsg, size_t errmsg_size)
{
	pthread_mutex_lock(&s->changing);
	struct options before = settings_get(s), to = before;
	int r = options_change(&to, text, errmsg, errmsg_size);
	if (r == 0) {
		r = stack_set(store, &to);
		if (r < 0)
			snprintf(errmsg, errmsg_size, "nothing was changed: %s", strerror(-r));
	}
	if (r == 0) {
		put(s, &to);
		*ret_before = before;
	}
	pthread_mutex_unlock(&s->changing);
	return r;
}
