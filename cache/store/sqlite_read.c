/* Reading data and attributes: each call sees one committed state. */

#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Counts a failure of the store (not an answer like -ENOENT) on its way up. */
static int failed(struct sqlite_store *s, int r)
{
	if (r == -EIO || r == -EBADMSG || r == -ENOMEM)
		atomic_fetch_add(&s->failures, 1);
	return r;
}

int sq_getattr(struct store *store, uint64_t ino, struct store_attr *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_inode i;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = sq_inode_load(c, ino, &i);
	sq_read_end(s, c);
	if (r == 0)
		*ret = i.attr;
	return failed(s, r);
}

/* A read on its way: which blocks are wanted, which are there. */
struct reading {
	struct sqlite_store *s;
	struct sq_conn *c;
	const struct sq_inode *i;
	uint64_t first; /* wanted: [first, end) */
	uint64_t end;
	uint64_t eof; /* blocks of the file */
	struct store_span *span;
};

static int append_block(struct reading *rd, struct block *b)
{
	if (!b)
		return -ENOMEM;
	rd->span->blocks[rd->span->count++] = b;
	return 0;
}

/* Blocks up to `to` have no row: they must be holes. */
static int append_holes(struct reading *rd, uint64_t to)
{
	uint64_t at = rd->span->first + rd->span->count, known = at;
	bool dense = rd->i->stored == sq_blocks_of(rd->i->attr.size);
	while (at < to) {
		bool hole = false;
		uint64_t last = at;
		int r = dense ? 0 : sq_holes_find(rd->c, rd->i->attr.ino, known, &hole, &last);
		if (r < 0)
			return r;
		if (!hole) {
			atomic_fetch_add(&rd->s->checksum_failures, 1);
			return -EBADMSG;
		}
		for (; at < to && at <= last; at++)
			if ((r = append_block(rd, block_new(0))) < 0)
				return r;
		known = at;
	}
	return 0;
}

