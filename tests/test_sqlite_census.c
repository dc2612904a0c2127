/* The number of inodes of a large store: an estimate at first, then exact, whatever is made and
 * deleted meanwhile, here and by SQL clients. */
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROWS 60000

/* Inodes without a name, which the store does not mind. */
static void add_rows(struct store_file *f, const char *from, const char *n)
{
	char sql[400];
	snprintf(sql, sizeof sql,
		"WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < %s)"
		" INSERT INTO inode SELECT %s + i, 33188, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,"
		" NULL, 0, NULL FROM c",
		n, from);
	store_file_sql(f, sql);
}

static uint64_t count(struct store_file *f)
{
	struct store_space space;
	assert_int_equal(store_statfs(f->store, &space), 0);
	return space.inodes;
}

static bool counting(struct store_file *f)
{
	return atomic_load(&sq_store(f->store)->census_wanted);
}

static void wait_for_count(struct store_file *f)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	while (counting(f))
		nanosleep(&moment, NULL);
}

static void reap(struct store_file *f, const char *name, uint64_t ino)
{
	struct change unlink = {.kind = CHANGE_UNLINK,
		.now = 1,
		.unlink = {.parent = STORE_ROOT_INO, .name = {name, strlen(name)}}};
	struct change reap = {.kind = CHANGE_REAP, .now = 1, .reap = {.ino = ino}};
	assert_int_equal(store_apply_one(f->store, &unlink, false), 0);
	assert_int_equal(store_apply_one(f->store, &reap, false), 0);
}

/* A store that is not asked before it is large. */
static void large(struct store_file *f)
{
	store_file_close(f);
	add_rows(f, "100000", "60000");
	store_file_open(f);
}

static void test_exact_in_the_end(void **state)
{
	struct store_file *f = *state;
	large(f);
	uint64_t first = count(f);
	assert_in_range(first, 16384, 160000); /* numbers are up to 160,000 */
	wait_for_count(f);
	assert_int_equal(count(f), ROWS + 1);
	assert_false(counting(f)); /* known now */
	uint64_t ino = store_file_create(f, "a");
	assert_int_equal(count(f), ROWS + 2);
	reap(f, "a", ino);
	assert_int_equal(count(f), ROWS + 1);
}

static void test_changes_meanwhile(void **state)
{
	struct store_file *f = *state;
	large(f);
	uint64_t early = store_file_create(f, "early");
	(void)count(f);
	/* Before, in and after what the keeper has counted so far. */
	char name[] = "a";
	for (bool done = false; !done && name[0] <= 'z'; name[0]++) {
		done = !counting(f);
		uint64_t ino = store_file_create(f, name);
		if (name[0] % 2)
			reap(f, name, ino);
	}
	reap(f, "early", early);
	wait_for_count(f);
	uint64_t kept = 0;
	for (char c = 'a'; c < name[0]; c++)
		kept += c % 2 == 0;
	assert_int_equal(count(f), ROWS + 1 + kept);
}

static bool ignore(void *arg, const struct store_event *event)
{
	(void)arg;
	(void)event;
	return false;
}

/* What others have made is counted when it is told of, but not at once. */
static void test_others(void **state)
{
	struct store_file *f = *state;
	large(f);
	(void)count(f);
	wait_for_count(f);
	assert_true(store_poll(f->store, ignore, NULL) >= 0);
	assert_int_equal(count(f), ROWS + 1);
	add_rows(f, "90000", "5");
	assert_true(store_poll(f->store, ignore, NULL) > 0);
	struct sqlite_store *s = sq_store(f->store);
	atomic_store(&s->recount_at, sq_now() + INT64_C(1000000000000));
	assert_int_equal(count(f), ROWS + 1);
	assert_false(counting(f));
	atomic_store(&s->recount_at, 0);
	(void)count(f);
	wait_for_count(f);
	assert_int_equal(count(f), ROWS + 6);
}

/* No work that grows with the store: what a look asks SQLite to do. */
static void test_bounded(void **state)
{
	struct store_file *f = *state;
	int64_t n = 0;
	large(f);
	struct sq_conn *c = NULL;
	struct sqlite_store *s = sq_store(f->store);
	uint64_t inodes;
	assert_int_equal(sq_read_begin(s, &c), 0);
	assert_int_equal(sq_census(s, c, 0, &inodes), 0);
	n = sqlite3_stmt_status(c->statement[SQ_INODE_SLICE], SQLITE_STMTSTATUS_VM_STEP, 1);
	sq_read_end(s, c);
	assert_in_range(n, 1, 16384 * 12);
	wait_for_count(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_file_setup, store_file_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exact_in_the_end),
		TEST(test_changes_meanwhile),
		TEST(test_others),
		TEST(test_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
