/*
 * Batches of the SQLite store in which changes fail: at every place, before they have altered
 * anything and after, because of what they ask for, of the disk, and of the store's limit. Whatever
 * fails, fails alone; each of the others is there, once, with one version more.
 */
#include "fault_vfs.h"
#include "scarce.h"
#include "store_file.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A block, and a row of 16. */
#define BLOCK ((size_t)STORE_BLOCK_SIZE)
#define ROW (16 * BLOCK)

static struct change write_to(uint64_t ino, uint64_t offset, const void *data, size_t len)
{
	return (struct change){.kind = CHANGE_WRITE,
		.now = 5,
		.write = {.ino = ino, .offset = offset, .data = data, .len = len}};
}

static struct change create(const char *name)
{
	return (struct change){.kind = CHANGE_CREATE,
		.now = 5,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = name, .len = strlen(name)},
			.mode = S_IFREG | 0644}};
}

static void apply(struct store *s, struct change *c, size_t n)
{
	struct change *table[16];
	assert_in_range(n, 1, ARRAY_LEN(table));
	for (size_t i = 0; i < n; i++)
		table[i] = &c[i];
	store_apply(s, table, n, false);
	for (size_t i = 0; i < n; i++) {
		assert_false(c[i].doubtful);
		if (c[i].kind != CHANGE_WRITE)
			continue;
		c[i].write.head = block_unref(c[i].write.head);
		c[i].write.tail = block_unref(c[i].write.tail);
	}
}

static struct store_attr attr_of(struct store *s, uint64_t ino)
{
	struct store_attr a;
	assert_int_equal(store_getattr(s, ino, &a), 0);
	return a;
}

