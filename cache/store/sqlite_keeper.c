/*
 * The keeper: a thread that moves the log (WAL) into the database beside the writer, and gives free
 * pages back to the filesystem when nothing else is going on. Each mount has one, but only the one
 * of the mount that is the keeper of the log (sqlite_log.c) works; the others wait to take over.
 *
 * The log is let grow to LOG_SIZE once and is then overwritten from its start: a log that is reused
 * costs a durable commit half of what a growing one does. It starts anew only when all of it is in
 * the database, which a writer that never pauses would prevent; so the keeper checkpoints twice:
 * first beside the writers, then, for the little that came in meanwhile, with all of them held
 * back. Other processes write as well, so it looks at the log every TICK.
 *
 * A writer that waits for the disk waits for what lies in front of its flush, too. So the first
 * part is done again while much has come in, and the kernel is made to write the database bit by
 * bit, so that neither a commit nor the last checkpoint finds much that is not on the disk yet.
 */

#include "cause.h"
#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of log that wake the keeper. */
#define LOG_SIZE (16 << 20)
/* So much of it may be left to be moved with the writers held back, if that can be had in some
 * rounds beside them. */
#define LOG_LITTLE (1 << 20)
#define MOVE_ROUNDS 4
/* They are not slower than the disk if they add so much while the log is moved once. */
#define LOG_MUCH (2 << 20)
/* One that is longer is cut back when nobody writes. */
#define LOG_LONG (64 << 20)
/* The kernel is told to write so much of the file at a time, or as much as it does in so long; of a
 * very large file more, so that it is not told too often. */
#define EARLY_PIECE_MIN (64 << 10)
#define EARLY_PIECE_MAX (4 << 20)
#define EARLY_PIECES 4096
#define EARLY_NS 100000
/* The database file grows in such steps, and keeps SLACK of them for changes that must work when
 * the disk is full: each of these needs a handful of pages at most. */
#define FILE_STEP (1 << 20)
#define SLACK (256 << 10)
/* The log's first size, taken at the open: enough for changes that make room. */
#define LOG_RESERVE (1 << 20)
#define LOG_RESERVE_LEAST (16 << 10)
/* Free pages are given back when there are more than this share and this many bytes of them. */
#define FREE_SHARE 8
#define FREE_BYTES (1 << 20)
/*
 * One transaction gives back so many pages as it can in about VACUUM_NS, since a writer may have to
 * wait for it; then there is a pause of VACUUM_PAUSE times its length. SQLite searches the list of
 * free pages for each page that leaves, so with gigabytes free a page can take a millisecond.
 */
#define VACUUM_NS 5000000
#define VACUUM_PAUSE 4
#define VACUUM_PAGES_MAX 256u

#define SECOND 1000000000LL
/* A log that grew larger, under a reader that stayed long, is cut back to so much when it starts
 * anew; and one that is larger than LOG_LONG to less when nobody writes. */
#define LOG_KEPT "PRAGMA journal_size_limit = 134217728"
#define LOG_CUT "PRAGMA journal_size_limit = 33554432"
/* How often the keeper looks at the log. */
#define TICK (SECOND / 10)
/* A store that is degraded is left alone for so long: whoever writes or flushes settles it. */
#define PROBE_AFTER SECOND
/* Between two slices of a census. */
#define CENSUS_PAUSE (SECOND / 100)
/* How long it holds the writers back for those who read the log, before it tries again later. */
#define PATIENCE (SECOND / 50)

/* What the thread knows from one round to the next. */
struct rounds {
	struct sq_log_view seen; /* of the log, at the last one */
	int64_t quiet_since;	 /* since when nobody has written */
	int64_t retry_at;	 /* not to try to start the log anew before */
	bool rested;		 /* there is nothing to do until somebody writes */
	unsigned pages;		 /* to give back at a time */
	int64_t wait;		 /* until the next round */
	int64_t probe_at;	 /* when degraded: not to try to settle that before */
};

/*
 * Makes the database's file at least so large, in one call, where SQLite's own way is a write for
 * each page. -EOPNOTSUPP: that way has to do. (w)
 */
