/*
 * Opening stores that are odd, or being made by two at once, and paths that look like something
 * else.
 */
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 12
#define OPENERS 4

/* What processes that open the same path tell each other. */
struct shared {
	atomic_int ready, created, failed;
};

/* One of several processes that open the store as soon as all of them are there. */
static void open_together(const char *path, struct shared *shared, int n)
{
	struct store_file f = {.busy_timeout_ms = 5000};
	char name[16];
	snprintf(f.path, sizeof f.path, "%s", path);
	snprintf(name, sizeof name, "by-%d", n);
	atomic_fetch_add(&shared->ready, 1);
	while (atomic_load(&shared->ready) < OPENERS)
		;
	if (store_file_try_open(&f, false) < 0) {
		fprintf(stderr, "%s\n", f.why);
		atomic_fetch_add(&shared->failed, 1);
		return;
	}
	if (sqlite_store_created(f.store))
		atomic_fetch_add(&shared->created, 1);
	struct change ch = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = name, .len = strlen(name)},
			.mode = S_IFREG | 0644}};
	if (store_apply_one(f.store, &ch, true) < 0)
		atomic_fetch_add(&shared->failed, 1);
	store_close(f.store);
}

/* Of several that find no store, or an empty file, one makes it, and all use that one. */
static void make_together(struct store_file *f, bool empty_file)
{
	struct shared *shared = mmap(
		NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	store_file_close(f);
	for (int round = 0; round < ROUNDS; round++) {
		snprintf(f->path, sizeof f->path, "%s/store-%d.db", f->dir, round);
		memset(shared, 0, sizeof *shared);
		if (empty_file)
			close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		for (int n = 0; n < OPENERS; n++) {
			pid_t pid = fork();
			assert_true(pid >= 0);
			if (pid == 0) {
				open_together(f->path, shared, n);
				_exit(0);
			}
		}
		for (int n = 0; n < OPENERS; n++)
			assert_true(wait(NULL) > 0);
		assert_int_equal(atomic_load(&shared->failed), 0);
		assert_int_equal(atomic_load(&shared->created), 1);
		store_file_open(f);
		for (int n = 0; n < OPENERS; n++) {
			struct store_attr attr;
			char name[16];
			snprintf(name, sizeof name, "by-%d", n);
			assert_int_equal(
				store_lookup(f->store, STORE_ROOT_INO, name, strlen(name), &attr),
				0);
		}
		store_file_close(f);
	}
	munmap(shared, sizeof *shared);
}

static void test_made_by_several(void **state)
{
	make_together(*state, false);
}

static void test_made_of_an_empty_file_by_several(void **state)
{
	make_together(*state, true);
}

/* A path is a path, whatever it looks like; and it stays the same when the process moves on. */
static void test_path_like_a_uri(void **state)
{
	struct store_file *f = *state;
	struct store_space space;
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	store_file_close(f);
	assert_int_equal(chdir(f->dir), 0);
	snprintf(f->path, sizeof f->path, "file:a?mode=ro%%41#b");
	store_file_open(f);
	assert_int_equal(access(f->path, F_OK), 0);
	assert_int_equal(fchdir(home), 0);
	close(home);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 1, true), 0);
	assert_int_equal(store_file_first(f, ino), 'a');
	assert_int_equal(store_statfs(f->store, &space), 0);
	store_file_close(f);
}

/* Leaves the file as a crash does, its log beside it. */
static void crash(struct store_file *f, uint64_t ino)
{
	store_file_close(f);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		store_file_open(f);
		int r = store_file_write(f, ino, 0, 'b', 1, true);
		_exit(r == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Without its log a store is not what it was: better refused than shown. */
static void test_log_that_cannot_be_read(void **state)
{
	struct store_file *f = *state;
	char shm[112];
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 1, true), 0);
	crash(f, ino);
	snprintf(shm, sizeof shm, "%s-shm", f->path);
	unlink(shm);
	assert_int_equal(symlink("/", shm), 0); /* so SQLite cannot make the log's index */
	int r = store_file_try_open(f, true);
	assert_true(r < 0);
	assert_non_null(strstr(f->why, "log"));
	assert_int_equal(unlink(shm), 0);
	assert_int_equal(store_file_try_open(f, true), 0);
	assert_int_equal(store_file_first(f, ino), 'b');
}

