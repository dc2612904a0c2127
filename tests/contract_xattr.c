/* What a store promises about extended attributes: limits and flags, the TTL, POSIX ACLs. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ROOT STORE_ROOT_INO
#define TTL "user.recordfs.ttl"
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static ssize_t get(struct kit *k, uint64_t ino, const char *name, void *buf, size_t size)
{
	return store_getxattr(k->store, ino, name, strlen(name), buf, size);
}

static void expect_xattr(
	struct kit *k, uint64_t ino, const char *name, const void *want, size_t size)
{
	char *have = kit_memory(NULL, size + 10);

	assert_int_equal(get(k, ino, name, NULL, 0), size);
	assert_int_equal(get(k, ino, name, have, size + 10), size);
	assert_memory_equal(have, want, size);
	free(have);
}

static void keeps_values(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	char *big = kit_memory(NULL, STORE_XATTR_MAX), small[4] = "xxx";

	kit_pattern(big, STORE_XATTR_MAX, 1);
	assert_int_equal(get(k, ino, "user.a", NULL, 0), -ENODATA);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
	assert_int_equal(kit_setxattr(k, ino, "user.a", "val\0ue", 6, 0), 0);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, STORE_ATTR_XATTRS);
	expect_xattr(k, ino, "user.a", "val\0ue", 6);
	assert_int_equal(get(k, ino, "user.a", small, 4), -ERANGE);
	assert_string_equal(small, "xxx");
	assert_int_equal(kit_setxattr(k, ino, "user.a", "", 0, 0), 0);
	expect_xattr(k, ino, "user.a", "", 0);
	assert_int_equal(kit_setxattr(k, ino, "user.empty", NULL, 0, 0), 0);
	expect_xattr(k, ino, "user.empty", "", 0);
	assert_int_equal(kit_setxattr(k, ino, "user.a", big, STORE_XATTR_MAX, 0), 0);
	expect_xattr(k, ino, "user.a", big, STORE_XATTR_MAX);
	assert_int_equal(get(k, ino, "user.", NULL, 0), -ENODATA);
	assert_int_equal(get(k, ino, "user.A", NULL, 0), -ENODATA);
	assert_int_equal(get(k, ino + 1000, "user.a", NULL, 0), -ESTALE);
	assert_int_equal(kit_removexattr(k, ino, "user.a"), 0);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, STORE_ATTR_XATTRS);
	assert_int_equal(kit_removexattr(k, ino, "user.empty"), 0);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
	assert_int_equal(kit_removexattr(k, ino, "user.a"), -ENODATA);
	assert_int_equal(kit_removexattr(k, ino + 1000, "user.a"), -ESTALE);
	assert_int_equal(kit_setxattr(k, ino + 1000, "user.a", "x", 1, 0), -ESTALE);
	free(big);
}

static void obeys_flags(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_dir(k, ROOT, "d");

	assert_int_equal(kit_setxattr(k, ino, "user.a", "1", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(kit_setxattr(k, ino, "user.a", "2", 1, XATTR_CREATE), 0);
	assert_int_equal(kit_setxattr(k, ino, "user.a", "3", 1, XATTR_CREATE), -EEXIST);
	expect_xattr(k, ino, "user.a", "2", 1);
	assert_int_equal(kit_setxattr(k, ino, "user.a", "4", 1, XATTR_REPLACE), 0);
	expect_xattr(k, ino, "user.a", "4", 1);
}

struct list {
	unsigned n, limit;
	char names[8][STORE_NAME_MAX + 1];
};

static bool note_name(void *arg, const char *name, size_t len)
{
	struct list *l = arg;

	assert_true(l->n < ARRAY_LEN(l->names) && len <= STORE_NAME_MAX);
	memcpy(l->names[l->n], name, len);
	l->names[l->n][len] = '\0';
	return ++l->n < l->limit;
}

static bool listed(const struct list *l, const char *name)
{
	unsigned times = 0;

	for (unsigned i = 0; i < l->n; i++)
		times += strcmp(l->names[i], name) == 0;
	assert_true(times <= 1);
	return times == 1;
}

static void lists_names(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	char longest[STORE_NAME_MAX + 1];
	struct list l = {.limit = 8};

	assert_int_equal(store_listxattr(k->store, ino, note_name, &l), 0);
	assert_int_equal(l.n, 0);
	memset(longest, 'n', sizeof longest);
	memcpy(longest, "user.", 5);
	longest[STORE_NAME_MAX] = '\0';
	assert_int_equal(kit_setxattr(k, ino, longest, "1", 1, 0), 0);
	assert_int_equal(kit_setxattr(k, ino, "user.\xff b", "2", 1, 0), 0);
	assert_int_equal(kit_setxattr(k, ino, "trusted.c", "3", 1, 0), 0);
	assert_int_equal(kit_setxattr(k, ino, TTL, "7", 1, 0), 0);
	assert_int_equal(store_listxattr(k->store, ino, note_name, &l), 0);
	assert_int_equal(l.n, 4);
	assert_true(listed(&l, longest) && listed(&l, "user.\xff b"));
	assert_true(listed(&l, "trusted.c") && listed(&l, TTL));
	expect_xattr(k, ino, longest, "1", 1);
	l = (struct list){.limit = 2};
	assert_int_equal(store_listxattr(k->store, ino, note_name, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(store_listxattr(k->store, ino + 1000, note_name, &l), -ESTALE);
}

static void understands_the_ttl(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	static const struct {
		const char *text;
		int64_t ttl;
	} good[] = {
		{"0", 0},
		{"300", 300000000000},
		{"2.5", 2500000000},
		{"0.001", 1000000},
		{"0.000000001", 1},
		{"007", 7000000000},
		{"86400", 86400000000000},
		{"1000000", 1000000000000000},
	};
	static const char *const bad[] = {"", " ", "x", "-1", "+1", "1e3", "0x10", "1,5", "1.2.3",
		" 1", "1 ", "1\n", "1s", ".", "inf", "nan", "99999999999999999999999999"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const char *t = good[i].text;
		assert_int_equal(kit_setxattr(k, ino, TTL, t, strlen(t), 0), 0);
		assert_int_equal(kit_attr(k, ino).ttl, good[i].ttl);
		expect_xattr(k, ino, TTL, t, strlen(t));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int r = kit_setxattr(k, ino, TTL, bad[i], strlen(bad[i]), 0);
		if (r != -EINVAL)
			fail_msg("a TTL of '%s' gives %d", bad[i], r);
		assert_int_equal(kit_attr(k, ino).ttl, 1000000000000000);
	}
	assert_int_equal(kit_setxattr(k, ino, TTL, "1\0", 2, 0), -EINVAL);
	assert_int_equal(kit_setxattr(k, ino, "user.recordfs.ttl2", "x", 1, 0), 0);
	assert_int_equal(kit_setxattr(k, ino, TTL, "5", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(kit_attr(k, ino).ttl, 1000000000000000);
	assert_int_equal(kit_removexattr(k, ino, TTL), 0);
	assert_int_equal(kit_attr(k, ino).ttl, STORE_TTL_DEFAULT);
}

static void hands_the_ttl_on(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d"), ino = 0;

	assert_int_equal(kit_setxattr(k, dir, TTL, "1.5", 3, 0), 0);
	uint64_t sub = kit_must_dir(k, dir, "sub"), file = kit_must_file(k, sub, "f");
	assert_int_equal(kit_attr(k, sub).ttl, 1500000000);
	assert_int_equal(kit_attr(k, file).ttl, 1500000000);
	expect_xattr(k, file, TTL, "1.5", 3);
	assert_int_equal(kit_attr(k, file).flags & STORE_ATTR_XATTRS, STORE_ATTR_XATTRS);
	assert_int_equal(kit_create(k, dir, NULL, S_IFREG | 0644, &ino), 0);
	assert_int_equal(kit_attr(k, ino).ttl, 1500000000);
	/* So have those that cannot show it. */
	assert_int_equal(kit_symlink(k, dir, "l", "x"), 0);
	ino = kit_lookup(k, dir, "l");
	assert_int_equal(kit_attr(k, ino).ttl, 1500000000);
	assert_int_equal(get(k, ino, TTL, NULL, 0), -ENODATA);
	assert_int_equal(kit_attr(k, ino).flags, 0);
	/* What is there keeps its own. */
	assert_int_equal(kit_setxattr(k, dir, TTL, "9", 1, 0), 0);
	assert_int_equal(kit_attr(k, file).ttl, 1500000000);
	assert_int_equal(kit_removexattr(k, file, TTL), 0);
	assert_int_equal(kit_attr(k, file).ttl, STORE_TTL_DEFAULT);
	assert_int_equal(kit_removexattr(k, dir, TTL), 0);
	ino = kit_must_file(k, dir, "g");
	assert_int_equal(kit_attr(k, ino).ttl, STORE_TTL_DEFAULT);
	assert_int_equal(kit_attr(k, ino).flags, 0);
}

