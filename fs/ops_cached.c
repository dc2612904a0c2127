/*
 * What a mount has done lately and what it has cached, for the control interface (control.h): what
 * `recordfsctl report` asks for, a piece with each call.
 */
#include "cache/blocks.h"
#include "control.h"
#include "ops.h"
#include "past.h"
#include "reply.h"
#include "stack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(
	_IOC_SIZE(RECORDFS_IOC_HISTORY) == sizeof(struct recordfs_history), "14 bits of size");
static_assert(_IOC_SIZE(RECORDFS_IOC_CACHED) == sizeof(struct recordfs_cached), "14 bits of size");
static_assert(_IOC_SIZE(RECORDFS_IOC_PATH) == sizeof(struct recordfs_path), "14 bits of size");
static_assert(RECORDFS_CACHED_END == BLOCKS_WALK_END, "one cursor");

/* A zeroed answer of `size` bytes for what came in; NULL: the request was answered with an errno.
 */
static void *begin(fuse_req_t req, size_t size, size_t in_size)
{
	void *ret = in_size < size ? NULL : calloc(1, size);
	if (!ret)
		reply_error(req, OP_IOCTL, in_size < size ? -EINVAL : -ENOMEM);
	return ret;
}

void op_ioctl_history(fuse_req_t req, const void *in, size_t in_size)
{
	struct fs *fs = fs_of(req);
	struct recordfs_history *h = begin(req, sizeof *h, in_size);
	if (!h)
		return;
	memcpy(&h->first, (const char *)in + offsetof(struct recordfs_history, first),
		sizeof h->first);
	h->version = RECORDFS_CONTROL_VERSION;
	if (fs->past)
		h->n = past_read(fs->past, &h->first, h->sample, RECORDFS_SAMPLES);
	fuse_reply_ioctl(req, 0, h, sizeof *h);
	free(h);
}

static unsigned ttl_bucket(int64_t left, int64_t step)
{
	if (left <= 0)
		return 0;
	int64_t bucket = (left - 1) / step + 1;
	return bucket < RECORDFS_TTL_BUCKETS ? (unsigned)bucket : RECORDFS_TTL_BUCKETS - 1;
}

/* Neighbours of one inode become one. */
static void export_seen(const struct blocks_seen *seen, size_t n, struct recordfs_cached *c)
{
	struct recordfs_cached_inode *to = NULL;
	for (size_t i = 0; i < n; i++) {
		if (seen[i].data)
			c->ttl[ttl_bucket(seen[i].ttl_left, c->step)]++;
		if (!to || to->ino != seen[i].ino) {
			to = &c->inode[c->n++];
			to->ino = seen[i].ino;
		}
		to->blocks += seen[i].data;
		to->bytes += seen[i].bytes;
	}
}

void op_ioctl_cached(fuse_req_t req, const void *in, size_t in_size)
{
	struct recordfs_cached *c = begin(req, sizeof *c, in_size);
	if (!c)
		return;
	memcpy(c, in, offsetof(struct recordfs_cached, ttl));
	c->n = 0;
	struct blocks_seen *seen = calloc(RECORDFS_CACHED_MAX, sizeof *seen);
	if (!seen || c->step <= 0) {
		reply_error(req, OP_IOCTL, seen ? -EINVAL : -ENOMEM);
		free(seen);
		free(c);
		return;
	}
	c->version = RECORDFS_CONTROL_VERSION;
	export_seen(seen, stack_walk(fs_of(req)->store, &c->cursor, seen, RECORDFS_CACHED_MAX), c);
	fuse_reply_ioctl(req, 0, c, sizeof *c);
	free(seen);
	free(c);
}

void op_ioctl_path(fuse_req_t req, const void *in, size_t in_size)
{
	struct recordfs_path *p = begin(req, sizeof *p, in_size);
	if (!p)
		return;
	memcpy(&p->ino, (const char *)in + offsetof(struct recordfs_path, ino), sizeof p->ino);
	if (store_path(fs_of(req)->store, p->ino, p->path, sizeof p->path) < 0)
		memset(p->path, 0, sizeof p->path);
	fuse_reply_ioctl(req, 0, p, sizeof *p);
	free(p);
}
