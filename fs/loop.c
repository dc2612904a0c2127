/*
 * States of a worker:
 *
 *   state    has_baton  kept    does
 *   idle     false      0       waits for the baton, counted in `idle`
 *   holder   true       0       receives, processes or commits
 *   keeper   true       > 0     the same as holder for the others, but it blocks
 *   robbed   true       TAKEN   blocks; the baton is another's, which it has still to hear
 *   loose    false      0       processes or commits without the baton
 *   helper   false      0       receives without it, and never waits
 *
 *   holder -> keeper or loose      loop_may_block()
 *   keeper -> robbed               the watchdog, with the lock held
 *   keeper -> holder               unkeep(): it has blocked
 *   robbed -> loose                the same
 *   loose -> holder or idle        the request is done
 *   idle -> helper                 invite(): the holder has seen a crowd
 *   helper -> loose or idle        it has a request that may block, or finds none
 *
 * Invariants, under the lock: `held` if and only if one worker is holder or keeper, and it is
 * `holder`. When `held` is false and idle > 0, one of the idle was signalled.
 *
 * To pass the baton on wakes a thread, which is for nothing when no other request comes meanwhile.
 * So the holder keeps it when there is no sign of others: none is waiting, and none was found
 * waiting in the last COMPANY_LASTS times that somebody was to block. (Small changes that are found
 * waiting are no sign: they would wait for the commit in any case. See company.h.) The watchdog
 * looks every tick, and takes the baton from who was a keeper for the whole of one. It sleeps when
 * nobody keeps it.
 *
 * One receives as fast as one core allows. Where several clients ask for what is in memory that is
 * not enough: so the holder, when it has found CROWD requests of several clients in a row that were
 * there already, did not block and were not gathered, invites an idle worker to receive beside it.
 * A helper that finds no request for HELPER_LOOKS looks leaves again; with the next crowd it is
 * invited anew.
 *
 * What is gathered (gather.c): a worker that has processed a request asks whether something waits
 * that nobody commits before it receives again or becomes idle, and before it ends. The holder may
 * then receive more, without waiting; whoever is loose commits at once. A committer that has become
 * loose goes on until nothing waits; one that still is the holder gives that role up after a batch,
 * since it asks again. So no worker sleeps, and none ends, while something waits that no other
 * worker looks after.
 */
#include "loop_internal.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* How often a thread that waits in receive() is interrupted until it has heard that we stop: the
 * signal may come just before it goes to wait. */
#define INTERRUPT_EVERY 10000000

#define CROWD 8u
#define HELPER_LOOKS 4u

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

/* With the lock held: the baton is nobody's. */
static void give_back(struct loop *l)
{
	assert(l->held);
	l->held = false;
	l->holder = NULL;
	if (l->idle)
		pthread_cond_signal(&l->free);
}

void loop_pass_on(struct loop *l)
{
	give_back(l);
	if (!l->idle && l->n < l->max && !atomic_load(&l->stop))
		(void)!add_worker(l);
}

/* No sign of others? */
static bool is_alone(struct loop *l)
{
	return atomic_load(&l->helpers) == 0 &&
	       company_none(&l->company, l->ops->waiting(l->arg)) && !gather_waits(l->gather);
}

