/*
 * What lies below a path on a mount, file by file, with nothing but system calls.
 */
#pragma once

#include "recordfsctl_target.h"

#include <stdint.h>

struct walk_item {
	int dir; /* descriptor of the directory it is in, and its name in it; "." of dir: */
	const char *name; /* the root */
	const char *path; /* for messages: from the root of the mount */
	uint64_t ino;
	unsigned char type; /* DT_REG, DT_DIR, ...; never DT_UNKNOWN */
};

/* Called for each; for a directory after all in it. False: stop. */
typedef bool walk_fn(void *arg, const struct walk_item *item);

/*
 * Walks `path` (of target_path()) and all below it, on this mount only. Follows no symlinks, but on
 * the way to `path`. What goes away meanwhile is passed over. 0; 1: fn has stopped it; -1:
 * something could not be looked at, after a complaint for each such thing; the rest was.
 */
int walk_mount(const struct target *t, const char *path, walk_fn *fn, void *arg) MUST_CHECK
	NONNULL(1, 2, 3);
