/*
 * States:
 *
 *   pause  estimate       linger_wait()
 *   > 0    any            returns at once, and counts the pause down
 *   0      > LINGER_MAX   returns at once
 *   0      <= LINGER_MAX  looks
 *
 * The estimate follows each request that was waited for, however; so it falls, and looking begins,
 * while one sleeps, and rises, and looking ends, when requests come late. The pause is for the case
 * that sleeping has it wrong: requests that seem to come soon, but are not seen in time.
 */
#include "linger.h"

void linger_init(struct linger *l, const struct linger_ops *ops, void *arg)
{
	*l = (struct linger){
		.ops = ops,
		.arg = arg,
		.estimate = LINGER_LATE,
		.next_pause = LINGER_PAUSE_MIN,
	};
}

static void pause_now(struct linger *l)
{
	l->in_vain = 0;
	l->pause = l->next_pause;
	if (l->next_pause < LINGER_PAUSE_MAX)
		l->next_pause *= 2;
}

static void has_paid(struct linger *l)
{
	l->found = true;
	l->in_vain = 0;
	if (l->next_pause > LINGER_PAUSE_MIN)
		l->next_pause /= 2;
}

void linger_crowded(struct linger *l)
{
	l->crowd = 0;
	if (l->pause < LINGER_PAUSE_MIN)
		l->pause = LINGER_PAUSE_MIN;
}

void linger_at_once(struct linger *l)
{
	if (l->pause > 0)
		l->pause--;
	else if (++l->crowd == LINGER_CROWD)
		linger_crowded(l);
}

/* How long to look this time. */
static int64_t patience(const struct linger *l)
{
	int64_t twice = 2 * l->estimate;
	if (twice < LINGER_MIN)
		return LINGER_MIN;
	return twice < LINGER_MAX ? twice : LINGER_MAX;
}

bool linger_wait(struct linger *l)
{
	l->began = l->ops->now(l->arg);
	l->found = false;
	l->crowd = 0;
	if (l->pause > 0) {
		l->pause--;
		return false;
	}
	if (l->estimate > LINGER_MAX)
		return false;
	int64_t until = l->began + patience(l), last = l->began, now;
	bool ready, robbed;
	do {
		l->ops->give_way(l->arg);
		ready = l->ops->ready(l->arg);
		now = l->ops->now(l->arg);
		robbed = now - last > LINGER_LATE;
		last = now;
	} while (!ready && !robbed && now < until);
	if (ready && !robbed)
		has_paid(l);
	else if (robbed || ++l->in_vain == LINGER_TRIES)
		pause_now(l);
	return ready;
}

void linger_received(struct linger *l)
{
	int64_t took = l->ops->now(l->arg) - l->began;
	if (!l->found)
		took = took > LINGER_WAKING ? took - LINGER_WAKING : 0;
	if (took > LINGER_LATE)
		took = LINGER_LATE;
	l->estimate += (took - l->estimate) / LINGER_WEIGHT;
}
