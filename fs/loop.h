/*
 * The request loop: a pool of threads and one baton.
 *
 * The thread that holds the baton receives, and it processes what it received while it still
 * holds it: a request that touches only memory is answered without waking anyone, as fast as a
 * single-threaded loop would. Whoever is about to wait for something (a disk, a lock held across
 * one) calls loop_may_block() first and so passes the baton on: another thread receives meanwhile.
 * Where nobody else seems to ask for anything the baton is kept, which wakes nobody; if that
 * takes too long, a watchdog takes it away.
 *
 * One thread is not enough for many clients who ask for what is in memory. When it finds request
 * after request waiting, others receive beside it, up to `helpers_max`.
 *
 * Small changes are not carried out when they are received but gathered (gather.h). The thread with
 * the baton receives on while requests are waiting, and then commits what it has gathered; if that
 * blocks, the next thread gathers meanwhile, and leaves it to the first to commit that as well.
 *
 * Threads are made when the baton is passed and nobody is there to take it, LOOP_THREADS_MAX at
 * most. When all of them wait, requests stay in the kernel until one is through.
 */
#pragma once

#include "gather.h"

#define LOOP_THREADS_MAX 24u

/* What has been gathered is committed, though requests are still waiting, when so many others have
 * been processed meanwhile. */
#define LOOP_OTHERS_MAX 16u

struct loop;

/* What a thread receives into; the receiver fills it in and keeps what it likes in it. Zeroed when
 * the thread starts; `fini` frees what is in it when the thread ends. */
struct loop_ops {
	/* Waits for one request: > 0: there is one, 0: there will be no more, -EINTR: look whether
	 * the loop was stopped and come again; any other error ends the loop. Without `wait` there
	 * is -EAGAIN instead of waiting, also when another thread takes what was there. Those with
	 * `wait` are one after the other. */
	int (*receive)(void *arg, void *buf, bool wait);
	/* Is a request there to be received, or the end? Does not wait. */
	bool (*waiting)(void *arg);
	/* Who waits for the answer to it, as company.h numbers them. */
	uint64_t (*client)(void *arg, const void *buf);
	/* May put a small change into the gather instead of carrying it out. */
	void (*process)(void *arg, void *buf);
	void (*fini)(void *arg, void *buf);
	/* The loop ended by itself; called once, from one of its threads. */
	void (*ended)(void *arg, int error);
	/* Monotonic, in nanoseconds: how long the next request is looked for. */
	int64_t (*now)(void *arg);
	size_t buf_size;
	unsigned helpers_max; /* so many threads may receive beside the one with the baton */
	int64_t keep_max;     /* nanoseconds that the baton may be kept while its holder blocks */
};

/* Starts with one thread, of at most `max_threads`. A thread that waits in receive() must be
 * interrupted by SIGUSR1, whose handler the loop installs. `ops` and `gather` must stay. */
int loop_start(const struct loop_ops *ops, void *arg, struct gather *gather, unsigned max_threads,
	struct loop **ret) MUST_CHECK NONNULL(1, 3, 5);

/* Ends all threads, each after the request that it has in hand, and frees the loop; what has been
 * gathered is committed. Not from one of its threads. Takes NULL. Returns NULL. */
struct loop *loop_stop(struct loop *l);

/* The calling thread may be about to wait. Does nothing in a thread that is not a loop's, or does
 * not have the baton. Fits struct cache_config; `arg` is not used. */
void loop_may_block(void *arg);

/* What it might have waited for is over, and nobody has been answered yet: requests that are
 * waiting now are others'. It need not be said; then the request is taken to block to its end. */
void loop_has_blocked(void);

/* What this thread processes has the kernel send something soon that nobody waits for. */
void loop_expect_trifle(void);

/* How many threads there are that receive and process. */
unsigned loop_threads(struct loop *l) MUST_CHECK NONNULL(1);
