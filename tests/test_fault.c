/* The fault injector: what a plan may say, when it acts, and what a failure leaves behind. */
#include "cache/store/fault.h"
#include "kit.h"
#include "model_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fault_spec *must_parse(const char *text)
{
	struct fault_spec *spec = NULL;
	const char *where = NULL;

	assert_int_equal(fault_spec_parse(text, &spec, &where), 0);
	assert_null(where);
	return spec;
}

static void parses_what_the_manual_shows(void **state)
{
	(void)state;
	static const char *const good[] = {
		"commit:EIO:every=7",
		"cache:ENOMEM:file=/run/faults-on",
		"read:EIO",
		"write:ENOSPC:after=3:count=2",
		"flush:EIO:count=1:every=2:after=0",
		"open:EROFS",
		"commit:delay=250",
		"read:delay=0",
		"read:EIO+write:ENOSPC:every=2+commit:delay=5:file=/tmp/x",
		"commit:EWOULDBLOCK",
		"commit:EDEADLOCK+commit:ENOTSUP+commit:EOPNOTSUPP",
		"write:ENOBUFS+open:ENOEXEC+read:ENOTBLK+flush:ESPIPE+cache:ECHILD",
		"commit:EIO:every=18446744073709551609",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(fault_spec_free(must_parse(good[i])));
	assert_null(fault_spec_free(NULL));
}

static void says_what_is_wrong_and_where(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t where;
	} bad[] = {
		{"", 0},
		{"read", 0},
		{"reads:EIO", 0},
		{"READ:EIO", 0},
		{"read:", 5},
		{"read:EOI", 5},
		{"read:eio", 5},
		{"read:EI", 5},
		{"read:EIOX", 5},
		{"read:5", 5},
		{"read:delay", 5},
		{"read:delay=", 5},
		{"read:delay=1s", 5},
		{"read:delay=3600001", 5},
		{"read:EIO:", 9},
		{"read:EIO:every", 9},
		{"read:EIO:every=0", 9},
		{"read:EIO:every=-1", 9},
		{"read:EIO:every=99999999999999999999", 9},
		{"read:EIO:after=x", 9},
		{"read:EIO:count=1:sometimes=2", 17},
		{"read:EIO:file=", 9},
		{"read:EIO:file=/a:file=/b", 17},
		{"read:EIO:every=2:every=3", 17},
		{"read:EIO:count=2:after=1:count=2", 25},
		{"+read:EIO", 0},
		{"read:EIO+", 9},
		{"read:EIO++write:EIO", 9},
		{"read:EIO+write:EIO:every=x", 19},
		{"read:EIO,write:EIO", 5},
		{" read:EIO", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fault_spec *spec = NULL;
		const char *where = NULL;
		assert_int_equal(fault_spec_parse(bad[i].text, &spec, &where), -EINVAL);
		assert_null(spec);
		assert_ptr_equal(where, bad[i].text + bad[i].where);
	}
}

static void refuses_more_rules_than_it_holds(void **state)
{
	(void)state;
	static char text[FAULT_RULES_MAX * 9 + 10];
	struct fault_spec *spec = NULL;
	const char *where = NULL;

	for (unsigned i = 0; i <= FAULT_RULES_MAX; i++)
		memcpy(text + (size_t)i * 9, "read:EIO+", 9);
	text[sizeof text - 2] = '\0';
	assert_int_equal(fault_spec_parse(text, &spec, &where), -EINVAL);
	assert_ptr_equal(where, text + (size_t)FAULT_RULES_MAX * 9);
	text[FAULT_RULES_MAX * 9 - 1] = '\0';
	fault_spec_free(must_parse(text));
}

/* Passes a point `n` times; the letters of `want` say what is to come: F fails, . does not. */
static void expect_plan(const char *text, const char *want)
{
	struct fault_spec *spec = must_parse(text);
	uint64_t fails = 0;

	for (const char *w = want; *w; w++) {
		fails += *w == 'F';
		assert_int_equal(fault_spec_pass(spec, FAULT_COMMIT), *w == 'F' ? -EIO : 0);
		assert_int_equal(fault_spec_pass(spec, FAULT_READ), 0);
	}
	assert_int_equal(fault_spec_hits(spec), fails);
	fault_spec_free(spec);
}

static void acts_when_the_plan_says(void **state)
{
	(void)state;
	expect_plan("commit:EIO", "FFFFF");
	expect_plan("commit:EIO:every=3", "..F..F..F");
	expect_plan("commit:EIO:after=2", "..FFFF");
	expect_plan("commit:EIO:count=2", "FF....");
	expect_plan("commit:EIO:count=0", "....");
	expect_plan("commit:EIO:after=1:every=2:count=2", "..F.F.....");
	expect_plan("commit:EIO:every=4+commit:EIO:after=1:every=4", "...FF..FF.");
	expect_plan("commit:EIO:count=1+commit:EIO:after=3", "F..FFF");
	expect_plan("write:EIO+flush:EIO+cache:EIO+open:EIO", "....");
}

static void first_error_of_several_decides(void **state)
{
	(void)state;
	struct fault_spec *spec = must_parse("commit:delay=0+commit:EIO:every=2+commit:ENOSPC");

	assert_int_equal(fault_spec_pass(spec, FAULT_COMMIT), -ENOSPC);
	assert_int_equal(fault_spec_pass(spec, FAULT_COMMIT), -EIO);
	assert_int_equal(fault_spec_hits(spec), 5);
	fault_spec_free(spec);
}

static void file_switches_it(void **state)
{
	(void)state;
	char dir[] = "/tmp/recordfs-fault-XXXXXX", text[128], file[64], cwd[512];

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/on", dir);
	snprintf(text, sizeof text, "commit:EIO:after=1:file=%s", file);
	struct fault_spec *absolute = must_parse(text);
	assert_non_null(getcwd(cwd, sizeof cwd));
	assert_int_equal(chdir(dir), 0);
	struct fault_spec *relative = must_parse("commit:EIO:after=1:file=on");
	assert_int_equal(chdir(cwd), 0);

	struct fault_spec *specs[] = {absolute, relative};
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct fault_spec *s = specs[i];
		/* Passages are not counted while it is off. */
		assert_int_equal(fault_spec_pass(s, FAULT_COMMIT), 0);
		assert_int_equal(fault_spec_pass(s, FAULT_COMMIT), 0);
		int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(fault_spec_pass(s, FAULT_COMMIT), 0);
		assert_int_equal(fault_spec_pass(s, FAULT_COMMIT), -EIO);
		assert_int_equal(unlink(file), 0);
		assert_int_equal(fault_spec_pass(s, FAULT_COMMIT), 0);
		assert_int_equal(fault_spec_hits(s), 1);
		fault_spec_free(s);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void *pass_often(void *arg)
{
	uintptr_t fails = 0;

	for (int i = 0; i < 3000; i++)
		fails += fault_spec_pass(arg, FAULT_WRITE) != 0;
	return (void *)fails;
}

static void counts_from_all_threads(void **state)
{
	(void)state;
	struct fault_spec *spec = must_parse("write:EIO:every=3:count=2500");
	pthread_t threads[4];
	uintptr_t fails = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pass_often, spec), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *n = NULL;
		assert_int_equal(pthread_join(threads[i], &n), 0);
		fails += (uintptr_t)n;
	}
	assert_int_equal(fails, 2500);
	assert_int_equal(fault_spec_hits(spec), 2500);
	fault_spec_free(spec);
}

