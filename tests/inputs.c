#include "inputs.h"

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
#include <time.h>
#include <unistd.h>

/* Cases that fail, and are told of, before the test ends. */
#define BROKEN_MAX 20u

/* The case that is under way, for when it does not come back. */
static uint8_t input[8192];
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

void inputs_setup(void)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM};
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		signal(deadly[i], on_death);
}

/* False: a promise was broken. */
static bool run(const struct inputs *i)
{
	char why[INPUTS_WHY] = "";
	alarm(i->seconds);
	bool good = i->run(input, input_size, why);
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

void inputs_corpus(const struct inputs *i, const char *folder)
{
	const char *given = getenv("RFS_CORPUS");
	DIR *dir = opendir(given ? given : folder);
	const struct dirent *e;
	unsigned n = 0, broken = 0;
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		assert_true(load(given ? given : folder, e->d_name));
		broken += !run(i);
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

static void seed_case(const struct inputs *i, uint64_t seed)
{
	state_of_random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int k = 0; k < 8; k++)
		next_random();
	/* Most are short: what comes first hides what comes then. */
	input_size = next_random() % 4 ? 2 + next_random() % (i->size_max / 10)
				       : 2 + next_random() % (i->size_max - 2);
	for (size_t k = 0; k < input_size; k++)
		input[k] = (uint8_t)(next_random() >> 32);
	if (i->shape)
		i->shape(input, input_size);
}

void inputs_random(const struct inputs *i)
{
	const char *given = getenv("RFS_SEED"), *is_long = getenv("RFS_LONG");
	/* The everyday run is the same each time, so that it says something about a change. */
	uint64_t seed = is_long && *is_long ? (uint64_t)time(NULL) * 100000 : 1;
	if (given)
		seed = strtoull(given, NULL, 0);
	unsigned n = is_long && *is_long ? i->cases_long : i->cases;
	const char *cases = getenv("RFS_CASES");
	if (cases)
		n = (unsigned)strtoul(cases, NULL, 0);
	print_message("RFS_SEED=%llu, %u cases\n", (unsigned long long)seed, n);
	unsigned broken = 0;
	for (unsigned k = 0; k < n && broken < BROKEN_MAX; k++) {
		snprintf(input_name, sizeof input_name, "RFS_SEED=%llu",
			(unsigned long long)seed + k);
		seed_case(i, seed + k);
		broken += !run(i);
	}
	assert_int_equal(broken, 0);
}
