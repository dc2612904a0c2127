/*
 * A tar stream into a store: what tar_export() writes, and what others do (pax, GNU, ustar).
 *
 * Nothing appears under its name before it is complete: a record is made without a name, gets its
 * data and attributes, and is then linked, over what has the name if need be. When the import ends
 * early, those that are there are whole, and the others are not there. Changes are committed many
 * at a time, and flushed at the end.
 *
 * Names are bytes. The process has to be in the locale C: in others libarchive alters them.
 *
 * Entries are not trusted. A path with ".." in it is refused, slashes at its front mean nothing,
 * symlinks are never followed: nothing is reached but what lies below `dir`. Memory does not grow
 * with what an entry says of itself.
 */
#pragma once

#include "cache/store/store.h"

struct tar_import {
	struct store *store;
	const char *dir; /* to import into, as the view shows it; made if it is not there */
	bool keep;	 /* what is there stays as it is, and is complained of */
	bool same_owner; /* owners are those of the archive, else `uid` and `gid` */
	uint32_t uid, gid;
	/* Up to `size` bytes of the stream; 0: its end; or a negative errno. */
	ssize_t (*read)(void *arg, void *buf, size_t size);
	/* Bytes of the stream so far; false: stop. May be NULL. */
	bool (*progress)(void *arg, uint64_t bytes);
	/* One entry could not be imported, or not all of it; the others go on. */
	void (*complain)(void *arg, const char *path, const char *reason);
	void *arg;
};

struct tar_import_summary {
	uint64_t records;  /* imported, links among them */
	uint64_t bytes;	   /* of contents */
	uint64_t failures; /* complained of */
};

/*
 * r == 0: the stream was read to its end, and *ret says whether all of it was imported. Else `why`
 * tells in one line what ended it; *ret is set as well.
 *   -EINVAL   not a tar stream, or a damaged one; -EPIPE it ends without the mark of its end
 *   -ECANCELED stopped; what read() said; what a store answers: -ENOSPC, -EROFS, -EIO, -ENOMEM
 */
int tar_import(const struct tar_import *i, struct tar_import_summary *ret, char *why,
	size_t why_size) MUST_CHECK NONNULL(1, 2, 3);
