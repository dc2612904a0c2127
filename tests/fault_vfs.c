#include "fault_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The wrapped file lies behind ours in the same allocation. */
struct fault_file {
	sqlite3_file base;
	unsigned write_op; /* what a write to it is counted as; 0: not of interest */
	unsigned sync_op;
	unsigned grow_op;
	unsigned read_op;
	sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim;
static sqlite3_io_methods methods;

struct plan {
	unsigned ops; /* 0: none */
	int after;
	bool forever;
	int rc;
};

/* SQLite's lock READ4. */
#define PIN 7

static void (*_Atomic on_new_log)(void);
static void (*_Atomic on_checkpoint)(void);
static void (*_Atomic on_write)(void);
static _Thread_local bool in_on_write;
static atomic_bool torn_writes;
#define KINDS 13
static atomic_uint counts[KINDS];

/* Guards the plans, and what is noted of the log. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan plans[1 + FAULT_PLANS]; /* the first one is in force */
static int hits;
static bool log_dirty;

static int fault(unsigned op)
{
	int rc = SQLITE_OK;
	if (in_on_write)
		return rc;
	for (unsigned i = 0; i < KINDS; i++)
		if (op & 1u << i)
			atomic_fetch_add(&counts[i], 1);
	pthread_mutex_lock(&lock);
	if ((plans[0].ops & op) && plans[0].after-- <= 0) {
		rc = plans[0].rc;
		hits++;
		if (!plans[0].forever) {
			memmove(plans, plans + 1, sizeof plans - sizeof *plans);
			plans[FAULT_PLANS] = (struct plan){0};
		}
	}
	if (op == FAULT_LOG_WRITE)
		log_dirty = true;
	else if (op == FAULT_LOG_SYNC && rc == SQLITE_OK)
		log_dirty = false;
	pthread_mutex_unlock(&lock);
	return rc;
}

void fault_vfs_arm(unsigned ops, int after, bool forever, int rc)
{
	pthread_mutex_lock(&lock);
	memset(plans, 0, sizeof plans);
	plans[0] = (struct plan){.ops = ops, .after = after, .forever = forever, .rc = rc};
	hits = 0;
	pthread_mutex_unlock(&lock);
}

void fault_vfs_then(unsigned ops, int after, bool forever, int rc)
{
	pthread_mutex_lock(&lock);
	size_t n = 0;
	while (n < FAULT_PLANS && plans[n].ops)
		n++;
	plans[n] = (struct plan){.ops = ops, .after = after, .forever = forever, .rc = rc};
	pthread_mutex_unlock(&lock);
}

int fault_vfs_disarm(void)
{
	pthread_mutex_lock(&lock);
	memset(plans, 0, sizeof plans);
	int n = hits;
	pthread_mutex_unlock(&lock);
	return n;
}

int fault_vfs_hits(void)
{
	pthread_mutex_lock(&lock);
	int n = hits;
	pthread_mutex_unlock(&lock);
	return n;
}

void fault_vfs_on_new_log(void (*fn)(void))
{
	on_new_log = fn;
}

void fault_vfs_on_checkpoint(void (*fn)(void))
{
	on_checkpoint = fn;
}

static void new_log(void)
{
	void (*fn)(void) = on_new_log;
	if (fn)
		fn();
}

void fault_vfs_torn(bool torn)
{
	torn_writes = torn;
}

unsigned fault_vfs_count(unsigned ops)
{
	unsigned n = 0;
	for (unsigned i = 0; i < KINDS; i++)
		if (ops & 1u << i)
			n += atomic_exchange(&counts[i], 0);
	return n;
}

void fault_vfs_on_write(void (*fn)(void))
{
	on_write = fn;
}

static void before_write(void)
{
	void (*fn)(void) = on_write;
	if (!fn || in_on_write)
		return;
	in_on_write = true;
	fn();
	in_on_write = false;
}

bool fault_vfs_log_dirty(void)
{
	pthread_mutex_lock(&lock);
	bool dirty = log_dirty;
	pthread_mutex_unlock(&lock);
	return dirty;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct fault_file *)(void *)f)->real;
}

