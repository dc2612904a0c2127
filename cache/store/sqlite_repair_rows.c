/*
 * What can be read of the tables of a damaged database. A table is read from both its ends up to
 * where that fails; what is between is looked for by its key, at ever greater distances, and when
 * there is something, back to where it begins. Names are in an index as well, whole: what one of
 * the two has lost may be in the other.
 */

#include "sqlite_repair_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* `from`: how rows are found; `key`: the integer in the first column by which they are sought. */
static const struct table {
	const char *name;
	const char *from;
	const char *key;
	const char *columns;
	const char *classes; /* a letter each: i integer, b blob, t text, a text or blob; a capital:
				may be NULL */
} tables[] = {
	{"store", "store NOT INDEXED", "id", "id, uuid, created, block_size, next_ino, settled",
		"ibiiii"},
	{"inode", "inode NOT INDEXED", "ino",
		"ino, mode, uid, gid, nlink, size, blocks, reserved, rdev, atime, mtime, ctime,"
		" btime, version, parent, ttl, flags, target",
		"iiiiiiiiiiiiiiiIiB"},
	{"dentry", "dentry INDEXED BY sqlite_autoindex_dentry_1", "parent",
		"parent, name, id, ino, type", "iaiii"},
	{"dentry", "dentry INDEXED BY dentry_order", "parent", "parent, name, id, ino, type",
		"iaiii"},
	{"block", "block NOT INDEXED", "key", "key, sums, data", "iBb"},
	{"hole", "hole NOT INDEXED", "key", "key, count, reserved", "iii"},
	{"xattr", "xattr NOT INDEXED", "ino", "ino, name, value", "ibb"},
	{"orphan", "orphan NOT INDEXED", "ino", "ino, mount, change", "iii"},
	{"mount", "mount NOT INDEXED", "id", "id, boot, pid, started, since, seen", "itiiii"},
	{"changelog", "changelog NOT INDEXED", "id", "id, mount, kind, ino, first, last, name",
		"iiiiIIA"},
};

struct copy {
	struct repair *m;
	const struct table *table;
	sqlite3_stmt *up;   /* rows with a key greater than ?1, from the least */
	sqlite3_stmt *down; /* all rows, from the greatest */
	sqlite3_stmt *put;
	int64_t last;	  /* key up to which all were read, going up */
	uint64_t rows;	  /* that were new */
	uint64_t there;	  /* before */
	uint64_t old;	  /* in a row that were not new */
	uint64_t strange; /* with values that cannot be there */
};

static bool fits(char class, int type)
{
	if (type == SQLITE_NULL)
		return class < 'a';
	switch (class | 0x20) {
	case 'i':
		return type == SQLITE_INTEGER;
	case 'b':
		return type == SQLITE_BLOB;
	case 't':
		return type == SQLITE_TEXT;
	default:
		return type == SQLITE_TEXT || type == SQLITE_BLOB;
	}
}

/* A value that cannot be in its column becomes 0, or NULL, or the row is left out. */
static int put_row(struct copy *c, sqlite3_stmt *from)
{
	const char *classes = c->table->classes;
	for (int i = 0; classes[i]; i++) {
		bool good = fits(classes[i], sqlite3_column_type(from, i));
		if (!good && (i == 0 || (classes[i] != 'i' && classes[i] >= 'a'))) {
			c->strange++;
			return 0;
		}
		int rc;
		if (good)
			rc = sqlite3_bind_value(c->put, i + 1, sqlite3_column_value(from, i));
		else if (classes[i] == 'i')
			rc = sqlite3_bind_int64(c->put, i + 1, 0);
		else
			rc = sqlite3_bind_null(c->put, i + 1);
		if (rc != SQLITE_OK)
			return repair_failed(c->m);
	}
	int r = repair_step(c->m, c->put);
	bool new = sqlite3_changes(c->m->db) > 0;
	c->rows += new;
	c->old = new ? 0 : c->old + 1;
	return r;
}

/* Pages that lead to each other, or to themselves, give the same rows again and again. */
static bool goes_round(const struct copy *c, bool up, int64_t key)
{
	return (up && key < c->last) || c->old > c->there + c->rows + 1000;
}

/* Is it the database that is to blame? Then what follows may be sound. */
static bool is_damage(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_IOERR ||
	       rc == SQLITE_TOOBIG || rc == SQLITE_ERROR;
}

/* 1: read to the end; 0: it broke off. */
static int read_rows(struct copy *c, sqlite3_stmt *st, bool up)
{
	int rc, r = 0;
	c->old = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t key = sqlite3_column_int64(st, 0);
		bool stop = goes_round(c, up, key);
		if (!stop && up)
			c->last = key;
		if (!stop)
			r = put_row(c, st);
		if (stop || r < 0) {
			sqlite3_reset(st);
			return r;
		}
	}
	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return 1;
	return is_damage(rc) ? 0 : -EIO;
}

