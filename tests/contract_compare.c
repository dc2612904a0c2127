#include "contract_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

uint64_t compare_step;

#define SAME(a, b, kind, thing)                                                                    \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_)                                                                      \
			differ(#a, a_, b_, (int)(kind), thing);                                    \
	} while (0)

static void differ(const char *what, long long a, long long b, int kind, unsigned thing)
{
	fail_msg("step %llu, change of kind %d, thing %u: %s is %lld, of the model %lld",
		(unsigned long long)compare_step, kind, thing, what, a, b);
}

struct change *twin_for(struct twin *t, const struct thing *things, unsigned side)
{
	struct change *c = &t->changes[side];
	uint64_t first = things[t->what[0]].ino[side], second = things[t->what[1]].ino[side];

	*c = t->c;
	switch (c->kind) {
	case CHANGE_WRITE:
		c->write.ino = first;
		break;
	case CHANGE_SETATTR:
		c->setattr.ino = first;
		break;
	case CHANGE_ALLOCATE:
		c->allocate.ino = first;
		break;
	case CHANGE_COPY:
		c->copy.from = first;
		c->copy.to = second;
		break;
	case CHANGE_CREATE:
		c->create.parent = first;
		break;
	case CHANGE_LINK:
		c->link.ino = first;
		c->link.parent = second;
		break;
	case CHANGE_UNLINK:
		c->unlink.parent = first;
		break;
	case CHANGE_RENAME:
		c->rename.parent = first;
		c->rename.new_parent = second;
		break;
	case CHANGE_SETXATTR:
		c->setxattr.ino = first;
		break;
	case CHANGE_REMOVEXATTR:
		c->removexattr.ino = first;
		break;
	case CHANGE_REAP:
		c->reap.ino = first;
		break;
	}
	return c;
}

void twin_release(struct twin *t)
{
	for (unsigned side = 0; side < 2; side++) {
		if (t->c.kind == CHANGE_WRITE) {
			block_unref(t->changes[side].write.head);
			block_unref(t->changes[side].write.tail);
		}
	}
}

