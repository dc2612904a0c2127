/*
 * The check of a SQLite store finds each kind of damage that is done to a copy of a sound store by
 * SQL.
 */
#include "check_kit.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* -- each kind of fault -------------------------------------------------------------------------
 */

#define INO(name) "(SELECT ino FROM dentry WHERE name = '" name "')"
#define SET(name, what) "UPDATE inode SET " what " WHERE ino = " INO(name)
#define KEY(name, block) "((" INO(name) " << 30) + " #block ")"
#define ENTRY(name, what) "UPDATE dentry SET " what " WHERE name = '" name "'"
#define XATTR(name, what) "UPDATE xattr SET " what " WHERE name = CAST('" name "' AS BLOB)"

/* Where a block begins. */
#define AT(block) ((int64_t)(block)*STORE_BLOCK_SIZE)

struct damage {
	const char *sql;
	const char *what; /* a part of the fault that must be told */
	const char *path; /* NULL: about no inode, or one without a path */
	int64_t offset;
};

static void expect_fault(const struct check_findings *found, const struct damage *d)
{
	const char *path = d->path ? d->path : "";
	for (size_t i = 0; i < found->n && i < CHECK_FAULTS_MAX; i++)
		if (strstr(found->fault[i].what, d->what) &&
			strcmp(found->fault[i].path, path) == 0 &&
			found->fault[i].offset == d->offset)
			return;
	check_print(found);
	fail_msg("after \"%s\" not found: %s: %s", d->sql, path, d->what);
}

static void find_each(const struct damage *damages, size_t n)
{
	struct check_findings found = {0};
	struct sqlite_check_summary sum;
	for (size_t i = 0; i < n; i++) {
		check_copy_sound();
		check_run_sql(check_broken, damages[i].sql);
		assert_int_equal(check_run(check_broken, &found, &sum), 0);
		expect_fault(&found, &damages[i]);
	}
}

static void finds_faults_of_data(void **state)
{
	(void)state;
	static const struct damage damages[] = {
		{"UPDATE block SET data = zeroblob(65536) WHERE key = " KEY("file", 16),
			"checksum does not match", "/file", AT(31)},
		{"UPDATE block SET (sums, data) = (SELECT sums, data FROM block WHERE key = " KEY(
			 "file", 16) ") WHERE key = " KEY("file", 0),
			"checksum does not match", "/file", 0},
		{"UPDATE block SET key = key + 8 WHERE key = " KEY("file", 32),
			"checksum does not match", "/file", AT(40)},
		{"UPDATE block SET sums = x'00' WHERE key = " KEY("file", 0),
			"1 byte of checksums for 16 blocks", "/file", 0},
		{"UPDATE block SET sums = zeroblob(1000000) WHERE key = " KEY("file", 0),
			"1000000 bytes of checksums", "/file", 0},
		{"UPDATE block SET data = x'' WHERE key = " KEY("file", 0),
			"a row of 0 bytes cannot be here", "/file", 0},
		{"UPDATE block SET data = zeroblob(65537) WHERE key = " KEY("file", 0),
			"a row of 65537 bytes cannot be here", "/file", 0},
		{"UPDATE block SET data = zeroblob(20000000) WHERE key = " KEY("sparse", 20),
			"cannot be here", "/sparse", AT(20)},
		{"DELETE FROM block WHERE key = " KEY("file", 16), "16 blocks are missing", "/file",
			AT(16)},
		{"DELETE FROM block WHERE key = " KEY("file", 32), "8 blocks are missing", "/file",
			AT(32)},
		{"DELETE FROM hole WHERE key = " KEY("sparse", 0), "20 blocks are missing",
			"/sparse", 0},
		{"INSERT INTO hole VALUES(" KEY("file", 5) ", 1, 0)",
			"a hole where another row is already", "/file", AT(5)},
		{"INSERT INTO block VALUES(" KEY("file", 5) ", NULL, x'00')",
			"a run of blocks where another row is already", "/file", AT(5)},
		{"INSERT INTO hole VALUES(" KEY("file", 1000) ", 1, 0)",
			"a hole past the end of the file", "/file", AT(1000)},
		{"INSERT INTO block VALUES(" KEY("file", 40) ", NULL, x'00')",
			"a run of blocks past the end of the file", "/file", AT(40)},
		{SET("file", "size = size - 1"), "bytes are stored past the end", "/file",
			AT(40) - 101},
		{SET("file", "size = size + 101"), "1 block is missing", "/file", AT(40)},
		{SET("file", "blocks = blocks + 1"), "block count is 41, but 40", "/file", -1},
		{SET("sparse", "reserved = 0"), "reserved blocks is 0, but", "/sparse", -1},
		{"UPDATE hole SET count = 0 WHERE key = " KEY("sparse", 0), "a hole of 0 blocks",
			"/sparse", 0},
		{"UPDATE hole SET reserved = 2 WHERE key = " KEY("sparse", 0),
			"neither reserved nor not", "/sparse", 0},
		{"INSERT INTO block VALUES(900 << 30, NULL, x'00')", "1 row of data or holes, but",
			NULL, -1},
		{"INSERT INTO hole VALUES(-5, 1, 0)", "there is no such inode", NULL, -1},
		{"INSERT INTO block VALUES(" KEY("dir", 0) ", NULL, x'00')",
			"is not a regular file", "/dir", -1},
	};
	find_each(damages, ARRAY_LEN(damages));
}

