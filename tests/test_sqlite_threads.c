/*
 * Several threads write, read, flush and look on while the disk fails now and then, and the keeper
 * moves the log beside them. Each writer has a record of its own, full of one letter at any time:
 * after a write that worked it is full of the new one, after one that failed still of the old one;
 * whoever reads never sees two. In the end the file has no fault.
 */
#include "fault_vfs.h"
#include "store_file.h"

#include "cache/store/sqlite_check.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS 3
#define WRITES 160 /* of each; together more than the log's size, so that the keeper works */
#define BLOCKS 32u
#define LEN ((size_t)BLOCKS * STORE_BLOCK_SIZE)

struct record {
	struct store *store;
	uint64_t ino;
	unsigned seed;
	char letter; /* the last one that was acknowledged */
	char *data;
	struct store_span span;
};

static struct record records[WRITERS];
static atomic_int writing; /* threads that still write */
static atomic_int hits;	   /* faults that there were */
static atomic_int wrong;   /* what was found wrong; asserts are for the main thread */

/* The letter that the record is full of; '?': of more than one. */
static char content(struct record *r, struct store_span *span)
{
	char letter = '\0';
	if (store_read(r->store, r->ino, 0, BLOCKS, span) < 0)
		return '?';
	for (uint32_t i = 0; i < span->count; i++) {
		const struct block *b = span->blocks[i];
		if (i == 0)
			letter = (char)b->data[0];
		if (b->len != STORE_BLOCK_SIZE || (char)b->data[0] != letter ||
			memcmp(b->data, b->data + 1, b->len - 1) != 0)
			letter = '?';
	}
	if (span->count != BLOCKS)
		letter = '?';
	store_span_release(span);
	return letter;
}

static int write_letter(struct record *r, char letter, bool durable)
{
	memset(r->data, letter, LEN);
	struct change ch = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = r->ino, .data = r->data, .len = LEN}};
	int result = store_apply_one(r->store, &ch, durable);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
	return result;
}

static void *write_records(void *arg)
{
	struct record *r = arg;
	for (int n = 0; n < WRITES; n++) {
		char letter = (char)('a' + n % 26);
		if (write_letter(r, letter, rand_r(&r->seed) % 4 == 0) == 0)
			r->letter = letter;
		if (content(r, &r->span) != r->letter)
			atomic_fetch_add(&wrong, 1);
	}
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

static void *read_records(void *arg)
{
	struct store_span *span = calloc(1, sizeof *span);
	(void)arg;
	while (span && atomic_load(&writing) > 0)
		for (size_t i = 0; i < WRITERS; i++)
			if (content(&records[i], span) == '?')
				atomic_fetch_add(&wrong, 1);
	free(span);
	return NULL;
}

/* What fails next, and whether the next flush does: by and by each kind at each step. */
static void *fail_and_flush(void *arg)
{
	static const unsigned ops[] = {
		FAULT_LOG_WRITE, FAULT_LOG_SYNC, FAULT_DB_WRITE, FAULT_DB_SYNC, FAULT_DB_GROW};
	struct store *store = records[0].store;
	bool faults = *(const bool *)arg;
	unsigned seed = 7;
	for (unsigned n = 0; atomic_load(&writing) > 0; n++) {
		struct store_stats stats = {0};
		if (faults) {
			atomic_fetch_add(&hits, fault_vfs_disarm());
			fault_vfs_arm(ops[n % ARRAY_LEN(ops)], rand_r(&seed) % 8, false,
				n % 3 ? SQLITE_IOERR : SQLITE_FULL);
		}
		IGNORE(store_flush(store));
		store_stats(store, &stats);
	}
	return NULL;
}

static void fault(void *arg, const struct sqlite_check_fault *f)
{
	(void)arg;
	fprintf(stderr, "inode %llu: %s\n", (unsigned long long)f->ino, f->what);
}

static void run(struct store_file *f, bool faults)
{
	pthread_t writers[WRITERS], reader, failer;
	atomic_store(&hits, 0);
	atomic_store(&wrong, 0);
	atomic_store(&writing, WRITERS);
	for (unsigned i = 0; i < WRITERS; i++) {
		char name[8];
		snprintf(name, sizeof name, "%u", i);
		records[i] = (struct record){.store = f->store, .seed = i, .letter = '-'};
		records[i].ino = store_file_create(f, name);
		records[i].data = malloc(LEN);
		assert_non_null(records[i].data);
		assert_int_equal(write_letter(&records[i], '-', true), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_records, &records[i]), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_records, NULL), 0);
	assert_int_equal(pthread_create(&failer, NULL, fail_and_flush, &faults), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	pthread_join(reader, NULL);
	pthread_join(failer, NULL);
	atomic_fetch_add(&hits, fault_vfs_disarm());
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(atomic_load(&hits) > 0, faults);

	store_file_close(f);
	struct sqlite_check_handler handler = {.fault = fault};
	struct sqlite_check_summary sum;
	if (sqlite_check(f->path, &handler, &sum, f->why, sizeof f->why) < 0)
		fail_msg("%s", f->why);
	assert_int_equal(sum.faults, 0);
	assert_int_equal(sum.blocks, (uint64_t)WRITERS * BLOCKS);
	store_file_open(f);
	for (unsigned i = 0; i < WRITERS; i++) {
		records[i].store = f->store;
		assert_int_equal(content(&records[i], &records[i].span), records[i].letter);
		free(records[i].data);
	}
}

static void test_threads(void **state)
{
	run(*state, false);
}

static void test_threads_on_a_failing_disk(void **state)
{
	run(*state, true);
}

int main(void)
{
	fault_vfs_install();
#define TEST(f) cmocka_unit_test_setup_teardown(f, store_file_setup, store_file_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_threads),
		TEST(test_threads_on_a_failing_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
