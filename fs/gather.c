/*
 * States:
 *
 *   n    claimed   who acts next
 *   0    false     nobody
 *   > 0  false     every thread that has put one of them and has not asked gather_claim() since;
 *                  there is at least one, and it is awake
 *   any  true      the committer, which is awake or waits for the store
 *
 * The third line leads to the first by gather_release(), to the second by gather_leave(), where the
 * committer is the thread that has still to ask.
 */
#include "gather.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct gather {
	gather_apply_fn *apply; /* constant, as arg */
	void *arg;

	pthread_mutex_t lock; /* over all below; held for a moment */
	struct gather_item *head, *tail;
	atomic_size_t n; /* also looked at without the lock */
	size_t bytes;
	bool claimed;
	size_t expected; /* so many may be there until: */
	int64_t until;
};

/* How many this thread has put; and has it, without asking gather_claim() since? */
static _Thread_local unsigned n_put;
static _Thread_local bool has_put;

int gather_new(gather_apply_fn *apply, void *arg, struct gather **ret)
{
	struct gather *g = calloc(1, sizeof *g);
	if (!g)
		return -ENOMEM;
	g->apply = apply;
	g->arg = arg;
	pthread_mutex_init(&g->lock, NULL);
	*ret = g;
	return 0;
}

struct gather *gather_free(struct gather *g)
{
	if (!g)
		return NULL;
	assert(!g->head && !g->claimed);
	pthread_mutex_destroy(&g->lock);
	free(g);
	return NULL;
}

bool gather_put(struct gather *g, struct gather_item *item)
{
	pthread_mutex_lock(&g->lock);
	bool fits = g->n < GATHER_MAX && item->bytes <= GATHER_BYTES_MAX - g->bytes;
	if (fits) {
		item->next = NULL;
		if (g->head)
			g->tail->next = item;
		else
			g->head = item;
		g->tail = item;
		g->n++;
		g->bytes += item->bytes;
	}
	pthread_mutex_unlock(&g->lock);
	has_put |= fits;
	n_put += fits;
	return fits;
}

bool gather_waits(struct gather *g)
{
	if (gather_count(g) == 0)
		return false;
	pthread_mutex_lock(&g->lock);
	bool waits = g->n > 0 && !g->claimed;
	pthread_mutex_unlock(&g->lock);
	return waits;
}

bool gather_expects(struct gather *g)
{
	pthread_mutex_lock(&g->lock);
	bool expects = g->n < g->expected && g->bytes < GATHER_BYTES_MAX;
	int64_t until = g->until;
	pthread_mutex_unlock(&g->lock);
	return expects && clock_monotonic() < until;
}

void gather_expect_more(struct gather *g)
{
	pthread_mutex_lock(&g->lock);
	g->expected = g->expected < GATHER_MAX / 2 ? 2 * g->expected : GATHER_MAX;
	pthread_mutex_unlock(&g->lock);
}

size_t gather_count(struct gather *g)
{
	return atomic_load(&g->n);
}

unsigned gather_puts(void)
{
	return n_put;
}

bool gather_has_put(void)
{
	return has_put;
}

bool gather_claim(struct gather *g)
{
	has_put = false;
	if (gather_count(g) == 0)
		return false;
	pthread_mutex_lock(&g->lock);
	bool claimed = g->n > 0 && !g->claimed;
	if (claimed)
		g->claimed = true;
	pthread_mutex_unlock(&g->lock);
	return claimed;
}

void gather_commit(struct gather *g)
{
	pthread_mutex_lock(&g->lock);
	assert(g->claimed);
	struct gather_item *first = g->head;
	size_t n = g->n;
	g->head = g->tail = NULL;
	g->n = 0;
	g->bytes = 0;
	pthread_mutex_unlock(&g->lock);
	if (!first)
		return;
	bool flushed = g->apply(g->arg, first, n);
	int64_t until = flushed ? clock_monotonic() + GATHER_PATIENCE : INT64_MIN;
	pthread_mutex_lock(&g->lock);
	size_t expected = n + g->n;
	g->expected = expected < GATHER_MAX ? expected : GATHER_MAX;
	g->until = until;
	pthread_mutex_unlock(&g->lock);
}

bool gather_release(struct gather *g)
{
	pthread_mutex_lock(&g->lock);
	assert(g->claimed);
	g->claimed = g->n > 0;
	bool released = !g->claimed;
	pthread_mutex_unlock(&g->lock);
	return released;
}

void gather_leave(struct gather *g)
{
	pthread_mutex_lock(&g->lock);
	assert(g->claimed);
	g->claimed = false;
	pthread_mutex_unlock(&g->lock);
}
