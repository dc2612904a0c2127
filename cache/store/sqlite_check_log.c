/* Are the rows of the change log ones that a mount can follow? */

#include "sqlite_check_internal.h"

#include <string.h>

/* A name that is too long is not loaded: its length tells. The columns of CHECK_LOG_SQL. */
enum { INO, ID, MOUNT, KIND, FIRST, LAST, NAME };

static bool is_null(const struct cursor *c, int column)
{
	return sqlite3_column_type(c->st, column) == SQLITE_NULL;
}

static bool valid_range(const struct cursor *c)
{
	int64_t first = cursor_int(c, FIRST);
	return !is_null(c, FIRST) && first >= 0 && first < (int64_t)1 << SQ_BLOCK_BITS &&
	       (is_null(c, LAST) || cursor_int(c, LAST) >= first);
}

static bool valid_name(const struct cursor *c)
{
	int class = sqlite3_column_type(c->st, NAME);
	const char *name = sqlite3_column_blob(c->st, NAME);
	size_t len = (size_t)sqlite3_column_bytes(c->st, NAME);
	if (!name || len == 0 || len > STORE_NAME_MAX || memchr(name, '\0', len))
		return false;
	return class == (sq_is_text(name, len) ? SQLITE_TEXT : SQLITE_BLOB);
}

const char *check_log_row(const struct cursor *c)
{
	int64_t kind = cursor_int(c, KIND);
	if (cursor_int(c, ID) < 1 || cursor_int(c, ID) > SQ_LOG_ID_MAX)
		return "its id is out of range";
	if (cursor_int(c, MOUNT) < 0)
		return "its mount is negative";
	if (kind < SQ_LOG_ATTR || kind > SQ_LOG_ENTERED)
		return "its kind is not known";
	if (kind != SQ_LOG_ENTERED && (c->ino < 1 || c->ino > (int64_t)SQ_INO_MAX))
		return "its inode is out of range";
	if (kind == SQ_LOG_DATA && !valid_range(c))
		return "its blocks are out of range";
	if (kind == SQ_LOG_NAME && !valid_name(c))
		return "its name is not valid, or of the wrong class";
	if (kind != SQ_LOG_NAME && !is_null(c, NAME))
		return "it has a name, though it is about none";
	return NULL;
}

int check_changelog(struct check *k)
{
	struct cursor c;
	int r = cursor_open(k, CHECK_LOG_SQL, false, &c);
	while (r == 0 && c.row) {
		const char *what = check_log_row(&c);
		if (what)
			check_fault(k, 0, -1, "row %lld of the change log: %s",
				(long long)cursor_int(&c, ID), what);
		r = cursor_next(&c);
	}
	cursor_close(&c);
	return r;
}
