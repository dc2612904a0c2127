/* POSIX ACLs: what the kernel does for a filesystem of its own, in small. */
#include "cache/store/acl.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct blob {
	size_t size;
	unsigned char bytes[4 + 8 * 8];
};

static struct blob blob_new(void)
{
	return (struct blob){.size = 4, .bytes = {2, 0, 0, 0}};
}

static void add(struct blob *b, unsigned tag, unsigned perm, uint32_t id)
{
	unsigned char *e = b->bytes + b->size;
	e[0] = (unsigned char)tag;
	e[2] = (unsigned char)perm;
	for (unsigned i = 0; i < 4; i++)
		e[4 + i] = (unsigned char)(id >> 8 * i);
	b->size += 8;
}

#define NO_ID UINT32_MAX

static struct blob minimal(unsigned owner, unsigned group, unsigned other)
{
	struct blob b = blob_new();
	add(&b, ACL_USER_OBJ, owner, NO_ID);
	add(&b, ACL_GROUP_OBJ, group, NO_ID);
	add(&b, ACL_OTHER, other, NO_ID);
	return b;
}

/* u::rwx,u:1000:rwx,g::r-x,g:100:r--,m::rw-,o::--x */
static struct blob extended(void)
{
	struct blob b = blob_new();
	add(&b, ACL_USER_OBJ, 7, NO_ID);
	add(&b, ACL_USER, 7, 1000);
	add(&b, ACL_GROUP_OBJ, 5, NO_ID);
	add(&b, ACL_GROUP, 4, 100);
	add(&b, ACL_MASK, 6, NO_ID);
	add(&b, ACL_OTHER, 1, NO_ID);
	return b;
}

static unsigned perm_of(const struct blob *b, size_t entry)
{
	return b->bytes[4 + 8 * entry + 2];
}

static int check(const struct blob *b)
{
	/* Memory of exactly that size, so that a sanitizer sees a step too far. */
	unsigned char *copy = malloc(b->size ? b->size : 1);
	assert_non_null(copy);
	memcpy(copy, b->bytes, b->size);
	int r = acl_check(copy, b->size);
	free(copy);
	return r;
}

static void test_names(void **state)
{
	(void)state;
	static const char access_name[] = "system.posix_acl_access+";
	assert_int_equal(acl_kind(access_name, 23), ACL_KIND_ACCESS);
	assert_int_equal(acl_kind(access_name, 24), ACL_KIND_NONE);
	assert_int_equal(acl_kind(access_name, 22), ACL_KIND_NONE);
	assert_int_equal(acl_kind("system.posix_acl_default", 24), ACL_KIND_DEFAULT);
	assert_int_equal(acl_kind("user.x", 6), ACL_KIND_NONE);
}

static void test_check_accepts(void **state)
{
	(void)state;
	struct blob b = minimal(7, 5, 5);
	assert_int_equal(check(&b), 0);
	assert_false(acl_is_empty(b.bytes, b.size));
	b = extended();
	assert_int_equal(check(&b), 0);
	b = blob_new();
	assert_int_equal(check(&b), 0);
	assert_true(acl_is_empty(b.bytes, b.size));
	assert_int_equal(acl_check(NULL, 0), 0);
	assert_true(acl_is_empty(NULL, 0));

	/* A mask without anyone to mask is allowed. */
	b = blob_new();
	add(&b, ACL_USER_OBJ, 7, NO_ID);
	add(&b, ACL_GROUP_OBJ, 7, NO_ID);
	add(&b, ACL_MASK, 5, NO_ID);
	add(&b, ACL_OTHER, 0, NO_ID);
	assert_int_equal(check(&b), 0);
}

