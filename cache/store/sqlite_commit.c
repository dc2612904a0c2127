/*
 * Transactions: a batch of changes becomes one.
 *
 * A savepoint for each change would cost a copy of every page that it alters, so there is none at
 * first: most changes that fail do so before they have altered anything. (SQLite counts rows that
 * were changed; what it does not count is in sq_batch_changes().)
 *
 * What can go wrong, and what is done:
 *
 *   a change is refused (EEXIST, ...)     nothing was altered, the others go on
 *   it is refused halfway, the store      the transaction is rolled back, and the batch is tried
 *   fails, or the batch makes the store   again with a savepoint for each change, which is rolled
 *   exceed its limit                      back when that fails; the others go on
 *   SQLite gave up the whole transaction, the batch is tried again one change at a time, so that
 *   or the space for it cannot be had     only those fail that must
 *   the log could not be extended         the log is moved into the database, for which space is
 *   (ENOSPC at COMMIT)                    always set aside, so that it starts anew in the space it
 *                                         has; then the batch is tried once more
 *   there is no space for what a change   the change log, which others can do without, makes room
 *   that makes room has to tell others    for it
 *   COMMIT failed otherwise               the outcome is unknown: the transaction's pages may be
 *                                         in the log although SQLite says no ("ghost"), and would
 *                                         come back after a crash. It is settled before anyone is
 *                                         answered: see sq_settle().
 *   somebody else writes for too long     all changes are refused, after one wait
 */

#include "sqlite_internal.h"

#include <errno.h>

/* Inode numbers are set aside by so many, so that a create does not write the row of table store.
 */
#define INO_RESERVE 1024u

void sq_write_lock(struct sqlite_store *s)
{
	pthread_mutex_lock(&s->turn);
	pthread_mutex_lock(&s->write);
	pthread_mutex_unlock(&s->turn);
}

/* By the wall clock: set back, it makes a lock of this that is waited for as long as it takes. (Not
 * every thread sanitizer knows pthread_mutex_clocklock().) */
bool sq_write_lock_within(struct sqlite_store *s, int64_t ns)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	ns += until.tv_nsec;
	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	if (pthread_mutex_timedlock(&s->turn, &until) != 0)
		return false;
	bool locked = pthread_mutex_timedlock(&s->write, &until) == 0;
	pthread_mutex_unlock(&s->turn);
	return locked;
}

void sq_write_unlock(struct sqlite_store *s)
{
	sq_ended(s);
	pthread_mutex_unlock(&s->write);
}

int sq_synchronous(struct sqlite_store *s, int level)
{
	if (s->synchronous == level)
		return 0;
	s->synchronous = 0;
	int r = sq_run(s->writer,
		level == 2 ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	if (r == 0)
		s->synchronous = level;
	return r;
}

void sq_rollback(struct sq_conn *c)
{
	sq_batch_drop(c);
	if (!sqlite3_get_autocommit(c->db) && sq_exec(sq_query(c, SQ_ROLLBACK, "")) < 0)
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
}

uint64_t sq_take_ino(struct sqlite_store *s)
{
	return s->next_ino++;
}

/* Enough inode numbers for `n` creates. Lost with the transaction if that fails. */
static int reserve_inos(struct sqlite_store *s, size_t n)
{
	if (s->last_ino - s->next_ino >= n)
		return 0;
	int64_t next;
	int r = sq_scalar(sq_query(s->writer, SQ_NEXT_INO, ""), &next);
	if (r < 0)
		return r;
	if (next <= (int64_t)STORE_ROOT_INO)
		return -EIO;
	if ((uint64_t)next + INO_RESERVE > SQ_INO_MAX)
		return -ENOSPC;
	r = sq_exec(sq_query(s->writer, SQ_RESERVE_INO, "i", next + (int64_t)INO_RESERVE));
	if (r == 0) {
		s->next_ino = (uint64_t)next;
		s->last_ino = s->next_ino + INO_RESERVE;
	}
	return r;
}

static int dispatch(struct sqlite_store *s, struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_WRITE:
		return sq_apply_write(s, ch);
	case CHANGE_SETATTR:
		return sq_apply_setattr(s, ch);
	case CHANGE_ALLOCATE:
		return sq_apply_allocate(s, ch);
	case CHANGE_COPY:
		return sq_apply_copy(s, ch);
	case CHANGE_CREATE:
		return sq_apply_create(s, ch);
	case CHANGE_LINK:
		return sq_apply_link(s, ch);
	case CHANGE_UNLINK:
		return sq_apply_unlink(s, ch);
	case CHANGE_RENAME:
		return sq_apply_rename(s, ch);
	case CHANGE_SETXATTR:
		return sq_apply_setxattr(s, ch);
	case CHANGE_REMOVEXATTR:
		return sq_apply_removexattr(s, ch);
	case CHANGE_REAP:
		return sq_apply_reap(s, ch);
	}
	return -EINVAL;
}

