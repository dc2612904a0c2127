/*
 * What others changed is told in full, and what is used here stays, also when the disk fails while
 * that is read or written, when it is full, and when others keep the store busy.
 */
#include "fault_vfs.h"
#include "pair.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define L(ino) ((unsigned long long)(ino))

static bool was_told(enum store_event_kind kind, uint64_t ino)
{
	for (unsigned i = 0; i < pair_told.n; i++)
		if (pair_told.event[i].kind == kind && pair_told.event[i].ino == ino)
			return true;
	return false;
}

/* Was the inode deleted by that? */
static bool reap_there(struct pair *x, uint64_t ino)
{
	struct change c;
	assert_int_equal(pair_there(x, make_reap(ino), &c), 0);
	return c.n_touched > 0;
}

static bool reap_here(struct pair *x, uint64_t ino)
{
	struct change c;
	assert_int_equal(pair_here(x, make_reap(ino), &c), 0);
	return c.n_touched > 0;
}

/* Every read of a poll fails once: then nothing is lost, it comes with the next poll. */
static void test_reads_fail(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	int hits = 1, failed = 0;
	for (int n = 0; hits; n++) {
		assert_int_equal(pair_there(x, make_write(f, 0, 4096, false), NULL), 0);
		fault_vfs_arm(FAULT_LOG_READ | FAULT_DB_READ, n, false, SQLITE_IOERR_READ);
		peer_poll_here(x->file.store, NULL, &pair_told);
		hits = fault_vfs_disarm();
		bool told = was_told(STORE_EVENT_DATA, f);
		failed += pair_told.result < 0;
		assert_true(told || pair_told.result == -EIO);
		pair_hear(&x->file, NULL);
		assert_true(pair_told.result >= 0);
		assert_true(told || was_told(STORE_EVENT_DATA, f));
	}
	assert_true(failed > 0);
}

/* Every write of a claim fails once. */
static void claims_fail(struct pair *x, unsigned ops, int rc)
{
	int hits = 1, failed = 0;
	for (int n = 0; hits; n++) {
		uint64_t f = pair_file(x, "f");
		x->used = (struct peer_used){.n = 1, .ino = {f}};
		assert_int_equal(store_file_write(&x->file, f, 0, 'a', 10, false), 0);
		assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
		fault_vfs_arm(ops, n, false, rc);
		peer_poll_here(x->file.store, &x->used, &pair_told);
		hits = fault_vfs_disarm();
		assert_true(was_told(STORE_EVENT_GONE, f));
		failed += pair_told.result < 0;
		pair_peer_hears(x);
		assert_false(reap_there(x, f)); /* claimed or not, we use it */
		pair_hear(&x->file, &x->used);
		assert_true(pair_told.result >= 0);
		assert_int_equal(store_file_first(&x->file, f), 'a');
		assert_false(reap_there(x, f));
		assert_true(reap_here(x, f));
	}
	assert_true(failed > 0);
}

static void test_writes_of_claims_fail(void **state)
{
	claims_fail(*state, FAULT_LOG_WRITE, SQLITE_IOERR_WRITE);
}

/* It is tried again at once in the space that the log has. */
static void test_no_space_for_claims(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	x->used = (struct peer_used){.n = 1, .ino = {f}};
	assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
	fault_vfs_arm(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	pair_hear(&x->file, &x->used);
	assert_int_equal(fault_vfs_disarm(), 1);
	pair_expect("name 1 f, gone %llu, attr 1", L(f));
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 2);
	assert_false(reap_there(x, f));
}

/* No claim can be written for a long time: what else happens is told nevertheless. */
static void test_disk_stays_bad(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f"), g = pair_file(x, "g");
	x->used = (struct peer_used){.n = 1, .ino = {f}};
	assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
	fault_vfs_arm(FAULT_LOG_WRITE, 0, true, SQLITE_IOERR_WRITE);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pair_there(x, make_write(g, 0, 10, false), NULL), 0);
		peer_poll_here(x->file.store, &x->used, &pair_told);
		assert_true(pair_told.result == -EIO || pair_told.result == (int)pair_told.n);
		assert_true(was_told(STORE_EVENT_GONE, f));
		assert_true(was_told(STORE_EVENT_DATA, g));
		assert_false(reap_there(x, f));
	}
	assert_true(fault_vfs_disarm() > 0);
	pair_hear(&x->file, &x->used);
	pair_expect("gone %llu", L(f));
	pair_hear(&x->file, &x->used);
	pair_expect("%s", "");
	assert_false(reap_there(x, f));
	pair_peer_hears(x);
	assert_true(reap_here(x, f));
}

