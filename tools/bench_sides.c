/* The sides of a work: directories, mounts, and what they are taken down with. */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* Starts the daemon of a side that has one. */
void side_mount(struct run *r, const struct programs *programs)
{
	char store[PATH_MAX], options[64];

	snprintf(store, sizeof(store), "%s/store", r->home);
	snprintf(options, sizeof(options), "sync=%s,cache_size=%uM",
		r->work->durable ? "always" : "standard", CACHE_MIB);
	if (r->side == RECORDFS) {
		start_mount(r, (const char *[ARGUMENTS]){
				       programs->recordfs, "-f", store, r->dir, "-o", options});
	} else if (r->side == BINDFS) {
		if (mkdir(store, 0755) < 0 && errno != EEXIST)
			err(1, "%s", store);
		start_mount(r, (const char *[ARGUMENTS]){"bindfs", "-f", store, r->dir});
	} else if (r->side == MEMFS) {
		start_mount(r,
			(const char *[ARGUMENTS]){programs->memfs, r->threads == 1 ? "-s" : r->dir,
				r->threads == 1 ? r->dir : NULL});
	}
}

void side_make(struct run *r, const char *base)
{
	for (unsigned i = 0; i <= MAX_THREADS; i++)
		r->fd[i] = -1;
	snprintf(r->home, sizeof(r->home), "%s/side-%u", base, r->index);
	snprintf(r->dir, sizeof(r->dir), "%s", r->home);
	make_dir(r->home);
	if (r->side == EXT4 || r->side == SQLITE)
		return;
	snprintf(r->dir, sizeof(r->dir), "%s/mnt", r->home);
	make_dir(r->dir);
}

void side_start(struct run *r, const char *base, const struct programs *programs)
{
	side_make(r, base);
	side_mount(r, programs);
}

static void run_program(const char *const argv[ARGUMENTS])
{
	wait_for(start_program(argv), argv[0]);
}

struct written side_written(const struct run *r)
{
	return (struct written){
		.by_process = process_written(r->daemon > 0 ? r->daemon : getpid()),
		.to_disk = disk_written(r->home),
	};
}

static void sync_if_counted(const struct run *r)
{
	if (r->work->unit == WRITTEN)
		sync();
}

/* Nothing is open or mounted any more. Returns what side_written() was at the end. */
static struct written let_go(struct run *r)
{
	struct written written;
	siginfo_t info;
	uint64_t rss;

	for (unsigned i = 0; i <= MAX_THREADS; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
		r->fd[i] = -1;
	}
	sql_close(r);
	if (r->daemon <= 0) {
		sync_if_counted(r);
		return side_written(r);
	}
	rss = process_rss_max(r->daemon);
	if (r->rss < rss)
		r->rss = rss;
	run_program((const char *[ARGUMENTS]){"fusermount3", "-u", r->dir});
	if (waitid(P_PID, (id_t)r->daemon, &info, WEXITED | WNOWAIT) < 0)
		err(1, "the daemon");
	sync_if_counted(r);
	written = side_written(r);
	wait_for(r->daemon, "the daemon");
	r->daemon = 0;
	return written;
}

void side_restart(struct run *r, const struct programs *programs, bool cold)
{
	let_go(r);
	sync();
	if (cold)
		system_drop_caches(r->home);
	side_mount(r, programs);
	if (r->db != NULL)
		sql_open(r);
}

struct written side_stop(struct run *r)
{
	struct written written = let_go(r);

	free(r->db);
	r->db = NULL;
	run_program((const char *[ARGUMENTS]){"rm", "-rf", "--", r->home});
	return written;
}
