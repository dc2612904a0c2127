/*
 * The index of the block cache with as many blocks as so many GiB have. The blocks are holes, and
 * one for all: what is measured is how they are found, not how they are filled. That is some
 * hundred nanoseconds, which memory decides: the index of a large cache is in no cache of the CPU.
 */
#include "growth.h"

#include "cache/blocks.h"

#include <err.h>
#include <stdlib.h>

#define PER_FILE 65536u /* blocks: files of 256 MiB */
#define PER_BLOCK 512u	/* bytes; more than the cache counts for one, so that all have room */
#define TTL 1000

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void put(struct blocks *b, uint64_t n, struct block *block)
{
	if (blocks_put(b, 2 + n / PER_FILE, n % PER_FILE, 1, &block, 0, TTL) < 0)
		errx(1, "no memory");
}

static bool get(struct blocks *b, uint64_t n)
{
	struct block *block = NULL;
	int64_t left;
	size_t found = blocks_get(b, 2 + n / PER_FILE, n % PER_FILE, 1, 0, &block, &left);

	block_unref(block);
	return found > 0;
}

static struct blocks *filled(uint64_t n, struct block *block)
{
	struct blocks *b;
	struct blocks_counts counts;

	if (blocks_new(n * PER_BLOCK, &b) < 0)
		errx(1, "no memory");
	for (uint64_t i = 0; i < n; i++)
		put(b, i, block);
	blocks_count(b, &counts);
	if (counts.blocks != n)
		errx(1, "the cache keeps only %llu of %llu blocks",
			(unsigned long long)counts.blocks, (unsigned long long)n);
	return b;
}

/* Microseconds of one operation on random blocks of n. */
static double time_of(struct blocks *b, unsigned what, uint64_t n, unsigned ops, struct block *hole)
{
	uint64_t seed = 88172645463325252u + what, begun = now_ns();
	unsigned found = 0;

	for (unsigned i = 0; i < ops; i++) {
		uint64_t number = next_random(&seed) % n;

		if (what == C_PUT)
			put(b, number, hole);
		else
			found += get(b, what == C_GET ? number : n + number);
	}
	if (found != (what == C_GET ? ops : 0))
		errx(1, "the cache has %u of %u blocks", found, ops);
	return (double)(now_ns() - begun) / 1e3 / ops;
}

void measure_index(const struct growth_scale *scale, struct growth *ret)
{
	struct block *hole = block_new(0);
	struct blocks *b[SIZES];

	if (hole == NULL)
		errx(1, "no memory");
	hole->len = 0;
	for (unsigned size = 0; size < SIZES; size++)
		b[size] = filled(scale->index_blocks[size], hole);
	for (unsigned rep = 0; rep < scale->reps; rep++)
		for (unsigned size = 0; size < SIZES; size++)
			for (unsigned what = 0; what < C_N; what++)
				ret[what].us[size][rep] = time_of(b[size], what,
					scale->index_blocks[size], scale->index_ops, hole);
	for (unsigned size = 0; size < SIZES; size++)
		blocks_free(b[size]);
	block_unref(hole);
}