/* A model below a plan, with a record of three bytes whose making the plan lets pass (`after`). */
struct rig {
	struct store *model;
	struct kit *kit;
	uint64_t ino;
};

static struct rig rig_new(const char *text)
{
	struct rig r = {.model = model_store_new()};
	struct store *s = NULL;

	assert_int_equal(fault_store_new(must_parse(text), r.model, &s), 0);
	r.kit = kit_new(s);
	r.ino = kit_must_file(r.kit, STORE_ROOT_INO, "record");
	assert_int_equal(kit_write(r.kit, r.ino, 0, "old", 3), 0);
	return r;
}

static void rig_free(struct rig *r, uint64_t hits)
{
	struct store_stats stats = {0};

	assert_int_equal(fault_hits(r->kit->store), hits);
	store_stats(r->kit->store, &stats);
	assert_int_equal(stats.faults_on, 1);
	assert_int_equal(stats.faults_injected, hits);
	assert_true(stats.store_commits > 0);
	kit_free(r->kit);
}

static void expect_below(const struct rig *r, const char *want)
{
	struct store_span span;

	assert_int_equal(store_read(r->model, r->ino, 0, 1, &span), 0);
	assert_int_equal(span.attr.size, strlen(want));
	assert_memory_equal(span.blocks[0]->data, want, strlen(want));
	store_span_release(&span);
}

