#include "cache/store/acl.h"
#include "tar_import_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct import_dir dir_of(const struct store_attr *a)
{
	return (struct import_dir){
		.ino = a->ino, .plain = !(a->flags & STORE_ATTR_XATTRS) && !(a->mode & S_ISGID)};
}

static int make_dir(struct import *m, const struct import_dir *parent, const char *name, size_t len,
	uint32_t mode, struct import_dir *ret)
{
	struct change c = import_change(m, CHANGE_CREATE);
	c.create = (struct change_create){
		.parent = parent->ino, .name = {.bytes = name, .len = len}, .mode = S_IFDIR | mode};
	int r = import_apply(m, &c);
	if (r == 0)
		r = import_disinherit(m, &c.touched[0]);
	if (r == 0)
		*ret = dir_of(&c.touched[0]);
	return r;
}

/* The directory `name` in `parent`, made if need be. */
static int enter(struct import *m, const struct import_dir *parent, const char *name, size_t len,
	bool make, struct import_dir *ret)
{
	struct store_attr a;
	int r = store_lookup(m->i->store, parent->ino, name, len, &a);
	if (r == -ENOENT && make)
		return make_dir(m, parent, name, len, 0755, ret);
	if (r == 0 && !S_ISDIR(a.mode))
		r = -ENOTDIR;
	if (r == 0)
		*ret = dir_of(&a);
	return r;
}

/* The next component; len 0: no more. -EINVAL: "..". */
static int next_component(const char **at, const char **name, size_t *len)
{
	do {
		*at += strspn(*at, "/");
		*name = *at;
		*len = strcspn(*at, "/");
		*at += *len;
	} while (*len == 1 && **name == '.');
	if (*len == 2 && strncmp(*name, "..", 2) == 0)
		return -EINVAL;
	return *len > STORE_NAME_MAX ? -ENAMETOOLONG : 0;
}

static bool is_cached(const struct import *m, const char *path, size_t len)
{
	return m->has_cached && m->cached_len == len && memcmp(m->cached, path, len) == 0;
}

/* From the root of the import to the directory that the last component is in. */
static int walk(struct import *m, const char *path, bool make, struct import_place *ret)
{
	const char *at = path, *name, *next, *begin = path;
	size_t len, next_len;
	struct import_dir dir = m->root;
	int r = next_component(&at, &name, &len);
	while (r == 0 && len > 0) {
		r = next_component(&at, &next, &next_len);
		if (r < 0 || next_len == 0)
			break;
		r = enter(m, &dir, name, len, make, &dir);
		name = next;
		len = next_len;
	}
	if (r < 0)
		return r;
	*ret = (struct import_place){.dir = dir, .name = len ? name : NULL, .len = len};
	if (len > 0) {
		m->has_cached = true;
		m->cached_len = (size_t)(name - begin);
		m->cached_dir = dir;
		memcpy(m->cached, path, m->cached_len);
	}
	return 0;
}

