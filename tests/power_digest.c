/* The digest of all that can be seen in a store. */
#include "power_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <xxhash.h>

#define ENTRIES_MAX 128u
#define DEPTH_MAX 8u

struct entry {
	char name[STORE_NAME_MAX + 1];
	uint64_t ino;
};

struct listing {
	unsigned n;
	struct entry entries[ENTRIES_MAX];
};

static void add_text(XXH3_state_t *sum, const char *text)
{
	XXH3_64bits_update(sum, text, strlen(text) + 1);
}

static void add_number(XXH3_state_t *sum, int64_t n)
{
	XXH3_64bits_update(sum, &n, sizeof n);
}

static bool note_name(struct listing *l, const char *name, size_t len, uint64_t ino)
{
	assert_true(l->n < ENTRIES_MAX);
	struct entry *e = &l->entries[l->n++];
	memcpy(e->name, name, len);
	e->name[len] = '\0';
	e->ino = ino;
	return true;
}

static bool note_entry(void *arg, const struct store_entry *e)
{
	return note_name(arg, e->name.bytes, e->name.len, e->ino);
}

static bool note_xattr(void *arg, const char *name, size_t len)
{
	return note_name(arg, name, len, 0);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void add_xattrs(XXH3_state_t *sum, struct store *s, uint64_t ino)
{
	struct listing *l = calloc(1, sizeof *l);
	char value[512];
	assert_non_null(l);
	assert_int_equal(store_listxattr(s, ino, note_xattr, l), 0);
	qsort(l->entries, l->n, sizeof *l->entries, by_name);
	for (unsigned i = 0; i < l->n; i++) {
		const char *name = l->entries[i].name;
		ssize_t n = store_getxattr(s, ino, name, strlen(name), value, sizeof value);
		assert_true(n >= 0);
		add_text(sum, name);
		add_number(sum, n);
		XXH3_64bits_update(sum, value, (size_t)n);
	}
	free(l);
}

static void add_data(XXH3_state_t *sum, struct store *s, const struct store_attr *attr)
{
	static const unsigned char zeros[STORE_BLOCK_SIZE];
	struct store_span *span = malloc(sizeof *span);
	uint64_t blocks = (attr->size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	assert_non_null(span);
	for (uint64_t at = 0; at < blocks;) {
		uint32_t n =
			blocks - at < STORE_READ_MAX ? (uint32_t)(blocks - at) : STORE_READ_MAX;
		int r = store_read(s, attr->ino, at, n, span);
		if (r < 0)
			fail_msg("inode %llu, block %llu cannot be read: %d",
				(unsigned long long)attr->ino, (unsigned long long)at, r);
		for (uint64_t b = at; b < at + n; b++) {
			const struct block *block = span->blocks[b - span->first];
			XXH3_64bits_update(sum, block->data, block->len);
			XXH3_64bits_update(sum, zeros, STORE_BLOCK_SIZE - block->len);
		}
		store_span_release(span);
		at += n;
	}
	free(span);
}

static void add_attr(XXH3_state_t *sum, const struct store_attr *a)
{
	add_number(sum, a->mode);
	add_number(sum, a->uid);
	add_number(sum, a->gid);
	add_number(sum, a->nlink);
	add_number(sum, a->ttl);
	add_number(sum, a->flags);
	add_number(sum, a->atime);
	add_number(sum, a->mtime);
	add_number(sum, a->ctime);
	if (!S_ISDIR(a->mode))
		add_number(sum, (int64_t)a->size);
}

static void add_inode(XXH3_state_t *sum, struct store *s, uint64_t ino, unsigned depth)
{
	struct store_attr attr;
	char target[256];
	assert_int_equal(store_getattr(s, ino, &attr), 0);
	assert_true(depth < DEPTH_MAX);
	add_attr(sum, &attr);
	add_xattrs(sum, s, ino);
	if (S_ISLNK(attr.mode)) {
		assert_int_equal(store_readlink(s, ino, target, sizeof target), 0);
		add_text(sum, target);
	}
	if (S_ISREG(attr.mode))
		add_data(sum, s, &attr);
	if (!S_ISDIR(attr.mode))
		return;
	struct listing *l = calloc(1, sizeof *l);
	assert_non_null(l);
	assert_int_equal(store_readdir(s, ino, 0, false, note_entry, l), 0);
	qsort(l->entries, l->n, sizeof *l->entries, by_name);
	for (unsigned i = 0; i < l->n; i++) {
		add_text(sum, l->entries[i].name);
		add_inode(sum, s, l->entries[i].ino, depth + 1);
	}
	add_number(sum, l->n);
	free(l);
}

uint64_t oracle_digest(struct store *s)
{
	XXH3_state_t *sum = XXH3_createState();
	assert_non_null(sum);
	assert_int_equal(XXH3_64bits_reset(sum), XXH_OK);
	add_inode(sum, s, STORE_ROOT_INO, 0);
	uint64_t digest = XXH3_64bits_digest(sum);
	XXH3_freeState(sum);
	return digest;
}
