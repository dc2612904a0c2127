/* Inodes of the model store, and the entries of its directories. */
#include "model.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void *model_resize(void *p, size_t n, size_t size)
{
	void *q = reallocarray(p, n ? n : 1, size);
	if (!q)
		abort();
	return q;
}

struct model_inode *model_inode(const struct model *m, uint64_t ino)
{
	return ino < m->n_inodes ? m->inodes[ino] : NULL;
}

struct model_inode *model_inode_new(struct model *m, uint32_t mode, int64_t now)
{
	struct model_inode *i = model_resize(NULL, 1, sizeof *i);

	*i = (struct model_inode){
		.attr =
			{
				.ino = m->n_inodes,
				.atime = now,
				.mtime = now,
				.ctime = now,
				.btime = now,
				.ttl = STORE_TTL_DEFAULT,
				.mode = mode,
			},
	};
	m->inodes = model_resize(m->inodes, m->n_inodes + 1, sizeof(struct model_inode *));
	m->inodes[m->n_inodes++] = i;
	return i;
}

void model_inode_free(struct model *m, struct model_inode *i)
{
	if (!i)
		return;
	m->inodes[i->attr.ino] = NULL;
	model_blocks_drop(i, 0, i->n_blocks);
	while (i->n_xattrs)
		model_xattr_remove(i, i->xattrs);
	free(i->blocks);
	free(i->entries);
	free(i->xattrs);
	free(i->target);
	free(i);
}

int model_directory(const struct model *m, uint64_t ino, struct model_inode **ret)
{
	struct model_inode *i = model_inode(m, ino);

	if (!i)
		return -ESTALE;
	if (!S_ISDIR(i->attr.mode))
		return -ENOTDIR;
	*ret = i;
	return 0;
}

int model_directory_alive(const struct model *m, uint64_t ino, struct model_inode **ret)
{
	struct model_inode *i = NULL;
	int r = model_directory(m, ino, &i);

	if (r < 0)
		return r;
	if (i->attr.nlink == 0)
		return -ENOENT;
	*ret = i;
	return 0;
}

struct model_entry *model_entry_find(const struct model_inode *dir, const char *name, size_t len)
{
	for (size_t k = 0; k < dir->n_entries; k++) {
		struct model_entry *e = &dir->entries[k];
		if (e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	}
	return NULL;
}

void model_entry_add(
	struct model *m, struct model_inode *dir, const struct change_name *name, uint64_t ino)
{
	assert(name->len <= STORE_NAME_MAX);
	dir->entries = model_resize(dir->entries, dir->n_entries + 1, sizeof *dir->entries);
	struct model_entry *e = &dir->entries[dir->n_entries++];
	*e = (struct model_entry){.id = ++m->last_id, .ino = ino, .len = name->len};
	memcpy(e->name, name->bytes, name->len);
}

void model_entry_remove(struct model_inode *dir, struct model_entry *e)
{
	size_t k = (size_t)(e - dir->entries);

	memmove(e, e + 1, (dir->n_entries - k - 1) * sizeof *e);
	dir->n_entries--;
}

bool model_is_below(const struct model *m, uint64_t dir, uint64_t above)
{
	while (dir != above && dir != STORE_ROOT_INO) {
		const struct model_inode *i = model_inode(m, dir);
		if (!i)
			return false;
		dir = i->parent;
	}
	return dir == above;
}

/* A directory that has a name for `ino`, and the entry. */
static const struct model_entry *find_name(
	const struct model *m, uint64_t ino, const struct model_inode **ret_dir)
{
	for (size_t d = 0; d < m->n_inodes; d++) {
		const struct model_inode *dir = m->inodes[d];
		for (size_t k = 0; dir && k < dir->n_entries; k++) {
			if (dir->entries[k].ino == ino) {
				*ret_dir = dir;
				return &dir->entries[k];
			}
		}
	}
	return NULL;
}

int model_path(const struct model *m, uint64_t ino, char *buf, size_t size)
{
	if (!model_inode(m, ino))
		return -ESTALE;

	/* From the name to the root, so the path grows at its front. */
	char *path = NULL;
	size_t len = 0;
	while (ino != STORE_ROOT_INO) {
		const struct model_inode *dir = NULL;
		const struct model_entry *e = find_name(m, ino, &dir);
		if (!e) {
			free(path);
			return -ENOENT;
		}
		path = model_resize(path, len + e->len + 1, 1);
		memmove(path + e->len + 1, path, len);
		path[0] = '/';
		memcpy(path + 1, e->name, e->len);
		len += e->len + 1;
		ino = dir->attr.ino;
	}
	if (!path) {
		path = model_resize(NULL, 1, 1);
		path[len++] = '/';
	}
	int r = len < size ? 0 : -ERANGE;
	if (r == 0) {
		memcpy(buf, path, len);
		buf[len] = '\0';
	}
	free(path);
	return r;
}

void model_touch(struct change *c, struct model_inode *i)
{
	i->attr.ctime = c->now;
	for (unsigned k = 0; k < c->n_touched; k++)
		if (c->touched[k].ino == i->attr.ino)
			return;
	i->attr.version++;
	assert(c->n_touched < CHANGE_TOUCHED_MAX);
	c->touched[c->n_touched++] = i->attr;
}

void model_touch_entries(struct change *c, struct model_inode *dir)
{
	dir->attr.mtime = c->now;
	model_touch(c, dir);
}
