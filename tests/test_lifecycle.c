/*
 * The life of a store on a disk that fails: healthy, degraded, probing, healthy again. Each
 * transition is forced; what is shown of it, what is kept of the errors, and that it ends.
 */

#include "fault_vfs.h"
#include "store_file.h"

#include "cache/store/meter.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEN ((size_t)3 * STORE_BLOCK_SIZE)
#define ALL_SYNCS (FAULT_LOG_SYNC | FAULT_DB_SYNC)

/* A store that is measured, as a mount has it, with one record full of A. */
struct fixture {
	struct store_file *file;
	struct meter *meter;
	struct store *store;
	uint64_t ino;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof *f);
	void *file = NULL;
	char why[SQLITE_STORE_WHY] = "";
	assert_int_equal(store_file_setup(&file), 0);
	f->file = file;
	f->ino = store_file_create(f->file, "record");
	assert_int_equal(store_file_write(f->file, f->ino, 0, 'A', LEN, true), 0);
	store_file_close(f->file);
	assert_int_equal(meter_new(&f->meter), 0);
	struct sqlite_config cfg = {
		.path = f->file->path, .busy_timeout_ms = 300, .errors = &f->meter->errors};
	struct store *sqlite = NULL;
	if (sqlite_store_open(&cfg, &sqlite, why, sizeof why) < 0)
		fail_msg("%s", why);
	assert_int_equal(meter_store_new(f->meter, sqlite, &f->store), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *file = f->file;
	fault_vfs_on_write(NULL);
	fault_vfs_disarm();
	store_close(f->store);
	meter_free(f->meter);
	test_free(f);
	return store_file_teardown(&file);
}

static int write_all(struct fixture *f, char fill, bool durable)
{
	char data[LEN];
	memset(data, fill, sizeof data);
	struct change ch = {
		.kind = CHANGE_WRITE, .now = 1, .write = {.ino = f->ino, .data = data, .len = LEN}};
	int r = store_apply_one(f->store, &ch, durable);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
	return r;
}

static char content(struct fixture *f)
{
	UNINITIALIZED struct store_span span; /* by several threads */
	assert_int_equal(store_read(f->store, f->ino, 0, LEN / STORE_BLOCK_SIZE, &span), 0);
	char letter = (char)span.blocks[0]->data[0];
	store_span_release(&span);
	return letter;
}

static struct store_stats stats_of(struct fixture *f)
{
	struct store_stats stats = {0};
	store_stats(f->store, &stats);
	return stats;
}

/* The last errors, the newest first; at least `n`. */
static const struct store_error *errors_of(struct fixture *f, unsigned n)
{
	static struct store_error kept[STORE_ERRORS_MAX];
	assert_true(store_errors_read(&f->meter->errors, kept) >= n);
	return kept;
}

static void assert_healthy(struct fixture *f, unsigned degradations)
{
	struct store_stats s = stats_of(f);
	assert_int_equal(s.store_state, STORE_HEALTHY);
	assert_int_equal(s.store_degraded, 0);
	assert_int_equal(s.store_degradations, degradations);
}

static void await_healthy(struct fixture *f)
{
	for (unsigned i = 0; i < 6000 && stats_of(f).store_state != STORE_HEALTHY; i++)
		usleep(10000);
}

/* How often `op` was told of as failed. */
static uint64_t told(struct fixture *f, const char *op)
{
	struct store_error kept[STORE_ERRORS_MAX];
	unsigned n = store_errors_read(&f->meter->errors, kept);
	uint64_t times = 0;
	for (unsigned i = 0; i < n; i++)
		times += strcmp(kept[i].op, op) == 0 ? kept[i].times : 0;
	return times;
}

/* Has a flush of the disk fail, once or for ever, of a commit ("write") or of what was committed
 * before ("flush"). Now and then it is the keeper whose flush it is; then once more. Returns how
 * often the store was degraded before. */
