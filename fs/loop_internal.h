/* What loop.c and loop_keep.c share. */
#pragma once

#include "company.h"
#include "linger.h"
#include "loop.h"

#include <pthread.h>
#include <stdatomic.h>

/* worker.kept of who has lost the baton. */
#define TAKEN UINT64_MAX

struct worker {
	struct loop *loop;
	pthread_t thread;
	void *buf;
	/* The thread's own: */
	bool has_baton;
	bool is_helper;	 /* receives beside the holder */
	bool may_block;	 /* loop_may_block() was called for what it processes */
	bool gathered;	 /* what it processed last was put into the gather */
	bool at_once;	 /* holder: what it received last was there already */
	unsigned crowd;	 /* holder: so many such ones in a row, that neither blocked nor gathered */
	size_t received; /* since something waits to be committed */
	uint64_t client; /* of what it processed last, but for nobody's */
	bool suspects;	 /* requests came while it kept the baton, for this one: */
	uint64_t blocked;
	/* The thread's own, but for the watchdog, which may make it TAKEN with the lock held: */
	atomic_uint_least64_t kept;
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
	struct company company;
	atomic_uint_least64_t last_kept; /* numbers keepers; the holder's, the watchdog reads it */
	atomic_bool watchdog_sleeps;
	struct linger linger; /* the holder's */
	atomic_uint helpers;  /* also who is invited; goes up under the lock only */

	pthread_mutex_t lock; /* over all below; held for a moment, and to start a thread */
	pthread_cond_t free;  /* the baton is free, or stop */
	pthread_cond_t gone;  /* a worker ended */
	pthread_cond_t watch; /* there is a keeper again, or stop */
	bool held;
	bool invited; /* an idle worker shall help, and is counted in `helpers` */
	unsigned idle;
	unsigned n;
	unsigned n_over;
	struct worker *holder;
	struct worker workers[LOOP_THREADS_MAX];

	bool watched; /* constant: there is a watchdog */
	pthread_t watchdog;
};

/* With the lock held: another thread shall receive. */
void loop_pass_on(struct loop *l) NONNULL(1);

/* The worker, which holds the baton, becomes a keeper. */
void loop_keep(struct loop *l, struct worker *w) NONNULL(1, 2);

/* It is none any more. True: it was one, and has the baton. */
bool loop_unkeep(struct worker *w) NONNULL(1);

/* The watchdog's thread; `arg`: the loop. */
void *loop_watch(void *arg);
