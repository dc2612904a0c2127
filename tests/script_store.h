/*
 * A store that does what a test says: it wraps another one, counts the calls, and runs the test's
 * hook before and after each. A hook may make the call fail, wait for another thread, or use the
 * layers above itself: that is how an interleaving is forced.
 */
#pragma once

#include "cache/store/store.h"

#include <stdatomic.h>

enum script_op {
	SCRIPT_APPLY,
	SCRIPT_FLUSH,
	SCRIPT_READ,
	SCRIPT_GETATTR,
	SCRIPT_LOOKUP,
	SCRIPT_OTHER,
	SCRIPT_OPS,
};

/* In place of a hook. (NULL is a void pointer to some compilers.) */
#define SCRIPT_NO_HOOK ((int (*)(struct script *))0)

struct script {
	struct store store;
	struct store *next; /* closed with it */

	/* With a result < 0 of `before` the call fails with it, and does not reach `next`. May be
	 * set while other threads call. */
	int (*_Atomic before[SCRIPT_OPS])(struct script *s);
	void (*after[SCRIPT_OPS])(struct script *s);
	void *arg; /* of the hooks */

	atomic_uint calls[SCRIPT_OPS];
	/* Of the last call: */
	_Atomic size_t n_changes;
	atomic_bool durable;
	_Atomic uint64_t first;
	_Atomic uint32_t count;

	/* For as long as it is not 0: a change fails with it, `doubtful` or not, and is not made.
	 */
	int refuse;
	bool doubtful;
	/* A write's head and tail are kept from who asked, as if there had been no memory. */
	bool hide_edges;
	/* Blocks that a read adds before and after. */
	uint32_t slack;
	/* What the next poll tells, and what it was answered last. */
	const struct store_event *events;
	size_t n_events;
	bool answered;
};

void script_init(struct script *s, struct store *next);
