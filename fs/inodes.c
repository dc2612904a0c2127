/*
 * A hash table of entries, chained. An entry lives while nlookup > 0 or nopen > 0. It is
 *   - in the heap `fills` while the kernel may have data of it that was filled by a read,
 *   - in the list `stale` while a note on it waits for the notifier.
 * When all are stale, `walk` says where in the table the next is looked for. Those that are handed
 * out, or come in, have round == t->round; the others are still to be.
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
	bool link;
	bool noted;	  /* in the list `stale` */
	uint32_t round;	  /* of inodes_set_all_stale() that it has been handed out for */
	uint32_t pages;	  /* while in `fills`: that the kernel may have of it */
	int64_t answered; /* when it last was, see inodes_answer(); INT64_MIN: never */
	struct deadline fill;
	struct page_state state; /* of the data, while in `fills` */
	struct inode *stale_next, *stale_prev;
	int64_t stale_offset, stale_len;
};

struct inodes {
	pthread_mutex_t lock; /* over all below; a leaf */
	struct inode **buckets;
	unsigned bits; /* 1 << bits buckets */
	size_t n;
	size_t orphans; /* so many of them */
	struct deadlines fills;
	int64_t drop_time; /* that the kernel needs to drop all that is in `fills` */
	int64_t told;	   /* when whoever waits will look again, if not called before */
	struct inode *stale_first, *stale_last;
	uint32_t round;
	bool walking;
	int64_t walk_since; /* only those answered since then */
	size_t walk;	    /* bucket */
};

/* How much earlier than expected, in nanoseconds, whoever waits is to look again. */
#define LOOK_AGAIN 1000000

/* Buckets that a walk looks at before it lets others have the lock. */
#define WALK_AT_ONCE 4096

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