static void finds_faults_of_inodes(void **state)
{
	(void)state;
	static const struct damage damages[] = {
		{SET("file", "mode = 420"), "of no type of file", "/file", -1},
		{SET("file", "mode = 1 << 20"), "mode is 1048576, out of range", "/file", -1},
		{SET("file", "uid = -1"), "uid is -1, out of range", "/file", -1},
		{SET("file", "gid = 1 << 32"), "gid is 4294967296", "/file", -1},
		{SET("file", "nlink = -1"), "link count is -1, out", "/file", -1},
		{SET("file", "size = -1"), "size is -1, out of range", "/file", -1},
		{SET("file", "size = (1 << 42) + 1"), "out of range", "/file", -1},
		{SET("file", "blocks = -1"), "block count is -1, out of range", "/file", -1},
		{SET("file", "reserved = -1"), "reserved blocks is -1, out", "/file", -1},
		{SET("file", "rdev = 1"), "but is no device", "/file", -1},
		{SET("file", "version = 0"), "version is 0, out of range", "/file", -1},
		{SET("file", "parent = 1"), "has a parent, but", "/file", -1},
		{SET("file", "flags = 2"), "flags is 2, out of range", "/file", -1},
		{SET("file", "ttl = -1"), "TTL is negative", "/file", -1},
		{SET("file", "target = x'41'"), "but is no symlink", "/file", -1},
		{SET("symlink", "target = NULL"), "symlink without a target", "/symlink", -1},
		{SET("symlink", "target = x'41'"), "the target 1 byte long", "/symlink", -1},
		{SET("symlink", "target = x'4100', size = 2"), "has a NUL byte", "/symlink", -1},
		{SET("symlink", "target = zeroblob(5000), size = 5000"), "5000 bytes long",
			"/symlink", -1},
		{SET("dir", "size = 5"), "not a file with data", "/dir", -1},
		{SET("fifo", "blocks = 5"), "not a regular file", "/dir/fifo", -1},
		{"UPDATE inode SET ino = 1 << 34 WHERE ino = " INO("fifo"), "number is 17179869184",
			NULL, -1},
		{"UPDATE inode SET mode = 33188 WHERE ino = 1", "the root is no directory", "/",
			-1},
		{"DELETE FROM inode WHERE ino = 1", "there is no root directory", "/", -1},
		{"DELETE FROM orphan", "not listed as an orphan", NULL, -1},
		{"UPDATE orphan SET change = 1000000", "by a change that there was not", NULL, -1},
		{"INSERT INTO mount(boot, pid, started, since, seen) VALUES('', 0, 0, 0, 1000000)",
			"has seen changes that there were not", NULL, -1},
		{"INSERT INTO orphan VALUES(4000, 1, 0)", "but does not exist", NULL, -1},
		{"INSERT INTO orphan VALUES(" INO("file") ", 1, 0)", "but its link count is 1",
			"/file", -1},
	};
	find_each(damages, ARRAY_LEN(damages));
}

