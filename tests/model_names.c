/* The changes of names in the model store: create, link, unlink, rename, and the end of orphans. */
#include "model.h"

#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

static bool is_dir(const struct model_inode *i)
{
	return S_ISDIR(i->attr.mode);
}

/* May `name` be added to directory `ino`? */
static int new_name(const struct model *m, uint64_t ino, const struct change_name *name,
	struct model_inode **ret)
{
	struct model_inode *dir = NULL;
	int r = model_directory_alive(m, ino, &dir);

	if (r < 0)
		return r;
	if (name->len > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	if (model_entry_find(dir, name->bytes, name->len))
		return -EEXIST;
	*ret = dir;
	return 0;
}

static void set_target(struct model_inode *i, const struct change_name *target)
{
	i->target = model_resize(NULL, target->len + 1, 1);
	memcpy(i->target, target->bytes, target->len);
	i->target[target->len] = '\0';
	i->attr.size = target->len;
}

int model_do_create(struct model *m, struct change *c)
{
	const struct change_create *n = &c->create;
	struct model_inode *dir = NULL;
	int r = n->name.bytes ? new_name(m, n->parent, &n->name, &dir)
			      : model_directory_alive(m, n->parent, &dir);

	if (r < 0)
		return r;
	if (S_ISLNK(n->mode) && n->target.len > STORE_TARGET_MAX)
		return -ENAMETOOLONG;

	struct model_inode *i = model_inode_new(m, n->mode, c->now);
	i->attr.uid = c->caller.uid;
	i->attr.gid = dir->attr.mode & S_ISGID ? dir->attr.gid : c->caller.gid;
	i->attr.rdev = n->rdev;
	i->attr.nlink = n->name.bytes ? 1 : 0;
	model_xattr_inherit(dir, i, &c->caller);
	if (is_dir(i)) {
		i->attr.mode |= dir->attr.mode & S_ISGID;
		i->attr.nlink = 2;
		i->parent = dir->attr.ino;
		dir->attr.nlink++;
	}
	if (S_ISLNK(n->mode))
		set_target(i, &n->target);
	model_touch(c, i);
	if (n->name.bytes) {
		model_entry_add(m, dir, &n->name, i->attr.ino);
		model_touch_entries(c, dir);
	}
	return 0;
}

int model_do_link(struct model *m, struct change *c)
{
	const struct change_link *l = &c->link;
	struct model_inode *i = model_inode(m, l->ino), *dir = NULL;

	if (!i)
		return -ESTALE;
	int r = new_name(m, l->parent, &l->name, &dir);
	if (r < 0)
		return r;
	if (is_dir(i))
		return -EPERM;
	if (i->attr.nlink >= STORE_LINK_MAX)
		return -EMLINK;
	i->attr.nlink++;
	model_touch(c, i);
	model_entry_add(m, dir, &l->name, i->attr.ino);
	model_touch_entries(c, dir);
	return 0;
}

/* `i` loses its name in `dir`. */
static void drop_name(struct model_inode *dir, struct model_inode *i)
{
	if (is_dir(i)) {
		i->attr.nlink = 0;
		dir->attr.nlink--;
	} else {
		i->attr.nlink--;
	}
}

/* The inode that `name` is in directory `parent`. */
static int old_name(const struct model *m, uint64_t parent, const struct change_name *name,
	struct model_inode **ret_dir, struct model_entry **ret_entry, struct model_inode **ret)
{
	int r = model_directory(m, parent, ret_dir);

