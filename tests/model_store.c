/* The table of the model store: locks, answers from what the other files keep. */
#include "model_store.h"

#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODEL_SPACE ((uint64_t)1 << 44)
#define MODEL_INODES ((uint64_t)1 << 33)

static struct model *lock(struct store *s)
{
	struct model *m = CONTAINER_OF(s, struct model, store);

	pthread_mutex_lock(&m->lock);
	return m;
}

static struct model *lock_read(struct store *s)
{
	struct model *m = lock(s);

	m->stats.store_reads++;
	return m;
}

static void unlock(struct model *m)
{
	pthread_mutex_unlock(&m->lock);
}

static int do_change(struct model *m, struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
		return model_do_write(m, c);
	case CHANGE_SETATTR:
		return model_do_setattr(m, c);
	case CHANGE_ALLOCATE:
		return model_do_allocate(m, c);
	case CHANGE_COPY:
		return model_do_copy(m, c);
	case CHANGE_CREATE:
		return model_do_create(m, c);
	case CHANGE_LINK:
		return model_do_link(m, c);
	case CHANGE_UNLINK:
		return model_do_unlink(m, c);
	case CHANGE_RENAME:
		return model_do_rename(m, c);
	case CHANGE_SETXATTR:
		return model_do_setxattr(m, c);
	case CHANGE_REMOVEXATTR:
		return model_do_removexattr(m, c);
	case CHANGE_REAP:
		return model_do_reap(m, c);
	}
	return -EINVAL;
}

static void model_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	struct model *m = lock(s);

	for (size_t k = 0; k < n; k++) {
		struct change *c = changes[k];
		c->result = do_change(m, c);
		/* Later steps of a change may have altered what an earlier one touched. */
		for (unsigned t = 0; t < c->n_touched; t++) {
			const struct model_inode *i = model_inode(m, c->touched[t].ino);
			if (i)
				c->touched[t] = i->attr;
		}
		m->stats.store_write_requests += c->result == 0;
	}
	m->stats.store_commits++;
	m->stats.store_flushes += durable;
	unlock(m);
}

static int model_flush(struct store *s)
{
	struct model *m = lock(s);

	m->stats.store_flushes++;
	unlock(m);
	return 0;
}

static int model_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	struct model *m = lock_read(s);
	struct model_inode *i = NULL;
	int r = model_file(m, ino, &i);

	if (r == 0) {
		uint64_t end = (i->attr.size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
		ret->first = first;
		ret->attr = i->attr;
		for (uint32_t k = 0; k < count && first + k < end; k++)
			ret->blocks[ret->count++] = model_block_copy(i, first + k);
	}
	unlock(m);
	return r;
}

static int model_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	struct model *m = lock_read(s);
	const struct model_inode *i = model_inode(m, ino);

	if (i)
		*ret = i->attr;
	unlock(m);
	return i ? 0 : -ESTALE;
}

static int find(const struct model *m, uint64_t parent, const char *name, size_t len,
	struct store_attr *ret)
{
	struct model_inode *dir = NULL;
	int r = model_directory(m, parent, &dir);

	if (r < 0)
		return r;
	if (len > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	uint64_t ino = 0;
	const struct model_entry *e = model_entry_find(dir, name, len);
	if (e)
		ino = e->ino;
	else if (len == 1 && name[0] == '.')
		ino = parent;
	else if (len == 2 && name[0] == '.' && name[1] == '.')
		ino = dir->parent;
	const struct model_inode *i = model_inode(m, ino);
	if (!i)
		return -ENOENT;
	*ret = i->attr;
	return 0;
}

static int model_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	struct model *m = lock_read(s);
	int r = find(m, parent, name, len, ret);

	unlock(m);
	return r;
}

static int model_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	struct model *m = lock_read(s);
	const struct model_inode *i = model_inode(m, ino);
	int r = 0;

	if (!i)
		r = -ESTALE;
	else if (!S_ISLNK(i->attr.mode))
		r = -EINVAL;
	else if (i->attr.size >= size)
		r = -ERANGE;
	else
		memcpy(buf, i->target, i->attr.size + 1);
	unlock(m);
	return r;
}

/* An entry as a reader gets it, so that it can be handed out without the lock. */
struct listed {
	struct model_entry entry;
	struct store_attr attr;
};

static int model_readdir(struct store *s, uint64_t ino, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	struct model *m = lock_read(s);
	struct model_inode *dir = NULL;
	struct listed *list = NULL;
	size_t n = 0;
	int r = model_directory(m, ino, &dir);

	if (r == 0) {
		list = model_resize(NULL, dir->n_entries, sizeof *list);
		for (size_t k = 0; k < dir->n_entries; k++) {
			const struct model_entry *e = &dir->entries[k];
			if (e->id > after)
				list[n++] = (struct listed){*e, model_inode(m, e->ino)->attr};
		}
	}
	unlock(m);

	for (size_t k = 0; k < n; k++) {
		const struct listed *l = &list[k];
		struct store_entry e = {
			.id = l->entry.id,
			.ino = l->entry.ino,
			.type = l->attr.mode & S_IFMT,
			.name = {l->entry.name, l->entry.len},
			.attr = with_attr ? &l->attr : NULL,
		};
		if (!fn(arg, &e))
			break;
	}
	free(list);
	return r;
}

