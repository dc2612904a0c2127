/*
 * A change is a value: everything that can be asked of a store to alter, described by one struct,
 * handed to one function (store_apply), applied by the store as a whole or not at all.
 *
 * The caller fills in `kind`, `now`, `caller` and the member of the union that belongs to the kind;
 * the store fills in the results. All memory that a change points to belongs to the caller and must
 * stay until store_apply() has returned.
 *
 * What POSIX asks of a change besides the obvious is the store's work, since it has to be atomic
 * with it: times (`now` becomes ctime of every inode touched, and mtime where data or entries
 * change), link counts, setgid directories, default ACLs and umask, clearing of setuid and setgid,
 * inheritance of user.recordfs.ttl. Permission checks are not: the kernel makes them before it
 * asks.
 */
#pragma once

#include "block.h"
#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a store knows of an inode: what stat(2) shows, and what the caches need. */
struct store_attr {
	uint64_t ino;
	uint64_t size; /* bytes */
	uint64_t
		blocks; /* blocks of STORE_BLOCK_SIZE that are stored or reserved (st_blocks / 8) */
	uint64_t version; /* grows by one with every change of the inode's data or attributes */
	int64_t atime;	  /* nanoseconds since 1970, all four */
	int64_t mtime;
	int64_t ctime;
	int64_t btime;
	int64_t ttl; /* user.recordfs.ttl in nanoseconds, or STORE_TTL_DEFAULT */
	int64_t age; /* nanoseconds that a cache has had this; 0: it came from the store */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	uint32_t rdev;	/* as the kernel encodes it (new_encode_dev) */
	uint32_t flags; /* STORE_ATTR_* */
};

#define STORE_TTL_DEFAULT (-1)

/* The inode has extended attributes; without it a store need not be asked for one. */
#define STORE_ATTR_XATTRS 1u

enum change_kind {
	CHANGE_WRITE,
	CHANGE_SETATTR,
	CHANGE_ALLOCATE,
	CHANGE_COPY,
	CHANGE_CREATE,
	CHANGE_LINK,
	CHANGE_UNLINK,
	CHANGE_RENAME,
	CHANGE_SETXATTR,
	CHANGE_REMOVEXATTR,
	CHANGE_REAP,
};

/* A name in a directory: `len` bytes of any value but '/' and NUL, not terminated. */
struct change_name {
	const char *bytes;
	size_t len;
};

/*
 * On whose behalf: owner of what is created, and whether setuid and setgid bits are cleared by a
 * change of data. (File capabilities always are, and all three by a change of the owner.) Setgid of
 * what the group may not execute goes only with `kill_sgid`, which rules when an access ACL is set
 * as well.
 */
struct change_caller {
	uint32_t uid;
	uint32_t gid;
	uint32_t umask; /* taken from the mode of what is created, unless a default ACL rules */
	bool kill_suid; /* the caller may not keep setuid/setgid (no CAP_FSETID) */
	bool kill_sgid; /* and is not in the file's group */
};

/* Replaces [offset, offset + len), len > 0; extends the file when that ends past its size.
 * EFBIG past STORE_FILE_MAX, EBADMSG when a block that is only partly covered is corrupt. */
struct change_write {
	uint64_t ino;
	uint64_t offset; /* with append: set by the store to where it wrote */
	size_t len;	 /* at most STORE_WRITE_MAX */
	const void *data;
	bool append; /* write at the end of the file as the store has it */
	/*
	 * Result: the new contents of the first and of the last block, each only when `data`
	 * covers it partly, else NULL (also when there was no memory for it). If first and last
	 * are one block, `head` has it. The caller owns the references.
	 */
	struct block *head;
	struct block *tail;
};

/* Which fields of change_setattr count. */
#define STORE_SET_MODE 0x01u
#define STORE_SET_UID 0x02u
#define STORE_SET_GID 0x04u
#define STORE_SET_SIZE 0x08u /* truncates or extends with a hole; mtime becomes `now` */
#define STORE_SET_ATIME 0x10u
#define STORE_SET_MTIME 0x20u
struct change_setattr {
	uint64_t ino;
	unsigned mask;
	uint32_t
		mode; /* permission bits; the type is kept. An access ACL follows, as in chmod(2) */
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	int64_t atime;
	int64_t mtime;
};

/* What fallocate(2) asks for on [offset, offset + len), len > 0. */
enum store_allocate {
	STORE_ALLOCATE,	       /* reads as zeros where nothing is; extends the size */
	STORE_ALLOCATE_KEEP,   /* the same, but the size stays: only checks for space */
	STORE_PUNCH_HOLE,      /* becomes a hole; the size stays */
	STORE_ZERO_RANGE,      /* becomes zeros; extends the size */
	STORE_ZERO_RANGE_KEEP, /* becomes zeros; the size stays */
};
struct change_allocate {
	uint64_t ino;
	enum store_allocate mode;
	uint64_t offset;
	uint64_t len;
};

