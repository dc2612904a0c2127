/*
 * The block cache as a data structure, with a clock that is a number. blocks_check() runs after
 * every step. pages_map() is wrapped by the linker, so that memory can run out where a test wants
 * it.
 */
#include "cache/blocks.h"
#include "cache/ghost.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INO 7u
#define TTL 100
#define MIB ((uint64_t)1 << 20)

void *__real_pages_map(size_t bytes);
void *__wrap_pages_map(size_t bytes);

static long maps_left = -1;  /* < 0: as many as asked for */
static size_t maps_of_bytes; /* of this size there are none */

void *__wrap_pages_map(size_t bytes)
{
	if (maps_left == 0 || bytes == maps_of_bytes)
		return NULL;
	if (maps_left > 0)
		maps_left--;
	return __real_pages_map(bytes);
}

static struct blocks *new_blocks(uint64_t limit)
{
	struct blocks *b;
	assert_int_equal(blocks_new(limit, &b), 0);
	assert_null(blocks_check(b));
	return b;
}

static struct block *new_block(uint32_t len, unsigned char fill)
{
	struct block *block = block_new(len);
	assert_non_null(block);
	memset(block->data, fill, len);
	return block;
}

static int try_put(struct blocks *b, uint64_t ino, uint64_t index, unsigned char fill, int64_t now)
{
	struct block *block = new_block(STORE_BLOCK_SIZE, fill);
	int r = blocks_put(b, ino, index, 1, &block, now, TTL);
	block_unref(block);
	assert_null(blocks_check(b));
	return r;
}

static void put(struct blocks *b, uint64_t ino, uint64_t index, unsigned char fill, int64_t now)
{
	assert_int_equal(try_put(b, ino, index, fill, now), 0);
}

/* The block's first byte, or -1 when it is not cached. */
static int get(struct blocks *b, uint64_t ino, uint64_t index, int64_t now)
{
	struct block *block;
	int64_t left, same;
	size_t found = blocks_get(b, ino, index, 1, now, &block, &left);
	assert_int_equal(found, block != NULL);
	if (!found)
		assert_true(left == INT64_MAX);
	else if (blocks_peek(b, ino, index, now, &same))
		assert_true(left == same);
	assert_null(blocks_check(b));
	int value = block ? block->data[0] : -1;
	block_unref(block);
	return value;
}

static struct blocks_counts counts(struct blocks *b)
{
	struct blocks_counts c;
	blocks_count(b, &c);
	return c;
}

static bool got_hole(struct blocks *b, uint64_t ino)
{
	struct block *block;
	int64_t left;
	size_t n = blocks_get(b, ino, 0, 1, 0, &block, &left);
	block_unref(block);
	return n == 1;
}

static void test_what_is_put_is_got(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	assert_int_equal(get(b, INO, 0, 0), -1);
	put(b, INO, 0, 1, 0);
	put(b, INO, 1, 2, 0);
	put(b, INO + 1, 0, 3, 0);
	assert_int_equal(get(b, INO, 0, 0), 1);
	assert_int_equal(get(b, INO, 1, 0), 2);
	assert_int_equal(get(b, INO + 1, 0, 0), 3);
	assert_int_equal(get(b, INO + 1, 1, 0), -1);
	put(b, INO, 0, 9, 0);
	assert_int_equal(get(b, INO, 0, 0), 9);
	assert_int_equal(counts(b).blocks, 3);
	assert_null(blocks_free(b));
	assert_null(blocks_free(NULL));
}

/* A range crosses groups and so shards; holes are blocks too. */
static void test_ranges_cross_shards(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(64 * MIB);
	struct block *in[300], *out[300];
	int64_t left = 0;
	for (unsigned i = 0; i < 300; i++)
		in[i] = new_block(i % 3 ? 8 : 0, (unsigned char)i);
	assert_int_equal(blocks_put(b, INO, 50, 300, in, 0, TTL), 0);
	assert_null(blocks_check(b));
	assert_int_equal(blocks_get(b, INO, 50, 300, 1, out, &left), 300);
	for (unsigned i = 0; i < 300; i++) {
		assert_ptr_equal(in[i], out[i]);
		block_unref(out[i]);
		block_unref(in[i]);
	}
	assert_int_equal(blocks_get(b, INO, 40, 20, 1, out, &left), 10);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(out[i] != NULL, i >= 10);
		block_unref(out[i]);
	}
	assert_int_equal(counts(b).blocks, 300);
	blocks_free(b);
}

