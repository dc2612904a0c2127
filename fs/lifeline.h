/*
 * The lifeline: a process that ends the mount's connection when the daemon was killed.
 *
 * That is otherwise the kernel's work, when the last descriptor of the connection closes. But one
 * of the daemon's threads may be in the middle of a notification that waits, not to be killed, for
 * the lock of a directory; and who holds that lock may wait, not to be killed either, for an answer
 * of the daemon. Then the descriptor never closes, and all that touches the mount hangs.
 *
 * So there is a child with nothing open, which the kernel signals when the daemon's main thread is
 * gone (PR_SET_PDEATHSIG), and which then writes to the connection's `abort` in the fusectl
 * filesystem (/sys/fs/fuse/connections; its owner is who mounted). Where that is not mounted it
 * mounts it for itself, which only root may; where it may not, or a process cannot be made, the
 * daemon does without.
 */
#pragma once

#include "cache/store/compiler.h"

#include <sys/types.h>

/* Zeroed: there is none. */
struct lifeline {
	pid_t pid;
	int fd; /* the child reads from it which connection it is */
};

/* Makes the child. By the thread that lives as long as the mount, before there are others, and
 * before anything is open that must not be in two processes. */
void lifeline_start(struct lifeline *l) NONNULL(1);

/* From now on it is for the filesystem that is mounted there, whose requests are answered. */
void lifeline_attach(struct lifeline *l, const char *mountpoint) NONNULL(1, 2);

/* Ends the child: the daemon will end the mount itself. Takes a zeroed one. */
void lifeline_stop(struct lifeline *l) NONNULL(1);
