#include "power_oracle.h"
#include "model_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define INODES_MAX 8192u

struct state {
	uint64_t digest;
	int64_t now;
	bool whole; /* no transaction is half done */
};

struct note {
	size_t position;
	size_t state;
};

/* What a failed commit would have led to; it may be there at cuts [from, to). */
struct ghost {
	size_t from;
	size_t to; /* SIZE_MAX: not settled yet */
	uint64_t digest;
};

struct oracle {
	struct store store;
	struct store *next;
	pthread_mutex_t lock; /* of all that follows */
	struct store *model;
	uint64_t inodes[INODES_MAX][2]; /* by `next` and by the model */
	size_t n_inodes;
	struct state *states;
	size_t n_states, states_room;
	struct note *notes;
	size_t n_notes, notes_room;
	struct ghost *ghosts;
	size_t n_ghosts, ghosts_room;
	size_t n_failed, n_unsettled;
	struct change *history; /* what the model was told */
	size_t n_history, history_room;
};

static struct oracle *oracle_of(struct store *s)
{
	return CONTAINER_OF(s, struct oracle, store);
}

/* Room for one more. */
static void *grow(void *p, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return p;
	*room = *room ? 2 * *room : 256;
	p = realloc(p, *room * size);
	assert_non_null(p);
	return p;
}

static void add_state(struct oracle *o, uint64_t digest, int64_t now)
{
	o->states = grow(o->states, o->n_states, &o->states_room, sizeof *o->states);
	o->states[o->n_states++] = (struct state){.digest = digest, .now = now};
}

static void add_note(struct oracle *o, size_t position, size_t state)
{
	o->notes = grow(o->notes, o->n_notes, &o->notes_room, sizeof *o->notes);
	o->notes[o->n_notes++] = (struct note){position, state};
}

static void add_ghost(struct oracle *o, size_t from, uint64_t digest)
{
	o->ghosts = grow(o->ghosts, o->n_ghosts, &o->ghosts_room, sizeof *o->ghosts);
	o->ghosts[o->n_ghosts++] = (struct ghost){from, SIZE_MAX, digest};
}

/* -- the model ------------------------------------------------------------------------------- */

static uint64_t in_model(const struct oracle *o, uint64_t ino)
{
	for (size_t i = o->n_inodes; i-- > 0;)
		if (o->inodes[i][0] == ino)
			return o->inodes[i][1];
	fail_msg("no inode %llu", (unsigned long long)ino);
	return 0;
}

/* The change as the model is to be told it. */
static struct change for_model(const struct oracle *o, const struct change *ch)
{
	struct change c = *ch;
	switch (c.kind) {
	case CHANGE_WRITE:
		c.write.ino = in_model(o, ch->write.ino);
		c.write.head = c.write.tail = NULL;
		break;
	case CHANGE_SETATTR:
		c.setattr.ino = in_model(o, ch->setattr.ino);
		break;
	case CHANGE_ALLOCATE:
		c.allocate.ino = in_model(o, ch->allocate.ino);
		break;
	case CHANGE_COPY:
		c.copy.from = in_model(o, ch->copy.from);
		c.copy.to = in_model(o, ch->copy.to);
		break;
	case CHANGE_CREATE:
		c.create.parent = in_model(o, ch->create.parent);
		break;
	case CHANGE_LINK:
		c.link.ino = in_model(o, ch->link.ino);
		c.link.parent = in_model(o, ch->link.parent);
		break;
	case CHANGE_UNLINK:
		c.unlink.parent = in_model(o, ch->unlink.parent);
		break;
	case CHANGE_RENAME:
		c.rename.parent = in_model(o, ch->rename.parent);
		c.rename.new_parent = in_model(o, ch->rename.new_parent);
		break;
	case CHANGE_SETXATTR:
		c.setxattr.ino = in_model(o, ch->setxattr.ino);
		break;
	case CHANGE_REMOVEXATTR:
		c.removexattr.ino = in_model(o, ch->removexattr.ino);
		break;
	case CHANGE_REAP:
		c.reap.ino = in_model(o, ch->reap.ino);
		break;
	}
	return c;
}

static int tell_model(struct store *model, struct change *c)
{
	int r = store_apply_one(model, c, false);
	if (c->kind == CHANGE_WRITE) {
		c->write.head = block_unref(c->write.head);
		c->write.tail = block_unref(c->write.tail);
	}
	return r;
}

