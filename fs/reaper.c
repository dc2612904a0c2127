#include "reaper.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Inodes of one transaction. */
#define BATCH 16u

struct reaper {
	struct store *store; /* constant */
	pthread_t thread;

	pthread_mutex_t lock; /* over all below; never held while the store works */
	pthread_cond_t work;
	uint64_t *queue; /* ring of REAPER_QUEUE_MAX */
	size_t first;
	size_t n;
	bool stop;
	int64_t give_up; /* with stop: when to leave the rest */
};

/* One piece of each; keeps in inos[] those that have more, and returns how many. */
static size_t reap(struct store *store, uint64_t *inos, size_t n)
{
	struct change changes[BATCH];
	struct change *all[BATCH] = {0};
	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct change){
			.kind = CHANGE_REAP, .now = clock_wall(), .reap.ino = inos[i]};
		all[i] = &changes[i];
	}
	store_apply(store, all, n, false);
	size_t left = 0;
	for (size_t i = 0; i < n; i++)
		/* One that failed stays an orphan, which the next mount finds. */
		if (changes[i].result == 0 && changes[i].reap.more)
			inos[left++] = inos[i];
	return left;
}

static bool out_of_time(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	bool late = r->stop && clock_monotonic() >= r->give_up;
	pthread_mutex_unlock(&r->lock);
	return late;
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
	uint64_t inos[BATCH];
	size_t n = 0;
	while ((n = take(r, inos, n)) > 0 && !out_of_time(r))
		n = reap(r->store, inos, n);
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
	pthread_cond_init(&r->work, NULL);
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
	pthread_mutex_lock(&r->lock);
	bool full = r->n == REAPER_QUEUE_MAX;
	if (!full) {
		r->queue[(r->first + r->n) % REAPER_QUEUE_MAX] = ino;
		r->n++;
		pthread_cond_signal(&r->work);
	}
	pthread_mutex_unlock(&r->lock);
	while (full && reap(r->store, &ino, 1))
		;
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