static int x_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	int rc = fault(((struct fault_file *)(void *)f)->read_op);
	return rc ? rc : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	unsigned op = ((struct fault_file *)(void *)f)->write_op;
	if (op)
		before_write();
	int rc = fault(op);
	if (op == FAULT_LOG_WRITE && at == 0)
		new_log();
	if (rc && torn_writes && n > 1)
		(void)real_of(f)->pMethods->xWrite(real_of(f), from, n / 2, at);
	return rc ? rc : real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (((struct fault_file *)(void *)f)->write_op == FAULT_LOG_WRITE) {
		pthread_mutex_lock(&lock);
		log_dirty = true;
		pthread_mutex_unlock(&lock);
	}
	int rc = fault(FAULT_TRUNCATE);
	return rc ? rc : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int x_sync(sqlite3_file *f, int flags)
{
	int rc = fault(((struct fault_file *)(void *)f)->sync_op);
	return rc ? rc : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int x_lock(sqlite3_file *f, int level)
{
	int rc = fault(FAULT_LOCK);
	return rc ? rc : real_of(f)->pMethods->xLock(real_of(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int x_check_reserved(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
	int rc = SQLITE_OK;
	if (op == SQLITE_FCNTL_SIZE_HINT)
		rc = fault(((struct fault_file *)(void *)f)->grow_op);
	return rc ? rc : real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int x_sector_size(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int x_characteristics(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	int rc = fault(FAULT_SHM);
	return rc ? rc : real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	bool pin = offset == PIN && (flags & SQLITE_SHM_EXCLUSIVE);
	int rc = SQLITE_OK;
	if (flags & SQLITE_SHM_LOCK)
		rc = fault(FAULT_SHM | (pin ? FAULT_PIN : 0u));
	if (rc == SQLITE_OK)
		rc = real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
	if (pin && (flags & SQLITE_SHM_UNLOCK))
		new_log();
	return rc;
}

static void x_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

static int x_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **ret)
{
	return real_of(f)->pMethods->xFetch(real_of(f), at, n, ret);
}

static int x_unfetch(sqlite3_file *f, sqlite3_int64 at, void *page)
{
	void (*fn)(void) = page ? NULL : atomic_exchange(&on_checkpoint, NULL);
	if (fn)
		fn();
	return real_of(f)->pMethods->xUnfetch(real_of(f), at, page);
}

static sqlite3_io_methods methods = {
	.iVersion = 3,
	.xClose = x_close,
	.xRead = x_read,
	.xWrite = x_write,
	.xTruncate = x_truncate,
	.xSync = x_sync,
	.xFileSize = x_file_size,
	.xLock = x_lock,
	.xUnlock = x_unlock,
	.xCheckReservedLock = x_check_reserved,
	.xFileControl = x_control,
	.xSectorSize = x_sector_size,
	.xDeviceCharacteristics = x_characteristics,
	.xShmMap = x_shm_map,
	.xShmLock = x_shm_lock,
	.xShmBarrier = x_shm_barrier,
	.xShmUnmap = x_shm_unmap,
	.xFetch = x_fetch,
	.xUnfetch = x_unfetch,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct fault_file *file = (struct fault_file *)(void *)f;
	(void)vfs;
	memset(file, 0, sizeof *file);
	file->real = (sqlite3_file *)(void *)(file + 1);
	if (flags & SQLITE_OPEN_WAL) {
		file->write_op = FAULT_LOG_WRITE;
		file->sync_op = FAULT_LOG_SYNC;
		file->read_op = FAULT_LOG_READ;
	} else if (flags & SQLITE_OPEN_MAIN_DB) {
		file->write_op = FAULT_DB_WRITE;
		file->sync_op = FAULT_DB_SYNC;
		file->grow_op = FAULT_DB_GROW;
		file->read_op = FAULT_DB_READ;
	}
	int rc = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB) ? fault(FAULT_OPEN) : SQLITE_OK;
	if (rc)
		return rc; /* without methods: there is nothing to close */
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
	file->base.pMethods = file->real->pMethods ? &methods : NULL;
	return rc;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs;
	int rc = fault(FAULT_DELETE);
	return rc ? rc : real_vfs->xDelete(real_vfs, name, sync_dir);
}

void fault_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	shim = *real_vfs;
	shim.zName = "fault";
	shim.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
	shim.xOpen = x_open;
	shim.xDelete = x_delete;
	if (sqlite3_vfs_register(&shim, 1) != SQLITE_OK)
		abort();
}
