/*
 * What "durable" and "settled" mean to the log: what may be lost to a power failure, and when. A
 * log that was written to, or cut off, and not flushed since, is one that a power failure may set
 * back.
 */
#include "fault_vfs.h"
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEN (3 * (size_t)STORE_BLOCK_SIZE)

/* A change that works and alters nothing: it copies from past the end of the record. */
static int copy_nothing(struct store_file *f, uint64_t ino, bool durable)
{
	struct change ch = {.kind = CHANGE_COPY,
		.now = 3,
		.copy = {.from = ino, .from_offset = STORE_FILE_MAX / 2, .to = ino, .len = 1}};
	int r = store_apply_one(f->store, &ch, durable);
	assert_int_equal(ch.copy.copied, 0);
	return r;
}

static void test_durable_means_flushed(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_false(fault_vfs_log_dirty());
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	assert_true(fault_vfs_log_dirty());
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
	assert_false(fault_vfs_log_dirty());
	assert_int_equal(store_file_write(f, ino, 0, 'c', LEN, false), 0);
	assert_int_equal(store_flush(f->store), 0);
	assert_false(fault_vfs_log_dirty());
}

/* A transaction without changes writes nothing, so SQLite flushes nothing. */
static void test_durable_without_effect_is_flushed(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	assert_true(fault_vfs_log_dirty());
	assert_int_equal(copy_nothing(f, ino, true), 0);
	assert_false(fault_vfs_log_dirty());
}

/* And when that flush fails, the caller is told. */
static void test_flush_without_effect_fails(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(copy_nothing(f, ino, true), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(store_flush(f->store), 0);
	assert_false(fault_vfs_log_dirty());
	assert_int_equal(store_file_first(f, ino), 'a');
}

/* A failed commit is settled by cutting the log off: a power failure must not bring it back. */
static void test_settled_for_good(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_false(fault_vfs_log_dirty());
	assert_int_equal(store_file_first(f, ino), 'a');
}

/* That last flush fails as well: then nothing is settled. */
static void test_settling_cannot_be_flushed(void **state)
{
	struct store_file *f = *state;
	struct store_stats stats = {0};
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	fault_vfs_then(FAULT_LOG_SYNC, 1, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), -EIO);
	assert_int_equal(fault_vfs_disarm(), 2);
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degradations, 1); /* it may be over */
}

/* After a flush that failed the next one works, and has flushed nothing: so it is not to be asked
 * until what is in doubt was settled, here once nobody reads the log any more. */
static void test_failed_flush_is_not_retried(void **state)
{
	struct store_file *f = *state;
	sqlite3 *reader = NULL;
	store_file_close(f);
	f->busy_timeout_ms = 50;
	store_file_open(f);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(sqlite3_open(f->path, &reader), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM inode", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(store_flush(f->store), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(store_flush(f->store), -EIO);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), -EIO);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	usleep(150000); /* it is not tried more often */
	assert_int_equal(store_flush(f->store), 0);
	assert_int_equal(store_file_first(f, ino), 'a');
	assert_int_equal(store_file_write(f, ino, 0, 'c', LEN, true), 0);
}

/* The flush of the log that a checkpoint begins with is one like others: it has failed, so nothing
 * is acknowledged before that is settled. */
static void test_failed_flush_of_a_checkpoint(void **state)
{
	struct store_file *f = *state;
	struct sqlite_store *s = sq_store(f->store);
	struct store_stats stats = {0};
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	/* The keeper settles by itself what is left to it for long, but not in here. */
	sq_write_lock(s);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(sq_log_move(s, s->writer, NULL), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degraded, 1);
	fault_vfs_count(FAULT_LOG_WRITE | FAULT_DB_WRITE);
	sq_write_unlock(s);
	assert_int_equal(store_flush(f->store), 0);
	assert_true(fault_vfs_count(FAULT_DB_WRITE) > 0);
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degraded, 0);
}

