#include "company.h"

static unsigned get(const atomic_uint *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static void set(atomic_uint *n, unsigned to)
{
	atomic_store_explicit(n, to, memory_order_relaxed);
}

void company_came(struct company *c)
{
	set(&c->there, COMPANY_LASTS);
	atomic_store_explicit(&c->seen, true, memory_order_relaxed);
}

bool company_none(struct company *c, bool waiting)
{
	unsigned there = get(&c->there), trifles = get(&c->trifles);
	if (trifles)
		set(&c->trifles, trifles - 1);
	if (waiting && !trifles) {
		company_came(c);
		return false;
	}
	if (there)
		set(&c->there, there - 1);
	return there == 0;
}

void company_expect_trifle(struct company *c)
{
	set(&c->trifles, COMPANY_TRIFLE_LOOKS);
}

void company_received(struct company *c, uint64_t client)
{
	if (client == COMPANY_NOBODY && get(&c->trifles))
		set(&c->trifles, 0);
}

bool company_differs(uint64_t client, uint64_t blocked)
{
	if (client == COMPANY_NOBODY || blocked == COMPANY_NOBODY)
		return false;
	return client != blocked || client == COMPANY_UNKNOWN;
}

bool company_was_seen(struct company *c)
{
	if (!atomic_load_explicit(&c->seen, memory_order_relaxed))
		return false;
	atomic_store_explicit(&c->seen, false, memory_order_relaxed);
	return true;
}
