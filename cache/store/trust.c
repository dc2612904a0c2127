#include "trust.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many links as Linux follows. */
#define LINKS_MAX 40

static int directory_of(const char *path, struct stat *ret)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return stat(".", ret);
	char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int r = dir ? stat(dir, ret) : -1;
	free(dir);
	return r;
}

/* Did somebody put it there who has no right to the directory? */
static bool is_strangers(const struct stat *dir, const struct stat *file)
{
	return dir->st_mode & S_IWOTH && file->st_uid != 0 && file->st_uid != geteuid() &&
	       file->st_uid != dir->st_uid;
}

int trust_file(const char *path)
{
	struct stat dir, file;
	if (directory_of(path, &dir) < 0 || !(dir.st_mode & S_IWOTH) || lstat(path, &file) < 0)
		return 0;
	if (is_strangers(&dir, &file) || !S_ISREG(file.st_mode) || file.st_nlink > 1)
		return -EACCES;
	return 0;
}

/* A path that is being resolved. */
struct walk {
	char done[PATH_MAX]; /* without links; "" is the root */
	char rest[PATH_MAX];
	unsigned links;
};

static void step_up(struct walk *w)
{
	char *slash = strrchr(w->done, '/');
	if (slash)
		*slash = '\0';
}

/* The next name of the rest goes to the end of what is done. False: there is none. */
static bool step(struct walk *w, int *ret_error)
{
	size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
	size_t done = strlen(w->done);
	const char *name = w->rest + skip;
	if (len == 0)
		return false;
	if (len == 2 && !strncmp(name, "..", 2)) {
		step_up(w);
	} else if (len != 1 || *name != '.') {
		if (done + 1 + len >= sizeof w->done) {
			*ret_error = -ENAMETOOLONG;
			return false;
		}
		w->done[done] = '/';
		memcpy(w->done + done + 1, name, len);
		w->done[done + 1 + len] = '\0';
	}
	memmove(w->rest, name + len, strlen(name + len) + 1);
	return true;
}

/* What is done ends with a link: its target comes before the rest. */
static int follow(struct walk *w)
{
	char target[PATH_MAX];
	ssize_t n = readlink(w->done, target, sizeof target - 1);
	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	size_t rest = strlen(w->rest);
	if ((size_t)n + rest >= sizeof w->rest)
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)n);
	if (target[0] == '/')
		w->done[0] = '\0';
	else
		step_up(w);
	return 0;
}

static int walk(struct walk *w, char **ret_link)
{
	struct stat st, dir;
	int r = 0;
	while (r == 0 && step(w, &r)) {
		if (!w->done[0])
			continue;
		if (lstat(w->done, &st) < 0)
			return 0;
		if (!S_ISLNK(st.st_mode))
			continue;
		if (directory_of(w->done, &dir) == 0 && is_strangers(&dir, &st)) {
			*ret_link = strdup(w->done);
			return *ret_link ? -EACCES : -ENOMEM;
		}
		r = follow(w);
	}
	return r;
}

int trust_links(const char *path, char **ret_link)
{
	struct walk *w = calloc(1, sizeof *w);
	int r = w ? 0 : -ENOMEM;
	if (w && path[0] != '/' && !getcwd(w->done, sizeof w->done))
		r = -errno;
	if (w && strlen(path) >= sizeof w->rest)
		r = -ENAMETOOLONG;
	if (r == 0) {
		if (!strcmp(w->done, "/"))
			w->done[0] = '\0';
		memcpy(w->rest, path, strlen(path) + 1);
		r = walk(w, ret_link);
	}
	free(w);
	return r;
}
