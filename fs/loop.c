/*
 * States of a worker: idle (counted in `idle`, waits for the baton), holder (`held`; receives or
 * processes), loose (processes without the baton). holder -> loose in loop_may_block(), loose ->
 * holder or idle when the request is done. Invariants, under the lock: at most one holder;
 * idle + holder + loose == n. When `held` is false and idle > 0, one of the idle was signalled.
 *
 * What is gathered (gather.c): a worker that has processed a request asks whether something waits
 * that nobody commits before it receives again or becomes idle, and before it ends. The holder may
 * then receive more, without waiting; whoever is loose commits at once. A committer that has become
 * loose goes on until nothing waits; one that still is the holder gives that role up after a batch,
 * since it asks again. So no worker sleeps, and none ends, while something waits that no other
 * worker looks after.
 */
#include "loop.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How often a thread that waits in receive() is interrupted until it has heard that we stop: the
 * signal may come just before it goes to wait. */
#define INTERRUPT_EVERY 10000000

struct worker {
	struct loop *loop;
	pthread_t thread;
	void *buf;
	/* The thread's own: */
	bool has_baton;
	size_t received; /* since something waits to be committed */
	/* Under loop.lock: */
	bool over; /* has ended, may be joined */
};

struct loop {
	/* constant */
	const struct loop_ops *ops;
	void *arg;
	struct gather *gather;
	unsigned max;

	atomic_bool stop;

	pthread_mutex_t lock; /* over all below; held for a moment, and to start a thread */
	pthread_cond_t free;  /* the baton is free, or stop */
	pthread_cond_t gone;  /* a worker ended */
	bool held;
	unsigned idle;
	unsigned n;
	unsigned n_over;
	struct worker *holder;
	struct worker workers[LOOP_THREADS_MAX];
};

static _Thread_local struct worker *self;

static void *run(void *arg);

static void interrupted(int sig)
{
	(void)sig;
}

/* With the lock held. Without a new thread the ones there are have to do. */
static int add_worker(struct loop *l)
{
	struct worker *w = &l->workers[l->n];
	w->loop = l;
	w->buf = calloc(1, l->ops->buf_size);
	if (!w->buf)
		return -ENOMEM;
	int r = pthread_create(&w->thread, NULL, run, w);
	if (r) {
		free(w->buf);
		w->buf = NULL;
		return -r;
	}
	l->n++;
	return 0;
}

/* With the lock held. */
static void give_back(struct loop *l, struct worker *w)
{
	assert(l->held && l->holder == w);
	l->held = false;
	l->holder = NULL;
	w->has_baton = false;
	if (l->idle)
		pthread_cond_signal(&l->free);
}

void loop_may_block(void *arg)
{
	(void)arg;
	struct worker *w = self;
	if (!w || !w->has_baton || w->loop->max == 1)
		return;
	struct loop *l = w->loop;
	pthread_mutex_lock(&l->lock);
	give_back(l, w);
	if (!l->idle && l->n < l->max && !atomic_load(&l->stop))
		(void)!add_worker(l);
	pthread_mutex_unlock(&l->lock);
}

/* Waits for the baton. False: the loop stops. */
static bool take_baton(struct loop *l, struct worker *w)
{
	if (w->has_baton)
		return !atomic_load(&l->stop);
	pthread_mutex_lock(&l->lock);
	while (l->held && !atomic_load(&l->stop)) {
		l->idle++;
		pthread_cond_wait(&l->free, &l->lock);
		l->idle--;
	}
	bool taken = !atomic_load(&l->stop);
	if (taken) {
		l->held = true;
		l->holder = w;
		w->has_baton = true;
	}
	pthread_mutex_unlock(&l->lock);
	return taken;
}

/* The loop ends by itself, or was stopped: all shall know. */
static void end(struct loop *l, int error)
{
	pthread_mutex_lock(&l->lock);
	bool first = !atomic_exchange(&l->stop, true);
	pthread_cond_broadcast(&l->free);
	pthread_mutex_unlock(&l->lock);
	if (first)
		l->ops->ended(l->arg, error);
}

/* Commits what waits, if nobody else does. */
static void commit(struct loop *l, const struct worker *w)
{
	if (!gather_claim(l->gather))
		return;
	for (;;) {
		gather_commit(l->gather);
		if (w->has_baton) { /* it will ask again */
			gather_leave(l->gather);
			return;
		}
		/* Others receive what it takes next. */
		while (gather_count(l->gather) > 0 && gather_expects(l->gather))
			sched_yield();
		if (gather_release(l->gather))
			return;
	}
}

/* May the holder receive another request before it commits? */
static bool may_gather_on(struct loop *l, const struct worker *w)
{
	size_t n = gather_count(l->gather);
	return n < GATHER_MAX && w->received < n + LOOP_OTHERS_MAX;
}

/* One turn of the holder. False: there will be no more requests. */
static bool turn(struct loop *l, struct worker *w)
{
	bool waits = gather_waits(l->gather);
	if (waits && !may_gather_on(l, w)) {
		commit(l, w);
		return true;
	}
	int r = l->ops->receive(l->arg, w->buf, !waits);
	if (r == -EAGAIN) {
		if (gather_expects(l->gather))
			sched_yield();
		else
			commit(l, w);
		return true;
	}
	if (r == -EINTR)
		return true;
	if (r <= 0) {
		end(l, r);
		return false;
	}
	w->received = waits ? w->received + 1 : 1;
	l->ops->process(l->arg, w->buf);
	if (!w->has_baton)
		commit(l, w);
	return true;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct loop *l = w->loop;
	self = w;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (take_baton(l, w) && turn(l, w))
		;
	while (gather_waits(l->gather))
		commit(l, w);
	self = NULL;
	l->ops->fini(l->arg, w->buf);
	pthread_mutex_lock(&l->lock);
	if (w->has_baton)
		give_back(l, w);
	w->over = true;
	l->n_over++;
	pthread_cond_signal(&l->gone);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int loop_start(const struct loop_ops *ops, void *arg, struct gather *gather, unsigned max_threads,
	struct loop **ret)
{
	assert(max_threads > 0 && max_threads <= LOOP_THREADS_MAX);
	struct sigaction sa = {.sa_handler = interrupted};
	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR1, &sa, NULL);

	struct loop *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->ops = ops;
	l->arg = arg;
	l->gather = gather;
	l->max = max_threads;
	atomic_init(&l->stop, false);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->free, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->gone, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&l->lock);
	int r = add_worker(l);
	pthread_mutex_unlock(&l->lock);
	if (r < 0) {
		loop_stop(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct loop *loop_stop(struct loop *l)
{
	if (!l)
		return NULL;
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->stop, true);
	pthread_cond_broadcast(&l->free);
	while (l->n_over < l->n) {
		if (l->holder && !l->holder->over)
			pthread_kill(l->holder->thread, SIGUSR1);
		struct timespec until = clock_timespec(clock_monotonic() + INTERRUPT_EVERY);
		pthread_cond_timedwait(&l->gone, &l->lock, &until);
	}
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->n; i++) {
		pthread_join(l->workers[i].thread, NULL);
		free(l->workers[i].buf);
	}
	pthread_cond_destroy(&l->gone);
	pthread_cond_destroy(&l->free);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

unsigned loop_threads(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	unsigned n = l->n;
	pthread_mutex_unlock(&l->lock);
	return n;
}
