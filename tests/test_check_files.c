/*
 * The check of a SQLite store and the files of it: bytes damaged, no store at all, a log left by a
 * crash, a writer beside it. It must change nothing, and call nothing damaged that is not.
 */
#include "check_kit.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- damage done to the bytes of the file --------------------------------------------------------
 */

static void finds_a_flipped_byte(void **state)
{
	(void)state;
	struct check_findings found = {0};
	struct sqlite_check_summary sum;
	struct check_bytes b = check_read_file(check_sound);
	unsigned char *mark = memmem(b.p, b.n, CHECK_MARK, sizeof CHECK_MARK);
	assert_non_null(mark);
	*mark ^= 0x10;
	check_write_file(check_broken, b.p, b.n);
	free(b.p);
	assert_int_equal(check_run(check_broken, &found, &sum), 0);
	assert_int_equal(found.n, 1);
	assert_string_equal(found.fault[0].path, "/file");
	assert_string_equal(found.fault[0].what, "checksum does not match");
	assert_int_equal(found.fault[0].offset, 3 * STORE_BLOCK_SIZE);
}

static void finds_a_file_cut_short(void **state)
{
	(void)state;
	struct check_findings found = {0};
	struct sqlite_check_summary sum;
	struct check_bytes b = check_read_file(check_sound);
	check_write_file(check_broken, b.p, b.used / 2);
	free(b.p);
	assert_int_equal(check_run(check_broken, &found, &sum), 0);
	assert_true(found.n > 0);
}

/* Whatever is in the file: the check ends, and says something. */
static void survives_garbage(void **state)
{
	(void)state;
	struct sqlite_check_summary sum;
	struct check_bytes b = check_read_file(check_sound);
	unsigned char *copy = malloc(b.n);
	uint64_t random = 88172645463325252;
	size_t told = 0, tried = 0;
	assert_non_null(copy);
	for (size_t page = 0; page < b.used; page += 4096) {
		struct check_findings found = {0};
		memcpy(copy, b.p, b.n);
		for (int i = 0; i < 40; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			/* Half of them where a page says what is in it. */
			size_t at = page + (i % 2 ? random % 4096 : random % 64);
			if (at >= 100) /* the header has a test of its own */
				copy[at] = (unsigned char)(random >> 32);
		}
		check_write_file(check_broken, copy, b.n);
		int r = check_run(check_broken, &found, &sum);
		told += r < 0 || found.n > 0;
		tried++;
	}
	free(copy);
	free(b.p);
	assert_true(tried > 20);
	assert_true(told > tried * 3 / 4); /* some pages hold little */
}

static void refuses_what_is_no_store(void **state)
{
	(void)state;
	struct check_findings found = {0};
	struct sqlite_check_summary sum = {.faults = 77};
	unlink(check_broken);
	assert_int_equal(check_run(check_broken, &found, &sum), -ENOENT);
	assert_int_equal(check_run(check_dir, &found, &sum), -EISDIR);
	check_write_file(check_broken, "", 0);
	assert_int_equal(check_run(check_broken, &found, &sum), -EPROTO);
	check_write_file(check_broken, "some text", 9);
	assert_int_equal(check_run(check_broken, &found, &sum), -EPROTO);
	unlink(check_broken);
	check_run_sql(check_broken, "CREATE TABLE t(x)");
	assert_int_equal(check_run(check_broken, &found, &sum), -EPROTO);
	check_copy_sound();
	check_run_sql(check_broken, "PRAGMA user_version = 99");
	assert_int_equal(check_run(check_broken, &found, &sum), -EPROTONOSUPPORT);
	assert_int_equal(found.n, 0);
	assert_int_equal(sum.faults, 77);
	unlink(check_broken);
}

static void stops_when_told_to(void **state)
{
	(void)state;
	for (unsigned calls = 1; calls < 10; calls++) {
		struct check_findings found = {.allowed = calls};
		struct sqlite_check_summary sum;
		assert_int_equal(check_run(check_sound, &found, &sum), -ECANCELED);
	}
	assert_false(check_exists(check_sound, "-wal"));
}

/* -- what a check leaves as it is -----------------------------------------------------------------
 */

static void changes_nothing(void **state)
{
	(void)state;
	struct sqlite_check_summary sum;
	struct stat before, after;
	struct check_bytes a = check_read_file(check_sound);
	assert_int_equal(stat(check_sound, &before), 0);
	check_expect_clean(check_sound, &sum);
	assert_int_equal(stat(check_sound, &after), 0);
	struct check_bytes b = check_read_file(check_sound);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.p, b.p, a.n);
	assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_false(check_exists(check_sound, "-wal") || check_exists(check_sound, "-shm"));
	free(a.p);
	free(b.p);
	assert_int_equal(sum.inodes, 13);
	assert_int_equal(sum.names, 12);
	assert_int_equal(sum.orphans, 1);
	assert_int_equal(sum.blocks, 40 + 2 + 18);
	assert_int_equal(sum.unsummed, 0);
}

static void counts_blocks_without_checksums(void **state)
{
	(void)state;
	struct sqlite_check_summary sum;
	check_copy_sound();
	check_run_sql(check_broken, "UPDATE block SET sums = NULL WHERE key & 63 = 16");
	check_expect_clean(check_broken, &sum);
	assert_int_equal(sum.unsummed, 16 + 2);
}

