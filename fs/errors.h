/*
 * Which errno a caller may see from which operation: the one table.
 *
 * A store speaks of more than POSIX lets a system call say (a checksum that does not match, no
 * memory). What an operation may not answer becomes EIO.
 */
#pragma once

#include "cache/store/compiler.h"

enum fs_op {
	OP_LOOKUP,
	OP_GETATTR,
	OP_SETATTR,
	OP_READLINK,
	OP_MKNOD, /* and mkdir, symlink, create, tmpfile */
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_LINK,
	OP_OPEN,
	OP_READ,
	OP_WRITE,
	OP_FSYNC,
	OP_READDIR,
	OP_STATFS,
	OP_SETXATTR,
	OP_GETXATTR,
	OP_REMOVEXATTR,
	OP_FALLOCATE,
	OP_COPY,
	OP_LSEEK,
	OP_IOCTL,
	OP_MAX,
};

/* The name of `op` for messages. */
const char *errors_op_name(enum fs_op op) MUST_CHECK;

/* `error` is 0 or a negative errno of a store; returns 0 or the positive errno to reply with. */
int errors_reply(enum fs_op op, int error) MUST_CHECK;