static void test_ttl_counts_from_put_not_from_use(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	int64_t left = 0;
	put(b, INO, 0, 1, 1000);
	for (int64_t now = 1000; now < 1000 + TTL; now++)
		assert_int_equal(get(b, INO, 0, now), 1);
	assert_true(blocks_peek(b, INO, 0, 1040, &left));
	assert_int_equal(left, TTL - 40);
	assert_false(blocks_peek(b, INO, 0, 1000 + TTL, &left));
	assert_int_equal(counts(b).expired, 0);
	assert_int_equal(get(b, INO, 0, 1000 + TTL), -1);
	assert_int_equal(counts(b).expired, 1);
	assert_int_equal(counts(b).blocks, 0);

	put(b, INO, 0, 1, 2000);
	put(b, INO, 0, 2, 2050); /* a write: its TTL is a new one */
	assert_int_equal(get(b, INO, 0, 2000 + TTL), 2);
	assert_int_equal(get(b, INO, 0, 2050 + TTL), -1);
	blocks_free(b);
}

/* What is expired makes room before anything else that is as old, however often it was used. */
static void test_what_is_expired_is_not_in_the_way(void **state)
{
	(void)state;
	const uint64_t n = 300; /* about a MiB is 247 blocks */
	struct blocks *b = new_blocks(MIB);
	for (int round = 0; round < 4; round++)
		for (uint64_t i = 0; i < n; i++)
			put(b, INO, i, 1, 0);
	for (int round = 0; round < 4; round++)
		for (uint64_t i = 0; i < n; i++)
			(void)get(b, INO, i, 1);
	for (uint64_t i = 0; i < 200; i++) /* one pass is enough to be all there */
		put(b, INO + 1, i, 1, TTL);
	unsigned there = 0;
	for (uint64_t i = 0; i < 200; i++)
		there += get(b, INO + 1, i, TTL) >= 0;
	assert_int_equal(there, 200);
	blocks_free(b);
}

static void test_ttl_at_the_ends_of_time(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	struct block *block = new_block(8, 1);
	assert_int_equal(blocks_put(b, INO, 0, 1, &block, INT64_MAX - 5, INT64_MAX), 0);
	assert_int_equal(get(b, INO, 0, INT64_MAX - 1), 1);
	assert_int_equal(blocks_put(b, INO, 0, 1, &block, 0, 0), 0); /* TTL 0: not kept */
	assert_int_equal(get(b, INO, 0, 0), -1);
	assert_int_equal(counts(b).blocks, 0);
	block_unref(block);
	blocks_free(b);
}

static void test_memory_is_bounded(void **state)
{
	(void)state;
	const uint64_t limits[] = {0, 1, 4096, 5000, 100000, MIB, 9 * MIB};
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct blocks *b;
		assert_int_equal(blocks_new(limits[i], &b), 0);
		for (uint64_t n = 0; n < 4000; n++) {
			struct block *block = new_block((uint32_t)(n * 37 % 4097), 1);
			assert_int_equal(blocks_put(b, n % 50, n / 7, 1, &block, 0, TTL), 0);
			block_unref(block);
			assert_true(counts(b).bytes <= limits[i]);
			if (n % 100 == 0)
				assert_null(blocks_check(b));
		}
		assert_null(blocks_check(b));
		assert_int_equal(counts(b).limit, limits[i]);
		if (limits[i] == 9 * MIB)
			assert_true(counts(b).bytes > limits[i] / 2);
		blocks_free(b);
	}
}

/* Tiny blocks: the memory that keeps them is counted, too. */
static void test_overhead_is_counted(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	struct block *hole = new_block(0, 0);
	for (uint64_t n = 0; n < 100000; n++)
		assert_int_equal(blocks_put(b, n, 0, 1, &hole, 0, TTL), 0);
	assert_null(blocks_check(b));
	assert_in_range(counts(b).blocks, 1000, MIB / 100);
	block_unref(hole);
	blocks_free(b);
}

/* What is used again survives a scan of many times the cache's size. */
static void test_a_scan_does_not_wash_out_what_is_used(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(2 * MIB); /* some 490 blocks */
	for (uint64_t round = 0; round < 4; round++)
		for (uint64_t i = 0; i < 100; i++)
			if (get(b, INO, i, 0) < 0)
				put(b, INO, i, 1, 0);
	for (uint64_t i = 0; i < 5000; i++)
		put(b, INO + 1, i, 2, 0);
	unsigned kept = 0;
	for (uint64_t i = 0; i < 100; i++)
		kept += get(b, INO, i, 0) == 1;
	assert_in_range(kept, 95, 100);
	blocks_free(b);
}

