#include "layoutdb.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAL_FRAME_HEADER 24u
#define CACHE_KIB                                                                                  \
	16384 /* more than a transaction changes, so that none spills to the WAL twice             \
	       */

static const char schema[] =
	"CREATE TABLE inode(ino INTEGER PRIMARY KEY, mode, uid, gid, nlink, size, blocks, rdev,"
	" atime, mtime, ctime, btime, version, parent, ttl, flags);"
	"CREATE TABLE dentry(parent, id, name BLOB, ino, type, PRIMARY KEY(parent, id))"
	" WITHOUT ROWID;"
	"CREATE UNIQUE INDEX dentry_name ON dentry(parent, name);"
	"CREATE TABLE block(key INTEGER PRIMARY KEY, sums BLOB, data BLOB);";

static const char *const statements[N_STMTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[NEW_INODE] = "INSERT INTO inode VALUES(?1, 33188, 1000, 1000, 1, ?2, ?3, 0, ?4, ?4, ?4,"
		      " ?4, 1, 3, -1, 0)",
	[TOUCH_INODE] = "UPDATE inode SET size = ?2, blocks = ?3, mtime = ?4, ctime = ?4,"
			" version = version + 1 WHERE ino = ?1",
	[NEW_DENTRY] = "INSERT INTO dentry VALUES(3, ?1, ?2, ?1, 32768)",
	[PUT_ROW] = "INSERT INTO block(key, sums, data) VALUES(?1, ?2, ?3)"
		    " ON CONFLICT(key) DO UPDATE SET sums = excluded.sums, data = excluded.data",
	[REPLACE_ROW] = "REPLACE INTO block(key, sums, data) VALUES(?1, ?2, ?3)",
	[GET_ROW] = "SELECT sums, data FROM block WHERE key = ?1",
	[GET_RANGE] = "SELECT data FROM block WHERE key BETWEEN ?1 AND ?2",
};

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(struct db *db, int rc, int expected)
{
	if (rc != expected)
		errx(1, "%s: %s", db->path, sqlite3_errmsg(db->sql));
}

static void execute(struct db *db, const char *text)
{
	check(db, sqlite3_exec(db->sql, text, NULL, NULL, NULL), SQLITE_OK);
}

static uint64_t query(struct db *db, const char *text)
{
	sqlite3_stmt *s;
	uint64_t value;

	check(db, sqlite3_prepare_v2(db->sql, text, -1, &s, NULL), SQLITE_OK);
	check(db, sqlite3_step(s), SQLITE_ROW);
	value = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return value;
}

static unsigned frame_size(const struct db *db)
{
	return db->layout->page + WAL_FRAME_HEADER;
}

static int on_commit(void *arg, sqlite3 *sql, const char *name, int frames)
{
	struct db *db = arg;
	unsigned n = (unsigned)frames;

	(void)sql;
	(void)name;
	db->wal_bytes += (uint64_t)(n - db->frames) * frame_size(db);
	db->frames = n;
	return SQLITE_OK;
}

void db_connect(struct db *db)
{
	char text[240];

	check(db, sqlite3_open(db->path, &db->sql), SQLITE_OK);
	snprintf(text, sizeof(text),
		"PRAGMA page_size=%u; PRAGMA auto_vacuum=%u; PRAGMA journal_mode=WAL;"
		"PRAGMA secure_delete=OFF; PRAGMA cache_size=-%d; PRAGMA synchronous=NORMAL",
		db->layout->page, db->layout->auto_vacuum, CACHE_KIB);
	execute(db, text);
	sqlite3_wal_hook(db->sql, on_commit, db); /* in place of automatic checkpoints */
	if (query(db, "SELECT count(*) FROM sqlite_schema") == 0)
		execute(db, schema);
	for (int i = 0; i < N_STMTS; i++)
		check(db, sqlite3_prepare_v2(db->sql, statements[i], -1, &db->stmt[i], NULL),
			SQLITE_OK);
}

void db_disconnect(struct db *db)
{
	for (int i = 0; i < N_STMTS; i++)
		sqlite3_finalize(db->stmt[i]);
	check(db, sqlite3_close(db->sql), SQLITE_OK);
	db->frames = 0; /* the last one to close takes the WAL away */
}

