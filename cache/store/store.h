/*
 * The contract of a store: what keeps records for good.
 *
 * A store wraps a store: SQLite's is at the bottom, the fault injector and the write-through cache
 * wrap it, and each of them is a store as well. Nothing above may know what is underneath.
 *
 * Errors are negative errnos; outputs (ret_...) are set only on success. Library code is silent.
 * The errnos that a store may answer:
 *   -EIO      it failed, or was busy for longer than it waits; nothing was changed
 *   -EBADMSG  a block's checksum does not match, or a block that must be there is not
 *   -ENOSPC   no space left, or the store's size limit; -EROFS it is read-only; -ENOMEM
 *   -ESTALE   there is no inode of that number
 *   and those that POSIX gives to the operation, named at each of them.
 *
 * Every function may be called from any thread, also at once, unless it says otherwise. None of
 * them calls back into the layer above, except the callbacks that are handed to it.
 *
 * Call the functions below, not the table: they check arguments and results against the contract.
 */
#pragma once

#include "change.h"
#include "stats.h"

#include <sys/types.h>

/* The largest file, in bytes: 2^30 blocks (the key of a stored row has 30 bits for the block). */
#define STORE_FILE_MAX ((uint64_t)STORE_BLOCK_SIZE << 30)
#define STORE_NAME_MAX 255u	/* bytes of a name */
#define STORE_XATTR_MAX 65536u	/* bytes of an extended attribute's value (XATTR_SIZE_MAX) */
#define STORE_TARGET_MAX 4095u	/* bytes of a symlink's target */
#define STORE_LINK_MAX 1000000u /* names of an inode */
#define STORE_ROOT_INO 1u
#define STORE_WRITE_MAX (16u << 20) /* bytes of one change_write or change_copy */
#define STORE_BATCH_MAX 256u	    /* changes of one store_apply() */
#define STORE_READ_MAX 512u	    /* blocks of one store_read() */
#define STORE_READ_SLACK 16u	    /* blocks that a store may add before and after */

struct store;

/*
 * Blocks that one read brought, of one moment. `blocks[i]` is block `first + i` (a block of length
 * 0 is a hole), up to the end of the file and no further: a span may be shorter than asked for,
 * also empty. A store may add blocks around those asked for when they come along for free.
 * The holder owns the references: store_span_release().
 */
struct store_span {
	uint64_t first;
	uint32_t count;
	struct store_attr attr; /* of the same moment */
	/* For how long another cache may serve these blocks at most, in nanoseconds: what is left
	 * of the TTL of the oldest of them that came from a cache. INT64_MAX: none did. */
	int64_t ttl_left;
	struct block *blocks[STORE_READ_MAX + 2 * STORE_READ_SLACK];
};

/* One entry of a directory. `id` is its place: it stays while the entry lives and grows with new
 * entries, so reading on after an id neither skips nor repeats. */
struct store_entry {
	uint64_t id; /* 1 ... 2^62 */
	uint64_t ino;
	uint32_t type; /* the S_IFMT bits of the mode */
	struct change_name name;
	const struct store_attr *attr; /* NULL unless asked for */
};

/* Takes one entry; the memory is the store's and goes after the call. False: enough. */
typedef bool store_entry_fn(void *arg, const struct store_entry *entry);
typedef bool store_xattr_fn(void *arg, const char *name, size_t len);
typedef bool store_ino_fn(void *arg, uint64_t ino);

/* What somebody else has changed in the store: another mount, or an SQL client. */
enum store_event_kind {
	STORE_EVENT_ATTR, /* attributes, extended attributes, target of `ino` */
	STORE_EVENT_DATA, /* its blocks [first, last], and its attributes */
	STORE_EVENT_NAME, /* entry `name` of directory `ino`, which came, went or is another now */
	STORE_EVENT_GONE, /* it has lost its last name; its attributes say so */
	STORE_EVENT_ALL,  /* anything; followed by STORE_EVENT_GONE for every orphan there is */
};
struct store_event {
	enum store_event_kind kind;
	uint64_t ino;
	uint64_t first;
	uint64_t last; /* UINT64_MAX: to the end */
	struct change_name name;
};

/* Takes one event; the memory is the store's and goes after the call. The answer counts for
 * STORE_EVENT_GONE only: is the inode in use here? Then it stays until this mount reaps it. */
typedef bool store_event_fn(void *arg, const struct store_event *event);

/* What statfs(2) shows. Space is in bytes. */
struct store_space {
	uint64_t total;
	uint64_t free;
	uint64_t inodes; /* in use */
	uint64_t inodes_max;
};

/* What `recordfsctl info` shows of one block. */
struct store_block_info {
	uint64_t index;
	uint32_t len;	  /* stored bytes, 0: a hole */
	bool has_sum;	  /* false: written by an SQL client, which cannot compute one */
	uint64_t sum;	  /* XXH3 of the stored bytes, seeded with the block's place */
	bool cached;	  /* in the block cache, and fresh */
	int64_t ttl_left; /* nanoseconds, if cached */
};

struct store_ops {
	/*
	 * Applies `n` changes in one transaction, each atomic for itself: one that fails is undone
	 * alone and the others go on. Sets the results of every change. With `durable`, what was
	 * committed (this and everything before) is on stable storage on return; else it survives
	 * the death of the process. A change whose commit failed is settled: not in the store, not
	 * after a crash either. What cannot be settled turns the store to refusing changes (-EIO)
	 * until a probe of it succeeds. Calls are serialised by the store; order is that of calls.
	 */
	void (*apply)(struct store *s, struct change *const *changes, size_t n, bool durable);

