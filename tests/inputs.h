/*
 * Tests whose cases are strings of bytes, as a fuzzer has them: those of a corpus, in a folder, and
 * random ones. A case that dies, hangs or breaks a promise is printed, so that it can be kept.
 *
 * From the environment: RFS_SEED repeats a run, RFS_CASES says how many random cases, RFS_LONG=1
 * makes them many and others each time, RFS_CORPUS is another folder.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for what is to be said of a broken promise. */
#define INPUTS_WHY 512u

struct inputs {
	/* Does one case. False: a promise was broken, and `why` says which. */
	bool (*run)(const uint8_t *input, size_t size, char *why);
	/* Most bytes of a random case; how many there are, usually and with RFS_LONG. */
	size_t size_max;
	unsigned cases, cases_long;
	/* Makes random bytes likelier to be something, unless NULL. */
	void (*shape)(uint8_t *input, size_t size);
	unsigned seconds; /* a case takes much less than that */
};

/* What is fatal says from now on which case it was. */
void inputs_setup(void);

/* Both fail the (cmocka) test when a case is broken. The first needs one case at least. */
void inputs_corpus(const struct inputs *i, const char *folder) NONNULL(1, 2);
void inputs_random(const struct inputs *i) NONNULL(1);
