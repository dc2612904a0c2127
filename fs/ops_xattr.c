/*
 * Extended attributes. Access to them is checked by the kernel, POSIX ACLs are applied by it; the
 * store keeps the values.
 */
#include "caller.h"
#include "ops.h"
#include "reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define TTL "user.recordfs.ttl"

/* Names longer than this are none (XATTR_NAME_MAX). */
#define NAME_MAX_LEN 255u

/* 0, or what is wrong with the name: it is too long, of a namespace that there is not, or
 * nothing but a namespace. */
static int check_name(const char *name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};
	if (strlen(name) > NAME_MAX_LEN)
		return -ERANGE;
	if (!strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(spaces); i++)
		if (!strncmp(name, spaces[i], strlen(spaces[i])))
			return name[strlen(spaces[i])] ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

/* The TTL rules what the kernel has of the record already. An ACL may have changed the mode, which
 * the kernel drops by itself; a drop of ours could come while somebody asks for the mode, and then
 * the kernel goes on with the old one, in which no ACL is looked for. */
static void refresh_kernel(struct fs *fs, uint64_t ino, const char *name)
{
	if (!strcmp(name, TTL))
		notify_stale(fs->notify, ino, 0, 0);
}

void op_setxattr(
	fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_SETXATTR);
	c.setxattr = (struct change_setxattr){.ino = ino,
		.name = {name, strlen(name)},
		.value = value,
		.size = size,
		.flags = flags};
	int r = size > STORE_XATTR_MAX ? -E2BIG : check_name(name);
	if (r == 0 && !strcmp(name, ACL_ACCESS))
		c.caller.kill_sgid = caller_kills_sgid(req, ino);
	if (r == 0)
		r = reply_apply(fs, &c);
	reply_error(req, OP_SETXATTR, r);
	if (r == 0)
		refresh_kernel(fs, ino, name);
}

/* 1: the inode has extended attributes, 0: it has none. Asked first, because most have none, every
 * `ls -l` asks for two of each file, and attributes are cached, which these are not. */
static int has_any(struct fs *fs, uint64_t ino)
{
	struct store_attr attr;
	int r = store_getattr(fs->store, ino, &attr);
	return r < 0 ? r : (attr.flags & STORE_ATTR_XATTRS) != 0;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	if (size > STORE_XATTR_MAX)
		size = STORE_XATTR_MAX;
	char *buf = size ? malloc(size) : NULL;
	ssize_t r = check_name(name);
	if (r == 0 && size && !buf)
		r = -ENOMEM;
	if (r == 0)
		r = has_any(fs, ino);
	if (r == 0)
		r = -ENODATA;
	if (r > 0)
		r = store_getxattr(fs->store, ino, name, strlen(name), buf, size);
	if (r < 0)
		reply_error(req, OP_GETXATTR, (int)r);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)r);
	else
		fuse_reply_buf(req, buf, (size_t)r);
	free(buf);
}

struct name_list {
	char *buf;
	size_t size;
	size_t used; /* may be more than size: then it does not fit */
};

static bool add_name(void *arg, const char *name, size_t len)
{
	struct name_list *l = arg;
	if (l->used + len + 1 <= l->size) {
		memcpy(l->buf + l->used, name, len);
		l->buf[l->used + len] = '\0';
	}
	l->used += len + 1;
	return true;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct name_list l = {.size = size < STORE_XATTR_MAX ? size : STORE_XATTR_MAX};
	int r = 0;
	if (l.size) {
		l.buf = malloc(l.size);
		r = l.buf ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = has_any(fs_of(req), ino);
	if (r > 0)
		r = store_listxattr(fs_of(req)->store, ino, add_name, &l);
	if (r == 0 && l.size && l.used > l.size)
		r = -ERANGE;
	if (r < 0)
		reply_error(req, OP_GETXATTR, r);
	else if (size == 0)
		fuse_reply_xattr(req, l.used);
	else
		fuse_reply_buf(req, l.buf, l.used);
	free(l.buf);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_REMOVEXATTR);
	c.removexattr = (struct change_removexattr){.ino = ino, .name = {name, strlen(name)}};
	int r = check_name(name);
	if (r == 0)
		r = reply_apply(fs, &c);
	reply_error(req, OP_REMOVEXATTR, r);
	if (r == 0)
		refresh_kernel(fs, ino, name);
}
