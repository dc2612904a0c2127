/*
 * Names, extended attributes and orphans in the SQLite store: against the naive store by random
 * changes, against the file's invariants by plain SQL, and what only SQLite's store does.
 */
#include "cache/store/sqlite.h"
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
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static char dir_path[] = "/tmp/recordfs-names-XXXXXX";
static char db_path[64];

static void remove_db(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char path[80];
		snprintf(path, sizeof path, "%s%s", db_path, suffixes[i]);
		unlink(path);
	}
}

static struct store *open_db(void)
{
	struct sqlite_config cfg = {.path = db_path, .busy_timeout_ms = 1000};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	int r = sqlite_store_open(&cfg, &s, why, sizeof why);
	if (r < 0)
		fail_msg("%s", why);
	return s;
}

static struct store *new_db(void)
{
	remove_db();
	return open_db();
}

static struct change_name name(const char *s)
{
	return (struct change_name){.bytes = s, .len = strlen(s)};
}

static int64_t clock_now = 1000;

static int apply(struct store *s, struct change *c)
{
	c->now = ++clock_now;
	return store_apply_one(s, c, false);
}

static int create(struct store *s, uint64_t parent, const char *n, uint32_t mode, uint64_t *ret)
{
	struct change c = {
		.kind = CHANGE_CREATE,
		.caller = {.uid = 7, .gid = 8, .umask = 022},
		.create = {.parent = parent, .name = name(n), .mode = mode},
	};
	int r = apply(s, &c);
	if (r == 0)
		*ret = c.touched[0].ino;
	return r;
}

static uint64_t must_create(struct store *s, uint64_t parent, const char *n, uint32_t mode)
{
	uint64_t ino = 0;
	assert_int_equal(create(s, parent, n, mode, &ino), 0);
	return ino;
}

static int unlink_at(struct store *s, uint64_t parent, const char *n, bool directory)
{
	struct change c = {
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = parent, .name = name(n), .directory = directory},
	};
	return apply(s, &c);
}

static int rename_at(struct store *s, uint64_t parent, const char *n, uint64_t new_parent,
	const char *new_name, unsigned flags)
{
	struct change c = {
		.kind = CHANGE_RENAME,
		.rename = {.parent = parent,
			.name = name(n),
			.new_parent = new_parent,
			.new_name = name(new_name),
			.flags = flags},
	};
	return apply(s, &c);
}

static int set(struct store *s, uint64_t ino, const char *n, const void *value, size_t size)
{
	struct change c = {
		.kind = CHANGE_SETXATTR,
		.setxattr = {.ino = ino, .name = name(n), .value = value, .size = size},
	};
	return apply(s, &c);
}

static int remove_xattr(struct store *s, uint64_t ino, const char *n)
{
	struct change c = {
		.kind = CHANGE_REMOVEXATTR,
		.removexattr = {.ino = ino, .name = name(n)},
	};
	return apply(s, &c);
}

static ssize_t get(struct store *s, uint64_t ino, const char *n, void *buf, size_t size)
{
	return store_getxattr(s, ino, n, strlen(n), buf, size);
}

static struct store_attr attr_of(struct store *s, uint64_t ino)
{
	struct store_attr a;
	assert_int_equal(store_getattr(s, ino, &a), 0);
	return a;
}

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
	assert_int_equal(sqlite3_open_v2(db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
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

static void same_attr(const struct store_attr *a, const struct store_attr *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->ttl, b->ttl);
	/* SQLite's store gives user.* attributes only to what may have them. */
	if (S_ISREG(a->mode) || S_ISDIR(a->mode))
		assert_int_equal(a->flags, b->flags);
	if (b->ino != STORE_ROOT_INO) {
		assert_int_equal(a->uid, b->uid);
		assert_int_equal(a->gid, b->gid);
	}
	if (a->mtime || a->ctime) { /* not the root as it was made */
		assert_int_equal(a->mtime, b->mtime);
		assert_int_equal(a->ctime, b->ctime);
	}
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
		*p = (struct pair){.a = model_store_new(), .b = new_db(), .n = 1, .seed = seed};
		p->ino[0][0] = p->ino[0][1] = STORE_ROOT_INO;
		for (int i = 0; i < 1500; i++)
			step(p);
		same_directories(p);
		store_close(p->a);
		close_and_check(p->b);
		free(p);
	}
}

