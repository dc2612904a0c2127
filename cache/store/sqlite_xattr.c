/* Extended attributes, and those that mean something to the store: ACLs, the TTL, capabilities. */

#include "acl.h"
#include "sqlite_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Names and values of one inode, in bytes. */
#define XATTR_TOTAL_MAX (1u << 20)

#define TTL_SECONDS_MAX 1000000000
#define NANOSECONDS 1000000000

#define NAME(literal) ((struct change_name){.bytes = (literal), .len = sizeof(literal) - 1})
#define TTL_NAME NAME(SQ_TTL_NAME)
#define CAPABILITY_NAME NAME("security.capability")

/* A value, in memory of its own. */
struct value {
	unsigned char *bytes;
	size_t size;
};

static void value_free(struct value *v)
{
	free(v->bytes);
}

static bool same_name(const struct change_name *a, struct change_name b)
{
	return a->len == b.len && memcmp(a->bytes, b.bytes, b.len) == 0;
}

/* 1: the statement is on the row of the value, and *ret_size is how long that is; 0: no such. */
static int find(struct sq_conn *c, const struct sq_inode *i, const struct change_name *name,
	sqlite3_stmt **ret, size_t *ret_size)
{
	if (!(i->attr.flags & STORE_ATTR_XATTRS) || name->len > STORE_NAME_MAX)
		return 0;
	sqlite3_stmt *st =
		sq_query(c, SQ_XATTR_GET, "ub", i->attr.ino, (const void *)name->bytes, name->len);
	int r = sq_step(st);
	if (r <= 0)
		return r;
	size_t size = (size_t)sqlite3_column_bytes(st, 0);
	if (sqlite3_column_type(st, 0) != SQLITE_BLOB || size > STORE_XATTR_MAX) {
		sq_done(st);
		return -EIO;
	}
	*ret = st;
	*ret_size = size;
	return 1;
}

/* 1: *ret is the value, to be freed; 0: there is none. */
static int get(struct sq_conn *c, const struct sq_inode *i, const struct change_name *name,
	struct value *ret)
{
	sqlite3_stmt *st;
	struct value v = {0};
	int r = find(c, i, name, &st, &v.size);
	if (r <= 0)
		return r;
	const void *bytes = sqlite3_column_blob(st, 0);
	v.bytes = malloc(v.size ? v.size : 1);
	if (!v.bytes || (v.size && !bytes))
		r = -ENOMEM;
	else if (v.size)
		memcpy(v.bytes, bytes, v.size);
	sq_done(st);
	if (r == 1)
		*ret = v;
	else
		free(v.bytes);
	return r;
}

/* An ACL that is stored must be well formed. 1, 0: none. */
static int get_acl(struct sq_conn *c, const struct sq_inode *i, const char *name, struct value *ret)
{
	struct change_name n = {.bytes = name, .len = strlen(name)};
	struct value v;
	int r = get(c, i, &n, &v);
	if (r <= 0)
		return r;
	if (acl_check(v.bytes, v.size) < 0 || acl_is_empty(v.bytes, v.size)) {
		value_free(&v);
		return -EIO;
	}
	*ret = v;
	return 1;
}

/* The caller sees to STORE_ATTR_XATTRS. */
static int put_row(struct sq_conn *c, uint64_t ino, const struct change_name *name,
	const void *value, size_t size)
{
	c->batch.bounded = false;
	return sq_exec(sq_query(
		c, SQ_XATTR_PUT, "ubb", ino, (const void *)name->bytes, name->len, value, size));
}

static int put(struct sq_conn *c, struct sq_inode *i, const struct change_name *name,
	const void *value, size_t size)
{
	i->attr.flags |= STORE_ATTR_XATTRS;
	return put_row(c, i->attr.ino, name, value, size);
}

/* How many extended attributes the inode has, and how many bytes they take. */
static int usage(struct sq_conn *c, const struct sq_inode *i, uint64_t *ret_n, uint64_t *ret_bytes)
{
	*ret_n = *ret_bytes = 0;
	if (!(i->attr.flags & STORE_ATTR_XATTRS))
		return 0;
	sqlite3_stmt *st = sq_query(c, SQ_XATTR_SIZE, "u", i->attr.ino);
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	r = 0;
	*ret_n = sq_column_u64(st, 0, &r);
	*ret_bytes = sq_column_u64(st, 1, &r);
	sq_done(st);
	return r;
}