static void set_result(struct change *ch, int result, bool doubtful)
{
	ch->result = result;
	ch->doubtful = doubtful;
	if (result == 0)
		return;
	ch->n_touched = 0;
	if (ch->kind == CHANGE_WRITE) {
		ch->write.head = block_unref(ch->write.head);
		ch->write.tail = block_unref(ch->write.tail);
	}
}

/* Would the change leave more pages in use than max_size allows? */
static int check_limit(struct sqlite_store *s)
{
	int64_t pages, unused;
	if (!s->max_pages)
		return 0;
	int r = sq_scalar(sq_query(s->writer, SQ_PAGE_COUNT, ""), &pages);
	if (r == 0)
		r = sq_scalar(sq_query(s->writer, SQ_FREE_COUNT, ""), &unused);
	if (r < 0)
		return r;
	return (uint64_t)(pages - unused) > s->max_pages ? -ENOSPC : 0;
}

/* One change alone fails for that. */
static void within_limit(struct sqlite_store *s, struct change *ch)
{
	int r = ch->result == 0 && change_needs_space(ch) ? check_limit(s) : 0;
	if (r < 0)
		set_result(ch, r, false);
}

/* Is it about the change? Then SQLite has refused nothing, and left nothing half done. */
static bool is_answer(int r)
{
	return r != -EIO && r != -ENOMEM && r != -ENOSPC && r != -EROFS;
}

/*
 * How many pages the change takes at most; writes, and extended attributes that a new inode
 * inherits, say that themselves. Names are rows of three trees, with inodes and orphans of five.
 * To add a row takes a page on each level of its tree at most, and one for a new level; two if
 * names are so long that a page has room for a dozen, and then 10^6 of them make six levels. So
 * 2 * 13 is more than names in one directory ever took, with some for the target of a symlink.
 */
#define NAME_PAGES 40u
static void note_pages(struct sqlite_store *s, const struct change *ch)
{
	bool is_name = ch->kind == CHANGE_CREATE || ch->kind == CHANGE_LINK ||
		       ch->kind == CHANGE_UNLINK || ch->kind == CHANGE_RENAME;
	if (s->peers.any || (!is_name && ch->kind != CHANGE_WRITE))
		s->writer->batch.bounded = false;
	else if (is_name)
		sq_batch_takes(s->writer, NAME_PAGES);
}

/* Applies one change. -EAGAIN: the whole transaction is lost. */
static int apply_one(struct sqlite_store *s, struct change *ch)
{
	set_result(ch, -EIO, false); /* of an attempt before this one */
	note_pages(s, ch);
	int r = dispatch(s, ch);
	if (r == 0)
		r = sq_log_change(s, ch);
	bool lost = sqlite3_get_autocommit(s->writer->db);
	set_result(ch, lost && r == 0 ? -EIO : r, false);
	return lost ? -EAGAIN : 0;
}

static int apply_alone(struct sqlite_store *s, struct change *ch)
{
	if (apply_one(s, ch) < 0)
		return ch->result;
	within_limit(s, ch);
	return 0;
}

