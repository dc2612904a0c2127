/*
 * ARC (Megiddo, Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003), as the
 * paper's Figure 4 has it. Four lists: asked for once, more than once, and what was evicted of
 * each.
 */
#include "cachesim.h"

#include <stdlib.h>

enum { ONCE, OFTEN, GONE_ONCE, GONE_OFTEN, LISTS, NOWHERE = LISTS };

/* Newest first; links are by key, NONE ends them. A key is in one list at most. */
struct arc {
	uint32_t *newer, *older;
	unsigned char *list; /* where a key is */
	uint32_t head[LISTS], tail[LISTS], n[LISTS];
	uint32_t capacity;
	uint32_t target; /* of the length of ONCE */
};

static void take(struct arc *a, uint32_t key)
{
	unsigned l = a->list[key];

	*(a->newer[key] == NONE ? &a->head[l] : &a->older[a->newer[key]]) = a->older[key];
	*(a->older[key] == NONE ? &a->tail[l] : &a->newer[a->older[key]]) = a->newer[key];
	a->list[key] = NOWHERE;
	a->n[l]--;
}

static void push(struct arc *a, unsigned l, uint32_t key)
{
	a->newer[key] = NONE;
	a->older[key] = a->head[l];
	*(a->head[l] == NONE ? &a->tail[l] : &a->newer[a->head[l]]) = key;
	a->head[l] = key;
	a->list[key] = (unsigned char)l;
	a->n[l]++;
}

static void move_oldest(struct arc *a, unsigned from, unsigned to)
{
	uint32_t key = a->tail[from];

	take(a, key);
	if (to != NOWHERE)
		push(a, to, key);
}

/* Makes room for a block. */
static void replace(struct arc *a, bool was_often)
{
	uint32_t once = a->n[ONCE];

	if (once > 0 && (once > a->target || (was_often && once == a->target)))
		move_oldest(a, ONCE, GONE_ONCE);
	else
		move_oldest(a, OFTEN, GONE_OFTEN);
}

static uint32_t step(uint32_t other, uint32_t mine)
{
	return other > mine ? other / mine : 1;
}

/* It was evicted not long ago: the list that it was in ought to be longer. */
static void learn(struct arc *a, bool was_often)
{
	uint32_t once = a->n[GONE_ONCE], often = a->n[GONE_OFTEN];
	uint32_t by = was_often ? step(once, often) : step(often, once);

	if (was_often)
		a->target -= a->target < by ? a->target : by;
	else
		a->target += a->capacity - a->target < by ? a->capacity - a->target : by;
}

static void make_room(struct arc *a)
{
	uint32_t once = a->n[ONCE] + a->n[GONE_ONCE], often = a->n[OFTEN] + a->n[GONE_OFTEN];

	if (once == a->capacity && a->n[ONCE] == a->capacity) {
		move_oldest(a, ONCE, NOWHERE);
	} else if (once == a->capacity) {
		move_oldest(a, GONE_ONCE, NOWHERE);
		replace(a, false);
	} else if (once + often >= a->capacity) {
		if (once + often == 2 * a->capacity)
			move_oldest(a, GONE_OFTEN, NOWHERE);
		replace(a, false);
	}
}

/* Was it there? */
static bool ask(struct arc *a, uint32_t key)
{
	unsigned l = a->list[key];

	if (l == NOWHERE) {
		make_room(a);
		push(a, ONCE, key);
		return false;
	}
	if (l == GONE_ONCE || l == GONE_OFTEN) {
		learn(a, l == GONE_OFTEN);
		replace(a, l == GONE_OFTEN);
	}
	take(a, key);
	push(a, OFTEN, key);
	return l == ONCE || l == OFTEN;
}

double run_arc(const struct trace *t, uint32_t capacity)
{
	struct arc a = {.capacity = capacity};
	size_t hits = 0;

	a.newer = need(calloc(t->universe, sizeof *a.newer));
	a.older = need(calloc(t->universe, sizeof *a.older));
	a.list = need(calloc(t->universe, sizeof *a.list));
	for (uint32_t key = 0; key < t->universe; key++)
		a.list[key] = NOWHERE;
	for (unsigned l = 0; l < LISTS; l++)
		a.head[l] = a.tail[l] = NONE;
	for (size_t i = 0; i < t->n; i++)
		hits += ask(&a, t->keys[i]) && i >= t->n / 2;
	free(a.newer);
	free(a.older);
	free(a.list);
	return (double)hits / (double)(t->n - t->n / 2);
}
