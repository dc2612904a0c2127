/*
 * How often each size of something was seen: latencies in nanoseconds, changes in a commit.
 *
 * Buckets are on a logarithmic scale, four to each power of two, so a value is known to a quarter
 * of itself, and values below 8 exactly. Adding takes no lock and may be done by any thread; so a
 * view that is taken meanwhile may be a value apart between its members, but never loses one.
 */
#pragma once

#include "compiler.h"

#include <stdatomic.h>
#include <stdint.h>

/* The last one is open: 2^36 and more (a minute, in nanoseconds) and what comes shortly before. */
#define HISTOGRAM_BUCKETS 140u

/* All zero: empty. */
struct histogram {
	atomic_uint_least64_t sum;
	atomic_uint_least64_t max;
	atomic_uint_least64_t bucket[HISTOGRAM_BUCKETS];
};

struct histogram_view {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value) NONNULL(1);
void histogram_read(const struct histogram *h, struct histogram_view *ret) NONNULL(1, 2);

/* The bucket of a value, and the least value that is past a bucket; of the last one UINT64_MAX. */
unsigned histogram_index(uint64_t value) MUST_CHECK;
uint64_t histogram_end(unsigned index) MUST_CHECK;

/* What came since `old` was taken of the same histogram. `max` becomes the end of the highest
 * bucket that got something, or that of all time if that is less. */
void histogram_since(struct histogram_view *view, const struct histogram_view *old) NONNULL(1, 2);

/* The value below which the share `q` (0 ... 1) of all values lies, between the ends of its bucket
 * in proportion; 0 when there are none. Never more than the greatest. */
uint64_t histogram_quantile(const struct histogram_view *view, double q) MUST_CHECK NONNULL(1);

/* How many values are below `end`, which must be the end of a bucket: a power of two from 4 on. */
uint64_t histogram_below(const struct histogram_view *view, uint64_t end) MUST_CHECK NONNULL(1);
