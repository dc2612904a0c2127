/* Operations on mounts of stores, files and directories of any size. */
#include "growth.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP 7919u /* a prime that no size is a multiple of: no number comes twice */

static unsigned char bytes[STORE_BLOCK_SIZE];

/* What is measured: operation `i` on record, or block, `number`. */
typedef void op_fn(int at, uint64_t number, unsigned i);

static int open_record(int dir, uint64_t number, int flags)
{
	char name[32];
	int fd;

	record_name(name, sizeof(name), number);
	fd = openat(dir, name, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static void close_record(int fd, ssize_t done, size_t len)
{
	if (done != (ssize_t)len || close(fd) < 0)
		err(1, "a record");
}

static void op_stat(int dir, uint64_t number, unsigned i)
{
	struct stat st;
	char name[32];

	(void)i;
	record_name(name, sizeof(name), number);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != RECORD_SIZE)
		err(1, "%s: not as written", name);
}

static void op_read(int dir, uint64_t number, unsigned i)
{
	int fd = open_record(dir, number, O_RDONLY);

	(void)i;
	close_record(fd, read(fd, bytes, RECORD_SIZE), RECORD_SIZE);
}

static void op_overwrite(int dir, uint64_t number, unsigned i)
{
	int fd = open_record(dir, number, O_WRONLY);

	bytes[0] = (unsigned char)i;
	close_record(fd, write(fd, bytes, RECORD_SIZE), RECORD_SIZE);
}

static void new_name(char *buf, size_t size, unsigned i)
{
	snprintf(buf, size, "new-%u.json", i);
}

static void op_create(int dir, uint64_t number, unsigned i)
{
	char name[32];
	int fd;

	(void)number;
	new_name(name, sizeof(name), i);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", name);
	close_record(fd, write(fd, bytes, RECORD_SIZE), RECORD_SIZE);
}

static void op_unlink(int dir, uint64_t number, unsigned i)
{
	char name[32];

	(void)number;
	new_name(name, sizeof(name), i);
	if (unlinkat(dir, name, 0) < 0)
		err(1, "%s", name);
}

static void op_read_block(int fd, uint64_t number, unsigned i)
{
	(void)i;
	if (pread(fd, bytes, BLOCK, (off_t)(number * FILE_STRIDE * BLOCK)) != (ssize_t)BLOCK)
		err(1, "read");
}

static void op_write_block(int fd, uint64_t number, unsigned i)
{
	bytes[0] = (unsigned char)i;
	if (pwrite(fd, bytes, BLOCK, (off_t)(number * FILE_STRIDE * BLOCK)) != (ssize_t)BLOCK)
		err(1, "write");
}

static void op_append(int fd, uint64_t number, unsigned i)
{
	(void)number;
	(void)i;
	if (write(fd, bytes, LOG_RECORD) != (ssize_t)LOG_RECORD)
		err(1, "append");
}

/* Microseconds of one, of `ops` operations on different ones of `n`. */
static double time_of(op_fn *op, int at, uint64_t n, unsigned ops, unsigned salt)
{
	uint64_t number = (uint64_t)salt * STEP * ops % n, begun = now_ns();

	for (unsigned i = 0; i < ops; i++) {
		op(at, number, i);
		number = (number + STEP) % n;
	}
	return (double)(now_ns() - begun) / 1e3 / ops;
}

/* Entries from the middle on: their offsets are numbers that grow with each new entry. */
static double time_of_listing(const struct run *r, uint64_t n, unsigned entries)
{
	DIR *dir = opendir(r->dir);
	uint64_t begun = now_ns();

	if (dir == NULL)
		err(1, "%s", r->dir);
	seekdir(dir, (long)(n / 2));
	for (unsigned i = 0; i < entries; i++)
		if (readdir(dir) == NULL)
			errx(1, "%s: too few entries", r->dir);
	begun = now_ns() - begun;
	closedir(dir);
	return (double)begun / 1e3 / entries;
}

static int open_at(const struct run *r, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

void measure_records(const struct run *r, uint64_t n, const struct growth_scale *scale,
	struct growth *ret, unsigned size, unsigned rep)
{
	static op_fn *const ops[R_READDIR] = {op_stat, op_read, op_overwrite, op_create, op_unlink};
	int dir = open_at(r, ".", O_RDONLY | O_DIRECTORY);

	for (unsigned i = 0; i < R_READDIR; i++)
		ret[i].us[size][rep] = time_of(ops[i], dir, n, scale->ops, rep * R_N + i);
	ret[R_READDIR].us[size][rep] = time_of_listing(r, n, scale->ops);
	close(dir);
}

void measure_file(const struct run *r, uint64_t size_bytes, const struct growth_scale *scale,
	struct growth *ret, unsigned size, unsigned rep)
{
	static op_fn *const ops[F_N] = {op_read_block, op_write_block, op_append};
	static const int flags[F_N] = {O_RDONLY, O_WRONLY, O_WRONLY | O_APPEND};
	uint64_t blocks = size_bytes / BLOCK / FILE_STRIDE;

	for (unsigned i = 0; i < F_N; i++) {
		int fd = open_at(r, "file-0", flags[i]);

		ret[i].us[size][rep] = time_of(ops[i], fd, blocks, scale->ops, rep * F_N + i);
		close(fd);
	}
}

void visit_records(const struct run *r, uint64_t n)
{
	int dir = open_at(r, ".", O_RDONLY | O_DIRECTORY);

	for (uint64_t i = 0; i < n; i++)
		op_stat(dir, i, 0);
	close(dir);
}
