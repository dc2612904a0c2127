/*
 * Random changes of names and attributes: the SQLite store against the naive one, and then what
 * must hold between the tables of its file, asked in plain SQL.
 */
#include "temp_db.h"
#include "tests/model_store.h"

#include <errno.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static struct change_name name(const char *s)
{
	return (struct change_name){.bytes = s, .len = strlen(s)};
}

static int64_t clock_now = 1000;

/* -- the file's invariants, by plain SQL, once the store is closed --------------------------- */

static const char *const invariants[] = {
	/* every dentry: its parent a live directory, its inode alive and of the type noted */
	"SELECT count(*) FROM dentry d LEFT JOIN inode i ON i.ino = d.ino LEFT JOIN inode p"
	" ON p.ino = d.parent WHERE i.ino IS NULL OR p.ino IS NULL OR i.nlink = 0 OR p.nlink = 0"
	" OR (p.mode & 61440) <> 16384 OR d.type <> (i.mode & 61440)",
	/* link counts */
	"SELECT count(*) FROM inode i WHERE (mode & 61440) <> 16384 AND nlink <> (SELECT count(*)"
	" FROM dentry WHERE ino = i.ino)",
	"SELECT count(*) FROM inode i WHERE (mode & 61440) = 16384 AND nlink > 0 AND nlink <> 2 +"
	" (SELECT count(*) FROM dentry WHERE parent = i.ino AND type = 16384)",
	/* a live directory has one name, and knows where */
	"SELECT count(*) FROM inode i WHERE (mode & 61440) = 16384 AND nlink > 0 AND ino <> 1 AND"
	" 1 <> (SELECT count(*) FROM dentry WHERE ino = i.ino AND parent = i.parent)",
	/* orphans */
	"SELECT count(*) FROM inode WHERE (nlink = 0) <> (ino IN (SELECT ino FROM orphan))",
	"SELECT count(*) FROM orphan WHERE ino NOT IN (SELECT ino FROM inode)",
	"SELECT count(*) FROM orphan WHERE mount NOT IN (SELECT id FROM mount)",
	/* extended attributes */
	"SELECT count(*) FROM inode WHERE (flags & 1) <> (ino IN (SELECT ino FROM xattr))",
	"SELECT count(*) FROM xattr WHERE ino NOT IN (SELECT ino FROM inode)",
	"SELECT count(*) FROM inode WHERE (ttl IS NOT NULL) <> (ino IN (SELECT ino FROM xattr"
	" WHERE name = CAST('user.recordfs.ttl' AS BLOB))) AND (mode & 61440) IN (32768, 16384)",
	/* ids in a directory differ */
	"SELECT count(*) FROM (SELECT 1 FROM dentry GROUP BY parent, id HAVING count(*) > 1)",
};

