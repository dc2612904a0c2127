/* What a store promises about reading directories: places that stay, whatever happens meanwhile. */
#include "contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT STORE_ROOT_INO
#define MANY 600

/* A reader that takes `limit` entries at a time, and notes what it saw. */
struct reader {
	struct kit *k;
	uint64_t dir;
	uint64_t last;
	bool with_attr;
	unsigned limit;
	unsigned got;		 /* in this call */
	unsigned seen[2 * MANY]; /* how often, by the number in the name */
};

static bool take(void *arg, const struct store_entry *e)
{
	struct reader *r = arg;
	char name[16];

	assert_true(e->id > r->last && e->id <= (uint64_t)1 << 62);
	r->last = e->id;
	assert_true(e->name.len < sizeof name);
	memcpy(name, e->name.bytes, e->name.len);
	name[e->name.len] = '\0';
	unsigned long n = strtoul(name + 1, NULL, 10);
	assert_true(n < ARRAY_LEN(r->seen));
	r->seen[n]++;
	if (r->with_attr) {
		assert_non_null(e->attr);
		assert_int_equal(e->attr->ino, e->ino);
		assert_int_equal(e->attr->mode & S_IFMT, e->type);
	} else {
		assert_null(e->attr);
	}
	return ++r->got < r->limit;
}

/* One call. False: the end. */
static bool read_on(struct reader *r)
{
	r->got = 0;
	assert_int_equal(store_readdir(r->k->store, r->dir, r->last, r->with_attr, take, r), 0);
	assert_true(r->got <= r->limit);
	return r->got == r->limit;
}

static void number(char name[16], unsigned n)
{
	snprintf(name, 16, "f%u", n);
}

static void make_many(struct kit *k, uint64_t dir, unsigned from, unsigned to)
{
	char name[16];

	k->unwatched = true;
	for (unsigned i = from; i < to; i++) {
		number(name, i);
		if (i % 7)
			kit_must_file(k, dir, name);
		else
			kit_must_dir(k, dir, name);
	}
}

static void lists_all_once(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d");

	struct reader empty = {.k = k, .dir = dir, .limit = 10};
	assert_false(read_on(&empty));
	make_many(k, dir, 0, MANY);
	static const unsigned limits[] = {1, 2, 7, 64, MANY, 2 * MANY};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct reader r = {.k = k, .dir = dir, .limit = limits[i], .with_attr = i % 2};
		while (read_on(&r))
			;
		for (unsigned n = 0; n < MANY; n++)
			assert_int_equal(r.seen[n], 1);
	}
}

/* Entries that live through it all are seen once; those that come or go meanwhile at most once. */
static void survives_changes_while_it_is_read(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d");
	char name[16], other[16];

	make_many(k, dir, 0, MANY);
	struct reader r = {.k = k, .dir = dir, .limit = 10, .with_attr = true};
	for (unsigned round = 0; read_on(&r); round++) {
		/* f1, f8, ... behind and before the reader go; new ones come; some change names. */
		unsigned n = round * 7 + 1;
		number(name, n % MANY);
		assert_int_equal(kit_unlink(k, dir, name), 0);
		number(name, (MANY - 6 - n) % MANY);
		if (kit_lookup(k, dir, name) && (MANY - 6 - n) % 7 != 0)
			assert_int_equal(kit_unlink(k, dir, name), 0);
		make_many(k, dir, MANY + round, MANY + round + 1);
		number(name, n + 2);
		number(other, 2 * MANY - 1 - round);
		assert_int_equal(kit_rename(k, dir, name, dir, other, 0), 0);
	}
	for (unsigned n = 0; n < 2 * MANY; n++)
		assert_true(r.seen[n] <= 1);
	for (unsigned n = 0; n < MANY; n++) {
		number(name, n);
		if (kit_lookup(k, dir, name))
			assert_int_equal(r.seen[n], 1);
	}
}

/* A place stays where it is when other entries go, and when it is gone itself. */
static void places_stay(void **state)
{
	struct kit *k = *state;
	uint64_t dir = kit_must_dir(k, ROOT, "d");

	make_many(k, dir, 1, 7);
	struct reader r = {.k = k, .dir = dir, .limit = 3};
	assert_true(read_on(&r));
	unsigned last = 0;
	for (unsigned n = 1; n < 7; n++)
		if (r.seen[n])
			last = n;
	char name[16];
	number(name, last);
	assert_int_equal(kit_unlink(k, dir, name), 0);
	assert_true(read_on(&r));
	for (unsigned n = 1; n < 7; n++)
		assert_int_equal(r.seen[n], 1);
	assert_false(read_on(&r));
	/* New ones come at the end, so the same reader finds them. */
	make_many(k, dir, 8, 10);
	assert_false(read_on(&r));
	assert_int_equal(r.seen[8] + r.seen[9], 2);
	/* Also when they come in place of the last one: a place is not given away again. */
	assert_int_equal(kit_unlink(k, dir, "f9"), 0);
	make_many(k, dir, 10, 11);
	assert_false(read_on(&r));
	assert_int_equal(r.seen[10], 1);
	r.last = (uint64_t)1 << 62;
	assert_false(read_on(&r));
	assert_int_equal(r.got, 0);
}

/* The same inode under several names is as many entries. */
static void lists_links(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f1");

	assert_int_equal(kit_link(k, file, ROOT, "f2"), 0);
	assert_int_equal(kit_link(k, file, ROOT, "f3"), 0);
	assert_int_equal(kit_unlink(k, ROOT, "f2"), 0);
	struct reader r = {.k = k, .dir = ROOT, .limit = 10, .with_attr = true};
	assert_false(read_on(&r));
	assert_int_equal(r.got, 2);
	assert_true(r.seen[1] == 1 && r.seen[3] == 1);
}

static bool never(void *arg, const struct store_entry *e)
{
	(void)arg, (void)e;
	fail();
	return false;
}

static void lists_only_directories(void **state)
{
	struct kit *k = *state;
	uint64_t file = kit_must_file(k, ROOT, "f"), dir = kit_must_dir(k, ROOT, "d");

	assert_int_equal(store_readdir(k->store, file, 0, false, never, NULL), -ENOTDIR);
	assert_int_equal(store_readdir(k->store, file + 1000, 0, false, never, NULL), -ESTALE);
	assert_int_equal(kit_rmdir(k, ROOT, "d"), 0);
	/* One that is deleted but open is empty. */
	assert_int_equal(store_readdir(k->store, dir, 0, true, never, NULL), 0);
}

int contract_readdir(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(lists_all_once),
		CONTRACT_TEST(survives_changes_while_it_is_read),
		CONTRACT_TEST(places_stay),
		CONTRACT_TEST(lists_links),
		CONTRACT_TEST(lists_only_directories),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
