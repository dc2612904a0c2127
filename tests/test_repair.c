/*
 * The repair of a SQLite store: what each kind of damage becomes, that nothing is lost on the way
 * that need not be, and that a store is left alone which must not be mended.
 */
#include "cache/store/sqlite_repair.h"
#include "check_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#define INO(name) "(SELECT ino FROM dentry WHERE name = '" name "')"
#define SET(name, what) "UPDATE inode SET " what " WHERE ino = " INO(name)
#define LAST "((1 << 33) - 1)"
#define KEY(name, block) "((" INO(name) " << 30) + " #block ")"

static struct sqlite_repair_summary sum;
static char why[SQLITE_STORE_WHY];

static void note_fault(void *arg, const struct sqlite_check_fault *f)
{
	(void)arg;
	assert_true(f->what[0] && !strchr(f->what, '\n'));
}

static void note_mended(void *arg, const struct sqlite_check_fault *done)
{
	++*(unsigned *)arg;
	assert_true(done->what[0] && !strchr(done->what, '\n'));
}

static int repair(const char *path)
{
	unsigned mended = 0;
	struct sqlite_check_handler handler = {
		.fault = note_fault, .mended = note_mended, .arg = &mended};
	int r = sqlite_repair(path, &handler, &sum, why, sizeof why);
	if (r == 0)
		assert_int_equal(mended, sum.mended);
	return r;
}

