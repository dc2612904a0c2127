/* Extended attributes in the SQLite store: ACLs, the TTL, limits. */
#include "kit.h"
#include "temp_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kit *new_kit(void)
{
	struct kit *k = kit_new(temp_db_new());
	k->caller = (struct change_caller){.uid = 7, .gid = 8, .umask = 022};
	return k;
}

static uint64_t must(struct kit *k, uint64_t parent, const char *name, uint32_t mode)
{
	uint64_t ino = 0;
	assert_int_equal(kit_create(k, parent, name, mode, &ino), 0);
	return ino;
}

static int set(struct kit *k, uint64_t ino, const char *name, const void *value, size_t size)
{
	return kit_setxattr(k, ino, name, value, size, 0);
}

static ssize_t get(struct kit *k, uint64_t ino, const char *name, void *buf, size_t size)
{
	return store_getxattr(k->store, ino, name, strlen(name), buf, size);
}

/* u::rwx,u:1000:rwx,g::r-x,m::rwx,o::r-x and u::rw-,g::r--,o::--- */
static const unsigned char wide_acl[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0,
	0xe8, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 5, 0,
	255, 255, 255, 255};
static const unsigned char plain_acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0,
	255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static void test_acl_set(void **state)
{
	(void)state;
	struct kit *k = new_kit();
	unsigned char buf[64];
	uint64_t f = must(k, STORE_ROOT_INO, "f", S_IFREG | 0666);
	assert_int_equal(set(k, f, ACCESS, wide_acl, sizeof wide_acl), 0);
	assert_int_equal(kit_attr(k, f).mode, S_IFREG | 0775);
	assert_int_equal(kit_attr(k, f).flags, STORE_ATTR_XATTRS);
	assert_int_equal(get(k, f, ACCESS, buf, sizeof buf), sizeof wide_acl);
	assert_memory_equal(buf, wide_acl, sizeof wide_acl);
	assert_int_equal(get(k, f, ACCESS, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(k, f, ACCESS, buf, 5), -ERANGE);

	assert_int_equal(kit_chmod(k, f, 0640), 0);
	assert_int_equal(get(k, f, ACCESS, buf, sizeof buf), sizeof wide_acl);
	assert_int_equal(buf[30], 4); /* the mask; the group's own entry stays */
	assert_int_equal(buf[22], 5);

	/* One that says no more than the mode is not kept. */
	assert_int_equal(set(k, f, ACCESS, plain_acl, sizeof plain_acl), 0);
	assert_int_equal(kit_attr(k, f).mode, S_IFREG | 0640);
	assert_int_equal(kit_attr(k, f).flags, 0);
	assert_int_equal(get(k, f, ACCESS, buf, sizeof buf), -ENODATA);

	assert_int_equal(set(k, f, ACCESS, "garbage", 7), -EINVAL);
	assert_int_equal(set(k, f, DEFAULT, wide_acl, sizeof wide_acl), -EACCES);
	kit_free(k);
}

static void test_acl_inherited(void **state)
{
	(void)state;
	struct kit *k = new_kit();
	uint64_t d = must(k, STORE_ROOT_INO, "d", S_IFDIR | 0777);
	assert_int_equal(set(k, d, DEFAULT, wide_acl, sizeof wide_acl), 0);
	uint64_t f = must(k, d, "f", S_IFREG | 0666);
	assert_int_equal(kit_attr(k, f).mode, S_IFREG | 0664); /* the umask has no say */
	assert_int_equal(get(k, f, ACCESS, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(k, f, DEFAULT, NULL, 0), -ENODATA);
	uint64_t sub = must(k, d, "sub", S_IFDIR | 0777);
	assert_int_equal(get(k, sub, DEFAULT, NULL, 0), sizeof wide_acl);
	assert_int_equal(get(k, sub, ACCESS, NULL, 0), sizeof wide_acl);
	uint64_t l = must(k, d, "l", S_IFLNK | 0777);
	assert_int_equal(kit_attr(k, l).mode, S_IFLNK | 0777);
	assert_int_equal(kit_attr(k, l).flags, 0);

	/* One that says no more than a mode rules the mode all the same. */
	assert_int_equal(set(k, d, DEFAULT, plain_acl, sizeof plain_acl), 0);
	f = must(k, d, "g", S_IFREG | 0666);
	assert_int_equal(kit_attr(k, f).mode, S_IFREG | 0640);
	assert_int_equal(kit_attr(k, f).flags, 0);
	/* An empty one is none. */
	assert_int_equal(set(k, d, DEFAULT, plain_acl, 4), 0);
	assert_int_equal(kit_attr(k, d).flags, 0);
	f = must(k, d, "h", S_IFREG | 0666);
	assert_int_equal(kit_attr(k, f).mode, S_IFREG | 0644);
	kit_free(k);
}

static void test_ttl(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns; /* -1: refused */
	} cases[] = {
		{"0", 0},
		{"2.5", 2500000000},
		{".000000001", 1},
		{"0.0000000019", 1},
		{"1000000000", 1000000000000000000},
		{"007", 7000000000},
		{"1000000000.1", -1},
		{"99999999999999999999", -1},
		{"", -1},
		{".", -1},
		{"-1", -1},
		{"+1", -1},
		{" 1", -1},
		{"1 ", -1},
		{"1,5", -1},
		{"1.5.5", -1},
		{"inf", -1},
		{"0x10", -1},
	};
	struct kit *k = new_kit();
	uint64_t d = must(k, STORE_ROOT_INO, "d", S_IFDIR | 0755);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = set(k, d, "user.recordfs.ttl", cases[i].text, strlen(cases[i].text));
		assert_int_equal(r, cases[i].ns < 0 ? -EINVAL : 0);
		if (r == 0)
			assert_int_equal(kit_attr(k, d).ttl, cases[i].ns);
	}
	assert_int_equal(set(k, d, "user.recordfs.ttl", "2.50", 4), 0);
	char buf[8];
	uint64_t f = must(k, d, "f", S_IFREG | 0666);
	assert_int_equal(kit_attr(k, f).ttl, 2500000000);
	assert_int_equal(get(k, f, "user.recordfs.ttl", buf, sizeof buf), 4);
	assert_memory_equal(buf, "2.50", 4);
	assert_int_equal(kit_removexattr(k, f, "user.recordfs.ttl"), 0);
	assert_int_equal(kit_attr(k, f).ttl, STORE_TTL_DEFAULT);
	assert_int_equal(kit_attr(k, f).flags, 0);
	assert_int_equal(kit_removexattr(k, f, "user.recordfs.ttl"), -ENODATA);
	kit_free(k);
}

