/*
 * What orphans wait for, with a clock that the test sets; and the reaper with a pace of which only
 * one thing can be due.
 */
#include "kit.h"
#include "model_store.h"
#include "script_store.h"

#include "fs/backlog.h"
#include "fs/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define NEVER (INT64_MAX / 4)

static const struct backlog_pace pace = {.quiet = 20, .age = 1000, .inodes = 8, .blocks = 100};

static uint64_t take_one(struct backlog *b)
{
	struct backlog_entry e = {0};
	return backlog_take(b, &e, 1) == 1 ? e.ino : 0;
}

static void the_first_goes_first(void **state)
{
	(void)state;
	struct backlog b;
	struct backlog_entry some[4];
	assert_int_equal(backlog_init(&b, &pace, 4), 0);
	for (unsigned turn = 0; turn < 10; turn++) {
		for (uint64_t ino = 1; ino <= 4; ino++)
			assert_true(backlog_add(&b, ino, 0));
		assert_false(backlog_add(&b, 5, 0));
		assert_int_equal(backlog_take(&b, some, 3), 3);
		for (uint64_t i = 0; i < 3; i++)
			assert_int_equal(some[i].ino, i + 1);
		/* What is put back is the first again. */
		assert_true(backlog_put_back(&b, &some[1]));
		assert_true(backlog_put_back(&b, &some[0]));
		assert_true(backlog_add(&b, 5, 0));
		assert_false(backlog_put_back(&b, &some[2]));
		assert_int_equal(take_one(&b), 1);
		assert_int_equal(take_one(&b), 2);
		assert_int_equal(take_one(&b), 4);
		assert_int_equal(take_one(&b), 5);
		assert_int_equal(take_one(&b), 0);
	}
	backlog_fini(&b);
}

static void it_waits_until_names_are_left_alone(void **state)
{
	(void)state;
	struct backlog b;
	assert_int_equal(backlog_init(&b, &pace, 100), 0);
	assert_int_equal(backlog_due(&b), INT64_MAX);
	/* Nobody has changed any yet, as at the start of a mount. */
	assert_true(backlog_add(&b, 1, 5));
	assert_true(backlog_due(&b) <= 5);
	backlog_busy(&b, 1, 10);
	assert_int_equal(backlog_due(&b), 10 + pace.quiet);
	backlog_busy(&b, 1, 25);
	assert_true(backlog_add(&b, 2, 26));
	assert_int_equal(backlog_due(&b), 25 + pace.quiet);
	assert_int_equal(take_one(&b), 1);
	assert_int_equal(backlog_due(&b), 25 + pace.quiet);
	assert_int_equal(take_one(&b), 2);
	assert_int_equal(backlog_due(&b), INT64_MAX);
	backlog_fini(&b);
}

static void but_not_for_ever(void **state)
{
	(void)state;
	struct backlog b;
	assert_int_equal(backlog_init(&b, &pace, 100), 0);
	for (int64_t now = 0; now <= 2000; now += 10) {
		backlog_busy(&b, 0, now);
		if (now % 500 == 0)
			assert_true(backlog_add(&b, (uint64_t)now / 500 + 1, now));
	}
	/* Each from its own time on: those of 0, 500 and 1000 are overdue by 2000. */
	assert_int_equal(backlog_due(&b), 1000);
	assert_int_equal(take_one(&b), 1);
	assert_int_equal(backlog_due(&b), 1500);
	/* A part of it that is put back does not begin to wait anew. */
	struct backlog_entry e;
	assert_int_equal(backlog_take(&b, &e, 1), 1);
	assert_true(backlog_put_back(&b, &e));
	assert_int_equal(backlog_due(&b), 1500);
	backlog_fini(&b);
}

static void nor_when_there_are_many(void **state)
{
	(void)state;
	struct backlog b;
	assert_int_equal(backlog_init(&b, &pace, 100), 0);
	backlog_busy(&b, 0, 0);
	for (uint64_t ino = 1; ino < pace.inodes; ino++)
		assert_true(backlog_add(&b, ino, 0));
	assert_int_equal(backlog_due(&b), pace.quiet);
	assert_true(backlog_add(&b, 100, 0));
	assert_int_equal(backlog_due(&b), INT64_MIN);
	assert_int_equal(take_one(&b), 1);
	assert_int_equal(backlog_due(&b), pace.quiet);
	backlog_fini(&b);
}

