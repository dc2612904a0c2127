/* Reading names: lookup, directories, symlinks, paths. */

#include "sqlite_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRY_ID_MAX ((uint64_t)1 << 62)

/* A column that holds an inode's number. */
static uint64_t column_ino(sqlite3_stmt *st, int column, int *r)
{
	uint64_t ino = sq_column_u64(st, column, r);
	if (ino == 0 || ino > SQ_INO_MAX)
		*r = -EIO;
	return ino;
}

/* A column that holds the S_IFMT bits of a mode. */
static uint32_t column_type(sqlite3_stmt *st, int column, int *r)
{
	uint64_t type = sq_column_u64(st, column, r);
	if (type == 0 || type & ~(uint64_t)S_IFMT)
		*r = -EIO;
	return (uint32_t)type;
}

static bool is(const char *name, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(name, what, len) == 0;
}

/* A column that holds a name. The memory goes with the row. */
static struct change_name column_name(sqlite3_stmt *st, int column, int *r)
{
	struct change_name name = {
		.bytes = sqlite3_column_blob(st, column),
		.len = (size_t)sqlite3_column_bytes(st, column),
	};
	int class = sqlite3_column_type(st, column);
	if (class != SQLITE_TEXT && class != SQLITE_BLOB)
		*r = -EIO;
	if (!name.bytes || name.len == 0 || name.len > STORE_NAME_MAX ||
		memchr(name.bytes, '/', name.len) || memchr(name.bytes, '\0', name.len))
		*r = -EIO;
	else if (is(name.bytes, name.len, ".") || is(name.bytes, name.len, ".."))
		*r = -EIO;
	return name;
}

int sq_dentry_find(
	struct sq_conn *c, uint64_t parent, const struct change_name *name, struct sq_dentry *ret)
{
	if (name->len > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	sqlite3_stmt *st =
		sq_query(c, SQ_DENTRY_GET, "us", parent, (const void *)name->bytes, name->len);
	int r = sq_step(st);
	if (r <= 0)
		return r;
	struct sq_dentry d = {.ino = column_ino(st, 0, &r), .type = column_type(st, 1, &r)};
	sq_done(st);
	if (r == 1)
		*ret = d;
	return r;
}

int sq_dir_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret)
{
	int r = sq_inode_load(c, ino, ret);
	if (r == 0 && !S_ISDIR(ret->attr.mode))
		r = -ENOTDIR;
	return r;
}

/* An inode that a row names must be there. */
static int load_named(struct sq_conn *c, uint64_t ino, struct sq_inode *ret)
{
	int r = sq_inode_load(c, ino, ret);
	return r == -ESTALE ? -EIO : r;
}

static int find(
	struct sq_conn *c, uint64_t parent, const struct change_name *name, struct sq_inode *ret)
{
	struct sq_dentry d;
	struct sq_inode dir;
	if (is(name->bytes, name->len, ".") || is(name->bytes, name->len, "..")) {
		int r = sq_dir_load(c, parent, &dir);
		if (r < 0)
			return r;
		/* Of a deleted directory, ".." may be gone as well: that is not damage. */
		return sq_inode_load(c, name->len == 1 ? parent : dir.parent, ret);
	}
	int r = sq_dentry_find(c, parent, name, &d);
	if (r == 1)
		return load_named(c, d.ino, ret);
	if (r == 0 || r == -ENAMETOOLONG) {
		/* Only now it matters what `parent` is. */
		int bad = sq_dir_load(c, parent, &dir);
		if (bad < 0)
			return bad;
	}
	return r < 0 ? r : -ENOENT;
}

/*
 * Most changes of names come after a lookup in the same directory. After a commit a reader has to
 * read every page anew, the writer does not: its own commits leave it what it has in memory. So the
 * first lookup after a commit is made by the writer if nobody uses it; others, which may have to
 * wait for the disk, do not keep those waiting who want to write. False: it was not made.
 */
static bool find_as_writer(struct sqlite_store *s, uint64_t parent, const struct change_name *name,
	struct sq_inode *ret, int *ret_r)
{
	uint64_t committed = atomic_load(&s->committed);
	if (s->snapshot || atomic_exchange(&s->looked_up, committed) == committed ||
		pthread_mutex_trylock(&s->write) != 0)
		return false;
	struct sq_conn *c = s->writer;
	bool begun = !atomic_load(&s->degraded) && sq_exec(sq_query(c, SQ_BEGIN, "")) == 0;
	if (begun) {
		atomic_fetch_add(&s->reads, 1);
		*ret_r = find(c, parent, name, ret);
		sq_rollback(c);
	}
	sq_write_unlock(s);
	return begun;
}

int sq_lookup(
	struct store *store, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_inode i;
	struct change_name n = {.bytes = name, .len = len};
	int r;
	if (!find_as_writer(s, parent, &n, &i, &r)) {
		r = sq_read_begin(s, &c);
		if (r < 0)
			return r;
		r = find(c, parent, &n, &i);
		sq_read_end(s, c);
	}
	if (r == 0)
		*ret = i.attr;
	return r;
}