/* The first column of the first row, as a number; -1: none. */
static int64_t ask(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int64_t n = -1;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* What the repair has left of the damaged store. */
static void remove_damaged(void)
{
	char log[300];
	snprintf(log, sizeof log, "%s-wal", sum.damaged);
	unlink(log);
	if (sum.damaged[0])
		assert_int_equal(unlink(sum.damaged), 0);
}

/* -- each kind of damage ------------------------------------------------------------------------
 */

/* What SQL did to the store, and what must be true after the repair. */
static const struct mend {
	const char *damage;
	const char *truth;
	uint64_t left; /* faults that cannot be mended */
} mends[] = {
	{"DELETE FROM store", "SELECT next_ino > (SELECT max(ino) FROM inode) FROM store", 0},
	{"UPDATE store SET next_ino = 3, uuid = x'00', block_size = 7",
		"SELECT next_ino > 3 AND length(uuid) = 16 AND block_size = 4096 FROM store", 0},
	{SET("file", "nlink = 7"), "SELECT nlink = 1 FROM inode WHERE ino = " INO("file"), 0},
	{SET("dir", "nlink = 7, parent = 3"),
		"SELECT nlink = 3 AND parent = 1 FROM inode WHERE ino = " INO("dir"), 0},
	{SET("file", "blocks = 7"), "SELECT blocks = 40 FROM inode WHERE ino = " INO("file"), 0},
	/* The size, where as many blocks are there as should be. */
	{SET("file", "size = -1"),
		"SELECT size = 40 * 4096 - 100 FROM inode WHERE ino = " INO("file"), 0},
	{SET("heir", "size = -1"), "SELECT size = 0 FROM inode WHERE ino = " INO("heir"), 0},
	{"PRAGMA ignore_check_constraints = ON; UPDATE store SET id = 2",
		"SELECT id = 1 FROM store", 0},
	{SET("file", "size = 10"),
		"SELECT size = 40 * 4096 - 100 FROM inode WHERE ino = " INO("file"), 0},
	{SET("file", "size = 1 << 40"),
		"SELECT size = 40 * 4096 - 100 FROM inode WHERE ino = " INO("file"), 0},
	/* Blocks that are gone do not become zeros. */
	{"DELETE FROM block WHERE key = " KEY("file", 16),
		"SELECT blocks = 40 AND size = 40 * 4096 - 100 FROM inode WHERE ino = " INO("file"),
		16},
	{"UPDATE block SET data = zeroblob(65536) WHERE key = " KEY("file", 0),
		"SELECT blocks = 40 FROM inode WHERE ino = " INO("file"), 16},
	{"UPDATE block SET sums = x'00' WHERE key = " KEY("file", 0),
		"SELECT sum(length(sums) = length(data) / 4096 * 8) FROM block WHERE key = " KEY(
			"file", 0),
		16},
	{"DELETE FROM hole WHERE key = " KEY("sparse", 0),
		"SELECT blocks = 22 FROM inode WHERE ino = " INO("sparse"), 20},
	/* What is there twice. */
	{"INSERT INTO hole VALUES(" KEY("file", 5) ", 1, 0)",
		"SELECT count(*) = 0 FROM hole WHERE key >> 30 = " INO("file"), 0},
	{"INSERT INTO block VALUES(" KEY("file", 5) ", NULL, zeroblob(4096))",
		"SELECT count(*) = 0 FROM block WHERE sums IS NULL", 0},
	{"INSERT INTO block VALUES(" KEY("file", 40) ", NULL, x'00')",
		"SELECT count(*) = 0 FROM block WHERE sums IS NULL", 0},
	{"UPDATE hole SET count = 1 << 50, reserved = 7",
		"SELECT max(count) < 1 << 20 AND max(reserved) = 1 FROM hole", 0},
	{"INSERT INTO block VALUES(" KEY("dir", 0) ", NULL, x'00')",
		"SELECT count(*) = 0 FROM block WHERE key >> 30 = " INO("dir"), 0},
	/* The highest inode number that has keys */
	{"INSERT INTO block VALUES(" LAST " << 30, NULL, x'00')",
		"SELECT size = 1 FROM inode WHERE ino = " LAST, 0},
	/* Inodes */
	{SET("file", "mode = 1 << 20"), "SELECT mode >> 12 = 8 FROM inode WHERE ino = " INO("file"),
		0},
	{SET("file", "mode = 2048 | 33261, uid = 1 << 33, gid = -5"),
		"SELECT mode = 33261 AND uid = 65534 AND gid = 65534 FROM inode WHERE ino = " INO(
			"file"),
		0},
	{SET("symlink", "target = NULL, size = 5"),
		"SELECT length(target) = 0 AND size = 0 FROM inode WHERE ino = " INO("symlink"), 0},
	{SET("symlink", "target = x'410042', size = 3"),
		"SELECT target = x'41' AND size = 1 FROM inode WHERE ino = " INO("symlink"), 0},
	{"UPDATE inode SET mode = 33188 WHERE ino = 1",
		"SELECT mode >> 12 = 4 FROM inode WHERE ino = 1", 0},
	{"DELETE FROM inode WHERE ino = 1", "SELECT mode >> 12 = 4 FROM inode WHERE ino = 1", 0},
	/* Names */
	{"UPDATE dentry SET name = x'2e2e' WHERE name = 'fifo'",
		"SELECT count(*) = 0 FROM dentry WHERE name = x'2e2e'", 0},
	{"UPDATE dentry SET name = CAST(name AS BLOB) WHERE name = 'fifo'",
		"SELECT typeof(name) = 'text' FROM dentry WHERE name = 'fifo'", 0},
	{"UPDATE dentry SET id = 5, type = 4096 WHERE parent = 1",
		"SELECT count(*) = count(DISTINCT id) FROM dentry WHERE parent = 1", 0},
	{"INSERT INTO dentry VALUES(1, 'A', 99, " INO("sub") ", 16384)",
		"SELECT count(*) = 1 FROM dentry WHERE ino = " INO("sub"), 0},
	{"INSERT INTO dentry VALUES(1, 'B', 98, 4000, 32768)",
		"SELECT count(*) = 0 FROM dentry WHERE name = 'B'", 0},
	{"DELETE FROM dentry WHERE name = 'file'",
		"SELECT count(*) FROM records WHERE path LIKE '/lost+found/#%' AND size > 100000",
		0},
	{"DELETE FROM dentry WHERE name = 'dir'",
		"SELECT count(*) FROM records WHERE path GLOB '/lost+found/#*/sub/deep'", 0},
	/* A circle */
	{"CREATE TEMP TABLE old AS SELECT " INO("dir") " d, " INO(
		 "sub") " s;"
			"UPDATE dentry SET parent = (SELECT s FROM old) WHERE name = 'dir';"
			"UPDATE inode SET parent = (SELECT s FROM old) WHERE ino = (SELECT d FROM "
			"old)",
		"SELECT count(*) FROM records WHERE path GLOB '/lost+found/#*/sub/deep'", 0},
	/* An inode that is gone is made anew, of its data or of its names. */
	{"DELETE FROM inode WHERE ino = " INO("file"),
		"SELECT size = 40 * 4096 - 100 AND mode = 33152 FROM records WHERE path = '/file'",
		0},
	{"DELETE FROM inode WHERE ino = " INO("dir"),
		"SELECT mode = 16832 AND nlink = 3 FROM records WHERE path = '/dir'", 0},
	/* Attributes */
	{"UPDATE xattr SET value = x'02' WHERE name = CAST('system.posix_acl_access' AS BLOB)",
		"SELECT count(*) = 0 FROM xattr WHERE length(value) = 1", 0},
	{SET("attributes", "ttl = 5, flags = 0"),
		"SELECT ttl = 2500000000 AND flags = 1 FROM inode WHERE ino = " INO("attributes"),
		0},
	{"INSERT INTO xattr VALUES(4000, x'41', x'')",
		"SELECT count(*) = 0 FROM xattr WHERE ino = 4000", 0},
	/* Orphans, mounts, the log */
	{"DELETE FROM orphan", "SELECT count(*) FROM records WHERE path GLOB '/lost+found/#*'", 0},
	{"INSERT INTO orphan VALUES(" INO(
		 "attributes") ", 1, 0); INSERT INTO orphan VALUES(4000, 0, 0)",
		"SELECT count(*) = 1 FROM orphan", 0},
	{"UPDATE orphan SET change = 1 << 50, mount = -1",
		"SELECT change = 0 AND mount = 0 FROM orphan", 0},
	{"INSERT INTO changelog VALUES(500, 0, 6, 1, NULL, NULL, NULL)",
		"SELECT count(*) = 0 FROM changelog WHERE kind = 6", 0},
	/* The schema */
	{"CREATE TRIGGER t AFTER UPDATE ON inode BEGIN DELETE FROM block; END",
		"SELECT count(*) = 0 FROM sqlite_schema WHERE name = 't'", 0},
	{"DROP INDEX dentry_order", "SELECT count(*) FROM dentry INDEXED BY dentry_order", 0},
	{"DROP VIEW lookup", "SELECT count(*) FROM lookup WHERE json = '\"/file\"'", 0},
	{"DROP TABLE xattr", "SELECT count(*) = 0 FROM inode WHERE flags <> 0", 0},
};

static void mends_each_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mends); i++) {
		const struct mend *d = &mends[i];
		check_copy_sound();
		check_run_sql(check_broken, d->damage);
		if (repair(check_broken) != 0)
			fail_msg("after \"%s\": %s", d->damage, why);
		if (sum.mended == 0 && sum.check.faults == 0)
			fail_msg("after \"%s\": nothing was done", d->damage);
		if (sum.check.faults != d->left)
			fail_msg("after \"%s\": %llu faults are left", d->damage,
				(unsigned long long)sum.check.faults);
		struct check_findings found = {0};
		struct sqlite_check_summary again;
		assert_int_equal(check_run(check_broken, &found, &again), 0);
		assert_int_equal(again.faults, d->left);
		if (ask(check_broken, d->truth) <= 0)
			fail_msg("after \"%s\": not true: %s", d->damage, d->truth);
		kit_free(check_open(check_broken));
		remove_damaged();
	}
}

