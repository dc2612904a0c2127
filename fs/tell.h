/*
 * Notifications as the kernel takes them. Those of names are written here and not by libfuse, whose
 * versions differ in what they are called, or have no word for them.
 *
 * Each may wait for locks that the kernel holds for a request: see notify.h. What the kernel does
 * not know (any more) is no error; other failures are logged.
 */
#pragma once

#include "fuse.h"
#include "inodes.h"

/* The protocol's minor version since which the kernel has tell_all_names(), Linux 6.16. */
#define TELL_ALL_NAMES_MINOR 44

void tell_inode(struct fuse_session *se, const struct inodes_stale *stale) NONNULL(1, 2);

/* The kernel asks for the attributes of the inode before it shows them again. This waits for
 * nothing, if it is an inode that the kernel uses: a request about it may do it itself. */
void tell_attr(struct fuse_session *se, uint64_t ino) NONNULL(1);

/* The kernel looks the entry up before it is used again; with `forget`, or before Linux 6.2, it
 * forgets it at once, and what is mounted below it is unmounted. */
void tell_name(struct fuse_session *se, uint64_t parent, const char *name, size_t len, bool forget)
	NONNULL(1, 3);

/* The kernel looks every entry up before it is used again. Waits for nothing. */
void tell_all_names(struct fuse_session *se) NONNULL(1);