static void test_xattr_limits(void **state)
{
	(void)state;
	struct kit *k = new_kit();
	uint64_t f = must(k, STORE_ROOT_INO, "f", S_IFREG | 0666);
	char *value = calloc(1, STORE_XATTR_MAX);
	char n[STORE_NAME_MAX + 2];
	assert_non_null(value);
	memset(n, 'n', sizeof n);
	n[sizeof n - 1] = '\0';
	assert_int_equal(set(k, f, n, "", 0), -ERANGE);
	n[STORE_NAME_MAX] = '\0';
	assert_int_equal(set(k, f, n, "", 0), 0);
	assert_int_equal(get(k, f, n, NULL, 0), 0);
	int r = 0, count = 0;
	for (; r == 0 && count < 100; count++) {
		snprintf(n, sizeof n, "user.%d", count);
		r = set(k, f, n, value, STORE_XATTR_MAX);
	}
	assert_int_equal(r, -ENOSPC);
	/* What is replaced does not count. */
	assert_int_equal(set(k, f, "user.0", value, STORE_XATTR_MAX), 0);
	assert_int_equal(set(k, f, "user.0", value, 10), 0);
	assert_int_equal(set(k, f, n, value, 100), 0);
	free(value);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acl_set),
		cmocka_unit_test(test_acl_inherited),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_xattr_limits),
	};
	return cmocka_run_group_tests(tests, temp_db_setup, temp_db_teardown);
}
