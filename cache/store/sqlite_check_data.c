/* Is each block of a file either stored, once, with the right checksum, or in one hole? */

#include "sqlite_check_internal.h"

#include <assert.h>
#include <sys/stat.h>

#define FILE_SQL "SELECT ino, mode, nlink, size, blocks, reserved FROM inode ORDER BY ino"
/* The lengths come before the bytes, so that a row of a gigabyte is not loaded. */
#define BLOCK_SQL                                                                                  \
	"SELECT key, iif(length(sums) > 128, x'', sums), iif(length(data) > 65536, x'', data),"    \
	" length(sums), length(data) FROM block ORDER BY key"
#define HOLE_SQL "SELECT key, count, reserved FROM hole ORDER BY key"
static_assert(SQ_RUN_MAX * 8 == 128 && SQ_RUN_MAX * STORE_BLOCK_SIZE == 65536,
	"a row of data, as BLOCK_SQL has it");

/* One inode, while its rows go by. */
struct file {
	int64_t ino;
	bool exists;
	bool regular;
	bool deleted;	   /* then it may be on its way out, a piece at a time */
	uint64_t size;	   /* bytes */
	uint64_t eof;	   /* blocks */
	uint64_t next;	   /* the block that the next row must begin with */
	uint64_t stored;   /* blocks so far */
	uint64_t reserved; /* so far */
	uint64_t strays;   /* rows that a file like this cannot have */
};

static int64_t bytes(uint64_t blocks)
{
	return (int64_t)(blocks * STORE_BLOCK_SIZE);
}

static void tell_missing(struct check *k, const struct file *f, uint64_t n)
{
	check_fault(k, f->ino, bytes(f->next),
		n == 1 ? "%llu block is missing" : "%llu blocks are missing",
		(unsigned long long)n);
}

/* A row, of data or a hole, takes blocks [first, first + count). */
static void place(struct check *k, struct file *f, uint64_t first, uint64_t count, const char *kind)
{
	if (first < f->next)
		check_fault(k, f->ino, bytes(first), "a %s where another row is already", kind);
	else if (first > f->next && f->next < f->eof && !f->deleted)
		tell_missing(k, f, (first < f->eof ? first : f->eof) - f->next);
	if (first + count > f->eof)
		check_fault(k, f->ino, bytes(first > f->eof ? first : f->eof),
			"a %s past the end of the file", kind);
	if (first + count > f->next)
		f->next = first + count;
}

static void check_sums(struct check *k, struct file *f, const struct sq_run *run)
{
	k->summary.blocks += run->count;
	if (!run->sums) {
		k->summary.unsummed += run->count;
		return;
	}
	for (uint32_t i = 0; i < run->count; i++) {
		uint64_t block = run->first + i;
		if (sq_sum((uint64_t)f->ino, block, run->data + (size_t)i * STORE_BLOCK_SIZE,
			    sq_run_block_len(run, i)) != sq_run_sum(run, i))
			check_fault(k, f->ino, bytes(block), CHECK_MISMATCH);
	}
}

static void check_run(struct check *k, struct file *f, const struct cursor *row)
{
	struct sq_run run;
	uint64_t first = sq_key_block(cursor_int(row, 0)), len = (uint64_t)cursor_int(row, 4);
	uint64_t count = len ? sq_blocks_of(len) : 1;
	f->stored += count;
	place(k, f, first, count, "run of blocks");
	if (len == 0 || first % SQ_RUN_MAX + count > SQ_RUN_MAX) {
		check_fault(k, f->ino, bytes(first), "a row of %llu byte%s cannot be here",
			(unsigned long long)len, check_plural((int64_t)len));
	} else if (sq_run_columns(row->st, &run) < 0) {
		check_fault(k, f->ino, bytes(first), "%lld byte%s of checksums for %llu block%s",
			(long long)cursor_int(row, 3), check_plural(cursor_int(row, 3)),
			(unsigned long long)count, check_plural((int64_t)count));
	} else {
		if (first + count == f->eof && (uint64_t)bytes(first) + len > f->size)
			check_fault(k, f->ino, (int64_t)f->size,
				"bytes are stored past the end of the file");
		check_sums(k, f, &run);
	}
}