/* Copies between two records, or inside one where the ranges do not overlap (EINVAL if they do). */
struct change_copy {
	uint64_t from;
	uint64_t from_offset;
	uint64_t to;
	uint64_t to_offset;
	size_t len;    /* at most STORE_WRITE_MAX */
	size_t copied; /* result: less than len at the end of `from`, 0 past it */
};

/* A new inode, of the type in `mode`, under `name`. EEXIST; ENOENT: the parent is deleted. */
struct change_create {
	uint64_t parent;
	struct change_name
		name; /* bytes == NULL: an unnamed file (O_TMPFILE), an orphan from birth */
	uint32_t mode;
	uint32_t rdev;
	struct change_name target; /* of a symlink */
};

/* One more name for an inode. EEXIST, EPERM (a directory), EMLINK. */
struct change_link {
	uint64_t ino;
	uint64_t parent;
	struct change_name name;
};

/*
 * Takes a name away; ENOENT. With `directory` it must be an empty directory (ENOTDIR, ENOTEMPTY),
 * without it must not be one (EISDIR). An inode that loses its last name becomes an orphan of this
 * mount: it lives on, data and all, until CHANGE_REAP.
 */
struct change_unlink {
	uint64_t parent;
	struct change_name name;
	bool directory;
};

/* renameat2(2): flags 0, RENAME_NOREPLACE or RENAME_EXCHANGE. What is replaced is unlinked. */
struct change_rename {
	uint64_t parent;
	struct change_name name;
	uint64_t new_parent;
	struct change_name new_name;
	unsigned flags;
};

/*
 * setxattr(2), flags 0, XATTR_CREATE or XATTR_REPLACE: EEXIST, ENODATA, E2BIG, ENOSPC.
 * user.recordfs.ttl must be a decimal number of seconds (EINVAL). An access ACL sets the mode's
 * permission bits, and is dropped when the mode says all there is to say.
 */
struct change_setxattr {
	uint64_t ino;
	struct change_name name;
	const void *value;
	size_t size;
	int flags;
};

/* ENODATA; but an ACL that is not there is removed with success, as an empty one is set: what it
 * says may be in the mode alone. */
struct change_removexattr {
	uint64_t ino;
	struct change_name name;
};

/*
 * This mount does not use the orphan any more: deletes it for good, a bounded piece of its data at
 * a time. ENOENT: gone already; EBUSY: it has a name (again), so it stays. While another mount uses
 * it, or may, only this mount's claim to it is given up (0, nothing touched): it comes up again
 * among store_orphans() when nobody uses it.
 */
struct change_reap {
	uint64_t ino;
	bool more;     /* result: not finished, ask again */
	uint32_t rows; /* of data to delete at most; 0: as many as the store sees fit */
};

/* Most inodes that one change alters: an exchange of two entries of two directories. */
#define CHANGE_TOUCHED_MAX 4

struct change {
	enum change_kind kind;
	int64_t now; /* nanoseconds since 1970 */
	struct change_caller caller;
	union {
		struct change_write write;
		struct change_setattr setattr;
		struct change_allocate allocate;
		struct change_copy copy;
		struct change_create create;
		struct change_link link;
		struct change_unlink unlink;
		struct change_rename rename;
		struct change_setxattr setxattr;
		struct change_removexattr removexattr;
		struct change_reap reap;
	};

	/* Results. `result`: 0, or a negative errno and nothing of this change is in the store. */
	int result;
	/* With result != 0: the caller must drop what it has cached of the inodes concerned. Either
	 * the commit itself failed, and the store has settled the outcome (it is as before); or,
	 * from a cache, the change is in the store, but the cache could not be told (cache.h). */
	bool doubtful;
	/*
	 * With result == 0: every inode that the change altered, as it is now. [0] is the one that
	 * the change is about: the inode written, set, created, linked, unlinked (nlink 0: now an
	 * orphan), renamed. Then those of parents, of what a rename replaced or exchanged, in any
	 * order. A reaped inode appears with nlink 0.
	 */
	unsigned n_touched;
	struct store_attr touched[CHANGE_TOUCHED_MAX];
};

/* The attributes of inode `ino` after a successful change, or NULL when it was not altered. */
const struct store_attr *change_touched(const struct change *c, uint64_t ino) NONNULL(1) MUST_CHECK;

/* Does the change alter data, as product's durability levels count it: write, truncate, fallocate,
 * copy? The others are namespace changes. */
bool change_is_data(const struct change *c) NONNULL(1) MUST_CHECK;

/* Does the change need new space? The others (unlink, reap, truncation to less, ...) must work on a
 * full disk, so that it can be emptied. */
bool change_needs_space(const struct change *c) NONNULL(1) MUST_CHECK;
