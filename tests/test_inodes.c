/*
 * Lookup counts, opens and orphans of fs/inodes.c, what the kernel must drop, and the heap of
 * moments under it.
 */
#include "kit.h"

#include "fs/deadlines.h"
#include "fs/inodes.h"

#include <stdlib.h>

static int setup(void **state)
{
	struct inodes *t = NULL;
	assert_int_equal(inodes_new(&t), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	*state = inodes_free(*state);
	return 0;
}

static bool next(struct inodes *t, int64_t now, struct inodes_stale *ret)
{
	int64_t unused;
	return inodes_next_stale(t, now, ret, &unused);
}

static void an_orphan_is_reaped_by_the_last_forget(void **state)
{
	struct inodes *t = *state;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_false(inodes_set_orphan(t, 5, true));
	assert_false(inodes_forget(t, 5, 1));
	assert_true(inodes_forget(t, 5, 1));
	assert_int_equal(inodes_count(t), 1);
}

static void an_orphan_is_reaped_by_the_last_close(void **state)
{
	struct inodes *t = *state;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_int_equal(inodes_open(t, 5), 0);
	assert_int_equal(inodes_open(t, 5), 0);
	assert_false(inodes_set_orphan(t, 5, true));
	assert_false(inodes_forget(t, 5, 1));
	assert_false(inodes_close(t, 5));
	assert_true(inodes_close(t, 5));
}

static void an_orphan_that_nobody_uses_is_reaped_at_once(void **state)
{
	assert_true(inodes_set_orphan(*state, 77, true));
	assert_false(inodes_set_orphan(*state, 77, false));
}

static void a_name_that_came_back_keeps_the_inode(void **state)
{
	struct inodes *t = *state;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_false(inodes_set_orphan(t, 5, true));
	assert_false(inodes_set_orphan(t, 5, false));
	assert_false(inodes_forget(t, 5, 1));
}

static void the_root_stays(void **state)
{
	struct inodes *t = *state;
	assert_false(inodes_forget(t, 1, 100));
	assert_int_equal(inodes_count(t), 1);
}

static void forgetting_what_was_not_known_does_nothing(void **state)
{
	assert_false(inodes_forget(*state, 99, 3));
	assert_false(inodes_close(*state, 99));
}

static void orphans_in_use_can_be_taken_once(void **state)
{
	struct inodes *t = *state;
	uint64_t inos[4];
	for (uint64_t ino = 10; ino < 13; ino++) {
		assert_int_equal(inodes_lookup(t, ino), 0);
		assert_false(inodes_set_orphan(t, ino, true));
	}
	assert_int_equal(inodes_take_orphans(t, inos, 2), 2);
	assert_int_equal(inodes_take_orphans(t, inos, 4), 1);
	assert_int_equal(inodes_take_orphans(t, inos, 4), 0);
	assert_false(inodes_forget(t, 10, 1));
}

static void many_inodes_are_found_again(void **state)
{
	struct inodes *t = *state;
	for (uint64_t ino = 2; ino < 20000; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	for (uint64_t ino = 2; ino < 20000; ino += 2)
		assert_false(inodes_set_orphan(t, ino, true));
	for (uint64_t ino = 2; ino < 20000; ino++)
		assert_int_equal(inodes_forget(t, ino, 1), ino % 2 == 0);
	assert_int_equal(inodes_count(t), 1);
}

static void notes_come_out_in_order(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_int_equal(inodes_lookup(t, 6), 0);
	inodes_set_stale(t, &(struct inodes_stale){6, 4096, 10, false});
	inodes_set_stale(t, &(struct inodes_stale){5, -1, 0, false});
	inodes_set_stale(t, &(struct inodes_stale){99, 0, 0, false}); /* unknown: nothing to drop */
	assert_true(next(t, 0, &s));
	assert_int_equal(s.ino, 6);
	assert_int_equal(s.offset, 4096);
	assert_int_equal(s.len, 10);
	assert_true(next(t, 0, &s));
	assert_int_equal(s.ino, 5);
	assert_int_equal(s.offset, -1);
	assert_false(next(t, 0, &s));
}

static void expect_stale(struct inodes *t, uint64_t ino, int64_t offset, int64_t len)
{
	struct inodes_stale s;
	assert_true(next(t, 0, &s));
	assert_int_equal(s.ino, ino);
	assert_int_equal(s.offset, offset);
	assert_int_equal(s.len, len);
}

static void two_ranges_become_the_one_that_has_both(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	const struct inodes_stale attr = {1, -1, 0, false}, one = {1, 4096, 4096, false},
				  other = {1, 12288, 10, false}, rest = {1, 8192, 0, false},
				  all = {1, 0, 0, false}, last = {1, INT64_MAX - 10, 100, false};
	const struct inodes_stale *const notes[][3] = {{&one, &one, &attr}, {&attr, &attr, &one},
		{&one, &other, &one}, {&other, &one, &attr}, {&one, &rest, &other},
		{&rest, &other, &one}, {&rest, &all, &attr}, {&last, &one, &attr}};
	const int64_t wanted[][2] = {{4096, 4096}, {4096, 4096}, {4096, 8202}, {4096, 8202},
		{4096, 0}, {4096, 0}, {0, 0}, {4096, INT64_MAX - 4096}};
	for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
		for (size_t k = 0; k < ARRAY_LEN(notes[i]); k++)
			inodes_set_stale(t, notes[i][k]);
		expect_stale(t, 1, wanted[i][0], wanted[i][1]);
		assert_false(next(t, 0, &s));
	}
}

static void a_target_goes_with_the_attributes(void **state)
{
	struct inodes *t = *state;
	inodes_set_stale(t, &(struct inodes_stale){1, -1, 0, false});
	expect_stale(t, 1, -1, 0);
	inodes_note_link(t, 99);
	inodes_note_link(t, 1);
	inodes_set_stale(t, &(struct inodes_stale){1, -1, 0, false});
	expect_stale(t, 1, 0, 0);
}

static void all_are_handed_out_once(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	enum { N = 20000 };
	static bool seen[N + 1000];
	for (uint64_t ino = 2; ino < N; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	inodes_set_stale(t, &(struct inodes_stale){7, 0, 0, false});
	inodes_set_stale(t, &(struct inodes_stale){8, -1, 0, false});
	inodes_set_all_stale(t, INT64_MIN);
	for (uint64_t n = 0; next(t, 0, &s); n++) {
		bool again = s.ino == 8 && s.offset < 0; /* a note of its own, before */
		assert_true(s.ino < N && (!seen[s.ino] || again));
		seen[s.ino] = !again;
		if (n < 1000) /* those that come meanwhile, and make the table grow, are new */
			assert_int_equal(inodes_lookup(t, N + n), 0);
	}
	for (uint64_t ino = 1; ino < N; ino++)
		assert_true(seen[ino]);
	inodes_set_all_stale(t, INT64_MIN);
	assert_true(next(t, 0, &s));
}

static void what_is_forgotten_gives_its_memory_back(void **state)
{
	struct inodes *t = *state;
	enum { N = 1000000 };
	uint64_t before = inodes_bytes(t);
	for (uint64_t ino = 2; ino < N; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	assert_true(inodes_bytes(t) < (uint64_t)N * 42); /* each so much */
	/* Some are in use in more ways, and some of those stay. */
	for (uint64_t ino = 2; ino < N; ino += 100) {
		assert_int_equal(inodes_open(t, ino), 0);
		(void)!inodes_filled(t, ino, 1000, 1, 1);
		assert_false(inodes_close(t, ino));
	}
	for (uint64_t ino = 300; ino < N; ino++)
		assert_false(inodes_forget(t, ino, 1));
	assert_int_equal(inodes_count(t), 299);
	assert_true(inodes_bytes(t) < before + ((uint64_t)512 << 10));
}

/* Details go when there are none any more, not only with the inode. */
static void an_idle_inode_takes_little(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	enum { N = 20000 };
	for (uint64_t ino = 2; ino < N; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	uint64_t bytes = inodes_bytes(t);
	for (uint64_t ino = 2; ino < N; ino++) {
		assert_int_equal(inodes_open(t, ino), 0);
		inodes_state(t, ino, page_state_begin, 0);
		(void)!inodes_filled(t, ino, 1000, 1, 1);
		assert_false(inodes_show(t, ino, 7));
		assert_false(inodes_set_orphan(t, ino, true));
	}
	assert_true(inodes_bytes(t) > bytes + (uint64_t)N * 100);
	for (uint64_t ino = 2; ino < N; ino++) {
		inodes_state(t, ino, page_state_end, 0);
		assert_false(inodes_set_orphan(t, ino, false));
		assert_false(inodes_close(t, ino));
	}
	while (next(t, 2000, &s))
		;
	assert_true(inodes_bytes(t) < bytes + ((uint64_t)128 << 10));
}

#define TICK ((int64_t)INODES_TICK)

static void those_answered_lately_are_handed_out(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	for (uint64_t ino = 5; ino < 8; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	inodes_answer(t, 5, 10 * TICK);
	inodes_answer(t, 6, 20 * TICK);
	inodes_answer(t, 99, 20 * TICK);
	assert_true(inodes_answered(t, 6, 20 * TICK));
	assert_false(inodes_answered(t, 6, 21 * TICK));
	assert_false(inodes_answered(t, 7, INT64_MIN + 1));
	assert_false(inodes_answered(t, 99, 0));
	inodes_set_all_stale(t, 20 * TICK);
	expect_stale(t, 6, 0, 0);
	assert_false(next(t, 0, &s));
	inodes_set_all_stale(t, INT64_MIN);
	inodes_set_all_stale(t, 20 * TICK); /* does not make less of it */
	for (unsigned i = 0; i < 4; i++)
		assert_true(next(t, 0, &s));
	assert_false(next(t, 0, &s));
}

#define S 1000000000

static void what_was_filled_goes_before_its_time_has_come(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	const int64_t one = INODES_DROP_INODE + INODES_DROP_PAGE;
	int64_t at = 0;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_true(inodes_filled(t, 5, 100 * (int64_t)S, 1, 1));
	assert_false(inodes_filled(t, 1, 220 * (int64_t)S, 1, 1));
	assert_false(inodes_filled(t, 1, 200 * (int64_t)S, 1, 1)); /* the earliest counts */
	assert_false(inodes_filled(t, 1, 210 * (int64_t)S, 1, 1));
	assert_false(inodes_next_stale(t, 99 * (int64_t)S, &s, &at));
	assert_int_equal(at, 100 * (int64_t)S - 2 * one);
	assert_true(inodes_next_stale(t, at, &s, &at));
	assert_int_equal(s.ino, 5);
	assert_int_equal(s.offset, 0);
	assert_int_equal(s.len, 0);
	assert_false(inodes_next_stale(t, 100 * (int64_t)S, &s, &at));
	assert_int_equal(at, 200 * (int64_t)S - one);
	assert_true(inodes_filled(t, 5, 150 * (int64_t)S, 1, 1)); /* counts anew */
	assert_false(inodes_overdue(t, 5, 149 * (int64_t)S));
	assert_true(inodes_overdue(t, 5, 150 * (int64_t)S));
	assert_true(inodes_next_stale(t, 500 * (int64_t)S, &s, &at));
	assert_true(inodes_next_stale(t, 500 * (int64_t)S, &s, &at));
	assert_false(inodes_overdue(t, 5, 150 * (int64_t)S));
	assert_false(inodes_next_stale(t, 500 * (int64_t)S, &s, &at));
	assert_int_equal(at, INT64_MAX);
}

static void others_are_known_by_the_version(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_false(inodes_show(t, 5, 3)); /* it has no data of it */
	(void)!inodes_filled(t, 5, 100 * (int64_t)S, 1, 1);
	assert_false(inodes_show(t, 5, 7));
	assert_false(inodes_show(t, 5, 7));
	assert_false(inodes_show(t, 5, 6)); /* came late */

	/* Changes of ours, in any order, and while they are under way */
	inodes_state(t, 5, page_state_begin, 0);
	inodes_state(t, 5, page_state_begin, 0);
	assert_false(inodes_show(t, 5, 9));
	inodes_state(t, 5, page_state_changed, 9);
	inodes_state(t, 5, page_state_end, 0);
	assert_false(inodes_show(t, 5, 9));
	inodes_state(t, 5, page_state_changed, 8);
	inodes_state(t, 5, page_state_end, 0);
	assert_false(inodes_show(t, 5, 9));
	inodes_state(t, 5, page_state_changed, 12);
	inodes_state(t, 5, page_state_changed, 11);
	inodes_state(t, 5, page_state_changed, 10);
	assert_false(inodes_show(t, 5, 12));
	assert_false(next(t, 0, &s));

	/* Others, before and after one of ours */
	inodes_state(t, 5, page_state_changed, 14);
	assert_true(inodes_show(t, 5, 14));
	assert_true(next(t, 0, &s));
	assert_int_equal(s.ino, 5);
	assert_int_equal(s.offset, 0);
	assert_int_equal(s.len, 0);
	assert_false(inodes_show(t, 5, 20));
	(void)!inodes_filled(t, 5, 100 * (int64_t)S, 1, 1);
	assert_false(inodes_show(t, 5, 20));
	inodes_state(t, 5, page_state_told, 0);
	assert_false(inodes_show(t, 5, 30));
	assert_true(inodes_show(t, 5, 31));

	/* One of ours failed and may have made a version, which its answer did not say */
	inodes_state(t, 5, page_state_told, 0);
	assert_false(inodes_show(t, 5, 30));
	inodes_state(t, 5, page_state_begin, 0);
	inodes_state(t, 5, page_state_doubt, 0);
	inodes_state(t, 5, page_state_end, 0);
	assert_false(inodes_show(t, 5, 31));
	assert_true(inodes_show(t, 5, 32));
	assert_true(inodes_show(t, 5, 3000));
}

/* So much earlier that all of it is gone in time; each page counts, but none twice. */
static void much_that_was_filled_goes_earlier(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	int64_t at = 0;
	for (uint64_t ino = 5; ino < 1005; ino++) {
		assert_int_equal(inodes_lookup(t, ino), 0);
		(void)!inodes_filled(t, ino, 100 * (int64_t)S, 0, 100);
	}
	assert_false(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(at, 100 * (int64_t)S - 1000 * (int64_t)INODES_DROP_INODE);
	assert_true(inodes_filled(t, 5, 200 * (int64_t)S, 2000000, 1500000));
	assert_false(inodes_filled(t, 5, 200 * (int64_t)S, 2000000, 1500000));
	assert_false(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(at, 100 * (int64_t)S - 1000 * (int64_t)INODES_DROP_INODE -
				     1500000 * (int64_t)INODES_DROP_PAGE);
	for (uint64_t ino = 5; ino < 1005; ino++)
		assert_false(inodes_forget(t, ino, 1));
	assert_false(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(at, INT64_MAX);
}

static void a_dropped_range_does_not_end_the_time_of_the_rest(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	int64_t at = 0;
	assert_true(inodes_filled(t, 1, 100 * (int64_t)S, 0, 1));
	inodes_set_stale(t, &(struct inodes_stale){1, 4096, 10, false});
	assert_true(inodes_next_stale(t, 0, &s, &at));
	assert_false(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(at, 100 * (int64_t)S - INODES_DROP_INODE);
}

static void forgetting_takes_notes_and_moments_along(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	int64_t at = 0;
	for (uint64_t ino = 5; ino < 8; ino++) {
		assert_int_equal(inodes_lookup(t, ino), 0);
		assert_int_equal(inodes_filled(t, ino, (100 + (int64_t)ino) * S, 0, 1), ino == 5);
		inodes_set_stale(t, &(struct inodes_stale){ino, 1, 1, false});
	}
	assert_false(inodes_forget(t, 6, 1));
	assert_false(inodes_forget(t, 5, 1));
	assert_true(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(s.ino, 7);
	assert_false(inodes_next_stale(t, 0, &s, &at));
	assert_int_equal(at, 107 * (int64_t)S - INODES_DROP_INODE);
}

static void suid_is_remembered_once(void **state)
{
	struct inodes *t = *state;
	assert_false(inodes_take_suid(t, 1));
	inodes_note_suid(t, 1);
	assert_true(inodes_take_suid(t, 1));
	assert_false(inodes_take_suid(t, 1));
	inodes_note_suid(t, 99);
	assert_false(inodes_take_suid(t, 99));
}

static void sgid_is_remembered_while_the_inode_is_known(void **state)
{
	struct inodes *t = *state;
	assert_int_equal(inodes_lookup(t, 5), 0);
	assert_false(inodes_had_sgid(t, 5));
	inodes_note_sgid(t, 5);
	assert_true(inodes_had_sgid(t, 5));
	assert_false(inodes_take_suid(t, 5));
	assert_true(inodes_had_sgid(t, 5));
	assert_false(inodes_forget(t, 5, 1));
	assert_false(inodes_had_sgid(t, 5));
	inodes_note_sgid(t, 99);
	assert_false(inodes_had_sgid(t, 99));
}

static void the_heap_gives_the_earliest_first(void **state)
{
	(void)state;
	enum { N = 1000 };
	static struct deadline d[N];
	struct deadlines h = {0};
	srand(1);
	for (int i = 0; i < N; i++) {
		d[i] = (struct deadline){.at = rand() % 500};
		assert_int_equal(deadlines_add(&h, &d[i]), 0);
	}
	for (int i = 0; i < N; i += 3)
		deadlines_remove(&h, &d[i]);
	deadlines_remove(&h, &d[0]); /* is out already */
	int64_t last = 0;
	int n = 0;
	for (struct deadline *first; (first = deadlines_first(&h)); n++) {
		assert_true(first->at >= last);
		last = first->at;
		deadlines_remove(&h, first);
	}
	assert_int_equal(n, N - (N + 2) / 3);
	deadlines_fini(&h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* What keeps an orphan that nobody has open are entries of the kernel's. */
static void idle_orphans_lose_their_entries(void **state)
{
	struct inodes *t = *state;
	struct inodes_stale s;
	uint64_t idle[4];
	for (uint64_t ino = 5; ino <= 7; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	assert_int_equal(inodes_open(t, 6), 0);
	assert_false(inodes_set_orphan(t, 5, true));
	assert_false(inodes_set_orphan(t, 6, true));
	assert_int_equal(inodes_idle_orphans(t, idle, ARRAY_LEN(idle)), 1);
	assert_int_equal(idle[0], 5);
	for (uint64_t ino = 5; ino <= 7; ino++) {
		inodes_set_stale(t, &(struct inodes_stale){ino, -1, 0, false});
		assert_true(next(t, 0, &s));
		assert_int_equal(s.ino, ino);
		assert_int_equal(s.entries, ino == 5);
	}
	/* Of others only when it is asked for, by any of the notes. */
	for (int i = 0; i < 4; i++) {
		inodes_set_stale(t, &(struct inodes_stale){7, 0, 0, i & 1});
		inodes_set_stale(t, &(struct inodes_stale){7, 4096, 10, i & 2});
		assert_true(next(t, 0, &s));
		assert_int_equal(s.entries, i > 0);
	}
	assert_false(inodes_close(t, 6));
	assert_int_equal(inodes_idle_orphans(t, idle, ARRAY_LEN(idle)), 2);
	assert_int_equal(inodes_idle_orphans(t, idle, 1), 1);
	assert_true(inodes_forget(t, 5, 1));
	assert_false(inodes_set_orphan(t, 6, false)); /* it has a name again */
	assert_int_equal(inodes_idle_orphans(t, idle, ARRAY_LEN(idle)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_orphan_is_reaped_by_the_last_forget),
		TEST(an_orphan_is_reaped_by_the_last_close),
		TEST(an_orphan_that_nobody_uses_is_reaped_at_once),
		TEST(a_name_that_came_back_keeps_the_inode),
		TEST(the_root_stays),
		TEST(forgetting_what_was_not_known_does_nothing),
		TEST(orphans_in_use_can_be_taken_once),
		TEST(many_inodes_are_found_again),
		TEST(notes_come_out_in_order),
		TEST(two_ranges_become_the_one_that_has_both),
		TEST(a_target_goes_with_the_attributes),
		TEST(all_are_handed_out_once),
		TEST(those_answered_lately_are_handed_out),
		TEST(what_is_forgotten_gives_its_memory_back),
		TEST(an_idle_inode_takes_little),
		TEST(what_was_filled_goes_before_its_time_has_come),
		TEST(others_are_known_by_the_version),
		TEST(much_that_was_filled_goes_earlier),
		TEST(a_dropped_range_does_not_end_the_time_of_the_rest),
		TEST(forgetting_takes_notes_and_moments_along),
		TEST(suid_is_remembered_once),
		TEST(sgid_is_remembered_while_the_inode_is_known),
		cmocka_unit_test(the_heap_gives_the_earliest_first),
		TEST(idle_orphans_lose_their_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
