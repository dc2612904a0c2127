/*
 * The write-through cache over the SQLite store, with everything that can fail failed in turn: the
 * 1st, the 2nd, the 3rd ... allocation, write, sync or read of a fixed workload, until nothing is
 * hit any more; once, and for ever after. The model does what was acknowledged. After each step
 * and at the end the stack shows what the model shows; so does the file after a crash, which is
 * then whole. Every 31st point or so each time, all of them with RFS_LONG=1 in the environment;
 * with RFS_PART=K/N those that are K modulo N, so that N processes share them. RFS_ONLY=PATTERN
 * runs the tests whose names match.
 */
#include "fault_vfs.h"
#include "model_store.h"
#include "scarce.h"
#include "scarce_heap.h"
#include "store_file.h"
#include "tree.h"

#include "cache/cache.h"
#include "cache/store/sqlite_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOP "/top"

/* -- a plan: what fails ---------------------------------------------------------------------- */

struct plan {
	bool ours, sqlites; /* an allocation */
	unsigned ops;	    /* else these operations of the disk */
	int rc;
	bool forever;
	bool torn;
};

static void arm(const struct plan *p, long after)
{
	if (p->ours)
		scarce_heap_arm(after);
	else if (p->sqlites)
		scarce_arm(after);
	else
		fault_vfs_arm(p->ops, (int)after, p->forever, p->rc);
	fault_vfs_torn(p->torn);
}

static int disarm(const struct plan *p)
{
	int of_ours = scarce_heap_refused();
	scarce_heap_arm(-1);
	fault_vfs_torn(false);
	int of_sqlite = scarce_disarm();
	if (p->ops)
		return fault_vfs_disarm();
	return p->ours ? of_ours : of_sqlite;
}

/* -- one round ------------------------------------------------------------------------------- */

struct round {
	struct store_file *f;
	struct store *stack;
	struct store *model;
	const struct plan *plan;
	uint64_t orphans[64], model_orphans[64];
	size_t n_orphans, n_model_orphans;
	size_t step;
};

static void open_stack(struct round *r)
{
	struct cache_config cfg = {.size = 8 << 20, .ttl_ns = INT64_MAX / 4};
	store_file_open(r->f);
	assert_int_equal(cache_new(&cfg, r->f->store, &r->stack), 0);
}

static void close_stack(struct round *r)
{
	store_close(r->stack);
	r->stack = r->f->store = NULL;
}

/* Whatever is planned is not for this. */
static uint64_t digest_of(struct store *s)
{
	uint64_t sum = 0;
	scarce_heap_pause(true);
	scarce_pause(true);
	assert_int_equal(tree_digest(s, TOP, &sum), 0);
	scarce_pause(false);
	scarce_heap_pause(false);
	return sum;
}

static void expect_same(struct round *r, const char *when)
{
	uint64_t have = digest_of(r->stack), want = digest_of(r->model);
	if (have != want)
		fail_msg("step %zu: the tree is not as acknowledged %s", r->step, when);
}

/* May this be the answer of a store that fails? */
static bool is_failure(const struct plan *p, int result)
{
	return result == -EIO || result == -ENOMEM || (p->ops && result == -ENOSPC);
}

static void model_does(struct round *r, bool durable, int want)
{
	scarce_heap_pause(true);
	struct tree_done done = tree_step(r->model, TOP, r->step, durable);
	scarce_heap_pause(false);
	assert_int_equal(done.result, want);
	if (done.orphan)
		r->model_orphans[r->n_model_orphans++] = done.orphan;
}

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	unlink(to);
	if (in < 0)
		return;
	int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (out >= 0 && (n = read(in, buf, sizeof buf)) > 0)
		if (write(out, buf, (size_t)n) != n)
			_exit(1);
	_exit(out < 0);
}

/* Another process copies it, since to close a file of an open database loses SQLite's locks. */
static void copy_beside(const char *from, const char *to)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		copy_file(from, to);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void print_fault(void *arg, const struct sqlite_check_fault *fault)
{
	(void)arg;
	fprintf(stderr, "inode %llu: %s\n", (unsigned long long)fault->ino, fault->what);
}

