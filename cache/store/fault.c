#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* All but the counter constant after creation; the plan has a lock of its own. */
struct fault {
	struct store store;
	struct store *next;
	struct fault_spec *spec;
	_Atomic uint64_t failures; /* of the store, as the layer above sees them */
};

static struct fault *fault_of(struct store *s)
{
	return CONTAINER_OF(s, struct fault, store);
}

static struct store *next_of(struct store *s)
{
	return fault_of(s)->next;
}

static int pass(struct fault *f, enum fault_point point)
{
	int r = fault_spec_pass(f->spec, point);

	if (r < 0)
		atomic_fetch_add(&f->failures, 1);
	return r;
}

static int pass_commit(struct fault *f, bool durable)
{
	int r = pass(f, FAULT_COMMIT);

	if (r == 0 && durable)
		r = pass(f, FAULT_FLUSH);
	return r;
}

static void fault_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	struct fault *f = fault_of(s);
	struct change *left[STORE_BATCH_MAX];
	size_t n_left = 0, n_reaps = 0;

	for (size_t i = 0; i < n; i++) {
		struct change *c = changes[i];
		bool reap = c->kind == CHANGE_REAP;
		c->result = reap ? 0 : pass(f, FAULT_WRITE);
		if (c->result == 0) {
			left[n_left++] = c;
			n_reaps += reap;
		}
	}
	if (n_left == 0)
		return;
	int r = n_reaps < n_left ? pass_commit(f, durable) : 0;
	if (r == 0) {
		store_apply(f->next, left, n_left, durable);
		return;
	}
	for (size_t i = 0; i < n_left; i++) {
		left[i]->result = r;
		left[i]->doubtful = true;
	}
}

static int fault_flush(struct store *s)
{
	int r = pass(fault_of(s), FAULT_FLUSH);

	return r < 0 ? r : store_flush(next_of(s));
}

static int fault_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	int r = pass(fault_of(s), FAULT_READ);

	return r < 0 ? r : store_read(next_of(s), ino, first, count, ret);
}

static int fault_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	return store_getattr(next_of(s), ino, ret);
}

static int fault_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	return store_lookup(next_of(s), parent, name, len, ret);
}

static int fault_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return store_readlink(next_of(s), ino, buf, size);
}

static int fault_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	return store_readdir(next_of(s), dir, after, with_attr, fn, arg);
}

static ssize_t fault_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	return store_getxattr(next_of(s), ino, name, len, buf, size);
}

static int fault_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	return store_listxattr(next_of(s), ino, fn, arg);
}

static int fault_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	return store_seek(next_of(s), ino, offset, data, ret);
}

static int fault_statfs(struct store *s, struct store_space *ret)
{
	return store_statfs(next_of(s), ret);
}

static int fault_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	return store_orphans(next_of(s), fn, arg);
}

static int fault_poll(struct store *s, store_event_fn *fn, void *arg)
{
	return store_poll(next_of(s), fn, arg);
}

static int fault_poll_fd(struct store *s)
{
	return store_poll_fd(next_of(s));
}

static int fault_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return store_path(next_of(s), ino, buf, size);
}

static ssize_t fault_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	return store_block_info(next_of(s), ino, first, count, ret);
}

static void fault_stats(struct store *s, struct store_stats *stats)
{
	store_stats(next_of(s), stats);
	stats->faults_on = 1;
	stats->faults_injected = fault_hits(s);
	stats->store_failures += atomic_load(&fault_of(s)->failures);
}

static void fault_close(struct store *s)
{
	struct fault *f = fault_of(s);

	store_close(f->next);
	fault_spec_free(f->spec);
	free(f);
}

static const struct store_ops fault_ops = {
	.apply = fault_apply,
	.flush = fault_flush,
	.read = fault_read,
	.getattr = fault_getattr,
	.lookup = fault_lookup,
	.readlink = fault_readlink,
	.readdir = fault_readdir,
	.getxattr = fault_getxattr,
	.listxattr = fault_listxattr,
	.seek = fault_seek,
	.statfs = fault_statfs,
	.orphans = fault_orphans,
	.poll = fault_poll,
	.poll_fd = fault_poll_fd,
	.path = fault_path,
	.block_info = fault_block_info,
	.stats = fault_stats,
	.close = fault_close,
};

int fault_store_new(struct fault_spec *spec, struct store *next, struct store **ret)
{
	struct fault *f = malloc(sizeof *f);

	if (!f)
		return -ENOMEM;
	*f = (struct fault){.store.ops = &fault_ops, .next = next, .spec = spec};
	*ret = &f->store;
	return 0;
}

int fault_open(struct fault_spec *spec)
{
	return fault_spec_pass(spec, FAULT_OPEN);
}

int fault_cache_update(void *fault_store)
{
	return fault_spec_pass(fault_of(fault_store)->spec, FAULT_CACHE);
}

uint64_t fault_hits(struct store *fault_store)
{
	return fault_spec_hits(fault_of(fault_store)->spec);
}