static int append_run(struct reading *rd, const struct sq_run *run)
{
	for (uint32_t n = 0; n < run->count && run->first + n < rd->eof; n++) {
		uint64_t at = run->first + n;
		bool wanted = at >= rd->first && at < rd->end;
		if (!wanted && rd->span->count == ARRAY_LEN(rd->span->blocks))
			return 0;
		uint32_t len = sq_run_block_len(run, n);
		const unsigned char *data = run->data + (size_t)n * STORE_BLOCK_SIZE;
		if (run->sums && sq_sum(rd->i->attr.ino, at, data, len) != sq_run_sum(run, n)) {
			atomic_fetch_add(&rd->s->checksum_failures, 1);
			if (wanted)
				return -EBADMSG;
			if (at >= rd->end)
				return 0;
			/* Damage before what is wanted: start after it. */
			store_span_release(rd->span);
			rd->span->first = at + 1;
			continue;
		}
		struct block *b = block_new(len);
		if (b)
			memcpy(b->data, data, len);
		int r = append_block(rd, b);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_blocks(struct reading *rd)
{
	uint64_t ino = rd->i->attr.ino;
	sqlite3_stmt *st = sq_query(rd->c, SQ_BLOCK_RANGE, "iii",
		sq_key(ino, rd->first - rd->first % SQ_RUN_MAX), sq_key(ino, rd->first),
		sq_key(ino, rd->end - 1));
	int r;
	while ((r = sq_step(st)) == 1) {
		struct sq_run run;
		r = sq_run_columns(st, &run);
		if (r == 0 && run.first + run.count <= rd->first)
			continue;
		if (r == 0 && run.first < rd->first && rd->span->count == 0)
			rd->span->first = run.first;
		/* Rows that overlap: the span would hold blocks in wrong places, and too many. */
		if (r == 0 && run.first < rd->span->first + rd->span->count)
			r = -EIO;
		if (r == 0)
			r = append_holes(rd, run.first);
		if (r == 0)
			r = append_run(rd, &run);
		if (r < 0) {
			sq_done(st);
			return r;
		}
	}
	return r < 0 ? r : append_holes(rd, rd->end);
}

/* Whole rows, most of whose pages lie one after the other. */
static int read_rows(struct reading *rd)
{
	uint64_t left = rd->eof - rd->first;
	sq_vfs_runs(rd->c->file, left < SQ_RUN_MAX ? left * STORE_BLOCK_SIZE : SQ_VFS_RUN);
	int r = read_blocks(rd);
	sq_vfs_runs(rd->c->file, 0);
	return r;
}

static int read_range(struct reading *rd)
{
	int r = sq_read_part(rd->s, rd->c, rd->i, rd->first, rd->end, rd->span);
	r = r == 1 ? 0 : r == 0 ? read_rows(rd) : r;
	if (r == 0)
		sq_read_ended(rd->s, rd->i->attr.ino, rd->span->first + rd->span->count);
	return r;
}

int sq_read(
	struct store *store, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_inode i;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = sq_file_load(c, ino, &i);
	ret->first = first;
	ret->count = 0;
	if (r == 0) {
		uint64_t eof = sq_blocks_of(i.attr.size);
		struct reading rd = {
			.s = s, .c = c, .i = &i, .first = first, .eof = eof, .span = ret};
		rd.end = first + count < eof ? first + count : eof;
		ret->attr = i.attr;
		if (first < rd.end)
			r = read_range(&rd);
	}
	sq_read_end(s, c);
	if (r < 0)
		store_span_release(ret);
	return failed(s, r);
}

/* The first block at or after `block` that is in no hole; `eof` when there is none. */
static int next_data(
	struct sq_conn *c, const struct sq_inode *i, uint64_t block, uint64_t eof, uint64_t *ret)
{
	bool hole = true;
	int r = 0;
	while (block < eof && hole) {
		uint64_t last;
		r = sq_holes_find(c, i->attr.ino, block, &hole, &last);
		if (r < 0)
			return r;
		if (hole)
			block = last + 1;
	}
	*ret = block;
	return 0;
}

static int seek_in(
	struct sq_conn *c, const struct sq_inode *i, uint64_t offset, bool data, uint64_t *ret)
{
	uint64_t size = i->attr.size, eof = sq_blocks_of(size), block = offset / STORE_BLOCK_SIZE;
	if (offset >= size)
		return -ENXIO;
	int r;
	if (i->stored == eof) {
		block = data ? block : eof;
	} else if (data) {
		r = next_data(c, i, block, eof, &block);
		if (r < 0)
			return r;
		if (block >= eof)
			return -ENXIO;
	} else {
		r = sq_holes_next(c, i->attr.ino, block, eof - 1, &block);
		if (r < 0)
			return r;
		if (r == 0)
			block = eof;
	}
	uint64_t at = block * STORE_BLOCK_SIZE;
	at = at > offset ? at : offset;
	*ret = at < size ? at : size;
	return 0;
}

int sq_seek(struct store *store, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_inode i;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = sq_file_load(c, ino, &i);
	if (r == 0)
		r = seek_in(c, &i, offset, data, ret);
	sq_read_end(s, c);
	return failed(s, r);
}

/* The rows of [first, end) as block infos, holes between them. */
static int list_blocks(
	struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t end, struct store_block_info *ret)
{
	for (uint64_t at = first; at < end; at++)
		ret[at - first] = (struct store_block_info){.index = at};
	sqlite3_stmt *st = sq_query(c, SQ_BLOCK_RANGE, "iii",
		sq_key(ino, first - first % SQ_RUN_MAX), sq_key(ino, first), sq_key(ino, end - 1));
	int r;
	while ((r = sq_step(st)) == 1) {
		struct sq_run run;
		r = sq_run_columns(st, &run);
		if (r < 0) {
			sq_done(st);
			return r;
		}
		for (uint32_t n = 0; n < run.count; n++) {
			uint64_t at = run.first + n;
			if (at < first || at >= end)
				continue;
			ret[at - first].len = sq_run_block_len(&run, n);
			ret[at - first].has_sum = run.sums != NULL;
			ret[at - first].sum = run.sums ? sq_run_sum(&run, n) : 0;
		}
	}
	return r;
}

ssize_t sq_block_info(struct store *store, uint64_t ino, uint64_t first, uint32_t count,
	struct store_block_info *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_inode i;
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	uint64_t end = first;
	r = sq_inode_load(c, ino, &i);
	if (r == 0 && S_ISREG(i.attr.mode)) {
		uint64_t eof = sq_blocks_of(i.attr.size);
		end = first + count < eof ? first + count : eof;
		if (first < end)
			r = list_blocks(c, ino, first, end, ret);
	}
	sq_read_end(s, c);
	return r < 0 ? failed(s, r) : end > first ? (ssize_t)(end - first) : 0;
}
