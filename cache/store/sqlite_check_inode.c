/* Are the rows of inodes sane, and orphans and extended attributes what the inodes say? */

#include "acl.h"
#include "sqlite_check_internal.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define INODE_SQL                                                                                  \
	"SELECT ino, mode, uid, gid, nlink, size, blocks, reserved, rdev, version, parent, ttl,"   \
	" flags, length(target),"                                                                  \
	" instr(iif(length(target) <= 4095, target, x''), x'00') FROM inode ORDER BY ino"
/* Its columns. */
enum {
	INO,
	MODE,
	UID,
	GID,
	NLINK,
	SIZE,
	BLOCKS,
	RESERVED,
	RDEV,
	VERSION,
	PARENT,
	TTL,
	FLAGS,
	TARGET,
	TARGET_NUL
};

static bool known_type(int64_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

static bool is_device(int64_t mode)
{
	return (mode & S_IFMT) == S_IFCHR || (mode & S_IFMT) == S_IFBLK;
}

/* Columns that are right or wrong by themselves, whatever the type: [least, most]. */
static void check_ranges(struct check *k, const struct cursor *c)
{
	static const struct {
		int column;
		const char *name;
		int64_t least, most;
	} ranges[] = {
		{INO, "number", 1, (int64_t)SQ_INO_MAX},
		{MODE, "mode", 0, S_IFMT | ALLPERMS},
		{UID, "uid", 0, UINT32_MAX},
		{GID, "gid", 0, UINT32_MAX},
		{NLINK, "link count", 0, STORE_LINK_MAX},
		{SIZE, "size", 0, (int64_t)STORE_FILE_MAX},
		{BLOCKS, "block count", 0, (int64_t)1 << SQ_BLOCK_BITS},
		{RESERVED, "count of reserved blocks", 0, (int64_t)1 << SQ_BLOCK_BITS},
		{RDEV, "device number", 0, UINT32_MAX},
		{VERSION, "version", 1, (int64_t)SQ_VERSION_MAX},
		{PARENT, "parent", 0, (int64_t)SQ_INO_MAX},
		{FLAGS, "flags", 0, STORE_ATTR_XATTRS},
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		int64_t value = cursor_int(c, ranges[i].column);
		if (value < ranges[i].least || value > ranges[i].most)
			check_fault(k, c->ino, -1, "%s is %lld, out of range", ranges[i].name,
				(long long)value);
	}
	if (sqlite3_column_type(c->st, TTL) != SQLITE_NULL && cursor_int(c, TTL) < 0)
		check_fault(k, c->ino, -1, "TTL is negative");
	if (!known_type(cursor_int(c, MODE)))
		check_fault(k, c->ino, -1, "mode %llo is of no type of file",
			(unsigned long long)cursor_int(c, MODE));
}

static void check_symlink(struct check *k, const struct cursor *c)
{
	bool symlink = S_ISLNK((mode_t)cursor_int(c, MODE));
	bool target = sqlite3_column_type(c->st, TARGET) != SQLITE_NULL;
	int64_t len = cursor_int(c, TARGET);
	if (symlink != target)
		check_fault(k, c->ino, -1,
			symlink ? "symlink without a target" : "has a target, but is no symlink");
	else if (symlink && len > STORE_TARGET_MAX)
		check_fault(k, c->ino, -1, "target is %lld byte%s long", (long long)len,
			check_plural(len));
	else if (symlink && cursor_int(c, TARGET_NUL) != 0)
		check_fault(k, c->ino, -1, "target has a NUL byte in it");
	else if (symlink && len != cursor_int(c, SIZE))
		check_fault(k, c->ino, -1, "size is %lld, but the target %lld byte%s long",
			(long long)cursor_int(c, SIZE), (long long)len, check_plural(len));
}

/* Columns that only some types have. */
static void check_by_type(struct check *k, const struct cursor *c)
{
	int64_t mode = cursor_int(c, MODE), type = mode & S_IFMT;
	if (type != S_IFREG && type != S_IFLNK && cursor_int(c, SIZE) != 0)
		check_fault(k, c->ino, -1, "size is %lld, but it is not a file with data",
			(long long)cursor_int(c, SIZE));
	if (type != S_IFREG && (cursor_int(c, BLOCKS) != 0 || cursor_int(c, RESERVED) != 0))
		check_fault(k, c->ino, -1, "has a count of blocks, but is not a regular file");
	if (!is_device(mode) && cursor_int(c, RDEV) != 0)
		check_fault(k, c->ino, -1, "has a device number, but is no device");
	if (type != S_IFDIR && cursor_int(c, PARENT) != 0)
		check_fault(k, c->ino, -1, "has a parent, but is no directory");
	if (c->ino == STORE_ROOT_INO && type != S_IFDIR)
		check_fault(k, c->ino, -1, "the root is no directory");
}

int check_inodes(struct check *k)
{
	struct cursor c;
	bool root = false;
	int r = cursor_open(k, INODE_SQL, false, &c);
	while (r == 0 && c.row) {
		k->summary.inodes++;
		k->total += (uint64_t)cursor_int(&c, BLOCKS);
		root = root || c.ino == STORE_ROOT_INO;
		check_ranges(k, &c);
		check_by_type(k, &c);
		check_symlink(k, &c);
		r = cursor_next(&c);
	}
	cursor_close(&c);
	if (r == 0 && !root)
		check_fault(k, STORE_ROOT_INO, -1, "there is no root directory");
	return r;
}

/* Greater numbers of rows in the change log there cannot be yet: who goes by them would delete what
 * is in use, or never delete anything. */
#define NEWEST_CHANGE "(SELECT coalesce(max(id), 0) FROM changelog)"

static int check_mounts(struct check *k)
{
	struct cursor mount;
	int r = cursor_open(
		k, "SELECT id FROM mount WHERE seen < 0 OR seen > " NEWEST_CHANGE, false, &mount);
	while (r == 0 && mount.row) {
		check_fault(k, 0, -1, "mount %lld has seen changes that there were not",
			(long long)cursor_int(&mount, 0));
		r = cursor_next(&mount);
	}
	cursor_close(&mount);
	return r;
}

int check_orphans(struct check *k)
{
	struct cursor inode, orphan = {0};
	const struct cursor *const both[] = {&inode, &orphan};
	int64_t ino;
	int r = cursor_open(k, "SELECT ino, nlink FROM inode ORDER BY ino", false, &inode);
	if (r == 0)
		r = cursor_open(k,
			"SELECT ino, min(mount), min(change), max(change) > " NEWEST_CHANGE
			" FROM orphan GROUP BY ino ORDER BY ino",
			false, &orphan);
	while (r == 0 && cursor_least(both, 2, &ino)) {
		bool exists = cursor_at(&inode, ino), listed = cursor_at(&orphan, ino);
		bool deleted = exists && cursor_int(&inode, 1) == 0;
		k->summary.orphans += listed;
		if (listed && (cursor_int(&orphan, 1) < 0 || cursor_int(&orphan, 2) < 0))
			check_fault(k, ino, -1, "listed as an orphan of mount %lld, change %lld",
				(long long)cursor_int(&orphan, 1),
				(long long)cursor_int(&orphan, 2));
		if (listed && !exists)
			check_fault(k, ino, -1, "listed as an orphan, but does not exist");
		else if (listed && !deleted)
			check_fault(k, ino, -1, "listed as an orphan, but its link count is %lld",
				(long long)cursor_int(&inode, 1));
		else if (deleted && !listed)
			check_fault(k, ino, -1, "deleted, but not listed as an orphan");
		else if (listed && cursor_int(&orphan, 3))
			check_fault(k, ino, -1, "an orphan by a change that there was not");
		if (exists)
			r = cursor_next(&inode);
		if (r == 0 && listed)
			r = cursor_next(&orphan);
	}
	cursor_close(&inode);
	cursor_close(&orphan);
	return r < 0 ? r : check_mounts(k);
}

/* -- extended attributes ---------------------------------------------------------------------- */

/* Columns of the two cursors. */
#define XATTR_INODE_SQL "SELECT ino, mode, flags, ttl FROM inode ORDER BY ino"
#define XATTR_SQL                                                                                  \
	"SELECT ino, iif(length(name) <= 255, name, x''),"                                         \
	" iif(length(value) <= 65536, value, x''), length(value) FROM xattr ORDER BY ino, name"

static void check_acl(struct check *k, const struct cursor *x, enum acl_kind kind, int64_t mode)
{
	const void *acl = sqlite3_column_blob(x->st, 2);
	size_t size = (size_t)sqlite3_column_bytes(x->st, 2);
	if (acl_check(acl, size) < 0 || acl_is_empty(acl, size)) {
		check_fault(k, x->ino, -1, "its ACL is malformed");
		return;
	}
	if (kind == ACL_KIND_DEFAULT) {
		if ((mode & S_IFMT) != S_IFDIR)
			check_fault(k, x->ino, -1, "has a default ACL, but is no directory");
		return;
	}
	uint32_t granted = (uint32_t)mode;
	IGNORE(acl_to_mode(acl, size, &granted)); /* that it need not be there does no harm */
	if (granted != (uint32_t)mode)
		check_fault(k, x->ino, -1, "mode %llo and ACL say different things",
			(unsigned long long)mode);
}

/* user.recordfs.ttl is in the row of the inode, too. */
static void check_ttl(struct check *k, const struct cursor *x, const struct cursor *inode)
{
	int64_t ttl;
	if (sq_parse_ttl(sqlite3_column_blob(x->st, 2), (size_t)sqlite3_column_bytes(x->st, 2),
		    &ttl) < 0)
		check_fault(k, x->ino, -1, "its " SQ_TTL_NAME " is not a number of seconds");
	else if (sqlite3_column_type(inode->st, 3) == SQLITE_NULL || cursor_int(inode, 3) != ttl)
		check_fault(k, x->ino, -1, "its " SQ_TTL_NAME " is not the TTL in its row");
}

/* One attribute of an inode that exists. *ret_ttl: it is the TTL. */
static void check_xattr(
	struct check *k, const struct cursor *x, const struct cursor *inode, bool *ret_ttl)
{
	const char *name = sqlite3_column_blob(x->st, 1);
	size_t len = (size_t)sqlite3_column_bytes(x->st, 1);
	if (!name || memchr(name, '\0', len)) {
		check_fault(k, x->ino, -1, "has an extended attribute without a valid name");
		return;
	}
	if (cursor_int(x, 3) > STORE_XATTR_MAX) {
		check_fault(k, x->ino, -1, "has an extended attribute of %lld bytes",
			(long long)cursor_int(x, 3));
		return;
	}
	enum acl_kind kind = acl_kind(name, len);
	if (kind != ACL_KIND_NONE)
		check_acl(k, x, kind, cursor_int(inode, 1));
	if (len == strlen(SQ_TTL_NAME) && memcmp(name, SQ_TTL_NAME, len) == 0) {
		check_ttl(k, x, inode);
		*ret_ttl = true;
	}
}

/* What the row of the inode says of its attributes. */
static void check_flags(struct check *k, const struct cursor *inode, uint64_t n, bool ttl)
{
	bool flag = cursor_int(inode, 2) & STORE_ATTR_XATTRS;
	uint32_t type = (uint32_t)cursor_int(inode, 1) & S_IFMT;
	if (flag && n == 0)
		check_fault(k, inode->ino, -1,
			"marked as having extended attributes, but there are none");
	if (!flag && n > 0)
		check_fault(k, inode->ino, -1,
			"not marked as having extended attributes, but there are some");
	/* Other types inherit the TTL without the attribute: they cannot have it. */
	if (!ttl && (type == S_IFREG || type == S_IFDIR) &&
		sqlite3_column_type(inode->st, 3) != SQLITE_NULL)
		check_fault(k, inode->ino, -1, "has a TTL in its row, but no " SQ_TTL_NAME);
}

int check_xattrs(struct check *k)
{
	struct cursor inode, x = {0};
	const struct cursor *const both[] = {&inode, &x};
	int64_t ino;
	int r = cursor_open(k, XATTR_INODE_SQL, false, &inode);
	if (r == 0)
		r = cursor_open(k, XATTR_SQL, false, &x);
	while (r == 0 && cursor_least(both, 2, &ino)) {
		bool exists = cursor_at(&inode, ino), ttl = false;
		uint64_t n = 0;
		for (; r == 0 && cursor_at(&x, ino); n++) {
			if (exists)
				check_xattr(k, &x, &inode, &ttl);
			r = cursor_next(&x);
		}
		if (!exists)
			check_fault(
				k, ino, -1, "has extended attributes, but there is no such inode");
		else
			check_flags(k, &inode, n, ttl);
		if (r == 0 && exists)
			r = cursor_next(&inode);
	}
	cursor_close(&inode);
	cursor_close(&x);
	return r;
}