static bool exists(struct store *s, const char *name)
{
	struct store_attr a;
	int r = store_lookup(s, STORE_ROOT_INO, name, strlen(name), &a);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* The first byte of a block; '\0' of a hole. */
static char first_of(struct store *s, uint64_t ino, uint64_t block)
{
	static struct store_span span;
	assert_int_equal(store_read(s, ino, block, 1, &span), 0);
	assert_in_range(block, span.first, span.first + span.count - 1);
	const struct block *b = span.blocks[block - span.first];
	char first = b->len ? (char)b->data[0] : '\0';
	store_span_release(&span);
	return first;
}

/* -- refused by what they ask for ------------------------------------------------------------- */

struct records {
	uint64_t a, b;	  /* three rows of 16 blocks, all 'a' */
	uint64_t damaged; /* the same, but the checksum of its last block is wrong */
};

static uint64_t new_record(struct store_file *f, const char *name)
{
	uint64_t ino = store_file_create(f, name);
	assert_int_equal(store_file_write(f, ino, 0, 'a', 3 * ROW, false), 0);
	return ino;
}

static struct records make_records(struct store_file *f)
{
	struct records r = {new_record(f, "a"), new_record(f, "b"), new_record(f, "damaged")};
	char sql[160];
	store_file_close(f);
	snprintf(sql, sizeof sql,
		"UPDATE block SET sums = zeroblob(128) WHERE key = (SELECT max(key) FROM block"
		" WHERE key >> 30 = %llu)",
		(unsigned long long)r.damaged);
	store_file_sql(f, sql);
	store_file_open(f);
	return r;
}

/* Ways to fail. */
static struct change refused_at_once(const struct records *r)
{
	(void)r;
	return create("a");
}

static struct change refused_write(const struct records *r)
{
	return write_to(r->b + 1000, 0, "x", 1);
}

/* Zeros the end of a good block, and then finds the damaged one. */
static struct change refused_halfway(const struct records *r)
{
	return (struct change){.kind = CHANGE_ALLOCATE,
		.now = 5,
		.allocate = {.ino = r->damaged,
			.mode = STORE_PUNCH_HOLE,
			.offset = BLOCK + 100,
			.len = 3 * ROW - BLOCK - 200}};
}

static const struct {
	struct change (*make)(const struct records *r);
	int result;
} failures[] = {
	{refused_at_once, -EEXIST},
	{refused_write, -ESTALE},
	{refused_halfway, -EBADMSG},
};

#define GOOD 7
/* Writes of all sorts, of the same records again and again, between others. */
static void make_good(const struct records *r, struct change *c, const char *data)
{
	c[0] = write_to(r->a, 3 * BLOCK, data, BLOCK); /* in a row */
	c[1] = write_to(r->a, 3 * ROW, data, 100);     /* a new row, and a longer file */
	c[2] = write_to(r->b, 5 * BLOCK, data, 2 * BLOCK);
	c[3] = write_to(r->a, 0, data, 10);
	c[4] = create("new");
	c[5] = write_to(r->b, 40 * BLOCK, data, BLOCK);
	c[6] = write_to(r->a, 3 * ROW + 100, data, 100);
}

static void check_good(struct store *s, const struct records *r, const struct change *c,
	const struct store_attr *a, const struct store_attr *b)
{
	static const unsigned a_versions[GOOD] = {1, 2, 0, 3, 0, 0, 4};
	static const unsigned b_versions[GOOD] = {0, 0, 1, 0, 0, 2, 0};
	for (size_t i = 0; i < GOOD; i++) {
		assert_int_equal(c[i].result, 0);
		if (a_versions[i])
			assert_int_equal(c[i].touched[0].version, a->version + a_versions[i]);
		if (b_versions[i])
			assert_int_equal(c[i].touched[0].version, b->version + b_versions[i]);
	}
	assert_int_equal(c[0].touched[0].size, 3 * ROW);
	assert_int_equal(c[1].touched[0].size, 3 * ROW + 100);
	assert_int_equal(c[3].touched[0].size, 3 * ROW + 100);
	struct store_attr now = attr_of(s, r->a);
	assert_int_equal(now.version, a->version + 4);
	assert_int_equal(now.size, 3 * ROW + 200);
	assert_int_equal(now.blocks, a->blocks + 1);
	assert_int_equal(now.mtime, 5);
	now = attr_of(s, r->b);
	assert_int_equal(now.version, b->version + 2);
	assert_int_equal(now.size, b->size);
	assert_int_equal(first_of(s, r->a, 3), 'n');
	assert_int_equal(first_of(s, r->a, 4), 'a');
	assert_int_equal(first_of(s, r->b, 6), 'n');
	assert_int_equal(first_of(s, r->b, 40), 'n');
	assert_true(exists(s, "new"));
}

static void fail_at(struct store_file *f, size_t which, size_t place, bool twice)
{
	static char data[2 * STORE_BLOCK_SIZE];
	memset(data, 'n', sizeof data);
	struct records r = make_records(f);
	struct store_attr a = attr_of(f->store, r.a), b = attr_of(f->store, r.b),
			  damaged = attr_of(f->store, r.damaged);
	struct change good[GOOD], batch[GOOD + 2];
	size_t n = 0;
	make_good(&r, good, data);
	for (size_t i = 0; i <= GOOD; i++) {
		if (i == place || (twice && i == GOOD))
			batch[n++] = failures[which].make(&r);
		if (i < GOOD)
			batch[n++] = good[i];
	}
	apply(f->store, batch, n);
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		bool bad = i == place || (twice && i == n - 1);
		if (bad)
			assert_int_equal(batch[i].result, failures[which].result);
		else
			good[at++] = batch[i];
	}
	check_good(f->store, &r, good, &a, &b);
	struct store_attr now = attr_of(f->store, r.damaged);
	assert_int_equal(now.version, damaged.version);
	assert_int_equal(now.blocks, damaged.blocks);
	/* What a change of it began is not there: its block has no zeros at the end. */
	static struct store_span span;
	assert_int_equal(store_read(f->store, r.damaged, 1, 1, &span), 0);
	assert_int_equal(span.blocks[1 - span.first]->data[STORE_BLOCK_SIZE - 1], 'a');
	store_span_release(&span);
}

static void test_fails_alone(void **state)
{
	for (size_t which = 0; which < ARRAY_LEN(failures); which++)
		for (size_t place = 0; place <= GOOD; place++) {
			if (*state)
				store_file_teardown(state);
			store_file_setup(state);
			fail_at(*state, which, place, place % 2 == 0 && place < GOOD);
		}
}

/* Numbers that a batch took and lost are not given out twice. */
static void test_numbers_stay_unique(void **state)
{
	struct store_file *f = *state;
	struct records r = make_records(f);
	char names[60][8];
	uint64_t last = 0;
	for (unsigned i = 0; i < 60; i += 2) {
		snprintf(names[i], sizeof names[i], "n%u", i);
		snprintf(names[i + 1], sizeof names[i + 1], "n%u", i + 1);
		struct change c[] = {
			create(names[i]), refused_halfway(&r), create("a"), create(names[i + 1])};
		apply(f->store, c, ARRAY_LEN(c));
		assert_int_equal(c[0].result, 0);
		assert_int_equal(c[3].result, 0);
		assert_true(c[0].touched[0].ino > last);
		assert_true(c[3].touched[0].ino > c[0].touched[0].ino);
		last = c[3].touched[0].ino;
		assert_int_equal(
			attr_of(f->store, STORE_ROOT_INO).version, c[3].touched[1].version);
	}
}

