#include "cache/store/acl.h"
#include "tar_import_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One write is no longer, so that it is committed in reasonable time. */
#define WRITE_MAX ((size_t)1 << 20)

struct change import_change(const struct import *m, enum change_kind kind)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (struct change){
		.kind = kind,
		.now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec,
		.caller = {.uid = m->i->uid, .gid = m->i->gid},
	};
}

static void apply(struct import *m, struct change *const *changes, size_t n)
{
	store_apply(m->i->store, changes, n, false);
	for (size_t i = 0; i < n; i++)
		if (changes[i]->kind == CHANGE_WRITE) {
			block_unref(changes[i]->write.head);
			block_unref(changes[i]->write.tail);
		}
}

int import_apply(struct import *m, struct change *c)
{
	apply(m, &c, 1);
	return c->result;
}

/* -- records without a name -----------------------------------------------------------------------
 */

static int make_stock(struct import *m, uint64_t dir)
{
	struct change *changes[IMPORT_ITEMS];
	struct change made[IMPORT_ITEMS];
	for (size_t i = 0; i < IMPORT_ITEMS; i++) {
		made[i] = import_change(m, CHANGE_CREATE);
		made[i].create = (struct change_create){.parent = dir, .mode = S_IFREG | 0600};
		changes[i] = &made[i];
	}
	apply(m, changes, IMPORT_ITEMS);
	for (size_t i = 0; i < IMPORT_ITEMS; i++)
		if (made[i].result == 0)
			m->stock[m->n_stock++] = made[i].touched[0].ino;
	return m->n_stock > 0 ? 0 : made[0].result;
}

static void reap(struct import *m, uint64_t ino)
{
	struct change c;
	do {
		c = import_change(m, CHANGE_REAP);
		c.reap.ino = ino;
	} while (import_apply(m, &c) == 0 && c.reap.more);
	/* If that failed, whoever mounts the store next does it. */
}

int import_disinherit(struct import *m, const struct store_attr *made)
{
	static const char *const names[] = {ACL_ACCESS_NAME, ACL_DEFAULT_NAME};
	int r = 0;
	if (!(made->flags & STORE_ATTR_XATTRS))
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		struct change c = import_change(m, CHANGE_REMOVEXATTR);
		c.removexattr = (struct change_removexattr){
			.ino = made->ino, .name = {.bytes = names[i], .len = strlen(names[i])}};
		r = import_apply(m, &c);
	}
	return r;
}

/* An inode for a record in this directory. */
static int take_inode(
	struct import *m, const struct import_dir *dir, const struct change *create, uint64_t *ret)
{
	if (S_ISREG(create->create.mode) && dir->plain) {
		int r = m->n_stock ? 0 : make_stock(m, dir->ino);
		if (r == 0)
			*ret = m->stock[--m->n_stock];
		return r;
	}
	struct change c = *create;
	c.create.parent = dir->ino;
	int r = import_apply(m, &c);
	if (r < 0)
		return r;
	*ret = c.touched[0].ino;
	r = import_disinherit(m, &c.touched[0]);
	if (r < 0)
		reap(m, *ret);
	return r;
}

int import_begin(struct import *m, const struct import_place *at, const char *path,
	const struct change *create)
{
	int r = m->n_items == IMPORT_ITEMS ? import_flush(m) : 0;
	uint64_t ino = 0;
	if (r < 0)
		return r;
	r = take_inode(m, &at->dir, create, &ino);
	if (r < 0)
		return import_complain(m, r, path, NULL);
	struct import_item *item = &m->items[m->n_items];
	*item = (struct import_item){.ino = ino, .dir = at->dir, .len = at->len};
	memcpy(item->name, at->name, at->len);
	item->path = strdup(path);
	m->n_items++;
	if (!item->path)
		return import_fail(m, -ENOMEM, path, strerror(ENOMEM));
	return 1;
}

void import_end(struct import *m, int failure)
{
	if (failure < 0)
		m->items[m->n_items - 1].failure = failure;
}

/* -- changes that wait ----------------------------------------------------------------------------
 */

