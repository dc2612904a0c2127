/*
 * Group commit: many callers, one transaction. A caller queues its job; one of those who wait is
 * the leader, takes what is queued, hands it as one batch to the apply function, wakes exactly
 * those whose jobs are done, and makes the next in the queue the leader. While one batch is being
 * committed the next one gathers.
 *
 * A lone caller leads at once: no other thread takes part, nobody is woken.
 */
#pragma once

#include "lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A batch is no larger than these, unless one job is that alone. */
#define COMMIT_CHANGES_MAX 256u
#define COMMIT_BYTES_MAX ((uint64_t)8 << 20)

enum commit_state { COMMIT_QUEUED, COMMIT_LEADS, COMMIT_DONE };

/* What one caller wants applied. The caller fills in the first three and keeps the memory. */
struct commit_job {
	size_t changes; /* how many it counts for, COMMIT_CHANGES_MAX at most; 0: to wait for
			  those before it */
	uint64_t bytes; /* of data */
	bool durable;	/* must be on stable storage when commit_run() returns */

	struct commit_job *next; /* the next one of the queue, or of the batch */
	enum commit_state state; /* under the queue's lock */
	pthread_cond_t woken;	 /* with that lock: state has changed */
};

/*
 * Applies the jobs from `first` on, linked by next, in that order; `durable` if one of them needs
 * it. Calls are one after the other, each on the thread of one of the callers, with no lock held.
 */
typedef void commit_apply_fn(void *arg, struct commit_job *first, bool durable);

struct commit {
	commit_apply_fn *apply; /* constant, as arg */
	void *arg;
	struct lock lock;
	/* Under lock: */
	struct commit_job *head, *tail; /* queued; while there is a leader without a batch: head */
	bool led;			/* there is a leader */
};

void commit_init(struct commit *c, commit_apply_fn *apply, void *arg) NONNULL(1, 2);

/* No call may be under way. */
void commit_destroy(struct commit *c) NONNULL(1);

/* Returns when `job` has been applied. Jobs are applied in the order of the calls. */
void commit_run(struct commit *c, struct commit_job *job) NONNULL(1, 2);
