/*
 * When it pays to look for the next request, with a clock that goes on by looking and by sleeping.
 */
#include "kit.h"

#include "fs/linger.h"

#include <stdbool.h>

#define LOOK 1000
#define MS 1000000

struct world {
	struct linger linger;
	int64_t now;
	int64_t at;	    /* when the next request is there */
	int64_t look_takes; /* to give way */
	int64_t waking;	    /* what sleeping adds */
	unsigned gave_way;
	unsigned looks;
};

static struct world world;

static bool ready(void *arg)
{
	(void)arg;
	world.looks++;
	return world.now >= world.at;
}

static void give_way(void *arg)
{
	(void)arg;
	world.gave_way++;
	world.now += world.look_takes;
}

static int64_t now(void *arg)
{
	(void)arg;
	return world.now;
}

static const struct linger_ops ops = {ready, give_way, now};

static int setup(void **state)
{
	(void)state;
	world = (struct world){.now = 5 * MS, .look_takes = LOOK, .waking = LINGER_WAKING};
	linger_init(&world.linger, &ops, NULL);
	return 0;
}

/* One request that comes `gap` after the answer to the last. How long it was looked for. */
static int64_t request(int64_t gap)
{
	int64_t from = world.now;
	world.at = from + gap;
	world.gave_way = world.looks = 0;
	if (gap == 0) {
		linger_at_once(&world.linger);
		return 0;
	}
	bool found = linger_wait(&world.linger);
	int64_t looked = world.now - from;
	if (!found) {
		if (world.now < world.at)
			world.now = world.at;
		world.now += world.waking;
	} else {
		assert_true(world.now >= world.at);
	}
	linger_received(&world.linger);
	return looked;
}

static bool is_found(int64_t gap)
{
	return request(gap) > 0 && world.now <= world.at + LOOK;
}

/* How many requests it takes until one is looked for. */
static unsigned until_looked(int64_t gap, unsigned most)
{
	for (unsigned n = 1; n <= most; n++) {
		(void)request(gap);
		if (world.looks)
			return n;
	}
	fail_msg("it is not looked for");
	return 0;
}

static void lone_client(void)
{
	(void)until_looked(10000, 100);
	for (int i = 0; i < 20; i++)
		assert_true(is_found(10000));
}

static void nothing_is_known_at_first(void **state)
{
	(void)state;
	assert_int_equal(request(10000), 0);
	assert_int_equal(world.looks, 0);
}

static void what_comes_soon_is_looked_for(void **state)
{
	(void)state;
	lone_client();
	for (int i = 0; i < 10000; i++)
		assert_true(is_found(5000 + i % 10 * 1000));
}

static void what_comes_late_is_not_looked_for(void **state)
{
	(void)state;
	for (int i = 0; i < 10000; i++) {
		(void)request(MS);
		assert_int_equal(world.looks, 0);
	}
}

static void the_time_to_wake_up_is_not_the_clients(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		(void)request(LINGER_MAX - 5 * LOOK);
	assert_true(is_found(LINGER_MAX - 5 * LOOK));
	setup(NULL);
	for (int i = 0; i < 1000; i++) {
		(void)request(LINGER_MAX + LOOK);
		assert_int_equal(world.looks, 0);
	}
}

static void it_looks_for_twice_the_estimate(void **state)
{
	(void)state;
	lone_client();
	for (int i = 0; i < 100; i++)
		assert_true(is_found(20000));
	assert_in_range(request(MS), 2 * 18000, 2 * 20000 + LOOK);
	setup(NULL);
	lone_client();
	for (int i = 0; i < 100; i++)
		assert_true(is_found(1000));
	assert_int_equal(request(MS), LINGER_MIN);
}

static void an_idle_mount_sleeps(void **state)
{
	(void)state;
	lone_client();
	assert_in_range(request((int64_t)3600 * 1000 * MS), 1, LINGER_MAX);
	assert_true(is_found(10000)); /* once is forgiven */
	assert_in_range(request((int64_t)3600 * 1000 * MS), 1, LINGER_MAX);
	int64_t looked = 0;
	for (int i = 0; i < 100; i++)
		looked += request(10 * MS);
	assert_in_range(looked, 0, 2 * LINGER_MAX);
}

