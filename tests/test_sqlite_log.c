/*
 * Who starts the log anew, and when, with other processes on the same store: see
 * cache/store/sqlite_log.c. Nothing but the keeper may, and not while anybody can checkpoint; the
 * log stays bounded whoever writes; one keeper follows another.
 */
#include "fault_vfs.h"
#include "neighbour.h"
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEN (3 * (size_t)STORE_BLOCK_SIZE)
#define MIB (1 << 20)
/* How long something may take that happens by itself: far longer than it does. */
#define PATIENCE_NS (30 * INT64_C(1000000000))

static struct neighbour neighbours[3];

static int setup(void **state)
{
	return store_file_setup(state);
}

static int teardown(void **state)
{
	fault_vfs_on_new_log(NULL);
	fault_vfs_disarm();
	for (size_t i = 0; i < ARRAY_LEN(neighbours); i++)
		neighbour_kill(&neighbours[i]);
	return store_file_teardown(state);
}

static struct neighbour *start_neighbour(struct store_file *f, unsigned i)
{
	neighbour_start(&neighbours[i], f->path);
	return &neighbours[i];
}

static int role(struct store_file *f)
{
	return atomic_load(&sq_store(f->store)->log_role);
}

static struct sq_log_view view(struct store_file *f)
{
	struct sq_log_view v;
	while (!sq_log_view(sq_store(f->store), &v))
		;
	return v;
}

static int log_anew(struct store_file *f, int64_t patience_ns)
{
	struct sqlite_store *s = sq_store(f->store);
	sq_write_lock(s);
	int r = sq_log_anew(s, true, sq_now() + patience_ns);
	sq_write_unlock(s);
	return r;
}

static void wait_for_role(struct store_file *f, int wanted)
{
	int64_t end = sq_now() + PATIENCE_NS;
	while (role(f) != wanted && sq_now() < end)
		sq_nap(9);
	assert_int_equal(role(f), wanted);
}

/* The keeper moves it into the file, and starts it anew if it is large. */
static void wait_for_small_log(struct store_file *f)
{
	struct sq_log_view v = view(f);
	int64_t end = sq_now() + PATIENCE_NS;
	while ((v.moved < v.frames || v.frames > 16 * MIB / 4096) && sq_now() < end) {
		sq_nap(9);
		v = view(f);
	}
	assert_int_equal(v.moved, v.frames);
	assert_in_range(v.frames, 0, 16 * MIB / 4096);
}

/* Opens the store with a keeper there already: neighbour 0. */
static struct neighbour *behind_a_keeper(struct store_file *f)
{
	store_file_close(f);
	struct neighbour *p = start_neighbour(f, 0);
	assert_string_equal(neighbour_do(p, "open"), "0");
	store_file_open(f);
	assert_string_equal(neighbour_do(p, "keeper"), "1");
	assert_int_equal(role(f), SQ_ROLE_NONE);
	return p;
}

/* Whatever a SQL client does, it cannot start the log anew. */
static void test_pinned(void **state)
{
	static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	assert_int_equal(role(f), SQ_ROLE_PINNED);
	store_file_create(f, "record");
	long long salt = neighbour_number(p, "salt");
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		char line[64];
		snprintf(line, sizeof line, "race %s 0.1", modes[i]);
		assert_true(neighbour_number(p, line) > 0);
		assert_int_equal(neighbour_number(p, "salt"), salt);
		assert_string_equal(
			neighbour_do(p, "sql 0 UPDATE store SET settled = settled + 1"), "0");
		neighbour_do(p, "sql 0 PRAGMA wal_checkpoint(%s)", modes[i]);
		/* The keeper holds back nothing but a new start. */
		assert_memory_equal(p->answer, i < 2 ? "0 0 " : "0 1 ", 4);
		struct sq_log_view v = view(f);
		assert_int_equal(v.moved, v.frames);
		assert_true(v.frames > 0);
	}
	assert_int_equal(log_anew(f, PATIENCE_NS), 0);
	assert_int_not_equal(neighbour_number(p, "salt"), salt);
}

static struct neighbour *checker;
static int busy, not_busy;

static void try_to_checkpoint(void)
{
	neighbour_do(checker, "sql 0 PRAGMA wal_checkpoint(PASSIVE)");
	if (memcmp(checker->answer, "0 1 ", 4) == 0)
		busy++;
	else
		not_busy++;
}

