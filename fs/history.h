/*
 * What a mount has done lately: its counters, every ten seconds, for an hour. A ring of fixed size,
 * without a clock, a lock or a thread: who adds and reads has to see to that.
 */
#pragma once

#include "cache/store/compiler.h"
#include "control.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_INTERVAL ((int64_t)10000000000) /* nanoseconds */
#define HISTORY_MAX 360u			/* samples: an hour */

/* All zero: empty. */
struct history {
	uint64_t added; /* samples so far, of which the last HISTORY_MAX are kept */
	struct recordfs_sample ring[HISTORY_MAX];
};

/* Is it time for another one, at `now`? */
bool history_due(const struct history *h, int64_t now) MUST_CHECK NONNULL(1);

/* Takes the place of the oldest one, if there are as many as are kept. sample->at is not before
 * that of the last. */
void history_add(struct history *h, const struct recordfs_sample *sample) NONNULL(1, 2);

/* Those from number *first on, counted from the first that ever was, `max` at most. Returns how
 * many; *first becomes the number of the first of them: a higher one, if it is not kept any more.
 */
uint32_t history_read(const struct history *h, uint64_t *first, struct recordfs_sample *ret,
	uint32_t max) MUST_CHECK NONNULL(1, 2, 3);
