/*
 * Files that are deleted by one mount and open in another one: they live until nobody uses them,
 * whoever that is, and whoever dies in between; and not for much longer.
 */
#include "pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT STORE_ROOT_INO
#define L(ino) ((unsigned long long)(ino))

/* A file of both, with something in it. */
static uint64_t full_file(struct pair *x, const char *name)
{
	uint64_t ino = pair_file(x, name);
	assert_int_equal(store_file_write(&x->file, ino, 0, 'a', 5000, false), 0);
	pair_peer_hears(x);
	return ino;
}

static void unlink_there(struct pair *x, const char *name)
{
	assert_int_equal(pair_there(x, make_unlink(name, false), NULL), 0);
}

static void unlink_here(struct pair *x, const char *name)
{
	assert_int_equal(pair_here(x, make_unlink(name, false), NULL), 0);
}

/* Gives up the inode; was it deleted with that? */
static bool deletes(
	int (*apply)(struct pair *, struct change, struct change *), struct pair *x, uint64_t ino)
{
	struct change c;
	assert_int_equal(apply(x, make_reap(ino), &c), 0);
	assert_false(c.reap.more);
	return c.n_touched > 0;
}

static bool exists(struct pair *x, uint64_t ino)
{
	struct store_attr a;
	int r = store_getattr(x->file.store, ino, &a);
	assert_true(r == 0 || r == -ESTALE);
	return r == 0;
}

static void use(struct pair *x, uint64_t ino)
{
	x->used = (struct peer_used){.n = 1, .ino = {ino}};
}

/* Both say what they know. */
static void both_hear(struct pair *x)
{
	if (x->peer)
		pair_peer_hears(x);
	pair_hear(&x->file, &x->used);
}

static unsigned orphans_here(struct pair *x)
{
	struct peer_orphans o;
	peer_orphans_here(x->file.store, &o);
	assert_int_equal(o.result, 0);
	return o.n;
}

static unsigned orphans_there(struct pair *x)
{
	struct peer_orphans o;
	peer_orphans(x->peer, &o);
	assert_int_equal(o.result, 0);
	return o.n;
}

/* Nobody uses it; but that is known only when all have said so. */
static void test_not_used(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	assert_false(deletes(pair_there, x, f));
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(orphans_there(x), 0);
	pair_hear(&x->file, NULL);
	pair_expect("name 1 f, gone %llu, attr 1", L(f));
	assert_int_equal(orphans_here(x), 0);
	pair_peer_hears(x);
	assert_int_equal(orphans_here(x), 1);
	assert_int_equal(orphans_there(x), 1);
	assert_true(exists(x, f));
	assert_true(deletes(pair_here, x, f));
	assert_false(exists(x, f));
	assert_int_equal(orphans_there(x), 0);
	assert_int_equal(pair_there(x, make_reap(f), NULL), -ENOENT);
	pair_peer_hears(x);
	pair_expect("attr %llu", L(f));
}

static void test_used_here(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	use(x, f);
	both_hear(x);
	assert_false(deletes(pair_there, x, f));
	assert_int_equal(orphans_there(x), 0);
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(store_file_first(&x->file, f), 'a');
	assert_int_equal(store_file_write(&x->file, f, 0, 'b', 1, false), 0);
	assert_int_equal(store_file_first(&x->file, f), 'b');
	assert_true(deletes(pair_here, x, f));
	assert_false(exists(x, f));
}

/* The other way round: the one that deletes it keeps it the longest. */
static void test_used_by_who_deletes(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	use(x, f);
	both_hear(x);
	assert_false(deletes(pair_here, x, f));
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(peer_first(x->peer, f), 'a');
	assert_true(deletes(pair_there, x, f));
}

/* It was given up by who deleted it before anybody was told. */
static void test_claimed_late(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	assert_false(deletes(pair_there, x, f));
	use(x, f);
	both_hear(x);
	assert_int_equal(orphans_there(x), 0);
	assert_int_equal(store_file_first(&x->file, f), 'a');
	assert_true(deletes(pair_here, x, f));
}

