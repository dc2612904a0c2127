/*
 * Checks the file of a SQLite store: its structure, the invariants of docs/store-format.md and the
 * checksum of every block. Strictly read-only.
 *
 *	struct sqlite_check_summary sum;
 *	char why[SQLITE_STORE_WHY];
 *	int r = sqlite_check("/srv/shop.db", &handler, &sum, why, sizeof why);
 *
 * r == 0: all of it was looked at, and sum.faults says how many faults handler.fault was told of.
 *
 * It may run while others have the store mounted and write to it: all that it sees is of one
 *moment, since it reads inside of one transaction. Until that ends, the store's log cannot start
 *anew and grows with every write. It must not run inside of a process that has the store open
 *itself: see sqlite.h about locks.
 *
 * The database and its log are not changed by a byte. What a crash left in the log is seen as part
 * of the store, and stays in the log. SQLite makes the files -wal and -shm to read a store that
 * nobody has open; they are taken away again if the store may be written to. A store that lies on
 * a read-only filesystem, or in a directory where no file may be made, is read without them.
 */
#pragma once

#include "sqlite.h"

struct sqlite3;

struct sqlite_check_fault {
	const char *what; /* in words, one line */
	uint64_t ino;	  /* 0: it is not about one inode */
	const char *path; /* of the inode, from the root, not escaped; NULL: it has none */
	int64_t offset;	  /* in the record, bytes; -1: none */
};

/* Called from sqlite_check(), in its thread; the memory goes after the call. */
struct sqlite_check_handler {
	void (*fault)(void *arg, const struct sqlite_check_fault *fault);
	/* May be NULL. `step` is what is being done; blocks verified so far, and in all (0: not
	 * known yet). False: stop. */
	bool (*progress)(void *arg, const char *step, uint64_t done, uint64_t total);
	/* May be NULL. sqlite3_interrupt() on `db` stops what takes long without progress being
	 * asked, which then has to say the same. NULL: not any more. Not for sqlite_repair(). */
	void (*working)(void *arg, struct sqlite3 *db);
	/* For sqlite_repair(), may be NULL: something was mended. */
	void (*mended)(void *arg, const struct sqlite_check_fault *done);
	void *arg;
};

struct sqlite_check_summary {
	uint64_t inodes;
	uint64_t names;
	uint64_t blocks;   /* stored, their checksums verified */
	uint64_t unsummed; /* of these, without a checksum: written by an SQL client */
	uint64_t orphans;  /* deleted, but still open somewhere or not yet reaped */
	uint64_t faults;
};

/*
 * On failure nothing can be said about the store, and `why` tells in one line what is wrong with
 * which file and what to do.
 *   -EPROTO, -EPROTONOSUPPORT   not a store; a store of another format
 *   -ECANCELED   the handler stopped it
 *   -ENOENT, -EACCES, -EISDIR, -EIO (also: busy for too long), -ENOMEM, -ENOSPC (temporary files)
 */
int sqlite_check(const char *path, const struct sqlite_check_handler *handler,
	struct sqlite_check_summary *ret, char *why, size_t why_size) MUST_CHECK
	NONNULL(1, 2, 3, 4);
