#include "recordfsctl_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A line of /proc/self/mountinfo: "36 35 98:0 /root /mnt rw,noatime master:1 - TYPE SOURCE
 * OPTIONS". */
struct mount {
	unsigned id, major, minor;
	const char *root; /* what of the filesystem is mounted */
	const char *at;
};

/* The list has blanks and the like as \ooo. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from;) {
		unsigned byte;
		int n = 0;
		if (sscanf(from, "\\%3o%n", &byte, &n) == 1 && n == 4) {
			*to++ = (char)byte;
			from += n;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static bool parse(char *line, struct mount *ret)
{
	struct mount m;
	char *save = NULL;
	int n = 0;
	if (sscanf(line, "%u %*u %u:%u %n", &m.id, &m.major, &m.minor, &n) != 3 || n == 0)
		return false;
	char *root = strtok_r(line + n, " ", &save), *at = strtok_r(NULL, " ", &save);
	if (!root || !at)
		return false;
	unescape(root);
	unescape(at);
	m.root = root;
	m.at = at;
	*ret = m;
	return true;
}

/* The first mount of the list for which it is true. */
typedef bool match_fn(const struct mount *m, const void *arg);
static int find(match_fn *match, const void *arg, char **ret_root, char **ret_at)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *root = NULL, *at = NULL;
	size_t size = 0;
	struct mount m;
	if (!f)
		return -errno;
	bool found = false;
	while (!found && getline(&line, &size, f) > 0)
		found = parse(line, &m) && match(&m, arg);
	if (found) {
		root = strdup(m.root);
		at = strdup(m.at);
	}
	fclose(f);
	free(line);
	if (root && at) {
		*ret_root = root;
		*ret_at = at;
		return 0;
	}
	free(root);
	free(at);
	return found ? -ENOMEM : -ENOENT;
}

static bool has_id(const struct mount *m, const void *arg)
{
	const uint64_t *id = arg;
	return m->id == *id;
}

/* And not covered by another. */
static bool is_whole(const struct mount *m, const void *arg)
{
	const struct place *p = arg;
	struct stat st;
	return m->major == p->major && m->minor == p->minor && strcmp(m->root, "/") == 0 &&
	       stat(m->at, &st) == 0 && st.st_dev == makedev(p->major, p->minor);
}

/* Of `path`, or of the directory that it is to be in. */
static int look(const char *path, struct statx *ret)
{
	const int how = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
	if (statx(AT_FDCWD, path, how, STATX_MNT_ID, ret) == 0)
		return 0;
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
	int r = dir && statx(AT_FDCWD, dir, how, STATX_MNT_ID, ret) == 0 ? 0 : -errno;
	free(dir);
	return r;
}

/* What is at `path` below `at`, from the root of which `root` is mounted there; to be freed. */
static char *join(const char *root, const char *at, const char *path)
{
	char *joined;
	size_t len = strcmp(at, "/") == 0 ? 0 : strlen(at);
	if (strncmp(path, at, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	const char *rest = strcmp(path + len, "/") == 0 ? "" : path + len;
	if (strcmp(root, "/") == 0)
		return strdup(*rest ? rest : "/");
	return asprintf(&joined, "%s%s", root, rest) < 0 ? NULL : joined;
}

/* What the kernel says of a bind mount whose directory is gone. No name has a slash. */
static bool is_deleted(const char *root)
{
	static const char mark[] = "//deleted";
	size_t len = strlen(root);
	return len >= sizeof mark - 1 && strcmp(root + len - (sizeof mark - 1), mark) == 0;
}

int place_find(const char *path, struct place *ret)
{
	struct statx st;
	char *root, *at;
	int r = look(path, &st);
	if (r == 0 && !(st.stx_mask & STATX_MNT_ID))
		r = -ENOSYS; /* Linux 5.8 has it */
	uint64_t id = r == 0 ? st.stx_mnt_id : 0;
	if (r == 0)
		r = find(has_id, &id, &root, &at);
	if (r < 0)
		return r;
	if (is_deleted(root)) {
		free(root);
		free(at);
		return -ENOENT;
	}
	struct place p = {st.stx_dev_major, st.stx_dev_minor, join(root, at, path)};
	free(root);
	free(at);
	if (!p.below)
		return -ENOENT;
	*ret = p;
	return 0;
}

void place_free(struct place *p)
{
	free(p->below);
	p->below = NULL;
}

int place_root(const struct place *p, char **ret)
{
	char *root;
	int r = find(is_whole, p, &root, ret);
	if (r == 0)
		free(root);
	return r;
}
