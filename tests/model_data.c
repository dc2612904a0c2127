/* What the regular files of the model store hold: blocks, and the changes of data. */
#include "model.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((uint64_t)STORE_BLOCK_SIZE)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bytes of [offset, end) that lie in the block of `offset`. */
static size_t in_block(uint64_t offset, uint64_t end)
{
	return (size_t)min_u64(end - offset, BLOCK - offset % BLOCK);
}

/* The place of the first block whose index is at least `index`. */
static size_t place(const struct model_inode *i, uint64_t index)
{
	size_t k = i->n_blocks;

	while (k > 0 && i->blocks[k - 1].index >= index)
		k--;
	return k;
}

struct model_block *model_block_find(const struct model_inode *i, uint64_t index)
{
	size_t k = place(i, index);

	return k < i->n_blocks && i->blocks[k].index == index ? &i->blocks[k] : NULL;
}

static struct model_block *block_make(struct model_inode *i, uint64_t index)
{
	size_t k = place(i, index);

	if (k < i->n_blocks && i->blocks[k].index == index)
		return &i->blocks[k];
	i->blocks = model_resize(i->blocks, i->n_blocks + 1, sizeof *i->blocks);
	struct model_block *b = &i->blocks[k];
	memmove(b + 1, b, (i->n_blocks - k) * sizeof *b);
	i->n_blocks++;
	i->attr.blocks++;
	b->index = index;
	b->data = model_resize(NULL, 1, STORE_BLOCK_SIZE);
	memset(b->data, 0, STORE_BLOCK_SIZE);
	return b;
}

void model_blocks_drop(struct model_inode *i, size_t from, size_t n)
{
	for (size_t k = from; k < from + n; k++)
		free(i->blocks[k].data);
	if (n)
		memmove(&i->blocks[from], &i->blocks[from + n],
			(i->n_blocks - from - n) * sizeof *i->blocks);
	i->n_blocks -= n;
	i->attr.blocks -= n;
}

void model_bytes_read(const struct model_inode *i, uint64_t offset, void *buf, size_t len)
{
	unsigned char *to = buf;

	for (uint64_t end = offset + len; offset < end;) {
		size_t n = in_block(offset, end);
		const struct model_block *b = model_block_find(i, offset / BLOCK);
		if (b)
			memcpy(to, b->data + offset % BLOCK, n);
		else
			memset(to, 0, n);
		offset += n;
		to += n;
	}
}

void model_bytes_write(struct model_inode *i, uint64_t offset, const void *buf, size_t len)
{
	const unsigned char *from = buf;

	for (uint64_t end = offset + len; offset < end;) {
		size_t n = in_block(offset, end);
		memcpy(block_make(i, offset / BLOCK)->data + offset % BLOCK, from, n);
		offset += n;
		from += n;
	}
	if (offset > i->attr.size)
		i->attr.size = offset;
}

void model_bytes_clear(struct model_inode *i, uint64_t offset, uint64_t end)
{
	for (size_t k = 0; k < i->n_blocks;) {
		const struct model_block *b = &i->blocks[k];
		uint64_t start = b->index * BLOCK;
		uint64_t from = offset > start ? offset : start;
		uint64_t to = min_u64(end, start + BLOCK);
		if (from == start && to == start + BLOCK) {
			model_blocks_drop(i, k, 1);
			continue;
		}
		if (from < to)
			memset(b->data + (from - start), 0, (size_t)(to - from));
		k++;
	}
}

void model_set_size(struct model_inode *i, uint64_t size)
{
	size_t keep = place(i, (size + BLOCK - 1) / BLOCK);

	model_blocks_drop(i, keep, i->n_blocks - keep);
	/* What a later extension shows of the last block must be zeros. */
	model_bytes_clear(i, size, (size + BLOCK - 1) / BLOCK * BLOCK);
	i->attr.size = size;
}

int model_file(const struct model *m, uint64_t ino, struct model_inode **ret)
{
	struct model_inode *i = model_inode(m, ino);

	if (!i)
		return -ESTALE;
	if (S_ISDIR(i->attr.mode))
		return -EISDIR;
	if (!S_ISREG(i->attr.mode))
		return -EINVAL;
	*ret = i;
	return 0;
}

struct block *model_block_copy(const struct model_inode *i, uint64_t index)
{
	const struct model_block *b = model_block_find(i, index);
	uint64_t start = index * BLOCK;
	uint32_t len = 0;

	if (b && start < i->attr.size)
		len = (uint32_t)min_u64(BLOCK, i->attr.size - start);
	struct block *copy = block_new(len);
	if (!copy)
		abort();
	if (b)
		memcpy(copy->data, b->data, len);
	return copy;
}

static void clear_suid(const struct change *c, struct model_inode *i)
{
	i->attr.mode &= ~(uint32_t)S_ISUID;
	if (i->attr.mode & S_IXGRP || c->caller.kill_sgid)
		i->attr.mode &= ~(uint32_t)S_ISGID;
}

