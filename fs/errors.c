#include "errors.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

/* What every operation may answer, and what those that change something may answer besides. */
static const int always[] = {EIO, ESTALE, EINVAL};
static const int changing[] = {ENOSPC, EROFS};

#define ERRORS_MAX 8

static const struct {
	const char *name;
	bool changes;
	int errors[ERRORS_MAX]; /* 0: no more */
} operations[OP_MAX] = {
	[OP_LOOKUP] = {"lookup", false, {ENOENT, ENOTDIR, ENAMETOOLONG}},
	[OP_GETATTR] = {"stat", false, {ENOENT}},
	[OP_SETATTR] = {"setattr", true, {ENOENT, EFBIG, EISDIR, EPERM}},
	[OP_READLINK] = {"readlink", false, {ENOENT}},
	[OP_MKNOD] = {"create", true, {EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, EMLINK}},
	[OP_UNLINK] = {"unlink", true, {ENOENT, ENOTDIR, ENAMETOOLONG, EISDIR, EPERM}},
	[OP_RMDIR] = {"rmdir", true, {ENOENT, ENOTDIR, ENAMETOOLONG, ENOTEMPTY, EBUSY}},
	[OP_RENAME] = {"rename", true,
		{ENOENT, ENOTDIR, ENAMETOOLONG, EEXIST, EISDIR, ENOTEMPTY, EMLINK, EBUSY}},
	[OP_LINK] = {"link", true, {ENOENT, ENOTDIR, ENAMETOOLONG, EEXIST, EPERM, EMLINK}},
	[OP_OPEN] = {"open", true, {ENOENT, EEXIST, EISDIR, ENOTDIR, ENXIO, ENAMETOOLONG}},
	[OP_READ] = {"read", false, {EISDIR}},
	[OP_WRITE] = {"write", true, {EFBIG, EISDIR}},
	[OP_FSYNC] = {"fsync", true, {0}},
	[OP_READDIR] = {"readdir", false, {ENOENT, ENOTDIR}},
	[OP_STATFS] = {"statfs", false, {0}},
	[OP_SETXATTR] = {"setxattr", true, {EEXIST, ENODATA, ERANGE, E2BIG, EOPNOTSUPP, EPERM}},
	[OP_GETXATTR] = {"getxattr", false, {ENODATA, ERANGE, EOPNOTSUPP, E2BIG}},
	[OP_REMOVEXATTR] = {"removexattr", true, {ENODATA, ERANGE, EOPNOTSUPP, EPERM}},
	[OP_FALLOCATE] = {"fallocate", true, {EFBIG, EISDIR, ENODEV, EOPNOTSUPP}},
	[OP_COPY] = {"copy_file_range", true, {EFBIG, EISDIR}},
	[OP_LSEEK] = {"lseek", false, {ENXIO}},
	[OP_IOCTL] = {"ioctl", false, {ENOTTY, EISDIR, EPERM, EACCES}},
};

static bool contains(const int *list, size_t n, int error)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == error)
			return true;
	return false;
}

const char *errors_op_name(enum fs_op op)
{
	return operations[op].name;
}

int errors_reply(enum fs_op op, int error)
{
	assert(error <= 0);
	if (error == 0)
		return 0;
	if (contains(always, ARRAY_LEN(always), -error) ||
		contains(operations[op].errors, ERRORS_MAX, -error) ||
		(operations[op].changes && contains(changing, ARRAY_LEN(changing), -error)))
		return -error;
	return EIO;
}
