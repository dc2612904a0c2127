/*
 * Rows of data. Those of holes are in sqlite_holes.c.
 *
 * A row of table block is a run: 1 ... SQ_RUN_MAX consecutive blocks of one inode that lie in one
 * chunk (SQ_RUN_MAX blocks, aligned). Large writes make long runs, which is what bulk needs. A
 * write into a run that keeps its length overwrites those bytes where they are; any other breaks
 * the run up into rows of one block (what each costs: docs/measurements.md).
 *
 * Invariants, for every regular file (recordfsctl check verifies them):
 *   - each block below the end of the file is either in exactly one run or in exactly one hole,
 *   - no run or hole reaches past the end of the file,
 *   - inode.blocks is the number of blocks in runs, inode.reserved that in reserved holes,
 *   - only the last block of a run may be short; what is not stored of a block reads as zeros;
 *     each block of a run has at least one byte.
 * So a file with as many stored blocks as its size needs has no hole, and a missing row is a fault.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * Pages that are taken, at most, beside those of the data: by a row that comes or grows, among them
 * those of the tree above it, with a hole that is cut in two; and by all that can become of a
 * chunk, a run and rows of one block, data and all.
 */
#define ROW_PAGES 16u
#define CHUNK_PAGES 80u

/* Rows looked at (and deleted) at a time. */
#define SLICE 256

uint64_t sq_sum(uint64_t ino, uint64_t block, const void *data, size_t len)
{
	return XXH3_64bits_withSeed(data, len, (uint64_t)sq_key(ino, block));
}

void sq_sum_put(unsigned char *p, uint64_t sum)
{
	for (int i = 7; i >= 0; i--, sum >>= 8)
		p[i] = (unsigned char)sum;
}

uint64_t sq_sum_get(const unsigned char *p)
{
	uint64_t sum = 0;
	for (size_t b = 0; b < 8; b++)
		sum = sum << 8 | p[b];
	return sum;
}

uint64_t sq_run_sum(const struct sq_run *run, uint32_t i)
{
	return sq_sum_get(run->sums + (size_t)8 * i);
}

uint32_t sq_run_block_len(const struct sq_run *run, uint32_t i)
{
	size_t left = run->len - (size_t)i * STORE_BLOCK_SIZE;
	return left < STORE_BLOCK_SIZE ? (uint32_t)left : STORE_BLOCK_SIZE;
}

/* How many blocks are in a row of `len` bytes at `first`? 0: it cannot be a run. */
static uint32_t run_count(uint64_t first, int64_t len)
{
	if (len <= 0 || len > (int64_t)SQ_RUN_MAX * STORE_BLOCK_SIZE)
		return 0;
	uint32_t count = (uint32_t)sq_blocks_of((uint64_t)len);
	return first % SQ_RUN_MAX + count <= SQ_RUN_MAX ? count : 0;
}

static int run_columns(sqlite3_stmt *st, int64_t len, struct sq_run *ret)
{
	struct sq_run run = {.first = sq_key_block(sqlite3_column_int64(st, 0))};
	run.data = sqlite3_column_blob(st, 2);
	run.len = (size_t)len;
	run.count = run_count(run.first, len);
	if (run.count == 0 || (run.data && sqlite3_column_bytes(st, 2) != (int)len))
		return -EIO;
	if (sqlite3_column_type(st, 1) != SQLITE_NULL) {
		run.sums = sqlite3_column_blob(st, 1);
		if (!run.sums || sqlite3_column_bytes(st, 1) != (int)(8 * run.count))
			return -EIO;
	}
	*ret = run;
	return 0;
}

int sq_run_columns(sqlite3_stmt *st, struct sq_run *ret)
{
	int r = run_columns(st, sqlite3_column_bytes(st, 2), ret);
	return r == 0 && !ret->data ? -EIO : r;
}

int sq_run_lengths(sqlite3_stmt *st, struct sq_run *ret)
{
	return run_columns(st, sqlite3_column_int64(st, 3), ret);
}

