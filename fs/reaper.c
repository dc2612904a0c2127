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

/*
 * What an orphan waits for. Programs that remove many names do so without a pause of this length;
 * and what they leave behind is a fraction of a second's work, and no more space than the log may
 * take as well.
 */
static const struct backlog_pace usual_pace = {
	.quiet = 20000000,
	.age = 2000000000,
	.inodes = REAPER_QUEUE_MAX / 2,
	.blocks = ((uint64_t)64 << 20) / STORE_BLOCK_SIZE,
};

/* How long to leave a store alone that could delete nothing of a batch, in nanoseconds. */
#define RETRY_AFTER 1000000000

struct reaper {
	struct store *store; /* constant */
	pthread_t thread;
	atomic_bool left_some;

	pthread_mutex_t lock; /* over all below; never held while the store works */
	pthread_cond_t work;
	pthread_cond_t reaped; /* a batch is through */
	struct backlog backlog;
	bool busy;	  /* the thread has a batch in hand */
	unsigned helping; /* others that have one in hand */
	uint64_t batches; /* that have deleted something */
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
	size_t n_more; /* have more to be deleted: they are the first in the batch now */
	size_t n_failed;
	uint64_t failed[BATCH]; /* but may be tried again */
	bool deleted;		/* something was */
};

/* One piece of each. */
static void reap(struct reaper *r, struct backlog_entry *batch, size_t n, struct outcome *ret)
{
	struct change changes[BATCH];
	struct change *all[BATCH] = {0};
	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct change){.kind = CHANGE_REAP,
			.now = clock_wall(),
			.reap = {.ino = batch[i].ino, .rows = BATCH_ROWS / (unsigned)n}};
		all[i] = &changes[i];
	}
	store_apply(r->store, all, n, false);
	ret->n_more = ret->n_failed = 0;
	ret->deleted = false;
	for (size_t i = 0; i < n; i++) {
		if (may_retry(changes[i].result))
			ret->failed[ret->n_failed++] = batch[i].ino;
		if (changes[i].result < 0)
			continue;
		if (changes[i].reap.more)
			batch[ret->n_more++] = batch[i];
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

/* After a batch: what has more to be deleted waits as before, and those for which there is no room
 * stay in the batch; how many is the result. What failed goes to the end, if there is room and time
 * for that: otherwise it stays an orphan, which the next mount finds. */
static size_t put_back(struct reaper *r, struct backlog_entry *batch, const struct outcome *o)
{
	size_t n = o->n_more;
	while (n > 0 && backlog_put_back(&r->backlog, &batch[n - 1]))
		n--;
	for (size_t i = 0; i < o->n_failed && !r->stop; i++)
		if (!backlog_add(&r->backlog, o->failed[i], clock_monotonic()))
			break;
	return n;
}

/* Nothing works at the moment. */
static void rest(struct reaper *r)
{
	struct timespec until = clock_timespec(clock_monotonic() + RETRY_AFTER);
	int late = 0;
	while (!r->stop && !late)
		late = pthread_cond_timedwait(&r->work, &r->lock, &until);
}

static void wait_until_due(struct reaper *r)
{
	int64_t due;
	while (!r->stop && (due = backlog_due(&r->backlog)) > clock_monotonic()) {
		struct timespec until = clock_timespec(due);
		if (due == INT64_MAX)
			pthread_cond_wait(&r->work, &r->lock);
		else
			pthread_cond_timedwait(&r->work, &r->lock, &until);
	}
}

/* Fills the batch, which has n already, when it is time for it. 0: it is time to end. */
static size_t take(struct reaper *r, struct backlog_entry *batch, size_t n)
{
	pthread_mutex_lock(&r->lock);
	if (n == 0)
		wait_until_due(r);
	n += backlog_take(&r->backlog, batch + n, BATCH - n);
	r->busy = n > 0;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void *run(void *arg)
{
	struct reaper *r = arg;
	struct backlog_entry batch[BATCH];
	struct outcome o;
	size_t n = 0, left;
	while ((n = take(r, batch, n)) > 0 && !out_of_time(r)) {
		reap(r, batch, n, &o);
		pthread_mutex_lock(&r->lock);
		left = put_back(r, batch, &o);
		r->busy = left > 0;
		r->batches += o.deleted;
		pthread_cond_broadcast(&r->reaped);
		if (o.n_failed == n)
			rest(r);
		pthread_mutex_unlock(&r->lock);
		n = left;
	}
	return NULL;
}

static void destroy(struct reaper *r)
{
	pthread_cond_destroy(&r->work);
	pthread_cond_destroy(&r->reaped);
	pthread_mutex_destroy(&r->lock);
	backlog_fini(&r->backlog);
	free(r);
}

int reaper_start(struct store *store, const struct backlog_pace *pace, struct reaper **ret)
{
	struct reaper *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->store = store;
	int error = -backlog_init(&r->backlog, pace ? pace : &usual_pace, REAPER_QUEUE_MAX);
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->work, &attr);
	pthread_cond_init(&r->reaped, &attr);
	pthread_condattr_destroy(&attr);
	if (!error)
		error = pthread_create(&r->thread, NULL, run, r);
	if (error) {
		destroy(r);
		return -error;
	}
	*ret = r;
	return 0;
}

void reaper_busy(struct reaper *r, uint64_t blocks)
{
	pthread_mutex_lock(&r->lock);
	backlog_busy(&r->backlog, blocks, clock_monotonic());
	pthread_mutex_unlock(&r->lock);
}

void reaper_add(struct reaper *r, uint64_t ino)
{
	struct backlog_entry one = {.ino = ino};
	struct outcome o;
	pthread_mutex_lock(&r->lock);
	bool full = !backlog_add(&r->backlog, ino, clock_monotonic());
	/* It sleeps until the first one comes, and then for as long as that may wait. */
	if (r->backlog.n == 1 || backlog_due(&r->backlog) == INT64_MIN)
		pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
	do {
		if (full)
			reap(r, &one, 1, &o);
	} while (full && o.n_more);
}

void reaper_ask(struct reaper *r, int64_t patience)
{
	int64_t now = clock_monotonic();
	struct timespec until = clock_timespec(now + patience);
	int late = 0;
	pthread_mutex_lock(&r->lock);
	backlog_ask(&r->backlog, now);
	pthread_cond_signal(&r->work);
	while ((r->backlog.n || r->busy || r->helping) && !late)
		late = pthread_cond_timedwait(&r->reaped, &r->lock, &until);
	pthread_mutex_unlock(&r->lock);
}

/* One piece of a batch on this thread, which holds the lock; what is left of it goes back into the
 * backlog, since others may wait for the caller. Returns how many there were. */
static size_t help_once(struct reaper *r)
{
	struct backlog_entry batch[BATCH];
	struct outcome o;
	const size_t taken = backlog_take(&r->backlog, batch, BATCH);
	r->helping++;
	for (size_t n = taken; n > 0;) {
		pthread_mutex_unlock(&r->lock);
		reap(r, batch, n, &o);
		pthread_mutex_lock(&r->lock);
		n = put_back(r, batch, &o);
		r->batches += o.deleted;
		pthread_cond_signal(&r->work);
	}
	r->helping--;
	pthread_cond_broadcast(&r->reaped);
	return taken;
}

/* What the first ones free may be nothing: others use them, or the store fails. So it goes on, but
 * not to those that come, or come back, meanwhile. */
bool reaper_help(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	const uint64_t before = r->batches;
	size_t left = r->backlog.n, n = 1;
	while (left > 0 && n > 0 && r->batches == before) {
		n = help_once(r);
		left -= n < left ? n : left;
	}
	while ((r->busy || r->helping) && r->batches == before)
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
