/* Loads on the data of files that are in memory. Durable writing is O_DSYNC on ext4 and plain
 * writing on recordfs, whose sync=always is what is measured. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define READ_SIZE (128 * 1024)
/* What a lone overwrite of 4 KiB in a long row adds to the log: four frames (docs/measurements.md).
 */
#define FRAMES (4 * (BLOCK + 24))
#define LOG_SIZE (16 * MIB)

int file_open(const struct run *r, unsigned number, int flags)
{
	char path[PATH_MAX];
	int fd;

	if (r->work->durable && r->side != RECORDFS && (flags & O_ACCMODE) != O_RDONLY)
		flags |= O_DSYNC;
	snprintf(path, sizeof(path), "%s/file-%u", r->dir, number);
	fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

void file_write(const struct run *r, int fd, const void *bytes, size_t len, uint64_t at)
{
	if (pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
		err(1, "%s: write", r->dir);
}

void file_read(const struct run *r, int fd, void *bytes, size_t len, uint64_t at)
{
	if (pread(fd, bytes, len, (off_t)at) != (ssize_t)len)
		err(1, "%s: read", r->dir);
}

static uint64_t size_of_one(const struct run *r)
{
	return r->scale->file_size / (r->work->apart ? r->threads : 1);
}

void file_make(const struct run *r, unsigned number, uint64_t size)
{
	struct worker w = {.random = 4711 + number};
	int fd = file_open(r, number, O_WRONLY | O_CREAT | O_TRUNC);

	for (uint64_t at = 0; at < size; at += MIB)
		file_write(r, fd, fresh_bytes(&w), MIB, at);
	if (close(fd) < 0)
		err(1, "%s: close", r->dir);
}

/* One file for all threads, or one for each; every thread opens it for itself. */
static void open_for_all(struct run *r, int flags)
{
	for (unsigned i = 0; i < r->threads; i++) {
		if (i == 0 || r->work->apart)
			file_make(r, i, size_of_one(r));
		r->fd[i] = file_open(r, r->work->apart ? i : 0, flags);
	}
}

static void setup_overwrite(struct run *r)
{
	open_for_all(r, O_WRONLY);
	sync();
}

static void op_overwrite(struct worker *w, unsigned i)
{
	(void)i;
	file_write(
		w->run, w->fd, fresh_bytes(w), BLOCK, pick(w, size_of_one(w->run) / BLOCK) * BLOCK);
}

/* A log that has its size, of which the next frames are written over. */
static void setup_frames(struct run *r)
{
	file_make(r, 0, LOG_SIZE);
	r->fd[0] = file_open(r, 0, O_WRONLY);
}

static void op_frames(struct worker *w, unsigned i)
{
	file_write(w->run, w->fd, fresh_bytes(w), FRAMES, i * FRAMES % (LOG_SIZE - FRAMES));
}

static void setup_append(struct run *r)
{
	r->fd[0] = file_open(r, 0, O_WRONLY | O_CREAT | O_APPEND);
}

static void op_append(struct worker *w, unsigned i)
{
	(void)i;
	if (write(w->fd, fresh_bytes(w), LOG_RECORD) != (ssize_t)LOG_RECORD)
		err(1, "%s: append", w->run->dir);
}

/* Written, then read through once by each descriptor. */
static void setup_read(struct run *r)
{
	static unsigned char buf[MIB];

	open_for_all(r, O_RDONLY);
	for (unsigned i = 0; i < r->threads; i++)
		for (uint64_t at = 0; at < r->scale->file_size; at += sizeof(buf))
			file_read(r, r->fd[i], buf, sizeof(buf), at);
}

static void op_read_random(struct worker *w, unsigned i)
{
	(void)i;
	file_read(w->run, w->fd, w->buf, BLOCK, pick(w, w->run->scale->file_size / BLOCK) * BLOCK);
}

static void op_read_sequential(struct worker *w, unsigned i)
{
	size_t size = w->run->scale->file_size, start = w->index * (size / MAX_THREADS);

	file_read(w->run, w->fd, w->buf, READ_SIZE, (start + (uint64_t)i * READ_SIZE) % size);
}

static void setup_direct(struct run *r)
{
	open_for_all(r, O_RDONLY | O_DIRECT);
}

static void setup_first(struct run *r)
{
	setup_read(r);
	r->fd[MAX_THREADS] = file_open(r, 0, O_WRONLY);
}

/* The kernel dropped, or never had, the page that was just written. Only the read counts. */
static void op_read_first(struct worker *w, unsigned i)
{
	uint64_t at = pick(w, w->run->scale->file_size / BLOCK) * BLOCK;

	(void)i;
	file_write(w->run, w->run->fd[MAX_THREADS], fresh_bytes(w), BLOCK, at);
	w->began = now_ns();
	file_read(w->run, w->fd, w->buf, BLOCK, at);
}

/* The writing that is about to be measured, of a file that is there but not open. */
static void setup_settled(struct run *r)
{
	file_make(r, 0, size_of_one(r));
}

static void before_settled(struct run *r)
{
	for (unsigned i = 0; i < r->threads; i++)
		r->fd[i] = file_open(r, 0, O_WRONLY);
}

const struct load overwrite = {setup_overwrite, NULL, op_overwrite, AT_ONCE};
const struct load overwrite_settled = {setup_settled, before_settled, op_overwrite, SETTLED};
const struct load log_frames = {setup_frames, NULL, op_frames, AT_ONCE};
const struct load append = {setup_append, NULL, op_append, AT_ONCE};
const struct load append_settled = {NULL, setup_append, op_append, SETTLED};
const struct load read_random = {setup_read, NULL, op_read_random, AT_ONCE};
const struct load read_sequential = {setup_read, NULL, op_read_sequential, AT_ONCE};
const struct load read_direct = {setup_direct, NULL, op_read_random, AT_ONCE};
const struct load read_first = {setup_first, NULL, op_read_first, AT_ONCE};
