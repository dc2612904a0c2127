/*
 * The notifier: two threads that tell the kernel what to drop.
 *
 * One of them is for inodes: attributes and pages. What there is to send is noted at the inodes
 * (inodes.h); this is only the thread and its bell. The other one is for names, in a queue of
 * NOTIFY_NAMES_MAX; when that is full, all names are dropped at once, which needs no queue.
 *
 * A notification may wait for locks that the kernel holds while a request is under way. It is never
 * sent from a request, nor with a lock of ours held. What each may wait for, and why no circle is
 * closed:
 *
 *   inode  The locks of its pages, and for pages that are being written back: held for READ, for
 *          READLINK, and for WRITE of a mapping's pages. These requests are answered without
 *          waiting for the notifier: by the thread that received them, or a gathered WRITE by the
 *          one that commits it (gather.h). It may also send such a WRITE itself (a page that is
 *          dirty), which another thread answers.
 *   name   The lock of the directory: held for every request about its names, and by whoever waits
 *          meanwhile for the lock of a file in it (unlink, link, rename over it), which a WRITE to
 *          that file may hold.
 *
 * Requests that wait for the notifier are those whose answer was left to it (notify_before): WRITE,
 * FALLOCATE, COPY_FILE_RANGE, OPEN, GETATTR, LOOKUP and LINK. They hold the lock of a file or of a
 * directory, never one of a page; and IOCTL (notify_after), which holds none at all. So they may
 * wait for the thread of inodes, which never waits for what they hold; but not for the one of
 * names: unlink holds the directory and waits for the file, a write holds the file and waits for
 * its answer, and the thread of names waits for the directory. That is why there are two. Nobody
 * waits for the thread of names.
 *
 * When all names are dropped the kernel takes no lock; the thread of inodes does it. Nor does it
 * for the attributes of an inode in use: a SETATTR that failed tells of these itself (tell_attr).
 */
#pragma once

#include "inodes.h"

#include <stddef.h>

struct notify;

#define NOTIFY_NAMES_MAX 4096u

/* How things are sent; called from the notifier's threads only. */
struct notify_ops {
	void (*inode)(void *arg, const struct inodes_stale *stale);
	/* Entry `name` (terminated) of a directory is not to be believed any more; with `gone` it
	 * is to be forgotten at once, so that what it was can be. */
	void (*name)(void *arg, uint64_t parent, const char *name, size_t len, bool gone);
	/* No entry of any directory is to be believed any more. */
	void (*all_names)(void *arg);
};

/* `ops` must stay. -ENOMEM, -EAGAIN. */
int notify_start(struct inodes *inodes, const struct notify_ops *ops, void *arg,
	struct notify **ret) MUST_CHECK NONNULL(1, 2, 4);

/* Ends the threads; what was not sent by now is not sent, and what comes after is not either.
 * Requests must still be answered while this waits: a notification may hang on one. Takes NULL. */
void notify_halt(struct notify *n);

/* Halts it if that was not done, and frees it. Takes NULL. Returns NULL. */
struct notify *notify_free(struct notify *n);

/* Let the kernel drop, soon: len bytes from offset, 0: to the end; offset < 0: only attributes. */
void notify_stale(struct notify *n, uint64_t ino, int64_t offset, int64_t len) NONNULL(1);

/* All of the inode, with the entries that lead to it and are not in use, where the kernel can. */
void notify_forget(struct notify *n, uint64_t ino) NONNULL(1);

/* A name: what it was, or that it was not there; see notify_ops. It must not have NUL in it. */
void notify_name(struct notify *n, uint64_t parent, const char *bytes, size_t len, bool gone)
	NONNULL(1, 3);

/* All names; all inodes that the kernel knows, if they were answered at `since` or later. */
void notify_all_names(struct notify *n) NONNULL(1);
void notify_all_inodes(struct notify *n, int64_t since) NONNULL(1);

/* What is to be done when the kernel has dropped something. The memory is the caller's until `done`
 * is called, and no longer the notifier's then. */
struct notify_job {
	struct inodes_stale stale;
	void (*done)(struct notify_job *job);
	struct notify_job *next; /* the notifier's */
};

/*
 * Sends job->stale and then calls job->done(job), on the thread of inodes; after notify_halt() it
 * only calls, at once. So a request can be answered after the kernel has dropped what is wrong, by
 * leaving the answer to `done` - if the kernel holds no lock for it that the drop waits for, as it
 * does for a page that is being written back and for a truncation.
 */
void notify_before(struct notify *n, struct notify_job *job) NONNULL(1, 2);

/*
 * Calls job->done(job) when the kernel has dropped all that was noted before the call: inodes and,
 * where it can, all names; not single names, for which nobody may wait. job->stale is not used.
 * What is noted meanwhile may be waited for as well.
 */
void notify_after(struct notify *n, struct notify_job *job) NONNULL(1, 2);

/* Data of the inode is about to be given to the kernel: see inodes_filled(). */
void notify_filled(struct notify *n, uint64_t ino, int64_t at, uint64_t pages, uint64_t all)
	NONNULL(1);