/* The same with a savepoint: it is undone alone when it fails. */
static int apply_careful(struct sqlite_store *s, struct change *ch)
{
	struct sq_conn *c = s->writer;
	if (sq_exec(sq_query(c, SQ_SAVEPOINT, "")) < 0)
		return -EAGAIN;
	int r = apply_one(s, ch);
	if (r < 0)
		return r;
	r = sq_batch_end(c);
	if (sqlite3_get_autocommit(c->db))
		return -EAGAIN;
	if (r < 0)
		set_result(ch, r, false);
	within_limit(s, ch);
	if (ch->result < 0 && sq_exec(sq_query(c, SQ_ROLLBACK_TO, "")) < 0)
		return -EAGAIN;
	return sq_exec(sq_query(c, SQ_RELEASE, "")) < 0 ? -EAGAIN : 0;
}

/* And without one, among others. -ERESTART: it failed with something done. */
static int apply_plain(struct sqlite_store *s, struct change *ch)
{
	struct sq_conn *c = s->writer;
	if (ch->kind != CHANGE_WRITE && sq_batch_write(c) < 0)
		return -EAGAIN;
	int64_t before = sq_batch_changes(c);
	int r = apply_one(s, ch);
	if (r < 0 || ch->result == 0)
		return r;
	return is_answer(ch->result) && sq_batch_changes(c) == before ? 0 : -ERESTART;
}

static int apply_all(struct sqlite_store *s, struct change *const *changes, size_t n, bool careful)
{
	size_t creates = 0, good = 0;
	bool plain = n > 1 && !careful, needs_space = false;
	for (size_t i = 0; i < n; i++)
		creates += changes[i]->kind == CHANGE_CREATE;
	sq_batch_begin(s->writer, plain);
	int r = creates ? reserve_inos(s, creates) : 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct change *ch = changes[i];
		if (n == 1)
			r = apply_alone(s, ch);
		else
			r = careful ? apply_careful(s, ch) : apply_plain(s, ch);
		if (r == 0 && ch->result == 0) {
			good++;
			needs_space |= change_needs_space(ch);
		}
	}
	if (r == 0)
		r = good ? 0 : -ECANCELED;
	if (r == 0 && (r = sq_batch_end(s->writer)) < 0 && n > 1)
		r = -EAGAIN;
	/* Who of them exceeds it is not known yet. */
	if (r == 0 && plain && needs_space && (r = check_limit(s)) < 0)
		r = -ERESTART;
	return r < 0 ? r : sq_reserve_space(s, needs_space);
}

