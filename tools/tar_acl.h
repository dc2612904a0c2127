/* POSIX ACLs as a store keeps them (acl.h) and as libarchive has them. */
#pragma once

#include "cache/store/acl.h"

#include <archive.h>
#include <archive_entry.h>

/* Adds the ACL to the entry, whose mode must be set before. An `acl` that acl_check() refuses is
 * -EINVAL. -ENOMEM. */
int tar_acl_to_entry(struct archive_entry *e, const void *acl, size_t size,
	enum acl_kind kind) MUST_CHECK NONNULL(1);

/*
 * The entry's ACL, in memory that is to be freed; *ret NULL, *ret_size 0: it has none. Users and
 * groups that are only named are looked up here. -EINVAL: it makes no sense, or names somebody who
 * is not known. -E2BIG. -ENOMEM.
 */
int tar_acl_from_entry(struct archive_entry *e, enum acl_kind kind, void **ret,
	size_t *ret_size) MUST_CHECK NONNULL(1, 3, 4);
