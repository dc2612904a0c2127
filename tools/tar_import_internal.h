/*
 * What the files of the import share.
 *
 *	tar_import.c        reads the stream, entry by entry
 *	tar_import_path.c   where an entry belongs; directories
 *	tar_import_meta.c   attributes of an entry
 *	tar_import_queue.c  changes, many at a time; when a record gets its name
 */
#pragma once

#include "tar_import.h"

#include <archive.h>
#include <archive_entry.h>

/* Bytes of a path in the archive: the kernel's PATH_MAX. */
#define IMPORT_PATH_MAX 4096u
/* Records that wait for their names, changes and bytes that wait to be applied. */
#define IMPORT_ITEMS 64u
#define IMPORT_CHANGES 240u
#define IMPORT_ARENA ((size_t)4 << 20)
/* ACLs of directories are set when all is in them, as long as they are few. */
#define IMPORT_DELAYED_MAX ((size_t)16 << 20)

/* A directory in the store. `plain`: what is made in it inherits nothing. */
struct import_dir {
	uint64_t ino;
	bool plain;
};

/* A place: a directory and a name in it. Without a name: the root of the import. */
struct import_place {
	struct import_dir dir;
	const char *name; /* in the path that was looked up */
	size_t len;
};

/* A record without a name yet. */
struct import_item {
	uint64_t ino;
	struct import_dir dir;
	size_t len;
	char name[STORE_NAME_MAX];
	char *path; /* for complaints */
	int failure;
	uint64_t bytes;
};

/* What a directory gets when all is in it. */
struct import_late {
	uint64_t ino;
	uint32_t mode, uid, gid;
	int64_t atime, mtime;
	void *acl; /* default ACL; NULL: none */
	size_t acl_size;
	char ttl[32]; /* user.recordfs.ttl; "" none */
};

struct import {
	const struct tar_import *i;
	struct tar_import_summary sum;
	struct import_dir root;

	/* The stream. */
	struct archive *a;
	unsigned char *buf;
	uint64_t bytes;
	uint64_t zeros; /* at the end of what was read */
	bool ended;
	int failure; /* of i->read */

	/* tar_import_path.c: the directory of the last entry. */
	char cached[IMPORT_PATH_MAX];
	size_t cached_len;
	struct import_dir cached_dir;
	bool has_cached;
	struct import_late *late;
	size_t n_late, late_size, late_bytes;

	/* tar_import_queue.c */
	struct import_item items[IMPORT_ITEMS];
	size_t n_items; /* the last one may be under way */
	struct change changes[IMPORT_CHANGES];
	size_t change_item[IMPORT_CHANGES];
	size_t n_changes;
	unsigned char *arena;
	size_t used;
	uint64_t stock[IMPORT_ITEMS]; /* empty files without a name, made ahead */
	size_t n_stock;

	char *why;
	size_t why_size;
};

/* Ends the import: `path` may be NULL. Returns r. */
int import_fail(struct import *m, int r, const char *path, const char *what) NONNULL(1, 4);
/* Complains of one entry; 0. But what concerns all that follow ends the import: returns r. */
int import_complain(struct import *m, int r, const char *path, const char *what) NONNULL(1, 3);

/* -- tar_import_path.c ----------------------------------------------------------------------- */

/* The directory that the import goes to, made if need be. */
int import_root(struct import *m) MUST_CHECK NONNULL(1);
/* Where `path` of the archive belongs; with `make` its directories are made. 1: found; 0: it
 * was complained of. */
int import_place(struct import *m, const char *path, bool make, struct import_place *ret) MUST_CHECK
	NONNULL(1, 2, 4);
/* An entry that is a directory. */
int import_directory(struct import *m, const char *path, struct archive_entry *e) MUST_CHECK
	NONNULL(1, 2, 3);
/* What directories get in the end. */
int import_late(struct import *m) MUST_CHECK NONNULL(1);
void import_late_free(struct import *m) NONNULL(1);

/* -- tar_import_meta.c ----------------------------------------------------------------------- */

/* The name of the attribute that directories pass on to what is made in them. */
#define IMPORT_TTL_NAME "user.recordfs.ttl"

/* Owner, mode and times of an entry, as a change of inode `ino`. */
struct change import_attributes(const struct import *m, struct archive_entry *e, uint64_t ino)
	NONNULL(1, 2);
/* Hands each extended attribute of the entry to `set` as a change, ACLs among them. A failure of
 * `set` ends it and is returned. With `late` the default ACL and the TTL go there instead. */
int import_xattrs(struct import *m, struct archive_entry *e, const char *path, uint64_t ino,
	struct import_late *late,
	int (*set)(struct import *m, const struct change *c, const char *path)) MUST_CHECK
	NONNULL(1, 2, 3, 6);
struct change import_xattr_change(const struct import *m, uint64_t ino, const char *name,
	const void *value, size_t size) NONNULL(1, 3);

/* -- tar_import_queue.c ---------------------------------------------------------------------- */

/* A change that is ready to be filled in. */
struct change import_change(const struct import *m, enum change_kind kind) NONNULL(1);
/* Applies it at once. */
int import_apply(struct import *m, struct change *c) MUST_CHECK NONNULL(1, 2);
/* What was just made has the ACLs of the archive, not those that its directory hands down. */
int import_disinherit(struct import *m, const struct store_attr *made) MUST_CHECK NONNULL(1, 2);
/* Begins a record that is no directory; `create` has its mode, device and target. 1: begun; 0: it
 * was complained of. */
int import_begin(struct import *m, const struct import_place *at, const char *path,
	const struct change *create) MUST_CHECK NONNULL(1, 2, 3, 4);
/* Contents of the record that was begun last. */
int import_write(struct import *m, uint64_t offset, const void *data, size_t len) MUST_CHECK
	NONNULL(1, 3);
/* Another change of it. What it points to is copied. */
int import_queue(struct import *m, const struct change *c) MUST_CHECK NONNULL(1, 2);
/* It is complete; or it is not, and does not get its name. */
void import_end(struct import *m, int failure) NONNULL(1);
/* Applies all that waits, and gives records that are complete their names. */
int import_flush(struct import *m) MUST_CHECK NONNULL(1);
/* One more name for an inode, over what has it. */
int import_link(struct import *m, uint64_t ino, const struct import_dir *dir, const char *name,
	size_t len) MUST_CHECK NONNULL(1, 3, 4);
/* Deletes what has no name. */
void import_drop(struct import *m) NONNULL(1);
