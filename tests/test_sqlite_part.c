/*
 * Small reads, which are parts of long rows: they bring what whole rows would, whatever is wrong
 * with these, wherever their pages are, and touch few of them.
 */
#include "fault_vfs.h"
#include "store_file.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define B ((size_t)STORE_BLOCK_SIZE)
#define CHUNK 16u
#define BLOCKS 84u /* of the file */
#define SIZE (BLOCKS * B - 1000)

static struct store_span span;
static unsigned char content[BLOCKS * B];

static void write_at(struct store_file *f, uint64_t ino, size_t at, size_t len)
{
	static unsigned seed;
	for (size_t i = at; i < at + len; i++)
		content[i] = (unsigned char)(i / B * 7 + i % 251 + seed);
	seed++;
	struct change ch = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = ino, .offset = at, .data = content + at, .len = len}};
	assert_int_equal(store_apply_one(f->store, &ch, false), 0);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
}

/* Blocks 0-31 in two long rows, 32-47 in one of 5, a hole, and rows of one; then long rows. */
static uint64_t make(struct store_file *f)
{
	memset(content, 0, sizeof content);
	uint64_t ino = store_file_create(f, "record");
	write_at(f, ino, 0, 37 * B);
	for (size_t block = 42; block < 48; block++)
		write_at(f, ino, block * B, B);
	write_at(f, ino, 48 * B, SIZE - 48 * B);
	return ino;
}

static void check_span(uint64_t first, uint32_t count)
{
	uint64_t end = first + count < BLOCKS ? first + count : BLOCKS;
	assert_true(span.first <= first && span.first + span.count >= end);
	for (uint32_t i = 0; i < span.count; i++) {
		static const unsigned char zeros[STORE_BLOCK_SIZE];
		const struct block *b = span.blocks[i];
		const unsigned char *expected = content + (span.first + i) * B;
		assert_memory_equal(b->data, expected, b->len);
		size_t rest = B - b->len;
		assert_memory_equal(expected + b->len, zeros, rest);
	}
}

static void read_all(struct store_file *f, uint64_t ino)
{
	for (uint32_t count = 1; count <= 20; count++)
		for (uint64_t first = 0; first < BLOCKS; first++) {
			/* In no order, so that most reads do not go on where another one ended. */
			uint64_t at = first * 37 % BLOCKS;
			assert_int_equal(store_read(f->store, ino, at, count, &span), 0);
			check_span(at, count);
			store_span_release(&span);
		}
}

static void test_content(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	read_all(f, ino); /* all of it in the log */
	store_file_close(f);
	store_file_open(f);
	read_all(f, ino); /* in the database */
	for (size_t block = 3; block < BLOCKS - 1; block += 9)
		write_at(f, ino, block * B + 100, 3000);
	read_all(f, ino); /* a chain's pages in both */
	store_file_close(f);
	assert_int_equal(store_file_try_open(f, true), 0);
	read_all(f, ino);
}

/* Reads, and returns how many pages that took; what the connection needs anyway is in its memory.
 */
static unsigned pages(struct store_file *f, uint64_t ino, uint64_t first, uint32_t count)
{
	fault_vfs_count(FAULT_DB_READ);
	assert_int_equal(store_read(f->store, ino, first, count, &span), 0);
	check_span(first, count);
	store_span_release(&span);
	return fault_vfs_count(FAULT_DB_READ);
}

static void reopen(struct store_file *f, uint64_t ino)
{
	store_file_close(f);
	store_file_open(f);
	pages(f, ino, 43, 1);
}

/* A block costs two pages, and what leads to them, wherever it is in its row. */
static void test_few_pages(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	for (uint64_t first = 1; first < CHUNK; first++) {
		reopen(f, ino);
		assert_in_range(pages(f, ino, first, 1), 1, 5);
	}
	reopen(f, ino);
	assert_in_range(pages(f, ino, 3, 4), 4, 8);
	reopen(f, ino);
	assert_in_range(pages(f, ino, 15, 2), 2, 7); /* of two rows */
	reopen(f, ino);
	assert_in_range(pages(f, ino, 0, 1), CHUNK, 2 * CHUNK); /* all of the row */
}

static void brings(struct store_file *f, uint64_t ino, uint64_t at, uint64_t first, uint32_t count)
{
	assert_int_equal(store_read(f->store, ino, at, 1, &span), 0);
	check_span(at, 1);
	assert_int_equal(span.first, first);
	assert_int_equal(span.count, count);
	store_span_release(&span);
}

/* Who goes on where a read has ended gets whole rows, also with others in between. */
static void test_in_sequence(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	brings(f, ino, 0, 0, CHUNK);
	brings(f, ino, 70, 70, 1);
	brings(f, ino, CHUNK, CHUNK, CHUNK);
	brings(f, ino, 71, 64, CHUNK);
	brings(f, ino, 5, 5, 1);
	brings(f, ino, 7, 7, 1);
	brings(f, ino, 6, 0, CHUNK);
	brings(f, ino, 80, 80, 4);
}