/* Somebody has the store locked: that is no failure, the claim waits. */
static void test_busy(void **state)
{
	struct pair *x = *state;
	sqlite3 *db = NULL;
	uint64_t f = pair_file(x, "f");
	x->used = (struct peer_used){.n = 1, .ino = {f}};
	assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
	assert_int_equal(sqlite3_open(x->file.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	peer_poll_here(x->file.store, &x->used, &pair_told);
	pair_expect("name 1 f, gone %llu, attr 1", L(f));
	peer_poll_here(x->file.store, &x->used, &pair_told);
	pair_expect("gone %llu", L(f));
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	pair_peer_hears(x);
	assert_false(reap_there(x, f));
	pair_hear(&x->file, &x->used);
	pair_expect("gone %llu", L(f));
	pair_hear(&x->file, &x->used);
	pair_expect("%s", "");
	assert_false(reap_there(x, f));
	assert_true(reap_here(x, f));
}

/* The disk is full, and the log of changes in the way: a file must be deleted all the same. */
static void test_unlink_on_a_full_disk(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	pair_peer_hears(x);
	pair_sql(&x->file,
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
		" INSERT INTO changelog(mount, kind, ino) SELECT 0, 1, 1 FROM n");
	fault_vfs_arm(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	fault_vfs_then(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	assert_int_equal(pair_here(x, make_write(f, 0, 10, false), NULL), -ENOSPC);
	assert_int_equal(fault_vfs_disarm(), 2);
	assert_true(pair_number(&x->file, "SELECT count(*) FROM changelog") > 4000);
	fault_vfs_arm(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	fault_vfs_then(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	assert_int_equal(pair_here(x, make_unlink("f", false), NULL), 0);
	assert_int_equal(fault_vfs_disarm(), 2);
	assert_true(pair_number(&x->file, "SELECT count(*) FROM changelog") < 300);
	peer_use(x->peer, f, true);
	pair_peer_hears(x);
	pair_expect("all, gone %llu", L(f));
	assert_false(reap_here(x, f));
}

/* What was deleted makes room in the file for what makes room: none is set aside beyond its end if
 * that cannot be had. */
static void test_free_pages_are_space(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(pair_here(x, make_write(f, i * 4096, 4096, false), NULL), 0);
	assert_int_equal(pair_here(x, make_setattr(f, STORE_SET_SIZE, 0), NULL), 0);
	int64_t settled = pair_number(&x->file, "SELECT settled FROM store");
	fault_vfs_arm(FAULT_DB_GROW, 0, false, SQLITE_FULL);
	assert_int_equal(pair_here(x, make_write(f, 0, 10, false), NULL), 0);
	assert_int_equal(fault_vfs_disarm(), 1);
	assert_int_equal(pair_number(&x->file, "SELECT settled FROM store"), settled);
}

/* A damaged row does not keep the others from being found. */
static void test_damaged_orphan(void **state)
{
	static struct peer_orphans o;
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
	assert_false(reap_there(x, f));
	pair_hear(&x->file, NULL);
	pair_peer_hears(x);
	pair_sql(&x->file, "INSERT INTO orphan VALUES(-5, 0, 0), (0, 0, 0)");
	peer_orphans_here(x->file.store, &o);
	assert_int_equal(o.result, 0);
	assert_int_equal(o.n, 1);
	assert_int_equal(o.ino[0], f);
	pair_sql(&x->file, "DELETE FROM orphan WHERE ino < 1");
}

/* A number that no row of the log can have had answers for none. */
static void test_damaged_seen(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	pair_sql(&x->file, "UPDATE mount SET seen = 9223372036854775807");
	assert_int_equal(pair_there(x, make_unlink("f", false), NULL), 0);
	assert_false(reap_there(x, f));
}

static int setup_faults(void **state)
{
	fault_vfs_disarm();
	return pair_setup(state);
}

int main(int argc, char **argv)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, setup_faults, pair_teardown)
	const struct CMUnitTest tests[] = {
		PAIR(test_reads_fail),
		PAIR(test_writes_of_claims_fail),
		PAIR(test_no_space_for_claims),
		PAIR(test_disk_stays_bad),
		PAIR(test_busy),
		PAIR(test_unlink_on_a_full_disk),
		PAIR(test_free_pages_are_space),
		PAIR(test_damaged_orphan),
		PAIR(test_damaged_seen),
	};
	peer_main(argc, argv);
	fault_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
