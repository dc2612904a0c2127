#include "notify.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct name {
	struct name *next;
	uint64_t parent;
	bool gone;
	size_t len;
	char bytes[]; /* terminated */
};

struct notify {
	/* constant */
	struct inodes *inodes;
	const struct notify_ops *ops;
	void *arg;
	pthread_t thread;
	pthread_t names_thread;
	bool halted; /* of whoever halts and frees it */

	pthread_mutex_t lock; /* over all below; never held while sending */
	pthread_cond_t bell;
	bool rung;
	bool stop;
	bool all_names;			  /* are to be dropped */
	struct notify_job *first, **last; /* a queue */
	struct notify_job *after;	  /* a stack: what waits for all that is noted */
	pthread_cond_t names_bell;	  /* there are names, or stop */
	struct name *first_name, **last_name;
	size_t n_names;
};

static void ring_locked(struct notify *n)
{
	n->rung = true;
	pthread_cond_signal(&n->bell);
}

static void ring(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	ring_locked(n);
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
			n->ops->inode(n->arg, &job->stale);
		job->done(job);
	}
}

static void drop_all_names(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	bool wanted = n->all_names && !n->stop;
	n->all_names = false;
	pthread_mutex_unlock(&n->lock);
	if (wanted)
		n->ops->all_names(n->arg);
}

static struct notify_job *take_after(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	struct notify_job *jobs = n->after;
	n->after = NULL;
	pthread_mutex_unlock(&n->lock);
	return jobs;
}

static void finish(struct notify_job *jobs)
{
	for (struct notify_job *next; jobs; jobs = next) {
		next = jobs->next; /* the job's memory goes with done() */
		jobs->done(jobs);
	}
}

static void *run(void *arg)
{
	struct notify *n = arg;
	int64_t next = INT64_MAX;
	do {
		struct inodes_stale stale;
		/* What was noted before one of these is sent in this round. */
		struct notify_job *after = take_after(n);
		drop_all_names(n);
		do_jobs(n);
		while (inodes_next_stale(n->inodes, clock_monotonic(), &stale, &next)) {
			if (stopping(n))
				break;
			n->ops->inode(n->arg, &stale);
			do_jobs(n);
		}
		finish(after);
	} while (wait_for_bell(n, next));
	do_jobs(n); /* none comes any more */
	finish(take_after(n));
	return NULL;
}

/* With the lock held. */
static struct name *take_name(struct notify *n)
{
	struct name *name = n->first_name;
	if (name) {
		n->first_name = name->next;
		if (!n->first_name)
			n->last_name = &n->first_name;
		n->n_names--;
	}
	return name;
}

/* Waits for a name. NULL: it is time to go. */
static struct name *next_name(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	while (!n->first_name && !n->stop)
		pthread_cond_wait(&n->names_bell, &n->lock);
	struct name *name = n->stop ? NULL : take_name(n);
	pthread_mutex_unlock(&n->lock);
	return name;
}

static void *run_names(void *arg)
{
	struct notify *n = arg;
	struct name *name;
	while ((name = next_name(n))) {
		n->ops->name(n->arg, name->parent, name->bytes, name->len, name->gone);
		free(name);
	}
	return NULL;
}

static void init(struct notify *n)
{
	n->last = &n->first;
	n->last_name = &n->first_name;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->bell, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&n->names_bell, NULL);
}

static void stop(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	ring_locked(n);
	pthread_cond_signal(&n->names_bell);
	pthread_mutex_unlock(&n->lock);
}

int notify_start(
	struct inodes *inodes, const struct notify_ops *ops, void *arg, struct notify **ret)
{
	struct notify *n = calloc(1, sizeof *n);
	if (!n)
		return -ENOMEM;
	n->inodes = inodes;
	n->ops = ops;
	n->arg = arg;
	init(n);
	int r = pthread_create(&n->thread, NULL, run, n);
	if (r == 0) {
		r = pthread_create(&n->names_thread, NULL, run_names, n);
		if (r) {
			stop(n);
			pthread_join(n->thread, NULL);
		}
	}
	if (r) {
		n->halted = true;
		notify_free(n);
		return -r;
	}
	*ret = n;
	return 0;
}

void notify_halt(struct notify *n)
{
	if (!n || n->halted)
		return;
	stop(n);
	pthread_join(n->thread, NULL);
	pthread_join(n->names_thread, NULL);
	n->halted = true;
}

struct notify *notify_free(struct notify *n)
{
	struct name *name;
	if (!n)
		return NULL;
	notify_halt(n);
	while ((name = take_name(n)))
		free(name);
	pthread_cond_destroy(&n->names_bell);
	pthread_cond_destroy(&n->bell);
	pthread_mutex_destroy(&n->lock);
	free(n);
	return NULL;
}

void notify_stale(struct notify *n, uint64_t ino, int64_t offset, int64_t len)
{
	inodes_set_stale(n->inodes, &(struct inodes_stale){ino, offset, len, false});
	ring(n);
}

void notify_forget(struct notify *n, uint64_t ino)
{
	inodes_set_stale(n->inodes, &(struct inodes_stale){ino, 0, 0, true});
	ring(n);
}

static struct name *make_name(uint64_t parent, const char *bytes, size_t len, bool gone)
{
	struct name *name = malloc(sizeof *name + len + 1);
	if (!name)
		return NULL;
	name->next = NULL;
	name->parent = parent;
	name->gone = gone;
	name->len = len;
	memcpy(name->bytes, bytes, len);
	name->bytes[len] = '\0';
	return name;
}

void notify_name(struct notify *n, uint64_t parent, const char *bytes, size_t len, bool gone)
{
	if (!inodes_known(n->inodes, parent))
		return; /* then it knows no entry of it */
	struct name *name = make_name(parent, bytes, len, gone);
	pthread_mutex_lock(&n->lock);
	bool full = !name || n->n_names == NOTIFY_NAMES_MAX;
	if (!full) {
		*n->last_name = name;
		n->last_name = &name->next;
		n->n_names++;
		pthread_cond_signal(&n->names_bell);
	}
	pthread_mutex_unlock(&n->lock);
	if (full) {
		free(name);
		notify_all_names(n);
	}
}

void notify_all_names(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	n->all_names = true;
	ring_locked(n);
	pthread_mutex_unlock(&n->lock);
}

void notify_all_inodes(struct notify *n, int64_t since)
{
	inodes_set_all_stale(n->inodes, since);
	ring(n);
}

void notify_before(struct notify *n, struct notify_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&n->lock);
	bool stopped = n->stop;
	if (!stopped) {
		*n->last = job;
		n->last = &job->next;
		ring_locked(n);
	}
	pthread_mutex_unlock(&n->lock);
	if (stopped)
		job->done(job);
}

void notify_after(struct notify *n, struct notify_job *job)
{
	pthread_mutex_lock(&n->lock);
	bool stopped = n->stop;
	if (!stopped) {
		job->next = n->after;
		n->after = job;
		ring_locked(n);
	}
	pthread_mutex_unlock(&n->lock);
	if (stopped)
		job->done(job);
}

void notify_filled(struct notify *n, uint64_t ino, int64_t at, uint64_t pages, uint64_t all)
{
	if (inodes_filled(n->inodes, ino, at, pages, all))
		ring(n);
}
