/*
 * States of a block in the cache, and what the fields mean in each:
 *
 *   state    entry   queue   expires      ghost    shard_get()
 *   absent   no      -       -            maybe    NULL
 *   fresh    yes     small   > now        no care  the block; uses + 1, at most USES_MAX
 *                    main
 *   expired  yes     small   <= now       no care  NULL, and it becomes absent
 *                    main
 *
 *   absent -> fresh    shard_put(): into small, or into main if its ghost is there (it was evicted
 *                      lately, or expired while in main)
 *   fresh -> fresh     shard_put() of newer contents: keeps its place, counts as a use
 *   fresh -> expired   by itself
 *   any -> absent      shard_drop(); eviction; shard_get() when expired; no memory for newer
 * contents
 *
 * Eviction: while small has more than a tenth of the limit (or main is empty) the tail of small
 * goes: to main when it was used at least twice since it came, else it is evicted and leaves a
 * ghost. Otherwise the tail of main goes: back to the head with one use less when it has uses
 * left, else it is evicted. Before all that, a tail that is expired is evicted, whatever its uses.
 *
 * Invariants (shard_check):
 *   - an entry is in exactly one bucket (that of its hash), one chain (that of its inode) and one
 *     queue; the counts and bytes of all of them are right;
 *   - a chain exists exactly while its inode has entries;
 *   - bytes <= limit, unless nothing is cached (then the tables alone may exceed a tiny limit);
 *   - an expired entry takes memory but is never given out.
 */
#include "shard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define USES_MAX 3u
#define USES_PROMOTE 2u
#define SMALL_SHARE 10u	    /* small has limit / SMALL_SHARE */
#define BUCKETS_MIN 16u	    /* of a new shard's tables, which grow as they fill */
#define ROTATIONS_MAX 1024u /* entries that one eviction may send round main */

struct entry {
	struct entry *bucket_next;
	struct entry *queue_prev, *queue_next; /* towards head, towards tail */
	struct entry *chain_prev, *chain_next;
	struct block *block;
	uint64_t ino;
	uint64_t index;
	int64_t expires;
	uint32_t cost; /* bytes that it and its block take */
	uint8_t uses;
	bool in_main;
};

/* The entries of one inode. */
struct chain {
	struct chain *bucket_next;
	struct entry *first;
	uint64_t ino;
	size_t n;
};

/* What an allocation really takes from the heap (glibc: 8 bytes more, in steps of 16). */
static uint32_t heap_cost(size_t size)
{
	size_t n = (size + 8 + 15) & ~(size_t)15;
	return n < 32 ? 32 : (uint32_t)n;
}

static uint32_t entry_cost(const struct block *block)
{
	return heap_cost(sizeof(struct entry)) + heap_cost(sizeof *block + block->len);
}

static uint64_t hash_key(uint64_t ino, uint64_t index)
{
	const uint64_t key[2] = {ino, index};
	return XXH3_64bits(key, sizeof key);
}

static uint64_t hash_ino(uint64_t ino)
{
	return XXH3_64bits(&ino, sizeof ino);
}

static bool is_data(uint64_t index)
{
	return index != BLOCKS_ATTR;
}

/* Queues */

static struct queue *queue_of(struct shard *s, const struct entry *e)
{
	return e->in_main ? &s->main : &s->small;
}

static void queue_push(struct shard *s, struct entry *e)
{
	struct queue *q = queue_of(s, e);
	e->queue_prev = NULL;
	e->queue_next = q->head;
	if (q->head)
		q->head->queue_prev = e;
	else
		q->tail = e;
	q->head = e;
	q->bytes += e->cost;
}

static void queue_remove(struct shard *s, struct entry *e)
{
	struct queue *q = queue_of(s, e);
	*(e->queue_prev ? &e->queue_prev->queue_next : &q->head) = e->queue_next;
	*(e->queue_next ? &e->queue_next->queue_prev : &q->tail) = e->queue_prev;
	q->bytes -= e->cost;
}

/* Chains: the entries of an inode */

static struct chain **chain_slot(const struct shard *s, uint64_t ino)
{
	struct chain **p = &s->chains[hash_ino(ino) & (s->n_chain_buckets - 1)];
	while (*p && (*p)->ino != ino)
		p = &(*p)->bucket_next;
	return p;
}

