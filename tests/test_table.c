/* Handles under 32 bits of a hash: found while they are there, and among as many of the same hash;
 * and memory in pages. */
#include "kit.h"

#include "cache/pages.h"
#include "cache/table.h"

#include <stdlib.h>
#include <string.h>

enum { N = 20000 };

static uint32_t hashes[N + 1]; /* of handle n, while it is there */
static bool there[N + 1];

static bool found(const struct table *t, uint32_t hash, uint32_t handle)
{
	unsigned times = 0;
	uint32_t offered;
	for (size_t pos = hash; (offered = table_next(t, hash, &pos));)
		times += offered == handle;
	assert_true(times <= 1);
	return times == 1;
}

/* Random steps, with hashes of so many bits: all there is from full slots at one end of the table
 * round to its other end, to none twice. */
static void steps(unsigned bits, uint32_t handles, unsigned n, bool high)
{
	struct table t;
	unsigned seed = bits;
	assert_int_equal(table_init(&t), 0);
	assert_int_equal(table_bytes(&t), 0);
	memset(there, 0, sizeof there);
	for (unsigned step = 0; step < n; step++) {
		uint32_t handle = 1 + (uint32_t)rand_r(&seed) % handles;
		uint32_t hash = (uint32_t)rand_r(&seed) * 2654435761u >> (32 - bits);
		if (high)
			hash = UINT32_MAX - hash;
		if (there[handle]) {
			table_move(&t, hashes[handle], handle, handle + N);
			assert_true(found(&t, hashes[handle], handle + N));
			assert_false(found(&t, hashes[handle], handle));
			table_move(&t, hashes[handle], handle + N, handle);
			assert_true(found(&t, hashes[handle], handle));
			table_remove(&t, hashes[handle], handle);
			assert_false(found(&t, hashes[handle], handle));
		} else {
			assert_int_equal(table_add(&t, hash, handle), 0);
			hashes[handle] = hash;
			assert_true(found(&t, hash, handle));
		}
		there[handle] = !there[handle];
		if (step % 512 == 0)
			assert_true(table_check(&t));
	}
	assert_true(table_check(&t));
	for (uint32_t handle = 1; handle <= handles; handle++)
		if (there[handle])
			assert_true(found(&t, hashes[handle], handle));
	table_fini(&t);
}

static void test_random(void **state)
{
	(void)state;
	steps(32, N, 200000, false);
	steps(16, 500, 50000, false);
	steps(3, 200, 20000, false); /* many of one hash */
	steps(3, 200, 20000, true);  /* at the end of the table */
}

/* A table of 300,000: it has huge pages where there are any. */
static void test_large(void **state)
{
	struct table t;
	(void)state;
	assert_int_equal(table_init(&t), 0);
	for (uint32_t n = 1; n <= 300000; n++)
		assert_int_equal(table_add(&t, n * 2654435761u, n), 0);
	assert_true(table_check(&t));
	assert_in_range(table_bytes(&t), 300000 * 8, 300000 * 8 * 3);
	for (uint32_t n = 1; n <= 300000; n++)
		assert_true(found(&t, n * 2654435761u, n));
	for (uint32_t n = 1; n <= 300000; n++)
		table_remove(&t, n * 2654435761u, n);
	assert_int_equal(t.used, 0);
	assert_int_equal(table_bytes(&t), 0);
	assert_true(table_check(&t));
	table_fini(&t);
	table_fini(&t);
}

static void test_pages(void **state)
{
	static const size_t sizes[] = {1, 5000, PAGES_HUGE - 1, PAGES_HUGE, PAGES_HUGE + 1,
		3 * PAGES_HUGE, 3 * PAGES_HUGE + PAGES_SIZE};
	unsigned char *p[ARRAY_LEN(sizes) * 4];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		size_t size = sizes[i % ARRAY_LEN(sizes)];
		p[i] = pages_map(size);
		assert_non_null(p[i]);
		assert_int_equal(
			(uintptr_t)p[i] % (size < PAGES_HUGE ? PAGES_SIZE : PAGES_HUGE), 0);
		assert_int_equal(p[i][0] | p[i][size - 1], 0);
		memset(p[i], (int)i + 1, size);
	}
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		size_t size = sizes[i % ARRAY_LEN(sizes)];
		assert_int_equal(p[i][0], i + 1);
		assert_int_equal(p[i][size - 1], i + 1);
		pages_unmap(p[i], size);
	}
	pages_unmap(NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