/* More inodes than rows are held back, each twice. */
static void test_many_inodes(void **state)
{
	struct store_file *f = *state;
	uint64_t ino[40];
	char name[8];
	static struct change c[80];
	static struct change *table[80];
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "f%u", i);
		ino[i] = store_file_create(f, name);
	}
	for (unsigned i = 0; i < 80; i++) {
		c[i] = write_to(ino[i % 40], i / 40 * BLOCK, "0123456789", 10);
		table[i] = &c[i];
	}
	store_apply(f->store, table, 80, false);
	for (unsigned i = 0; i < 80; i++) {
		c[i].write.head = block_unref(c[i].write.head);
		c[i].write.tail = block_unref(c[i].write.tail);
		assert_int_equal(c[i].result, 0);
		assert_int_equal(c[i].touched[0].version, 2 + i / 40);
		assert_int_equal(c[i].touched[0].size, i / 40 * BLOCK + 10);
	}
	for (unsigned i = 0; i < 40; i++) {
		struct store_attr a = attr_of(f->store, ino[i]);
		assert_int_equal(a.version, 3);
		assert_int_equal(a.size, BLOCK + 10);
		assert_int_equal(a.blocks, 2);
	}
}

/* -- failed by the disk ------------------------------------------------------------------------ */

static void check_survivors(struct store *s, const struct change *c, char fill, char old,
	const struct records *r, const struct store_attr *before)
{
	static const uint64_t block[] = {3, 0, 17, 40};
	unsigned good = 0;
	for (unsigned i = 0; i < ARRAY_LEN(block); i++) {
		assert_int_equal(first_of(s, r->a, block[i]), c[i].result == 0 ? fill : old);
		if (c[i].result == 0)
			assert_int_equal(c[i].touched[0].version, before->version + ++good);
		else
			assert_int_equal(c[i].result, -EIO);
	}
	assert_int_equal(attr_of(s, r->a).version, before->version + good);
	assert_int_equal(exists(s, "new"), c[4].result == 0);
	assert_int_equal(c[5].result == 0 ? fill : 'a', first_of(s, r->b, 7));
}

/* The nth read fails, for n = 0, 1, 2, ..., in a store that has just been opened. */
static void test_reads_fail(void **state)
{
	struct store_file *f = *state;
	struct records r = make_records(f);
	static char data[STORE_BLOCK_SIZE];
	int hits = 1, total = 0, failed = 0;
	for (int n = 0; hits > 0; n++) {
		char fill = (char)('A' + n % 26);
		store_file_close(f);
		store_file_open(f);
		char old = first_of(f->store, r.a, 3);
		for (unsigned i = 0; i < 4; i++) { /* all alike again */
			static const uint64_t block[] = {3, 0, 17, 40};
			assert_int_equal(
				store_file_write(f, r.a, block[i] * BLOCK, old, BLOCK, false), 0);
		}
		assert_int_equal(store_file_write(f, r.b, 7 * BLOCK, 'a', BLOCK, false), 0);
		store_file_close(f);
		store_file_open(f);
		struct store_attr before = attr_of(f->store, r.a);
		memset(data, fill, sizeof data);
		struct change c[] = {write_to(r.a, 3 * BLOCK, data, BLOCK),
			write_to(r.a, 0, data, BLOCK), write_to(r.a, 17 * BLOCK, data, 100),
			write_to(r.a, 40 * BLOCK, data, BLOCK), create("new"),
			write_to(r.b, 7 * BLOCK, data, BLOCK)};
		fault_vfs_arm(FAULT_DB_READ | FAULT_LOG_READ, n, n % 2 == 1, SQLITE_IOERR_READ);
		apply(f->store, c, ARRAY_LEN(c));
		hits = fault_vfs_disarm();
		total += hits;
		for (unsigned i = 0; i < ARRAY_LEN(c); i++)
			failed += c[i].result < 0;
		check_survivors(f->store, c, fill, old, &r, &before);
		struct change gone = {.kind = CHANGE_UNLINK,
			.now = 6,
			.unlink = {.parent = STORE_ROOT_INO, .name = {.bytes = "new", .len = 3}}};
		assert_int_equal(
			store_apply_one(f->store, &gone, false), c[4].result ? -ENOENT : 0);
		assert_true(n < 300);
	}
	assert_true(total > 0);
	assert_true(failed > 0);
}

