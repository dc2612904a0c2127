/*
 * Rows of holes: where a file has no data, and whether fallocate(2) has reserved the place. What
 * holds of them and of the rows of data together stands at the top of sqlite_blocks.c.
 */

#include "sqlite_internal.h"

#include <errno.h>

/* Blocks that a file can have. */
#define BLOCKS_MAX ((uint64_t)1 << SQ_BLOCK_BITS)

/* A row of table hole. */
struct hole {
	uint64_t first;
	uint64_t count;
	bool reserved;
};

static int put_hole(struct sq_conn *c, struct sq_inode *i, const struct hole *h)
{
	if (h->count == 0)
		return 0;
	if (h->reserved)
		i->reserved += h->count;
	return sq_exec(sq_query(c, SQ_HOLE_PUT, "iui", sq_key(i->attr.ino, h->first), h->count,
		(int64_t)h->reserved));
}

static int delete_hole(struct sq_conn *c, struct sq_inode *i, const struct hole *h)
{
	if (h->reserved)
		sq_take_from(&i->reserved, h->count);
	return sq_exec(sq_query(c, SQ_HOLE_DELETE, "i", sq_key(i->attr.ino, h->first)));
}

/* The first hole with blocks in [first, last]; 1: found, 0: none. */
static int next_hole(
	struct sq_conn *c, uint64_t ino, uint64_t first, uint64_t last, struct hole *ret)
{
	sqlite3_stmt *st = sq_query(
		c, SQ_HOLE_RANGE, "iii", sq_key(ino, 0), sq_key(ino, first), sq_key(ino, last));
	int64_t before = INT64_MIN;
	int r;
	while ((r = sq_step(st)) == 1) {
		int64_t key = sqlite3_column_int64(st, 0);
		/* In a damaged file there may be no end to them. */
		int bad = key > before ? 0 : -EIO;
		before = key;
		struct hole h = {.first = sq_key_block(key),
			.count = sq_column_u64(st, 1, &bad),
			.reserved = sqlite3_column_int64(st, 2) != 0};
		/* What is cut off such a hole must not get among the keys of another inode. */
		if (h.count > BLOCKS_MAX - h.first)
			h.count = BLOCKS_MAX - h.first;
		if (bad == 0 && h.first + h.count <= first)
			continue;
		sq_done(st);
		if (bad == 0)
			*ret = h;
		return bad < 0 ? bad : 1;
	}
	return r;
}

int sq_holes_find(struct sq_conn *c, uint64_t ino, uint64_t block, bool *ret, uint64_t *ret_last)
{
	struct hole h;
	int r = next_hole(c, ino, block, block, &h);
	if (r < 0)
		return r;
	*ret = r == 1;
	*ret_last = r == 1 ? h.first + h.count - 1 : block;
	return 0;
}

int sq_holes_next(struct sq_conn *c, uint64_t ino, uint64_t from, uint64_t to, uint64_t *ret)
{
	struct hole h;
	int r = next_hole(c, ino, from, to, &h);
	if (r == 1)
		*ret = h.first > from ? h.first : from;
	return r;
}

int sq_holes_count_cut(
	struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last, uint64_t *cut)
{
	struct hole h;
	int r;
	while ((r = next_hole(c, i->attr.ino, first, last, &h)) == 1) {
		uint64_t end = h.first + h.count;
		struct hole left = {.first = h.first, .reserved = h.reserved};
		struct hole right = {.first = last + 1, .reserved = h.reserved};
		left.count = h.first < first ? first - h.first : 0;
		right.count = end > last + 1 ? end - last - 1 : 0;
		*cut += h.count - left.count - right.count;
		r = delete_hole(c, i, &h);
		if (r == 0)
			r = put_hole(c, i, &left);
		if (r == 0)
			r = put_hole(c, i, &right);
		if (r < 0)
			return r;
	}
	return r;
}

int sq_holes_cut(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last)
{
	uint64_t cut = 0;
	return sq_holes_count_cut(c, i, first, last, &cut);
}

/* Joins the neighbour of [h->first, + count) that has block `at` to it, when they are alike. */
static int join_hole(struct sq_conn *c, struct sq_inode *i, struct hole *h, uint64_t at)
{
	struct hole near;
	int r = next_hole(c, i->attr.ino, at, at, &near);
	if (r <= 0 || near.reserved != h->reserved)
		return r < 0 ? r : 0;
	r = delete_hole(c, i, &near);
	if (near.first < h->first)
		h->first = near.first;
	h->count += near.count;
	return r;
}

int sq_holes_add(
	struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last, bool reserved)
{
	struct hole h = {.first = first, .count = last - first + 1, .reserved = reserved};
	int r = sq_holes_cut(c, i, first, last);
	if (r == 0 && first > 0)
		r = join_hole(c, i, &h, first - 1);
	if (r == 0 && last + 1 < (uint64_t)1 << SQ_BLOCK_BITS)
		r = join_hole(c, i, &h, last + 1);
	return r < 0 ? r : put_hole(c, i, &h);
}

int sq_holes_reserve(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last)
{
	struct hole h;
	int r;
	while (first <= last && (r = next_hole(c, i->attr.ino, first, last, &h)) != 0) {
		if (r < 0)
			return r;
		uint64_t from = h.first > first ? h.first : first;
		uint64_t to = h.first + h.count - 1 < last ? h.first + h.count - 1 : last;
		if (!h.reserved && (r = sq_holes_add(c, i, from, to, true)) < 0)
			return r;
		first = to + 1;
	}
	return 0;
}
