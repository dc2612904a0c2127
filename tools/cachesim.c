/*
 * cachesim: what share of the blocks asked for does the cache have? The real block cache
 * (cache/blocks.c, S3-FIFO) beside LRU and SIEVE of the same number of blocks, on made-up traces.
 * For developers: it is how the eviction policy was chosen (docs/measurements.md).
 *
 *   cachesim [MIB]     size of the cache, default 64
 *
 * The peers are as simple as can be: arrays, no TTL, no bytes, and they get as many blocks as the
 * real cache turned out to hold, so that its overhead is not counted against it.
 */
#include "cache/blocks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIVERSE_FACTOR 10u /* a trace's working set is so many times the cache */
#define REQUESTS_FACTOR 60u /* and its length */
#define NONE UINT32_MAX

/* A trace: the block numbers that are asked for, all below `universe`. */
struct trace {
	const char *name;
	uint32_t universe;
	size_t n;
	uint32_t *keys;
};

static void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "cachesim: no memory\n");
		exit(1);
	}
	return p;
}

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

/* Zipf; with `scans`, every other cacheful of requests is a scan of blocks that nobody
 * asks for again soon, each of them `repeat` times in a row (as small reads of a file do). */
static struct trace zipf_trace(
	const char *name, uint32_t capacity, double skew, bool scans, uint32_t repeat)
{
	uint32_t universe = capacity * UNIVERSE_FACTOR;
	uint32_t cold = scans ? capacity * UNIVERSE_FACTOR : 0;
	struct trace t = {name, universe + cold, (size_t)capacity * REQUESTS_FACTOR, NULL};
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

/* Round and round through a file slightly larger than the cache. */
static struct trace loop_trace(const char *name, uint32_t capacity, uint32_t percent)
{
	uint32_t universe = (uint32_t)((uint64_t)capacity * percent / 100);
	struct trace t = {name, universe, (size_t)capacity * REQUESTS_FACTOR / 2, NULL};
	t.keys = need(malloc(t.n * sizeof *t.keys));
	for (size_t i = 0; i < t.n; i++)
		t.keys[i] = (uint32_t)(i % universe);
	return t;
}

/* A mix: half the requests a loop over twice the cache, half of them Zipf. */
static struct trace mixed_trace(const char *name, uint32_t capacity)
{
	uint32_t universe = capacity * UNIVERSE_FACTOR, loop = capacity * 2;
	struct trace t = {name, universe + loop, (size_t)capacity * REQUESTS_FACTOR, NULL};
	double *sum = zipf_table(universe, 1.0);
	uint64_t seed = 1234567u;
	t.keys = need(malloc(t.n * sizeof *t.keys));
	for (size_t i = 0; i < t.n; i++)
		t.keys[i] =
			i % 2 ? universe + (uint32_t)(i / 2 % loop) : zipf(sum, universe, &seed);
	free(sum);
	return t;
}

/* The share of hits in the second half of the trace: the first one fills the cache. */

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

/* One list, newest first, for LRU and SIEVE. Links are by key; NONE ends them. */
struct list {
	uint32_t *newer, *older;
	bool *present, *visited;
	uint32_t head, tail, n, hand;
};

static void list_unlink(struct list *l, uint32_t key)
{
	*(l->newer[key] == NONE ? &l->head : &l->older[l->newer[key]]) = l->older[key];
	*(l->older[key] == NONE ? &l->tail : &l->newer[l->older[key]]) = l->newer[key];
}

static void list_push(struct list *l, uint32_t key)
{
	l->newer[key] = NONE;
	l->older[key] = l->head;
	*(l->head == NONE ? &l->tail : &l->newer[l->head]) = key;
	l->head = key;
}

static void list_evict(struct list *l, uint32_t key)
{
	list_unlink(l, key);
	l->present[key] = false;
	l->n--;
}

/* Zhang and others, "SIEVE is simpler than LRU", NSDI 2024. */
static void sieve_evict(struct list *l)
{
	uint32_t at = l->hand == NONE ? l->tail : l->hand;
	while (l->visited[at]) {
		l->visited[at] = false;
		at = l->newer[at] == NONE ? l->tail : l->newer[at];
	}
	l->hand = l->newer[at];
	list_evict(l, at);
}

static double run_list(const struct trace *t, uint32_t capacity, bool sieve)
{
	struct list l = {.head = NONE, .tail = NONE, .hand = NONE};
	size_t hits = 0;
	l.newer = need(calloc(t->universe, sizeof *l.newer));
	l.older = need(calloc(t->universe, sizeof *l.older));
	l.present = need(calloc(t->universe, sizeof *l.present));
	l.visited = need(calloc(t->universe, sizeof *l.visited));
	for (size_t i = 0; i < t->n; i++) {
		uint32_t key = t->keys[i];
		if (l.present[key]) {
			hits += i >= t->n / 2;
			l.visited[key] = true;
			if (!sieve) {
				list_unlink(&l, key);
				list_push(&l, key);
			}
			continue;
		}
		if (l.n == capacity && sieve)
			sieve_evict(&l);
		else if (l.n == capacity)
			list_evict(&l, l.tail);
		list_push(&l, key);
		l.present[key] = true;
		l.visited[key] = false;
		l.n++;
	}
	free(l.newer);
	free(l.older);
	free(l.present);
	free(l.visited);
	return (double)hits / (double)(t->n - t->n / 2);
}

static void compare(struct trace t, uint64_t bytes)
{
	uint32_t blocks;
	double real = run_real(&t, bytes, &blocks);
	double lru = run_list(&t, blocks, false), sieve = run_list(&t, blocks, true);
	printf("%-34s %8u %9.2f %9.2f %9.2f\n", t.name, (unsigned)blocks, 100 * lru, 100 * sieve,
		100 * real);
	free(t.keys);
}

int main(int argc, char **argv)
{
	char *end = NULL;
	unsigned long mib = argc > 1 ? strtoul(argv[1], &end, 10) : 64;
	if (argc > 2 || (end && *end) || mib < 1 || mib > 4096) {
		fprintf(stderr, "usage: cachesim [MIB]\n");
		return 2;
	}
	uint64_t bytes = (uint64_t)mib << 20;
	uint32_t capacity = (uint32_t)(bytes / STORE_BLOCK_SIZE);

	printf("cache of %lu MiB; hits in %% of the blocks asked for\n", mib);
	printf("%-34s %8s %9s %9s %9s\n", "trace", "blocks", "LRU", "SIEVE", "S3-FIFO");
	compare(zipf_trace("zipf 0.8", capacity, 0.8, false, 1), bytes);
	compare(zipf_trace("zipf 1.0", capacity, 1.0, false, 1), bytes);
	compare(zipf_trace("zipf 1.2", capacity, 1.2, false, 1), bytes);
	compare(zipf_trace("zipf 0.8 and scans", capacity, 0.8, true, 1), bytes);
	compare(zipf_trace("zipf 1.0 and scans", capacity, 1.0, true, 1), bytes);
	compare(zipf_trace("zipf 1.0, scans of 1 KiB reads", capacity, 1.0, true, 4), bytes);
	compare(mixed_trace("zipf 1.0 and a loop of 200 %", capacity), bytes);
	compare(loop_trace("loop of 105 % of the cache", capacity, 105), bytes);
	compare(loop_trace("loop of 150 % of the cache", capacity, 150), bytes);
	return 0;
}
