/*
 * The orphans that wait to be deleted, and when that is due.
 *
 * To delete one takes as long as to remove its name, and holds up whoever changes the store
 * meanwhile; so it waits until nobody has changed names for a moment. It does not wait, however,
 *   - for longer than a certain time,
 *   - when there are many of them, or they had many blocks,
 *   - when somebody asks for it.
 * Those that came first go first; what is due is told of the first one.
 *
 * Times are nanoseconds of one clock that never goes back. No locks: the caller's.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backlog_pace {
	int64_t quiet;	 /* so long names have not changed */
	int64_t age;	 /* so long one waits at most */
	size_t inodes;	 /* with so many the first one does not wait */
	uint64_t blocks; /* when so many were lost, none of those there wait any more */
};

struct backlog_entry {
	uint64_t ino;
	int64_t since; /* when it came */
};

struct backlog {
	struct backlog_pace pace;
	struct backlog_entry *ring; /* of `max` */
	size_t max, first, n;
	int64_t busy;	 /* when names were last changed */
	int64_t asked;	 /* those that were there then are due */
	uint64_t blocks; /* lost since that was last a reason */
};

/* Room for `max`. -ENOMEM */
int backlog_init(struct backlog *b, const struct backlog_pace *pace, size_t max) MUST_CHECK
	NONNULL(1, 2);
void backlog_fini(struct backlog *b) NONNULL(1);

/* Names were changed; what lost its last one has so many blocks. */
void backlog_busy(struct backlog *b, uint64_t blocks, int64_t now) NONNULL(1);

/* False: there is no room. */
bool backlog_add(struct backlog *b, uint64_t ino, int64_t now) MUST_CHECK NONNULL(1);

/* Takes out the first ones, `max` at most; and puts one back as the first. False: no room. */
size_t backlog_take(struct backlog *b, struct backlog_entry *ret, size_t max) MUST_CHECK
	NONNULL(1, 2);
bool backlog_put_back(struct backlog *b, const struct backlog_entry *e) MUST_CHECK NONNULL(1, 2);

/* All that are there are due. */
void backlog_ask(struct backlog *b, int64_t now) NONNULL(1);

/* When the first one is due, unless names change meanwhile. INT64_MIN: it is, whatever happens;
 * INT64_MAX: there is none. */
int64_t backlog_due(const struct backlog *b) MUST_CHECK NONNULL(1);
