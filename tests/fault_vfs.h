/*
 * A SQLite VFS that wraps the default one, becomes the default, and fails chosen operations: the
 * 1st, the 2nd, the 3rd ... write, sync or read of the log or of the database file, lock of the
 * database or of the log's index, open, truncation or deletion. For tests of what a store makes of
 * it.
 */
#pragma once

#include <stdbool.h>

enum fault_vfs_op {
	FAULT_LOG_WRITE = 1,
	FAULT_LOG_SYNC = 2,
	FAULT_DB_WRITE = 4,
	FAULT_DB_SYNC = 8,
	FAULT_DB_GROW = 16, /* the size hint that allocates space */
	FAULT_PIN = 32,	    /* taking the lock that keeps the log from starting anew */
	FAULT_LOG_READ = 64,
	FAULT_DB_READ = 128,
	FAULT_OPEN = 256, /* of the database, or the log */
	FAULT_DELETE = 512,
	FAULT_TRUNCATE = 1024,
	FAULT_LOCK = 2048,
	FAULT_SHM = 4096, /* mapping a piece of the log's index, or taking one of its locks */
};

/* Registers the VFS. To be called once, before any database is opened. */
void fault_vfs_install(void);

/* Lets `after` operations of the kinds in `ops` pass, then fails one of them (or, if `forever`, all
 * from then on) with SQLite's code `rc`. Replaces an earlier plan. */
void fault_vfs_arm(unsigned ops, int after, bool forever, int rc);

/* One more plan, that comes into force when the one before is used up (it must not be `forever`).
 * At most FAULT_PLANS of them wait. */
#define FAULT_PLANS 4
void fault_vfs_then(unsigned ops, int after, bool forever, int rc);

/* No more faults. Returns how many there were since fault_vfs_arm(). */
int fault_vfs_disarm(void);
/* How many there were so far. */
int fault_vfs_hits(void);

/* A write that fails writes its first half before that. */
void fault_vfs_torn(bool torn);

/* Operations of the kinds in `ops`, failed or not, since the last call. */
unsigned fault_vfs_count(unsigned ops);

/* Calls `fn` before each write to the log or the database; NULL: no more. Nothing that `fn` does in
 * its thread counts, fails or calls it. */
void fault_vfs_on_write(void (*fn)(void));

/* Calls `fn` when the log is about to be written from its start, and when what kept it from that
 * was let go; NULL: no more. */
void fault_vfs_on_new_log(void (*fn)(void));

/* Calls `fn` in the next checkpoint, when it has read how long the log is; once. For a connection
 * that does not map the file, and to which something was new in the log. */
void fault_vfs_on_checkpoint(void (*fn)(void));

/* Was the log written to, or cut off, since it was last flushed? Then power failure may undo it. */
bool fault_vfs_log_dirty(void);
