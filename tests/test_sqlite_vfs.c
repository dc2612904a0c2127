/*
 * The VFS that gathers what is written to the log: how much it saves, and that nothing else is
 * different. Transactions that spill pages, write them again and roll parts back run on it over
 * disks that fail, and are looked at from outside before each write that reaches a file.
 */
#include "fault_vfs.h"
#include "store_file.h"

#include "cache/store/sqlite_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS 48

/* A table of ROWS rows, each on a page of its own, and what it must hold. */
struct table {
	char path[96], copy[96];
	sqlite3 *db;
	unsigned seed;	     /* of the next transaction */
	int64_t value[ROWS]; /* committed */
	int64_t next[ROWS];  /* of the open transaction */
	bool in_doubt;	     /* it may be committed */
	int images;
};

static struct table *shown; /* to look(), which takes no argument */

static int run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void must(sqlite3 *db, const char *sql)
{
	if (run(db, sql) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *open_db(const char *path, const char *vfs)
{
	sqlite3 *db;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	assert_int_equal(sqlite3_open_v2(path, &db, flags, vfs), SQLITE_OK);
	must(db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL");
	must(db, "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 6; PRAGMA temp_store = 2");
	return db;
}

/* 1: it holds the values; 0: it does not; negative: it could not be read. */
static int holds(sqlite3 *db, const int64_t *value)
{
	sqlite3_stmt *st = NULL;
	size_t n = 0;
	bool same = true;
	sqlite3_prepare_v2(db, "SELECT v FROM t ORDER BY id", -1, &st, NULL);
	for (; sqlite3_step(st) == SQLITE_ROW; n++)
		same &= n < ROWS && sqlite3_column_int64(st, 0) == value[n];
	return !st || sqlite3_finalize(st) != SQLITE_OK ? -1 : same && n == ROWS;
}

static void check(const struct table *t, sqlite3 *db)
{
	sqlite3_stmt *st;
	assert_true(holds(db, t->value) == 1 || (t->in_doubt && holds(db, t->next) == 1));
	sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
}

static void copy_file(const char *from, const char *to)
{
	static char buf[65536];
	ssize_t n;
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof buf)) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in); /* gives up SQLite's locks, which no other process asks for */
	close(out);
}

