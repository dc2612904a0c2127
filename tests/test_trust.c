/* Whose files are believed, in directories where anybody may put some. Root makes the strangers. */
#include "cache/store/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define STRANGER 54321
#define OWNER 54322

/* A directory of its own, and the path of a name in it. */
static char dir[64];

static const char *in(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/recordfs-trust-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"f", "g", "link", "loop", "d/f", "d"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (unlink(in(names[i])) < 0)
			rmdir(in(names[i]));
	return rmdir(dir);
}

static void make(const char *name)
{
	int fd = open(in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void give(const char *name, uid_t uid)
{
	assert_int_equal(lchown(in(name), uid, uid), 0);
}

static void test_files(void **state)
{
	(void)state;
	assert_int_equal(trust_file(in("absent")), 0);
	assert_int_equal(trust_file("/absent/f"), 0);
	make("f");
	assert_int_equal(link(in("f"), in("g")), 0);
	assert_int_equal(symlink("f", in("link")), 0);
	assert_int_equal(trust_file(in("f")), 0);
	assert_int_equal(trust_file(in("link")), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(trust_file(in("f")), -EACCES); /* it has two names */
	assert_int_equal(trust_file(in("link")), -EACCES);
	assert_int_equal(unlink(in("g")), 0);
	assert_int_equal(trust_file(in("f")), 0);
}

static void test_owners(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make("f");
	give("f", STRANGER);
	assert_int_equal(trust_file(in("f")), 0); /* only we can have put it there */
	assert_int_equal(chmod(dir, 01777), 0);
	assert_int_equal(trust_file(in("f")), -EACCES);
	give("f", OWNER);
	assert_int_equal(trust_file(in("f")), -EACCES);
	assert_int_equal(chown(dir, OWNER, OWNER), 0);
	assert_int_equal(trust_file(in("f")), 0);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(trust_file("f"), 0);
	give("f", STRANGER);
	assert_int_equal(trust_file("f"), -EACCES);
	assert_int_equal(chdir("/"), 0);
}

static int links(const char *path, const char *wanted)
{
	char *link = NULL;
	int r = trust_links(path, &link);
	if (r == -EACCES)
		assert_string_equal(link, wanted);
	else
		assert_null(link);
	free(link);
	return r;
}

static void test_links(void **state)
{
	char longest[PATH_MAX + 10];
	(void)state;
	assert_int_equal(mkdir(in("d"), 0700), 0);
	make("d/f");
	assert_int_equal(symlink("./d/../d", in("link")), 0);
	assert_int_equal(symlink("loop", in("loop")), 0);
	assert_int_equal(links(in("link/f"), ""), 0);
	assert_int_equal(links(in("link/absent/more"), ""), 0);
	assert_int_equal(links("/", ""), 0);
	assert_int_equal(links("", ""), 0);
	assert_int_equal(links("/../..//tmp/./", ""), 0);
	assert_int_equal(links(in("loop"), ""), -ELOOP);
	memset(longest, '/', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(links(longest, ""), -ENAMETOOLONG);
	if (geteuid() != 0)
		return;
	give("link", STRANGER);
	assert_int_equal(links(in("link/f"), ""), 0);
	assert_int_equal(chmod(dir, 01777), 0);
	assert_int_equal(links(in("link/f"), in("link")), -EACCES);
	assert_int_equal(links(in("link"), in("link")), -EACCES);
	assert_int_equal(links(in("d/../link/f"), in("link")), -EACCES);
	assert_int_equal(links(in("d/f"), ""), 0);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(links("d/../link/f", in("link")), -EACCES);
	assert_int_equal(chdir("/"), 0);
	give("link", 0);
	assert_int_equal(links(in("link/f"), ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owners, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
