/* Connections, prepared statements, and SQLite's errors as ours. */

#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const statement_sql[] = {
#define X(name, sql) [name] = sql,
	SQ_STATEMENTS(X)
#undef X
};

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
	case SQLITE_TOOBIG: /* a row that a damaged file has: see LENGTH_MAX */
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_BUSY: /* longer than the busy timeout: row F1 of the failure table */
	case SQLITE_LOCKED:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	default:
		return -EIO;
	}
}

int sq_errno(int rc)
{
	int r = errno_of(rc);
	if (r < 0)
		sq_cause(rc);
	return r;
}

void sq_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void sqlite_store_prepare(void)
{
	IGNORE(sqlite3_config(
		SQLITE_CONFIG_MEMSTATUS, 0)); /* SQLITE_MISUSE: it is in use already */
}

int sq_run(struct sq_conn *c, const char *sql)
{
	return sq_errno(sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

/* The bytes of the well-formed UTF-8 sequence that `p` begins with; 0: it begins with none. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
	/* Lengths by the first byte, and the range of the second one: the shortest form only, no
	 * surrogates, nothing above U+10FFFF. */
	static const struct {
		unsigned char from, to, n, low, high;
	} forms[] = {
		{0xc2, 0xdf, 2, 0x80, 0xbf},
		{0xe0, 0xe0, 3, 0xa0, 0xbf},
		{0xe1, 0xec, 3, 0x80, 0xbf},
		{0xed, 0xed, 3, 0x80, 0x9f},
		{0xee, 0xef, 3, 0x80, 0xbf},
		{0xf0, 0xf0, 4, 0x90, 0xbf},
		{0xf1, 0xf3, 4, 0x80, 0xbf},
		{0xf4, 0xf4, 4, 0x80, 0x8f},
	};
	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		size_t n = forms[i].n;
		if (p[0] < forms[i].from || p[0] > forms[i].to)
			continue;
		if (len < n || p[1] < forms[i].low || p[1] > forms[i].high)
			return 0;
		for (size_t k = 2; k < n; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return n;
	}
	return 0;
}

bool sq_is_text(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	while (len > 0) {
		size_t n = utf8_sequence(p, len);
		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

int sq_no_code(sqlite3 *db)
{
	int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	return rc;
}

/*
 * No row of a store comes near to this, nor does any SQL; those that a damaged file may have are
 * not to be loaded. (What is longer is deleted and overwritten all the same.)
 */
#define LENGTH_MAX (1 << 20)

/*
 * Pages of a damaged database may lead to themselves, so that a query for a row that is not there
 * never comes to an end. A transaction of ours takes a few thousand steps of SQLite's virtual
 * machine, and one that looks at all names 10 for each; so one that takes 2 * 10^9 is interrupted.
 */
#define TICK_STEPS 1000000
#define TICKS_MAX 2000

static int on_tick(void *conn)
{
	struct sq_conn *c = conn;
	if (sqlite3_get_autocommit(c->db))
		c->ticks = 0; /* the keeper's, or what is done once */
	return ++c->ticks > TICKS_MAX;
}

/* What holds for every connection: nothing in the file may run code of ours, cells are checked
 * before they are trusted, deleted bytes are overwritten where their page is written anyway (so a
 * byte of a record is in the file once, and to damage it is to be noticed; not elsewhere, which is
 * Debian's default and costs writes), and nobody but the keeper checkpoints. */
static int configure(sqlite3 *db)
{
	static const char pragmas[] = "PRAGMA trusted_schema = OFF;"
				      "PRAGMA cell_size_check = ON;"
				      "PRAGMA foreign_keys = OFF;"
				      "PRAGMA secure_delete = FAST;"
				      "PRAGMA mmap_size = 0;"
				      "PRAGMA temp_store = MEMORY;"
				      "PRAGMA wal_autocheckpoint = 0;"
				      "PRAGMA journal_size_limit = -1;";
	/* Of these, the one that reads the schema. A damaged one is left to whoever reads it next,
	 * who can say what is wrong. */
	static const char page_cache[] = "PRAGMA cache_size = -1024";
	sqlite3_extended_result_codes(db, 1);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
	int rc = sq_no_code(db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, page_cache, NULL, NULL, NULL);
	if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB)
		rc = SQLITE_OK;
	return sq_errno(rc);
}

char *sq_immutable_uri(const char *path)
{
	sqlite3_str *uri = sqlite3_str_new(NULL);
	sqlite3_str_appendall(uri, "file:");
	for (; *path; path++) {
		if (strchr("%?#", *path))
			sqlite3_str_appendf(uri, "%%%02x", (unsigned char)*path);
		else
			sqlite3_str_appendchar(uri, 1, *path);
	}
	sqlite3_str_appendall(uri, "?immutable=1");
	return sqlite3_str_finish(uri);
}

int sq_conn_open(const struct sqlite_store *s, struct sq_conn **ret)
{
	struct sq_conn *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	int flags =
		SQLITE_OPEN_NOMUTEX | (s->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	char *uri = s->immutable ? sq_immutable_uri(s->path) : NULL;
	int r = s->immutable && !uri ? -ENOMEM : 0;
	if (uri)
		r = sq_errno(sqlite3_open_v2(uri, &c->db, flags | SQLITE_OPEN_URI, NULL));
	else if (r == 0)
		r = sq_errno(sqlite3_open_v2(s->path, &c->db, flags, sq_vfs_name()));
	sqlite3_free(uri);
	if (r == 0) {
		c->busy_timeout_ns = s->busy_timeout_ms * INT64_C(1000000);
		sqlite3_busy_handler(c->db, sq_busy, c);
		sqlite3_progress_handler(c->db, TICK_STEPS, on_tick, c);
		r = configure(c->db);
	}
	if (r == 0)
		r = sq_file_control(c, SQLITE_FCNTL_FILE_POINTER, &c->file);
	if (r < 0) {
		sq_conn_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

int sq_file_control(struct sq_conn *c, int op, void *arg)
{
	return sq_errno(sqlite3_file_control(c->db, "main", op, arg));
}

struct sq_conn *sq_conn_close(struct sq_conn *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < SQ_STATEMENTS_N; i++)
		sqlite3_finalize(c->statement[i]);
	sqlite3_close(c->db);
	free(c);
	return NULL;
}

static int bind_one(sqlite3_stmt *st, int n, char kind, va_list *args)
{
	const void *blob;
	size_t len;
	switch (kind) {
	case 'i':
		return sqlite3_bind_int64(st, n, va_arg(*args, int64_t));
	case 'u':
		return sqlite3_bind_int64(st, n, (int64_t)va_arg(*args, uint64_t));
	case 'b':
		blob = va_arg(*args, const void *);
		/* A zero-length blob is not NULL. */
		return sqlite3_bind_blob64(
			st, n, blob ? blob : "", va_arg(*args, size_t), SQLITE_STATIC);
	case 's':
		blob = va_arg(*args, const void *);
		len = va_arg(*args, size_t);
		if (sq_is_text(blob, len))
			return sqlite3_bind_text64(st, n, blob, len, SQLITE_STATIC, SQLITE_UTF8);
		return sqlite3_bind_blob64(st, n, blob, len, SQLITE_STATIC);
	case 'z':
		return sqlite3_bind_zeroblob64(st, n, va_arg(*args, size_t));
	default:
		return sqlite3_bind_null(st, n);
	}
}

sqlite3_stmt *sq_query(struct sq_conn *c, enum sq_statement which, const char *format, ...)
{
	sqlite3_stmt *st = c->statement[which];
	if (which == SQ_BEGIN || which == SQ_BEGIN_IMMEDIATE)
		c->ticks = 0;
	if (!st) {
		if (sqlite3_prepare_v3(c->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
			    &st, NULL) != SQLITE_OK)
			return NULL;
		c->statement[which] = st;
	}
	va_list args;
	va_start(args, format);
	int rc = SQLITE_OK;
	for (int n = 1; rc == SQLITE_OK && format[n - 1]; n++)
		rc = bind_one(st, n, format[n - 1], &args);
	va_end(args);
	return rc == SQLITE_OK ? st : NULL;
}

int sq_step(sqlite3_stmt *st)
{
	if (!st)
		return -EIO;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 1;
	sqlite3_reset(st);
	return sq_errno(rc);
}

void sq_done(sqlite3_stmt *st)
{
	if (st)
		sqlite3_reset(st);
}

int sq_exec(sqlite3_stmt *st)
{
	int r = sq_step(st);
	if (r == 1)
		sq_done(st);
	return r < 0 ? r : 0;
}

int sq_scalar(sqlite3_stmt *st, int64_t *ret)
{
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	*ret = sqlite3_column_int64(st, 0);
	sq_done(st);
	return 0;
}

uint64_t sq_column_u64(sqlite3_stmt *st, int column, int *r)
{
	int64_t v = sqlite3_column_int64(st, column);
	if (v < 0) {
		*r = -EIO;
		return 0;
	}
	return (uint64_t)v;
}
