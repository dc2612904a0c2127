/* The files of the log beside a database that is only read. */

#include "sqlite_internal.h"
#include "trust.h"

#include <errno.h>
#include <stdio.h>
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

static bool is_full(const char *path)
{
	struct statvfs fs;
	return statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < INDEX_ROOM;
}

/* May files be made there? 0, or an errno. */
static int look_at_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int error = !dir ? ENOMEM : access(dir, W_OK) < 0 ? errno : 0;
	free(dir);
	return error;
}

bool sq_directory_writable(const char *path)
{
	return !is_full(path) && look_at_directory(path) == 0;
}

bool sq_strangers_beside(const char *path, char *why, size_t why_size)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	bool found = false;
	for (size_t i = 0; i < ARRAY_LEN(suffixes) && !found; i++) {
		char *file = sqlite3_mprintf("%s%s", path, suffixes[i]);
		found = file && trust_file(file) < 0;
		if (found)
			snprintf(why, why_size,
				"%s: another user's, or no plain file, in a directory that"
				" anybody may write to; do this as that user, or let nobody else"
				" write there (chmod o-w)",
				file);
		sqlite3_free(file);
	}
	return found;
}

/* One that is there, and may not be used. */
static bool explain_beside(const char *path, const char *suffix, char *why, size_t why_size)
{
	char *file = sqlite3_mprintf("%s%s", path, suffix);
	bool found = file && access(file, F_OK) == 0 && access(file, R_OK | W_OK) < 0;
	if (found)
		snprintf(why, why_size,
			"%s: cannot be read and written (%s), as it has to be to use the store;"
			" do this as its owner",
			file, strerror(errno));
	sqlite3_free(file);
	return found;
}

/* May it be that something beside the store, or its mode, is in the way? */
static bool is_of_place(int code)
{
	switch (code & 0xff) {
	case SQLITE_CANTOPEN:
	case SQLITE_FULL:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return true;
	case SQLITE_IOERR:
		return code != SQLITE_IOERR_NOMEM;
	default:
		return false;
	}
}

bool sq_explain_open(const char *path, bool readonly, int code, char *why, size_t why_size)
{
	if (sq_strangers_beside(path, why, why_size))
		return true;
	if (!is_of_place(code))
		return false;
	bool write = !readonly && access(path, W_OK) < 0;
	int error = write ? errno : look_at_directory(path);
	if (write)
		snprintf(why, why_size, "%s: cannot be written: %s", path, strerror(error));
	else if (explain_beside(path, "-wal", why, why_size) ||
		 explain_beside(path, "-shm", why, why_size))
		return true;
	else if (error)
		snprintf(why, why_size,
			"%s: its directory cannot be written (%s), where a log is kept while the"
			" store is in use; copy it to where it can be",
			path, strerror(error));
	else if (is_full(path))
		snprintf(why, why_size,
			"%s: no space left beside it, where a log is kept while the store is in"
			" use; make room",
			path);
	else
		return false;
	return true;
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
