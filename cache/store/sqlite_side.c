/* The files of the log beside a database that is only read. */

#include "sqlite_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void sq_side_files_free(struct sq_side_files *f)
{
	sqlite3_free(f->log);
	sqlite3_free(f->index);
}

int sq_side_files_find(const char *path, struct sq_side_files *ret)
{
	ret->log = sqlite3_mprintf("%s-wal", path);
	ret->index = sqlite3_mprintf("%s-shm", path);
	if (!ret->log || !ret->index)
		return -ENOMEM;
	ret->log_there = access(ret->log, F_OK) == 0;
	ret->index_there = access(ret->index, F_OK) == 0;
	return 0;
}

/* SQLite's index of the log is half as long, at least. */
#define INDEX_ROOM (64U << 10)

bool sq_directory_writable(const char *path)
{
	struct statvfs fs;
	if (statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < INDEX_ROOM)
		return false;
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	bool writable = dir && access(dir, W_OK) == 0;
	free(dir);
	return writable;
}

/*
 * Reading made SQLite create the files of the log. Opening the store for writing and closing it
 * again takes them away, safely: SQLite does that only when nobody else has the store open, and
 * with an empty log it writes nothing.
 */
void sq_side_files_tidy(const char *path, const struct sq_side_files *before)
{
	struct stat st;
	if (before->log_there || before->index_there || stat(before->log, &st) < 0 ||
		st.st_size > 0 || access(path, W_OK) != 0)
		return;
	sqlite3 *db = NULL;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
		SQLITE_OK)
		sqlite3_exec(db,
			"PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;"
			"SELECT count(*) FROM sqlite_schema",
			NULL, NULL, NULL);
	sqlite3_close(db);
}
