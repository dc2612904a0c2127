/* What a store promises about holes and space: sparse files, seek, fallocate, copies, statfs. */
#include "contract.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK 4096u
#define CHUNK 65536u

static unsigned char want[4 * CHUNK];

static void expect_seek(
	struct kit *k, uint64_t ino, uint64_t offset, bool data, uint64_t to, const char *what)
{
	uint64_t have = 0;

	int r = store_seek(k->store, ino, offset, data, &have);
	if (r != 0 || have != to)
		fail_msg("%s: seek from %llu gives %d and %llu, not %llu", what,
			(unsigned long long)offset, r, (unsigned long long)have,
			(unsigned long long)to);
}

static void expect_seek_fails(struct kit *k, uint64_t ino, uint64_t offset, bool data)
{
	uint64_t have = 77;

	assert_int_equal(store_seek(k->store, ino, offset, data, &have), -ENXIO);
	assert_int_equal(have, 77);
}

static void finds_data_and_holes(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	expect_seek_fails(k, ino, 0, true);
	expect_seek_fails(k, ino, 0, false);
	kit_must_fill(k, ino, 2 * BLOCK, BLOCK, 1, NULL);
	kit_must_fill(k, ino, 5 * BLOCK + 100, 2 * CHUNK, 1, NULL);
	assert_int_equal(kit_truncate(k, ino, 9 * (uint64_t)CHUNK + 5), 0);

	uint64_t end = 9 * (uint64_t)CHUNK + 5;
	uint64_t run = (5 * BLOCK + 100 + 2 * CHUNK + BLOCK - 1) / BLOCK * BLOCK;
	expect_seek(k, ino, 0, true, 2 * BLOCK, "first data");
	expect_seek(k, ino, 0, false, 0, "hole at the start");
	expect_seek(k, ino, 2 * BLOCK, true, 2 * BLOCK, "data at its start");
	expect_seek(k, ino, 2 * BLOCK + 7, true, 2 * BLOCK + 7, "inside data");
	expect_seek(k, ino, 2 * BLOCK + 7, false, 3 * BLOCK, "hole after data");
	expect_seek(k, ino, 3 * BLOCK + 7, false, 3 * BLOCK + 7, "inside a hole");
	expect_seek(k, ino, 3 * BLOCK + 7, true, 5 * BLOCK, "data after a hole");
	expect_seek(k, ino, 5 * BLOCK, false, run, "hole after a long run");
	expect_seek(k, ino, run, false, run, "last hole");
	expect_seek(k, ino, end - 1, false, end - 1, "last byte");
	expect_seek_fails(k, ino, run, true);
	expect_seek_fails(k, ino, end, true);
	expect_seek_fails(k, ino, end, false);
	expect_seek_fails(k, ino, UINT64_MAX, true);

	/* Where data goes to the end there is a hole at the end. */
	kit_must_fill(k, ino, end - 10, 10, 1, NULL);
	expect_seek(k, ino, end - 3, false, end, "the hole at the end");
	expect_seek(k, ino, end - 3, true, end - 3, "data at the end");
}

static void keeps_huge_sparse_files(void **state)
{
	struct kit *k = *state;
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	static const uint64_t places[] = {
		0, (uint64_t)1 << 32, ((uint64_t)1 << 40) - 50, STORE_FILE_MAX - 2 * BLOCK - 100};
	unsigned char have[300], data[300];

	assert_int_equal(kit_truncate(k, ino, (uint64_t)1 << 40), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 0);
	kit_pattern(data, sizeof data, 9);
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		assert_int_equal(kit_write(k, ino, places[i], data, sizeof data), 0);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		kit_read(k, ino, places[i], have, sizeof have);
		assert_memory_equal(have, data, sizeof have);
		expect_seek(k, ino, places[i], true, places[i], "sparse");
	}
	kit_read(k, ino, (uint64_t)1 << 36, have, sizeof have);
	memset(data, 0, sizeof data);
	assert_memory_equal(have, data, sizeof have);
	expect_seek(k, ino, 2 * BLOCK, true, (uint64_t)1 << 32, "across 4 GiB");
	assert_int_equal(kit_truncate(k, ino, 300), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 1);
	assert_int_equal(kit_truncate(k, ino, (uint64_t)1 << 40), 0);
	expect_seek(k, ino, BLOCK, false, BLOCK, "cut");
	expect_seek_fails(k, ino, BLOCK, true);
}

