#include "tree.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define KIB 1024u
#define PATH_SIZE 512u

/* One step. `offset`, `len` and `arg` mean what the kind makes of them. */
struct step {
	enum change_kind kind;
	const char *path;
	const char *other; /* new name, source of a copy, target of a symlink */
	uint64_t offset;
	size_t len;
	unsigned arg; /* mode, mask, flags */
};

static const struct step steps[] = {
	{CHANGE_CREATE, "", NULL, 0, 0, S_IFDIR | 0755},
	{CHANGE_CREATE, "/d", NULL, 0, 0, S_IFDIR | 02775},
	{CHANGE_CREATE, "/d/a", NULL, 0, 0, S_IFREG | 0644},
	{CHANGE_WRITE, "/d/a", NULL, 0, 10000, 0},
	{CHANGE_WRITE, "/d/a", NULL, 5000, 100, 0},
	{CHANGE_CREATE, "/b", NULL, 0, 0, S_IFREG | 0600},
	{CHANGE_WRITE, "/b", NULL, 0, 100 * KIB, 0},
	{CHANGE_WRITE, "/b", NULL, 12 * KIB, 4 * KIB, 0},
	{CHANGE_WRITE, "/b", NULL, 65500, 90, 0},
	{CHANGE_WRITE, "/b", NULL, UINT64_MAX, 500, 0},
	{CHANGE_SETXATTR, "/b", NULL, 0, 300, 0},
	{CHANGE_SETXATTR, "/d", NULL, 0, 3000, 0},
	{CHANGE_SETATTR, "/d/a", NULL, 6000, 0, STORE_SET_SIZE},
	{CHANGE_SETATTR, "/b", NULL, 0, 0640, STORE_SET_MODE},
	{CHANGE_ALLOCATE, "/b", NULL, 8 * KIB, 20000, STORE_PUNCH_HOLE},
	{CHANGE_ALLOCATE, "/d/a", NULL, 0, 30000, STORE_ALLOCATE},
	{CHANGE_COPY, "/d/a", "/b", 4 * KIB, 40000, 0},
	{CHANGE_CREATE, "/l", "d/a", 0, 0, S_IFLNK | 0777},
	{CHANGE_LINK, "/d/c", "/b", 0, 0, 0},
	{CHANGE_RENAME, "/d/a", "/a2", 0, 0, 0},
	{CHANGE_RENAME, "/a2", "/b", 0, 0, RENAME_EXCHANGE},
	{CHANGE_CREATE, "/e", NULL, 0, 0, S_IFREG | 0644},
	{CHANGE_WRITE, "/e", NULL, 1 << 20, 5000, 0},
	{CHANGE_RENAME, "/e", "/l", 0, 0, 0},
	{CHANGE_UNLINK, "/d/c", NULL, 0, 0, 0},
	{CHANGE_UNLINK, "/b", NULL, 0, 0, 0},
	{CHANGE_REMOVEXATTR, "/d", NULL, 0, 0, 0},
	{CHANGE_CREATE, "/d/sub", NULL, 0, 0, S_IFDIR | 0700},
	{CHANGE_RENAME, "/d/sub", "/sub", 0, 0, RENAME_NOREPLACE},
	{CHANGE_UNLINK, "/sub", NULL, 0, 0, 1},
	{CHANGE_SETATTR, "/l", NULL, 100, 0, STORE_SET_SIZE},
};

size_t tree_steps(void)
{
	return ARRAY_LEN(steps);
}

/* The directory that the last name of `path` is in, and that name. */
static int resolve(
	struct store *s, const char *path, uint64_t *ret_parent, struct change_name *ret_name)
{
	uint64_t at = STORE_ROOT_INO;
	for (path++;; path++) {
		size_t len = strcspn(path, "/");
		if (!path[len]) {
			*ret_parent = at;
			*ret_name = (struct change_name){path, len};
			return 0;
		}
		struct store_attr attr;
		int r = store_lookup(s, at, path, len, &attr);
		if (r < 0)
			return r;
		at = attr.ino;
		path += len;
	}
}

static int find(struct store *s, const char *path, struct store_attr *ret)
{
	uint64_t parent;
	struct change_name name;
	int r = resolve(s, path, &parent, &name);
	return r < 0 ? r : store_lookup(s, parent, name.bytes, name.len, ret);
}

