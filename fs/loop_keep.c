/* Keeping the baton while one blocks, and the watchdog that takes it from who does so for long. */
#include "loop_internal.h"

#include "clock.h"

/* So many ticks without a keeper send the watchdog to sleep. */
#define TICKS_IDLE 16u

/* Either it sees that the watchdog sleeps, or that sees it. */
void loop_keep(struct loop *l, struct worker *w)
{
	uint64_t kept = atomic_fetch_add(&l->last_kept, 1) + 1;
	atomic_store(&w->kept, kept);
	if (!atomic_load(&l->watchdog_sleeps))
		return;
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->watchdog_sleeps, false);
	pthread_cond_signal(&l->watch);
	pthread_mutex_unlock(&l->lock);
}

bool loop_unkeep(struct worker *w)
{
	if (atomic_load_explicit(&w->kept, memory_order_relaxed) == 0)
		return false;
	if (atomic_exchange(&w->kept, 0) != TAKEN)
		return true;
	w->has_baton = false;
	company_came(&w->loop->company);
	return false;
}

/* With the lock held: takes the baton from who has kept it since the last tick. */
static void rob(struct loop *l, uint64_t last_tick)
{
	uint64_t kept = last_tick;
	if (kept && l->holder && atomic_compare_exchange_strong(&l->holder->kept, &kept, TAKEN))
		loop_pass_on(l);
}

/* With the lock held: the number of who keeps the baton, or 0. */
static uint64_t keeper(const struct loop *l)
{
	return l->holder ? atomic_load(&l->holder->kept) : 0;
}

void *loop_watch(void *arg)
{
	struct loop *l = arg;
	uint64_t last = 0;
	unsigned idle = 0;
	pthread_mutex_lock(&l->lock);
	while (!atomic_load(&l->stop)) {
		if (idle == TICKS_IDLE) {
			idle = 0;
			atomic_store(&l->watchdog_sleeps, true);
			while (atomic_load(&l->watchdog_sleeps) && !keeper(l) &&
				!atomic_load(&l->stop))
				pthread_cond_wait(&l->watch, &l->lock);
			atomic_store(&l->watchdog_sleeps, false);
		}
		uint64_t seen = atomic_load(&l->last_kept), kept = keeper(l);
		struct timespec until = clock_timespec(clock_monotonic() + l->ops->keep_max);
		while (!atomic_load(&l->stop) &&
			pthread_cond_timedwait(&l->watch, &l->lock, &until) == 0)
			;
		rob(l, kept);
		idle = seen == last ? idle + 1 : 0;
		last = seen;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}
