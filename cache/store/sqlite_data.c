/*
 * Changes of data: write, truncate, fallocate, copy; and of attributes, because setting the size is
 * one of them. A part of a block is always changed on the store's own copy, inside the transaction.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What every change of data does to the inode besides. */
static int data_changed(struct sq_conn *c, struct sq_inode *i, const struct change *ch)
{
	i->attr.mtime = i->attr.ctime = ch->now;
	if (ch->caller.kill_suid)
		i->attr.mode = sq_killed_mode(&ch->caller, i->attr.mode);
	int r = sq_drop_capabilities(c, i);
	return r < 0 ? r : sq_inode_save_data(c, i);
}

/* A write cut into blocks: the blocks that it covers partly are completed from the store. */
struct patch {
	uint64_t first;
	const unsigned char *data; /* of blocks first, ... */
	size_t len;
	unsigned char *buffer; /* to be freed; data points into it, if it was needed */
	bool head_partial;
	bool tail_partial;
};

/* Copies what is stored of `block` to `to`, zeros after it; *ret_len: how much is stored. */
static int fetch_block(struct sqlite_store *s, const struct sq_inode *i, uint64_t block,
	unsigned char *to, uint32_t *ret_len)
{
	struct sq_stored stored;
	int r = sq_block_load(s, i, block, &stored);
	if (r < 0)
		return r;
	*ret_len = stored.found ? stored.len : 0;
	memcpy(to, stored.data, *ret_len);
	memset(to + *ret_len, 0, STORE_BLOCK_SIZE - *ret_len);
	return 0;
}

static int make_patch(struct sqlite_store *s, const struct sq_inode *i, uint64_t offset,
	const void *data, size_t len, struct patch *ret)
{
	uint64_t end = offset + len, first = offset / STORE_BLOCK_SIZE,
		 last = (end - 1) / STORE_BLOCK_SIZE;
	struct patch p = {.first = first, .data = data, .len = len};
	p.head_partial = offset % STORE_BLOCK_SIZE || (first == last && end % STORE_BLOCK_SIZE);
	p.tail_partial = first != last && end % STORE_BLOCK_SIZE;
	/* Nothing to complete: the block at the end has nothing stored after the write. */
	bool at_end = end >= i->attr.size;
	if (offset % STORE_BLOCK_SIZE == 0 && (end % STORE_BLOCK_SIZE == 0 || at_end)) {
		*ret = p;
		return 0;
	}
	size_t size = (size_t)(last - first + 1) * STORE_BLOCK_SIZE;
	p.buffer = malloc(size);
	if (!p.buffer)
		return -ENOMEM;
	unsigned char *tail = p.buffer + size - STORE_BLOCK_SIZE;
	uint32_t stored = 0;
	int r = p.head_partial ? fetch_block(s, i, first, p.buffer, &stored) : 0;
	if (r == 0 && p.tail_partial)
		r = fetch_block(s, i, last, tail, &stored);
	if (r < 0) {
		free(p.buffer);
		return r;
	}
	memcpy(p.buffer + offset % STORE_BLOCK_SIZE, data, len);
	p.data = p.buffer;
	size_t written = (size_t)(end - last * STORE_BLOCK_SIZE);
	bool last_partial = p.tail_partial || (first == last && p.head_partial);
	p.len = size;
	if (last_partial)
		p.len = size - STORE_BLOCK_SIZE + (written > stored ? written : stored);
	*ret = p;
	return 0;
}

/* A copy of block `n` of the patch, for the cache. No memory: NULL, which the cache can take. */
static struct block *patch_block(const struct patch *p, uint64_t n)
{
	size_t at = (size_t)(n - p->first) * STORE_BLOCK_SIZE;
	size_t len = p->len - at < STORE_BLOCK_SIZE ? p->len - at : STORE_BLOCK_SIZE;
	struct block *b = block_new((uint32_t)len);
	if (b)
		memcpy(b->data, p->data + at, len);
	return b;
}

