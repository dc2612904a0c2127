/*
 * Mends a SQLite store that sqlite_check() has found faults in. Nobody else may have it open.
 *
 *	struct sqlite_repair_summary sum;
 *	char why[SQLITE_STORE_WHY];
 *	int r = sqlite_repair("/srv/shop.db", &handler, &sum, why, sizeof why);
 *
 * r == 0: what could be mended is, handler.mended was told of each thing that was done, and
 * handler.fault of what could not be; sum.check is what a check of the store now says.
 *
 * What is sound as a SQLite database is mended where it is, in one transaction. Else a new store is
 * made of the rows that can be read, and takes the place of the old one; that stays beside it, with
 * its log, as PATH.damaged (or .damaged-1, ...), and needs the space.
 *
 * What is kept, and how: what lost its name gets one in the directory lost+found; a block whose
 * checksum does not match stays as it is, so reading it stays an error until it is overwritten; a
 * block that is lost becomes such a block. Nothing that fails its checksum is ever made to look
 * right. What an inode was that is lost itself is told by what is left of it: a directory by the
 * names in it, a file by its data; such a one belongs to root, and to nobody else.
 */
#pragma once

#include "sqlite_check.h"

struct sqlite_repair_summary {
	struct sqlite_check_summary check; /* after the repair */
	uint64_t mended;		   /* things that were done */
	char damaged[256]; /* where the old store is now; "": it was mended where it is */
};

/*
 * On failure the store is as it was, and `why` tells in one line what is wrong and what to do.
 *   -EBUSY       somebody has it open
 *   -EBADMSG     nothing that a store could be made of can be read
 *   -EPROTO, -EPROTONOSUPPORT   not a store; a store of another format
 *   -ECANCELED   the handler stopped it
 *   -ENOENT, -EACCES, -EROFS, -EISDIR, -EIO, -ENOMEM, -ENOSPC
 */
int sqlite_repair(const char *path, const struct sqlite_check_handler *handler,
	struct sqlite_repair_summary *ret, char *why, size_t why_size) MUST_CHECK
	NONNULL(1, 2, 3, 4);
