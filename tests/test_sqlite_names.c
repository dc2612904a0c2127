/* Names and orphans in the SQLite store: what only it does, and files that are damaged. */
#include "temp_db.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static struct change_name name(const char *s)
{
	return (struct change_name){.bytes = s, .len = strlen(s)};
}

static int64_t clock_now = 1000;

static int apply(struct store *s, struct change *c)
{
	c->now = ++clock_now;
	return store_apply_one(s, c, false);
}

static int create(struct store *s, uint64_t parent, const char *n, uint32_t mode, uint64_t *ret)
{
	struct change c = {
		.kind = CHANGE_CREATE,
		.caller = {.uid = 7, .gid = 8, .umask = 022},
		.create = {.parent = parent, .name = name(n), .mode = mode},
	};
	int r = apply(s, &c);
	if (r == 0)
		*ret = c.touched[0].ino;
	return r;
}

static uint64_t must_create(struct store *s, uint64_t parent, const char *n, uint32_t mode)
{
	uint64_t ino = 0;
	assert_int_equal(create(s, parent, n, mode, &ino), 0);
	return ino;
}

static int unlink_at(struct store *s, uint64_t parent, const char *n, bool directory)
{
	struct change c = {
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = parent, .name = name(n), .directory = directory},
	};
	return apply(s, &c);
}

static int rename_at(struct store *s, uint64_t parent, const char *n, uint64_t new_parent,
	const char *new_name, unsigned flags)
{
	struct change c = {
		.kind = CHANGE_RENAME,
		.rename = {.parent = parent,
			.name = name(n),
			.new_parent = new_parent,
			.new_name = name(new_name),
			.flags = flags},
	};
	return apply(s, &c);
}

