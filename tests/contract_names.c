/* What a store promises about names: create, lookup, link, unlink, and what they do to parents. */
#include "contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO

static void a_new_store_is_an_empty_root(void **state)
{
	struct kit *k = *state;
	struct store_attr root = kit_attr(k, ROOT), a = {0};

	assert_true(S_ISDIR(root.mode));
	assert_int_equal(root.nlink, 2);
	assert_int_equal(root.ttl, STORE_TTL_DEFAULT);
	assert_int_equal(store_lookup(k->store, ROOT, ".", 1, &a), 0);
	assert_int_equal(a.ino, ROOT);
	assert_int_equal(store_lookup(k->store, ROOT, "..", 2, &a), 0);
	assert_int_equal(a.ino, ROOT);
	assert_int_equal(store_lookup(k->store, ROOT, "f", 1, &a), -ENOENT);
	assert_int_equal(store_getattr(k->store, ROOT + 1000, &a), -ESTALE);
	assert_int_equal(store_getattr(k->store, 0, &a), -ESTALE);
	assert_int_equal(store_getattr(k->store, UINT64_MAX, &a), -ESTALE);
	assert_int_equal(a.ino, ROOT); /* untouched by those that failed */
}

static void creates_every_type(void **state)
{
	struct kit *k = *state;
	static const struct {
		const char *name;
		uint32_t mode, rdev;
	} t[] = {
		{"file", S_IFREG | 0640, 0},
		{"dir", S_IFDIR | 0751, 0},
		{"fifo", S_IFIFO | 0600, 0},
		{"socket", S_IFSOCK | 0755, 0},
		{"char", S_IFCHR | 0660, 0x105},
		{"block", S_IFBLK | 0660, 0xfff00801},
		{"odd", S_IFREG | 07755, 0},
	};
	k->caller.umask = 0;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct store_attr before = kit_attr(k, ROOT), a = {0};
		struct change c = {
			.kind = CHANGE_CREATE,
			.create =
				{
					.parent = ROOT,
					.name = {t[i].name, strlen(t[i].name)},
					.mode = t[i].mode,
					.rdev = t[i].rdev,
				},
		};
		assert_int_equal(kit_apply(k, &c), 0);
		assert_int_equal(c.n_touched, 2);
		assert_int_equal(store_lookup(k->store, ROOT, t[i].name, strlen(t[i].name), &a), 0);
		kit_expect_attr(&a, &c.touched[0]);
		assert_int_equal(a.mode, t[i].mode);
		assert_int_equal(a.rdev, t[i].rdev);
		assert_int_equal(a.uid, k->caller.uid);
		assert_int_equal(a.gid, k->caller.gid);
		assert_int_equal(a.nlink, S_ISDIR(a.mode) ? 2 : 1);
		assert_int_equal(a.flags, 0);
		assert_int_equal(a.atime, k->now);
		assert_int_equal(a.mtime, k->now);
		assert_int_equal(a.btime, k->now);
		struct store_attr parent = kit_attr(k, ROOT);
		assert_int_equal(parent.mtime, k->now);
		assert_int_equal(parent.nlink, before.nlink + S_ISDIR(a.mode));
	}
}