static void grow_chains(struct shard *s)
{
	size_t n = s->n_chain_buckets * 2;
	struct chain **table = calloc(n, sizeof(struct chain *));
	if (!table)
		return; /* longer lists, nothing worse */
	for (size_t i = 0; i < s->n_chain_buckets; i++) {
		for (struct chain *c = s->chains[i], *next; c; c = next) {
			struct chain **p = &table[hash_ino(c->ino) & (n - 1)];
			next = c->bucket_next;
			c->bucket_next = *p;
			*p = c;
		}
	}
	free(s->chains);
	s->chains = table;
	s->bytes += (n - s->n_chain_buckets) * sizeof(struct chain *);
	s->n_chain_buckets = n;
}

static int chain_add(struct shard *s, struct entry *e)
{
	if (s->n_chains >= s->n_chain_buckets)
		grow_chains(s);
	struct chain **slot = chain_slot(s, e->ino);
	if (!*slot) {
		struct chain *new = calloc(1, sizeof *new);
		if (!new)
			return -ENOMEM;
		new->ino = e->ino;
		*slot = new;
		s->n_chains++;
		s->bytes += heap_cost(sizeof *new);
	}
	struct chain *c = *slot;
	e->chain_prev = NULL;
	e->chain_next = c->first;
	if (c->first)
		c->first->chain_prev = e;
	c->first = e;
	c->n++;
	return 0;
}

static void chain_remove(struct shard *s, struct entry *e)
{
	struct chain **slot = chain_slot(s, e->ino);
	struct chain *c = *slot;
	*(e->chain_prev ? &e->chain_prev->chain_next : &c->first) = e->chain_next;
	if (e->chain_next)
		e->chain_next->chain_prev = e->chain_prev;
	if (--c->n > 0)
		return;
	*slot = c->bucket_next;
	s->n_chains--;
	s->bytes -= heap_cost(sizeof *c);
	free(c);
}

/* Entries */

static struct entry **entry_slot(const struct shard *s, uint64_t ino, uint64_t index)
{
	struct entry **p = &s->entries[hash_key(ino, index) & (s->n_buckets - 1)];
	while (*p && ((*p)->ino != ino || (*p)->index != index))
		p = &(*p)->bucket_next;
	return p;
}

static void grow_entries(struct shard *s)
{
	size_t n = s->n_buckets * 2;
	assert(n > 0);
	struct entry **table = calloc(n, sizeof(struct entry *));
	if (!table)
		return;
	for (size_t i = 0; i < s->n_buckets; i++) {
		for (struct entry *e = s->entries[i], *next; e; e = next) {
			struct entry **p = &table[hash_key(e->ino, e->index) & (n - 1)];
			next = e->bucket_next;
			e->bucket_next = *p;
			*p = e;
		}
	}
	free(s->entries);
	s->entries = table;
	s->bytes += (n - s->n_buckets) * sizeof(struct entry *);
	s->n_buckets = n;
}

static void entry_remove(struct shard *s, struct entry *e)
{
	*entry_slot(s, e->ino, e->index) = e->bucket_next;
	queue_remove(s, e);
	chain_remove(s, e);
	s->n_entries--;
	s->bytes -= e->cost;
	if (is_data(e->index))
		s->blocks--;
	block_unref(e->block);
	free(e);
}

static void use(struct entry *e)
{
	if (e->uses < USES_MAX)
		e->uses++;
}

/* Eviction */

static void evict(struct shard *s, struct entry *e)
{
	if (is_data(e->index))
		s->evictions++;
	entry_remove(s, e);
}

static bool is_expired(const struct shard *s, const struct entry *e)
{
	return e->expires <= s->now;
}

/* Makes some room: evicts one entry. There must be one. */
static void evict_one(struct shard *s)
{
	struct entry *const tails[] = {s->small.tail, s->main.tail};
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		if (tails[i] && is_expired(s, tails[i])) {
			evict(s, tails[i]);
			return;
		}
	}
	while (s->small.tail && (s->small.bytes > s->limit / SMALL_SHARE || !s->main.tail)) {
		struct entry *e = s->small.tail;
		if (e->uses < USES_PROMOTE) {
			ghost_add(&s->ghost, hash_key(e->ino, e->index));
			evict(s, e);
			return;
		}
		queue_remove(s, e);
		e->in_main = true;
		e->uses = 0;
		queue_push(s, e);
	}
	assert(s->main.tail);
	for (unsigned i = 0; s->main.tail->uses > 0 && i < ROTATIONS_MAX; i++) {
		struct entry *e = s->main.tail;
		queue_remove(s, e);
		e->uses--;
		queue_push(s, e);
	}
	evict(s, s->main.tail);
}