static int64_t ask(const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(
		sqlite3_open_v2(temp_db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	int64_t n = 0;
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void close_and_check(struct store *s)
{
	store_close(s);
	for (size_t i = 0; i < ARRAY_LEN(invariants); i++)
		if (ask(invariants[i]) != 0)
			fail_msg("violated: %s", invariants[i]);
}

/* -- against the naive store ----------------------------------------------------------------- */

#define INODES 4096
struct pair {
	struct store *a, *b; /* the naive one, SQLite's */
	uint64_t ino[INODES][2];
	size_t n;
	unsigned seed;
};

static unsigned pick(struct pair *p, unsigned n)
{
	return (unsigned)rand_r(&p->seed) % n;
}

static const char *pick_name(struct pair *p)
{
	static const char *const names[] = {"a", "b", "c", "d\xff\n", "e"};
	return names[pick(p, ARRAY_LEN(names))];
}

/* One of the last inodes, so that most are alive. */
static size_t pick_inode(struct pair *p)
{
	size_t window = p->n < 24 ? p->n : 24;
	return pick(p, 5) == 0 ? 0 : p->n - 1 - pick(p, (unsigned)window);
}

static void fill_create(struct pair *p, struct change *c)
{
	static const uint32_t modes[] = {S_IFREG | 0666, S_IFDIR | 0777, S_IFDIR | S_ISGID | 0755,
		S_IFLNK | 0777, S_IFIFO | 0644, S_IFCHR | 0600};
	c->kind = CHANGE_CREATE;
	c->create.name = name(pick_name(p));
	c->create.mode = modes[pick(p, ARRAY_LEN(modes))];
	c->create.rdev = S_ISCHR(c->create.mode) ? 259 : 0;
	c->create.target = name("over/there");
	if (S_ISREG(c->create.mode) && pick(p, 8) == 0)
		c->create.name = (struct change_name){0};
}

static void fill_rename(struct pair *p, struct change *c)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_EXCHANGE, RENAME_EXCHANGE,
		RENAME_NOREPLACE, RENAME_WHITEOUT, RENAME_EXCHANGE | RENAME_NOREPLACE};
	c->kind = CHANGE_RENAME;
	c->rename.name = name(pick_name(p));
	c->rename.new_name = name(pick_name(p));
	c->rename.flags = flags[pick(p, ARRAY_LEN(flags))];
}

static void fill_xattr(struct pair *p, struct change *c)
{
	static const char *const names[] = {"user.a", "user.recordfs.ttl", "security.x"};
	static const char *const values[] = {"", "2.5", "0", "x", "-1", ".25", "1e3"};
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	const char *n = names[pick(p, ARRAY_LEN(names))];
	if (pick(p, 3) == 0) {
		c->kind = CHANGE_REMOVEXATTR;
		c->removexattr.name = name(n);
		return;
	}
	const char *value = values[pick(p, ARRAY_LEN(values))];
	c->kind = CHANGE_SETXATTR;
	c->setxattr.name = name(n);
	c->setxattr.value = value;
	c->setxattr.size = strlen(value);
	c->setxattr.flags = flags[pick(p, ARRAY_LEN(flags))];
}

static void fill(struct pair *p, struct change *c)
{
	switch (pick(p, 10)) {
	case 0:
	case 1:
	case 2:
		fill_create(p, c);
		break;
	case 3:
		c->kind = CHANGE_LINK;
		c->link.name = name(pick_name(p));
		break;
	case 4:
	case 5:
		c->kind = CHANGE_UNLINK;
		c->unlink.name = name(pick_name(p));
		c->unlink.directory = pick(p, 2);
		break;
	case 6:
		c->kind = CHANGE_REAP;
		break;
	case 7:
		fill_xattr(p, c);
		break;
	default:
		fill_rename(p, c);
	}
}

/* Which inodes it is about, as one of the stores numbers them. */
static void aim(struct change *c, uint64_t x, uint64_t y)
{
	switch (c->kind) {
	case CHANGE_CREATE:
		c->create.parent = x;
		break;
	case CHANGE_LINK:
		c->link.ino = x;
		c->link.parent = y;
		break;
	case CHANGE_UNLINK:
		c->unlink.parent = x;
		break;
	case CHANGE_REAP:
		c->reap.ino = x;
		break;
	case CHANGE_SETXATTR:
		c->setxattr.ino = x;
		break;
	case CHANGE_REMOVEXATTR:
		c->removexattr.ino = x;
		break;
	case CHANGE_RENAME:
		c->rename.parent = x;
		c->rename.new_parent = y;
		break;
	case CHANGE_WRITE:
	case CHANGE_SETATTR:
	case CHANGE_ALLOCATE:
	case CHANGE_COPY:
		fail();
	}
}

static size_t index_of(const struct pair *p, uint64_t ino, int side)
{
	for (size_t i = p->n; i-- > 0;)
		if (p->ino[i][side] == ino)
			return i;
	fail_msg("no inode %llu", (unsigned long long)ino);
	return 0;
}

/* Nothing else may have user.* attributes, though the naive store does not care. */
static bool has_user_xattrs(const struct store_attr *a)
{
	return S_ISREG(a->mode) || S_ISDIR(a->mode);
}

static void same_attr(const struct store_attr *a, const struct store_attr *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->ttl, b->ttl);
	if (has_user_xattrs(a))
		assert_int_equal(a->flags, b->flags);
	if (b->ino != STORE_ROOT_INO) {
		assert_int_equal(a->uid, b->uid);
		assert_int_equal(a->gid, b->gid);
	}
	if (a->mtime) /* not the root's as it was made */
		assert_int_equal(a->mtime, b->mtime);
	if (a->ctime)
		assert_int_equal(a->ctime, b->ctime);
}

