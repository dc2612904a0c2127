/*
 * The lifeline: a process beside the daemon that makes the mount and takes it away, so that the
 * daemon can do without the rights for that (sandbox.h), and that ends the mount's connection when
 * the daemon was killed.
 *
 * The latter is otherwise the kernel's work, when the last descriptor of the connection closes. But
 * one of the daemon's threads may be in the middle of a notification that waits, not to be killed,
 * for the lock of a directory; and who holds that lock may wait, not to be killed either, for an
 * answer of the daemon. Then the descriptor never closes, and all that touches the mount hangs.
 *
 * So the child has nothing open but a socket to the daemon and the connection's `abort` in the
 * fusectl filesystem (/sys/fs/fuse/connections; its owner is who mounted. Where that is not mounted
 * it mounts it for itself, which only root may). The kernel signals it when the daemon's main
 * thread is gone (PR_SET_PDEATHSIG), and it writes to that file. It is opened when the mount is
 * made, since later its number may be that of another connection; so that filesystem is in use for
 * as long as the mount is there.
 *
 *   lifeline_start -> lifeline_mount -> lifeline_attach -> lifeline_let_go -> lifeline_unmount
 *   -> lifeline_stop; each but the first and the last may be left out.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stddef.h>
#include <sys/types.h>

#define LIFELINE_SAID_MAX 256

/* Zeroed: there is none. */
struct lifeline {
	pid_t pid;
	int fd; /* a socket: one message each way for each thing that it is asked to do */
};

/* What it does; called in the child. */
struct lifeline_ops {
	/* Mounts; the descriptor of the connection, to be closed, or a negative errno, with what
	 * was wrong in `said` (LIFELINE_SAID_MAX bytes). */
	int (*mount)(void *arg, char *said);
	/* The mount works: what is to be done with it then. */
	void (*attached)(void *arg);
};

/* Makes the child, for a mount on `mountpoint`, an absolute path without links. By the thread that
 * lives as long as the mount, before there are others, and before anything is open that must not be
 * in two processes. A negative errno. */
int lifeline_start(struct lifeline *l, const char *mountpoint, const struct lifeline_ops *ops,
	void *arg) MUST_CHECK NONNULL(1, 2, 3);

/* Has it mount. `said`: as for ops.mount. A negative errno. */
int lifeline_mount(struct lifeline *l, int *ret_fd, char said[LIFELINE_SAID_MAX]) MUST_CHECK
	NONNULL(1, 2, 3);

/* The mount's requests are answered. It needs the standard descriptors no more. */
void lifeline_attach(struct lifeline *l) NONNULL(1);

/* The mount may be gone at any time now: the connection is not to be ended any more if the daemon
 * dies. */
void lifeline_let_go(struct lifeline *l) NONNULL(1);

/* Has it unmount, lazily, if the mount is still there. After the connection's descriptor was
 * closed. A negative errno. */
int lifeline_unmount(struct lifeline *l) MUST_CHECK NONNULL(1);

/* Ends the child. Takes a zeroed one. */
void lifeline_stop(struct lifeline *l) NONNULL(1);