/* While it starts anew nobody can checkpoint. */
static void test_no_checkpoint_while_it_starts_anew(void **state)
{
	struct store_file *f = *state;
	checker = start_neighbour(f, 0);
	uint64_t ino = store_file_create(f, "record");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
		neighbour_do(checker, "sql 0 UPDATE store SET settled = settled + 1");
		busy = not_busy = 0;
		fault_vfs_on_new_log(try_to_checkpoint);
		assert_int_equal(log_anew(f, PATIENCE_NS), 0);
		fault_vfs_on_new_log(NULL);
		/* When the lock was let go, and when the header was written. */
		assert_int_equal(busy, 2);
		assert_int_equal(not_busy, 0);
		assert_int_equal(role(f), SQ_ROLE_PINNED);
	}
	neighbour_do(checker, "sql 0 PRAGMA wal_checkpoint(PASSIVE)");
	assert_memory_equal(checker->answer, "0 0 ", 4);
}

/*
 * The fault itself: a checkpoint by SQL client b halts when it has read how long the log is, SQL
 * client a starts the log anew and writes pages behind the end that the database had, b goes on.
 * Returns whether all is there in the end.
 */
static bool halted_checkpoint(struct neighbour *a, struct neighbour *b)
{
	static const char fill[] = "sql 0 WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1"
				   " FROM n WHERE i < %d) INSERT INTO block(key, data)"
				   " SELECT (1000 << 30) + i, zeroblob(4000) FROM n";
	assert_string_equal(neighbour_do(b, "halting"), "0");
	assert_memory_equal(neighbour_do(b, "sql 0 SELECT count(*) FROM block"), "0 ", 2);
	neighbour_do(a, "sql 0 PRAGMA wal_autocheckpoint = 0");
	neighbour_do(a, "sql 0 PRAGMA busy_timeout = 10000");
	assert_string_equal(neighbour_do(a, fill, 1, 20), "0");
	assert_memory_equal(neighbour_do(a, "sql 0 PRAGMA wal_checkpoint(PASSIVE)"), "0 0 ", 4);
	assert_string_equal(neighbour_do(b, "sql 0 PRAGMA wal_checkpoint(PASSIVE)"), "halted");
	assert_string_equal(neighbour_do(a, fill, 21, 400), "0");
	assert_memory_equal(neighbour_do(b, "go on"), "0 0 ", 4);
	assert_memory_equal(neighbour_do(a, "sql 0 PRAGMA wal_checkpoint(PASSIVE)"), "0 0 ", 4);
	assert_string_equal(neighbour_do(a, fill, 401, 402), "0");
	return strcmp(neighbour_do(a, "sql 1 PRAGMA integrity_check"), "0 ok") == 0 &&
	       strcmp(neighbour_do(a, "sql 1 SELECT count(*) FROM block WHERE key >> 30 = 1000"),
		       "0 402") == 0;
}

/* Without a mount it happens, so the next test tests something. */
static void test_without_a_keeper(void **state)
{
	struct store_file *f = *state;
	char path[96];
	snprintf(path, sizeof path, "%s/other.db", f->dir);
	neighbour_start(&neighbours[0], path);
	neighbour_start(&neighbours[1], path);
	neighbour_do(&neighbours[0], "sql 0 PRAGMA journal_mode = WAL");
	neighbour_do(&neighbours[0], "sql 0 CREATE TABLE block(key INTEGER PRIMARY KEY, data)");
	if (halted_checkpoint(&neighbours[0], &neighbours[1]))
		skip(); /* this SQLite does not have it */
}

static void test_with_a_keeper(void **state)
{
	struct store_file *f = *state;
	struct neighbour *a = start_neighbour(f, 0), *b = start_neighbour(f, 1);
	assert_true(halted_checkpoint(a, b));
	neighbour_do(a, "sql 0 DELETE FROM block WHERE key >> 30 = 1000");
}

