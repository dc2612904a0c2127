#include "guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct guard {
	atomic_uint_fast64_t moment;
	atomic_uint_fast64_t drops;
	struct guard_stripe stripes[GUARD_STRIPES];
};

int guard_new(struct guard **ret)
{
	struct guard *g = aligned_alloc(_Alignof(struct guard), sizeof *g);
	if (!g)
		return -ENOMEM;
	atomic_init(&g->moment, 0);
	atomic_init(&g->drops, 0);
	for (unsigned i = 0; i < GUARD_STRIPES; i++) {
		struct guard_stripe *s = &g->stripes[i];
		lock_init(&s->lock);
		s->token = s->dropped = 0;
		s->under_way = NULL;
	}
	*ret = g;
	return 0;
}

struct guard *guard_free(struct guard *g)
{
	for (unsigned i = 0; g && i < GUARD_STRIPES; i++)
		lock_destroy(&g->stripes[i].lock);
	free(g);
	return NULL;
}

struct guard_stripe *guard_stripe(struct guard *g, uint64_t ino)
{
	return &g->stripes[XXH3_64bits(&ino, sizeof ino) % GUARD_STRIPES];
}

static bool overlap(const struct guard_range *a, const struct guard_range *b)
{
	if (a->ino != b->ino)
		return false;
	if (a->attr && b->attr)
		return true;
	return a->first <= a->last && b->first <= b->last && a->first <= b->last &&
	       b->first <= a->last;
}

bool guard_holds(const struct guard_stripe *s, uint64_t token, const struct guard_range *range)
{
	if (s->token - token > GUARD_RING)
		return false;
	for (uint64_t t = token; t < s->token; t++)
		if (overlap(&s->over[t % GUARD_RING], range))
			return false;
	for (const struct guard_intent *i = s->under_way; i; i = i->next)
		if (overlap(&i->range, range))
			return false;
	return true;
}

static void add(struct guard_stripe *s, struct guard_intent *intent) REQUIRES(s->lock);
static void add(struct guard_stripe *s, struct guard_intent *intent)
{
	intent->prev = NULL;
	intent->next = s->under_way;
	if (intent->next)
		intent->next->prev = intent;
	s->under_way = intent;
}

void guard_begin(struct guard *g, struct guard_intent *intent)
{
	struct guard_stripe *s = guard_stripe(g, intent->range.ino);
	lock_acquire(&s->lock);
	intent->spoiled = false;
	add(s, intent);
	lock_release(&s->lock);
}

uint64_t guard_drops(struct guard *g)
{
	return atomic_load(&g->drops);
}

void guard_begin_late(struct guard *g, struct guard_intent *intent, uint64_t drops)
{
	struct guard_stripe *s = guard_stripe(g, intent->range.ino);
	lock_acquire(&s->lock);
	intent->spoiled = s->dropped > drops;
	add(s, intent);
	lock_release(&s->lock);
}

/* Spoils what overlaps `range` (NULL: all of the stripe) and is under way, or will be late. */
static void spoil(struct guard *g, struct guard_stripe *s, const struct guard_range *range)
	REQUIRES(s->lock);
static void spoil(struct guard *g, struct guard_stripe *s, const struct guard_range *range)
{
	s->dropped = atomic_fetch_add(&g->drops, 1) + 1;
	for (struct guard_intent *i = s->under_way; i; i = i->next)
		if (!range || overlap(&i->range, range))
			i->spoiled = true;
}

void guard_begin_drop(struct guard *g, struct guard_intent *intent)
{
	struct guard_stripe *s = guard_stripe(g, intent->range.ino);
	lock_acquire(&s->lock);
	spoil(g, s, &intent->range);
	intent->spoiled = false;
	add(s, intent);
	lock_release(&s->lock);
}

bool guard_end(struct guard *g, struct guard_intent *intent)
{
	struct guard_stripe *s = guard_stripe(g, intent->range.ino);
	lock_acquire(&s->lock);
	bool over = !intent->spoiled;
	intent->spoiled = false;
	if (over) {
		*(intent->prev ? &intent->prev->next : &s->under_way) = intent->next;
		if (intent->next)
			intent->next->prev = intent->prev;
		s->over[s->token++ % GUARD_RING] = intent->range;
		/* Before the release: who asks under the lock and finds the list without it sees
		 * this. */
		atomic_fetch_add(&g->moment, 1);
	}
	lock_release(&s->lock);
	return over;
}

void guard_forget(struct guard *g)
{
	for (unsigned i = 0; i < GUARD_STRIPES; i++) {
		struct guard_stripe *s = &g->stripes[i];
		lock_acquire(&s->lock);
		spoil(g, s, NULL);
		for (unsigned n = 0; n <= GUARD_RING; n++)
			s->over[s->token++ % GUARD_RING] = (struct guard_range){.first = 1};
		lock_release(&s->lock);
	}
	atomic_fetch_add(&g->moment, 1);
}

uint64_t guard_moment(struct guard *g)
{
	return atomic_load(&g->moment);
}
