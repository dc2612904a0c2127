/* Rows in the order of inodes, and how faults are told. */

#include "sqlite_check_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Steps of SQLite's virtual machine that a row is taken for: its own counter begins anew with each.
 */
#define STEPS_OF_ROW 50
/* Rows between two calls of the handler's progress. */
#define PROGRESS_ROWS 1000
/* Names that a path may have: more is a circle. */
#define DEPTH_MAX 4096

/*
 * Names have no index by inode, and most stores have no faults: so one is made when it is needed,
 * in a temporary file.
 */
static void make_places(struct check *k)
{
	static const char sql[] = "CREATE TEMP TABLE place(ino INTEGER, parent INTEGER, name,"
				  " PRIMARY KEY(ino, parent, name)) WITHOUT ROWID;"
				  "INSERT OR IGNORE INTO place SELECT ino, parent, name"
				  " FROM main.dentry WHERE length(CAST(name AS BLOB)) <= 255";
	int rc = sqlite3_exec(k->conn->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(k->conn->db,
			"SELECT parent, name FROM place WHERE ino = ?1 LIMIT 1", -1, &k->place,
			NULL);
	k->no_places = rc != SQLITE_OK;
}

/* Puts the inode's name before *start, which goes down to `low`. 1: done; 0: there is none, or no
 * room. */
static int prepend_name(struct check *k, int64_t *ino, const char *low, char **start)
{
	int found = 0;
	sqlite3_bind_int64(k->place, 1, *ino);
	if (sqlite3_step(k->place) == SQLITE_ROW) {
		const void *name = sqlite3_column_blob(k->place, 1);
		size_t len = (size_t)sqlite3_column_bytes(k->place, 1);
		if (name && (size_t)(*start - low) > len + 1) {
			*start -= len;
			memcpy(*start, name, len);
			*--*start = '/';
			*ino = sqlite3_column_int64(k->place, 0);
			found = 1;
		}
	}
	sqlite3_reset(k->place);
	return found;
}

/* A path of the inode, as far as it can be found; in buf, not at its start. NULL: none. */
static const char *path_of(struct check *k, int64_t ino, char *buf, size_t size)
{
	if (ino == STORE_ROOT_INO)
		return "/";
	if (!k->place && !k->no_places)
		make_places(k);
	if (k->no_places)
		return NULL;
	char *start = buf + size - 1;
	*start = '\0';
	for (int depth = 0; ino != STORE_ROOT_INO; depth++) {
		if (depth < DEPTH_MAX && prepend_name(k, &ino, buf + 3, &start))
			continue;
		if (*start == '\0')
			return NULL;
		start -= 3; /* the way up is lost */
		memcpy(start, "...", 3);
		break;
	}
	return start;
}

void check_fault(struct check *k, int64_t ino, int64_t offset, const char *format, ...)
{
	char what[512], path[8192];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	sq_one_line(what);
	k->summary.faults++;
	struct sqlite_check_fault fault = {
		.what = what,
		.ino = (uint64_t)ino,
		.path = ino ? path_of(k, ino, path, sizeof path) : NULL,
		.offset = offset,
	};
	k->handler->fault(k->handler->arg, &fault);
}

int check_failed(struct check *k)
{
	if (k->stopped)
		return -ECANCELED;
	int rc = sqlite3_extended_errcode(k->conn->db);
	if (rc == SQLITE_INTERRUPT && !check_progress(k))
		return -ECANCELED;
	switch (rc & 0xff) {
	case SQLITE_ERROR: /* a table or a column is missing */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_TOOBIG:
	case SQLITE_INTERRUPT: /* by nobody: there is no end to it */
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		check_fault(k, 0, -1, "%s cannot be checked any further: %s", k->step,
			sqlite3_errmsg(k->conn->db));
		return CHECK_BROKEN;
	default:
		return sq_errno(rc) ? sq_errno(rc) : -EIO;
	}
}

bool check_progress(struct check *k)
{
	k->rows = 0;
	if (k->handler->progress &&
		!k->handler->progress(k->handler->arg, k->step, k->done, k->total))
		k->stopped = true;
	return !k->stopped;
}

int cursor_next(struct cursor *c)
{
	c->row = false;
	int rc = sqlite3_step(c->st);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return check_failed(c->check);
	int64_t first = sqlite3_column_int64(c->st, 0);
	c->ino = c->keys ? first >> SQ_BLOCK_BITS : first;
	c->row = true;
	/* Rows that are read one by one, from pages that lead in a circle. */
	c->check->steps_of_rows += STEPS_OF_ROW;
	if (c->check->steps_of_rows >= CHECK_STEPS) {
		c->check->steps_of_rows = 0;
		if (c->check->budget && ++c->check->spent > c->check->budget) {
			check_fault(
				c->check, 0, -1, "%s: there is no end to the rows", c->check->step);
			c->row = false;
			return CHECK_BROKEN;
		}
	}
	if (++c->check->rows >= PROGRESS_ROWS && !check_progress(c->check))
		return -ECANCELED;
	return 0;
}

int cursor_open(struct check *k, const char *sql, bool keys, struct cursor *ret)
{
	*ret = (struct cursor){.check = k, .keys = keys};
	if (sqlite3_prepare_v2(k->conn->db, sql, -1, &ret->st, NULL) != SQLITE_OK)
		return check_failed(k);
	return cursor_next(ret);
}

void cursor_close(struct cursor *c)
{
	sqlite3_finalize(c->st);
	c->st = NULL;
	c->row = false;
}

bool cursor_least(const struct cursor *const *cursors, size_t n, int64_t *ret)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		if (cursors[i]->row && (!any || cursors[i]->ino < *ret)) {
			*ret = cursors[i]->ino;
			any = true;
		}
	}
	return any;
}
