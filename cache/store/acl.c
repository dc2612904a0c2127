#include "acl.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER sizeof(struct posix_acl_xattr_header)
#define ENTRY sizeof(struct posix_acl_xattr_entry)
#define PERM_BITS (ACL_READ | ACL_WRITE | ACL_EXECUTE)

/* The memory may lie anywhere, so entries are taken apart byte by byte. */
static unsigned get16(const unsigned char *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static unsigned entry_tag(const unsigned char *e)
{
	return get16(e + offsetof(struct posix_acl_xattr_entry, e_tag));
}

static unsigned entry_perm(const unsigned char *e)
{
	return get16(e + offsetof(struct posix_acl_xattr_entry, e_perm));
}

static void set_perm(unsigned char *e, unsigned perm)
{
	unsigned char *p = e + offsetof(struct posix_acl_xattr_entry, e_perm);
	p[0] = (unsigned char)(perm & PERM_BITS);
	p[1] = 0;
}

enum acl_kind acl_kind(const char *name, size_t len)
{
	if (len == strlen(ACL_ACCESS_NAME) && memcmp(name, ACL_ACCESS_NAME, len) == 0)
		return ACL_KIND_ACCESS;
	if (len == strlen(ACL_DEFAULT_NAME) && memcmp(name, ACL_DEFAULT_NAME, len) == 0)
		return ACL_KIND_DEFAULT;
	return ACL_KIND_NONE;
}

bool acl_is_empty(const void *acl, size_t size)
{
	(void)acl;
	return size <= HEADER;
}

/*
 * Entries come in the order owner, users, group, groups, mask, others. May `tag` follow when the
 * one before was `last` (0: none)? Users and groups repeat, mask is optional.
 */
static bool may_follow(unsigned last, unsigned tag)
{
	switch (tag) {
	case ACL_USER_OBJ:
		return last == 0;
	case ACL_USER:
		return last == ACL_USER_OBJ || last == ACL_USER;
	case ACL_GROUP_OBJ:
		return last == ACL_USER_OBJ || last == ACL_USER;
	case ACL_GROUP:
		return last == ACL_GROUP_OBJ || last == ACL_GROUP;
	case ACL_MASK:
		return last == ACL_GROUP_OBJ || last == ACL_GROUP;
	case ACL_OTHER:
		return last == ACL_GROUP_OBJ || last == ACL_GROUP || last == ACL_MASK;
	default:
		return false;
	}
}

int acl_check(const void *acl, size_t size)
{
	const unsigned char *bytes = acl;
	if (size == 0)
		return 0;
	if (!acl || size < HEADER || (size - HEADER) % ENTRY != 0)
		return -EINVAL;
	if (get32(bytes) != POSIX_ACL_XATTR_VERSION)
		return -EINVAL;
	if (size == HEADER)
		return 0;

	unsigned last = 0;
	bool named = false, mask = false;
	for (const unsigned char *e = bytes + HEADER; e < bytes + size; e += ENTRY) {
		unsigned tag = entry_tag(e);
		if (!may_follow(last, tag) || entry_perm(e) & ~(unsigned)PERM_BITS)
			return -EINVAL;
		if (tag == ACL_USER || tag == ACL_GROUP) {
			named = true;
			if (get32(e + offsetof(struct posix_acl_xattr_entry, e_id)) ==
				(uint32_t)ACL_UNDEFINED_ID)
				return -EINVAL;
		}
		mask = mask || tag == ACL_MASK;
		last = tag;
	}
	return last == ACL_OTHER && (mask || !named) ? 0 : -EINVAL;
}

/* Where the entries are that the permission bits of a mode stand for. */
struct classes {
	unsigned char *owner, *group, *other; /* group: the mask, if there is one */
	bool extended;			      /* there are others than these three */
};

static struct classes find_classes(unsigned char *bytes, size_t size)
{
	struct classes c = {0};
	for (unsigned char *e = bytes + HEADER; e < bytes + size; e += ENTRY) {
		switch (entry_tag(e)) {
		case ACL_USER_OBJ:
			c.owner = e;
			break;
		case ACL_GROUP_OBJ:
			c.group = e;
			break;
		case ACL_MASK:
			c.group = e; /* it comes after the group's own entry */
			c.extended = true;
			break;
		case ACL_OTHER:
			c.other = e;
			break;
		default:
			c.extended = true;
		}
	}
	return c;
}

bool acl_to_mode(const void *acl, size_t size, uint32_t *mode)
{
	const unsigned char *bytes = acl;
	uint32_t bits = 0;
	bool extended = false;
	for (const unsigned char *e = bytes + HEADER; e < bytes + size; e += ENTRY) {
		switch (entry_tag(e)) {
		case ACL_USER_OBJ:
			bits |= entry_perm(e) << 6;
			break;
		case ACL_GROUP_OBJ:
			bits |= entry_perm(e) << 3;
			break;
		case ACL_MASK: /* it comes after the group's own entry, and speaks instead of it */
			bits = (bits & ~(uint32_t)S_IRWXG) | entry_perm(e) << 3;
			extended = true;
			break;
		case ACL_OTHER:
			bits |= entry_perm(e);
			break;
		default:
			extended = true;
		}
	}
	*mode = (*mode & ~(uint32_t)ACCESSPERMS) | bits;
	return !extended;
}

bool acl_inherit(void *acl, size_t size, uint32_t *mode)
{
	struct classes c = find_classes(acl, size);
	if (!c.owner || !c.group || !c.other)
		return true; /* not one: nothing to inherit */
	set_perm(c.owner, entry_perm(c.owner) & *mode >> 6);
	set_perm(c.group, entry_perm(c.group) & *mode >> 3);
	set_perm(c.other, entry_perm(c.other) & *mode);
	uint32_t bits = entry_perm(c.owner) << 6 | entry_perm(c.group) << 3 | entry_perm(c.other);
	*mode = (*mode & ~(uint32_t)ACCESSPERMS) | bits;
	return !c.extended;
}

void acl_chmod(void *acl, size_t size, uint32_t mode)
{
	struct classes c = find_classes(acl, size);
	if (!c.owner || !c.group || !c.other)
		return;
	set_perm(c.owner, mode >> 6);
	set_perm(c.group, mode >> 3);
	set_perm(c.other, mode);
}
