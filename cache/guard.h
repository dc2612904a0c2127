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
 * Others change the store as well, and who hears of it drops what they changed. A drop is announced
 * like a change, so that no reader's older load comes after it. But a change of our own may be
 * under way that was committed before theirs and puts its blocks, older now, after the drop:
 *
 *   writer                       others          who drops
 *   change the store
 *                                change it too
 *                                                begin_drop: spoils the writer's intent
 *                                                drop; end
 *   change the cache: outdated
 *   end: false, it was spoiled
 *   drop its range; end: true
 *
 * As long as an intent is in the list nobody reads its range from the cache, so nobody sees what
 * was put in vain. What a change turns out to touch only when it is committed is announced then,
 * with the count of drops from before the commit (guard_drops, guard_begin_late): a drop in between
 * spoils it from the start.
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
	/* Under the stripe's lock: */
	bool spoiled; /* dropped meanwhile: what it puts may be older than what others have made */
	struct guard_intent *prev, *next;
};

struct guard_stripe {
	_Alignas(64) struct lock lock;
	/* All under lock: */
	uint64_t token;	  /* how many changes are over */
	uint64_t dropped; /* the number of the last drop that concerned the stripe */
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

/* Announces a change of intent->range. */
void guard_begin(struct guard *g, struct guard_intent *intent) NONNULL(1, 2);

/* How many drops there were. */
uint64_t guard_drops(struct guard *g) MUST_CHECK NONNULL(1);

/* Announces what turns out to be changed by what is committed already; `drops` is guard_drops()
 * from before. */
void guard_begin_late(struct guard *g, struct guard_intent *intent, uint64_t drops) NONNULL(1, 2);

/* Announces a drop, and spoils what overlaps it and is under way. */
void guard_begin_drop(struct guard *g, struct guard_intent *intent) NONNULL(1, 2);

/* Says that it is over. False: it was spoiled, and is not over. The caller drops its range, with
 * the attributes, and calls again. */
bool guard_end(struct guard *g, struct guard_intent *intent) MUST_CHECK NONNULL(1, 2);

/* Anything may have changed: every token that was taken until now holds no more, and everything
 * that is under way is spoiled. */
void guard_forget(struct guard *g) NONNULL(1);

/* A token for who does not know yet which inode it will load: the number of changes that are over,
 * anywhere. It holds for an inode if it is still the same and guard_holds() with the stripe's own
 * token, both asked under the stripe's lock. */
uint64_t guard_moment(struct guard *g) MUST_CHECK NONNULL(1);
