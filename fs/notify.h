/*
 * The notifier: the one thread that tells the kernel to drop what it has cached of an inode.
 *
 * A notification may wait for locks that the kernel holds while a request is under way, so it is
 * never sent from a request, nor with any lock of ours held, and no request waits for it. What
 * there is to send is noted at the inodes (inodes.h); this is only the thread and its bell.
 */
#pragma once

#include "inodes.h"

struct notify;

/* Sends one notification; called from the notifier's thread only. */
typedef void notify_send_fn(void *arg, const struct inodes_stale *stale);

int notify_start(struct inodes *inodes, notify_send_fn *send, void *arg,
	struct notify **ret) MUST_CHECK NONNULL(1, 2, 4);

/* Ends the thread; what was not sent by now is not sent, and what comes after is not either.
 * Requests must still be answered while this waits: a notification may hang on one. Takes NULL. */
void notify_halt(struct notify *n);

/* Halts it if that was not done, and frees it. Takes NULL. Returns NULL. */
struct notify *notify_free(struct notify *n);

/* Let the kernel drop, soon: len bytes from offset, 0: to the end; offset < 0: only attributes. */
void notify_stale(struct notify *n, uint64_t ino, int64_t offset, int64_t len) NONNULL(1);

/* What is to be done when the kernel has dropped something. The memory is the caller's until `done`
 * is called, and no longer the notifier's then. */
struct notify_job {
	struct inodes_stale stale;
	void (*done)(struct notify_job *job);
	struct notify_job *next; /* the notifier's */
};

/*
 * Sends job->stale and then calls job->done(job), on the notifier's thread; after notify_halt() it
 * only calls, at once. So a request can be answered after the kernel has dropped what is wrong, by
 * leaving the answer to `done` - if the kernel holds no lock for it that the drop waits for, as it
 * does for a page that is being written back and for a truncation.
 */
void notify_before(struct notify *n, struct notify_job *job) NONNULL(1, 2);

/* Data of the inode is about to be given to the kernel, which may keep it until `at`. */
void notify_filled(struct notify *n, uint64_t ino, int64_t at) NONNULL(1);
