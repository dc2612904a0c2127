/*
 * What SQL clients do to the file of a store that is in use: what they may do, goes on working;
 * what breaks it, is refused with an errno, and nothing worse.
 */
#include "pair.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A file of a few rows, by the peer, and one of ours. */
static uint64_t some_files(struct pair *x)
{
	uint64_t f = pair_file(x, "f");
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(pair_there(x, make_write(f, i * 8192, 5000, false), NULL), 0);
	uint64_t g = store_file_create(&x->file, "g");
	assert_int_equal(store_file_write(&x->file, g, 0, 'a', 100000, false), 0);
	pair_hear(&x->file, NULL);
	pair_peer_hears(x);
	return g;
}

/* Both can still read, write, and hear of each other. */
static void works(struct pair *x, uint64_t ino, char letter)
{
	assert_int_equal(store_file_write(&x->file, ino, 0, letter, 100000, true), 0);
	assert_int_equal(peer_first(x->peer, ino), letter);
	pair_peer_hears(x);
	pair_expect("data %llu 0-24", (unsigned long long)ino);
	assert_int_equal(pair_there(x, make_write(ino, 0, 10, false), NULL), 0);
	pair_hear(&x->file, NULL);
	pair_expect("data %llu 0-0", (unsigned long long)ino);
	assert_int_equal(store_file_first(&x->file, ino), '\0');
}

static void test_maintenance(void **state)
{
	struct pair *x = *state;
	uint64_t ino = some_files(x);
	static const char *const sql[] = {"VACUUM", "ANALYZE", "REINDEX", "PRAGMA optimize",
		"PRAGMA integrity_check", "PRAGMA wal_checkpoint", "PRAGMA incremental_vacuum"};
	for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
		store_file_sql(&x->file, sql[i]);
		works(x, ino, (char)('b' + i));
	}
}

/* An SQL client cannot take the store out of WAL mode under us. */
static void test_journal_mode(void **state)
{
	struct pair *x = *state;
	uint64_t ino = some_files(x);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(x->file.path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL), SQLITE_BUSY);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	works(x, ino, 'b');
}

/* Code that somebody adds to the file does not run here, nor does an index harm. */
static void test_added_to_the_schema(void **state)
{
	struct pair *x = *state;
	uint64_t ino = some_files(x);
	store_file_sql(&x->file,
		"CREATE TRIGGER evil AFTER UPDATE ON inode BEGIN DELETE FROM block; END;"
		"CREATE INDEX evil_index ON inode(mtime)");
	works(x, ino, 'b');
	store_file_sql(&x->file, "DROP TRIGGER evil; DROP INDEX evil_index");
	works(x, ino, 'c');
}

static void run(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void run(sqlite3 *db, const char *format, ...)
{
	char sql[256], *error = NULL;
	va_list args;
	va_start(args, format);
	vsnprintf(sql, sizeof sql, format, args);
	va_end(args);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
}

/* A table is taken away, and brought back. */
static void test_missing_table(void **state)
{
	struct pair *x = *state;
	static const char *const tables[] = {"changelog", "mount", "block", "inode"};
	uint64_t ino = some_files(x);
	struct peer_orphans o;
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(x->file.path, &db), SQLITE_OK);
	run(db, "CREATE TEMP TABLE kept AS SELECT name, sql FROM sqlite_schema");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		run(db, "ALTER TABLE %s RENAME TO away", tables[i]);
		assert_int_equal(store_file_write(&x->file, ino, 0, 'x', 100000, true), -EIO);
		peer_poll_here(x->file.store, NULL, &pair_told);
		assert_true(pair_told.result == -EIO || pair_told.result == 0);
		peer_orphans_here(x->file.store, &o);
		assert_true(o.result == -EIO || o.result == 0);
		run(db, "ALTER TABLE away RENAME TO %s", tables[i]);
		works(x, ino, (char)('b' + i));
	}
	/* As it was written, since it is compared word by word. */
	run(db, "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql ="
		" (SELECT sql FROM kept WHERE kept.name = sqlite_master.name)");
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(int argc, char **argv)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		PAIR(test_maintenance),
		PAIR(test_journal_mode),
		PAIR(test_added_to_the_schema),
		PAIR(test_missing_table),
	};
	peer_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
