/*
 * A kernel that a test plays: the daemon's operations, with all that is beside them, over any
 *store, are spoken to in the kernel's own protocol (<linux/fuse.h>), and nothing is mounted.
 *Requests go through libfuse to the operations, and what the kernel would be told comes back.
 *
 *	struct kernel *k = kernel_open(store, &config);
 *	struct kernel_answer a;
 *	kernel_ask(k, FUSE_GETATTR, 1, &in, sizeof in, &a);
 *	kernel_settle(k);
 *	... a.error, a.data, a.size
 *	kernel_answer_free(&a);
 *	kernel_close(k);
 *
 * Requests are processed one at a time, on the calling thread, as by a request thread that keeps
 * the baton; small writes gather until kernel_settle(). What cannot be had ends the process.
 *
 * As the kernel does it, and as libfuse believes without looking: a request is as long as it says,
 * names end with NUL, and the sizes in it are those of what follows.
 */
#pragma once

#include "cache/store/compiler.h"
#include "cache/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel;

struct kernel_config {
	uint32_t minor;	      /* of the kernel's protocol */
	int64_t cache_ttl_ns; /* as in struct options */
	uint32_t uid, gid;    /* of who asks */
	void (*pause)(
		bool); /* around what is this kernel's work and not the daemon's; may be NULL */
};

/* What became of a request. Its memory must stay until kernel_settle(). */
struct kernel_answer {
	bool refused;  /* in: the kernel does not take the answer, for who asked is dead */
	bool answered; /* out, and all below */
	int error;     /* 0 or a positive errno */
	size_t size;
	unsigned char *data;
};

/* Puts itself over the store, which stays the caller's. */
struct kernel *kernel_open(struct store *store, const struct kernel_config *config) NONNULL(1, 2);

/* Deletes what has neither name nor user, and takes all of it down; not the store. */
void kernel_close(struct kernel *k) NONNULL(1);

/* What comes after is asked by these. */
void kernel_caller(struct kernel *k, uint32_t uid, uint32_t gid) NONNULL(1);

/* A request, `size` bytes after the header. *ret is all zeros but for `refused`. */
void kernel_ask(struct kernel *k, uint32_t opcode, uint64_t nodeid, const void *in, size_t size,
	struct kernel_answer *ret) NONNULL(1, 6);

/* One that is not answered: FORGET, BATCH_FORGET. */
void kernel_tell(struct kernel *k, uint32_t opcode, uint64_t nodeid, const void *in, size_t size)
	NONNULL(1);

/* INTERRUPT, of a request that is over, or was never made. */
void kernel_interrupt(struct kernel *k, uint64_t unique) NONNULL(1);

/* Commits what has gathered. */
void kernel_commit(struct kernel *k) NONNULL(1);

/* Was the last of that flushed, as the gather was told? */
bool kernel_flushed(const struct kernel *k) MUST_CHECK NONNULL(1);

/* As `recordfsctl set` has it; the store is a cache. */
void kernel_set(struct kernel *k, const char *text) NONNULL(1, 2);

/* The same, and waits until everything is answered. False: something is not, after
 * a minute. */
bool kernel_settle(struct kernel *k) MUST_CHECK NONNULL(1);

/* How many requests are not answered yet. */
size_t kernel_waiting(struct kernel *k) MUST_CHECK NONNULL(1);

/* The kernel takes no notification for now: somebody holds the locks that it needs. */
void kernel_block_drops(struct kernel *k, bool blocked) NONNULL(1);

/* How many inodes it was told to drop something of. */
size_t kernel_drops(struct kernel *k) MUST_CHECK NONNULL(1);

/* The store has told of a change by others; the request that is under way may have missed it. */
void kernel_others_changed(struct kernel *k) NONNULL(1);

/* How many inodes the daemon takes to be known or open. */
size_t kernel_inodes(struct kernel *k) MUST_CHECK NONNULL(1);

void kernel_answer_free(struct kernel_answer *a) NONNULL(1);
