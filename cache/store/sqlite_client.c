#include "sqlite_client.h"

#include "sqlite.h"
#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 10000
#define ROOT_INO 1
#define TYPE_DIRECTORY 0040000

/* A path, taken apart. */
struct path {
	const char *dir; /* all before the last name, with its slashes */
	size_t dir_len;
	const char *name;
	size_t name_len;
};

/* False: it is none. "/" has no name. */
static bool take_apart(sqlite3_value *value, struct path *ret)
{
	const char *bytes = sqlite3_value_blob(value);
	size_t len = (size_t)sqlite3_value_bytes(value);
	if (!bytes || len == 0 || bytes[0] != '/')
		return false;
	while (len > 0 && bytes[len - 1] == '/')
		len--;
	size_t slash = len;
	while (slash > 0 && bytes[slash - 1] != '/')
		slash--;
	*ret = (struct path){bytes, slash, bytes + slash, len - slash};
	return true;
}

static int bind_name(sqlite3_stmt *st, const char *name, size_t len)
{
	return sq_is_text(name, len) ? sqlite3_bind_text(st, 2, name, (int)len, SQLITE_STATIC)
				     : sqlite3_bind_blob(st, 2, name, (int)len, SQLITE_STATIC);
}

/* The inode of an entry, 0: there is none. A result of SQLite's below 0 never comes. */
static sqlite3_int64 find_entry(
	sqlite3_stmt *st, sqlite3_int64 parent, const char *name, size_t len, int *ret_type)
{
	sqlite3_int64 ino = 0;
	if (sqlite3_bind_int64(st, 1, parent) == SQLITE_OK &&
		bind_name(st, name, len) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		ino = sqlite3_column_int64(st, 0);
		*ret_type = sqlite3_column_int(st, 1);
	}
	sqlite3_reset(st);
	return ino;
}

/* Down from the root along names with slashes between; 0: there is no such directory. */
static sqlite3_int64 walk(sqlite3_stmt *st, const char *path, size_t len)
{
	sqlite3_int64 ino = ROOT_INO;
	const char *end = path + len;
	while (ino && path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t n = (size_t)((slash ? slash : end) - path);
		int type = TYPE_DIRECTORY;
		if (n > 0)
			ino = find_entry(st, ino, path, n, &type);
		if (type != TYPE_DIRECTORY)
			ino = 0;
		path += n + (slash != NULL);
	}
	return ino;
}

static sqlite3_stmt *prepare_entry(sqlite3_context *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sqlite3_context_db_handle(ctx),
		"SELECT ino, type FROM main.dentry WHERE parent = ?1 AND name = ?2", -1, &st, NULL);
	if (rc != SQLITE_OK)
		sqlite3_result_error_code(ctx, rc);
	return st;
}

static void path_dir(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	struct path p;
	sqlite3_stmt *st = take_apart(argv[0], &p) && p.name_len ? prepare_entry(ctx) : NULL;
	sqlite3_int64 dir = st ? walk(st, p.dir, p.dir_len) : 0;
	if (dir)
		sqlite3_result_int64(ctx, dir);
	sqlite3_finalize(st);
}

static void path_name(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	struct path p;
	if (!take_apart(argv[0], &p) || p.name_len == 0)
		return;
	if (sq_is_text(p.name, p.name_len))
		sqlite3_result_text(ctx, p.name, (int)p.name_len, SQLITE_TRANSIENT);
	else
		sqlite3_result_blob(ctx, p.name, (int)p.name_len, SQLITE_TRANSIENT);
}

static void path_ino(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	struct path p;
	int type;
	sqlite3_stmt *st = take_apart(argv[0], &p) ? prepare_entry(ctx) : NULL;
	sqlite3_int64 ino = st ? walk(st, p.dir, p.dir_len) : 0;
	if (ino && p.name_len)
		ino = find_entry(st, ino, p.name, p.name_len, &type);
	if (ino)
		sqlite3_result_int64(ctx, ino);
	sqlite3_finalize(st);
}

static int add_functions(sqlite3 *db)
{
	static const struct {
		const char *name;
		void (*run)(sqlite3_context *ctx, int argc, sqlite3_value **argv);
	} functions[] = {{"path_dir", path_dir}, {"path_name", path_name}, {"path_ino", path_ino}};
	int rc = SQLITE_OK;
	for (size_t i = 0; i < ARRAY_LEN(functions) && rc == SQLITE_OK; i++)
		rc = sqlite3_create_function_v2(db, functions[i].name, 1,
			SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, functions[i].run, NULL, NULL, NULL);
	return rc;
}

static int configure(sqlite3 *db, bool readonly)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
			"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			"PRAGMA mmap_size = 0; PRAGMA synchronous = FULL;"
			"PRAGMA wal_autocheckpoint = 0",
			NULL, NULL, NULL);
	if (rc == SQLITE_OK && readonly)
		rc = sqlite3_exec(db, "PRAGMA query_only = ON", NULL, NULL, NULL);
	return rc == SQLITE_OK ? add_functions(db) : rc;
}

static int verify(sqlite3 *db, char *why, size_t why_size)
{
	struct sq_conn *c = calloc(1, sizeof *c); /* which the functions that verify ask for */
	if (!c) {
		snprintf(why, why_size, "no memory");
		return -ENOMEM;
	}
	c->db = db;
	int r = sq_verify_application(c, why, why_size);
	if (r == 0)
		r = sq_verify_format(c, why, why_size);
	if (r == 0)
		r = sq_verify_schema(c, why, why_size);
	free(c);
	return r;
}

/* `immutable`: as a file that nobody writes to. */
static int open_as(const char *path, bool readonly, bool immutable, struct sqlite3 **ret, char *why,
	size_t why_size)
{
	sqlite3 *db = NULL;
	char *uri = immutable ? sq_immutable_uri(path) : NULL;
	int r = 0, rc = SQLITE_NOMEM;
	if (uri)
		rc = sqlite3_open_v2(uri, &db,
			SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	else if (!immutable)
		rc = sqlite3_open_v2(
			path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, sq_vfs_name());
	sqlite3_free(uri);
	if (rc == SQLITE_OK)
		rc = configure(db, readonly);
	if (rc != SQLITE_OK) {
		int code = db ? sqlite3_extended_errcode(db) : rc;
		if (!sq_explain_open(path, readonly, code, why, why_size))
			snprintf(why, why_size, "%s: cannot open the store: %s", path,
				db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
		r = sq_errno(rc);
	} else {
		r = verify(db, why, why_size);
	}
	if (r < 0)
		sqlite3_close(db);
	else
		*ret = db;
	return r;
}

int sqlite_client_open(
	const char *path, bool readonly, struct sqlite3 **ret, char *why, size_t why_size)
{
	int r = sqlite_is_store(path, why, why_size);
	if (r < 0)
		return r;
	readonly = readonly || access(path, W_OK) < 0;
	r = open_as(path, readonly, false, ret, why, why_size);
	bool known = r == -EPROTO || r == -EPROTONOSUPPORT;
	/* Where there is no room for SQLite's locks, on a read-only filesystem or in a directory of
	 * others, a mount and a backup read the file alone as well: sqlite_store.c. */
	if (r < 0 && !known && readonly && !sq_directory_writable(path) &&
		!sq_has_beside(path, "-wal") && !sq_strangers_beside(path, why, why_size))
		r = open_as(path, true, true, ret, why, why_size);
	if (r < 0)
		sq_one_line(why);
	return r;
}