static unsigned fail_one(struct fixture *f, const char *op, bool forever)
{
	bool flush = strcmp(op, "flush") == 0;
	for (unsigned i = 0; i < 100; i++) {
		if (flush)
			assert_int_equal(write_all(f, 'A', false), 0);
		unsigned before = (unsigned)stats_of(f).store_degradations;
		uint64_t was_told = told(f, op);
		fault_vfs_arm(ALL_SYNCS, 0, forever, SQLITE_IOERR_FSYNC);
		int r = flush ? store_flush(f->store) : write_all(f, 'B', true);
		if (!forever)
			fault_vfs_disarm();
		if (r == -EIO && told(f, op) == was_told + 1)
			return before;
		fault_vfs_disarm();
		await_healthy(f);
		assert_int_equal(write_all(f, 'A', true), 0);
	}
	fail_msg("no %s could be made to fail", op);
	return 0;
}

/* healthy -> probing -> healthy: a commit fails, and its outcome is settled at once. */
static void test_settled_at_once(void **state)
{
	struct fixture *f = *state;
	assert_healthy(f, 0);
	unsigned before = fail_one(f, "write", false);
	assert_healthy(f, before + 1);
	assert_true(stats_of(f).store_probes >= 1);
	const struct store_error *e = errors_of(f, 1);
	assert_string_equal(e->op, "write");
	assert_int_equal(e->ino, f->ino);
	assert_int_equal(e->offset, 0);
	assert_int_equal(e->error, EIO);
	assert_int_equal(e->code, SQLITE_IOERR_FSYNC);
	assert_string_equal(e->code_name, "SQLITE_IOERR_FSYNC");
	assert_int_equal(content(f), 'A');
	assert_int_equal(write_all(f, 'B', true), 0);
}

/* healthy -> probing -> degraded -> probing -> healthy, with nobody who writes. */
static void test_recovers_by_itself(void **state)
{
	struct fixture *f = *state;
	unsigned before = fail_one(f, "write", true);
	struct store_stats s = stats_of(f);
	assert_int_equal(s.store_degraded, 1);
	assert_int_equal(s.store_degradations, before + 1);
	/* Reads go on, changes and flushes are refused. */
	assert_int_equal(content(f), 'A');
	assert_int_equal(write_all(f, 'B', false), -EIO);
	/* Probed again while the cause is there: still the same degradation. */
	uint64_t probes = s.store_probes;
	for (unsigned i = 0; i < 6000 && stats_of(f).store_probes < probes + 2; i++)
		usleep(10000);
	s = stats_of(f);
	assert_true(s.store_probes >= probes + 2);
	assert_int_equal(s.store_degraded, 1);
	assert_int_equal(s.store_degradations, before + 1);
	fault_vfs_disarm();
	await_healthy(f);
	assert_healthy(f, before + 1);
	assert_int_equal(content(f), 'A');
	assert_int_equal(write_all(f, 'C', true), 0);
	assert_int_equal(content(f), 'C');
}

/* Why it is degraded is not pushed out by the refusals that follow from it. */
static void test_refusals_are_no_news(void **state)
{
	struct fixture *f = *state;
	(void)fail_one(f, "write", true);
	uint64_t writes = told(f, "write"), probes = told(f, "probe");
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(write_all(f, 'B', i % 2), -EIO);
		usleep(5000);
	}
	assert_int_equal(told(f, "write"), writes);
	assert_true(told(f, "probe") > probes);
	struct store_error kept[STORE_ERRORS_MAX];
	assert_true(store_errors_read(&f->meter->errors, kept) < STORE_ERRORS_MAX);
	assert_string_equal(kept[0].op, "probe");
	assert_int_equal(kept[0].code, SQLITE_IOERR_FSYNC);
}

