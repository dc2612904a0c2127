/* What a store promises about inodes without a name: they live until they are reaped. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO

static void lives_on_without_a_name(void **state)
{
	struct kit *k = *state;
	static unsigned char want[50000];
	uint64_t ino = kit_must_file(k, ROOT, "f");
	bool more = false;

	assert_int_equal(kit_reap(k, ino, &more), -EBUSY);
	kit_must_fill(k, ino, 0, 40000, 1, want);
	assert_int_equal(kit_setxattr(k, ino, "user.a", "b", 1, 0), 0);
	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(kit_lookup(k, ROOT, "f"), 0);
	kit_expect_bytes(k, ino, want, 40000);
	kit_must_fill(k, ino, 39000, 11000, 2, want);
	kit_expect_bytes(k, ino, want, 50000);
	assert_int_equal(kit_truncate(k, ino, 100), 0);
	assert_int_equal(kit_chmod(k, ino, 0600), 0);
	assert_int_equal(kit_setxattr(k, ino, "user.b", "c", 1, 0), 0);
	assert_int_equal(store_getxattr(k->store, ino, "user.a", 6, NULL, 0), 1);
	kit_expect_bytes(k, ino, want, 100);
	kit_must_reap(k, ino);

	struct store_attr a;
	assert_int_equal(store_getattr(k->store, ino, &a), -ESTALE);
	assert_int_equal(kit_reap(k, ino, &more), -ENOENT);
	assert_int_equal(kit_write(k, ino, 0, "x", 1), -ESTALE);
	assert_int_equal(store_getxattr(k->store, ino, "user.a", 6, NULL, 0), -ESTALE);
	assert_int_equal(kit_reap(k, ino + 1000, &more), -ENOENT);
	assert_int_equal(kit_reap(k, ROOT, &more), -EBUSY);
}

/* A sparse file of many pieces that no store can keep together. */
static uint64_t scattered(struct kit *k, const char *name)
{
	static struct change c[STORE_BATCH_MAX];
	uint64_t ino = kit_must_file(k, ROOT, name);

	for (uint64_t round = 0; round < 6; round++) {
		for (uint64_t i = 0; i < STORE_BATCH_MAX; i++)
			c[i] = (struct change){
				.kind = CHANGE_WRITE,
				.write =
					{
						.ino = ino,
						.offset = (round * STORE_BATCH_MAX + i) << 20,
						.data = "x",
						.len = 1,
					},
			};
		kit_apply_batch(k, c, STORE_BATCH_MAX);
		for (unsigned i = 0; i < STORE_BATCH_MAX; i++) {
			assert_int_equal(c[i].result, 0);
			block_unref(c[i].write.head);
		}
	}
	return ino;
}

static void goes_in_bounded_pieces(void **state)
{
	struct kit *k = *state;
	uint64_t ino = scattered(k, "f");
	unsigned pieces = 0;
	bool more = true;

	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	uint64_t last = kit_attr(k, ino).blocks;
	while (more) {
		assert_int_equal(kit_reap(k, ino, &more), 0);
		pieces++;
		if (more) {
			assert_true(kit_attr(k, ino).blocks < last);
			last = kit_attr(k, ino).blocks;
		}
	}
	assert_true(pieces > 1);
	struct store_attr a;
	assert_int_equal(store_getattr(k->store, ino, &a), -ESTALE);
}

static void is_born_without_a_name(void **state)
{
	struct kit *k = *state;
	struct store_attr root = kit_attr(k, ROOT);
	struct change c = {
		.kind = CHANGE_CREATE,
		.create = {.parent = ROOT, .mode = S_IFREG | 0600},
	};

	assert_int_equal(kit_apply(k, &c), 0);
	uint64_t ino = c.touched[0].ino;
	assert_int_equal(c.n_touched, 1);
	assert_int_equal(c.touched[0].nlink, 0);
	struct store_attr after = kit_attr(k, ROOT);
	kit_expect_attr(&after, &root);
	assert_int_equal(kit_write(k, ino, 0, "data", 4), 0);

	/* linkat(2) gives it a name: it is no orphan then, and may lose the name again. */
	assert_int_equal(kit_link(k, ino, ROOT, "f"), 0);
	assert_int_equal(kit_attr(k, ino).nlink, 1);
	bool more = false;
	assert_int_equal(kit_reap(k, ino, &more), -EBUSY);
	kit_expect_bytes(k, kit_lookup(k, ROOT, "f"), "data", 4);
	assert_int_equal(kit_link(k, ino, ROOT, "g"), 0);
	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(kit_reap(k, ino, &more), -EBUSY);
	assert_int_equal(kit_unlink(k, ROOT, "g"), 0);
	kit_must_reap(k, ino);
}

