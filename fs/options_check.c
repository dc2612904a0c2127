/*
 * What can be known of the two paths before anything is created or mounted.
 */
#include "cache/store/trust.h"
#include "fuse.h"
#include "log.h"
#include "mountpoint.h"
#include "options.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

struct check {
	struct options *o;
	char *errmsg;
	size_t errmsg_size;
};

PRINTF_LIKE(3, 4) static int refuse(struct check *c, int error, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->errmsg, c->errmsg_size, fmt, ap);
	va_end(ap);
	return error;
}

/* Nobody is led anywhere by what others have put in his way. */
static int check_links(struct check *c, const char *what, const char *path)
{
	char *link = NULL;
	int r = trust_links(path, &link);
	if (r == -EACCES)
		refuse(c, r,
			"%s '%s': the symbolic link '%s' is another user's, in a directory that "
			"anybody may write to: name the file itself",
			what, path, link);
	else if (r < 0)
		refuse(c, r, "%s '%s': %s", what, path, strerror(-r));
	free(link);
	return r;
}

/* Of the store and what SQLite would take for a part of it. */
static int check_owners(struct check *c, const char *store)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(suffixes); i++) {
		char *file = NULL;
		if (asprintf(&file, "%s%s", store, suffixes[i]) < 0)
			return refuse(c, -ENOMEM, "no memory");
		r = trust_file(file);
		if (r < 0)
			refuse(c, r,
				"'%s' is another user's, or no plain file, in a directory that "
				"anybody may write to: remove it, or put the store somewhere else",
				file);
		free(file);
	}
	return r;
}

/* What a daemon that has died left is in nobody's way but ours. 1: it is gone, what was beneath is
 * to be looked at. */
static int check_covered(struct check *c, const struct mountpoint *m)
{
	if (mountpoint_is_dead(m)) {
		int r = mountpoint_clear(m);
		if (r < 0)
			return refuse(c, r,
				"mountpoint '%s' is a mount whose daemon is gone, and cannot be "
				"unmounted (%s): first run 'fusermount3 -u %s', or umount as root",
				m->path, strerror(-r), m->path);
		log_line(LOG_NOTICE, "unmounted '%s', whose daemon had died, from '%s'", m->source,
			m->path);
		return 1;
	}
	if (c->o->nonempty)
		return 0;
	return refuse(c, -EBUSY,
		"mountpoint '%s': '%s' is mounted there already; first run 'fusermount3 -u %s', or "
		"cover it with -o nonempty",
		m->path, m->source, m->path);
}

/* What is mounted there already, if that is a recordfs. */
static int check_mounted(struct check *c)
{
	struct mountpoint m;
	int r;
	do {
		if (mountpoint_look(c->o->mountpoint, &m) < 0)
			return 0; /* others find out why, and have words for it */
		r = m.source ? check_covered(c, &m) : 0;
		mountpoint_fini(&m);
	} while (r > 0);
	return r;
}

static int check_mountpoint(struct check *c)
{
	const char *path = c->o->mountpoint;
	struct stat st;
	/* First, for a dead daemon has no answer to whoever follows a path. */
	int r = check_mounted(c);
	if (r == 0)
		r = check_links(c, "mountpoint", path);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0) {
		int error = errno;
		if (error == ENOTCONN)
			return refuse(c, -error,
				"mountpoint '%s' is a mount whose daemon is gone: first run "
				"'fusermount3 -u %s'",
				path, path);
		return refuse(c, -error, "mountpoint '%s': %s%s", path, strerror(error),
			error == ENOENT ? "; make it first" : "");
	}
	if (!S_ISDIR(st.st_mode))
		return refuse(c, -ENOTDIR, "mountpoint '%s' is not a directory", path);
	char *absolute = realpath(path, NULL);
	if (!absolute)
		return refuse(c, -errno, "mountpoint '%s': %s", path, strerror(errno));
	free(c->o->mountpoint);
	c->o->mountpoint = absolute;
	return 0;
}

/* A store that cannot be written is mounted read-only. */
static int fall_back_to_ro(struct check *c, int error)
{
	c->o->readonly = true;
	c->o->unwritable = error;
	if (fuse_opt_add_opt(&c->o->mount, "ro") < 0)
		return refuse(c, -ENOMEM, "no memory");
	return 0;
}

/* To write, SQLite needs a log and its index beside the store. */
static int check_beside(struct check *c, const char *store, const char *suffix)
{
	char *file = NULL, *dir = strdup(store);
	int r = 0;
	if (!dir || asprintf(&file, "%s%s", store, suffix) < 0) {
		free(dir);
		return refuse(c, -ENOMEM, "no memory");
	}
	if (access(file, F_OK) == 0) {
		if (access(file, W_OK) < 0)
			r = refuse(c, -errno,
				"'%s' cannot be written (%s), though the store can: make %s-wal "
				"and %s-shm writable as well; if nobody has it open and %s-wal is "
				"empty or missing, both may be removed",
				file, strerror(errno), store, store, store);
	} else if (access(dirname(dir), W_OK) < 0) {
		r = refuse(c, -errno,
			"store '%s': its directory cannot be written (%s): mount with -o ro, or "
			"make it writable",
			store, strerror(errno));
	}
	free(file);
	free(dir);
	return r;
}

