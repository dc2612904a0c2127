/*
 * Where a path lies in the filesystem that it is on, as the kernel's list of mounts says: a part of
 * a filesystem may be mounted elsewhere (mount --bind), and has other paths there.
 */
#pragma once

#include "cache/store/compiler.h"

struct place {
	unsigned major, minor; /* of the filesystem */
	char *below;	       /* from its root: "/", "/product" */
};

/* `path` is absolute and without symlinks but its last name, which need not be there. 0, and
 * place_free() has to follow; -errno: -ENOENT, nor is its directory, or not on a mount of the list.
 */
int place_find(const char *path, struct place *ret) MUST_CHECK NONNULL(1, 2);
void place_free(struct place *p) NONNULL(1);

/* Where all of the filesystem is mounted, in *ret, to be freed. -ENOENT: nowhere. */
int place_root(const struct place *p, char **ret) MUST_CHECK NONNULL(1, 2);
