/* Made-up traces. */
#include "cachesim.h"

#include <math.h>
#include <stdlib.h>

#define UNIVERSE_FACTOR 10u /* a trace's working set is so many times the cache */
#define REQUESTS_FACTOR 60u /* and its length */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Spreads the popular keys over the universe; a bijection is not needed. */
static uint32_t scatter(uint32_t rank, uint32_t universe)
{
	return (uint32_t)((uint64_t)rank * 2654435761u % universe);
}

static double *zipf_table(uint32_t universe, double skew)
{
	double *sum = need(malloc(universe * sizeof *sum)), total = 0;
	for (uint32_t i = 0; i < universe; i++)
		sum[i] = total += 1.0 / pow(i + 1.0, skew);
	for (uint32_t i = 0; i < universe; i++)
		sum[i] /= total;
	return sum;
}

static uint32_t zipf(const double *sum, uint32_t universe, uint64_t *seed)
{
	double u = (double)(next_random(seed) >> 11) / 9007199254740992.0;
	uint32_t low = 0, high = universe - 1;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (sum[middle] < u)
			low = middle + 1;
		else
			high = middle;
	}
	return scatter(low, universe);
}

struct trace zipf_trace(
	const char *name, double goal, uint32_t capacity, double skew, bool scans, uint32_t repeat)
{
	uint32_t universe = capacity * UNIVERSE_FACTOR;
	uint32_t cold = scans ? capacity * UNIVERSE_FACTOR : 0;
	struct trace t = {name, goal, universe + cold, (size_t)capacity * REQUESTS_FACTOR, NULL};
	double *sum = zipf_table(universe, skew);
	uint64_t seed = 88172645463325252u;
	uint32_t at = 0;
	t.keys = need(malloc(t.n * sizeof *t.keys));
	for (size_t i = 0; i < t.n; i++) {
		bool scanning = scans && i / capacity % 2;
		t.keys[i] = scanning ? universe + at++ / repeat % cold : zipf(sum, universe, &seed);
	}
	free(sum);
	return t;
}

struct trace loop_trace(const char *name, double goal, uint32_t capacity, uint32_t percent)
{
	uint32_t universe = (uint32_t)((uint64_t)capacity * percent / 100);
	struct trace t = {name, goal, universe, (size_t)capacity * REQUESTS_FACTOR / 2, NULL};
	t.keys = need(malloc(t.n * sizeof *t.keys));
	for (size_t i = 0; i < t.n; i++)
		t.keys[i] = (uint32_t)(i % universe);
	return t;
}

struct trace mixed_trace(const char *name, double goal, uint32_t capacity)
{
	uint32_t universe = capacity * UNIVERSE_FACTOR, loop = capacity * 2;
	struct trace t = {name, goal, universe + loop, (size_t)capacity * REQUESTS_FACTOR, NULL};
	double *sum = zipf_table(universe, 1.0);
	uint64_t seed = 1234567u;
	t.keys = need(malloc(t.n * sizeof *t.keys));
	for (size_t i = 0; i < t.n; i++)
		t.keys[i] =
			i % 2 ? universe + (uint32_t)(i / 2 % loop) : zipf(sum, universe, &seed);
	free(sum);
	return t;
}