static void test_named_again(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	assert_int_equal(pair_there(x, make_link(f, ROOT, "g"), NULL), 0);
	use(x, f);
	both_hear(x); /* too late to claim it */
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 0);
	assert_int_equal(pair_here(x, make_reap(f), NULL), -EBUSY);
	assert_int_equal(pair_there(x, make_reap(f), NULL), -EBUSY);
	unlink_there(x, "g");
	both_hear(x);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 2);
	assert_int_equal(pair_here(x, make_link(f, ROOT, "h"), NULL), 0);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 0);
}

/* A third mount; whoever is last deletes it. */
static void test_three_mounts(void **state)
{
	struct pair *x = *state;
	struct peer *third = peer_start();
	peer_open(third, x->file.path, false);
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	use(x, f);
	peer_use(third, f, true);
	both_hear(x);
	assert_false(deletes(pair_there, x, f));
	while (pair_number(&x->file, "SELECT count(*) FROM orphan") < 2)
		peer_poll(third, &pair_told);
	assert_false(deletes(pair_here, x, f));
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(peer_first(third, f), 'a');
	struct change c = make_reap(f);
	assert_int_equal(peer_apply(third, &c), 0);
	assert_true(c.n_touched > 0);
	assert_false(exists(x, f));
	peer_stop(third);
}

/* Who is alone does not have to ask; who comes later cannot use it. */
static void test_deleted_alone(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	peer_close(x->peer);
	unlink_here(x, "f");
	peer_open(x->peer, x->file.path, false);
	assert_int_equal(orphans_there(x), 0);
	assert_int_equal(orphans_here(x), 0);
	assert_true(deletes(pair_here, x, f));
}

/* One that is stopped may have it open: it stays until it can answer. */
static void test_stopped_peer(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	peer_use(x->peer, f, true);
	peer_suspend(x->peer);
	unlink_here(x, "f");
	assert_false(deletes(pair_here, x, f));
	pair_hear(&x->file, NULL);
	assert_int_equal(orphans_here(x), 0);
	assert_false(deletes(pair_here, x, f));
	peer_resume(x->peer);
	pair_peer_hears(x);
	pair_expect("name 1 f, gone %llu, attr 1", L(f));
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(peer_first(x->peer, f), 'a');
	assert_true(deletes(pair_there, x, f));
}

/* Until it is known that the process is gone, which is looked at once a second. */
static void delete_in_time(struct pair *x, uint64_t f)
{
	pair_hear(&x->file, NULL);
	while (!deletes(pair_here, x, f))
		assert_true(exists(x, f));
	assert_int_equal(orphans_here(x), 0);
}

static void test_user_dies(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	peer_use(x->peer, f, true);
	unlink_here(x, "f");
	both_hear(x);
	assert_false(deletes(pair_here, x, f));
	assert_int_equal(orphans_here(x), 0);
	x->peer = peer_kill(x->peer);
	assert_int_equal(orphans_here(x), 1);
	delete_in_time(x, f);
}

/* The one that deleted it dies, before it is told here, and after. */
static void test_deleter_dies(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f"), g = full_file(x, "g");
	unlink_there(x, "f");
	use(x, f);
	both_hear(x);
	unlink_there(x, "g");
	x->peer = peer_kill(x->peer);
	assert_int_equal(orphans_here(x), 0);
	x->used.ino[0] = g;
	pair_hear(&x->file, &x->used);
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(store_file_first(&x->file, g), 'a');
	delete_in_time(x, f);
	delete_in_time(x, g);
}

