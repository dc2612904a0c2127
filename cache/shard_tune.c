/*
 * What is done to a shard while it is in use, on request: warming, other TTLs, another limit.
 *
 * What a session has warmed is in main, with the session's number. To make room for more of the
 * same session only others are evicted: first what is in small, then what is in main in its order.
 */
#include "shard_internal.h"

/* Evicts one that the session has not warmed. False: there is none. */
static bool evict_other(struct shard *s, uint16_t session)
{
	while (s->small.tail) {
		uint32_t handle = s->small.tail;
		struct entry *e = shard_entry(s, handle);
		if (e->uses < USES_PROMOTE || e->expires <= s->now) {
			ghost_add(&s->ghost, hash_key(e->ino, e->index));
			shard_evict(s, handle);
			return true;
		}
		e->uses = 0;
		shard_requeue(s, handle, true);
	}
	/* Enough rounds to use up what any of them has left of its uses. */
	size_t left = s->entries.used * (USES_MAX + 1);
	for (; left > 0 && s->main.tail; left--) {
		uint32_t handle = s->main.tail;
		struct entry *e = shard_entry(s, handle);
		bool other = e->session != session;
		if (e->expires <= s->now || (other && e->uses == 0)) {
			shard_evict(s, handle);
			return true;
		}
		if (other)
			e->uses--;
		shard_requeue(s, handle, true);
	}
	return false;
}

static bool is_fresh(const struct shard *s, uint32_t handle)
{
	return handle && shard_entry(s, handle)->expires > s->now;
}

/* What whole blocks will take, and the inode's attributes, at most: the tables may double. */
static uint64_t bytes_of_more(const struct shard *s, uint64_t n)
{
	uint64_t block = heap_cost(sizeof(struct block) + STORE_BLOCK_SIZE);
	return (n + 1) * (block + sizeof(struct entry)) + slab_next_bytes(&s->entries) +
	       slab_next_bytes(&s->chains) + table_bytes(&s->index) + table_bytes(&s->inodes);
}

bool shard_reserve(
	struct shard *s, uint64_t ino, uint64_t first, uint64_t last, int64_t now, uint16_t session)
{
	uint64_t missing = 0;
	if (s->now < now)
		s->now = now;
	for (uint64_t index = first; index <= last; index++)
		missing += !is_fresh(s, shard_find(s, ino, index));
	while (missing && shard_bytes(s) + bytes_of_more(s, missing) > s->limit)
		if (!shard_compact(s) && !evict_other(s, session))
			return false;
	return true;
}

bool shard_keep(struct shard *s, uint64_t ino, uint64_t index, int64_t now, uint16_t session)
{
	uint32_t handle = shard_find(s, ino, index);
	if (s->now < now)
		s->now = now;
	if (!is_fresh(s, handle))
		return false;
	struct entry *e = shard_entry(s, handle);
	e->session = session;
	if (!e->in_main)
		shard_requeue(s, handle, true);
	return true;
}

static void age_queue(struct shard *s, const struct queue *q, int64_t by)
{
	for (uint32_t handle = q->head; handle; handle = shard_entry(s, handle)->queue_next) {
		struct entry *e = shard_entry(s, handle);
		if (is_data(e->index))
			e->expires = e->expires < INT64_MIN + by ? INT64_MIN : e->expires - by;
	}
}

void shard_age(struct shard *s, int64_t by)
{
	age_queue(s, &s->small, by);
	age_queue(s, &s->main, by);
}

/* The oldest first, which go first if there is no room for all. */
static void move_queue(struct shard *to, const struct shard *from, const struct queue *q)
{
	for (uint32_t handle = q->tail; handle; handle = shard_entry(from, handle)->queue_prev) {
		const struct entry *e = shard_entry(from, handle);
		if (e->expires > from->now && !shard_adopt(to, e) && is_data(e->index))
			to->evictions++;
	}
}

void shard_become(struct shard *s, struct shard *fresh)
{
	fresh->now = s->now;
	fresh->expired = s->expired;
	fresh->evictions = s->evictions;
	fresh->invalidations = s->invalidations;
	move_queue(fresh, s, &s->main);
	move_queue(fresh, s, &s->small);
	shard_destroy(s);
	*s = *fresh;
}