static void learn(struct oracle *o, uint64_t ino, uint64_t model_ino)
{
	assert_true(o->n_inodes < INODES_MAX);
	o->inodes[o->n_inodes][0] = ino;
	o->inodes[o->n_inodes++][1] = model_ino;
}

static bool is_failure(int r)
{
	return r == -EIO || r == -ENOSPC || r == -ENOMEM || r == -EROFS;
}

/* The model does what the store has done, or refuses what that has refused. */
static void follow(struct oracle *o, const struct change *ch)
{
	if (is_failure(ch->result))
		return;
	/* A reap may take a store several changes, of which nothing can be seen. */
	if (ch->kind == CHANGE_REAP) {
		add_state(o, o->states[o->n_states - 1].digest, ch->now);
		return;
	}
	struct change c = for_model(o, ch), kept = c;
	int r = tell_model(o->model, &c);
	if (r != ch->result)
		fail_msg("a change of kind %d: %d, of the model %d", (int)c.kind, ch->result, r);
	if (r < 0)
		return;
	if (c.kind == CHANGE_CREATE)
		learn(o, ch->touched[0].ino, c.touched[0].ino);
	o->history = grow(o->history, o->n_history, &o->history_room, sizeof *o->history);
	o->history[o->n_history++] = kept;
	add_state(o, oracle_digest(o->model), ch->now);
}

/* Changes whose commit has failed, one after the other: what if they, or some of them, come back?
 */
static void foresee(struct oracle *o, size_t from, struct change *const *changes, size_t n)
{
	struct store *other = model_store_new();
	for (size_t i = 0; i < o->n_history; i++) {
		struct change c = o->history[i];
		assert_int_equal(tell_model(other, &c), 0);
	}
	for (size_t i = 0; i < n; i++) {
		struct change c = for_model(o, changes[i]);
		if (c.kind != CHANGE_REAP && tell_model(other, &c) == 0)
			add_ghost(o, from, oracle_digest(other));
	}
	store_close(other);
	o->n_failed++;
}

/* -- the store ------------------------------------------------------------------------------- */

/* Closes the windows of what was settled meanwhile. */
static void settle(struct oracle *o, size_t position)
{
	struct store_stats stats = {0};
	size_t open = 0;
	for (size_t i = 0; i < o->n_ghosts; i++)
		open += o->ghosts[i].to == SIZE_MAX;
	if (!open)
		return;
	store_stats(o->next, &stats);
	o->n_unsettled += stats.store_degraded;
	for (size_t i = 0; i < o->n_ghosts && !stats.store_degraded; i++)
		if (o->ghosts[i].to == SIZE_MAX)
			o->ghosts[i].to = position;
}

static void apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	struct oracle *o = oracle_of(s);
	size_t from = disk_position(), good = 0, failed = 0;
	store_apply(o->next, changes, n, durable);
	size_t position = disk_position();
	pthread_mutex_lock(&o->lock);
	size_t first = o->n_states;
	for (size_t i = 0; i < n; i++) {
		if (changes[i]->result < 0 && changes[i]->doubtful)
			foresee(o, from, changes + i, n - i);
		follow(o, changes[i]);
		good += changes[i]->result == 0;
		failed += is_failure(changes[i]->result);
	}
	for (size_t i = first; i < o->n_states; i++)
		o->states[i].whole = failed > 0 || i + 1 == o->n_states;
	settle(o, position);
	if (durable && good > 0)
		add_note(o, position, o->n_states - 1);
	pthread_mutex_unlock(&o->lock);
}

static int flush(struct store *s)
{
	struct oracle *o = oracle_of(s);
	size_t state = oracle_states(o) - 1;
	int r = store_flush(o->next);
	size_t position = disk_position();
	pthread_mutex_lock(&o->lock);
	settle(o, position);
	if (r == 0)
		add_note(o, position, state);
	pthread_mutex_unlock(&o->lock);
	return r;
}

static int pass_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	return store_read(oracle_of(s)->next, ino, first, count, ret);
}

static int pass_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	return store_getattr(oracle_of(s)->next, ino, ret);
}

static int pass_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	return store_lookup(oracle_of(s)->next, parent, name, len, ret);
}

static int pass_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return store_readlink(oracle_of(s)->next, ino, buf, size);
}

static int pass_readdir(struct store *s, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg)
{
	return store_readdir(oracle_of(s)->next, dir, after, with_attr, fn, arg);
}