static int64_t ask(const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(
		sqlite3_open_v2(temp_db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	int64_t n = 0;
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static bool count_fn(void *arg, const struct store_entry *e)
{
	(void)e;
	++*(size_t *)arg;
	return true;
}

/* -- names ------------------------------------------------------------------------------------ */

struct names {
	struct store *s;
	unsigned n;
};

/* Renames every entry that it reads, as a careless script does. */
static bool rename_fn(void *arg, const struct store_entry *e)
{
	struct names *x = arg;
	char from[32], to[40];
	snprintf(from, sizeof from, "%.*s", (int)e->name.len, e->name.bytes);
	snprintf(to, sizeof to, "%s+", from);
	x->n++;
	assert_int_equal(rename_at(x->s, STORE_ROOT_INO, from, STORE_ROOT_INO, to, 0), 0);
	return false;
}

struct place {
	uint64_t id;
	unsigned n;
};

static bool place_fn(void *arg, const struct store_entry *e)
{
	struct place *x = arg;
	x->id = e->id;
	x->n++;
	return false;
}

static void test_rename_while_reading(void **state)
{
	(void)state;
	struct names x = {.s = temp_db_new()};
	char n[16];
	for (unsigned i = 0; i < 20; i++) {
		snprintf(n, sizeof n, "f%u", i);
		must_create(x.s, STORE_ROOT_INO, n, S_IFREG | 0644);
	}
	struct place at = {0};
	for (unsigned seen = 0; seen == at.n && seen < 100; seen++) {
		uint64_t after = at.id;
		assert_int_equal(
			store_readdir(x.s, STORE_ROOT_INO, after, false, place_fn, &at), 0);
		if (at.id != after)
			assert_int_equal(
				store_readdir(x.s, STORE_ROOT_INO, after, false, rename_fn, &x), 0);
		else
			break;
	}
	assert_int_equal(x.n, 20);
	store_close(x.s);
}

static void test_long_names(void **state)
{
	(void)state;
	struct store *s = temp_db_new();
	char n[STORE_NAME_MAX + 2];
	uint64_t ino;
	memset(n, 'x', sizeof n);
	n[sizeof n - 1] = '\0';
	struct store_attr a;
	assert_int_equal(create(s, STORE_ROOT_INO, n, S_IFREG, &ino), -ENAMETOOLONG);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, n, false), -ENAMETOOLONG);
	assert_int_equal(store_lookup(s, STORE_ROOT_INO, n, strlen(n), &a), -ENAMETOOLONG);
	n[STORE_NAME_MAX] = '\0';
	ino = must_create(s, STORE_ROOT_INO, n, S_IFREG);
	assert_int_equal(store_lookup(s, STORE_ROOT_INO, n, strlen(n), &a), 0);
	assert_int_equal(store_lookup(s, ino, "x", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(s, ino, ".", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(s, 1234567, "x", 1, &a), -ESTALE);
	store_close(s);
}

/* The first lookup after a commit goes another way than the next one: both see what was committed
 * last, by whomever. */
static void test_lookups_between_commits(void **state)
{
	(void)state;
	struct store *s = temp_db_new();
	struct store_attr a;
	uint64_t ino = must_create(s, STORE_ROOT_INO, "a", S_IFREG);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(store_lookup(s, STORE_ROOT_INO, "a", 1, &a), 0);
		assert_int_equal(a.ino, ino);
		assert_int_equal(store_lookup(s, STORE_ROOT_INO, "b", 1, &a), -ENOENT);
	}
	for (unsigned n = 0; n < 3; n++) { /* how many lookups there were before others commit */
		must_create(s, STORE_ROOT_INO, (const char *[]){"x", "y", "z"}[n], S_IFREG);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(store_lookup(s, STORE_ROOT_INO, "a", 1, &a), 0);
		ask("UPDATE dentry SET name = 'b' WHERE name = 'a'");
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(store_lookup(s, STORE_ROOT_INO, "a", 1, &a), -ENOENT);
			assert_int_equal(store_lookup(s, STORE_ROOT_INO, "b", 1, &a), 0);
			assert_int_equal(a.ino, ino);
		}
		ask("UPDATE dentry SET name = 'a' WHERE name = 'b'");
	}
	store_close(s);
}

static void test_paths(void **state)
{
	(void)state;
	struct store *s = temp_db_new();
	char buf[16];
	uint64_t d = must_create(s, STORE_ROOT_INO, "dir", S_IFDIR | 0755);
	uint64_t f = must_create(s, d, "file", S_IFREG | 0644);
	assert_int_equal(store_path(s, STORE_ROOT_INO, buf, sizeof buf), 0);
	assert_string_equal(buf, "/");
	assert_int_equal(store_path(s, f, buf, sizeof buf), 0);
	assert_string_equal(buf, "/dir/file");
	assert_int_equal(store_path(s, f, buf, 10), 0);
	assert_int_equal(store_path(s, f, buf, 9), -ERANGE);
	assert_int_equal(store_path(s, STORE_ROOT_INO, buf, 1), -ERANGE);
	assert_int_equal(unlink_at(s, d, "file", false), 0);
	assert_int_equal(store_path(s, f, buf, sizeof buf), -ENOENT);
	assert_int_equal(store_path(s, 999, buf, sizeof buf), -ESTALE);
	store_close(s);
}

/* -- orphans ---------------------------------------------------------------------------------- */

static bool ino_fn(void *arg, uint64_t ino)
{
	(void)ino;
	++*(size_t *)arg;
	return true;
}

static size_t count_orphans(struct store *s)
{
	size_t n = 0;
	assert_int_equal(store_orphans(s, ino_fn, &n), 0);
	return n;
}

static void make_orphans(struct store *s)
{
	must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0644);
	must_create(s, STORE_ROOT_INO, "d", S_IFDIR | 0755);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, "f", false), 0);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, "d", true), 0);
}

static void test_orphans_of_an_ended_mount(void **state)
{
	(void)state;
	struct store *s = temp_db_new();
	make_orphans(s);
	assert_int_equal(count_orphans(s), 0); /* this mount may have them open */
	store_close(s);
	s = temp_db_open();
	assert_int_equal(count_orphans(s), 2);
	make_orphans(s);
	assert_int_equal(count_orphans(s), 2);
	store_close(s);
	s = temp_db_open();
	assert_int_equal(count_orphans(s), 4);
	store_close(s);
	assert_int_equal(ask("SELECT count(*) FROM mount"), 2);
	assert_int_equal(ask("SELECT count(*) FROM mount WHERE pid <> 0"), 0);
}

