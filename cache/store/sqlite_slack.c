/*
 * Opening a store on a full disk. A log and its index have to be made first, for which there is no
 * space; but the file of a store is longer than its pages are (FILE_STEP, SLACK in
 * sqlite_keeper.c). So that end is given up to make room for them, and when a store is closed
 * something is left there for the next time.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* With less space than that on the disk the end of the file is needed: what the log gets when it is
 * opened, its index, and something to write. */
#define ENOUGH ((2U << 20) + (64U << 10))
/* What is left at the end. */
#define SLACK (256 << 10)

/* Of the header of a database. */
#define HEADER_SIZE 100
#define AT_PAGE_SIZE 16
#define AT_CHANGES 24
#define AT_PAGES 28
#define AT_CHANGES_OF_PAGES 92

static bool disk_is_full(const char *path)
{
	struct statvfs fs;
	return statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < ENOUGH;
}

static uint64_t big_endian(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Bytes of the pages of the database, as its header has it; 0: it does not know. */
static int64_t bytes_of_pages(int fd)
{
	unsigned char h[HEADER_SIZE];
	if (pread(fd, h, sizeof h, 0) != (ssize_t)sizeof h ||
		memcmp(h + AT_CHANGES, h + AT_CHANGES_OF_PAGES, 4) != 0)
		return 0;
	uint64_t page_size = big_endian(h + AT_PAGE_SIZE, 2);
	if (page_size == 1)
		page_size = 65536;
	if (page_size < 512 || (page_size & (page_size - 1)) != 0)
		return 0;
	return (int64_t)(big_endian(h + AT_PAGES, 4) * page_size);
}

/* Nobody has it open, nor can open it meanwhile, and no log or journal says anything else. */
static void cut(int fd, const char *path)
{
	struct stat st;
	if (!sq_lock_all_out(fd) || sq_has_beside(path, "-wal") ||
		sq_has_beside(path, "-journal") || fstat(fd, &st) < 0)
		return;
	int64_t used = bytes_of_pages(fd);
	if (used > 0 && used < st.st_size)
		(void)!ftruncate(fd, used);
}

void sq_slack_use(const char *path)
{
	if (!disk_is_full(path))
		return;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return;
	cut(fd, path);
	close(fd);
}

void sq_slack_leave(struct sqlite_store *s)
{
	struct stat st;
	int64_t pages;
	if (!s->plain_file || sq_scalar(sq_query(s->writer, SQ_PAGE_COUNT, ""), &pages) < 0 ||
		fstat(s->file, &st) < 0)
		return;
	int64_t size = pages * s->page_size + SLACK;
	if (s->max_pages && size > (int64_t)s->max_pages * s->page_size)
		size = (int64_t)s->max_pages * s->page_size;
	if (st.st_size < size)
		(void)!fallocate(s->file, 0, st.st_size, size - st.st_size);
}
