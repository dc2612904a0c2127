/*
 * A hash table of entries, chained. An entry lives while nlookup > 0 or nopen > 0. It is
 *   - in the heap `fills` while the kernel may have data of it that was filled by a read,
 *   - in the list `stale` while a note on it waits for the notifier.
 */
#include "inodes.h"

#include "cache/store/store.h"
#include "deadlines.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct inode {
	struct inode *next; /* in the chain */
	uint64_t ino;
	uint64_t nlookup;
	uint32_t nopen;
	bool orphan;
	bool suid;
	bool noted; /* in the list `stale` */
	struct deadline fill;
	struct inode *stale_next, *stale_prev;
	int64_t stale_offset, stale_len;
};

struct inodes {
	pthread_mutex_t lock; /* over all below; a leaf */
	struct inode **buckets;
	unsigned bits; /* 1 << bits buckets */
	size_t n;
	struct deadlines fills;
	struct inode *stale_first, *stale_last;
};

static struct inode **bucket(const struct inodes *t, uint64_t ino)
{
	return &t->buckets[(ino * 0x9E3779B97F4A7C15u) >> (64 - t->bits)];
}

static struct inode *find(const struct inodes *t, uint64_t ino)
{
	struct inode *i = *bucket(t, ino);
	while (i && i->ino != ino)
		i = i->next;
	return i;
}

/* Without memory the chains just grow longer. */
static void grow(struct inodes *t)
{
	struct inodes bigger = {.bits = t->bits + 1};
	bigger.buckets = calloc((size_t)1 << bigger.bits, sizeof(struct inode *));
	if (!bigger.buckets)
		return;
	for (size_t b = 0; b < (size_t)1 << t->bits; b++) {
		struct inode *next;
		for (struct inode *i = t->buckets[b]; i; i = next) {
			next = i->next;
			struct inode **to = bucket(&bigger, i->ino);
			i->next = *to;
			*to = i;
		}
	}
	free(t->buckets);
	t->buckets = bigger.buckets;
	t->bits = bigger.bits;
}

static struct inode *find_or_add(struct inodes *t, uint64_t ino)
{
	struct inode *i = find(t, ino);
	if (i)
		return i;
	i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	i->ino = ino;
	if (t->n++ >> t->bits)
		grow(t);
	struct inode **to = bucket(t, ino);
	i->next = *to;
	*to = i;
	return i;
}

static void unlink_stale(struct inodes *t, struct inode *i)
{
	if (!i->noted)
		return;
	i->noted = false;
	*(i->stale_prev ? &i->stale_prev->stale_next : &t->stale_first) = i->stale_next;
	*(i->stale_next ? &i->stale_next->stale_prev : &t->stale_last) = i->stale_prev;
}

/* Drops the entry if nobody uses it. True: it was an orphan. */
static bool settle(struct inodes *t, struct inode *i)
{
	if (i->nlookup || i->nopen)
		return false;
	struct inode **link = bucket(t, i->ino);
	while (*link != i)
		link = &(*link)->next;
	*link = i->next;
	t->n--;
	deadlines_remove(&t->fills, &i->fill);
	unlink_stale(t, i);
	bool orphan = i->orphan;
	free(i);
	return orphan;
}

