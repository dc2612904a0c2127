/*
 * Reading directories. The place of an entry, which the kernel hands back to go on after it, is the
 * store's id of the entry plus two; "." and ".." have 1 and 2. So a place stays good while entries
 * come and go.
 */
#include "clock.h"
#include "ops.h"
#include "reply.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PLACE_DOT 1
#define PLACE_DOTDOT 2

/* The largest answer that is put together at once; the kernel asks again for the rest. */
#define ANSWER_MAX ((size_t)128 << 10)

struct answer {
	fuse_req_t req;
	struct fs *fs;
	bool plus;
	int64_t ttl; /* of the directory */
	char *buf;
	size_t size;
	size_t used;
	int error;
};

/* Adds an entry that the kernel may look up, or (attr == NULL) only shows. False: no room. */
static bool add(struct answer *a, const char *name, uint64_t ino, uint32_t type, uint64_t place,
	const struct store_attr *attr)
{
	struct fuse_entry_param entry = {.attr = {.st_ino = ino, .st_mode = type}};
	char *at = a->buf + a->used;
	size_t room = a->size - a->used;
	size_t need;
	if (a->plus)
		need = fuse_add_direntry_plus(a->req, at, room, name, &entry, (off_t)place);
	else
		need = fuse_add_direntry(a->req, at, room, name, &entry.attr, (off_t)place);
	if (need > room)
		return false;
	/* What the kernel must drop before it hears of a new size it has to look up by itself. */
	if (a->plus && attr && !reply_show(a->fs, attr)) {
		/* Counted only now that the kernel will get it. */
		a->error = reply_make_entry(a->fs, attr, a->ttl, &entry);
		if (a->error < 0)
			return false;
		(void)!fuse_add_direntry_plus(a->req, at, room, name, &entry, (off_t)place);
	}
	a->used += need;
	return true;
}

static bool add_entry(void *arg, const struct store_entry *entry)
{
	struct answer *a = arg;
	char name[STORE_NAME_MAX + 1];
	memcpy(name, entry->name.bytes, entry->name.len);
	name[entry->name.len] = '\0';
	return add(a, name, entry->ino, entry->type, entry->id + PLACE_DOTDOT, entry->attr);
}

static bool add_dots(struct answer *a, uint64_t dir, uint64_t after)
{
	if (after < PLACE_DOT && !add(a, ".", dir, S_IFDIR, PLACE_DOT, NULL))
		return false;
	if (after >= PLACE_DOTDOT)
		return true;
	struct store_attr parent = {.ino = dir};
	(void)!store_lookup(a->fs->store, dir, "..", 2, &parent);
	return add(a, "..", parent.ino, S_IFDIR, PLACE_DOTDOT, NULL);
}

/* The kernel did not take the answer: none of its entries was looked up. */
static void take_back(struct answer *a)
{
	size_t at = 0;
	while (a->plus && at < a->used) {
		const struct fuse_direntplus *d = (const void *)(a->buf + at);
		if (d->entry_out.nodeid)
			reply_forget(a->fs, d->entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(d);
	}
}

static void fill(struct answer *a, uint64_t dir, uint64_t after)
{
	if (!add_dots(a, dir, after))
		return;
	uint64_t id = after > PLACE_DOTDOT ? after - PLACE_DOTDOT : 0;
	int r = store_readdir(a->fs->store, dir, id, a->plus, add_entry, a);
	if (r < 0)
		a->error = r;
}

static void answer(fuse_req_t req, uint64_t dir, size_t size, off_t off, bool plus)
{
	struct fs *fs = fs_of(req);
	struct answer a = {
		.req = req, .fs = fs, .plus = plus, .size = size < ANSWER_MAX ? size : ANSWER_MAX};
	struct store_attr attr;
	int r = store_getattr(fs->store, dir, &attr);
	a.buf = malloc(a.size);
	if (r == 0 && !a.buf)
		r = -ENOMEM;
	if (r == 0) {
		a.ttl = reply_ttl(fs, &attr);
		fill(&a, dir, (uint64_t)off);
		/* What there is goes out; the error comes again when the kernel goes on. */
		r = a.used ? 0 : a.error;
	}
	inodes_answer(fs->inodes, dir, clock_monotonic());
	if (r < 0)
		reply_error(req, OP_READDIR, r);
	else if (fuse_reply_buf(req, a.buf, a.used) < 0)
		take_back(&a);
	else
		/* Not before: the kernel locks nothing until it keeps what it got, so a drop that
		 * came earlier would miss it. */
		reply_filling(fs, dir, &attr, INT64_MAX, a.used);
	free(a.buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	answer(req, ino, size, off, false);
}

void op_readdirplus(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	answer(req, ino, size, off, true);
}