/* Writes to a file whose row is loaded; the row is not saved yet. */
static int write_data(struct sqlite_store *s, struct sq_inode *i, uint64_t offset, const void *data,
	size_t len, struct change_write *result)
{
	if (offset > STORE_FILE_MAX || len > STORE_FILE_MAX - offset)
		return -EFBIG;
	struct patch p;
	int r = make_patch(s, i, offset, data, len, &p);
	if (r < 0)
		return r;
	uint64_t eof = sq_blocks_of(i->attr.size);
	if (p.first > eof)
		r = sq_holes_add(s->writer, i, eof, p.first - 1, false);
	if (r == 0)
		r = sq_blocks_write(s->writer, i, p.first, p.data, p.len);
	if (r == 0 && offset + len > i->attr.size)
		i->attr.size = offset + len;
	if (r == 0 && result && p.head_partial)
		result->head = patch_block(&p, p.first);
	if (r == 0 && result && p.tail_partial)
		result->tail = patch_block(&p, (offset + len - 1) / STORE_BLOCK_SIZE);
	free(p.buffer);
	return r;
}

int sq_apply_write(struct sqlite_store *s, struct change *ch)
{
	struct change_write *w = &ch->write;
	struct sq_inode i;
	int r = sq_file_load(s->writer, w->ino, &i);
	if (r < 0)
		return r;
	if (w->append)
		w->offset = i.attr.size;
	r = write_data(s, &i, w->offset, w->data, w->len, w);
	if (r == 0)
		r = data_changed(s->writer, &i, ch);
	if (r == 0)
		sq_touched(ch, &i);
	return r;
}

/* The last block must not keep bytes from past the new end: were the file extended again, they
 * would come back. */
static int trim_tail(struct sqlite_store *s, struct sq_inode *i, uint64_t size)
{
	uint32_t keep = (uint32_t)(size % STORE_BLOCK_SIZE);
	if (keep == 0)
		return 0;
	uint64_t block = size / STORE_BLOCK_SIZE;
	struct sq_stored stored;
	int r = sq_block_load(s, i, block, &stored);
	if (r < 0 || !stored.found || stored.len <= keep)
		return r;
	return sq_blocks_write(s->writer, i, block, stored.data, keep);
}

static int truncate_file(struct sqlite_store *s, struct sq_inode *i, uint64_t size)
{
	uint64_t old = sq_blocks_of(i->attr.size), new = sq_blocks_of(size);
	bool more;
	int r = 0;
	if (size > STORE_FILE_MAX)
		return -EFBIG;
	if (size < i->attr.size)
		r = trim_tail(s, i, size);
	if (r == 0 && new < old)
		r = sq_blocks_delete(s->writer, i, new, old - 1, 0, &more);
	if (r == 0 && new < old)
		r = sq_holes_cut(s->writer, i, new, old - 1);
	if (r == 0 && new == 0)
		i->stored = 0; /* also when rows had vanished: an emptied file is whole again */
	if (r == 0 && new > old)
		r = sq_holes_add(s->writer, i, old, new - 1, false);
	if (r == 0)
		i->attr.size = size;
	return r;
}

