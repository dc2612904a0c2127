/*
 * A VFS for SQLite that gathers what is written to the log (WAL).
 *
 * SQLite writes a frame of the log with two calls, 24 bytes of header and then a page. This VFS
 * passes everything on to the one below it, but keeps frames in memory as long as they follow each
 * other, and writes them with one call when
 *   - the page of a frame has come whose header says that a transaction ends with it (its second
 *     word, the size of the database after the commit, is not zero), or
 *   - SQ_VFS_GATHER bytes are there, or
 *   - anything but the next frame is asked of the same file.
 *
 * Why nobody misses what is still in memory (wal.c of SQLite 3.40; 3.7 to 3.51 do the same):
 *
 * Only who holds the lock WRITE writes to the log. In between, frames are read
 *   - by others only up to the last frame of the last transaction, of which the index of the log
 *     tells them. sqlite3WalFrames() enters it there (walIndexWriteHdr()) after the write of the
 *     frame that ends the transaction has returned, and that has written all that was gathered: its
 *     error is still that of the commit. Who recovers the index reads all of the log, and holds the
 *     lock WRITE for that, so nothing is gathered.
 *   - by the transaction itself: a page that was spilled, or walRewriteChecksums(). It reads with
 *     the same file, which first writes what was gathered.
 *
 * What is written twice. A transaction that spilled a page may write it again in its frame, without
 * a header, and then writes the headers from there on anew, the last one after all pages. Such
 * writes are below the highest byte that was written since the lock WRITE was taken, and are passed
 * on. (So are frames after a rollback to a savepoint, up to that byte.) A log that starts anew does
 * so with the first frames of a transaction, before anything was gathered; its header, 32 bytes at
 * 0, is passed on, too: it is flushed before anything else is written.
 *
 * What is left over. A transaction that is rolled back after it spilled pages does not touch the
 * log: its frames lie after the last transaction, nobody will read them, and whoever commits next,
 * perhaps another process, overwrites them. What was gathered of them must not be written over that
 * later, so it is forgotten when the lock WRITE is given up. That is the end of each transaction:
 * sqlite3WalEndWriteTransaction().
 *
 * When a write fails it may be one of frames for which SQLite was told that all is well. So from
 * then on everything that the transaction writes to the log, flushes or reads of what it wrote
 * fails with the same error; it can only be rolled back. (Each commit writes a frame: SQLite takes
 * page 1 if no page is left.) A write that fails leaves, as it does without this VFS, a first part
 * of what was to be written, the frame that ends a transaction not among it: SQLITE_FULL still
 * means that it did not happen.
 *
 * Where a write may damage what is beside it (a device without POWERSAFE_OVERWRITE) SQLite cuts
 * frames where sectors end, and nothing is gathered.
 *
 * A connection and its files are used by one thread at a time, but for what the store does with the
 * files of its flusher (sqlite_log.c), which writes nothing: its fields are not altered.
 */

#include "sqlite_vfs.h"

#include "sqlite_vfs_pages.h"
#include "trust.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME "recordfs"

/* Of the format of the log. */
#define FRAME_HEADER 24
#define AT_COMMIT 4 /* in the header: four bytes, zero unless the transaction ends */
/* SQLite's lock WRITE. */
#define WRITE_LOCK 0

/* Writes end where pages of memory do, if they can. */
#define PAGE 4096

struct vfs {
	sqlite3_vfs base;
	sqlite3_vfs *below;
};

/* The file of the VFS below lies behind ours in the same allocation. */
struct file {
	sqlite3_file base;
	sqlite3_file *below;
	struct file *other; /* of a database its log, and of a log its database; or NULL */
	bool is_log;
	bool gathers;
	const char *name;  /* SQLite keeps it for as long as the file is open */
	bool writing;	   /* database: it holds the lock WRITE */
	bool flush_failed; /* since that was asked last */

	/* Database: sq_vfs_on_read(). */
	sq_vfs_read_fn *on_read; /* or NULL */
	void *on_read_arg;

	struct vfs_pages pages; /* database */

