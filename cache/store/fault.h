/*
 * The fault-injecting store: passes everything on to the store that it wraps, except what a plan
 * (fault_spec.h) says must fail or wait. For testing recordfs, and the programs that use it.
 *
 * Where the plan acts, and what a failure there leaves behind:
 *
 *   point   passed by                          on failure
 *   read    store_read(), and nothing else:    nothing is read
 *           names, attributes and listings
 *           keep working, so that a mount
 *           whose reads fail can be walked
 *   write   each change of a batch             this change fails alone, untried; the others of
 *                                              its batch go on in the same store_apply()
 *   commit  each store_apply() that has        all its changes fail and are doubtful; nothing
 *           changes left to commit             reaches the store: a failed commit, settled
 *   flush   store_flush(), and each            the flush fails, and was not tried; a durable
 *           store_apply() with `durable`       store_apply() fails as at the point `commit`
 *   cache   fault_cache_update()               as the cache has it
 *   open    fault_open()                       as the caller has it
 *
 * CHANGE_REAP passes neither `write` nor, in a batch of nothing else, `commit` and `flush`: it
 * comes at times of its own, and a plan that counts could not be relied upon. It fails with its
 * batch.
 */
#pragma once

#include "fault_spec.h"
#include "store.h"

/* Takes over both `spec` and `next` on success. -ENOMEM. */
int fault_store_new(struct fault_spec *spec, struct store *next, struct store **ret) MUST_CHECK
	NONNULL(1, 2, 3);

/* The point `open`: to be called before the store is opened, and taken for its result. */
int fault_open(struct fault_spec *spec) MUST_CHECK NONNULL(1);

/* The point `cache`, for a cache to call before it takes over what was committed. `fault_store` is
 * what fault_store_new() made. */
int fault_cache_update(void *fault_store) MUST_CHECK NONNULL(1);

/* How often the plan has acted, delays included. */
uint64_t fault_hits(struct store *fault_store) MUST_CHECK NONNULL(1);
