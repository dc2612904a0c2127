/* Loads on names and attributes. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTED_MAX 20000u

static void make_dir(const struct run *r, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	if (mkdir(path, 0755) < 0)
		err(1, "%s", path);
}

static void make_rep_dir(struct run *r)
{
	char name[32];

	snprintf(name, sizeof(name), "rep-%u", r->rep);
	make_dir(r, name);
}

static void make_file(const struct run *r, const char *path, bool durable)
{
	struct worker w = {.random = 4711};
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, fresh_bytes(&w), SMALL_FILE) != (ssize_t)SMALL_FILE)
		err(1, "%s", path);
	if (durable && r->side != RECORDFS && fsync(fd) < 0)
		err(1, "%s: fsync", path);
	if (close(fd) < 0)
		err(1, "%s: close", path);
}

static void op_create(struct worker *w, unsigned i)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/rep-%u/record-%06u.json", w->run->dir, w->run->rep,
		i * 7919 % 1000000);
	make_file(w->run, path, w->run->work->durable);
}

/* The names are made beforehand, so that only the filesystem is measured. */
static char listed[LISTED_MAX][24];

static void setup_listed(struct run *r)
{
	char path[PATH_MAX];

	make_dir(r, "many");
	for (unsigned i = 0; i < r->scale->listed; i++) {
		snprintf(listed[i], sizeof(listed[i]), "record-%06u.json", i * 7919 % 1000000);
		snprintf(path, sizeof(path), "%s/many/%.23s", r->dir, listed[i]);
		make_file(r, path, false);
	}
	snprintf(path, sizeof(path), "%s/many", r->dir);
	r->fd[0] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd[0] < 0)
		err(1, "%s", path);
}

static void stat_one(const struct run *r, unsigned i)
{
	const char *name = listed[i % r->scale->listed];
	struct stat st;

	if (fstatat(r->fd[0], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err(1, "%s/many/%s", r->dir, name);
	if (st.st_size != (off_t)SMALL_FILE)
		errx(1, "%s/many/%s: not as written", r->dir, name);
}

/* Once through it all, so that what can be warm is warm. */
static void before_hot(struct run *r)
{
	for (unsigned i = 0; i < r->scale->listed; i++)
		stat_one(r, i);
}

static void op_stat(struct worker *w, unsigned i)
{
	stat_one(w->run, i);
}

static void op_open(struct worker *w, unsigned i)
{
	const char *name = listed[i % w->run->scale->listed];
	int fd = openat(w->fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || close(fd) < 0)
		err(1, "%s/many/%s", w->run->dir, name);
}

/* What people list with. They ask for more than attributes: `ls -l` for ACLs. */
static void op_list(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "ls -lR many >/dev/null");
}

static void op_find(struct worker *w, unsigned i)
{
	(void)i;
	shell(w->run, "find many >/dev/null");
}

static void name_in_rep(const struct run *r, const char *what, unsigned i, char *path, size_t size)
{
	snprintf(path, size, "%s/rep-%u/%s-%u", r->dir, r->rep, what, i);
}

static void before_names(struct run *r)
{
	char path[PATH_MAX];

	make_rep_dir(r);
	for (unsigned i = 0; i < r->ops; i++) {
		name_in_rep(r, "name", i, path, sizeof(path));
		make_file(r, path, false);
	}
}

static void op_rename(struct worker *w, unsigned i)
{
	char from[PATH_MAX], to[PATH_MAX];

	name_in_rep(w->run, "name", i, from, sizeof(from));
	name_in_rep(w->run, "new-name", i, to, sizeof(to));
	if (rename(from, to) < 0)
		err(1, "%s", from);
}

static void op_unlink(struct worker *w, unsigned i)
{
	char path[PATH_MAX];

	name_in_rep(w->run, "name", i, path, sizeof(path));
	if (unlink(path) < 0)
		err(1, "%s", path);
}

static void op_mkdir(struct worker *w, unsigned i)
{
	char path[PATH_MAX];

	name_in_rep(w->run, "dir", i, path, sizeof(path));
	if (mkdir(path, 0755) < 0)
		err(1, "%s", path);
}

const struct load create_files = {NULL, make_rep_dir, op_create, AT_ONCE};
const struct load stat_hot = {setup_listed, before_hot, op_stat, AT_ONCE};
const struct load stat_rested = {setup_listed, before_hot, op_stat, RESTED};
const struct load open_files = {setup_listed, before_hot, op_open, AT_ONCE};
const struct load list_rested = {setup_listed, before_hot, op_list, RESTED};
const struct load find_files = {setup_listed, before_hot, op_find, AT_ONCE};
const struct load rename_files = {NULL, before_names, op_rename, AT_ONCE};
const struct load unlink_files = {NULL, before_names, op_unlink, AT_ONCE};
const struct load make_dirs = {NULL, make_rep_dir, op_mkdir, AT_ONCE};
