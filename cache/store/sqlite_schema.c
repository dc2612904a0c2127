/* The tables of a store, how one is made, and how one is told from other files. */

#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Why this page size: docs/measurements.md. */
#define PAGE_SIZE 4096

/* docs/store-format.md explains every column and states the invariants. */
static const char *const tables[] = {
	"CREATE TABLE store("
	"id INTEGER PRIMARY KEY CHECK(id = 1), uuid BLOB NOT NULL, created INTEGER NOT NULL,"
	" block_size INTEGER NOT NULL, next_ino INTEGER NOT NULL, settled INTEGER NOT NULL) STRICT",

	"CREATE TABLE inode("
	"ino INTEGER PRIMARY KEY, mode INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" gid INTEGER NOT NULL, nlink INTEGER NOT NULL, size INTEGER NOT NULL,"
	" blocks INTEGER NOT NULL, reserved INTEGER NOT NULL, rdev INTEGER NOT NULL,"
	" atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,"
	" btime INTEGER NOT NULL, version INTEGER NOT NULL, parent INTEGER NOT NULL,"
	" ttl INTEGER, flags INTEGER NOT NULL, target BLOB) STRICT",

	"CREATE TABLE dentry("
	"parent INTEGER NOT NULL, name ANY NOT NULL, id INTEGER NOT NULL, ino INTEGER NOT NULL,"
	" type INTEGER NOT NULL, PRIMARY KEY(parent, name)) STRICT, WITHOUT ROWID",

	"CREATE INDEX dentry_order ON dentry(parent, id, ino, type)",

	/* From a directory up to the root. */
	"CREATE INDEX dentry_directory ON dentry(ino) WHERE type = 16384",

	"CREATE TABLE block(key INTEGER PRIMARY KEY, sums BLOB, data BLOB NOT NULL) STRICT",

	"CREATE TABLE hole("
	"key INTEGER PRIMARY KEY, count INTEGER NOT NULL, reserved INTEGER NOT NULL) STRICT",

	"CREATE TABLE xattr("
	"ino INTEGER NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY(ino, name)) STRICT, WITHOUT ROWID",

	"CREATE TABLE orphan("
	"ino INTEGER NOT NULL, mount INTEGER NOT NULL, change INTEGER NOT NULL,"
	" PRIMARY KEY(ino, mount)) STRICT, WITHOUT ROWID",

	"CREATE TABLE mount("
	"id INTEGER PRIMARY KEY, boot TEXT NOT NULL, pid INTEGER NOT NULL,"
	" started INTEGER NOT NULL, since INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT",

	"CREATE TABLE changelog("
	"id INTEGER PRIMARY KEY, mount INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" ino INTEGER NOT NULL, first INTEGER, last INTEGER, name ANY) STRICT",
};

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The file's header, read before SQLite has it open: see facts about locks in sqlite.h. */
static ssize_t read_header(const char *path, unsigned char *header, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	struct stat st;
	ssize_t n;
	if (fstat(fd, &st) < 0)
		n = -errno;
	else if (S_ISDIR(st.st_mode))
		n = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		n = -EPROTO;
	else if ((n = pread(fd, header, size, 0)) < 0)
		n = -errno;
	close(fd);
	return n;
}

