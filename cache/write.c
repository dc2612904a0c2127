/*
 * The write path: what a change does to the cache.
 *
 *   queue (commit.c) -> announce all of the batch (guard.c) -> apply it to the store, one commit
 *   -> in commit order: update the cache -> the announcements are over -> answer
 *
 * What the store answered, and what becomes of the cache:
 *
 *   F1-F3  an errno            nothing: the store is as it was
 *   F4     an errno, doubtful  what the change was to alter is dropped
 *   -      0                   a write's blocks are put; what other changes of data altered is
 *                              dropped; the attributes of every inode touched are put
 *   F5     0, but no update    what the change altered is dropped; the caller gets -EIO and
 *                              doubtful, or 0 with drop_on_error
 *
 * Before the store has applied it, a change may not know all it will touch (the inode that a name
 * is, the place of an append). Then it is announced when that is known, before the cache is
 * updated; guard.h says why that is early enough to keep old data out of the cache.
 *
 * Others may have changed the same after our commit, and what they changed may have been dropped
 * before we put what is older now. The guard knows, and it is dropped again before it can be read.
 *
 * The TTL of what is put counts from before the commit, since others could change it from then on.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TTL_NAME "user.recordfs.ttl"

/* A change on its way. Announced: first what is known before, then each inode touched. */
struct update {
	struct change *change;
	uint64_t drops; /* how many drops of the cache there were before it was applied */
	struct guard_intent intents[2 + CHANGE_TOUCHED_MAX];
	unsigned n_intents;
};

struct write_job {
	struct commit_job job;
	struct update *updates; /* job.changes of them */
};

#define UPDATES_ON_STACK 2u

static uint64_t block_at(uint64_t offset)
{
	return offset / STORE_BLOCK_SIZE;
}

/* The blocks that [offset, offset + len) touches. */
static struct guard_range bytes_of(uint64_t ino, uint64_t offset, uint64_t len)
{
	uint64_t last = len > UINT64_MAX - offset ? UINT64_MAX : offset + len - 1;
	return (struct guard_range){ino, block_at(offset), block_at(last), true};
}

static struct guard_range from_byte(uint64_t ino, uint64_t offset)
{
	return (struct guard_range){ino, block_at(offset), BLOCKS_LAST, true};
}

static struct guard_range attr_of(uint64_t ino)
{
	return (struct guard_range){ino, 1, 0, true};
}

static bool sets_ttl(const struct change_name *name)
{
	return name->len == strlen(TTL_NAME) && memcmp(name->bytes, TTL_NAME, name->len) == 0;
}

/* An append: at the end of the file, if that is known, else anywhere. */
static struct guard_range append_range(struct cache *c, uint64_t ino)
{
	struct store_attr attr;
	bool known = cache_get_attr(c, ino, cache_now(c), &attr);
	return from_byte(ino, known ? attr.size : 0);
}

/* What the change is about, as far as it is known before it is applied. */
static struct guard_range range_of(struct cache *c, const struct change *change)
{
	switch (change->kind) {
	case CHANGE_WRITE: {
		const struct change_write *w = &change->write;
		return w->append ? append_range(c, w->ino) : bytes_of(w->ino, w->offset, w->len);
	}
	case CHANGE_SETATTR:
		if (change->setattr.mask & STORE_SET_SIZE)
			return from_byte(change->setattr.ino, change->setattr.size);
		return attr_of(change->setattr.ino);
	case CHANGE_ALLOCATE:
		return bytes_of(
			change->allocate.ino, change->allocate.offset, change->allocate.len);
	case CHANGE_COPY:
		return bytes_of(change->copy.to, change->copy.to_offset, change->copy.len);
	case CHANGE_SETXATTR:
		if (sets_ttl(&change->setxattr.name))
			return from_byte(change->setxattr.ino, 0);
		return attr_of(change->setxattr.ino);
	case CHANGE_REMOVEXATTR:
		if (sets_ttl(&change->removexattr.name))
			return from_byte(change->removexattr.ino, 0);
		return attr_of(change->removexattr.ino);
	case CHANGE_REAP:
		return from_byte(change->reap.ino, 0);
	case CHANGE_CREATE:
		return attr_of(change->create.parent);
	case CHANGE_LINK:
		return attr_of(change->link.ino);
	case CHANGE_UNLINK:
		return attr_of(change->unlink.parent);
	case CHANGE_RENAME:
		return attr_of(change->rename.parent);
	}
	return attr_of(0);
}

/* Does the change alter an inode whose number only the store knows? When its outcome is in doubt,
 * dropping what is known is not enough. */
static bool is_by_name(const struct change *change)
{
	return change->kind == CHANGE_CREATE || change->kind == CHANGE_UNLINK ||
	       change->kind == CHANGE_RENAME;
}

static void announce(struct cache *c, struct update *u, struct guard_range range)
{
	struct guard_intent *intent = &u->intents[u->n_intents++];
	intent->range = range;
	guard_begin(c->guard, intent);
}

