/*
 * What one mount of a store tells another one, and what SQL clients tell both: every kind of change
 * gives exactly the events it should. The other mount is another process (peer.h).
 */
#include "peer.h"
#include "store_file.h"

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

struct fixture {
	struct store_file file;
	struct peer *peer;
};

static struct peer_told told; /* large */

static int setup(void **state)
{
	struct store_file *f;
	int r = store_file_setup((void **)&f);
	*state = f;
	return r;
}

/* With a peer. */
static int setup_pair(void **state)
{
	struct store_file *f;
	int r = store_file_setup((void **)&f);
	struct fixture *x = calloc(1, sizeof *x);
	assert_non_null(x);
	store_file_close(f);
	x->file = *f;
	free(f);
	store_file_open(&x->file);
	x->peer = peer_start();
	peer_open(x->peer, x->file.path, false);
	*state = x;
	return r;
}

static int teardown_pair(void **state)
{
	struct fixture *x = *state;
	peer_stop(x->peer);
	return store_file_teardown(state);
}

/* The first number that a query gives. */
static int64_t number(struct store_file *f, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* The events as text: "name 1 f, attr 1, data 2 0-3, data 2 4-, gone 2, all". */
static const char *text(const struct peer_told *t)
{
	static char buf[8192];
	size_t at = 0;
	buf[0] = '\0';
	for (unsigned i = 0; i < t->n && i < PEER_EVENTS_MAX && at < sizeof buf - 512; i++) {
		const struct peer_event *e = &t->event[i];
		char *to = buf + at;
		size_t size = sizeof buf - at;
		const char *comma = i ? ", " : "";
		unsigned long long ino = e->ino, first = e->first, last = e->last;
		if (e->kind == STORE_EVENT_ATTR)
			snprintf(to, size, "%sattr %llu", comma, ino);
		else if (e->kind == STORE_EVENT_DATA && e->last == UINT64_MAX)
			snprintf(to, size, "%sdata %llu %llu-", comma, ino, first);
		else if (e->kind == STORE_EVENT_DATA)
			snprintf(to, size, "%sdata %llu %llu-%llu", comma, ino, first, last);
		else if (e->kind == STORE_EVENT_NAME)
			snprintf(to, size, "%sname %llu %s", comma, ino, e->name);
		else if (e->kind == STORE_EVENT_GONE)
			snprintf(to, size, "%sgone %llu", comma, ino);
		else
			snprintf(to, size, "%sall", comma);
		at += strlen(to);
	}
	return buf;
}

static void __attribute__((format(printf, 2, 3)))
expect(const struct peer_told *t, const char *format, ...)
{
	char want[8192];
	va_list args;
	va_start(args, format);
	vsnprintf(want, sizeof want, format, args);
	va_end(args);
	assert_string_equal(text(t), want);
	assert_int_equal(t->result, t->n);
}

static void here(struct store_file *f, const struct peer_used *used)
{
	peer_poll_here(f->store, used, &told);
}

static struct change_name name_of(const char *s)
{
	return (struct change_name){s, strlen(s)};
}

/* Changes, made by the peer: their result is that of the change. */
static int there(struct fixture *x, struct change c, struct change *ret)
{
	c.now = 1000;
	int r = peer_apply(x->peer, &c);
	if (ret)
		*ret = c;
	return r;
}

static uint64_t create(struct fixture *x, const char *name, uint32_t mode)
{
	struct change c;
	assert_int_equal(there(x,
				 (struct change){.kind = CHANGE_CREATE,
					 .create = {ROOT, name_of(name), mode, 0, {NULL, 0}}},
				 &c),
		0);
	return c.touched[0].ino;
}

/* A file that has been told of. */
static uint64_t old_file(struct fixture *x, const char *name)
{
	uint64_t ino = create(x, name, S_IFREG | 0644);
	here(&x->file, NULL);
	return ino;
}

static struct change a_write(uint64_t ino, uint64_t offset, size_t len, bool append)
{
	static const char zeros[PEER_DATA_MAX];
	return (struct change){.kind = CHANGE_WRITE,
		.write = {
			.ino = ino, .offset = offset, .len = len, .data = zeros, .append = append}};
}

static struct change a_setattr(uint64_t ino, unsigned mask, uint64_t size)
{
	return (struct change){.kind = CHANGE_SETATTR,
		.setattr = {.ino = ino, .mask = mask, .mode = 0600, .size = size}};
}

static struct change an_unlink(const char *name, bool directory)
{
	return (struct change){.kind = CHANGE_UNLINK, .unlink = {ROOT, name_of(name), directory}};
}

static struct change a_rename(
	uint64_t from, const char *name, uint64_t to, const char *new_name, unsigned flags)
{
	return (struct change){.kind = CHANGE_RENAME,
		.rename = {from, name_of(name), to, name_of(new_name), flags}};
}

static struct change an_xattr(uint64_t ino, const char *name, const char *value)
{
	return (struct change){.kind = CHANGE_SETXATTR,
		.setxattr = {
			.ino = ino, .name = name_of(name), .value = value, .size = strlen(value)}};
}

/* The peer makes the change; the text is what we are told of it, and it is told nothing. */
#define TELLS(x, change, ...)                                                                      \
	do {                                                                                       \
		assert_int_equal(there(x, change, NULL), 0);                                       \
		here(&(x)->file, NULL);                                                            \
		expect(&told, __VA_ARGS__);                                                        \
		peer_poll((x)->peer, &told);                                                       \
		expect(&told, "%s", "");                                                           \
	} while (0)

#define L(ino) ((unsigned long long)(ino))

static void test_alone_nothing_is_logged(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "f");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 5000, false), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM changelog"), 1);
	assert_int_equal(number(f, "SELECT kind FROM changelog"), 5);
	here(f, NULL);
	expect(&told, "%s", "");
}

