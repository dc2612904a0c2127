#include "flusher.h"

#include "cache/store/store.h"

#include <errno.h>

/* From the commit to the flush, or from a failure to the next try: the promise is 1 s. */
#define FLUSH_AFTER_NS 500000000L

static struct timespec deadline(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += FLUSH_AFTER_NS;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return t;
}

static bool is_over(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

/* Flushes what is committed by now. The lock is free while the store works. */
static int flush(struct flusher *f) REQUIRES(f->lock);
static int flush(struct flusher *f)
{
	uint64_t upto = f->committed;
	lock_release(&f->lock);
	int r = store_flush(f->store);
	lock_acquire(&f->lock);
	if (r == 0 && f->flushed < upto)
		f->flushed = upto;
	return r;
}

static void *run(void *arg)
{
	struct flusher *f = arg;
	lock_acquire(&f->lock);
	while (!f->closing) {
		if (f->flushed == f->committed || !f->background) {
			f->asleep = true;
			lock_wait(&f->lock, &f->work);
			f->asleep = false;
			continue;
		}
		const struct timespec at = deadline();
		while (!f->closing && !is_over(&at))
			lock_wait_until(&f->lock, &f->work, &at);
		if (!f->closing && f->background && f->flushed < f->committed) {
			uint64_t upto = f->committed;
			bool failed = flush(f) < 0;
			f->failed = failed && f->flushed < upto; /* unless another one worked */
		}
	}
	lock_release(&f->lock);
	return NULL;
}

int flusher_set_background(struct flusher *f, bool background)
{
	lock_acquire(&f->lock);
	bool start = background && !f->started;
	if (start)
		f->started = pthread_create(&f->thread, NULL, run, f) == 0;
	int r = start && !f->started ? -EAGAIN : 0;
	if (r == 0)
		f->background = background;
	f->asleep = false;
	pthread_cond_signal(&f->work);
	lock_release(&f->lock);
	return r;
}

int flusher_init(struct flusher *f, struct store *store, bool background)
{
	*f = (struct flusher){.store = store};
	lock_init(&f->lock);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->work, &attr);
	pthread_condattr_destroy(&attr);
	int r = flusher_set_background(f, background);
	if (r < 0) {
		pthread_cond_destroy(&f->work);
		lock_destroy(&f->lock);
	}
	return r;
}

void flusher_destroy(struct flusher *f)
{
	lock_acquire(&f->lock);
	f->closing = true;
	pthread_cond_signal(&f->work);
	lock_release(&f->lock);
	if (f->started)
		pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->work);
	lock_destroy(&f->lock);
}

void flusher_committed(struct flusher *f, bool durable)
{
	lock_acquire(&f->lock);
	f->committed++;
	if (durable) {
		f->flushed = f->committed;
		f->failed = false;
	} else if (f->asleep) {
		/* Else it looks by itself, when what it waited for before is due. */
		f->asleep = false;
		pthread_cond_signal(&f->work);
	}
	lock_release(&f->lock);
}

int flusher_flush(struct flusher *f)
{
	lock_acquire(&f->lock);
	int r = f->flushed < f->committed ? flush(f) : 0;
	if (r == 0 && f->failed)
		r = -EIO;
	f->failed = false;
	lock_release(&f->lock);
	return r;
}