/* All that had it open are gone: whoever comes next takes it away. */
static void test_all_die(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	unlink_there(x, "f");
	use(x, f);
	both_hear(x);
	x->peer = peer_kill(x->peer);
	store_file_close(&x->file);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 2);
	store_file_open(&x->file);
	assert_int_equal(orphans_here(x), 1);
	assert_true(deletes(pair_here, x, f));
	store_file_close(&x->file);
	store_file_open(&x->file);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM mount"), 1);
}

/* The log no longer says which it were: all are asked about. */
static void test_log_was_trimmed(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f"), g = full_file(x, "g"), mine = full_file(x, "mine");
	unlink_here(x, "mine");
	both_hear(x);
	unlink_there(x, "f");
	unlink_there(x, "g");
	pair_sql(&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	use(x, g);
	pair_hear(&x->file, &x->used);
	pair_expect("all, gone %llu, gone %llu", L(f), L(g));
	pair_hear(&x->file, &x->used);
	pair_expect("%s", "");
	pair_peer_hears(x);
	assert_true(deletes(pair_there, x, f));
	assert_false(deletes(pair_there, x, g));
	assert_true(deletes(pair_here, x, g));
	assert_true(deletes(pair_here, x, mine));
}

/* More than are told of at once. */
#define MANY 600
static void many(struct pair *x, bool trimmed)
{
	uint64_t ino[MANY];
	char name[16];
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "%u", i);
		ino[i] = pair_create(x, name, S_IFREG | 0644);
	}
	pair_hear(&x->file, NULL);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "%u", i);
		unlink_there(x, name);
	}
	use(x, ino[MANY - 1]);
	if (trimmed)
		pair_sql(&x->file,
			"DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	both_hear(x);
	if (trimmed)
		assert_int_equal(pair_told.event[0].kind, STORE_EVENT_ALL);
	else
		assert_int_equal(pair_told.result, 3 * MANY);
	for (unsigned i = 0; i < MANY - 1; i++)
		assert_true(deletes(pair_there, x, ino[i]));
	assert_false(deletes(pair_there, x, ino[MANY - 1]));
	assert_true(deletes(pair_here, x, ino[MANY - 1]));
}

static void test_many(void **state)
{
	many(*state, false);
}

static void test_many_with_the_log_trimmed(void **state)
{
	many(*state, true);
}

/* Deleted by an SQL client, as its trigger does it. */
static void test_deleted_with_sql(void **state)
{
	struct pair *x = *state;
	static const char delete[] =
		"BEGIN IMMEDIATE;"
		" UPDATE inode SET nlink = 0, version = version + 1"
		" WHERE ino = (SELECT ino FROM dentry WHERE name = 'f');"
		" INSERT INTO changelog(mount, kind, ino)"
		" SELECT 0, 4, ino FROM dentry WHERE name = 'f';"
		" INSERT INTO orphan(ino, mount, change)"
		" SELECT ino, 0, last_insert_rowid() FROM dentry WHERE name = 'f';"
		" DELETE FROM dentry WHERE name = 'f';"
		"COMMIT";
	uint64_t f = full_file(x, "f");
	use(x, f);
	pair_sql(&x->file, delete);
	assert_int_equal(orphans_here(x), 0);
	pair_hear(&x->file, &x->used);
	assert_int_equal(orphans_here(x), 0);
	assert_int_equal(store_file_first(&x->file, f), 'a');
	assert_false(deletes(pair_here, x, f));
	pair_peer_hears(x);
	assert_int_equal(orphans_there(x), 1);
	assert_true(deletes(pair_there, x, f));
}

/* What the peer does at the very moment when we are asked, before our answer is written. */
struct meanwhile {
	struct pair *pair;
	struct change change;
	int result;
	unsigned n_touched;
};

static bool do_meanwhile(void *arg, const struct store_event *event)
{
	struct meanwhile *m = arg;
	struct change done;
	if (event->kind != STORE_EVENT_GONE)
		return false;
	m->result = pair_there(m->pair, m->change, &done);
	m->n_touched = done.n_touched;
	return true;
}

