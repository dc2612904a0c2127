/*
 * cachesim: what share of the blocks asked for does the cache have? The real block cache
 * (cache/blocks.c, S3-FIFO) beside LRU, SIEVE and ARC of the same number of blocks, on made-up
 * traces. For developers: it is how the eviction policy was chosen (docs/measurements.md).
 *
 *   cachesim [--json FILE] [MIB]     size of the cache, default 64
 *
 * The peers are as simple as can be: arrays, no TTL, no bytes, and they get as many blocks as the
 * real cache turned out to hold, so that its overhead is not counted against it.
 *
 * The goal: never worse than LRU by a hundredth, and better by a tenth when scans pass through.
 */
#include "cachesim.h"

#include "cache/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER_WORSE 0.99
#define SCANS 1.1

static FILE *json;

void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "cachesim: no memory\n");
		exit(1);
	}
	return p;
}

static double run_real(const struct trace *t, uint64_t bytes, uint32_t *ret_blocks)
{
	struct blocks *b;
	struct block *block = need(block_new(STORE_BLOCK_SIZE));
	struct blocks_counts counts;
	size_t hits = 0;
	if (blocks_new(bytes, &b) < 0)
		need(NULL);
	for (size_t i = 0; i < t->n; i++) {
		struct block *got;
		int64_t ttl_left;
		/* Files of 64 MiB, as a mount would have them. */
		uint64_t ino = t->keys[i] >> 14, index = t->keys[i] & 0x3fff;
		if (blocks_get(b, ino, index, 1, 0, &got, &ttl_left) > 0) {
			block_unref(got);
			hits += i >= t->n / 2;
		} else if (blocks_put(b, ino, index, 1, &block, 0, 1) < 0) {
			need(NULL);
		}
	}
	blocks_count(b, &counts);
	*ret_blocks = (uint32_t)counts.blocks;
	blocks_free(b);
	block_unref(block);
	return (double)hits / (double)(t->n - t->n / 2);
}

static void compare(struct trace t, uint64_t bytes)
{
	static bool begun;
	uint32_t blocks;
	double real = run_real(&t, bytes, &blocks), lru = run_lru(&t, blocks);
	double sieve = run_sieve(&t, blocks), arc = run_arc(&t, blocks);
	bool met = real >= t.goal * lru;

	printf("| %s | %u | %.2f | %.2f | %.2f | **%.2f** | >= %.2f x LRU, %s |\n", t.name,
		(unsigned)blocks, 100 * lru, 100 * sieve, 100 * arc, 100 * real, t.goal,
		met ? "met" : "missed");
	fflush(stdout);
	free(t.keys);
	if (json == NULL)
		return;
	fprintf(json,
		"%s\n  {\"trace\": \"%s\", \"blocks\": %u, \"lru\": %.5f, \"sieve\": %.5f,"
		" \"arc\": %.5f, \"recordfs\": %.5f, \"goal\": %.2f, \"met\": %s}",
		begun ? "," : "", t.name, (unsigned)blocks, lru, sieve, arc, real, t.goal,
		met ? "true" : "false");
	begun = true;
}

static void compare_all(uint64_t bytes)
{
	uint32_t n = (uint32_t)(bytes / STORE_BLOCK_SIZE);

	compare(zipf_trace("zipf 0.8", NEVER_WORSE, n, 0.8, false, 1), bytes);
	compare(zipf_trace("zipf 1.0", NEVER_WORSE, n, 1.0, false, 1), bytes);
	compare(zipf_trace("zipf 1.2", NEVER_WORSE, n, 1.2, false, 1), bytes);
	compare(zipf_trace("zipf 0.8 and scans", SCANS, n, 0.8, true, 1), bytes);
	compare(zipf_trace("zipf 1.0 and scans", SCANS, n, 1.0, true, 1), bytes);
	/* Three of four reads of a scan are hits in any cache. */
	compare(zipf_trace("zipf 1.0, scans of 1 KiB reads", NEVER_WORSE, n, 1.0, true, 4), bytes);
	compare(mixed_trace("zipf 1.0 and a loop of 200 %", NEVER_WORSE, n), bytes);
	compare(loop_trace("loop of 105 % of the cache", NEVER_WORSE, n, 105), bytes);
	compare(loop_trace("loop of 150 % of the cache", NEVER_WORSE, n, 150), bytes);
}

static int usage(void)
{
	fprintf(stderr, "usage: cachesim [--json FILE] [MIB]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long mib = 64;
	char *end;

	if (argc > 1 && strcmp(argv[1], "--json") == 0) {
		if (argc < 3)
			return usage();
		json = need(fopen(argv[2], "we"));
		argc -= 2;
		argv += 2;
	}
	if (argc > 1) {
		mib = strtoul(argv[1], &end, 10);
		if (argc > 2 || *end != '\0' || mib < 1 || mib > 4096)
			return usage();
	}
	printf("Cache of %lu MiB; hits in %% of the blocks asked for.\n\n"
	       "| trace | blocks | LRU | SIEVE | ARC | recordfs | goal |\n"
	       "|---|---|---|---|---|---|---|\n",
		mib);
	if (json != NULL)
		fprintf(json, "{\"eviction_mib\": %lu, \"eviction\": [", mib);
	compare_all((uint64_t)mib << 20);
	if (json != NULL) {
		fprintf(json, "\n]}\n");
		if (fclose(json) != 0)
			return 1;
	}
	return 0;
}
