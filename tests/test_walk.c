/* Walks over the block cache: all that is there is found, once, also while others change it. */
#include "kit.h"

#include "cache/blocks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define TTL 100

static struct blocks *new_blocks(uint64_t limit)
{
	struct blocks *b;
	assert_int_equal(blocks_new(limit, &b), 0);
	return b;
}

static void put(struct blocks *b, uint64_t ino, uint64_t index, uint32_t len, int64_t now)
{
	struct block *block = block_new(len);
	assert_non_null(block);
	memset(block->data, 1, len);
	assert_int_equal(blocks_put(b, ino, index, 1, &block, now, TTL), 0);
	block_unref(block);
}

struct found {
	uint64_t blocks, attrs, bytes, expired;
	unsigned calls;
	unsigned *of; /* blocks of each inode, if not NULL */
	uint64_t inos;
};

static struct found walk(struct blocks *b, int64_t now, size_t max, unsigned *of, uint64_t inos)
{
	struct found f = {.of = of, .inos = inos};
	struct blocks_seen *seen = test_calloc(max, sizeof *seen);
	uint64_t cursor = 0;
	while (cursor != BLOCKS_WALK_END) {
		size_t n = blocks_walk(b, &cursor, now, seen, max);
		assert_in_range(n, 0, max);
		f.calls++;
		for (size_t i = 0; i < n; i++) {
			assert_in_range(seen[i].ttl_left, 0, TTL);
			assert_true(seen[i].bytes >= 64);
			f.blocks += seen[i].data;
			f.attrs += !seen[i].data;
			f.bytes += seen[i].bytes;
			f.expired += seen[i].ttl_left == 0;
			assert_true(!of || seen[i].ino < inos);
			if (of)
				of[seen[i].ino] += seen[i].data;
		}
	}
	test_free(seen);
	return f;
}

static void test_nothing(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(64 * MIB);
	assert_int_equal(walk(b, 0, 10, NULL, 0).blocks, 0);
	put(b, 1, 0, 100, 0);
	blocks_drop_all(b);
	struct found f = walk(b, 0, 10, NULL, 0);
	assert_int_equal(f.blocks + f.attrs, 0);
	blocks_free(b);
}

static void test_each_once(void **state)
{
	enum { INOS = 300 };
	static unsigned of[INOS];
	(void)state;
	struct blocks *b = new_blocks(64 * MIB);
	for (uint64_t ino = 1; ino < INOS; ino++) {
		put(b, ino, BLOCKS_ATTR, 80, 0);
		for (uint64_t index = 0; index < ino; index++)
			put(b, ino, index * 40, 64, (int64_t)(ino % 2 ? 0 : 50));
	}
	for (size_t max = 1; max < 2000; max = max * 7 + 1) {
		memset(of, 0, sizeof of);
		struct found f = walk(b, 100, max, of, INOS);
		struct blocks_counts c;
		blocks_count(b, &c);
		assert_int_equal(f.blocks, c.blocks);
		assert_int_equal(f.attrs, INOS - 1);
		assert_true(f.bytes <= c.bytes);
		for (unsigned ino = 1; ino < INOS; ino++)
			assert_int_equal(of[ino], ino);
		/* Those of odd inodes, attributes and all, are past their TTL; other attributes
		 * too. */
		assert_int_equal(f.expired, 150 * 150 + INOS - 1);
	}
	assert_null(blocks_check(b));
	blocks_free(b);
}

/* It is what was freed that is left out, not what lies behind it. */
static void test_gaps(void **state)
{
	static unsigned of[1000];
	(void)state;
	struct blocks *b = new_blocks(16 * MIB);
	for (uint64_t ino = 0; ino < 1000; ino++)
		put(b, ino, 0, 10, 0);
	for (uint64_t ino = 0; ino < 1000; ino += 3)
		blocks_drop(b, ino, 0, BLOCKS_ATTR);
	(void)walk(b, 0, 16, of, 1000);
	for (unsigned ino = 0; ino < 1000; ino++)
		assert_int_equal(of[ino], ino % 3 != 0);
	blocks_free(b);
}

static void test_any_cursor(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(16 * MIB);
	struct blocks_seen seen[50];
	uint64_t step = 0x9e3779b97f4a7c15u;
	for (uint64_t ino = 0; ino < 100; ino++)
		put(b, ino, 0, 10, 0);
	for (uint64_t i = 0; i < 10000; i++) {
		uint64_t cursor = i % 2 ? (i * step) & 0x3ffffffff : i * step;
		uint64_t was = cursor;
		assert_in_range(blocks_walk(b, &cursor, 0, seen, 50), 0, 50);
		assert_true(cursor > was || cursor == BLOCKS_WALK_END);
	}
	blocks_free(b);
}

/* -- while others change it -------------------------------------------------------------------- */

static struct {
	struct blocks *b;
	atomic_bool stop;
} shared;

/* Far more than there is room for, so each put evicts; and drops, and other limits. */
static void *disturb(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	for (uint64_t i = 0; !atomic_load(&shared.stop); i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint64_t ino = 1000 + (seed >> 40) % 5000;
		struct block *block = block_new((uint32_t)(seed >> 33) % 3000);
		if (!block)
			continue;
		(void)!blocks_put(shared.b, ino, seed >> 60, 1, &block, 0, TTL);
		block_unref(block);
		if (i % 1000 == 0)
			blocks_drop(shared.b, ino, 0, BLOCKS_ATTR);
	}
	return NULL;
}

static void *resize(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; !atomic_load(&shared.stop); i++)
		(void)!blocks_resize(shared.b, (4 + i % 5) * MIB);
	return NULL;
}

static void test_while_others_change_it(void **state)
{
	pthread_t threads[3];
	(void)state;
	shared.b = new_blocks(8 * MIB);
	atomic_store(&shared.stop, false);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, disturb, (void *)(i + 1)), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, resize, NULL), 0);
	for (int i = 0; i < 300; i++) {
		struct found f = walk(shared.b, 0, 64, NULL, 0);
		assert_true(f.blocks <= 300000);
	}
	atomic_store(&shared.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	struct blocks_counts c;
	blocks_count(shared.b, &c);
	assert_int_equal(walk(shared.b, 0, 64, NULL, 0).blocks, c.blocks);
	assert_null(blocks_check(shared.b));
	blocks_free(shared.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_any_cursor),
		cmocka_unit_test(test_while_others_change_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