/* What went wrong with an attribute alone does not keep the record from being imported. */
static int judge(struct import *m, const struct change *c, struct import_item *item)
{
	if (c->result == 0 || item->failure < 0)
		return 0;
	if (c->kind == CHANGE_SETXATTR) {
		char what[STORE_NAME_MAX + 32];
		snprintf(what, sizeof what, "attribute %.*s", (int)c->setxattr.name.len,
			c->setxattr.name.bytes);
		return import_complain(m, c->result, item->path, what);
	}
	item->failure = c->result;
	return import_complain(m, c->result, item->path, NULL);
}

static int apply_changes(struct import *m)
{
	struct change *changes[IMPORT_CHANGES];
	int r = 0;
	for (size_t i = 0; i < m->n_changes; i++)
		changes[i] = &m->changes[i];
	if (m->n_changes > 0)
		apply(m, changes, m->n_changes);
	for (size_t i = 0; r == 0 && i < m->n_changes; i++)
		r = judge(m, changes[i], &m->items[m->change_item[i]]);
	m->n_changes = 0;
	m->used = 0;
	return r;
}

static void *keep(struct import *m, const void *bytes, size_t len)
{
	void *to = m->arena + m->used;
	memcpy(to, bytes, len);
	m->used += len;
	return to;
}

static int make_room(struct import *m, size_t len)
{
	bool full = m->n_changes == IMPORT_CHANGES || IMPORT_ARENA - m->used < len;
	return full ? apply_changes(m) : 0;
}

static void add(struct import *m, const struct change *c)
{
	m->change_item[m->n_changes] = m->n_items - 1;
	m->changes[m->n_changes++] = *c;
}

/* Does the piece go on where the last one of the same record ended? Then it becomes longer. */
static size_t extend(struct import *m, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
	struct change *last = m->n_changes ? &m->changes[m->n_changes - 1] : NULL;
	if (!last || last->kind != CHANGE_WRITE || last->write.ino != ino ||
		last->write.offset + last->write.len != offset)
		return 0;
	size_t n = WRITE_MAX - last->write.len;
	n = n < len ? n : len;
	n = n < IMPORT_ARENA - m->used ? n : IMPORT_ARENA - m->used;
	keep(m, data, n);
	last->write.len += n;
	return n;
}

int import_write(struct import *m, uint64_t offset, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	struct import_item *item = &m->items[m->n_items - 1];
	item->bytes += len;
	while (len > 0 && item->failure == 0) {
		size_t n = extend(m, item->ino, offset, bytes, len);
		if (n == 0) {
			n = len < WRITE_MAX ? len : WRITE_MAX;
			int r = make_room(m, n);
			if (r < 0)
				return r;
			struct change c = import_change(m, CHANGE_WRITE);
			c.write = (struct change_write){.ino = item->ino,
				.offset = offset,
				.len = n,
				.data = keep(m, bytes, n)};
			add(m, &c);
		}
		offset += n;
		bytes += n;
		len -= n;
	}
	return 0;
}

int import_queue(struct import *m, const struct change *change)
{
	struct change c = *change;
	size_t len = c.kind == CHANGE_SETXATTR ? c.setxattr.name.len + c.setxattr.size : 0;
	int r = make_room(m, len);
	if (r < 0)
		return r;
	if (c.kind == CHANGE_SETXATTR) {
		c.setxattr.name.bytes = keep(m, c.setxattr.name.bytes, c.setxattr.name.len);
		c.setxattr.value =
			keep(m, c.setxattr.value ? c.setxattr.value : "", c.setxattr.size);
	}
	add(m, &c);
	return 0;
}

/* -- names ----------------------------------------------------------------------------------------
 */

static struct change link_change(const struct import *m, uint64_t ino, const struct import_dir *dir,
	const char *name, size_t len)
{
	struct change c = import_change(m, CHANGE_LINK);
	c.link = (struct change_link){
		.ino = ino, .parent = dir->ino, .name = {.bytes = name, .len = len}};
	return c;
}

/* Something has the name: the inode gets another one first, which it then takes over with. Both in
 * one transaction, so nobody sees it. */
