/* What the commands of recordfsctl have in common. */

#include "recordfsctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int complain(const char *format, ...)
{
	va_list args;
	fflush(stdout);
	fputs("recordfsctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return FAILED;
}

int misused(const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "recordfsctl: %s", text);
	/* The command's name is at the front of what it complains of. */
	size_t len = strcspn(text, ": ");
	if (text[len] == ':')
		fprintf(stderr, " (try recordfsctl %.*s --help)\n", (int)len, text);
	else
		fputs(" (try recordfsctl --help)\n", stderr);
	return USAGE;
}

int misused_option(void)
{
	return USAGE;
}

static int not_on_mount(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		complain("%s: a file, and not on a recordfs mount; name the MOUNTPOINT", path);
	else
		complain("%s: not on a recordfs mount", path);
	return -1;
}

static int failed(const char *path, int error)
{
	if (error == ENOTCONN)
		complain("%s: the mount's daemon has died; mount it again, as before, or"
			 " fusermount3 -u it",
			path);
	else if (error == EACCES && geteuid() == 0)
		complain("%s: Permission denied, to root as well: it may be another user's"
			 " mount, without allow_root; do this as that user",
			path);
	else
		complain("%s: %s", path, strerror(error));
	return -1;
}

int open_on_mount(const char *path)
{
	struct stat st;
	struct statfs fs;
	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return failed(path, errno);
	if (fs.f_type != FUSE_SUPER_MAGIC)
		return not_on_mount(path);
	/* Opening one of the others would do something, and not reach the mount. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		complain("%s: neither a regular file nor a directory", path);
		return -1;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? failed(path, errno) : fd;
}

static void complain_of_ioctl(const char *path, int error)
{
	switch (error) {
	case ENOTTY:
	case ENOSYS:
	case EINVAL:
	case EOPNOTSUPP:
		complain("%s: not on a recordfs mount, or on one of another version", path);
		return;
	case EPERM:
		complain("%s: only root and the user who has mounted it may do this", path);
		return;
	default:
		(void)failed(path, error);
	}
}

int ask_mount(int fd, const char *path, unsigned long request, void *arg)
{
	if (ioctl(fd, request, arg) >= 0)
		return 0;
	int error = errno;
	complain_of_ioctl(path, error);
	errno = error;
	return -1;
}

void print_path(FILE *out, const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if (*p == '\\')
			fputs("\\\\", out);
		else if (*p < ' ' || *p == 0x7f)
			fprintf(out, "\\%03o", (unsigned)*p);
		else
			fputc(*p, out);
	}
}

bool parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "kKmMgGtT";
	char *end;
	errno = 0;
	if (*text < '0' || *text > '9')
		return false;
	uint64_t value = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)((unit - units) / 2 + 1) : 0;
	if (errno || end[unit ? 1 : 0] || value > UINT64_MAX >> shift)
		return false;
	*ret = value << shift;
	return true;
}

const char *number(uint64_t value, char buf[NUMBER_SIZE])
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

const char *size_of(uint64_t bytes, char buf[NUMBER_SIZE])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		value /= 1024;
	if (bytes == 1)
		snprintf(buf, NUMBER_SIZE, "1 byte");
	else
		snprintf(buf, NUMBER_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

const char *seconds_of(int64_t nanoseconds, char buf[NUMBER_SIZE])
{
	double value = (double)nanoseconds / 1e9;
	int digits = value < 0.001 ? 9 : value < 10 ? 3 : 1;
	int n = snprintf(buf, NUMBER_SIZE, "%.*f", digits, value);
	while (n > 0 && buf[n - 1] == '0')
		n--;
	if (n > 0 && buf[n - 1] == '.')
		n--;
	snprintf(buf + n, (size_t)(NUMBER_SIZE - n), " s");
	return buf;
}

void print_count(FILE *out, uint64_t n, const char *one, const char *many)
{
	char text[NUMBER_SIZE];
	fprintf(out, "%s %s", number(n, text), n == 1 ? one : many);
}