/* That of the database takes along what earlier ones have left to it: all is moved again. */
static void test_failed_flush_of_the_database(void **state)
{
	struct store_file *f = *state;
	struct sqlite_store *s = sq_store(f->store);
	struct store_stats stats = {0};
	struct sq_log_view v;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	sq_write_lock(s);
	assert_int_equal(sq_log_move(s, s->writer, NULL), 0);
	assert_true(sq_log_view(s, &v) && v.moved > 0);
	sq_write_unlock(s);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
	sq_write_lock(s);
	fault_vfs_arm(FAULT_DB_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	assert_int_equal(sq_log_move(s, s->writer, NULL), -EIO);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_true(sq_log_view(s, &v));
	assert_int_equal(v.moved, 0);
	sq_write_unlock(s);
	store_stats(f->store, &stats);
	assert_int_equal(stats.store_degraded, 0);
	assert_int_equal(store_file_write(f, ino, 0, 'c', LEN, true), 0);
}

static struct change write_change(uint64_t ino, const void *data, size_t len)
{
	return (struct change){
		.kind = CHANGE_WRITE, .now = 4, .write = {.ino = ino, .data = data, .len = len}};
}

/* A batch that comes apart, of which the first change cannot be settled: no other may follow. */
static void test_nothing_follows_the_unsettled(void **state)
{
	struct store_file *f = *state;
	static char data[LEN];
	uint64_t one = store_file_create(f, "one"), two = store_file_create(f, "two");
	struct change a = write_change(one, data, LEN), b = write_change(two, data, LEN);
	struct change *both[] = {&a, &b};
	/* The batch does not fit, not even with a new log; then the first one's flush fails, and
	 * the first one to settle it. */
	fault_vfs_arm(FAULT_DB_GROW, 0, false, SQLITE_IOERR_WRITE);
	fault_vfs_then(FAULT_DB_GROW, 0, false, SQLITE_IOERR_WRITE);
	fault_vfs_then(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	fault_vfs_then(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	store_apply(f->store, both, 2, true);
	assert_int_equal(fault_vfs_disarm(), 4);
	assert_int_equal(a.result, -EIO);
	assert_true(a.doubtful);
	assert_int_equal(b.result, -EIO);
	assert_false(b.doubtful);
	assert_int_equal(store_file_first(f, two), '\0');
}

/* Somebody else writes for long: a batch waits for that once, not once for each change. */
static void test_busy_once(void **state)
{
	struct store_file *f = *state;
	static char data[LEN];
	static struct change changes[STORE_BATCH_MAX], *list[STORE_BATCH_MAX];
	uint64_t ino = store_file_create(f, "record");
	store_file_close(f);
	f->busy_timeout_ms = 200;
	store_file_open(f);
	for (size_t i = 0; i < STORE_BATCH_MAX; i++) {
		changes[i] = write_change(ino, data, LEN);
		list[i] = &changes[i];
	}
	sqlite3 *db = NULL;
	struct timespec begin, end;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	store_apply(f->store, list, STORE_BATCH_MAX, false);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	for (size_t i = 0; i < STORE_BATCH_MAX; i++)
		assert_int_equal(changes[i].result, -EIO);
	/* Each for itself would take 51 seconds. */
	assert_true(end.tv_sec - begin.tv_sec < 25);
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
}

int main(void)
{
	fault_vfs_install();
#define TEST(f) cmocka_unit_test_setup_teardown(f, store_file_setup, store_file_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_durable_means_flushed),
		TEST(test_durable_without_effect_is_flushed),
		TEST(test_flush_without_effect_fails),
		TEST(test_settled_for_good),
		TEST(test_settling_cannot_be_flushed),
		TEST(test_failed_flush_is_not_retried),
		TEST(test_failed_flush_of_a_checkpoint),
		TEST(test_failed_flush_of_the_database),
		TEST(test_nothing_follows_the_unsettled),
		TEST(test_busy_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