/* healthy -> degraded -> probing -> healthy: it was a flush that failed. */
static void test_flush_fails(void **state)
{
	struct fixture *f = *state;
	unsigned before = fail_one(f, "flush", true);
	assert_int_equal(stats_of(f).store_degraded, 1);
	assert_int_equal(store_flush(f->store), -EIO);
	fault_vfs_disarm();
	await_healthy(f);
	assert_healthy(f, before + 1);
	assert_int_equal(store_flush(f->store), 0);
	assert_int_equal(content(f), 'A');
}

/* What is seen from within: while the log is written anew, the store is probing. */
static struct fixture *watched;
static atomic_uint seen_probing, seen_degraded;

static void look(void)
{
	struct store_stats s = stats_of(watched);
	seen_probing += s.store_state == STORE_PROBING;
	seen_degraded += s.store_degraded == 1;
}

static void test_probing_is_shown(void **state)
{
	watched = *state;
	seen_probing = seen_degraded = 0;
	fault_vfs_on_write(look);
	unsigned before = fail_one(watched, "write", false);
	fault_vfs_on_write(NULL);
	assert_true(atomic_load(&seen_probing) > 0);
	assert_true(atomic_load(&seen_degraded) >= atomic_load(&seen_probing));
	assert_healthy(watched, before + 1);
}

/* A reader that holds the log keeps it from starting anew. Nobody waits for longer than the busy
 * timeout, and when the reader has gone all is well. */
static void test_never_blocks_for_ever(void **state)
{
	struct fixture *f = *state;
	sqlite3 *reader;
	/* not flushed: a flush of a new commit alone would not do */
	assert_int_equal(write_all(f, 'B', false), 0);
	assert_int_equal(sqlite3_open(f->file->path, &reader), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM inode", 0, 0, 0), SQLITE_OK);
	fault_vfs_arm(FAULT_LOG_SYNC, 0, false, SQLITE_IOERR_FSYNC);
	for (unsigned i = 0; i < 5; i++) {
		time_t began = time(NULL);
		assert_int_equal(write_all(f, 'C', true), -EIO);
		assert_int_equal(i == 0 ? -EIO : store_flush(f->store), -EIO);
		/* of 0.3 s, a few times; a slow machine is not a store that hangs */
		assert_true(time(NULL) - began < 60);
		assert_int_equal(content(f), 'B');
		assert_int_equal(stats_of(f).store_degraded, 1);
	}
	fault_vfs_disarm();
	assert_int_equal(sqlite3_exec(reader, "COMMIT", 0, 0, 0), SQLITE_OK);
	sqlite3_close(reader);
	await_healthy(f);
	assert_healthy(f, 1);
	assert_int_equal(write_all(f, 'D', true), 0);
	assert_int_equal(content(f), 'D');
}

/* Writers, flushers and readers at once, while the disk fails and works in turn. */
static atomic_bool over;
static atomic_uint refused, worked;

static void *hammer(void *arg)
{
	struct fixture *f = arg;
	for (unsigned i = 0; !atomic_load(&over); i++) {
		int r = i % 3 == 2 ? store_flush(f->store) : write_all(f, 'A', i % 3 == 0);
		assert_true(r == 0 || r == -EIO);
		atomic_fetch_add(r == 0 ? &worked : &refused, 1);
		assert_int_equal(content(f), 'A');
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[4];
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, f), 0);
	for (unsigned round = 0; round < 5; round++) {
		unsigned before = atomic_load(&refused);
		fault_vfs_arm(ALL_SYNCS, (int)round, true, SQLITE_IOERR_FSYNC);
		while (atomic_load(&refused) < before + 10)
			usleep(1000);
		fault_vfs_disarm();
		before = atomic_load(&worked);
		while (atomic_load(&worked) < before + 10)
			usleep(1000);
	}
	atomic_store(&over, true);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	await_healthy(f);
	assert_int_equal(stats_of(f).store_state, STORE_HEALTHY);
	assert_int_equal(write_all(f, 'B', true), 0);
	assert_int_equal(content(f), 'B');
}

int main(void)
{
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settled_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recovers_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals_are_no_news, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probing_is_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_blocks_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_at_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
