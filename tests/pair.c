#include "pair.h"

#include "cache/store/sqlite_check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct peer_told pair_told;

int pair_setup(void **state)
{
	struct store_file *f;
	int r = store_file_setup((void **)&f);
	struct pair *x = calloc(1, sizeof *x);
	assert_non_null(x);
	x->file = *f;
	free(f);
	x->peer = peer_start();
	peer_open(x->peer, x->file.path, false);
	*state = x;
	return r;
}

static void print_fault(void *arg, const struct sqlite_check_fault *fault)
{
	(void)arg;
	print_error("inode %llu: %s\n", (unsigned long long)fault->ino, fault->what);
}

int pair_teardown(void **state)
{
	struct pair *x = *state;
	const struct sqlite_check_handler handler = {.fault = print_fault};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY];
	peer_stop(x->peer);
	store_file_close(&x->file);
	int r = sqlite_check(x->file.path, &handler, &sum, why, sizeof why);
	int removed = store_file_teardown(state); /* the pair begins with its file */
	return r < 0 || sum.faults ? -1 : removed;
}

/* The first number that a query gives. */
int64_t pair_number(struct store_file *f, const char *sql)
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

void pair_sql(struct store_file *f, const char *sql)
{
	sqlite3 *db = NULL;
	char *error = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_wal_autocheckpoint(db, 0), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
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

void pair_expect(const char *format, ...)
{
	char want[8192];
	va_list args;
	va_start(args, format);
	vsnprintf(want, sizeof want, format, args);
	va_end(args);
	assert_string_equal(text(&pair_told), want);
	assert_int_equal(pair_told.result, pair_told.n);
}

/* Has the mount of that process not answered yet for all orphans that there are? */
static bool owes_answer(struct store_file *f, int pid)
{
	char sql[160];
	snprintf(sql, sizeof sql,
		"SELECT count(*) FROM mount WHERE pid = %d AND seen <"
		" (SELECT coalesce(max(change), 0) FROM orphan)",
		pid);
	return pair_number(f, sql) > 0;
}

void pair_hear(struct store_file *f, const struct peer_used *used)
{
	static struct peer_told again;
	peer_poll_here(f->store, used, &pair_told);
	while (owes_answer(f, getpid()))
		peer_poll_here(f->store, used, &again);
}

void pair_peer_hears(struct pair *x)
{
	static struct peer_told again;
	peer_poll(x->peer, &pair_told);
	while (owes_answer(&x->file, peer_pid(x->peer)))
		peer_poll(x->peer, &again);
}

struct change_name make_name(const char *s)
{
	return (struct change_name){s, strlen(s)};
}

int pair_there(struct pair *x, struct change c, struct change *ret)
{
	c.now = 1000;
	int r = peer_apply(x->peer, &c);
	if (ret)
		*ret = c;
	return r;
}

int pair_here(struct pair *x, struct change c, struct change *ret)
{
	c.now = 1000;
	int r = store_apply_one(x->file.store, &c, false);
	if (c.kind == CHANGE_WRITE) {
		block_unref(c.write.head);
		block_unref(c.write.tail);
	}
	if (ret)
		*ret = c;
	return r;
}

uint64_t pair_create(struct pair *x, const char *name, uint32_t mode)
{
	struct change c;
	assert_int_equal(
		pair_there(x,
			(struct change){.kind = CHANGE_CREATE,
				.create = {STORE_ROOT_INO, make_name(name), mode, 0, {NULL, 0}}},
			&c),
		0);
	return c.touched[0].ino;
}

uint64_t pair_file(struct pair *x, const char *name)
{
	uint64_t ino = pair_create(x, name, S_IFREG | 0644);
	pair_hear(&x->file, NULL);
	return ino;
}

struct change make_write(uint64_t ino, uint64_t offset, size_t len, bool append)
{
	static const char zeros[PEER_DATA_MAX];
	return (struct change){.kind = CHANGE_WRITE,
		.write = {
			.ino = ino, .offset = offset, .len = len, .data = zeros, .append = append}};
}

struct change make_setattr(uint64_t ino, unsigned mask, uint64_t size)
{
	return (struct change){.kind = CHANGE_SETATTR,
		.setattr = {.ino = ino, .mask = mask, .mode = 0600, .size = size}};
}

struct change make_unlink(const char *name, bool directory)
{
	return (struct change){
		.kind = CHANGE_UNLINK, .unlink = {STORE_ROOT_INO, make_name(name), directory}};
}

struct change make_rename(
	uint64_t from, const char *name, uint64_t to, const char *new_name, unsigned flags)
{
	return (struct change){.kind = CHANGE_RENAME,
		.rename = {from, make_name(name), to, make_name(new_name), flags}};
}

struct change make_xattr(uint64_t ino, const char *name, const char *value)
{
	return (struct change){.kind = CHANGE_SETXATTR,
		.setxattr = {.ino = ino,
			.name = make_name(name),
			.value = value,
			.size = strlen(value)}};
}

struct change make_link(uint64_t ino, uint64_t dir, const char *name)
{
	return (struct change){.kind = CHANGE_LINK, .link = {ino, dir, make_name(name)}};
}

struct change make_reap(uint64_t ino)
{
	return (struct change){.kind = CHANGE_REAP, .reap = {.ino = ino}};
}
