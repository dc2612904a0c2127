#include "renames.h"

#include "cache/store/store.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RENAMES_MAX 256u /* remembered; a power of two */

/* The news is here long before this, in nanoseconds: the watcher looks every second at least. */
#define TOO_LATE ((int64_t)3000000000)

struct renamed {
	int64_t at;
	uint64_t old; /* hash of where it was; 0: empty */
	uint64_t parent;
	size_t len;
	char name[STORE_NAME_MAX];
};

struct renames {
	pthread_mutex_t lock; /* over all below */
	unsigned next;	      /* ring[next % RENAMES_MAX] is the oldest */
	struct renamed ring[RENAMES_MAX];
};

int renames_new(struct renames **ret)
{
	struct renames *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

struct renames *renames_free(struct renames *r)
{
	if (r)
		pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

/* FNV-1a; two names with one hash cost a look-up too many. Never 0. */
static uint64_t hash(uint64_t parent, const char *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u ^ (parent * 0x9E3779B97F4A7C15u);
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	return h | 1;
}

/* With the lock held. */
static void add(struct renames *r, int64_t now, uint64_t from, const struct change_name *name,
	uint64_t to, const struct change_name *new_name)
{
	struct renamed *e = &r->ring[r->next++ % RENAMES_MAX];
	if (new_name->len > sizeof e->name)
		return; /* the store will not have it */
	e->at = now;
	e->old = hash(from, name->bytes, name->len);
	e->parent = to;
	e->len = new_name->len;
	memcpy(e->name, new_name->bytes, new_name->len);
}

void renames_add(struct renames *r, const struct change_rename *rename, int64_t now)
{
	pthread_mutex_lock(&r->lock);
	add(r, now, rename->parent, &rename->name, rename->new_parent, &rename->new_name);
	if (rename->flags & RENAME_EXCHANGE)
		add(r, now, rename->new_parent, &rename->new_name, rename->parent, &rename->name);
	pthread_mutex_unlock(&r->lock);
}

bool renames_find(struct renames *r, uint64_t parent, const struct change_name *name, int64_t now,
	renames_fn *fn, void *arg)
{
	pthread_mutex_lock(&r->lock);
	const struct renamed *oldest = &r->ring[r->next % RENAMES_MAX];
	bool all_there = !oldest->old || oldest->at < now - TOO_LATE;
	uint64_t where = hash(parent, name->bytes, name->len);
	for (unsigned i = 0; i < RENAMES_MAX; i++) { /* in the order in which they were made */
		const struct renamed *e = &r->ring[(r->next + i) % RENAMES_MAX];
		if (!e->old || e->at < now - TOO_LATE || e->old != where)
			continue;
		fn(arg, e->parent, &(struct change_name){e->name, e->len});
		where = hash(e->parent, e->name, e->len); /* it may have been moved on */
	}
	pthread_mutex_unlock(&r->lock);
	return all_there;
}
