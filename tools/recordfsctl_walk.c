#include "recordfsctl_walk.h"
#include "recordfsctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
	walk_fn *fn;
	void *arg;
	dev_t dev;
	bool failed;
	bool stopped;
	char *path; /* where it is, terminated */
	size_t len, room;
};

/* Adds a name to the path; *ret_len: what it was, for leave(). */
static bool enter(struct walk *w, const char *name, size_t *ret_len)
{
	size_t len = strlen(name), need = w->len + len + 2;
	if (need > w->room) {
		char *bigger = realloc(w->path, 2 * need);
		if (!bigger)
			return false;
		w->path = bigger;
		w->room = 2 * need;
	}
	*ret_len = w->len;
	if (w->len == 0 || w->path[w->len - 1] != '/')
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, len + 1);
	w->len += len;
	return true;
}

static void leave(struct walk *w, size_t len)
{
	w->len = len;
	w->path[len] = '\0';
}

static void fail(struct walk *w, int error)
{
	if (error == ENOENT)
		return; /* it has gone meanwhile */
	complain("%s: %s", w->path, strerror(error));
	w->failed = true;
}

/* Each level of the tree has a directory open. */
static void allow_many_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void walk_entries(struct walk *w, DIR *dir);

static void walk_directory(struct walk *w, const struct walk_item *item)
{
	struct stat st;
	int fd = openat(item->dir, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		fail(w, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	/* Of another mount on top of it nothing is ours. */
	if (fstat(fd, &st) == 0 && st.st_dev == w->dev)
		walk_entries(w, dir);
	closedir(dir);
}

static void walk_item(struct walk *w, const struct walk_item *item)
{
	if (item->type == DT_DIR)
		walk_directory(w, item);
	if (!w->stopped)
		w->stopped = !w->fn(w->arg, item);
}

/* NULL with errno 0: there is no other. */
static const struct dirent *next_entry(DIR *dir)
{
	errno = 0;
	return readdir(dir);
}

static void walk_entries(struct walk *w, DIR *dir)
{
	const struct dirent *entry;
	while (!w->stopped && (entry = next_entry(dir))) {
		size_t len;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!enter(w, entry->d_name, &len)) {
			fail(w, ENOMEM);
			return;
		}
		walk_item(w, &(struct walk_item){dirfd(dir), entry->d_name, w->path, entry->d_ino,
				     entry->d_type});
		leave(w, len);
	}
	if (!w->stopped && errno)
		fail(w, errno);
}

static unsigned char type_of(mode_t mode)
{
	return (unsigned char)((mode & S_IFMT) >> 12);
}

/* Finds out what `path` is, and walks it. */
static void walk_path(struct walk *w, int root, const char *path)
{
	struct stat st;
	const char *name = path[1] ? path + 1 : ".";
	if (fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		complain("%s: %s", path, strerror(errno));
		w->failed = true;
	} else if (st.st_dev != w->dev) {
		complain("%s: not on this mount", path);
		w->failed = true;
	} else {
		walk_item(w,
			&(struct walk_item){root, name, w->path, st.st_ino, type_of(st.st_mode)});
	}
}

int walk_mount(const struct target *t, const char *path, walk_fn *fn, void *arg)
{
	struct walk w = {.fn = fn, .arg = arg, .path = strdup(path)};
	struct stat st;
	if (!t->root) {
		complain("%s: a part of a mount; all of it, which this needs, is mounted nowhere"
			 " that can be seen from here",
			t->name);
		free(w.path);
		return -1;
	}
	int root = open(t->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	allow_many_files();
	if (root < 0 || fstat(root, &st) < 0 || !w.path) {
		complain("%s: %s", t->root, strerror(w.path ? errno : ENOMEM));
		w.failed = true;
	} else {
		w.dev = st.st_dev;
		w.len = strlen(path);
		w.room = w.len + 1;
		walk_path(&w, root, path);
	}
	if (root >= 0)
		close(root);
	free(w.path);
	return w.stopped ? 1 : w.failed ? -1 : 0;
}
