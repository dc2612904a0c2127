#include "deadlines.h"

#include <errno.h>
#include <stdlib.h>

static void put(struct deadlines *h, size_t pos, struct deadline *d)
{
	h->heap[pos] = d;
	d->pos = pos;
}

static void sift_up(struct deadlines *h, size_t pos, struct deadline *d)
{
	while (pos > 1 && h->heap[pos / 2]->at > d->at) {
		put(h, pos, h->heap[pos / 2]);
		pos /= 2;
	}
	put(h, pos, d);
}

static void sift_down(struct deadlines *h, size_t pos, struct deadline *d)
{
	for (;;) {
		size_t child = pos * 2;
		if (child > h->n)
			break;
		if (child < h->n && h->heap[child + 1]->at < h->heap[child]->at)
			child++;
		if (h->heap[child]->at >= d->at)
			break;
		put(h, pos, h->heap[child]);
		pos = child;
	}
	put(h, pos, d);
}

#define ROOM_MIN 64

static int resize(struct deadlines *h, size_t room)
{
	struct deadline **heap = realloc(h->heap, room * sizeof(struct deadline *));
	if (!heap)
		return -ENOMEM;
	h->heap = heap;
	h->room = room;
	return 0;
}

int deadlines_add(struct deadlines *h, struct deadline *d)
{
	if (h->n + 1 >= h->room && resize(h, h->room ? h->room * 2 : ROOM_MIN) < 0)
		return -ENOMEM;
	sift_up(h, ++h->n, d);
	return 0;
}

void deadlines_remove(struct deadlines *h, struct deadline *d)
{
	size_t pos = d->pos;
	if (!pos)
		return;
	d->pos = 0;
	struct deadline *last = h->heap[h->n--];
	if (last != d && pos > 1 && h->heap[pos / 2]->at > last->at)
		sift_up(h, pos, last);
	else if (last != d)
		sift_down(h, pos, last);
	if (h->room > ROOM_MIN && h->n + 1 < h->room / 8)
		(void)resize(h, h->room / 2);
}

struct deadline *deadlines_first(const struct deadlines *h)
{
	return h->n ? h->heap[1] : NULL;
}

void deadlines_fini(struct deadlines *h)
{
	free(h->heap);
	*h = (struct deadlines){0};
}