static void test_check_refuses(void **state)
{
	(void)state;
	struct blob b = extended();
	/* Every size but the whole one and that of no entries. */
	for (size_t size = 1; size < b.size; size++) {
		struct blob cut = b;
		cut.size = size;
		assert_int_equal(check(&cut), size == 4 ? 0 : -EINVAL);
	}
	b.bytes[0] = 1; /* version */
	assert_int_equal(check(&b), -EINVAL);
	b = minimal(7, 5, 5);
	b.bytes[4 + 2] = 8; /* no such permission */
	assert_int_equal(check(&b), -EINVAL);
	b.bytes[4 + 2] = 7;
	b.bytes[4 + 3] = 1;
	assert_int_equal(check(&b), -EINVAL);

	b = blob_new(); /* a user, but no mask */
	add(&b, ACL_USER_OBJ, 7, NO_ID);
	add(&b, ACL_USER, 7, 1000);
	add(&b, ACL_GROUP_OBJ, 7, NO_ID);
	add(&b, ACL_OTHER, 0, NO_ID);
	assert_int_equal(check(&b), -EINVAL);

	b = extended();
	add(&b, ACL_OTHER, 0, NO_ID); /* twice */
	assert_int_equal(check(&b), -EINVAL);

	b = blob_new(); /* out of order */
	add(&b, ACL_GROUP_OBJ, 7, NO_ID);
	add(&b, ACL_USER_OBJ, 7, NO_ID);
	add(&b, ACL_OTHER, 0, NO_ID);
	assert_int_equal(check(&b), -EINVAL);

	b = extended();
	memset(b.bytes + 4 + 8 + 4, 0xff, 4); /* a user without an id */
	assert_int_equal(check(&b), -EINVAL);
}

static void test_check_survives_anything(void **state)
{
	(void)state;
	/* One byte wrong, each in turn: never past the end, and what is accepted can be used. */
	for (size_t at = 0; at < extended().size; at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct blob b = extended();
			b.bytes[at] = (unsigned char)value;
			uint32_t mode = 0777;
			if (check(&b) == 0) {
				acl_chmod(b.bytes, b.size, 0750);
				assert_false(acl_to_mode(b.bytes, b.size, &mode));
				assert_int_equal(mode, 0750);
			}
		}
	}
}

static void test_to_mode(void **state)
{
	(void)state;
	uint32_t mode = S_IFREG | S_ISGID | 0777;
	struct blob b = minimal(6, 4, 0);
	assert_true(acl_to_mode(b.bytes, b.size, &mode));
	assert_int_equal(mode, S_IFREG | S_ISGID | 0640);

	b = extended(); /* the mask stands for the group */
	assert_false(acl_to_mode(b.bytes, b.size, &mode));
	assert_int_equal(mode, S_IFREG | S_ISGID | 0761);
}

static void test_inherit(void **state)
{
	(void)state;
	uint32_t mode = S_IFREG | 0666;
	struct blob b = minimal(7, 5, 0);
	assert_true(acl_inherit(b.bytes, b.size, &mode));
	assert_int_equal(mode, S_IFREG | 0640);

	mode = S_IFREG | S_ISUID | 0644;
	b = extended();
	assert_false(acl_inherit(b.bytes, b.size, &mode));
	assert_int_equal(mode, S_IFREG | S_ISUID | 0640);
	assert_int_equal(perm_of(&b, 0), 6); /* owner: rwx & rw- */
	assert_int_equal(perm_of(&b, 1), 7); /* the named ones stay */
	assert_int_equal(perm_of(&b, 2), 5); /* and so does the group, when there is a mask */
	assert_int_equal(perm_of(&b, 3), 4);
	assert_int_equal(perm_of(&b, 4), 4); /* mask: rw- & r-- */
	assert_int_equal(perm_of(&b, 5), 0); /* others: --x & r-- */
	assert_int_equal(check(&b), 0);
}

static void test_chmod(void **state)
{
	(void)state;
	struct blob b = extended();
	acl_chmod(b.bytes, b.size, S_IFREG | 04517);
	assert_int_equal(perm_of(&b, 0), 5);
	assert_int_equal(perm_of(&b, 1), 7);
	assert_int_equal(perm_of(&b, 2), 5);
	assert_int_equal(perm_of(&b, 4), 1);
	assert_int_equal(perm_of(&b, 5), 7);
	assert_int_equal(check(&b), 0);

	b = minimal(7, 7, 7);
	acl_chmod(b.bytes, b.size, 0640);
	uint32_t mode = 0;
	assert_true(acl_to_mode(b.bytes, b.size, &mode));
	assert_int_equal(mode, 0640);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_check_accepts),
		cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_check_survives_anything),
		cmocka_unit_test(test_to_mode),
		cmocka_unit_test(test_inherit),
		cmocka_unit_test(test_chmod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