/* It costs at most a tenth of what it has to wait. */
static void who_comes_in_bursts_costs_little(void **state)
{
	(void)state;
	for (int burst = 1; burst <= 64; burst *= 2) {
		setup(NULL);
		int64_t looked = 0, found = 0;
		for (int i = 0; i < 100; i++) {
			for (int k = 1; k < burst; k++)
				if (request(10000) > 0)
					found++;
			looked += request(MS);
		}
		assert_in_range(looked, 0, 100 * LINGER_MAX);
		if (burst < 4)
			assert_int_equal(looked, 0);
		if (burst > 16)
			assert_in_range(found, 100 * (burst - 8), 100 * burst);
	}
}

/* To sleep tells that it comes soon, and to look does not see it. */
static unsigned in_vain(void)
{
	world.waking = -LINGER_LATE;
	unsigned asleep = 0;
	for (;;) {
		int64_t looked = request(LINGER_LATE);
		if (looked > 0)
			return asleep;
		asleep++;
	}
}

static void to_look_in_vain_is_given_up_for_longer_and_longer(void **state)
{
	(void)state;
	lone_client();
	assert_int_equal(in_vain(), 0);
	assert_int_equal(in_vain(), 0);
	assert_int_equal(in_vain(), 0);
	unsigned pause = LINGER_PAUSE_MIN;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(in_vain(), pause);
		for (unsigned k = 1; k < LINGER_TRIES; k++)
			assert_int_equal(in_vain(), 0);
		pause = pause < LINGER_PAUSE_MAX ? 2 * pause : pause;
	}
	assert_int_equal(pause, LINGER_PAUSE_MAX);
	world.waking = LINGER_WAKING;
	for (unsigned i = 0; i < LINGER_PAUSE_MAX; i++)
		assert_int_equal(request(10000), 0);
	for (int i = 0; i < 20; i++)
		assert_true(is_found(10000));
	for (unsigned k = 0; k < LINGER_TRIES; k++)
		assert_int_equal(in_vain(), 0);
	assert_int_equal(in_vain(), LINGER_PAUSE_MIN); /* it has paid meanwhile */
}

static void who_loses_the_core_sleeps(void **state)
{
	(void)state;
	lone_client();
	world.look_takes = 3 * MS;
	assert_int_equal(request(10000), 3 * MS);
	world.look_takes = LOOK;
	for (unsigned i = 0; i < LINGER_PAUSE_MIN; i++)
		assert_int_equal(request(10000), 0);
	assert_true(is_found(10000));
}

/* It runs on the same core, as soon as that is given away. */
static void a_client_on_the_same_core_is_waited_for(void **state)
{
	(void)state;
	lone_client();
	world.look_takes = 30000;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(request(30000), 30000);
		assert_int_equal(world.gave_way, 1);
	}
}

static void where_requests_are_there_at_once_there_are_others(void **state)
{
	(void)state;
	lone_client();
	for (unsigned i = 0; i < LINGER_CROWD; i++)
		assert_int_equal(request(0), 0);
	for (unsigned i = 0; i < LINGER_PAUSE_MIN; i++) {
		(void)request(i % 2 * 10000);
		assert_int_equal(world.looks, 0);
	}
	assert_true(is_found(10000));
	for (int i = 0; i < 1000; i++) { /* a lone one sends what needs no answer, too */
		assert_int_equal(request(0), 0);
		assert_true(is_found(10000));
	}
}

static void a_sign_of_others_ends_it_for_a_while(void **state)
{
	(void)state;
	lone_client();
	linger_crowded(&world.linger);
	assert_int_equal(until_looked(10000, 1000), LINGER_PAUSE_MIN + 1);
	assert_true(is_found(10000));
}

/* What ended otherwise is not counted. */
static void a_time_without_a_request_does_not_count(void **state)
{
	(void)state;
	lone_client();
	for (unsigned i = 1; i < LINGER_TRIES; i++) {
		world.at = INT64_MAX;
		assert_false(linger_wait(&world.linger));
		world.now += 1000 * MS;
	}
	assert_true(is_found(10000));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_known_at_first),
		TEST(what_comes_soon_is_looked_for),
		TEST(what_comes_late_is_not_looked_for),
		TEST(the_time_to_wake_up_is_not_the_clients),
		TEST(it_looks_for_twice_the_estimate),
		TEST(an_idle_mount_sleeps),
		TEST(who_comes_in_bursts_costs_little),
		TEST(to_look_in_vain_is_given_up_for_longer_and_longer),
		TEST(who_loses_the_core_sleeps),
		TEST(a_client_on_the_same_core_is_waited_for),
		TEST(where_requests_are_there_at_once_there_are_others),
		TEST(a_sign_of_others_ends_it_for_a_while),
		TEST(a_time_without_a_request_does_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
