/* What the kernel knows of processes, and its caches. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DROP_CACHES "/proc/sys/vm/drop_caches" /* for root only */
#define OPEN_DIRS 16
#define SECTOR 512u /* of that file, whatever the disk has */

/* The number after `name` in a file of lines "name: number". */
static uint64_t number_in(const char *path, const char *name)
{
	char line[128];
	uint64_t value;
	char *end;
	FILE *f;

	f = fopen(path, "re");
	if (f == NULL)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		value = strtoull(line + strlen(name) + 1, &end, 10);
		if (end == line + strlen(name) + 1)
			break;
		fclose(f);
		return value;
	}
	errx(1, "%s: no %s", path, name);
}

static uint64_t number_of(pid_t pid, const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return number_in(path, name);
}

uint64_t process_written(pid_t pid)
{
	return number_of(pid, "io", "write_bytes");
}

uint64_t process_rss_max(pid_t pid)
{
	return number_of(pid, "status", "VmHWM") << 10;
}

uint64_t process_rss(pid_t pid)
{
	return number_of(pid, "status", "VmRSS") << 10;
}

uint64_t system_free(void)
{
	return number_in("/proc/meminfo", "MemAvailable") << 10;
}

static bool write_drop(const char *what)
{
	int fd = open(DROP_CACHES, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, what, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

bool system_forget(void)
{
	return write_drop("2");
}

static int drop_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	int fd;

	(void)st;
	(void)where;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	return 0;
}

/* The seventh number of that line is sectors written. */
static uint64_t sectors_written(char *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 7; i++)
		value = strtoull(at, &at, 10);
	return value;
}

uint64_t disk_written(const char *path)
{
	char name[64], line[256];
	struct stat st;
	bool got;
	FILE *f;

	if (stat(path, &st) < 0)
		err(1, "%s", path);
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/stat", major(st.st_dev),
		minor(st.st_dev));
	f = fopen(name, "re");
	if (f == NULL) /* several disks, say */
		return 0;
	got = fgets(line, sizeof(line), f) != NULL;
	fclose(f);
	return got ? sectors_written(line) * SECTOR : 0;
}

const char *system_dropping(void)
{
	return access(DROP_CACHES, W_OK) == 0 ? "drop_caches" : "posix_fadvise";
}

void system_drop_caches(const char *dir)
{
	if (!write_drop("3"))
		nftw(dir, drop_file, OPEN_DIRS, FTW_PHYS | FTW_MOUNT);
}