/* Of what the store has done already. */
static void announce_late(struct cache *c, struct update *u, struct guard_range range)
{
	struct guard_intent *intent = &u->intents[u->n_intents++];
	intent->range = range;
	guard_begin_late(c->guard, intent, u->drops);
}

static void announce_known(struct cache *c, struct update *u)
{
	const struct change *change = u->change;
	u->n_intents = 0;
	u->drops = guard_drops(c->guard);
	announce(c, u, range_of(c, change));
	if (change->kind == CHANGE_LINK)
		announce(c, u, attr_of(change->link.parent));
	else if (change->kind == CHANGE_RENAME)
		announce(c, u, attr_of(change->rename.new_parent));
}

static void announce_touched(struct cache *c, struct update *u)
{
	for (unsigned i = 0; i < u->change->n_touched; i++)
		announce_late(c, u, attr_of(u->change->touched[i].ino));
}

static void drop(struct cache *c, const struct guard_range *range)
{
	if (range->first <= range->last)
		blocks_drop(c->blocks, range->ino, range->first, range->last);
}

static void drop_with_attr(struct cache *c, const struct guard_range *range)
{
	drop(c, range);
	cache_tell_attr(c, range->ino);
}

static void announce_over(struct cache *c, struct update *u)
{
	for (unsigned i = 0; i < u->n_intents; i++)
		while (!guard_end(c->guard, &u->intents[i]))
			drop_with_attr(c, &u->intents[i].range);
}

/* All that the change can have altered, with the attributes. */
static void drop_altered(struct cache *c, const struct update *u)
{
	for (unsigned i = 0; i < u->n_intents; i++)
		drop_with_attr(c, &u->intents[i].range);
}

/* Does the write cover all of block `index`? */
static bool is_whole(const struct change_write *w, uint64_t index)
{
	return index * STORE_BLOCK_SIZE >= w->offset &&
	       (index + 1) * STORE_BLOCK_SIZE <= w->offset + w->len;
}

/* Block `index` of the file after the write; NULL for a whole one: no memory; for another one: the
 * store did not say. */
static struct block *written_block(const struct change_write *w, uint64_t index)
{
	if (!is_whole(w, index)) {
		struct block *b = index == block_at(w->offset) ? w->head : w->tail;
		return b ? block_ref(b) : NULL;
	}
	struct block *b = block_new(STORE_BLOCK_SIZE);
	if (b)
		memcpy(b->data,
			(const unsigned char *)w->data + (index * STORE_BLOCK_SIZE - w->offset),
			STORE_BLOCK_SIZE);
	return b;
}

/* Puts a write's blocks, a few at a time. -ENOMEM: not all of them are in the cache. */
static int put_written(struct cache *c, const struct change_write *w, int64_t now, int64_t ttl)
{
	uint64_t last = block_at(w->offset + w->len - 1);
	struct block *some[64];
	int r = 0;
	for (uint64_t at = block_at(w->offset); at <= last && r == 0;) {
		unsigned n = 0;
		for (; n < ARRAY_LEN(some) && at + n <= last; n++) {
			some[n] = written_block(w, at + n);
			if (!some[n] && is_whole(w, at + n))
				r = -ENOMEM;
		}
		int put = blocks_put(c->blocks, w->ino, at, n, some, now, ttl);
		r = r < 0 ? r : put;
		for (unsigned i = 0; i < n; i++)
			block_unref(some[i]);
		at += n;
	}
	return r;
}

static int update_data(struct cache *c, const struct update *u, int64_t now)
{
	const struct change *change = u->change;
	if (c->cfg.update_fault) {
		int r = c->cfg.update_fault(c->cfg.update_fault_arg);
		if (r < 0)
			return r;
	}
	if (change->kind != CHANGE_WRITE) {
		drop(c, &u->intents[0].range);
		return 0;
	}
	const struct store_attr *attr = change_touched(change, change->write.ino);
	if (!attr)
		return -EIO; /* not told of the file: the cache cannot know what is true */
	const struct change_write *w = &change->write;
	const struct guard_range written = bytes_of(w->ino, w->offset, w->len);
	int64_t ttl = cache_ttl(c, attr);
	int r = put_written(c, w, now, ttl);
	if (cache_ttl(c, attr) < ttl) /* perhaps put after what was there was aged: tune.c */
		drop(c, &written);
	return r;
}

/* Row F5 of the table: committed, but the cache could not be told. */
static void fail_update(struct cache *c, struct update *u)
{
	struct change *change = u->change;
	atomic_fetch_add(&c->update_failures, 1);
	drop_altered(c, u);
	if (atomic_load(&c->drop_on_error))
		return;
	if (change->kind == CHANGE_WRITE) {
		change->write.head = block_unref(change->write.head);
		change->write.tail = block_unref(change->write.tail);
	}
	change->result = -EIO;
	change->doubtful = true;
	change->n_touched = 0;
}

