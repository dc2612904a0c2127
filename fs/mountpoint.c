#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_PATH_MAX 64

/* "\040" and the like, as the kernel writes what would end a field; in place. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *c = text; *c; to++) {
		unsigned byte;
		if (*c == '\\' && sscanf(c + 1, "%3o", &byte) == 1) {
			*to = (char)byte;
			c += 4;
		} else {
			*to = *c++;
		}
	}
	*to = '\0';
}

/* The number of the mount that an open file is on; -1: unknown. */
static int mount_of(int fd)
{
	char name[FD_PATH_MAX], *line = NULL;
	size_t size = 0;
	int id = -1;
	snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(name, "re");
	while (f && id < 0 && getline(&line, &size, f) > 0)
		if (sscanf(line, "mnt_id: %d", &id) != 1)
			id = -1;
	free(line);
	if (f)
		fclose(f);
	return id;
}

/* If `line` of mountinfo is about mount `id`, and that is a recordfs whose root is at `path`: its
 * source, else NULL. "36 35 98:0 / /mnt rw,noatime master:1 - TYPE SOURCE OPTIONS" */
static char *source_in(char *line, int id, const char *path)
{
	char *fields = strstr(line, " - "), *save = NULL;
	if (!fields || atoi(line) != id)
		return NULL;
	*fields = '\0';
	char *field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return NULL;
	unescape(field);
	const char *type = strtok_r(fields + 3, " ", &save);
	char *source = strtok_r(NULL, " ", &save);
	if (strcmp(field, path) != 0 || !type || strcmp(type, "fuse.recordfs") != 0 || !source)
		return NULL;
	unescape(source);
	return source;
}

static int find_source(struct mountpoint *m)
{
	char *line = NULL;
	size_t size = 0;
	int id = mount_of(m->fd);
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	int r = 0;
	while (r == 0 && !m->source && getline(&line, &size, f) > 0) {
		const char *source = source_in(line, id, m->path);
		if (source && !(m->source = strdup(source)))
			r = -ENOMEM;
	}
	free(line);
	fclose(f);
	return r;
}

int mountpoint_look(const char *path, struct mountpoint *ret)
{
	char name[FD_PATH_MAX], target[PATH_MAX];
	struct mountpoint m = {.fd = open(path, O_PATH | O_CLOEXEC)};
	if (m.fd < 0)
		return -errno;
	snprintf(name, sizeof name, "/proc/self/fd/%d", m.fd);
	ssize_t n = readlink(name, target, sizeof target - 1);
	int r = n < 0 ? -errno : 0;
	if (r == 0) {
		target[n] = '\0';
		m.path = strdup(target);
		r = m.path ? find_source(&m) : -ENOMEM;
	}
	if (r < 0)
		mountpoint_fini(&m);
	else
		*ret = m;
	return r;
}

bool mountpoint_is_dead(const struct mountpoint *m)
{
	/* Attributes that the kernel has kept would hide it. */
	struct statx st;
	const int how = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC;
	return statx(m->fd, "", how, STATX_BASIC_STATS, &st) < 0 &&
	       (errno == ENOTCONN || errno == ECONNABORTED);
}

int mountpoint_fusermount(const char *path)
{
	char program[] = "fusermount3", how[] = "-uqz", end[] = "--";
	char *copy = strdup(path);
	char *argv[] = {program, how, end, copy, NULL};
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int status;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int r = copy ? -posix_spawnp(&pid, program, NULL, &attr, argv, environ) : -ENOMEM;
	posix_spawnattr_destroy(&attr);
	free(copy);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

int mountpoint_clear(const struct mountpoint *m)
{
	/* By the descriptor: what somebody else has mounted there since is not touched. */
	char name[FD_PATH_MAX];
	snprintf(name, sizeof name, "/proc/self/fd/%d", m->fd);
	if (umount2(name, MNT_DETACH) == 0)
		return 0;
	return errno == EPERM ? mountpoint_fusermount(m->path) : -errno;
}

void mountpoint_fini(struct mountpoint *m)
{
	if (m->fd >= 0)
		close(m->fd);
	free(m->path);
	free(m->source);
	*m = (struct mountpoint){.fd = -1};
}
