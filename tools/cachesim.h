/* What the parts of cachesim share: traces, and the policies that are tried on them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX

/* A trace: the block numbers that are asked for, all below `universe`. */
struct trace {
	const char *name;
	double goal; /* hits that the real cache should have, if LRU has 1 */
	uint32_t universe;
	size_t n;
	uint32_t *keys;
};

/* Ends the program if there is no memory. */
void *need(void *p);

/* cachesim_traces.c: traces for a cache of `capacity` blocks. The caller frees the keys.
 * Zipf; with `scans`, every other cacheful of requests is a scan of blocks that nobody asks for
 * again soon, each of them `repeat` times in a row (as small reads of a file do). */
struct trace zipf_trace(
	const char *name, double goal, uint32_t capacity, double skew, bool scans, uint32_t repeat);
/* Round and round through a file slightly larger than the cache. */
struct trace loop_trace(const char *name, double goal, uint32_t capacity, uint32_t percent);
/* A mix: half the requests a loop over twice the cache, half of them Zipf. */
struct trace mixed_trace(const char *name, double goal, uint32_t capacity);

/* The share of hits in the second half of the trace: the first one fills the cache. */
double run_lru(const struct trace *t, uint32_t capacity);   /* cachesim_list.c */
double run_sieve(const struct trace *t, uint32_t capacity); /* cachesim_list.c */
double run_arc(const struct trace *t, uint32_t capacity);   /* cachesim_arc.c */
