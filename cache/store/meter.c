#include "meter.h"

#include "cause.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Constant after creation, but for what `meter` points to. */
struct metered {
	struct store store;
	struct store *next;
	struct meter *meter;
};

static struct metered *metered_of(struct store *s)
{
	return CONTAINER_OF(s, struct metered, store);
}

static struct store *next_of(struct store *s)
{
	return metered_of(s)->next;
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Is it the store that failed, not the request that asked for what cannot be? */
static bool is_failure(ssize_t r)
{
	return r == -EIO || r == -EBADMSG || r == -ENOMEM || r == -ENOSPC || r == -EROFS;
}

static void note(struct store *s, const struct store_error *error)
{
	store_errors_add(&metered_of(s)->meter->errors, error);
}

/* The end of an operation that began at `since`; 0: it is not timed. */
static ssize_t ended(struct store *s, enum meter_op op, int64_t since, ssize_t r, const char *name,
	uint64_t ino, int64_t offset)
{
	if (since)
		histogram_add(&metered_of(s)->meter->time[op], (uint64_t)(now() - since));
	if (is_failure(r))
		note(s, &(struct store_error){.times = 1,
				.ino = ino,
				.offset = offset,
				.error = (int)-r,
				.op = name});
	return r;
}

static int64_t begin(void)
{
	store_cause_clear();
	return now();
}

static void entry_name(struct store_error *e, const struct change_name *name)
{
	size_t len = name->len < sizeof e->name ? name->len : sizeof e->name - 1;
	if (name->bytes)
		memcpy(e->name, name->bytes, len);
}

/* What failed, of one change. */
static struct store_error failed_change(const struct change *c)
{
	struct store_error e = {.times = 1, .offset = -1, .error = -c->result};
	switch (c->kind) {
	case CHANGE_WRITE:
		e.op = "write";
		e.ino = c->write.ino;
		e.offset = (int64_t)c->write.offset;
		break;
	case CHANGE_SETATTR:
		e.op = "setattr";
		e.ino = c->setattr.ino;
		break;
	case CHANGE_ALLOCATE:
		e.op = "fallocate";
		e.ino = c->allocate.ino;
		e.offset = (int64_t)c->allocate.offset;
		break;
	case CHANGE_COPY:
		e.op = "copy";
		e.ino = c->copy.to;
		e.offset = (int64_t)c->copy.to_offset;
		break;
	case CHANGE_CREATE:
		e.op = "create";
		e.ino = c->create.parent;
		entry_name(&e, &c->create.name);
		break;
	case CHANGE_LINK:
		e.op = "link";
		e.ino = c->link.ino;
		break;
	case CHANGE_UNLINK:
		e.op = "unlink";
		e.ino = c->unlink.parent;
		entry_name(&e, &c->unlink.name);
		break;
	case CHANGE_RENAME:
		e.op = "rename";
		e.ino = c->rename.parent;
		entry_name(&e, &c->rename.name);
		break;
	case CHANGE_SETXATTR:
		e.op = "setxattr";
		e.ino = c->setxattr.ino;
		break;
	case CHANGE_REMOVEXATTR:
		e.op = "removexattr";
		e.ino = c->removexattr.ino;
		break;
	case CHANGE_REAP:
		e.op = "delete";
		e.ino = c->reap.ino;
		break;
	}
	return e;
}

/* One entry for all that failed of one transaction for the same reason. */
static void note_failures(struct store *s, struct change *const *changes, size_t n)
{
	const struct change *first = NULL;
	uint64_t times = 0;
	for (size_t i = 0; i < n; i++) {
		const struct change *c = changes[i];
		if (!is_failure(c->result) || (first && c->result != first->result))
			continue;
		if (!first)
			first = c;
		times++;
	}
	if (!first)
		return;
	struct store_error e = failed_change(first);
	e.times = times;
	note(s, &e);
}

static void meter_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	struct meter *m = metered_of(s)->meter;
	int64_t since = begin();
	store_apply(next_of(s), changes, n, durable);
	histogram_add(
		&m->time[durable ? METER_commit_durable : METER_commit], (uint64_t)(now() - since));
	histogram_add(&m->group, n);
	note_failures(s, changes, n);
}

