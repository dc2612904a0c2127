/*
 * The pool of connections that read.
 *
 * One costs SQ_READER_CACHE of pages at most, and about 400 KiB for the schema, which each
 * connection parses for itself. So there are SQ_READERS_MAX of them and no more: who comes when all
 * are in use waits for one, in no order. That no two who wait for each other can do so for ever,
 * nobody waits longer than PATIENCE_NS; then there is one more, for that one read.
 */

#include "sqlite_internal.h"

#include <errno.h>

#define PATIENCE_NS 200000000LL

/*
 * The reader of a snapshot: taken out when nobody else uses it, and never given up, since another
 * one would see another moment.
 */
static struct sq_conn *take_snapshot(struct sqlite_store *s)
{
	pthread_mutex_lock(&s->pool);
	s->pool_waiting++;
	struct sq_conn *c;
	while (!(c = s->idle))
		pthread_cond_wait(&s->pool_free, &s->pool);
	s->pool_waiting--;
	s->idle = NULL;
	pthread_mutex_unlock(&s->pool);
	return c;
}

int sq_snapshot_begin(struct sqlite_store *s)
{
	struct sq_conn *c;
	int64_t pages;
	int r = sq_conn_open(s, &c);
	if (r < 0)
		return r;
	r = sq_exec(sq_query(c, SQ_BEGIN, ""));
	if (r == 0) /* a transaction begins with its first read */
		r = sq_scalar(sq_query(c, SQ_PAGE_COUNT, ""), &pages);
	if (r < 0) {
		sq_conn_close(c);
		return r;
	}
	s->idle = c;
	s->readers = 1;
	return 0;
}

/* Takes an idle reader, or leave to open one (NULL). */
static struct sq_conn *take(struct sqlite_store *s)
{
	pthread_mutex_lock(&s->pool);
	/* What is at the path is not the store. */
	unsigned max = !s->idle && s->readers && sq_misplaced(s) ? 1 : SQ_READERS_MAX;
	if (!s->idle && s->readers >= max) {
		int64_t at = sq_now() + PATIENCE_NS;
		struct timespec until = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
		int rc = 0;
		s->pool_waiting++;
		while (!s->idle && s->readers >= max && rc != ETIMEDOUT)
			rc = pthread_cond_timedwait(&s->pool_free, &s->pool, &until);
		s->pool_waiting--;
	}
	struct sq_conn *c = s->idle;
	if (c)
		s->idle = c->next;
	else
		s->readers++;
	pthread_mutex_unlock(&s->pool);
	return c;
}

static void wake(struct sqlite_store *s)
{
	if (s->pool_waiting)
		pthread_cond_signal(&s->pool_free);
}

/* A reader is gone, or could not be opened. */
static void gone(struct sqlite_store *s)
{
	pthread_mutex_lock(&s->pool);
	s->readers--;
	wake(s);
	pthread_mutex_unlock(&s->pool);
}

/* Gives a reader back. False: it is one too many. */
static bool give_back(struct sqlite_store *s, struct sq_conn *c)
{
	pthread_mutex_lock(&s->pool);
	bool kept = s->readers <= SQ_READERS_MAX;
	if (kept) {
		c->next = s->idle;
		s->idle = c;
		wake(s);
	}
	pthread_mutex_unlock(&s->pool);
	return kept;
}

static int begin_in_snapshot(struct sqlite_store *s, struct sq_conn **ret)
{
	struct sq_conn *c = take_snapshot(s);
	c->ticks = 0; /* they count for each call, not for all of them */
	atomic_fetch_add(&s->reads, 1);
	*ret = c;
	return 0;
}

int sq_read_begin(struct sqlite_store *s, struct sq_conn **ret)
{
	if (s->snapshot)
		return begin_in_snapshot(s, ret);
	struct sq_conn *c = take(s);
	int r = 0;
	if (!c)
		r = sq_misplaced(s) ? sq_errno(SQLITE_IOERR_VNODE) : sq_conn_open(s, &c);
	if (r < 0) {
		gone(s);
		return r;
	}
	atomic_fetch_add(&s->reads, 1);
	r = sq_exec(sq_query(c, SQ_BEGIN, ""));
	if (r < 0) {
		atomic_fetch_add(&s->failures, 1);
		sq_conn_close(c);
		gone(s);
		return r;
	}
	*ret = c;
	return 0;
}

void sq_read_end(struct sqlite_store *s, struct sq_conn *c)
{
	if (!c)
		return;
	if (s->snapshot) {
		IGNORE(give_back(s, c)); /* it is the only one */
		return;
	}
	/* Whatever is wrong with one that fails here, the next one is new. */
	if (sq_exec(sq_query(c, SQ_COMMIT, "")) == 0 && give_back(s, c))
		return;
	sq_conn_close(c);
	gone(s);
}

void sq_readers_close(struct sqlite_store *s)
{
	while (s->idle) {
		struct sq_conn *c = s->idle;
		s->idle = c->next;
		sq_conn_close(c);
		s->readers--;
	}
}
