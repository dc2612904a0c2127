/* Opens a store to be checked, and goes through the checks. */

#include "sqlite_check_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to wait for others' locks, which nobody holds for long. */
#define BUSY_TIMEOUT_MS 10000
/* Faults that SQLite finds in its own structures, at most. */
#define INTEGRITY_FAULTS "1000"
/* Steps of SQLite's virtual machine for each byte of the database that one check may take, at most:
 * it needs less than 1. */
#define STEPS_PER_BYTE 100

/* -- checks of what is there only once ----------------------------------------------------------
 */

/* The b-trees, the free list, the indexes, and the types of columns. */
static int check_integrity(struct check *k)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(
		k->conn->db, "PRAGMA main.integrity_check(" INTEGRITY_FAULTS ")", -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(st, 0);
		if (text && strcmp(text, "ok") != 0)
			check_fault(k, 0, -1, "%s", text);
		rc = SQLITE_OK;
	}
	int r = rc == SQLITE_DONE ? 0 : check_failed(k);
	sqlite3_finalize(st);
	return r;
}

/* Tells the handler whom to interrupt. */
static void tell_working(const struct sqlite_check_handler *handler, sqlite3 *db)
{
	if (handler->working)
		handler->working(handler->arg, db);
}

static int check_schema(struct check *k)
{
	char why[SQLITE_STORE_WHY] = "";
	int r = sq_verify_schema(k->conn, why, sizeof why);
	if (r != -EPROTO && r != -EIO)
		return r;
	if (!check_progress(k))
		return -ECANCELED; /* interrupted */
	const char *path = sqlite3_db_filename(k->conn->db, "main");
	size_t len = strlen(path); /* who reads this knows which file it is about */
	bool named = strncmp(why, path, len) == 0 && strncmp(why + len, ": ", 2) == 0;
	check_fault(k, 0, -1, "%s", named ? why + len + 2 : why);
	return CHECK_BROKEN;
}

static void judge_store_row(struct check *k, const struct cursor *c)
{
	int64_t block_size = cursor_int(c, 1), next_ino = cursor_int(c, 2), last = cursor_int(c, 3);
	/* SQLite forgets about CHECK constraints where it opens a file for reading only. */
	if (cursor_int(c, 4) != 1)
		check_fault(k, 0, -1, "the id of the store's row is %lld, it must be 1",
			(long long)cursor_int(c, 4));
	if (cursor_int(c, 0) != 16)
		check_fault(k, 0, -1, "the store's uuid is %lld byte%s long",
			(long long)cursor_int(c, 0), check_plural(cursor_int(c, 0)));
	if (block_size != STORE_BLOCK_SIZE)
		check_fault(k, 0, -1, "the store's block size is %lld", (long long)block_size);
	if (next_ino <= last || next_ino > (int64_t)SQ_INO_MAX + 1)
		check_fault(k, 0, -1,
			"the next inode to be is %lld, but there is an inode %lld already",
			(long long)next_ino, (long long)last);
}

static int check_store_row(struct check *k)
{
	struct cursor c;
	int rows = 0;
	int r = cursor_open(k,
		"SELECT length(uuid), block_size, next_ino, (SELECT coalesce(max(ino), 0)"
		" FROM inode), id FROM store",
		false, &c);
	while (r == 0 && c.row) {
		rows++;
		judge_store_row(k, &c);
		r = cursor_next(&c);
	}
	cursor_close(&c);
	if (r == 0 && rows != 1)
		check_fault(k, 0, -1, "table store has %d rows, it must have one", rows);
	return r;
}

static const struct {
	const char *step;
	int (*run)(struct check *k);
} checks[] = {
	{"structure", check_integrity},
	{"schema", check_schema},
	{"store", check_store_row},
	{"inodes", check_inodes},
	{"orphans", check_orphans},
	{"attributes", check_xattrs},
	{"entries", check_entries},
	{"order of entries", check_entry_ids},
	{"names", check_names},
	{"directories", check_directories},
	{"tree", check_tree},
	{"change log", check_changelog},
	{"data", check_data},
};

/* -- opening ------------------------------------------------------------------------------------
 */

int sqlite_is_store(const char *path, char *why, size_t why_size)
{
	enum sq_format format;
	int r = sq_recognise(path, &format, why, why_size);
	if (r < 0 || format == SQ_FORMAT_OURS || format == SQ_FORMAT_OLD)
		return r;
	bool empty = format == SQ_FORMAT_EMPTY;
	snprintf(why, why_size, "%s: %s; name a recordfs store", path,
		empty ? "an empty file" : "there is no such file");
	return empty ? -EPROTO : -ENOENT;
}

