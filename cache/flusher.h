/*
 * The flusher: sees to it that what was committed without a flush is on stable storage within a
 * second, and that no flush is made that nobody needs.
 *
 * If a flush in the background fails, it is tried again, and the next flusher_flush() says -EIO
 * once, unless a flush has succeeded by then: somebody has to be told, as fsync(2) would.
 */
#pragma once

#include "lock.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

struct flusher {
	struct store *store; /* constant */
	struct lock lock;
	pthread_cond_t work; /* with lock: there is something to flush, or `closing` */
	/* Under lock: */
	uint64_t committed; /* batches */
	uint64_t flushed;   /* of these, so many are on stable storage for sure */
	bool asleep;	    /* the thread waits for a commit, however long */
	bool failed;	    /* the last flush in the background failed, nobody was told yet */
	bool closing;
	bool background; /* it flushes without being asked to */
	bool started;	 /* there is a thread; its own: */
	pthread_t thread;
};

/* Without `background` nothing is flushed but by flusher_flush(). -EAGAIN: no thread to be had. */
int flusher_init(struct flusher *f, struct store *store, bool background) MUST_CHECK NONNULL(1, 2);

/* From now on, or no more. -EAGAIN: as it was. One call at a time. */
int flusher_set_background(struct flusher *f, bool background) MUST_CHECK NONNULL(1);

/* Ends the thread; flushes nothing (closing a store does). */
void flusher_destroy(struct flusher *f) NONNULL(1);

/* A batch was committed; with `durable` it and all before it are on stable storage. */
void flusher_committed(struct flusher *f, bool durable) NONNULL(1);

/* Everything committed before the call is on stable storage on return. Errors of store_flush(). */
int flusher_flush(struct flusher *f) MUST_CHECK NONNULL(1);