/* An ACL as an extended attribute holds it: version 2, then entries, little-endian. */
struct acl {
	unsigned char bytes[4 + 8 * 8];
	size_t size;
};

static void acl_add(struct acl *a, unsigned tag, unsigned perm, uint32_t id)
{
	if (a->size == 0) {
		memcpy(a->bytes, "\2\0\0\0", 4);
		a->size = 4;
	}
	unsigned char *e = a->bytes + a->size;
	e[0] = (unsigned char)tag;
	e[1] = 0;
	e[2] = (unsigned char)perm;
	e[3] = 0;
	for (unsigned i = 0; i < 4; i++)
		e[4 + i] = (unsigned char)(id >> (8 * i));
	a->size += 8;
}

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, MASK = 16, OTHER = 32 };
#define NO_ID UINT32_MAX

/* user::u user:1234:n group::g mask::m other::o */
static struct acl acl_with_user(unsigned u, unsigned n, unsigned g, unsigned m, unsigned o)
{
	struct acl a = {.size = 0};

	acl_add(&a, USER_OBJ, u, NO_ID);
	acl_add(&a, USER, n, 1234);
	acl_add(&a, GROUP_OBJ, g, NO_ID);
	acl_add(&a, MASK, m, NO_ID);
	acl_add(&a, OTHER, o, NO_ID);
	return a;
}