	/* Log, while its database has `writing`. */
	unsigned char *bytes; /* SQ_VFS_GATHER, once needed */
	size_t n;	      /* of them are there, not written yet */
	int64_t begin;	      /* where the transaction's first write was: none is before it */
	int64_t end;	      /* the highest byte that came; they lie before it */
	bool in_frame;	      /* a header has come, not its page */
	bool commits;	      /* and it ends a transaction */
	int error;	      /* a write has failed */
};

static struct file *file_of(sqlite3_file *f)
{
	return (struct file *)(void *)f;
}

static sqlite3_file *below(sqlite3_file *f)
{
	return file_of(f)->below;
}

/* A limit that the system sets is as good as a full disk; SQLite knows only ENOSPC as one. */
static int xwrite_below(sqlite3_file *below, const void *from, int n, sqlite3_int64 at)
{
	int rc = below->pMethods->xWrite(below, from, n, at);
	int error = 0;
	if (rc == SQLITE_IOERR_WRITE &&
		below->pMethods->xFileControl(below, SQLITE_FCNTL_LAST_ERRNO, &error) ==
			SQLITE_OK &&
		(error == EFBIG || error == EDQUOT))
		return SQLITE_FULL;
	return rc;
}

static int write_below(struct file *f, const void *from, int n, sqlite3_int64 at)
{
	int rc = xwrite_below(f->below, from, n, at);
	if (rc != SQLITE_OK)
		f->error = rc;
	return rc;
}

/* Writes what was gathered. */
static int flush(struct file *f)
{
	if (f->error || !f->n)
		return f->error;
	size_t n = f->n;
	f->n = 0;
	return write_below(f, f->bytes, (int)n, f->end - (int64_t)n);
}

/* The transaction begins or is over. */
static void forget(struct file *f)
{
	if (f->n)
		f->n = 0;
	if (f->end)
		f->begin = f->end = 0;
	if (f->in_frame)
		f->in_frame = false;
	if (f->error)
		f->error = SQLITE_OK;
}

/* Appends bytes to what was gathered, and writes what is too much. */
static int gather(struct file *f, const unsigned char *from, size_t n)
{
	while (n > 0) {
		/* As many as fit, up to the end of a page. */
		size_t room = SQ_VFS_GATHER - (size_t)(f->end - (int64_t)f->n) % PAGE - f->n;
		size_t some = n < room ? n : room;
		memcpy(f->bytes + f->n, from, some);
		f->n += some;
		f->end += (int64_t)some;
		from += some;
		n -= some;
		if (some == room && flush(f) != SQLITE_OK)
			return f->error;
	}
	return SQLITE_OK;
}

/* Is it the next header or page of a run of frames? */
static bool is_next(const struct file *f, int n, sqlite3_int64 at)
{
	if (f->in_frame)
		return at == f->end && n > FRAME_HEADER;
	return n == FRAME_HEADER && (f->n ? at == f->end : at >= f->end);
}

static int write_log(struct file *f, const unsigned char *from, int n, sqlite3_int64 at)
{
	if (f->error)
		return f->error;
	if (!f->end)
		f->begin = at;
	if (!f->bytes)
		f->bytes = malloc(SQ_VFS_GATHER);
	if (!f->bytes || !is_next(f, n, at)) {
		f->in_frame = false;
		int rc = flush(f);
		if (rc == SQLITE_OK)
			rc = write_below(f, from, n, at);
		if (at + n > f->end)
			f->end = at + n;
		return rc;
	}
	bool ends = f->in_frame && f->commits;
	if (!f->in_frame) {
		static const unsigned char zero[4];
		f->commits = memcmp(from + AT_COMMIT, zero, sizeof zero) != 0;
		f->end = at;
	}
	f->in_frame = !f->in_frame;
	int rc = gather(f, from, (size_t)n);
	return rc == SQLITE_OK && ends ? flush(f) : rc;
}

