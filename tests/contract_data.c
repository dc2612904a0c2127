/* What a store promises about the data of regular files: writing, reading, truncating. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK 4096u
#define CHUNK 65536u /* what a store may keep together */

static unsigned char want[24 * BLOCK + 5 * CHUNK];

/* What a write says of a block that it covers partly is what the file then has there. */
static void expect_result(
	struct kit *k, uint64_t ino, const struct block *b, uint64_t index, bool due)
{
	unsigned char have[BLOCK];

	if (!due) {
		assert_null(b);
		return;
	}
	assert_non_null(b);
	uint64_t size = kit_attr(k, ino).size, start = index * BLOCK;
	size_t len = size - start < BLOCK ? (size_t)(size - start) : BLOCK;
	assert_true(b->len <= BLOCK);
	kit_read(k, ino, start, have, len);
	for (size_t i = 0; i < BLOCK; i++)
		assert_int_equal(i < b->len ? b->data[i] : 0, i < len ? have[i] : 0);
}

/* Writes a pattern over a file of `size` bytes; checks the results of the change and the file. */
static void write_over(struct kit *k, size_t size, size_t offset, size_t len, bool append)
{
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	memset(want, 0, sizeof want);
	if (size)
		kit_must_fill(k, ino, 0, size, 1, want);
	unsigned char *data = kit_memory(NULL, len);
	kit_pattern(data, len, 2);
	struct change c = {
		.kind = CHANGE_WRITE,
		.write =
			{
				.ino = ino,
				.offset = append ? 12345 : offset,
				.len = len,
				.data = data,
				.append = append,
			},
	};
	assert_int_equal(kit_apply(k, &c), 0);
	assert_int_equal(c.write.offset, offset);
	assert_int_equal(c.n_touched, 1);
	assert_int_equal(c.touched[0].mtime, c.now);
	memcpy(want + offset, data, len);
	free(data);

	size_t end = offset + len;
	kit_expect_bytes(k, ino, want, end > size ? end : size);
	uint64_t first = offset / BLOCK, last = (end - 1) / BLOCK;
	bool one = first == last;
	/* A block written from its start, to the end of the file or past it, is covered in a way
	 * that both answers are right for: all that it holds is the caller's. */
	bool open_end = end >= size && end % BLOCK;
	bool head = offset % BLOCK || (one && end % BLOCK);
	if (!(one && offset % BLOCK == 0 && open_end))
		expect_result(k, ino, c.write.head, first, head);
	if (one || !open_end)
		expect_result(k, ino, c.write.tail, last, !one && end % BLOCK);
	block_unref(c.write.head);
	block_unref(c.write.tail);
	assert_int_equal(kit_unlink(k, STORE_ROOT_INO, "f"), 0);
	kit_must_reap(k, ino);
}

static void writes_at_every_edge(void **state)
{
	struct kit *k = *state;
	static const struct {
		size_t size, offset, len;
	} w[] = {
		{0, 0, 1},
		{0, 0, BLOCK},
		{0, 0, BLOCK + 1},
		{0, 7, 1},
		{0, 3 * BLOCK + 5, 10},
		{1, 0, 1},
		{1, 1, 1},
		{5, 2, 2},
		{5, 0, 5},
		{BLOCK, 0, BLOCK},
		{BLOCK, 0, 100},
		{BLOCK, 100, 100},
		{BLOCK, BLOCK - 100, 100},
		{BLOCK, BLOCK - 1, 2},
		{BLOCK, BLOCK, BLOCK},
		{BLOCK, 3 * BLOCK, BLOCK},
		{3 * BLOCK, BLOCK - 1, BLOCK + 2},
		{3 * BLOCK, BLOCK + 1, BLOCK - 2},
		{3 * BLOCK, 1, 3 * BLOCK - 2},
		{3 * BLOCK + 100, 3 * BLOCK + 50, 100},
		{3 * BLOCK + 100, 3 * BLOCK + 200, 100},
		{3 * BLOCK + 100, 5 * BLOCK + 200, 2 * BLOCK},
		{CHUNK, 0, CHUNK},
		{CHUNK, 5 * BLOCK, BLOCK},
		{CHUNK, 5 * BLOCK + 3, 10},
		{CHUNK, CHUNK - 1, 2},
		{CHUNK, CHUNK / 2, CHUNK},
		{2 * CHUNK, CHUNK - BLOCK, 2 * BLOCK},
		{2 * CHUNK + 77, CHUNK + 1, CHUNK - 2},
		{3 * CHUNK, 10, 3 * CHUNK - 20},
		{CHUNK + 17, 0, 2 * CHUNK},
	};
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		write_over(k, w[i].size, w[i].offset, w[i].len, false);
}

