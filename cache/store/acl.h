/*
 * POSIX ACLs as extended attributes hold them (linux/posix_acl_xattr.h): version 2, then entries of
 * tag, permissions and id, little-endian. Pure functions on that memory, as the kernel does for a
 * filesystem of its own; nothing here knows of stores.
 *
 * An ACL in a function below is one that acl_check() has accepted, unless it says otherwise.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

enum acl_kind {
	ACL_KIND_NONE, /* not the name of an ACL */
	ACL_KIND_ACCESS,
	ACL_KIND_DEFAULT,
};

/* Which ACL the extended attribute of this name (not terminated) holds. */
enum acl_kind acl_kind(const char *name, size_t len) NONNULL(1) MUST_CHECK;

/*
 * Is it well formed: 0, or -EINVAL for any `acl` of any size (NULL with size 0 as well). One
 * without entries, or of size 0, is well formed; setting it means to remove the ACL (acl_is_empty),
 * and it must not be handed to the functions below.
 */
int acl_check(const void *acl, size_t size) MUST_CHECK;
bool acl_is_empty(const void *acl, size_t size) MUST_CHECK;

/* Sets the permission bits of *mode to what the access ACL grants owner, group class and others.
 * True: the mode says all that the ACL says, so it need not be kept. */
bool acl_to_mode(const void *acl, size_t size, uint32_t *mode) NONNULL(1, 3) MUST_CHECK;

/*
 * What is created in a directory with a default ACL: turns a copy of it, in place, into the access
 * ACL of the new inode, and takes from the permission bits of *mode what the ACL does not grant.
 * The umask has no say. True: the mode says all, as above. (Not for symlinks, which have no ACL; a
 * directory inherits the default ACL as it is, too.)
 */
bool acl_inherit(void *acl, size_t size, uint32_t *mode) NONNULL(1, 3) MUST_CHECK;

/* chmod(2): sets, in place, what the access ACL grants owner, group class and others. */
void acl_chmod(void *acl, size_t size, uint32_t mode) NONNULL(1);