static int grow_file(struct sqlite_store *s, int64_t size)
{
	struct stat st;
	if (!s->plain_file || fstat(s->file, &st) < 0)
		return -EOPNOTSUPP;
	if (st.st_size >= size)
		return 0;
	int64_t end = (size + FILE_STEP - 1) / FILE_STEP * FILE_STEP;
	if (fallocate(s->file, 0, st.st_size, end - st.st_size) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? -EOPNOTSUPP : -ENOSPC;
}

static int reserve(struct sqlite_store *s, sqlite3_int64 size)
{
	int r = grow_file(s, size);
	if (r != -EOPNOTSUPP)
		return r;
	return sq_file_control(s->writer, SQLITE_FCNTL_SIZE_HINT, &size) < 0 ? -ENOSPC : 0;
}

/* Is the file that large? */
static bool is_as_large(const struct sqlite_store *s, int64_t size)
{
	struct stat st;
	return s->plain_file && fstat(s->file, &st) == 0 && st.st_size >= size;
}

/* How many pages the database has at most, with what is not committed yet; false: not known. (Some
 * rows of inodes that became longer take a part of SLACK at most.) */
static bool bound_pages(struct sqlite_store *s, int64_t *ret)
{
	struct sq_log_view v;
	if (!s->writer->batch.bounded || !sq_log_view(s, &v) || v.pages == 0)
		return false;
	*ret = (int64_t)v.pages + s->writer->batch.pages;
	return true;
}

/* SQLite compiles the statement that counts pages anew each time, so it is asked only when the
 * database may come near to the file's end. */
int sq_reserve_space(struct sqlite_store *s, bool needs_space)
{
	int64_t pages, unused, slack = needs_space ? SLACK : 0;
	bool bounded = bound_pages(s, &pages);
	if (bounded && is_as_large(s, pages * s->page_size + slack))
		return 0;
	int r = 0;
	if (!bounded || s->writer->batch.pages > 0)
		r = sq_scalar(sq_query(s->writer, SQ_PAGE_COUNT, ""), &pages);
	if (r < 0)
		return r;
	r = reserve(s, pages * s->page_size + slack);
	if (r != -ENOSPC || !needs_space)
		return r;
	/* Free pages of the file will do as well, once much was deleted. */
	if (sq_scalar(sq_query(s->writer, SQ_FREE_COUNT, ""), &unused) < 0 ||
		unused * s->page_size < SLACK)
		return r;
	return reserve(s, pages * s->page_size);
}

/* Makes the log's file large enough for the changes that make room, or as large as can be had. */
static void reserve_log(struct sqlite_store *s)
{
	int rc = SQLITE_FULL;
	const sqlite3_io_methods *io = s->log_file->pMethods;
	for (int step = LOG_RESERVE; rc != SQLITE_OK && step >= LOG_RESERVE_LEAST; step /= 2) {
		sqlite3_int64 size = step;
		rc = io->xFileControl(s->log_file, SQLITE_FCNTL_CHUNK_SIZE, &step);
		if (rc == SQLITE_OK)
			rc = io->xFileControl(s->log_file, SQLITE_FCNTL_SIZE_HINT, &size);
	}
	/* It grows in larger steps all the same. */
	int step = FILE_STEP;
	(void)io->xFileControl(s->log_file, SQLITE_FCNTL_CHUNK_SIZE, &step);
}

int sq_log_grew(void *store, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *s = store;
	(void)db;
	(void)name;
	s->logged = true;
	if ((unsigned)pages >= atomic_load(&s->log_limit)) {
		pthread_mutex_lock(&s->wake);
		s->log_full = true;
		pthread_cond_signal(&s->woken);
		pthread_mutex_unlock(&s->wake);
	}
	return SQLITE_OK;
}

/* Beside the writers. Failures are told to nobody but who looks at the last errors: the log just
 * goes on growing, and the next round tries again. */
static void checkpoint(struct sqlite_store *s)
{
	store_cause_clear();
	int r = sq_log_move(s, s->keeper_conn, NULL);
	if (r < 0 && r != -EBUSY && s->errors)
		store_errors_add(s->errors,
			&(struct store_error){
				.times = 1, .offset = -1, .error = -r, .op = "checkpoint"});
}

void sq_checkpoint_last(struct sqlite_store *s)
{
	/* Also for the checkpoint that SQLite makes when the last connection is closed. */
	if (atomic_load(&s->degraded) && sq_log_rewrite(s, sq_deadline(s->writer)) < 0)
		return;
	if (sq_log_keep(s) == 0)
		IGNORE(sq_log_move(s, s->writer, NULL));
}

/* Is so much free that it should go back? */
static bool much_is_free(struct sqlite_store *s)
{
	int64_t pages, unused;
	if (sq_scalar(sq_query(s->writer, SQ_PAGE_COUNT, ""), &pages) < 0 ||
		sq_scalar(sq_query(s->writer, SQ_FREE_COUNT, ""), &unused) < 0)
		return false;
	return unused * s->page_size > FREE_BYTES && unused > pages / FREE_SHARE;
}

/* Gives up to *pages free pages back, and says how many it should be next. Returns how long it
 * took, or 0 when there is no need to go on. */
static int64_t vacuum(struct sqlite_store *s, unsigned *pages)
{
	char sql[48];
	bool worked = false;
	snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%u)", *pages);
	sq_write_lock(s);
	s->writer->busy_until = sq_now() + PATIENCE;
	int64_t start = sq_now();
	if (!atomic_load(&s->degraded) && much_is_free(s) && sq_synchronous(s, 1) == 0) {
		s->logged = false;
		worked = sq_run(s->writer, sql) == 0;
		sq_rollback(s->writer);
		if (s->logged)
			atomic_fetch_add(&s->committed, 1);
	}
	int64_t took = sq_now() - start;
	s->writer->busy_until = 0;
	sq_write_unlock(s);
	if (took > VACUUM_NS && *pages > 1)
		*pages /= 2;
	else if (took < VACUUM_NS / 2 && *pages < VACUUM_PAGES_MAX)
		*pages *= 2;
	return worked ? took : 0;
}