static void nor_when_they_are_large(void **state)
{
	(void)state;
	struct backlog b;
	assert_int_equal(backlog_init(&b, &pace, 100), 0);
	backlog_busy(&b, pace.blocks - 1, 0);
	assert_true(backlog_add(&b, 1, 0));
	assert_int_equal(backlog_due(&b), pace.quiet);
	/* The last block's inode may be in use for a while: it counts when there is more to do. */
	backlog_busy(&b, 1, 1);
	assert_int_equal(backlog_due(&b), 1 + pace.quiet);
	assert_true(backlog_add(&b, 2, 2));
	assert_int_equal(backlog_due(&b), INT64_MIN);
	/* All that were there need not wait; those that come later are others. */
	backlog_busy(&b, 1, 3);
	assert_true(backlog_add(&b, 3, 3));
	assert_int_equal(take_one(&b), 1);
	assert_int_equal(backlog_due(&b), INT64_MIN);
	assert_int_equal(take_one(&b), 2);
	assert_int_equal(backlog_due(&b), 3 + pace.quiet);
	backlog_fini(&b);
}

static void nor_when_somebody_asks(void **state)
{
	(void)state;
	struct backlog b;
	assert_int_equal(backlog_init(&b, &pace, 100), 0);
	backlog_busy(&b, 0, 10);
	assert_true(backlog_add(&b, 1, 10));
	backlog_ask(&b, 10);
	backlog_busy(&b, 0, 11);
	assert_int_equal(backlog_due(&b), INT64_MIN);
	assert_true(backlog_add(&b, 2, 11));
	assert_int_equal(take_one(&b), 1);
	assert_int_equal(backlog_due(&b), 11 + pace.quiet);
	backlog_fini(&b);
}

/* -- the reaper ------------------------------------------------------------------------------ */

struct rig {
	struct kit *k;
	struct script script;
	struct reaper *r;
	uint64_t inos[100];
};

/* Its orphans wait for ever, but for what the test sets. */
static struct rig *rig_new(struct backlog_pace p)
{
	struct rig *rig = calloc(1, sizeof *rig);
	assert_non_null(rig);
	rig->k = kit_new(model_store_new());
	rig->k->unwatched = true;
	script_init(&rig->script, rig->k->store);
	for (unsigned i = 0; i < ARRAY_LEN(rig->inos); i++) {
		assert_int_equal(kit_create(rig->k, 1, "x", S_IFREG | 0644, &rig->inos[i]), 0);
		assert_int_equal(kit_unlink(rig->k, 1, "x"), 0);
	}
	if (!p.quiet)
		p.quiet = NEVER;
	if (!p.age)
		p.age = NEVER;
	if (!p.inodes)
		p.inodes = SIZE_MAX;
	if (!p.blocks)
		p.blocks = UINT64_MAX;
	assert_int_equal(reaper_start(&rig->script.store, &p, &rig->r), 0);
	reaper_busy(rig->r, 0);
	return rig;
}

static bool is_there(const struct rig *rig, unsigned i)
{
	struct store_attr attr;
	return store_getattr(rig->k->store, rig->inos[i], &attr) == 0;
}

static void wait_until_gone(const struct rig *rig, unsigned i)
{
	while (is_there(rig, i))
		sched_yield();
}

static void add(struct rig *rig, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		reaper_add(rig->r, rig->inos[i]);
}

/* Whatever waits is deleted at the end. */
static void rig_free(struct rig *rig, unsigned added)
{
	rig->r = reaper_stop(rig->r, INT64_MAX / 2);
	for (unsigned i = 0; i < ARRAY_LEN(rig->inos); i++)
		assert_int_equal(is_there(rig, i), i >= added);
	kit_free(rig->k);
	free(rig);
}

static void all_wait_for_the_end(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){0});
	add(rig, 0, 64);
	rig->r = reaper_stop(rig->r, INT64_MAX / 2);
	/* Had it not waited for all of them, there would have been smaller batches as well. */
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 4);
	rig_free(rig, 64);
}

static void no_more_wait_than_may(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){.inodes = 50});
	add(rig, 0, 49);
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 0);
	add(rig, 49, 50);
	wait_until_gone(rig, 15);
	/* One batch, and then there are few again. */
	for (unsigned i = 16; i < 50; i++)
		assert_true(is_there(rig, i));
	add(rig, 50, 66);
	wait_until_gone(rig, 31);
	assert_true(is_there(rig, 32));
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 2);
	rig_free(rig, 66);
}