/* An orphan is deleted a piece at a time, and a crash may come in between. */
static void accepts_an_orphan_half_reaped(void **state)
{
	(void)state;
	struct sqlite_check_summary sum;
	check_copy_sound();
	check_run_sql(check_broken, "DELETE FROM block WHERE key = (SELECT ino << 30 FROM orphan);"
				    "UPDATE inode SET blocks = blocks - 16 WHERE nlink = 0");
	check_expect_clean(check_broken, &sum);
}

/* A process that dies without closing the store, with all it wrote still in the log. */
static void crash_after_writing(const char *path)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct kit *k = check_open(path);
		uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "in the log");
		_exit(kit_write(k, ino, 0, "data", 4) == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void sees_what_a_crash_left_in_the_log(void **state)
{
	(void)state;
	char log[128];
	struct sqlite_check_summary sum, with_log;
	check_copy_sound();
	check_expect_clean(check_broken, &sum);
	crash_after_writing(check_broken);
	snprintf(log, sizeof log, "%s-wal", check_broken);
	struct check_bytes db = check_read_file(check_broken), wal = check_read_file(log);
	assert_true(wal.n > 0);
	check_expect_clean(check_broken, &with_log);
	assert_int_equal(with_log.inodes, sum.inodes + 1);
	struct check_bytes db_after = check_read_file(check_broken),
			   wal_after = check_read_file(log);
	assert_int_equal(db.n, db_after.n);
	assert_int_equal(wal.n, wal_after.n);
	assert_memory_equal(db.p, db_after.p, db.n);
	assert_memory_equal(wal.p, wal_after.p, wal.n);
	free(db.p);
	free(wal.p);
	free(db_after.p);
	free(wal_after.p);
	kit_free(check_open(check_broken)); /* recovers, and takes the log away */
	assert_false(check_exists(check_broken, "-wal"));
}

/* Reads a store where it can make no files: as nobody, since root can make them anywhere. */
static void reads_in_a_read_only_directory(void **state)
{
	(void)state;
	char closed[96], path[128];
	snprintf(closed, sizeof closed, "%s/closed", check_dir);
	snprintf(path, sizeof path, "%s/sound.db", closed);
	struct check_bytes b = check_read_file(check_sound);
	assert_int_equal(mkdir(closed, 0755), 0);
	check_write_file(path, b.p, b.n);
	free(b.p);
	assert_int_equal(chmod(closed, 0555) | chmod(path, 0444) | chmod(check_dir, 0755), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct check_findings found = {0};
		struct sqlite_check_summary sum;
		if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(check_run(path, &found, &sum) == 0 && found.n == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_false(check_exists(path, "-wal") || check_exists(path, "-shm"));
	assert_int_equal(chmod(closed, 0755), 0);
}

/* -- beside a writer ------------------------------------------------------------------------------
 */

struct shared {
	atomic_uint rounds; /* of the writer */
	atomic_bool stop;
};

/* Makes, writes, renames and deletes until told to stop. Never returns. */
static _Noreturn void write_on(const char *path, struct shared *shared)
{
	static char data[30000];
	struct kit *k = check_open(path);
	k->unwatched = true;
	kit_pattern(data, sizeof data, 9);
	while (!atomic_load(&shared->stop)) {
		unsigned n = atomic_load(&shared->rounds);
		uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "comes");
		if (kit_write(k, ino, n % 9000, data, sizeof data) < 0 ||
			kit_truncate(k, ino, n % 20000) < 0 ||
			kit_allocate(k, ino, STORE_PUNCH_HOLE, 4096, 4096) < 0 ||
			kit_rename(k, STORE_ROOT_INO, "comes", STORE_ROOT_INO, "goes", 0) < 0)
			_exit(1);
		kit_unlink(k, STORE_ROOT_INO, "goes");
		kit_must_reap(k, ino);
		atomic_fetch_add(&shared->rounds, 1);
	}
	kit_free(k);
	_exit(0);
}

static void runs_beside_a_writer(void **state)
{
	(void)state;
	struct shared *shared = mmap(
		NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	check_copy_sound();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_on(check_broken, shared);
	}
	int status;
	/* A check counts when the writer got something done meanwhile. */
	for (unsigned overlapped = 0; overlapped < 10;) {
		struct sqlite_check_summary sum;
		unsigned before = atomic_load(&shared->rounds);
		check_expect_clean(check_broken, &sum);
		assert_true(sum.inodes >= 13);
		overlapped += before > 0 && atomic_load(&shared->rounds) > before;
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	}
	atomic_store(&shared->stop, true);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	munmap(shared, sizeof *shared);
	struct sqlite_check_summary sum;
	check_expect_clean(check_broken, &sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_nothing),
		cmocka_unit_test(finds_a_flipped_byte),
		cmocka_unit_test(finds_a_file_cut_short),
		cmocka_unit_test(survives_garbage),
		cmocka_unit_test(refuses_what_is_no_store),
		cmocka_unit_test(stops_when_told_to),
		cmocka_unit_test(counts_blocks_without_checksums),
		cmocka_unit_test(accepts_an_orphan_half_reaped),
		cmocka_unit_test(sees_what_a_crash_left_in_the_log),
		cmocka_unit_test(reads_in_a_read_only_directory),
		cmocka_unit_test(runs_beside_a_writer),
	};
	return cmocka_run_group_tests(tests, check_make_store, check_remove_store);
}