/* Waits until the log is full, or so long; false: the store is being closed. */
static bool wait_for_work(struct sqlite_store *s, int64_t wait_ns)
{
	int64_t at = sq_now() + wait_ns;
	struct timespec until = {.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
	pthread_mutex_lock(&s->wake);
	int rc = 0;
	while (!s->stopping && !s->log_full && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&s->woken, &s->wake, &until);
	s->log_full = false;
	bool go_on = !s->stopping;
	pthread_mutex_unlock(&s->wake);
	return go_on;
}

static bool is_keeper(struct sqlite_store *s)
{
	if (atomic_load(&s->log_role) == SQ_ROLE_PINNED)
		return true;
	sq_write_lock(s);
	bool is = sq_log_keep(s) == 0;
	sq_write_unlock(s);
	return is;
}

/*
 * Has the kernel write what a checkpoint has put into the file, in small pieces, so that never much
 * of it lies in front of a commit's flush. SQLite flushes the file itself only once it has moved
 * all of the log, and that is when the writers are held back. So it does not matter what fails
 * here: it fails again there, since each open file is told of a write that failed.
 */
static void write_early(struct sqlite_store *s)
{
	struct stat st;
	if (!s->plain_file || fstat(s->file, &st) < 0)
		return;
	int64_t most = st.st_size / EARLY_PIECES > EARLY_PIECE_MAX ? st.st_size / EARLY_PIECES
								   : EARLY_PIECE_MAX;
	int64_t piece = EARLY_PIECE_MIN;
	for (int64_t at = 0; at < st.st_size;) {
		int64_t start = sq_now();
		if (sync_file_range(s->file, at, piece,
			    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0)
			return;
		int64_t took = sq_now() - start;
		at += piece;
		/* There was little in that piece, or much. */
		if (took < EARLY_NS / 2 && piece < most)
			piece *= 2;
		else if (took > EARLY_NS && piece > EARLY_PIECE_MIN)
			piece /= 2;
	}
}

/* Pages that are still to be moved. */
static uint32_t left_in_log(struct sqlite_store *s)
{
	struct sq_log_view v;
	return sq_log_view(s, &v) ? v.frames - v.moved : 0;
}

/* Moves the log beside the writers until there is little left, or they add that much in a round.
 * When they are as fast as the disk it is better to hold them back at once: they would add more
 * than is written meanwhile. */
static void move_most(struct sqlite_store *s)
{
	uint32_t before = atomic_load(&s->log_size);
	for (int i = 0; i < MOVE_ROUNDS; i++) {
		checkpoint(s);
		if (left_in_log(s) > LOG_MUCH / s->page_size)
			return;
		write_early(s);
		uint32_t left = left_in_log(s);
		if (left <= LOG_LITTLE / s->page_size || left > before / 2)
			return;
		before = left;
	}
}

static void start_anew(struct sqlite_store *s, struct rounds *k, int64_t now)
{
	move_most(s);
	sq_write_lock(s);
	int64_t until = sq_now() + PATIENCE;
	s->writer->busy_until = until;
	int r = atomic_load(&s->degraded) ? -EIO : sq_log_anew(s, false, until);
	s->writer->busy_until = 0;
	sq_write_unlock(s);
	unsigned limit = atomic_load(&s->log_size);
	if (r < 0) {
		/* Somebody reads it. Not after each commit from now on. */
		k->retry_at = now + SECOND;
		limit += k->seen.frames;
	}
	atomic_store(&s->log_limit, limit);
}

/* Gives the space of a log back that has grown long. SQLite does that when it starts anew, which is
 * only when nobody needs what is in it. If somebody does, after the next change. */
static void cut_log(struct sqlite_store *s)
{
	sqlite3_int64 size;
	if (s->log_file->pMethods->xFileSize(s->log_file, &size) != SQLITE_OK || size <= LOG_LONG)
		return;
	sq_write_lock(s);
	int64_t until = sq_now() + PATIENCE;
	s->writer->busy_until = until;
	if (!atomic_load(&s->degraded) && sq_run(s->writer, LOG_CUT) == 0)
		IGNORE(sq_log_anew(s, false, until));
	IGNORE(sq_run(s->writer, LOG_KEPT)); /* else it is cut more often */
	s->writer->busy_until = 0;
	sq_write_unlock(s);
}

/* Nobody has written for a while. Pages that are given back, and what is left in the log, so that
 * the file alone is whole soon after the last change. */
static void rest(struct sqlite_store *s, struct rounds *k, int64_t now)
{
	struct sq_log_view v;
	int64_t took = vacuum(s, &k->pages);
	if (took) {
		k->wait = VACUUM_PAUSE * took;
		IGNORE(sq_log_view(s, &k->seen));
		return;
	}
	checkpoint(s);
	k->rested = sq_log_view(s, &v) && v.moved == v.frames;
	if (k->rested)
		cut_log(s);
	k->quiet_since = now; /* or try again after the same time */
}

static void look(struct sqlite_store *s, struct rounds *k)
{
	struct sq_log_view v;
	if (!is_keeper(s)) {
		atomic_store(&s->log_limit, UINT_MAX); /* another one looks */
		return;
	}
	if (atomic_load(&s->log_limit) == UINT_MAX)
		atomic_store(&s->log_limit, atomic_load(&s->log_size));
	/* In doubt: what is in the log may not be on the disk, so nothing of it may be moved. */
	if (atomic_load(&s->degraded) || !sq_log_view(s, &v))
		return;
	int64_t now = sq_now();
	if (v.change != k->seen.change || v.salt != k->seen.salt) {
		k->quiet_since = now;
		k->rested = false;
	}
	k->seen = v;
	if (sq_log_asked(s) || (v.frames >= atomic_load(&s->log_size) && now >= k->retry_at))
		start_anew(s, k, now);
	else if (!k->rested && now - k->quiet_since >= SECOND)
		rest(s, k, now);
}

/* Nobody may be writing, and then nobody else would see that it works again. */
static void probe(struct sqlite_store *s, struct rounds *k)
{
	int64_t now = sq_now();
	if (!atomic_load(&s->degraded)) {
		k->probe_at = now + PROBE_AFTER;
	} else if (now >= k->probe_at) {
		sq_probe(s);
		k->probe_at = sq_now() + PROBE_AFTER;
	}
}

static void *keep(void *arg)
{
	struct sqlite_store *s = arg;
	struct rounds k = {.pages = VACUUM_PAGES_MAX, .wait = TICK};
	while (wait_for_work(s, k.wait)) {
		k.wait = TICK;
		if (atomic_load(&s->room)) { /* also when nothing follows */
			sq_write_lock(s);
			sq_leave_room(s);
			sq_write_unlock(s);
		}
		IGNORE(sq_misplaced(s)); /* it is told even when nobody writes */
		probe(s, &k);
		look(s, &k);
		if (sq_census_step(s) && k.wait > CENSUS_PAUSE)
			k.wait = CENSUS_PAUSE;
	}
	return NULL;
}

/* Space is set aside only in what SQLite itself keeps in a plain file; what another VFS does is not
 * known. */
static void open_file(struct sqlite_store *s)
{
	sqlite3_vfs *vfs = NULL;
	s->file = open(s->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	s->plain_file = s->file >= 0 &&
			sq_file_control(s->writer, SQLITE_FCNTL_VFS_POINTER, &vfs) == 0 && vfs &&
			strcmp(sq_vfs_below(vfs)->zName, "unix") == 0;
}

int sq_keeper_start(struct sqlite_store *s)
{
	int step = FILE_STEP;
	s->writer->writes = s;
	int r = sq_file_control(s->writer, SQLITE_FCNTL_CHUNK_SIZE, &step);
	if (r == 0)
		r = sq_log_open(s);
	if (r == 0)
		r = sq_conn_open(s, &s->keeper_conn);
	if (r == 0)
		r = sq_file_control(s->keeper_conn, SQLITE_FCNTL_CHUNK_SIZE, &step);
	if (r == 0)
		r = sq_run(s->writer, LOG_KEPT);
	if (r < 0)
		return r;
	open_file(s);
	sq_place_note(s);
	reserve_log(s);
	atomic_store(&s->log_size, LOG_SIZE / s->page_size);
	atomic_store(&s->log_limit, LOG_SIZE / s->page_size);
	IGNORE(sq_log_keep(s)); /* before anything is written; else later */
	sqlite3_wal_hook(s->writer->db, sq_log_grew, s);
	r = -pthread_create(&s->keeper, NULL, keep, s);
	s->keeper_runs = r == 0;
	return r;
}

void sq_keeper_stop(struct sqlite_store *s)
{
	if (s->keeper_runs) {
		pthread_mutex_lock(&s->wake);
		s->stopping = true;
		pthread_cond_signal(&s->woken);
		pthread_mutex_unlock(&s->wake);
		pthread_join(s->keeper, NULL);
		s->keeper_runs = false;
	}
	s->keeper_conn = sq_conn_close(s->keeper_conn);
}