static void test_data(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f"), g = old_file(x, "g");
	TELLS(x, a_write(f, 0, 4096, false), "data %llu 0-0", L(f));
	TELLS(x, a_write(f, 4095, 2, false), "data %llu 0-1", L(f));
	TELLS(x, a_write(f, 0, 10, true), "data %llu 1-1", L(f));
	TELLS(x, a_write(f, 3 * 4096 + 1, 65536, false), "data %llu 3-19", L(f));
	TELLS(x, a_setattr(f, STORE_SET_SIZE, 5000), "data %llu 1-", L(f));
	TELLS(x, a_setattr(f, STORE_SET_SIZE, STORE_FILE_MAX), "attr %llu", L(f));
	TELLS(x, a_setattr(f, STORE_SET_SIZE | STORE_SET_MODE, 8192), "data %llu 2-", L(f));
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
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	TELLS(x, a_setattr(f, STORE_SET_MODE, 0), "attr %llu", L(f));
	TELLS(x, an_xattr(f, "user.a", "1"), "attr %llu", L(f));
	TELLS(x,
		((struct change){
			.kind = CHANGE_REMOVEXATTR, .removexattr = {f, name_of("user.a")}}),
		"attr %llu", L(f));
	TELLS(x, an_xattr(f, TTL, "1.5"), "data %llu 0-", L(f));
	TELLS(x, ((struct change){.kind = CHANGE_REMOVEXATTR, .removexattr = {f, name_of(TTL)}}),
		"data %llu 0-", L(f));
}

static void test_names(void **state)
{
	struct fixture *x = *state;
	uint64_t d = create(x, "d", S_IFDIR | 0755);
	here(&x->file, NULL);
	expect(&told, "name 1 d, attr 1");
	uint64_t f = create(x, "f", S_IFREG | 0644);
	here(&x->file, NULL);
	expect(&told, "name 1 f, attr 1");
	TELLS(x,
		((struct change){.kind = CHANGE_CREATE,
			.create = {ROOT, name_of("l"), S_IFLNK | 0777, 0, name_of("there")}}),
		"name 1 l, attr 1");
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {f, d, name_of("g")}}),
		"name %llu g, attr %llu, attr %llu", L(d), L(f), L(d));
	TELLS(x, an_unlink("f", false), "name 1 f, attr %llu, attr 1", L(f));
	TELLS(x, a_rename(d, "g", d, "h", 0), "name %llu g, name %llu h, attr %llu, attr %llu",
		L(d), L(d), L(f), L(d));
	TELLS(x, a_rename(d, "h", ROOT, "f", 0),
		"name %llu h, name 1 f, attr %llu, attr %llu, attr 1", L(d), L(f), L(d));
	TELLS(x, a_rename(ROOT, "f", ROOT, "d", RENAME_EXCHANGE),
		"name 1 f, name 1 d, attr %llu, attr 1, attr %llu", L(f), L(d));
	TELLS(x, an_unlink("f", true), "name 1 f, gone %llu, attr 1", L(d));
	uint64_t g = old_file(x, "g");
	TELLS(x, a_rename(ROOT, "g", ROOT, "d", 0),
		"name 1 g, name 1 d, attr %llu, attr 1, gone %llu", L(g), L(f));
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {g, ROOT, name_of("e")}}),
		"name 1 e, attr %llu, attr 1", L(g));
	TELLS(x, a_rename(ROOT, "e", ROOT, "d", 0), "%s", "");
	TELLS(x, a_rename(ROOT, "e", ROOT, "odd \xff", 0),
		"name 1 e, name 1 odd \xff, attr %llu, attr 1", L(g));
	assert_int_equal(there(x, an_unlink("missing", false), NULL), -ENOENT);
	here(&x->file, NULL);
	expect(&told, "%s", "");
}

