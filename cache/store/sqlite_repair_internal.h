/*
 * What the files of the repair share.
 *
 *	sqlite_repair.c         where it is done: in place, or in a new store
 *	sqlite_repair_rows.c    what can be read of a database that is damaged as such
 *	sqlite_repair_inode.c   inodes, their attributes, tables of which there is one row
 *	sqlite_repair_names.c   names, the tree, lost+found, link counts
 *	sqlite_repair_data.c    blocks and holes
 *
 * The order matters: each step relies on what those before it have set right. All of them work in
 * one transaction, and keep what does not fit into memory in temporary tables.
 */
#pragma once

#include "sqlite_check_internal.h"

struct repair {
	struct check check; /* its connection is the one that mends */
	sqlite3 *db;
	uint64_t mended;
	char failure[160];  /* what SQLite said of the last one; "": nothing */
	int64_t lost_found; /* the directory's inode; 0: not needed so far */
};

/* 0, or an errno; none of them goes on after a failure. */
int repair_store_row(struct repair *m) MUST_CHECK NONNULL(1); /* sqlite_repair_inode.c */
int repair_lost_inodes(struct repair *m) MUST_CHECK NONNULL(1);
int repair_inodes(struct repair *m) MUST_CHECK NONNULL(1);
int repair_xattrs(struct repair *m) MUST_CHECK NONNULL(1);
int repair_logs(struct repair *m) MUST_CHECK NONNULL(1);
int repair_next_ino(struct repair *m) MUST_CHECK NONNULL(1);
int repair_names(struct repair *m) MUST_CHECK NONNULL(1); /* sqlite_repair_names.c */
int repair_tree(struct repair *m) MUST_CHECK NONNULL(1);
int repair_counts(struct repair *m) MUST_CHECK NONNULL(1);
int repair_data(struct repair *m) MUST_CHECK NONNULL(1); /* sqlite_repair_data.c */

/* Copies what can be read of the tables of `from` into the empty ones of m->db. *ret_inodes: how
 * many of these there are. */
int repair_rows(struct repair *m, sqlite3 *from, uint64_t *ret_inodes) MUST_CHECK
	NONNULL(1, 2, 3); /* sqlite_repair_rows.c */

/* -- sqlite_repair.c: what all of them use --------------------------------------------------- */

/* Tells the handler what was done, and counts it. */
void repair_tell(struct repair *m, int64_t ino, const char *format, ...) NONNULL(1, 3)
	PRINTF_LIKE(3, 4);
/* The failure of the connection's last call, as an errno. */
int repair_failed(struct repair *m) MUST_CHECK NONNULL(1);
/* Runs SQL without rows, as sqlite3_mprintf() makes it. */
int repair_run(struct repair *m, const char *format, ...) MUST_CHECK NONNULL(1, 2);
/* An integer that a query gives; `none` when it gives no row, or NULL. */
int repair_ask(struct repair *m, const char *sql, int64_t none, int64_t *ret) MUST_CHECK
	NONNULL(1, 2, 4);
/* Tells `what` of each inode that the query `which` gives, and then runs `how`, if there are any.
 */
int repair_each(struct repair *m, const char *which, const char *what, const char *how) MUST_CHECK
	NONNULL(1, 2, 3, 4);
/* Prepares a statement; NULL: repair_failed(). */
sqlite3_stmt *repair_query(struct repair *m, const char *sql) MUST_CHECK NONNULL(1, 2);
/* Steps a statement without rows and resets it. */
int repair_step(struct repair *m, sqlite3_stmt *st) MUST_CHECK NONNULL(1);
/* Finalizes; takes NULL. For CLEANUP. */
void repair_done(sqlite3_stmt **st);
