/*
 * What the tests of the cache are set up with: a cache over a scripted store over the model, with
 * a clock that stands still until it is moved, and a file to work on.
 */
#pragma once

#include "cache/cache.h"
#include "kit.h"
#include "script_store.h"

#include <pthread.h>

#define RIG_TTL 1000

struct rig {
	struct cache_config cfg;
	struct kit *kit; /* over the cache, not watching: it would ask for attributes */
	struct store *cache;
	struct script script;
	uint64_t ino; /* of a file of which nothing is cached */
	atomic_llong now;
	atomic_int fault;     /* what the next updates of the cache fail with, 0: not at all */
	atomic_uint blocking; /* calls of before_blocking */
	pthread_mutex_t polling;
};

/* The defaults: 16 MiB, TTL RIG_TTL, sync=always, updates that fail give EIO. */
struct cache_config rig_config(void);

/* The file has `blocks` whole blocks, each full of its number + 1. */
void rig_start(struct rig *rig, const struct cache_config *cfg, uint32_t blocks);
/* The same, with the test's own update_fault. */
void rig_start_with_fault(struct rig *rig, const struct cache_config *cfg, uint32_t blocks,
	int (*fault)(void *arg), void *arg);
void rig_stop(struct rig *rig);

/* Write [offset, offset + len) full of `fill` through the cache. */
int rig_write(struct rig *rig, uint64_t offset, size_t len, unsigned char fill);

/* The byte at `offset` as `store` says; -errno. */
int rig_byte(struct rig *rig, struct store *store, uint64_t offset);

/* Reads blocks [first, first + count) through the cache: their first bytes into ret (a hole's is
 * 0); returns how many there are, or -errno. */
int rig_read(struct rig *rig, uint64_t first, uint32_t count, int *ret);

/* The file is the same, byte by byte and in its attributes, through the cache as in the store. */
void rig_check(struct rig *rig);

/* Another one has changed blocks [first, last] of the file, or anything: the store says so, and the
 * cache hears of it. Any thread. */
void rig_drop(struct rig *rig, uint64_t first, uint64_t last);
void rig_drop_all(struct rig *rig);
/* The store tells of that, and the cache is polled; returns what was handed on by it. */
unsigned rig_tell(struct rig *rig, const struct store_event *event);

struct store_stats rig_stats(struct rig *rig);
unsigned rig_calls(struct rig *rig, enum script_op op);
