#include "tar_acl.h"
#include "tar_import_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECOND 1000000000LL

/* A time as the store has it; what lies outside of that is as far as it goes. */
static int64_t nanoseconds(time_t s, long ns)
{
	int64_t ret;
	if (ns < 0 || ns >= SECOND)
		ns = 0;
	if (__builtin_mul_overflow((int64_t)s, SECOND, &ret) ||
		__builtin_add_overflow(ret, (int64_t)ns, &ret))
		return s < 0 ? INT64_MIN : INT64_MAX;
	return ret;
}

/* What the mode is with the entry's access ACL: header and ACL may differ in the group's rights. */
static uint32_t mode_of(struct archive_entry *e)
{
	uint32_t mode = (uint32_t)archive_entry_perm(e) & ALLPERMS;
	void *acl = NULL;
	size_t size;
	if (tar_acl_from_entry(e, ACL_KIND_ACCESS, &acl, &size) == 0 && acl)
		IGNORE(acl_to_mode(acl, size, &mode));
	free(acl);
	return mode;
}

static uint32_t id_of(int64_t id)
{
	return id < 0 || id >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)id; /* -1 is nobody */
}

struct change import_attributes(const struct import *m, struct archive_entry *e, uint64_t ino)
{
	struct change c = import_change(m, CHANGE_SETATTR);
	bool theirs = m->i->same_owner;
	c.setattr = (struct change_setattr){
		.ino = ino,
		.mask = STORE_SET_MODE | STORE_SET_UID | STORE_SET_GID | STORE_SET_ATIME |
			STORE_SET_MTIME,
		.mode = mode_of(e),
		.uid = theirs ? id_of(archive_entry_uid(e)) : m->i->uid,
		.gid = theirs ? id_of(archive_entry_gid(e)) : m->i->gid,
		.mtime = c.now,
		.atime = c.now,
	};
	if (archive_entry_mtime_is_set(e))
		c.setattr.mtime = nanoseconds(archive_entry_mtime(e), archive_entry_mtime_nsec(e));
	if (archive_entry_atime_is_set(e))
		c.setattr.atime = nanoseconds(archive_entry_atime(e), archive_entry_atime_nsec(e));
	return c;
}

struct change import_xattr_change(
	const struct import *m, uint64_t ino, const char *name, const void *value, size_t size)
{
	struct change c = import_change(m, CHANGE_SETXATTR);
	c.setxattr = (struct change_setxattr){.ino = ino,
		.name = {.bytes = name, .len = strlen(name)},
		.value = value,
		.size = size};
	return c;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writers escape % and =, which would end the name, some more than these, as in a URL. */
static void unescape(const char *from, char *to)
{
	for (; *from; from++) {
		int high = *from == '%' ? hex(from[1]) : -1;
		int low = high >= 0 ? hex(from[2]) : -1;
		if (low >= 0 && high + low > 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/* The default ACL and the TTL of a directory wait: else what comes into it would inherit them.
 * True: done. */
static bool delay(struct import *m, struct import_late *late, const char *name, const void *value,
	size_t size)
{
	if (!late)
		return false;
	if (strcmp(name, IMPORT_TTL_NAME) == 0 && size > 0 && size < sizeof late->ttl &&
		!memchr(value, '\0', size)) {
		memcpy(late->ttl, value, size);
		late->ttl[size] = '\0';
		return true;
	}
	if (strcmp(name, ACL_DEFAULT_NAME) != 0 || size == 0 ||
		m->late_bytes + size > IMPORT_DELAYED_MAX)
		return false;
	void *copy = malloc(size);
	if (!copy)
		return false;
	memcpy(copy, value, size);
	free(late->acl);
	late->acl = copy;
	late->acl_size = size;
	m->late_bytes += size;
	return true;
}

typedef int set_fn(struct import *m, const struct change *c, const char *path);

struct xattrs {
	struct import *m;
	const char *path;
	uint64_t ino;
	struct import_late *late;
	set_fn *set;
};

static int one_xattr(const struct xattrs *x, const char *name, const void *value, size_t size)
{
	if (*name == '\0' || strlen(name) > STORE_NAME_MAX || size > STORE_XATTR_MAX)
		return import_complain(x->m, -E2BIG, x->path, "an attribute");
	if (delay(x->m, x->late, name, value, size))
		return 0;
	struct change c = import_xattr_change(x->m, x->ino, name, value, size);
	return x->set(x->m, &c, x->path);
}

static int one_acl(
	const struct xattrs *x, struct archive_entry *e, enum acl_kind kind, const char *name)
{
	void *acl = NULL;
	size_t size = 0;
	int r = tar_acl_from_entry(e, kind, &acl, &size);
	if (r < 0)
		r = import_complain(x->m, r, x->path, "its ACL");
	else if (acl)
		r = one_xattr(x, name, acl, size);
	free(acl);
	return r;
}

int import_xattrs(struct import *m, struct archive_entry *e, const char *path, uint64_t ino,
	struct import_late *late, set_fn *set)
{
	struct xattrs x = {.m = m, .path = path, .ino = ino, .late = late, .set = set};
	const char *escaped;
	const void *value;
	size_t size;
	int r = one_acl(&x, e, ACL_KIND_ACCESS, ACL_ACCESS_NAME);
	if (r == 0 && archive_entry_filetype(e) == AE_IFDIR)
		r = one_acl(&x, e, ACL_KIND_DEFAULT, ACL_DEFAULT_NAME);
	archive_entry_xattr_reset(e);
	while (r == 0 && archive_entry_xattr_next(e, &escaped, &value, &size) == ARCHIVE_OK) {
		char *name = escaped ? strdup(escaped) : NULL;
		if (!name)
			return import_fail(m, -ENOMEM, path, strerror(ENOMEM));
		unescape(escaped, name);
		r = one_xattr(&x, name, value, size);
		free(name);
	}
	return r;
}
