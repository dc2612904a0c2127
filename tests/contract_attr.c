/* What a store promises about attributes: setattr, owners, umask, setgid directories, versions. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO

static int set(struct kit *k, uint64_t ino, struct change_setattr s)
{
	struct change c = {.kind = CHANGE_SETATTR, .setattr = s};

	c.setattr.ino = ino;
	return kit_apply(k, &c);
}

static void sets_each_attribute_alone(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	const struct change_setattr all = {
		.mode = 0123,
		.uid = 4000000000,
		.gid = 4000000001,
		.size = 5000,
		.atime = -1,
		.mtime = 4102444800123456789,
	};
	static const unsigned masks[] = {STORE_SET_ATIME, STORE_SET_MTIME, STORE_SET_UID,
		STORE_SET_GID, STORE_SET_MODE, STORE_SET_SIZE, 0};
	struct store_attr want = kit_attr(k, ino);

	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		struct change_setattr s = all;
		s.mask = masks[i];
		assert_int_equal(set(k, ino, s), 0);
		want.mode = masks[i] == STORE_SET_MODE ? S_IFREG | 0123 : want.mode;
		want.uid = masks[i] == STORE_SET_UID ? all.uid : want.uid;
		want.gid = masks[i] == STORE_SET_GID ? all.gid : want.gid;
		want.size = masks[i] == STORE_SET_SIZE ? all.size : want.size;
		want.atime = masks[i] == STORE_SET_ATIME ? all.atime : want.atime;
		want.mtime = masks[i] == STORE_SET_MTIME ? all.mtime : want.mtime;
		want.mtime = masks[i] == STORE_SET_SIZE ? k->now : want.mtime;
		want.ctime = k->now;
		struct store_attr have = kit_attr(k, ino);
		want.version = have.version;
		kit_expect_attr(&have, &want);
	}
}

static void sets_all_attributes_at_once(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct change_setattr s = {
		.mask = 0x3f,
		.mode = 04711,
		.uid = 7,
		.gid = 8,
		.size = 3,
		.atime = 5,
		.mtime = INT64_MIN / 2,
	};

	assert_int_equal(kit_write(k, ino, 0, "abcdef", 6), 0);
	assert_int_equal(set(k, ino, s), 0);
	struct store_attr a = kit_attr(k, ino);
	assert_int_equal(a.mode, S_IFREG | 04711); /* said in the same breath: it stays */
	assert_int_equal(a.uid, 7);
	assert_int_equal(a.gid, 8);
	assert_int_equal(a.atime, 5);
	assert_int_equal(a.mtime, INT64_MIN / 2);
	assert_int_equal(a.ctime, k->now);
	kit_expect_bytes(k, ino, "abc", 3);
	s.size = STORE_FILE_MAX + 1;
	s.mode = 0;
	assert_int_equal(set(k, ino, s), -EFBIG);
	kit_expect_bytes(k, ino, "abc", 3);
	assert_int_equal(set(k, ino + 1000, s), -ESTALE);
}

static void chmod_keeps_the_type(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d");

	assert_int_equal(kit_chmod(k, dir, S_IFREG | 01777), 0);
	assert_int_equal(kit_attr(k, dir).mode, S_IFDIR | 01777);
	assert_int_equal(kit_chmod(k, dir, 0), 0);
	assert_int_equal(kit_attr(k, dir).mode, S_IFDIR);
	assert_int_equal(kit_chmod(k, ROOT, 0700), 0);
	assert_int_equal(kit_attr(k, ROOT).mode, S_IFDIR | 0700);
}

