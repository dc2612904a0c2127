#include "script_store.h"

#include <string.h>

static struct script *script_of(struct store *s)
{
	return CONTAINER_OF(s, struct script, store);
}

/* Counts the call, and runs its hook. */
static int begin(struct script *s, enum script_op op)
{
	atomic_fetch_add(&s->calls[op], 1);
	int (*before)(struct script *) = s->before[op];
	return before ? before(s) : 0;
}

static void end(struct script *s, enum script_op op)
{
	if (s->after[op])
		s->after[op](s);
}

static void refuse(struct script *s, struct change *const *changes, size_t n, int r)
{
	for (size_t i = 0; i < n; i++) {
		changes[i]->result = r;
		changes[i]->doubtful = s->doubtful;
	}
}

static void apply(struct store *store, struct change *const *changes, size_t n, bool durable)
{
	struct script *s = script_of(store);
	s->n_changes = n;
	s->durable = durable;
	int r = begin(s, SCRIPT_APPLY);
	if (r == 0)
		r = s->refuse;
	if (r < 0) {
		refuse(s, changes, n, r);
		return;
	}
	store_apply(s->next, changes, n, durable);
	for (size_t i = 0; i < n && s->hide_edges; i++) {
		if (changes[i]->kind != CHANGE_WRITE)
			continue;
		changes[i]->write.head = block_unref(changes[i]->write.head);
		changes[i]->write.tail = block_unref(changes[i]->write.tail);
	}
	end(s, SCRIPT_APPLY);
}

static int flush(struct store *store)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_FLUSH);
	if (r == 0)
		r = store_flush(s->next);
	end(s, SCRIPT_FLUSH);
	return r;
}

static int read_blocks(
	struct store *store, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	struct script *s = script_of(store);
	s->first = first;
	s->count = count;
	int r = begin(s, SCRIPT_READ);
	if (r < 0)
		return r;
	uint32_t before = first < s->slack ? (uint32_t)first : s->slack;
	count += before + s->slack;
	r = store_read(
		s->next, ino, first - before, count > STORE_READ_MAX ? STORE_READ_MAX : count, ret);
	end(s, SCRIPT_READ);
	return r;
}

static int getattr(struct store *store, uint64_t ino, struct store_attr *ret)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_GETATTR);
	if (r == 0)
		r = store_getattr(s->next, ino, ret);
	end(s, SCRIPT_GETATTR);
	return r;
}

static int lookup(
	struct store *store, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_LOOKUP);
	if (r == 0)
		r = store_lookup(s->next, parent, name, len, ret);
	end(s, SCRIPT_LOOKUP);
	return r;
}

static int readlink_target(struct store *store, uint64_t ino, char *buf, size_t size)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_readlink(s->next, ino, buf, size);
}

static int readdir_entries(struct store *store, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_readdir(s->next, dir, after, with_attr, fn, arg);
}

static ssize_t getxattr_value(
	struct store *store, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_getxattr(s->next, ino, name, len, buf, size);
}

static int listxattr_names(struct store *store, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_listxattr(s->next, ino, fn, arg);
}

static int seek(struct store *store, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_seek(s->next, ino, offset, data, ret);
}

static int statfs_space(struct store *store, struct store_space *ret)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_statfs(s->next, ret);
}

static int poll_events(struct store *store, store_event_fn *fn, void *arg)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	size_t n = s->n_events;
	s->n_events = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		s->answered = fn(arg, &s->events[i]);
	return r < 0 ? r : (int)n;
}

static int poll_fd(struct store *store)
{
	return store_poll_fd(script_of(store)->next);
}

static int orphans(struct store *store, store_ino_fn *fn, void *arg)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_orphans(s->next, fn, arg);
}

static int path_of(struct store *store, uint64_t ino, char *buf, size_t size)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_path(s->next, ino, buf, size);
}

static ssize_t block_info(struct store *store, uint64_t ino, uint64_t first, uint32_t count,
	struct store_block_info *ret)
{
	struct script *s = script_of(store);
	int r = begin(s, SCRIPT_OTHER);
	return r < 0 ? r : store_block_info(s->next, ino, first, count, ret);
}

static void stats(struct store *store, struct store_stats *ret)
{
	store_stats(script_of(store)->next, ret);
}

static void close_next(struct store *store)
{
	struct script *s = script_of(store);
	s->next = store_close(s->next);
}

static const struct store_ops ops = {
	.apply = apply,
	.flush = flush,
	.read = read_blocks,
	.getattr = getattr,
	.lookup = lookup,
	.readlink = readlink_target,
	.readdir = readdir_entries,
	.getxattr = getxattr_value,
	.listxattr = listxattr_names,
	.seek = seek,
	.statfs = statfs_space,
	.orphans = orphans,
	.poll = poll_events,
	.poll_fd = poll_fd,
	.path = path_of,
	.block_info = block_info,
	.stats = stats,
	.close = close_next,
};

void script_init(struct script *s, struct store *next)
{
	memset(s, 0, sizeof *s);
	s->store.ops = &ops;
	s->next = next;
}