static void count_commit(
	struct sqlite_store *s, struct change *const *changes, size_t n, bool durable)
{
	/* Without effect there is nothing in the log, and SQLite has not flushed it. */
	if (s->logged) {
		uint64_t committed = atomic_fetch_add(&s->committed, 1) + 1;
		if (durable) {
			atomic_store(&s->flushed, committed);
			atomic_fetch_add(&s->flushes, 1);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct change *ch = changes[i];
		if (ch->result < 0)
			continue;
		atomic_fetch_add(&s->changes, 1);
		sq_census_commit(s, ch);
	}
}

/* -EBADE: the outcome is unknown. */
static int commit(struct sqlite_store *s, struct change *const *changes, size_t n, bool durable)
{
	atomic_fetch_add(&s->inodes_commits, 1);
	int r = sq_exec(sq_query(s->writer, SQ_COMMIT, ""));
	int code = sqlite3_extended_errcode(s->writer->db) & 0xff;
	if (r == 0) {
		sq_peers_committed(s);
		count_commit(s, changes, n, durable);
	} else if (code != SQLITE_FULL && code != SQLITE_BUSY) {
		r = -EBADE;
	}
	atomic_fetch_add(&s->inodes_commits, 1);
	return r;
}

/*
 * One transaction. 0: done, each change has its result. Else nothing of it is in the store:
 *   -EBADE   the commit failed, its outcome must be settled
 *   others   why, to be told to all if it did not even begin (*ret_began), else to be tried again
 */
static int attempt_as(struct sqlite_store *s, struct change *const *changes, size_t n, bool durable,
	bool careful, bool *ret_began)
{
	int r = sq_synchronous(s, durable ? 2 : 1);
	if (r == 0)
		r = sq_begin(s);
	*ret_began = r == 0;
	if (r < 0) {
		sq_rollback(s->writer);
		return r;
	}
	s->logged = false;
	uint64_t last_ino = s->last_ino;
	r = sq_peers_look(s);
	if (r == 0 && s->shrink_log)
		r = sq_log_shrink(s);
	if (r == 0)
		r = apply_all(s, changes, n, careful);
	if (r == 0)
		r = commit(s, changes, n, durable);
	sq_batch_drop(s->writer);
	if (r == 0)
		return 0;
	sq_rollback(s->writer);
	/* Numbers that it reserved are not ours; those from before it stay, less what it took. */
	if (s->last_ino != last_ino)
		s->next_ino = s->last_ino = 0;
	return r == -ECANCELED ? 0 : r;
}

static int attempt(struct sqlite_store *s, struct change *const *changes, size_t n, bool durable,
	bool *ret_began)
{
	int r = attempt_as(s, changes, n, durable, false, ret_began);
	return r == -ERESTART ? attempt_as(s, changes, n, durable, true, ret_began) : r;
}

static void refuse(struct change *const *changes, size_t n, int result, bool doubtful)
{
	for (size_t i = 0; i < n; i++)
		set_result(changes[i], result, doubtful);
}

/* One change that makes room, but is itself in want of it. */
static int attempt_tight(
	struct sqlite_store *s, struct change *const *changes, bool durable, bool *ret_began)
{
	s->shrink_log = true;
	int r = attempt(s, changes, 1, durable, ret_began);
	s->shrink_log = false;
	return r;
}

/* *stuck: the log cannot be moved, somebody reads it; so do not wait for that again and again. */
static void apply_retrying(
	struct sqlite_store *s, struct change *const *changes, size_t n, bool durable, bool *stuck)
{
	bool began = false;
	int r = atomic_load(&s->degraded) ? -EIO : attempt(s, changes, n, durable, &began);
	if (r == -ENOSPC && began && !*stuck) {
		*stuck = sq_log_anew(s, false, sq_deadline(s->writer)) < 0;
		if (!*stuck)
			r = attempt(s, changes, n, durable, &began);
	}
	if (r == -ENOSPC && began && n == 1 && s->peers.any && !change_needs_space(changes[0]))
		r = attempt_tight(s, changes, durable, &began);
	if (r == 0)
		return;
	if (r == -EBADE) {
		IGNORE(sq_settle(s)); /* the state that it leaves says the rest */
		refuse(changes, n, -EIO, true);
	} else if (n > 1 && began) {
		for (size_t i = 0; i < n; i++)
			apply_retrying(s, &changes[i], 1, durable, stuck);
		return;
	} else {
		refuse(changes, n, r, false);
	}
	atomic_fetch_add(&s->failures, 1);
}

static bool any_good(struct change *const *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i]->result == 0)
			return true;
	return false;
}

void sq_apply(struct store *store, struct change *const *changes, size_t n, bool durable)
{
	struct sqlite_store *s = sq_store(store);
	bool stuck = false;
	int r = 0;
	if (s->readonly)
		r = -EROFS;
	sq_write_lock(s);
	if (r == 0 && sq_misplaced(s))
		r = sq_errno(SQLITE_IOERR_VNODE);
	if (r == 0)
		s->writer->busy_until = sq_deadline(s->writer);
	if (r == 0 && atomic_load(&s->degraded))
		r = sq_settle(s);
	if (r == 0)
		apply_retrying(s, changes, n, durable, &stuck);
	s->writer->busy_until = 0;
	/* A durable commit has flushed what was before it. So if that is behind, there was none:
	 * what worked had no effect. */
	bool behind = r == 0 && durable && any_good(changes, n) &&
		      atomic_load(&s->flushed) < atomic_load(&s->committed);
	sq_write_unlock(s);
	if (behind)
		r = sq_flush(store);
	if (r < 0)
		refuse(changes, n, r, false);
}
