/*
 * Files that no store would write: rows that overlap, counts that lie. Whatever a file holds, the
 * store answers with data that belongs there or with an error, and never leaves its memory.
 */
#include "store_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 512u /* what one read may ask for */

static struct store_span span;

/* A row of data of `count` blocks at `block` of inode `ino`, without checksums. */
static void put_row(struct store_file *f, uint64_t ino, unsigned block, unsigned count)
{
	char sql[160];
	snprintf(sql, sizeof sql,
		"INSERT OR REPLACE INTO block VALUES((%llu << 30) + %u, NULL, zeroblob(%u))",
		(unsigned long long)ino, block, count * STORE_BLOCK_SIZE);
	store_file_sql(f, sql);
}

/* Every block of the file has a row, each one as long as its chunk allows. */
static void test_overlapping_rows(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(
		store_file_write(f, ino, 0, 'a', (size_t)BLOCKS * STORE_BLOCK_SIZE, true), 0);
	store_file_close(f);
	char sql[512];
	snprintf(sql, sizeof sql,
		"WITH RECURSIVE n(b) AS (SELECT 0 UNION ALL SELECT b + 1 FROM n WHERE b < 511)"
		" INSERT OR REPLACE INTO block"
		" SELECT (%llu << 30) + b, NULL, zeroblob((16 - b %% 16) * 4096) FROM n",
		(unsigned long long)ino);
	store_file_sql(f, sql);
	store_file_open(f);
	assert_int_equal(store_read(f->store, ino, 0, BLOCKS, &span), -EIO);
	assert_int_equal(store_read(f->store, ino, 8, 32, &span), -EIO);
}

/* A row reaches over the next one: what follows must not be taken for other blocks. */
static void test_one_row_over_another(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 32 * STORE_BLOCK_SIZE, true), 0);
	store_file_close(f);
	put_row(f, ino, 9, 2);
	store_file_open(f);
	assert_int_equal(store_read(f->store, ino, 0, 32, &span), -EIO);
	/* What is not concerned can be read. */
	assert_int_equal(store_read(f->store, ino, 16, 16, &span), 0);
	assert_int_equal(span.count, 16);
	store_span_release(&span);
}

/* A row reaches past the end of the file: nothing past it is shown. */
static void test_row_past_the_end(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 2 * STORE_BLOCK_SIZE, true), 0);
	store_file_close(f);
	put_row(f, ino, 0, 8);
	store_file_open(f);
	assert_int_equal(store_read(f->store, ino, 0, 8, &span), 0);
	assert_int_equal(span.count, 2);
	store_span_release(&span);
}

/* Counts that are too low: the record can be emptied and deleted all the same. */
static void test_counts_too_low(void **state)
{
	struct store_file *f = *state;
	struct store_attr attr;
	uint64_t ino = store_file_create(f, "record");
	assert_int_equal(store_file_write(f, ino, 0, 'a', 8 * STORE_BLOCK_SIZE, true), 0);
	struct change reserve = {.kind = CHANGE_ALLOCATE,
		.now = 3,
		.allocate = {.ino = ino,
			.mode = STORE_ALLOCATE,
			.offset = 8 * STORE_BLOCK_SIZE,
			.len = 8 * STORE_BLOCK_SIZE}};
	assert_int_equal(store_apply_one(f->store, &reserve, true), 0);
	store_file_close(f);
	store_file_sql(f, "UPDATE inode SET blocks = 1, reserved = 1 WHERE blocks > 0");
	store_file_open(f);
	struct change cut = {.kind = CHANGE_SETATTR,
		.now = 4,
		.setattr = {.ino = ino, .mask = STORE_SET_SIZE, .size = 2 * STORE_BLOCK_SIZE}};
	assert_int_equal(store_apply_one(f->store, &cut, true), 0);
	assert_int_equal(store_getattr(f->store, ino, &attr), 0);
	struct change unlink = {.kind = CHANGE_UNLINK,
		.now = 5,
		.unlink = {.parent = STORE_ROOT_INO, .name = {.bytes = "record", .len = 6}}};
	assert_int_equal(store_apply_one(f->store, &unlink, true), 0);
	struct change reap = {.kind = CHANGE_REAP, .now = 6, .reap = {.ino = ino}};
	assert_int_equal(store_apply_one(f->store, &reap, true), 0);
	assert_int_equal(store_getattr(f->store, ino, &attr), -ESTALE);
}

/* A hole longer than any file: cutting it must not reach into the keys of another inode. */
static void test_hole_without_end(void **state)
{
	struct store_file *f = *state;
	uint64_t inos[2] = {store_file_create(f, "even"), store_file_create(f, "odd")};
	for (int i = 0; i < 2; i++) {
		struct change grow = {.kind = CHANGE_SETATTR,
			.now = 3,
			.setattr = {.ino = inos[i], .mask = STORE_SET_SIZE, .size = 40960}};
		assert_int_equal(store_apply_one(f->store, &grow, true), 0);
	}
	store_file_close(f);
	store_file_sql(f, "UPDATE hole SET count = 1 << 40");
	store_file_open(f);
	static const char *const names[] = {"even", "odd"};
	for (int i = 0; i < 2; i++) {
		struct change unlink = {.kind = CHANGE_UNLINK,
			.now = 4,
			.unlink = {.parent = STORE_ROOT_INO,
				.name = {.bytes = names[i], .len = strlen(names[i])}}};
		struct change reap = {.kind = CHANGE_REAP, .now = 5, .reap = {.ino = inos[i]}};
		assert_int_equal(inos[i] % 2, i);
		assert_int_equal(store_apply_one(f->store, &unlink, true), 0);
		alarm(20); /* it may go on for ever */
		assert_int_equal(store_apply_one(f->store, &reap, true), 0);
		alarm(0);
		store_file_close(f);
		store_file_sql(
			f, i == 0 ? "CREATE TEMP TABLE one(n CHECK(n = 1)); INSERT INTO one SELECT"
				    " count(*) FROM hole WHERE count = 1 << 40"
				  : "CREATE TEMP TABLE none(n CHECK(n = 0));"
				    "INSERT INTO none SELECT count(*) FROM hole");
		store_file_open(f);
	}
}

/* Numbers past 32 bits are errors, and not what is left of them. */
static void test_numbers_too_large(void **state)
{
	struct store_file *f = *state;
	static const char *const columns[] = {"mode", "uid", "gid", "nlink", "rdev"};
	uint64_t ino = store_file_create(f, "record");
	struct store_attr attr;
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		char sql[96];
		snprintf(sql, sizeof sql, "UPDATE inode SET %s = %s + (1 << 32) WHERE ino > 1",
			columns[i], columns[i]);
		store_file_sql(f, sql);
		assert_int_equal(store_getattr(f->store, ino, &attr), -EIO);
		snprintf(sql, sizeof sql, "UPDATE inode SET %s = %s - (1 << 32) WHERE ino > 1",
			columns[i], columns[i]);
		store_file_sql(f, sql);
		assert_int_equal(store_getattr(f->store, ino, &attr), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_overlapping_rows, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_one_row_over_another, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_row_past_the_end, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_counts_too_low, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_hole_without_end, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_numbers_too_large, store_file_setup, store_file_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