/* -- failed by memory -------------------------------------------------------------------------- */

/* The nth allocation fails, for n = 0, 1, 2, ...: in the middle of a statement that writes, that
 * costs the whole transaction, not only the change. */
static void test_memory_runs_out(void **state)
{
	struct store_file *f = *state;
	struct records r = make_records(f);
	static char data[STORE_BLOCK_SIZE];
	uint64_t log = store_file_create(f, "log");
	char old = 'a';
	int refused = 1;
	for (int n = 0; refused > 0; n++) {
		char fill = (char)('A' + n % 26);
		struct store_attr before = attr_of(f->store, r.a), log_before;
		log_before = attr_of(f->store, log);
		memset(data, fill, sizeof data);
		struct change c[] = {write_to(r.a, 3 * BLOCK, data, BLOCK),
			write_to(log, log_before.size, data, 1500), create("new"),
			write_to(r.a, 3 * BLOCK, data, BLOCK), create("a")};
		scarce_arm(n);
		apply(f->store, c, ARRAY_LEN(c));
		refused = scarce_disarm();
		bool first = c[0].result == 0 || c[3].result == 0;
		old = first ? fill : old;
		assert_int_equal(first_of(f->store, r.a, 3), old);
		assert_int_equal(attr_of(f->store, r.a).version,
			before.version + (c[0].result == 0) + (c[3].result == 0));
		struct store_attr a = attr_of(f->store, log);
		assert_int_equal(a.version, log_before.version + (c[1].result == 0));
		assert_int_equal(a.size, log_before.size + (c[1].result == 0 ? 1500 : 0));
		assert_int_equal(exists(f->store, "new"), c[2].result == 0);
		assert_int_not_equal(c[4].result, 0);
		struct change gone = {.kind = CHANGE_UNLINK,
			.now = 6,
			.unlink = {.parent = STORE_ROOT_INO, .name = {.bytes = "new", .len = 3}}};
		assert_int_equal(
			store_apply_one(f->store, &gone, false), c[2].result ? -ENOENT : 0);
		assert_true(n < 3000);
	}
}

/* -- the limit --------------------------------------------------------------------------------- */

/* Those that fit are there, and those behind that do not need space. */
static void test_limit_is_met_halfway(void **state)
{
	struct store_file *f = *state;
	struct store_space before, space;
	uint64_t ino[6];
	char name[8];
	static char data[256 << 10];
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "f%u", i);
		ino[i] = store_file_create(f, name);
	}
	store_file_close(f);
	struct sqlite_config cfg = {
		.path = f->path, .max_size = 1 << 20, .busy_timeout_ms = f->busy_timeout_ms};
	assert_int_equal(sqlite_store_open(&cfg, &f->store, f->why, sizeof f->why), 0);
	assert_int_equal(store_statfs(f->store, &before), 0);
	memset(data, 'd', sizeof data);
	struct change c[8];
	for (unsigned i = 0; i < 6; i++)
		c[i] = write_to(ino[i], 0, data, sizeof data);
	c[6] = (struct change){.kind = CHANGE_UNLINK,
		.now = 6,
		.unlink = {.parent = STORE_ROOT_INO, .name = {.bytes = "f5", .len = 2}}};
	c[7] = create("small");
	apply(f->store, c, ARRAY_LEN(c));
	unsigned good = 0;
	for (unsigned i = 0; i < 6; i++) {
		assert_true(c[i].result == 0 || c[i].result == -ENOSPC);
		assert_int_equal(
			attr_of(f->store, ino[i]).size, c[i].result == 0 ? sizeof data : 0);
		good += c[i].result == 0;
	}
	assert_int_equal(good, before.free / (sizeof data + sizeof data / 64));
	assert_in_range(good, 2, 4);
	assert_int_equal(c[6].result, 0);
	assert_int_equal(c[7].result, 0);
	assert_int_equal(store_statfs(f->store, &space), 0);
	assert_true(space.free < sizeof data + sizeof data / 64);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_file_setup, store_file_teardown)
int main(void)
{
	scarce_install();
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		TEST(test_fails_alone),
		TEST(test_numbers_stay_unique),
		TEST(test_many_inodes),
		TEST(test_reads_fail),
		TEST(test_memory_runs_out),
		TEST(test_limit_is_met_halfway),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