static int put_run(struct sq_conn *c, uint64_t ino, uint64_t first, const void *data, size_t len,
	const unsigned char *sums, size_t sums_len)
{
	sqlite3_stmt *st = sums ? sq_query(c, SQ_BLOCK_PUT, "ibb", sq_key(ino, first),
					  (const void *)sums, sums_len, data, len)
				: sq_query(c, SQ_BLOCK_PUT, "inb", sq_key(ino, first), data, len);
	return sq_exec(st);
}

/* A row of data, copied out of the database. */
struct loaded_run {
	struct sq_run run;
	unsigned char data[SQ_RUN_MAX * STORE_BLOCK_SIZE];
	unsigned char sums[SQ_RUN_MAX * 8];
};

static int load_run(struct sq_conn *c, uint64_t ino, uint64_t first, struct loaded_run *ret)
{
	int64_t key = sq_key(ino, first);
	sqlite3_stmt *st = sq_query(c, SQ_BLOCK_RANGE, "iii", key, key, key);
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	r = sq_run_columns(st, &ret->run);
	if (r == 0) {
		ret->run.data = memcpy(ret->data, ret->run.data, ret->run.len);
		if (ret->run.sums)
			ret->run.sums =
				memcpy(ret->sums, ret->run.sums, (size_t)8 * ret->run.count);
	}
	sq_done(st);
	return r;
}

static int delete_runs(struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t last)
{
	return sq_exec(sq_query(c, SQ_BLOCK_DELETE, "ii", sq_key(ino, first), sq_key(ino, last)));
}

/* Breaks the run at `first` up into rows of one block, without those in [from, to]. The checksums
 * move along as they are, so that damage stays known as such. */
static int split_run(struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t from, uint64_t to)
{
	struct loaded_run old;
	int r = load_run(c, ino, first, &old);
	if (r == 0)
		r = delete_runs(c, ino, first, first);
	for (uint32_t i = 0; r == 0 && i < old.run.count; i++)
		if (first + i < from || first + i > to)
			r = put_run(c, ino, first + i, old.data + (size_t)i * STORE_BLOCK_SIZE,
				sq_run_block_len(&old.run, i),
				old.run.sums ? old.sums + (size_t)8 * i : NULL, 8);
	return r;
}

/* Where a run is, without its data. */
struct extent {
	uint64_t first;
	uint32_t count;
	size_t len; /* bytes */
	bool has_sums;
	size_t sums_len; /* bytes of them */
};

/* Puts a run over blocks of another one, which has all of them and does not change its length. */
static int patch_run(
	struct sq_conn *c, uint64_t ino, const struct extent *into, const struct sq_run *new)
{
	int64_t key = sq_key(ino, into->first);
	size_t at = (size_t)(new->first - into->first);
	int r = sq_batch_patch_data(c, key, new->data, new->len, at * STORE_BLOCK_SIZE);
	if (r == 0 && into->has_sums)
		r = sq_batch_patch_sums(c, key, new->sums, (size_t) new->count * 8, at * 8);
	return r;
}

/* The row that a statement with columns key, length(data), length(sums) is on. */
static int extent_columns(sqlite3_stmt *st, struct extent *ret)
{
	ret->first = sq_key_block(sqlite3_column_int64(st, 0));
	ret->len = (size_t)sqlite3_column_int64(st, 1);
	ret->count = run_count(ret->first, (int64_t)ret->len);
	ret->has_sums = sqlite3_column_type(st, 2) != SQLITE_NULL;
	ret->sums_len = (size_t)sqlite3_column_int64(st, 2);
	return ret->count == 0 ? -EIO : 0;
}

/* The runs that have blocks in [first, last], which lie in one chunk; returns how many. From the
 * last one to the first one, so that a row that has all of them is the only one that is looked at.
 */
static int find_in_chunk(
	struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t last, struct extent *ret)
{
	sqlite3_stmt *st = sq_query(c, SQ_BLOCK_IN_CHUNK, "ii",
		sq_key(ino, first - first % SQ_RUN_MAX), sq_key(ino, last));
	int found = 0, r;
	while ((r = sq_step(st)) == 1) {
		struct extent *e = &ret[found];
		r = extent_columns(st, e);
		if (r == 0 && e->first + e->count > first)
			found++;
		if (r < 0 || e->first <= first || found == SQ_RUN_MAX) {
			sq_done(st);
			break;
		}
	}
	return r < 0 ? r : found;
}

