/* What the kernel must drop of the inodes that it knows, and when. */
#include "inodes_internal.h"

/* How much earlier than expected, in nanoseconds, whoever waits is to look again. */
#define LOOK_AGAIN 1000000

/* Buckets that a walk looks at before it lets others have the lock. */
#define WALK_AT_ONCE 4096

/* Moments of answers, to the next millisecond or so. In 32 bits they come round in 52 days, which
 * makes an inode that was last answered 26 to 52 days ago one that was answered lately. */
static uint32_t tick(int64_t at)
{
	return (uint32_t)((uint64_t)at / INODES_TICK);
}

static bool answered_since(const struct inode *i, int64_t since)
{
	return i->was_answered && (int32_t)(i->answered - tick(since)) >= 0;
}

void inodes_unlink_stale(struct inodes *t, struct details *d)
{
	if (!d->noted)
		return;
	d->noted = false;
	*(d->stale_prev ? &d->stale_prev->stale_next : &t->stale_first) = d->stale_next;
	*(d->stale_next ? &d->stale_next->stale_prev : &t->stale_last) = d->stale_prev;
}

static int64_t drop_time(const struct details *d)
{
	return INODES_DROP_INODE + (int64_t)d->pages * INODES_DROP_PAGE;
}

void inodes_unlink_fill(struct inodes *t, struct details *d)
{
	if (!d->fill.pos)
		return;
	t->drop_time -= drop_time(d);
	d->pages = 0;
	deadlines_remove(&t->fills, &d->fill);
}

/* No file is longer; but of a write that failed for being past that, it may be. */
static int64_t end_of(int64_t offset, int64_t len)
{
	int64_t end;
	return __builtin_add_overflow(offset, len, &end) ? INT64_MAX : end;
}

/* The smallest range that has both. */
static void join_ranges(struct details *d, int64_t offset, int64_t len)
{
	int64_t from = offset < d->stale_offset ? offset : d->stale_offset;
	if (len == 0 || d->stale_len == 0) {
		len = 0;
	} else {
		int64_t end = end_of(offset, len), other = end_of(d->stale_offset, d->stale_len);
		len = (end > other ? end : other) - from;
	}
	d->stale_offset = from;
	d->stale_len = len;
}

/* Needs no memory. */
static void note_all(struct inodes *t, int64_t since)
{
	if (!t->walking || since < t->walk_since)
		t->walk_since = since;
	t->round++;
	t->walking = true;
	t->walk = 0;
}

static void note_stale(struct inodes *t, struct inode *i, int64_t offset, int64_t len)
{
	struct details *d = inodes_need_details(t, i);
	if (!d) {
		note_all(t, INT64_MIN);
		return;
	}
	if (i->link)
		offset = len = 0;
	if (!d->noted) {
		d->noted = true;
		d->stale_entries = false;
		d->stale_offset = offset;
		d->stale_len = len;
		d->stale_next = NULL;
		d->stale_prev = t->stale_last;
		*(t->stale_last ? &t->stale_last->stale_next : &t->stale_first) = d;
		t->stale_last = d;
	} else if (d->stale_offset < 0) {
		d->stale_offset = offset;
		d->stale_len = len;
	} else if (offset >= 0) {
		join_ranges(d, offset, len);
	}
}

/* When the first of what is filled must be handed out, so that all are gone in time. */
static int64_t first_moment(const struct inodes *t)
{
	const struct deadline *d = deadlines_first(&t->fills);
	return d ? d->at - t->drop_time : INT64_MAX;
}

/* Into the heap, if it is not there for an earlier moment. False: no memory. */
static bool add_fill(struct inodes *t, struct details *d, int64_t at)
{
	if (d->fill.pos && d->fill.at <= at)
		return true;
	uint32_t pages = d->pages;
	inodes_unlink_fill(t, d);
	d->fill.at = at;
	if (deadlines_add(&t->fills, &d->fill) < 0)
		return false;
	d->pages = pages;
	t->drop_time += drop_time(d);
	return true;
}

static void add_pages(struct inodes *t, struct details *d, uint64_t pages, uint64_t all)
{
	uint64_t sum = d->pages + pages < all ? d->pages + pages : all;
	if (sum <= d->pages)
		return;
	t->drop_time -= drop_time(d);
	d->pages = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
	t->drop_time += drop_time(d);
}

