#include "power_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The wrapped file lies behind ours in the same allocation. */
struct disk_file {
	sqlite3_file base;
	int file; /* its number; -1: not followed */
	bool is_log;
	unsigned session; /* of which record */
	sqlite3_file *real;
};

/* A file as the processes see it. */
struct inode {
	ino_t ino; /* 0: it has no name any more */
	unsigned char *cache;
	size_t room;
	uint64_t size;
	bool is_log;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim;
static sqlite3_io_methods methods;
static enum disk_lie lies;

/* Held for each operation but a flush, so that the record has their order. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct disk_record *record; /* NULL: off */
static size_t room;
static unsigned session;
static char directory[256];
static struct inode inodes[DISK_FILES_MAX];

static int (*real_open_directory)(const char *path, int *fd);
/* Set when SQLite opens the directory of a file, which it does to flush it. */
static _Thread_local bool directory_seen;

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void copy_name(char to[DISK_NAME_MAX], const char *name)
{
	size_t n = strnlen(name, DISK_NAME_MAX);
	if (n == DISK_NAME_MAX)
		abort();
	memcpy(to, name, n + 1);
}

static struct disk_op *add(enum disk_op_kind kind, unsigned file)
{
	if (record->n == room) {
		room = room ? 2 * room : 1024;
		record->ops = must(realloc(record->ops, room * sizeof *record->ops));
	}
	struct disk_op *op = &record->ops[record->n++];
	*op = (struct disk_op){.kind = kind, .file = file, .upto = record->n - 1};
	return op;
}

static void reach(struct inode *i, uint64_t size)
{
	uint64_t whole = (size + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
	if (whole > i->room) {
		size_t more = (size_t)whole * 2;
		i->cache = must(realloc(i->cache, more));
		memset(i->cache + i->room, 0, more - i->room);
		i->room = more;
	}
}

static void add_write(unsigned file, const void *from, size_t n, uint64_t at)
{
	struct inode *i = &inodes[file];
	uint64_t begin = at / DISK_SECTOR * DISK_SECTOR;
	uint64_t end = (at + n + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
	reach(i, end);
	memcpy(i->cache + at, from, n);
	if (at + n > i->size)
		i->size = at + n;
	struct disk_op *op = add(DISK_WRITE, file);
	op->at = begin;
	op->len = (size_t)(end - begin);
	op->bytes = must(malloc(op->len));
	memcpy(op->bytes, i->cache + begin, op->len);
	op->size = i->size;
}

static void add_size(unsigned file, uint64_t size)
{
	struct inode *i = &inodes[file];
	if (size == i->size)
		return;
	reach(i, size);
	if (size < i->size)
		memset(i->cache + size, 0, i->room - size);
	i->size = size;
	add(DISK_SIZE, file)->size = size;
}

/* The part of `path` after the directory; NULL: it is not in there, or of no interest. */
static const char *name_in(const char *path)
{
	size_t n = strlen(directory);
	if (!record || !path || strncmp(path, directory, n) != 0 || path[n] != '/')
		return NULL;
	const char *name = path + n + 1, *end = strrchr(name, '-');
	if (strlen(name) >= DISK_NAME_MAX || (end && strcmp(end, "-shm") == 0))
		return NULL;
	return name;
}

/* The number of an open file; -1: not followed. */
static int find(ino_t ino)
{
	for (unsigned i = 0; ino && i < record->n_files; i++)
		if (inodes[i].ino == ino)
			return (int)i;
	return -1;
}

static unsigned new_file(ino_t ino)
{
	if (record->n_files == DISK_FILES_MAX)
		abort();
	inodes[record->n_files] = (struct inode){.ino = ino};
	return record->n_files++;
}

static int follow(const char *path)
{
	struct stat st;
	const char *name = name_in(path);
	if (!name || stat(path, &st) < 0)
		return -1;
	int file = find(st.st_ino);
	if (file < 0) {
		file = (int)new_file(st.st_ino);
		copy_name(add(DISK_NAME, (unsigned)file)->name, name);
	}
	return file;
}

static void add_base(const char *name)
{
	char path[600];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		abort();
	unsigned file = new_file(st.st_ino);
	struct inode *i = &inodes[file];
	i->size = (uint64_t)st.st_size;
	reach(i, i->size + 1);
	if (fread(i->cache, 1, (size_t)i->size, f) != i->size)
		abort();
	fclose(f);
	record->base = must(realloc(record->base, record->n_files * sizeof *record->base));
	struct disk_base *b = &record->base[record->n_base++];
	*b = (struct disk_base){.size = i->size, .bytes = must(malloc(i->size + 1))};
	memcpy(b->bytes, i->cache, i->size);
	copy_name(b->name, name);
}

void disk_start(const char *dir)
{
	pthread_mutex_lock(&lock);
	record = must(calloc(1, sizeof *record));
	room = 0;
	session++;
	snprintf(directory, sizeof directory, "%s", dir);
	DIR *d = must(opendir(dir));
	for (struct dirent *e; (e = readdir(d));) {
		char path[600];
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && name_in(path))
			add_base(e->d_name);
	}
	closedir(d);
	pthread_mutex_unlock(&lock);
}

struct disk_record *disk_stop(void)
{
	pthread_mutex_lock(&lock);
	struct disk_record *r = record;
	for (unsigned i = 0; i < r->n_files; i++)
		free(inodes[i].cache);
	memset(inodes, 0, sizeof inodes);
	record = NULL;
	pthread_mutex_unlock(&lock);
	return r;
}

void disk_free(struct disk_record *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->ops[i].bytes);
	for (unsigned i = 0; i < r->n_base; i++)
		free(r->base[i].bytes);
	free(r->ops);
	free(r->base);
	free(r);
}

size_t disk_position(void)
{
	pthread_mutex_lock(&lock);
	size_t n = record ? record->n : 0;
	pthread_mutex_unlock(&lock);
	return n;
}

size_t disk_count(const struct disk_record *r, enum disk_op_kind kind, bool log)
{
	size_t n = 0;
	bool is_log[DISK_FILES_MAX] = {false};
	for (size_t i = 0; i < r->n; i++) {
		const struct disk_op *op = &r->ops[i];
		const char *end = strrchr(op->name, '-');
		if (op->kind == DISK_NAME)
			is_log[op->file] = end && strcmp(end, "-wal") == 0;
		n += op->kind == kind && is_log[op->file] == log;
	}
	return n;
}

void disk_lie(enum disk_lie lie)
{
	lies = lie;
}

/* -- the store's own calls ------------------------------------------------------------------- */

int __real_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len);
int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fallocate64(int fd, int mode, off_t at, off_t len)
{
	struct stat st;
	pthread_mutex_lock(&lock);
	int r = __real_fallocate64(fd, mode, at, len);
	if (record && fstat(fd, &st) == 0 && find(st.st_ino) >= 0)
		add_size((unsigned)find(st.st_ino), (uint64_t)st.st_size);
	pthread_mutex_unlock(&lock);
	return r;
}

