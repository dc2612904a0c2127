/*
 * What is mounted on a directory, as the kernel's list of mounts says: nobody who serves a mount is
 * asked, so nobody can keep us waiting.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>

struct mountpoint {
	int fd;	      /* the directory, opened with O_PATH */
	char *path;   /* without symlinks */
	char *source; /* what is mounted, if it is a recordfs, as the list has it; else NULL */
};

/*
 * Looks at what `path` leads to. 0: *ret is to be given to mountpoint_fini(). A negative errno:
 * there is no such thing, or the list cannot be read.
 */
int mountpoint_look(const char *path, struct mountpoint *ret) MUST_CHECK NONNULL(1, 2);

/* Has the daemon of what is mounted there died? It is sent a request. */
bool mountpoint_is_dead(const struct mountpoint *m) MUST_CHECK NONNULL(1);

/* Unmounts it, which others may still use: they get errors anyway. A negative errno: it is there
 * still. */
int mountpoint_clear(const struct mountpoint *m) MUST_CHECK NONNULL(1);

/* Unmounts it, lazily, by the setuid fusermount3(1): what only root may do, that does for those who
 * have mounted it. -EPERM: it says no; -ENOENT: there is none. */
int mountpoint_fusermount(const char *path) MUST_CHECK NONNULL(1);

void mountpoint_fini(struct mountpoint *m) NONNULL(1);