/* All at once: the steps rely on each other. */
static void mends_all_of_them_together(void **state)
{
	(void)state;
	check_copy_sound();
	for (size_t i = 0; i < ARRAY_LEN(mends) - 4; i++)
		check_run_sql(check_broken, mends[i].damage);
	assert_int_equal(repair(check_broken), 0);
	struct check_findings found = {0};
	struct sqlite_check_summary again;
	assert_int_equal(check_run(check_broken, &found, &again), 0);
	for (size_t i = 0; i < found.n && i < CHECK_FAULTS_MAX; i++)
		assert_string_equal(found.fault[i].what, "checksum does not match");
	kit_free(check_open(check_broken));
}

/* -- a database that is damaged as such -----------------------------------------------------------
 */

/* Overwrites the root page of a table. */
static void destroy_page(const char *sql)
{
	struct check_bytes b = check_read_file(check_broken);
	size_t page = (size_t)ask(check_broken, sql);
	free(b.p);
	b = check_read_file(check_broken);
	assert_in_range(page, 2, b.used / 4096);
	memset(b.p + (page - 1) * 4096, 0x5a, 4096);
	check_write_file(check_broken, b.p, b.n);
	free(b.p);
}

static void makes_a_new_store_of_what_can_be_read(void **state)
{
	(void)state;
	static const char *const tables[] = {
		"hole", "xattr", "mount", "changelog", "store", "dentry_order", "dentry_directory"};
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		char sql[128];
		check_copy_sound();
		snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'",
			tables[i]);
		destroy_page(sql);
		struct check_bytes before = check_read_file(check_broken);
		if (repair(check_broken) != 0)
			fail_msg("%s: %s", tables[i], why);
		assert_true(sum.damaged[0]);
		/* The holes are lost, so they cannot be told from data that is lost. */
		if (strcmp(tables[i], "hole") != 0)
			assert_int_equal(sum.check.faults, 0);
		struct check_bytes old = check_read_file(sum.damaged);
		assert_int_equal(old.n, before.n);
		assert_memory_equal(old.p, before.p, old.n);
		free(old.p);
		free(before.p);
		assert_int_equal(
			ask(check_broken, "SELECT count(*) FROM dentry WHERE name = 'lost+found'"),
			0);
		assert_int_equal(ask(check_broken, "SELECT count(*) FROM dentry"),
			ask(check_sound, "SELECT count(*) FROM dentry"));
		kit_free(check_open(check_broken));
		remove_damaged();
	}
}