static void same_attr(const struct store_attr *a, const struct store_attr *b, const struct thing *t,
	int kind, unsigned which)
{
	SAME(a->mode, b->mode, kind, which);
	SAME(a->uid, b->uid, kind, which);
	SAME(a->gid, b->gid, kind, which);
	SAME(a->nlink, b->nlink, kind, which);
	SAME(a->rdev, b->rdev, kind, which);
	SAME(a->flags, b->flags, kind, which);
	SAME(a->ttl, b->ttl, kind, which);
	SAME(a->atime, b->atime, kind, which);
	SAME(a->mtime, b->mtime, kind, which);
	SAME(a->ctime, b->ctime, kind, which);
	if (a->ino != STORE_ROOT_INO)
		SAME(a->btime, b->btime, kind, which);
	if (S_ISDIR(a->mode))
		return; /* of a directory it is the store's own business */
	SAME(a->size, b->size, kind, which);
	uint64_t blocks = (b->size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	if (S_ISREG(a->mode) && b->blocks == blocks && !t->copied_to)
		SAME(a->blocks, b->blocks, kind, which);
}

static unsigned thing_of(const struct thing *things, unsigned n_things, unsigned side, uint64_t ino)
{
	unsigned i = 0;

	while (i < n_things && things[i].ino[side] != ino)
		i++;
	assert_true(i < n_things);
	return i;
}

/* Two blocks with the same bytes, zeros after their ends not counted. */
static bool same_block(const struct block *a, const struct block *b)
{
	const struct block *longer = a->len > b->len ? a : b;
	uint32_t len = a->len > b->len ? b->len : a->len;

	if (memcmp(a->data, b->data, len) != 0)
		return false;
	for (uint32_t i = len; i < longer->len; i++)
		if (longer->data[i])
			return false;
	return true;
}

static void same_blocks(const struct change *a, const struct change *b, unsigned which)
{
	const struct change_write *wa = &a->write, *wb = &b->write;

	SAME(wa->offset, wb->offset, a->kind, which);
	if (wa->head && wb->head)
		SAME(same_block(wa->head, wb->head), true, a->kind, which);
	if (wa->tail && wb->tail)
		SAME(same_block(wa->tail, wb->tail), true, a->kind, which);
	/* What the model leaves out is covered as a whole: no other block may be in its place. */
	SAME(wa->head && !wb->head, false, a->kind, which);
	SAME(wa->tail && !wb->tail, false, a->kind, which);
}

void compare_results(struct twin *t, struct thing *things, unsigned n_things)
{
	const struct change *a = &t->changes[0], *b = &t->changes[1];
	int kind = (int)a->kind;

	SAME(a->result, b->result, kind, t->what[0]);
	SAME(a->n_touched, b->n_touched, kind, t->what[0]);
	if (a->result != 0)
		return;
	if (a->kind == CHANGE_WRITE)
		same_blocks(a, b, t->what[0]);
	if (a->kind == CHANGE_COPY)
		SAME(a->copy.copied, b->copy.copied, kind, t->what[0]);
	for (unsigned i = 0; i < a->n_touched; i++) {
		unsigned which = thing_of(things, n_things, 0, a->touched[i].ino);
		const struct store_attr *other = change_touched(b, things[which].ino[1]);
		SAME(other != NULL, true, kind, which);
		if (i == 0)
			SAME(other == &b->touched[0], true, kind, which);
		if (a->kind == CHANGE_REAP) {
			SAME(a->touched[i].nlink, other->nlink, kind, which);
			things[which].gone = true;
			continue;
		}
		same_attr(&a->touched[i], other, &things[which], kind, which);
		things[which].mode = other->mode;
		things[which].size = other->size;
	}
}

/* Both hold the same in [from, from + count) blocks. */
static void same_span(const struct pair *p, const struct thing *t, uint64_t from, unsigned which)
{
	static struct store_span s[2];
	static const struct block *const none;
	uint64_t end[2];

	for (unsigned side = 0; side < 2; side++) {
		assert_int_equal(
			store_read(p->store[side], t->ino[side], from, STORE_READ_MAX, &s[side]),
			0);
		end[side] = s[side].count ? s[side].first + s[side].count : from;
		if (end[side] < from)
			end[side] = from;
		if (end[side] > from + STORE_READ_MAX)
			end[side] = from + STORE_READ_MAX;
	}
	SAME(end[0], end[1], -1, which);
	for (uint64_t b = from; b < end[0]; b++) {
		const struct block *one = s[0].blocks[b - s[0].first];
		const struct block *two = s[1].blocks[b - s[1].first];
		assert_ptr_not_equal(one, none);
		if (!same_block(one, two))
			fail_msg("step %llu, thing %u: block %llu differs",
				(unsigned long long)compare_step, which, (unsigned long long)b);
	}
	store_span_release(&s[0]);
	store_span_release(&s[1]);
}

static void same_data(const struct pair *p, const struct thing *t, uint64_t size, unsigned which)
{
	uint64_t blocks = (size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	static const uint64_t far_ones[] = {
		((uint64_t)1 << 28) - 32, ((uint64_t)1 << 28) + 200, ((uint64_t)1 << 30) - 64};

	for (uint64_t b = 0; b < blocks && b < 2048; b += STORE_READ_MAX)
		same_span(p, t, b, which);
	for (unsigned i = 0; i < 3 && blocks > 2048; i++)
		same_span(p, t, far_ones[i], which);
}

struct listing {
	unsigned n;
	struct listed {
		char name[STORE_NAME_MAX + 1];
		uint64_t ino;
		uint32_t type;
	} e[64];
};

static bool note_entry(void *arg, const struct store_entry *e)
{
	struct listing *l = arg;

	assert_true(l->n < ARRAY_LEN(l->e));
	struct listed *to = &l->e[l->n++];
	memcpy(to->name, e->name.bytes, e->name.len);
	to->name[e->name.len] = '\0';
	to->ino = e->ino;
	to->type = e->type;
	return true;
}

static bool note_xattr(void *arg, const char *name, size_t len)
{
	const struct store_entry e = {.name = {name, len}};

	return note_entry(arg, &e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static void same_listing(struct listing l[2], unsigned which)
{
	SAME(l[0].n, l[1].n, -1, which);
	for (unsigned side = 0; side < 2; side++)
		qsort(l[side].e, l[side].n, sizeof l[side].e[0], by_name);
	for (unsigned i = 0; i < l[0].n; i++)
		assert_string_equal(l[0].e[i].name, l[1].e[i].name);
}

static void same_entries(
	const struct pair *p, const struct thing *things, unsigned n_things, unsigned which)
{
	static struct listing l[2];

	for (unsigned side = 0; side < 2; side++) {
		l[side].n = 0;
		assert_int_equal(store_readdir(p->store[side], things[which].ino[side], 0, false,
					 note_entry, &l[side]),
			0);
	}
	same_listing(l, which);
	for (unsigned i = 0; i < l[0].n; i++) {
		unsigned entry = thing_of(things, n_things, 0, l[0].e[i].ino);
		SAME(things[entry].ino[1], l[1].e[i].ino, -1, entry);
		SAME(l[0].e[i].type, l[1].e[i].type, -1, entry);
	}
}

static void same_xattrs(const struct pair *p, const struct thing *t, unsigned which)
{
	static struct listing l[2];
	char value[2][256];

	for (unsigned side = 0; side < 2; side++) {
		l[side].n = 0;
		assert_int_equal(
			store_listxattr(p->store[side], t->ino[side], note_xattr, &l[side]), 0);
	}
	same_listing(l, which);
	for (unsigned i = 0; i < l[0].n; i++) {
		ssize_t n[2];
		for (unsigned side = 0; side < 2; side++) {
			const char *name = l[side].e[i].name;
			n[side] = store_getxattr(p->store[side], t->ino[side], name, strlen(name),
				value[side], sizeof value[side]);
		}
		assert_true(n[0] >= 0);
		SAME(n[0], n[1], -1, which);
		assert_memory_equal(value[0], value[1], (size_t)n[0]);
	}
}

static void same_path(const struct pair *p, const struct thing *t, unsigned which)
{
	char path[2][4096], target[2][4096];
	int r[2];

	for (unsigned side = 0; side < 2; side++)
		r[side] = store_path(p->store[side], t->ino[side], path[side], sizeof path[side]);
	SAME(r[0], r[1], -1, which);
	/* Of several names each may tell another one. */
	if (S_ISDIR(t->mode) && r[0] == 0)
		assert_string_equal(path[0], path[1]);
	for (unsigned side = 0; side < 2; side++)
		r[side] = store_readlink(
			p->store[side], t->ino[side], target[side], sizeof target[side]);
	SAME(r[0], r[1], -1, which);
	if (r[0] == 0)
		assert_string_equal(target[0], target[1]);
}

void compare_thing(
	const struct pair *p, const struct thing *things, unsigned n_things, unsigned which)
{
	const struct thing *t = &things[which];
	struct store_attr a[2];
	int r[2];

	if (t->gone)
		return;
	for (unsigned side = 0; side < 2; side++)
		r[side] = store_getattr(p->store[side], t->ino[side], &a[side]);
	SAME(r[0], r[1], -1, which);
	if (r[0] != 0)
		return;
	same_attr(&a[0], &a[1], t, -1, which);
	same_xattrs(p, t, which);
	same_path(p, t, which);
	if (S_ISREG(a[0].mode))
		same_data(p, t, a[0].size, which);
	if (S_ISDIR(a[0].mode))
		same_entries(p, things, n_things, which);
}

void compare_all(const struct pair *p, const struct thing *things, unsigned n_things)
{
	for (unsigned i = 0; i < n_things; i++)
		compare_thing(p, things, n_things, i);
}