/* -- extended attributes --------------------------------------------------------------------- */

/* u::rwx,u:1000:rwx,g::r-x,m::rwx,o::r-x and u::rw-,g::r--,o::--- */
static const unsigned char wide_acl[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0,
	0xe8, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 5, 0,
	255, 255, 255, 255};
static const unsigned char plain_acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0,
	255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static void test_acl_set(void **state)
{
	(void)state;
	struct store *s = new_db();
	unsigned char buf[64];
	uint64_t f = must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0666);
	assert_int_equal(set(s, f, ACCESS, wide_acl, sizeof wide_acl), 0);
	assert_int_equal(attr_of(s, f).mode, S_IFREG | 0775);
	assert_int_equal(attr_of(s, f).flags, STORE_ATTR_XATTRS);
	assert_int_equal(get(s, f, ACCESS, buf, sizeof buf), sizeof wide_acl);
	assert_memory_equal(buf, wide_acl, sizeof wide_acl);
	assert_int_equal(get(s, f, ACCESS, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(s, f, ACCESS, buf, 5), -ERANGE);

	struct change chmod = {
		.kind = CHANGE_SETATTR,
		.setattr = {.ino = f, .mask = STORE_SET_MODE, .mode = 0640},
	};
	assert_int_equal(apply(s, &chmod), 0);
	assert_int_equal(get(s, f, ACCESS, buf, sizeof buf), sizeof wide_acl);
	assert_int_equal(buf[30], 4); /* the mask; the group's own entry stays */
	assert_int_equal(buf[22], 5);

	/* One that says no more than the mode is not kept. */
	assert_int_equal(set(s, f, ACCESS, plain_acl, sizeof plain_acl), 0);
	assert_int_equal(attr_of(s, f).mode, S_IFREG | 0640);
	assert_int_equal(attr_of(s, f).flags, 0);
	assert_int_equal(get(s, f, ACCESS, buf, sizeof buf), -ENODATA);

	assert_int_equal(set(s, f, ACCESS, "garbage", 7), -EINVAL);
	assert_int_equal(set(s, f, DEFAULT, wide_acl, sizeof wide_acl), -EACCES);
	close_and_check(s);
}