	if (r < 0)
		return r;
	*ret_entry = model_entry_find(*ret_dir, name->bytes, name->len);
	if (!*ret_entry)
		return name->len > STORE_NAME_MAX ? -ENAMETOOLONG : -ENOENT;
	*ret = model_inode(m, (*ret_entry)->ino);
	assert(*ret);
	return 0;
}

int model_do_unlink(struct model *m, struct change *c)
{
	const struct change_unlink *u = &c->unlink;
	struct model_inode *dir = NULL, *i = NULL;
	struct model_entry *e = NULL;
	int r = old_name(m, u->parent, &u->name, &dir, &e, &i);

	if (r < 0)
		return r;
	if (u->directory && !is_dir(i))
		return -ENOTDIR;
	if (!u->directory && is_dir(i))
		return -EISDIR;
	if (i->n_entries)
		return -ENOTEMPTY;
	model_entry_remove(dir, e);
	drop_name(dir, i);
	model_touch(c, i);
	model_touch_entries(c, dir);
	return 0;
}

/* A rename with everything looked up. */
struct rename {
	struct model_inode *dir, *new_dir;
	struct model_entry *entry, *new_entry; /* new_entry NULL: nothing there */
	struct model_inode *inode, *other;     /* other: what is there */
};

static int rename_check(const struct model *m, const struct rename *n, unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE;

	if (n->other && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!n->other && exchange)
		return -ENOENT;
	if (is_dir(n->inode) && model_is_below(m, n->new_dir->attr.ino, n->inode->attr.ino))
		return -EINVAL;
	if (exchange && is_dir(n->other) && model_is_below(m, n->dir->attr.ino, n->other->attr.ino))
		return -EINVAL;
	if (!n->other || exchange || n->other == n->inode)
		return 0;
	if (is_dir(n->inode) && !is_dir(n->other))
		return -ENOTDIR;
	if (!is_dir(n->inode) && is_dir(n->other))
		return -EISDIR;
	return n->other->n_entries ? -ENOTEMPTY : 0;
}

/* A directory moves from one parent to another one. */
static void move_dir(struct model_inode *i, struct model_inode *from, struct model_inode *to)
{
	if (is_dir(i)) {
		from->attr.nlink--;
		to->attr.nlink++;
		i->parent = to->attr.ino;
	}
}

static void rename_apply(struct model *m, struct change *c, const struct rename *n)
{
	if (c->rename.flags & RENAME_EXCHANGE) {
		n->entry->ino = n->other->attr.ino;
		n->new_entry->ino = n->inode->attr.ino;
		move_dir(n->inode, n->dir, n->new_dir);
		move_dir(n->other, n->new_dir, n->dir);
	} else {
		if (n->other)
			drop_name(n->new_dir, n->other);
		if (n->new_entry)
			n->new_entry->ino = n->inode->attr.ino;
		else
			model_entry_add(m, n->new_dir, &c->rename.new_name, n->inode->attr.ino);
		/* Adding may have moved the array that n->entry points into. */
		model_entry_remove(
			n->dir, model_entry_find(n->dir, c->rename.name.bytes, c->rename.name.len));
		move_dir(n->inode, n->dir, n->new_dir);
	}
	model_touch(c, n->inode);
	model_touch_entries(c, n->dir);
	model_touch_entries(c, n->new_dir);
	if (n->other)
		model_touch(c, n->other);
}

int model_do_rename(struct model *m, struct change *c)
{
	const struct change_rename *a = &c->rename;
	struct rename n = {0};

	if (a->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
		a->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int r = old_name(m, a->parent, &a->name, &n.dir, &n.entry, &n.inode);
	if (r < 0)
		return r;
	r = model_directory_alive(m, a->new_parent, &n.new_dir);
	if (r < 0)
		return r;
	if (a->new_name.len > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	n.new_entry = model_entry_find(n.new_dir, a->new_name.bytes, a->new_name.len);
	if (n.new_entry)
		n.other = model_inode(m, n.new_entry->ino);
	r = rename_check(m, &n, a->flags);
	if (r < 0)
		return r;
	/* Two names of one inode: rename(2) does nothing, and says that it worked. */
	if (n.other == n.inode)
		c->touched[c->n_touched++] = n.inode->attr;
	else
		rename_apply(m, c, &n);
	return 0;
}

int model_do_reap(struct model *m, struct change *c)
{
	struct model_inode *i = model_inode(m, c->reap.ino);

	if (!i)
		return -ENOENT;
	if (i->attr.nlink)
		return -EBUSY;
	size_t n = i->n_blocks < MODEL_REAP_PIECE ? i->n_blocks : MODEL_REAP_PIECE;
	model_blocks_drop(i, i->n_blocks - n, n);
	model_touch(c, i);
	c->touched[0] = i->attr;
	c->reap.more = i->n_blocks > 0;
	if (!c->reap.more)
		model_inode_free(m, i);
	return 0;
}
