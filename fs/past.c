#include "past.h"

#include "cache/lock.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>

struct past {
	struct lock lock;
	struct history history; /* under lock; only the thread that ticks changes it */
};

int past_new(struct past **ret)
{
	*ret = calloc(1, sizeof **ret);
	if (!*ret)
		return -ENOMEM;
	lock_init(&(*ret)->lock);
	return 0;
}

struct past *past_free(struct past *p)
{
	if (p)
		lock_destroy(&p->lock);
	free(p);
	return NULL;
}

/* Of any kind. */
static uint64_t count_requests(const struct latency *l)
{
	uint64_t n = 0;
	for (unsigned op = 0; op < LATENCY_OPS_N; op++)
		for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
			n += atomic_load_explicit(&l->op[op].time.bucket[i], memory_order_relaxed);
	return n;
}

static struct recordfs_sample sample(struct fs *fs, int64_t at)
{
	struct store_stats stats = {0};
	store_stats(fs->store, &stats);
	return (struct recordfs_sample){
		.at = at,
		.requests = count_requests(fs->latency),
		.read_requests = atomic_load_explicit(&fs->read_requests, memory_order_relaxed),
		.write_requests = atomic_load_explicit(&fs->write_requests, memory_order_relaxed),
		.hits = stats.cache_hits,
		.misses = stats.cache_misses + stats.cache_expired,
		.commits = stats.store_commits,
		.changes = stats.store_write_requests,
		.flushes = stats.store_flushes,
		.failures = stats.store_failures + stats.checksum_failures +
			    stats.cache_update_failures,
		.cache_bytes = stats.cache_bytes,
		.dropped = stats.cache_evictions + stats.cache_invalidations,
	};
}

void past_tick(struct fs *fs)
{
	struct past *p = fs->past;
	int64_t at = clock_monotonic() - fs->mounted;
	lock_acquire(&p->lock);
	bool due = history_due(&p->history, at);
	lock_release(&p->lock);
	if (!due)
		return;
	const struct recordfs_sample now = sample(fs, at); /* which may wait for the store */
	lock_acquire(&p->lock);
	history_add(&p->history, &now);
	lock_release(&p->lock);
}

uint32_t past_read(struct past *p, uint64_t *first, struct recordfs_sample *ret, uint32_t max)
{
	lock_acquire(&p->lock);
	uint32_t n = history_read(&p->history, first, ret, max);
	lock_release(&p->lock);
	return n;
}