static void keeps_symlinks(void **state)
{
	struct kit *k = *state;
	char target[STORE_TARGET_MAX + 2], have[STORE_TARGET_MAX + 2];
	struct store_attr a = {0};

	assert_int_equal(kit_symlink(k, ROOT, "s", "../no where\n"), 0);
	assert_int_equal(store_lookup(k->store, ROOT, "s", 1, &a), 0);
	assert_int_equal(a.mode, S_IFLNK | 0777); /* umask has no say */
	assert_int_equal(a.size, 12);
	assert_int_equal(store_readlink(k->store, a.ino, have, 13), 0);
	assert_string_equal(have, "../no where\n");
	strcpy(have, "as before");
	assert_int_equal(store_readlink(k->store, a.ino, have, 12), -ERANGE);
	assert_int_equal(store_readlink(k->store, a.ino, have, 1), -ERANGE);
	assert_int_equal(store_readlink(k->store, ROOT, have, 100), -EINVAL);
	assert_int_equal(store_readlink(k->store, a.ino + 1000, have, 100), -ESTALE);

	memset(target, 'x', sizeof target);
	target[STORE_TARGET_MAX + 1] = '\0';
	assert_int_equal(kit_symlink(k, ROOT, "long", target), -ENAMETOOLONG);
	target[STORE_TARGET_MAX] = '\0';
	assert_int_equal(kit_symlink(k, ROOT, "long", target), 0);
	assert_int_equal(
		store_readlink(k->store, kit_lookup(k, ROOT, "long"), have, sizeof have), 0);
	assert_string_equal(have, target);
	assert_int_equal(kit_unlink(k, ROOT, "s"), 0);
	assert_int_equal(kit_lookup(k, ROOT, "s"), 0);
}

static void refuses_to_create(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d"), ino = 77;

	assert_int_equal(kit_create(k, ROOT, "f", S_IFREG | 0644, &ino), -EEXIST);
	assert_int_equal(kit_create(k, ROOT, "f", S_IFDIR | 0755, &ino), -EEXIST);
	assert_int_equal(kit_create(k, ROOT, "d", S_IFDIR | 0755, &ino), -EEXIST);
	assert_int_equal(kit_symlink(k, ROOT, "d", "f"), -EEXIST);
	assert_int_equal(kit_create(k, file, "x", S_IFREG | 0644, &ino), -ENOTDIR);
	assert_int_equal(kit_create(k, dir + 1000, "x", S_IFREG | 0644, &ino), -ESTALE);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), 0);
	assert_int_equal(kit_create(k, dir, "x", S_IFREG | 0644, &ino), -ENOENT);
	assert_int_equal(kit_create(k, dir, "x", S_IFDIR | 0755, &ino), -ENOENT);
	assert_int_equal(kit_create(k, dir, NULL, S_IFREG | 0644, &ino), -ENOENT);
	assert_int_equal(ino, 77);
}

static void takes_names_of_any_bytes(void **state)
{
	struct kit *k = *state;
	static const char *const names[] = {" ", "\n", "a\tb", "\xff\xfe", "\xc3", "\xc3\xa4",
		"a\xcc\x88", "%s%n", "'; DROP TABLE x; --", "-", "...", ". ", "*", "A", "a", "\\",
		"\x01", "\x7f", "x.\xed\xa0\x80"};
	char longest[STORE_NAME_MAX + 2];
	uint64_t inos[ARRAY_LEN(names)];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		inos[i] = kit_must_file(k, ROOT, names[i]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(kit_lookup(k, ROOT, names[i]), inos[i]);
		assert_int_equal(kit_create(k, ROOT, names[i], S_IFREG | 0644, NULL), -EEXIST);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(kit_unlink(k, ROOT, names[i]), 0);
		assert_int_equal(kit_lookup(k, ROOT, names[i]), 0);
	}

	struct store_attr a;
	memset(longest, '\xee', sizeof longest);
	longest[STORE_NAME_MAX + 1] = '\0';
	assert_int_equal(kit_create(k, ROOT, longest, S_IFREG | 0644, NULL), -ENAMETOOLONG);
	assert_int_equal(
		store_lookup(k->store, ROOT, longest, STORE_NAME_MAX + 1, &a), -ENAMETOOLONG);
	longest[STORE_NAME_MAX] = '\0';
	uint64_t ino = kit_must_file(k, ROOT, longest);
	assert_int_equal(kit_lookup(k, ROOT, longest), ino);
	longest[STORE_NAME_MAX - 1] = '\0';
	assert_int_equal(kit_lookup(k, ROOT, longest), 0);
}

