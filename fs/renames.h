/*
 * The last renames through this mount, for one case: somebody else has made a name mean another
 * inode, and before the kernel heard of it, it had the name moved. The store moves the new inode;
 * the kernel moves what it knew, the old one. When the news comes, the wrong entry is under the new
 * name, of which the news says nothing.
 *
 * Every function may be called from any thread; the lock inside is a leaf.
 */
#pragma once

#include "cache/store/change.h"

struct renames;

/* -ENOMEM */
int renames_new(struct renames **ret) MUST_CHECK NONNULL(1);

/* Takes NULL. Returns NULL. */
struct renames *renames_free(struct renames *r);

/* A rename is about to be made: before it is, since the news may come as soon as it is. */
void renames_add(struct renames *r, const struct change_rename *rename, int64_t now) NONNULL(1, 2);

typedef void renames_fn(void *arg, uint64_t parent, const struct change_name *name);

/*
 * Others have changed entry `name` of `parent` not long ago: calls fn for each name that what the
 * kernel had under it may be under by now. It is called with the lock held. False: too many were
 * renamed since; it may be under any name.
 */
bool renames_find(struct renames *r, uint64_t parent, const struct change_name *name, int64_t now,
	renames_fn *fn, void *arg) MUST_CHECK NONNULL(1, 3, 5);