static void test_given_up_meanwhile(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	struct meanwhile m = {x, make_reap(f), -1, 99};
	unlink_there(x, "f");
	pair_peer_hears(x);
	assert_int_equal(store_poll(x->file.store, do_meanwhile, &m), 3);
	assert_int_equal(m.result, 0);
	assert_int_equal(m.n_touched, 0);
	use(x, f);
	pair_hear(&x->file, &x->used); /* in case that it could not be written yet */
	assert_int_equal(store_file_first(&x->file, f), 'a');
	assert_int_equal(orphans_there(x), 0);
	assert_true(deletes(pair_here, x, f));
}

static void test_named_meanwhile(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	struct meanwhile m = {x, make_link(f, ROOT, "g"), -1, 0};
	unlink_there(x, "f");
	assert_int_equal(store_poll(x->file.store, do_meanwhile, &m), 3);
	assert_int_equal(m.result, 0);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM orphan"), 0);
	pair_hear(&x->file, NULL);
	pair_expect("name 1 g, attr %llu, attr 1", L(f));
}

/* Deleted again: the second time is told as well. */
static void test_named_and_deleted_meanwhile(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	struct meanwhile m = {x, make_link(f, ROOT, "g"), -1, 0};
	unlink_there(x, "f");
	assert_int_equal(store_poll(x->file.store, do_meanwhile, &m), 3);
	m.change = make_unlink("g", false);
	assert_int_equal(pair_there(x, m.change, NULL), 0);
	assert_false(deletes(pair_there, x, f));
	use(x, f);
	both_hear(x);
	assert_int_equal(store_file_first(&x->file, f), 'a');
	assert_int_equal(orphans_there(x), 0);
	assert_true(deletes(pair_here, x, f));
}

static void test_readonly_reaps_nothing(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	store_file_close(&x->file);
	assert_int_equal(store_file_try_open(&x->file, true), 0);
	unlink_there(x, "f");
	pair_hear(&x->file, NULL);
	pair_expect("all");
	assert_int_equal(orphans_here(x), 0);
	assert_true(deletes(pair_there, x, f)); /* nobody knows of who only reads */
}

/* A copy of the store has rows of mounts that run, but they have something else mounted. */
static void test_mounts_of_the_original(void **state)
{
	struct pair *x = *state;
	uint64_t f = full_file(x, "f");
	struct pair copy = {.file = x->file};
	char sql[160];
	copy.file.store = NULL;
	snprintf(copy.file.path, sizeof copy.file.path, "%s/copy", x->file.dir);
	snprintf(sql, sizeof sql, "VACUUM INTO '%s'", copy.file.path);
	pair_sql(&x->file, sql);
	store_file_open(&copy.file);
	unlink_here(&copy, "f");
	assert_true(deletes(pair_here, &copy, f));
	assert_false(exists(&copy, f));
	assert_true(exists(x, f));
	store_file_close(&copy.file);
	assert_int_equal(unlink(copy.file.path), 0);
}

int main(int argc, char **argv)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		PAIR(test_not_used),
		PAIR(test_used_here),
		PAIR(test_used_by_who_deletes),
		PAIR(test_claimed_late),
		PAIR(test_named_again),
		PAIR(test_three_mounts),
		PAIR(test_deleted_alone),
		PAIR(test_stopped_peer),
		PAIR(test_user_dies),
		PAIR(test_deleter_dies),
		PAIR(test_all_die),
		PAIR(test_log_was_trimmed),
		PAIR(test_many),
		PAIR(test_many_with_the_log_trimmed),
		PAIR(test_deleted_with_sql),
		PAIR(test_given_up_meanwhile),
		PAIR(test_named_meanwhile),
		PAIR(test_named_and_deleted_meanwhile),
		PAIR(test_readonly_reaps_nothing),
		PAIR(test_mounts_of_the_original),
	};
	peer_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