/* A name is its bytes and a length: what follows in memory is not part of it. */
static void names_are_not_terminated(void **state)
{
	struct kit *k = *state;
	struct store_attr a;
	struct change c = {
		.kind = CHANGE_CREATE,
		.create = {.parent = ROOT, .name = {"abcdef", 3}, .mode = S_IFREG | 0644},
	};

	assert_int_equal(kit_apply(k, &c), 0);
	uint64_t ino = c.touched[0].ino;
	assert_int_equal(kit_lookup(k, ROOT, "abc"), ino);
	assert_int_equal(store_lookup(k->store, ROOT, "abcxyz", 3, &a), 0);
	c = (struct change){.kind = CHANGE_UNLINK, .unlink = {.parent = ROOT, .name = {"abcd", 3}}};
	assert_int_equal(kit_apply(k, &c), 0);
	c = (struct change){
		.kind = CHANGE_CREATE,
		.create =
			{
				.parent = ROOT,
				.name = {"linked", 4},
				.mode = S_IFLNK | 0777,
				.target = {"target", 3},
			},
	};
	assert_int_equal(kit_apply(k, &c), 0);
	char have[10];
	assert_int_equal(store_readlink(k->store, kit_lookup(k, ROOT, "link"), have, 10), 0);
	assert_string_equal(have, "tar");
}

static void links(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d");
	uint64_t other = kit_must_dir(k, ROOT, "e");

	struct change c = {
		.kind = CHANGE_LINK,
		.link = {.ino = file, .parent = dir, .name = {"g", 1}},
	};
	assert_int_equal(kit_apply(k, &c), 0);
	assert_int_equal(c.n_touched, 2);
	assert_int_equal(c.touched[0].ino, file);
	assert_int_equal(c.touched[0].nlink, 2);
	assert_int_equal(c.touched[1].ino, dir);
	assert_int_equal(c.touched[1].mtime, k->now);
	assert_int_equal(kit_lookup(k, dir, "g"), file);
	assert_int_equal(kit_write(k, file, 0, "both", 4), 0);

	assert_int_equal(kit_link(k, file, dir, "g"), -EEXIST);
	assert_int_equal(kit_link(k, file, ROOT, "d"), -EEXIST);
	assert_int_equal(kit_link(k, dir, ROOT, "x"), -EPERM);
	assert_int_equal(kit_link(k, file, file, "x"), -ENOTDIR);
	assert_int_equal(kit_link(k, file + 1000, ROOT, "x"), -ESTALE);
	assert_int_equal(kit_link(k, file, file + 1000, "x"), -ESTALE);
	assert_int_equal(kit_rmdir(k, ROOT, "e"), 0);
	assert_int_equal(kit_link(k, file, other, "x"), -ENOENT);

	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(kit_attr(k, file).nlink, 1);
	kit_expect_bytes(k, file, "both", 4);
	assert_int_equal(kit_symlink(k, ROOT, "s", "t"), 0);
	assert_int_equal(kit_link(k, kit_lookup(k, ROOT, "s"), dir, "s"), 0);
}

static void unlinks(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d");
	uint64_t sub = kit_must_dir(k, dir, "sub");

	assert_int_equal(kit_unlink(k, ROOT, "none"), -ENOENT);
	assert_int_equal(kit_rmdir(k, ROOT, "none"), -ENOENT);
	assert_int_equal(kit_unlink(k, ROOT, "d"), -EISDIR);
	assert_int_equal(kit_rmdir(k, ROOT, "f"), -ENOTDIR);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(kit_unlink(k, file, "x"), -ENOTDIR);
	assert_int_equal(kit_unlink(k, file + 1000, "x"), -ESTALE);

	assert_int_equal(kit_attr(k, dir).nlink, 3);
	struct change c = {
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = dir, .name = {"sub", 3}, .directory = true},
	};
	assert_int_equal(kit_apply(k, &c), 0);
	assert_int_equal(c.n_touched, 2);
	assert_int_equal(c.touched[0].ino, sub);
	assert_int_equal(c.touched[0].nlink, 0);
	assert_int_equal(kit_attr(k, dir).nlink, 2);
	assert_int_equal(kit_attr(k, dir).mtime, k->now);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), 0);
	assert_int_equal(kit_attr(k, ROOT).nlink, 2);
	assert_int_equal(kit_unlink(k, ROOT, "f"), 0);
	assert_int_equal(kit_attr(k, file).nlink, 0);
	assert_int_equal(kit_lookup(k, ROOT, "f"), 0);
	/* Numbers are for life: a new file gets a new one. */
	assert_true(kit_must_file(k, ROOT, "f") > sub);
}