static void put_attrs(struct cache *c, const struct update *u, int64_t now)
{
	const struct change *change = u->change;
	for (unsigned i = 0; i < change->n_touched; i++) {
		const struct store_attr *attr = &change->touched[i];
		if (change->kind == CHANGE_REAP && attr->nlink == 0)
			blocks_drop(c->blocks, attr->ino, 0, BLOCKS_ATTR);
		else
			cache_put_attr(c, attr, now);
	}
}

/* A version that has moved by more than this change: others have altered the inode as well, though
 * nobody may have been told yet. Its old blocks are not read together with the new ones. */
static void drop_outdated(struct cache *c, const struct change *change, int64_t now)
{
	for (unsigned i = 0; i < change->n_touched; i++) {
		const struct store_attr *attr = &change->touched[i];
		uint64_t known = cache_version(c, attr->ino, now);
		if (known == 0 || (known != CACHE_ANY_VERSION && attr->version > known + 1))
			blocks_drop(c->blocks, attr->ino, 0, BLOCKS_LAST);
	}
}

static void update_cache(struct cache *c, struct update *u, int64_t now)
{
	struct change *change = u->change;
	if (change->result < 0) {
		if (change->doubtful)
			drop_altered(c, u);
		if (change->doubtful && is_by_name(change))
			cache_drop_all(c);
		return;
	}
	if (change->kind == CHANGE_WRITE && change->write.append)
		announce_late(
			c, u, bytes_of(change->write.ino, change->write.offset, change->write.len));
	announce_touched(c, u);
	drop_outdated(c, change, now);
	if (!change_is_data(change)) {
		drop(c, &u->intents[0].range); /* a new TTL, a deleted inode; else it is empty */
	} else if (update_data(c, u, now) < 0) {
		fail_update(c, u);
		return;
	}
	put_attrs(c, u, now);
}

/* Is the batch to be flushed, of which somebody has asked it or not? */
static bool needs_flush(enum cache_sync sync, struct change *const *changes, size_t n, bool asked)
{
	bool data = false;
	for (size_t i = 0; i < n; i++)
		data |= change_is_data(changes[i]);
	return sync != CACHE_SYNC_DISABLED && (asked || (data && sync == CACHE_SYNC_ALWAYS));
}

void cache_commit(void *arg, struct commit_job *first, bool durable)
{
	struct cache *c = arg;
	struct change *changes[STORE_BATCH_MAX];
	struct update *updates[STORE_BATCH_MAX];
	size_t n = 0, committed = 0;

	for (struct commit_job *job = first; job; job = job->next) {
		struct update *of_job = CONTAINER_OF(job, struct write_job, job)->updates;
		for (size_t i = 0; i < job->changes; i++, n++) {
			updates[n] = &of_job[i];
			changes[n] = of_job[i].change;
			announce_known(c, updates[n]);
		}
	}
	if (n == 0)
		return; /* who only waited for the batch before */
	int64_t now = cache_now(c);
	durable = needs_flush(cache_sync(c), changes, n, durable);
	store_apply(c->next, changes, n, durable);
	for (size_t i = 0; i < n; i++)
		committed += changes[i]->result == 0;
	if (committed > 0)
		flusher_committed(&c->flusher, durable);
	for (size_t i = 0; i < n; i++)
		update_cache(c, updates[i], now);
	for (size_t i = 0; i < n; i++)
		announce_over(c, updates[i]);
}

static uint64_t data_bytes(const struct change *change)
{
	if (change->kind == CHANGE_WRITE)
		return change->write.len;
	return change->kind == CHANGE_COPY ? change->copy.len : 0;
}

static void refuse(struct change *const *changes, size_t n, int r)
{
	for (size_t i = 0; i < n; i++) {
		struct change *change = changes[i];
		change->result = r;
		change->doubtful = false;
		change->n_touched = 0;
		if (change->kind == CHANGE_WRITE)
			change->write.head = change->write.tail = NULL;
	}
}

void cache_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	struct cache *c = cache_of(s);
	struct update few[UPDATES_ON_STACK], *updates = few;
	if (n > ARRAY_LEN(few)) {
		updates = calloc(n, sizeof *updates);
		if (!updates) {
			refuse(changes, n, -ENOMEM);
			return;
		}
	}
	struct write_job w = {
		.job = {.changes = n, .durable = durable},
		.updates = updates,
	};
	for (size_t i = 0; i < n; i++) {
		updates[i].change = changes[i];
		w.job.bytes += data_bytes(changes[i]);
	}
	cache_before_blocking(c);
	commit_run(&c->commit, &w.job);
	if (updates != few)
		free(updates);
}

void cache_await_commits(struct cache *c)
{
	struct write_job nothing = {.job = {.changes = 0}};
	commit_run(&c->commit, &nothing.job);
}
