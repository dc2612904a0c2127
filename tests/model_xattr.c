/* Extended attributes of the model store, and the two that mean something to it: ACLs and TTL. */
#include "cache/store/acl.h"
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

static struct model_xattr *find(const struct model_inode *i, const char *name)
{
	return model_xattr_find(i, name, strlen(name));
}

static void drop(struct model_inode *i, const char *name)
{
	struct model_xattr *x = find(i, name);

	if (x)
		model_xattr_remove(i, x);
}

/* Keeps an access ACL, unless the mode says all that it says. */
static void keep_acl(struct model_inode *i, const void *acl, size_t size, bool mode_says_all)
{
	if (mode_says_all)
		drop(i, ACL_ACCESS_NAME);
	else
		model_xattr_set(i, ACL_ACCESS_NAME, strlen(ACL_ACCESS_NAME), acl, size);
}

static void inherit_mode(
	const struct model_inode *dir, struct model_inode *i, const struct change_caller *caller)
{
	const struct model_xattr *x = find(dir, ACL_DEFAULT_NAME);

	if (S_ISLNK(i->attr.mode))
		return;
	if (!x) {
		i->attr.mode &= ~(caller->umask & 0777);
		return;
	}
	if (S_ISDIR(i->attr.mode))
		model_xattr_set(i, x->name, x->len, x->value, x->size);
	void *acl = model_resize(NULL, x->size, 1);
	memcpy(acl, x->value, x->size);
	keep_acl(i, acl, x->size, acl_inherit(acl, x->size, &i->attr.mode));
	free(acl);
}

void model_xattr_inherit(
	const struct model_inode *dir, struct model_inode *i, const struct change_caller *caller)
{
	const struct model_xattr *x = find(dir, ttl_name);

	inherit_mode(dir, i, caller);
	i->attr.ttl = dir->attr.ttl;
	/* Nothing else may have an attribute of a name that begins with "user.". */
	if (x && (S_ISREG(i->attr.mode) || S_ISDIR(i->attr.mode)))
		model_xattr_set(i, x->name, x->len, x->value, x->size);
}

void model_chmod(struct model_inode *i, uint32_t mode)
{
	struct model_xattr *x = find(i, ACL_ACCESS_NAME);

	i->attr.mode = (i->attr.mode & S_IFMT) | (mode & 07777);
	if (x)
		acl_chmod(x->value, x->size, mode);
}

static int set_acl(struct model_inode *i, const struct change *c, enum acl_kind kind)
{
	const struct change_setxattr *s = &c->setxattr;
	bool access = kind == ACL_KIND_ACCESS;

	if (S_ISLNK(i->attr.mode))
		return -EOPNOTSUPP;
	int r = acl_check(s->value, s->size);
	if (r < 0)
		return r;
	if (acl_is_empty(s->value, s->size)) {
		drop(i, access ? ACL_ACCESS_NAME : ACL_DEFAULT_NAME);
		return 0;
	}
	if (!access && !S_ISDIR(i->attr.mode))
		return -EACCES;
	if (!access) {
		model_xattr_set(i, s->name.bytes, s->name.len, s->value, s->size);
	} else {
		bool all = acl_to_mode(s->value, s->size, &i->attr.mode);
		keep_acl(i, s->value, s->size, all);
	}
	if (access && c->caller.kill_sgid)
		i->attr.mode &= ~(uint32_t)S_ISGID;
	return 0;
}

static int set_ttl(struct model_inode *i, const struct change_setxattr *s)
{
	int64_t ttl = 0;
	int r = parse_ttl(s->value, s->size, &ttl);

	if (r < 0)
		return r;
	i->attr.ttl = ttl;
	model_xattr_set(i, s->name.bytes, s->name.len, s->value, s->size);
	return 0;
}

int model_do_setxattr(struct model *m, struct change *c)
{
	const struct change_setxattr *s = &c->setxattr;
	struct model_inode *i = model_inode(m, s->ino);
	int r = 0;

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
	enum acl_kind acl = acl_kind(s->name.bytes, s->name.len);
	if (acl != ACL_KIND_NONE)
		r = set_acl(i, c, acl);
	else if (is_ttl(s->name.bytes, s->name.len))
		r = set_ttl(i, s);
	else
		model_xattr_set(i, s->name.bytes, s->name.len, s->value, s->size);
	if (r < 0)
		return r;
	model_touch(c, i);
	return 0;
}

int model_do_removexattr(struct model *m, struct change *c)
{
	struct model_inode *i = model_inode(m, c->removexattr.ino);

	if (!i)
		return -ESTALE;
	struct model_xattr *x =
		model_xattr_find(i, c->removexattr.name.bytes, c->removexattr.name.len);
	if (!x && acl_kind(c->removexattr.name.bytes, c->removexattr.name.len) == ACL_KIND_NONE)
		return -ENODATA;
	if (x && is_ttl(x->name, x->len))
		i->attr.ttl = STORE_TTL_DEFAULT;
	if (x)
		model_xattr_remove(i, x);
	model_touch(c, i);
	return 0;
}
