/*
 * Copies a store with SQLite's backup API.
 *
 * The source is a snapshot: its transaction stays open, so that SQLite has no reason to begin the
 * copy anew when others write, as it does else. The copy is built without a journal and without
 * flushes, for nobody needs it before it is complete; then it is flushed as a whole.
 */

#include "sqlite_backup.h"
#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* Copied at a time, in bytes. */
#define STEP (1 << 20)
/* No pause is longer, so that a signal is not waited for. */
#define PAUSE_MAX (SECOND / 4)
/* How long to wait for locks, which nobody holds for long. */
#define BUSY_TIMEOUT_MS 10000
/* Added to the name of the copy until it is complete. */
#define PARTIAL ".recordfs-partial"

struct backup {
	const struct sqlite_backup_config *cfg;
	const char *path;
	const char *dest;
	char *partial;
	int fd;		/* of the partial copy, locked: somebody is at work on it; -1 */
	bool made;	/* the partial copy is ours */
	mode_t mode;	/* of the store */
	uint64_t total; /* bytes of the snapshot */
	struct store *store;
	struct sq_conn *from;
	sqlite3 *to;
	struct stat log;    /* of the store, when last looked at; st_size 0: none */
	uint64_t log_first; /* its size at the beginning */
	uint64_t log_most;
	char *why;
	size_t why_size;
};

static int explain(struct backup *b, int r, const char *path, const char *what)
{
	snprintf(b->why, b->why_size, "%s: %s", path, what);
	return r;
}

/* -- the place ------------------------------------------------------------------------------------
 */

static bool exists(const char *path, const char *suffix, struct stat *ret)
{
	char *name = sqlite3_mprintf("%s%s", path, suffix);
	bool there = name && lstat(name, ret) == 0;
	sqlite3_free(name);
	return there;
}

/* Is there nothing in the way of the copy? */
static int look_at_dest(struct backup *b)
{
	static const char *const logs[] = {"-wal", "-journal"};
	struct stat st;
	if (exists(b->dest, "", &st))
		return S_ISDIR(st.st_mode)
			       ? explain(b, -EISDIR, b->dest, "a directory; name a file in it")
			       : explain(b, -EEXIST, b->dest,
					 "is there already; name another file, or move it away");
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		if (exists(b->dest, logs[i], &st)) {
			snprintf(b->why, b->why_size,
				"%s%s is left of another database, and would be taken for the"
				" copy's; move it away",
				b->dest, logs[i]);
			return -EEXIST;
		}
	return 0;
}

/* One that another backup has left: a file of ours with a name that nobody else uses. */
static int take_leftover(struct backup *b, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_nlink != 1 || st->st_uid != geteuid())
		return explain(b, -EEXIST, b->partial,
			"is in the way, and not what a backup leaves; move it away");
	if (b->cfg->replaced)
		b->cfg->replaced(b->cfg->arg, b->partial);
	sq_remove_database(b->partial);
	return 0;
}

/* 1: it is ours and locked; 0: it was somebody else's, and is gone. */
static int try_partial(struct backup *b)
{
	struct stat opened, named;
	b->fd = open(b->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
		0600);
	if (b->fd < 0 && errno == ELOOP)
		return explain(b, -EEXIST, b->partial, "a symlink is in the way; move it away");
	if (b->fd < 0 && errno == ENOENT)
		return explain(b, -ENOENT, b->dest, "its directory is not there; make it first");
	if (b->fd < 0)
		return explain(b, -errno, b->partial, strerror(errno));
	if (flock(b->fd, LOCK_EX | LOCK_NB) < 0)
		return explain(b, -EBUSY, b->partial, "another backup to there is under way");
	if (fstat(b->fd, &opened) < 0)
		return explain(b, -errno, b->partial, strerror(errno));
	bool same = lstat(b->partial, &named) == 0 && named.st_dev == opened.st_dev &&
		    named.st_ino == opened.st_ino;
	if (same && opened.st_size == 0 && opened.st_uid == geteuid() && opened.st_nlink == 1)
		return 1;
	return same ? take_leftover(b, &opened) : 0;
}

static int make_partial(struct backup *b)
{
	int r = 0;
	for (int tries = 0; r == 0; tries++) {
		r = tries < 100 ? try_partial(b) : -EBUSY;
		if (r != 1 && b->fd >= 0) {
			close(b->fd);
			b->fd = -1;
		}
	}
	b->made = r == 1;
	return r < 0 ? r : 0;
}

/* -- copying --------------------------------------------------------------------------------------
 */

static int64_t size_of_log(struct stat *ret, const char *path)
{
	if (!exists(path, "-wal", ret))
		*ret = (struct stat){0};
	return ret->st_size;
}