static void large_ones_do_not_wait(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){.blocks = 1000});
	add(rig, 0, 20);
	reaper_busy(rig->r, 999);
	reaper_busy(rig->r, 1);
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 0);
	add(rig, 20, 21);
	wait_until_gone(rig, 20);
	add(rig, 21, 22);
	assert_true(is_there(rig, 21));
	rig_free(rig, 22);
}

static void who_asks_for_space_sees_all_of_it(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){0});
	reaper_ask(rig->r, 0); /* there is nothing */
	add(rig, 0, 40);
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 0);
	reaper_ask(rig->r, 0);
	wait_until_gone(rig, 39);
	assert_int_equal(rig->script.calls[SCRIPT_APPLY], 3);
	/* Who needs it does not wait for the thread either. */
	add(rig, 40, 50);
	assert_true(reaper_help(rig->r));
	assert_false(is_there(rig, 49));
	assert_false(reaper_help(rig->r));
	rig_free(rig, 50);
}

/* The first ones have names, so that nothing is gained by them; behind them there is something. */
static void who_needs_space_goes_on_until_there_is_some(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){0});
	for (unsigned i = 0; i < 40; i++)
		reaper_add(rig->r, STORE_ROOT_INO);
	assert_false(reaper_help(rig->r));
	for (unsigned i = 0; i < 40; i++)
		reaper_add(rig->r, STORE_ROOT_INO);
	add(rig, 0, 10);
	assert_true(reaper_help(rig->r));
	assert_false(is_there(rig, 0));
	rig_free(rig, 10);
}

/* Somebody else needs space while the first one has all there is in hand. */
struct second {
	struct reaper *r;
	pthread_t thread;
	atomic_bool asks;
	bool helped;
};

static void *ask_as_well(void *arg)
{
	struct second *second = arg;
	atomic_store(&second->asks, true);
	second->helped = reaper_help(second->r);
	return NULL;
}

static int start_second(struct script *s)
{
	struct second *second = s->arg;
	s->before[SCRIPT_APPLY] = SCRIPT_NO_HOOK;
	assert_int_equal(pthread_create(&second->thread, NULL, ask_as_well, second), 0);
	while (!atomic_load(&second->asks))
		sched_yield();
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* enough for a wrong answer */
	return 0;
}

static void who_needs_space_waits_for_who_makes_some(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){0});
	struct second second = {.r = rig->r};
	add(rig, 0, 10);
	rig->script.arg = &second;
	rig->script.before[SCRIPT_APPLY] = start_second;
	assert_true(reaper_help(rig->r));
	assert_int_equal(pthread_join(second.thread, NULL), 0);
	assert_true(second.helped);
	rig_free(rig, 10);
}

/* Names change whenever it looks. */
static int change_names(struct script *s)
{
	reaper_busy(((struct rig *)s->arg)->r, 0);
	return 0;
}

static void time_passes(void **state)
{
	(void)state;
	struct rig *rig = rig_new((struct backlog_pace){.quiet = 1});
	add(rig, 0, 20);
	wait_until_gone(rig, 19);
	rig_free(rig, 20);
	rig = rig_new((struct backlog_pace){.age = 1});
	rig->script.arg = rig;
	rig->script.before[SCRIPT_APPLY] = change_names;
	add(rig, 0, 20);
	wait_until_gone(rig, 19);
	rig_free(rig, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_goes_first),
		cmocka_unit_test(it_waits_until_names_are_left_alone),
		cmocka_unit_test(but_not_for_ever),
		cmocka_unit_test(nor_when_there_are_many),
		cmocka_unit_test(nor_when_they_are_large),
		cmocka_unit_test(nor_when_somebody_asks),
		cmocka_unit_test(all_wait_for_the_end),
		cmocka_unit_test(no_more_wait_than_may),
		cmocka_unit_test(large_ones_do_not_wait),
		cmocka_unit_test(who_asks_for_space_sees_all_of_it),
		cmocka_unit_test(who_needs_space_goes_on_until_there_is_some),
		cmocka_unit_test(who_needs_space_waits_for_who_makes_some),
		cmocka_unit_test(time_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
