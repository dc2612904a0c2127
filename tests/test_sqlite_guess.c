/*
 * Guesses where rows of data lie: right for a file that was written in sequence, given up for one
 * that was not, and never anything but advice to the kernel. The advice is what this program's
 * posix_fadvise() is called with.
 */
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

#define B ((size_t)STORE_BLOCK_SIZE)
#define CHUNK (SQ_RUN_MAX * B)
#define CHUNKS 256u
#define FILES 4u

/* Of one read, whose connection has no pages in memory: it asks for page 1, the inode's, the root
 * of table block, the leaf, and then for what is in the chain. */
#define TO_LEAF 4
static struct {
	sqlite3 *db; /* of the connection that reads; NULL: not now */
	unsigned early, late, maps;
} told;

/* Pages that the connection asked for since that was asked last. */
static int pages_read(bool forget)
{
	int n = 0, high;
	assert_int_equal(sqlite3_db_status(told.db, SQLITE_DBSTATUS_CACHE_MISS, &n, &high, forget),
		SQLITE_OK);
	return n;
}

int __wrap_posix_fadvise64(int fd, off_t at, off_t len, int advice);
int __wrap_posix_fadvise64(int fd, off_t at, off_t len, int advice)
{
	assert_true(fd >= 0 && at > 0 && at % 1024 == 0 && advice == POSIX_FADV_WILLNEED);
	if (!told.db)
		return 0;
	int n = pages_read(false);
	assert_true(n >= TO_LEAF);
	if (len == 4096)
		told.maps++;
	else if (n == TO_LEAF)
		told.early++;
	else
		told.late++;
	return 0;
}

/* How many reads were told of before the leaf was read, and of these, how many again. */
struct score {
	unsigned reads, guessed, wrong, maps;
};

static unsigned char buffer[CHUNK], expected[B];

static void fill(unsigned char *to, uint64_t ino, uint64_t block, unsigned age)
{
	for (size_t i = 0; i < B; i += sizeof(uint64_t)) {
		uint64_t word = (ino << 48 | block << 16 | i) * UINT64_C(0x9e3779b97f4a7c15) + age;
		memcpy(to + i, &word, sizeof word);
	}
}

static void write_chunk(struct store_file *f, uint64_t ino, uint64_t chunk, unsigned age)
{
	for (unsigned i = 0; i < SQ_RUN_MAX; i++)
		fill(buffer + i * B, ino, chunk * SQ_RUN_MAX + i, age);
	struct change ch = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = ino, .offset = chunk * CHUNK, .data = buffer, .len = CHUNK}};
	assert_int_equal(store_apply_one(f->store, &ch, false), 0);
	block_unref(ch.write.head);
	block_unref(ch.write.tail);
}

static void resize(struct store_file *f, uint64_t ino, uint64_t chunks)
{
	struct change ch = {.kind = CHANGE_SETATTR,
		.now = 3,
		.setattr = {.ino = ino, .mask = STORE_SET_SIZE, .size = chunks * CHUNK}};
	assert_int_equal(store_apply_one(f->store, &ch, false), 0);
}

/* All of it is in the database, and nothing in the memory of the connection that will read. */
static void reopen(struct store_file *f)
{
	struct store_attr attr;
	store_file_close(f);
	store_file_open(f);
	assert_int_equal(store_getattr(f->store, STORE_ROOT_INO, &attr), 0);
}

/* Reads a block that is as it was written in round `age`. */
static void read_block(
	struct store_file *f, uint64_t ino, uint64_t block, unsigned age, struct score *score)
{
	static struct store_span span;
	told.db = sq_store(f->store)->idle->db;
	told.early = told.late = told.maps = 0;
	assert_int_equal(sqlite3_db_release_memory(told.db), SQLITE_OK);
	pages_read(true);
	assert_int_equal(store_read(f->store, ino, block, 1, &span), 0);
	assert_int_equal(span.first, block);
	assert_int_equal(span.count, 1);
	fill(expected, ino, block, age);
	assert_int_equal(span.blocks[0]->len, B);
	assert_memory_equal(span.blocks[0]->data, expected, B);
	store_span_release(&span);
	assert_true(told.early <= 1 && told.maps <= told.early);
	score->reads++;
	score->maps += told.maps;
	score->guessed += told.early;
	score->wrong += told.early && told.late;
	told.db = NULL;
}

