/* What a store promises about batches, threads, stats, and what is there when it opens again. */
#include "contract.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO

static struct change create(const char *name)
{
	return (struct change){
		.kind = CHANGE_CREATE,
		.create =
			{
				.parent = ROOT,
				.name = {name, strlen(name)},
				.mode = S_IFREG | 0644,
			},
	};
}

static struct change unlink_(const char *name)
{
	return (struct change){
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = ROOT, .name = {name, strlen(name)}},
	};
}

static struct change write_(uint64_t ino, const char *data)
{
	return (struct change){
		.kind = CHANGE_WRITE,
		.write = {.ino = ino, .data = data, .len = strlen(data), .append = true},
	};
}

static void forget_blocks(struct change *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c[i].kind == CHANGE_WRITE) {
			c[i].write.head = block_unref(c[i].write.head);
			c[i].write.tail = block_unref(c[i].write.tail);
		}
	}
}

static void one_that_fails_fails_alone(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct change c[] = {
		write_(ino, "one"),
		create("f"), /* EEXIST */
		write_(ino, "two"),
		write_(ino + 1000, "nobody"), /* ESTALE */
		unlink_("none"),	      /* ENOENT */
		{
			.kind = CHANGE_SETATTR,
			.setattr =
				{
					.ino = ino,
					.mask = STORE_SET_SIZE | STORE_SET_MODE,
					.size = STORE_FILE_MAX +
						1, /* EFBIG: the mode stays as well */
					.mode = 0,
				},
		},
		write_(ino, "three"),
		create("g"),
	};
	static const int want[] = {0, -EEXIST, 0, -ESTALE, -ENOENT, -EFBIG, 0, 0};

	kit_apply_batch(k, c, ARRAY_LEN(c));
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].result, want[i]);
		assert_false(c[i].doubtful);
	}
	forget_blocks(c, ARRAY_LEN(c));
	kit_expect_bytes(k, ino, "onetwothree", 11);
	assert_int_equal(kit_attr(k, ino).mode, S_IFREG | 0644);
	assert_true(kit_lookup(k, ROOT, "g") != 0);
}

static void order_is_that_of_the_batch(void **state)
{
	struct kit *k = *state;
	struct change c[] = {
		create("f"),
		create("f"), /* EEXIST, then all is well */
		unlink_("f"),
		create("f"),
		unlink_("f"),
		unlink_("f"), /* ENOENT */
		create("g"),
		{
			.kind = CHANGE_RENAME,
			.rename =
				{
					.parent = ROOT,
					.name = {"g", 1},
					.new_parent = ROOT,
					.new_name = {"f", 1},
				},
		},
		create("f"), /* EEXIST */
		create("g"),
	};
	static const int want[] = {0, -EEXIST, 0, 0, 0, -ENOENT, 0, 0, -EEXIST, 0};

	kit_apply_batch(k, c, ARRAY_LEN(c));
	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		assert_int_equal(c[i].result, want[i]);
	assert_int_equal(kit_lookup(k, ROOT, "f"), c[6].touched[0].ino);
	assert_int_equal(kit_lookup(k, ROOT, "g"), c[9].touched[0].ino);
	assert_int_equal(kit_attr(k, c[0].touched[0].ino).nlink, 0);
}

/* Each result is of the moment of its change, not of the end of the batch. */
static void results_are_of_their_moment(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, ROOT, "f");
	struct change c[] = {write_(ino, "one"), write_(ino, "two!"), write_(ino, "3")};
	static const uint64_t sizes[] = {3, 7, 8};

	kit_apply_batch(k, c, ARRAY_LEN(c));
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		assert_int_equal(c[i].result, 0);
		assert_int_equal(c[i].touched[0].size, sizes[i]);
		assert_int_equal(c[i].touched[0].mtime, c[i].now);
		assert_int_equal(c[i].write.offset, i ? sizes[i - 1] : 0);
		if (i) {
			assert_non_null(c[i].write.head);
			assert_int_equal(c[i].write.head->len, sizes[i]);
			assert_memory_equal(c[i].write.head->data, "onetwo!3", sizes[i]);
		}
	}
	forget_blocks(c, ARRAY_LEN(c));
}

static void takes_the_largest_batch(void **state)
{
	struct kit *k = *state;
	static struct change c[STORE_BATCH_MAX];
	static char names[STORE_BATCH_MAX][8];

	for (unsigned i = 0; i < STORE_BATCH_MAX; i++) {
		snprintf(names[i], sizeof names[i], "f%u", i / 2);
		c[i] = create(names[i]);
	}
	kit_apply_batch(k, c, STORE_BATCH_MAX);
	for (unsigned i = 0; i < STORE_BATCH_MAX; i++)
		assert_int_equal(c[i].result, i % 2 ? -EEXIST : 0);
}

