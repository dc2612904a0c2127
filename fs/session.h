/*
 * One mount, from before its store is opened until after it was closed.
 */
#pragma once

#include "options.h"

/*
 * Opens the store, mounts, calls ready() once requests are answered, serves until the mount is
 * unmounted or the process gets SIGTERM, SIGINT or SIGHUP, and takes all of it down. 0, or a
 * negative errno with a line in errmsg: it did not come to ready(), and nothing is left behind.
 */
int session_run(const struct options *o, void (*ready)(void), char *errmsg,
	size_t errmsg_size) MUST_CHECK NONNULL(1, 2, 3);
