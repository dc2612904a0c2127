/*
 * A store as an SQL client sees it: a connection of SQLite's, with the views and triggers that let
 * records be queried and changed as rows (docs/store-format.md), for recordfsctl.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct sqlite3;

/* Room for the one line that says what is wrong. */
#define SQLITE_CLIENT_WHY 512

/*
 * Opens the store, whether it is mounted or not. Its schema has been compared with the one we know,
 * so nothing runs in it that is not ours; what the file could do beyond that is switched off
 * (trusted_schema, defensive mode). Others' transactions are waited for. A commit is flushed. Who
 * may only read the file gets a connection that only reads, and with `readonly` anybody.
 * `readonly` works also where nothing can be made beside the file, as on a read-only filesystem.
 *
 * The connection is for one thread, knows the functions below, and is closed with
 * sqlite3_close(). The process must not have the store open otherwise: sqlite.h. A negative errno
 * with a line in `why`.
 *
 *   path_dir(path), path_name(path)   the inode of the directory that the path's last name is in,
 *                                     and that name, as `parent` and `name` of `records` have
 *                                     them: WHERE parent = path_dir(?1) AND name = path_name(?1)
 *   path_ino(path)                    the inode that has the path
 *
 * They search an index for each name in the path, as TEXT or as a BLOB; NULL: there is none.
 */
int sqlite_client_open(const char *path, bool readonly, struct sqlite3 **ret, char *why,
	size_t why_size) MUST_CHECK NONNULL(1, 3, 4);
