/*
 * What is counted, since the mount. One list, so that the struct, the control interface, the
 * text and the JSON of `recordfsctl stats` cannot disagree.
 */
#pragma once

#include <stdint.h>

/* X(name, what it counts) */
#define STORE_STATS(X)                                                                             \
	X(read_requests, "read requests from the kernel")                                          \
	X(write_requests, "write requests from the kernel")                                        \
	X(cache_hits, "blocks served from the block cache")                                        \
	X(cache_misses, "blocks that were not in the block cache")                                 \
	X(cache_expired, "blocks found in the cache past their TTL")                               \
	X(cache_evictions, "blocks evicted to make room")                                          \
	X(cache_invalidations, "blocks dropped because they changed or were in doubt")             \
	X(cache_update_failures, "cache updates after a commit that failed")                       \
	X(cache_bytes, "bytes in the block cache now")                                             \
	X(cache_limit_bytes, "most bytes the block cache may hold")                                \
	X(cache_blocks, "blocks in the block cache now")                                           \
	X(store_reads, "queries to the store for data, attributes or names")                       \
	X(store_commits, "transactions committed")                                                 \
	X(store_write_requests, "changes committed")                                               \
	X(store_flushes, "flushes to stable storage")                                              \
	X(store_failures, "operations that the store failed")                                      \
	X(checksum_failures, "blocks whose checksum did not match")                                \
	X(outside_changes, "changes by others that were noticed")                                  \
	X(store_bytes, "size of the store's database in bytes")                                    \
	X(log_bytes, "size of the store's write-ahead log in bytes")                               \
	X(store_degraded, "1 while the store refuses writes after an unknown outcome")             \
	X(store_state, "0 healthy, 1 degraded, 2 probing whether it works again")                  \
	X(store_degradations, "times that a commit or flush failed with an unknown outcome")       \
	X(store_probes, "attempts to settle such an outcome")                                      \
	X(faults_on, "1 when a fault-injecting layer is mounted")                                  \
	X(faults_injected, "faults that were injected")

/* The life of a store: see sqlite_settle.c. */
enum store_state {
	STORE_HEALTHY,
	STORE_DEGRADED, /* reads go on, changes are refused */
	STORE_PROBING,	/* the same; whether it works again is being tried */
};

struct store_stats {
#define X(name, text) uint64_t name;
	STORE_STATS(X)
#undef X
};