/* Contents that say which step wrote them, and where. */
static void pattern(unsigned char *to, size_t len, size_t n)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)(1 + (n * 37 + i / 61 + i) % 255);
}

static const struct change_name xattr_name = {"user.x", 6};

/* What the step needs to know of the inode that it is about, and of the other one. */
static int fill_inode(struct store *s, const struct step *st, const char *path, const char *other,
	const unsigned char *data, struct change *c)
{
	struct store_attr a, b;
	int r = find(s, path, &a);
	if (r == 0 && st->kind == CHANGE_COPY)
		r = find(s, other, &b);
	if (r < 0)
		return r;
	if (st->kind == CHANGE_WRITE)
		c->write = (struct change_write){.ino = a.ino,
			.offset = st->offset,
			.append = st->offset == UINT64_MAX,
			.data = data,
			.len = st->len};
	else if (st->kind == CHANGE_SETATTR)
		c->setattr = (struct change_setattr){.ino = a.ino,
			.mask = st->arg,
			.size = st->offset,
			.mode = (uint32_t)st->len};
	else if (st->kind == CHANGE_ALLOCATE)
		c->allocate = (struct change_allocate){
			a.ino, (enum store_allocate)st->arg, st->offset, st->len};
	else if (st->kind == CHANGE_COPY)
		c->copy = (struct change_copy){.from = b.ino,
			.from_offset = st->offset,
			.to = a.ino,
			.to_offset = 0,
			.len = st->len};
	else if (st->kind == CHANGE_SETXATTR)
		c->setxattr = (struct change_setxattr){
			.ino = a.ino, .name = xattr_name, .value = data, .size = st->len};
	else
		c->removexattr = (struct change_removexattr){a.ino, xattr_name};
	return 0;
}

static int fill_name(struct store *s, const struct step *st, const char *path, const char *other,
	struct change *c)
{
	uint64_t parent, new_parent = 0;
	struct change_name name, new_name = {0};
	struct store_attr old;
	int r = resolve(s, path, &parent, &name);
	if (r == 0 && st->kind == CHANGE_RENAME)
		r = resolve(s, other, &new_parent, &new_name);
	if (r == 0 && st->kind == CHANGE_LINK)
		r = find(s, other, &old);
	if (r < 0)
		return r;
	if (st->kind == CHANGE_CREATE)
		c->create = (struct change_create){.parent = parent,
			.name = name,
			.mode = st->arg,
			.target = {st->other, st->other ? strlen(st->other) : 0}};
	else if (st->kind == CHANGE_LINK)
		c->link = (struct change_link){old.ino, parent, name};
	else if (st->kind == CHANGE_UNLINK)
		c->unlink = (struct change_unlink){parent, name, st->arg != 0};
	else
		c->rename = (struct change_rename){parent, name, new_parent, new_name, st->arg};
	return 0;
}

static bool is_by_name(enum change_kind kind)
{
	return kind == CHANGE_CREATE || kind == CHANGE_LINK || kind == CHANGE_UNLINK ||
	       kind == CHANGE_RENAME;
}

struct tree_done tree_step(struct store *s, const char *top, size_t n, bool durable)
{
	const struct step *st = &steps[n];
	char path[PATH_SIZE], other[PATH_SIZE];
	struct change c = {.kind = st->kind, .now = (int64_t)n + 1, .caller = {.umask = 022}};
	static unsigned char data[128 * KIB];
	snprintf(path, sizeof path, "%s%s", top, st->path);
	snprintf(other, sizeof other, "%s%s", top, st->other ? st->other : "");
	pattern(data, st->len, n);
	struct tree_done done = {0};
	done.result = is_by_name(st->kind) ? fill_name(s, st, path, other, &c)
					   : fill_inode(s, st, path, other, data, &c);
	if (done.result < 0)
		return done;
	done.result = store_apply_one(s, &c, durable);
	done.doubtful = c.doubtful;
	for (unsigned i = 0; i < c.n_touched; i++)
		if (c.touched[i].nlink == 0)
			done.orphan = c.touched[i].ino;
	if (st->kind == CHANGE_WRITE) {
		block_unref(c.write.head);
		block_unref(c.write.tail);
	}
	return done;
}