/* One leaf of the data is gone: all other files are as they were. */
static void keeps_what_a_bad_page_does_not_concern(void **state)
{
	(void)state;
	check_copy_sound();
	kit_free(check_open(check_broken));
	struct check_bytes b = check_read_file(check_broken);
	unsigned char *mark = memmem(b.p, b.n, CHECK_MARK, sizeof CHECK_MARK);
	assert_non_null(mark);
	memset(b.p + (mark - b.p) / 4096 * 4096, 0, 4096); /* in a chain of overflow pages */
	check_write_file(check_broken, b.p, b.n);
	free(b.p);
	assert_int_equal(repair(check_broken), 0);
	assert_true(sum.check.faults > 0 && sum.check.faults <= 16);
	remove_damaged();
	struct kit *k = check_open(check_broken);
	static unsigned char want[40 * STORE_BLOCK_SIZE - 100];
	static struct store_span span;
	uint64_t file = kit_lookup(k, STORE_ROOT_INO, "file");
	kit_pattern(want, sizeof want, 1);
	assert_int_equal(store_read(k->store, file, 3, 1, &span), -EBADMSG);
	assert_int_equal(store_read(k->store, file, 16, 24, &span), 0);
	assert_memory_equal(span.blocks[16 - span.first]->data, want + 65536, STORE_BLOCK_SIZE);
	store_span_release(&span);
	/* And it can be written again. */
	assert_int_equal(kit_write(k, file, 0, want, sizeof want), 0);
	kit_expect_bytes(k, file, want, sizeof want);
	kit_free(k);
	struct sqlite_check_summary again;
	check_expect_clean(check_broken, &again);
}

/* -- what is left alone ---------------------------------------------------------------------------
 */

static void leaves_a_sound_store_alone(void **state)
{
	(void)state;
	check_copy_sound();
	struct check_bytes before = check_read_file(check_broken);
	assert_int_equal(repair(check_broken), 0);
	assert_int_equal(sum.mended, 0);
	assert_int_equal(sum.check.faults, 0);
	struct check_bytes after = check_read_file(check_broken);
	assert_int_equal(before.n, after.n);
	assert_memory_equal(before.p, after.p, after.n);
	free(before.p);
	free(after.p);
}

static void refuses_a_store_in_use(void **state)
{
	(void)state;
	int ready[2], done[2];
	char byte = 0;
	check_copy_sound();
	check_run_sql(check_broken, SET("file", "nlink = 7"));
	assert_int_equal(pipe(ready) | pipe(done), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct kit *k = check_open(check_broken);
		IGNORE(write(ready[1], "r", 1) < 0);
		IGNORE(read(done[0], &byte, 1) < 0);
		kit_free(k);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(repair(check_broken), -EBUSY);
	assert_non_null(strstr(why, "unmount"));
	assert_int_equal(write(done[1], "d", 1), 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(ask(check_broken, "SELECT nlink FROM inode WHERE ino = " INO("file")), 7);
	assert_int_equal(repair(check_broken), 0);
}

static void refuses_what_is_no_store(void **state)
{
	(void)state;
	unlink(check_broken);
	assert_int_equal(repair(check_broken), -ENOENT);
	check_write_file(check_broken, "some text", 9);
	assert_int_equal(repair(check_broken), -EPROTO);
	check_copy_sound();
	check_run_sql(check_broken, "PRAGMA user_version = 99");
	assert_int_equal(repair(check_broken), -EPROTONOSUPPORT);
	/* Nothing at all can be read. */
	check_copy_sound();
	struct check_bytes b = check_read_file(check_broken);
	memset(b.p + 100, 0x5a, b.n - 100);
	check_write_file(check_broken, b.p, b.n);
	assert_int_equal(repair(check_broken), -EBADMSG);
	struct check_bytes after = check_read_file(check_broken);
	assert_int_equal(after.n, b.n);
	assert_memory_equal(after.p, b.p, b.n);
	free(after.p);
	free(b.p);
	assert_false(check_exists(check_broken, ".damaged"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_a_sound_store_alone),
		cmocka_unit_test(mends_each_damage),
		cmocka_unit_test(mends_all_of_them_together),
		cmocka_unit_test(makes_a_new_store_of_what_can_be_read),
		cmocka_unit_test(keeps_what_a_bad_page_does_not_concern),
		cmocka_unit_test(refuses_a_store_in_use),
		cmocka_unit_test(refuses_what_is_no_store),
	};
	return cmocka_run_group_tests(tests, check_make_store, check_remove_store);
}
