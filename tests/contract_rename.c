/* What a store promises about rename: every kind of thing onto every other, with every flag. */
#include "contract.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO

enum thing { NOTHING, FILE_, SYMLINK, EMPTY, FULL, THINGS };

static uint64_t make(struct kit *k, enum thing what, uint64_t parent, const char *name)
{
	if (what == FILE_)
		return kit_must_file(k, parent, name);
	if (what == SYMLINK) {
		assert_int_equal(kit_symlink(k, parent, name, "x"), 0);
		return kit_lookup(k, parent, name);
	}
	if (what == NOTHING)
		return 0;
	uint64_t dir = kit_must_dir(k, parent, name);
	if (what == FULL)
		kit_must_file(k, dir, "inside");
	return dir;
}

static bool is_dir(enum thing t)
{
	return t == EMPTY || t == FULL;
}

/* What renameat2(2) answers. */
static int answer(enum thing from, enum thing to, unsigned flags)
{
	if (from == NOTHING)
		return -ENOENT;
	if (flags == RENAME_EXCHANGE)
		return to == NOTHING ? -ENOENT : 0;
	if (to == NOTHING)
		return 0;
	if (flags == RENAME_NOREPLACE)
		return -EEXIST;
	if (is_dir(from) && !is_dir(to))
		return -ENOTDIR;
	if (!is_dir(from) && is_dir(to))
		return -EISDIR;
	return to == FULL ? -ENOTEMPTY : 0;
}

/* What the names are after a rename that worked, and the links of all that is concerned. */
static void expect_renamed(struct kit *k, const struct change *c, uint64_t a, uint64_t b,
	const uint64_t dirs[2], const enum thing things[2])
{
	bool exchange = c->rename.flags == RENAME_EXCHANGE;
	uint32_t dirs_at[2] = {2, 2};

	assert_int_equal(kit_lookup(k, dirs[1], "b"), a);
	assert_int_equal(kit_lookup(k, dirs[0], "a"), exchange ? b : 0);
	assert_int_equal(c->touched[0].ino, a);
	assert_int_equal(c->n_touched, 2u + (dirs[0] != dirs[1]) + (b != 0));
	assert_int_equal(kit_attr(k, a).ctime, k->now);
	assert_int_equal(kit_attr(k, dirs[0]).mtime, k->now);
	assert_int_equal(kit_attr(k, dirs[1]).mtime, k->now);
	if (b && !exchange)
		assert_int_equal(kit_attr(k, b).nlink, 0);
	else if (b)
		assert_int_equal(kit_attr(k, b).nlink, is_dir(things[1]) ? 2 : 1);
	dirs_at[1] += is_dir(things[0]);
	dirs_at[0] += exchange && is_dir(things[1]);
	if (dirs[0] == dirs[1])
		dirs_at[0] = dirs_at[1] = dirs_at[0] + dirs_at[1] - 2;
	assert_int_equal(kit_attr(k, dirs[0]).nlink, dirs_at[0]);
	assert_int_equal(kit_attr(k, dirs[1]).nlink, dirs_at[1]);
	struct store_attr up;
	if (is_dir(things[0])) {
		assert_int_equal(store_lookup(k->store, a, "..", 2, &up), 0);
		assert_int_equal(up.ino, dirs[1]);
	}
	if (exchange && is_dir(things[1])) {
		assert_int_equal(store_lookup(k->store, b, "..", 2, &up), 0);
		assert_int_equal(up.ino, dirs[0]);
	}
}

static void renames_all_onto_all(void **state)
{
	struct kit *k = *state;
	static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};

	k->unwatched = true; /* the many directories of earlier rounds are nothing to this one */
	for (unsigned i = 0; i < 2u * ARRAY_LEN(flags) * THINGS * THINGS; i++) {
		const enum thing things[2] = {i / 6 % THINGS, i / 6 / THINGS};
		uint64_t dirs[2];
		dirs[0] = kit_must_dir(k, ROOT, "one");
		dirs[1] = i % 2 ? kit_must_dir(k, ROOT, "two") : dirs[0];
		uint64_t a = make(k, things[0], dirs[0], "a");
		uint64_t b = make(k, things[1], dirs[1], "b");
		struct change c = {
			.kind = CHANGE_RENAME,
			.rename =
				{
					.parent = dirs[0],
					.name = {"a", 1},
					.new_parent = dirs[1],
					.new_name = {"b", 1},
					.flags = flags[i / 2 % 3],
				},
		};
		k->unwatched = false;
		k->n_known = 0;
		kit_look(k);
		int r = kit_apply(k, &c);
		assert_int_equal(r, answer(things[0], things[1], c.rename.flags));
		if (r == 0) {
			expect_renamed(k, &c, a, b, dirs, things);
		} else {
			assert_int_equal(kit_lookup(k, dirs[0], "a"), a);
			assert_int_equal(kit_lookup(k, dirs[1], "b"), b);
		}
		k->unwatched = true;
		assert_int_equal(
			kit_rename(k, ROOT, "one", kit_must_dir(k, ROOT, "old"), "x", 0), 0);
		if (i % 2)
			assert_int_equal(
				kit_rename(k, ROOT, "two", kit_lookup(k, ROOT, "old"), "y", 0), 0);
		char name[] = {'o', (char)('0' + i / 36), (char)('a' + i % 36 / 2),
			(char)('0' + i % 2), '\0'};
		assert_int_equal(kit_rename(k, ROOT, "old", ROOT, name, 0), 0);
	}
}

