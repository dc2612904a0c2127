/*
 * What must be there after power has failed: a store that wraps the SQLite store, lets the naive
 * model make the same changes, and notes
 *   - of the state after each change a digest, so that "the state after some first part of the
 *     changes" can be told exactly,
 *   - at which place of the disk's record (power_disk.h) what was promised to be durable,
 *   - of a commit that failed, what the state would be with it, and until when that may be.
 *
 * Inodes are known to the two stores by different numbers; here the SQLite store's count.
 */
#pragma once

#include "cache/store/store.h"
#include "power_disk.h"

struct oracle;

/* Takes `next` over, which must be new and empty. */
struct store *oracle_new(struct store *next, struct oracle **ret);
/* To be called once the store is closed. */
void oracle_free(struct oracle *o);

/* The states so far: 0 is that of the new store, n - 1 the present one. */
size_t oracle_states(struct oracle *o);
/* The state that the change with this `now` led to; 0: none. */
size_t oracle_state_of(struct oracle *o, int64_t now);

/* From this place of the record on, state `state` or a later one must be there. */
void oracle_note(struct oracle *o, size_t position, size_t state);

/* The state that must be there at least when power fails at `cut`. */
size_t oracle_needs(struct oracle *o, size_t cut);

/* Is this digest that of a state from `needs` on, of which only whole transactions may be there?
 * Then *ret is the state. Or may it be that of a commit at `cut` that failed (*ret is 0)? */
bool oracle_knows(struct oracle *o, uint64_t digest, size_t cut, size_t needs, size_t *ret);

/* How many commits failed so that their outcome was unknown, and how many of them could not be
 * settled before they were answered. */
size_t oracle_ghosts(struct oracle *o, size_t *ret_unsettled);

/* Everything that can be seen in a store, from the root. */
uint64_t oracle_digest(struct store *s);
