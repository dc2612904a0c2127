/*
 * A store that is opened, read, changed and closed while one call of the disk fails: the 1st, the
 * 2nd, the 3rd ... open, read, write, growth, sync, lock, mapping of the index,
 * deletion, or allocation of SQLite's, until nothing is hit any more; once, and for ever after. The
 * store is a new one, one that was closed, or one that kill -9 has left. What fails says so; and
 * when the fault has passed the store opens, is whole, and shows what was there before, and of the
 * change what was told. Some of the points each time, with RFS_LONG=1 in the environment all but
 * those of memory; RFS_SEED repeats a run.
 */
#include "fault_vfs.h"
#include "scarce.h"
#include "store_file.h"
#include "tree.h"

#include "cache/store/sqlite_check.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TOP "/top"
#define NAME "made-meanwhile"

static unsigned seed;
static bool all;

enum origin { NEW, CLOSED, KILLED, ORIGINS };

/* What fails: these operations of the disk; none: an allocation. */
struct plan {
	unsigned ops;
	int rc;
	bool forever;
};

static uint64_t digests[ORIGINS]; /* what each store holds */

/* -- the files ------------------------------------------------------------------------------- */

/* By other processes: to close a file of an open database loses SQLite's locks. */
static void copy_files(const struct store_file *f, const char *from, const char *to)
{
	char command[400];
	snprintf(command, sizeof command,
		"cd %s && mkdir -p %s && rm -f %s/store.db* && cp %s/store.db* %s/ && rm -f "
		"%s/store.db-shm",
		f->dir, to, to, from, to, to);
	assert_int_equal(system(command), 0);
}

static void start_from(struct store_file *f, enum origin origin)
{
	static const char *const sources[] = {"", "closed", "killed"};
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[128];
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
		unlink(path);
	}
	if (origin != NEW)
		copy_files(f, sources[origin], ".");
}

static uint64_t digest_of(struct store_file *f)
{
	uint64_t sum = 0;
	assert_int_equal(tree_digest(f->store, TOP, &sum), 0);
	return sum;
}

static int setup(void **state)
{
	if (store_file_setup_in_memory(state) < 0)
		return -1;
	struct store_file *f = *state;
	digests[NEW] = digest_of(f);
	for (size_t n = 0; n < tree_steps(); n++)
		(void)tree_step(f->store, TOP, n, n % 2);
	digests[CLOSED] = digests[KILLED] = digest_of(f);
	copy_files(f, ".", "killed");
	store_file_close(f);
	copy_files(f, ".", "closed");
	f->busy_timeout_ms = 100; /* a lock that is not to be had is not waited for any longer */
	return 0;
}

static int teardown(void **state)
{
	(void)scarce_disarm();
	(void)fault_vfs_disarm();
	return store_file_teardown(state);
}

/* -- one round ------------------------------------------------------------------------------- */

static bool is_failure(int r)
{
	return r == -EIO || r == -ENOMEM || r == -ENOSPC || r == -EBUSY;
}

static int make_name(struct store *s)
{
	struct change c = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {NAME, sizeof NAME - 1},
			.mode = S_IFREG | 0600}};
	return store_apply_one(s, &c, true);
}

static bool has_name(struct store *s)
{
	struct store_attr a;
	int r = store_lookup(s, STORE_ROOT_INO, NAME, sizeof NAME - 1, &a);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* Returns whether the change was acknowledged. */
static bool use(struct store_file *f, enum origin origin)
{
	uint64_t sum = 0;
	if (store_file_try_open(f, false) < 0) {
		assert_true(f->why[0] != '\0');
		return false;
	}
	int r = tree_digest(f->store, TOP, &sum);
	if (r == 0)
		assert_int_equal(sum, digests[origin]);
	else
		assert_true(is_failure(r));
	r = make_name(f->store);
	assert_true(r == 0 || is_failure(r));
	store_file_close(f);
	return r == 0;
}

static void print_fault(void *arg, const struct sqlite_check_fault *fault)
{
	(void)arg;
	fprintf(stderr, "inode %llu: %s\n", (unsigned long long)fault->ino, fault->what);
}

static void expect_whole(const char *path)
{
	const struct sqlite_check_handler handler = {.fault = print_fault};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY] = "";
	if (sqlite_check(path, &handler, &sum, why, sizeof why) < 0)
		fail_msg("%s", why);
	assert_int_equal(sum.faults, 0);
}