static void test_unnamed(void **state)
{
	struct fixture *x = *state;
	struct change c;
	assert_int_equal(there(x,
				 (struct change){.kind = CHANGE_CREATE,
					 .create = {.parent = ROOT, .mode = S_IFREG | 0600}},
				 &c),
		0);
	uint64_t f = c.touched[0].ino;
	here(&x->file, NULL);
	expect(&told, "attr %llu", L(f));
	TELLS(x, ((struct change){.kind = CHANGE_LINK, .link = {f, ROOT, name_of("f")}}),
		"name 1 f, attr %llu, attr 1", L(f));
	TELLS(x, an_unlink("f", false), "name 1 f, gone %llu, attr 1", L(f));
	TELLS(x, ((struct change){.kind = CHANGE_REAP, .reap = {f, false}}), "attr %llu", L(f));
}

/* In the order of the commits, and only of those that were one. */
static void test_order_and_failures(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(there(x, a_write(f, i * 4096, 1, false), NULL), 0);
	assert_int_equal(there(x, a_write(f + 1, 0, 1, false), NULL), -ESTALE);
	here(&x->file, NULL);
	assert_int_equal(told.result, 700);
	for (unsigned i = 0; i < PEER_EVENTS_MAX; i++)
		assert_int_equal(told.event[i].first, i);
	here(&x->file, NULL);
	expect(&told, "%s", "");
}

