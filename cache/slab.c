/*
 * A chunk's first object, or first two, are its header. It is in the list `open` while it has a
 * free object, unless it is the spare one, all of whose objects are free, or is being drained.
 */
#include "slab.h"

#include "pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 16u

struct slab_chunk {
	struct slab_chunk *next, *prev; /* in the list `open` */
	uint32_t number;
	uint32_t used;
	uint32_t free;	/* the first free object that was used before; 0: none */
	uint32_t fresh; /* those from here on were never used */
	bool draining;
};

static size_t chunk_bytes(const struct slab *s)
{
	return (size_t)s->size << s->shift;
}

static bool is_full(const struct slab *s, const struct slab_chunk *c)
{
	return !c->free && c->fresh == 1u << s->shift;
}

static uint32_t header_objects(const struct slab *s)
{
	return (uint32_t)((sizeof(struct slab_chunk) + s->size - 1) / s->size);
}

static void *object(const struct slab *s, struct slab_chunk *c, uint32_t n)
{
	return (unsigned char *)c + (size_t)n * s->size;
}

void slab_init(struct slab *s, uint32_t size, uint32_t chunk_bytes)
{
	assert(size >= 16 && size % 8 == 0 && chunk_bytes <= PAGES_HUGE);
	*s = (struct slab){.size = size};
	while ((size << (s->shift + 1)) <= chunk_bytes)
		s->shift++;
}

static void unmap(struct slab *s, struct slab_chunk *c)
{
	s->chunks[c->number] = NULL;
	s->in_use--;
	pages_unmap(c, chunk_bytes(s));
}

void slab_fini(struct slab *s)
{
	for (uint32_t i = 0; i < s->n_chunks; i++)
		if (s->chunks[i])
			unmap(s, s->chunks[i]);
	free(s->chunks);
	*s = (struct slab){.size = s->size, .shift = s->shift};
}

static void link_open(struct slab *s, struct slab_chunk *c)
{
	c->prev = NULL;
	c->next = s->open;
	if (c->next)
		c->next->prev = c;
	s->open = c;
}

static void unlink_open(struct slab *s, struct slab_chunk *c)
{
	*(c->prev ? &c->prev->next : &s->open) = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

static uint32_t larger_room(const struct slab *s)
{
	return s->room ? s->room * 2 : ROOM_MIN;
}

/* A number that no chunk has; UINT32_MAX: no memory, or there are no more handles. */
static uint32_t take_number(struct slab *s)
{
	if (s->in_use < s->n_chunks)
		for (uint32_t i = s->n_chunks; i-- > 0;)
			if (!s->chunks[i])
				return i;
	if ((uint64_t)(s->n_chunks + 1) << s->shift > UINT32_MAX)
		return UINT32_MAX;
	if (s->n_chunks == s->room) {
		uint32_t room = larger_room(s);
		struct slab_chunk **chunks = realloc(s->chunks, room * sizeof(struct slab_chunk *));
		if (!chunks)
			return UINT32_MAX;
		s->chunks = chunks;
		s->room = room;
	}
	s->chunks[s->n_chunks] = NULL;
	return s->n_chunks++;
}

static struct slab_chunk *new_chunk(struct slab *s)
{
	uint32_t number = take_number(s);
	if (number == UINT32_MAX)
		return NULL;
	struct slab_chunk *c = pages_map(chunk_bytes(s));
	if (!c)
		return NULL;
	c->number = number;
	c->fresh = header_objects(s);
	s->chunks[number] = c;
	s->in_use++;
	return c;
}

uint32_t slab_alloc(struct slab *s)
{
	struct slab_chunk *c = s->open;
	if (!c) {
		c = s->spare ? s->spare : new_chunk(s);
		s->spare = NULL;
		if (!c)
			return 0;
		link_open(s, c);
	}
	uint32_t n = c->free;
	if (n) {
		memcpy(&c->free, object(s, c, n), sizeof c->free);
		memset(object(s, c, n), 0, s->size);
	} else {
		n = c->fresh++;
	}
	c->used++;
	s->used++;
	if (is_full(s, c))
		unlink_open(s, c);
	return c->number << s->shift | n;
}

void slab_free(struct slab *s, uint32_t handle)
{
	struct slab_chunk *c = s->chunks[handle >> s->shift];
	uint32_t n = handle & ((1u << s->shift) - 1);
	assert(c && c->used > 0);
	if (is_full(s, c) && !c->draining)
		link_open(s, c);
	memcpy(object(s, c, n), &c->free, sizeof c->free);
	c->free = n;
	s->used--;
	if (--c->used > 0)
		return;
	if (!c->draining)
		unlink_open(s, c);
	c->draining = false;
	if (s->spare)
		unmap(s, c);
	else
		s->spare = c;
}

uint32_t slab_next(const struct slab *s, uint32_t handle)
{
	uint32_t number = handle >> s->shift, n = (handle & ((1u << s->shift) - 1)) + 1;
	for (; number < s->n_chunks; number++, n = 0) {
		const struct slab_chunk *c = s->chunks[number];
		if (n < header_objects(s))
			n = header_objects(s);
		if (c && n < c->fresh)
			return number << s->shift | n;
	}
	return 0;
}

bool slab_sparse(const struct slab *s)
{
	uint32_t in_use = s->in_use - (s->spare != NULL), objects = 1u << s->shift;
	return in_use > 1 && s->used < (size_t)(in_use - 1) * (objects - header_objects(s)) / 2;
}

uint32_t slab_drain(struct slab *s, uint32_t *ret_first)
{
	struct slab_chunk *c = NULL;
	for (uint32_t i = 0; i < s->n_chunks; i++) {
		struct slab_chunk *other = s->chunks[i];
		if (other && other != s->spare && (!c || other->used < c->used))
			c = other;
	}
	assert(c);
	if (!is_full(s, c))
		unlink_open(s, c);
	c->draining = true;
	*ret_first = (c->number << s->shift) + header_objects(s);
	return c->used;
}

uint64_t slab_bytes(const struct slab *s)
{
	return (uint64_t)s->in_use * chunk_bytes(s) + s->room * sizeof(struct slab_chunk *);
}

uint64_t slab_next_bytes(const struct slab *s)
{
	if (s->open || s->spare)
		return 0;
	bool more = s->in_use == s->n_chunks && s->n_chunks == s->room;
	return chunk_bytes(s) +
	       (more ? (larger_room(s) - s->room) * sizeof(struct slab_chunk *) : 0);
}
