/*
 * The keeper: a thread that moves the log (WAL) into the database beside the writer, and gives free
 * pages back to the filesystem when nothing else is going on.
 *
 * The log is let grow to LOG_SIZE once and is then overwritten from its start: a log that is reused
 * costs a durable commit half of what a growing one does. It starts anew only when all of it is in
 * the database, which a writer that never pauses would prevent; so the keeper checkpoints twice:
 * first beside the writer, then, for the little that came in meanwhile, with the writer held back.
 *
 * SQLite before 3.51.3 can lose data when a checkpoint starts while a writer starts the log anew
 * (https://sqlite.org/wal.html#walresetbug). Only a transaction that begins when the whole log is
 * in the database can start it anew. So no checkpoint starts beside the writer when that may be so:
 *   - `log_complete` is set when a checkpoint has reached the end, or may have, and cleared when a
 *     commit has written to the log again (one without effect does not); both under the write lock;
 *   - while the keeper checkpoints beside the writer, which it begins only when the log is not
 *     complete, it holds the lock `checkpoint`, so that nobody else completes the log meanwhile.
 * That holds for this process. Another one that writes to the same file, with a SQLite that has the
 * fault, and checkpoints there, is not kept from it.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of log that wake the keeper. */
#define LOG_SIZE (16 << 20)
/* The database file grows in such steps, and keeps SLACK of them for changes that must work when
 * the disk is full: each of these needs a handful of pages at most. */
#define FILE_STEP (1 << 20)
#define SLACK (256 << 10)
/* The log's first size, taken at the open: enough for changes that make room. */
#define LOG_RESERVE (1 << 20)
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

static int file_control(struct sq_conn *c, int op, void *arg)
{
	return sq_errno(sqlite3_file_control(c->db, "main", op, arg));
}

/*
 * Makes the database's file at least so large, in one call, where SQLite's own way is a write for
 * each page. -EOPNOTSUPP: that way has to do. (w)
 */
static int grow_file(struct sqlite_store *s, int64_t size)
{
	struct stat st;
	if (s->file < 0 || fstat(s->file, &st) < 0)
		return -EOPNOTSUPP;
	if (st.st_size >= size)
		return 0;
	int64_t end = (size + FILE_STEP - 1) / FILE_STEP * FILE_STEP;
	if (fallocate(s->file, 0, st.st_size, end - st.st_size) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? -EOPNOTSUPP : -ENOSPC;
}

int sq_reserve_space(struct sqlite_store *s, bool needs_space)
{
	int64_t pages;
	int r = sq_scalar(sq_query(s->writer, SQ_PAGE_COUNT, ""), &pages);
	if (r < 0)
		return r;
	sqlite3_int64 size = pages * s->page_size + (needs_space ? SLACK : 0);
	r = grow_file(s, size);
	if (r != -EOPNOTSUPP)
		return r;
	return file_control(s->writer, SQLITE_FCNTL_SIZE_HINT, &size) < 0 ? -ENOSPC : 0;
}

/* Makes the log's file large enough for the changes that make room, if it can be had. */
static void reserve_log(struct sqlite_store *s)
{
	int step = FILE_STEP;
	sqlite3_int64 size = LOG_RESERVE;
	const sqlite3_io_methods *io = s->log_file->pMethods;
	if (io->xFileControl(s->log_file, SQLITE_FCNTL_CHUNK_SIZE, &step) == SQLITE_OK)
		(void)io->xFileControl(s->log_file, SQLITE_FCNTL_SIZE_HINT, &size);
}

/* A checkpoint with the writer held back. Returns SQLite's code. Also one that fails, since a
 * reader stays, may have moved all of the log; where SQLite does not know, it sets both numbers to
 * -1. (w)
 */
static int checkpoint_all(struct sqlite_store *s, struct sq_conn *c, int mode)
{
	int pages = 0, moved = 0;
	pthread_mutex_lock(&s->checkpoint);
	int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, mode, &pages, &moved);
	if (pages == moved)
		s->log_complete = true;
	pthread_mutex_unlock(&s->checkpoint);
	return rc;
}

int sq_checkpoint_now(struct sqlite_store *s)
{
	return sq_errno(checkpoint_all(s, s->writer, SQLITE_CHECKPOINT_RESTART));
}

int sq_cut_log(struct sqlite_store *s)
{
	int rc = checkpoint_all(s, s->writer, SQLITE_CHECKPOINT_TRUNCATE);
	if ((rc & 0xff) == SQLITE_BUSY)
		return -EBUSY;
	if (rc != SQLITE_OK)
		return sq_errno(rc);
	/* SQLite does not flush that, so what was cut off could come back. */
	pthread_mutex_lock(&s->sync);
	reserve_log(s);
	rc = s->log_file->pMethods->xSync(s->log_file, SQLITE_SYNC_NORMAL);
	pthread_mutex_unlock(&s->sync);
	return sq_errno(rc);
}