/* The runs that have blocks in [first, last], up to n of them; returns how many. */
static int find_runs(
	struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t last, struct extent *ret, int n)
{
	sqlite3_stmt *st = sq_query(c, SQ_BLOCK_LENGTHS, "iii",
		sq_key(ino, first - first % SQ_RUN_MAX), sq_key(ino, first), sq_key(ino, last));
	int found = 0, r;
	while ((r = sq_step(st)) == 1) {
		struct extent e;
		r = extent_columns(st, &e);
		if (r == 0 && found > 0 && e.first <= ret[found - 1].first)
			r = -EIO;
		if (r < 0) {
			sq_done(st);
			return r;
		}
		if (e.first + e.count <= first)
			continue;
		ret[found++] = e;
		if (found == n) {
			sq_done(st);
			return found;
		}
	}
	return r < 0 ? r : found;
}

/* Block `n` of the run. A long row is not read whole for it. */
static int load_block(
	struct sq_conn *c, uint64_t ino, const struct extent *e, uint32_t n, struct sq_stored *ret)
{
	int64_t key = sq_key(ino, e->first);
	struct sq_run run = {.count = e->count, .len = e->len};
	unsigned char sum[8];
	if (e->has_sums && e->sums_len != (size_t)8 * run.count)
		return -EIO;
	ret->found = true;
	ret->has_sum = e->has_sums;
	ret->len = sq_run_block_len(&run, n);
	int r = sq_batch_read_data(c, key, ret->data, ret->len, (size_t)n * STORE_BLOCK_SIZE);
	if (r == 0 && ret->has_sum)
		r = sq_batch_read_sums(c, key, sum, sizeof sum, (size_t)n * sizeof sum);
	if (r == 0 && ret->has_sum)
		ret->sum = sq_sum_get(sum);
	return r;
}

int sq_block_load(
	struct sqlite_store *s, const struct sq_inode *i, uint64_t block, struct sq_stored *ret)
{
	struct sq_conn *c = s->writer;
	uint64_t ino = i->attr.ino;
	struct extent runs[SQ_RUN_MAX];
	ret->found = false;
	if (block >= sq_blocks_of(i->attr.size))
		return 0;
	int r = find_in_chunk(c, ino, block, block, runs);
	if (r == 1) {
		r = load_block(c, ino, &runs[0], (uint32_t)(block - runs[0].first), ret);
		if (r < 0 || !ret->has_sum || sq_sum(ino, block, ret->data, ret->len) == ret->sum)
			return r;
		atomic_fetch_add(&s->checksum_failures, 1);
		return -EBADMSG;
	}
	bool hole = false;
	uint64_t last;
	if (r == 0 && i->stored < sq_blocks_of(i->attr.size))
		r = sq_holes_find(c, ino, block, &hole, &last);
	if (r < 0 || hole)
		return r;
	atomic_fetch_add(&s->checksum_failures, 1);
	return -EBADMSG;
}

/* What a damaged file counts too low must not become a count that no row can hold: the inode could
 * not even be deleted then. */
void sq_take_from(uint64_t *count, uint64_t n)
{
	*count -= n < *count ? n : *count;
}

static uint64_t overlap(const struct extent *e, uint64_t first, uint64_t last)
{
	uint64_t from = e->first > first ? e->first : first;
	uint64_t end = e->first + e->count < last + 1 ? e->first + e->count : last + 1;
	return end > from ? end - from : 0;
}

/* Has the run all blocks of the other, and would it keep its length with those put over them? */
static bool can_patch(const struct extent *old, const struct sq_run *new)
{
	if (new->first < old->first)
		return false;
	size_t end = (size_t)(new->first - old->first) * STORE_BLOCK_SIZE + new->len;
	return new->len % STORE_BLOCK_SIZE == 0 ? end <= old->len : end == old->len;
}

/* Clears the place of a run among those that are there. *ret_covered: how many of its blocks were
 * stored. */