static void test_acl_inherited(void **state)
{
	(void)state;
	struct store *s = new_db();
	uint64_t d = must_create(s, STORE_ROOT_INO, "d", S_IFDIR | 0777);
	assert_int_equal(set(s, d, DEFAULT, wide_acl, sizeof wide_acl), 0);
	uint64_t f = must_create(s, d, "f", S_IFREG | 0666);
	assert_int_equal(attr_of(s, f).mode, S_IFREG | 0664); /* the umask has no say */
	assert_int_equal(get(s, f, ACCESS, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(s, f, DEFAULT, NULL, 0), -ENODATA);
	uint64_t sub = must_create(s, d, "sub", S_IFDIR | 0777);
	assert_int_equal(get(s, sub, DEFAULT, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(s, sub, ACCESS, NULL, 0), sizeof wide_acl);
	uint64_t l = must_create(s, d, "l", S_IFLNK | 0777);
	assert_int_equal(attr_of(s, l).mode, S_IFLNK | 0777);
	assert_int_equal(attr_of(s, l).flags, 0);

	/* One that says no more than a mode rules the mode all the same. */
	assert_int_equal(set(s, d, DEFAULT, plain_acl, sizeof plain_acl), 0);
	f = must_create(s, d, "g", S_IFREG | 0666);
	assert_int_equal(attr_of(s, f).mode, S_IFREG | 0640);
	assert_int_equal(attr_of(s, f).flags, 0);
	/* An empty one is none. */
	assert_int_equal(set(s, d, DEFAULT, plain_acl, 4), 0);
	assert_int_equal(attr_of(s, d).flags, 0);
	f = must_create(s, d, "h", S_IFREG | 0666);
	assert_int_equal(attr_of(s, f).mode, S_IFREG | 0644);
	close_and_check(s);
}

static void test_ttl(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns; /* -1: refused */
	} cases[] = {
		{"0", 0},
		{"2.5", 2500000000},
		{".000000001", 1},
		{"0.0000000019", 1},
		{"1000000000", 1000000000000000000},
		{"007", 7000000000},
		{"1000000000.1", -1},
		{"99999999999999999999", -1},
		{"", -1},
		{".", -1},
		{"-1", -1},
		{"+1", -1},
		{" 1", -1},
		{"1 ", -1},
		{"1,5", -1},
		{"1.5.5", -1},
		{"inf", -1},
		{"0x10", -1},
	};
	struct store *s = new_db();
	uint64_t d = must_create(s, STORE_ROOT_INO, "d", S_IFDIR | 0755);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = set(s, d, "user.recordfs.ttl", cases[i].text, strlen(cases[i].text));
		assert_int_equal(r, cases[i].ns < 0 ? -EINVAL : 0);
		if (r == 0)
			assert_int_equal(attr_of(s, d).ttl, cases[i].ns);
	}
	assert_int_equal(set(s, d, "user.recordfs.ttl", "2.50", 4), 0);
	char buf[8];
	uint64_t f = must_create(s, d, "f", S_IFREG | 0644);
	assert_int_equal(attr_of(s, f).ttl, 2500000000);
	assert_int_equal(get(s, f, "user.recordfs.ttl", buf, sizeof buf), 4);
	assert_memory_equal(buf, "2.50", 4);
	assert_int_equal(remove_xattr(s, f, "user.recordfs.ttl"), 0);
	assert_int_equal(attr_of(s, f).ttl, STORE_TTL_DEFAULT);
	assert_int_equal(attr_of(s, f).flags, 0);
	assert_int_equal(remove_xattr(s, f, "user.recordfs.ttl"), -ENODATA);
	close_and_check(s);
}

static void test_xattr_limits(void **state)
{
	(void)state;
	struct store *s = new_db();
	uint64_t f = must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0644);
	char *value = calloc(1, STORE_XATTR_MAX);
	char n[STORE_NAME_MAX + 2];
	assert_non_null(value);
	memset(n, 'n', sizeof n);
	n[sizeof n - 1] = '\0';
	assert_int_equal(set(s, f, n, "", 0), -ERANGE);
	n[STORE_NAME_MAX] = '\0';
	assert_int_equal(set(s, f, n, "", 0), 0);
	assert_int_equal(get(s, f, n, NULL, 0), 0);
	int r = 0, count = 0;
	for (; r == 0 && count < 100; count++) {
		snprintf(n, sizeof n, "user.%d", count);
		r = set(s, f, n, value, STORE_XATTR_MAX);
	}
	assert_int_equal(r, -ENOSPC);
	/* What is replaced does not count. */
	assert_int_equal(set(s, f, "user.0", value, STORE_XATTR_MAX), 0);
	assert_int_equal(set(s, f, "user.0", value, 10), 0);
	assert_int_equal(set(s, f, n, value, 100), 0);
	free(value);
	close_and_check(s);
}

/* -- names ------------------------------------------------------------------------------------ */

struct names {
	struct store *s;
	unsigned n;
};

/* Renames every entry that it reads, as a careless script does. */
static bool rename_fn(void *arg, const struct store_entry *e)
{
	struct names *x = arg;
	char from[32], to[40];
	snprintf(from, sizeof from, "%.*s", (int)e->name.len, e->name.bytes);
	snprintf(to, sizeof to, "%s+", from);
	x->n++;
	assert_int_equal(rename_at(x->s, STORE_ROOT_INO, from, STORE_ROOT_INO, to, 0), 0);
	return false;
}

struct place {
	uint64_t id;
	unsigned n;
};

static bool place_fn(void *arg, const struct store_entry *e)
{
	struct place *x = arg;
	x->id = e->id;
	x->n++;
	return false;
}