/* What SQL clients log, by triggers; the mount does not have to have a peer for that. */
static void test_rows_of_sql_clients(void **state)
{
	struct store_file *f = *state;
	store_file_sql(f, "INSERT INTO changelog(mount, kind, ino, first, last, name) VALUES"
			  "(0, 1, 7, NULL, NULL, NULL), (0, 2, 7, 3, 5, NULL),"
			  "(0, 2, 7, 3, NULL, NULL), (0, 2, 7, 0, 1073741823, NULL),"
			  "(0, 3, 1, NULL, NULL, 'text'), (0, 3, 1, NULL, NULL, x'626c6f62'),"
			  "(99, 1, 8, NULL, NULL, NULL), (0, 5, 0, NULL, NULL, NULL)");
	here(f, NULL);
	expect(&told, "attr 7, data 7 3-5, data 7 3-, data 7 0-, name 1 text, name 1 blob, attr 8");
	here(f, NULL);
	expect(&told, "%s", "");
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
		store_file_sql(f, sql);
		here(f, NULL);
		expect(&told, "all");
		here(f, NULL);
		expect(&told, "%s", "");
	}
	/* Also where the numbers of the rows make none. */
	store_file_sql(f, "INSERT INTO changelog(id, mount, kind, ino) VALUES"
			  "(9223372036854775807, 0, 1, 1)");
	here(f, NULL);
	expect(&told, "all");
	store_file_sql(f, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	here(f, NULL);
	expect(&told, "all");
	store_file_close(f);
	store_file_open(f);
	store_file_sql(f, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	here(f, NULL);
	expect(&told, "attr 1");
}

/* Rows have gone that were not read. */
static void test_missed_rows(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	store_file_sql(
		&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	here(&x->file, NULL);
	expect(&told, "all");
	here(&x->file, NULL);
	expect(&told, "%s", "");
	peer_poll(x->peer, &told);
	expect(&told, "all");
	/* All that had been read may go. */
	store_file_sql(
		&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	TELLS(x, a_write(f, 0, 1, false), "data %llu 0-0", L(f));
	/* One out of the middle, and all of them. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	store_file_sql(
		&x->file, "DELETE FROM changelog WHERE id = (SELECT max(id) FROM changelog) - 1");
	here(&x->file, NULL);
	expect(&told, "data %llu 0-0, all", L(f));
	peer_poll(x->peer, &told);
	store_file_sql(&x->file, "DELETE FROM changelog");
	here(&x->file, NULL);
	expect(&told, "all");
	peer_poll(x->peer, &told);
	TELLS(x, a_write(f, 0, 1, false), "data %llu 0-0", L(f));
}

/* Somebody took our row out of table mount: then nobody tells us anything. */
static void test_not_known_any_more(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	store_file_sql(&x->file, "DELETE FROM mount");
	here(&x->file, NULL);
	expect(&told, "all");
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	here(&x->file, NULL);
	expect(&told, "all");
	here(&x->file, NULL);
	expect(&told, "%s", "");
}

static void test_log_stays_bounded(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	store_file_sql(&x->file,
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 70000)"
		" INSERT INTO changelog(mount, kind, ino) SELECT 0, 1, 1 FROM n");
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	int64_t rows = number(&x->file, "SELECT count(*) FROM changelog");
	assert_true(rows >= 65536);
	assert_true(rows < 65536 + 1024);
	here(&x->file, NULL);
	expect(&told, "all");
}

/* A mount that comes and goes: while it is there, it is told; after that nothing is logged. */
static void test_coming_and_going(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	int64_t rows = number(&x->file, "SELECT count(*) FROM changelog");
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	assert_int_equal(number(&x->file, "SELECT count(*) FROM changelog"), rows + 1);
	peer_close(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'b', 1, false), 0);
	assert_int_equal(number(&x->file, "SELECT count(*) FROM changelog"), rows + 1);
	peer_open(x->peer, x->file.path, false);
	peer_poll(x->peer, &told);
	expect(&told, "%s", "");
	assert_int_equal(store_file_write(&x->file, f, 0, 'c', 1, false), 0);
	peer_poll(x->peer, &told);
	expect(&told, "data %llu 0-0", L(f));
	here(&x->file, NULL);
	expect(&told, "%s", "");
}

/* One that is stopped is there; what it missed was not told it in vain. */
static void test_stopped(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	peer_suspend(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	peer_resume(x->peer);
	peer_poll(x->peer, &told);
	expect(&told, "data %llu 0-0", L(f));
	peer_suspend(x->peer);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	assert_int_equal(store_file_write(&x->file, f, 0, 'a', 1, false), 0);
	store_file_sql(
		&x->file, "DELETE FROM changelog WHERE id < (SELECT max(id) FROM changelog)");
	peer_resume(x->peer);
	peer_poll(x->peer, &told);
	expect(&told, "all");
}

static void test_readonly_follows_sql(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	store_file_close(&x->file);
	peer_close(x->peer);
	assert_int_equal(store_file_try_open(&x->file, true), 0);
	store_file_sql(
		&x->file, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1), (0, 4, 5)");
	here(&x->file, NULL);
	expect(&told, "attr 1, attr 5");

	/* A mount that is alone says nothing of what it does. */
	peer_open(x->peer, x->file.path, false);
	here(&x->file, NULL);
	expect(&told, "all");
	here(&x->file, NULL);
	expect(&told, "%s", "");
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	here(&x->file, NULL);
	expect(&told, "all");
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	peer_close(x->peer);
	here(&x->file, NULL);
	expect(&told, "all");

	/* Also when it came and went since the last time. */
	peer_open(x->peer, x->file.path, false);
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	peer_close(x->peer);
	here(&x->file, NULL);
	expect(&told, "all");
	store_file_sql(&x->file, "INSERT INTO changelog(mount, kind, ino) VALUES(0, 1, 1)");
	here(&x->file, NULL);
	expect(&told, "attr 1");
}

/* A mount that was there already, when the read-only one came. */
static void test_readonly_beside_a_mount(void **state)
{
	struct fixture *x = *state;
	uint64_t f = old_file(x, "f");
	store_file_close(&x->file);
	assert_int_equal(store_file_try_open(&x->file, true), 0);
	here(&x->file, NULL);
	expect(&told, "%s", "");
	assert_int_equal(there(x, a_write(f, 0, 1, false), NULL), 0);
	x->peer = peer_kill(x->peer);
	here(&x->file, NULL);
	expect(&told, "all");
}

static void test_count_of_inodes(void **state)
{
	struct fixture *x = *state;
	struct store_space space;
	uint64_t n;
	assert_int_equal(store_statfs(x->file.store, &space), 0);
	assert_int_equal(space.inodes, 1);
	assert_int_equal(peer_inodes(x->peer, &n), 0);
	assert_int_equal(n, 1);
	store_file_create(&x->file, "f");
	assert_int_equal(store_statfs(x->file.store, &space), 0);
	assert_int_equal(space.inodes, 2);
	peer_poll(x->peer, &told);
	/* Counted anew when the last count is a second old. */
	do
		assert_int_equal(peer_inodes(x->peer, &n), 0);
	while (n == 1);
	assert_int_equal(n, 2);
}

int main(int argc, char **argv)
{
#define PAIR(test) cmocka_unit_test_setup_teardown(test, setup_pair, teardown_pair)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_alone_nothing_is_logged, setup, store_file_teardown),
		PAIR(test_data),
		PAIR(test_attributes),
		PAIR(test_names),
		PAIR(test_unnamed),
		PAIR(test_order_and_failures),
		cmocka_unit_test_setup_teardown(
			test_rows_of_sql_clients, setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_rows_without_sense, setup, store_file_teardown),
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
