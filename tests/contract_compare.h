/* Two stores that were told the same: are they the same? For contract_random.c. */
#pragma once

#include "kit.h"

struct pair {
	struct store *store[2]; /* under test, and the model */
};

/* An inode that both stores have made, each under a number of its own. */
struct thing {
	uint64_t ino[2];
	uint32_t mode; /* as it was last seen */
	uint64_t size;
	bool copied_to; /* the model does not copy holes as holes, so `blocks` may differ */
	bool gone;
};

/* One change for both: of the things at these places in the list, in the order in which the
 * change's struct names inodes. */
struct twin {
	struct change c;
	unsigned what[2];
	struct change changes[2];
};

/* The change for one side. */
struct change *twin_for(struct twin *t, const struct thing *things, unsigned side);
void twin_release(struct twin *t);

/* For messages. */
extern uint64_t compare_step;

/* Both answered the same, and say that they altered the same. */
void compare_results(struct twin *t, struct thing *things, unsigned n_things);
/* One inode is the same in both: attributes, data, entries, extended attributes. */
void compare_thing(
	const struct pair *p, const struct thing *things, unsigned n_things, unsigned which);
void compare_all(const struct pair *p, const struct thing *things, unsigned n_things);