int sq_apply_setattr(struct sqlite_store *s, struct change *ch)
{
	const struct change_setattr *set = &ch->setattr;
	struct sq_inode i;
	int r = set->mask & STORE_SET_SIZE ? sq_file_load(s->writer, set->ino, &i)
					   : sq_inode_load(s->writer, set->ino, &i);
	if (r < 0)
		return r;
	struct store_attr *a = &i.attr;
	if (set->mask & STORE_SET_SIZE) {
		r = truncate_file(s, &i, set->size);
		a->mtime = ch->now;
		if (ch->caller.kill_suid)
			a->mode = sq_killed_mode(&ch->caller, a->mode);
	}
	if (set->mask & STORE_SET_UID)
		a->uid = set->uid;
	if (set->mask & STORE_SET_GID)
		a->gid = set->gid;
	/* chown(2) clears these whoever calls it, root as well. */
	if (set->mask & (STORE_SET_UID | STORE_SET_GID) && !S_ISDIR(a->mode))
		a->mode = sq_killed_mode(&ch->caller, a->mode);
	if (r == 0 && set->mask & (STORE_SET_UID | STORE_SET_GID | STORE_SET_SIZE))
		r = sq_drop_capabilities(s->writer, &i);
	if (set->mask & STORE_SET_MODE)
		a->mode = (a->mode & S_IFMT) | (set->mode & 07777);
	if (r == 0 && set->mask & STORE_SET_MODE)
		r = sq_acl_chmod(s->writer, &i);
	if (set->mask & STORE_SET_ATIME)
		a->atime = set->atime;
	if (set->mask & STORE_SET_MTIME)
		a->mtime = set->mtime;
	a->ctime = ch->now;
	if (r == 0)
		r = sq_inode_save(s->writer, &i);
	if (r == 0)
		sq_touched(ch, &i);
	return r;
}

/* Zeros bytes [from, to) of one block, when there is anything stored of them. */
static int zero_part(
	struct sqlite_store *s, struct sq_inode *i, uint64_t block, uint32_t from, uint32_t to)
{
	struct sq_stored stored;
	if (from >= to)
		return 0;
	int r = sq_block_load(s, i, block, &stored);
	if (r < 0 || !stored.found || from >= stored.len)
		return r;
	memset(stored.data + from, 0, (to < stored.len ? to : stored.len) - from);
	return sq_blocks_write(s->writer, i, block, stored.data, stored.len);
}

/* Makes [offset, end) read as zeros, end at most the end of the file: whole blocks become holes. */
static int zero_range(
	struct sqlite_store *s, struct sq_inode *i, uint64_t offset, uint64_t end, bool reserved)
{
	if (offset >= end)
		return 0;
	uint64_t first = sq_blocks_of(offset), last = end / STORE_BLOCK_SIZE;
	if (end == i->attr.size)
		last = sq_blocks_of(end);
	uint64_t head = offset / STORE_BLOCK_SIZE;
	uint32_t from = (uint32_t)(offset % STORE_BLOCK_SIZE);
	bool more;
	int r = 0;
	if (from) {
		uint64_t stop = end - head * STORE_BLOCK_SIZE;
		r = zero_part(s, i, head, from,
			stop < STORE_BLOCK_SIZE ? (uint32_t)stop : STORE_BLOCK_SIZE);
	}
	if (r == 0 && last >= first && last * STORE_BLOCK_SIZE < end)
		r = zero_part(s, i, last, 0, (uint32_t)(end - last * STORE_BLOCK_SIZE));
	if (r == 0 && last > first)
		r = sq_blocks_delete(s->writer, i, first, last - 1, 0, &more);
	if (r == 0 && last > first)
		r = sq_holes_add(s->writer, i, first, last - 1, reserved);
	return r;
}

/* Is there room for what [offset, end) may come to need? Nothing is set aside: store-format.md. */
static int check_room(
	struct sqlite_store *s, const struct sq_inode *i, uint64_t offset, uint64_t end)
{
	struct store_space space;
	if (end <= i->attr.size && i->stored == sq_blocks_of(i->attr.size))
		return 0;
	int r = sq_space(s, s->writer, &space);
	if (r < 0)
		return r;
	return end - offset > space.free ? -ENOSPC : 0;
}

