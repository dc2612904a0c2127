/*
 * What others have changed: other mounts of the store, and SQL clients. They say so in the change
 * log (sqlite_changelog.c).
 *
 *   nobody has committed since      nothing; that is all that an idle poll asks
 *   rows after the last one told    an event each, but for our own
 *   rows have gone that we had      EVENT_ALL, and EVENT_GONE for each orphan that is not ours; so
 *   not read; a row is damaged      it is with a row that makes no sense
 *   EVENT_GONE was told             the inodes that are in use here get a row of ours in table
 *                                   orphan, and mount.seen says up to where we have answered, in
 *                                   one transaction. If that fails, the next poll tells of all
 *                                   orphans that are not ours, and so answers for all.
 *
 * Nobody knows of a read-only mount, since it is not entered in table mount. It reads what SQL
 * clients log; but where a mount is, or was since the last time, it has to take it that anything
 * has changed. It can claim nothing either, so it is not told that inodes are gone, only that their
 * attributes have changed.
 *
 * The log is read in slices, each in a transaction of its own, so that none of them lasts long and
 * what is claimed is bounded. What changes between them comes with a later one.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <string.h>

/* Rows of the log, or orphans, of one transaction. */
#define SLICE 256

/* How long a claim waits for other writers: while it does, nothing is told. The next poll tries
 * again, and nothing is lost but the time until space is given back. */
#define CLAIM_WAIT_NS 20000000LL

struct telling {
	struct sqlite_store *s;
	store_event_fn *fn;
	void *arg;
	int events;
	int64_t version; /* of the database, in the last slice */
	bool to_answer;	 /* this slice tells of inodes that are gone */
	unsigned n_used;
	uint64_t used[SLICE]; /* of those, the ones that are in use here */
};

static bool say(struct telling *t, const struct store_event *event)
{
	t->events++;
	/* What was made or deleted with SQL, or by a peer; sqlite_store.c. */
	if (event->kind != STORE_EVENT_DATA)
		atomic_store(&t->s->inodes_stale, true);
	return t->fn(t->arg, event);
}

/* Everything up to row `id` is told with this. */
static void say_all(struct telling *t, int64_t id)
{
	struct sqlite_store *s = t->s;
	(void)say(t, &(struct store_event){.kind = STORE_EVENT_ALL});
	s->told = id;
	s->gone_due = !s->readonly;
}

static void say_gone(struct telling *t, uint64_t ino)
{
	struct store_event event = {.kind = STORE_EVENT_GONE, .ino = ino};
	t->to_answer = true;
	if (say(t, &event))
		t->used[t->n_used++] = ino;
}

/* The inode's number in column 3; 0: damaged. */
static uint64_t column_ino(sqlite3_stmt *st)
{
	int64_t ino = sqlite3_column_int64(st, 3);
	return ino > 0 && (uint64_t)ino <= SQ_INO_MAX ? (uint64_t)ino : 0;
}

static bool data_columns(sqlite3_stmt *st, struct store_event *event)
{
	int64_t first = sqlite3_column_int64(st, 4), last = sqlite3_column_int64(st, 5);
	const int64_t end = ((int64_t)1 << SQ_BLOCK_BITS) - 1;
	bool open = sqlite3_column_type(st, 5) == SQLITE_NULL || last >= end;
	event->kind = STORE_EVENT_DATA;
	event->first = (uint64_t)first;
	event->last = open ? UINT64_MAX : (uint64_t)last;
	return first >= 0 && (open || last >= first);
}

static bool name_column(sqlite3_stmt *st, struct store_event *event)
{
	const char *bytes = sqlite3_column_blob(st, 6);
	size_t len = (size_t)sqlite3_column_bytes(st, 6);
	event->kind = STORE_EVENT_NAME;
	event->name = (struct change_name){.bytes = bytes, .len = len};
	return bytes && len > 0 && len <= STORE_NAME_MAX && !memchr(bytes, '/', len) &&
	       !memchr(bytes, '\0', len);
}

/* The row that SQ_LOG_AFTER is on. False: it makes no sense. */
static bool tell_row(struct telling *t, sqlite3_stmt *st)
{
	struct store_event event = {.kind = STORE_EVENT_ATTR, .ino = column_ino(st)};
	bool own = t->s->mount && sqlite3_column_int64(st, 1) == t->s->mount;
	int64_t kind = sqlite3_column_int64(st, 2);
	if (kind == SQ_LOG_ENTERED)
		return !t->s->readonly;
	if (own) {
		t->to_answer |= kind == SQ_LOG_GONE;
		return true;
	}
	if (event.ino == 0 || kind < SQ_LOG_ATTR || kind > SQ_LOG_GONE)
		return false;
	if (kind == SQ_LOG_DATA && !data_columns(st, &event))
		return false;
	if (kind == SQ_LOG_NAME && !name_column(st, &event))
		return false;
	if (kind == SQ_LOG_GONE && !t->s->readonly)
		say_gone(t, event.ino);
	else
		(void)say(t, &event);
	return true;
}

