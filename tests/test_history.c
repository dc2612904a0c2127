/* The history of a mount as a data structure: what is kept, and how it is read in pieces. */
#include "kit.h"

#include "fs/history.h"

#define SECOND ((int64_t)1000000000)

static void add(struct history *h, uint64_t n)
{
	history_add(h, &(struct recordfs_sample){.at = (int64_t)n * 10 * SECOND, .requests = n});
}

static void test_it_is_due_every_ten_seconds(void **state)
{
	struct history h = {0};
	(void)state;
	assert_true(history_due(&h, 0));
	history_add(&h, &(struct recordfs_sample){.at = 3 * SECOND});
	assert_false(history_due(&h, 3 * SECOND));
	assert_false(history_due(&h, 13 * SECOND - 1));
	assert_true(history_due(&h, 13 * SECOND));
	/* A clock that stood still, or a thread that slept: one, not as many as were missed. */
	history_add(&h, &(struct recordfs_sample){.at = 500 * SECOND});
	assert_false(history_due(&h, 501 * SECOND));
}

static void test_the_last_hour_is_kept(void **state)
{
	static struct history h;
	static struct recordfs_sample all[HISTORY_MAX + 1];
	(void)state;
	for (uint64_t n = 0; n < 3 * HISTORY_MAX + 7; n++) {
		uint64_t first = 0, kept = n + 1 < HISTORY_MAX ? n + 1 : HISTORY_MAX;
		add(&h, n);
		assert_int_equal(history_read(&h, &first, all, HISTORY_MAX + 1), kept);
		assert_int_equal(first, n + 1 - kept);
		for (uint64_t i = 0; i < kept; i++)
			assert_int_equal(all[i].requests, first + i);
	}
}

static void test_it_is_read_in_pieces(void **state)
{
	static struct history h;
	struct recordfs_sample some[7];
	uint64_t first = 0, expected = 1000 - HISTORY_MAX;
	uint32_t n;
	(void)state;
	assert_int_equal(history_read(&h, &first, some, 7), 0);
	for (uint64_t i = 0; i < 1000; i++)
		add(&h, i);
	while ((n = history_read(&h, &first, some, 7)) > 0) {
		assert_in_range(n, 1, 7);
		assert_int_equal(first, expected);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(some[i].requests, expected++);
		first += n;
	}
	assert_int_equal(expected, 1000);
	first = UINT64_MAX;
	assert_int_equal(history_read(&h, &first, some, 7), 0);
	first = 1001;
	assert_int_equal(history_read(&h, &first, some, 7), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_due_every_ten_seconds),
		cmocka_unit_test(test_the_last_hour_is_kept),
		cmocka_unit_test(test_it_is_read_in_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