int sq_recognise(const char *path, enum sq_format *ret, char *why, size_t why_size)
{
	unsigned char header[100];
	ssize_t n = read_header(path, header, sizeof header);
	if (n == -ENOENT || n == 0) {
		*ret = n == 0 ? SQ_FORMAT_EMPTY : SQ_FORMAT_MISSING;
		return 0;
	}
	if (n < 0 && n != -EPROTO) {
		snprintf(why, why_size, "%s: cannot read the store: %s", path, strerror((int)-n));
		return (int)n;
	}
	if (n < (ssize_t)sizeof header || memcmp(header, "SQLite format 3", 16) != 0) {
		snprintf(why, why_size,
			"%s: not a recordfs store, nor any SQLite database; name another file",
			path);
		return -EPROTO;
	}
	if (big_endian(header + 68) != SQ_APPLICATION_ID) {
		snprintf(why, why_size,
			"%s: a SQLite database, but not a recordfs store; name another file", path);
		return -EPROTO;
	}
	uint32_t format = big_endian(header + 60);
	if (format != SQ_FORMAT && format != SQ_FORMAT_1) {
		snprintf(why, why_size,
			"%s: store format %u is %s than this recordfs (format %d); use a %s one",
			path, format, format > SQ_FORMAT ? "newer" : "older", SQ_FORMAT,
			format > SQ_FORMAT ? "newer" : "matching");
		return -EPROTONOSUPPORT;
	}
	*ret = format == SQ_FORMAT ? SQ_FORMAT_OURS : SQ_FORMAT_OLD;
	return 0;
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The first rows: the store's own, and the root directory. */
static int fill(sqlite3 *db)
{
	unsigned char uuid[16];
	if (getrandom(uuid, sizeof uuid, 0) != (ssize_t)sizeof uuid)
		return -EIO;
	char hex[2 * sizeof uuid + 1];
	for (size_t i = 0; i < sizeof uuid; i++)
		snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
	int64_t now = now_ns();
	char *sql = sqlite3_mprintf("INSERT INTO store VALUES(1, x'%s', %lld, %u, %u, 0);"
				    "INSERT INTO inode VALUES(%u, %u, %u, %u, 2, 0, 0, 0, 0,"
				    " %lld, %lld, %lld, %lld, 1, %u, NULL, 0, NULL)",
		hex, (long long)now, STORE_BLOCK_SIZE, STORE_ROOT_INO + 1, STORE_ROOT_INO,
		(unsigned)S_IFDIR | 0755u, getuid(), getgid(), (long long)now, (long long)now,
		(long long)now, (long long)now, STORE_ROOT_INO);
	if (!sql)
		return -ENOMEM;
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	return sq_errno(rc);
}

/*
 * Views come first: the first root
 * page that SQLite 3.40 looks at in `PRAGMA integrity_check` is that of the youngest object, and if
 * it is a view, which has none, it does not look for pages that nothing uses. (After VACUUM, which
 * makes the views last, it does not.)
 */
const char *sq_schema(size_t n)
{
	const char *const *views, *const *triggers, *const *log;
	size_t n_views, n_triggers, n_log;
	views = sq_view_ddl(&n_views);
	triggers = sq_trigger_ddl(&n_triggers);
	log = sq_log_ddl(&n_log);
	if (n < n_views)
		return views[n];
	n -= n_views;
	if (n < ARRAY_LEN(tables))
		return tables[n];
	n -= ARRAY_LEN(tables);
	if (n < n_triggers)
		return triggers[n];
	n -= n_triggers;
	return n < n_log ? log[n] : NULL;
}

static int build(sqlite3 *db)
{
	char pragmas[160];
	/* auto_vacuum and page_size can only be chosen before there is a table. */
	snprintf(pragmas, sizeof pragmas,
		"PRAGMA page_size = %d; PRAGMA auto_vacuum = INCREMENTAL;"
		"PRAGMA application_id = %d; PRAGMA user_version = %d; BEGIN IMMEDIATE",
		PAGE_SIZE, SQ_APPLICATION_ID, SQ_FORMAT);
	int rc = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
	for (size_t i = 0; rc == SQLITE_OK && sq_schema(i); i++)
		rc = sqlite3_exec(db, sq_schema(i), NULL, NULL, NULL);
	int r = sq_errno(rc);
	if (r == 0)
		r = fill(db);
	/* The mode is noted in the header, so that no client ever opens the store in another. */
	if (r == 0)
		r = sq_errno(
			sqlite3_exec(db, "COMMIT; PRAGMA journal_mode = WAL", NULL, NULL, NULL));
	return r;
}

int sq_sync_directory_of(const char *path)
{
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	char *slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy] = '\0';
	int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -errno;
	int r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* A file that SQLite may have left beside another one, after a crash, must not be taken for one of
 * the next. */
/* SQLite's lock SHARED, which is held by whoever has a store open: sqlite3.c, os_unix.c. */
#define SHARED_FIRST 0x40000002
#define SHARED_SIZE 510

bool sq_lock_all_out(int fd)
{
	struct flock all = {.l_type = F_WRLCK, .l_start = SHARED_FIRST, .l_len = SHARED_SIZE};
	return fcntl(fd, F_OFD_SETLK, &all) == 0;
}

void sqlite_store_remove(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return;
	if (sq_lock_all_out(fd))
		sq_remove_database(path);
	close(fd);
}

void sq_remove_database(const char *path)
{
	static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char *name = sqlite3_mprintf("%s%s", path, suffixes[i]);
		if (name)
			unlink(name);
		sqlite3_free(name);
	}
}

/*
 * The empty file at `path`, locked so that of several processes only one replaces it; it is in
 * *ret_fd, to be closed. 0: it is not there any more, or not empty: somebody else was first.
 * Else 1. A store must not be opened in this way (sqlite.h), but what is locked here never becomes
 * one.
 */