static void finds_faults_of_names(void **state)
{
	(void)state;
	static const struct damage damages[] = {
		{ENTRY("file", "name = x''"), "invalid name of 0 bytes", "/", -1},
		{ENTRY("file", "name = x'2e'"), "invalid name of 1 byte,", "/", -1},
		{ENTRY("file", "name = x'2e2e'"), "invalid name of 2 bytes", "/", -1},
		{ENTRY("fifo", "name = x'612f62'"), "invalid name of 3 bytes", "/dir", -1},
		{ENTRY("fifo", "name = x'610062'"), "invalid name of 3 bytes", "/dir", -1},
		{ENTRY("file", "name = CAST(name AS BLOB)"), "should be TEXT, for it is UTF-8", "/",
			-1},
		{ENTRY("file", "name = CAST(x'66ff' AS TEXT)"), "should be a BLOB, for it is not",
			"/", -1},
		{ENTRY("file", "name = 7"), "invalid name of 1 byte,", "/", -1},
		{ENTRY("fifo", "name = zeroblob(256)"), "invalid name of 256 bytes", "/dir", -1},
		{ENTRY("sub", "id = 2"), "two entries of id 2", "/dir", -1},
		{ENTRY("sub", "id = 0"), "entry of id 0, out of range", "/dir", -1},
		{ENTRY("fifo", "ino = 4000"), "there is no such inode", "/dir/fifo", -1},
		{ENTRY("fifo", "ino = 4000"), "lost: it has no name", NULL, -1},
		{ENTRY("fifo", "type = 32768"), "it is of another type", "/dir/fifo", -1},
		{"DELETE FROM dentry WHERE name = 'deep'", "link count is 2, but it has 1 name",
			"/second name", -1},
		{SET("file", "nlink = 2"), "link count is 2, but it has 1", "/file", -1},
		{SET("dir", "nlink = 4"), "link count is 4, but it has 1 subdirectory", "/dir", -1},
		{"UPDATE inode SET nlink = 0 WHERE ino = 1", "root directory is deleted", "/", -1},
		{"UPDATE inode SET parent = 7 WHERE ino = 1", "the parent of the root is inode 7",
			"/", -1},
		{SET("sub", "parent = 1"), "its parent is not inode 1", "/dir/sub", -1},
		{SET("sub", "nlink = 0"), "a deleted directory with 1 name", "/dir/sub", -1},
		{SET("sub", "nlink = 0"), "a deleted directory with 1 entry", "/dir/sub", -1},
		{"INSERT INTO dentry VALUES(1, 'A', 99, " INO("sub") ", 16384)",
			"a directory with 2 names", "/A", -1},
		{"INSERT INTO dentry VALUES(1, 'A', 99, 1, 16384)", "a root directory with 1", "/",
			-1},
		{"DELETE FROM dentry WHERE name = 'sub'", "a directory with 0 names", NULL, -1},
		{"INSERT INTO dentry VALUES(" INO("file") ", 'A', 99, 4000, 32768)",
			"has 1 entry, but is no directory", "/file", -1},
		{"INSERT INTO dentry VALUES(4000, 'A', 99, " INO("file") ", 32768)",
			"has 1 entry, but there is no such inode", NULL, -1},
		/* A circle that the root does not lead to. */
		{"CREATE TEMP TABLE old AS SELECT " INO("dir") " check_dir, " INO(
			 "sub") " sub;"
				"UPDATE dentry SET parent = (SELECT sub FROM old) WHERE name = "
				"'dir';"
				"UPDATE inode SET parent = (SELECT sub FROM old) WHERE ino ="
				" (SELECT check_dir FROM old)",
			"the root does not lead to", ".../dir/sub", -1},
	};
	find_each(damages, ARRAY_LEN(damages) - 1);
	/* Its path goes round and round: only its end is known beforehand. */
	struct check_findings found = {0};
	struct sqlite_check_summary sum;
	check_copy_sound();
	check_run_sql(check_broken, damages[ARRAY_LEN(damages) - 1].sql);
	assert_int_equal(check_run(check_broken, &found, &sum), 0);
	size_t lost = 0;
	for (size_t i = 0; i < found.n && i < CHECK_FAULTS_MAX; i++)
		if (strstr(found.fault[i].what, "the root does not lead to")) {
			assert_memory_equal(found.fault[i].path, ".../", 4);
			lost++;
		}
	assert_int_equal(lost, 2);
}

static void finds_faults_of_attributes(void **state)
{
	(void)state;
	static const struct damage damages[] = {
		{"INSERT INTO xattr VALUES(4000, x'41', x'')", "there is no such inode", NULL, -1},
		{XATTR("user.empty", "name = x''"), "without a valid name", "/attributes", -1},
		{XATTR("user.empty", "name = x'4100'"), "without a valid name", "/attributes", -1},
		{XATTR("user.empty", "name = zeroblob(256)"), "without a valid name", "/attributes",
			-1},
		{XATTR("user.empty", "value = zeroblob(65537)"), "attribute of 65537 bytes",
			"/attributes", -1},
		{SET("attributes", "flags = 0"), "not marked as having", "/attributes", -1},
		{SET("file", "flags = 1"), "but there are none", "/file", -1},
		{SET("attributes", "ttl = 5"), "is not the TTL in its row", "/attributes", -1},
		{SET("attributes", "ttl = NULL"), "is not the TTL in its row", "/attributes", -1},
		{XATTR("user.recordfs.ttl", "value = x'41'"), "not a number of seconds",
			"/attributes", -1},
		{SET("file", "ttl = 5"), "has a TTL in its row, but no", "/file", -1},
		{XATTR("system.posix_acl_access", "value = x'02'"), "its ACL is malformed",
			"/attributes", -1},
		{XATTR("system.posix_acl_default", "value = x'02000000'"), "its ACL is malformed",
			"/rules", -1},
		{XATTR("system.posix_acl_access",
			 "name = CAST('system.posix_acl_default' AS BLOB)"),
			"but is no directory", "/attributes", -1},
		{SET("attributes", "mode = mode | 7"), "mode 100647 and ACL say different",
			"/attributes", -1},
	};
	find_each(damages, ARRAY_LEN(damages));
}

