/*
 * Fuzzed command lines and fault= (words.h): the inputs in tests/corpus-words, and random ones.
 * RFS_SEED repeats a run.
 */
#include "inputs.h"
#include "words.h"

/* cmocka.h wants these before it. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static_assert(WORDS_WHY <= INPUTS_WHY, "room for what is said");

static const struct inputs inputs = {
	.run = words_run, .size_max = 200, .cases = 20000, .cases_long = 1000000, .seconds = 60};

static void are_understood_or_refused_in_the_corpus(void **state)
{
	(void)state;
	inputs_corpus(&inputs, RFS_CORPUS);
	assert_true(words_counts.taken > 0);
	assert_true(words_counts.faults > 0);
}

static void are_understood_or_refused(void **state)
{
	(void)state;
	inputs_random(&inputs);
	print_message("%u command lines, %u of them taken; %u plans of faults\n", words_counts.runs,
		words_counts.taken, words_counts.faults);
}

static int setup(void **state)
{
	(void)state;
	inputs_setup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(are_understood_or_refused_in_the_corpus),
		cmocka_unit_test(are_understood_or_refused),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