static ssize_t model_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	struct model *m = lock_read(s);
	const struct model_inode *i = model_inode(m, ino);
	const struct model_xattr *x = i ? model_xattr_find(i, name, len) : NULL;
	ssize_t r = -ENODATA;

	if (!i) {
		r = -ESTALE;
	} else if (x && size && x->size > size) {
		r = -ERANGE;
	} else if (x) {
		r = (ssize_t)x->size;
		if (size && x->size)
			memcpy(buf, x->value, x->size);
	}
	unlock(m);
	return r;
}

static int model_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	struct model *m = lock_read(s);
	const struct model_inode *i = model_inode(m, ino);

	for (size_t k = 0; i && k < i->n_xattrs; k++)
		if (!fn(arg, i->xattrs[k].name, i->xattrs[k].len))
			break;
	unlock(m);
	return i ? 0 : -ESTALE;
}

static int find_data(const struct model_inode *i, uint64_t offset, bool data, uint64_t *ret)
{
	uint64_t end = i->attr.size;
	uint64_t at = offset;

	if (offset >= end)
		return -ENXIO;
	while (at < end && !model_block_find(i, at / STORE_BLOCK_SIZE) == data) {
		/* A hole may be huge: go to the next block there is. */
		uint64_t next = end;
		for (size_t k = i->n_blocks; data && k-- > 0;)
			if (i->blocks[k].index * STORE_BLOCK_SIZE > at)
				next = i->blocks[k].index * STORE_BLOCK_SIZE;
		at = data ? next : (at / STORE_BLOCK_SIZE + 1) * STORE_BLOCK_SIZE;
	}
	if (data && at >= end)
		return -ENXIO;
	*ret = at < end ? at : end;
	return 0;
}

static int model_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	struct model *m = lock_read(s);
	struct model_inode *i = NULL;
	int r = model_file(m, ino, &i);

	if (r == 0)
		r = find_data(i, offset, data, ret);
	unlock(m);
	return r;
}

static int model_statfs(struct store *s, struct store_space *ret)
{
	struct model *m = lock_read(s);
	struct store_space space = {
		.total = MODEL_SPACE, .free = MODEL_SPACE, .inodes_max = MODEL_INODES};

	for (size_t k = 0; k < m->n_inodes; k++) {
		const struct model_inode *i = m->inodes[k];
		if (i) {
			space.inodes++;
			space.free -= i->attr.blocks * STORE_BLOCK_SIZE;
		}
	}
	*ret = space;
	unlock(m);
	return 0;
}

/* There is one mount of a model, and when it goes so does the model. */
/* It is in one process: there are no others. */
static int model_poll(struct store *s, store_event_fn *fn, void *arg)
{
	(void)s, (void)fn, (void)arg;
	return 0;
}

static int model_poll_fd(struct store *s)
{
	(void)s;
	return -1;
}

static int model_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	(void)s, (void)fn, (void)arg;
	return 0;
}

static int model_path_of(struct store *s, uint64_t ino, char *buf, size_t size)
{
	struct model *m = lock_read(s);
	int r = model_path(m, ino, buf, size);

	unlock(m);
	return r;
}

static ssize_t model_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	struct model *m = lock_read(s);
	struct model_inode *i = NULL;
	ssize_t r = model_file(m, ino, &i);

	uint64_t end = r < 0 ? 0 : (i->attr.size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	for (; r < (ssize_t)count && first < end; first++) {
		struct block *b = model_block_copy(i, first);
		ret[r++] = (struct store_block_info){.index = first, .len = b->len};
		block_unref(b);
	}
	unlock(m);
	return r;
}

static void model_stats(struct store *s, struct store_stats *stats)
{
	struct model *m = lock(s);

	stats->store_reads = m->stats.store_reads;
	stats->store_commits = m->stats.store_commits;
	stats->store_write_requests = m->stats.store_write_requests;
	stats->store_flushes = m->stats.store_flushes;
	unlock(m);
}

static void model_close(struct store *s)
{
	struct model *m = CONTAINER_OF(s, struct model, store);

	for (size_t k = 0; k < m->n_inodes; k++)
		model_inode_free(m, m->inodes[k]);
	free(m->inodes);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct store_ops model_ops = {
	.apply = model_apply,
	.flush = model_flush,
	.read = model_read,
	.getattr = model_getattr,
	.lookup = model_lookup,
	.readlink = model_readlink,
	.readdir = model_readdir,
	.getxattr = model_getxattr,
	.listxattr = model_listxattr,
	.seek = model_seek,
	.statfs = model_statfs,
	.orphans = model_orphans,
	.poll = model_poll,
	.poll_fd = model_poll_fd,
	.path = model_path_of,
	.block_info = model_block_info,
	.stats = model_stats,
	.close = model_close,
};

struct store *model_store_new(void)
{
	struct model *m = model_resize(NULL, 1, sizeof *m);

	*m = (struct model){.store.ops = &model_ops};
	pthread_mutex_init(&m->lock, NULL);
	/* Numbers start at 1, so there is no inode 0. */
	m->inodes = model_resize(NULL, STORE_ROOT_INO, sizeof(struct model_inode *));
	m->inodes[0] = NULL;
	m->n_inodes = STORE_ROOT_INO;
	struct model_inode *root = model_inode_new(m, S_IFDIR | 0755, 0);
	root->attr.nlink = 2;
	root->attr.version = 1;
	root->parent = STORE_ROOT_INO;
	return &m->store;
}
