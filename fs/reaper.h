/*
 * The reaper: the thread that deletes for good what has lost its last name and its last user, a
 * piece at a time, so that removing a huge record costs its remover nothing. It waits a moment for
 * more, and deletes many in one transaction. What the store fails to delete is tried again.
 */
#pragma once

#include "cache/store/store.h"

struct reaper;

/* `store` must outlive it. */
int reaper_start(struct store *store, struct reaper **ret) MUST_CHECK NONNULL(1, 2);

/* Hands over an orphan. When REAPER_QUEUE_MAX wait already the caller does the work itself, which
 * slows down whoever removes faster than the store can delete. */
#define REAPER_QUEUE_MAX 16384u
void reaper_add(struct reaper *r, uint64_t ino) NONNULL(1);

/* The store is full: deletes some of what waits, on the calling thread. True: there may be more
 * room now, and more to delete; false: there is nothing that could be. */
bool reaper_help(struct reaper *r) MUST_CHECK NONNULL(1);

/* Has the store left orphans to others since the last call, which may come back from them? */
bool reaper_left_some(struct reaper *r) MUST_CHECK NONNULL(1);

/* Deletes what waits, for at most `patience` nanoseconds, then ends the thread and frees it; the
 * rest stays an orphan for the next mount. Takes NULL. Returns NULL. */
struct reaper *reaper_stop(struct reaper *r, int64_t patience);
