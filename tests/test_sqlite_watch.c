/*
 * What one mount of a store tells another one, and what SQL clients tell both: every kind of change
 * gives exactly the events it should. The other mount is another process (peer.h).
 */
#include "pair.h"

#include <errno.h>
#include <linux/fs.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ROOT STORE_ROOT_INO
#define TTL "user.recordfs.ttl"

/* The peer makes the change; the text is what we are told of it, and it is told nothing. */
#define TELLS(x, change, ...)                                                                      \
	do {                                                                                       \
		assert_int_equal(pair_there(x, change, NULL), 0);                                  \
		pair_hear(&(x)->file, NULL);                                                       \
		pair_expect(__VA_ARGS__);                                                          \
		pair_peer_hears(x);                                                                \
		pair_expect("%s", "");                                                             \
	} while (0)

#define L(ino) ((unsigned long long)(ino))

static void test_alone_nothing_is_logged(void **state)
{
	struct store_file *f = *state;
	static const char newest[] = "SELECT max(id) FROM changelog";
	int64_t id = pair_number(f, newest);
	assert_int_equal(pair_number(f, "SELECT kind FROM changelog ORDER BY id DESC LIMIT 1"), 5);
	uint64_t ino = store_file_create(f, "f");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 5000, false), 0);
	assert_int_equal(pair_number(f, newest), id);
	pair_hear(f, NULL);
	pair_expect("%s", "");
}

static void test_data(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f"), g = pair_file(x, "g");
	TELLS(x, make_write(f, 0, 4096, false), "data %llu 0-0", L(f));
	TELLS(x, make_write(f, 4095, 2, false), "data %llu 0-1", L(f));
	TELLS(x, make_write(f, 0, 10, true), "data %llu 1-1", L(f));
	TELLS(x, make_write(f, 3 * 4096 + 1, 65536, false), "data %llu 3-19", L(f));
	TELLS(x, make_setattr(f, STORE_SET_SIZE, 5000), "data %llu 1-", L(f));
	TELLS(x, make_setattr(f, STORE_SET_SIZE, STORE_FILE_MAX), "attr %llu", L(f));
	TELLS(x, make_setattr(f, STORE_SET_SIZE | STORE_SET_MODE, 8192), "data %llu 2-", L(f));
	TELLS(x,
		((struct change){
			.kind = CHANGE_ALLOCATE, .allocate = {f, STORE_PUNCH_HOLE, 4096, 4096}}),
		"data %llu 1-1", L(f));
	TELLS(x,
		((struct change){.kind = CHANGE_ALLOCATE,
			.allocate = {f, STORE_PUNCH_HOLE, 4096, UINT64_MAX - 4096}}),
		"data %llu 1-", L(f));
	TELLS(x,
		((struct change){.kind = CHANGE_COPY,
			.copy = {.from = f, .to = g, .to_offset = 4096, .len = 10000}}),
		"data %llu 1-2", L(g));
	TELLS(x,
		((struct change){.kind = CHANGE_COPY,
			.copy = {.from = f, .from_offset = 1 << 20, .to = g, .len = 10000}}),
		"%s", "");
}

static void test_attributes(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	TELLS(x, make_setattr(f, STORE_SET_MODE, 0), "attr %llu", L(f));
	TELLS(x, make_xattr(f, "user.a", "1"), "attr %llu", L(f));
	TELLS(x,
		((struct change){
			.kind = CHANGE_REMOVEXATTR, .removexattr = {f, make_name("user.a")}}),
		"attr %llu", L(f));
	TELLS(x, make_xattr(f, TTL, "1.5"), "data %llu 0-", L(f));
	TELLS(x, ((struct change){.kind = CHANGE_REMOVEXATTR, .removexattr = {f, make_name(TTL)}}),
		"data %llu 0-", L(f));
}

