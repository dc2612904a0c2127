#include "reaper.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Inodes of one transaction. */
#define BATCH 16u

/* How long to leave a store alone that could delete nothing of a batch, in nanoseconds. */
#define RETRY_AFTER 1000000000

struct reaper {
	struct store *store; /* constant */
	pthread_t thread;
	atomic_bool left_some;

	pthread_mutex_t lock; /* over all below; never held while the store works */
	pthread_cond_t work;
	uint64_t *queue; /* ring of REAPER_QUEUE_MAX */
	size_t first;
	size_t n;
	bool stop;
	int64_t give_up; /* with stop: when to leave the rest */
};

/* May it work later? Not when it is gone, has a name again, or the store is read-only. */
static bool may_retry(int result)
{
	return result < 0 && result != -ESTALE && result != -ENOENT && result != -EBUSY &&
	       result != -EROFS;
}

/* One piece of each; keeps in inos[] those that have more, and returns how many. Those that failed
 * but may be tried again are in failed[]. */
static size_t reap(struct reaper *r, uint64_t *inos, size_t n, uint64_t *failed, size_t *ret_n)
{
	struct change changes[BATCH];
	struct change *all[BATCH] = {0};
	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct change){
			.kind = CHANGE_REAP, .now = clock_wall(), .reap.ino = inos[i]};
		all[i] = &changes[i];
	}
	store_apply(r->store, all, n, false);
	size_t left = 0, n_failed = 0;
	for (size_t i = 0; i < n; i++) {
		if (may_retry(changes[i].result))
			failed[n_failed++] = inos[i];
		else if (changes[i].result == 0 && changes[i].reap.more)
			inos[left++] = inos[i];
		else if (changes[i].result == 0 && changes[i].n_touched == 0)
			atomic_store(&r->left_some, true);
	}
	*ret_n = n_failed;
	return left;
}

static bool out_of_time(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	bool late = r->stop && clock_monotonic() >= r->give_up;
	pthread_mutex_unlock(&r->lock);
	return late;
}

static bool enqueue(struct reaper *r, uint64_t ino)
{
	if (r->n == REAPER_QUEUE_MAX)
		return false;
	r->queue[(r->first + r->n) % REAPER_QUEUE_MAX] = ino;
	r->n++;
	return true;
}

/* Puts what failed at the end of the queue, if there is room and time for that: otherwise it stays
 * an orphan, which the next mount finds. Waits a while if nothing worked. */
static void put_back(struct reaper *r, const uint64_t *failed, size_t n, bool nothing_worked)
{
	struct timespec until = clock_timespec(clock_monotonic() + RETRY_AFTER);
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < n && !r->stop; i++)
		(void)enqueue(r, failed[i]);
	int late = 0;
	while (nothing_worked && !r->stop && !late)
		late = pthread_cond_timedwait(&r->work, &r->lock, &until);
	pthread_mutex_unlock(&r->lock);
}

/* Fills inos[] up to BATCH from the queue; waits while there is nothing at all to do. */
static size_t take(struct reaper *r, uint64_t *inos, size_t n)
{
	pthread_mutex_lock(&r->lock);
	while (!n && !r->n && !r->stop)
		pthread_cond_wait(&r->work, &r->lock);
	while (n < BATCH && r->n) {
		inos[n++] = r->queue[r->first];
		r->first = (r->first + 1) % REAPER_QUEUE_MAX;
		r->n--;
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void *run(void *arg)
{
	struct reaper *r = arg;
	uint64_t inos[BATCH], failed[BATCH];
	size_t n = 0, n_failed;
	while ((n = take(r, inos, n)) > 0 && !out_of_time(r)) {
		size_t tried = n;
		n = reap(r, inos, n, failed, &n_failed);
		if (n_failed)
			put_back(r, failed, n_failed, n_failed == tried);
	}
	return NULL;
}

int reaper_start(struct store *store, struct reaper **ret)
{
	struct reaper *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->store = store;
	r->queue = calloc(REAPER_QUEUE_MAX, sizeof *r->queue);
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->work, &attr);
	pthread_condattr_destroy(&attr);
	int error = r->queue ? pthread_create(&r->thread, NULL, run, r) : ENOMEM;
	if (error) {
		pthread_cond_destroy(&r->work);
		pthread_mutex_destroy(&r->lock);
		free(r->queue);
		free(r);
		return -error;
	}
	*ret = r;
	return 0;
}

void reaper_add(struct reaper *r, uint64_t ino)
{
	uint64_t failed;
	size_t n_failed;
	pthread_mutex_lock(&r->lock);
	bool full = !enqueue(r, ino);
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
	while (full && reap(r, &ino, 1, &failed, &n_failed))
		;
}

bool reaper_left_some(struct reaper *r)
{
	return atomic_exchange(&r->left_some, false);
}

struct reaper *reaper_stop(struct reaper *r, int64_t patience)
{
	if (!r)
		return NULL;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	r->give_up = clock_monotonic() + patience;
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->work);
	pthread_mutex_destroy(&r->lock);
	free(r->queue);
	free(r);
	return NULL;
}
