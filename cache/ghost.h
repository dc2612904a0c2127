/*
 * The ghost of S3-FIFO: a set of fingerprints of what was evicted lately. What comes back while
 * its ghost is there was evicted too early, and goes to the main queue at once.
 *
 * It remembers about the last `capacity` additions, forgets the others by itself, may forget one
 * early (a full bucket) and may take one key for another (1 in 2^30); neither does harm. No locks.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ghost {
	uint64_t *slots; /* fingerprint << 32 | the clock when it was added; 0: empty */
	size_t buckets;	 /* a power of two */
	uint32_t capacity;
	uint32_t clock; /* additions so far */
};

/* -ENOMEM */
int ghost_init(struct ghost *g, size_t capacity) MUST_CHECK NONNULL(1);
void ghost_clear(struct ghost *g) NONNULL(1);
void ghost_destroy(struct ghost *g) NONNULL(1);

/* Bytes of memory that it takes; one of capacity 0 counts as none. */
size_t ghost_bytes(const struct ghost *g) NONNULL(1);

void ghost_add(struct ghost *g, uint64_t hash) NONNULL(1);

/* Was `hash` added lately? Then it is taken out. */
bool ghost_take(struct ghost *g, uint64_t hash) NONNULL(1) MUST_CHECK;