static void refuses_odd_flags_and_parents(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d");
	char name[STORE_NAME_MAX + 2];

	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "g", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(
		kit_rename(k, ROOT, "f", ROOT, "d", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "g", 1u << 30), -EINVAL);
	assert_int_equal(kit_rename(k, file, "f", ROOT, "g", 0), -ENOTDIR);
	assert_int_equal(kit_rename(k, ROOT, "f", file, "g", 0), -ENOTDIR);
	assert_int_equal(kit_rename(k, dir + 1000, "f", ROOT, "g", 0), -ESTALE);
	assert_int_equal(kit_rename(k, ROOT, "f", dir + 1000, "g", 0), -ESTALE);
	memset(name, 'n', sizeof name);
	name[STORE_NAME_MAX + 1] = '\0';
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, name, 0), -ENAMETOOLONG);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), 0);
	assert_int_equal(kit_rename(k, ROOT, "f", dir, "g", 0), -ENOENT);
	assert_int_equal(kit_lookup(k, ROOT, "f"), file);
}

static void never_moves_a_directory_below_itself(void **state)
{
	struct kit *k = *state;
	uint64_t a = kit_must_dir(k, ROOT, "a"), b = kit_must_dir(k, a, "b");
	uint64_t c = kit_must_dir(k, b, "c"), file = kit_must_file(k, c, "f");

	assert_int_equal(kit_rename(k, ROOT, "a", a, "x", 0), -EINVAL);
	assert_int_equal(kit_rename(k, ROOT, "a", b, "x", 0), -EINVAL);
	assert_int_equal(kit_rename(k, ROOT, "a", c, "x", RENAME_NOREPLACE), -EINVAL);
	assert_int_equal(kit_rename(k, ROOT, "a", b, "c", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(kit_rename(k, b, "c", ROOT, "a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(kit_rename(k, c, "f", ROOT, "a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(kit_rename(k, b, "c", ROOT, "a", 0), -ENOTEMPTY);
	/* Up, sideways, and with the one next to it is all right. */
	assert_int_equal(kit_rename(k, b, "c", ROOT, "up", 0), 0);
	assert_int_equal(kit_rename(k, ROOT, "a", c, "down", 0), 0);
	assert_int_equal(kit_rename(k, ROOT, "up", c, "x", 0), -EINVAL);
	assert_int_equal(kit_rename(k, ROOT, "up", b, "x", 0), -EINVAL);
	assert_int_equal(kit_lookup(k, c, "f"), file);
	assert_int_equal(kit_lookup(k, c, "down"), a);
	assert_int_equal(kit_attr(k, ROOT).nlink, 3);
	assert_int_equal(kit_attr(k, c).nlink, 3);
	assert_int_equal(kit_attr(k, a).nlink, 3);
	assert_int_equal(kit_attr(k, b).nlink, 2);
}

static void two_names_of_one_inode(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f");

	assert_int_equal(kit_link(k, file, ROOT, "g"), 0);
	/* rename(2) of one onto the other does nothing, and says that it worked. */
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "g", 0), 0);
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "f", 0), 0);
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "g", RENAME_EXCHANGE), 0);
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "g", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(kit_rename(k, ROOT, "f", ROOT, "f", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(kit_lookup(k, ROOT, "f"), file);
	assert_int_equal(kit_lookup(k, ROOT, "g"), file);
	assert_int_equal(kit_attr(k, file).nlink, 2);

	uint64_t dir = kit_must_dir(k, ROOT, "d");
	assert_int_equal(kit_rename(k, ROOT, "d", ROOT, "d", 0), 0);
	assert_int_equal(kit_lookup(k, ROOT, "d"), dir);
	assert_int_equal(kit_attr(k, dir).nlink, 2);
	assert_int_equal(kit_attr(k, ROOT).nlink, 3);
}

static void what_is_replaced_lives_on_without_a_name(void **state)
{
	struct kit *k = *state;
	uint64_t a = kit_must_file(k, ROOT, "a"), b = kit_must_file(k, ROOT, "b");
	uint64_t c = kit_must_file(k, ROOT, "c");

	assert_int_equal(kit_write(k, b, 0, "old", 3), 0);
	assert_int_equal(kit_rename(k, ROOT, "a", ROOT, "b", 0), 0);
	assert_int_equal(kit_attr(k, b).nlink, 0);
	kit_expect_bytes(k, b, "old", 3);
	assert_int_equal(kit_lookup(k, ROOT, "b"), a);
	kit_must_reap(k, b);

	/* One of several names: no orphan. */
	assert_int_equal(kit_link(k, c, ROOT, "d"), 0);
	assert_int_equal(kit_rename(k, ROOT, "b", ROOT, "c", 0), 0);
	assert_int_equal(kit_attr(k, c).nlink, 1);
	assert_int_equal(kit_lookup(k, ROOT, "d"), c);
}

int contract_rename(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(renames_all_onto_all),
		CONTRACT_TEST(refuses_odd_flags_and_parents),
		CONTRACT_TEST(never_moves_a_directory_below_itself),
		CONTRACT_TEST(two_names_of_one_inode),
		CONTRACT_TEST(what_is_replaced_lives_on_without_a_name),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