static void test_names(void **state)
{
	struct pair *x = *state;
	uint64_t d = pair_create(x, "d", S_IFDIR | 0755);
	pair_hear(&x->file, NULL);
	pair_expect("name 1 d, attr 1");
	uint64_t f = pair_create(x, "f", S_IFREG | 0644);
	pair_hear(&x->file, NULL);
	pair_expect("name 1 f, attr 1");
	TELLS(x,
		((struct change){.kind = CHANGE_CREATE,
			.create = {ROOT, make_name("l"), S_IFLNK | 0777, 0, make_name("there")}}),
		"name 1 l, attr 1");
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {f, d, make_name("g")}}),
		"name %llu g, attr %llu, attr %llu", L(d), L(f), L(d));
	TELLS(x, make_unlink("f", false), "name 1 f, attr %llu, attr 1", L(f));
	TELLS(x, make_rename(d, "g", d, "h", 0), "name %llu g, name %llu h, attr %llu, attr %llu",
		L(d), L(d), L(f), L(d));
	TELLS(x, make_rename(d, "h", ROOT, "f", 0),
		"name %llu h, name 1 f, attr %llu, attr %llu, attr 1", L(d), L(f), L(d));
	TELLS(x, make_rename(ROOT, "f", ROOT, "d", RENAME_EXCHANGE),
		"name 1 f, name 1 d, attr %llu, attr 1, attr %llu", L(f), L(d));
	TELLS(x, make_unlink("f", true), "name 1 f, gone %llu, attr 1", L(d));
	uint64_t g = pair_file(x, "g");
	TELLS(x, make_rename(ROOT, "g", ROOT, "d", 0),
		"name 1 g, name 1 d, attr %llu, attr 1, gone %llu", L(g), L(f));
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {g, ROOT, make_name("e")}}),
		"name 1 e, attr %llu, attr 1", L(g));
	TELLS(x, make_rename(ROOT, "e", ROOT, "d", 0), "%s", "");
	TELLS(x, make_rename(ROOT, "e", ROOT, "odd \xff", 0),
		"name 1 e, name 1 odd \xff, attr %llu, attr 1", L(g));
	assert_int_equal(pair_there(x, make_unlink("missing", false), NULL), -ENOENT);
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
}

static void test_unnamed(void **state)
{
	struct pair *x = *state;
	struct change c;
	assert_int_equal(pair_there(x,
				 (struct change){.kind = CHANGE_CREATE,
					 .create = {.parent = ROOT, .mode = S_IFREG | 0600}},
				 &c),
		0);
	uint64_t f = c.touched[0].ino;
	pair_hear(&x->file, NULL);
	pair_expect("attr %llu", L(f));
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {f, ROOT, make_name("f")}}),
		"name 1 f, attr %llu, attr 1", L(f));
	TELLS(x, make_unlink("f", false), "name 1 f, gone %llu, attr 1", L(f));
	TELLS(x, make_reap(f), "attr %llu", L(f));
}

/* In the order of the commits, and only of those that were one. */
static void test_order_and_failures(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(pair_there(x, make_write(f, i * 4096, 1, false), NULL), 0);
	assert_int_equal(pair_there(x, make_write(f + 1, 0, 1, false), NULL), -ESTALE);
	pair_hear(&x->file, NULL);
	assert_int_equal(pair_told.result, 700);
	for (unsigned i = 0; i < PEER_EVENTS_MAX; i++)
		assert_int_equal(pair_told.event[i].first, i);
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
}

/* What SQL clients log, by triggers; the mount does not have to have a peer for that. */
static void test_rows_of_sql_clients(void **state)
{
	struct store_file *f = *state;
	pair_sql(f, "INSERT INTO changelog(mount, kind, ino, first, last, name) VALUES"
		    "(0, 1, 7, NULL, NULL, NULL), (0, 2, 7, 3, 5, NULL),"
		    "(0, 2, 7, 3, NULL, NULL), (0, 2, 7, 0, 1073741823, NULL),"
		    "(0, 3, 1, NULL, NULL, 'text'), (0, 3, 1, NULL, NULL, x'626c6f62'),"
		    "(99, 1, 8, NULL, NULL, NULL), (0, 5, 0, NULL, NULL, NULL)");
	pair_hear(f, NULL);
	pair_expect("attr 7, data 7 3-5, data 7 3-, data 7 0-, name 1 text, name 1 blob, attr 8");
	pair_hear(f, NULL);
	pair_expect("%s", "");
}

