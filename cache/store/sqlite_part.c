/*
 * Reading a few blocks, which are parts of long rows.
 *
 * A row holds up to SQ_RUN_MAX blocks, in a chain of pages. Who asks for its data in a query makes
 * SQLite read the chain from front to end, a call for each page: when the kernel does not have them
 * either, that is one wait for the disk after the other. So a small read has its rows found by
 * queries that do not touch the chains, and reads what it wants of them by incremental blob I/O. In
 * a database that can be vacuumed, SQLite then skips pages of a chain without reading them, as long
 * as they follow each other, which the pages of a row do that was written at once. For the same
 * reason the kernel can be told to read all that are wanted at one time (sqlite_ahead.c).
 *
 * Who reads a file from front to end in small pieces shall get whole rows all the same: a read at
 * the beginning of a file, or where another one has ended lately, brings along all blocks of its
 * row. The kernel, which reads ahead by itself then, and farther, is told nothing.
 *
 * What is wrong with a row is not judged here: whole rows are read instead, which shows it. A page
 * that cannot be read is an error as it is.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <string.h>

/* Files of so few blocks are not worth another way. SQ_BLOCK_AT and SQ_BLOCK_LAST
 * bring rows of so many along. */
#define FEW 2u

/* A small read on its way. */
struct part {
	struct sqlite_store *s;
	struct sq_conn *c;
	uint64_t ino;
	uint64_t eof;  /* blocks of the file */
	bool whole;    /* all of the row is wanted */
	bool is_ahead; /* the kernel has it, or reads it by itself */
	struct store_span *span;
};

/* A row that a part is read of. */
struct row {
	struct sq_run run;  /* data: of a short row, until the statement is reset; else NULL */
	sqlite3_blob *blob; /* of a long one */
	unsigned char sums[SQ_RUN_MAX * 8];
};

/* Where a read that ended at `key` is noted. */
static atomic_int_fast64_t *place_of(struct sqlite_store *s, int64_t key)
{
	uint64_t hash = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15);
	return &s->read_ends[hash >> 32 & (SQ_READ_ENDS - 1)];
}

void sq_read_ended(struct sqlite_store *s, uint64_t ino, uint64_t end)
{
	int64_t key = sq_key(ino, end);
	atomic_store_explicit(place_of(s, key), key, memory_order_relaxed);
}

static bool goes_on(struct sqlite_store *s, uint64_t ino, uint64_t first)
{
	int64_t key = sq_key(ino, first);
	return atomic_load_explicit(place_of(s, key), memory_order_relaxed) == key;
}

/* 1: the statement is on the row that has all of blocks [first, end). 0: it is on none, or that is
 * not as it should be. */
static int step_to_row(sqlite3_stmt *st, uint64_t first, uint64_t end, struct row *ret)
{
	struct sq_run *run = &ret->run;
	int r = sq_step(st);
	if (r <= 0)
		return r;
	if (sq_run_lengths(st, run) < 0 || run->first > first || run->first + run->count < end) {
		sq_done(st);
		return 0;
	}
	if (run->sums)
		run->sums = memcpy(ret->sums, run->sums, (size_t)8 * run->count);
	ret->blob = NULL;
	return 1;
}

/*
 * The row of blocks [first, end), which lie in one chunk. 1: *st is on it; 0: there is none, or it
 * is not as it should be.
 *
 * Where rows have begun their chunks the row is looked for by its key. The last row up to a block
 * is on the way there, too, but of each leaf SQLite finds the last one by way of the next leaf.
 */
static int find_row(const struct part *p, uint64_t first, uint64_t end, struct sq_ahead *ahead,
	sqlite3_stmt **st, struct row *ret)
{
	uint64_t chunk = first - first % SQ_RUN_MAX;
	int r = 0;
	if (ahead->file->whole_rows) {
		sq_ahead_descent(ahead, !p->whole);
		*st = sq_query(p->c, SQ_BLOCK_AT, "i", sq_key(p->ino, chunk));
		r = step_to_row(*st, first, end, ret);
	}
	if (r == 0) {
		sq_ahead_descent(ahead, false);
		*st = sq_query(
			p->c, SQ_BLOCK_LAST, "ii", sq_key(p->ino, chunk), sq_key(p->ino, end - 1));
		r = step_to_row(*st, first, end, ret);
	}
	sq_ahead_stop(ahead);
	ahead->file->whole_rows = r == 1 && ret->run.first == chunk && ret->run.count > 1;
	return r;
}

