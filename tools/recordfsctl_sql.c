/* recordfsctl sql [--json | --csv] [--header] [--readonly] STORE|MOUNTPOINT QUERY */

#include "cache/store/sqlite_client.h"
#include "recordfsctl.h"
#include "recordfsctl_json.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>

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

/* A message of SQLite's, in one line. */
static int refused(sqlite3 *db, int rc)
{
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

static int run_all(sqlite3 *db, const char *query, enum form form, bool header)
{
	while (*query) {
		sqlite3_stmt *st = NULL;
		int rc = sqlite3_prepare_v2(db, query, -1, &st, &query);
		if (rc == SQLITE_OK && st)
			rc = run_statement(st, form, header);
		int status = rc == SQLITE_OK || rc == SQLITE_DONE ? DONE : refused(db, rc);
		sqlite3_finalize(st);
		if (status != DONE)
			return status;
	}
	if (!sqlite3_get_autocommit(db))
		return complain("sql: the transaction has no COMMIT at its end: it is undone");
	return DONE;
}

static int sql(const char *store, const char *query, enum form form, bool header, bool readonly)
{
	sqlite3 *db = NULL;
	char why[SQLITE_CLIENT_WHY];
	struct progress p; /* for its signals alone */
	if (sqlite_client_open(store, readonly, &db, why, sizeof why) < 0)
		return complain("%s", why);
	progress_begin(&p, "running", PROGRESS_COUNT, true);
	sqlite3_progress_handler(db, STEPS, stop_if_interrupted, NULL);
	int status = run_all(db, query, form, header);
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
			form = CSV;
			break;
		case 'j':
			form = JSON;
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
	int status = sql(t.store, argv[optind + 1], form, header || form == CSV, readonly);
	target_free(&t);
	return status;
}
