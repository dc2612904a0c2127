/*
 * States of a job:
 *
 *   state    where it is                     who acts next
 *   QUEUED   in the queue                    a leader, which takes it or makes it lead
 *   LEADS    head of the queue, or in the    its own thread
 *            batch that it is applying
 *   DONE     nowhere                         its own thread, which returns
 *
 * Invariants: led is true exactly while one job is LEADS; a queue that is not empty has a leader.
 */
#include "commit.h"

#include <assert.h>

void commit_init(struct commit *c, commit_apply_fn *apply, void *arg)
{
	*c = (struct commit){.apply = apply, .arg = arg};
	lock_init(&c->lock);
}

void commit_destroy(struct commit *c)
{
	assert(!c->led && !c->head);
	lock_destroy(&c->lock);
}

static void enqueue(struct commit *c, struct commit_job *job) REQUIRES(c->lock);
static void enqueue(struct commit *c, struct commit_job *job)
{
	job->next = NULL;
	job->state = COMMIT_QUEUED;
	if (c->head)
		c->tail->next = job;
	else
		c->head = job;
	c->tail = job;
}

/* Waits until the job is done or is to lead. */
static void await(struct commit *c, struct commit_job *job) REQUIRES(c->lock);
static void await(struct commit *c, struct commit_job *job)
{
	pthread_cond_init(&job->woken, NULL);
	while (job->state == COMMIT_QUEUED)
		lock_wait(&c->lock, &job->woken);
	pthread_cond_destroy(&job->woken);
}

/* Takes the next batch from the queue, which is not empty. */
static struct commit_job *take(struct commit *c, bool *ret_durable) REQUIRES(c->lock);
static struct commit_job *take(struct commit *c, bool *ret_durable)
{
	struct commit_job *first = c->head, *last = first;
	size_t changes = first->changes;
	uint64_t bytes = first->bytes;
	*ret_durable = first->durable;
	while (last->next && changes + last->next->changes <= COMMIT_CHANGES_MAX &&
		bytes + last->next->bytes <= COMMIT_BYTES_MAX) {
		last = last->next;
		changes += last->changes;
		bytes += last->bytes;
		*ret_durable |= last->durable;
	}
	c->head = last->next;
	last->next = NULL;
	return first;
}

/* Wakes who has to act now that the leader's batch is done: the next leader first. */
static void hand_over(struct commit *c, struct commit_job *batch) REQUIRES(c->lock);
static void hand_over(struct commit *c, struct commit_job *batch)
{
	c->led = c->head != NULL;
	if (c->head) {
		c->head->state = COMMIT_LEADS;
		pthread_cond_signal(&c->head->woken);
	}
	/* The first is the leader's own. Once DONE, and unlocked, a job's memory may be gone. */
	batch->state = COMMIT_DONE;
	for (struct commit_job *job = batch->next; job; job = job->next) {
		job->state = COMMIT_DONE;
		pthread_cond_signal(&job->woken);
	}
}

void commit_run(struct commit *c, struct commit_job *job)
{
	assert(job->changes <= COMMIT_CHANGES_MAX);
	lock_acquire(&c->lock);
	enqueue(c, job);
	if (c->led) {
		await(c, job);
	} else {
		c->led = true;
		job->state = COMMIT_LEADS;
	}
	if (job->state == COMMIT_LEADS) {
		bool durable;
		struct commit_job *batch = take(c, &durable);
		assert(batch == job);
		lock_release(&c->lock);
		c->apply(c->arg, batch, durable);
		lock_acquire(&c->lock);
		hand_over(c, batch);
	}
	lock_release(&c->lock);
}