int sq_log_grew(void *store, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *s = store;
	(void)db;
	(void)name;
	s->logged = true;
	s->log_complete = false;
	atomic_store(&s->log_pages, pages);
	if ((int64_t)pages * s->page_size >= LOG_SIZE) {
		pthread_mutex_lock(&s->wake);
		s->log_full = true;
		pthread_cond_signal(&s->woken);
		pthread_mutex_unlock(&s->wake);
	}
	return SQLITE_OK;
}

/* Failures are not told to anyone: the log just goes on growing, and the next round tries again. */
static void checkpoint(struct sqlite_store *s)
{
	sq_write_lock(s);
	bool complete = s->log_complete;
	if (!complete)
		pthread_mutex_lock(&s->checkpoint);
	sq_write_unlock(s);
	if (complete)
		return;
	sqlite3_wal_checkpoint_v2(s->keeper_conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	pthread_mutex_unlock(&s->checkpoint);
	sq_write_lock(s);
	(void)checkpoint_all(s, s->keeper_conn, SQLITE_CHECKPOINT_PASSIVE);
	sq_write_unlock(s);
}

void sq_checkpoint_last(struct sqlite_store *s)
{
	(void)checkpoint_all(s, s->writer, SQLITE_CHECKPOINT_PASSIVE);
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

static int64_t monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* Gives up to *pages free pages back, and says how many it should be next. Returns how long it
 * took, or 0 when there is no need to go on. */
static int64_t vacuum(struct sqlite_store *s, unsigned *pages)
{
	char sql[48];
	bool worked = false;
	snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%u)", *pages);
	sq_write_lock(s);
	int64_t start = monotonic_ns();
	if (!s->degraded && much_is_free(s) && sq_synchronous(s, 1) == 0) {
		s->logged = false;
		worked = sq_run(s->writer, sql) == 0;
		sq_rollback(s->writer);
		if (s->logged)
			atomic_fetch_add(&s->committed, 1);
	}
	int64_t took = monotonic_ns() - start;
	sq_write_unlock(s);
	if (took > VACUUM_NS && *pages > 1)
		*pages /= 2;
	else if (took < VACUUM_NS / 2 && *pages < VACUUM_PAGES_MAX)
		*pages *= 2;
	return worked ? took : 0;
}

/* Waits for work, or so long; false: the store is being closed. *ret_full: the log is full. */
static bool wait_for_work(struct sqlite_store *s, int64_t wait_ns, bool *ret_full)
{
	int64_t at = monotonic_ns() + wait_ns;
	struct timespec until = {.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
	pthread_mutex_lock(&s->wake);
	int rc = 0;
	while (!s->stopping && !s->log_full && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&s->woken, &s->wake, &until);
	*ret_full = s->log_full;
	s->log_full = false;
	bool go_on = !s->stopping;
	pthread_mutex_unlock(&s->wake);
	return go_on;
}

static void *keep(void *arg)
{
	struct sqlite_store *s = arg;
	uint64_t seen = 0,
		 rested = 0; /* of s->committed: last time, and when there was nothing to do */
	unsigned pages = VACUUM_PAGES_MAX;
	int64_t wait = SECOND;
	bool full;
	while (wait_for_work(s, wait, &full)) {
		uint64_t committed = atomic_load(&s->committed);
		int64_t took = 0;
		bool idle = committed == seen && committed != rested;
		if (full)
			checkpoint(s);
		else if (idle)
			took = vacuum(s, &pages);
		seen = atomic_load(&s->committed);
		wait = took ? VACUUM_PAUSE * took : SECOND;
		if (idle && !full && !took) {
			/* So that the file alone is whole soon after the last change; pages that
			 * were given back leave it then, too. */
			checkpoint(s);
			rested = seen;
		}
	}
	return NULL;
}

/* The log's file, for flushing it without a transaction. It stays open as long as its connection.
 */
static int find_log(struct sqlite_store *s)
{
	int64_t one;
	int r = sq_conn_open(s, &s->flusher);
	if (r == 0)
		r = sq_scalar(sq_query(s->flusher, SQ_NEXT_INO, ""), &one);
	if (r == 0)
		r = file_control(s->flusher, SQLITE_FCNTL_JOURNAL_POINTER, &s->log_file);
	if (r == 0 && (!s->log_file || !s->log_file->pMethods))
		r = -EIO;
	return r;
}

/* Only what SQLite itself keeps in a plain file; what another VFS does is not known. */
static void open_file(struct sqlite_store *s)
{
	sqlite3_vfs *vfs = NULL;
	if (file_control(s->writer, SQLITE_FCNTL_VFS_POINTER, &vfs) == 0 && vfs &&
		strcmp(vfs->zName, "unix") == 0)
		s->file = open(s->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
}

int sq_keeper_start(struct sqlite_store *s)
{
	int step = FILE_STEP;
	int r = file_control(s->writer, SQLITE_FCNTL_CHUNK_SIZE, &step);
	if (r == 0)
		r = find_log(s);
	if (r == 0)
		r = sq_conn_open(s, &s->keeper_conn);
	if (r == 0)
		r = file_control(s->keeper_conn, SQLITE_FCNTL_CHUNK_SIZE, &step);
	if (r < 0)
		return r;
	open_file(s);
	reserve_log(s);
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