static void make_room(struct shard *s, uint64_t bytes)
{
	while (s->n_entries > 0 && s->bytes + bytes > s->limit)
		evict_one(s);
}

static int entry_add(
	struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t expires)
{
	uint64_t cost = entry_cost(block);
	make_room(s, cost + heap_cost(sizeof(struct chain)));
	if (s->bytes + cost + heap_cost(sizeof(struct chain)) > s->limit)
		return 0; /* too small a cache: it caches nothing */
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return -ENOMEM;
	*e = (struct entry){.ino = ino, .index = index, .expires = expires, .cost = (uint32_t)cost};
	if (chain_add(s, e) < 0) {
		free(e);
		return -ENOMEM;
	}
	if (s->n_entries >= s->n_buckets)
		grow_entries(s);
	struct entry **bucket = &s->entries[hash_key(ino, index) & (s->n_buckets - 1)];
	e->bucket_next = *bucket;
	*bucket = e;
	e->block = block_ref(block);
	e->in_main = ghost_take(&s->ghost, hash_key(ino, index));
	queue_push(s, e);
	s->n_entries++;
	s->bytes += cost;
	if (is_data(index))
		s->blocks++;
	make_room(s, 0); /* the tables may have grown */
	return 0;
}

/* Newer contents for an entry that is there. */
static void entry_replace(struct shard *s, struct entry *e, struct block *block, int64_t expires)
{
	uint64_t cost = entry_cost(block);
	struct queue *q = queue_of(s, e);
	q->bytes = q->bytes - e->cost + cost;
	s->bytes = s->bytes - e->cost + cost;
	e->cost = (uint32_t)cost;
	block_ref(block);
	block_unref(e->block);
	e->block = block;
	e->expires = expires;
	use(e);
	make_room(s, 0);
}

static void tell_time(struct shard *s, int64_t now)
{
	if (s->now < now)
		s->now = now;
}

int shard_put(struct shard *s, uint64_t ino, uint64_t index, struct block *block, int64_t now,
	int64_t expires)
{
	tell_time(s, now);
	struct entry *e = *entry_slot(s, ino, index);
	if (!e)
		return entry_add(s, ino, index, block, expires);
	entry_replace(s, e, block, expires);
	return 0;
}

struct block *shard_get(
	struct shard *s, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_expires)
{
	struct entry *e = *entry_slot(s, ino, index);
	tell_time(s, now);
	if (!e)
		return NULL;
	if (e->expires <= now) {
		if (is_data(index))
			s->expired++;
		if (e->in_main) /* it was in use: it need not prove that again */
			ghost_add(&s->ghost, hash_key(ino, index));
		entry_remove(s, e);
		return NULL;
	}
	use(e);
	*ret_expires = e->expires;
	return block_ref(e->block);
}

bool shard_peek(
	const struct shard *s, uint64_t ino, uint64_t index, int64_t now, int64_t *ret_ttl_left)
{
	const struct entry *e = *entry_slot(s, ino, index);
	if (!e || e->expires <= now)
		return false;
	*ret_ttl_left = e->expires - now;
	return true;
}

static void drop(struct shard *s, struct entry *e)
{
	if (is_data(e->index))
		s->invalidations++;
	entry_remove(s, e);
}

void shard_drop(struct shard *s, uint64_t ino, uint64_t first, uint64_t last)
{
	struct chain *c = *chain_slot(s, ino);
	if (!c)
		return;
	if (last - first < c->n) {
		for (uint64_t index = first;; index++) {
			struct entry *e = *entry_slot(s, ino, index);
			if (e)
				drop(s, e);
			if (index == last)
				return;
		}
	}
	for (struct entry *e = c->first, *next; e; e = next) {
		next = e->chain_next; /* the chain goes with its last entry */
		if (e->index >= first && e->index <= last)
			drop(s, e);
	}
}

void shard_drop_all(struct shard *s)
{
	while (s->small.tail)
		drop(s, s->small.tail);
	while (s->main.tail)
		drop(s, s->main.tail);
	ghost_clear(&s->ghost);
}

/* Those of the smallest size are a constant, and so not counted. */
static uint64_t table_bytes(const struct shard *s)
{
	return (s->n_buckets - BUCKETS_MIN) * sizeof(struct entry *) +
	       (s->n_chain_buckets - BUCKETS_MIN) * sizeof(struct chain *) + ghost_bytes(&s->ghost);
}

