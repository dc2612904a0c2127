/*
 * What the files of the check share.
 *
 *	sqlite_check.c          opens the store, goes through the checks
 *	sqlite_check_cursor.c   rows in order of inodes, faults and the paths in them
 *	sqlite_check_inode.c    rows of inodes, orphans, extended attributes
 *	sqlite_check_names.c    names, directories, the tree
 *	sqlite_check_data.c     runs of blocks, holes, checksums
 *	sqlite_check_log.c      the change log
 *
 * A check is one function that reads tables in the order of inodes and merges them row by row, so
 * that memory does not grow with the store; what has to be sorted first is sorted by SQLite, in
 * temporary files.
 */
#pragma once

#include "sqlite_check.h"
#include "sqlite_internal.h"

struct check {
	struct sq_conn *conn;
	const struct sqlite_check_handler *handler;
	struct sqlite_check_summary summary;
	const char *step;
	uint64_t total;	     /* blocks that the inodes have, so they say */
	uint64_t done;	     /* of them, those looked at */
	unsigned rows;	     /* read since the last progress */
	bool stopped;	     /* the handler said so */
	sqlite3_stmt *place; /* finds a name of an inode; made when the first fault needs it */
	bool no_places;	     /* that failed */
};

/* A fault was told, and the check cannot go on; the others can. */
#define CHECK_BROKEN (-EBADMSG)

/* Each one returns 0 when it looked at all there is, CHECK_BROKEN, or an errno that ends it all. */
int check_inodes(struct check *k) MUST_CHECK NONNULL(1); /* sqlite_check_inode.c */
int check_orphans(struct check *k) MUST_CHECK NONNULL(1);
int check_xattrs(struct check *k) MUST_CHECK NONNULL(1);
int check_entries(struct check *k) MUST_CHECK NONNULL(1); /* sqlite_check_names.c */
int check_entry_ids(struct check *k) MUST_CHECK NONNULL(1);
int check_names(struct check *k) MUST_CHECK NONNULL(1);
int check_directories(struct check *k) MUST_CHECK NONNULL(1);
int check_tree(struct check *k) MUST_CHECK NONNULL(1);
int check_data(struct check *k) MUST_CHECK NONNULL(1);	    /* sqlite_check_data.c */
int check_changelog(struct check *k) MUST_CHECK NONNULL(1); /* sqlite_check_log.c */

/* -- sqlite_check_cursor.c ------------------------------------------------------------------- */

/* Tells the handler. `ino` 0: about no inode; `offset` -1: about no place in it. */
void check_fault(struct check *k, int64_t ino, int64_t offset, const char *format, ...)
	NONNULL(1, 4) PRINTF_LIKE(4, 5);

/* Tells the handler how far the step has come. False: stop. */
bool check_progress(struct check *k) MUST_CHECK NONNULL(1);

/* What the failure of the connection's last call means for the check that made it: CHECK_BROKEN,
 * and the fault is told, when it is the store that is damaged; else an errno. */
int check_failed(struct check *k) MUST_CHECK NONNULL(1);

/* A query whose rows come in the order of the inode in their first column, or of the key there. */
struct cursor {
	struct check *check;
	sqlite3_stmt *st;
	bool keys;   /* the column holds keys of data */
	bool row;    /* there is a row, and it is of inode `ino` */
	int64_t ino; /* as found: may be none that exists, or could */
};

/* On the first row. Whatever is returned: cursor_close(). */
int cursor_open(struct check *k, const char *sql, bool keys, struct cursor *ret) MUST_CHECK
	NONNULL(1, 2, 4);
int cursor_next(struct cursor *c) MUST_CHECK NONNULL(1);
void cursor_close(struct cursor *c) NONNULL(1);

static inline bool cursor_at(const struct cursor *c, int64_t ino)
{
	return c->row && c->ino == ino;
}

/* The least inode that any of the n cursors is at. False: all of them are at their end. */
bool cursor_least(const struct cursor *const *cursors, size_t n, int64_t *ret) NONNULL(1, 3);

/* A column, as an integer. */
static inline int64_t cursor_int(const struct cursor *c, int column)
{
	return sqlite3_column_int64(c->st, column);
}
