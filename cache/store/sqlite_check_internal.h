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
	uint64_t total;	 /* blocks that the inodes have, so they say */
	uint64_t done;	 /* of them, those looked at */
	uint64_t budget; /* calls of check_on_the_way() that a step may need; 0: not known */
	uint64_t spent;	 /* of these */
	uint64_t steps_of_rows;
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

/* All of them. A fault is no failure of theirs. */
int check_run_all(struct check *k) MUST_CHECK NONNULL(1); /* sqlite_check.c */

/*
 * Within statements that take long: every CHECK_STEPS steps of SQLite's virtual machine. Pages of a
 * damaged database may lead to themselves, so that there is no end to its rows: a step that takes
 * more than any number of rows that fit into the file is interrupted, which check_failed() tells
 * of.
 */
#define CHECK_STEPS 1000000
int check_on_the_way(void *check) MUST_CHECK;
/* Begins a step. */
void check_begin_step(struct check *k, const char *step) NONNULL(1, 2);

/* Values that are longer are a fault, and not loaded. */
#define CHECK_LENGTH_MAX (64 << 20)

/* "%lld name%s": what a number of things ends with. */
static inline const char *check_plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

/* The one fault of data that is no disorder of rows: what is stored there is not what was. */
#define CHECK_MISMATCH "checksum does not match"

/* What is wrong with the row of the change log that a cursor over CHECK_LOG_SQL is on; NULL:
 * nothing. */
struct cursor;
#define CHECK_LOG_SQL                                                                              \
	"SELECT ino, id, mount, kind, first, last,"                                                \
	" iif(length(CAST(name AS BLOB)) > 255, zeroblob(256), name) FROM changelog"               \
	" ORDER BY ino, id"
const char *check_log_row(const struct cursor *c) MUST_CHECK NONNULL(1);

/* The names that an entry may have, and whether TEXT or BLOB is the class for it. */
bool check_name_valid(const char *name, size_t len) MUST_CHECK;

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