/* Can the first row past `key` be read? 1: *ret is its key; 0: no; -ENOENT: there is none. */
static int probe(struct copy *c, int64_t key, int64_t *ret)
{
	sqlite3_bind_int64(c->up, 1, key);
	int rc = sqlite3_step(c->up);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(c->up, 0);
	sqlite3_reset(c->up);
	if (rc == SQLITE_ROW)
		return *ret > key;
	return rc == SQLITE_DONE ? -ENOENT : 0;
}

/* Where rows can be read again: past *ret. 1: found; 0: nowhere. */
static int find_next(struct copy *c, int64_t *ret)
{
	int64_t bad = c->last, good, found;
	for (uint64_t step = 1;; step *= 2) {
		good = bad > INT64_MAX - (int64_t)step ? INT64_MAX : bad + (int64_t)step;
		int r = probe(c, good, &found);
		if (r == 1)
			break;
		if (r == -ENOENT || good == INT64_MAX || step > INT64_MAX / 2)
			return 0;
	}
	while ((uint64_t)good - (uint64_t)bad > 1) {
		int64_t middle = (int64_t)((uint64_t)bad + ((uint64_t)good - (uint64_t)bad) / 2);
		if (probe(c, middle, &found) == 1)
			good = middle;
		else
			bad = middle;
	}
	*ret = good;
	return 1;
}

static int copy_rows(struct copy *c)
{
	sqlite3_bind_int64(c->up, 1, INT64_MIN);
	int r = read_rows(c, c->up, true);
	if (r != 0)
		return r < 0 ? r : 0;
	repair_tell(
		c->m, 0, "table %s cannot be read as a whole: what can be is kept", c->table->name);
	r = read_rows(c, c->down, false);
	while (r == 0) {
		int64_t at;
		if (!check_progress(&c->m->check))
			return -ECANCELED;
		if (!find_next(c, &at))
			return 0;
		c->last = at;
		sqlite3_bind_int64(c->up, 1, at);
		r = read_rows(c, c->up, true);
	}
	return r < 0 ? r : 0;
}

static int prepare(struct copy *c, sqlite3 *from)
{
	const struct table *t = c->table;
	char sql[512];
	snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE %s > ?1 ORDER BY %s", t->columns,
		t->from, t->key, t->key);
	if (sqlite3_prepare_v2(from, sql, -1, &c->up, NULL) != SQLITE_OK)
		return -ENOENT;
	snprintf(
		sql, sizeof sql, "SELECT %s FROM %s ORDER BY %s DESC", t->columns, t->from, t->key);
	if (sqlite3_prepare_v2(from, sql, -1, &c->down, NULL) != SQLITE_OK)
		return -ENOENT;
	size_t n = strlen(t->classes);
	snprintf(sql, sizeof sql, "INSERT OR IGNORE INTO %s(%s) VALUES(", t->name, t->columns);
	for (size_t i = 0; i < n; i++)
		strncat(sql, i ? ", ?" : "?", sizeof sql - strlen(sql) - 1);
	strncat(sql, ")", sizeof sql - strlen(sql) - 1);
	c->put = repair_query(c->m, sql);
	return c->put ? 0 : repair_failed(c->m);
}

static int copy_table(struct repair *m, const struct table *t, sqlite3 *from, uint64_t *ret_rows)
{
	struct copy c = {.m = m, .table = t, .last = INT64_MIN};
	char sql[64];
	int64_t there = 0;
	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", t->name);
	int r = repair_ask(m, sql, 0, &there);
	c.there = (uint64_t)there;
	if (r == 0)
		r = prepare(&c, from);
	if (r == 0)
		r = copy_rows(&c);
	else if (r == -ENOENT && !strstr(t->from, "dentry_order"))
		repair_tell(m, 0, "table %s is lost: %s", t->name, sqlite3_errmsg(from));
	if (c.strange)
		repair_tell(m, 0,
			c.strange == 1
				? "%llu row of table %s is left out: it has values that no row"
				  " can have"
				: "%llu rows of table %s are left out: they have values"
				  " that no row can have",
			(unsigned long long)c.strange, t->name);
	sqlite3_finalize(c.up);
	sqlite3_finalize(c.down);
	sqlite3_finalize(c.put);
	*ret_rows = c.rows;
	return r == -ENOENT ? 0 : r;
}

int repair_rows(struct repair *m, sqlite3 *from, uint64_t *ret_inodes)
{
	int r = 0;
	repair_tell(m, 0, "the database is not sound: a new one is made of what it holds");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tables); i++) {
		uint64_t rows = 0;
		m->check.step = tables[i].name;
		r = check_progress(&m->check) ? copy_table(m, &tables[i], from, &rows) : -ECANCELED;
		if (strcmp(tables[i].name, "inode") == 0)
			*ret_inodes = rows;
	}
	return r;
}
