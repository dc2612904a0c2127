/*
 * The guard: no fill of the cache overtakes a change, and no read mixes two states.
 *
 * Who changes blocks announces them (guard_begin), changes the store, then the cache, and says that
 * it is over (guard_end). Who loads blocks takes the stripe's token first, loads without a lock,
 * and afterwards asks under the stripe's lock whether the token still holds for what it loaded:
 * no overlapping change was under way then, is now, or has been in between. Only then may it put
 * the blocks into the cache, still under the lock.
 *
 *   reader                                  writer
 *   lock; token; unlock                     begin: lock; into the list; unlock
 *   load from the store                     change the store
 *   lock; token holds? put; unlock          change the cache
 *                                           end: lock; out of the list, into the ring; unlock
 *
 * If the reader loaded old data, either the writer's change of the cache comes after its put and
 * corrects it, or the change is in the list or the ring and there is no put.
 *
 * An inode belongs to one of GUARD_STRIPES stripes, by hash. What was over is remembered in a ring
 * of GUARD_RING; a token older than the ring does not hold.
 */
#pragma once

#include "lock.h"

#include <stdbool.h>
#include <stdint.h>

#define GUARD_STRIPES 256u
#define GUARD_RING 32u

/* Data blocks [first, last] of an inode (none if first > last), and its attributes or not. */
struct guard_range {
	uint64_t ino;
	uint64_t first;
	uint64_t last;
	bool attr;
};

/* A change that is under way. The memory is the caller's, from begin to end. */
struct guard_intent {
	struct guard_range range;
	struct guard_intent *prev, *next; /* under the stripe's lock */
};

struct guard_stripe {
	_Alignas(64) struct lock lock;
	/* All under lock: */
	uint64_t token; /* how many changes are over */
	struct guard_intent *under_way;
	struct guard_range over[GUARD_RING]; /* that with number n is at n % GUARD_RING */
};

struct guard;

/* -ENOMEM */
int guard_new(struct guard **ret) MUST_CHECK NONNULL(1);

/* Takes NULL. Returns NULL. No intent may be under way. */
struct guard *guard_free(struct guard *g);

/* The stripe of an inode; it stays while the guard lives. */
struct guard_stripe *guard_stripe(struct guard *g, uint64_t ino) MUST_CHECK NONNULL(1);

/* Does `token` hold for `range`? With the stripe's own token: is nothing overlapping under way? */
bool guard_holds(const struct guard_stripe *s, uint64_t token,
	const struct guard_range *range) MUST_CHECK NONNULL(1, 3) REQUIRES(s->lock);

/* Announces a change of intent->range, and says that it is over. */
void guard_begin(struct guard *g, struct guard_intent *intent) NONNULL(1, 2);
void guard_end(struct guard *g, struct guard_intent *intent) NONNULL(1, 2);

/* Every token that was taken until now holds no more: anything may have changed. */
void guard_forget(struct guard *g) NONNULL(1);

/* A token for who does not know yet which inode it will load: the number of changes that are over,
 * anywhere. It holds for an inode if it is still the same and guard_holds() with the stripe's own
 * token, both asked under the stripe's lock. */
uint64_t guard_moment(struct guard *g) MUST_CHECK NONNULL(1);