/* Reads a block of each chunk before `chunks`, in no order; `step` 0: the first one of it. */
static struct score read_some(
	struct store_file *f, uint64_t ino, unsigned chunks, unsigned step, unsigned age)
{
	struct score score = {0};
	for (unsigned i = 0; i < chunks; i++) {
		uint64_t chunk = i * 101 % chunks, n = i * step % SQ_RUN_MAX;
		if (chunk == 0 && n == 0) /* the beginning of a file brings all of its row */
			n = 1;
		read_block(f, ino, chunk * SQ_RUN_MAX + n, age, &score);
	}
	return score;
}

/* The first eight rows tell where rows lie, three more that this is so; but those of the first leaf
 * and of another one, which were moved when the tree grew. */
static void test_sequence(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "sequence");
	for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
		write_chunk(f, ino, chunk, 1);
	reopen(f);
	struct score score = read_some(f, ino, CHUNKS, 7, 1);
	assert_in_range(score.guessed, CHUNKS - 24, CHUNKS - 11);
	assert_in_range(score.wrong, 0, 3 * SQ_GUESS_ROWS);
	score = read_some(f, ino, CHUNKS, 7, 1);
	assert_in_range(score.guessed, CHUNKS - 3, CHUNKS);
	assert_in_range(score.maps, CHUNKS * 3 / 4, score.guessed);
	assert_in_range(score.wrong, 0, 3 * SQ_GUESS_ROWS);
}

static void assert_given_up(const struct score *score)
{
	assert_in_range(score->guessed, 0, score->reads / 8);
}

static void test_no_order(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "no order");
	resize(f, ino, CHUNKS);
	for (unsigned i = 0; i < CHUNKS; i++)
		write_chunk(f, ino, i * 89 % CHUNKS, 1);
	reopen(f);
	for (unsigned round = 0; round < 3; round++) {
		struct score score = read_some(f, ino, CHUNKS, 7, 1);
		assert_given_up(&score);
	}
}

/* Four files are written at a time, each for as long as it happens to be. */
static void test_interleaved(void **state)
{
	struct store_file *f = *state;
	uint64_t ino[FILES], random = 4711;
	unsigned size[FILES] = {0};
	for (unsigned i = 0; i < FILES; i++)
		ino[i] = store_file_create(f, (const char[]){(char)('a' + (int)i), '\0'});
	for (unsigned i = 0; i < 2 * CHUNKS;) {
		random = random * UINT64_C(6364136223846793005) + 1;
		uint64_t file = random >> 62;
		for (uint64_t n = 0; n <= (random >> 32 & 3); n++, i++)
			write_chunk(f, ino[file], size[file]++, 1);
	}
	reopen(f);
	struct score all = {0};
	for (unsigned i = 0; i < FILES; i++) {
		struct score score = read_some(f, ino[i], size[i], 7, 1);
		all.reads += score.reads;
		all.guessed += score.guessed;
	}
	assert_given_up(&all);
}

/* What was learned of a file is no longer so: it is learned again, and what is read is what is
 * there. */
static void test_written_anew(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "anew"), other = store_file_create(f, "other");
	for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
		write_chunk(f, ino, chunk, 1);
	reopen(f);
	struct score score = read_some(f, ino, CHUNKS, 7, 1);
	assert_true(score.guessed > 0);
	/* Over the log into the same file, and with the same connection. */
	resize(f, ino, 0);
	for (unsigned chunk = 0; chunk < 5; chunk++)
		write_chunk(f, other, chunk, 1);
	for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
		write_chunk(f, ino, CHUNKS - 1 - chunk, 2);
	store_file_sql(f, "PRAGMA wal_checkpoint(PASSIVE)");
	for (unsigned round = 0; round < 3; round++)
		score = read_some(f, ino, CHUNKS, 7, 2);
	assert_in_range(score.wrong, 0, CHUNKS / 16);
}

/* Pages of another size: no guesses, and the kernel is told as soon as it is known what. */
static void test_other_pages(void **state)
{
	struct store_file *f = *state;
	uint64_t ino = store_file_create(f, "record");
	for (unsigned chunk = 0; chunk < 64; chunk++)
		write_chunk(f, ino, chunk, 1);
	store_file_close(f);
	store_file_sql(f, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM;"
			  "PRAGMA journal_mode = WAL");
	store_file_open(f);
	struct store_attr attr;
	assert_int_equal(store_getattr(f->store, ino, &attr), 0);
	for (unsigned round = 0; round < 3; round++) {
		struct score score = read_some(f, ino, 64, 0, 1);
		assert_int_equal(score.guessed, 0);
	}
}