/* At most SLICE rows after the last one told, which are told then. */
static int tell_rows(struct telling *t, int64_t last)
{
	struct sqlite_store *s = t->s;
	int r;
	sqlite3_stmt *st = sq_query(s->watcher, SQ_LOG_AFTER, "ii", s->told, (int64_t)SLICE);
	while ((r = sq_step(st)) == 1) {
		int64_t id = sqlite3_column_int64(st, 0);
		if (id != s->told + 1 || !tell_row(t, st)) {
			say_all(t, last);
			sq_done(st);
			return 0;
		}
		s->told = id;
	}
	return r;
}

/* Read-only: is there a mount, or was there one? If it was alone, it told nobody what it did. */
static int look_for_mounts(struct sqlite_store *s, bool *ret)
{
	struct sq_peers peers = {0};
	int r = sq_peers_load(s->watcher, &s->me, 0, &peers);
	if (r < 0)
		return r;
	*ret = peers.any || s->had_mounts;
	s->had_mounts = peers.any;
	return 0;
}

/* Can the rows after the last one told tell all that happened? */
static int is_complete(struct sqlite_store *s, int64_t first, int64_t last, bool *ret)
{
	bool mounts = false;
	int64_t there = 1;
	int r = s->readonly
			? look_for_mounts(s, &mounts)
			: sq_scalar(sq_query(s->watcher, SQ_MOUNT_THERE, "i", s->mount), &there);
	if (r == 0)
		*ret = !mounts && there && last >= s->told && last <= SQ_LOG_ID_MAX &&
		       (last == s->told || first <= s->told + 1);
	return r;
}

/* In a transaction. */
static int tell_in(struct telling *t, bool *ret_more)
{
	struct sqlite_store *s = t->s;
	bool complete = false;
	int r = sq_scalar(sq_query(s->watcher, SQ_DATA_VERSION, ""), &t->version);
	if (r < 0)
		return r;
	sqlite3_stmt *st = sq_query(s->watcher, SQ_LOG_ENDS, "");
	r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	int64_t first = sqlite3_column_int64(st, 0), last = sqlite3_column_int64(st, 1);
	sq_done(st);
	r = is_complete(s, first, last, &complete);
	if (r == 0 && !complete)
		say_all(t, last);
	else if (r == 0 && last > s->told)
		r = tell_rows(t, last);
	*ret_more = s->told < last;
	return r;
}

/* -EAGAIN: others write. (w) */
static int begin_claim(struct sqlite_store *s)
{
	int r = atomic_load(&s->degraded) ? -EIO : sq_synchronous(s, 1);
	if (r < 0)
		return r;
	s->writer->busy_until = sq_now() + CLAIM_WAIT_NS;
	r = sq_begin(s);
	if (r < 0 && (sqlite3_errcode(s->writer->db) & 0xff) == SQLITE_BUSY)
		r = -EAGAIN;
	s->writer->busy_until = 0;
	return r;
}

static int write_claim(struct telling *t, int64_t seen)
{
	struct sqlite_store *s = t->s;
	struct sq_conn *c = s->writer;
	s->logged = false;
	int r = begin_claim(s);
	/* What has a name again by now, or is gone for good, has no row to add ours to. */
	for (unsigned i = 0; r == 0 && i < t->n_used; i++)
		r = sq_exec(sq_query(c, SQ_ORPHAN_CLAIM, "ui", t->used[i], s->mount));
	if (r == 0 && seen >= 0)
		r = sq_exec(sq_query(c, SQ_MOUNT_SEEN, "ii", s->mount, seen));
	if (r == 0)
		r = sq_reserve_space(s, false);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_COMMIT, ""));
	/* A failed one need not be settled: should it come to light after a crash, then it speaks
	 * for a mount that is dead. */
	if (r < 0)
		sq_rollback(c);
	else if (s->logged)
		atomic_fetch_add(&s->committed, 1);
	return r;
}

/* Claims what was found to be in use; seen < 0: there is more to tell before we have answered.
 * -EAGAIN: not now, others write. */