static struct inode *lock_and_find(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	return find(t, ino);
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
	t->walk = 0; /* again from the start, past those that have been handed out */
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
	i->round = t->round;
	i->answered = INT64_MIN;
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

static int64_t drop_time(const struct inode *i)
{
	return INODES_DROP_INODE + (int64_t)i->pages * INODES_DROP_PAGE;
}

static void unlink_fill(struct inodes *t, struct inode *i)
{
	if (!i->fill.pos)
		return;
	t->drop_time -= drop_time(i);
	i->pages = 0;
	deadlines_remove(&t->fills, &i->fill);
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
	unlink_fill(t, i);
	unlink_stale(t, i);
	bool orphan = i->orphan;
	t->orphans -= orphan;
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
	t->told = INT64_MAX;
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
	struct inode *i = lock_and_find(t, ino);
	/* The kernel counts as we do; but it forgets the root at the end of a mount. */
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
	struct inode *i = lock_and_find(t, ino);
	if (i) {
		assert(i->nopen > 0);
		i->nopen--;
		reap = settle(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return reap;
}

static void set_orphan(struct inodes *t, struct inode *i, bool orphan)
{
	if (orphan && !i->orphan)
		t->orphans++;
	else if (!orphan && i->orphan)
		t->orphans--;
	i->orphan = orphan;
}

bool inodes_set_orphan(struct inodes *t, uint64_t ino, bool orphan)
{
	struct inode *i = lock_and_find(t, ino);
	if (i)
		set_orphan(t, i, orphan);
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
				set_orphan(t, i, false);
				ret[n++] = i->ino;
			}
		}
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

size_t inodes_idle_orphans(struct inodes *t, uint64_t *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&t->lock);
	for (size_t b = 0; t->orphans > 0 && b < (size_t)1 << t->bits; b++)
		for (const struct inode *i = t->buckets[b]; i && n < max; i = i->next)
			if (i->orphan && i->nopen == 0)
				ret[n++] = i->ino;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void inodes_note_suid(struct inodes *t, uint64_t ino)
{
	struct inode *i = lock_and_find(t, ino);
	if (i)
		i->suid = true;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_take_suid(struct inodes *t, uint64_t ino)
{
	struct inode *i = lock_and_find(t, ino);
	bool suid = i && i->suid;
	if (suid)
		i->suid = false;
	pthread_mutex_unlock(&t->lock);
	return suid;
}

void inodes_note_link(struct inodes *t, uint64_t ino)
{
	struct inode *i = lock_and_find(t, ino);
	if (i)
		i->link = true;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_known(struct inodes *t, uint64_t ino)
{
	bool known = lock_and_find(t, ino);
	pthread_mutex_unlock(&t->lock);
	return known;
}

/* The smallest range that has both. */
static void join_ranges(struct inode *i, int64_t offset, int64_t len)
{
	int64_t from = offset < i->stale_offset ? offset : i->stale_offset;
	if (len == 0 || i->stale_len == 0) {
		len = 0;
	} else {
		int64_t end = offset + len, other = i->stale_offset + i->stale_len;
		len = (end > other ? end : other) - from;
	}
	i->stale_offset = from;
	i->stale_len = len;
}

static void note_stale(struct inodes *t, struct inode *i, int64_t offset, int64_t len)
{
	if (i->link)
		offset = len = 0;
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
	} else if (offset >= 0) {
		join_ranges(i, offset, len);
	}
}

/* When the first of what is filled must be handed out, so that all are gone in time. */
static int64_t first_moment(const struct inodes *t)
{
	const struct deadline *d = deadlines_first(&t->fills);
	return d ? d->at - t->drop_time : INT64_MAX;
}

/* Into the heap, if it is not there for an earlier moment. False: no memory. */
static bool add_fill(struct inodes *t, struct inode *i, int64_t at)
{
	if (i->fill.pos && i->fill.at <= at)
		return true;
	uint32_t pages = i->pages;
	unlink_fill(t, i);
	i->fill.at = at;
	if (deadlines_add(&t->fills, &i->fill) < 0)
		return false;
	i->pages = pages;
	t->drop_time += drop_time(i);
	return true;
}

static void add_pages(struct inodes *t, struct inode *i, uint64_t pages, uint64_t all)
{
	uint64_t sum = i->pages + pages < all ? i->pages + pages : all;
	if (sum <= i->pages)
		return;
	t->drop_time -= drop_time(i);
	i->pages = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
	t->drop_time += drop_time(i);
}

bool inodes_filled(struct inodes *t, uint64_t ino, int64_t at, uint64_t pages, uint64_t all)
{
	bool look = false;
	struct inode *i = lock_and_find(t, ino);
	if (i && add_fill(t, i, at)) {
		add_pages(t, i, pages, all);
		/* Each fill makes the moment a little earlier: that alone is not worth a call. */
		int64_t moment = first_moment(t);
		look = moment < t->told - LOOK_AGAIN;
		if (look)
			t->told = moment;
	} else if (i) {
		/* No memory to remember it: then it goes at once. */
		note_stale(t, i, 0, 0);
		look = true;
	}
	pthread_mutex_unlock(&t->lock);
	return look;
}

bool inodes_show(struct inodes *t, uint64_t ino, uint64_t version)
{
	struct inode *i = lock_and_find(t, ino);
	bool outdated = i && i->fill.pos && !page_state_agrees(&i->state, version);
	if (outdated)
		note_stale(t, i, 0, 0);
	pthread_mutex_unlock(&t->lock);
	return outdated;
}

void inodes_state(struct inodes *t, uint64_t ino, inodes_state_fn *fn, uint64_t version)
{
	struct inode *i = lock_and_find(t, ino);
	if (i)
		fn(&i->state, version);
	pthread_mutex_unlock(&t->lock);
}

bool inodes_overdue(struct inodes *t, uint64_t ino, int64_t now)
{
	const struct inode *i = lock_and_find(t, ino);
	bool overdue = i && i->fill.pos && i->fill.at <= now;
	pthread_mutex_unlock(&t->lock);
	return overdue;
}

void inodes_set_stale(struct inodes *t, const struct inodes_stale *stale)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find(t, stale->ino);
	if (i)
		note_stale(t, i, stale->offset, stale->len);
	pthread_mutex_unlock(&t->lock);
}

void inodes_set_all_stale(struct inodes *t, int64_t since)
{
	pthread_mutex_lock(&t->lock);
	if (!t->walking || since < t->walk_since)
		t->walk_since = since;
	t->round++;
	t->walking = true;
	t->walk = 0;
	pthread_mutex_unlock(&t->lock);
}

void inodes_answer(struct inodes *t, uint64_t ino, int64_t now)
{
	struct inode *i = lock_and_find(t, ino);
	if (i)
		i->answered = now;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_answered(struct inodes *t, uint64_t ino, int64_t since)
{
	const struct inode *i = lock_and_find(t, ino);
	bool answered = i && i->answered >= since;
	pthread_mutex_unlock(&t->lock);
	return answered;
}

/* Notes the next of the walk, if it comes to one. */
static void walk_on(struct inodes *t)
{
	size_t end = t->walk + WALK_AT_ONCE;
	for (; t->walk < (size_t)1 << t->bits && t->walk < end; t->walk++) {
		for (struct inode *i = t->buckets[t->walk]; i; i = i->next) {
			if (i->round != t->round && i->answered >= t->walk_since) {
				note_stale(t, i, 0, 0);
				return;
			}
		}
	}
	t->walking = t->walk < (size_t)1 << t->bits;
}

static struct inodes_stale take_stale(struct inodes *t)
{
	struct inode *i = t->stale_first;
	const struct inodes_stale s = {
		i->ino, i->stale_offset, i->stale_len, i->orphan && i->nopen == 0};
	unlink_stale(t, i);
	if (s.offset == 0 && s.len == 0) {
		/* All its data goes, so what is filled from now on counts anew. */
		unlink_fill(t, i);
		i->state.version = 0;
		i->round = t->round;
	}
	return s;
}

bool inodes_next_stale(struct inodes *t, int64_t now, struct inodes_stale *ret, int64_t *ret_next)
{
	bool found = false, go_on = true;
	while (go_on) {
		pthread_mutex_lock(&t->lock);
		if (first_moment(t) <= now)
			note_stale(t, CONTAINER_OF(deadlines_first(&t->fills), struct inode, fill),
				0, 0);
		if (!t->stale_first && t->walking)
			walk_on(t);
		found = t->stale_first;
		go_on = !found && t->walking;
		if (found)
			*ret = take_stale(t);
		else
			*ret_next = t->told = first_moment(t);
		pthread_mutex_unlock(&t->lock);
	}
	return found;
}

size_t inodes_count(struct inodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}
