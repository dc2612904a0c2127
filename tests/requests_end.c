/* Two stores in the end: what can be read of them, and that there is nothing else. */
#include "requests.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Blocks of a file that are compared, from its beginning: files may be of 4 TiB, most of it holes.
 */
#define BLOCKS_COMPARED 128u

#define ENTRIES_MAX 4096u

struct entry {
	char name[STORE_NAME_MAX + 1];
	uint64_t ino;
};

struct listing {
	size_t n;
	struct entry *entry;
};

static bool add(void *arg, const struct store_entry *e)
{
	struct listing *l = arg;
	struct entry *to = &l->entry[l->n++];
	memcpy(to->name, e->name.bytes, e->name.len);
	to->name[e->name.len] = '\0';
	to->ino = e->ino;
	return l->n < ENTRIES_MAX;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static struct listing list(struct store *s, uint64_t dir)
{
	struct listing l = {.entry = calloc(ENTRIES_MAX, sizeof *l.entry)};
	if (!l.entry || store_readdir(s, dir, 0, false, add, &l) < 0)
		abort();
	qsort(l.entry, l.n, sizeof *l.entry, by_name);
	return l;
}

static bool same_block(const struct block *x, const struct block *y)
{
	static const unsigned char zeros[STORE_BLOCK_SIZE];
	const struct block *longer = x->len > y->len ? x : y, *other = longer == x ? y : x;
	return (other->len == 0 || memcmp(longer->data, other->data, other->len) == 0) &&
	       memcmp(longer->data + other->len, zeros, longer->len - other->len) == 0;
}

static bool same_data(struct requests *r, const uint64_t ino[SIDES])
{
	struct store_span *spans = calloc(SIDES, sizeof *spans);
	bool same = true;
	if (!spans)
		abort();
	for (unsigned side = 0; side < SIDES; side++)
		if (store_read(r->store[side], ino[side], 0, BLOCKS_COMPARED, &spans[side]) < 0)
			same = requests_wrong(r, "a file cannot be read in the end");
	for (uint32_t i = 0; same && i < BLOCKS_COMPARED; i++) {
		bool x = i >= spans[0].first && i - spans[0].first < spans[0].count;
		bool y = i >= spans[1].first && i - spans[1].first < spans[1].count;
		same = x == y && (!x || same_block(spans[0].blocks[i - spans[0].first],
						spans[1].blocks[i - spans[1].first]));
	}
	for (unsigned side = 0; side < SIDES; side++)
		store_span_release(&spans[side]);
	free(spans);
	return same || requests_wrong(r, "a file holds other data in the end");
}

static bool same_attr(struct requests *r, const uint64_t ino[SIDES], uint32_t *ret_mode)
{
	struct store_attr x, y;
	if (store_getattr(r->store[0], ino[0], &x) < 0 ||
		store_getattr(r->store[1], ino[1], &y) < 0)
		return requests_wrong(r, "an inode that has a name is gone in the end");
	*ret_mode = x.mode;
	return (x.mode == y.mode && x.nlink == y.nlink && x.size == y.size && x.uid == y.uid &&
		       x.gid == y.gid && x.rdev == y.rdev) ||
	       requests_wrong(
		       r, "inodes %" PRIu64 " and %" PRIu64 " differ in the end", ino[0], ino[1]);
}

/* Directories that are still to be compared. */
struct walk {
	size_t n;
	struct {
		uint64_t ino[SIDES];
	} * dir;
	double inodes;
};

static bool compare_entry(
	struct requests *r, struct walk *w, const struct entry *x, const struct entry *y)
{
	const uint64_t ino[SIDES] = {x->ino, y->ino};
	uint32_t mode = 0;
	struct store_attr attr;
	if (strcmp(x->name, y->name) != 0)
		return requests_wrong(r, "the names differ in the end");
	if (!same_attr(r, ino, &mode) || (S_ISREG(mode) && !same_data(r, ino)))
		return false;
	if (store_getattr(r->store[0], ino[0], &attr) < 0)
		return false;
	/* An inode of n names is met n times. */
	w->inodes += S_ISDIR(mode) ? 1 : 1.0 / attr.nlink;
	if (S_ISDIR(mode) && w->n < ENTRIES_MAX)
		memcpy(w->dir[w->n++].ino, ino, sizeof ino);
	return true;
}

static bool compare_directory(struct requests *r, struct walk *w, const uint64_t ino[SIDES])
{
	struct listing x = list(r->store[0], ino[0]), y = list(r->store[1], ino[1]);
	bool same = x.n == y.n || requests_wrong(r, "%zu and %zu names in the end", x.n, y.n);
	for (size_t i = 0; same && i < x.n; i++)
		same = compare_entry(r, w, &x.entry[i], &y.entry[i]);
	free(x.entry);
	free(y.entry);
	return same;
}

bool requests_compare_stores(struct requests *r)
{
	struct walk w = {.n = 1, .dir = calloc(ENTRIES_MAX, sizeof *w.dir), .inodes = 1};
	struct store_space space;
	bool same = true;
	if (!w.dir)
		abort();
	w.dir[0].ino[0] = w.dir[0].ino[1] = STORE_ROOT_INO;
	while (same && w.n > 0) {
		uint64_t ino[SIDES];
		memcpy(ino, w.dir[--w.n].ino, sizeof ino);
		same = compare_directory(r, &w, ino);
	}
	free(w.dir);
	for (unsigned side = 0; same && side < SIDES; side++) {
		if (store_statfs(r->store[side], &space) < 0)
			same = requests_wrong(r, "statfs fails in the end");
		else if (space.inodes != (uint64_t)(w.inodes + 0.5))
			same = requests_wrong(r,
				"%" PRIu64 " inodes in the end, %.0f of them named", space.inodes,
				w.inodes);
	}
	return same;
}
