#include "store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Does `r` keep to the contract: success, or an errno? */
static int checked(ssize_t r)
{
	assert(r >= -4095);
	return (int)r;
}

MAYBE_UNUSED static bool name_is_sane(const char *name, size_t len)
{
	return len > 0 && !memchr(name, '/', len) && !memchr(name, '\0', len);
}

/* What no caller may ask for, because the store would have no answer to it. */
MAYBE_UNUSED static bool change_is_sane(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
		return c->write.len > 0 && c->write.len <= STORE_WRITE_MAX;
	case CHANGE_ALLOCATE:
		return c->allocate.len > 0;
	case CHANGE_COPY:
		return c->copy.len > 0 && c->copy.len <= STORE_WRITE_MAX;
	case CHANGE_CREATE:
		return !c->create.name.bytes ||
		       name_is_sane(c->create.name.bytes, c->create.name.len);
	case CHANGE_LINK:
		return name_is_sane(c->link.name.bytes, c->link.name.len);
	case CHANGE_UNLINK:
		return name_is_sane(c->unlink.name.bytes, c->unlink.name.len);
	case CHANGE_RENAME:
		return name_is_sane(c->rename.name.bytes, c->rename.name.len) &&
		       name_is_sane(c->rename.new_name.bytes, c->rename.new_name.len);
	case CHANGE_SETXATTR:
		return c->setxattr.name.len > 0 && c->setxattr.size <= STORE_XATTR_MAX;
	case CHANGE_REMOVEXATTR:
		return c->removexattr.name.len > 0;
	case CHANGE_SETATTR:
	case CHANGE_REAP:
		return true;
	}
	return false;
}

/* What the store may answer: a change that failed leaves nothing behind, in its results either. */
MAYBE_UNUSED static bool result_is_sane(const struct change *c)
{
	if (c->result > 0 || c->result < -4095 || c->n_touched > CHANGE_TOUCHED_MAX)
		return false;
	if (c->result == 0)
		return true;
	return c->n_touched == 0 && (c->kind != CHANGE_WRITE || (!c->write.head && !c->write.tail));
}

void store_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	assert(n > 0 && n <= STORE_BATCH_MAX);
	for (size_t i = 0; i < n; i++) {
		struct change *c = changes[i];
		assert(change_is_sane(c));
		c->result = -EIO;
		c->doubtful = false;
		c->n_touched = 0;
		if (c->kind == CHANGE_WRITE)
			c->write.head = c->write.tail = NULL;
	}
	s->ops->apply(s, changes, n, durable);
	for (size_t i = 0; i < n; i++)
		assert(result_is_sane(changes[i]));
}

int store_apply_one(struct store *s, struct change *c, bool durable)
{
	store_apply(s, &c, 1, durable);
	return c->result;
}

int store_flush(struct store *s)
{
	return checked(s->ops->flush(s));
}

int store_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	assert(count > 0 && count <= STORE_READ_MAX);
	ret->count = 0;
	ret->ttl_left = INT64_MAX;
	int r = checked(s->ops->read(s, ino, first, count, ret));
	assert(r == 0 || ret->count == 0);
	assert(ret->count <= ARRAY_LEN(ret->blocks));
	return r;
}

int store_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	return checked(s->ops->getattr(s, ino, ret));
}

int store_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	assert(name_is_sane(name, len));
	return checked(s->ops->lookup(s, parent, name, len, ret));
}

int store_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	assert(size > 0);
	return checked(s->ops->readlink(s, ino, buf, size));
}

int store_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr, store_entry_fn *fn,
	void *arg)
{
	return checked(s->ops->readdir(s, dir, after, with_attr, fn, arg));
}

ssize_t store_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	ssize_t r = s->ops->getxattr(s, ino, name, len, buf, size);
	assert(r >= -4095 && (size == 0 || r <= (ssize_t)size));
	return r;
}

int store_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	return checked(s->ops->listxattr(s, ino, fn, arg));
}

int store_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	return checked(s->ops->seek(s, ino, offset, data, ret));
}

int store_statfs(struct store *s, struct store_space *ret)
{
	return checked(s->ops->statfs(s, ret));
}

int store_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	return checked(s->ops->orphans(s, fn, arg));
}

int store_poll(struct store *s, store_event_fn *fn, void *arg)
{
	return checked(s->ops->poll(s, fn, arg));
}

int store_poll_fd(struct store *s)
{
	return s->ops->poll_fd(s);
}

int store_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return checked(s->ops->path(s, ino, buf, size));
}

ssize_t store_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	ssize_t r = s->ops->block_info(s, ino, first, count, ret);
	assert(r >= -4095 && r <= (ssize_t)count);
	return r;
}

void store_stats(struct store *s, struct store_stats *stats)
{
	s->ops->stats(s, stats);
}

struct store *store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
	return NULL;
}

void store_span_release(struct store_span *span)
{
	for (uint32_t i = 0; i < span->count; i++)
		span->blocks[i] = block_unref(span->blocks[i]);
	span->count = 0;
}