/* The fault after so many calls; returns how many there were. */
static int round_of(struct store_file *f, enum origin origin, const struct plan *p, int after)
{
	start_from(f, origin);
	if (p->ops)
		fault_vfs_arm(p->ops, after, p->forever, p->rc);
	else
		scarce_arm(after);
	bool made = use(f, origin);
	int hits = p->ops ? fault_vfs_disarm() : scarce_disarm();
	if (store_file_try_open(f, false) < 0)
		fail_msg("when the fault has passed: %s", f->why);
	assert_int_equal(digest_of(f), digests[origin]);
	assert_int_equal(has_name(f->store), made);
	assert_int_equal(make_name(f->store), made ? -EEXIST : 0);
	store_file_close(f);
	expect_whole(f->path);
	return hits;
}

/* Every `step`th point. */
static void fail_each(void **state, const struct plan *p, unsigned step)
{
	struct store_file *f = *state;
	unsigned sum = 0;
	for (enum origin origin = NEW; origin < ORIGINS; origin++) {
		unsigned points = 0;
		int hits = 1;
		for (unsigned after = seed % step; hits > 0; after += step) {
			hits = round_of(f, origin, p, (int)after);
			points += hits > 0;
		}
		printf("operations %#x, code %d, store %d: %u points\n", p->ops, p->rc, (int)origin,
			points);
		sum += points;
	}
	assert_true(sum > 0);
}

static void fail_disk(void **state, unsigned ops, int rc, unsigned step)
{
	if (all)
		step = 1;
	fail_each(state, &(struct plan){.ops = ops, .rc = rc}, step);
	fail_each(state, &(struct plan){.ops = ops, .rc = rc, .forever = true}, step);
}

/* -- the tests -------------------------------------------------------------------------------- */

static void test_open(void **state)
{
	fail_disk(state, FAULT_OPEN, SQLITE_CANTOPEN, 3);
}

static void test_read(void **state)
{
	fail_disk(state, FAULT_DB_READ | FAULT_LOG_READ, SQLITE_IOERR_READ, 41);
}

static void test_write(void **state)
{
	fail_disk(state, FAULT_DB_WRITE | FAULT_LOG_WRITE, SQLITE_IOERR_WRITE, 17);
	fail_disk(state, FAULT_DB_WRITE | FAULT_LOG_WRITE | FAULT_DB_GROW, SQLITE_FULL, 17);
}

static void test_sync(void **state)
{
	fail_disk(state, FAULT_DB_SYNC | FAULT_LOG_SYNC, SQLITE_IOERR_FSYNC, 1);
}

static void test_delete(void **state)
{
	fail_disk(state, FAULT_DELETE, SQLITE_IOERR_DELETE, 1);
}

static void test_lock(void **state)
{
	fail_disk(state, FAULT_LOCK, SQLITE_IOERR_LOCK, 5);
	fail_disk(state, FAULT_SHM, SQLITE_IOERR_SHMLOCK, 17);
	fail_disk(state, FAULT_SHM, SQLITE_IOERR_NOMEM, 17);
}

static void test_memory(void **state)
{
	/* An open, a look and a close allocate tens of thousands of times. */
	fail_each(state, &(struct plan){.ops = 0}, all ? 101 : 4001);
}

int main(void)
{
	const char *given = getenv("RFS_SEED");
	seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	printf("RFS_SEED=%u\n", seed);
	if (getenv("RFS_LONG"))
		all = true;
	scarce_install();
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