static void test_rename_while_reading(void **state)
{
	(void)state;
	struct names x = {.s = new_db()};
	char n[16];
	for (unsigned i = 0; i < 20; i++) {
		snprintf(n, sizeof n, "f%u", i);
		must_create(x.s, STORE_ROOT_INO, n, S_IFREG | 0644);
	}
	struct place at = {0};
	for (unsigned seen = 0; seen == at.n && seen < 100; seen++) {
		uint64_t after = at.id;
		assert_int_equal(
			store_readdir(x.s, STORE_ROOT_INO, after, false, place_fn, &at), 0);
		if (at.id != after)
			assert_int_equal(
				store_readdir(x.s, STORE_ROOT_INO, after, false, rename_fn, &x), 0);
		else
			break;
	}
	assert_int_equal(x.n, 20);
	close_and_check(x.s);
}

static void test_long_names(void **state)
{
	(void)state;
	struct store *s = new_db();
	char n[STORE_NAME_MAX + 2];
	uint64_t ino;
	memset(n, 'x', sizeof n);
	n[sizeof n - 1] = '\0';
	struct store_attr a;
	assert_int_equal(create(s, STORE_ROOT_INO, n, S_IFREG, &ino), -ENAMETOOLONG);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, n, false), -ENAMETOOLONG);
	assert_int_equal(store_lookup(s, STORE_ROOT_INO, n, strlen(n), &a), -ENAMETOOLONG);
	n[STORE_NAME_MAX] = '\0';
	ino = must_create(s, STORE_ROOT_INO, n, S_IFREG);
	assert_int_equal(store_lookup(s, STORE_ROOT_INO, n, strlen(n), &a), 0);
	assert_int_equal(store_lookup(s, ino, "x", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(s, ino, ".", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(s, 1234567, "x", 1, &a), -ESTALE);
	close_and_check(s);
}

static void test_paths(void **state)
{
	(void)state;
	struct store *s = new_db();
	char buf[16];
	uint64_t d = must_create(s, STORE_ROOT_INO, "dir", S_IFDIR | 0755);
	uint64_t f = must_create(s, d, "file", S_IFREG | 0644);
	assert_int_equal(store_path(s, STORE_ROOT_INO, buf, sizeof buf), 0);
	assert_string_equal(buf, "/");
	assert_int_equal(store_path(s, f, buf, sizeof buf), 0);
	assert_string_equal(buf, "/dir/file");
	assert_int_equal(store_path(s, f, buf, 10), 0);
	assert_int_equal(store_path(s, f, buf, 9), -ERANGE);
	assert_int_equal(store_path(s, STORE_ROOT_INO, buf, 1), -ERANGE);
	assert_int_equal(unlink_at(s, d, "file", false), 0);
	assert_int_equal(store_path(s, f, buf, sizeof buf), -ENOENT);
	assert_int_equal(store_path(s, 999, buf, sizeof buf), -ESTALE);
	close_and_check(s);
}

/* -- orphans ---------------------------------------------------------------------------------- */

static bool ino_fn(void *arg, uint64_t ino)
{
	(void)ino;
	++*(size_t *)arg;
	return true;
}

static size_t count_orphans(struct store *s)
{
	size_t n = 0;
	assert_int_equal(store_orphans(s, ino_fn, &n), 0);
	return n;
}

static void make_orphans(struct store *s)
{
	must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0644);
	must_create(s, STORE_ROOT_INO, "d", S_IFDIR | 0755);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, "f", false), 0);
	assert_int_equal(unlink_at(s, STORE_ROOT_INO, "d", true), 0);
}

static void test_orphans_of_an_ended_mount(void **state)
{
	(void)state;
	struct store *s = new_db();
	make_orphans(s);
	assert_int_equal(count_orphans(s), 0); /* this mount may have them open */
	close_and_check(s);
	s = open_db();
	assert_int_equal(count_orphans(s), 2);
	make_orphans(s);
	assert_int_equal(count_orphans(s), 2);
	close_and_check(s);
	s = open_db();
	assert_int_equal(count_orphans(s), 4);
	store_close(s);
	assert_int_equal(ask("SELECT count(*) FROM mount"), 2);
	assert_int_equal(ask("SELECT count(*) FROM mount WHERE pid <> 0"), 0);
}