static int x_close(sqlite3_file *file)
{
	struct file *f = file_of(file);
	if (f->other)
		f->other->other = NULL;
	free(f->bytes);
	vfs_pages_fini(&f->pages);
	return f->below->pMethods->xClose(f->below);
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	if (vfs_pages_read(&file_of(f)->pages, below(f), to, n, at))
		return SQLITE_OK;
	if (file_of(f)->on_read)
		file_of(f)->on_read(file_of(f)->on_read_arg, at);
	int rc = at + n > file_of(f)->begin ? flush(file_of(f)) : SQLITE_OK;
	return rc ? rc : below(f)->pMethods->xRead(below(f), to, n, at);
}

static int x_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
	struct file *f = file_of(file);
	if (f->gathers && f->other && f->other->writing)
		return write_log(f, from, n, at);
	return xwrite_below(below(file), from, n, at);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = flush(file_of(f));
	return rc ? rc : below(f)->pMethods->xTruncate(below(f), size);
}

static int x_sync(sqlite3_file *f, int flags)
{
	int rc = flush(file_of(f));
	if (rc != SQLITE_OK)
		return rc;
	rc = below(f)->pMethods->xSync(below(f), flags);
	if (rc != SQLITE_OK)
		file_of(f)->flush_failed = true;
	return rc;
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	int rc = flush(file_of(f));
	return rc ? rc : below(f)->pMethods->xFileSize(below(f), ret);
}