static void counts(void **state)
{
	struct kit *k = *state;
	struct store_stats before = {0}, after = {0};
	uint64_t ino = kit_must_file(k, ROOT, "f");

	store_stats(k->store, &before);
	struct change c[] = {write_(ino, "a"), create("f"), create("g")};
	kit_apply_batch(k, c, ARRAY_LEN(c));
	forget_blocks(c, ARRAY_LEN(c));
	assert_int_equal(store_flush(k->store), 0);
	store_stats(k->store, &after);
	assert_int_equal(after.store_commits, before.store_commits + 1);
	assert_int_equal(after.store_write_requests, before.store_write_requests + 2);
	assert_true(after.store_flushes > before.store_flushes);
	assert_int_equal(after.store_degraded, 0);
	assert_int_equal(after.checksum_failures, 0);
	assert_int_equal(after.store_failures, before.store_failures);

	struct change w = write_(ino, "b");
	assert_int_equal(store_apply_one(k->store, &w, true), 0);
	forget_blocks(&w, 1);
	before = after;
	store_stats(k->store, &after);
	assert_true(after.store_flushes > before.store_flushes);
}

#define THREADS 4
#define ROUNDS 40

struct writer {
	struct store *store;
	uint64_t shared, own;
	unsigned number;
	unsigned failures;
};

static bool count_entry(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	(void)e;
	++*n;
	return true;
}

/* One round of a thread: appends to a shared file, works with names of its own, and reads. */
static bool work(struct writer *w, unsigned round)
{
	static _Thread_local struct store_span span;
	char record[16], name[16];
	unsigned n = 0;

	snprintf(record, sizeof record, "%u:%07u\n", w->number, round);
	snprintf(name, sizeof name, "t%u.%u", w->number, round);
	struct change c[] = {write_(w->shared, record), write_(w->own, record), create(name)};
	struct change *table[] = {&c[0], &c[1], &c[2]};
	store_apply(w->store, table, ARRAY_LEN(table), round % 8 == 0);
	forget_blocks(c, ARRAY_LEN(c));
	if (c[0].result || c[1].result || c[2].result)
		return false;
	if (store_read(w->store, w->own, 0, 1, &span) != 0)
		return false;
	bool good = span.attr.size == (round + 1) * 10u &&
		    memcmp(span.blocks[0]->data + round * 10u, record, 10) == 0;
	store_span_release(&span);
	if (round % 2) {
		struct change u = unlink_(name);
		good = good && store_apply_one(w->store, &u, false) == 0;
	}
	return good && store_readdir(w->store, ROOT, 0, true, count_entry, &n) == 0 && n > 0;
}

static void *write_along(void *arg)
{
	struct writer *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		w->failures += !work(w, i);
	return NULL;
}

static void serves_many_threads(void **state)
{
	struct kit *k = *state;
	struct writer w[THREADS];
	pthread_t t[THREADS];
	static unsigned char have[THREADS * ROUNDS * 10];
	unsigned next[THREADS] = {0}, n = 0;
	uint64_t shared = kit_must_file(k, ROOT, "shared");

	for (unsigned i = 0; i < THREADS; i++) {
		char name[] = {'o', (char)('0' + i), '\0'};
		w[i] = (struct writer){k->store, shared, kit_must_file(k, ROOT, name), i, 0};
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_along, &w[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(w[i].failures, 0);
	}
	/* Every append is there once, whole, and each thread's in its order. */
	assert_int_equal(kit_attr(k, shared).size, sizeof have);
	kit_read(k, shared, 0, have, sizeof have);
	for (size_t at = 0; at < sizeof have; at += 10) {
		unsigned who = (unsigned)have[at] - '0';
		char record[16];
		assert_true(who < THREADS);
		snprintf(record, sizeof record, "%u:%07u\n", who, next[who]++);
		assert_memory_equal(have + at, record, 10);
	}
	assert_int_equal(store_readdir(k->store, ROOT, 0, false, count_entry, &n), 0);
	assert_int_equal(n, 1 + THREADS + THREADS * ROUNDS / 2);
}

static void is_there_when_it_opens_again(void **state)
{
	struct kit *k = *state;
	static unsigned char want[100000];

	if (!contract_under_test->lasting)
		skip();
	uint64_t dir = kit_must_dir(k, ROOT, "d"), file = kit_must_file(k, dir, "f");
	kit_must_fill(k, file, 0, sizeof want, 1, want);
	kit_must_fill(k, file, 5000, 10, 2, want);
	assert_int_equal(kit_setxattr(k, file, "user.a", "b", 1, 0), 0);
	assert_int_equal(kit_symlink(k, dir, "l", "target"), 0);
	struct store_attr before = kit_attr(k, file), parent = kit_attr(k, dir);
	contract_reopen(k);
	struct store_attr after = kit_attr(k, file);
	kit_expect_attr(&after, &before);
	after = kit_attr(k, dir);
	kit_expect_attr(&after, &parent);
	kit_expect_bytes(k, file, want, sizeof want);
	char buf[10];
	assert_int_equal(store_getxattr(k->store, file, "user.a", 6, buf, 10), 1);
	assert_int_equal(store_readlink(k->store, kit_lookup(k, dir, "l"), buf, 10), 0);
	assert_string_equal(buf, "target");
	/* Numbers go on, they do not begin again. */
	assert_true(kit_must_file(k, dir, "g") > file);
	assert_true(kit_write(k, file, 0, "x", 1) == 0);
}

int contract_batch(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(one_that_fails_fails_alone),
		CONTRACT_TEST(order_is_that_of_the_batch),
		CONTRACT_TEST(results_are_of_their_moment),
		CONTRACT_TEST(takes_the_largest_batch),
		CONTRACT_TEST(counts),
		CONTRACT_TEST(serves_many_threads),
		CONTRACT_TEST(is_there_when_it_opens_again),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