static int allocate_range(struct sqlite_store *s, struct sq_inode *i, enum store_allocate mode,
	uint64_t offset, uint64_t end)
{
	bool keep = mode == STORE_ALLOCATE_KEEP || mode == STORE_ZERO_RANGE_KEEP ||
		    mode == STORE_PUNCH_HOLE;
	bool zero = mode == STORE_ZERO_RANGE || mode == STORE_ZERO_RANGE_KEEP ||
		    mode == STORE_PUNCH_HOLE;
	uint64_t size = i->attr.size, inside = end < size ? end : size;
	int r = mode == STORE_PUNCH_HOLE ? 0 : check_room(s, i, offset, end);
	if (r == 0 && zero)
		r = zero_range(s, i, offset, inside, mode != STORE_PUNCH_HOLE);
	else if (r == 0 && offset < inside)
		r = sq_holes_reserve(
			s->writer, i, offset / STORE_BLOCK_SIZE, (inside - 1) / STORE_BLOCK_SIZE);
	if (r < 0 || keep || end <= size)
		return r;
	uint64_t old = sq_blocks_of(size), new = sq_blocks_of(end);
	uint64_t start = offset / STORE_BLOCK_SIZE;
	if (start > old)
		r = sq_holes_add(s->writer, i, old, start - 1, false);
	start = start > old ? start : old;
	if (r == 0 && new > start)
		r = sq_holes_add(s->writer, i, start, new - 1, true);
	i->attr.size = end;
	return r;
}

int sq_apply_allocate(struct sqlite_store *s, struct change *ch)
{
	const struct change_allocate *a = &ch->allocate;
	struct sq_inode i;
	int r = sq_file_load(s->writer, a->ino, &i);
	if (r < 0)
		return r;
	bool grows = a->mode == STORE_ALLOCATE || a->mode == STORE_ZERO_RANGE;
	uint64_t end = a->offset + a->len;
	if (end < a->offset || end > STORE_FILE_MAX) {
		if (grows)
			return -EFBIG;
		end = STORE_FILE_MAX;
	}
	if (a->offset < end)
		r = allocate_range(s, &i, a->mode, a->offset, end);
	if (r == 0)
		r = data_changed(s->writer, &i, ch);
	if (r == 0)
		sq_touched(ch, &i);
	return r;
}

/* The bytes [offset, offset + len) of a file, all below its end, to `to`. */
static int read_bytes(struct sqlite_store *s, const struct sq_inode *i, uint64_t offset,
	unsigned char *to, size_t len)
{
	while (len > 0) {
		unsigned char block[STORE_BLOCK_SIZE];
		uint32_t stored;
		size_t at = (size_t)(offset % STORE_BLOCK_SIZE);
		size_t n = STORE_BLOCK_SIZE - at < len ? STORE_BLOCK_SIZE - at : len;
		int r = fetch_block(s, i, offset / STORE_BLOCK_SIZE, block, &stored);
		if (r < 0)
			return r;
		memcpy(to, block + at, n);
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int sq_apply_copy(struct sqlite_store *s, struct change *ch)
{
	struct change_copy *copy = &ch->copy;
	struct sq_inode from, to;
	int r = sq_file_load(s->writer, copy->from, &from);
	if (r == 0)
		r = sq_file_load(s->writer, copy->to, &to);
	if (r < 0)
		return r;
	size_t len = copy->len;
	if (copy->from_offset >= from.attr.size)
		len = 0;
	else if (from.attr.size - copy->from_offset < len)
		len = (size_t)(from.attr.size - copy->from_offset);
	if (copy->from == copy->to && copy->from_offset < copy->to_offset + len &&
		copy->to_offset < copy->from_offset + len)
		return -EINVAL;
	copy->copied = len;
	if (len == 0) {
		sq_touched(ch, &to);
		return 0;
	}
	unsigned char *data = malloc(len);
	if (!data)
		return -ENOMEM;
	r = read_bytes(s, &from, copy->from_offset, data, len);
	if (r == 0)
		r = write_data(s, &to, copy->to_offset, data, len, NULL);
	free(data);
	if (r == 0)
		r = data_changed(s->writer, &to, ch);
	if (r == 0)
		sq_touched(ch, &to);
	return r;
}