static struct acl acl_plain(unsigned u, unsigned g, unsigned o)
{
	struct acl a = {.size = 0};

	acl_add(&a, USER_OBJ, u, NO_ID);
	acl_add(&a, GROUP_OBJ, g, NO_ID);
	acl_add(&a, OTHER, o, NO_ID);
	return a;
}

static void expect_acl(struct kit *k, uint64_t ino, const char *name, struct acl want)
{
	expect_xattr(k, ino, name, want.bytes, want.size);
}

static void an_acl_and_the_mode_agree(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct acl a = acl_with_user(7, 6, 5, 4, 1);

	assert_int_equal(kit_setxattr(k, ino, ACCESS, a.bytes, a.size, 0), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0741);
	expect_acl(k, ino, ACCESS, a);
	/* chmod sets the mask, not the group. */
	assert_int_equal(kit_chmod(k, ino, 0620), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0620);
	expect_acl(k, ino, ACCESS, acl_with_user(6, 6, 5, 2, 0));
	/* One that says no more than the mode is not kept. */
	a = acl_plain(6, 4, 0);
	assert_int_equal(kit_setxattr(k, ino, ACCESS, a.bytes, a.size, 0), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0640);
	assert_int_equal(get(k, ino, ACCESS, NULL, 0), -ENODATA);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
	/* So that one which is not kept can be removed nevertheless. */
	assert_int_equal(kit_removexattr(k, ino, ACCESS), 0);
	assert_int_equal(kit_removexattr(k, ino, DEFAULT), 0);
	assert_int_equal(kit_removexattr(k, ino + 1000, ACCESS), -ESTALE);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0640);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
	assert_int_equal(kit_setxattr(k, ino, ACCESS, "\2\0\0\0junk", 8, 0), -EINVAL);
	assert_int_equal(kit_setxattr(k, ino, ACCESS, "\3\0\0\0", 4, 0), -EINVAL);
	/* What the kernel answers for filesystems of its own. */
	a = acl_plain(6, 4, 0);
	assert_int_equal(kit_setxattr(k, ino, DEFAULT, a.bytes, a.size, 0), -EACCES);
	assert_int_equal(kit_symlink(k, ROOT, "l", "x"), 0);
	assert_int_equal(
		kit_setxattr(k, kit_lookup(k, ROOT, "l"), ACCESS, a.bytes, a.size, 0), -EOPNOTSUPP);

	a = acl_with_user(7, 6, 5, 4, 1);
	assert_int_equal(kit_setxattr(k, ino, ACCESS, a.bytes, a.size, 0), 0);
	assert_int_equal(kit_removexattr(k, ino, ACCESS), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0741);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
}

