/*
 * A VFS for SQLite that writes the log (WAL) in large pieces, see sqlite_vfs.c, and reads the
 * database in large pieces, or says what it reads, where it is told to.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3_file;
struct sqlite3_vfs;

/* The most that one write to the log holds, and so the most that waits in memory. */
#define SQ_VFS_GATHER 126976

/* The name of such a VFS over the one that is SQLite's default now; registered for good when it is
 * asked for first. NULL, which names the default: no memory for it. */
const char *sq_vfs_name(void) MUST_CHECK;

/* The VFS that does the work for one of ours; any other: itself. */
const struct sqlite3_vfs *sq_vfs_below(const struct sqlite3_vfs *vfs) MUST_CHECK NONNULL(1);

/* From now on `fn(arg, at)` is called before each read of the database `file` at byte `at`. NULL:
 * no more of that. For the thread that uses the file's connection. What is not a file of such a
 * VFS, or NULL, is left alone. */
typedef void sq_vfs_read_fn(void *arg, int64_t at);
void sq_vfs_on_read(struct sqlite3_file *file, sq_vfs_read_fn *fn, void *arg);

/*
 * From now on, where pages of the database `file` are read one after the other, SQ_VFS_RUN bytes
 * are read at a time, or `bytes` if these are fewer. 0 bytes: no more of that, and what was read so
 * is forgotten. For the thread that uses the file's connection, within one read transaction that
 * writes nothing: in it no checkpoint alters a page that the transaction reads from the database
 * and not from the log. What is not a file of such a VFS, or NULL, is left alone.
 */
#define SQ_VFS_RUN ((size_t)64 << 10)
void sq_vfs_runs(struct sqlite3_file *file, size_t bytes);

/* Has a flush of this file failed since that was asked last? By the thread that uses its
 * connection. NULL, or not a file of ours: no. */
bool sq_vfs_flush_failed(struct sqlite3_file *f) MUST_CHECK;
