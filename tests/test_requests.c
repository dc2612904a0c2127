/*
 * Fuzzed requests (requests.h): the inputs in tests/corpus-requests, and random ones. Some hundred
 * of them, or with RFS_LONG=1 in the environment 50,000; RFS_SEED repeats a run.
 */
#include "inputs.h"
#include "requests.h"

/* cmocka.h wants these before it. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static_assert(REQUESTS_WHY <= INPUTS_WHY, "room for what is said");

static const struct inputs inputs = {
	.run = requests_run, .size_max = 4000, .cases = 300, .cases_long = 50000, .seconds = 120};

static void keep_their_promises_to_the_corpus(void **state)
{
	(void)state;
	inputs_corpus(&inputs, RFS_CORPUS);
}

static void keep_their_promises(void **state)
{
	(void)state;
	inputs_random(&inputs);
	print_message("%u runs, %u requests, %u of them failed\n", requests_counts.runs,
		requests_counts.asked, requests_counts.failed);
	assert_true(requests_counts.failed < requests_counts.asked); /* some do something */
}

static int setup(void **state)
{
	(void)state;
	requests_setup();
	inputs_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	requests_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keep_their_promises_to_the_corpus),
		cmocka_unit_test(keep_their_promises),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
