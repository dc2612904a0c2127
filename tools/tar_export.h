/*
 * A tree of a store as a tar stream (pax), with hard links, extended attributes, POSIX ACLs, holes,
 * owners as numbers, and times to the nanosecond. Sockets, which tar has no place for, are left out
 * and told of.
 *
 * Reads the store through its interface, so the stream is of one moment only if the store is:
 * sqlite_config.snapshot. Names are as in the store, below its root: "product/42.json", "./" for
 * the root itself; any bytes.
 */
#pragma once

#include "cache/store/store.h"

struct tar_export {
	struct store *store;
	/* Takes `len` bytes of the stream; a negative errno ends the export. */
	int (*write)(void *arg, const void *data, size_t len);
	/* Bytes of contents so far; false: stop. May be NULL. */
	bool (*progress)(void *arg, uint64_t bytes);
	/* A record that is left out, with its path; may be NULL. */
	void (*skipped)(void *arg, const char *path, const char *reason);
	/* A file whose data, or a directory whose entries cannot be read, with the negative errno:
	 * it is left out (of a directory what comes after). NULL: it ends the export. */
	void (*unreadable)(void *arg, const char *path, int error);
	void *arg;
};

/*
 * Exports what is at `path`, as the view shows it, and all below. On failure the stream has no end,
 * and `why` tells in one line what failed. -ENOENT, -ECANCELED, what write() said, and what a store
 * answers: -EBADMSG, ...
 */
int tar_export(const struct tar_export *x, const char *path, char *why, size_t why_size) MUST_CHECK
	NONNULL(1, 2, 3);