/* 1: it was there; 0: it was not. */
static int drop(struct sq_conn *c, struct sq_inode *i, const struct change_name *name)
{
	if (!(i->attr.flags & STORE_ATTR_XATTRS) || name->len > STORE_NAME_MAX)
		return 0;
	int r = sq_exec(sq_query(
		c, SQ_XATTR_DELETE, "ub", i->attr.ino, (const void *)name->bytes, name->len));
	if (r < 0 || sqlite3_changes(c->db) == 0)
		return r;
	uint64_t n, bytes;
	r = usage(c, i, &n, &bytes);
	if (r < 0)
		return r;
	if (n == 0)
		i->attr.flags &= ~STORE_ATTR_XATTRS;
	return 1;
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number of seconds, "300" or "2.5", in nanoseconds. Digits past those are cut off. */
int sq_parse_ttl(const void *value, size_t len, int64_t *ret)
{
	const unsigned char *s = value;
	int64_t seconds = 0, fraction = 0, unit = NANOSECONDS;
	size_t k = 0, digits = 0;
	for (; k < len && is_digit(s[k]); k++, digits++) {
		seconds = seconds * 10 + (s[k] - '0');
		if (seconds > TTL_SECONDS_MAX)
			return -EINVAL;
	}
	if (k < len && s[k] == '.')
		k++;
	for (; k < len && is_digit(s[k]); k++, digits++) {
		unit /= 10;
		fraction += (s[k] - '0') * unit;
	}
	if (k < len || digits == 0 || (seconds == TTL_SECONDS_MAX && fraction > 0))
		return -EINVAL;
	*ret = seconds * NANOSECONDS + fraction;
	return 0;
}

/* Setting an ACL. *ret_keep: it has to be stored as well; else a stored one goes. */
static int set_acl(struct sq_inode *i, enum acl_kind kind, const struct change *ch, bool *ret_keep)
{
	const struct change_setxattr *x = &ch->setxattr;
	struct store_attr *a = &i->attr;
	if (S_ISLNK(a->mode))
		return -EOPNOTSUPP;
	int r = acl_check(x->value, x->size);
	if (r < 0)
		return r;
	bool empty = acl_is_empty(x->value, x->size);
	if (kind == ACL_KIND_DEFAULT) {
		if (!S_ISDIR(a->mode) && !empty)
			return -EACCES;
		*ret_keep = !empty;
		return 0;
	}
	if (empty) {
		*ret_keep = false;
		return 0;
	}
	*ret_keep = !acl_to_mode(x->value, x->size, &a->mode);
	if (ch->caller.kill_sgid)
		a->mode &= ~(uint32_t)S_ISGID;
	return 0;
}

/* May the value be set, where one of `old` bytes is (SIZE_MAX: none)? */
static int check_set(struct sq_conn *c, const struct sq_inode *i, const struct change_setxattr *x)
{
	if (x->name.len > STORE_NAME_MAX)
		return -ERANGE;
	if (x->size > STORE_XATTR_MAX)
		return -E2BIG;
	if (x->flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	sqlite3_stmt *st;
	size_t old = 0;
	int found = find(c, i, &x->name, &st, &old);
	if (found < 0)
		return found;
	if (found)
		sq_done(st);
	if (found && x->flags & XATTR_CREATE)
		return -EEXIST;
	if (!found && x->flags & XATTR_REPLACE)
		return -ENODATA;
	uint64_t n, bytes;
	int r = usage(c, i, &n, &bytes);
	if (r < 0)
		return r;
	bytes -= found ? old + x->name.len : 0;
	return bytes + x->name.len + x->size > XATTR_TOTAL_MAX ? -ENOSPC : 0;
}

static int finish(struct sq_conn *c, struct change *ch, struct sq_inode *i)
{
	i->attr.ctime = ch->now;
	int r = sq_inode_save(c, i);
	if (r == 0)
		sq_touched(ch, i);
	return r;
}

int sq_apply_setxattr(struct sqlite_store *s, struct change *ch)
{
	const struct change_setxattr *x = &ch->setxattr;
	struct sq_conn *c = s->writer;
	struct sq_inode i;
	int r = sq_inode_load(c, x->ino, &i);
	if (r == 0)
		r = check_set(c, &i, x);
	if (r < 0)
		return r;
	bool keep = true;
	enum acl_kind acl = acl_kind(x->name.bytes, x->name.len);
	if (acl != ACL_KIND_NONE)
		r = set_acl(&i, acl, ch, &keep);
	else if (same_name(&x->name, TTL_NAME))
		r = sq_parse_ttl(x->value, x->size, &i.attr.ttl);
	if (r == 0)
		r = keep ? put(c, &i, &x->name, x->value, x->size) : drop(c, &i, &x->name);
	return r < 0 ? r : finish(c, ch, &i);
}

int sq_apply_removexattr(struct sqlite_store *s, struct change *ch)
{
	const struct change_removexattr *x = &ch->removexattr;
	struct sq_conn *c = s->writer;
	struct sq_inode i;
	int r = sq_inode_load(c, x->ino, &i);
	if (r < 0)
		return r;
	r = drop(c, &i, &x->name);
	if (r == 0 && acl_kind(x->name.bytes, x->name.len) == ACL_KIND_NONE)
		r = -ENODATA;
	if (r < 0)
		return r;
	if (same_name(&x->name, TTL_NAME))
		i.attr.ttl = STORE_TTL_DEFAULT;
	return finish(c, ch, &i);
}

/* The default ACL of `dir` rules the mode of `i`. 1: it did; 0: there is none. */
static int inherit_acl(struct sq_conn *c, const struct sq_inode *dir, struct sq_inode *i)
{
	CLEANUP(value_free) struct value acl = {0};
	int r = get_acl(c, dir, ACL_DEFAULT_NAME, &acl);
	if (r <= 0)
		return r;
	if (S_ISDIR(i->attr.mode))
		r = put(c, i, &NAME(ACL_DEFAULT_NAME), acl.bytes, acl.size);
	if (r >= 0 && !acl_inherit(acl.bytes, acl.size, &i->attr.mode))
		r = put(c, i, &NAME(ACL_ACCESS_NAME), acl.bytes, acl.size);
	return r < 0 ? r : 1;
}

/* user.* attributes are for regular files and directories: anything else inherits the TTL without
 * the attribute that says so. */
static int inherit_ttl(struct sq_conn *c, const struct sq_inode *dir, struct sq_inode *i)
{
	i->attr.ttl = dir->attr.ttl;
	if (i->attr.ttl == STORE_TTL_DEFAULT || !(S_ISREG(i->attr.mode) || S_ISDIR(i->attr.mode)))
		return 0;
	CLEANUP(value_free) struct value ttl = {0};
	int r = get(c, dir, &TTL_NAME, &ttl);
	return r == 1 ? put(c, i, &TTL_NAME, ttl.bytes, ttl.size) : r;
}

int sq_xattr_inherit(struct sq_conn *c, const struct sq_inode *dir, struct sq_inode *i,
	const struct change_caller *caller)
{
	if (!S_ISLNK(i->attr.mode)) {
		int r = inherit_acl(c, dir, i);
		if (r < 0)
			return r;
		if (r == 0)
			i->attr.mode &= ~(caller->umask & ACCESSPERMS);
	}
	return inherit_ttl(c, dir, i);
}

int sq_acl_chmod(struct sq_conn *c, const struct sq_inode *i)
{
	CLEANUP(value_free) struct value acl = {0};
	int r = get_acl(c, i, ACL_ACCESS_NAME, &acl);
	if (r <= 0)
		return r;
	acl_chmod(acl.bytes, acl.size, i->attr.mode);
	return put_row(c, i->attr.ino, &NAME(ACL_ACCESS_NAME), acl.bytes, acl.size);
}

int sq_drop_capabilities(struct sq_conn *c, struct sq_inode *i)
{
	int r = drop(c, i, &CAPABILITY_NAME);
	return r < 0 ? r : 0;
}

static ssize_t read_value(
	struct sq_conn *c, uint64_t ino, const struct change_name *name, void *buf, size_t size)
{
	struct sq_inode i;
	sqlite3_stmt *st;
	size_t have;
	int r = sq_inode_load(c, ino, &i);
	if (r == 0) {
		r = find(c, &i, name, &st, &have);
		r = r == 0 ? -ENODATA : r;
	}
	if (r < 0)
		return r;
	ssize_t n = (ssize_t)have;
	const void *bytes = sqlite3_column_blob(st, 0);
	if (size && have > size)
		n = -ERANGE;
	else if (have && !bytes)
		n = -ENOMEM;
	else if (size && have)
		memcpy(buf, bytes, have);
	sq_done(st);
	return n;
}

ssize_t sq_getxattr(
	struct store *store, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	struct change_name n = {.bytes = name, .len = len};
	ssize_t got = read_value(c, ino, &n, buf, size);
	sq_read_end(s, c);
	return got;
}

static int list(struct sq_conn *c, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	struct sq_inode i;
	int r = sq_inode_load(c, ino, &i);
	if (r < 0 || !(i.attr.flags & STORE_ATTR_XATTRS))
		return r;
	sqlite3_stmt *st = sq_query(c, SQ_XATTR_LIST, "u", ino);
	while ((r = sq_step(st)) == 1) {
		size_t len = (size_t)sqlite3_column_bytes(st, 0);
		const char *name = sqlite3_column_blob(st, 0);
		r = 0;
		if (!name || len == 0 || len > STORE_NAME_MAX || memchr(name, '\0', len))
			r = -EIO;
		if (r < 0 || !fn(arg, name, len)) {
			sq_done(st);
			break;
		}
	}
	return r;
}

int sq_listxattr(struct store *store, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = list(c, ino, fn, arg);
	sq_read_end(s, c);
	return r;
}