/* Nor does the keeper start it anew during a checkpoint. */
static void test_waits_for_a_checkpoint(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	assert_string_equal(neighbour_do(p, "halting"), "0");
	assert_memory_equal(neighbour_do(p, "sql 0 SELECT settled FROM store"), "0 ", 2);
	store_file_create(f, "record");
	uint64_t salt = view(f).salt;
	assert_string_equal(neighbour_do(p, "sql 0 PRAGMA wal_checkpoint(PASSIVE)"), "halted");
	assert_int_equal(log_anew(f, 50000000), -EBUSY);
	assert_true(view(f).salt == salt);
	assert_int_equal(role(f), SQ_ROLE_PINNED);
	assert_memory_equal(neighbour_do(p, "go on"), "0 0 ", 4);
	assert_int_equal(log_anew(f, PATIENCE_NS), 0);
	assert_true(view(f).salt != salt);
}

/* The lock cannot be had again: nobody can checkpoint until it is. */
static void test_pin_fails(void **state)
{
	static const int codes[] = {SQLITE_BUSY, SQLITE_IOERR_LOCK, SQLITE_IOERR_NOMEM};
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	uint64_t ino = store_file_create(f, "record");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		fault_vfs_arm(FAULT_PIN, 0, true, codes[i]);
		assert_int_equal(log_anew(f, PATIENCE_NS), 0);
		assert_int_equal(role(f), SQ_ROLE_OPEN);
		neighbour_do(p, "sql 0 PRAGMA wal_checkpoint(PASSIVE)");
		assert_memory_equal(p->answer, "0 1 ", 4);
		assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
		assert_int_equal(log_anew(f, 1000000), codes[i] == SQLITE_BUSY	       ? -EBUSY
						       : codes[i] == SQLITE_IOERR_LOCK ? -EIO
										       : -ENOMEM);
		assert_true(fault_vfs_disarm() > 0);
		wait_for_role(f, SQ_ROLE_PINNED);
		wait_for_small_log(f);
	}
}

/* Nor can it be had at the open: the store works, and keeps the log as soon as it can. */
static void test_pin_fails_at_open(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0); /* so that the log is kept */
	assert_memory_equal(neighbour_do(p, "sql 0 SELECT settled FROM store"), "0 ", 2);
	store_file_close(f);
	fault_vfs_arm(FAULT_PIN, 0, true, SQLITE_IOERR_LOCK);
	store_file_open(f);
	assert_int_equal(role(f), SQ_ROLE_NONE);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	assert_true(fault_vfs_disarm() > 0);
	wait_for_role(f, SQ_ROLE_PINNED);
	wait_for_small_log(f);
}

/* A SQL client reads with the lock that the keeper wants. */
static void test_reader_in_its_place(void **state)
{
	struct store_file *f = *state;
	store_file_close(f);
	struct neighbour *p = start_neighbour(f, 0);
	for (int i = 1; i <= 4; i++) {
		assert_string_equal(
			neighbour_do(p, "sql 0 UPDATE store SET settled = settled + 1"), "0");
		assert_string_equal(neighbour_do(p, "sql %d BEGIN", i), "0");
		assert_memory_equal(
			neighbour_do(p, "sql %d SELECT settled FROM store", i), "0 ", 2);
	}
	store_file_open(f);
	assert_int_equal(role(f), SQ_ROLE_NONE);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	assert_int_equal(log_anew(f, 1000000), -EBUSY);
	for (int i = 1; i <= 4; i++)
		assert_string_equal(neighbour_do(p, "sql %d COMMIT", i), "0");
	wait_for_role(f, SQ_ROLE_PINNED);
	wait_for_small_log(f);
}

static void test_takes_over_from_the_closed(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = behind_a_keeper(f);
	assert_string_equal(neighbour_do(p, "close"), "0");
	wait_for_role(f, SQ_ROLE_PINNED);
	assert_string_equal(neighbour_do(p, "open"), "0");
	assert_string_equal(neighbour_do(p, "keeper"), "0");
}

static void test_takes_over_from_the_dead(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	struct neighbour *p = behind_a_keeper(f);
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	neighbour_kill(p);
	wait_for_role(f, SQ_ROLE_PINNED);
	wait_for_small_log(f);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
	assert_int_equal(store_file_first(f, ino), 'b');
}

static void write_much(struct store_file *f, uint64_t ino, char fill)
{
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(store_file_write(f, ino, i * MIB, fill, MIB, false), 0);
}