static void test_rows_without_sense(void **state)
{
	struct store_file *f = *state;
	static const char *const rows[] = {
		"(0, 0, 1, NULL, NULL, NULL)",
		"(0, 6, 1, NULL, NULL, NULL)",
		"(0, -1, 1, NULL, NULL, NULL)",
		"(0, 9223372036854775807, 1, NULL, NULL, NULL)",
		"(0, 1, 0, NULL, NULL, NULL)",
		"(0, 1, -5, NULL, NULL, NULL)",
		"(0, 1, 1 << 33, NULL, NULL, NULL)",
		"(0, 2, 1, -1, 5, NULL)",
		"(0, 2, 1, 5, 4, NULL)",
		"(0, 2, 1, 5, -4, NULL)",
		"(0, 3, 1, NULL, NULL, NULL)",
		"(0, 3, 1, NULL, NULL, '')",
		"(0, 3, 1, NULL, NULL, 'a/b')",
		"(0, 3, 1, NULL, NULL, x'6100')",
		"(0, 3, 1, NULL, NULL, zeroblob(256))",
		"(0, 3, 1, NULL, NULL, replace(hex(zeroblob(200)), '0', 'x'))",
	};
	char sql[256];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(sql, sizeof sql,
			"INSERT INTO changelog(mount, kind, ino, first, last, name) VALUES %s,"
			" (0, 1, 9, NULL, NULL, NULL)",
			rows[i]);
		pair_sql(f, sql);
		pair_hear(f, NULL);
		pair_expect("all");
		pair_hear(f, NULL);
		pair_expect("%s", "");
	}
	/* Also where the numbers of the rows make none. */
	pair_sql(f, "INSERT INTO changelog(id, mount, kind, ino) VALUES"
		    "(9223372036854775807, 0, 1, 1)");
	pair_hear(f, NULL);
	pair_expect("all");
	pair_sql(f, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	pair_hear(f, NULL);
	pair_expect("all");
	store_file_close(f);
	store_file_open(f);
	pair_sql(f, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	pair_hear(f, NULL);
	pair_expect("attr 1");
}

/* Rows have gone that were not read. */
static void test_missed_rows(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	pair_sql(&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	pair_hear(&x->file, NULL);
	pair_expect("all");
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
	pair_peer_hears(x);
	pair_expect("all");
	/* All that had been read may go. */
	pair_sql(&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	TELLS(x, make_write(f, 0, 1, false), "data %llu 0-0", L(f));
	/* One out of the middle, and all of them. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	pair_sql(&x->file, "DELETE FROM changelog WHERE id = (SELECT max(id) FROM changelog) - 1");
	pair_hear(&x->file, NULL);
	pair_expect("data %llu 0-0, all", L(f));
	pair_peer_hears(x);
	pair_sql(&x->file, "DELETE FROM changelog");
	pair_hear(&x->file, NULL);
	pair_expect("all");
	pair_peer_hears(x);
	TELLS(x, make_write(f, 0, 1, false), "data %llu 0-0", L(f));
}

/* Somebody took our row out of table mount: then nobody tells us anything. */
static void test_not_known_any_more(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	pair_sql(&x->file, "DELETE FROM mount");
	pair_hear(&x->file, NULL);
	pair_expect("all");
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	pair_hear(&x->file, NULL);
	pair_expect("all");
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
}

static void test_log_stays_bounded(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	pair_sql(&x->file,
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 70000)"
		" INSERT INTO changelog(mount, kind, ino) SELECT 0, 1, 1 FROM n");
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	int64_t rows = pair_number(&x->file, "SELECT count(*) FROM changelog");
	assert_true(rows >= 65536);
	assert_true(rows < 65536 + 1024);
	pair_hear(&x->file, NULL);
	pair_expect("all");
}

/* A mount that comes and goes: while it is there, it is told; after that nothing is logged. */
static void test_coming_and_going(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	int64_t rows = pair_number(&x->file, "SELECT count(*) FROM changelog");
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM changelog"), rows + 1);
	peer_close(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'b', 1, false), 0);
	assert_int_equal(pair_number(&x->file, "SELECT count(*) FROM changelog"), rows + 1);
	peer_open(x->peer, x->file.path, false);
	pair_peer_hears(x);
	pair_expect("%s", "");
	assert_int_equal(store_file_write(&x->file, f, 0, 'c', 1, false), 0);
	pair_peer_hears(x);
	pair_expect("data %llu 0-0", L(f));
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
}

/* One that is stopped is there; what it missed was not told it in vain. */
static void test_stopped(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	peer_suspend(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	peer_resume(x->peer);
	pair_peer_hears(x);
	pair_expect("data %llu 0-0", L(f));
	peer_suspend(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	pair_sql(&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	peer_resume(x->peer);
	pair_peer_hears(x);
	pair_expect("all");
}

static void test_readonly_follows_sql(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	store_file_close(&x->file);
	peer_close(x->peer);
	assert_int_equal(store_file_try_open(&x->file, true), 0);
	pair_sql(&x->file, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1), (0, 4, 5)");
	pair_hear(&x->file, NULL);
	pair_expect("attr 1, attr 5");

	/* A mount that is alone says nothing of what it does. */
	peer_open(x->peer, x->file.path, false);
	pair_hear(&x->file, NULL);
	pair_expect("all");
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	pair_hear(&x->file, NULL);
	pair_expect("all");
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	peer_close(x->peer);
	pair_hear(&x->file, NULL);
	pair_expect("all");

	/* Also when it came and went since the last time. */
	peer_open(x->peer, x->file.path, false);
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	peer_close(x->peer);
	pair_hear(&x->file, NULL);
	pair_expect("all");
	pair_sql(&x->file, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	pair_hear(&x->file, NULL);
	pair_expect("attr 1");
}

/* A mount that was there already, when the read-only one came. */
static void test_readonly_beside_a_mount(void **state)
{
	struct pair *x = *state;
	uint64_t f = pair_file(x, "f");
	store_file_close(&x->file);
	assert_int_equal(store_file_try_open(&x->file, true), 0);
	pair_hear(&x->file, NULL);
	pair_expect("%s", "");
	assert_int_equal(pair_there(x, make_write(f, 0, 1, false), NULL), 0);
	x->peer = peer_kill(x->peer);
	pair_hear(&x->file, NULL);
	pair_expect("all");
}

static void test_count_of_inodes(void **state)
{
	struct pair *x = *state;
	struct store_space space;
	uint64_t n;
	assert_int_equal(store_statfs(x->file.store, &space), 0);
	assert_int_equal(space.inodes, 1);
	assert_int_equal(peer_inodes(x->peer, &n), 0);
	assert_int_equal(n, 1);
	store_file_create(&x->file, "f");
	assert_int_equal(store_statfs(x->file.store, &space), 0);
	assert_int_equal(space.inodes, 2);
	pair_peer_hears(x);
	/* Counted anew when the last count is a second old. */
	do
		assert_int_equal(peer_inodes(x->peer, &n), 0);
	while (n == 1);
	assert_int_equal(n, 2);
}

int main(int argc, char **argv)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_alone_nothing_is_logged, store_file_setup, store_file_teardown),
		PAIR(test_data),
		PAIR(test_attributes),
		PAIR(test_names),
		PAIR(test_unnamed),
		PAIR(test_order_and_failures),
		cmocka_unit_test_setup_teardown(
			test_rows_of_sql_clients, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_rows_without_sense, store_file_setup, store_file_teardown),
		PAIR(test_missed_rows),
		PAIR(test_not_known_any_more),
		PAIR(test_log_stays_bounded),
		PAIR(test_coming_and_going),
		PAIR(test_stopped),
		PAIR(test_readonly_follows_sql),
		PAIR(test_readonly_beside_a_mount),
		PAIR(test_count_of_inodes),
	};
	peer_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