static void expect_whole(const char *path)
{
	struct sqlite_check_handler handler = {.fault = print_fault};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY] = "";
	int r = sqlite_check(path, &handler, &sum, why, sizeof why);
	if (r < 0)
		fail_msg("%s", why);
	assert_int_equal(sum.faults, 0);
}

/* kill -9 now, and a new mount. */
static void expect_same_after_crash(struct round *r)
{
	struct store_file copy = {.busy_timeout_ms = 5000};
	char from[128], to[128];
	snprintf(copy.path, sizeof copy.path, "%.64s/copy.db", r->f->dir);
	copy_beside(r->f->path, copy.path);
	snprintf(from, sizeof from, "%s-wal", r->f->path);
	snprintf(to, sizeof to, "%s-wal", copy.path);
	copy_beside(from, to);
	snprintf(to, sizeof to, "%s-shm", copy.path);
	unlink(to);
	store_file_open(&copy);
	uint64_t have = digest_of(copy.store);
	store_file_close(&copy);
	if (have != digest_of(r->model))
		fail_msg("step %zu: after a crash the tree is not as acknowledged", r->step);
	expect_whole(copy.path);
}

/* In doubt: after a failed commit the change is not there, nor after a crash, unless the store says
 * that this is not settled; after a failed update of the cache it is there. */
static void settle_doubt(struct round *r, bool durable)
{
	struct store_stats stats = {0};
	store_stats(r->stack, &stats);
	if (r->plan->ops && !stats.store_degraded)
		expect_same_after_crash(r);
	if (r->plan->ops)
		return;
	if (digest_of(r->stack) != digest_of(r->model))
		model_does(r, durable, 0);
	expect_same(r, "after a change in doubt");
}

/* A reader meanwhile gets what is true or an error. */
static void read_meanwhile(struct round *r)
{
	uint64_t sum = 0;
	int result = tree_digest(r->stack, TOP, &sum);
	if (result == 0)
		assert_int_equal(sum, digest_of(r->model));
	else
		assert_true(is_failure(r->plan, result));
}

static void do_step(struct round *r)
{
	bool durable = r->step % 2;
	struct tree_done done = tree_step(r->stack, TOP, r->step, durable);
	if (done.orphan)
		r->orphans[r->n_orphans++] = done.orphan;
	if (!is_failure(r->plan, done.result))
		model_does(r, durable, done.result);
	else if (done.doubtful)
		settle_doubt(r, durable);
	read_meanwhile(r);
	if (r->n_orphans && tree_reap(r->stack, r->orphans[r->n_orphans - 1]) == 0)
		r->n_orphans--;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The fault has passed: changes work again, without anything being opened anew. */
static void expect_recovery(struct round *r)
{
	struct change touch = {.kind = CHANGE_SETATTR,
		.now = 1000,
		.setattr = {.ino = STORE_ROOT_INO, .mask = STORE_SET_MODE, .mode = 0755}};
	int result = -EIO;
	for (int i = 0; result < 0 && i < 500; i++) {
		result = store_apply_one(r->stack, &touch, true);
		if (result < 0)
			sleep_ms(10); /* a degraded store probes once in a while */
	}
	assert_int_equal(result, 0);
	for (size_t i = 0; i < r->n_orphans; i++)
		assert_int_equal(tree_reap(r->stack, r->orphans[i]), 0);
	r->n_orphans = 0;
}

/* The workload with the fault after `after` calls; returns how many there were. */
static int run_round(struct store_file *f, const struct plan *p, long after)
{
	struct round r = {.f = f, .plan = p, .model = model_store_new()};
	open_stack(&r);
	arm(p, after);
	for (r.step = 0; r.step < tree_steps(); r.step++)
		do_step(&r);
	int hits = disarm(p);
	expect_same(&r, "when the fault has passed");
	expect_recovery(&r);
	expect_same(&r, "after the recovery");
	if (p->ops)
		expect_same_after_crash(&r);
	close_stack(&r);
	expect_whole(f->path);
	open_stack(&r);
	expect_same(&r, "in a new mount");
	close_stack(&r);
	store_close(r.model);
	return hits;
}

/* -- the tests -------------------------------------------------------------------------------- */

static unsigned seed;
static long stride = 31;
static long part, parts; /* 0 parts: not divided */

static int setup(void **state)
{
	if (store_file_setup_in_memory(state) < 0)
		return -1;
	store_file_close(*state);
	return 0;
}

/* Also after a test that failed with its fault still to come. */
static int teardown(void **state)
{
	scarce_heap_arm(-1);
	(void)scarce_disarm();
	fault_vfs_disarm();
	return store_file_teardown(state);
}

static void start_over(struct store_file *f)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char path[128];
		snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
		unlink(path);
	}
}