/* What a failure that is not the store's own is told as. */
static void explain(const char *path, const struct check *k, int r, char *why, size_t why_size)
{
	sqlite3 *db = k->conn ? k->conn->db : NULL;
	int rc = db ? sqlite3_errcode(db) : SQLITE_OK;
	if (r == -ECANCELED)
		snprintf(why, why_size, "%s: stopped", path);
	else if (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY)
		snprintf(why, why_size,
			"%s: cannot open it and its log, which needs to make a file beside it"
			" (or a temporary one); copy both to a directory that can be written to",
			path);
	else
		snprintf(why, why_size, "%s: cannot check the store: %s", path,
			rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE
				? strerror(-r)
				: sqlite3_errmsg(db));
}

/* Read-only, nothing in the file may run code, what is sorted is not in memory, and what is in the
 * log stays there. */
static int configure(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, CHECK_LENGTH_MAX);
	int rc = sq_no_code(db);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
			"PRAGMA trusted_schema = OFF; PRAGMA temp_store = FILE;"
			"PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
			"PRAGMA cache_size = -16384",
			NULL, NULL, NULL);
	return rc;
}

int check_on_the_way(void *check)
{
	struct check *k = check;
	if (!check_progress(k))
		return 1;
	return k->budget && ++k->spent > k->budget;
}

static void set_budget(struct check *k)
{
	sqlite3_stmt *st = NULL;
	int64_t bytes = 0;
	if (sqlite3_prepare_v2(k->conn->db,
		    "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", -1,
		    &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW)
		bytes = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	k->budget = (uint64_t)bytes / CHECK_STEPS * STEPS_PER_BYTE + 2 * STEPS_PER_BYTE;
}

void check_begin_step(struct check *k, const char *step)
{
	k->step = step;
	k->spent = 0;
	if (k->budget == 0)
		set_budget(k);
}

/* A connection that sees one moment's state, until it is closed. */
static int begin(struct check *k, const char *path, bool immutable)
{
	k->conn = calloc(1, sizeof *k->conn);
	char *uri = immutable ? sq_immutable_uri(path) : NULL;
	if (!k->conn || (immutable && !uri))
		return -ENOMEM;
	int rc = sqlite3_open_v2(uri ? uri : path, &k->conn->db,
		SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | (uri ? SQLITE_OPEN_URI : 0), NULL);
	sqlite3_free(uri);
	if (rc == SQLITE_OK)
		tell_working(k->handler, k->conn->db);
	if (rc == SQLITE_OK)
		rc = configure(k->conn->db);
	if (rc == SQLITE_OK)
		sqlite3_progress_handler(k->conn->db, CHECK_STEPS, check_on_the_way, k);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
			k->conn->db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : check_failed(k);
}

int check_run_all(struct check *k)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		check_begin_step(k, checks[i].step);
		if (!check_progress(k))
			return -ECANCELED;
		int r = checks[i].run(k);
		if (r < 0 && r != CHECK_BROKEN)
			return r;
	}
	return 0;
}

static int check_all(struct check *k, const char *path, bool immutable, char *why, size_t why_size)
{
	k->step = "store";
	int r = begin(k, path, immutable);
	if (r == 0)
		r = sq_verify_application(k->conn, why, why_size);
	if (r == 0)
		r = sq_verify_format(k->conn, why, why_size);
	if (r == -EIO && !check_progress(k)) {
		why[0] = '\0'; /* interrupted */
		r = -ECANCELED;
	}
	if (r == 0)
		r = check_run_all(k);
	return r == CHECK_BROKEN ? 0 : r;
}

int sqlite_check(const char *path, const struct sqlite_check_handler *handler,
	struct sqlite_check_summary *ret, char *why, size_t why_size)
{
	int r = sqlite_is_store(path, why, why_size);
	if (r < 0)
		return r;
	struct check k = {.handler = handler};
	CLEANUP(sq_side_files_free) struct sq_side_files files = {0};
	r = sq_side_files_find(path, &files);
	bool bare = !files.log_there && !files.index_there;
	if (r == 0)
		r = check_all(&k, path, bare && !sq_directory_writable(path), why, why_size);
	if (r < 0 && r != -EPROTO && r != -EPROTONOSUPPORT)
		explain(path, &k, r, why, why_size);
	tell_working(handler, NULL);
	sqlite3_finalize(k.place);
	k.conn = sq_conn_close(k.conn);
	if (files.index) /* else there was nothing opened either */
		sq_side_files_tidy(path, &files);
	if (r == 0)
		*ret = k.summary;
	else
		sq_one_line(why);
	return r;
}
