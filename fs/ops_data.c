/*
 * Operations on data, but for write (ops_write.c). A read is answered straight from the store's
 * blocks.
 */
#include "caller.h"
#include "loop.h"
#include "ops.h"
#include "reply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* A block may need two pieces, its bytes and the zeros after them. */
#define PIECES_MAX (2 * (STORE_READ_MAX + 1))

static const unsigned char zeros[STORE_BLOCK_SIZE];

struct pieces {
	int n;
	struct iovec iov[PIECES_MAX];
};

static void add_piece(struct pieces *p, const unsigned char *data, size_t len)
{
	union { /* what is sent is not written to, whatever struct iovec says */
		const void *from;
		void *to;
	} base = {.from = data};
	p->iov[p->n++] = (struct iovec){.iov_base = base.to, .iov_len = len};
}

/* Bytes [from, to) of a block. */
static void add_block(struct pieces *p, const struct block *b, uint32_t from, uint32_t to)
{
	uint32_t stored = b->len < to ? b->len : to;
	if (from < stored)
		add_piece(p, b->data + from, stored - from);
	else
		stored = from;
	if (stored < to)
		add_piece(p, zeros, to - stored);
}

/* Bytes [off, end) of the span, which must have them. */
static void cut_span(struct pieces *p, const struct store_span *span, uint64_t off, uint64_t end)
{
	p->n = 0;
	while (off < end) {
		uint64_t index = off / STORE_BLOCK_SIZE;
		uint64_t start = index * STORE_BLOCK_SIZE;
		uint64_t stop = end - start < STORE_BLOCK_SIZE ? end - start : STORE_BLOCK_SIZE;
		add_block(p, span->blocks[index - span->first], (uint32_t)(off - start),
			(uint32_t)stop);
		off = start + stop;
	}
}

static bool covers(const struct store_span *span, uint64_t off, uint64_t end)
{
	uint64_t after = (span->first + span->count) * STORE_BLOCK_SIZE;
	return span->first * STORE_BLOCK_SIZE <= off && end <= after;
}

static void reply_span(
	fuse_req_t req, uint64_t ino, const struct store_span *span, uint64_t off, uint64_t end)
{
	UNINITIALIZED struct pieces pieces;
	if (end > span->attr.size)
		end = span->attr.size;
	if (off >= end) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (!covers(span, off, end)) { /* a store that breaks its contract */
		reply_log_failure(fs_of(req), OP_READ, ino, (int64_t)off, -EIO);
		fuse_reply_err(req, EIO);
		return;
	}
	cut_span(&pieces, span, off, end);
	fuse_reply_iov(req, pieces.iov, pieces.n);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	struct fs *fs = fs_of(req);
	atomic_fetch_add_explicit(&fs->read_requests, 1, memory_order_relaxed);
	uint64_t start = (uint64_t)off;
	uint64_t end = start + size;
	if (off < 0 || start >= STORE_FILE_MAX || size == 0) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	uint64_t first = start / STORE_BLOCK_SIZE;
	uint64_t count = (end + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE - first;
	if (count > STORE_READ_MAX) { /* we have told the kernel to ask for less */
		count = STORE_READ_MAX;
		end = (first + count) * STORE_BLOCK_SIZE;
	}
	UNINITIALIZED struct store_span span;
	room_enter(fs->room, size, loop_may_block);
	int r = store_read(fs->store, ino, first, (uint32_t)count, &span);
	loop_has_blocked();
	if (r < 0) {
		room_leave(fs->room, size);
		reply_log_failure(fs, OP_READ, ino, off, r);
		reply_error(req, OP_READ, r);
		return;
	}
	/* Also for a handle without cache: a mapping of it is filled by the same requests. */
	reply_filling(fs, ino, &span.attr, span.ttl_left, size);
	reply_span(req, ino, &span, start, end);
	store_span_release(&span);
	room_leave(fs->room, size);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	struct fs *fs = fs_of(req);
	int r = store_flush(fs->store);
	if (r < 0)
		reply_log_failure(fs, OP_FSYNC, ino, 0, r);
	reply_error(req, OP_FSYNC, r);
}

static int allocate_mode(int mode, enum store_allocate *ret)
{
	switch (mode) {
	case 0:
		*ret = STORE_ALLOCATE;
		return 0;
	case FALLOC_FL_KEEP_SIZE:
		*ret = STORE_ALLOCATE_KEEP;
		return 0;
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		*ret = STORE_PUNCH_HOLE;
		return 0;
	case FALLOC_FL_ZERO_RANGE:
		*ret = STORE_ZERO_RANGE;
		return 0;
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		*ret = STORE_ZERO_RANGE_KEEP;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

void op_fallocate(
	fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)fi;
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_ALLOCATE);
	c.allocate =
		(struct change_allocate){.ino = ino, .offset = (uint64_t)off, .len = (uint64_t)len};
	c.caller.kill_sgid = caller_kills_idle_sgid(req, ino);
	int r = off < 0 || len <= 0 ? -EINVAL : allocate_mode(mode, &c.allocate.mode);
	if (r == 0)
		r = reply_apply(fs, &c);
	if (r == 0) {
		reply_changed_data(req, OP_FALLOCATE, &c, ino, 0);
	} else {
		c.result = r;
		reply_failure(req, OP_FALLOCATE, &c, ino);
	}
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off,
	struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi,
	size_t len, int flags)
{
	(void)from_fi;
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_COPY);
	c.copy = (struct change_copy){.from = from,
		.from_offset = (uint64_t)from_off,
		.to = to,
		.to_offset = (uint64_t)to_off,
		.len = len < STORE_WRITE_MAX ? len : STORE_WRITE_MAX};
	if (flags || from_off < 0 || to_off < 0 || to_fi->flags & O_APPEND) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (len == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	c.caller.kill_sgid = caller_kills_idle_sgid(req, to);
	int r = reply_apply(fs, &c);
	if (r < 0) {
		reply_failure(req, OP_COPY, &c, to);
		return;
	}
	reply_changed_data(req, OP_COPY, &c, to, c.copy.copied);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)fi;
	uint64_t found;
	int r = -EINVAL;
	if (off < 0)
		r = -ENXIO;
	else if (whence == SEEK_DATA || whence == SEEK_HOLE)
		r = store_seek(fs_of(req)->store, ino, (uint64_t)off, whence == SEEK_DATA, &found);
	if (r == -EISDIR) /* the kernel asks for files only */
		r = -EINVAL;
	if (r < 0)
		reply_error(req, OP_LSEEK, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}