/* What would be found if the process were killed now. */
static void look(void)
{
	struct table *t = shown;
	char from[128], to[128];
	sqlite3 *db;
	copy_file(t->path, t->copy);
	snprintf(from, sizeof from, "%s-wal", t->path);
	snprintf(to, sizeof to, "%s-wal", t->copy);
	copy_file(from, to);
	assert_int_equal(sqlite3_open_v2(t->copy, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
	must(db, "PRAGMA synchronous = OFF"); /* it is not kept */
	check(t, db);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	t->images++;
}

static void table_open(struct table *t, struct store_file *f, const char *vfs)
{
	store_file_close(f); /* only its directory is wanted */
	memset(t, 0, sizeof *t);
	snprintf(t->path, sizeof t->path, "%s/table.db", f->dir);
	snprintf(t->copy, sizeof t->copy, "%s/copy.db", f->dir);
	t->db = open_db(t->path, vfs);
	must(t->db, "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER, pad BLOB)");
	must(t->db, "WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 47)"
		    " INSERT INTO t SELECT i, 0, randomblob(3000) FROM n");
	shown = t;
}

static void table_close(struct table *t)
{
	assert_int_equal(sqlite3_close(t->db), SQLITE_OK);
	assert_int_equal(unlink(t->path), 0);
}

/* Alters some rows, in *next as well unless that fails. */
static void alter(struct table *t, int64_t *next)
{
	char sql[128];
	int from = rand_r(&t->seed) % ROWS, n = 1 + rand_r(&t->seed) % 12, by = rand_r(&t->seed);
	snprintf(sql, sizeof sql,
		"UPDATE t SET v = v + %d, pad = randomblob(3000) WHERE id BETWEEN %d AND %d", by,
		from, from + n - 1);
	/* Not in a transaction of its own, once an error has ended the open one. */
	if (!sqlite3_get_autocommit(t->db) && run(t->db, sql) == SQLITE_OK)
		for (int i = from; i < from + n && i < ROWS; i++)
			next[i] += by;
}

/* One transaction; true: it was committed. Goes on after errors as far as SQLite lets it. */
static bool transact(struct table *t)
{
	int64_t saved[ROWS];
	memcpy(t->next, t->value, sizeof t->next);
	must(t->db, "BEGIN IMMEDIATE");
	for (int i = rand_r(&t->seed) % 6; i >= 0; i--) {
		alter(t, t->next);
		if (sqlite3_get_autocommit(t->db))
			return false; /* a savepoint would begin another transaction */
		bool inside = rand_r(&t->seed) % 2 && run(t->db, "SAVEPOINT s") == SQLITE_OK;
		if (!inside)
			continue;
		memcpy(saved, t->next, sizeof saved);
		alter(t, t->next);
		alter(t, t->next);
		if (sqlite3_get_autocommit(t->db))
			return false;
		if (rand_r(&t->seed) % 2)
			assert_int_not_equal(holds(t->db, t->next), 0);
		if (rand_r(&t->seed) % 2 && run(t->db, "ROLLBACK TO s") == SQLITE_OK)
			memcpy(t->next, saved, sizeof saved);
	}
	if (sqlite3_get_autocommit(t->db))
		return false;
	t->in_doubt = true;
	bool done = run(t->db, "COMMIT") == SQLITE_OK;
	t->in_doubt = false;
	if (done)
		memcpy(t->value, t->next, sizeof t->value);
	else if (!sqlite3_get_autocommit(t->db))
		must(t->db, "ROLLBACK");
	return done;
}

static void vary(struct table *t, int n)
{
	must(t->db, n % 2 ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	if (n % 5 == 4)
		must(t->db, "PRAGMA wal_checkpoint(PASSIVE)");
	t->seed = (unsigned)n;
}

/* Killed before any write, it leaves a file that holds what was acknowledged. */
static void test_images(void **state)
{
	struct table t;
	table_open(&t, *state, sq_vfs_name());
	for (int n = 0; n < 60; n++) {
		fault_vfs_on_write(look);
		vary(&t, n);
		assert_true(transact(&t));
		fault_vfs_on_write(NULL);
		look();
		check(&t, t.db);
	}
	assert_in_range(t.images, 120, 100000);
	table_close(&t);
}

/* Fails the transaction's 1st, 2nd, 3rd ... write until none fails. */
static int fail_each(struct table *t, int kind, int rc, bool torn)
{
	int n = 0;
	for (bool hit = true; hit; n++) {
		vary(t, kind);
		fault_vfs_torn(torn);
		fault_vfs_arm(FAULT_LOG_WRITE, n, false, rc);
		bool done = transact(t);
		hit = fault_vfs_disarm() > 0;
		assert_int_equal(done, !hit);
		check(t, t->db);
		look();
	}
	return n;
}

static void test_faults(void **state)
{
	const char *const vfs[] = {sq_vfs_name(), NULL};
	int writes[ARRAY_LEN(vfs)] = {0};
	for (size_t i = 0; i < ARRAY_LEN(vfs); i++) {
		struct table t;
		table_open(&t, *state, vfs[i]);
		for (int kind = 0; kind < 4; kind++) {
			writes[i] += fail_each(&t, kind, SQLITE_FULL, kind % 2);
			writes[i] += fail_each(&t, kind, SQLITE_IOERR_WRITE, kind % 2 == 0);
		}
		table_close(&t);
	}
	assert_in_range(writes[0], 40, writes[1] * 2 / 3);
}

/* An error that comes late, when SQLite has gone on, is not forgotten: a page that was spilled
 * could not be written when it was read again. */
static void test_late_error(void **state)
{
	struct table t;
	table_open(&t, *state, sq_vfs_name());
	must(t.db, "PRAGMA wal_checkpoint(PASSIVE); BEGIN IMMEDIATE");
	must(t.db, "UPDATE t SET v = v + 1, pad = randomblob(3000) WHERE id < 16");
	fault_vfs_arm(FAULT_LOG_WRITE, 0, false, SQLITE_IOERR_WRITE);
	assert_int_equal(holds(t.db, t.value), -1);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_not_equal(run(t.db, "COMMIT"), SQLITE_OK);
	if (!sqlite3_get_autocommit(t.db))
		must(t.db, "ROLLBACK");
	check(&t, t.db);
	look();
	assert_true(transact(&t));
	check(&t, t.db);
	look();
	table_close(&t);
}

/* What a transaction leaves behind that was rolled back is not written over what another
 * connection wrote to the same place. */
static void test_left_over(void **state)
{
	struct table t;
	table_open(&t, *state, sq_vfs_name());
	sqlite3 *other = open_db(t.path, NULL);
	for (int n = 0; n < 20; n++) {
		must(t.db, "BEGIN IMMEDIATE");
		must(t.db, "UPDATE t SET v = -1, pad = randomblob(3000) WHERE id < 20");
		must(t.db, "ROLLBACK");
		must(other, "UPDATE t SET v = v + 1, pad = randomblob(3000) WHERE id % 3 = 0");
		for (int i = 0; i < ROWS; i += 3)
			t.value[i]++;
		check(&t, t.db);
		check(&t, other);
		look();
		t.seed = (unsigned)n;
		assert_true(transact(&t));
		check(&t, other);
		look();
	}
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	table_close(&t);
}

/* A lone overwrite costs one write, and a large one as many as it has pieces. */
static void test_count(void **state)
{
	struct store_file *f = *state;
	size_t mib = 1 << 20;
	uint64_t ino = store_file_create(f, "a");
	assert_int_equal(store_file_write(f, ino, 0, 'a', mib, true), 0);
	fault_vfs_count(FAULT_LOG_WRITE);
	for (unsigned n = 1; n <= 10; n++) {
		assert_int_equal(store_file_write(f, ino, 0, 'b', 4096, true), 0);
		assert_int_equal(fault_vfs_count(FAULT_LOG_WRITE), 1);
	}
	assert_int_equal(store_file_write(f, ino, 0, 'c', mib, true), 0);
	assert_in_range(
		fault_vfs_count(FAULT_LOG_WRITE), mib / SQ_VFS_GATHER, mib / SQ_VFS_GATHER * 2);
	assert_int_equal(store_file_first(f, ino), 'c');
}

struct heard {
	unsigned n;
	int64_t at;
};

static void hear(void *arg, int64_t at)
{
	struct heard *h = arg;
	h->n++;
	h->at = at;
}

static int read_page(sqlite3_file *file, int64_t at)
{
	char page[4096];
	return file->pMethods->xRead(file, page, sizeof page, at);
}

/* Reads of the database are said before they are done, to who wants to hear of them. */
static void test_on_read(void **state)
{
	struct table t;
	struct heard h = {0};
	sqlite3_file *file = NULL, *other = NULL;
	table_open(&t, *state, sq_vfs_name());
	must(t.db, "PRAGMA wal_checkpoint(PASSIVE)");
	sqlite3_file_control(t.db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	assert_non_null(file);
	assert_int_equal(read_page(file, 4096), SQLITE_OK);
	sq_vfs_on_read(file, hear, &h);
	assert_int_equal(read_page(file, (int64_t)24 * 4096), SQLITE_OK);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.at, 24 * 4096);
	fault_vfs_arm(FAULT_DB_READ, 0, false, SQLITE_IOERR_READ);
	assert_int_equal(read_page(file, 8192), SQLITE_IOERR_READ);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.at, 8192);
	sq_vfs_on_read(file, NULL, NULL);
	assert_int_equal(read_page(file, 4096), SQLITE_OK);
	assert_int_equal(h.n, 2);

	/* Files of others are left alone. */
	sq_vfs_on_read(NULL, hear, &h);
	sqlite3 *plain = open_db(t.path, NULL);
	sqlite3_file_control(plain, "main", SQLITE_FCNTL_FILE_POINTER, &other);
	sq_vfs_on_read(other, hear, &h);
	assert_int_equal(read_page(other, 4096), SQLITE_OK);
	assert_int_equal(h.n, 2);
	assert_int_equal(sqlite3_close(plain), SQLITE_OK);
	table_close(&t);
}

int main(void)
{
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_images, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(test_faults, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_late_error, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_left_over, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_on_read, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(test_count, store_file_setup, store_file_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
