/*
 * Memory for very many small objects of one size that come and go: pieces of a page table of their
 * own, beside malloc(3)'s heap, so that it can be given back when they are gone, whatever else was
 * allocated between them. An object is named by a handle of 32 bits, half as large as a pointer; it
 * stays where it is. No lock.
 */
#pragma once

#include "cache/store/compiler.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slab_chunk;

struct slab {
	uint32_t size;		    /* of an object, bytes; constant */
	unsigned shift;		    /* 1 << shift objects in a chunk; constant */
	struct slab_chunk **chunks; /* by number; NULL: free number */
	uint32_t n_chunks;	    /* numbers that were used */
	uint32_t room;
	uint32_t in_use;	  /* chunks */
	size_t used;		  /* objects */
	struct slab_chunk *open;  /* those with a free object */
	struct slab_chunk *spare; /* an empty one, so that one object does not map and unmap it */
};

/* Objects of `size` bytes, at least 16 and a multiple of 8, and in the lines of the processor's
 * cache if it is 64; chunks of at most `chunk_bytes`, which is what is taken and given back at
 * once: some objects at least, a power of two from PAGES_SIZE to PAGES_HUGE. Cannot fail. */
void slab_init(struct slab *s, uint32_t size, uint32_t chunk_bytes) NONNULL(1);

/* Gives all memory back, objects and all. */
void slab_fini(struct slab *s) NONNULL(1);

/* A new object, zeroed; 0: no memory. */
uint32_t slab_alloc(struct slab *s) MUST_CHECK NONNULL(1);
void slab_free(struct slab *s, uint32_t handle) NONNULL(1);

/* The object of a handle that is not 0. */
static inline void *slab_at(const struct slab *s, uint32_t handle)
{
	assert(handle);
	uint32_t number = handle & ((1u << s->shift) - 1);
	return (unsigned char *)s->chunks[handle >> s->shift] + (size_t)number * s->size;
}

/* For a walk over all objects: the handle after `handle` (0: the first one) that an object has or
 * has had since its chunk was mapped; 0: there is none. Takes any number, also one that is no
 * handle any more. */
uint32_t slab_next(const struct slab *s, uint32_t handle) MUST_CHECK NONNULL(1);

/*
 * Where few objects are spread over many chunks, they keep all of these. So their owner may move
 * them: slab_sparse() says whether fewer than half of the chunks would do, and slab_drain() names
 * the emptiest one: it returns how many objects it has, *ret_first is the lowest handle that one of
 * them can have, and the others follow. From then on nothing is allocated in it; all of them must
 * be freed at once, their replacements allocated before. With the last one the chunk may go.
 */
bool slab_sparse(const struct slab *s) MUST_CHECK NONNULL(1);
uint32_t slab_drain(struct slab *s, uint32_t *ret_first) MUST_CHECK NONNULL(1, 2);

/* Bytes that it has taken, and those that the next object would add. */
uint64_t slab_bytes(const struct slab *s) MUST_CHECK NONNULL(1);
uint64_t slab_next_bytes(const struct slab *s) MUST_CHECK NONNULL(1);