static int x_lock(sqlite3_file *f, int level)
{
	return below(f)->pMethods->xLock(below(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
	return below(f)->pMethods->xUnlock(below(f), level);
}

static int x_check_reserved(sqlite3_file *f, int *ret)
{
	return below(f)->pMethods->xCheckReservedLock(below(f), ret);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
	int rc = flush(file_of(f));
	return rc ? rc : below(f)->pMethods->xFileControl(below(f), op, arg);
}

static int x_sector_size(sqlite3_file *f)
{
	return below(f)->pMethods->xSectorSize(below(f));
}

static int x_characteristics(sqlite3_file *f)
{
	return below(f)->pMethods->xDeviceCharacteristics(below(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	int rc = below(f)->pMethods->xShmMap(below(f), page, size, extend, ret);
	if (rc != SQLITE_OK || page != 0 || !file_of(f)->name)
		return rc;
	/* Opened just now, or before. What is there now is ours, so it was then: nobody else can
	 * put it in the place of his. */
	char *index = sqlite3_mprintf("%s-shm", file_of(f)->name);
	if (!index || trust_file(index) < 0)
		rc = index ? SQLITE_CANTOPEN : SQLITE_IOERR_NOMEM;
	sqlite3_free(index);
	return rc;
}

static int x_shm_lock(sqlite3_file *file, int first, int n, int flags)
{
	struct file *f = file_of(file);
	bool is_write = first == WRITE_LOCK && (flags & SQLITE_SHM_EXCLUSIVE);
	if (is_write && (flags & SQLITE_SHM_UNLOCK)) {
		f->writing = false;
		if (f->other)
			forget(f->other);
	}
	int rc = below(file)->pMethods->xShmLock(below(file), first, n, flags);
	if (is_write && (flags & SQLITE_SHM_LOCK) && rc == SQLITE_OK)
		f->writing = true;
	return rc;
}

static void x_shm_barrier(sqlite3_file *f)
{
	below(f)->pMethods->xShmBarrier(below(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
	return below(f)->pMethods->xShmUnmap(below(f), delete);
}

static int x_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **ret)
{
	return below(f)->pMethods->xFetch(below(f), at, n, ret);
}

static int x_unfetch(sqlite3_file *f, sqlite3_int64 at, void *page)
{
	return below(f)->pMethods->xUnfetch(below(f), at, page);
}

/* The methods of a file, by what the VFS below offers: version 1, 2 or 3. */
#define METHODS(version)                                                                           \
	{                                                                                          \
		.iVersion = (version), .xClose = x_close, .xRead = x_read, .xWrite = x_write,      \
		.xTruncate = x_truncate, .xSync = x_sync, .xFileSize = x_file_size,                \
		.xLock = x_lock, .xUnlock = x_unlock, .xCheckReservedLock = x_check_reserved,      \
		.xFileControl = x_control, .xSectorSize = x_sector_size,                           \
		.xDeviceCharacteristics = x_characteristics, .xShmMap = x_shm_map,                 \
		.xShmLock = x_shm_lock, .xShmBarrier = x_shm_barrier, .xShmUnmap = x_shm_unmap,    \
		.xFetch = x_fetch, .xUnfetch = x_unfetch,                                          \
	}
static const sqlite3_io_methods methods[] = {METHODS(1), METHODS(2), METHODS(3)};

static const sqlite3_io_methods *methods_of(const sqlite3_file *real)
{
	int version = real->pMethods->iVersion;
	return &methods[version < 2 ? 0 : version > 3 ? 2 : version - 1];
}

/* Is it a file of ours? */
static bool is_ours(const sqlite3_file *f)
{
	return f->pMethods >= methods && f->pMethods < methods + ARRAY_LEN(methods);
}

void sq_vfs_on_read(sqlite3_file *file, sq_vfs_read_fn *fn, void *arg)
{
	if (!file || !file->pMethods || !is_ours(file))
		return;
	file_of(file)->on_read = fn;
	file_of(file)->on_read_arg = arg;
}

void sq_vfs_runs(sqlite3_file *file, size_t bytes)
{
	if (!file || !file->pMethods || !is_ours(file))
		return;
	vfs_pages_begin(&file_of(file)->pages, bytes);
}

/* Ties a log to its database, whose locks say when it is written to. */
static void tie(struct file *log, const char *name)
{
	sqlite3_file *database = sqlite3_database_file_object(name);
	if (!database || !database->pMethods || !is_ours(database))
		return;
	log->other = file_of(database);
	log->other->other = log;
	log->gathers = x_characteristics(database) & SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct file *file = file_of(f);
	sqlite3_vfs *real = CONTAINER_OF(vfs, struct vfs, base)->below;
	memset(file, 0, sizeof *file);
	file->below = (sqlite3_file *)(void *)(file + 1);
	memset(file->below, 0, (size_t)real->szOsFile);
	if (name && trust_file(name) < 0)
		return SQLITE_CANTOPEN;
	int rc = real->xOpen(real, name, file->below, flags, ret_flags);
	if (!file->below->pMethods)
		return rc;
	file->name = flags & SQLITE_OPEN_MAIN_DB ? name : NULL;
	f->pMethods = methods_of(file->below);
	/* And again: it may have come in between. It is closed by whoever asked for it. */
	if (rc == SQLITE_OK && name && trust_file(name) < 0)
		rc = SQLITE_CANTOPEN;
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL))
		tie(file, name);
	return rc;
}

/* A new one over `real`. The functions that are not ours are called with ours for theirs: it has
 * the same pAppData, which is what they may look at. */
static sqlite3_vfs *new_vfs(sqlite3_vfs *real)
{
	struct vfs *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	v->base = *real;
	v->base.pNext = NULL;
	v->base.zName = NAME;
	v->base.szOsFile = (int)sizeof(struct file) + real->szOsFile;
	v->base.xOpen = x_open;
	v->below = real;
	if (sqlite3_vfs_register(&v->base, 0) == SQLITE_OK)
		return &v->base;
	free(v);
	return NULL;
}

const char *sq_vfs_name(void)
{
	/* One at a time looks for it and registers it. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&lock);
	sqlite3_vfs *real = sqlite3_vfs_find(NULL), *ours = sqlite3_vfs_find(NAME);
	if (real && (!ours || sq_vfs_below(ours) != real))
		ours = new_vfs(real);
	pthread_mutex_unlock(&lock);
	return real && ours ? ours->zName : NULL;
}

const struct sqlite3_vfs *sq_vfs_below(const struct sqlite3_vfs *vfs)
{
	return vfs->xOpen == x_open ? ((const struct vfs *)(const void *)vfs)->below : vfs;
}

bool sq_vfs_flush_failed(sqlite3_file *f)
{
	if (!f || !f->pMethods || !is_ours(f))
		return false;
	bool failed = file_of(f)->flush_failed;
	file_of(f)->flush_failed = false;
	return failed;
}