/* Nothing that could run is let pass for SQLite's own statistics. */
static void test_trigger_in_disguise(void **state)
{
	struct store_file *f = *state;
	store_file_close(f);
	store_file_sql(f, "ANALYZE");
	assert_int_equal(store_file_try_open(f, false), 0);
	store_file_close(f);
	store_file_sql(f, "CREATE TRIGGER x AFTER INSERT ON block BEGIN DELETE FROM block; END;"
			  "PRAGMA writable_schema = ON;"
			  "UPDATE sqlite_schema SET name = 'sqlite_stat9', sql = replace(sql,"
			  " 'TRIGGER x', 'TRIGGER \"sqlite_stat9\"') WHERE name = 'x'");
	assert_int_equal(store_file_try_open(f, false), -EPROTO);
}

/* As a client may leave it. */
static void test_other_journal_mode(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "f");
	store_file_close(f);
	store_file_sql(f, "PRAGMA journal_mode = DELETE");
	assert_int_equal(store_file_try_open(f, true), 0);
	store_file_close(f);
	store_file_open(f);
	assert_int_equal(store_file_write(f, ino, 0, 'a', 1, true), 0);
	assert_int_equal(store_file_first(f, ino), 'a');
	store_file_close(f);
	store_file_sql(f, "PRAGMA journal_mode = TRUNCATE");
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "BEGIN; SELECT * FROM store", NULL, NULL, NULL), SQLITE_OK);
	f->busy_timeout_ms = 1;
	assert_int_equal(store_file_try_open(f, false), -EIO);
	assert_non_null(strstr(f->why, "another program uses it"));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	store_file_open(f);
}

/* There would be nothing to see of it. */
static void test_no_root(void **state)
{
	struct store_file *f = *state;
	store_file_close(f);
	store_file_sql(f, "UPDATE inode SET mode = (mode & 4095) | 32768 WHERE ino = 1");
	assert_int_equal(store_file_try_open(f, false), -EIO);
	assert_non_null(strstr(f->why, "root directory"));
	store_file_sql(f, "DELETE FROM inode WHERE ino = 1");
	assert_int_equal(store_file_try_open(f, true), -EIO);
	assert_non_null(strstr(f->why, "root directory"));
}

/* Nothing is wrong with it. */
static void test_locked_by_another(void **state)
{
	struct store_file *f = *state;
	sqlite3 *db = NULL;
	store_file_close(f);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	f->busy_timeout_ms = 1;
	assert_int_equal(store_file_try_open(f, false), -EBUSY);
	assert_non_null(strstr(f->why, "another program"));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	f->busy_timeout_ms = 10000;
	assert_int_equal(store_file_try_open(f, false), 0);
}

/* A limit below one page is a limit. */
static void test_tiny_limit(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	store_file_close(f);
	struct sqlite_config cfg = {.path = f->path, .busy_timeout_ms = 5000, .max_size = 1};
	assert_int_equal(sqlite_store_open(&cfg, &f->store, f->why, sizeof f->why), 0);
	assert_int_equal(store_file_write(f, ino, 0, 'a', 1, true), -ENOSPC);
}

/* The log of a store that was deleted, or emptied, must not become a part of a new one. */
static void test_log_without_its_store(void **state)
{
	struct store_file *f = *state;
	char log[128];
	struct stat st;
	store_file_close(f);
	snprintf(log, sizeof log, "%s-wal", f->path);
	for (int empty = 0; empty < 2; empty++) {
		unlink(f->path);
		if (empty)
			close(open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_int_equal(write(fd, "left", 4), 4);
		close(fd);
		assert_int_equal(store_file_try_open(f, false), -EPROTO);
		assert_non_null(strstr(f->why, log));
		assert_int_equal(stat(f->path, &st), empty ? 0 : -1);
		assert_int_equal(stat(log, &st), 0);
		assert_int_equal(st.st_size, 4);
		unlink(log);
	}
	store_file_open(f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, store_file_setup, store_file_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_made_by_several),
		TEST(test_made_of_an_empty_file_by_several),
		TEST(test_path_like_a_uri),
		TEST(test_log_that_cannot_be_read),
		TEST(test_trigger_in_disguise),
		TEST(test_other_journal_mode),
		TEST(test_no_root),
		TEST(test_locked_by_another),
		TEST(test_tiny_limit),
		TEST(test_log_without_its_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
