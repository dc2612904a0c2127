/* The sides of a work: directories, mounts, and what they are taken down with. */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 20000u
#define ARGUMENTS 8 /* of a program, and NULLs after them */

const char *const side_names[] = {"recordfs", "ext4", "bindfs", "memory FUSE", "SQLite"};

/* posix_spawn(3) does not write to its arguments, but does not say so. */
static pid_t start_program(const char *const argv[ARGUMENTS])
{
	char *copy[ARGUMENTS];
	pid_t pid;

	memcpy(copy, argv, sizeof(copy));
	errno = posix_spawnp(&pid, copy[0], NULL, NULL, copy, environ);
	if (errno != 0)
		err(1, "%s", copy[0]);
	return pid;
}

static void wait_for(pid_t pid, const char *what)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(1, "%s", what);
	if (status != 0)
		errx(1, "%s: failed, status %d", what, status);
}

void shell(const struct run *r, const char *command)
{
	char rep[16], text[PATH_MAX];

	snprintf(rep, sizeof(rep), "%u", r->rep);
	snprintf(text, sizeof(text), "cd \"$DIR\" && %s", command);
	setenv("REP", rep, 1);
	setenv("DIR", r->dir, 1);
	setenv("TREE", r->tree, 1);
	wait_for(start_program((const char *[ARGUMENTS]){"sh", "-c", text}), command);
}

static dev_t device_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		err(1, "%s", path);
	return st.st_dev;
}

/* Starts a daemon that stays in the foreground, and waits for its mount. */
static void start_mount(struct run *r, const char *const argv[ARGUMENTS])
{
	dev_t before = device_of(r->dir);
	int status;

	r->daemon = start_program(argv);
	for (unsigned ms = 0; device_of(r->dir) == before; ms += 5) {
		if (waitpid(r->daemon, &status, WNOHANG) != 0)
			errx(1, "%s: ended at once", argv[0]);
		if (ms > START_MS)
			errx(1, "%s: no mount on %s", argv[0], r->dir);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
}

static void make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0)
		err(1, "%s", path);
}

void side_start(struct run *r, const char *base, const struct programs *programs)
{
	char store[PATH_MAX], options[64];

	for (unsigned i = 0; i <= MAX_THREADS; i++)
		r->fd[i] = -1;
	snprintf(r->home, sizeof(r->home), "%s/side-%d-%ld", base, (int)r->side,
		r->yard == NULL ? 0L : (long)(r->yard - r->work->yards));
	snprintf(r->dir, sizeof(r->dir), "%s", r->home);
	make_dir(r->home);
	if (r->side == EXT4 || r->side == SQLITE)
		return;
	snprintf(r->dir, sizeof(r->dir), "%s/mnt", r->home);
	make_dir(r->dir);
	snprintf(store, sizeof(store), "%s/store", r->home);
	snprintf(options, sizeof(options), "sync=%s", r->work->durable ? "always" : "standard");
	if (r->side == RECORDFS) {
		start_mount(r, (const char *[ARGUMENTS]){
				       programs->recordfs, "-f", store, r->dir, "-o", options});
	} else if (r->side == BINDFS) {
		make_dir(store);
		start_mount(r, (const char *[ARGUMENTS]){"bindfs", "-f", store, r->dir});
	} else {
		start_mount(r,
			(const char *[ARGUMENTS]){programs->memfs, r->threads == 1 ? "-s" : r->dir,
				r->threads == 1 ? r->dir : NULL});
	}
}

static void run_program(const char *const argv[ARGUMENTS])
{
	wait_for(start_program(argv), argv[0]);
}

void side_stop(struct run *r)
{
	for (unsigned i = 0; i <= MAX_THREADS; i++)
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	if (r->db != NULL)
		db_disconnect(r->db);
	free(r->db);
	if (r->daemon > 0) {
		run_program((const char *[ARGUMENTS]){"fusermount3", "-u", r->dir});
		wait_for(r->daemon, "the daemon");
	}
	run_program((const char *[ARGUMENTS]){"rm", "-rf", "--", r->home});
}