static ssize_t pass_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	return store_getxattr(oracle_of(s)->next, ino, name, len, buf, size);
}

static int pass_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	return store_listxattr(oracle_of(s)->next, ino, fn, arg);
}

static int pass_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	return store_seek(oracle_of(s)->next, ino, offset, data, ret);
}

static int pass_statfs(struct store *s, struct store_space *ret)
{
	return store_statfs(oracle_of(s)->next, ret);
}

static int pass_orphans(struct store *s, store_ino_fn *fn, void *arg)
{
	return store_orphans(oracle_of(s)->next, fn, arg);
}

static int pass_poll(struct store *s, store_event_fn *fn, void *arg)
{
	return store_poll(oracle_of(s)->next, fn, arg);
}

static int pass_poll_fd(struct store *s)
{
	return store_poll_fd(oracle_of(s)->next);
}

static int pass_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	return store_path(oracle_of(s)->next, ino, buf, size);
}

static ssize_t pass_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	return store_block_info(oracle_of(s)->next, ino, first, count, ret);
}

static void pass_stats(struct store *s, struct store_stats *stats)
{
	store_stats(oracle_of(s)->next, stats);
}

static void close_next(struct store *s)
{
	struct oracle *o = oracle_of(s);
	o->next = store_close(o->next);
}

static const struct store_ops ops = {
	.apply = apply,
	.flush = flush,
	.read = pass_read,
	.getattr = pass_getattr,
	.lookup = pass_lookup,
	.readlink = pass_readlink,
	.readdir = pass_readdir,
	.getxattr = pass_getxattr,
	.listxattr = pass_listxattr,
	.seek = pass_seek,
	.statfs = pass_statfs,
	.orphans = pass_orphans,
	.poll = pass_poll,
	.poll_fd = pass_poll_fd,
	.path = pass_path,
	.block_info = pass_block_info,
	.stats = pass_stats,
	.close = close_next,
};

struct store *oracle_new(struct store *next, struct oracle **ret)
{
	struct oracle *o = calloc(1, sizeof *o);
	assert_non_null(o);
	o->store.ops = &ops;
	o->next = next;
	o->model = model_store_new();
	pthread_mutex_init(&o->lock, NULL);
	learn(o, STORE_ROOT_INO, STORE_ROOT_INO);
	add_state(o, oracle_digest(next), 0);
	o->states[0].whole = true;
	*ret = o;
	return &o->store;
}

void oracle_free(struct oracle *o)
{
	store_close(o->model);
	pthread_mutex_destroy(&o->lock);
	free(o->states);
	free(o->notes);
	free(o->ghosts);
	free(o->history);
	free(o);
}

/* -- what was promised ----------------------------------------------------------------------- */

size_t oracle_states(struct oracle *o)
{
	pthread_mutex_lock(&o->lock);
	size_t n = o->n_states;
	pthread_mutex_unlock(&o->lock);
	return n;
}

size_t oracle_state_of(struct oracle *o, int64_t now)
{
	size_t state = 0;
	pthread_mutex_lock(&o->lock);
	for (size_t i = o->n_states; i-- > 0 && !state;)
		if (o->states[i].now == now)
			state = i;
	pthread_mutex_unlock(&o->lock);
	return state;
}

void oracle_note(struct oracle *o, size_t position, size_t state)
{
	pthread_mutex_lock(&o->lock);
	add_note(o, position, state);
	pthread_mutex_unlock(&o->lock);
}

size_t oracle_needs(struct oracle *o, size_t cut)
{
	size_t state = 0;
	for (size_t i = 0; i < o->n_notes; i++)
		if (o->notes[i].position <= cut && o->notes[i].state > state)
			state = o->notes[i].state;
	return state;
}

bool oracle_knows(struct oracle *o, uint64_t digest, size_t cut, size_t needs, size_t *ret)
{
	for (size_t i = o->n_states; i-- > needs;)
		if (o->states[i].digest == digest && o->states[i].whole) {
			*ret = i;
			return true;
		}
	for (size_t i = 0; i < o->n_ghosts; i++)
		if (o->ghosts[i].digest == digest && o->ghosts[i].from <= cut &&
			cut < o->ghosts[i].to) {
			*ret = 0;
			return true;
		}
	return false;
}

size_t oracle_ghosts(struct oracle *o, size_t *ret_unsettled)
{
	*ret_unsettled = o->n_unsettled;
	return o->n_failed;
}