static int meter_flush(struct store *s)
{
	int64_t since = begin();
	return (int)ended(s, METER_flush, since, store_flush(next_of(s)), "flush", 0, -1);
}

static int meter_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	int64_t since = begin();
	int r = store_read(next_of(s), ino, first, count, ret);
	return (int)ended(
		s, METER_read, since, r, "read", ino, (int64_t)(first * STORE_BLOCK_SIZE));
}

static int meter_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	int64_t since = begin();
	int r = store_getattr(next_of(s), ino, ret);
	return (int)ended(s, METER_getattr, since, r, "getattr", ino, -1);
}

static int meter_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	int64_t since = begin();
	int r = store_lookup(next_of(s), parent, name, len, ret);
	return (int)ended(s, METER_lookup, since, r, "lookup", parent, -1);
}

static int meter_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	store_cause_clear();
	int r = store_readlink(next_of(s), ino, buf, size);
	return (int)ended(s, METER_getattr, 0, r, "readlink", ino, -1);
}

/* With what the callback does to the entries. */
static int meter_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	int64_t since = begin();
	int r = store_readdir(next_of(s), dir, after, with_attr, fn, arg);
	return (int)ended(s, METER_readdir, since, r, "readdir", dir, -1);
}

static ssize_t meter_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	int64_t since = begin();
	ssize_t r = store_getxattr(next_of(s), ino, name, len, buf, size);
	return ended(s, METER_xattr, since, r, "getxattr", ino, -1);
}

static int meter_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	int64_t since = begin();
	int r = store_listxattr(next_of(s), ino, fn, arg);
	return (int)ended(s, METER_xattr, since, r, "listxattr", ino, -1);
}

static int meter_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	store_cause_clear();
	int r = store_seek(next_of(s), ino, offset, data, ret);
	return (int)ended(s, METER_read, 0, r, "seek", ino, (int64_t)offset);
}

static int meter_statfs(struct store *s, struct store_space *ret)
{
	store_cause_clear();
	return (int)ended(s, METER_getattr, 0, store_statfs(next_of(s), ret), "statfs", 0, -1);
}

static int meter_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	store_cause_clear();
	int r = store_orphans(next_of(s), fn, arg);
	return (int)ended(s, METER_read, 0, r, "orphans", 0, -1);
}

static int meter_poll(struct store *s, store_event_fn *fn, void *arg)
{
	store_cause_clear();
	int r = store_poll(next_of(s), fn, arg);
	return r < 0 ? (int)ended(s, METER_read, 0, r, "poll", 0, -1) : r;
}

static int meter_poll_fd(struct store *s)
{
	return store_poll_fd(next_of(s));
}

/* For messages about failures, so that it may fail as well without one. */
static int meter_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return store_path(next_of(s), ino, buf, size);
}

static ssize_t meter_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	return store_block_info(next_of(s), ino, first, count, ret);
}

static void meter_stats(struct store *s, struct store_stats *stats)
{
	store_stats(next_of(s), stats);
}

static void meter_close(struct store *s)
{
	struct metered *m = metered_of(s);
	store_close(m->next);
	free(m);
}

static const struct store_ops meter_ops = {
	.apply = meter_apply,
	.flush = meter_flush,
	.read = meter_read,
	.getattr = meter_getattr,
	.lookup = meter_lookup,
	.readlink = meter_readlink,
	.readdir = meter_readdir,
	.getxattr = meter_getxattr,
	.listxattr = meter_listxattr,
	.seek = meter_seek,
	.statfs = meter_statfs,
	.orphans = meter_orphans,
	.poll = meter_poll,
	.poll_fd = meter_poll_fd,
	.path = meter_path,
	.block_info = meter_block_info,
	.stats = meter_stats,
	.close = meter_close,
};

int meter_new(struct meter **ret)
{
	struct meter *m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	store_errors_init(&m->errors);
	*ret = m;
	return 0;
}

struct meter *meter_free(struct meter *m)
{
	if (m)
		store_errors_destroy(&m->errors);
	free(m);
	return NULL;
}

int meter_store_new(struct meter *m, struct store *next, struct store **ret)
{
	struct metered *s = malloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct metered){.store.ops = &meter_ops, .next = next, .meter = m};
	*ret = &s->store;
	return 0;
}
