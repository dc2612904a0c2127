/*
 * The space that the SQLite store takes before it needs it: after each change the database file has
 * room for what is in the log, and for changes that make room.
 */
#include "store_file.h"

#include <string.h>
#include <sys/stat.h>

/* A block, and a row of 16. */
#define BLOCK ((size_t)STORE_BLOCK_SIZE)
#define ROW (16 * BLOCK)

/* The file always has room for what is in the log, and for some changes that make room. */
static void expect_room_of(struct store_file *f, uint64_t bytes)
{
	struct store_stats stats = {0};
	struct stat st;
	store_stats(f->store, &stats);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true((uint64_t)st.st_size >= stats.store_bytes + bytes);
}

/* Rows of inodes that became longer may have taken some of it. */
static void expect_room(struct store_file *f)
{
	expect_room_of(f, 128 << 10);
}

/* All ways to write, often enough for the file to grow more than once. */
static void test_room_is_left(void **state)
{
	struct store_file *f = *state;
	uint64_t a = store_file_create(f, "a"), b = store_file_create(f, "b"),
		 log = store_file_create(f, "log"), short_rows = store_file_create(f, "short"),
		 bulk = store_file_create(f, "bulk");
	assert_int_equal(store_file_write(f, a, 0, 'a', 3 * ROW, false), 0);
	assert_int_equal(store_file_write(f, b, 0, 'a', 3 * ROW, false), 0);
	for (unsigned i = 0; i < 700; i++) {
		uint64_t at = (i * 7 % 48) * BLOCK;
		/* In place, in a long row and in short ones; longer, cut up, and beyond holes. */
		assert_int_equal(store_file_write(f, a, at, 'b', BLOCK, false), 0);
		assert_int_equal(store_file_write(f, a, at, 'c', 100, false), 0);
		expect_room(f);
		assert_int_equal(store_file_write(f, log, i * 1000ull, 'd', 1000, false), 0);
		expect_room(f);
		assert_int_equal(
			store_file_write(f, short_rows, i * 3 * BLOCK, 'e', 2 * BLOCK, false), 0);
		expect_room(f);
		if (i % 64 == 0) { /* more at once than is kept free */
			assert_int_equal(
				store_file_write(f, bulk, i * ROW, 'g', 20 * ROW, false), 0);
			expect_room(f);
		}
		assert_int_equal(store_file_write(f, b, i % 48 * BLOCK, 'f', BLOCK, false), 0);
		expect_room(f);
	}
}

/* Change `i` of names of which a page holds a dozen: created in batches, moved, unlinked. */
static struct change name_change(unsigned i, unsigned turn, char name[2][STORE_NAME_MAX])
{
	static char target[STORE_TARGET_MAX];
	struct change c = {.kind = CHANGE_CREATE, .now = 5, .create = {.parent = STORE_ROOT_INO}};
	for (unsigned n = 0; n < 2; n++) {
		memset(name[n], 'a' + (int)(i % 16), STORE_NAME_MAX);
		memcpy(name[n] + i % 7,
			(char[]){(char)('0' + i / 100), (char)('0' + i / 10 % 10),
				(char)('0' + i % 10), (char)('x' + n)},
			4);
	}
	const struct change_name old = {.bytes = name[0], .len = STORE_NAME_MAX};
	const struct change_name new = {.bytes = name[1], .len = STORE_NAME_MAX};
	memset(target, 't', sizeof target);
	c.create.name = old;
	c.create.mode = i % 3 == 0 ? S_IFDIR | 0755 : i % 3 == 1 ? S_IFLNK | 0777 : S_IFREG | 0644;
	c.create.target =
		(struct change_name){.bytes = target, .len = i % 3 == 1 ? sizeof target : 0};
	if (turn == 1)
		c = (struct change){.kind = CHANGE_RENAME,
			.now = 6,
			.rename = {.parent = STORE_ROOT_INO,
				.name = old,
				.new_parent = STORE_ROOT_INO,
				.new_name = new}};
	else if (turn == 2)
		c = (struct change){.kind = CHANGE_UNLINK,
			.now = 7,
			.unlink = {.parent = STORE_ROOT_INO, .name = new, .directory = i % 3 == 0}};
	return c;
}

/* All changes of names, in batches. */
static void test_room_is_left_by_names(void **state)
{
	static char names[16][2][STORE_NAME_MAX];
	struct store_file *f = *state;
	for (unsigned turn = 0; turn < 3; turn++) {
		for (unsigned i = 0; i < 960; i += 16) {
			struct change c[16], *table[16];
			for (unsigned n = 0; n < 16; n++) {
				c[n] = name_change(i + n, turn, names[n]);
				table[n] = &c[n];
			}
			store_apply(f->store, table, ARRAY_LEN(table), false);
			for (unsigned n = 0; n < 16; n++)
				assert_int_equal(c[n].result, 0);
			/* What a batch took that was not foreseen would be taken of it. */
			expect_room_of(f, turn == 0 ? 256 << 10 : 128 << 10);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_file_setup, store_file_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_room_is_left),
		TEST(test_room_is_left_by_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
