/* recordfsctl warm MOUNTPOINT [PATH...] */

#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096u /* bytes: of recordfs_info.block_size */
#define PIECE (RECORDFS_WARM_MAX * BLOCK)
/* A block that a writer has altered meanwhile is asked for so often. */
#define TRIES 3u
/* Blocks: when there is no room for so few, the cache is full. */
#define PIECE_LEAST 4u

struct warming {
	const struct target *target;
	struct progress progress;
	uint32_t session;
	uint32_t count; /* blocks of a piece, less when the cache is nearly full */
	uint64_t files, bytes;
	uint64_t never; /* files with a TTL of 0 */
	bool full, failed;
	char *buffer; /* of PIECE bytes */
};

/* Into the daemon's cache. False: stop. */
static bool warm_piece(
	struct warming *w, int fd, const char *path, uint64_t first, struct recordfs_warm *ret)
{
	for (unsigned tries = 0; tries < TRIES;) {
		*ret = (struct recordfs_warm){
			.first = first, .count = w->count, .session = w->session};
		if (ask_mount(fd, path, RECORDFS_IOC_WARM, ret) < 0) {
			w->failed = true;
			/* One record that cannot be read is no reason to leave the others. */
			return errno == EIO;
		}
		w->session = ret->session;
		bool full = ret->flags & RECORDFS_WARM_FULL;
		w->full = full && w->count <= PIECE_LEAST;
		if (w->full)
			return false;
		if (full)
			w->count /= 2;
		else if (ret->flags & RECORDFS_WARM_NEVER || ret->kept == ret->blocks)
			return true;
		else
			tries++;
	}
	return true;
}

/* Where to go on at `at`: a hole of more than a piece is passed over. */
static uint64_t skip_hole(int fd, uint64_t at, uint64_t size)
{
	if (size - at <= PIECE)
		return at;
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);
	uint64_t next = data >= 0 ? (uint64_t)data : errno == ENXIO ? size : at;
	return next > at && next - at > PIECE ? next & ~(uint64_t)(BLOCK - 1) : at;
}

/* False: stop. */
static bool warm_file(struct warming *w, int fd, const char *path, uint64_t size)
{
	struct recordfs_warm piece;
	uint64_t at = 0;
	do {
		at = skip_hole(fd, at, size);
		if (!warm_piece(w, fd, path, at / BLOCK, &piece))
			return false;
		if (piece.flags & RECORDFS_WARM_NEVER) {
			w->never++;
			return true;
		}
		/* And into the kernel's, from there. */
		ssize_t n = pread(fd, w->buffer, (size_t)piece.count * BLOCK, (off_t)at);
		w->bytes += n > 0 ? (uint64_t)n : 0;
		at += (uint64_t)piece.count * BLOCK;
		if (!progress_at(&w->progress, NULL, w->bytes, 0))
			return false;
	} while (piece.blocks == piece.count && at < size);
	w->files++;
	return true;
}

static void cannot(struct warming *w, const char *path)
{
	if (errno == ENOENT)
		return; /* it has gone meanwhile */
	complain("%s: %s", path, strerror(errno));
	w->failed = true;
}

static bool visit(void *arg, const struct walk_item *item)
{
	struct warming *w = arg;
	struct stat st;
	bool go_on = true;
	if (item->type == DT_LNK)
		(void)!readlinkat(item->dir, item->name, w->buffer, PATH_MAX);
	if (item->type != DT_REG)
		return !interrupted();
	int fd = openat(item->dir, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		cannot(w, item->path);
	else
		go_on = warm_file(w, fd, item->path, (uint64_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return go_on && !interrupted();
}

static int warm_path(struct warming *w, const char *argument)
{
	char *path = target_path(w->target, argument);
	if (!path)
		return FAILED;
	int r = walk_mount(w->target, path, visit, w);
	free(path);
	return r == 0 && !w->failed ? DONE : FAILED;
}

static void show_summary(const struct warming *w)
{
	char a[NUMBER_SIZE], b[NUMBER_SIZE];
	printf("warmed %s %s, %s", number(w->files, a), w->files == 1 ? "file" : "files",
		size_of(w->bytes, b));
	if (w->never)
		printf("; %s not, for a TTL of 0", number(w->never, a));
	putchar('\n');
}

static int warm(const struct target *t, int n, char **paths, bool quiet)
{
	struct warming w = {.target = t, .count = RECORDFS_WARM_MAX, .buffer = malloc(PIECE)};
	int status = DONE;
	if (!w.buffer)
		return complain("no memory");
	progress_begin(&w.progress, "warming", PROGRESS_BYTES, quiet);
	if (n == 0)
		status = warm_path(&w, t->place.below);
	for (int i = 0; i < n && !interrupted() && !w.full; i++)
		if (warm_path(&w, paths[i]) != DONE)
			status = FAILED;
	progress_end(&w.progress);
	free(w.buffer);
	if (!quiet)
		show_summary(&w);
	if (w.full)
		status = complain("warm: the cache is full, the rest was not read; a larger one:"
				  " recordfsctl set %s cache_size=SIZE",
			t->root);
	else if (interrupted())
		status = complain("warm: interrupted");
	return status;
}

int ctl_warm(int argc, char **argv)
{
	return target_run(argc, argv, "warm", warm);
}
