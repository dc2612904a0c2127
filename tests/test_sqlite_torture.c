/*
 * Two mounts and two SQL clients on one store, writing, checkpointing and starting the log anew as
 * hard as they can, while mounts are killed: whatever was acknowledged is there, in order, and the
 * file is whole. Short, or a few minutes with RFS_LONG=1 in the environment.
 */
#include "neighbour.h"
#include "store_file.h"

#include "cache/store/sqlite_check.h"
#include "cache/store/sqlite_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOUNTS 2
#define ROUNDS_SHORT 3
#define ROUNDS_LONG 200

static struct neighbour mount[MOUNTS], adder, racer;

static int setup(void **state)
{
	return store_file_setup(state);
}

static int teardown(void **state)
{
	for (size_t i = 0; i < MOUNTS; i++)
		neighbour_kill(&mount[i]);
	neighbour_kill(&adder);
	neighbour_kill(&racer);
	return store_file_teardown(state);
}

static void start_mount(struct store_file *f, int i)
{
	neighbour_start(&mount[i], f->path);
	assert_string_equal(neighbour_do(&mount[i], "open"), "0");
	assert_string_equal(neighbour_do(&mount[i], "short"), "0");
}

static void fault(void *arg, const struct sqlite_check_fault *f)
{
	(void)arg;
	fprintf(stderr, "inode %llu: %s\n", (unsigned long long)f->ino, f->what);
}

static void check(struct store_file *f)
{
	struct sqlite_check_handler handler = {.fault = fault};
	struct sqlite_check_summary sum;
	if (sqlite_check(f->path, &handler, &sum, f->why, sizeof f->why) < 0)
		fail_msg("%s", f->why);
	assert_int_equal(sum.faults, 0);
	neighbour_do(&adder, "sql 0 PRAGMA integrity_check");
	assert_string_equal(adder.answer, "0 ok");
}

/* What is there must be what was acknowledged, or one more if it was killed before it said so. */
static void check_counts(struct store_file *f, const uint64_t *ino, int killed)
{
	store_file_open(f);
	for (int i = 0; i < MOUNTS; i++) {
		long long acked = neighbour_acked(f->path, ino[i]);
		assert_in_range(neighbour_counted(f->store, ino[i]), acked, acked + (i == killed));
	}
	store_file_close(f);
}

static void test_torture(void **state)
{
	struct store_file *f = *state;
	static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
	const char *is_long = getenv("RFS_LONG");
	int rounds = is_long && *is_long == '1' ? ROUNDS_LONG : ROUNDS_SHORT;
	uint64_t ino[MOUNTS] = {store_file_create(f, "0"), store_file_create(f, "1")};
	uint64_t added = store_file_create(f, "added");
	long long added_sum = 0;
	char line[96];
	store_file_close(f);
	neighbour_start(&adder, f->path);
	neighbour_start(&racer, f->path);
	for (int i = 0; i < MOUNTS; i++)
		start_mount(f, i);
	for (int n = 0; n < rounds; n++) {
		int killed = n % (MOUNTS + 1); /* or none */
		for (int i = 0; i < MOUNTS; i++) {
			snprintf(line, sizeof line, "count %llu 0.5", (unsigned long long)ino[i]);
			neighbour_tell(&mount[i], line);
		}
		snprintf(line, sizeof line, "add %llu 0.5", (unsigned long long)added);
		neighbour_tell(&adder, line);
		snprintf(line, sizeof line, "race %s 0.5", modes[n % 4]);
		neighbour_tell(&racer, line);
		if (killed < MOUNTS) {
			struct timespec t = {.tv_nsec = 50000000 + n * 7654321 % 400000000};
			nanosleep(&t, NULL);
			neighbour_kill(&mount[killed]);
		}
		for (int i = 0; i < MOUNTS; i++)
			if (i != killed)
				assert_true(strtoll(neighbour_answer(&mount[i]), NULL, 10) ==
					    neighbour_acked(f->path, ino[i]));
		added_sum += strtoll(neighbour_answer(&adder), NULL, 10);
		neighbour_answer(&racer);
		if (killed < MOUNTS)
			start_mount(f, killed);
		check(f);
		check_counts(f, ino, killed);
		neighbour_do(&adder, "sql 0 SELECT uid FROM inode WHERE ino = %llu",
			(unsigned long long)added);
		assert_int_equal(strtoll(adder.answer + 2, NULL, 10), added_sum);
	}
	assert_true(added_sum > 0);
}

int main(int argc, char **argv)
{
	neighbour_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_torture, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