int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	pthread_mutex_lock(&lock);
	int r = __real_renameat2(from, old, to, new, flags);
	const char *name = name_in(new), *old_name = name_in(old);
	int file = r == 0 && name && old_name ? follow(new) : -1;
	if (file >= 0) {
		struct disk_op *op = add(DISK_NAME, (unsigned)file);
		copy_name(op->name, name);
		copy_name(op->old, old_name);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

int __wrap_fsync(int fd)
{
	struct stat st;
	size_t upto = disk_position();
	int r = __real_fsync(fd);
	if (r == 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		pthread_mutex_lock(&lock);
		if (record)
			add(DISK_NAMES_SYNC, 0)->upto = upto;
		pthread_mutex_unlock(&lock);
	}
	return r;
}

static int open_directory(const char *path, int *fd)
{
	directory_seen = true;
	return real_open_directory(path, fd);
}

/* -- SQLite's -------------------------------------------------------------------------------- */

static struct disk_file *file_of(sqlite3_file *f)
{
	return (struct disk_file *)(void *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
	return file_of(f)->real;
}

/* Under the lock. */
static bool followed(sqlite3_file *f)
{
	return record && file_of(f)->file >= 0 && file_of(f)->session == session;
}

static int x_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static void note_size(sqlite3_file *f)
{
	sqlite3_int64 size;
	if (real_of(f)->pMethods->xFileSize(real_of(f), &size) == SQLITE_OK)
		add_size((unsigned)file_of(f)->file, (uint64_t)size);
}

/* What a write that failed has written is what can be read now. */
static void note_failed_write(sqlite3_file *f, int n, sqlite3_int64 at)
{
	unsigned char *now = must(calloc(1, (size_t)n));
	sqlite3_int64 size = 0;
	int rc = real_of(f)->pMethods->xFileSize(real_of(f), &size);
	if (rc == SQLITE_OK && at < size) {
		int some = size - at < n ? (int)(size - at) : n;
		if (real_of(f)->pMethods->xRead(real_of(f), now, some, at) == SQLITE_OK)
			add_write((unsigned)file_of(f)->file, now, (size_t)some, (uint64_t)at);
	}
	free(now);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	pthread_mutex_lock(&lock);
	int rc = real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
	if (followed(f) && rc == SQLITE_OK)
		add_write((unsigned)file_of(f)->file, from, (size_t)n, (uint64_t)at);
	else if (followed(f))
		note_failed_write(f, n, at);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	pthread_mutex_lock(&lock);
	int rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
	if (followed(f))
		note_size(f);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int x_sync(sqlite3_file *f, int flags)
{
	size_t upto = disk_position();
	if (lies == (file_of(f)->is_log ? DISK_NO_LOG_SYNC : DISK_NO_DB_SYNC))
		return SQLITE_OK;
	directory_seen = false;
	int rc = real_of(f)->pMethods->xSync(real_of(f), flags);
	pthread_mutex_lock(&lock);
	if (followed(f)) {
		add(rc == SQLITE_OK ? DISK_SYNC : DISK_SYNC_FAILED, (unsigned)file_of(f)->file)
			->upto = upto;
		if (directory_seen && rc == SQLITE_OK)
			add(DISK_NAMES_SYNC, 0)->upto = upto;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int x_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
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
	pthread_mutex_lock(&lock);
	int rc = real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
	if (op == SQLITE_FCNTL_SIZE_HINT && followed(f))
		note_size(f);
	pthread_mutex_unlock(&lock);
	return rc;
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
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

/* Files are not to be mapped: stores would not be seen. */
static int x_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **ret)
{
	(void)f;
	(void)at;
	(void)n;
	*ret = NULL;
	return SQLITE_OK;
}

static int x_unfetch(sqlite3_file *f, sqlite3_int64 at, void *page)
{
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
	struct disk_file *file = file_of(f);
	(void)vfs;
	memset(file, 0, sizeof *file);
	file->file = -1;
	file->real = (sqlite3_file *)(void *)(file + 1);
	file->is_log = (flags & SQLITE_OPEN_WAL) != 0;
	pthread_mutex_lock(&lock);
	int rc = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
	if (rc == SQLITE_OK && record) {
		file->file = follow(name);
		file->session = session;
	}
	pthread_mutex_unlock(&lock);
	file->base.pMethods = file->real->pMethods ? &methods : NULL;
	return rc;
}

static int x_delete(sqlite3_vfs *vfs, const char *path, int flush)
{
	struct stat st;
	(void)vfs;
	pthread_mutex_lock(&lock);
	const char *name = name_in(path);
	int file = name && stat(path, &st) == 0 ? find(st.st_ino) : -1;
	directory_seen = false;
	int rc = real_vfs->xDelete(real_vfs, path, flush);
	if (file >= 0 && rc == SQLITE_OK) {
		copy_name(add(DISK_UNNAME, (unsigned)file)->name, name);
		inodes[file].ino = 0;
		if (directory_seen)
			(void)add(DISK_NAMES_SYNC, 0);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void disk_install(void)
{
	static const char directory_call[] = "openDirectory";
	real_vfs = sqlite3_vfs_find(NULL);
	sqlite3_vfs *plain = sqlite3_vfs_find("unix");
	real_open_directory =
		(int (*)(const char *, int *))plain->xGetSystemCall(plain, directory_call);
	plain->xSetSystemCall(plain, directory_call, (sqlite3_syscall_ptr)open_directory);
	shim = *real_vfs;
	shim.zName = "unix";
	shim.szOsFile = (int)sizeof(struct disk_file) + real_vfs->szOsFile;
	shim.xOpen = x_open;
	shim.xDelete = x_delete;
	if (sqlite3_vfs_unregister(plain) != SQLITE_OK ||
		sqlite3_vfs_register(&shim, 1) != SQLITE_OK)
		abort();
}
