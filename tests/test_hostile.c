/*
 * Damaged and hostile stores (hostile.h): the inputs in tests/corpus, and random ones. A second or
 * two of them, or with RFS_LONG=1 in the environment 10,000 and more; RFS_SEED repeats a run.
 */
#include "hostile.h"

#include "cache/store/sqlite.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 160u
#define CASES 60u
#define CASES_LONG 12000u
/* Cases that fail, and are told of, before the test ends. */
#define BROKEN_MAX 20u
/* A case takes milliseconds; under a sanitizer, on a busy machine, a second. */
#define SECONDS_MAX 60u
/* A store is half a megabyte, and values of 30 MB are in some of them. */
#define MEMORY_MAX_KB (600L << 10)

/* The case that is under way, for when it does not come back. */
static uint8_t input[4096];
static size_t input_size;
static char input_name[300];

static void say(const char *text)
{
	IGNORE(write(STDERR_FILENO, text, strlen(text)) < 0);
}

/* The input as a line that xxd -r -p makes a file of. */
static void say_input(void)
{
	static const char digits[] = "0123456789abcdef";
	char pair[3] = "";
	say(input_name);
	say(": ");
	for (size_t i = 0; i < input_size; i++) {
		pair[0] = digits[input[i] >> 4];
		pair[1] = digits[input[i] & 15];
		say(pair);
	}
	say("\n");
}

static void on_death(int number)
{
	say(number == SIGALRM ? "hangs at " : "dies at ");
	say_input();
	signal(number, SIG_DFL);
	raise(number);
}

/* False: a promise was broken. */
static bool run(void)
{
	char why[HOSTILE_WHY] = "";
	alarm(SECONDS_MAX);
	bool good = hostile_run(input, input_size, why);
	alarm(0);
	if (!good) {
		say_input();
		print_error("%s: %s\n", input_name, why);
	}
	return good;
}

static bool load(const char *folder, const char *file)
{
	snprintf(input_name, sizeof input_name, "%s/%s", folder, file);
	int fd = open(input_name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, input, sizeof input);
	input_size = n < 0 ? 0 : (size_t)n;
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

static void keeps_its_promises_to_the_corpus(void **state)
{
	(void)state;
	const char *folder = getenv("RFS_CORPUS");
	DIR *dir = opendir(folder ? folder : RFS_CORPUS);
	const struct dirent *e;
	unsigned n = 0, broken = 0;
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		assert_true(load(folder ? folder : RFS_CORPUS, e->d_name));
		broken += !run();
		n++;
	}
	closedir(dir);
	assert_true(n > 0);
	assert_int_equal(broken, 0);
}

static uint64_t state_of_random;

static uint64_t next_random(void)
{
	state_of_random ^= state_of_random << 13;
	state_of_random ^= state_of_random >> 7;
	state_of_random ^= state_of_random << 17;
	return state_of_random;
}

static void seed_case(uint64_t seed)
{
	state_of_random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 8; i++)
		next_random();
	/* Most have one damage or two: more hide each other. */
	input_size =
		next_random() % 4 ? 2 + next_random() % 16 : 2 + next_random() % (INPUT_MAX - 2);
	for (size_t i = 0; i < input_size; i++)
		input[i] = (uint8_t)(next_random() >> 32);
}

static void keeps_its_promises(void **state)
{
	(void)state;
	const char *given = getenv("RFS_SEED"), *is_long = getenv("RFS_LONG");
	/* The everyday run is the same each time, so that it says something about a change. */
	uint64_t seed = is_long && *is_long ? (uint64_t)time(NULL) * 100000 : 1;
	if (given)
		seed = strtoull(given, NULL, 0);
	unsigned n = is_long && *is_long ? CASES_LONG : CASES;
	const char *cases = getenv("RFS_CASES");
	if (cases)
		n = (unsigned)strtoul(cases, NULL, 0);
	print_message("RFS_SEED=%llu, %u cases\n", (unsigned long long)seed, n);
	unsigned broken = 0;
	for (unsigned i = 0; i < n && broken < BROKEN_MAX; i++) {
		snprintf(input_name, sizeof input_name, "RFS_SEED=%llu",
			(unsigned long long)seed + i);
		seed_case(seed + i);
		broken += !run();
	}
	assert_int_equal(broken, 0);
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
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM};
	(void)state;
	sqlite_store_prepare();
	hostile_setup();
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		signal(deadly[i], on_death);
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
