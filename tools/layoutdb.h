/*
 * The database that layoutbench measures: the tables of a store that matter for speed, written the
 * way a store writes them. Whatever fails ends the program with a message.
 */
#pragma once

#include "cache/store/block.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN 16u		      /* blocks in the longest row */
#define WAL_LIMIT (16u << 20) /* a WAL of more bytes is checkpointed */

enum { VACUUM_NONE = 0, VACUUM_INCREMENTAL = 2 };

/* A layout that is compared; page 0 is a plain file beside the databases. */
struct layout {
	const char *name;
	unsigned page;
	unsigned auto_vacuum;
};

enum stmt {
	BEGIN,
	COMMIT,
	NEW_INODE,
	TOUCH_INODE,
	NEW_DENTRY,
	PUT_ROW,
	REPLACE_ROW,
	GET_ROW,
	GET_RANGE,
	N_STMTS,
};

struct db {
	const struct layout *layout;
	char path[PATH_MAX];
	sqlite3 *sql;
	sqlite3_stmt *stmt[N_STMTS];
	unsigned frames;	     /* in the WAL now */
	uint64_t wal_bytes;	     /* written to the WAL in all */
	unsigned char sums[RUN * 8]; /* the row that db_get_row() read */
	unsigned char row[RUN * STORE_BLOCK_SIZE];
};

uint64_t now_ns(void);

/* Opens db->path, which is created and given its tables when it is missing. */
void db_connect(struct db *db);
void db_disconnect(struct db *db);
void db_set_durable(struct db *db, bool durable);

/* Writes the WAL back if it has more bytes; the next commit starts it from its beginning. */
void db_checkpoint_past(struct db *db, uint64_t limit);
uint64_t db_wal_size(const struct db *db);

/* Bytes of the pages that hold something; 0 while it is not open. */
uint64_t db_used_bytes(struct db *db);

/* Runs a statement that answers nothing. */
void db_run(struct db *db, enum stmt id);

/* NEW_INODE or TOUCH_INODE */
void db_put_inode(struct db *db, enum stmt how, uint64_t ino, uint64_t size);
void db_put_dentry(struct db *db, uint64_t ino, const void *name, size_t len);

uint64_t db_row_key(uint64_t ino, uint64_t block);

/* PUT_ROW or REPLACE_ROW: a row of `len` bytes, with 8 bytes of sums to a block. */
void db_put_row(
	struct db *db, enum stmt how, uint64_t key, const void *sums, const void *data, size_t len);
void db_get_row(struct db *db, uint64_t key);

/* All rows with first <= key <= last, one after the other, into buf. Returns the bytes. */
size_t db_get_range(struct db *db, uint64_t first, uint64_t last, unsigned char *buf);

/* Overwrites piece `at` (of `len` bytes) of a column of a row, by incremental blob I/O. */
void db_patch(struct db *db, const char *column, uint64_t key, unsigned at, const void *bytes,
	unsigned len);