/* What comes back soon after its eviction is in the main queue, and outlives another scan. */
static void test_a_ghost_brings_its_block_into_main(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(2 * MIB);
	put(b, INO, 0, 1, 0);
	for (uint64_t i = 0; i < 500; i++)
		put(b, INO + 1, i, 2, 0);
	assert_int_equal(get(b, INO, 0, 0), -1);
	put(b, INO, 0, 1, 0);
	for (uint64_t i = 0; i < 1000; i++)
		put(b, INO + 2, i, 2, 0);
	assert_int_equal(get(b, INO, 0, 0), 1);
	blocks_free(b);
}

static void test_references_outlive_the_cache(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	struct block *held;
	int64_t left;
	put(b, INO, 0, 42, 0);
	assert_int_equal(blocks_get(b, INO, 0, 1, 0, &held, &left), 1);
	assert_int_equal(atomic_load(&held->refs), 2);
	blocks_drop(b, INO, 0, 0);
	assert_int_equal(atomic_load(&held->refs), 1);
	assert_int_equal(held->data[0], 42);
	block_unref(held);

	struct block *block = new_block(8, 1);
	assert_int_equal(blocks_put(b, INO, 1, 1, &block, 0, TTL), 0);
	assert_int_equal(blocks_put(b, INO, 1, 1, &block, 0, TTL), 0); /* itself again */
	assert_int_equal(atomic_load(&block->refs), 2);
	blocks_free(b);
	assert_int_equal(atomic_load(&block->refs), 1);
	block_unref(block);
}

static void test_ranges_are_dropped(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(64 * MIB);
	for (uint64_t i = 0; i < 500; i++)
		put(b, INO, i, 1, 0);
	put(b, INO + 1, 3, 2, 0);
	blocks_drop(b, INO, 100, 199);
	assert_null(blocks_check(b));
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(get(b, INO, i, 0), i >= 100 && i < 200 ? -1 : 1);
	assert_int_equal(counts(b).invalidations, 100);
	blocks_drop(b, INO, 400, BLOCKS_LAST);
	blocks_drop(b, INO, 0, 0);
	blocks_drop(b, INO, 0, 0);
	assert_int_equal(counts(b).blocks, 300);
	blocks_drop(b, INO, 0, BLOCKS_LAST);
	assert_null(blocks_check(b));
	assert_int_equal(counts(b).blocks, 1);
	assert_int_equal(get(b, INO + 1, 3, 0), 2);
	blocks_drop_all(b);
	assert_null(blocks_check(b));
	assert_int_equal(counts(b).blocks, 0);
	blocks_free(b);
}

/* The largest sparse file there can be, with three blocks cached: not a walk through its indexes.
 */
static void test_a_sparse_file_is_dropped_at_once(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(64 * MIB);
	const uint64_t at[] = {0, (uint64_t)1 << 28, BLOCKS_LAST};
	for (unsigned i = 0; i < 3; i++)
		put(b, INO, at[i], 1, 0);
	blocks_drop(b, INO, 1, BLOCKS_LAST);
	assert_int_equal(get(b, INO, at[0], 0), 1);
	assert_int_equal(get(b, INO, at[1], 0), -1);
	assert_int_equal(get(b, INO, at[2], 0), -1);
	put(b, INO, at[1], 1, 0);
	blocks_drop(b, INO, 5, (uint64_t)1 << 40);
	assert_int_equal(get(b, INO, at[1], 0), -1);
	assert_int_equal(get(b, INO, at[0], 0), 1);
	blocks_free(b);
}