static void an_acl_may_clear_setgid(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct acl a = acl_with_user(7, 6, 5, 5, 1);

	for (int kill = 0; kill < 2; kill++) {
		assert_int_equal(kit_chmod(k, ino, 06755), 0);
		k->caller.kill_sgid = kill;
		struct change c = {
			.kind = CHANGE_SETXATTR,
			.setxattr =
				{
					.ino = ino,
					.name = {ACCESS, strlen(ACCESS)},
					.value = a.bytes,
					.size = a.size,
				},
		};
		assert_int_equal(kit_apply(k, &c), 0);
		assert_int_equal(kit_attr(k, ino).mode, S_IFREG | (kill ? 04751 : 06751));
	}
}

static void a_default_acl_rules_what_is_created(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d"), ino = 0;
	struct acl a = acl_with_user(7, 6, 5, 7, 4);

	k->caller.umask = 077; /* has no say */
	assert_int_equal(kit_setxattr(k, dir, DEFAULT, a.bytes, a.size, 0), 0);
	assert_int_equal(kit_attr(k, dir).mode, S_IFDIR | 0755);
	assert_int_equal(kit_create(k, dir, "f", S_IFREG | 0666, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0664);
	expect_acl(k, ino, ACCESS, acl_with_user(6, 6, 5, 6, 4));
	assert_int_equal(get(k, ino, DEFAULT, NULL, 0), -ENODATA);
	assert_int_equal(kit_create(k, dir, NULL, S_IFREG | 0600, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0600);
	expect_acl(k, ino, ACCESS, acl_with_user(6, 6, 5, 0, 0));

	assert_int_equal(kit_create(k, dir, "sub", S_IFDIR | 0777, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFDIR | 0774);
	expect_acl(k, ino, ACCESS, acl_with_user(7, 6, 5, 7, 4));
	expect_acl(k, ino, DEFAULT, a);
	assert_int_equal(kit_symlink(k, dir, "l", "x"), 0);
	ino = kit_lookup(k, dir, "l");
	assert_int_equal(kit_attr(k, ino).mode, S_IFLNK | 0777);
	assert_int_equal(get(k, ino, ACCESS, NULL, 0), -ENODATA);

	/* A default ACL of three entries leaves a mode, and no ACL. */
	a = acl_plain(7, 5, 0);
	assert_int_equal(kit_setxattr(k, dir, DEFAULT, a.bytes, a.size, 0), 0);
	assert_int_equal(kit_create(k, dir, "g", S_IFREG | 0666, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0640);
	assert_int_equal(get(k, ino, ACCESS, NULL, 0), -ENODATA);
	assert_int_equal(kit_attr(k, ino).flags & STORE_ATTR_XATTRS, 0);
	/* Without one the umask is back. */
	assert_int_equal(kit_removexattr(k, dir, DEFAULT), 0);
	assert_int_equal(kit_create(k, dir, "h", S_IFREG | 0666, &ino), 0);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0600);
}

int contract_xattr(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(keeps_values),
		CONTRACT_TEST(obeys_flags),
		CONTRACT_TEST(lists_names),
		CONTRACT_TEST(understands_the_ttl),
		CONTRACT_TEST(hands_the_ttl_on),
		CONTRACT_TEST(an_acl_and_the_mode_agree),
		CONTRACT_TEST(an_acl_may_clear_setgid),
		CONTRACT_TEST(a_default_acl_rules_what_is_created),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