static void appends_at_the_end_that_the_store_has(void **state)
{
	struct kit *k = *state;
	static const size_t sizes[] = {0, 1, BLOCK - 1, BLOCK, CHUNK - 3, CHUNK, CHUNK + BLOCK + 9};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		write_over(k, sizes[i], sizes[i], 10, true);
		write_over(k, sizes[i], sizes[i], BLOCK + 1, true);
	}
}

/* Large pieces are overwritten in small ones, and the reverse: a store that keeps blocks together
 * has to take them apart, and may put them together. */
static void overwrites_large_with_small_and_back(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	const size_t size = 4 * CHUNK;
	static const struct {
		size_t offset, len;
	} w[] = {
		{5 * BLOCK, BLOCK},		/* inside a chunk */
		{5 * BLOCK + 1, 1},		/* the piece again */
		{0, BLOCK},			/* its first block */
		{CHUNK - BLOCK, BLOCK},		/* its last one */
		{CHUNK - BLOCK, 2 * BLOCK},	/* over the border */
		{CHUNK + 100, CHUNK},		/* neither end aligned */
		{0, CHUNK},			/* all pieces by one again */
		{3 * CHUNK - BLOCK, CHUNK},	/* half of two */
		{BLOCK, 4 * CHUNK - 2 * BLOCK}, /* all but the ends */
		{2 * CHUNK, CHUNK},
		{2 * CHUNK + 3 * BLOCK, 7 * BLOCK},
		{0, 4 * CHUNK},
	};

	memset(want, 0, sizeof want);
	kit_must_fill(k, ino, 0, size, 1, want);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		kit_must_fill(k, ino, w[i].offset, w[i].len, (unsigned)i + 2, want);
		kit_expect_bytes(k, ino, want, size);
		assert_int_equal(kit_attr(k, ino).blocks, size / BLOCK);
	}
	/* Block by block, then as a whole. */
	for (size_t i = 0; i < 2 * CHUNK; i += BLOCK)
		kit_must_fill(k, ino, i, BLOCK, (unsigned)i / BLOCK, want);
	kit_expect_bytes(k, ino, want, size);
	kit_must_fill(k, ino, 0, CHUNK, 99, want);
	kit_expect_bytes(k, ino, want, size);
	assert_int_equal(kit_attr(k, ino).blocks, size / BLOCK);
}

static void truncates_and_never_shows_what_was_cut(void **state)
{
	struct kit *k = *state;
	static const size_t cuts[] = {0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, CHUNK - 1,
		CHUNK, CHUNK + 1, CHUNK + BLOCK, 2 * CHUNK - 7};
	const size_t size = 2 * CHUNK;

	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
		memset(want, 0, sizeof want);
		kit_must_fill(k, ino, 0, size, 3, want);
		assert_int_equal(kit_truncate(k, ino, cuts[i]), 0);
		kit_expect_bytes(k, ino, want, cuts[i]);
		assert_int_equal(kit_attr(k, ino).blocks, (cuts[i] + BLOCK - 1) / BLOCK);
		memset(want + cuts[i], 0, size - cuts[i]);
		/* Up again, in two steps: the second in the middle of a block. */
		assert_int_equal(kit_truncate(k, ino, cuts[i] + 10), 0);
		kit_expect_bytes(k, ino, want, cuts[i] + 10);
		assert_int_equal(kit_truncate(k, ino, size + 33), 0);
		kit_expect_bytes(k, ino, want, size + 33);
		assert_int_equal(kit_unlink(k, STORE_ROOT_INO, "f"), 0);
		kit_must_reap(k, ino);
	}
}

static void truncates_and_extends_by_writing(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	memset(want, 0, sizeof want);
	kit_must_fill(k, ino, 0, 3 * BLOCK, 1, want);
	assert_int_equal(kit_truncate(k, ino, BLOCK + 10), 0);
	memset(want + BLOCK + 10, 0, sizeof want - BLOCK - 10);
	/* The same block, past a gap; then one far away. */
	kit_must_fill(k, ino, BLOCK + 500, 10, 2, want);
	kit_expect_bytes(k, ino, want, BLOCK + 510);
	assert_int_equal(kit_truncate(k, ino, BLOCK + 10), 0);
	memset(want + BLOCK + 10, 0, sizeof want - BLOCK - 10);
	kit_must_fill(k, ino, CHUNK + 5, 10, 3, want);
	kit_expect_bytes(k, ino, want, CHUNK + 15);
}

