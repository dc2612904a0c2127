/*
 * Who changes a store at random, so that it has something to lose: small and large writes, appends,
 * truncations, holes, copies, and all changes of names and attributes, in a directory of its own.
 * Everything that the changes point to stays for good.
 */
#pragma once

#include "cache/store/store.h"

#include <stdatomic.h>

#define ACTOR_REAPS_MAX 64u

struct actor {
	struct store *store;
	atomic_llong *now; /* each change has a time of its own */
	uint64_t dir;
	uint64_t shared; /* a directory with records that others write as well; 0: none */
	uint64_t random;
	uint64_t reaps[ACTOR_REAPS_MAX]; /* orphans of its making */
	unsigned n_reaps;
};

unsigned actor_roll(struct actor *a, unsigned n);

/* Gives the root the attributes that the model's has; the first change of all. */
void actor_begin(struct actor *a);
/* A directory in the root, and its number. */
uint64_t actor_mkdir(struct actor *a, const char *name);

/* Some change. It may turn out to be one that is refused. */
struct change actor_change(struct actor *a);
/* After it was applied: gives back what it brought. */
void actor_done(struct actor *a, struct change *c);