static void fail_each(void **state, const struct plan *p, long step)
{
	struct store_file *f = *state;
	int hits = 1, total = 0;
	long after = step > 1 ? (long)(seed % (unsigned long)step) : 0;
	if (parts) {
		after = part;
		step = parts;
	}
	for (; hits > 0; after += step) {
		start_over(f);
		hits = run_round(f, p, after);
		total += hits > 0;
		assert_true(after < 100000);
	}
	printf("%d points\n", total);
	assert_true(total > 0);
}

static void fail_disk(void **state, unsigned ops, int rc)
{
	long step = stride == 1 ? 1 : stride / 3;
	fail_each(state, &(struct plan){.ops = ops, .rc = rc}, step);
	fail_each(state, &(struct plan){.ops = ops, .rc = rc, .forever = true}, step * 2);
}

static void test_our_memory(void **state)
{
	fail_each(state, &(struct plan){.ours = true}, stride);
}

static void test_sqlites_memory(void **state)
{
	fail_each(state, &(struct plan){.sqlites = true}, stride == 1 ? 1 : stride * 20);
}

static void test_log_write(void **state)
{
	fail_disk(state, FAULT_LOG_WRITE, SQLITE_IOERR_WRITE);
	fail_disk(state, FAULT_LOG_WRITE, SQLITE_FULL);
	fail_each(state,
		&(struct plan){.ops = FAULT_LOG_WRITE, .rc = SQLITE_IOERR_WRITE, .torn = true},
		stride == 1 ? 1 : stride / 3);
}

static void test_log_sync(void **state)
{
	fail_disk(state, FAULT_LOG_SYNC, SQLITE_IOERR_FSYNC);
}

static void test_database_grows(void **state)
{
	fail_disk(state, FAULT_DB_GROW, SQLITE_IOERR_WRITE);
}

static void test_database_read(void **state)
{
	fail_disk(state, FAULT_DB_READ, SQLITE_IOERR_READ);
}

static void test_log_read(void **state)
{
	fail_disk(state, FAULT_LOG_READ, SQLITE_IOERR_READ);
}

/* The index of the log, and its locks: each read and each change takes some. */
static void test_index(void **state)
{
	struct plan p = {.ops = FAULT_SHM, .rc = SQLITE_IOERR_SHMLOCK};
	fail_each(state, &p, stride);
	p.forever = true;
	fail_each(state, &p, stride == 1 ? 1 : stride * 2);
}

int main(void)
{
	const char *given = getenv("RFS_SEED");
	seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	printf("RFS_SEED=%u\n", seed);
	if (getenv("RFS_LONG"))
		stride = 1;
	given = getenv("RFS_PART");
	if (given && (sscanf(given, "%ld/%ld", &part, &parts) != 2 || part < 0 || parts < 1)) {
		fprintf(stderr, "RFS_PART is not K/N: %s\n", given);
		return 2;
	}
	given = getenv("RFS_ONLY");
	if (given)
		cmocka_set_test_filter(given);
	scarce_install();
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_our_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sqlites_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_database_grows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_database_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