static uint64_t commits_below(const struct rig *r)
{
	struct store_stats stats = {0};

	store_stats(r->model, &stats);
	return stats.store_commits;
}

static void read_point(void **state)
{
	(void)state;
	struct rig r = rig_new("read:EIO:count=1");
	struct store_span span;
	struct store_attr a;

	assert_int_equal(store_getattr(r.kit->store, r.ino, &a), 0);
	assert_int_equal(kit_lookup(r.kit, STORE_ROOT_INO, "record"), r.ino);
	assert_int_equal(store_read(r.kit->store, r.ino, 0, 1, &span), -EIO);
	assert_int_equal(span.count, 0);
	kit_expect_bytes(r.kit, r.ino, "old", 3);
	rig_free(&r, 1);
}

static void write_change(struct change *c, uint64_t ino, const char *data)
{
	*c = (struct change){
		.kind = CHANGE_WRITE,
		.write = {.ino = ino, .data = data, .len = strlen(data)},
	};
}

static void write_point_fails_one_of_a_batch(void **state)
{
	(void)state;
	struct rig r = rig_new("write:ENOSPC:after=3:count=1");
	uint64_t other = kit_must_file(r.kit, STORE_ROOT_INO, "other"); /* the third change */
	uint64_t before = commits_below(&r);
	struct change c[3];

	write_change(&c[0], r.ino, "refused");
	write_change(&c[1], other, "other");
	write_change(&c[2], r.ino, "new");
	kit_apply_batch(r.kit, c, ARRAY_LEN(c));
	assert_int_equal(c[0].result, -ENOSPC);
	assert_false(c[0].doubtful);
	assert_int_equal(c[1].result, 0);
	assert_int_equal(c[2].result, 0);
	assert_int_equal(commits_below(&r), before + 1);
	expect_below(&r, "new");
	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		block_unref(c[i].write.head);
	rig_free(&r, 1);
}

static void write_point_may_fail_all_of_a_batch(void **state)
{
	(void)state;
	struct rig r = rig_new("write:EIO:after=2+commit:ENOSPC:after=2");
	struct change c[2];

	write_change(&c[0], r.ino, "a");
	write_change(&c[1], r.ino, "b");
	uint64_t before = commits_below(&r);
	kit_apply_batch(r.kit, c, ARRAY_LEN(c));
	assert_int_equal(c[0].result, -EIO);
	assert_int_equal(c[1].result, -EIO);
	assert_int_equal(commits_below(&r), before);
	expect_below(&r, "old");
	rig_free(&r, 2);
}

static void commit_point_leaves_nothing(void **state)
{
	(void)state;
	struct rig r = rig_new("commit:EIO:after=2:count=1");
	struct change c[2];

	write_change(&c[0], r.ino, "lost");
	c[1] = (struct change){
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = STORE_ROOT_INO, .name = {"record", 6}},
	};
	uint64_t before = commits_below(&r);
	kit_apply_batch(r.kit, c, ARRAY_LEN(c));
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].result, -EIO);
		assert_true(c[i].doubtful);
	}
	assert_int_equal(commits_below(&r), before);
	expect_below(&r, "old");
	assert_int_equal(kit_write(r.kit, r.ino, 0, "new", 3), 0);
	expect_below(&r, "new");
	rig_free(&r, 1);
}