int shard_init(struct shard *s, uint64_t limit)
{
	*s = (struct shard){.limit = limit, .now = INT64_MIN};
	s->n_buckets = s->n_chain_buckets = BUCKETS_MIN;
	s->entries = calloc(s->n_buckets, sizeof(struct entry *));
	s->chains = calloc(s->n_chain_buckets, sizeof(struct chain *));
	/* As many ghosts as main can have whole blocks, as the paper has it. */
	uint64_t whole = heap_cost(sizeof(struct entry)) +
			 heap_cost(sizeof(struct block) + STORE_BLOCK_SIZE);
	if (!s->entries || !s->chains ||
		ghost_init(&s->ghost, (size_t)((limit - limit / SMALL_SHARE) / whole)) < 0) {
		shard_destroy(s);
		return -ENOMEM;
	}
	s->bytes = table_bytes(s);
	return 0;
}

void shard_destroy(struct shard *s)
{
	if (s->ghost.slots)
		shard_drop_all(s);
	ghost_destroy(&s->ghost);
	free(s->entries);
	free(s->chains);
	s->entries = NULL;
	s->chains = NULL;
}

/* The executable copy of the table above */

static const char *check_queue(const struct queue *q, bool main, size_t *ret_n, uint64_t *ret_bytes)
{
	const struct entry *newer = NULL;
	uint64_t bytes = 0;
	for (const struct entry *e = q->head; e; newer = e, e = e->queue_next) {
		if (e->queue_prev != newer)
			return "a queue's links agree";
		if (e->in_main != main)
			return "an entry is in the queue that it says";
		if (e->uses > USES_MAX)
			return "uses are bounded";
		if (!e->block || e->cost != entry_cost(e->block))
			return "an entry's cost is that of its block";
		bytes += e->cost;
		++*ret_n;
	}
	if (q->tail != newer)
		return "a queue's tail is its last";
	if (bytes != q->bytes)
		return "a queue's bytes are those of its entries";
	*ret_bytes += bytes;
	return NULL;
}

static const char *check_chains(const struct shard *s, size_t *ret_entries)
{
	size_t n_chains = 0;
	for (size_t i = 0; i < s->n_chain_buckets; i++) {
		for (const struct chain *c = s->chains[i]; c; c = c->bucket_next) {
			const struct entry *before = NULL;
			size_t n = 0;
			if ((hash_ino(c->ino) & (s->n_chain_buckets - 1)) != i)
				return "a chain is in its bucket";
			for (const struct entry *e = c->first; e; before = e, e = e->chain_next) {
				if (e->ino != c->ino || e->chain_prev != before)
					return "a chain has its inode's entries";
				n++;
			}
			if (n == 0 || n != c->n)
				return "a chain is as long as it says, and not empty";
			*ret_entries += n;
			n_chains++;
		}
	}
	return n_chains == s->n_chains ? NULL : "chains are counted";
}

static const char *check_table(
	const struct shard *s, shard_owner_fn *owner, const void *arg, size_t *ret_n)
{
	uint64_t blocks = 0;
	for (size_t i = 0; i < s->n_buckets; i++) {
		for (const struct entry *e = s->entries[i]; e; e = e->bucket_next) {
			if ((hash_key(e->ino, e->index) & (s->n_buckets - 1)) != i)
				return "an entry is in its bucket";
			if (!owner(arg, e->ino, e->index))
				return "an entry is in its shard";
			blocks += is_data(e->index);
			++*ret_n;
		}
	}
	return blocks == s->blocks ? NULL : "data blocks are counted";
}

const char *shard_check(const struct shard *s, shard_owner_fn *owner, const void *arg)
{
	size_t in_queues = 0, in_chains = 0, in_table = 0;
	uint64_t bytes = table_bytes(s) + s->n_chains * heap_cost(sizeof(struct chain));
	const char *broken = check_queue(&s->small, false, &in_queues, &bytes);
	if (!broken)
		broken = check_queue(&s->main, true, &in_queues, &bytes);
	if (!broken)
		broken = check_chains(s, &in_chains);
	if (!broken)
		broken = check_table(s, owner, arg, &in_table);
	if (broken)
		return broken;
	if (in_queues != s->n_entries || in_chains != s->n_entries || in_table != s->n_entries)
		return "an entry is in one bucket, one chain and one queue";
	if (bytes != s->bytes)
		return "bytes are those of all there is";
	if (s->n_entries > 0 && s->bytes > s->limit)
		return "bytes are within the limit";
	return NULL;
}
