/*
 * How long requests take, by operation: from the moment at which a request was received to that at
 * which its answer is handed to the kernel.
 *
 * A thread has one request at a time: latency_begin() when it was received; what it answers then is
 * the answer to that. Who answers later, or on another thread, takes the request's stamp along:
 *
 *	stamp = latency_stamp();        // of the request that this thread has
 *	...
 *	latency_resume(stamp);          // what this thread answers next is that one
 *	fuse_reply_...();
 */
#pragma once

#include "cache/store/compiler.h"
#include "cache/store/histogram.h"

#include <stdatomic.h>
#include <stdint.h>

/* X(name, the kernel's number): what is told apart. */
#define LATENCY_OPS(X)                                                                             \
	X(lookup, FUSE_LOOKUP)                                                                     \
	X(getattr, FUSE_GETATTR)                                                                   \
	X(setattr, FUSE_SETATTR)                                                                   \
	X(readlink, FUSE_READLINK)                                                                 \
	X(symlink, FUSE_SYMLINK)                                                                   \
	X(mknod, FUSE_MKNOD)                                                                       \
	X(mkdir, FUSE_MKDIR)                                                                       \
	X(create, FUSE_CREATE)                                                                     \
	X(unlink, FUSE_UNLINK)                                                                     \
	X(rmdir, FUSE_RMDIR)                                                                       \
	X(rename, FUSE_RENAME2)                                                                    \
	X(link, FUSE_LINK)                                                                         \
	X(open, FUSE_OPEN)                                                                         \
	X(release, FUSE_RELEASE)                                                                   \
	X(read, FUSE_READ)                                                                         \
	X(write, FUSE_WRITE)                                                                       \
	X(fsync, FUSE_FSYNC)                                                                       \
	X(fallocate, FUSE_FALLOCATE)                                                               \
	X(copy_file_range, FUSE_COPY_FILE_RANGE)                                                   \
	X(lseek, FUSE_LSEEK)                                                                       \
	X(opendir, FUSE_OPENDIR)                                                                   \
	X(readdir, FUSE_READDIRPLUS)                                                               \
	X(releasedir, FUSE_RELEASEDIR)                                                             \
	X(statfs, FUSE_STATFS)                                                                     \
	X(getxattr, FUSE_GETXATTR)                                                                 \
	X(listxattr, FUSE_LISTXATTR)                                                               \
	X(setxattr, FUSE_SETXATTR)                                                                 \
	X(removexattr, FUSE_REMOVEXATTR)                                                           \
	X(ioctl, FUSE_IOCTL)                                                                       \
	X(other, 0)

enum latency_op {
#define X(name, opcode) LATENCY_##name,
	LATENCY_OPS(X)
#undef X
		LATENCY_OPS_N
};

struct latency {
	struct {
		struct histogram time;	      /* nanoseconds */
		atomic_uint_least64_t errors; /* answers that were an errno */
		atomic_uint_least64_t failed; /* of these EIO or ENOSPC: the store's fault */
	} op[LATENCY_OPS_N];
};

struct latency_stamp {
	int64_t begun; /* monotonic nanoseconds; 0: no request */
	unsigned op;   /* enum latency_op */
};

const char *latency_op_name(enum latency_op op) MUST_CHECK;

/* This thread has received a request, at `now`. */
void latency_begin(uint32_t opcode, int64_t now);

struct latency_stamp latency_stamp(void) MUST_CHECK;
void latency_resume(struct latency_stamp stamp);

/* This thread is about to answer its request with `error` (0, or a negative errno). */
void latency_answered(struct latency *l, int error) NONNULL(1);