/* A dense file of 3 chunks and a bit, as `want` has it. */
static uint64_t dense(struct kit *k, size_t size)
{
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	memset(want, 0, sizeof want);
	if (size)
		kit_must_fill(k, ino, 0, size, 4, want);
	return ino;
}

static void gone(struct kit *k, uint64_t ino)
{
	assert_int_equal(kit_unlink(k, STORE_ROOT_INO, "f"), 0);
	kit_must_reap(k, ino);
}

static const struct {
	size_t offset, len;
} ranges[] = {
	{0, 1},
	{0, BLOCK},
	{100, 200},
	{BLOCK - 1, 2},
	{BLOCK, 3 * BLOCK},
	{BLOCK + 1, 3 * BLOCK},
	{0, CHUNK},
	{3, CHUNK},
	{CHUNK - BLOCK, 2 * BLOCK},
	{CHUNK / 2, 2 * CHUNK},
	{5 * BLOCK, BLOCK},
	{2 * CHUNK, CHUNK + 100},
	{2 * CHUNK + 50, CHUNK},
	{3 * CHUNK + 60, 500},
	{3 * CHUNK + 10, 20},
	{3 * CHUNK + 4 * BLOCK, BLOCK},
};

static void punches_and_zeroes(void **state)
{
	struct kit *k = *state;
	static const enum store_allocate modes[] = {
		STORE_PUNCH_HOLE, STORE_ZERO_RANGE, STORE_ZERO_RANGE_KEEP};
	const size_t size = 3 * CHUNK + 100;

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
			uint64_t ino = dense(k, size);
			size_t end = ranges[i].offset + ranges[i].len;
			size_t now = modes[m] == STORE_ZERO_RANGE && end > size ? end : size;
			assert_int_equal(
				kit_allocate(k, ino, modes[m], ranges[i].offset, ranges[i].len), 0);
			memset(want + ranges[i].offset, 0, ranges[i].len);
			kit_expect_bytes(k, ino, want, now);
			assert_int_equal(kit_attr(k, ino).mtime, k->now);
			/* What lies past the end must be zeros, too, when it is shown. */
			assert_int_equal(kit_truncate(k, ino, sizeof want), 0);
			kit_expect_bytes(k, ino, want, sizeof want);
			gone(k, ino);
		}
	}
}

static void punching_gives_space_back(void **state)
{
	struct kit *k = *state;
	uint64_t ino = dense(k, 3 * CHUNK);

	assert_int_equal(kit_attr(k, ino).blocks, 48);
	assert_int_equal(kit_allocate(k, ino, STORE_PUNCH_HOLE, BLOCK, 2 * BLOCK), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 46);
	expect_seek(k, ino, 0, false, BLOCK, "punched");
	expect_seek(k, ino, BLOCK, true, 3 * BLOCK, "punched");
	/* Parts of blocks are zeroed, not given back. */
	assert_int_equal(kit_allocate(k, ino, STORE_PUNCH_HOLE, CHUNK + 1, 2 * BLOCK - 2), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 46);
	assert_int_equal(kit_allocate(k, ino, STORE_PUNCH_HOLE, CHUNK / 2, 2 * CHUNK), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 14);
	/* A hole can be filled again. */
	kit_must_fill(k, ino, 0, 3 * CHUNK, 8, want);
	kit_expect_bytes(k, ino, want, 3 * CHUNK);
	assert_int_equal(kit_attr(k, ino).blocks, 48);
	assert_int_equal(kit_allocate(k, ino, STORE_PUNCH_HOLE, 0, (uint64_t)1 << 40), 0);
	assert_int_equal(kit_attr(k, ino).blocks, 0);
	assert_int_equal(kit_attr(k, ino).size, 3 * CHUNK);
}

static void allocates(void **state)
{
	struct kit *k = *state;
	const size_t size = 3 * CHUNK + 100;

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		uint64_t ino = dense(k, size);
		size_t end = ranges[i].offset + ranges[i].len;
		assert_int_equal(
			kit_allocate(k, ino, STORE_ALLOCATE_KEEP, ranges[i].offset, ranges[i].len),
			0);
		kit_expect_bytes(k, ino, want, size);
		assert_int_equal(
			kit_allocate(k, ino, STORE_ALLOCATE, ranges[i].offset, ranges[i].len), 0);
		kit_expect_bytes(k, ino, want, end > size ? end : size);
		gone(k, ino);
	}
	/* In a file of holes. */
	uint64_t ino = dense(k, 0);
	assert_int_equal(kit_truncate(k, ino, CHUNK), 0);
	assert_int_equal(kit_allocate(k, ino, STORE_ALLOCATE, CHUNK / 2 + 5, CHUNK), 0);
	kit_expect_bytes(k, ino, want, CHUNK / 2 + 5 + CHUNK);
	kit_must_fill(k, ino, CHUNK - 10, 20, 1, want);
	kit_expect_bytes(k, ino, want, CHUNK / 2 + 5 + CHUNK);
}

