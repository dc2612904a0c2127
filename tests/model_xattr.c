/* Extended attributes of the model store, and the two that mean something to it: ACLs and TTL. */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static const char ttl_name[] = "user.recordfs.ttl";

static bool is_ttl(const char *name, size_t len)
{
	return len == strlen(ttl_name) && memcmp(name, ttl_name, len) == 0;
}

struct model_xattr *model_xattr_find(const struct model_inode *i, const char *name, size_t len)
{
	for (size_t k = 0; k < i->n_xattrs; k++) {
		struct model_xattr *x = &i->xattrs[k];
		if (x->len == len && memcmp(x->name, name, len) == 0)
			return x;
	}
	return NULL;
}

void model_xattr_set(
	struct model_inode *i, const char *name, size_t len, const void *value, size_t size)
{
	struct model_xattr *x = model_xattr_find(i, name, len);

	if (!x) {
		i->xattrs = model_resize(i->xattrs, i->n_xattrs + 1, sizeof *i->xattrs);
		x = &i->xattrs[i->n_xattrs++];
		*x = (struct model_xattr){.len = len};
		memcpy(x->name, name, len);
	}
	x->value = model_resize(x->value, size, 1);
	if (size)
		memcpy(x->value, value, size);
	x->size = size;
	i->attr.flags |= STORE_ATTR_XATTRS;
}

void model_xattr_remove(struct model_inode *i, struct model_xattr *x)
{
	size_t k = (size_t)(x - i->xattrs);

	free(x->value);
	memmove(x, x + 1, (i->n_xattrs - k - 1) * sizeof *x);
	i->n_xattrs--;
	if (!i->n_xattrs)
		i->attr.flags &= ~STORE_ATTR_XATTRS;
}

/* A decimal number of seconds, "300" or "2.5", in nanoseconds. */
static int parse_ttl(const char *s, size_t len, int64_t *ret)
{
	int64_t value = 0, unit = 1000000000;
	size_t k = 0, digits = 0;

	for (; k < len && s[k] >= '0' && s[k] <= '9'; k++, digits++) {
		value = value * 10 + (s[k] - '0') * unit;
		if (value > INT64_MAX / 20)
			return -EINVAL;
	}
	if (k < len && s[k] == '.')
		k++;
	for (; k < len && s[k] >= '0' && s[k] <= '9'; k++, digits++) {
		unit /= 10;
		value += (s[k] - '0') * unit;
	}
	if (k < len || digits == 0)
		return -EINVAL;
	*ret = value;
	return 0;
}

void model_xattr_inherit(
	const struct model_inode *dir, struct model_inode *i, const struct change_caller *caller)
{
	const struct model_xattr *x = model_xattr_find(dir, ttl_name, strlen(ttl_name));

	if (!S_ISLNK(i->attr.mode))
		i->attr.mode &= ~(caller->umask & 0777);
	if (x) {
		model_xattr_set(i, x->name, x->len, x->value, x->size);
		i->attr.ttl = dir->attr.ttl;
	}
}

void model_chmod(struct model_inode *i, uint32_t mode)
{
	i->attr.mode = (i->attr.mode & S_IFMT) | (mode & 07777);
}

int model_do_setxattr(struct model *m, struct change *c)
{
	const struct change_setxattr *s = &c->setxattr;
	struct model_inode *i = model_inode(m, s->ino);
	int64_t ttl = STORE_TTL_DEFAULT;

	if (!i)
		return -ESTALE;
	if (s->name.len > STORE_NAME_MAX)
		return -ERANGE;
	if (s->size > STORE_XATTR_MAX)
		return -E2BIG;
	const struct model_xattr *x = model_xattr_find(i, s->name.bytes, s->name.len);
	if (x && s->flags & XATTR_CREATE)
		return -EEXIST;
	if (!x && s->flags & XATTR_REPLACE)
		return -ENODATA;
	if (is_ttl(s->name.bytes, s->name.len)) {
		int r = parse_ttl(s->value, s->size, &ttl);
		if (r < 0)
			return r;
		i->attr.ttl = ttl;
	}
	model_xattr_set(i, s->name.bytes, s->name.len, s->value, s->size);
	model_touch(m, c, i);
	return 0;
}

int model_do_removexattr(struct model *m, struct change *c)
{
	struct model_inode *i = model_inode(m, c->removexattr.ino);

	if (!i)
		return -ESTALE;
	struct model_xattr *x =
		model_xattr_find(i, c->removexattr.name.bytes, c->removexattr.name.len);
	if (!x)
		return -ENODATA;
	if (is_ttl(x->name, x->len))
		i->attr.ttl = STORE_TTL_DEFAULT;
	model_xattr_remove(i, x);
	model_touch(m, c, i);
	return 0;
}