/* The last component, if all before it is as it was for the last entry. */
static bool walk_cached(struct import *m, const char *path, struct import_place *ret)
{
	const char *slash = strrchr(path, '/');
	size_t dir_len = slash ? (size_t)(slash - path) + 1 : 0;
	const char *name = path + dir_len;
	size_t len = strlen(name);
	if (!is_cached(m, path, dir_len) || len == 0 || len > STORE_NAME_MAX ||
		strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	*ret = (struct import_place){.dir = m->cached_dir, .name = name, .len = len};
	return true;
}

int import_place(struct import *m, const char *path, bool make, struct import_place *ret)
{
	if (strlen(path) >= IMPORT_PATH_MAX)
		return import_complain(m, -ENAMETOOLONG, path, NULL);
	if (walk_cached(m, path, ret))
		return 1;
	int r = walk(m, path, make, ret);
	/* A directory may be there, but wait for its name: no directory does. Of a file that
	 * waits the answer is the same: it is not a directory. */
	if (r == -EINVAL)
		return import_complain(m, r, path, "it has .. in its path");
	return r < 0 ? import_complain(m, r, path, NULL) : 1;
}

int import_root(struct import *m)
{
	const char *at = m->i->dir, *name;
	struct store_attr a;
	size_t len;
	int r = store_getattr(m->i->store, STORE_ROOT_INO, &a);
	m->root = (struct import_dir){.ino = STORE_ROOT_INO};
	if (r == 0)
		m->root = dir_of(&a);
	while (r == 0) {
		r = next_component(&at, &name, &len);
		if (r < 0 || len == 0)
			break;
		r = enter(m, &m->root, name, len, true, &m->root);
	}
	return r < 0 ? import_fail(m, r, m->i->dir, strerror(-r)) : 0;
}

/* -- directories ----------------------------------------------------------------------------------
 */

static struct import_late *new_late(struct import *m)
{
	if (m->n_late == m->late_size) {
		size_t size = m->late_size ? 2 * m->late_size : 64;
		struct import_late *late = realloc(m->late, size * sizeof *late);
		if (!late)
			return NULL;
		m->late = late;
		m->late_size = size;
	}
	struct import_late *l = &m->late[m->n_late++];
	*l = (struct import_late){0};
	return l;
}

static struct change late_attributes(const struct import *m, const struct import_late *l)
{
	struct change c = import_change(m, CHANGE_SETATTR);
	c.setattr = (struct change_setattr){.ino = l->ino,
		.mask = STORE_SET_MODE | STORE_SET_UID | STORE_SET_GID | STORE_SET_ATIME |
			STORE_SET_MTIME,
		.mode = l->mode,
		.uid = l->uid,
		.gid = l->gid,
		.atime = l->atime,
		.mtime = l->mtime};
	return c;
}

static int set_late(struct import *m, const struct import_late *l)
{
	struct change acl = import_xattr_change(m, l->ino, ACL_DEFAULT_NAME, l->acl, l->acl_size);
	struct change ttl = import_xattr_change(m, l->ino, IMPORT_TTL_NAME, l->ttl, strlen(l->ttl));
	struct change attributes = late_attributes(m, l);
	int r = l->acl ? import_apply(m, &acl) : 0;
	if (r == 0 && l->ttl[0])
		r = import_apply(m, &ttl);
	int end = import_apply(m, &attributes);
	r = r < 0 ? r : end;
	return r < 0 && r != -ESTALE ? import_complain(m, r, "a directory", "its attributes") : 0;
}

static int set_now(struct import *m, const struct change *change, const char *path)
{
	struct change c = *change;
	int r = import_apply(m, &c);
	return r < 0 ? import_complain(m, r, path, "an attribute") : 0;
}

/* What is there makes way for a directory; 1: it is one already. */
static int make_way(struct import *m, const struct import_place *at, struct import_dir *ret)
{
	struct store_attr a;
	int r = store_lookup(m->i->store, at->dir.ino, at->name, at->len, &a);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	*ret = dir_of(&a);
	if (S_ISDIR(a.mode))
		return 1;
	if (m->i->keep)
		return -EEXIST;
	struct change c = import_change(m, CHANGE_UNLINK);
	c.unlink = (struct change_unlink){
		.parent = at->dir.ino, .name = {.bytes = at->name, .len = at->len}};
	return import_apply(m, &c);
}

int import_directory(struct import *m, const char *path, struct archive_entry *e)
{
	struct import_place at;
	struct import_dir dir = m->root;
	int r = import_place(m, path, true, &at);
	if (r <= 0)
		return r;
	int there = at.name ? make_way(m, &at, &dir) : 1;
	r = there == 0 ? make_dir(m, &at.dir, at.name, at.len, 0700, &dir) : there;
	if (r < 0)
		return import_complain(m, r, path, NULL);
	m->sum.records++;
	if (there == 1 && m->i->keep)
		return 0;
	struct import_late *late = new_late(m);
	if (!late)
		return import_fail(m, -ENOMEM, path, strerror(ENOMEM));
	struct change c = import_attributes(m, e, dir.ino);
	late->ino = dir.ino;
	late->mode = c.setattr.mode;
	late->uid = c.setattr.uid;
	late->gid = c.setattr.gid;
	late->atime = c.setattr.atime;
	late->mtime = c.setattr.mtime;
	return import_xattrs(m, e, path, dir.ino, late, set_now);
}

int import_late(struct import *m)
{
	int r = 0;
	for (size_t i = m->n_late; r == 0 && i > 0; i--)
		r = set_late(m, &m->late[i - 1]);
	return r;
}

void import_late_free(struct import *m)
{
	for (size_t i = 0; i < m->n_late; i++)
		free(m->late[i].acl);
	free(m->late);
	m->late = NULL;
	m->n_late = m->late_size = 0;
}
