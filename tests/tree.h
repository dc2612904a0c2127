/*
 * A fixed workload over a store, step by step and by paths, and what a tree comes to in one number:
 * for tests that let a store and the model do the same and compare.
 */
#pragma once

#include "cache/store/store.h"

/* Steps that there are: all kinds of changes, on files of one block and of long rows. */
size_t tree_steps(void) MUST_CHECK;

/* What a step has become in one store. */
struct tree_done {
	int result;
	bool doubtful;
	uint64_t orphan; /* inode that lost its last name, 0: none */
};

/* Does step `n` below directory `top` of the root, which step 0 makes; its times are of `n`. */
struct tree_done tree_step(struct store *s, const char *top, size_t n, bool durable) NONNULL(1, 2);

/* Deletes an orphan for good. 0, or why it is not deleted yet. */
int tree_reap(struct store *s, uint64_t ino) MUST_CHECK NONNULL(1);

/* Of everything below `top` that a reader can see: names, attributes, contents, one extended
 * attribute. Not of inode numbers and versions. `top` may be missing. */
int tree_digest(struct store *s, const char *top, uint64_t *ret) MUST_CHECK NONNULL(1, 2, 3);