static void test_bounded(void **state)
{
	struct store_file *f = *state;
	write_much(f, store_file_create(f, "record"), 'a');
	wait_for_small_log(f);
}

/* This one writes, another one keeps the log. */
static void test_bounded_by_another(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = behind_a_keeper(f);
	uint64_t salt = view(f).salt;
	write_much(f, store_file_create(f, "record"), 'a');
	wait_for_small_log(f);
	assert_true(view(f).salt != salt);
	assert_string_equal(neighbour_do(p, "keeper"), "1");
}

static void test_bounded_when_both_write(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	assert_string_equal(neighbour_do(p, "open"), "0");
	char line[64];
	snprintf(line, sizeof line, "write %lld b 3000", neighbour_number(p, "create other"));
	neighbour_tell(p, line);
	write_much(f, store_file_create(f, "record"), 'a');
	assert_string_equal(neighbour_answer(p), "0");
	wait_for_small_log(f);
}

static void test_bounded_when_sql_writes(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	uint64_t salt = view(f).salt;
	assert_string_equal(neighbour_do(p, "sql 0 PRAGMA synchronous = OFF"), "0");
	assert_string_equal(neighbour_do(p, "sql 0 PRAGMA busy_timeout = 10000"), "0 10000");
	for (int i = 0; i < 6; i++) {
		/* 4 MiB of log each */
		assert_string_equal(neighbour_do(p,
					    "sql 0 INSERT INTO block(key, sums, data)"
					    " VALUES(%lld, NULL, zeroblob(4194304))",
					    (long long)sq_key(1000, 0) + i),
			"0");
	}
	wait_for_small_log(f);
	assert_true(view(f).salt != salt);
	for (int i = 0; i < 6; i++)
		neighbour_do(p, "sql 0 DELETE FROM block WHERE key = %lld",
			(long long)sq_key(1000, 0) + i);
}

/* It grows as long as somebody reads it, and no longer; then its space is given back. */
static void test_long_reader(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0);
	uint64_t ino = store_file_create(f, "record"), salt = view(f).salt;
	assert_string_equal(neighbour_do(p, "sql 0 BEGIN"), "0");
	assert_memory_equal(neighbour_do(p, "sql 0 SELECT count(*) FROM inode"), "0 ", 2);
	for (const char *fill = "abc"; *fill; fill++)
		write_much(f, ino, *fill);
	assert_true(view(f).frames > 192 * MIB / 4096);
	assert_true(view(f).salt == salt);
	assert_true(neighbour_number(p, "size") > 192 * MIB);
	assert_string_equal(neighbour_do(p, "sql 0 COMMIT"), "0");
	wait_for_small_log(f);
	assert_true(view(f).salt != salt);
	int64_t end = sq_now() + PATIENCE_NS; /* for the rest after a second */
	while (neighbour_number(p, "size") > 32 * MIB && sq_now() < end)
		sq_nap(9);
	assert_in_range(neighbour_number(p, "size"), 0, 32 * MIB);
	assert_string_equal(neighbour_do(p, "sql 0 PRAGMA integrity_check"), "0 ok");
	assert_int_equal(store_file_first(f, ino), 'c');
}

static void test_anew_by_another(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = behind_a_keeper(f);
	uint64_t ino = store_file_create(f, "record");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
		uint64_t salt = view(f).salt;
		assert_int_equal(log_anew(f, PATIENCE_NS), 0);
		assert_true(view(f).salt != salt);
	}
	/* It does not answer; then it does; then it is dead. */
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	kill(p->pid, SIGSTOP);
	assert_int_equal(log_anew(f, 1000000), -EBUSY);
	kill(p->pid, SIGCONT);
	assert_int_equal(log_anew(f, PATIENCE_NS), 0);
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	neighbour_kill(p);
	assert_int_equal(log_anew(f, PATIENCE_NS), 0);
	wait_for_role(f, SQ_ROLE_PINNED);
}