static int check_writable(struct check *c, const char *store)
{
	if (c->o->readonly)
		return 0;
	if (access(store, W_OK) < 0)
		return errno == EACCES || errno == EROFS || errno == EPERM
			       ? fall_back_to_ro(c, errno)
			       : 0;
	int r = check_beside(c, store, "-wal");
	return r == 0 ? check_beside(c, store, "-shm") : r;
}

/* Where a symbolic link that leads to nothing leads; 0: `path` is no link. */
static int link_target(const char *path, char **ret)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n < 0)
		return errno == EINVAL || errno == ENOENT ? 0 : -errno;
	target[n] = '\0';
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	int r = target[0] == '/' ? asprintf(ret, "%s", target)
				 : asprintf(ret, "%s/%s", dirname(copy), target);
	free(copy);
	return r < 0 ? -ENOMEM : 1;
}

/* The absolute path of a store that does not exist yet: its directory must. */
static int absolute_new(struct check *c, const char *path, char **ret)
{
	char *copy = strdup(path);
	char *copy2 = strdup(path);
	char *dir = copy ? realpath(dirname(copy), NULL) : NULL;
	int r = 0;
	if (path[strlen(path) - 1] == '/')
		r = refuse(c, -EISDIR, "store '%s' must be a file, not a directory", path);
	else if (copy && !dir)
		r = refuse(c, -errno, "store '%s': its directory: %s%s", path, strerror(errno),
			errno == ENOENT ? "; make it first" : "");
	else if (!dir || !copy2 ||
		 asprintf(ret, "%s/%s", strcmp(dir, "/") != 0 ? dir : "", basename(copy2)) < 0)
		r = refuse(c, -ENOMEM, "no memory");
	free(copy);
	free(copy2);
	free(dir);
	return r;
}

/* As open(2) makes a file where a symbolic link leads. Loops have been told of already. */
static int resolve_new(struct check *c, char **ret)
{
	char *path = strdup(c->o->store), *next = NULL;
	int r = path ? 1 : -ENOMEM;
	while (r > 0 && (r = link_target(path, &next)) > 0) {
		free(path);
		path = next;
	}
	r = r < 0 ? refuse(c, r, "store '%s': %s", c->o->store, strerror(-r))
		  : absolute_new(c, path, ret);
	free(path);
	return r;
}

/* SQLite takes a file of such a name for a part of the database that is named like the rest of it:
 * it would remove it, or write into it. */
static int check_name(struct check *c, const char *store)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	const char *name = strrchr(store, '/') + 1;
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);
		if (len > n && strcmp(name + len - n, suffixes[i]) == 0)
			return refuse(c, -EINVAL,
				"store '%s' has the name of a part of '%.*s', with which SQLite "
				"would confuse it: name it otherwise",
				store, (int)(strlen(store) - n), store);
	}
	return 0;
}

static int check_store(struct check *c)
{
	const char *path = c->o->store;
	struct stat st;
	char *absolute = NULL;
	int links = check_links(c, "store", path);
	if (links < 0)
		return links;
	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return refuse(c, -EINVAL, "store '%s' is not a regular file", path);
		absolute = realpath(path, NULL);
		if (!absolute)
			return refuse(c, -errno, "store '%s': %s", path, strerror(errno));
		int r = check_writable(c, absolute);
		if (r < 0) {
			free(absolute);
			return r;
		}
	} else if (errno == ENOENT && !c->o->readonly) {
		int r = resolve_new(c, &absolute);
		if (r < 0)
			return r;
	} else {
		return refuse(c, -errno, "store '%s': %s", path, strerror(errno));
	}
	free(c->o->store);
	c->o->store = absolute;
	int r = check_name(c, absolute);
	return r == 0 ? check_owners(c, absolute) : r;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	if (strcmp(dir, "/") == 0)
		return true;
	return !strncmp(path, dir, len) && path[len] == '/';
}

/* The store's path, now absolute, is what mount(8) and df(1) shall show. */
static int add_fsname(struct check *c)
{
	char *fsname = NULL;
	int r = asprintf(&fsname, "fsname=%s", c->o->store);
	if (r > 0)
		r = fuse_opt_add_opt_escaped(&c->o->mount, fsname);
	free(fsname);
	return r < 0 ? refuse(c, -ENOMEM, "no memory") : 0;
}

int options_check(struct options *o, char *errmsg, size_t errmsg_size)
{
	struct check c = {o, errmsg, errmsg_size};
	int r = check_mountpoint(&c);
	if (r == 0)
		r = check_store(&c);
	if (r < 0)
		return r;
	if (is_inside(o->store, o->mountpoint))
		return refuse(&c, -EINVAL,
			"store '%s' is inside the mountpoint '%s': put it somewhere else", o->store,
			o->mountpoint);
	return o->own_fsname ? 0 : add_fsname(&c);
}