/* Appends block `n` of the row. 0: its checksum is wrong. */
static int append_block(const struct part *p, const struct row *row, uint32_t n)
{
	const struct sq_run *run = &row->run;
	size_t at = (size_t)n * STORE_BLOCK_SIZE;
	struct block *b = block_new(sq_run_block_len(run, n));
	if (!b)
		return -ENOMEM;
	p->span->blocks[p->span->count++] = b;
	int r = 0;
	if (run->data)
		memcpy(b->data, run->data + at, b->len);
	else
		r = sq_errno(sqlite3_blob_read(row->blob, b->data, (int)b->len, (int)at));
	if (r < 0)
		return r;
	return !run->sums || sq_sum(p->ino, run->first + n, b->data, b->len) == sq_run_sum(run, n);
}

static int append_blocks(const struct part *p, const struct row *row, uint64_t first, uint64_t end)
{
	int r = 1;
	for (uint64_t at = first; r == 1 && at < end; at++)
		r = append_block(p, row, (uint32_t)(at - row->run.first));
	return r;
}

/* The same, of a row whose data is not at hand. */
static int append_of_blob(
	const struct part *p, struct row *row, uint64_t first, uint64_t end, struct sq_ahead *ahead)
{
	int r = sq_errno(sqlite3_blob_open(
		p->c->db, "main", "block", "data", sq_key(p->ino, row->run.first), 0, &row->blob));
	if (r < 0)
		return r;
	if (sqlite3_blob_bytes(row->blob) != (int)row->run.len) { /* text, which has characters */
		IGNORE(sqlite3_blob_close(row->blob));
		return 0;
	}
	if (!p->is_ahead)
		sq_ahead_data(ahead);
	r = append_blocks(p, row, first, end);
	sq_ahead_stop(ahead);
	if (r == 1 && ahead->file->whole_rows)
		sq_ahead_learn(ahead);
	IGNORE(sqlite3_blob_close(row->blob)); /* nothing was written */
	return r;
}

/* Appends blocks [first, end), which lie in one chunk. 1: done; 0: not in this way. */
static int append_part(const struct part *p, uint64_t first, uint64_t end)
{
	struct row row;
	struct sq_ahead ahead;
	sqlite3_stmt *st;
	sq_ahead_begin(&ahead, p->s, p->c, p->ino, first, end);
	int r = find_row(p, first, end, &ahead, &st, &row);
	if (r == 1 && p->whole) {
		p->span->first = first = row.run.first;
		end = first + row.run.count < p->eof ? first + row.run.count : p->eof;
		sq_ahead_want(&ahead, first, end);
	}
	if (r == 1 && row.run.data) {
		r = append_blocks(p, &row, first, end);
		sq_done(st);
		return r;
	}
	sq_done(st);
	return r == 1 ? append_of_blob(p, &row, first, end, &ahead) : r;
}

int sq_read_part(struct sqlite_store *s, struct sq_conn *c, const struct sq_inode *i,
	uint64_t first, uint64_t end, struct store_span *ret)
{
	uint64_t next, ino = i->attr.ino, eof = sq_blocks_of(i->attr.size);
	uint64_t edge = first - first % SQ_RUN_MAX + SQ_RUN_MAX; /* of the chunk */
	if (end - first > SQ_RUN_MAX || eof <= FEW)
		return 0;
	bool on = goes_on(s, ino, first);
	struct part p = {.s = s,
		.c = c,
		.ino = ino,
		.eof = eof,
		.whole = on || first == 0,
		.is_ahead = on,
		.span = ret};
	if (p.whole && end > edge)
		return 0;
	ret->first = first;
	ret->count = 0;
	int r = 1;
	for (uint64_t at = first; r == 1 && at < end; at = next, edge += SQ_RUN_MAX) {
		next = end < edge ? end : edge;
		r = append_part(&p, at, next);
	}
	if (r != 1) {
		store_span_release(ret);
		ret->first = first;
	}
	return r;
}