static void chown_clears_privileges(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d");
	static const unsigned masks[] = {
		STORE_SET_UID, STORE_SET_GID, STORE_SET_UID | STORE_SET_GID};

	k->caller.kill_suid = true;
	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		struct change_setattr s = {.mask = masks[i], .uid = 5, .gid = 6};
		assert_int_equal(kit_chmod(k, file, 06755), 0);
		assert_int_equal(set(k, file, s), 0);
		assert_int_equal(kit_attr(k, file).mode & 07777, 0755);
		assert_int_equal(kit_chmod(k, file, 06745), 0);
		assert_int_equal(set(k, file, s), 0);
		assert_int_equal(kit_attr(k, file).mode & 07777, 02745);
		k->caller.kill_sgid = true;
		assert_int_equal(set(k, file, s), 0);
		assert_int_equal(kit_attr(k, file).mode & 07777, 0745);
		k->caller.kill_sgid = false;
		assert_int_equal(kit_chmod(k, dir, 06755), 0);
		assert_int_equal(set(k, dir, s), 0);
		assert_int_equal(kit_attr(k, dir).mode & 07777, 06755);
	}
}

static void umask_takes_from_what_is_created(void **state)
{
	struct kit *k = *state;
	uint64_t ino = 0;

	k->caller.umask = 027;
	assert_int_equal(kit_create(k, ROOT, "f", S_IFREG | 06777, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 06750);
	assert_int_equal(kit_create(k, ROOT, "d", S_IFDIR | 01777, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFDIR | 01750);
	assert_int_equal(kit_create(k, ROOT, "p", S_IFIFO | 0666, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFIFO | 0640);
	assert_int_equal(kit_create(k, ROOT, NULL, S_IFREG | 0666, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0640);
}

static void setgid_directories_hand_on_their_group(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d"), ino = 0;

	assert_int_equal(set(k, dir, (struct change_setattr){.mask = STORE_SET_GID, .gid = 99}), 0);
	ino = kit_must_file(k, dir, "before");
	assert_int_equal(kit_attr(k, ino).gid, k->caller.gid);
	assert_int_equal(kit_chmod(k, dir, 02775), 0);
	ino = kit_must_file(k, dir, "f");
	assert_int_equal(kit_attr(k, ino).gid, 99);
	assert_int_equal(kit_attr(k, ino).uid, k->caller.uid);
	assert_int_equal(kit_attr(k, ino).mode & 07777, 0644);
	assert_int_equal(kit_create(k, dir, NULL, S_IFREG | 0644, &ino), 0);
	assert_int_equal(kit_attr(k, ino).gid, 99);
	assert_int_equal(kit_symlink(k, dir, "l", "x"), 0);
	assert_int_equal(kit_attr(k, kit_lookup(k, dir, "l")).gid, 99);
	uint64_t sub = kit_must_dir(k, dir, "sub");
	assert_int_equal(kit_attr(k, sub).gid, 99);
	assert_int_equal(kit_attr(k, sub).mode & 07777, 02755);
	ino = kit_must_file(k, sub, "f");
	assert_int_equal(kit_attr(k, ino).gid, 99);
}

/* Every kind of change makes a version that was not there before. (kit.c looks at the others.) */
static void versions_never_come_again(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), last = kit_attr(k, file).version;

	for (int i = 0; i < 4; i++) {
		int r = i == 0	 ? kit_write(k, file, 0, "x", 1)
			: i == 1 ? kit_write(k, file, 0, "x", 1)
			: i == 2 ? kit_chmod(k, file, 0644)
				 : kit_setxattr(k, file, "user.a", "b", 1, 0);
		assert_int_equal(r, 0);
		assert_true(kit_attr(k, file).version > last);
		last = kit_attr(k, file).version;
	}
}

int contract_attr(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(sets_each_attribute_alone),
		CONTRACT_TEST(sets_all_attributes_at_once),
		CONTRACT_TEST(chmod_keeps_the_type),
		CONTRACT_TEST(chown_clears_privileges),
		CONTRACT_TEST(umask_takes_from_what_is_created),
		CONTRACT_TEST(setgid_directories_hand_on_their_group),
		CONTRACT_TEST(versions_never_come_again),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
