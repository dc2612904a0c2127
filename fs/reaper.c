#include "reaper.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Inodes of one transaction, at most, and rows of data that it deletes of all of them: who wants to
 * write meanwhile waits for it. */
#define BATCH 16u
#define BATCH_ROWS 1024u

/* How long, in nanoseconds, an orphan waits for others, and how many do not wait any more: alone,
 * each would cost whoever removes names a transaction more, and a thread that is woken. */
#define GATHER 10000000
#define ENOUGH 64u

/* How long to leave a store alone that could delete nothing of a batch, in nanoseconds. */
#define RETRY_AFTER 1000000000

struct reaper {
	struct store *store; /* constant */
	pthread_t thread;
	atomic_bool left_some;

	pthread_mutex_t lock; /* over all below; never held while the store works */
	pthread_cond_t work;
	pthread_cond_t reaped; /* a batch of the thread's is through */
	uint64_t *queue;       /* ring of REAPER_QUEUE_MAX */
	size_t first;
	size_t n;
	size_t ripe;	  /* of these, the first so many have waited long enough */
	int64_t due;	  /* with n > ripe: when the others have */
	bool busy;	  /* the thread has a batch in hand */
	uint64_t batches; /* of the thread, that have deleted something */
	bool stop;
	int64_t give_up; /* with stop: when to leave the rest */
};

/* May it work later? Not when it is gone, has a name again, or the store is read-only. */
static bool may_retry(int result)
{
	return result < 0 && result != -ESTALE && result != -ENOENT && result != -EBUSY &&
	       result != -EROFS;
}

/* What became of a batch. */
struct outcome {
	size_t n_more; /* have more to be deleted: they are in inos[] */
	size_t n_failed;
	uint64_t failed[BATCH]; /* but may be tried again */
	bool deleted;		/* something was */
};

/* One piece of each. */
static void reap(struct reaper *r, uint64_t *inos, size_t n, struct outcome *ret)
{
	struct change changes[BATCH];
	struct change *all[BATCH] = {0};
	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct change){.kind = CHANGE_REAP,
			.now = clock_wall(),
			.reap = {.ino = inos[i], .rows = BATCH_ROWS / (unsigned)n}};
		all[i] = &changes[i];
	}
	store_apply(r->store, all, n, false);
	ret->n_more = ret->n_failed = 0;
	ret->deleted = false;
	for (size_t i = 0; i < n; i++) {
		if (may_retry(changes[i].result))
			ret->failed[ret->n_failed++] = inos[i];
		if (changes[i].result < 0)
			continue;
		if (changes[i].reap.more)
			inos[ret->n_more++] = inos[i];
		else if (changes[i].n_touched == 0)
			atomic_store(&r->left_some, true);
		ret->deleted |= changes[i].n_touched > 0;
	}
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
	if (r->n == r->ripe)
		r->due = clock_monotonic() + GATHER;
	r->queue[(r->first + r->n) % REAPER_QUEUE_MAX] = ino;
	r->n++;
	return true;
}

static size_t dequeue(struct reaper *r, uint64_t *inos, size_t n)
{
	while (n < BATCH && r->n) {
		inos[n++] = r->queue[r->first];
		r->first = (r->first + 1) % REAPER_QUEUE_MAX;
		r->n--;
		r->ripe -= r->ripe > 0;
	}
	return n;
}

/* Puts what failed at the end of the queue, if there is room and time for that: otherwise it stays
 * an orphan, which the next mount finds. */
static void put_back(struct reaper *r, const struct outcome *o)
{
	for (size_t i = 0; i < o->n_failed && !r->stop; i++)
		(void)enqueue(r, o->failed[i]);
}

/* Nothing works at the moment. */
static void rest(struct reaper *r)
{
	struct timespec until = clock_timespec(clock_monotonic() + RETRY_AFTER);
	int late = 0;
	while (!r->stop && !late)
		late = pthread_cond_timedwait(&r->work, &r->lock, &until);
}

/* Waits while there is nothing at all to do, and while more may come. */
static void gather(struct reaper *r)
{
	while (!r->ripe && !r->stop) {
		struct timespec until = clock_timespec(r->due);
		if (!r->n)
			pthread_cond_wait(&r->work, &r->lock);
		else if (r->n >= ENOUGH || clock_monotonic() >= r->due)
			r->ripe = r->n;
		else
			pthread_cond_timedwait(&r->work, &r->lock, &until);
	}
}

/* Fills inos[], which has n already, up to BATCH from the queue. */
static size_t take(struct reaper *r, uint64_t *inos, size_t n)
{
	pthread_mutex_lock(&r->lock);
	if (n == 0)
		gather(r);
	n = dequeue(r, inos, n);
	r->busy = n > 0;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void *run(void *arg)
{
	struct reaper *r = arg;
	uint64_t inos[BATCH];
	struct outcome o;
	size_t n = 0;
	while ((n = take(r, inos, n)) > 0 && !out_of_time(r)) {
		reap(r, inos, n, &o);
		pthread_mutex_lock(&r->lock);
		put_back(r, &o);
		r->busy = o.n_more > 0;
		r->batches += o.deleted;
		pthread_cond_broadcast(&r->reaped);
		if (o.n_failed == n)
			rest(r);
		pthread_mutex_unlock(&r->lock);
		n = o.n_more;
	}
	return NULL;
}

static void destroy(struct reaper *r)
{
	pthread_cond_destroy(&r->work);
	pthread_cond_destroy(&r->reaped);
	pthread_mutex_destroy(&r->lock);
	free(r->queue);
	free(r);
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
	pthread_cond_init(&r->reaped, NULL);
	int error = r->queue ? pthread_create(&r->thread, NULL, run, r) : ENOMEM;
	if (error) {
		destroy(r);
		return -error;
	}
	*ret = r;
	return 0;
}

void reaper_add(struct reaper *r, uint64_t ino)
{
	struct outcome o;
	pthread_mutex_lock(&r->lock);
	bool full = !enqueue(r, ino);
	/* It sleeps until the first one comes, and then until there are enough. */
	if (r->n == 1 || r->n == ENOUGH)
		pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
	do {
		if (full)
			reap(r, &ino, 1, &o);
	} while (full && o.n_more);
}

/* One piece of a batch on this thread; what is left of it goes back into the queue, since others
 * may wait for the caller. */
static bool help(struct reaper *r)
{
	uint64_t inos[BATCH];
	struct outcome o;
	bool deleted = false;
	pthread_mutex_lock(&r->lock);
	size_t n = dequeue(r, inos, 0);
	pthread_mutex_unlock(&r->lock);
	while (n > 0) {
		reap(r, inos, n, &o);
		deleted |= o.deleted;
		n = 0;
		pthread_mutex_lock(&r->lock);
		put_back(r, &o);
		for (size_t i = 0; i < o.n_more; i++)
			if (!enqueue(r, inos[i]))
				inos[n++] = inos[i];
		pthread_cond_signal(&r->work);
		pthread_mutex_unlock(&r->lock);
	}
	return deleted;
}

bool reaper_help(struct reaper *r)
{
	if (help(r))
		return true;
	pthread_mutex_lock(&r->lock);
	uint64_t before = r->batches;
	if (r->busy)
		pthread_cond_wait(&r->reaped, &r->lock);
	bool deleted = r->batches != before;
	pthread_mutex_unlock(&r->lock);
	return deleted;
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
	destroy(r);
	return NULL;
}
