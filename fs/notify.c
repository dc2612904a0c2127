#include "notify.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct notify {
	/* constant */
	struct inodes *inodes;
	notify_send_fn *send;
	void *arg;
	pthread_t thread;
	bool halted; /* of whoever halts and frees it */

	pthread_mutex_t lock; /* over all below; never held while sending */
	pthread_cond_t bell;
	bool rung;
	bool stop;
	struct notify_job *first, **last; /* a queue */
};

static void ring(struct notify *n, bool stop)
{
	pthread_mutex_lock(&n->lock);
	n->rung = true;
	if (stop)
		n->stop = true;
	pthread_cond_signal(&n->bell);
	pthread_mutex_unlock(&n->lock);
}

/* Waits for the bell or until `next`. False: it is time to go. */
static bool wait_for_bell(struct notify *n, int64_t next)
{
	struct timespec until = clock_timespec(next);
	pthread_mutex_lock(&n->lock);
	int r = 0;
	while (!n->rung && r != ETIMEDOUT)
		r = next == INT64_MAX ? pthread_cond_wait(&n->bell, &n->lock)
				      : pthread_cond_timedwait(&n->bell, &n->lock, &until);
	n->rung = false;
	bool go_on = !n->stop;
	pthread_mutex_unlock(&n->lock);
	return go_on;
}

static bool stopping(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	bool stop = n->stop;
	pthread_mutex_unlock(&n->lock);
	return stop;
}

static struct notify_job *next_job(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	struct notify_job *job = n->first;
	if (job) {
		n->first = job->next;
		if (!n->first)
			n->last = &n->first;
	}
	pthread_mutex_unlock(&n->lock);
	return job;
}

static void do_jobs(struct notify *n)
{
	struct notify_job *job;
	while ((job = next_job(n))) {
		if (!stopping(n))
			n->send(n->arg, &job->stale);
		job->done(job);
	}
}

static void *run(void *arg)
{
	struct notify *n = arg;
	int64_t next = INT64_MAX;
	do {
		struct inodes_stale stale;
		do_jobs(n);
		while (inodes_next_stale(n->inodes, clock_monotonic(), &stale, &next)) {
			if (stopping(n))
				break;
			n->send(n->arg, &stale);
			do_jobs(n);
		}
	} while (wait_for_bell(n, next));
	do_jobs(n); /* none comes any more */
	return NULL;
}

int notify_start(struct inodes *inodes, notify_send_fn *send, void *arg, struct notify **ret)
{
	struct notify *n = calloc(1, sizeof *n);
	if (!n)
		return -ENOMEM;
	n->inodes = inodes;
	n->send = send;
	n->arg = arg;
	n->last = &n->first;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->bell, &attr);
	pthread_condattr_destroy(&attr);
	int r = pthread_create(&n->thread, NULL, run, n);
	if (r) {
		pthread_cond_destroy(&n->bell);
		pthread_mutex_destroy(&n->lock);
		free(n);
		return -r;
	}
	*ret = n;
	return 0;
}

void notify_halt(struct notify *n)
{
	if (!n || n->halted)
		return;
	ring(n, true);
	pthread_join(n->thread, NULL);
	n->halted = true;
}

struct notify *notify_free(struct notify *n)
{
	if (!n)
		return NULL;
	notify_halt(n);
	pthread_cond_destroy(&n->bell);
	pthread_mutex_destroy(&n->lock);
	free(n);
	return NULL;
}

void notify_stale(struct notify *n, uint64_t ino, int64_t offset, int64_t len)
{
	inodes_set_stale(n->inodes, &(struct inodes_stale){ino, offset, len});
	ring(n, false);
}

void notify_before(struct notify *n, struct notify_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&n->lock);
	bool stop = n->stop;
	if (!stop) {
		*n->last = job;
		n->last = &job->next;
		n->rung = true;
		pthread_cond_signal(&n->bell);
	}
	pthread_mutex_unlock(&n->lock);
	if (stop)
		job->done(job);
}

void notify_filled(struct notify *n, uint64_t ino, int64_t at)
{
	if (inodes_filled(n->inodes, ino, at))
		ring(n, false);
}
