/* recordfsctl sql [--json | --csv] [--header] [--readonly] STORE|MOUNTPOINT QUERY */

#include "cache/store/sqlite_client.h"
#include "recordfsctl.h"
#include "recordfsctl_json.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

enum form { LIST, CSV, JSON };

/* Steps of SQLite's virtual machine between two looks at whether it is to stop. */
#define STEPS 10000

static int stop_if_interrupted(void *arg)
{
	(void)arg;
	return interrupted();
}

/* As the sqlite3 shell prints it: bytes as they are. */
static void print_plain(sqlite3_stmt *st, int column)
{
	if (sqlite3_column_type(st, column) == SQLITE_BLOB) {
		const void *bytes = sqlite3_column_blob(st, column);
		size_t n = (size_t)sqlite3_column_bytes(st, column);
		if (n > 0)
			fwrite(bytes, 1, n, stdout);
		return;
	}
	const unsigned char *text = sqlite3_column_text(st, column);
	if (text)
		fwrite(text, 1, (size_t)sqlite3_column_bytes(st, column), stdout);
}

static void print_csv_field(const char *bytes, size_t n)
{
	bool quoted = false;
	for (size_t i = 0; i < n && !quoted; i++)
		quoted = strchr("\",\r\n", bytes[i]) != NULL;
	if (!quoted) {
		fwrite(bytes, 1, n, stdout);
		return;
	}
	putchar('"');
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '"')
			putchar('"');
		putchar(bytes[i]);
	}
	putchar('"');
}

static void print_csv(sqlite3_stmt *st, int column)
{
	bool blob = sqlite3_column_type(st, column) == SQLITE_BLOB;
	const void *bytes = blob ? sqlite3_column_blob(st, column)
				 : (const void *)sqlite3_column_text(st, column);
	if (bytes)
		print_csv_field(bytes, (size_t)sqlite3_column_bytes(st, column));
}

static void print_json(sqlite3_stmt *st, int column)
{
	switch (sqlite3_column_type(st, column)) {
	case SQLITE_NULL:
		fputs("null", stdout);
		break;
	case SQLITE_INTEGER:
		printf("%" PRId64, (int64_t)sqlite3_column_int64(st, column));
		break;
	case SQLITE_FLOAT:
		json_number(stdout, sqlite3_column_double(st, column));
		break;
	default: {
		const void *bytes = sqlite3_column_blob(st, column);
		json_bytes(stdout, bytes ? bytes : "", (size_t)sqlite3_column_bytes(st, column));
	}
	}
}

static void print_row(sqlite3_stmt *st, enum form form, bool first)
{
	int n = sqlite3_column_count(st);
	if (form == JSON)
		fputs(first ? "[{" : ",\n{", stdout);
	for (int i = 0; i < n; i++) {
		if (i > 0)
			putchar(form == LIST ? '|' : ',');
		if (form == LIST) {
			print_plain(st, i);
		} else if (form == CSV) {
			print_csv(st, i);
		} else {
			const char *name = sqlite3_column_name(st, i);
			json_bytes(stdout, name, strlen(name));
			putchar(':');
			print_json(st, i);
		}
	}
	fputs(form == JSON ? "}" : form == CSV ? "\r\n" : "\n", stdout);
}

static void print_header(sqlite3_stmt *st, enum form form)
{
	int n = sqlite3_column_count(st);
	for (int i = 0; i < n; i++) {
		const char *name = sqlite3_column_name(st, i);
		if (i > 0)
			putchar(form == LIST ? '|' : ',');
		if (form == CSV)
			print_csv_field(name, strlen(name));
		else
			fputs(name, stdout);
	}
	fputs(form == CSV ? "\r\n" : "\n", stdout);
}

/* One statement. SQLITE_DONE: it has worked. */
static int run_statement(sqlite3_stmt *st, enum form form, bool header)
{
	bool any = false;
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !ferror(stdout)) {
		if (!any && header && form != JSON)
			print_header(st, form);
		print_row(st, form, !any);
		any = true;
	}
	if (form == JSON && any)
		fputs("]\n", stdout);
	return ferror(stdout) ? SQLITE_DONE : rc;
}

/* What may be given a value: it ends with the connection, or is an argument of a question. */
static bool is_harmless_pragma(const char *name)
{
	static const char *const harmless[] = {"analysis_limit", "automatic_index", "busy_timeout",
		"cache_size", "cache_spill", "case_sensitive_like", "foreign_key_check",
		"foreign_key_list", "hard_heap_limit", "incremental_vacuum", "index_info",
		"index_list", "index_xinfo", "integrity_check", "quick_check", "recursive_triggers",
		"reverse_unordered_selects", "soft_heap_limit", "table_info", "table_list",
		"table_xinfo", "temp_store", "threads", "wal_checkpoint"};
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (sqlite3_stricmp(name, harmless[i]) == 0)
			return true;
	return false;
}

