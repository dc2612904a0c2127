/*
 * A hash table of handles: it keeps 32 bits of each hash and the handle beside it, eight to a line
 * of the processor's cache, so that what is not there is mostly known after one line, and what is
 * there after one line and that of the object. The table does not know the objects: who looks for
 * one compares it with what the table offers. It grows and shrinks without looking
 * at them. No lock.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	uint64_t *slots; /* hash << 32 | handle; 0: empty, of which there is always one */
	size_t n;	 /* slots, a power of two */
	size_t used;
};

/* -ENOMEM */
int table_init(struct table *t) MUST_CHECK NONNULL(1);

/* Takes one that table_init() has not set up, but that is zeroed. */
void table_fini(struct table *t) NONNULL(1);

/* Bytes of memory beyond those of an empty table. */
uint64_t table_bytes(const struct table *t) NONNULL(1) MUST_CHECK;

/*
 * The next handle that was added with `hash`, from *pos on; 0: no more. Begin with *pos = hash:
 *
 *	for (size_t pos = hash; (handle = table_next(t, hash, &pos));)
 *		if (it is the one)
 *			...
 */
static inline uint32_t table_next(const struct table *t, uint32_t hash, size_t *pos)
{
	for (size_t i = *pos;; i++) {
		uint64_t slot = t->slots[i & (t->n - 1)];
		if (slot == 0 || slot >> 32 == hash) {
			*pos = i + 1;
			return (uint32_t)slot;
		}
	}
}

/* Adds a handle that is not 0 nor there; -ENOMEM. */
int table_add(struct table *t, uint32_t hash, uint32_t handle) MUST_CHECK NONNULL(1);

/* Puts another handle in the place of one that is there. */
void table_move(struct table *t, uint32_t hash, uint32_t from, uint32_t to) NONNULL(1);

/* Takes out one that is there. */
void table_remove(struct table *t, uint32_t hash, uint32_t handle) NONNULL(1);

/* Are the slots as table_next() needs them, and counted? For tests. */
bool table_check(const struct table *t) NONNULL(1) MUST_CHECK;
