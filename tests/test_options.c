/*
 * The command line of recordfs: what is understood, what is refused, and what libfuse gets of it.
 */
#include "kit.h"

#include "fs/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct options o;
static char errmsg[OPTIONS_ERROR_MAX];

static int teardown(void **state)
{
	(void)state;
	options_fini(&o);
	return 0;
}

/* Parses `recordfs ARG...`, the arguments separated by blanks. */
static int parse(const char *args)
{
	char *argv[16], text[512], name[] = "recordfs";
	int argc = 0;
	options_fini(&o);
	snprintf(text, sizeof text, "%s", args);
	argv[argc++] = name;
	for (char *a = text; (argv[argc] = strsep(&a, " "));)
		argc++;
	return options_parse(&o, argc, argv, errmsg, sizeof errmsg);
}

static void has_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("s.db mnt"), 0);
	assert_string_equal(o.store, "s.db");
	assert_string_equal(o.mountpoint, "mnt");
	assert_int_equal(o.cache_size, 256 << 20);
	assert_int_equal(o.cache_ttl_ns, 300000000000);
	assert_int_equal(o.watch_ns, 100000000);
	assert_int_equal(o.sync, OPTIONS_SYNC_ALWAYS);
	assert_int_equal(o.max_size, 0);
	assert_false(o.drop_on_error || o.foreground || o.debug || o.readonly);
	assert_null(o.fault);
	assert_non_null(strstr(o.mount, "default_permissions"));
	assert_non_null(strstr(o.mount, "subtype=recordfs"));
}

static void understands_all_of_its_options(void **state)
{
	(void)state;
	assert_int_equal(parse("-s -f s.db -o cache_size=1G,cache_ttl=2.5,sync=standard mnt -o "
			       "on_cache_error=drop,watch=0,max_size=10M,fault=read:EIO"),
		0);
	assert_true(o.single_threaded && o.foreground && o.drop_on_error);
	assert_int_equal(o.cache_size, 1 << 30);
	assert_int_equal(o.cache_ttl_ns, 2500000000);
	assert_int_equal(o.sync, OPTIONS_SYNC_STANDARD);
	assert_int_equal(o.watch_ns, 0);
	assert_int_equal(o.max_size, 10 << 20);
	assert_string_equal(o.fault, "read:EIO");
	assert_int_equal(parse("-d s.db mnt -osync=disabled"), 0);
	assert_true(o.debug && o.foreground);
	assert_int_equal(o.sync, OPTIONS_SYNC_DISABLED);
}

static void takes_what_mount_hands_over(void **state)
{
	(void)state;
	assert_int_equal(parse("s.db mnt -o rw,noatime,user=joe,_netdev,nofail,noauto,defaults,"
			       "x-systemd.automount,relatime,sync,allow_other,dev,suid"),
		0);
	assert_int_equal(o.sync, OPTIONS_SYNC_ALWAYS);
	assert_false(o.readonly);
	assert_non_null(strstr(o.mount, "allow_other"));
	assert_non_null(strstr(o.mount, "noatime"));
	assert_non_null(strstr(o.mount, ",suid"));
	assert_null(strstr(o.mount, "user="));
	assert_null(strstr(o.mount, "x-systemd"));
	assert_int_equal(parse("s.db mnt -o rw,,nofail,"), 0);
	assert_false(o.readonly || o.nonempty);
	assert_int_equal(parse("s.db mnt -o ro"), 0);
	assert_true(o.readonly);
	assert_non_null(strstr(o.mount, "ro"));
}

static void names_and_types_can_be_given(void **state)
{
	(void)state;
	assert_int_equal(parse("s.db mnt -o fsname=shop,subtype=x"), 0);
	assert_true(o.own_fsname);
	assert_non_null(strstr(o.mount, "fsname=shop"));
	assert_null(strstr(o.mount, "subtype=recordfs"));
}

static void refuses_what_it_does_not_know(void **state)
{
	(void)state;
	static const struct {
		const char *args, *named;
	} bad[] = {
		{"s.db mnt -o nonsense", "nonsense"},
		{"s.db mnt -o sync=sometimes", "sometimes"},
		{"s.db mnt -o on_cache_error=panic", "panic"},
		{"s.db mnt -o cache_size=many", "cache_size=many"},
		{"s.db mnt -o cache_size=-1", "cache_size=-1"},
		{"s.db mnt -o cache_ttl=1s", "cache_ttl=1s"},
		{"s.db mnt -o cache_ttl=", "cache_ttl="},
		{"s.db mnt -o max_read=7", "max_read=7"},
		{"s.db mnt -o cache_size", "cache_size=..."},
		{"s.db mnt -o remount,ro", "unmount, and mount again"},
		{"s.db mnt -o max_size=1023K", "1M or more"},
		{"s.db mnt -o", "missing argument"},
		{"s.db mnt -z", "-z"},
		{"s.db mnt third", "third"},
		{"s.db", "MOUNTPOINT"},
		{"-f", "STORE"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(parse(bad[i].args), -EINVAL);
		assert_non_null(strstr(errmsg, bad[i].named));
		assert_null(strchr(errmsg, '\n'));
	}
}

static void says_what_a_value_has_to_be(void **state)
{
	(void)state;
	assert_int_equal(parse("s.db mnt -o cache_size=big"), -EINVAL);
	assert_non_null(strstr(errmsg, "size in bytes"));
	assert_int_equal(parse("s.db mnt -o cache_ttl=long"), -EINVAL);
	assert_non_null(strstr(errmsg, "number of seconds"));
	assert_int_equal(parse("s.db mnt -o watch=x"), -EINVAL);
	assert_non_null(strstr(errmsg, "milliseconds"));
	assert_int_equal(parse("s.db mnt -o fault=read:EIO,fault=write:EIO"), -EINVAL);
	assert_non_null(strstr(errmsg, "fault=read:EIO+write:EIO"));
}

static void some_can_be_changed(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "cache_size", "cache_size=", "cache_size=x", "sync",
		"sync=x", "cache_ttl=1,,", "cache_ttl=1,max_size=5M", "cache_ttl=1,ro",
		"ro,cache_ttl=1", "cache_ttl=1,nonsense", "fault=read:EIO", "-f", "watch=5",
		"cache_ttl=1 "};
	assert_int_equal(parse("s.db mnt -o cache_size=1M"), 0);
	assert_int_equal(options_change(&o,
				 "cache_size=2M,sync=disabled,cache_ttl=2.5,"
				 "on_cache_error=drop,cache_size=3M",
				 errmsg, sizeof errmsg),
		0);
	assert_int_equal(o.cache_size, 3 << 20);
	assert_int_equal(o.sync, OPTIONS_SYNC_DISABLED);
	assert_int_equal(o.cache_ttl_ns, 2500000000);
	assert_true(o.drop_on_error);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(options_change(&o, bad[i], errmsg, sizeof errmsg), -EINVAL);
		assert_true(*errmsg && !strchr(errmsg, '\n'));
		assert_int_equal(o.cache_ttl_ns, 2500000000);
	}
}

