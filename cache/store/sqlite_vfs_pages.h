/*
 * Pages of a database that are read one after the other, of which more are read at a time than
 * SQLite asks for: a part of the VFS, see sq_vfs_runs() in sqlite_vfs.h. By the thread that uses
 * the file's connection.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3_file;

/* All zeros: reads nothing. */
struct vfs_pages {
	int size;	      /* bytes to read at a time; 0: what is asked for */
	int in_row;	      /* pages that were read one after the other */
	int64_t next;	      /* where the last of them ends */
	unsigned char *bytes; /* SQ_VFS_RUN, once needed */
	int n;		      /* bytes of it are there, */
	int64_t at;	      /* from here on */
};

/* Forgets what it has; from now on so many bytes at a time, in whole pages, SQ_VFS_RUN at most. */
void vfs_pages_begin(struct vfs_pages *p, size_t bytes) NONNULL(1);

/* Reads `n` bytes at `at` from what was read with others, maybe now, from `below`. False: they are
 * to be read alone. */
bool vfs_pages_read(struct vfs_pages *p, struct sqlite3_file *below, void *to, int n,
	int64_t at) MUST_CHECK NONNULL(1, 2, 3);

void vfs_pages_fini(struct vfs_pages *p) NONNULL(1);
