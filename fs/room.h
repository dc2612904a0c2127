/*
 * How much memory large requests may take besides the cache, so that the daemon as a whole stays
 * within cache_size + 64 MiB; docs/architecture.md has the sum.
 *
 * Every function may be called from any thread; the lock inside is a leaf.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stddef.h>

/* Of all reads that are under way at a time, bytes. Those of at most ROOM_SMALL do not count: there
 * are never more of them than threads. */
#define ROOM_READS ((size_t)8 << 20)
#define ROOM_SMALL ((size_t)256 << 10)

/* So many of the buffers that requests are received into may keep the memory that a request larger
 * than ROOM_BUFFER has made them take. */
#define ROOM_BUFFERS_KEPT 4u
#define ROOM_BUFFER ((size_t)128 << 10)

struct room;

/* -ENOMEM */
int room_new(struct room **ret) MUST_CHECK NONNULL(1);

/* Nobody may be in it. Takes NULL. Returns NULL. */
struct room *room_free(struct room *r);

/* A read of `bytes` begins: waits until there is room for it, having called `before` if it has to.
 * What is larger than all the room gets in alone. Its end. */
void room_enter(struct room *r, size_t bytes, void (*before)(void *arg)) NONNULL(1, 3);
void room_leave(struct room *r, size_t bytes) NONNULL(1);

/* The calling thread has done with the `used` bytes that it has received into `buf`, and will
 * receive into again. What is in them may be lost; the memory stays the caller's. */
void room_received(void *buf, size_t used) NONNULL(1);
