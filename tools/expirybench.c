/*
 * expirybench: what does it cost when everything in the block cache is past its time at once? For
 * developers (docs/measurements.md).
 *
 *   expirybench [BLOCKS]     default 1000000
 *
 * Blocks of 100 bytes, 256 to a file, all put at one moment. Times of blocks_get() and blocks_put()
 * of one block before that moment's TTL is over, right after it, and when the expired ones are
 * asked for; and whether they are in the way of what comes.
 */
#include "cache/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TTL 1000
#define PER_FILE 256u
#define SAMPLES 200000u

static double times[SAMPLES];

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void report(const char *what)
{
	qsort(times, SAMPLES, sizeof times[0], compare);
	printf("%-44s %6.2f %6.2f %6.2f us\n", what, times[SAMPLES / 2],
		times[SAMPLES - SAMPLES / 100], times[SAMPLES - SAMPLES / 1000]);
}

static void put(struct blocks *b, struct block *block, uint64_t n, int64_t now)
{
	if (blocks_put(b, 2 + n / PER_FILE, n % PER_FILE, 1, &block, now, TTL) < 0)
		exit(EXIT_FAILURE);
}

/* Gets random ones of `n` blocks from `first` on; returns how many were there. */
static unsigned get_many(struct blocks *b, uint64_t first, uint64_t n, int64_t now)
{
	uint64_t seed = 1;
	unsigned found = 0;
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t at = first + next_random(&seed) % n;
		struct block *block = NULL;
		int64_t left;
		double begun = now_us();
		found += (unsigned)blocks_get(
			b, 2 + at / PER_FILE, at % PER_FILE, 1, now, &block, &left);
		times[i] = now_us() - begun;
		block_unref(block);
	}
	return found;
}

static void put_many(struct blocks *b, struct block *block, uint64_t first, int64_t now)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		double begun = now_us();
		put(b, block, first + i, now);
		times[i] = now_us() - begun;
	}
}

int main(int argc, char *argv[])
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	struct block *block = block_new(100);
	struct blocks *b;
	struct blocks_counts counts;
	/* Room for them and little more, so that what comes later has to push them out. */
	if (n == 0 || !block || blocks_new(n * 260, &b) < 0)
		return EXIT_FAILURE;
	for (uint64_t i = 0; i < n; i++)
		put(b, block, i, 0);
	blocks_count(b, &counts);
	printf("%llu blocks, %llu MB%25s %6s %6s\n", (unsigned long long)counts.blocks,
		(unsigned long long)counts.bytes >> 20, "p50", "p99", "p99.9");
	unsigned found = get_many(b, 0, n, TTL - 1);
	report("get, before their time is over");
	if (found == 0)
		return EXIT_FAILURE;
	put_many(b, block, n, TTL - 1);
	report("put of others, before");
	put_many(b, block, 2 * n, TTL);
	report("put of others, all of the old ones expired");
	get_many(b, 2 * n, SAMPLES, TTL);
	report("get of these");
	get_many(b, 0, n, TTL);
	report("get of the old ones");
	b = blocks_free(b);
	block_unref(block);
	return EXIT_SUCCESS;
}