int inodes_new(struct inodes **ret)
{
	struct inodes *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->bits = 10;
	t->buckets = calloc((size_t)1 << t->bits, sizeof(struct inode *));
	if (!t->buckets || inodes_lookup(t, STORE_ROOT_INO) < 0) {
		inodes_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct inodes *inodes_free(struct inodes *t)
{
	if (!t)
		return NULL;
	for (size_t b = 0; t->buckets && b < (size_t)1 << t->bits; b++) {
		struct inode *next;
		for (struct inode *i = t->buckets[b]; i; i = next) {
			next = i->next;
			free(i);
		}
	}
	free(t->buckets);
	deadlines_fini(&t->fills);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

int inodes_lookup(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find_or_add(t, ino);
	if (i)
		i->nlookup++;
	pthread_mutex_unlock(&t->lock);
	return i ? 0 : -ENOMEM;
}

bool inodes_forget(struct inodes *t, uint64_t ino, uint64_t n)
{
	bool reap = false;
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	/* The kernel counts as we do; a forget of the root at the end of a mount is the exception.
	 */
	if (i && ino != STORE_ROOT_INO) {
		i->nlookup -= n < i->nlookup ? n : i->nlookup;
		reap = settle(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return reap;
}

int inodes_open(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find_or_add(t, ino);
	if (i)
		i->nopen++;
	pthread_mutex_unlock(&t->lock);
	return i ? 0 : -ENOMEM;
}

bool inodes_close(struct inodes *t, uint64_t ino)
{
	bool reap = false;
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	if (i) {
		assert(i->nopen > 0);
		i->nopen--;
		reap = settle(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return reap;
}

bool inodes_set_orphan(struct inodes *t, uint64_t ino, bool orphan)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	if (i)
		i->orphan = orphan;
	pthread_mutex_unlock(&t->lock);
	return !i && orphan;
}

size_t inodes_take_orphans(struct inodes *t, uint64_t *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&t->lock);
	for (size_t b = 0; b < (size_t)1 << t->bits; b++) {
		for (struct inode *i = t->buckets[b]; i && n < max; i = i->next) {
			if (i->orphan) {
				i->orphan = false;
				ret[n++] = i->ino;
			}
		}
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

void inodes_note_suid(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	if (i)
		i->suid = true;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_take_suid(struct inodes *t, uint64_t ino)
{
	bool suid = false;
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	if (i) {
		suid = i->suid;
		i->suid = false;
	}
	pthread_mutex_unlock(&t->lock);
	return suid;
}

static void note_stale(struct inodes *t, struct inode *i, int64_t offset, int64_t len)
{
	if (!i->noted) {
		i->noted = true;
		i->stale_offset = offset;
		i->stale_len = len;
		i->stale_next = NULL;
		i->stale_prev = t->stale_last;
		*(t->stale_last ? &t->stale_last->stale_next : &t->stale_first) = i;
		t->stale_last = i;
	} else if (i->stale_offset < 0) {
		i->stale_offset = offset;
		i->stale_len = len;
	} else if (offset >= 0 && (offset != i->stale_offset || len != i->stale_len)) {
		i->stale_offset = 0;
		i->stale_len = 0;
	}
}

bool inodes_filled(struct inodes *t, uint64_t ino, int64_t at)
{
	bool first = false;
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, ino);
	if (i && (!i->fill.pos || at < i->fill.at)) {
		deadlines_remove(&t->fills, &i->fill);
		i->fill.at = at;
		if (deadlines_add(&t->fills, &i->fill) < 0) {
			/* No memory to remember it: then it goes at once. */
			note_stale(t, i, 0, 0);
			first = true;
		} else {
			first = deadlines_first(&t->fills) == &i->fill;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return first;
}

void inodes_set_stale(struct inodes *t, const struct inodes_stale *stale)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, stale->ino);
	if (i)
		note_stale(t, i, stale->offset, stale->len);
	pthread_mutex_unlock(&t->lock);
}

bool inodes_next_stale(struct inodes *t, int64_t now, struct inodes_stale *ret, int64_t *ret_next)
{
	pthread_mutex_lock(&t->lock);
	struct deadline *d = deadlines_first(&t->fills);
	if (d && d->at <= now)
		note_stale(t, CONTAINER_OF(d, struct inode, fill), 0, 0);
	struct inode *i = t->stale_first;
	if (i) {
		*ret = (struct inodes_stale){i->ino, i->stale_offset, i->stale_len};
		unlink_stale(t, i);
		/* All its data goes, so what is filled from now on counts anew. */
		if (ret->offset == 0 && ret->len == 0)
			deadlines_remove(&t->fills, &i->fill);
	} else {
		*ret_next = d ? d->at : INT64_MAX;
	}
	pthread_mutex_unlock(&t->lock);
	return i;
}

size_t inodes_count(struct inodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}