static void an_unlinked_file_may_come_back(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");

	assert_int_equal(kit_write(k, ino, 0, "data", 4), 0);
	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(kit_link(k, ino, ROOT, "g"), 0);
	kit_expect_bytes(k, kit_lookup(k, ROOT, "g"), "data", 4);
	assert_int_equal(kit_rename(k, ROOT, "g", ROOT, "f", 0), 0);
	assert_int_equal(kit_attr(k, ino).nlink, 1);
}

static void directories_and_others_are_reaped(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d"), fifo = 0;
	struct store_attr a;

	assert_int_equal(kit_create(k, ROOT, "p", S_IFIFO | 0644, &fifo), 0);
	assert_int_equal(kit_symlink(k, ROOT, "l", "x"), 0);
	uint64_t link = kit_lookup(k, ROOT, "l");
	assert_int_equal(kit_setxattr(k, dir, "user.a", "b", 1, 0), 0);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), 0);
	assert_int_equal(kit_unlink(k, ROOT, "p"), 0);
	assert_int_equal(kit_unlink(k, ROOT, "l"), 0);
	assert_int_equal(store_lookup(k->store, dir, "x", 1, &a), -ENOENT);
	kit_must_reap(k, dir);
	kit_must_reap(k, fifo);
	kit_must_reap(k, link);
	assert_int_equal(store_getattr(k->store, dir, &a), -ESTALE);
	assert_int_equal(store_lookup(k->store, dir, "x", 1, &a), -ESTALE);
}

struct inos {
	unsigned n;
	uint64_t ino[8];
};

static bool note_ino(void *arg, uint64_t ino)
{
	struct inos *l = arg;

	assert_true(l->n < ARRAY_LEN(l->ino));
	l->ino[l->n++] = ino;
	return true;
}

static void orphans_of_this_mount_are_its_own(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct inos l = {0};

	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(store_orphans(k->store, note_ino, &l), 0);
	assert_int_equal(l.n, 0);
	kit_must_reap(k, ino);
}

static void orphans_are_found_after_their_mount(void **state)
{
	struct kit *k = *state;
	struct inos l = {0};

	if (!contract_under_test->lasting)
		skip();
	uint64_t a = kit_must_file(k, ROOT, "a"), b = kit_must_file(k, ROOT, "b"), tmp = 0;
	uint64_t named = kit_must_file(k, ROOT, "c"), done = kit_must_file(k, ROOT, "d");
	kit_must_fill(k, a, 0, 100000, 1, NULL);
	assert_int_equal(kit_create(k, ROOT, NULL, S_IFREG | 0600, &tmp), 0);
	assert_int_equal(kit_unlink(k, ROOT, "a"), 0);
	assert_int_equal(kit_rename(k, ROOT, "c", ROOT, "b", 0), 0);
	assert_int_equal(kit_unlink(k, ROOT, "d"), 0);
	kit_must_reap(k, done);
	contract_reopen(k);
	assert_int_equal(store_orphans(k->store, note_ino, &l), 0);
	assert_int_equal(l.n, 3);
	for (unsigned i = 0; i < l.n; i++) {
		assert_true(l.ino[i] == a || l.ino[i] == b || l.ino[i] == tmp);
		kit_must_reap(k, l.ino[i]);
	}
	assert_int_equal(kit_lookup(k, ROOT, "b"), named);
	l.n = 0;
	assert_int_equal(store_orphans(k->store, note_ino, &l), 0);
	assert_int_equal(l.n, 0);
	contract_reopen(k);
	assert_int_equal(store_orphans(k->store, note_ino, &l), 0);
	assert_int_equal(l.n, 0);
}

int contract_orphans(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(lives_on_without_a_name),
		CONTRACT_TEST(goes_in_bounded_pieces),
		CONTRACT_TEST(is_born_without_a_name),
		CONTRACT_TEST(an_unlinked_file_may_come_back),
		CONTRACT_TEST(directories_and_others_are_reaped),
		CONTRACT_TEST(orphans_of_this_mount_are_its_own),
		CONTRACT_TEST(orphans_are_found_after_their_mount),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