void loop_may_block(void *arg)
{
	(void)arg;
	struct worker *w = self;
	if (!w)
		return;
	w->may_block = true;
	if (!w->has_baton || w->loop->max == 1)
		return;
	struct loop *l = w->loop;
	if (atomic_load_explicit(&w->kept, memory_order_relaxed) != 0)
		return; /* it may go on doing so, but its time goes on too */
	if (l->watched && is_alone(l)) {
		loop_keep(l, w);
		return;
	}
	pthread_mutex_lock(&l->lock);
	assert(l->holder == w);
	w->has_baton = false;
	loop_pass_on(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_has_blocked(void)
{
	struct worker *w = self;
	if (w && loop_unkeep(w) && w->loop->ops->waiting(w->loop->arg)) {
		w->suspects = true;
		w->blocked = w->client;
	}
}

void loop_expect_trifle(void)
{
	if (self)
		company_expect_trifle(&self->loop->company);
}

/* Waits for the baton, or for an invitation. False: the loop stops. */
static bool take_baton(struct loop *l, struct worker *w)
{
	if (w->has_baton)
		return !atomic_load(&l->stop);
	pthread_mutex_lock(&l->lock);
	while (l->held && !l->invited && !atomic_load(&l->stop)) {
		l->idle++;
		pthread_cond_wait(&l->free, &l->lock);
		l->idle--;
	}
	bool taken = !atomic_load(&l->stop);
	if (l->invited && !l->held) /* the baton comes first */
		atomic_fetch_sub(&l->helpers, 1);
	else
		w->is_helper = l->invited;
	l->invited = false;
	if (taken && !w->is_helper) {
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
static void commit(struct loop *l, struct worker *w)
{
	if (!gather_claim(l->gather))
		return;
	for (;;) {
		gather_commit(l->gather);
		(void)!loop_unkeep(w);
		if (w->suspects)
			gather_expect_more(l->gather);
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

/* What was found waiting after the baton was kept tells whether it should have been. */
static void process(struct loop *l, struct worker *w)
{
	bool suspects = w->suspects;
	unsigned puts = gather_puts();
	uint64_t client = l->ops->client(l->arg, w->buf), blocked = w->blocked;
	company_received(&l->company, client);
	w->suspects = w->may_block = false;
	if (client != COMPANY_NOBODY)
		w->client = client; /* what is gathered is of clients before, too */
	l->ops->process(l->arg, w->buf);
	(void)!loop_unkeep(w);
	w->gathered = gather_puts() != puts;
	if (suspects && !w->gathered && company_differs(client, blocked)) {
		company_came(&l->company);
	} else if (suspects && !w->suspects && (w->gathered || client == COMPANY_NOBODY)) {
		w->suspects = true; /* until it has seen all that waits */
		w->blocked = blocked;
	}
}

static bool look(void *arg)
{
	struct loop *l = arg;
	return atomic_load_explicit(&l->stop, memory_order_relaxed) || l->ops->waiting(l->arg);
}

static void give_way(void *arg)
{
	(void)arg;
	sched_yield();
}

static int64_t now(void *arg)
{
	struct loop *l = arg;
	return l->ops->now(l->arg);
}

static const struct linger_ops linger_ops = {look, give_way, now};

/* Receives one request, and sleeps until it is there; for a lone client it looks first. */
static int wait_for_request(struct loop *l, struct worker *w)
{
	int r = l->ops->receive(l->arg, w->buf, false);
	w->at_once = r != -EAGAIN;
	if (company_was_seen(&l->company))
		linger_crowded(&l->linger);
	if (w->at_once) {
		linger_at_once(&l->linger);
		return r;
	}
	bool seen = linger_wait(&l->linger);
	if (seen && atomic_load(&l->stop))
		return -EINTR;
	r = l->ops->receive(l->arg, w->buf, !seen);
	if (r > 0)
		linger_received(&l->linger);
	return r;
}

/* Another thread shall receive as well. */
static void invite(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	if (atomic_load(&l->helpers) < l->ops->helpers_max && !l->invited) {
		l->invited = l->idle > 0 || (l->n < l->max && add_worker(l) == 0);
		if (l->invited)
			atomic_fetch_add(&l->helpers, 1);
		if (l->idle > 0)
			pthread_cond_signal(&l->free);
	}
	pthread_mutex_unlock(&l->lock);
}

/* The holder has processed a request of `client`. Are there more than it can cope with? */
static void look_for_crowd(struct loop *l, struct worker *w, uint64_t before)
{
	if (!w->at_once || w->may_block || w->gathered || gather_waits(l->gather))
		w->crowd = 0;
	else if (company_differs(w->client, before) && ++w->crowd == CROWD) {
		w->crowd = 0;
		invite(l);
	}
}

/* Receives beside the holder as long as requests are there. False: there will be no more. */
static bool help(struct loop *l, struct worker *w)
{
	int r = 1;
	for (unsigned looks = 0; looks < HELPER_LOOKS && !atomic_load(&l->stop);) {
		r = l->ops->receive(l->arg, w->buf, false);
		if (r == -EAGAIN) {
			looks++;
			sched_yield();
		} else if (r > 0) {
			process(l, w);
			if (w->may_block || gather_has_put())
				break;
			looks = 0;
		} else {
			break;
		}
	}
	w->is_helper = false;
	atomic_fetch_sub(&l->helpers, 1);
	bool over = r == 0 || (r < 0 && r != -EAGAIN && r != -EINTR);
	if (over)
		end(l, r);
	if (gather_has_put())
		commit(l, w);
	return !over;
}

/* One turn of the holder. False: there will be no more requests. */
static bool turn(struct loop *l, struct worker *w)
{
	bool waits = gather_waits(l->gather);
	if (waits && !may_gather_on(l, w)) {
		commit(l, w);
		return true;
	}
	int r = waits ? l->ops->receive(l->arg, w->buf, false) : wait_for_request(l, w);
	if (r == -EAGAIN) {
		w->suspects = false;
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
	uint64_t before = w->client;
	process(l, w);
	look_for_crowd(l, w, before);
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
	while (take_baton(l, w) && (w->is_helper ? help(l, w) : turn(l, w)))
		;
	while (gather_waits(l->gather))
		commit(l, w);
	self = NULL;
	l->ops->fini(l->arg, w->buf);
	pthread_mutex_lock(&l->lock);
	if (w->has_baton)
		give_back(l);
	w->has_baton = false;
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
	linger_init(&l->linger, &linger_ops, l);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->free, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->gone, &attr);
	pthread_cond_init(&l->watch, &attr);
	pthread_condattr_destroy(&attr);
	/* Without a watchdog the baton is never kept. */
	l->watched = max_threads > 1 && pthread_create(&l->watchdog, NULL, loop_watch, l) == 0;
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
	pthread_cond_signal(&l->watch);
	while (l->n_over < l->n) {
		if (l->holder && !l->holder->over)
			pthread_kill(l->holder->thread, SIGUSR1);
		struct timespec until = clock_timespec(clock_monotonic() + INTERRUPT_EVERY);
		pthread_cond_timedwait(&l->gone, &l->lock, &until);
	}
	pthread_mutex_unlock(&l->lock);
	if (l->watched)
		pthread_join(l->watchdog, NULL);
	for (unsigned i = 0; i < l->n; i++) {
		pthread_join(l->workers[i].thread, NULL);
		free(l->workers[i].buf);
	}
	pthread_cond_destroy(&l->watch);
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
