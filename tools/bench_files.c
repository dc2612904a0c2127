/* Loads on the data of files. Durable writing is O_DSYNC on ext4 and plain writing on recordfs,
 * whose sync=always is what is measured. */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define READ_SIZE (128 * 1024)

static int open_file(const struct run *r, unsigned number, int flags)
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

static void write_all(const struct run *r, int fd, const void *bytes, size_t len, uint64_t at)
{
	if (pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
		err(1, "%s: write", r->dir);
}

static void read_all(const struct run *r, int fd, void *bytes, size_t len, uint64_t at)
{
	if (pread(fd, bytes, len, (off_t)at) != (ssize_t)len)
		err(1, "%s: read", r->dir);
}

static uint64_t size_of_one(const struct run *r)
{
	return r->scale->file_size / (r->work->apart ? r->threads : 1);
}

static void make_file(struct run *r, unsigned number)
{
	struct worker w = {.random = 4711 + number};
	int fd = open_file(r, number, O_WRONLY | O_CREAT | O_TRUNC);

	for (uint64_t at = 0; at < size_of_one(r); at += MIB)
		write_all(r, fd, fresh_bytes(&w), MIB, at);
	if (close(fd) < 0)
		err(1, "%s: close", r->dir);
}

/* One file for all threads, or one for each; every thread opens it for itself. */
static void open_for_all(struct run *r, int flags)
{
	for (unsigned i = 0; i < r->threads; i++) {
		if (i == 0 || r->work->apart)
			make_file(r, i);
		r->fd[i] = open_file(r, r->work->apart ? i : 0, flags);
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
	write_all(
		w->run, w->fd, fresh_bytes(w), BLOCK, pick(w, size_of_one(w->run) / BLOCK) * BLOCK);
}

static void setup_append(struct run *r)
{
	r->fd[0] = open_file(r, 0, O_WRONLY | O_CREAT | O_APPEND);
}

static void op_append(struct worker *w, unsigned i)
{
	(void)i;
	if (write(w->fd, fresh_bytes(w), LOG_RECORD) != (ssize_t)LOG_RECORD)
		err(1, "%s: append", w->run->dir);
}

/* A new file each time: what removing the last one costs is another question. */
static void before_sequential(struct run *r)
{
	if (r->fd[0] >= 0)
		close(r->fd[0]);
	r->fd[0] = open_file(r, r->rep, O_WRONLY | O_CREAT | O_EXCL);
}

static void op_sequential(struct worker *w, unsigned i)
{
	write_all(w->run, w->fd, fresh_bytes(w), MIB, i * MIB);
}

/* Written, then read through once by each descriptor. */
static void setup_read(struct run *r)
{
	static unsigned char buf[MIB];

	open_for_all(r, O_RDONLY);
	for (unsigned i = 0; i < r->threads; i++)
		for (uint64_t at = 0; at < r->scale->file_size; at += sizeof(buf))
			read_all(r, r->fd[i], buf, sizeof(buf), at);
}

static void op_read_random(struct worker *w, unsigned i)
{
	(void)i;
	read_all(w->run, w->fd, w->buf, BLOCK, pick(w, w->run->scale->file_size / BLOCK) * BLOCK);
}

static void op_read_sequential(struct worker *w, unsigned i)
{
	size_t size = w->run->scale->file_size, start = w->index * (size / MAX_THREADS);

	read_all(w->run, w->fd, w->buf, READ_SIZE, (start + (uint64_t)i * READ_SIZE) % size);
}

static void setup_direct(struct run *r)
{
	open_for_all(r, O_RDONLY | O_DIRECT);
}

static void setup_first(struct run *r)
{
	setup_read(r);
	r->fd[MAX_THREADS] = open_file(r, 0, O_WRONLY);
}

/* The kernel dropped, or never had, the page that was just written. Only the read counts. */
static void op_read_first(struct worker *w, unsigned i)
{
	uint64_t at = pick(w, w->run->scale->file_size / BLOCK) * BLOCK;

	(void)i;
	write_all(w->run, w->run->fd[MAX_THREADS], fresh_bytes(w), BLOCK, at);
	w->began = now_ns();
	read_all(w->run, w->fd, w->buf, BLOCK, at);
}

const struct load overwrite = {setup_overwrite, NULL, op_overwrite, false};
const struct load append = {setup_append, NULL, op_append, false};
const struct load sequential = {NULL, before_sequential, op_sequential, false};
const struct load read_random = {setup_read, NULL, op_read_random, false};
const struct load read_sequential = {setup_read, NULL, op_read_sequential, false};
const struct load read_direct = {setup_direct, NULL, op_read_random, false};
const struct load read_first = {setup_first, NULL, op_read_first, false};