static void copies_between_files(void **state)
{
	struct kit *k = *state;
	static unsigned char source[4 * CHUNK];
	static const struct {
		size_t from, to, len;
	} w[] = {
		{0, 0, 100},
		{0, 0, 3 * CHUNK + 77},
		{0, BLOCK, CHUNK},
		{BLOCK, 0, CHUNK},
		{1, 0, CHUNK},
		{0, 1, CHUNK},
		{100, 7000, 2 * CHUNK + 3},
		{CHUNK, CHUNK, CHUNK},
		{5 * BLOCK, CHUNK - 2 * BLOCK, 4 * BLOCK},
		{3 * CHUNK + 70, 10, 100}, /* the source ends first */
		{3 * CHUNK + 77, 10, 100}, /* it has ended */
		{3 * CHUNK + 777, 10, 100},
	};
	uint64_t from = kit_must_file(k, STORE_ROOT_INO, "from");
	const size_t size = 3 * CHUNK + 77;
	kit_must_fill(k, from, 0, size, 6, source);
	/* Holes in the source, aligned and not, are zeros in the copy. */
	assert_int_equal(kit_allocate(k, from, STORE_PUNCH_HOLE, 6 * BLOCK, 3 * BLOCK), 0);
	memset(source + 6 * BLOCK, 0, 3 * BLOCK);
	assert_int_equal(kit_allocate(k, from, STORE_PUNCH_HOLE, CHUNK + 10, CHUNK / 2), 0);
	memset(source + CHUNK + 10, 0, CHUNK / 2);

	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		static const size_t sizes[] = {0, BLOCK + 5, 3 * CHUNK};
		for (size_t d = 0; d < ARRAY_LEN(sizes); d++) {
			uint64_t ino = dense(k, sizes[d]);
			struct store_attr before = kit_attr(k, ino);
			size_t left = w[i].from < size ? size - w[i].from : 0;
			size_t n = w[i].len < left ? w[i].len : left;
			size_t copied = 12345;
			assert_int_equal(
				kit_copy(k, from, w[i].from, ino, w[i].to, w[i].len, &copied), 0);
			assert_int_equal(copied, n);
			memcpy(want + w[i].to, source + w[i].from, n);
			size_t end = n ? w[i].to + n : 0;
			kit_expect_bytes(k, ino, want, end > sizes[d] ? end : sizes[d]);
			assert_int_equal(kit_attr(k, ino).mtime, n ? k->now : before.mtime);
			kit_expect_bytes(k, from, source, size);
			gone(k, ino);
		}
	}
}

static void copies_inside_a_file(void **state)
{
	struct kit *k = *state;
	const size_t size = 2 * CHUNK;
	uint64_t ino = dense(k, size);
	size_t copied = 0;

	assert_int_equal(kit_copy(k, ino, 0, ino, CHUNK, CHUNK, &copied), 0);
	assert_int_equal(copied, CHUNK);
	memcpy(want + CHUNK, want, CHUNK);
	kit_expect_bytes(k, ino, want, size);
	assert_int_equal(kit_copy(k, ino, 50, ino, 10 * BLOCK + 3, 5 * BLOCK, &copied), 0);
	memcpy(want + 10 * BLOCK + 3, want + 50, 5 * BLOCK);
	kit_expect_bytes(k, ino, want, size);
	assert_int_equal(kit_copy(k, ino, 0, ino, size, 100, &copied), 0);
	memcpy(want + size, want, 100);
	kit_expect_bytes(k, ino, want, size + 100);

	copied = 777;
	assert_int_equal(kit_copy(k, ino, 0, ino, 0, 10, &copied), -EINVAL);
	assert_int_equal(kit_copy(k, ino, 0, ino, 9, 10, &copied), -EINVAL);
	assert_int_equal(kit_copy(k, ino, 9, ino, 0, 10, &copied), -EINVAL);
	assert_int_equal(kit_copy(k, ino, BLOCK, ino, BLOCK + 1, CHUNK, &copied), -EINVAL);
	assert_int_equal(copied, 777);
	kit_expect_bytes(k, ino, want, size + 100);
	assert_int_equal(kit_copy(k, ino, 0, ino, 10, 10, &copied), 0); /* side by side */
	/* What counts is what there is to copy, as in copy_file_range(2). */
	assert_int_equal(kit_copy(k, ino, size, ino, size + 100, 1000, &copied), 0);
	assert_int_equal(copied, 100);
	assert_int_equal(kit_copy(k, ino, size + 200, ino, size + 199, 1000, &copied), 0);
	assert_int_equal(copied, 0);
}