/* Whoever changes a file's data, or its owner, takes its capabilities. */
static void clear_capabilities(struct model_inode *i)
{
	static const char caps[] = "security.capability";
	struct model_xattr *x = model_xattr_find(i, caps, strlen(caps));

	if (x)
		model_xattr_remove(i, x);
}

static void touch_data(struct change *c, struct model_inode *i)
{
	if (c->caller.kill_suid)
		clear_suid(c, i);
	clear_capabilities(i);
	i->attr.mtime = c->now;
	model_touch(c, i);
}

static bool too_big(uint64_t offset, uint64_t len)
{
	return offset > STORE_FILE_MAX || len > STORE_FILE_MAX - offset;
}

int model_do_write(struct model *m, struct change *c)
{
	struct change_write *w = &c->write;
	struct model_inode *i = NULL;
	int r = model_file(m, w->ino, &i);

	if (r < 0)
		return r;
	uint64_t offset = w->append ? i->attr.size : w->offset;
	if (too_big(offset, w->len))
		return -EFBIG;
	model_bytes_write(i, offset, w->data, w->len);
	w->offset = offset;

	uint64_t end = offset + w->len;
	uint64_t first = offset / BLOCK;
	uint64_t last = (end - 1) / BLOCK;
	if (offset % BLOCK || (first == last && end % BLOCK))
		w->head = model_block_copy(i, first);
	if (first != last && end % BLOCK)
		w->tail = model_block_copy(i, last);
	touch_data(c, i);
	return 0;
}

static void set_owner(const struct change *c, struct model_inode *i)
{
	const struct change_setattr *s = &c->setattr;

	if (s->mask & STORE_SET_UID)
		i->attr.uid = s->uid;
	if (s->mask & STORE_SET_GID)
		i->attr.gid = s->gid;
	/* chown(2) takes these from everybody, root as well. */
	if (!S_ISDIR(i->attr.mode))
		clear_suid(c, i);
	clear_capabilities(i);
}

int model_do_setattr(struct model *m, struct change *c)
{
	const struct change_setattr *s = &c->setattr;
	struct model_inode *i = model_inode(m, s->ino);

	if (!i)
		return -ESTALE;
	if (s->mask & STORE_SET_SIZE) {
		int r = model_file(m, s->ino, &i);
		if (r < 0)
			return r;
		if (s->size > STORE_FILE_MAX)
			return -EFBIG;
	}
	if (s->mask & STORE_SET_SIZE) {
		model_set_size(i, s->size);
		touch_data(c, i);
	}
	if (s->mask & (STORE_SET_UID | STORE_SET_GID))
		set_owner(c, i);
	if (s->mask & STORE_SET_MODE)
		model_chmod(i, s->mode);
	if (s->mask & STORE_SET_ATIME)
		i->attr.atime = s->atime;
	if (s->mask & STORE_SET_MTIME)
		i->attr.mtime = s->mtime;
	model_touch(c, i);
	return 0;
}

int model_do_allocate(struct model *m, struct change *c)
{
	const struct change_allocate *a = &c->allocate;
	struct model_inode *i = NULL;
	int r = model_file(m, a->ino, &i);

	if (r < 0)
		return r;
	bool clear = a->mode != STORE_ALLOCATE && a->mode != STORE_ALLOCATE_KEEP;
	bool extend = a->mode == STORE_ALLOCATE || a->mode == STORE_ZERO_RANGE;
	bool past = too_big(a->offset, a->len);
	if (extend && past)
		return -EFBIG;

	/* There is nothing past the longest file. */
	uint64_t end = past ? STORE_FILE_MAX : a->offset + a->len;
	if (clear && a->offset < end)
		model_bytes_clear(i, a->offset, end);
	if (extend && end > i->attr.size)
		model_set_size(i, end);
	touch_data(c, i);
	return 0;
}

int model_do_copy(struct model *m, struct change *c)
{
	struct change_copy *y = &c->copy;
	struct model_inode *from = NULL, *to = NULL;
	int r = model_file(m, y->from, &from);

	if (r == 0)
		r = model_file(m, y->to, &to);
	if (r < 0)
		return r;
	uint64_t left = y->from_offset < from->attr.size ? from->attr.size - y->from_offset : 0;
	size_t len = (size_t)min_u64(y->len, left);
	if (len > 0 && too_big(y->to_offset, len))
		return -EFBIG;
	if (from == to && y->from_offset < y->to_offset + len &&
		y->to_offset < y->from_offset + len)
		return -EINVAL;
	y->copied = len;
	if (len == 0) {
		c->touched[c->n_touched++] = to->attr;
		return 0;
	}
	void *bytes = model_resize(NULL, len, 1);
	model_bytes_read(from, y->from_offset, bytes, len);
	model_bytes_write(to, y->to_offset, bytes, len);
	free(bytes);
	touch_data(c, to);
	return 0;
}