bool inodes_filled(struct inodes *t, uint64_t ino, int64_t at, uint64_t pages, uint64_t all)
{
	bool look = false;
	struct inode *i = inodes_lock_and_find(t, ino);
	struct details *d = i ? inodes_need_details(t, i) : NULL;
	if (d && add_fill(t, d, at)) {
		add_pages(t, d, pages, all);
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
	struct inode *i = inodes_lock_and_find(t, ino);
	struct details *d = i ? inodes_details(t, i) : NULL;
	bool outdated = d && d->fill.pos && !page_state_agrees(&d->state, version);
	if (outdated)
		note_stale(t, i, 0, 0);
	pthread_mutex_unlock(&t->lock);
	return outdated;
}

void inodes_state(struct inodes *t, uint64_t ino, inodes_state_fn *fn, uint64_t version)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	/* Without memory a change of ours may be taken for one of others, and data is dropped that
	 * need not be. */
	struct details *d = i ? inodes_need_details(t, i) : NULL;
	if (d) {
		fn(&d->state, version);
		inodes_trim(t, i);
	}
	pthread_mutex_unlock(&t->lock);
}

bool inodes_overdue(struct inodes *t, uint64_t ino, int64_t now)
{
	const struct inode *i = inodes_lock_and_find(t, ino);
	const struct details *d = i ? inodes_details(t, i) : NULL;
	bool overdue = d && d->fill.pos && d->fill.at <= now;
	pthread_mutex_unlock(&t->lock);
	return overdue;
}

void inodes_set_stale(struct inodes *t, const struct inodes_stale *stale)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = inodes_find(t, stale->ino);
	if (i) {
		note_stale(t, i, stale->offset, stale->len);
		struct details *d = inodes_details(t, i);
		if (d && d->noted)
			d->stale_entries |= stale->entries;
	}
	pthread_mutex_unlock(&t->lock);
}

void inodes_set_all_stale(struct inodes *t, int64_t since)
{
	pthread_mutex_lock(&t->lock);
	note_all(t, since);
	pthread_mutex_unlock(&t->lock);
}

void inodes_answer(struct inodes *t, uint64_t ino, int64_t now)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	if (i) {
		i->was_answered = 1;
		i->answered = tick(now);
	}
	pthread_mutex_unlock(&t->lock);
}

bool inodes_answered(struct inodes *t, uint64_t ino, int64_t since)
{
	const struct inode *i = inodes_lock_and_find(t, ino);
	bool answered = i && answered_since(i, since);
	pthread_mutex_unlock(&t->lock);
	return answered;
}

/* All its data goes, so what is filled from now on counts anew. */
static void all_goes(struct inodes *t, struct inode *i)
{
	struct details *d = inodes_details(t, i);
	i->round = t->round;
	if (!d)
		return;
	inodes_unlink_fill(t, d);
	d->state.version = 0;
	inodes_trim(t, i);
}

/* Takes the next of the walk, if it comes to one. */
static bool walk_on(struct inodes *t, struct inodes_stale *ret)
{
	size_t end = t->walk + WALK_AT_ONCE;
	for (; t->walk < (size_t)1 << t->bits && t->walk < end; t->walk++) {
		for (struct inode *i = inodes_at(t, t->buckets[t->walk]); i;
			i = inodes_at(t, i->next)) {
			const struct details *d = inodes_details(t, i);
			if (i->round == t->round ||
				(t->walk_since != INT64_MIN && !answered_since(i, t->walk_since)))
				continue;
			*ret = (struct inodes_stale){i->ino, 0, 0, d && d->orphan && d->nopen == 0};
			all_goes(t, i);
			return true;
		}
	}
	t->walking = t->walk < (size_t)1 << t->bits;
	return false;
}

static struct inodes_stale take_stale(struct inodes *t)
{
	struct details *d = t->stale_first;
	struct inode *i = d->inode;
	const struct inodes_stale s = {i->ino, d->stale_offset, d->stale_len,
		d->stale_entries || (d->orphan && d->nopen == 0)};
	inodes_unlink_stale(t, d);
	if (s.offset == 0 && s.len == 0)
		all_goes(t, i);
	else
		inodes_trim(t, i);
	return s;
}

bool inodes_next_stale(struct inodes *t, int64_t now, struct inodes_stale *ret, int64_t *ret_next)
{
	bool found = false, go_on = true;
	while (go_on) {
		pthread_mutex_lock(&t->lock);
		if (first_moment(t) <= now) {
			const struct details *first =
				CONTAINER_OF(deadlines_first(&t->fills), struct details, fill);
			note_stale(t, first->inode, 0, 0);
		}
		found = t->stale_first;
		if (found)
			*ret = take_stale(t);
		else if (t->walking)
			found = walk_on(t, ret);
		go_on = !found && t->walking;
		if (!found)
			*ret_next = t->told = first_moment(t);
		pthread_mutex_unlock(&t->lock);
	}
	return found;
}
