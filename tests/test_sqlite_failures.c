/*
 * What the SQLite store makes of failing disks: each write and each sync of a change is failed in
 * turn, the 1st, the 2nd, the 3rd ... until none is hit any more. After each: a change that was
 * refused must not be there, neither now nor after a crash; one that was acknowledged must be
 * there.
 */

#include "fault_vfs.h"

#include "cache/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LEN (3 * STORE_BLOCK_SIZE)

struct fixture {
	char dir[64];
	char path[80];
	char copy[80];
	struct store *store;
	uint64_t ino;
};

static struct store *open_store(const char *path)
{
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = 5000};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return s;
}

static int write_all(struct store *s, uint64_t ino, char fill, bool durable)
{
	static char data[LEN];
	memset(data, fill, sizeof data);
	struct change ch = {
		.kind = CHANGE_WRITE, .now = 1, .write = {.ino = ino, .data = data, .len = LEN}};
	int r = store_apply_one(s, &ch, durable);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
	return r;
}

static uint64_t create(struct store *s, const char *name)
{
	struct change ch = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = name, .len = strlen(name)},
			.mode = S_IFREG | 0644}};
	assert_int_equal(store_apply_one(s, &ch, true), 0);
	return ch.touched[0].ino;
}

/* The letter that the record is full of; '?' when it is not full of one. */
static char content(struct store *s, uint64_t ino)
{
	static struct store_span span;
	assert_int_equal(store_read(s, ino, 0, LEN / STORE_BLOCK_SIZE, &span), 0);
	char letter = span.count ? (char)span.blocks[0]->data[0] : '?';
	for (uint32_t i = 0; i < span.count; i++)
		for (uint32_t at = 0; at < span.blocks[i]->len; at++)
			if ((char)span.blocks[i]->data[at] != letter)
				letter = '?';
	if (span.count != LEN / STORE_BLOCK_SIZE)
		letter = '?';
	store_span_release(&span);
	return letter;
}

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	unlink(to);
	FILE *in = fopen(from, "re");
	if (!in)
		return; /* no log: then there is none in the copy either */
	FILE *out = fopen(to, "we");
	assert_non_null(out);
	size_t n;
	while ((n = fread(buf, 1, sizeof buf, in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	fclose(in);
	fclose(out);
}

/* What a crash right now would leave, opened: the letter that the record is full of then. The copy
 * is made by another process, since closing a file of an open database loses SQLite's locks. */
static char content_after_crash(struct fixture *f)
{
	char from[96], to[96];
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		copy_file(f->path, f->copy);
		snprintf(from, sizeof from, "%s-wal", f->path);
		snprintf(to, sizeof to, "%s-wal", f->copy);
		copy_file(from, to);
		snprintf(to, sizeof to, "%s-shm", f->copy);
		unlink(to);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	struct store *s = open_store(f->copy);
	char letter = content(s, f->ino);
	store_close(s);
	return letter;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	snprintf(f->dir, sizeof f->dir, "/tmp/recordfs-failures-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/a.db", f->dir);
	snprintf(f->copy, sizeof f->copy, "%s/b.db", f->dir);
	f->store = open_store(f->path);
	f->ino = create(f->store, "record");
	assert_int_equal(write_all(f->store, f->ino, 'A', true), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	fault_vfs_disarm();
	store_close(f->store);
	char command[96];
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	int status = system(command);
	free(f);
	return status;
}

/* Fails the nth of `ops` during a durable write, for n = 1, 2, ... */
static void fail_each(struct fixture *f, unsigned ops, int rc)
{
	char old = 'A';
	int hits = 1, total = 0;
	for (int n = 0; hits > 0; n++) {
		char new = old == 'A' ? 'B' : 'A';
		fault_vfs_arm(ops, n, false, rc);
		int r = write_all(f->store, f->ino, new, true);
		hits = fault_vfs_disarm();
		total += hits;
		/* Every hit is survived by a retry or told; nothing in between. */
		char expected = r == 0 ? new : old;
		assert_int_equal(content(f->store, f->ino), expected);
		assert_int_equal(content_after_crash(f), expected);
		/* And the next one works: the fault has passed. */
		assert_int_equal(write_all(f->store, f->ino, 'C', true), 0);
		assert_int_equal(content(f->store, f->ino), 'C');
		assert_int_equal(write_all(f->store, f->ino, 'A', true), 0);
		old = 'A';
		assert_true(n < 200);
	}
	assert_true(total > 0);
}

static void test_log_write_fails(void **state)
{
	fail_each(*state, FAULT_LOG_WRITE, SQLITE_IOERR_WRITE);
}

static void test_log_write_finds_disk_full(void **state)
{
	fail_each(*state, FAULT_LOG_WRITE, SQLITE_FULL);
}

static void test_log_sync_fails(void **state)
{
	fail_each(*state, FAULT_LOG_SYNC, SQLITE_IOERR_FSYNC);
}

static void test_space_cannot_be_had(void **state)
{
	struct fixture *f = *state;
	fault_vfs_arm(FAULT_DB_GROW, 0, true, SQLITE_IOERR_WRITE);
	assert_int_equal(write_all(f->store, f->ino, 'B', true), -ENOSPC);
	assert_true(fault_vfs_disarm() > 0);
	assert_int_equal(content(f->store, f->ino), 'A');
	assert_int_equal(write_all(f->store, f->ino, 'B', true), 0);
}

/* The flush of a failed commit cannot be settled as long as nothing can be flushed: changes are
 * refused, reads go on, and when the fault has passed so do changes. */
static void test_degraded_until_the_fault_passes(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats = {0};
	fault_vfs_arm(FAULT_LOG_SYNC | FAULT_DB_SYNC, 0, true, SQLITE_IOERR_FSYNC);
	assert_int_equal(write_all(f->store, f->ino, 'B', true), -EIO);
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degraded, 1);
	assert_int_equal(write_all(f->store, f->ino, 'B', false), -EIO);
	assert_int_equal(content(f->store, f->ino), 'A');
	struct store_attr attr;
	for (unsigned i = 0; i < 2; i++) /* by the writer, by a reader */
		assert_int_equal(store_lookup(f->store, STORE_ROOT_INO, "none", 4, &attr), -ENOENT);
	fault_vfs_disarm();
	int r = -EIO;
	for (int i = 0; r < 0 && i < 1000; i++) {
		r = write_all(f->store, f->ino, 'C', true);
		usleep(10000); /* the store probes once in a while */
	}
	assert_int_equal(r, 0);
	assert_int_equal(content(f->store, f->ino), 'C');
	assert_int_equal(content_after_crash(f), 'C');
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degraded, 0);
}

/* A commit that was not flushed, then a flush that fails: the caller is told, and what was
 * committed is brought to safety on another way. */
static void test_flush_fails(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(write_all(f->store, f->ino, 'B', false), 0);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(store_flush(f->store), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(content(f->store, f->ino), 'B');
	assert_int_equal(content_after_crash(f), 'B');
	assert_int_equal(store_flush(f->store), 0);
}

/* In a batch whose transaction cannot be extended, only the changes that need space fail. */
static void test_batch_falls_apart(void **state)
{
	struct fixture *f = *state;
	uint64_t other = create(f->store, "other");
	static char data[LEN];
	struct change write = {
		.kind = CHANGE_WRITE, .now = 2, .write = {.ino = other, .data = data, .len = LEN}};
	struct change unlink = {.kind = CHANGE_UNLINK,
		.now = 2,
		.unlink = {.parent = STORE_ROOT_INO, .name = {.bytes = "record", .len = 6}}};
	struct change *both[] = {&write, &unlink};
	/* The first two growths are of the batch and of its retry, the third of the write alone. */
	fault_vfs_arm(FAULT_DB_GROW, 0, true, SQLITE_IOERR_WRITE);
	store_apply(f->store, both, 2, true);
	assert_int_equal(write.result, -ENOSPC);
	fault_vfs_disarm();
	struct store_attr attr;
	assert_int_equal(store_getattr(f->store, other, &attr), 0);
	assert_int_equal(attr.size, 0);
}

int main(void)
{
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_log_write_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_write_finds_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_sync_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_space_cannot_be_had, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_degraded_until_the_fault_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_falls_apart, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
