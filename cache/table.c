/*
 * Linear probing: a handle is in the slot of its hash, or if that is taken in the next that is
 * free. No slot between the two is empty, also when something is taken out: what comes behind
 * moves up.
 */
#include "table.h"

#include "pages.h"

#include <assert.h>
#include <errno.h>

#define SLOTS_MIN (PAGES_SIZE / sizeof(uint64_t))

static size_t home_of(const struct table *t, uint64_t slot)
{
	return (slot >> 32) & (t->n - 1);
}

int table_init(struct table *t)
{
	*t = (struct table){.n = SLOTS_MIN};
	t->slots = pages_map(t->n * sizeof *t->slots);
	return t->slots ? 0 : -ENOMEM;
}

void table_fini(struct table *t)
{
	pages_unmap(t->slots, t->n * sizeof *t->slots);
	*t = (struct table){0};
}

uint64_t table_bytes(const struct table *t)
{
	return (t->n - SLOTS_MIN) * sizeof *t->slots;
}

static void put(struct table *t, uint64_t slot)
{
	size_t i = home_of(t, slot);
	while (t->slots[i])
		i = (i + 1) & (t->n - 1);
	t->slots[i] = slot;
}

/* False: no memory, and nothing has changed. */
static bool resize(struct table *t, size_t n)
{
	struct table other = {.n = n, .used = t->used};
	other.slots = pages_map(n * sizeof *other.slots);
	if (!other.slots)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (t->slots[i])
			put(&other, t->slots[i]);
	table_fini(t);
	*t = other;
	return true;
}

int table_add(struct table *t, uint32_t hash, uint32_t handle)
{
	assert(handle);
	/* Without memory to grow it goes on, with longer searches, until nearly all are taken. */
	if (t->used >= t->n / 4 * 3 && !resize(t, t->n * 2) && t->used >= t->n / 16 * 15)
		return -ENOMEM;
	put(t, (uint64_t)hash << 32 | handle);
	t->used++;
	return 0;
}

/* Where a handle that is there is. */
static size_t place_of(const struct table *t, uint32_t hash, uint32_t handle)
{
	const uint64_t slot = (uint64_t)hash << 32 | handle;
	size_t i = home_of(t, slot);
	while (t->slots[i] != slot) {
		assert(t->slots[i]);
		i = (i + 1) & (t->n - 1);
	}
	return i;
}

void table_move(struct table *t, uint32_t hash, uint32_t from, uint32_t to)
{
	t->slots[place_of(t, hash, from)] = (uint64_t)hash << 32 | to;
}

void table_remove(struct table *t, uint32_t hash, uint32_t handle)
{
	const size_t mask = t->n - 1;
	size_t hole = place_of(t, hash, handle);
	/* What is as far from home as from the hole, or farther, may move there. */
	for (size_t i = (hole + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
		if (((i - home_of(t, t->slots[i])) & mask) < ((i - hole) & mask))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole] = 0;
	t->used--;
	if (t->n > SLOTS_MIN && t->used < t->n / 8)
		(void)resize(t, t->n / 2); /* then it just stays as large */
}

bool table_check(const struct table *t)
{
	size_t used = 0;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->slots[i])
			continue;
		used++;
		for (size_t j = home_of(t, t->slots[i]); j != i; j = (j + 1) & (t->n - 1))
			if (!t->slots[j])
				return false;
	}
	return used == t->used && used < t->n;
}