static void finds_faults_of_the_whole(void **state)
{
	(void)state;
	static const struct damage damages[] = {
		{"PRAGMA ignore_check_constraints = ON; UPDATE store SET id = 2",
			"id of the store's row is 2", NULL, -1},
		{"UPDATE store SET next_ino = 3", "the next inode to be is 3", NULL, -1},
		{"UPDATE store SET next_ino = 1 << 40", "the next inode to be is", NULL, -1},
		{"UPDATE store SET block_size = 512", "block size is 512", NULL, -1},
		{"UPDATE store SET uuid = x'00'", "uuid is 1 byte long", NULL, -1},
		{"DELETE FROM store", "has 0 rows", NULL, -1},
		{"CREATE TABLE stranger(x)", "the schema has been altered (stranger)", NULL, -1},
		{"CREATE TRIGGER t AFTER UPDATE ON inode BEGIN DELETE FROM block; END",
			"the schema has been altered (t)", NULL, -1},
		{"INSERT INTO changelog VALUES(1 << 62 | 1, 0, 1, 1, NULL, NULL, NULL)",
			"its id is out of range", NULL, -1},
		{"INSERT INTO changelog VALUES(500, -1, 1, 1, NULL, NULL, NULL)",
			"row 500 of the change log: its mount is negative", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 6, 1, NULL, NULL, NULL)",
			"its kind is not known", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 1, 0, NULL, NULL, NULL)",
			"its inode is out of range", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 2, 9, 7, 6, NULL)",
			"its blocks are out of range", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 2, 9, NULL, NULL, NULL)",
			"its blocks are out of range", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 3, 9, NULL, NULL, x'61')",
			"of the wrong class", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 3, 9, NULL, NULL, zeroblob(256))",
			"its name is not valid", NULL, -1},
		{"INSERT INTO changelog VALUES(500, 0, 2, 9, 0, NULL, 'content')",
			"it has a name, though it is about none", NULL, -1},
		{"DROP TRIGGER records_insert", "missing from the schema", NULL, -1},
		{"DROP VIEW lookup", "missing from the schema", NULL, -1},
		{"DROP INDEX dentry_order", "missing from the schema", NULL, -1},
		{"DROP TABLE hole", "data cannot be checked any further: no such table", NULL, -1},
		{"PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'mount'",
			"is never used", NULL, -1},
	};
	find_each(damages, ARRAY_LEN(damages));
}

/* -- who interrupts SQLite ----------------------------------------------------------------------
 */

/* From the second call in a step on. */
struct interrupter {
	struct sqlite3 *db;
	unsigned calls;
	unsigned faults;
};

static void note_working(void *arg, struct sqlite3 *db)
{
	struct interrupter *i = arg;
	i->db = db;
}

static void count_fault(void *arg, const struct sqlite_check_fault *f)
{
	struct interrupter *i = arg;
	(void)f;
	i->faults++;
}

static bool interrupt(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct interrupter *i = arg;
	(void)done;
	(void)total;
	if (strcmp(step, "inodes") == 0 && ++i->calls == 2) {
		assert_non_null(i->db);
		sqlite3_interrupt(i->db);
	}
	return i->calls <= 2;
}

/* It is stopped where it is, and that is no fault of the store. */
static void stops_when_interrupted(void **state)
{
	(void)state;
	struct interrupter i = {0};
	const struct sqlite_check_handler handler = {
		.fault = count_fault, .progress = interrupt, .working = note_working, .arg = &i};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY] = "";
	check_copy_sound();
	check_run_sql(check_broken,
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
		" INSERT INTO inode SELECT 100000 + i, 33188, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1,"
		" 0, NULL, 0, NULL FROM n; UPDATE store SET next_ino = 200000");
	assert_int_equal(sqlite_check(check_broken, &handler, &sum, why, sizeof why), -ECANCELED);
	assert_int_equal(i.calls, 3);
	assert_int_equal(i.faults, 0);
	assert_null(i.db);
	assert_non_null(strstr(why, "stopped"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_faults_of_data),
		cmocka_unit_test(finds_faults_of_inodes),
		cmocka_unit_test(finds_faults_of_names),
		cmocka_unit_test(finds_faults_of_attributes),
		cmocka_unit_test(finds_faults_of_the_whole),
		cmocka_unit_test(stops_when_interrupted),
	};
	return cmocka_run_group_tests(tests, check_make_store, check_remove_store);
}