/* A commit that failed is settled, with the keeper elsewhere. */
static void test_settled_by_another(void **state)
{
	struct store_file *f = *state;
	struct store_stats stats = {0};
	struct neighbour *p = behind_a_keeper(f);
	uint64_t ino = store_file_create(f, "record");
	for (int i = 0; i < 3; i++) {
		/* Also what was not flushed before must not be lost. */
		assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
		fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
		assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), -EIO);
		assert_int_equal(fault_vfs_disarm(), 1);
		assert_false(fault_vfs_log_dirty());
		assert_int_equal(store_file_first(f, ino), 'a');
		store_stats(f->store, &stats);
		assert_int_equal(stats.store_degraded, 0);
	}
	assert_string_equal(neighbour_do(p, "keeper"), "1");
}

/* The log cannot grow; it starts anew in the space that it has, with the keeper elsewhere. */
static void test_full_disk_with_another(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = behind_a_keeper(f);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	fault_vfs_arm(FAULT_LOG_WRITE, 0, false, SQLITE_FULL);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(store_file_first(f, ino), 'b');
	assert_string_equal(neighbour_do(p, "keeper"), "1");
}

/* Nobody writes: soon the file alone is whole, though the log is kept from starting anew. */
static void test_idle(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = behind_a_keeper(f);
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	wait_for_small_log(f);
	store_file_close(f);
	assert_string_equal(neighbour_do(p, "close"), "0");
	store_file_open(f);
	assert_int_equal(store_file_first(f, ino), 'a');
}

/* Another mount is stopped in a transaction: changes fail after the time out, reads go on. */
static void test_stopped_writer(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, true), 0);
	store_file_close(f);
	f->busy_timeout_ms = 100;
	store_file_open(f);
	struct neighbour *p = start_neighbour(f, 0);
	assert_string_equal(neighbour_do(p, "sql 0 BEGIN IMMEDIATE"), "0");
	kill(p->pid, SIGSTOP);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), -EIO);
		assert_int_equal(store_file_first(f, ino), 'a');
	}
	neighbour_kill(p);
	assert_int_equal(store_file_write(f, ino, 0, 'b', LEN, true), 0);
	assert_int_equal(store_file_first(f, ino), 'b');
}

/* One that was stopped while it waited for its turn is not waited for. */
static void test_stopped_waiter(void **state)
{
	struct store_file *f = *state;
	struct neighbour *p = start_neighbour(f, 0), *q = start_neighbour(f, 1);
	assert_string_equal(neighbour_do(p, "open"), "0");
	long long other = neighbour_number(p, "create other");
	uint64_t ino = store_file_create(f, "record");
	assert_string_equal(neighbour_do(q, "sql 0 BEGIN IMMEDIATE"), "0");
	char line[64];
	snprintf(line, sizeof line, "write %lld b 1", other);
	neighbour_tell(p, line);
	int64_t end = sq_now() + PATIENCE_NS;
	while (!sq_file_locked(sq_store(f->store), SQ_FILE_WAIT) && sq_now() < end)
		sq_nap(9);
	assert_true(sq_file_locked(sq_store(f->store), SQ_FILE_WAIT));
	kill(p->pid, SIGSTOP);
	assert_string_equal(neighbour_do(q, "sql 0 COMMIT"), "0");
	for (int i = 0; i < 100; i++)
		assert_int_equal(store_file_write(f, ino, 0, 'a', LEN, false), 0);
	kill(p->pid, SIGCONT);
	assert_string_equal(neighbour_answer(p), "0");
	assert_false(sq_file_locked(sq_store(f->store), SQ_FILE_WAIT));
}

int main(int argc, char **argv)
{
	neighbour_main(argc, argv);
	fault_vfs_install();
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pinned),
		TEST(test_no_checkpoint_while_it_starts_anew),
		TEST(test_without_a_keeper),
		TEST(test_with_a_keeper),
		TEST(test_waits_for_a_checkpoint),
		TEST(test_pin_fails),
		TEST(test_pin_fails_at_open),
		TEST(test_reader_in_its_place),
		TEST(test_takes_over_from_the_closed),
		TEST(test_takes_over_from_the_dead),
		TEST(test_bounded),
		TEST(test_bounded_by_another),
		TEST(test_bounded_when_both_write),
		TEST(test_bounded_when_sql_writes),
		TEST(test_long_reader),
		TEST(test_anew_by_another),
		TEST(test_settled_by_another),
		TEST(test_full_disk_with_another),
		TEST(test_idle),
		TEST(test_stopped_writer),
		TEST(test_stopped_waiter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