/* Where SQLite has the pages of the map: at 2, and then one for every 819 pages. */
static void test_map(void **state)
{
	(void)state;
	static const uint64_t maps[] = {2, 822, 1642, 2462};
	for (uint64_t page = 1, i = 0; page < 3000; page++) {
		if (i + 1 < ARRAY_LEN(maps) && page >= maps[i + 1])
			i++;
		assert_int_equal(sq_guess_is_map(page), page == maps[i]);
		assert_int_equal(sq_guess_map(page), page < 2 ? 0 : maps[i]);
		if (page <= 2 || sq_guess_is_map(page))
			continue;
		uint64_t next = sq_guess_is_map(page + 1) ? page + 2 : page + 1;
		assert_int_equal(sq_guess_on(page, 1), next);
		assert_int_equal(sq_guess_on(next, -1), page);
		assert_int_equal(sq_guess_on(sq_guess_on(page, 5000), -5000), page);
	}
	assert_int_equal(sq_guess_on(3, -1), 0);
	assert_int_equal(sq_guess_on(1000, -1000000), 0);
	assert_int_equal(sq_guess_on(0, 5), 0);
}

/* Guesses need three right ones on end, and go with every other one wrong. */
static void test_trust(void **state)
{
	(void)state;
	static struct sq_guess g;
	struct sq_guess_file *f = sq_guess_file(&g, 7);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(sq_guess_row(f, 3, 5000), 0);
		sq_guess_found(f, 3, 1000, 1016);
	}
	assert_int_equal(sq_guess_row(f, 3, 5000), 5016);
	assert_int_equal(sq_guess_row(f, 11, 5000), 5016);
	assert_int_equal(sq_guess_row(f, 4, 5000), 0);
	for (unsigned i = 0; i < 20; i++)
		sq_guess_found(f, 3, 1000, 1016 + i % 2);
	assert_int_equal(sq_guess_row(f, 3, 5000), 0);
	for (unsigned i = 0; i < 4; i++)
		sq_guess_found(f, 3, 1000, 1001);
	assert_int_equal(sq_guess_row(f, 3, 5000), 5001);
	/* From places where nothing can be. */
	for (uint64_t page = 0; page < 3; page++) {
		sq_guess_found(f, 3, page, 1000);
		sq_guess_found(f, 3, 1000, page);
	}
	assert_int_equal(sq_guess_row(f, 3, 5000), 5001);
	assert_int_equal(sq_guess_row(f, 3, 0), 0);
	sq_guess_found(f, 4, 900000, 3);
	assert_int_equal(sq_guess_row(f, 4, 5000), 0);
}

/* What is known of files and pages does not grow; what makes way is forgotten as a whole. */
static void test_bound(void **state)
{
	(void)state;
	static struct sq_guess g;
	assert_in_range(sizeof g, 1, 8192);
	struct sq_guess_file *f = sq_guess_file(&g, 7);
	for (unsigned i = 0; i < 4; i++)
		sq_guess_found(f, 3, 1000, 1016);
	for (uint64_t ino = 8; ino < 7 + SQ_GUESS_FILES; ino++)
		assert_ptr_not_equal(sq_guess_file(&g, ino), f);
	assert_int_equal(sq_guess_row(sq_guess_file(&g, 7), 3, 5000), 5016);
	assert_int_equal(sq_guess_row(sq_guess_file(&g, 7 + SQ_GUESS_FILES), 3, 5000), 0);
	assert_int_equal(sq_guess_row(sq_guess_file(&g, 7), 3, 5000), 0);

	assert_false(sq_guess_is_inner(&g, 4));
	sq_guess_inner(&g, 4);
	assert_true(sq_guess_is_inner(&g, 4));
	assert_false(sq_guess_is_inner(&g, 4 + SQ_GUESS_INNER));
	sq_guess_inner(&g, 4 + SQ_GUESS_INNER);
	assert_false(sq_guess_is_inner(&g, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_bound),
		cmocka_unit_test_setup_teardown(
			test_sequence, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_no_order, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_interleaved, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_written_anew, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_other_pages, store_file_setup, store_file_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