static void test_orphans_of_a_dead_process(void **state)
{
	(void)state;
	store_close(temp_db_new());
	pid_t child = fork();
	if (child == 0) {
		make_orphans(temp_db_open());
		_exit(0);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct store *s = temp_db_open();
	assert_int_equal(count_orphans(s), 2);
	struct change reap = {.kind = CHANGE_REAP};
	for (reap.reap.ino = STORE_ROOT_INO + 1; count_orphans(s) > 0; reap.reap.ino++) {
		assert_int_equal(apply(s, &reap), 0);
		assert_int_equal(reap.touched[0].nlink, 0);
		assert_false(reap.reap.more);
	}
	assert_int_equal(apply(s, &reap), -ENOENT);
	store_close(s);
	store_close(temp_db_open());
	assert_int_equal(ask("SELECT count(*) FROM mount"), 0); /* nobody needs the dead one's */
}

/* Rows that say things which cannot be: never believed. */
static void test_damage(void **state)
{
	(void)state;
	static const struct {
		const char *sql;
		int lookup, readdir;
	} cases[] = {
		{"UPDATE dentry SET ino = 0", -EIO, -EIO},
		{"UPDATE dentry SET ino = -5", -EIO, -EIO},
		{"UPDATE dentry SET ino = 12345", -EIO, 0},
		{"UPDATE dentry SET type = 7", -EIO, -EIO},
		{"UPDATE dentry SET id = 0", 0, 0},
		{"UPDATE dentry SET id = -1", 0, 0},
		{"UPDATE dentry SET name = CAST('a/b' AS BLOB)", -ENOENT, -EIO},
		{"UPDATE dentry SET name = x'6100'", -ENOENT, -EIO},
		{"UPDATE dentry SET name = x''", -ENOENT, -EIO},
		{"UPDATE dentry SET name = zeroblob(300)", -ENOENT, -EIO},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct store *s = temp_db_new();
		must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0644);
		store_close(s);
		ask(cases[i].sql);
		s = temp_db_open();
		struct store_attr a;
		size_t n = 0;
		assert_int_equal(store_lookup(s, STORE_ROOT_INO, "f", 1, &a), cases[i].lookup);
		assert_int_equal(
			store_readdir(s, STORE_ROOT_INO, 0, false, count_fn, &n), cases[i].readdir);
		if (cases[i].lookup < 0)
			assert_int_equal(unlink_at(s, STORE_ROOT_INO, "f", false), cases[i].lookup);
		store_close(s);
	}
}

static void test_damaged_tree(void **state)
{
	(void)state;
	struct store *s = temp_db_new();
	uint64_t a = must_create(s, STORE_ROOT_INO, "a", S_IFDIR | 0755);
	uint64_t b = must_create(s, a, "b", S_IFDIR | 0755);
	uint64_t c = must_create(s, STORE_ROOT_INO, "c", S_IFDIR | 0755);
	(void)c;
	store_close(s);
	char sql[128];
	snprintf(sql, sizeof sql, "UPDATE inode SET parent = %llu WHERE ino = %llu",
		(unsigned long long)b, (unsigned long long)a);
	ask(sql); /* a and b are each below the other */
	s = temp_db_open();
	char buf[64];
	assert_true(store_path(s, b, buf, sizeof buf) < 0);
	assert_int_equal(rename_at(s, STORE_ROOT_INO, "c", b, "c", 0), -EIO);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rename_while_reading),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_lookups_between_commits),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_orphans_of_an_ended_mount),
		cmocka_unit_test(test_orphans_of_a_dead_process),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_damaged_tree),
	};
	return cmocka_run_group_tests(tests, temp_db_setup, temp_db_teardown);
}
