/*
 * A store that wraps a store and measures it: how long its operations take, how many changes a
 * commit has, and which of them failed and why. It changes nothing of what they do.
 */
#pragma once

#include "histogram.h"
#include "store.h"
#include "store_errors.h"

/* X(name, what is timed) */
#define METER_OPS(X)                                                                               \
	X(commit, "a transaction of changes without a flush")                                      \
	X(commit_durable, "a transaction of changes with its flush")                               \
	X(flush, "a flush of what was committed without")                                          \
	X(read, "a query for data")                                                                \
	X(getattr, "a query for attributes")                                                       \
	X(lookup, "a query for a name")                                                            \
	X(readdir, "a query for the entries of a directory")                                       \
	X(xattr, "a query for extended attributes")

enum meter_op {
#define X(name, text) METER_##name,
	METER_OPS(X)
#undef X
		METER_OPS_N
};

struct meter {
	struct histogram time[METER_OPS_N]; /* nanoseconds */
	struct histogram group;		    /* changes of a transaction */
	struct store_errors errors;
};

/* -ENOMEM */
int meter_new(struct meter **ret) MUST_CHECK NONNULL(1);
/* Takes NULL. Returns NULL. */
struct meter *meter_free(struct meter *m);

/* Wraps `next`, which it owns from now on if it succeeds; `m` must stay until the close. -ENOMEM */
int meter_store_new(struct meter *m, struct store *next, struct store **ret) MUST_CHECK
	NONNULL(1, 2, 3);