static void test_attributes_are_no_data(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(8 * MIB);
	put(b, INO, BLOCKS_ATTR, 5, 0);
	put(b, INO, 0, 6, 0);
	assert_int_equal(counts(b).blocks, 1);
	blocks_drop(b, INO, 0, BLOCKS_LAST);
	assert_int_equal(get(b, INO, BLOCKS_ATTR, 0), 5);
	assert_int_equal(get(b, INO, 0, 0), -1);
	put(b, INO, 0, 6, 0);
	blocks_drop(b, INO, BLOCKS_ATTR, BLOCKS_ATTR);
	assert_int_equal(get(b, INO, BLOCKS_ATTR, 0), -1);
	assert_int_equal(get(b, INO, 0, 0), 6);
	put(b, INO, BLOCKS_ATTR, 5, 0);
	blocks_drop(b, INO, 0, BLOCKS_ATTR);
	assert_int_equal(get(b, INO, BLOCKS_ATTR, 0), -1);
	put(b, INO, BLOCKS_ATTR, 5, 0);
	assert_int_equal(get(b, INO, BLOCKS_ATTR, TTL), -1);
	assert_int_equal(counts(b).expired, 0);
	assert_int_equal(counts(b).invalidations, 2);
	blocks_free(b);
}

/* Whichever allocation fails: -ENOMEM, all invariants hold, and nothing old is left. */
static void test_no_memory(void **state)
{
	(void)state;
	for (long n = 0;; n++) {
		struct blocks *b = (struct blocks *)0x1;
		maps_left = n;
		int r = blocks_new(9 * MIB, &b);
		maps_left = -1;
		if (r == 0) {
			blocks_free(b);
			assert_in_range(n, 2, 100);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_ptr_equal(b, 0x1);
	}
	/* One inode each, so that chains need as much as entries; and nothing is evicted. */
	struct block *hole = new_block(0, 0);
	for (long n = 0; n < 3; n++) {
		struct blocks *b = new_blocks(MIB);
		unsigned failures = 0;
		for (uint64_t ino = 1; ino <= 3000; ino++) {
			maps_left = n;
			int r = blocks_put(b, ino, 0, 1, &hole, 0, TTL);
			maps_left = -1;
			assert_true(r == 0 || r == -ENOMEM);
			failures += r < 0;
			if (r < 0)
				assert_null(blocks_check(b));
			assert_int_equal(got_hole(b, ino), r == 0);
			if (n == 0 && r < 0) /* it goes on when there is memory again */
				assert_int_equal(blocks_put(b, ino, 0, 1, &hole, 0, TTL), 0);
		}
		assert_null(blocks_check(b));
		assert_in_range(failures, n == 0 ? 10 : 0, n == 2 ? 0 : 1500);
		blocks_free(b);
	}
	block_unref(hole);
}

/* Without memory for a larger table: nothing is lost, until nearly all of its slots are taken. */
static void test_tables_that_cannot_grow(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(4 * MIB);
	struct block *hole = new_block(0, 0);
	unsigned failures = 0, there = 0;
	maps_of_bytes = 8192; /* the second size of a table; chunks are of 64 KiB */
	for (uint64_t ino = 1; ino <= 600; ino++)
		failures += blocks_put(b, ino, 0, 1, &hole, 0, TTL) < 0;
	assert_null(blocks_check(b));
	for (uint64_t ino = 1; ino <= 600; ino++)
		there += got_hole(b, ino);
	assert_int_equal(there, 600 - failures);
	assert_int_equal(there, 480);
	maps_of_bytes = 0;
	for (uint64_t ino = 1; ino <= 600; ino++)
		assert_int_equal(blocks_put(b, ino, 0, 1, &hole, 0, TTL), 0);
	assert_null(blocks_check(b));
	assert_int_equal(counts(b).blocks, 600);
	block_unref(hole);
	blocks_free(b);
}

/* Ever so many tiny blocks, and then whole ones: the memory of the first is given back and becomes
 * room for the others. */
static void test_entries_give_their_memory_back(void **state)
{
	(void)state;
	struct blocks *b = new_blocks(MIB);
	struct block *hole = new_block(0, 0);
	for (uint64_t ino = 0; ino < 20000; ino++)
		assert_int_equal(blocks_put(b, ino, 0, 1, &hole, 0, TTL), 0);
	assert_in_range(counts(b).blocks, 5000, 10000);
	for (uint64_t i = 0; i < 1000; i++)
		put(b, INO, i, 1, 0);
	assert_in_range(counts(b).blocks, 235, 250);
	blocks_drop_all(b);
	assert_null(blocks_check(b));
	assert_true(counts(b).bytes < MIB / 4); /* tables, and a spare chunk of each slab */
	block_unref(hole);
	blocks_free(b);
}

/* The same where a few of the tiny blocks stay in use, here and there in all of that memory. */
static void test_a_few_entries_do_not_keep_the_memory_of_many(void **state)
{
	(void)state;
	enum { EACH = 97, ROUNDS = 40 };
	struct blocks *b = new_blocks(4 * MIB);
	struct block *hole = new_block(0, 0);
	for (uint64_t ino = 0; ino < 60000; ino++) {
		assert_int_equal(blocks_put(b, ino, 0, 1, &hole, 0, TTL), 0);
		if (ino % EACH == 0 && ino >= 30000)
			for (unsigned i = 0; i < 3; i++)
				(void)got_hole(b, ino);
	}
	uint64_t many = counts(b).blocks;
	assert_in_range(many, 20000, 45000);
	for (uint64_t i = 0; i < 1000 * ROUNDS; i++) {
		struct block *whole = new_block(STORE_BLOCK_SIZE, 1);
		assert_int_equal(blocks_put(b, INO + 1000000, i, 1, &whole, 0, TTL), 0);
		block_unref(whole);
		for (uint64_t ino = 30070 / EACH * EACH + EACH; ino < 60000 && i % 100 == 0;
			ino += EACH)
			(void)got_hole(b, ino);
		if (i % 1000 == 0)
			assert_null(blocks_check(b));
	}
	/* Nearly all of it is whole blocks again. */
	struct blocks_counts c = counts(b);
	assert_true(c.blocks * STORE_BLOCK_SIZE > 4 * MIB * 8 / 10);
	assert_null(blocks_check(b));
	block_unref(hole);
	blocks_free(b);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Random steps against an array that remembers what may be there: never anything else. */
static void test_random_steps(void **state)
{
	(void)state;
	enum { INOS = 4, INDEXES = 200 };
	static unsigned char value[INOS][INDEXES];
	static int64_t until[INOS][INDEXES];
	struct blocks *b = new_blocks(MIB);
	uint32_t seed = 20240229;
	print_message("seed %u\n", seed);
	for (int64_t now = 0; now < 20000; now++) {
		uint64_t ino = next_random(&seed) % INOS, index = next_random(&seed) % INDEXES;
		uint32_t what = next_random(&seed) % 100;
		if (what < 50) {
			unsigned char fill = (unsigned char)next_random(&seed);
			put(b, ino, index, fill, now);
			value[ino][index] = fill;
			until[ino][index] = now + TTL;
		} else if (what < 98) {
			int got = get(b, ino, index, now);
			if (got >= 0) {
				assert_int_equal(got, value[ino][index]);
				assert_true(now < until[ino][index]);
			}
		} else {
			uint64_t last = index + next_random(&seed) % 50;
			blocks_drop(b, ino, index, last);
			for (uint64_t i = index; i <= last && i < INDEXES; i++)
				until[ino][i] = 0;
			assert_null(blocks_check(b));
		}
	}
	blocks_free(b);
}

static void test_the_ghost_remembers_and_forgets(void **state)
{
	(void)state;
	struct ghost g;
	assert_int_equal(ghost_init(&g, 100), 0);
	const uint64_t step = 0x9e3779b97f4a7c15u;
	for (uint64_t i = 1; i <= 1000; i++)
		ghost_add(&g, i * step);
	unsigned recent = 0, old = 0;
	for (uint64_t i = 1; i <= 1000; i++) {
		bool there = ghost_take(&g, i * step);
		recent += there && i > 900;
		old += there && i < 900;
		assert_false(ghost_take(&g, i * step));
	}
	assert_in_range(recent, 80, 100);
	assert_int_equal(old, 0);
	ghost_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_put_is_got),
		cmocka_unit_test(test_ranges_cross_shards),
		cmocka_unit_test(test_ttl_counts_from_put_not_from_use),
		cmocka_unit_test(test_what_is_expired_is_not_in_the_way),
		cmocka_unit_test(test_ttl_at_the_ends_of_time),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_overhead_is_counted),
		cmocka_unit_test(test_a_scan_does_not_wash_out_what_is_used),
		cmocka_unit_test(test_a_ghost_brings_its_block_into_main),
		cmocka_unit_test(test_references_outlive_the_cache),
		cmocka_unit_test(test_ranges_are_dropped),
		cmocka_unit_test(test_a_sparse_file_is_dropped_at_once),
		cmocka_unit_test(test_attributes_are_no_data),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_tables_that_cannot_grow),
		cmocka_unit_test(test_entries_give_their_memory_back),
		cmocka_unit_test(test_a_few_entries_do_not_keep_the_memory_of_many),
		cmocka_unit_test(test_random_steps),
		cmocka_unit_test(test_the_ghost_remembers_and_forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