	/* Everything committed before the call is on stable storage on return. -EIO. */
	int (*flush)(struct store *s);

	/*
	 * Reads blocks [first, first + count), 1 <= count <= STORE_READ_MAX, of one committed
	 * state, checksums verified. -EISDIR, -EINVAL (not a regular file). *ret is the caller's
	 * memory (it is large); on failure it holds no references.
	 */
	int (*read)(struct store *s, uint64_t ino, uint64_t first, uint32_t count,
		struct store_span *ret);

	int (*getattr)(struct store *s, uint64_t ino, struct store_attr *ret);

	/* The inode that `name` is in directory `parent`, or "." or "..". -ENOENT, -ENOTDIR. */
	int (*lookup)(struct store *s, uint64_t parent, const char *name, size_t len,
		struct store_attr *ret);

	/* A symlink's target into buf (size bytes, terminated). -EINVAL: not one. -ERANGE. */
	int (*readlink)(struct store *s, uint64_t ino, char *buf, size_t size);

	/* Entries of a directory with id > after, in order of id, "." and ".." not among them. A
	 * store reads in slices, so that the callback may stop it early at little cost. -ENOTDIR.
	 */
	int (*readdir)(struct store *s, uint64_t dir, uint64_t after, bool with_attr,
		store_entry_fn *fn, void *arg);

	/* The value's size; it is copied to buf unless size is 0. -ENODATA, -ERANGE. */
	ssize_t (*getxattr)(struct store *s, uint64_t ino, const char *name, size_t len, void *buf,
		size_t size);
	int (*listxattr)(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg);

	/* lseek(2) with SEEK_DATA (data) or SEEK_HOLE (!data), in whole blocks. -ENXIO. */
	int (*seek)(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret);

	int (*statfs)(struct store *s, struct store_space *ret);

	/* Orphans that no mount uses, to be reaped by this one. */
	int (*orphans)(struct store *s, store_ino_fn *fn, void *arg);

	/*
	 * Tells what others have changed since the last call, or since the open, in the order of
	 * their commits; returns how many events that were. What a read brings that begins after
	 * the call is as new as what was told, or newer. When they cannot all be told any more
	 * (a store forgets old ones), it is one STORE_EVENT_ALL. By one thread at a time. When it
	 * fails, what was not told comes with the next call; what was told may come again.
	 */
	int (*poll)(struct store *s, store_event_fn *fn, void *arg);

	/*
	 * For poll(2): a descriptor that becomes readable when somebody, maybe we ourselves, has
	 * begun to change the store since the last poll(), so that what they commit can be told
	 * soon. It stays the same while the store is open. -1: there is none, ask now and then.
	 */
	int (*poll_fd)(struct store *s);

	/* A path of the inode from the root, for messages: it may be slow. -ENOENT, -ERANGE. */
	int (*path)(struct store *s, uint64_t ino, char *buf, size_t size);

	/* Of blocks [first, first + count), those that exist, into ret[count]; returns how many. */
	ssize_t (*block_info)(struct store *s, uint64_t ino, uint64_t first, uint32_t count,
		struct store_block_info *ret);

	/* Sets the members of *stats that this layer counts; the others come from below. */
	void (*stats)(struct store *s, struct store_stats *stats);

	/* Flushes, closes and frees this store and those it wraps. No call may be under way. */
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
};

/* Checked calls of the table's functions. store_apply takes at most STORE_BATCH_MAX changes. */
void store_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
	NONNULL(1, 2);
int store_apply_one(struct store *s, struct change *c, bool durable) MUST_CHECK NONNULL(1, 2);
int store_flush(struct store *s) MUST_CHECK NONNULL(1);
int store_read(struct store *s, uint64_t ino, uint64_t first, uint32_t count,
	struct store_span *ret) MUST_CHECK NONNULL(1, 5);
int store_getattr(struct store *s, uint64_t ino, struct store_attr *ret) MUST_CHECK NONNULL(1, 3);
int store_lookup(struct store *s, uint64_t parent, const char *name, size_t len,
	struct store_attr *ret) MUST_CHECK NONNULL(1, 3, 5);
int store_readlink(struct store *s, uint64_t ino, char *buf, size_t size) MUST_CHECK NONNULL(1, 3);
int store_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr, store_entry_fn *fn,
	void *arg) MUST_CHECK NONNULL(1, 5);
ssize_t store_getxattr(struct store *s, uint64_t ino, const char *name, size_t len, void *buf,
	size_t size) MUST_CHECK NONNULL(1, 3);
int store_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg) MUST_CHECK
	NONNULL(1, 3);
int store_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret) MUST_CHECK
	NONNULL(1, 5);
int store_statfs(struct store *s, struct store_space *ret) MUST_CHECK NONNULL(1, 2);
int store_orphans(struct store *s, store_ino_fn *fn, void *arg) MUST_CHECK NONNULL(1, 2);
int store_poll(struct store *s, store_event_fn *fn, void *arg) MUST_CHECK NONNULL(1, 2);
int store_poll_fd(struct store *s) MUST_CHECK NONNULL(1);
int store_path(struct store *s, uint64_t ino, char *buf, size_t size) MUST_CHECK NONNULL(1, 3);
ssize_t store_block_info(struct store *s, uint64_t ino, uint64_t first, uint32_t count,
	struct store_block_info *ret) MUST_CHECK NONNULL(1, 5);
void store_stats(struct store *s, struct store_stats *stats) NONNULL(1, 2);

/* Takes NULL. Returns NULL. */
struct store *store_close(struct store *s);

/* Gives back the blocks of a span; it is empty after. */
void store_span_release(struct store_span *span) NONNULL(1);
