/*
 * The inodes that the kernel knows: how often it was told of each (lookups, less forgets), how
 * often each is open, which have lost their last name, and what the kernel keeps of them that it
 * must soon give up.
 *
 * An orphan that is neither known nor open any more is to be reaped: the call that made it so
 * returns true, once. The root is always known.
 *
 * What the kernel must drop is noted at the inode and handed out by inodes_next_stale(): since only
 * known inodes have anything in the kernel, this needs no queue that could overflow. Two notes on
 * one inode become one. When all of them must go, a walk over the table hands them out, which needs
 * no memory either.
 *
 * Every function may be called from any thread; the lock inside is held for a moment only, and
 * nothing is called with it held.
 */
#pragma once

#include "page_state.h"

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct inodes;

int inodes_new(struct inodes **ret) MUST_CHECK NONNULL(1);

/* Takes NULL. Returns NULL. */
struct inodes *inodes_free(struct inodes *t);

/* The kernel is about to be told of the inode once more. -ENOMEM. */
int inodes_lookup(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* It has forgotten the last `n` of them, or never heard. True: reap the inode. */
bool inodes_forget(struct inodes *t, uint64_t ino, uint64_t n) MUST_CHECK NONNULL(1);

/* One more handle, one less. -ENOMEM. True: reap the inode. */
int inodes_open(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);
bool inodes_close(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* The inode has no name any more, or (!orphan) has one again. True: reap it, nobody uses it. */
bool inodes_set_orphan(struct inodes *t, uint64_t ino, bool orphan) MUST_CHECK NONNULL(1);

/* Orphans that are still in use, into ret[max]; returns how many, and counts them as reaped. */
size_t inodes_take_orphans(struct inodes *t, uint64_t *ret, size_t max) MUST_CHECK NONNULL(1, 2);

/* Orphans that nobody has open, but the kernel still knows, into ret[max]; returns how many. */
size_t inodes_idle_orphans(struct inodes *t, uint64_t *ret, size_t max) MUST_CHECK NONNULL(1, 2);

/* The kernel was shown an inode with setuid or setgid set. */
void inodes_note_suid(struct inodes *t, uint64_t ino) NONNULL(1);

/* Was it? Forgets it. */
bool inodes_take_suid(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* The same of setgid without execution for the group, which is not forgotten. */
void inodes_note_sgid(struct inodes *t, uint64_t ino) NONNULL(1);
bool inodes_had_sgid(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* It is a symlink whose target the kernel is about to be given: that belongs to its attributes
 * here, but the kernel keeps it as data. */
void inodes_note_link(struct inodes *t, uint64_t ino) NONNULL(1);

/* Does the kernel know it, or has it open? */
bool inodes_known(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/*
 * The kernel has got `pages` pages of the inode, which has `all` of them, and may keep them until
 * `at` (monotonic nanoseconds). The earliest such moment counts until the inode was handed out as
 * stale. True: whoever waits for inodes_next_stale() must look again.
 */
bool inodes_filled(struct inodes *t, uint64_t ino, int64_t at, uint64_t pages,
	uint64_t all) MUST_CHECK NONNULL(1);

/*
 * The kernel is about to be given attributes, or (after inodes_filled()) data, of this version of
 * the inode. True: it has data of a version before, which others have altered since; all of it is
 * noted, and must be gone before the kernel gets a new size. See page_state.h.
 */
bool inodes_show(struct inodes *t, uint64_t ino, uint64_t version) MUST_CHECK NONNULL(1);

/* One of the functions of page_state.h, for the data that the kernel has of the inode, if any. */
typedef void inodes_state_fn(struct page_state *p, uint64_t version);
void inodes_state(struct inodes *t, uint64_t ino, inodes_state_fn *fn, uint64_t version)
	NONNULL(1, 3);

/* Should the kernel have dropped its data by `now`, and has not been told yet? */
bool inodes_overdue(struct inodes *t, uint64_t ino, int64_t now) MUST_CHECK NONNULL(1);

/* How long it takes the kernel to drop an inode, and each page of it, in nanoseconds; rather more
 * (docs/measurements.md). All that is filled is handed out so much earlier that it is gone by its
 * moment, also if it is all due at once. */
#define INODES_DROP_INODE 50000
#define INODES_DROP_PAGE 3000

/* What the kernel must drop of an inode: attributes always, and data from `offset` on, `len` bytes
 * or (0) all that follow; offset < 0: no data. As FUSE_NOTIFY_INVAL_INODE has it. */
struct inodes_stale {
	uint64_t ino;
	int64_t offset;
	int64_t len;
	bool entries; /* also the entries that lead to it and are not in use; and those of an orphan
			 that nobody has open, without having been asked to */
};

/* Notes it; nothing happens when the kernel does not know the inode. Of two ranges it becomes the
 * one that has both; entries if either has them. */
void inodes_set_stale(struct inodes *t, const struct inodes_stale *stale) NONNULL(1, 2);

/* Notes all of every inode that is known now and was answered at `since` or later; INT64_MIN: of
 * every one. */
void inodes_set_all_stale(struct inodes *t, int64_t since) NONNULL(1);

/* At `now` an answer is given that the kernel does not order with what it is told to drop: the
 * attributes after a change, or the listing of a directory. Was one given at `since` or later, or
 * less than INODES_TICK nanoseconds before? */
#define INODES_TICK ((uint64_t)1 << 20)
void inodes_answer(struct inodes *t, uint64_t ino, int64_t now) NONNULL(1);
bool inodes_answered(struct inodes *t, uint64_t ino, int64_t since) MUST_CHECK NONNULL(1);

/* Takes the next that is noted, or whose moment has come at `now`. False: none, and *ret_next is
 * the next moment (INT64_MAX: there is none). */
bool inodes_next_stale(struct inodes *t, int64_t now, struct inodes_stale *ret,
	int64_t *ret_next) MUST_CHECK NONNULL(1, 3, 4);

/* How many inodes are known or open. */
size_t inodes_count(struct inodes *t) MUST_CHECK NONNULL(1);

/* Bytes of memory that the table takes. */
uint64_t inodes_bytes(struct inodes *t) MUST_CHECK NONNULL(1);