static void keeps_times_of_data_changes(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	int64_t born = k->now;
	struct store_attr a = kit_attr(k, ino);

	assert_int_equal(a.atime, born);
	assert_int_equal(a.mtime, born);
	assert_int_equal(a.ctime, born);
	assert_int_equal(kit_write(k, ino, 0, "x", 1), 0);
	assert_int_equal(kit_attr(k, ino).mtime, k->now);
	assert_int_equal(kit_truncate(k, ino, 1), 0); /* to the same size: it counts */
	assert_int_equal(kit_attr(k, ino).mtime, k->now);
	a = kit_attr(k, ino);
	assert_int_equal(a.btime, born);
	assert_int_equal(a.atime, born);
}

static void reads_no_further_than_the_file(void **state)
{
	struct kit *k = *state;
	static struct store_span span;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	assert_int_equal(store_read(k->store, ino, 0, STORE_READ_MAX, &span), 0);
	assert_int_equal(span.count, 0);
	assert_int_equal(span.attr.size, 0);

	kit_must_fill(k, ino, 0, 3 * BLOCK + 1, 1, NULL);
	assert_int_equal(store_read(k->store, ino, 0, STORE_READ_MAX, &span), 0);
	assert_true(span.first == 0 && span.count == 4);
	assert_int_equal(span.blocks[3]->len, 1);
	store_span_release(&span);
	assert_int_equal(span.count, 0);

	assert_int_equal(store_read(k->store, ino, 2, 1, &span), 0);
	assert_true(span.first <= 2 && span.first + span.count >= 3);
	assert_true(span.first + span.count <= 4);
	store_span_release(&span);

	/* Past the end there is nothing that was asked for. */
	assert_int_equal(store_read(k->store, ino, 4, 10, &span), 0);
	assert_true(span.count == 0 || span.first + span.count <= 4);
	store_span_release(&span);
	assert_int_equal(store_read(k->store, ino, STORE_FILE_MAX / BLOCK - 1, 1, &span), 0);
	assert_int_equal(span.count, 0);
	store_span_release(&span);
}

static void reads_and_writes_only_regular_files(void **state)
{
	struct kit *k = *state;
	static struct store_span span;
	uint64_t dir = kit_must_dir(k, STORE_ROOT_INO, "d"), fifo = 0;

	assert_int_equal(kit_symlink(k, STORE_ROOT_INO, "l", "f"), 0);
	assert_int_equal(kit_create(k, STORE_ROOT_INO, "p", S_IFIFO | 0644, &fifo), 0);
	uint64_t link = kit_lookup(k, STORE_ROOT_INO, "l");
	uint64_t none = fifo + 1000;

	assert_int_equal(store_read(k->store, dir, 0, 1, &span), -EISDIR);
	assert_int_equal(store_read(k->store, fifo, 0, 1, &span), -EINVAL);
	assert_int_equal(store_read(k->store, link, 0, 1, &span), -EINVAL);
	assert_int_equal(store_read(k->store, none, 0, 1, &span), -ESTALE);
	assert_int_equal(span.count, 0);
	assert_int_equal(kit_write(k, dir, 0, "x", 1), -EISDIR);
	assert_int_equal(kit_write(k, fifo, 0, "x", 1), -EINVAL);
	assert_int_equal(kit_write(k, none, 0, "x", 1), -ESTALE);
	assert_int_equal(kit_truncate(k, dir, 0), -EISDIR);
	assert_int_equal(kit_truncate(k, link, 0), -EINVAL);
	assert_int_equal(kit_truncate(k, none, 0), -ESTALE);
	assert_int_equal(kit_allocate(k, dir, STORE_ALLOCATE, 0, 1), -EISDIR);
	assert_int_equal(kit_allocate(k, none, STORE_ALLOCATE, 0, 1), -ESTALE);
}

