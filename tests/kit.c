#include "kit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct change_name name_of(const char *name)
{
	return (struct change_name){name, name ? strlen(name) : 0};
}

void *kit_memory(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	assert_non_null(p);
	return p;
}

struct kit *kit_new(struct store *store)
{
	struct kit *k = kit_memory(NULL, sizeof *k);

	*k = (struct kit){
		.store = store,
		.caller = {.uid = 1001, .gid = 2002, .umask = 022},
		.now = 1000000000000000001,
	};
	k->known = kit_memory(NULL, sizeof *k->known);
	k->known[k->n_known++] = kit_attr(k, STORE_ROOT_INO);
	return k;
}

void kit_free(struct kit *k)
{
	store_close(k->store);
	free(k->known);
	free(k);
}

void kit_expect_attr(const struct store_attr *have, const struct store_attr *want)
{
	assert_int_equal(have->ino, want->ino);
	assert_int_equal(have->size, want->size);
	assert_int_equal(have->blocks, want->blocks);
	assert_int_equal(have->version, want->version);
	assert_int_equal(have->atime, want->atime);
	assert_int_equal(have->mtime, want->mtime);
	assert_int_equal(have->ctime, want->ctime);
	assert_int_equal(have->btime, want->btime);
	assert_int_equal(have->ttl, want->ttl);
	assert_int_equal(have->mode, want->mode);
	assert_int_equal(have->uid, want->uid);
	assert_int_equal(have->gid, want->gid);
	assert_int_equal(have->nlink, want->nlink);
	assert_int_equal(have->rdev, want->rdev);
	assert_int_equal(have->flags, want->flags);
}

static bool attr_same(const struct store_attr *a, const struct store_attr *b)
{
	return a->ino == b->ino && a->size == b->size && a->blocks == b->blocks &&
	       a->version == b->version && a->atime == b->atime && a->mtime == b->mtime &&
	       a->ctime == b->ctime && a->btime == b->btime && a->ttl == b->ttl &&
	       a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->nlink == b->nlink &&
	       a->rdev == b->rdev && a->flags == b->flags;
}

struct store_attr kit_attr(struct kit *k, uint64_t ino)
{
	struct store_attr a = {0};

	assert_int_equal(store_getattr(k->store, ino, &a), 0);
	assert_int_equal(a.ino, ino);
	return a;
}

static void know(struct kit *k, const struct store_attr *a)
{
	k->known = kit_memory(k->known, (k->n_known + 1) * sizeof *k->known);
	k->known[k->n_known++] = *a;
}

/* The newest that a batch says of an inode, and the change that says it. */
static const struct store_attr *said(
	const struct change *changes, size_t n, uint64_t ino, const struct change **ret)
{
	for (size_t i = n; i-- > 0;) {
		const struct store_attr *a = change_touched(&changes[i], ino);
		if (changes[i].result == 0 && a) {
			*ret = &changes[i];
			return a;
		}
	}
	return NULL;
}

/* One known inode after a batch. False: it is gone. */
static bool watch_one(
	struct kit *k, struct store_attr *before, const struct change *changes, size_t n)
{
	struct store_attr after = {0};
	const struct change *by = NULL;
	int r = store_getattr(k->store, before->ino, &after);
	const struct store_attr *result = said(changes, n, before->ino, &by);

	if (r == -ESTALE) {
		assert_non_null(result);
		assert_int_equal(by->kind, CHANGE_REAP);
		assert_false(by->reap.more);
		assert_int_equal(result->nlink, 0);
		return false;
	}
	assert_int_equal(r, 0);
	if (!result) {
		kit_expect_attr(&after, before);
		return true;
	}
	kit_expect_attr(result, &after);
	if (!attr_same(&after, before)) {
		assert_true(after.version > before->version);
		assert_int_equal(after.ctime, by->now);
	}
	*before = after;
	return true;
}

static void watch(struct kit *k, const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes[i];
		assert_true(c->result == 0 || c->n_touched == 0);
		assert_true(c->result <= 0 && c->result > -4096);
		for (unsigned a = 0; a < c->n_touched; a++)
			for (unsigned b = 0; b < a; b++)
				assert_true(c->touched[a].ino != c->touched[b].ino);
		if (c->kind == CHANGE_CREATE && c->result == 0 && !k->unwatched) {
			assert_true(c->n_touched > 0);
			assert_int_equal(c->touched[0].btime, c->now);
			know(k, &c->touched[0]);
		}
	}
	for (size_t i = k->unwatched ? k->n_known : 0; i < k->n_known;) {
		if (watch_one(k, &k->known[i], changes, n))
			i++;
		else
			k->known[i] = k->known[--k->n_known];
	}
}

static bool look_at(void *arg, const struct store_entry *e)
{
	struct kit *k = arg;

	know(k, e->attr);
	return true;
}