static int make_room(struct sq_conn *c, uint64_t ino, const struct sq_run *new,
	const struct extent *runs, int n, uint64_t *ret_covered)
{
	uint64_t covered = 0, last = new->first + new->count - 1;
	int r = 0;
	for (int i = 0; r == 0 && i < n; i++) {
		uint64_t common = overlap(&runs[i], new->first, last);
		covered += common;
		if (common < runs[i].count)
			r = split_run(c, ino, runs[i].first, new->first, last);
		else if (runs[i].first != new->first) /* that one is replaced in place */
			r = delete_runs(c, ino, runs[i].first, runs[i].first);
	}
	*ret_covered = covered;
	return r;
}

/* A block that was neither stored nor in a hole had vanished; it is in i->stored already. */
static int write_run(struct sq_conn *c, struct sq_inode *i, uint64_t first,
	const unsigned char *data, size_t len)
{
	uint64_t ino = i->attr.ino, eof = sq_blocks_of(i->attr.size), covered, added = 0;
	unsigned char sums[SQ_RUN_MAX * 8];
	struct sq_run run = {.first = first, .data = data, .len = len, .sums = sums};
	struct extent runs[SQ_RUN_MAX];
	run.count = (uint32_t)sq_blocks_of(len);
	for (uint32_t b = 0; b < run.count; b++)
		sq_sum_put(sums + (size_t)8 * b,
			sq_sum(ino, first + b, data + (size_t)b * STORE_BLOCK_SIZE,
				sq_run_block_len(&run, b)));
	uint64_t last = first + run.count - 1;
	int n = find_in_chunk(c, ino, first, last, runs);
	if (n == 1 && runs[0].first == first && runs[0].len == len) {
		/* The row grows by the checksums that an SQL client could not write. */
		sq_batch_takes(c, runs[0].has_sums ? 0 : ROW_PAGES);
		return sq_exec(sq_query(c, SQ_BLOCK_SET, "ibb", sq_key(ino, first),
			(const void *)sums, (size_t)8 * run.count, (const void *)data, len));
	}
	if (n == 1 && can_patch(&runs[0], &run))
		return patch_run(c, ino, &runs[0], &run);
	sq_batch_takes(c, n == 0 ? run.count + ROW_PAGES : CHUNK_PAGES);
	int r = n < 0 ? n : make_room(c, ino, &run, runs, n, &covered);
	if (r == 0)
		r = put_run(c, ino, first, data, len, sums, (size_t)8 * run.count);
	if (last >= eof)
		added = first > eof ? run.count : last + 1 - eof;
	if (r == 0 && covered < run.count && first < eof)
		r = sq_holes_count_cut(c, i, first, last, &added);
	if (r == 0)
		i->stored += added;
	return r;
}

int sq_blocks_write(
	struct sq_conn *c, struct sq_inode *i, uint64_t first, const void *data, size_t len)
{
	const unsigned char *p = data;
	int r = 0;
	while (r == 0 && len > 0) {
		size_t room = (size_t)(SQ_RUN_MAX - first % SQ_RUN_MAX) * STORE_BLOCK_SIZE;
		size_t n = len < room ? len : room;
		r = write_run(c, i, first, p, n);
		first += sq_blocks_of(n);
		p += n;
		len -= n;
	}
	return r;
}

int sq_blocks_delete(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last,
	unsigned limit, bool *ret_more)
{
	struct extent runs[SLICE];
	uint64_t ino = i->attr.ino;
	unsigned deleted = 0;
	for (;;) {
		if (limit && deleted >= limit) {
			*ret_more = true;
			return 0;
		}
		int n = find_runs(c, ino, first, last, runs, SLICE), r = 0;
		if (n <= 0) {
			*ret_more = false;
			return n;
		}
		/* Only the first and the last run can reach over the edge. */
		for (int e = 0; r == 0 && e < n; e++) {
			uint64_t common = overlap(&runs[e], first, last);
			sq_take_from(&i->stored, common);
			if (common < runs[e].count)
				r = split_run(c, ino, runs[e].first, first, last);
		}
		uint64_t from = runs[0].first > first ? runs[0].first : first;
		uint64_t to = runs[n - 1].first + runs[n - 1].count - 1;
		to = to < last ? to : last;
		if (r == 0)
			r = delete_runs(c, ino, from, to);
		if (r < 0)
			return r;
		deleted += (unsigned)n;
	}
}
