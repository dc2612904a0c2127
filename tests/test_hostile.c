/*
 * Damaged and hostile stores (hostile.h): the inputs in tests/corpus, and random ones. A second or
 * two of them, or with RFS_LONG=1 in the environment 10,000 and more; RFS_SEED repeats a run.
 */
#include "hostile.h"
#include "inputs.h"

#include "cache/store/sqlite.h"

/* cmocka.h wants these before it. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <sys/resource.h>

/* A store is half a megabyte, and values of 30 MB are in some of them. */
#define MEMORY_MAX_KB (600L << 10)

static_assert(HOSTILE_WHY <= INPUTS_WHY, "room for what is said");

/* A case takes milliseconds; under a sanitizer, on a busy machine, a second. */
static const struct inputs inputs = {
	.run = hostile_run, .size_max = 160, .cases = 60, .cases_long = 12000, .seconds = 60};

static void keeps_its_promises_to_the_corpus(void **state)
{
	(void)state;
	inputs_corpus(&inputs, RFS_CORPUS);
}

static void keeps_its_promises(void **state)
{
	(void)state;
	inputs_random(&inputs);
}

static void takes_little_memory(void **state)
{
	(void)state;
	struct rusage usage;
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	print_message("%u runs: %u opened, %u refused, %u faulty, %u mended; %ld MiB\n",
		hostile_counts.runs, hostile_counts.opened, hostile_counts.refused,
		hostile_counts.faulty, hostile_counts.mended, usage.ru_maxrss >> 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(usage.ru_maxrss < MEMORY_MAX_KB);
#endif
}

static int setup(void **state)
{
	(void)state;
	sqlite_store_prepare();
	hostile_setup();
	inputs_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hostile_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_its_promises_to_the_corpus),
		cmocka_unit_test(keeps_its_promises),
		cmocka_unit_test(takes_little_memory),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