void kit_look(struct kit *k)
{
	k->n_known = 0;
	struct store_attr root = kit_attr(k, STORE_ROOT_INO);
	know(k, &root);
	for (size_t i = 0; i < k->n_known; i++)
		if (S_ISDIR(k->known[i].mode))
			assert_int_equal(
				store_readdir(k->store, k->known[i].ino, 0, true, look_at, k), 0);
}

void kit_apply_batch(struct kit *k, struct change *changes, size_t n)
{
	struct change *table[STORE_BATCH_MAX] = {NULL};

	for (size_t i = 0; i < n; i++) {
		changes[i].now = k->now += 1000000007;
		changes[i].caller = k->caller;
		table[i] = &changes[i];
	}
	store_apply(k->store, table, n, false);
	watch(k, changes, n);
}

int kit_apply(struct kit *k, struct change *c)
{
	kit_apply_batch(k, c, 1);
	return c->result;
}

/* A change that is about one inode says so first. */
static int apply_about(struct kit *k, struct change *c, uint64_t ino)
{
	int r = kit_apply(k, c);

	if (r == 0) {
		assert_true(c->n_touched > 0);
		assert_int_equal(c->touched[0].ino, ino);
	}
	return r;
}

int kit_create(struct kit *k, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret)
{
	struct change c = {
		.kind = CHANGE_CREATE,
		.create = {.parent = parent, .name = name_of(name), .mode = mode},
	};
	int r = kit_apply(k, &c);

	if (r == 0 && ret)
		*ret = c.touched[0].ino;
	return r;
}

int kit_symlink(struct kit *k, uint64_t parent, const char *name, const char *target)
{
	struct change c = {
		.kind = CHANGE_CREATE,
		.create =
			{
				.parent = parent,
				.name = name_of(name),
				.mode = S_IFLNK | 0777,
				.target = name_of(target),
			},
	};
	return kit_apply(k, &c);
}

int kit_write(struct kit *k, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
	struct change c = {
		.kind = CHANGE_WRITE,
		.write = {.ino = ino, .offset = offset, .data = data, .len = len},
	};
	int r = apply_about(k, &c, ino);

	block_unref(c.write.head);
	block_unref(c.write.tail);
	return r;
}

int kit_truncate(struct kit *k, uint64_t ino, uint64_t size)
{
	struct change c = {
		.kind = CHANGE_SETATTR,
		.setattr = {.ino = ino, .mask = STORE_SET_SIZE, .size = size},
	};
	return apply_about(k, &c, ino);
}

int kit_chmod(struct kit *k, uint64_t ino, uint32_t mode)
{
	struct change c = {
		.kind = CHANGE_SETATTR,
		.setattr = {.ino = ino, .mask = STORE_SET_MODE, .mode = mode},
	};
	return apply_about(k, &c, ino);
}

int kit_allocate(
	struct kit *k, uint64_t ino, enum store_allocate mode, uint64_t offset, uint64_t len)
{
	struct change c = {
		.kind = CHANGE_ALLOCATE,
		.allocate = {.ino = ino, .mode = mode, .offset = offset, .len = len},
	};
	return apply_about(k, &c, ino);
}

int kit_copy(struct kit *k, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
	size_t len, size_t *copied)
{
	struct change c = {
		.kind = CHANGE_COPY,
		.copy =
			{
				.from = from,
				.from_offset = from_offset,
				.to = to,
				.to_offset = to_offset,
				.len = len,
			},
	};
	int r = kit_apply(k, &c);

	if (r == 0)
		*copied = c.copy.copied;
	return r;
}

int kit_link(struct kit *k, uint64_t ino, uint64_t parent, const char *name)
{
	struct change c = {
		.kind = CHANGE_LINK,
		.link = {.ino = ino, .parent = parent, .name = name_of(name)},
	};
	return apply_about(k, &c, ino);
}

static int take_name(struct kit *k, uint64_t parent, const char *name, bool directory)
{
	struct change c = {
		.kind = CHANGE_UNLINK,
		.unlink = {.parent = parent, .name = name_of(name), .directory = directory},
	};
	struct store_attr a;

	if (store_lookup(k->store, parent, name, strlen(name), &a) < 0)
		return kit_apply(k, &c);
	return apply_about(k, &c, a.ino);
}

int kit_unlink(struct kit *k, uint64_t parent, const char *name)
{
	return take_name(k, parent, name, false);
}

int kit_rmdir(struct kit *k, uint64_t parent, const char *name)
{
	return take_name(k, parent, name, true);
}

int kit_rename(struct kit *k, uint64_t parent, const char *name, uint64_t new_parent,
	const char *new_name, unsigned flags)
{
	struct change c = {
		.kind = CHANGE_RENAME,
		.rename =
			{
				.parent = parent,
				.name = name_of(name),
				.new_parent = new_parent,
				.new_name = name_of(new_name),
				.flags = flags,
			},
	};
	return kit_apply(k, &c);
}