static void refuses_files_that_are_too_big(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	unsigned char c = 0;

	assert_int_equal(kit_write(k, ino, STORE_FILE_MAX, "x", 1), -EFBIG);
	assert_int_equal(kit_write(k, ino, STORE_FILE_MAX - 1, "xy", 2), -EFBIG);
	assert_int_equal(kit_write(k, ino, UINT64_MAX - 1, "xyz", 3), -EFBIG);
	assert_int_equal(kit_write(k, ino, INT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(kit_truncate(k, ino, STORE_FILE_MAX + 1), -EFBIG);
	assert_int_equal(kit_truncate(k, ino, UINT64_MAX), -EFBIG);
	assert_int_equal(kit_allocate(k, ino, STORE_ALLOCATE, STORE_FILE_MAX, 1), -EFBIG);
	assert_int_equal(kit_allocate(k, ino, STORE_ALLOCATE, 1, UINT64_MAX), -EFBIG);
	assert_int_equal(kit_allocate(k, ino, STORE_ZERO_RANGE, 1, STORE_FILE_MAX), -EFBIG);
	assert_int_equal(kit_attr(k, ino).size, 0);

	assert_int_equal(kit_write(k, ino, STORE_FILE_MAX - 1, "x", 1), 0);
	assert_int_equal(kit_attr(k, ino).size, STORE_FILE_MAX);
	kit_read(k, ino, STORE_FILE_MAX - 1, &c, 1);
	assert_int_equal(c, 'x');
	struct change append = {
		.kind = CHANGE_WRITE,
		.write = {.ino = ino, .len = 1, .data = "y", .append = true},
	};
	assert_int_equal(kit_apply(k, &append), -EFBIG);
	assert_int_equal(kit_truncate(k, ino, STORE_FILE_MAX), 0);
	assert_int_equal(kit_truncate(k, ino, 0), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 0);
}

static void writes_as_much_as_one_change_may_hold(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	unsigned char *big = kit_memory(NULL, STORE_WRITE_MAX);

	kit_pattern(big, STORE_WRITE_MAX, 5);
	assert_int_equal(kit_write(k, ino, 0, big, STORE_WRITE_MAX), 0);
	kit_expect_bytes(k, ino, big, STORE_WRITE_MAX);
	assert_int_equal(kit_write(k, ino, 100, big, 1 << 20), 0);
	unsigned char *have = kit_memory(NULL, 1 << 20);
	kit_read(k, ino, 100, have, 1 << 20);
	assert_memory_equal(have, big, 1 << 20);
	free(have);
	free(big);
}

static void change_data(struct kit *k, int op, uint64_t ino, uint64_t other)
{
	size_t copied = 0;

	if (op == 0)
		assert_int_equal(kit_write(k, ino, 0, "x", 1), 0);
	else if (op == 1)
		assert_int_equal(kit_truncate(k, ino, 1), 0);
	else if (op == 2)
		assert_int_equal(kit_copy(k, other, 0, ino, 0, 3, &copied), 0);
	else
		assert_int_equal(kit_allocate(k, ino, STORE_ZERO_RANGE, 0, 10), 0);
}

static void clears_privileges_for_those_who_may_not_keep_them(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f"), other = 0;

	assert_int_equal(kit_create(k, STORE_ROOT_INO, "g", S_IFREG | 0644, &other), 0);
	assert_int_equal(kit_write(k, other, 0, "abc", 3), 0);
	for (int kill = 0; kill < 2; kill++) {
		uint32_t mode = kill ? 0755 : 06755;
		for (int op = 0; op < 4; op++) {
			k->caller.kill_suid = false;
			assert_int_equal(kit_chmod(k, ino, 06755), 0);
			assert_int_equal(
				kit_setxattr(k, ino, "security.capability", "caps", 4, 0), 0);
			k->caller.kill_suid = kill;
			change_data(k, op, ino, other);
			struct store_attr a = kit_attr(k, ino);
			assert_int_equal(a.mode & 07777, mode);
			ssize_t r =
				store_getxattr(k->store, ino, "security.capability", 19, NULL, 0);
			assert_int_equal(r, -ENODATA); /* whoever it was */
			assert_int_equal(a.flags & STORE_ATTR_XATTRS, 0);
		}
	}
}

/* Setgid of what the group may not execute: the group may keep it. */
static void clears_setgid_without_execution_for_strangers(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f"), other = 0;

	assert_int_equal(kit_create(k, STORE_ROOT_INO, "g", S_IFREG | 0644, &other), 0);
	assert_int_equal(kit_write(k, other, 0, "abc", 3), 0);
	for (int op = 0; op < 4; op++) {
		assert_int_equal(kit_chmod(k, ino, 06745), 0);
		k->caller.kill_suid = true;
		k->caller.kill_sgid = false;
		change_data(k, op, ino, other);
		assert_int_equal(kit_attr(k, ino).mode & 07777, 02745);
		k->caller.kill_sgid = true;
		change_data(k, op, ino, other);
		assert_int_equal(kit_attr(k, ino).mode & 07777, 0745);
	}
}

int contract_data(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(writes_at_every_edge),
		CONTRACT_TEST(appends_at_the_end_that_the_store_has),
		CONTRACT_TEST(overwrites_large_with_small_and_back),
		CONTRACT_TEST(truncates_and_never_shows_what_was_cut),
		CONTRACT_TEST(truncates_and_extends_by_writing),
		CONTRACT_TEST(keeps_times_of_data_changes),
		CONTRACT_TEST(reads_no_further_than_the_file),
		CONTRACT_TEST(reads_and_writes_only_regular_files),
		CONTRACT_TEST(refuses_files_that_are_too_big),
		CONTRACT_TEST(writes_as_much_as_one_change_may_hold),
		CONTRACT_TEST(clears_privileges_for_those_who_may_not_keep_them),
		CONTRACT_TEST(clears_setgid_without_execution_for_strangers),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
