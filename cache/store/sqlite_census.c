/*
 * How many inodes there are, for statfs(2). SQLite has to read all of table inode for that, so:
 *
 *   known, and nobody else has      our own commits keep the count right
 *   changed it since
 *   up to AT_ONCE rows              counted by whoever asks
 *   more                            counted by the keeper, a slice at a time with the writers held
 *                                   back for a millisecond; whoever asks meanwhile is told the
 *                                   last count, or an estimate
 *
 * What others make or delete is in the change log, so a poll finds out that the count is wrong; it
 * is made again when somebody asks, but not so often that it would take more than a twentieth of a
 * core. One that is made while a commit of ours goes on may or may not have that in it, so it is
 * made again later; the keeper's slices cannot meet one.
 */

#include "sqlite_internal.h"

#include <errno.h>

#define AT_ONCE 16384
#define SLICE 4096

/* A count that others have made wrong is made again after so long, and after so many times as long
 * as it took. */
#define RECOUNT_AFTER_NS 1000000000LL
#define RECOUNT_SHARE 20

/* Counts up to `limit` rows after inode `after`: how many, and the last one. */
static int count_slice(
	struct sq_conn *c, int64_t after, int64_t limit, int64_t *ret_n, int64_t *ret_last)
{
	sqlite3_stmt *st = sq_query(c, SQ_INODE_SLICE, "ii", after, limit);
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	*ret_n = sqlite3_column_int64(st, 0);
	*ret_last = sqlite3_column_int64(st, 1);
	sq_done(st);
	return 0;
}

static void set_count(struct sqlite_store *s, int64_t n, int64_t now, int64_t took)
{
	int64_t pause = took * RECOUNT_SHARE;
	atomic_store(&s->inodes, n);
	atomic_store(&s->recount_at, now + (pause > RECOUNT_AFTER_NS ? pause : RECOUNT_AFTER_NS));
}

/* The first rows are as close together as the others, for want of anything better to believe. */
static int estimate(struct sq_conn *c, int64_t n, int64_t last, int64_t *ret)
{
	int64_t end;
	int r = sq_scalar(sq_query(c, SQ_INODE_LAST, ""), &end);
	if (r == 0)
		*ret = (int64_t)((double)n * ((double)end / (double)last));
	return r;
}

static int count_now(struct sqlite_store *s, struct sq_conn *c, unsigned commits, int64_t *ret)
{
	int64_t start = sq_now(), n, last, limit = s->keeper_runs ? AT_ONCE : INT64_MAX;
	bool was_stale = atomic_exchange(&s->inodes_stale, false);
	int r = count_slice(c, 0, limit, &n, &last);
	if (r == 0 && n == limit) {
		atomic_store(&s->census_wanted, true);
		if (was_stale)
			atomic_store(&s->inodes_stale, true);
		return *ret < 0 ? estimate(c, n, last, ret) : 0;
	}
	bool quiet = commits % 2 == 0 && commits == atomic_load(&s->inodes_commits);
	if (r == 0) {
		int64_t now = sq_now();
		set_count(s, n, now, now - start);
		*ret = n;
	}
	if (r < 0 || !quiet || commits != atomic_load(&s->inodes_commits))
		atomic_store(&s->inodes_stale, true);
	return r;
}

int sq_census(struct sqlite_store *s, struct sq_conn *c, unsigned commits, uint64_t *ret)
{
	int64_t n = atomic_load(&s->inodes);
	bool stale = atomic_load(&s->inodes_stale) && sq_now() >= atomic_load(&s->recount_at);
	int r = n < 0 || stale ? count_now(s, c, commits, &n) : 0;
	if (r == 0)
		*ret = (uint64_t)n;
	return r;
}

void sq_census_commit(struct sqlite_store *s, const struct change *ch)
{
	int64_t by;
	if (ch->kind == CHANGE_CREATE)
		by = 1;
	else if (ch->kind == CHANGE_REAP && ch->n_touched && !ch->reap.more)
		by = -1;
	else
		return;
	if (atomic_load(&s->inodes) >= 0)
		atomic_fetch_add(&s->inodes, by);
	if ((int64_t)ch->touched[0].ino <= s->census_at)
		s->census_n += by;
}

bool sq_census_step(struct sqlite_store *s)
{
	int64_t n = 0, last = 0;
	if (!atomic_load(&s->census_wanted))
		return false;
	sq_write_lock(s);
	int64_t start = sq_now();
	if (s->census_at == 0) {
		atomic_store(&s->inodes_stale, false);
		s->census_n = s->census_ns = 0;
	}
	/* Not the writer's connection: its cache has better things to keep. */
	int r = count_slice(s->keeper_conn, s->census_at, SLICE, &n, &last);
	int64_t now = sq_now();
	s->census_n += n;
	s->census_ns += now - start;
	bool more = r == 0 && n == SLICE;
	if (more) {
		s->census_at = last;
	} else {
		if (r == 0)
			set_count(s, s->census_n, now, s->census_ns);
		else
			atomic_store(&s->inodes_stale, true);
		s->census_at = 0;
		atomic_store(&s->census_wanted, false);
	}
	sq_write_unlock(s);
	return more;
}
