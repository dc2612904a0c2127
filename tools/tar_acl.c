#include "tar_acl.h"

#include <endian.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* As linux/posix_acl_xattr.h has it. */
#define VERSION 2u
#define NO_ID UINT32_MAX
#define HEADER_SIZE 4u
#define ENTRY_SIZE 8u
/* What the kernel takes: XATTR_SIZE_MAX. */
#define ENTRIES_MAX ((65536 - HEADER_SIZE) / ENTRY_SIZE)

static const struct {
	uint16_t tag;
	int tar;
} tags[] = {
	{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ},
	{0x02, ARCHIVE_ENTRY_ACL_USER},
	{0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ},
	{0x08, ARCHIVE_ENTRY_ACL_GROUP},
	{0x10, ARCHIVE_ENTRY_ACL_MASK},
	{0x20, ARCHIVE_ENTRY_ACL_OTHER},
};

static int type_of(enum acl_kind kind)
{
	return kind == ACL_KIND_DEFAULT ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT
					: ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
}

struct row {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

static struct row load(const unsigned char *at)
{
	struct row row;
	memcpy(&row, at, sizeof row);
	return (struct row){le16toh(row.tag), le16toh(row.perm), le32toh(row.id)};
}

static void save(unsigned char *at, const struct row *row)
{
	struct row stored = {htole16(row->tag), htole16(row->perm), htole32(row->id)};
	memcpy(at, &stored, sizeof stored);
}

int tar_acl_to_entry(struct archive_entry *e, const void *acl, size_t size, enum acl_kind kind)
{
	if (acl_check(acl, size) < 0 || acl_is_empty(acl, size))
		return -EINVAL;
	const unsigned char *bytes = acl;
	for (size_t at = HEADER_SIZE; at + ENTRY_SIZE <= size; at += ENTRY_SIZE) {
		struct row row = load(bytes + at);
		size_t t = 0;
		while (t < ARRAY_LEN(tags) && tags[t].tag != row.tag)
			t++;
		bool named = row.tag == 0x02 || row.tag == 0x08;
		if (t == ARRAY_LEN(tags) ||
			archive_entry_acl_add_entry(e, type_of(kind), row.perm & 7, tags[t].tar,
				named ? (int)row.id : -1, NULL) != ARCHIVE_OK)
			return t == ARRAY_LEN(tags) ? -EINVAL : -ENOMEM;
	}
	return 0;
}

/* Who is meant; false: nobody knows. */
static bool find_id(int tag, int id, const char *name, uint32_t *ret)
{
	*ret = NO_ID;
	if (tag != ARCHIVE_ENTRY_ACL_USER && tag != ARCHIVE_ENTRY_ACL_GROUP)
		return true;
	if (id != -1) {
		*ret = (uint32_t)id;
		return true;
	}
	if (!name)
		return false;
	const struct passwd *user = tag == ARCHIVE_ENTRY_ACL_USER ? getpwnam(name) : NULL;
	const struct group *group = tag == ARCHIVE_ENTRY_ACL_GROUP ? getgrnam(name) : NULL;
	if (user)
		*ret = user->pw_uid;
	if (group)
		*ret = group->gr_gid;
	return user || group;
}

/* acl_check() wants the order that the kernel wants: of tags, then of ids. */
static int compare(const void *a, const void *b)
{
	struct row x = load(a), y = load(b);
	if (x.tag != y.tag)
		return x.tag < y.tag ? -1 : 1;
	return x.id < y.id ? -1 : x.id > y.id;
}

static int fill(struct archive_entry *e, int type, unsigned char *acl, size_t n)
{
	int got, perm, tag, id;
	const char *name;
	size_t rows = 0;
	for (;;) {
		struct row row;
		int r = archive_entry_acl_next(e, type, &got, &perm, &tag, &id, &name);
		if (r == ARCHIVE_EOF)
			break;
		size_t t = 0;
		while (t < ARRAY_LEN(tags) && tags[t].tar != tag)
			t++;
		if (r != ARCHIVE_OK || rows == n || t == ARRAY_LEN(tags) || perm & ~7 ||
			!find_id(tag, id, name, &row.id))
			return -EINVAL;
		row.tag = tags[t].tag;
		row.perm = (uint16_t)perm;
		save(acl + HEADER_SIZE + rows++ * ENTRY_SIZE, &row);
	}
	return rows == n ? 0 : -EINVAL;
}

int tar_acl_from_entry(struct archive_entry *e, enum acl_kind kind, void **ret, size_t *ret_size)
{
	int type = type_of(kind);
	int n = archive_entry_acl_reset(e, type);
	if (n <= 0) {
		*ret = NULL;
		*ret_size = 0;
		return 0;
	}
	if ((size_t)n > ENTRIES_MAX)
		return -E2BIG;
	size_t size = HEADER_SIZE + (size_t)n * ENTRY_SIZE;
	unsigned char *acl = calloc(1, size);
	if (!acl)
		return -ENOMEM;
	uint32_t version = htole32(VERSION);
	memcpy(acl, &version, sizeof version);
	int r = fill(e, type, acl, (size_t)n);
	if (r == 0) {
		qsort(acl + HEADER_SIZE, (size_t)n, ENTRY_SIZE, compare);
		r = acl_check(acl, size);
	}
	if (r < 0) {
		free(acl);
		return r;
	}
	*ret = acl;
	*ret_size = size;
	return 0;
}
