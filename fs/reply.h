/*
 * From what a store says to what the kernel is told: attributes, timeouts, entries, errors; and
 * from a request to a change. What all operations do at their beginning and end.
 */
#pragma once

#include "errors.h"
#include "fs.h"

/* Not after the reply: the request is gone with it. */
static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Before a request is processed, on its thread. What it answers is counted as read now; and when
 * the store tells of a change by others until it answers, the kernel may not keep it. Returns that
 * moment, of the monotonic clock. */
int64_t reply_begin(struct fs *fs) NONNULL(1);

/* Has the store told of a change by others since then? */
bool reply_outdated(const struct fs *fs) MUST_CHECK NONNULL(1);

/* "." or "..", which can be looked up. */
bool reply_is_dots(const char *name) MUST_CHECK NONNULL(1);

/* Can it be the name of an entry? Else the request is answered: ENAMETOOLONG, or EINVAL for what
 * the kernel never sends, since it would be damage in a store. */
bool reply_name_fits(fuse_req_t req, const char *name) MUST_CHECK NONNULL(1, 2);

/* A change of `kind` on behalf of the caller of `req`, now. */
struct change reply_change(fuse_req_t req, enum change_kind kind) NONNULL(1);

/* Applies it, and looks after inodes that lost or got back a name. 0 or a negative errno. */
int reply_apply(struct fs *fs, struct change *c) MUST_CHECK NONNULL(1, 2);

/* The same for several at once, at most STORE_BATCH_MAX; what became of each stands in it. With
 * `durable` they are flushed whatever the level of durability, for handles with O_SYNC. */
void reply_apply_all(struct fs *fs, struct change *const *changes, size_t n, bool durable)
	NONNULL(1, 2);

/* After the reply to a change that failed: when the store has it nevertheless, or it cannot be
 * told, the kernel must not keep what it has of the inode. */
void reply_doubt(struct fs *fs, const struct change *c, uint64_t ino) NONNULL(1, 2);

/*
 * Answers a change of data (OP_WRITE, OP_COPY, OP_FALLOCATE) that went well, with `size`, which an
 * allocation has none of. When the store has cleared setuid or setgid bits, the kernel, which still
 * believes in them, has dropped the attributes before the caller hears of it.
 */
void reply_changed_data(fuse_req_t req, enum fs_op op, const struct change *c, uint64_t ino,
	size_t size) NONNULL(1, 3);

/*
 * The same of a write past the page cache, at `offset`. Kernels since protocol 7.45 (Linux 6.18)
 * drop what others have read into their pages meanwhile by themselves, before write(2) returns;
 * for an older one the notifier does so before it answers.
 */
void reply_written(fuse_req_t req, const struct change *c, uint64_t offset) NONNULL(1, 2);

/* The same of an append that is not where the kernel takes it to be: all that the kernel has of the
 * file is dropped before the answer. A drop behind it could come while whoever has written asks
 * for the size, and then the kernel does not believe the answer: a mapping stays as short as it
 * was. */
void reply_written_elsewhere(fuse_req_t req, uint64_t ino, size_t size);

/*
 * Answers a change that failed. When the store has it nevertheless, or it cannot be told, the
 * kernel has dropped what it has of the inode before the caller hears of it: others may have read
 * it while the change was under way. Not for what the drop would wait for: see notify_before().
 */
void reply_failure(fuse_req_t req, enum fs_op op, const struct change *c, uint64_t ino)
	NONNULL(1, 3);

/* Answers with `error`, 0 or a negative errno of the store, as `op` may show it. An EIO is logged,
 * except those that are for reply_log_failure(). */
void reply_error(fuse_req_t req, enum fs_op op, int error) NONNULL(1);

/* The TTL of the inode in nanoseconds, and how long (in seconds) the kernel may keep what has been
 * read since reply_begin() and has a TTL of `ttl`, of which `age` was spent in a cache. */
int64_t reply_ttl(const struct fs *fs, const struct store_attr *attr) MUST_CHECK NONNULL(1, 2);
double reply_timeout(const struct fs *fs, int64_t ttl, int64_t age) MUST_CHECK NONNULL(1);

void reply_stat(const struct store_attr *attr, struct stat *ret) NONNULL(1, 2);

/*
 * Answers with attributes. When they are of a state that others have made, and the kernel has data
 * of the one before, it drops that first: before the answer (reply_attr), or about when it comes
 * (reply_changed_attr, after a change), where the drop might wait for it: see notify_before().
 */
void reply_attr(fuse_req_t req, const struct store_attr *attr) NONNULL(1, 2);
void reply_changed_attr(fuse_req_t req, const struct store_attr *attr) NONNULL(1, 2);

/* Before the kernel is given attributes or data: true if it has data of a state before, which
 * others have altered since. It drops that soon. */
bool reply_show(struct fs *fs, const struct store_attr *attr) MUST_CHECK NONNULL(1, 2);

/*
 * An entry for the kernel, counted as a lookup. It holds for the TTL of its inode, but no longer
 * than for that of its directory, `dir_ttl`. -ENOMEM. When the kernel does not take it:
 * reply_forget(fs, ino, 1).
 */
int reply_make_entry(struct fs *fs, const struct store_attr *attr, int64_t dir_ttl,
	struct fuse_entry_param *ret) MUST_CHECK NONNULL(1, 2, 4);
void reply_entry(fuse_req_t req, enum fs_op op, const struct store_attr *attr, int64_t dir_ttl)
	NONNULL(1, 3);

/* The TTL of a directory; 0 when the store does not say. Of one that a change has touched it is
 * known. */
int64_t reply_dir_ttl(struct fs *fs, uint64_t dir) MUST_CHECK NONNULL(1);
int64_t reply_dir_ttl_of(struct fs *fs, uint64_t dir, const struct change *c) MUST_CHECK
	NONNULL(1, 3);

/* The kernel dropped `n` lookups, one handle. */
void reply_forget(struct fs *fs, uint64_t ino, uint64_t n) NONNULL(1);
void reply_close(struct fs *fs, uint64_t ino) NONNULL(1);

/* The kernel may keep what it is about to be given of the inode, `bytes` of it: for its TTL since
 * reply_begin(), but not longer than what is left of a TTL, if it came from a cache (nanoseconds).
 */
void reply_filling(struct fs *fs, uint64_t ino, const struct store_attr *attr, int64_t left,
	uint64_t bytes) NONNULL(1, 3);

/* One line, not too many of them, about what failed: which record, where, why. */
void reply_log_failure(struct fs *fs, enum fs_op op, uint64_t ino, int64_t offset, int error)
	NONNULL(1);