void db_set_durable(struct db *db, bool durable)
{
	execute(db, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

uint64_t db_wal_size(const struct db *db)
{
	return (uint64_t)db->frames * frame_size(db);
}

void db_checkpoint_past(struct db *db, uint64_t limit)
{
	if (db_wal_size(db) <= limit)
		return;
	check(db, sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
		SQLITE_OK);
	db->frames = 0;
}

uint64_t db_used_bytes(struct db *db)
{
	if (db->sql == NULL)
		return 0;
	return (query(db, "PRAGMA page_count") - query(db, "PRAGMA freelist_count")) *
	       db->layout->page;
}

static void bind_int(struct db *db, enum stmt id, int at, uint64_t value)
{
	check(db, sqlite3_bind_int64(db->stmt[id], at, (sqlite3_int64)value), SQLITE_OK);
}

static void bind_bytes(struct db *db, enum stmt id, int at, const void *bytes, size_t len)
{
	check(db, sqlite3_bind_blob64(db->stmt[id], at, bytes, len, SQLITE_STATIC), SQLITE_OK);
}

void db_run(struct db *db, enum stmt id)
{
	check(db, sqlite3_step(db->stmt[id]), SQLITE_DONE);
	check(db, sqlite3_reset(db->stmt[id]), SQLITE_OK);
}

void db_put_inode(struct db *db, enum stmt how, uint64_t ino, uint64_t size)
{
	bind_int(db, how, 1, ino);
	bind_int(db, how, 2, size);
	bind_int(db, how, 3, (size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE);
	bind_int(db, how, 4, now_ns() + ((uint64_t)1 << 60)); /* as wide as a time of day */
	db_run(db, how);
}

void db_put_dentry(struct db *db, uint64_t ino, const void *name, size_t len)
{
	bind_int(db, NEW_DENTRY, 1, ino);
	bind_bytes(db, NEW_DENTRY, 2, name, len);
	db_run(db, NEW_DENTRY);
}

uint64_t db_row_key(uint64_t ino, uint64_t block)
{
	return ino << 30 | block;
}

void db_put_row(
	struct db *db, enum stmt how, uint64_t key, const void *sums, const void *data, size_t len)
{
	bind_int(db, how, 1, key);
	bind_bytes(db, how, 2, sums, (len + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE * 8);
	bind_bytes(db, how, 3, data, len);
	db_run(db, how);
}

/* Copies a column out; returns its bytes. */
static size_t take_column(sqlite3_stmt *s, int column, unsigned char *buf)
{
	const void *bytes = sqlite3_column_blob(s, column);
	size_t len = (size_t)sqlite3_column_bytes(s, column);

	memcpy(buf, bytes, len);
	return len;
}

void db_get_row(struct db *db, uint64_t key)
{
	sqlite3_stmt *s = db->stmt[GET_ROW];

	bind_int(db, GET_ROW, 1, key);
	check(db, sqlite3_step(s), SQLITE_ROW);
	take_column(s, 0, db->sums);
	take_column(s, 1, db->row);
	check(db, sqlite3_reset(s), SQLITE_OK);
}

size_t db_get_range(struct db *db, uint64_t first, uint64_t last, unsigned char *buf)
{
	sqlite3_stmt *s = db->stmt[GET_RANGE];
	size_t got = 0;
	int rc;

	bind_int(db, GET_RANGE, 1, first);
	bind_int(db, GET_RANGE, 2, last);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		got += take_column(s, 0, buf + got);
	check(db, rc, SQLITE_DONE);
	check(db, sqlite3_reset(s), SQLITE_OK);
	return got;
}

void db_patch(struct db *db, const char *column, uint64_t key, unsigned at, const void *bytes,
	unsigned len)
{
	sqlite3_int64 row = (sqlite3_int64)key;
	sqlite3_blob *blob;

	check(db, sqlite3_blob_open(db->sql, "main", "block", column, row, 1, &blob), SQLITE_OK);
	check(db, sqlite3_blob_write(blob, bytes, (int)len, (int)(at * len)), SQLITE_OK);
	check(db, sqlite3_blob_close(blob), SQLITE_OK);
}