static void refuses_copies(void **state)
{
	struct kit *k = *state;
	uint64_t ino = dense(k, 100), dir = kit_must_dir(k, STORE_ROOT_INO, "d");
	size_t copied = 0;

	assert_int_equal(kit_copy(k, dir, 0, ino, 0, 1, &copied), -EISDIR);
	assert_int_equal(kit_copy(k, ino, 0, dir, 0, 1, &copied), -EISDIR);
	assert_int_equal(kit_copy(k, ino + 1000, 0, ino, 0, 1, &copied), -ESTALE);
	assert_int_equal(kit_copy(k, ino, 0, ino + 1000, 0, 1, &copied), -ESTALE);
	uint64_t other = kit_must_file(k, STORE_ROOT_INO, "g");
	assert_int_equal(kit_copy(k, ino, 0, other, STORE_FILE_MAX, 1, &copied), -EFBIG);
	assert_int_equal(kit_copy(k, ino, 0, other, STORE_FILE_MAX - 10, 100, &copied), -EFBIG);
	kit_expect_bytes(k, other, "", 0);
}

static void shows_blocks(void **state)
{
	struct kit *k = *state;
	struct store_block_info info[32];
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");

	assert_int_equal(store_block_info(k->store, ino, 0, 32, info), 0);
	kit_must_fill(k, ino, 2 * BLOCK, BLOCK, 1, NULL);
	kit_must_fill(k, ino, 3 * BLOCK, BLOCK, 1, NULL); /* the same bytes */
	kit_must_fill(k, ino, 20 * BLOCK, 10, 1, NULL);
	assert_int_equal(store_block_info(k->store, ino, 0, 32, info), 21);
	for (unsigned i = 0; i < 21; i++) {
		assert_int_equal(info[i].index, i);
		assert_int_equal(info[i].len, i == 20 ? 10 : i == 2 || i == 3 ? BLOCK : 0);
	}
	/* Equal blocks at two places must not have one sum. */
	if (info[2].has_sum && info[3].has_sum)
		assert_int_not_equal(info[2].sum, info[3].sum);
	assert_int_equal(store_block_info(k->store, ino, 3, 17, info), 17);
	assert_int_equal(info[0].index, 3);
	assert_int_equal(info[0].len, BLOCK);
	assert_int_equal(store_block_info(k->store, ino, 19, 18, info), 2);
	assert_int_equal(info[1].len, 10);
	assert_int_equal(store_block_info(k->store, ino, 100, 1, info), 0);
	assert_int_equal(store_block_info(k->store, ino + 1000, 0, 1, info), -ESTALE);
}

static void statfs_makes_sense(void **state)
{
	struct kit *k = *state;
	struct store_space a = {0}, b = {0};

	assert_int_equal(store_statfs(k->store, &a), 0);
	assert_true(a.total > 0);
	assert_true(a.free <= a.total);
	assert_true(a.inodes >= 1);
	assert_true(a.inodes_max > a.inodes);
	uint64_t ino = kit_must_file(k, STORE_ROOT_INO, "f");
	assert_int_equal(store_statfs(k->store, &b), 0);
	assert_int_equal(b.inodes, a.inodes + 1);
	gone(k, ino);
	assert_int_equal(store_statfs(k->store, &b), 0);
	assert_int_equal(b.inodes, a.inodes);
}

int contract_space(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(finds_data_and_holes),
		CONTRACT_TEST(keeps_huge_sparse_files),
		CONTRACT_TEST(punches_and_zeroes),
		CONTRACT_TEST(punching_gives_space_back),
		CONTRACT_TEST(allocates),
		CONTRACT_TEST(copies_between_files),
		CONTRACT_TEST(copies_inside_a_file),
		CONTRACT_TEST(refuses_copies),
		CONTRACT_TEST(shows_blocks),
		CONTRACT_TEST(statfs_makes_sense),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
