/*
 * A heap of moments: which of many comes first. Its nodes are members of what they belong to, so
 * that one can be taken out when its owner goes. No lock, no clock.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdint.h>

struct deadline {
	int64_t at; /* nanoseconds, of whatever clock */
	size_t pos; /* place in the heap, from 1; 0: not in it */
};

struct deadlines {
	struct deadline **heap; /* [1 ... n] */
	size_t n;
	size_t room;
};

/* Puts in `d`, which is not in it, for d->at. -ENOMEM. */
int deadlines_add(struct deadlines *h, struct deadline *d) MUST_CHECK NONNULL(1, 2);

/* Takes out `d` if it is in. */
void deadlines_remove(struct deadlines *h, struct deadline *d) NONNULL(1, 2);

/* The earliest, which stays in; NULL: none. */
struct deadline *deadlines_first(const struct deadlines *h) MUST_CHECK NONNULL(1);

/* Frees the heap's memory, not the nodes. */
void deadlines_fini(struct deadlines *h) NONNULL(1);