static void flush_point(void **state)
{
	(void)state;
	struct rig r = rig_new("flush:EIO:every=2");
	struct change c;

	assert_int_equal(store_flush(r.kit->store), 0);
	assert_int_equal(store_flush(r.kit->store), -EIO);
	write_change(&c, r.ino, "new");
	assert_int_equal(store_apply_one(r.kit->store, &c, true), 0);
	block_unref(c.write.head);
	expect_below(&r, "new");
	write_change(&c, r.ino, "odd");
	assert_int_equal(store_apply_one(r.kit->store, &c, true), -EIO);
	assert_true(c.doubtful);
	expect_below(&r, "new");
	/* What is not durable passes no flush. */
	write_change(&c, r.ino, "odd");
	assert_int_equal(store_apply_one(r.kit->store, &c, false), 0);
	block_unref(c.write.head);
	expect_below(&r, "odd");
	rig_free(&r, 2);
}

static void reaping_is_not_counted(void **state)
{
	(void)state;
	struct rig r = rig_new("write:EIO:after=3:count=1+commit:EIO:after=3:count=1");

	assert_int_equal(kit_unlink(r.kit, STORE_ROOT_INO, "record"), 0); /* the third */
	kit_must_reap(r.kit, r.ino);
	assert_int_equal(fault_hits(r.kit->store), 0);

	uint64_t ino = 0;
	assert_int_equal(
		kit_create(r.kit, STORE_ROOT_INO, "x", S_IFREG | 0644, &ino), -EIO); /* write */
	assert_int_equal(
		kit_create(r.kit, STORE_ROOT_INO, "x", S_IFREG | 0644, &ino), -EIO); /* commit */
	assert_int_equal(kit_create(r.kit, STORE_ROOT_INO, "x", S_IFREG | 0644, &ino), 0);
	rig_free(&r, 2);
}

static void reaping_fails_with_its_batch(void **state)
{
	(void)state;
	struct rig r = rig_new("commit:EIO:after=3:count=1");
	struct store_attr a;

	assert_int_equal(kit_unlink(r.kit, STORE_ROOT_INO, "record"), 0);
	struct change c[2] = {{.kind = CHANGE_REAP, .reap = {.ino = r.ino}}};
	write_change(&c[1], r.ino, "x");
	kit_apply_batch(r.kit, c, ARRAY_LEN(c));
	assert_int_equal(c[0].result, -EIO);
	assert_int_equal(c[1].result, -EIO);
	assert_int_equal(store_getattr(r.model, r.ino, &a), 0);
	rig_free(&r, 1);
}

static void delays_are_served_and_counted(void **state)
{
	(void)state;
	struct rig r = rig_new("commit:delay=1+write:delay=1:every=2+read:delay=1");

	kit_expect_bytes(r.kit, r.ino, "old", 3);
	rig_free(&r, 2 + 1 + 1);
}

static void cache_and_open_points(void **state)
{
	(void)state;
	struct fault_spec *spec = must_parse("open:EROFS:count=1+cache:ENOMEM:every=2");
	struct store *s = NULL;

	assert_int_equal(fault_open(spec), -EROFS);
	assert_int_equal(fault_open(spec), 0);
	assert_int_equal(fault_store_new(spec, model_store_new(), &s), 0);
	assert_int_equal(fault_cache_update(s), 0);
	assert_int_equal(fault_cache_update(s), -ENOMEM);
	assert_int_equal(fault_hits(s), 2);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_the_manual_shows),
		cmocka_unit_test(says_what_is_wrong_and_where),
		cmocka_unit_test(refuses_more_rules_than_it_holds),
		cmocka_unit_test(acts_when_the_plan_says),
		cmocka_unit_test(first_error_of_several_decides),
		cmocka_unit_test(file_switches_it),
		cmocka_unit_test(counts_from_all_threads),
		cmocka_unit_test(read_point),
		cmocka_unit_test(write_point_fails_one_of_a_batch),
		cmocka_unit_test(write_point_may_fail_all_of_a_batch),
		cmocka_unit_test(commit_point_leaves_nothing),
		cmocka_unit_test(flush_point),
		cmocka_unit_test(reaping_is_not_counted),
		cmocka_unit_test(reaping_fails_with_its_batch),
		cmocka_unit_test(delays_are_served_and_counted),
		cmocka_unit_test(cache_and_open_points),
	};
	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