static void help_needs_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), 0);
	assert_true(o.help);
	assert_int_equal(parse("-V"), 0);
	assert_true(o.version);
}

static void sizes_have_suffixes(void **state)
{
	(void)state;
	uint64_t n = 77;
	static const char *const bad[] = {
		"", "K", "1KB", "1.5G", "-1", " 1", "0x10", "8388608T", "99999999999999999999"};
	assert_int_equal(options_parse_size("0", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(options_parse_size("3k", &n), 0);
	assert_int_equal(n, 3072);
	assert_int_equal(options_parse_size("2T", &n), 0);
	assert_int_equal(n, (uint64_t)2 << 40);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(options_parse_size(bad[i], &n), -EINVAL);
	assert_int_equal(n, (uint64_t)2 << 40);
}

static void times_have_fractions(void **state)
{
	(void)state;
	int64_t t = 0;
	static const char *const bad[] = {"", ".", "1.", "-1", "1e3", "99999999999999999999", "1 "};
	assert_int_equal(options_parse_time("0.25", 1000000000, &t), 0);
	assert_int_equal(t, 250000000);
	assert_int_equal(options_parse_time(".0000000019", 1000000000, &t), 0);
	assert_int_equal(t, 1);
	assert_int_equal(options_parse_time("100", 1000000, &t), 0);
	assert_int_equal(t, 100000000);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(options_parse_time(bad[i], 1000000000, &t), -EINVAL);
}

static int make_folder(void **state)
{
	static char dir[] = "/tmp/recordfs-options-XXXXXX";
	memcpy(dir + sizeof dir - 7, "XXXXXX", 7);
	*state = mkdtemp(dir);
	return *state && chdir(dir) == 0 && mkdir("mnt", 0700) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	options_fini(&o);
	unlink("file");
	unlink("link");
	rmdir("mnt/below");
	rmdir("mnt");
	return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

static int check(const char *args)
{
	assert_int_equal(parse(args), 0);
	return options_check(&o, errmsg, sizeof errmsg);
}

static void paths_become_absolute(void **state)
{
	char want[PATH_MAX];
	assert_int_equal(check("new,x.db mnt"), 0);
	snprintf(want, sizeof want, "%s/new,x.db", (char *)*state);
	assert_string_equal(o.store, want);
	snprintf(want, sizeof want, "%s/mnt", (char *)*state);
	assert_string_equal(o.mountpoint, want);
	assert_non_null(strstr(o.mount, "/new\\,x.db"));
	assert_int_equal(access("new,x.db", F_OK), -1);
	FILE *f = fopen("file", "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(check("./-wal mnt"), 0);
	assert_int_equal(check("./mnt/../file ./mnt/"), 0);
	snprintf(want, sizeof want, "%s/file", (char *)*state);
	assert_string_equal(o.store, want);
}

static void impossible_paths_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *args;
		int error;
	} bad[] = {
		{"s.db nowhere", -ENOENT},
		{"s.db /dev/null", -ENOTDIR},
		{"missing/s.db mnt", -ENOENT},
		{"mnt/s.db mnt", -EINVAL},
		{"mnt/below/s.db mnt", -EINVAL},
		{"mnt mnt", -EINVAL},
		{"new/ mnt", -EISDIR},
		{"new mnt -o ro", -ENOENT},
		{"/dev/null mnt", -EINVAL},
		{"s.db-wal mnt", -EINVAL},
		{"s.db-shm mnt", -EINVAL},
		{"s.db-journal mnt", -EINVAL},
		{"link mnt", -EINVAL},
	};
	assert_int_equal(symlink("s.db-wal", "link"), 0);
	assert_int_equal(mkdir("mnt/below", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(check(bad[i].args), bad[i].error);
		assert_true(*errmsg && !strchr(errmsg, '\n'));
	}
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
#define TEST_PATHS(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(has_defaults),
		TEST(understands_all_of_its_options),
		TEST(takes_what_mount_hands_over),
		TEST(names_and_types_can_be_given),
		TEST(refuses_what_it_does_not_know),
		TEST(says_what_a_value_has_to_be),
		TEST(some_can_be_changed),
		TEST(help_needs_nothing_else),
		TEST(sizes_have_suffixes),
		TEST(times_have_fractions),
		TEST_PATHS(paths_become_absolute),
		TEST_PATHS(impossible_paths_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