/* sqlite3_set_authorizer(): the schema of the store and its settings stay as they are, or nobody
 * would take it for a store any more. Temporary tables, triggers, views are the client's own. */
static int authorize(void *arg, int action, const char *first, const char *second,
	const char *database, const char *trigger)
{
	(void)arg;
	(void)trigger;
	switch (action) {
	case SQLITE_CREATE_INDEX:
	case SQLITE_CREATE_TABLE:
	case SQLITE_CREATE_TRIGGER:
	case SQLITE_CREATE_VIEW:
	case SQLITE_CREATE_VTABLE:
	case SQLITE_DROP_INDEX:
	case SQLITE_DROP_TABLE:
	case SQLITE_DROP_TRIGGER:
	case SQLITE_DROP_VIEW:
	case SQLITE_DROP_VTABLE:
	case SQLITE_ANALYZE: /* makes tables */
		return database && sqlite3_stricmp(database, "main") != 0 ? SQLITE_OK : SQLITE_DENY;
	case SQLITE_ALTER_TABLE:
		return sqlite3_stricmp(first, "main") != 0 ? SQLITE_OK : SQLITE_DENY;
	case SQLITE_PRAGMA:
		if (sqlite3_stricmp(first, "optimize") == 0)
			return SQLITE_DENY;
		return !second || is_harmless_pragma(first) ? SQLITE_OK : SQLITE_DENY;
	default:
		return SQLITE_OK;
	}
}

/* A message of SQLite's, in one line. */
static int refused(sqlite3 *db, int rc, const struct target *t)
{
	if ((rc & 0xff) == SQLITE_READONLY && t->readonly)
		return target_is_readonly(t);
	if ((rc & 0xff) == SQLITE_READONLY && access(t->store, W_OK) < 0)
		return complain("%s: cannot be written: %s", t->store, strerror(errno));
	if ((rc & 0xff) == SQLITE_READONLY)
		return complain("sql: --readonly refuses what changes something");
	if ((rc & 0xff) == SQLITE_AUTH)
		return complain("sql: a store's schema and settings cannot be changed (but CREATE"
				" TEMP TABLE works); what can is in recordfsctl(1), sql");
	if (rc == SQLITE_INTERRUPT)
		return complain("sql: interrupted; what was not committed is undone");
	if ((rc & 0xff) == SQLITE_BUSY)
		return complain("sql: others have kept the store busy for 10 s; try again");
	char line[512];
	snprintf(line, sizeof line, "%s", sqlite3_errmsg(db));
	for (char *c = line; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = ' ';
	return complain("sql: %s", line);
}

static int run_all(
	sqlite3 *db, const struct target *t, const char *query, enum form form, bool header)
{
	while (*query) {
		sqlite3_stmt *st = NULL;
		int rc = sqlite3_prepare_v2(db, query, -1, &st, &query);
		if (rc == SQLITE_OK && st)
			rc = run_statement(st, form, header);
		int status = rc == SQLITE_OK || rc == SQLITE_DONE ? DONE : refused(db, rc, t);
		sqlite3_finalize(st);
		if (status != DONE)
			return status;
	}
	if (!sqlite3_get_autocommit(db))
		return complain("sql: the transaction has no COMMIT at its end: it is undone");
	return DONE;
}

static int sql(
	const struct target *t, const char *query, enum form form, bool header, bool readonly)
{
	sqlite3 *db = NULL;
	char why[SQLITE_CLIENT_WHY];
	struct progress p; /* for its signals alone */
	if (sqlite_client_open(t->store, readonly || t->readonly, &db, why, sizeof why) < 0)
		return complain("%s", why);
	progress_begin(&p, "running", PROGRESS_COUNT, true);
	sqlite3_progress_handler(db, STEPS, stop_if_interrupted, NULL);
	sqlite3_set_authorizer(db, authorize, NULL);
	int status = run_all(db, t, query, form, header);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	progress_end(&p);
	sqlite3_close(db);
	return status;
}

int ctl_sql(int argc, char **argv)
{
	static const struct option options[] = {{"csv", no_argument, NULL, 'c'},
		{"header", no_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'}, {"readonly", no_argument, NULL, 'r'}, {0}};
	enum form form = LIST;
	bool header = false, readonly = false;
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			return print_help("sql");
		case 'c':
		case 'j':
			if (form != LIST && form != (option == 'c' ? CSV : JSON))
				return misused("sql: one of --json and --csv");
			form = option == 'c' ? CSV : JSON;
			break;
		case 't':
			header = true;
			break;
		case 'r':
			readonly = true;
			break;
		default:
			return misused_option();
		}
	}
	if (argc - optind != 2)
		return misused("sql: name a STORE or MOUNTPOINT, and one QUERY in quotes");
	struct target t;
	if (target_find(argv[optind], &t) < 0)
		return FAILED;
	int status = sql(&t, argv[optind + 1], form, header || form == CSV, readonly);
	target_free(&t);
	return status;
}
