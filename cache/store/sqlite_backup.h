/*
 * A copy of a store, made while others have it mounted and write to it.
 *
 *	struct sqlite_backup_config cfg = {.rate = 0, .copied = show, .check = &handler};
 *	struct sqlite_backup_summary sum;
 *	char why[SQLITE_STORE_WHY];
 *	int r = sqlite_backup("/srv/shop.db", "/backup/shop.db", &cfg, &sum, why, sizeof why);
 *
 * The copy is the store as it was when the backup began. It is made under another name beside
 * `dest`, flushed, checked as sqlite_check() does, and only then gets its name; so what is there
 * under that name is whole, and on stable storage on return. It is one file, without a log beside
 * it. It may be read and written by whom the store may be, as far as the umask allows.
 *
 * Nobody waits for a backup. But as long as it reads the store, the store's log cannot start anew,
 * and grows by what is written. It takes turns with those who write: while they do, it pauses for
 * as long as it has worked, unless the log has grown by SQLITE_BACKUP_LOG meanwhile. What it has
 * written is sent to the disk in small pieces, so that never much lies in front of a flush of
 * others.
 *
 * It must not run inside of a process that has the store open itself: see sqlite.h about locks.
 */
#pragma once

#include "sqlite_check.h"

#define SQLITE_BACKUP_LOG ((uint64_t)256 << 20)

struct sqlite_backup_config {
	uint64_t rate;	  /* bytes a second at most, if the log allows (see above); 0: no limit */
	bool keep_faulty; /* a copy with faults gets its name as well; the summary counts them */
	/* May be NULL. Bytes copied of so many. False: stop. */
	bool (*copied)(void *arg, uint64_t done, uint64_t total);
	/* May be NULL. What a backup that was killed has left was taken away. */
	void (*replaced)(void *arg, const char *path);
	void *arg; /* for both */
	/* For the check of the copy; it is told of faults in the copy, which then is given up, but
	 * with keep_faulty. */
	const struct sqlite_check_handler *check;
};

struct sqlite_backup_summary {
	uint64_t bytes;	    /* of the copy */
	uint64_t log_grown; /* bytes that the store's log has become longer meanwhile */
	struct sqlite_check_summary check;
};

/*
 * On failure there is nothing at `dest` that was not there before, and `why` says in one line what
 * is wrong and what to do.
 *   -EEXIST   there is something already, or files of a log that would be taken for the copy's
 *   -EBUSY    another backup to the same place is under way
 *   -EBADMSG  the copy has faults: the store has them, or a disk is failing
 *   -ECANCELED   stopped
 *   -EPROTO, -EPROTONOSUPPORT, -ENOENT, -EACCES, -EISDIR, -ENOSPC, -EROFS, -EIO, -ENOMEM, ...
 */
int sqlite_backup(const char *path, const char *dest, const struct sqlite_backup_config *cfg,
	struct sqlite_backup_summary *ret, char *why, size_t why_size) MUST_CHECK
	NONNULL(1, 2, 3, 4, 5);