static void looks_up_dots(void **state)
{
	struct kit *k = *state;
	struct store_attr a = {0};
	uint64_t dir = kit_must_dir(k, ROOT, "d"), sub = kit_must_dir(k, dir, "sub");
	uint64_t file = kit_must_file(k, sub, "f");

	assert_int_equal(store_lookup(k->store, sub, ".", 1, &a), 0);
	assert_int_equal(a.ino, sub);
	assert_int_equal(store_lookup(k->store, sub, "..", 2, &a), 0);
	assert_int_equal(a.ino, dir);
	assert_int_equal(store_lookup(k->store, dir, "..", 2, &a), 0);
	assert_int_equal(a.ino, ROOT);
	assert_int_equal(kit_rename(k, dir, "sub", ROOT, "moved", 0), 0);
	assert_int_equal(store_lookup(k->store, sub, "..", 2, &a), 0);
	assert_int_equal(a.ino, ROOT);
	assert_int_equal(store_lookup(k->store, file, ".", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(k->store, file, "x", 1, &a), -ENOTDIR);
	assert_int_equal(store_lookup(k->store, file + 1000, "x", 1, &a), -ESTALE);
}

static void tells_paths(void **state)
{
	struct kit *k = *state;
	char have[64];
	uint64_t dir = kit_must_dir(k, ROOT, "d"), sub = kit_must_dir(k, dir, "\xff b");
	uint64_t file = kit_must_file(k, sub, "f");

	assert_int_equal(store_path(k->store, file, have, 8), -ERANGE);
	assert_int_equal(store_path(k->store, file + 1000, have, sizeof have), -ESTALE);
	assert_int_equal(store_path(k->store, file, have, 9), 0);
	assert_string_equal(have, "/d/\xff b/f");
	assert_int_equal(store_path(k->store, dir, have, sizeof have), 0);
	assert_string_equal(have, "/d");
	assert_int_equal(store_path(k->store, ROOT, have, sizeof have), 0);
	assert_string_equal(have, "/");
	assert_int_equal(kit_rename(k, ROOT, "d", ROOT, "e", 0), 0);
	assert_int_equal(store_path(k->store, file, have, sizeof have), 0);
	assert_string_equal(have, "/e/\xff b/f");
	assert_int_equal(kit_unlink(k, sub, "f"), 0);
	assert_int_equal(store_path(k->store, file, have, sizeof have), -ENOENT);
}

static void tells_paths_that_are_deep(void **state)
{
	struct kit *k = *state;
	uint64_t dir = ROOT;
	char have[1024];

	k->unwatched = true;
	for (int i = 0; i < 300; i++)
		dir = kit_must_dir(k, dir, "dd");
	assert_int_equal(store_path(k->store, dir, have, sizeof have), 0);
	assert_int_equal(strlen(have), 900);
	assert_int_equal(store_path(k->store, dir, have, 901), 0);
	assert_int_equal(store_path(k->store, dir, have, 900), -ERANGE);
}

int contract_names(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(a_new_store_is_an_empty_root),
		CONTRACT_TEST(creates_every_type),
		CONTRACT_TEST(keeps_symlinks),
		CONTRACT_TEST(refuses_to_create),
		CONTRACT_TEST(takes_names_of_any_bytes),
		CONTRACT_TEST(names_are_not_terminated),
		CONTRACT_TEST(links),
		CONTRACT_TEST(unlinks),
		CONTRACT_TEST(looks_up_dots),
		CONTRACT_TEST(tells_paths),
		CONTRACT_TEST(tells_paths_that_are_deep),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