int kit_setxattr(
	struct kit *k, uint64_t ino, const char *name, const void *value, size_t size, int flags)
{
	struct change c = {
		.kind = CHANGE_SETXATTR,
		.setxattr =
			{
				.ino = ino,
				.name = name_of(name),
				.value = value,
				.size = size,
				.flags = flags,
			},
	};
	return apply_about(k, &c, ino);
}

int kit_removexattr(struct kit *k, uint64_t ino, const char *name)
{
	struct change c = {
		.kind = CHANGE_REMOVEXATTR,
		.removexattr = {.ino = ino, .name = name_of(name)},
	};
	return apply_about(k, &c, ino);
}

int kit_reap(struct kit *k, uint64_t ino, bool *more)
{
	struct change c = {.kind = CHANGE_REAP, .reap = {.ino = ino}};
	int r = apply_about(k, &c, ino);

	if (r == 0)
		*more = c.reap.more;
	return r;
}

uint64_t kit_must_file(struct kit *k, uint64_t parent, const char *name)
{
	uint64_t ino = 0;

	assert_int_equal(kit_create(k, parent, name, S_IFREG | 0644, &ino), 0);
	return ino;
}

uint64_t kit_must_dir(struct kit *k, uint64_t parent, const char *name)
{
	uint64_t ino = 0;

	assert_int_equal(kit_create(k, parent, name, S_IFDIR | 0755, &ino), 0);
	return ino;
}

void kit_must_reap(struct kit *k, uint64_t ino)
{
	for (bool more = true; more;)
		assert_int_equal(kit_reap(k, ino, &more), 0);
}

uint64_t kit_lookup(struct kit *k, uint64_t parent, const char *name)
{
	struct store_attr a = {0};
	int r = store_lookup(k->store, parent, name, strlen(name), &a);

	assert_true(r == 0 || r == -ENOENT);
	return a.ino;
}

void kit_pattern(void *buf, size_t len, unsigned seed)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)(1 + (seed * 31 + i + i / 251 + i / 4096 * 7) % 255);
}

void kit_must_fill(struct kit *k, uint64_t ino, uint64_t offset, size_t len, unsigned seed,
	unsigned char *want)
{
	unsigned char *p = kit_memory(NULL, len);

	kit_pattern(p, len, seed);
	assert_int_equal(kit_write(k, ino, offset, p, len), 0);
	if (want)
		memcpy(want + offset, p, len);
	free(p);
}

/* The bytes [at, at + n) of a block that reads as zeros past its length. */
static void from_block(const struct block *b, size_t at, void *buf, size_t n)
{
	size_t have = b->len > at ? b->len - at : 0;

	if (have > n)
		have = n;
	memcpy(buf, b->data + at, have);
	memset((unsigned char *)buf + have, 0, n - have);
}

/* As much of [offset, offset + len) as one span brings. */
static size_t read_some(struct kit *k, uint64_t ino, uint64_t offset, void *buf, size_t len)
{
	static struct store_span span;
	uint64_t first = offset / STORE_BLOCK_SIZE;
	uint64_t last = (offset + len - 1) / STORE_BLOCK_SIZE;
	uint32_t count =
		last - first < STORE_READ_MAX ? (uint32_t)(last - first + 1) : STORE_READ_MAX;

	assert_int_equal(store_read(k->store, ino, first, count, &span), 0);
	assert_int_equal(span.attr.ino, ino);
	assert_true(offset + len <= span.attr.size);
	assert_true(span.first <= first && first - span.first <= STORE_READ_SLACK);
	assert_true(span.first + span.count >= first + count);
	assert_true(span.first + span.count <= first + count + STORE_READ_SLACK);
	assert_true(span.first + span.count <=
		    (span.attr.size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE);
	size_t done = 0;
	for (uint64_t b = first; b < first + count && done < len; b++) {
		size_t at = (size_t)((offset + done) % STORE_BLOCK_SIZE);
		size_t n = STORE_BLOCK_SIZE - at < len - done ? STORE_BLOCK_SIZE - at : len - done;
		const struct block *block = span.blocks[b - span.first];
		assert_true(block->len <= STORE_BLOCK_SIZE);
		from_block(block, at, (unsigned char *)buf + done, n);
		done += n;
	}
	store_span_release(&span);
	return done;
}

void kit_read(struct kit *k, uint64_t ino, uint64_t offset, void *buf, size_t len)
{
	for (size_t done = 0; done < len;)
		done += read_some(k, ino, offset + done, (unsigned char *)buf + done, len - done);
}

void kit_expect_bytes(struct kit *k, uint64_t ino, const void *want, size_t size)
{
	assert_int_equal(kit_attr(k, ino).size, size);
	if (size == 0)
		return;
	unsigned char *have = kit_memory(NULL, size);
	kit_read(k, ino, 0, have, size);
	assert_memory_equal(have, want, size);
	free(have);
}
