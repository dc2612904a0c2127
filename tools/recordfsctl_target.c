#include "recordfsctl_target.h"
#include "cache/store/sqlite.h"
#include "recordfsctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Where `argument` lies in the store, and where all of that is mounted. */
static int find_place(const char *argument, struct target *t)
{
	char *path = realpath(argument, NULL);
	int r = path ? place_find(path, &t->place) : -errno;
	free(path);
	if (r == 0 && place_root(&t->place, &t->root) == -ENOMEM)
		r = -ENOMEM;
	return r;
}

static int find_mounted(const char *argument, struct target *t)
{
	struct recordfs_stats s = {0};
	struct statvfs fs;
	int fd = open_on_mount(argument);
	if (fd < 0)
		return -1;
	t->readonly = fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
	int r = ask_mount(fd, argument, RECORDFS_IOC_STATS, &s);
	close(fd); /* an open file would be in the way of umount */
	if (r < 0)
		return r;
	t->mounted = true;
	t->store = strndup(s.store, sizeof s.store - 1);
	r = find_place(argument, t);
	if (r < 0 || !t->store) {
		complain("%s: %s", argument, strerror(r < 0 ? -r : ENOMEM));
		return -1;
	}
	return 0;
}

bool target_is_mountpoint(const char *argument)
{
	struct stat st;
	if (stat(argument, &st) < 0)
		return errno == ENOTCONN || errno == EACCES;
	return S_ISDIR(st.st_mode);
}

/* A file on a mount that answers. */
static bool is_record(const char *argument)
{
	struct recordfs_stats s;
	struct statfs fs;
	if (statfs(argument, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC)
		return false;
	int fd = open(argument, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool found = fd >= 0 && ioctl(fd, RECORDFS_IOC_STATS, &s) >= 0;
	if (fd >= 0)
		close(fd);
	return found;
}

static void complain_of_store(const struct target *t, const char *why)
{
	if (!t->mounted && is_record(t->name))
		complain("%s: a record, not a store; name the MOUNTPOINT, and the record after it",
			t->name);
	else
		complain(
			"%s%s", why, t->mounted ? " (so the mount says; not seen from here?)" : "");
}

int target_find(const char *argument, struct target *ret)
{
	struct target t = {.name = argument};
	char why[SQLITE_STORE_WHY];
	int r = 0;
	if (target_is_mountpoint(argument))
		r = find_mounted(argument, &t);
	else if (!(t.store = strdup(argument)))
		r = -1;
	if (r == 0 && sqlite_is_store(t.store, why, sizeof why) < 0) {
		complain_of_store(&t, why);
		r = -1;
	}
	if (r == 0)
		*ret = t;
	else
		target_free(&t);
	return r;
}

int target_is_readonly(const struct target *t)
{
	return complain("%s: mounted read-only; name the store itself: %s", t->name, t->store);
}

int target_find_writable(const char *argument, struct target *ret)
{
	if (target_find(argument, ret) < 0)
		return -1;
	if (ret->readonly)
		(void)target_is_readonly(ret);
	else if (access(ret->store, W_OK) < 0)
		(void)complain("%s: cannot be written: %s", ret->store, strerror(errno));
	else
		return 0;
	target_free(ret);
	return -1;
}

int target_find_mount(const char *argument, struct target *ret)
{
	struct target t = {.name = argument};
	int r = find_mounted(argument, &t);
	if (r == 0)
		*ret = t;
	else
		target_free(&t);
	return r;
}

void target_free(struct target *t)
{
	free(t->store);
	free(t->root);
	place_free(&t->place);
	*t = (struct target){0};
}

/* Takes out slashes that mean nothing; false: there is a "." or "..". */
static bool tidy(char *path)
{
	char *to = path;
	for (const char *from = path; *from;) {
		size_t len = strcspn(from, "/");
		bool dots = (len == 1 || len == 2) && strncmp(from, "..", len) == 0;
		if (dots)
			return false;
		if (len > 0) {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
		from += *from == '/';
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
	return true;
}

/* The path with all symlinks in it followed but the last name's. To be freed; NULL: its directory
 * is not there. */
static char *resolve(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	char *whole = strndup(path, len);
	char *slash = whole ? strrchr(whole, '/') : NULL;
	const char *name = slash ? slash + 1 : whole;
	char *dir = NULL, *joined = NULL;
	bool dots = name && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || !*name);
	if (dots) {
		joined = realpath(whole, NULL);
	} else if (whole) {
		char *above = slash ? strndup(whole, (size_t)(slash - whole) + 1) : strdup(".");
		dir = above ? realpath(above, NULL) : NULL;
		free(above);
		if (dir && asprintf(&joined, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name) < 0)
			joined = NULL;
	}
	free(dir);
	free(whole);
	return joined;
}

char *target_path(const struct target *t, const char *path)
{
	char *real = t->mounted ? resolve(path) : NULL;
	struct place p = {0};
	bool ours = real && place_find(real, &p) == 0 && p.major == t->place.major &&
		    p.minor == t->place.minor;
	char *copy = ours ? strdup(p.below) : path[0] == '/' ? strdup(path) : NULL;
	place_free(&p);
	if (!copy)
		complain("%s: %s", path,
			t->mounted ? "not below the mountpoint; else write it as a record's path,"
				     " which begins with /"
				   : "a record's path begins with /");
	else if (!tidy(copy)) {
		complain("%s: a record's path has no . or .. in it", path);
		free(copy);
		copy = NULL;
	}
	free(real);
	return copy;
}

int target_run(int argc, char **argv, const char *command, target_work *work)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'}, {0}};
	struct target t;
	bool quiet = false;
	int option;
	while ((option = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (option == 'h')
			return print_help(command);
		if (option != 'q')
			return misused_option();
		quiet = true;
	}
	if (argc == optind)
		return misused("%s: name a MOUNTPOINT", command);
	if (target_find_mount(argv[optind], &t) < 0)
		return FAILED;
	int status = work(&t, argc - optind - 1, argv + optind + 1, quiet);
	target_free(&t);
	return status;
}
