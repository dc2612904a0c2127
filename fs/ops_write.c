/*
 * write(2): one request is one change. Small ones are gathered (gather.h), so that all that wait
 * are committed at once; larger ones, and what does not fit any more, are carried out where they
 * are.
 *
 * Where the kernel may have kept something that is not in the store (a write that failed or went
 * elsewhere), it is told to drop it: before the answer if others must not see it after that, else,
 * and where the drop would wait for the answer, behind it. See notify.h.
 */
#include "caller.h"
#include "latency.h"
#include "ops.h"
#include "reply.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Larger ones are not copied to be gathered, and gain little by it. */
#define GATHERED_SIZE_MAX 65536u

static_assert(GATHER_MAX <= STORE_BATCH_MAX, "what is gathered is one batch");

/* A write as the kernel asked for it. */
struct write {
	fuse_req_t req;
	struct latency_stamp stamp;
	uint64_t offset;
	bool page; /* it writes a page of a mapping back */
	bool durable;
	struct change change;
};

struct gathered {
	struct gather_item item;
	struct write write;
	unsigned char data[];
};

static struct write make_write(fuse_req_t req, fuse_ino_t ino, const void *data, size_t size,
	off_t off, const struct fuse_file_info *fi)
{
	struct write w = {
		.req = req,
		.stamp = latency_stamp(),
		.offset = (uint64_t)off,
		.page = fi->writepage,
		/* On a handle without the page cache the kernel leaves O_SYNC and O_DSYNC to us. */
		.durable = fi->flags & O_DSYNC,
		.change = reply_change(req, CHANGE_WRITE),
	};
	w.change.write = (struct change_write){.ino = ino,
		.offset = (uint64_t)off,
		.len = size,
		.data = data,
		/* Pages of a mapping go where they were mapped, whoever's handle carries them. */
		.append = fi->flags & O_APPEND && !fi->writepage};
	if (fi->writepage)
		w.change.caller.kill_suid = false;
	else
		w.change.caller.kill_sgid = caller_kills_idle_sgid(req, ino);
	return w;
}

static void answer_failure(const struct write *w)
{
	struct fs *fs = fs_of(w->req);
	const struct change *c = &w->change;
	uint64_t ino = c->write.ino;
	if (w->page) { /* to drop a page that is being written back, the kernel waits for our answer
			*/
		reply_error(w->req, OP_WRITE, c->result);
		notify_stale(fs->notify, ino, (int64_t)w->offset, (int64_t)c->write.len);
		reply_doubt(fs, c, ino);
	} else {
		reply_failure(w->req, OP_WRITE, c, ino);
	}
	reply_log_failure(fs, OP_WRITE, ino, (int64_t)w->offset, c->result);
}

static void answer(const struct write *w)
{
	const struct change *c = &w->change;
	latency_resume(w->stamp);
	if (c->result < 0) {
		answer_failure(w);
		return;
	}
	block_unref(c->write.head);
	block_unref(c->write.tail);
	/* A page that is being written back is the new data, and cannot be dropped before. */
	if (w->page)
		fuse_reply_write(w->req, c->write.len);
	else if (c->write.offset == w->offset)
		reply_written(w->req, c, w->offset);
	else /* the end was not where the kernel thought */
		reply_written_elsewhere(w->req, c->write.ino, c->write.len);
}

/* False: there is no room, or no memory. */
static bool gather_write(struct fs *fs, const struct write *w)
{
	size_t size = w->change.write.len;
	if (size > GATHERED_SIZE_MAX)
		return false;
	struct gathered *g = malloc(sizeof *g + size);
	if (!g)
		return false;
	g->item.bytes = size;
	g->write = *w;
	memcpy(g->data, w->change.write.data, size);
	g->write.change.write.data = g->data;
	if (gather_put(fs->gather, &g->item))
		return true;
	free(g);
	return false;
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	atomic_fetch_add_explicit(&fs->write_requests, 1, memory_order_relaxed);
	if (size == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	struct write w = make_write(req, ino, data, size, off, fi);
	if (gather_write(fs, &w))
		return;
	struct change *c = &w.change;
	reply_apply_all(fs, &c, 1, w.durable);
	answer(&w);
}

bool op_write_gathered(void *arg, struct gather_item *first, size_t n)
{
	struct fs *fs = arg;
	struct change *changes[STORE_BATCH_MAX];
	bool durable = false;
	struct gather_item *at = first;
	for (size_t i = 0; i < n; i++, at = at->next) {
		struct write *w = &CONTAINER_OF(at, struct gathered, item)->write;
		durable |= w->durable;
		changes[i] = &w->change;
	}
	bool flushed = settings_flushes(&fs->settings, durable);
	reply_apply_all(fs, changes, n, durable);
	for (struct gather_item *item = first, *next; item; item = next) {
		next = item->next;
		struct gathered *g = CONTAINER_OF(item, struct gathered, item);
		answer(&g->write);
		free(g);
	}
	return flushed;
}