static int claim(struct telling *t, int64_t seen)
{
	struct sqlite_store *s = t->s;
	if (!sq_write_lock_within(s, CLAIM_WAIT_NS))
		return -EAGAIN;
	int r = write_claim(t, seen);
	if (r == -ENOSPC && sq_log_anew(s, false, sq_now() + CLAIM_WAIT_NS) == 0)
		r = write_claim(t, seen);
	sq_write_unlock(s);
	t->n_used = 0;
	t->to_answer = false;
	return r;
}

/* The next slice of the log. */
static int tell_slice(struct telling *t, bool *ret_more)
{
	struct sq_conn *c = t->s->watcher;
	int r = sq_exec(sq_query(c, SQ_BEGIN, ""));
	if (r == 0)
		r = tell_in(t, ret_more);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_COMMIT, ""));
	sq_rollback(c);
	return r;
}

static int tell_log(struct telling *t)
{
	struct sqlite_store *s = t->s;
	bool more = true;
	int r = 0, failed = 0;
	while (r == 0 && more) {
		r = tell_slice(t, &more);
		bool answer = t->to_answer && !s->gone_due && r == 0;
		if (answer)
			r = claim(t, s->told);
		else
			s->gone_due |= t->to_answer;
		if (answer && r < 0) {
			s->gone_due = true;
			failed = r;
			r = 0;
		}
		t->n_used = 0;
		t->to_answer = false;
	}
	return r < 0 ? r : failed;
}

/* Up to SLICE orphans after *ino that are not ours. */
static int tell_some_gone(struct telling *t, uint64_t *ino, bool *ret_more)
{
	struct sqlite_store *s = t->s;
	unsigned n = 0;
	int r;
	sqlite3_stmt *st =
		sq_query(s->watcher, SQ_ORPHAN_FOREIGN, "uii", *ino, s->mount, (int64_t)SLICE);
	while ((r = sq_step(st)) == 1) {
		int bad = 0;
		*ino = sq_column_u64(st, 0, &bad);
		if (bad < 0) {
			sq_done(st);
			return bad;
		}
		say_gone(t, *ino);
		n++;
	}
	*ret_more = n == SLICE;
	return r;
}

/* Every orphan that is not ours, and with that the answer for all that was told. */
static int tell_gone(struct telling *t)
{
	struct sqlite_store *s = t->s;
	uint64_t ino = 0;
	bool more = true;
	int r = 0;
	while (r == 0 && more) {
		r = tell_some_gone(t, &ino, &more);
		if (r == 0 && (t->n_used || !more))
			r = claim(t, more ? -1 : s->told);
		t->n_used = 0;
	}
	if (r == 0)
		s->gone_due = false;
	return r;
}

static int poll_locked(struct telling *t)
{
	struct sqlite_store *s = t->s;
	struct sq_conn *c = s->watcher;
	int64_t version;
	int r = c ? 0 : sq_conn_open(s, &c);
	if (r < 0)
		return r;
	s->watcher = c;
	r = sq_scalar(sq_query(c, SQ_DATA_VERSION, ""), &version);
	if (r < 0)
		return r;
	if (version == s->told_version && !s->gone_due)
		return 0;
	r = tell_log(t);
	if (r == 0 && s->gone_due)
		r = tell_gone(t);
	if (r == 0 || r == -EAGAIN)
		s->told_version = t->version;
	return r < 0 && r != -EAGAIN ? r : t->events;
}

int sq_poll(struct store *store, store_event_fn *fn, void *arg)
{
	struct sqlite_store *s = sq_store(store);
	struct telling t = {.s = s, .fn = fn, .arg = arg};
	if (s->immutable)
		return 0; /* nobody can write to it */
	pthread_mutex_lock(&s->watch);
	sq_notice_arm(s); /* first, so that it goes off for what is written from now on */
	int r = poll_locked(&t);
	if (r < 0)
		atomic_fetch_add(&s->failures, 1);
	pthread_mutex_unlock(&s->watch);
	return r;
}

int sq_watch_start(struct sqlite_store *s)
{
	bool mounts;
	if (s->immutable)
		return 0;
	int r = sq_identify(s->path, &s->me);
	if (r == 0)
		r = sq_conn_open(s, &s->watcher);
	if (r == 0)
		r = sq_exec(sq_query(s->watcher, SQ_BEGIN, ""));
	if (r < 0)
		return r;
	r = sq_scalar(sq_query(s->watcher, SQ_DATA_VERSION, ""), &s->told_version);
	sqlite3_stmt *st = sq_query(s->watcher, SQ_LOG_ENDS, "");
	if (r == 0 && (r = sq_step(st)) == 1) {
		s->told = sqlite3_column_int64(st, 1);
		sq_done(st);
		r = look_for_mounts(s, &mounts);
	}
	sq_rollback(s->watcher);
	return r;
}