static int error_of(struct store_file *f, uint64_t ino, uint64_t first, uint32_t count)
{
	int r = store_read(f->store, ino, first, count, &span);
	if (r == 0)
		check_span(first, count);
	store_span_release(&span);
	return r;
}

static void damage(struct store_file *f, uint64_t ino, const char *set)
{
	char sql[512];
	store_file_close(f);
	snprintf(sql, sizeof sql, "UPDATE block SET %s WHERE key = %llu << 30", set,
		(unsigned long long)ino);
	store_file_sql(f, sql);
	store_file_open(f);
}

/* A byte of block 5 is wrong. */
static void test_wrong_checksum(void **state)
{
	struct store_file *f = *state;
	struct store_stats stats = {0};
	uint64_t ino = make(f);
	damage(f, ino,
		"data = CAST(substr(data, 1, 20490) || x'00' || substr(data, 20492) AS BLOB)");
	assert_int_equal(error_of(f, ino, 4, 1), 0);
	assert_int_equal(error_of(f, ino, 6, 3), 0);
	store_stats(f->store, &stats);
	assert_int_equal(stats.checksum_failures, 0);
	assert_int_equal(error_of(f, ino, 5, 1), -EBADMSG);
	store_stats(f->store, &stats);
	assert_int_equal(stats.checksum_failures, 1);
	assert_int_equal(error_of(f, ino, 2, 4), -EBADMSG);
	assert_int_equal(error_of(f, ino, 0, CHUNK), -EBADMSG);
	assert_int_equal(error_of(f, ino, 10, CHUNK), 0);
	/* The others of the row that come along do not fail a read. */
	assert_int_equal(error_of(f, ino, 0, 1), 0);
	assert_int_equal(error_of(f, ino, 0, 3), 0);
	assert_int_equal(error_of(f, ino, 3, 1), 0);
}

static void test_odd_rows(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	/* Written by an SQL client: without checksums. */
	damage(f, ino, "sums = NULL");
	assert_int_equal(error_of(f, ino, 5, 1), 0);
	assert_int_equal(error_of(f, ino, 14, 4), 0);
	/* Too few of them. */
	damage(f, ino, "sums = x'0011'");
	assert_int_equal(error_of(f, ino, 5, 1), -EIO);
	assert_int_equal(error_of(f, ino, 14, 4), -EIO);
	assert_int_equal(error_of(f, ino, 17, 1), 0);
	/* Blocks 12 to 15 are in no row, and in no hole. */
	damage(f, ino, "sums = NULL, data = substr(data, 1, 12 * 4096)");
	assert_int_equal(error_of(f, ino, 11, 1), 0);
	assert_int_equal(error_of(f, ino, 12, 1), -EBADMSG);
	assert_int_equal(error_of(f, ino, 10, 3), -EBADMSG);
	assert_int_equal(error_of(f, ino, 15, 2), -EBADMSG);
	/* More than a row may have. */
	damage(f, ino, "data = zeroblob(17 * 4096)");
	assert_int_equal(error_of(f, ino, 5, 1), -EIO);
	/* No row at all. */
	damage(f, ino, "key = 1 << 60");
	assert_int_equal(error_of(f, ino, 5, 1), -EBADMSG);
	assert_int_equal(error_of(f, ino, 0, 1), -EBADMSG);
}

/* The disk fails with the 1st, 2nd, 3rd ... page of a read: an error, and then none. */
static void fail_each(struct store_file *f, uint64_t ino, uint64_t first, uint32_t count)
{
	int n = 0;
	for (bool hit = true; hit; n++) {
		store_file_close(f);
		store_file_open(f);
		assert_int_equal(error_of(f, ino, 43, 1), 0);
		fault_vfs_arm(FAULT_DB_READ, n, false, SQLITE_IOERR_READ);
		int r = error_of(f, ino, first, count);
		hit = fault_vfs_disarm() > 0;
		assert_int_equal(r, hit ? -EIO : 0);
		assert_int_equal(error_of(f, ino, first, count), 0);
	}
	assert_in_range(n, 3, 60);
}

static void test_read_faults(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	fail_each(f, ino, 9, 1);
	fail_each(f, ino, 9, 5);
	fail_each(f, ino, 12, 8);
	fail_each(f, ino, 0, 1);
}

/* What was read in long pieces is not taken for what is there later: the same rows are overwritten
 * where they are, and that is moved into the database, before they are read again. */
static void test_nothing_old(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = make(f);
	for (unsigned i = 0; i < 6; i++) {
		write_at(f, ino, CHUNK * B, CHUNK * B);
		store_file_sql(f, "PRAGMA wal_checkpoint(PASSIVE)");
		/* More than what is read in parts. */
		assert_int_equal(store_read(f->store, ino, CHUNK, CHUNK + 1, &span), 0);
		check_span(CHUNK, CHUNK + 1);
		store_span_release(&span);
	}
}

int main(void)
{
	fault_vfs_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_content, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_few_pages, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_in_sequence, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_wrong_checksum, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_odd_rows, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_read_faults, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_nothing_old, store_file_setup, store_file_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