static void check_hole(struct check *k, struct file *f, const struct cursor *row)
{
	uint64_t first = sq_key_block(cursor_int(row, 0));
	int64_t count = cursor_int(row, 1), reserved = cursor_int(row, 2);
	if (count < 1 || count > (int64_t)1 << SQ_BLOCK_BITS) {
		check_fault(k, f->ino, bytes(first), "a hole of %lld block%s", (long long)count,
			check_plural(count));
		return;
	}
	if (reserved != 0 && reserved != 1)
		check_fault(k, f->ino, bytes(first), "a hole that is neither reserved nor not");
	if (reserved)
		f->reserved += (uint64_t)count;
	place(k, f, first, (uint64_t)count, "hole");
}

/* All rows of data and holes of the inode, in the order of blocks. */
static int check_rows(struct check *k, struct file *f, struct cursor *run, struct cursor *hole)
{
	int r = 0;
	while (r == 0 && (cursor_at(run, f->ino) || cursor_at(hole, f->ino))) {
		bool is_run =
			cursor_at(run, f->ino) &&
			(!cursor_at(hole, f->ino) || cursor_int(run, 0) <= cursor_int(hole, 0));
		if (!f->regular)
			f->strays++;
		else if (is_run)
			check_run(k, f, run);
		else
			check_hole(k, f, hole);
		if (is_run)
			k->done += sq_blocks_of((uint64_t)cursor_int(run, 4));
		r = cursor_next(is_run ? run : hole);
	}
	return r;
}

static void check_counts(struct check *k, const struct file *f, const struct cursor *inode)
{
	if (f->next < f->eof && !f->deleted)
		tell_missing(k, f, f->eof - f->next);
	if ((int64_t)f->stored != cursor_int(inode, 4))
		check_fault(k, f->ino, -1, "block count is %lld, but %llu %s stored",
			(long long)cursor_int(inode, 4), (unsigned long long)f->stored,
			f->stored == 1 ? "block is" : "blocks are");
	if ((int64_t)f->reserved != cursor_int(inode, 5))
		check_fault(k, f->ino, -1, "count of reserved blocks is %lld, but %llu %s reserved",
			(long long)cursor_int(inode, 5), (unsigned long long)f->reserved,
			f->reserved == 1 ? "is" : "are");
}

static struct file begin_file(const struct cursor *inode, int64_t ino)
{
	struct file f = {.ino = ino, .exists = cursor_at(inode, ino)};
	if (!f.exists)
		return f;
	int64_t size = cursor_int(inode, 3);
	f.regular = S_ISREG((mode_t)cursor_int(inode, 1));
	f.deleted = cursor_int(inode, 2) == 0;
	if (size >= 0 && (uint64_t)size <= STORE_FILE_MAX) { /* else check_inodes() says so */
		f.size = (uint64_t)size;
		f.eof = sq_blocks_of(f.size);
	}
	return f;
}

int check_data(struct check *k)
{
	struct cursor inode, run = {0}, hole = {0};
	const struct cursor *const all[] = {&inode, &run, &hole};
	int64_t ino;
	int r = cursor_open(k, FILE_SQL, false, &inode);
	if (r == 0)
		r = cursor_open(k, BLOCK_SQL, true, &run);
	if (r == 0)
		r = cursor_open(k, HOLE_SQL, true, &hole);
	while (r == 0 && cursor_least(all, 3, &ino)) {
		struct file f = begin_file(&inode, ino);
		r = check_rows(k, &f, &run, &hole);
		if (f.strays)
			check_fault(k, ino, -1, "has %llu row%s of data or holes, but %s",
				(unsigned long long)f.strays, check_plural((int64_t)f.strays),
				f.exists ? "is not a regular file" : "there is no such inode");
		if (r == 0 && f.regular)
			check_counts(k, &f, &inode);
		if (r == 0 && f.exists)
			r = cursor_next(&inode);
	}
	cursor_close(&inode);
	cursor_close(&run);
	cursor_close(&hole);
	return r;
}
