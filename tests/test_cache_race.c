/*
 * Threads that write and read the same blocks at once. Every block holds who wrote it and a count
 * that only grows, so what a read shows proves whether it was legal:
 *   - never less than what the writer had been answered when the read began (stale);
 *   - never less than the same reader saw before (going back);
 *   - the blocks that one write wrote together are seen together (torn).
 * Bounded and seeded; under TSan it looks for data races as well.
 */
#include "cache_rig.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define WRITERS 3u
#define READERS 3u
#define PAIR 4u	     /* blocks that a write writes together: a writer's own */
#define WRITES 1500u /* of each writer */

struct mark {
	uint32_t writer;
	uint32_t count;
};

static struct rig rig;
static atomic_uint answered[WRITERS]; /* the count that the writer was last answered */
static atomic_uint done;
static atomic_uint broken;

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static int write_marks(uint32_t writer, uint32_t count)
{
	static _Thread_local unsigned char data[PAIR * STORE_BLOCK_SIZE];
	const struct mark mark = {writer, count};
	for (unsigned i = 0; i < PAIR; i++)
		memcpy(data + i * STORE_BLOCK_SIZE, &mark, sizeof mark);
	struct change c = {.kind = CHANGE_WRITE,
		.now = 1,
		.write = {.ino = rig.ino,
			.offset = (uint64_t)writer * PAIR * STORE_BLOCK_SIZE,
			.len = sizeof data,
			.data = data}};
	return store_apply_one(rig.cache, &c, false);
}

static void *writer_thread(void *arg)
{
	uint32_t writer = *(const uint32_t *)arg;
	for (uint32_t count = 1; count <= WRITES; count++) {
		if (write_marks(writer, count) == 0)
			atomic_store(&answered[writer], count);
		else
			atomic_fetch_add(&broken, 1);
	}
	atomic_fetch_add(&done, 1);
	return NULL;
}

/* Blocks of one writer as a read shows them: the count, or UINT32_MAX if they are not legal. */
static uint32_t check_marks(const struct store_span *span, uint32_t writer, uint32_t at_least)
{
	struct mark first = {0, 0};
	for (uint32_t i = 0; i < PAIR; i++) {
		struct mark mark;
		uint64_t at = (uint64_t)writer * PAIR + i - span->first;
		if (at >= span->count || span->blocks[at]->len < sizeof mark)
			return UINT32_MAX;
		memcpy(&mark, span->blocks[at]->data, sizeof mark);
		if (i == 0)
			first = mark;
		if (mark.writer != writer || mark.count != first.count || mark.count < at_least)
			return UINT32_MAX;
	}
	return first.count;
}

static void *reader_thread(void *arg)
{
	uint32_t seed = *(const uint32_t *)arg, seen[WRITERS] = {0};
	while (atomic_load(&done) < WRITERS) {
		struct store_span span;
		uint32_t from = next_random(&seed) % WRITERS;
		uint32_t to = from + next_random(&seed) % (WRITERS - from);
		uint32_t least[WRITERS];
		for (uint32_t w = 0; w < WRITERS; w++)
			least[w] = atomic_load(&answered[w]);
		if (store_read(rig.cache, rig.ino, from * PAIR, (to - from + 1) * PAIR, &span) <
			0) {
			atomic_fetch_add(&broken, 1);
			continue;
		}
		for (uint32_t w = from; w <= to; w++) {
			uint32_t count =
				check_marks(&span, w, least[w] > seen[w] ? least[w] : seen[w]);
			if (count == UINT32_MAX)
				atomic_fetch_add(&broken, 1);
			else
				seen[w] = count;
		}
		store_span_release(&span);
		if (next_random(&seed) % 64 == 0)
			rig_drop(&rig, from * PAIR + 1, from * PAIR + 2);
		if (next_random(&seed) % 256 == 0)
			atomic_fetch_add(&rig.now, RIG_TTL / 2);
	}
	return NULL;
}

static void run_threads(const struct cache_config *cfg)
{
	pthread_t writers[WRITERS], readers[READERS];
	uint32_t numbers[WRITERS], seeds[READERS];
	rig_start(&rig, cfg, 0);
	atomic_store(&done, 0);
	for (uint32_t w = 0; w < WRITERS; w++) {
		numbers[w] = w;
		atomic_store(&answered[w], 0);
		assert_int_equal(write_marks(w, 0), 0);
	}
	for (uint32_t r = 0; r < READERS; r++) {
		seeds[r] = 1000 + r;
		assert_int_equal(pthread_create(&readers[r], NULL, reader_thread, &seeds[r]), 0);
	}
	for (uint32_t w = 0; w < WRITERS; w++)
		assert_int_equal(pthread_create(&writers[w], NULL, writer_thread, &numbers[w]), 0);
	for (uint32_t w = 0; w < WRITERS; w++)
		assert_int_equal(pthread_join(writers[w], NULL), 0);
	for (uint32_t r = 0; r < READERS; r++)
		assert_int_equal(pthread_join(readers[r], NULL), 0);
	assert_int_equal(atomic_load(&broken), 0);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_reads_are_legal(void **state)
{
	(void)state;
	const struct cache_config cfg = rig_config();
	run_threads(&cfg);
}

/* A cache too small for the file: fills, evictions and writes at once. */
static void test_reads_are_legal_when_memory_is_short(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 6 * STORE_BLOCK_SIZE;
	run_threads(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_are_legal),
		cmocka_unit_test(test_reads_are_legal_when_memory_is_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
