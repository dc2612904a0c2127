/*
 * Small changes that wait to be committed together.
 *
 * A thread that receives requests does not carry out such a change: it puts it here and receives
 * on. When there is nothing left to receive, one thread, the committer, takes all there is, has it
 * applied in one go, and answers. No thread sleeps for a request, and none is woken for it.
 *
 * Whoever has put something asks gather_claim() before it sleeps or ends; the committer gives up by
 * gather_release() only, which fails while there is something. So nothing stays here that nobody
 * looks after: see the states in gather.c.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most that waits at a time: what one store_apply() may take. */
#define GATHER_MAX 256u
#define GATHER_BYTES_MAX ((size_t)2 << 20)

/* After a flush, those who were answered are given so long to come again (in nanoseconds) before
 * others are committed without them: their writes then share the next one. Without a flush there is
 * nothing to be shared that would be worth it. */
#define GATHER_PATIENCE 50000

struct gather;

/* Part of what waits; the memory is the caller's. */
struct gather_item {
	size_t bytes;
	struct gather_item *next;
};

/* Carries out and answers `n` items from `first` on, linked by next, 1 <= n <= GATHER_MAX; their
 * memory may go meanwhile. True: with a flush. Calls are one after the other. */
typedef bool gather_apply_fn(void *arg, struct gather_item *first, size_t n);

/* -ENOMEM */
int gather_new(gather_apply_fn *apply, void *arg, struct gather **ret) MUST_CHECK NONNULL(1, 3);

/* Nothing may be waiting. Takes NULL. Returns NULL. */
struct gather *gather_free(struct gather *g);

/* Adds an item, unless that would be too much: false. */
bool gather_put(struct gather *g, struct gather_item *item) MUST_CHECK NONNULL(1, 2);

/* Does anything wait, and is there no committer? */
bool gather_waits(struct gather *g) MUST_CHECK NONNULL(1);

/* Is it worth while to look for more before this is committed, as there is time and room? */
bool gather_expects(struct gather *g) MUST_CHECK NONNULL(1);

/* After a commit: while it was under way others came, nobody knows how many. */
void gather_expect_more(struct gather *g) NONNULL(1);

/* How many items wait now. */
size_t gather_count(struct gather *g) MUST_CHECK NONNULL(1);

/* How many items this thread has put; it may wrap. */
unsigned gather_puts(void) MUST_CHECK;

/* Has this thread put something, and not asked gather_claim() since? */
bool gather_has_put(void) MUST_CHECK;

/* Makes the caller the committer, if something waits and there is none. */
bool gather_claim(struct gather *g) MUST_CHECK NONNULL(1);

/* The committer applies what waits now, if anything does. */
void gather_commit(struct gather *g) NONNULL(1);

/* The committer is none any more: only if nothing waits (else false), or in any case, if it asks
 * gather_claim() again before it sleeps. */
bool gather_release(struct gather *g) MUST_CHECK NONNULL(1);
void gather_leave(struct gather *g) NONNULL(1);
