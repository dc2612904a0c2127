/* LRU and SIEVE, as simple as can be. */
#include "cachesim.h"

#include <stdlib.h>

/* One list, newest first, for LRU and SIEVE. Links are by key; NONE ends them. */
struct list {
	uint32_t *newer, *older;
	bool *present, *visited;
	uint32_t head, tail, n, hand;
};

static void list_unlink(struct list *l, uint32_t key)
{
	*(l->newer[key] == NONE ? &l->head : &l->older[l->newer[key]]) = l->older[key];
	*(l->older[key] == NONE ? &l->tail : &l->newer[l->older[key]]) = l->newer[key];
}

static void list_push(struct list *l, uint32_t key)
{
	l->newer[key] = NONE;
	l->older[key] = l->head;
	*(l->head == NONE ? &l->tail : &l->newer[l->head]) = key;
	l->head = key;
}

static void list_evict(struct list *l, uint32_t key)
{
	list_unlink(l, key);
	l->present[key] = false;
	l->n--;
}

/* Zhang and others, "SIEVE is simpler than LRU", NSDI 2024. */
static void sieve_evict(struct list *l)
{
	uint32_t at = l->hand == NONE ? l->tail : l->hand;
	while (l->visited[at]) {
		l->visited[at] = false;
		at = l->newer[at] == NONE ? l->tail : l->newer[at];
	}
	l->hand = l->newer[at];
	list_evict(l, at);
}

static double run_list(const struct trace *t, uint32_t capacity, bool sieve)
{
	struct list l = {.head = NONE, .tail = NONE, .hand = NONE};
	size_t hits = 0;
	l.newer = need(calloc(t->universe, sizeof *l.newer));
	l.older = need(calloc(t->universe, sizeof *l.older));
	l.present = need(calloc(t->universe, sizeof *l.present));
	l.visited = need(calloc(t->universe, sizeof *l.visited));
	for (size_t i = 0; i < t->n; i++) {
		uint32_t key = t->keys[i];
		if (l.present[key]) {
			hits += i >= t->n / 2;
			l.visited[key] = true;
			if (!sieve) {
				list_unlink(&l, key);
				list_push(&l, key);
			}
			continue;
		}
		if (l.n == capacity && sieve)
			sieve_evict(&l);
		else if (l.n == capacity)
			list_evict(&l, l.tail);
		list_push(&l, key);
		l.present[key] = true;
		l.visited[key] = false;
		l.n++;
	}
	free(l.newer);
	free(l.older);
	free(l.present);
	free(l.visited);
	return (double)hits / (double)(t->n - t->n / 2);
}

double run_lru(const struct trace *t, uint32_t capacity)
{
	return run_list(t, capacity, false);
}

double run_sieve(const struct trace *t, uint32_t capacity)
{
	return run_list(t, capacity, true);
}