static int open_source(struct backup *b)
{
	struct sqlite_config cfg = {
		.path = b->path, .snapshot = true, .busy_timeout_ms = BUSY_TIMEOUT_MS};
	struct stat st;
	int64_t pages;
	b->log_first = b->log_most = (uint64_t)size_of_log(&b->log, b->path);
	int r = sqlite_store_open(&cfg, &b->store, b->why, b->why_size);
	if (r < 0)
		return r;
	struct sqlite_store *s = sq_store(b->store);
	r = sq_read_begin(s, &b->from);
	if (r == 0)
		r = sq_scalar(sq_query(b->from, SQ_PAGE_COUNT, ""), &pages);
	if (r == 0 && stat(b->path, &st) < 0)
		r = -errno;
	if (r < 0)
		return explain(b, r, b->path, strerror(-r));
	b->total = (uint64_t)pages * s->page_size;
	b->mode = st.st_mode & 0666;
	return 0;
}

static int look_at_space(struct backup *b)
{
	struct statvfs fs;
	if (fstatvfs(b->fd, &fs) < 0)
		return 0; /* it will show */
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= b->total)
		return 0;
	snprintf(b->why, b->why_size,
		"%s: the copy takes %llu MiB, there are %llu MiB free; make room, or name another"
		" place",
		b->dest, (unsigned long long)(b->total >> 20) + 1,
		(unsigned long long)(free_bytes >> 20));
	return -ENOSPC;
}

