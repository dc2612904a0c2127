/*
 * The reaper: the thread that deletes for good what has lost its last name and its last user, a
 * piece at a time, so that removing a huge record costs its remover nothing. It waits until names
 * are left alone, but not for ever (backlog.h), and deletes many in one transaction. What the store
 * fails to delete is tried again.
 */
#pragma once

#include "backlog.h"

#include "cache/store/store.h"

struct reaper;

/* `store` must outlive it. `pace` is what orphans wait for, NULL: what is usual. */
int reaper_start(struct store *store, const struct backlog_pace *pace,
	struct reaper **ret) MUST_CHECK NONNULL(1, 3);

/* Names were changed, and what lost its last one has so many blocks: the reaper keeps out of the
 * way for a moment. */
void reaper_busy(struct reaper *r, uint64_t blocks) NONNULL(1);

/* Hands over an orphan. When REAPER_QUEUE_MAX wait already the caller does the work itself, which
 * slows down whoever removes faster than the store can delete. */
#define REAPER_QUEUE_MAX 16384u
void reaper_add(struct reaper *r, uint64_t ino) NONNULL(1);

/* Somebody looks how much space there is: what waits is deleted now. Waits for that, but not for
 * longer than `patience` nanoseconds: somebody else may be writing. */
void reaper_ask(struct reaper *r, int64_t patience) NONNULL(1);

/* The store is full: deletes some of what waits, on the calling thread. True: there may be more
 * room now, and more to delete; false: there is nothing that could be. */
bool reaper_help(struct reaper *r) MUST_CHECK NONNULL(1);

/* Has the store left orphans to others since the last call, which may come back from them? */
bool reaper_left_some(struct reaper *r) MUST_CHECK NONNULL(1);

/* Deletes what waits, for at most `patience` nanoseconds, then ends the thread and frees it; the
 * rest stays an orphan for the next mount. Takes NULL. Returns NULL. */
struct reaper *reaper_stop(struct reaper *r, int64_t patience);
