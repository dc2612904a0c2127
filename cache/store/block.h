/*
 * A block: STORE_BLOCK_SIZE bytes of one record, or fewer, in memory. Blocks are shared and never
 * copied: a store makes them, the cache keeps them, a reply is sent straight from them.
 *
 * A block holds the bytes that are stored; what lies between its length and STORE_BLOCK_SIZE reads
 * as zeros. A block of length 0 is a hole. Nobody changes a block that more than one owner holds.
 */
#pragma once

#include "compiler.h"

#include <stdatomic.h>
#include <stdint.h>

/* Bytes of a record that one block covers: the unit of caching, of checksums and of holes. It is
 * the page size of the kernel, so that what the kernel drops and what we drop are the same. */
#define STORE_BLOCK_SIZE 4096u

struct block {
	atomic_uint refs;
	uint32_t len; /* bytes in data, 0 ... STORE_BLOCK_SIZE */
	unsigned char data[];
};

/* A new block with room for `len` bytes, one reference, contents undefined; NULL: no memory. */
struct block *block_new(uint32_t len) MUST_CHECK;

/* One more reference; returns `b`. May be called from any thread that owns a reference. */
struct block *block_ref(struct block *b) NONNULL(1);

/* Gives a reference back, frees the block with the last one. Takes NULL. Returns NULL. */
struct block *block_unref(struct block *b);
