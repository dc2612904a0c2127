/*
 * What inodes.c, which keeps the entries, and inodes_stale.c share: what the kernel has of them
 * that it must drop.
 *
 * A hash table of entries, chained. An entry lives while nlookup > 0 or it is open. There may be
 * millions of them, most of which the kernel was only told of, so they are small; what else there
 * is to know of some is in their details. An entry has details while it
 *   - is open,
 *   - is an orphan, and then in the list `orphans`,
 *   - is in the heap `fills`: the kernel may have data of it that was filled by a read,
 *   - is in the list `stale`: a note on it waits for the notifier,
 *   - is being changed, or was with an outcome in doubt.
 * When all are stale, `walk` says where in the table the next is looked for. Those that are handed
 * out, or come in, have round == t->round; the others are still to be.
 */
#pragma once

#include "inodes.h"

#include "deadlines.h"

#include "cache/slab.h"

#include <assert.h>
#include <pthread.h>

#define INODES_LOOKUPS (((uint64_t)1 << 60) - 1)

struct inode {
	uint64_t ino;
	uint64_t nlookup : 60;
	uint64_t suid : 1;
	uint64_t link : 1;
	uint64_t was_answered : 1;
	uint64_t had_sgid : 1;
	uint32_t next;	   /* in the chain; 0: none */
	uint32_t details;  /* 0: none */
	uint32_t round;	   /* of inodes_set_all_stale() that it has been handed out for */
	uint32_t answered; /* when it last was, see tick() */
};
static_assert(sizeof(struct inode) == 32, "entries are small");

struct details {
	struct inode *inode;
	uint32_t nopen;
	uint32_t pages; /* while in `fills`: that the kernel may have of it */
	bool orphan;
	bool noted; /* in the list `stale` */
	bool stale_entries;
	struct deadline fill;
	struct page_state state; /* of the data, while in `fills` */
	struct details *orphan_next, *orphan_prev;
	struct details *stale_next, *stale_prev;
	int64_t stale_offset, stale_len;
};

struct inodes {
	pthread_mutex_t lock; /* over all below; a leaf */
	struct slab inodes;
	struct slab details;
	uint32_t *buckets;
	unsigned bits; /* 1 << bits buckets */
	size_t n;
	struct details *orphans;
	struct deadlines fills;
	int64_t drop_time; /* that the kernel needs to drop all that is in `fills` */
	int64_t told;	   /* when whoever waits will look again, if not called before */
	struct details *stale_first, *stale_last;
	uint32_t round;
	bool walking;
	int64_t walk_since; /* only those answered since then */
	size_t walk;	    /* bucket */
};

static inline struct inode *inodes_at(const struct inodes *t, uint32_t handle)
{
	return handle ? slab_at(&t->inodes, handle) : NULL;
}

static inline struct details *inodes_details(const struct inodes *t, const struct inode *i)
{
	return i->details ? slab_at(&t->details, i->details) : NULL;
}

/* With the lock held. */
struct inode *inodes_find(const struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* Takes the lock. */
struct inode *inodes_lock_and_find(struct inodes *t, uint64_t ino) MUST_CHECK NONNULL(1);

/* The details, made if need be. NULL: no memory. */
struct details *inodes_need_details(struct inodes *t, struct inode *i) MUST_CHECK NONNULL(1, 2);

/* Gives the details back if there are none any more. */
void inodes_trim(struct inodes *t, struct inode *i) NONNULL(1, 2);

/* Out of the list of what is noted, and out of the heap. */
void inodes_unlink_stale(struct inodes *t, struct details *d) NONNULL(1, 2);
void inodes_unlink_fill(struct inodes *t, struct details *d) NONNULL(1, 2);