static int lock_empty(const char *path, int *ret_fd)
{
	struct stat locked, now;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = 0;
	if (fstat(fd, &locked) < 0)
		r = -errno;
	else if (locked.st_size == 0 && flock(fd, LOCK_EX) < 0)
		r = -errno;
	else if (stat(path, &now) == 0)
		r = now.st_size == 0 && now.st_ino == locked.st_ino && now.st_dev == locked.st_dev;
	if (r == 1)
		*ret_fd = fd;
	else
		close(fd);
	return r;
}

/* Moves what was built into place. 1: done; 0: somebody else was first. */
static int put_in_place(const char *temporary, const char *path, bool replace)
{
	int empty = -1;
	int r = replace ? lock_empty(path, &empty) : 1;
	if (r == 1 &&
		renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = errno == EEXIST ? 0 : -errno;
	if (empty >= 0)
		close(empty);
	return r;
}

/*
 * Makes the file that SQLite then finds empty: if that is not possible, SQLite would try to open it
 * for reading only, and blame the file for not being there. It is for its owner alone whatever the
 * umask says; but when it replaces an empty file it is whose that was, for whom that was. What
 * SQLite makes beside it gets the same mode.
 */
static int make_empty(const char *path, const char *replaces)
{
	struct stat st = {.st_mode = 0600};
	if (replaces && stat(replaces, &st) < 0)
		return -errno;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = 0;
	if (replaces && geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
		r = -errno;
	if (r == 0 && fchmod(fd, st.st_mode & 0666) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Builds the store under a name of its own and moves it into place when it is complete, so that a
 * crash on the way leaves no half-made store. */
int sq_create(const char *path, bool replace, char *why, size_t why_size)
{
	char *temporary = sqlite3_mprintf("%s.new-%d", path, (int)getpid());
	if (!temporary)
		return -ENOMEM;
	sqlite3 *db = NULL;
	sq_remove_database(temporary);
	int r = make_empty(temporary, replace ? path : NULL);
	if (r == 0)
		r = sq_errno(sqlite3_open_v2(temporary, &db,
			SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, sq_vfs_name()));
	if (r == 0)
		r = build(db);
	int system_errno = db ? sqlite3_system_errno(db) : 0;
	sqlite3_close(db);
	if (r == -EIO && system_errno > 0)
		r = -system_errno;
	bool made = false;
	if (r == 0) {
		r = put_in_place(temporary, path, replace);
		made = r == 1;
	}
	if (!made)
		sq_remove_database(temporary);
	if (r >= 0)
		r = sq_sync_directory_of(path);
	if (r < 0)
		snprintf(why, why_size, "%s: cannot create the store: %s", path, strerror(-r));
	sqlite3_free(temporary);
	return r < 0 ? r : made;
}

/* Is this object of the schema, by its SQL, one of ours? SQLite's own indexes have no SQL. */
static bool known(const char *sql)
{
	for (size_t i = 0; sq_schema(i); i++)
		if (strcmp(sql, sq_schema(i)) == 0)
			return true;
	return false;
}

/* What ANALYZE adds. By its SQL as well: names and types in sqlite_schema may lie. */
static bool statistics(const char *sql)
{
	return strcmp(sql, "CREATE TABLE sqlite_stat1(tbl,idx,stat)") == 0 ||
	       strcmp(sql, "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)") == 0;
}

int sq_verify_schema(struct sq_conn *c, char *why, size_t why_size)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(
		c->db, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL", -1, &st, NULL);
	size_t found = 0;
	char stranger[64] = "";
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *sql = (const char *)sqlite3_column_text(st, 1);
		if (sql && known(sql))
			found++;
		else if (!sql || !statistics(sql))
			snprintf(stranger, sizeof stranger, "%s", sqlite3_column_text(st, 0));
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		bool damaged = (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
		snprintf(why, why_size, "%s: %s: %s", sqlite3_db_filename(c->db, "main"),
			damaged ? "the database is damaged" : "cannot read the schema",
			sqlite3_errmsg(c->db));
		return sq_errno(rc) ? sq_errno(rc) : -EIO;
	}
	if (stranger[0]) {
		snprintf(why, why_size,
			"%s: the schema has been altered (%s): unmount it, then 'recordfsctl check "
			"--repair'",
			sqlite3_db_filename(c->db, "main"), stranger);
		return -EPROTO;
	}
	if (sq_schema(found)) {
		snprintf(why, why_size,
			"%s: something is missing from the schema: unmount it, then 'recordfsctl "
			"check --repair'",
			sqlite3_db_filename(c->db, "main"));
		return -EPROTO;
	}
	return 0;
}
