/* Which inodes of several names have been exported, and under which name. Starts zeroed. */
#pragma once

#include "cache/store/compiler.h"

#include <stdint.h>

struct tar_links {
	void *tree;
};

/* *ret: the name that the inode was first seen under, which stays until tar_links_free(); NULL:
 * this is the first one, `name`. -ENOMEM. */
int tar_links_find(struct tar_links *l, uint64_t ino, const char *name, const char **ret) MUST_CHECK
	NONNULL(1, 3, 4);
void tar_links_free(struct tar_links *l) NONNULL(1);