static int replace(
	struct import *m, uint64_t ino, const struct import_dir *dir, const char *name, size_t len)
{
	struct store_attr there;
	char other[64];
	int n = snprintf(other, sizeof other, ".recordfs-import-%d-%llx", (int)getpid(),
		(unsigned long long)ino);
	int r = store_lookup(m->i->store, dir->ino, name, len, &there);
	if (r == 0 && there.ino == ino)
		return 0;
	if (m->i->keep)
		return -EEXIST;
	if (r == 0 && S_ISDIR(there.mode))
		return -EISDIR;
	struct change link = link_change(m, ino, dir, other, (size_t)n);
	struct change rename = import_change(m, CHANGE_RENAME);
	rename.rename = (struct change_rename){.parent = dir->ino,
		.name = link.link.name,
		.new_parent = dir->ino,
		.new_name = {.bytes = name, .len = len}};
	struct change *both[] = {&link, &rename};
	apply(m, both, ARRAY_LEN(both));
	if (link.result < 0)
		return link.result;
	if (rename.result < 0) {
		struct change back = import_change(m, CHANGE_UNLINK);
		back.unlink = (struct change_unlink){.parent = dir->ino, .name = link.link.name};
		IGNORE(import_apply(m, &back)); /* what is to be told has happened before */
		return rename.result;
	}
	/* The inode that had the name is an orphan now if it had no other. */
	for (unsigned i = 0; i < rename.n_touched; i++)
		if (rename.touched[i].nlink == 0)
			reap(m, rename.touched[i].ino);
	return 0;
}

int import_link(
	struct import *m, uint64_t ino, const struct import_dir *dir, const char *name, size_t len)
{
	struct change c = link_change(m, ino, dir, name, len);
	int r = import_apply(m, &c);
	return r == -EEXIST ? replace(m, ino, dir, name, len) : r;
}

static int finish(struct import *m, struct import_item *item, int r)
{
	if (r == -EEXIST)
		r = replace(m, item->ino, &item->dir, item->name, item->len);
	if (r == 0) {
		m->sum.records++;
		m->sum.bytes += item->bytes;
		return 0;
	}
	item->failure = r;
	return import_complain(m, r, item->path, NULL);
}

static int give_names(struct import *m)
{
	struct change links[IMPORT_ITEMS], *changes[IMPORT_ITEMS];
	size_t whose[IMPORT_ITEMS], n = 0;
	int r = 0;
	for (size_t i = 0; i < m->n_items; i++) {
		struct import_item *item = &m->items[i];
		if (item->failure < 0)
			continue;
		links[n] = link_change(m, item->ino, &item->dir, item->name, item->len);
		changes[n] = &links[n];
		whose[n++] = i;
	}
	if (n > 0)
		apply(m, changes, n);
	/* All are looked at, for those that have a name must be known. */
	for (size_t i = 0; i < n; i++) {
		int end = r < 0 && links[i].result == -EEXIST
				  ? -ECANCELED
				  : finish(m, &m->items[whose[i]], links[i].result);
		if (r < 0 && links[i].result == -EEXIST)
			m->items[whose[i]].failure = end;
		else if (end < 0 && r == 0)
			r = end;
	}
	return r;
}

static void forget_items(struct import *m)
{
	for (size_t i = 0; i < m->n_items; i++) {
		if (m->items[i].failure < 0)
			reap(m, m->items[i].ino);
		free(m->items[i].path);
	}
	m->n_items = 0;
}

static bool not_in_use(void *arg, const struct store_event *event)
{
	(void)arg;
	(void)event;
	return false;
}

int import_flush(struct import *m)
{
	int r = apply_changes(m);
	if (r < 0)
		return r; /* import_drop() deletes what has no name */
	r = give_names(m);
	forget_items(m);
	/* Other mounts wait with what they delete until this one has said that it does not use it.
	 */
	IGNORE(store_poll(m->i->store, not_in_use, NULL));
	return r;
}

void import_drop(struct import *m)
{
	m->n_changes = 0;
	for (size_t i = 0; i < m->n_items; i++)
		m->items[i].failure = -ECANCELED;
	forget_items(m);
	while (m->n_stock)
		reap(m, m->stock[--m->n_stock]);
}