static int open_copy(struct backup *b)
{
	int rc = sqlite3_open_v2(
		b->partial, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_extended_result_codes(b->to, 1);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(b->to,
			"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
			"PRAGMA cache_size = -4096; PRAGMA mmap_size = 0",
			NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	int r = sq_errno(rc);
	return explain(b, r, b->partial, b->to ? sqlite3_errmsg(b->to) : strerror(ENOMEM));
}

/* Has somebody written since the last call? */
static bool others_write(struct backup *b)
{
	struct stat before = b->log;
	uint64_t size = (uint64_t)size_of_log(&b->log, b->path);
	if (size > b->log_most)
		b->log_most = size;
	return b->log.st_size != before.st_size || b->log.st_mtim.tv_sec != before.st_mtim.tv_sec ||
	       b->log.st_mtim.tv_nsec != before.st_mtim.tv_nsec;
}

/* After a step that took so long: `done` bytes in all were copied since `began`. False: it is not
 * time for a pause, or not any more. */
static bool pause_after(struct backup *b, int64_t took, uint64_t done, int64_t began)
{
	bool writing = others_write(b);
	int64_t pause = writing ? took : 0;
	if (b->cfg->rate) {
		double due = (double)done / (double)b->cfg->rate * SECOND;
		double ahead = due - (double)(sq_now() - began);
		if (ahead > (double)pause)
			pause = ahead > PAUSE_MAX ? PAUSE_MAX : (int64_t)ahead;
	}
	if (pause > PAUSE_MAX)
		pause = PAUSE_MAX;
	if (pause <= 0 || b->log_most > b->log_first + SQLITE_BACKUP_LOG)
		return false;
	struct timespec t = {.tv_nsec = pause};
	nanosleep(&t, NULL);
	return true;
}

/* Sends what was written to the disk: not much of it may lie in front of others' flushes. What
 * fails here fails again in fsync(). */
static void write_out(struct backup *b)
{
	IGNORE(sync_file_range(b->fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
}

static int copy_failed(struct backup *b, int rc)
{
	int r = sq_errno(rc);
	/* Of the two, the disk of the copy is more likely to be full, or failing. */
	int system_errno = sqlite3_system_errno(b->to);
	if (r == -EIO && system_errno == ENOSPC)
		r = -ENOSPC;
	return explain(b, r ? r : -EIO, b->dest,
		r == -ENOSPC ? "no space left for the copy; make room, or name another place"
			     : sqlite3_errstr(rc));
}

static int copy(struct backup *b)
{
	int pages = STEP / (int)sq_store(b->store)->page_size, rc = SQLITE_OK;
	int64_t began = sq_now();
	sqlite3_backup *work = sqlite3_backup_init(b->to, "main", b->from->db, "main");
	if (!work)
		return copy_failed(b, sqlite3_extended_errcode(b->to));
	bool go_on = true;
	while (go_on && rc == SQLITE_OK) {
		int64_t start = sq_now();
		rc = sqlite3_backup_step(work, pages);
		if (rc == SQLITE_OK)
			write_out(b);
		uint64_t all = (uint64_t)sqlite3_backup_pagecount(work);
		uint64_t done = all - (uint64_t)sqlite3_backup_remaining(work);
		uint64_t bytes = done * sq_store(b->store)->page_size;
		bool paused = rc == SQLITE_OK && pause_after(b, sq_now() - start, bytes, began);
		if (b->cfg->copied)
			go_on = b->cfg->copied(b->cfg->arg, bytes, b->total);
		while (paused && go_on && (paused = pause_after(b, 0, bytes, began)))
			if (b->cfg->copied)
				go_on = b->cfg->copied(b->cfg->arg, bytes, b->total);
	}
	int end = sqlite3_backup_finish(work);
	if (!go_on)
		return explain(b, -ECANCELED, b->dest, "stopped; there is no copy");
	return rc == SQLITE_DONE ? 0 : copy_failed(b, rc == SQLITE_OK ? end : rc);
}

/* -- when it is complete --------------------------------------------------------------------------
 */

static void close_source(struct backup *b)
{
	if (!b->store)
		return;
	sq_read_end(sq_store(b->store), b->from);
	b->store->ops->close(b->store);
	b->store = NULL;
	b->from = NULL;
}

static int flush(struct backup *b)
{
	if (sqlite3_close(b->to) != SQLITE_OK)
		return explain(b, -EIO, b->partial, "cannot close it");
	b->to = NULL;
	if (fsync(b->fd) < 0)
		return explain(b, -errno, b->partial, strerror(errno));
	return 0;
}

static int verify(struct backup *b, struct sqlite_backup_summary *ret)
{
	int r = sqlite_check(b->partial, b->cfg->check, &ret->check, b->why, b->why_size);
	if (r == -ECANCELED)
		return explain(b, r, b->dest, "stopped; there is no copy");
	if (r < 0 || ret->check.faults == 0 || b->cfg->keep_faulty)
		return r;
	snprintf(b->why, b->why_size,
		"%s: the copy has %llu %s and is not kept; if recordfsctl check %s finds that in"
		" the store: write anew or delete what it names, or take the copy as it is with"
		" --keep-going",
		b->dest, (unsigned long long)ret->check.faults,
		ret->check.faults == 1 ? "fault" : "faults", b->path);
	return -EBADMSG;
}

/* Not every filesystem knows RENAME_NOREPLACE. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	return link(from, to) < 0 || unlink(from) < 0 ? -errno : 0;
}

static int put_in_place(struct backup *b)
{
	mode_t mask = umask(0);
	umask(mask);
	int r = fchmod(b->fd, b->mode & ~mask) < 0 ? -errno : 0;
	if (r == 0 && fsync(b->fd) < 0)
		r = -errno;
	if (r == 0)
		r = look_at_dest(b);
	if (r == 0)
		r = rename_new(b->partial, b->dest);
	if (r == 0)
		b->made = false;
	if (r == 0)
		r = sq_sync_directory_of(b->dest);
	return r == 0 || b->why[0] ? r : explain(b, r, b->dest, strerror(-r));
}

static int make(struct backup *b, struct sqlite_backup_summary *ret)
{
	struct stat st;
	int r = look_at_dest(b);
	if (r == 0)
		r = open_source(b);
	if (r == 0)
		r = make_partial(b);
	if (r == 0)
		r = look_at_space(b);
	if (r == 0)
		r = open_copy(b);
	if (r == 0)
		r = copy(b);
	close_source(b);
	if (r == 0)
		r = flush(b);
	if (r == 0)
		r = verify(b, ret);
	if (r == 0)
		r = put_in_place(b);
	if (r == 0) {
		/* It has been read once, and nobody will soon: others need the memory. */
		IGNORE(posix_fadvise(b->fd, 0, 0, POSIX_FADV_DONTNEED));
		ret->bytes = fstat(b->fd, &st) == 0 ? (uint64_t)st.st_size : b->total;
		ret->log_grown = b->log_most - b->log_first;
	}
	return r;
}

int sqlite_backup(const char *path, const char *dest, const struct sqlite_backup_config *cfg,
	struct sqlite_backup_summary *ret, char *why, size_t why_size)
{
	struct sqlite_backup_summary sum = {0};
	struct backup b = {.cfg = cfg,
		.path = path,
		.dest = dest,
		.partial = sqlite3_mprintf("%s" PARTIAL, dest),
		.fd = -1,
		.why = why,
		.why_size = why_size};
	why[0] = '\0';
	int r = b.partial ? make(&b, &sum) : -ENOMEM;
	sqlite3_close(b.to);
	if (b.made)
		sq_remove_database(b.partial);
	if (b.fd >= 0)
		close(b.fd);
	sqlite3_free(b.partial);
	if (r < 0 && !why[0])
		snprintf(why, why_size, "%s: %s", dest, strerror(-r));
	if (r < 0)
		sq_one_line(why);
	else
		*ret = sum;
	return r;
}
