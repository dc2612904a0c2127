/* What a store promises when it may not be written, or is full. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO
#define PIECE 65536u
#define LIMIT ((uint64_t)3 << 20)

/* Every kind of change, each of which would work. */
static void refuses_all(struct kit *k, uint64_t file, uint64_t dir, int want)
{
	uint64_t ino = 0;
	size_t copied = 0;
	bool more = false;

	assert_int_equal(kit_write(k, file, 0, "x", 1), want);
	assert_int_equal(kit_truncate(k, file, 0), want);
	assert_int_equal(kit_chmod(k, file, 0600), want);
	assert_int_equal(kit_allocate(k, file, STORE_PUNCH_HOLE, 0, 10), want);
	assert_int_equal(kit_copy(k, file, 0, file, 100, 10, &copied), want);
	assert_int_equal(kit_create(k, dir, "new", S_IFREG | 0644, &ino), want);
	assert_int_equal(kit_create(k, dir, NULL, S_IFREG | 0644, &ino), want);
	assert_int_equal(kit_link(k, file, dir, "link"), want);
	assert_int_equal(kit_unlink(k, dir, "f"), want);
	assert_int_equal(kit_rmdir(k, ROOT, "empty"), want);
	assert_int_equal(kit_rename(k, dir, "f", dir, "g", 0), want);
	assert_int_equal(kit_setxattr(k, file, "user.b", "x", 1, 0), want);
	assert_int_equal(kit_removexattr(k, file, "user.a"), want);
	assert_int_equal(kit_reap(k, file, &more), want);
	assert_int_equal(ino, 0);
}

static void a_readonly_store_shows_all_and_takes_nothing(void **state)
{
	struct kit *k = *state;
	static unsigned char want[100000];
	struct store_space space;

	if (!contract_under_test->lasting)
		skip();
	uint64_t dir = kit_must_dir(k, ROOT, "d"), file = kit_must_file(k, dir, "f");
	kit_must_dir(k, ROOT, "empty");
	kit_must_fill(k, file, 0, sizeof want, 1, want);
	assert_int_equal(kit_setxattr(k, file, "user.a", "b", 1, 0), 0);
	contract_reopen_as(k, (struct contract_limits){.readonly = true});
	refuses_all(k, file, dir, -EROFS);
	kit_expect_bytes(k, file, want, sizeof want);
	assert_int_equal(kit_lookup(k, dir, "f"), file);
	assert_int_equal(store_getxattr(k->store, file, "user.a", 6, NULL, 0), 1);
	assert_int_equal(store_statfs(k->store, &space), 0);
	assert_int_equal(store_flush(k->store), 0);
	contract_reopen(k);
	assert_int_equal(kit_write(k, file, 0, "x", 1), 0);
}

/* Writes pieces until no more fit; how many did. */
static unsigned fill(struct kit *k, uint64_t file)
{
	unsigned char *piece = kit_memory(NULL, PIECE);
	unsigned n = 0;
	int r = 0;

	for (; r == 0; n += r == 0) {
		assert_true(n < 2 * LIMIT / PIECE);
		kit_pattern(piece, PIECE, n);
		r = kit_write(k, file, (uint64_t)n * PIECE, piece, PIECE);
	}
	assert_int_equal(r, -ENOSPC);
	free(piece);
	return n;
}

static void expect_pieces(struct kit *k, uint64_t file, unsigned n)
{
	unsigned char *want = kit_memory(NULL, (size_t)n * PIECE);

	for (unsigned i = 0; i < n; i++)
		kit_pattern(want + (size_t)i * PIECE, PIECE, i);
	kit_expect_bytes(k, file, want, (size_t)n * PIECE);
	free(want);
}

static void a_full_store_keeps_what_it_has_and_can_be_emptied(void **state)
{
	struct kit *k = *state;
	struct store_space space = {0};

	if (!contract_under_test->lasting)
		skip();
	uint64_t other = kit_must_file(k, ROOT, "other"), file = kit_must_file(k, ROOT, "f");
	kit_must_fill(k, other, 0, 10 * PIECE, 7, NULL);
	contract_reopen_as(k, (struct contract_limits){.max_size = LIMIT});
	assert_int_equal(store_statfs(k->store, &space), 0);
	assert_true(space.total <= LIMIT && space.free < space.total);
	unsigned n = fill(k, file);
	assert_true(n > 5);
	expect_pieces(k, file, n);
	assert_int_equal(store_statfs(k->store, &space), 0);
	assert_true(space.free < 4 * PIECE);

	/* Who wants no space gets what he wants, also in one batch with who does. */
	unsigned char *piece = kit_memory(NULL, PIECE);
	kit_pattern(piece, PIECE, 3);
	struct change c[] = {
		{
			.kind = CHANGE_WRITE,
			.write = {.ino = file, .data = piece, .len = PIECE, .append = true},
		},
		{.kind = CHANGE_UNLINK, .unlink = {.parent = ROOT, .name = {"other", 5}}},
	};
	kit_apply_batch(k, c, ARRAY_LEN(c));
	assert_int_equal(c[0].result, -ENOSPC);
	assert_false(c[0].doubtful);
	assert_int_equal(c[1].result, 0);
	kit_must_reap(k, other);
	expect_pieces(k, file, n);
	assert_int_equal(kit_write(k, file, (uint64_t)n * PIECE, piece, PIECE), 0);
	assert_int_equal(kit_truncate(k, file, (uint64_t)n * PIECE), 0);
	free(piece);
	expect_pieces(k, file, n);

	/* Full again: cutting a file makes room as well. */
	uint64_t third = kit_must_file(k, ROOT, "third");
	fill(k, third);
	assert_int_equal(kit_truncate(k, third, 0), 0);
	assert_true(fill(k, third) > 5);
	expect_pieces(k, file, n);
	assert_int_equal(kit_unlink(k, ROOT, "third"), 0);
	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	kit_must_reap(k, third);
	kit_must_reap(k, file);
	kit_must_file(k, ROOT, "f");
}

int contract_limits(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(a_readonly_store_shows_all_and_takes_nothing),
		CONTRACT_TEST(a_full_store_keeps_what_it_has_and_can_be_emptied),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