static void same_results(struct pair *p, const struct change *a, const struct change *b)
{
	assert_int_equal(a->result, b->result);
	assert_int_equal(a->n_touched, b->n_touched);
	if (a->result == 0 && a->kind == CHANGE_CREATE) {
		assert_in_range(p->n, 0, INODES - 1);
		p->ino[p->n][0] = a->touched[0].ino;
		p->ino[p->n++][1] = b->touched[0].ino;
	}
	for (unsigned i = 0; i < a->n_touched; i++) {
		size_t k = index_of(p, a->touched[i].ino, 0);
		const struct store_attr *t = change_touched(b, p->ino[k][1]);
		assert_non_null(t);
		if (i == 0)
			assert_ptr_equal(t, &b->touched[0]);
		same_attr(&a->touched[i], t);
		struct store_attr now;
		if (store_getattr(p->b, t->ino, &now) == 0) {
			same_attr(t, &now);
			assert_int_equal(t->version, now.version);
		}
	}
}

static void step(struct pair *p)
{
	struct change a = {.now = ++clock_now, .caller = {.uid = 5, .gid = 6, .umask = 027}};
	fill(p, &a);
	size_t x = pick_inode(p), y = pick(p, 2) ? x : pick_inode(p);
	struct store_attr attr;
	bool xattr = a.kind == CHANGE_SETXATTR || a.kind == CHANGE_REMOVEXATTR;
	if (xattr && store_getattr(p->a, p->ino[x][0], &attr) == 0 && !has_user_xattrs(&attr))
		return;
	struct change b = a;
	aim(&a, p->ino[x][0], p->ino[y][0]);
	aim(&b, p->ino[x][1], p->ino[y][1]);
	int ra = store_apply_one(p->a, &a, false);
	int rb = store_apply_one(p->b, &b, false);
	if (ra != rb)
		fail_msg("change of kind %u: %d, not %d", (unsigned)a.kind, rb, ra);
	same_results(p, &a, &b);
}

struct listing {
	struct pair *p;
	uint64_t dir; /* in the naive store */
	uint64_t last;
	size_t n;
};

static bool count_fn(void *arg, const struct store_entry *e)
{
	(void)e;
	++*(size_t *)arg;
	return true;
}

/* The naive store has the same name for the same inode. */
static bool same_entry_fn(void *arg, const struct store_entry *e)
{
	struct listing *l = arg;
	struct store_attr a;
	assert_true(e->id > l->last);
	l->last = e->id;
	l->n++;
	assert_int_equal(e->attr->ino, e->ino);
	assert_int_equal(e->attr->mode & S_IFMT, e->type);
	assert_int_equal(store_lookup(l->p->a, l->dir, e->name.bytes, e->name.len, &a), 0);
	assert_int_equal(index_of(l->p, a.ino, 0), index_of(l->p, e->ino, 1));
	same_attr(&a, e->attr);
	return true;
}

static void same_directories(struct pair *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct listing l = {.p = p, .dir = p->ino[i][0]};
		size_t n = 0;
		int ra = store_readdir(p->a, p->ino[i][0], 0, false, count_fn, &n);
		int rb = store_readdir(p->b, p->ino[i][1], 0, true, same_entry_fn, &l);
		assert_int_equal(ra, rb);
		assert_int_equal(n, l.n);
		struct store_attr a, b;
		ra = store_lookup(p->a, p->ino[i][0], "..", 2, &a);
		rb = store_lookup(p->b, p->ino[i][1], "..", 2, &b);
		assert_int_equal(ra, rb);
		if (ra == 0)
			assert_int_equal(index_of(p, a.ino, 0), index_of(p, b.ino, 1));
	}
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 6; seed++) {
		struct pair *p = calloc(1, sizeof *p);
		assert_non_null(p);
		*p = (struct pair){
			.a = model_store_new(), .b = temp_db_new(), .n = 1, .seed = seed};
		p->ino[0][0] = p->ino[0][1] = STORE_ROOT_INO;
		for (int i = 0; i < 1500; i++)
			step(p);
		same_directories(p);
		store_close(p->a);
		close_and_check(p->b);
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, temp_db_setup, temp_db_teardown);
}