static void test_orphans_of_a_dead_process(void **state)
{
	(void)state;
	store_close(new_db());
	pid_t child = fork();
	if (child == 0) {
		make_orphans(open_db());
		_exit(0);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct store *s = open_db();
	assert_int_equal(count_orphans(s), 2);
	struct change reap = {.kind = CHANGE_REAP};
	for (reap.reap.ino = STORE_ROOT_INO + 1; count_orphans(s) > 0; reap.reap.ino++) {
		assert_int_equal(apply(s, &reap), 0);
		assert_int_equal(reap.touched[0].nlink, 0);
		assert_false(reap.reap.more);
	}
	assert_int_equal(apply(s, &reap), -ENOENT);
	close_and_check(s);
	store_close(open_db());
	assert_int_equal(ask("SELECT count(*) FROM mount"), 0); /* nobody needs the dead one's */
}

/* Rows that say things which cannot be: never believed. */
static void test_damage(void **state)
{
	(void)state;
	static const struct {
		const char *sql;
		int lookup, readdir;
	} cases[] = {
		{"UPDATE dentry SET ino = 0", -EIO, -EIO},
		{"UPDATE dentry SET ino = -5", -EIO, -EIO},
		{"UPDATE dentry SET ino = 12345", -EIO, 0},
		{"UPDATE dentry SET type = 7", -EIO, -EIO},
		{"UPDATE dentry SET id = 0", 0, 0},
		{"UPDATE dentry SET id = -1", 0, 0},
		{"UPDATE dentry SET name = CAST('a/b' AS BLOB)", -ENOENT, -EIO},
		{"UPDATE dentry SET name = x'6100'", -ENOENT, -EIO},
		{"UPDATE dentry SET name = x''", -ENOENT, -EIO},
		{"UPDATE dentry SET name = zeroblob(300)", -ENOENT, -EIO},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct store *s = new_db();
		must_create(s, STORE_ROOT_INO, "f", S_IFREG | 0644);
		store_close(s);
		ask(cases[i].sql);
		s = open_db();
		struct store_attr a;
		size_t n = 0;
		assert_int_equal(store_lookup(s, STORE_ROOT_INO, "f", 1, &a), cases[i].lookup);
		assert_int_equal(
			store_readdir(s, STORE_ROOT_INO, 0, false, count_fn, &n), cases[i].readdir);
		if (cases[i].lookup < 0)
			assert_int_equal(unlink_at(s, STORE_ROOT_INO, "f", false), cases[i].lookup);
		store_close(s);
	}
}

static void test_damaged_tree(void **state)
{
	(void)state;
	struct store *s = new_db();
	uint64_t a = must_create(s, STORE_ROOT_INO, "a", S_IFDIR | 0755);
	uint64_t b = must_create(s, a, "b", S_IFDIR | 0755);
	uint64_t c = must_create(s, STORE_ROOT_INO, "c", S_IFDIR | 0755);
	(void)c;
	store_close(s);
	char sql[128];
	snprintf(sql, sizeof sql, "UPDATE inode SET parent = %llu WHERE ino = %llu",
		(unsigned long long)b, (unsigned long long)a);
	ask(sql); /* a and b are each below the other */
	s = open_db();
	char buf[64];
	assert_true(store_path(s, b, buf, sizeof buf) < 0);
	assert_int_equal(rename_at(s, STORE_ROOT_INO, "c", b, "c", 0), -EIO);
	store_close(s);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir_path))
		return -1;
	snprintf(db_path, sizeof db_path, "%s/db", dir_path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_db();
	return rmdir(dir_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_acl_set),
		cmocka_unit_test(test_acl_inherited),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_xattr_limits),
		cmocka_unit_test(test_rename_while_reading),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_orphans_of_an_ended_mount),
		cmocka_unit_test(test_orphans_of_a_dead_process),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_damaged_tree),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
