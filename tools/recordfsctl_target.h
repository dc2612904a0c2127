/*
 * What STORE|MOUNTPOINT and PATH on a command line mean.
 *
 * A directory on a mount stands for the store that is mounted there; a file is a store itself. For
 * work on the store's file: what a mount alone can do begins with open_on_mount().
 */
#pragma once

#include "cache/store/compiler.h"
#include "recordfsctl_place.h"

#include <stdbool.h>

struct target {
	const char *name; /* the argument, for messages */
	char *store;	  /* path of the database file; it is there, and is a recordfs store */
	bool mounted;	  /* the argument was a directory on a mount, and so: */
	bool readonly;	  /* that mount is read-only (-o ro) */
	struct place
		place; /* where in the store the argument is: place.below as the view shows it */
	char *root;    /* where all of the store is mounted, absolute; NULL: not to be seen */
};

/* Is the argument a MOUNTPOINT, or what cannot be looked at because it is one, of a daemon that has
 * died or lets nobody else in? */
bool target_is_mountpoint(const char *argument) MUST_CHECK NONNULL(1);

/* `argument` must stay. 0, and target_free() has to follow; or -1 after a complaint: there is no
 * such file, it is no store, nothing has been done to it. (A store of an older format is one.)
 *
 * Reads the file, so it must not be called while the process has the store open: sqlite.h. */
int target_find(const char *argument, struct target *ret) MUST_CHECK NONNULL(1, 2);

/* The same for MOUNTPOINT: any directory or file on a mount, whose store is not looked at. */
int target_find_mount(const char *argument, struct target *ret) MUST_CHECK NONNULL(1, 2);

/* target_find() of what is to be changed; a mount that is read-only is refused, and a store that
 * cannot be written. */
int target_find_writable(const char *argument, struct target *ret) MUST_CHECK NONNULL(1, 2);
/* The complaint about a target that is `readonly`; returns FAILED. */
int target_is_readonly(const struct target *t) NONNULL(1);
void target_free(struct target *t) NONNULL(1);

/*
 * A record's path as the view shows it ("/product/42.json", "/"), from one that is written so, or
 * below the mountpoint, absolute or relative to the working directory. The last name may be that
 * of something which is not there, or of a symlink: that is not followed. NULL after a complaint;
 * to be freed. Slashes that mean nothing are taken out, "." and ".." are refused.
 */
char *target_path(const struct target *t, const char *path) MUST_CHECK NONNULL(1, 2);

/* The command line that commands on a mount have in common: `[--quiet] MOUNTPOINT [PATH...]`.
 * `work` gets the mount and the n paths behind it, and returns the exit status, as this does. */
typedef int target_work(const struct target *t, int n, char **paths, bool quiet);
int target_run(int argc, char **argv, const char *command, target_work *work) MUST_CHECK;