int tree_reap(struct store *s, uint64_t ino)
{
	struct change c;
	int r;
	do {
		c = (struct change){.kind = CHANGE_REAP, .reap = {.ino = ino}};
		r = store_apply_one(s, &c, false);
	} while (r == 0 && c.reap.more);
	return r == -ESTALE || r == -ENOENT ? 0 : r;
}

/* -- what there is -------------------------------------------------------------------------- */

struct names {
	size_t n;
	char name[64][STORE_NAME_MAX + 1];
};

static bool take_name(void *arg, const struct store_entry *e)
{
	struct names *all = arg;
	snprintf(all->name[all->n++], sizeof all->name[0], "%.*s", (int)e->name.len, e->name.bytes);
	return all->n < ARRAY_LEN(all->name);
}

static int digest_data(struct store *s, const struct store_attr *a, XXH64_hash_t *sum)
{
	static const unsigned char zeros[STORE_BLOCK_SIZE];
	struct store_span *span = malloc(sizeof *span);
	uint64_t blocks = (a->size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	int r = span ? 0 : -ENOMEM;
	for (uint64_t at = 0; r == 0 && at < blocks;) {
		r = store_read(s, a->ino, at, 64, span);
		if (r < 0)
			break;
		uint64_t end = span->first + span->count;
		for (; at >= span->first && at < end && at < blocks; at++) {
			const struct block *b = span->blocks[at - span->first];
			uint64_t size = a->size - at * STORE_BLOCK_SIZE;
			size_t len = size < STORE_BLOCK_SIZE ? (size_t)size : STORE_BLOCK_SIZE;
			unsigned char whole[STORE_BLOCK_SIZE];
			memcpy(whole, zeros, sizeof whole);
			memcpy(whole, b->data, b->len < len ? b->len : len);
			*sum = XXH64(whole, len, *sum);
		}
		if (end < blocks && at < end)
			r = -EPROTO;
		if (at < blocks && span->count == 0)
			r = -EPROTO; /* shorter than its size */
		store_span_release(span);
	}
	free(span);
	return r;
}

static int digest_inode(
	struct store *s, const char *path, const struct store_attr *a, XXH64_hash_t *sum)
{
	char text[4096];
	bool dir = S_ISDIR(a->mode);
	int len = snprintf(text, sizeof text, "%s %o %u %llu %lld %lld", path, a->mode, a->nlink,
		dir ? 0 : (unsigned long long)a->size, (long long)a->mtime, (long long)a->ctime);
	*sum = XXH64(text, (size_t)len, 0);
	ssize_t n = store_getxattr(s, a->ino, xattr_name.bytes, xattr_name.len, text, sizeof text);
	if (n < 0 && n != -ENODATA)
		return (int)n;
	*sum = XXH64(text, n > 0 ? (size_t)n : 0, *sum);
	if (S_ISREG(a->mode))
		return digest_data(s, a, sum);
	if (!S_ISLNK(a->mode))
		return 0;
	int r = store_readlink(s, a->ino, text, sizeof text);
	if (r == 0)
		*sum = XXH64(text, strlen(text), *sum);
	return r;
}

/* Adds the digests of `path` and of all below: their order does not matter. */
static int digest(struct store *s, const char *path, uint64_t *total)
{
	struct store_attr a;
	XXH64_hash_t sum = 0;
	int r = find(s, path, &a);
	if (r == 0)
		r = digest_inode(s, path, &a, &sum);
	if (r < 0)
		return r;
	*total += sum;
	if (!S_ISDIR(a.mode))
		return 0;
	struct names *all = calloc(1, sizeof *all);
	if (!all)
		return -ENOMEM;
	r = store_readdir(s, a.ino, 0, false, take_name, all);
	for (size_t i = 0; r == 0 && i < all->n; i++) {
		char below[PATH_SIZE];
		snprintf(below, sizeof below, "%s/%.255s", path, all->name[i]);
		r = digest(s, below, total);
	}
	free(all);
	return r;
}

int tree_digest(struct store *s, const char *top, uint64_t *ret)
{
	uint64_t total = 0;
	int r = digest(s, top, &total);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		*ret = total;
	return r;
}