static int copy_target(sqlite3_stmt *st, char *buf, size_t size)
{
	size_t len = (size_t)sqlite3_column_bytes(st, 0);
	const void *target = sqlite3_column_blob(st, 0);
	if (sqlite3_column_type(st, 0) != SQLITE_BLOB || len > STORE_TARGET_MAX)
		return -EIO;
	if (len && (!target || memchr(target, '\0', len)))
		return -EIO;
	if (len >= size)
		return -ERANGE;
	if (len)
		memcpy(buf, target, len);
	buf[len] = '\0';
	return 0;
}

static int read_target(struct sq_conn *c, uint64_t ino, char *buf, size_t size)
{
	struct sq_inode i;
	int r = sq_inode_load(c, ino, &i);
	if (r < 0)
		return r;
	if (!S_ISLNK(i.attr.mode))
		return -EINVAL;
	sqlite3_stmt *st = sq_query(c, SQ_TARGET_GET, "u", ino);
	r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	r = copy_target(st, buf, size);
	sq_done(st);
	return r;
}

int sq_readlink(struct store *store, uint64_t ino, char *buf, size_t size)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = read_target(c, ino, buf, size);
	sq_read_end(s, c);
	return r;
}

/* The row that a statement with columns id, name, ino, type is on. */
static int entry_columns(sqlite3_stmt *st, struct store_entry *ret)
{
	int r = 0;
	struct store_entry e = {
		.id = sq_column_u64(st, 0, &r),
		.name = column_name(st, 1, &r),
		.ino = column_ino(st, 2, &r),
		.type = column_type(st, 3, &r),
	};
	if (e.id == 0 || e.id > ENTRY_ID_MAX)
		r = -EIO;
	if (r == 0)
		*ret = e;
	return r;
}

/* Rows come as they are asked for, in the order of an index, so stopping early costs nothing. */
static int list(struct sq_conn *c, uint64_t dir, uint64_t after, bool with_attr, store_entry_fn *fn,
	void *arg)
{
	struct sq_inode d;
	int r = sq_dir_load(c, dir, &d);
	if (r < 0)
		return r;
	if (after > ENTRY_ID_MAX)
		return 0;
	sqlite3_stmt *st = sq_query(c, with_attr ? SQ_DENTRY_LIST_ATTR : SQ_DENTRY_LIST, "uui", dir,
		after, (int64_t)-1);
	while ((r = sq_step(st)) == 1) {
		struct store_entry e = {0};
		struct sq_inode i = {0};
		r = entry_columns(st, &e);
		if (r == 0 && e.id <= after) /* in a damaged file there may be no end to them */
			r = -EIO;
		after = e.id;
		if (r == 0 && with_attr) {
			r = sq_inode_columns(st, 4, &i);
			i.attr.ino = e.ino;
			e.attr = &i.attr;
		}
		if (r < 0 || !fn(arg, &e)) {
			sq_done(st);
			break;
		}
	}
	return r;
}

int sq_readdir(struct store *store, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = list(c, dir, after, with_attr, fn, arg);
	sq_read_end(s, c);
	return r;
}

/* A name of inode `ino`, and the directory it is in. What `*name` points to goes with *ret_st. */
static int find_name(struct sq_conn *c, uint64_t ino, uint64_t *ret_parent,
	struct change_name *ret_name, sqlite3_stmt **ret_st)
{
	struct sq_inode i;
	int r = sq_inode_load(c, ino, &i);
	if (r < 0)
		return r;
	bool dir = S_ISDIR(i.attr.mode);
	sqlite3_stmt *st = dir ? sq_query(c, SQ_DENTRY_OF_DIR, "uu", i.parent, ino)
			       : sq_query(c, SQ_DENTRY_OF, "u", ino);
	r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = 0;
	uint64_t parent = dir ? i.parent : column_ino(st, 0, &r);
	struct change_name name = column_name(st, dir ? 0 : 1, &r);
	if (r < 0) {
		sq_done(st);
		return r;
	}
	*ret_parent = parent;
	*ret_name = name;
	*ret_st = st;
	return 0;
}

/* From the name to the root, so the path grows at its front, from the end of buf. That it has to
 * fit ends a walk in a circle, too, which a damaged file may have. */
static int walk_up(struct sq_conn *c, uint64_t ino, char *buf, size_t size)
{
	if (size < 2)
		return -ERANGE;
	size_t at = size - 1;
	buf[at] = '\0';
	if (ino == STORE_ROOT_INO)
		buf[--at] = '/';
	while (ino != STORE_ROOT_INO) {
		struct change_name name = {0};
		sqlite3_stmt *st = NULL;
		int r = find_name(c, ino, &ino, &name, &st);
		if (r < 0)
			return r;
		if (name.len + 1 > at) {
			sq_done(st);
			return -ERANGE;
		}
		at -= name.len;
		memcpy(buf + at, name.bytes, name.len);
		buf[--at] = '/';
		sq_done(st);
	}
	memmove(buf, buf + at, size - at);
	return 0;
}

int sq_path(struct store *store, uint64_t ino, char *buf, size_t size)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = walk_up(c, ino, buf, size);
	sq_read_end(s, c);
	return r;
}
