#include "ops_control.h"

#include "control.h"
#include "log.h"
#include "loop.h"
#include "reply.h"
#include "stack.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static_assert(_IOC_SIZE(RECORDFS_IOC_DROP) == sizeof(struct recordfs_drop), "14 bits of size");
static_assert(_IOC_SIZE(RECORDFS_IOC_SET) == sizeof(struct recordfs_set), "14 bits of size");

/* An answer that waits until the kernel has dropped what it was told to. */
struct waiting {
	struct notify_job job;
	fuse_req_t req;
	size_t size; /* of `set`, as far as it is the answer */
	struct recordfs_set set;
};

static void answer(struct notify_job *job)
{
	struct waiting *w = CONTAINER_OF(job, struct waiting, job);
	fuse_reply_ioctl(w->req, 0, &w->set, w->size);
	free(w);
}

/* Before anything is done, so that nothing is said to have failed that was done. NULL: answered,
 * with ENOMEM. */
static struct waiting *waiting_new(fuse_req_t req, size_t size)
{
	struct waiting *w = calloc(1, sizeof *w);
	if (!w) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	w->req = req;
	w->size = size;
	w->job = (struct notify_job){.done = answer};
	return w;
}

/* The request holds none of the kernel's locks, so it may wait: see notify.h. */
static void reply_after_drops(struct waiting *w)
{
	notify_after(fs_of(w->req)->notify, &w->job);
}

/* The heap's top goes back by itself, but blocks lie anywhere in it. */
static void give_memory_back(void)
{
	malloc_trim(0);
}

static void forget_all(struct fs *fs)
{
	notify_all_names(fs->notify);
	notify_all_inodes(fs->notify, INT64_MIN);
}

/* The daemon's cache first: what the kernel asks for after a drop is then read from the store. */
static void drop(fuse_req_t req, const struct recordfs_drop *d)
{
	struct fs *fs = fs_of(req);
	if (d->n > RECORDFS_DROP_MAX || (d->all && d->n > 0)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct waiting *w = waiting_new(req, 0);
	if (!w)
		return;
	loop_may_block(NULL);
	if (d->all) {
		stack_forget_all(fs->store);
		forget_all(fs);
		give_memory_back();
	}
	for (uint32_t i = 0; i < d->n; i++) {
		stack_forget(fs->store, d->ino[i]);
		notify_forget(fs->notify, d->ino[i]);
	}
	loop_has_blocked();
	reply_after_drops(w);
}

static void warm(fuse_req_t req, uint64_t ino, const struct recordfs_warm *in)
{
	struct fs *fs = fs_of(req);
	struct stack_warmed w;
	size_t bytes = (size_t)in->count * STORE_BLOCK_SIZE;
	if (in->count == 0 || in->count > RECORDFS_WARM_MAX || in->session > UINT16_MAX ||
		in->first > STORE_FILE_MAX / STORE_BLOCK_SIZE - in->count) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	room_enter(fs->room, bytes, loop_may_block);
	int r = stack_warm(fs->store, ino, in->first, in->count, (uint16_t)in->session, &w);
	loop_has_blocked();
	room_leave(fs->room, bytes);
	if (r < 0) {
		reply_log_failure(fs, OP_READ, ino, (int64_t)(in->first * STORE_BLOCK_SIZE), r);
		fuse_reply_err(req, errors_reply(OP_READ, r));
		return;
	}
	struct recordfs_warm out = *in;
	out.session = w.session;
	out.blocks = w.blocks;
	out.kept = w.kept;
	out.flags = (w.full ? RECORDFS_WARM_FULL : 0) | (w.never ? RECORDFS_WARM_NEVER : 0);
	fuse_reply_ioctl(req, 0, &out, sizeof out);
}

/* What the kernel has was given to it for the longer TTL. */
static void have_kernel_follow(struct fs *fs)
{
	/* Replies that are being made let it keep nothing, and those that have just left are seen
	 * to by the watcher. */
	atomic_fetch_add(&fs->outside_changes, 1);
	forget_all(fs);
	atomic_store(&fs->echo_all, true);
}

static void set(fuse_req_t req, const struct recordfs_set *in)
{
	struct fs *fs = fs_of(req);
	struct waiting *w = waiting_new(req, sizeof *in);
	if (!w)
		return;
	struct recordfs_set *out = &w->set;
	struct options before, now;
	memcpy(out->text, in->text, sizeof out->text - 1);
	loop_may_block(NULL);
	int r = settings_change(
		&fs->settings, fs->store, out->text, &before, out->why, sizeof out->why);
	loop_has_blocked();
	out->error = -r;
	now = settings_get(&fs->settings);
	control_describe(&now, out->options, sizeof out->options);
	if (r == 0) {
		log_line(LOG_NOTICE, "user %u has set %s; now %s", (unsigned)fuse_req_ctx(req)->uid,
			out->text, out->options);
		if (now.cache_size < before.cache_size)
			give_memory_back();
	}
	if (r == 0 && now.cache_ttl_ns < before.cache_ttl_ns) {
		have_kernel_follow(fs);
		reply_after_drops(w);
	} else {
		answer(&w->job);
	}
}

static size_t size_of(unsigned cmd)
{
	switch (cmd) {
	case RECORDFS_IOC_DROP:
		return sizeof(struct recordfs_drop);
	case RECORDFS_IOC_WARM:
		return sizeof(struct recordfs_warm);
	case RECORDFS_IOC_SET:
		return sizeof(struct recordfs_set);
	default:
		return 0;
	}
}

/* `in` may lie anywhere: a copy of it is aligned. */
static void carry_out(fuse_req_t req, uint64_t ino, unsigned cmd, const void *in)
{
	static_assert(sizeof(struct recordfs_drop) >= sizeof(struct recordfs_set), "the largest");
	struct recordfs_drop *copy = malloc(sizeof *copy);
	if (!copy) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(copy, in, size_of(cmd));
	if (cmd == RECORDFS_IOC_DROP)
		drop(req, copy);
	else if (cmd == RECORDFS_IOC_WARM)
		warm(req, ino, (const void *)copy);
	else
		set(req, (const void *)copy);
	free(copy);
}

bool control_change(
	fuse_req_t req, uint64_t ino, unsigned cmd, const void *in, size_t in_size, size_t out_size)
{
	size_t size = size_of(cmd);
	if (size == 0)
		return false;
	if (in_size < size || (cmd != RECORDFS_IOC_DROP && out_size < size))
		fuse_reply_err(req, EINVAL);
	else
		carry_out(req, ino, cmd, in);
	return true;
}
