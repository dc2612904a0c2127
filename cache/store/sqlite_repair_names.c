/* Mends names: each leads from a directory to an inode, and from the root to each inode. */

#include "sqlite_repair_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IS_DIRECTORY "(SELECT mode & 61440 FROM inode i WHERE i.ino = "

/* -- the names that cannot stay as they are ------------------------------------------------------
 */

static int free_name(struct repair *m, int64_t parent, const char *stem, char *ret, size_t size)
{
	CLEANUP(repair_done)
	sqlite3_stmt *st = repair_query(m, "SELECT 1 FROM dentry WHERE parent = ?1 AND name = ?2");
	int rc = SQLITE_ROW;
	if (!st)
		return repair_failed(m);
	for (unsigned n = 0; rc == SQLITE_ROW; n++) {
		if (n)
			snprintf(ret, size, "%s.%u", stem, n);
		else
			snprintf(ret, size, "%s", stem);
		sqlite3_bind_int64(st, 1, parent);
		sqlite3_bind_text(st, 2, ret, -1, SQLITE_STATIC);
		rc = sqlite3_step(st);
		sqlite3_reset(st);
	}
	return rc == SQLITE_DONE ? 0 : repair_failed(m);
}

/* Is there another entry of the same name, of the class that it should have? */
static bool is_double(struct repair *m, int64_t parent, const void *name, int len, bool text)
{
	CLEANUP(repair_done)
	sqlite3_stmt *st = repair_query(m, "SELECT 1 FROM dentry WHERE parent = ?1 AND name = ?2");
	if (!st)
		return true;
	sqlite3_bind_int64(st, 1, parent);
	if (text)
		sqlite3_bind_text(st, 2, name, len, SQLITE_STATIC);
	else
		sqlite3_bind_blob(st, 2, name, len, SQLITE_STATIC);
	return sqlite3_step(st) != SQLITE_DONE;
}

/* Gives an entry a name that is valid; as near to the one that it has as can be. */
static int rename_entry(struct repair *m, sqlite3_stmt *bad, sqlite3_stmt *set)
{
	int64_t parent = sqlite3_column_int64(bad, 0), ino = sqlite3_column_int64(bad, 2);
	const char *name = sqlite3_column_blob(bad, 1);
	int len = sqlite3_column_bytes(bad, 1), type = sqlite3_column_type(bad, 1);
	bool class = type == SQLITE_TEXT || type == SQLITE_BLOB;
	bool text = class && name && sq_is_text(name, (size_t)len);
	char stem[40], other[60];
	if (class && check_name_valid(name, (size_t)len) &&
		!is_double(m, parent, name, len, text)) {
		repair_tell(m, ino, "the class of its name is set right");
		if (text)
			sqlite3_bind_text(set, 1, name, len, SQLITE_STATIC);
		else
			sqlite3_bind_blob(set, 1, name, len, SQLITE_STATIC);
	} else {
		snprintf(stem, sizeof stem, "#%lld", (long long)ino);
		int r = free_name(m, parent, stem, other, sizeof other);
		if (r < 0)
			return r;
		repair_tell(m, ino, "its name was not valid, and is %s now", other);
		sqlite3_bind_text(set, 1, other, -1, SQLITE_STATIC);
	}
	sqlite3_bind_int64(set, 2, parent);
	sqlite3_bind_value(set, 3, sqlite3_column_value(bad, 1));
	return repair_step(m, set);
}

/* All names are looked at; those that are wrong are kept in a table, and set right after. */
static int find_bad_names(struct repair *m)
{
	CLEANUP(repair_done)
	sqlite3_stmt *st = repair_query(m, "SELECT parent, name, ino FROM dentry");
	CLEANUP(repair_done)
	sqlite3_stmt *put = repair_query(m, "INSERT INTO bad_name VALUES(?1, ?2, ?3)");
	int r = 0, rc = SQLITE_ERROR;
	while (r == 0 && st && put && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = sqlite3_column_blob(st, 1);
		size_t len = (size_t)sqlite3_column_bytes(st, 1);
		int type = sqlite3_column_type(st, 1);
		if (check_name_valid(name, len) &&
			type == (sq_is_text(name, len) ? SQLITE_TEXT : SQLITE_BLOB))
			continue;
		for (int i = 0; i < 3; i++)
			sqlite3_bind_value(put, i + 1, sqlite3_column_value(st, i));
		r = repair_step(m, put);
	}
	return r == 0 && rc != SQLITE_DONE ? repair_failed(m) : r;
}

static int repair_bad_names(struct repair *m)
{
	int r = repair_run(m, "CREATE TEMP TABLE bad_name(parent, name, ino)");
	if (r == 0)
		r = find_bad_names(m);
	if (r < 0)
		return r;
	CLEANUP(repair_done)
	sqlite3_stmt *bad = repair_query(m, "SELECT parent, name, ino FROM bad_name");
	CLEANUP(repair_done)
	sqlite3_stmt *set =
		repair_query(m, "UPDATE dentry SET name = ?1 WHERE parent = ?2 AND name = ?3");
	int rc = SQLITE_ERROR;
	while (r == 0 && bad && set && (rc = sqlite3_step(bad)) == SQLITE_ROW)
		r = rename_entry(m, bad, set);
	return r == 0 && rc != SQLITE_DONE ? repair_failed(m) : r;
}

/* -- where names lead ----------------------------------------------------------------------------
 */

/* Of a directory with several names the one stays that its row knows of, or else the first. */
static int repair_second_names(struct repair *m)
{
	int r = repair_run(m,
		"CREATE TEMP TABLE several AS SELECT d.ino AS ino, d.parent AS parent, d.name AS"
		" name, row_number() OVER (PARTITION BY d.ino ORDER BY d.parent <> i.parent,"
		" d.parent, d.id) AS n FROM dentry d JOIN inode i ON i.ino = d.ino"
		" WHERE d.type = 16384");
	if (r == 0)
		r = repair_each(m, "SELECT ino FROM several WHERE n > 1",
			"a directory with several names: one of them is dropped",
			"DELETE FROM dentry WHERE (parent, name) IN (SELECT parent, name FROM"
			" several WHERE n > 1)");
	return r;
}

static int repair_entry_ids(struct repair *m)
{
	int r = repair_run(m,
		"CREATE TEMP TABLE disorder AS SELECT DISTINCT parent FROM (SELECT parent, id FROM"
		" dentry GROUP BY parent, id HAVING count(*) > 1 OR id NOT BETWEEN 1 AND 1 << 62)");
	if (r == 0)
		r = repair_run(m,
			"CREATE TEMP TABLE ordered(parent, name, n, PRIMARY KEY(parent, name))"
			" WITHOUT ROWID; INSERT INTO ordered SELECT parent, name, row_number()"
			" OVER (PARTITION BY parent ORDER BY id, name) FROM dentry"
			" WHERE parent IN (SELECT parent FROM disorder)");
	if (r == 0)
		r = repair_each(m, "SELECT parent FROM disorder",
			"the places of its entries are given anew",
			"UPDATE dentry SET id = o.n FROM ordered o"
			" WHERE o.parent = dentry.parent AND o.name = dentry.name");
	return r;
}

int repair_names(struct repair *m)
{
	static const struct {
		const char *which, *what, *how;
	} mends[] = {
		{"SELECT ino FROM dentry WHERE " IS_DIRECTORY "dentry.parent) IS NOT 16384",
			"a name of it is dropped, which is in no directory",
			"DELETE FROM dentry WHERE " IS_DIRECTORY "dentry.parent) IS NOT 16384"},
		{"SELECT parent FROM dentry WHERE ino NOT IN (SELECT ino FROM inode)",
			"an entry is dropped: its inode is lost",
			"DELETE FROM dentry WHERE ino NOT IN (SELECT ino FROM inode)"},
		{"SELECT parent FROM dentry WHERE ino = 1", "an entry for the root is dropped",
			"DELETE FROM dentry WHERE ino = 1"},
		{"SELECT d.ino FROM dentry d JOIN inode i ON i.ino = d.ino"
		 " WHERE d.type <> i.mode & 61440",
			"the type in its name is set right",
			"UPDATE dentry SET type = (SELECT mode & 61440 FROM inode i"
			" WHERE i.ino = dentry.ino)"},
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(mends); i++)
		r = repair_each(m, mends[i].which, mends[i].what, mends[i].how);
	if (r == 0)
		r = repair_bad_names(m);
	if (r == 0)
		r = repair_second_names(m);
	return r == 0 ? repair_entry_ids(m) : r;
}

/* -- the tree -----------------------------------------------------------------------------------
 */

/* The directory for what has lost its name, made when the first one comes. */
static int find_lost_found(struct repair *m)
{
	int64_t ino;
	char name[60];
	if (m->lost_found)
		return 0;
	int r = repair_ask(m,
		"SELECT ino FROM dentry WHERE parent = 1 AND name = 'lost+found'"
		" AND type = 16384",
		0, &m->lost_found);
	if (r < 0 || m->lost_found)
		return r;
	r = repair_ask(m,
		"SELECT max((SELECT next_ino FROM store WHERE next_ino <= 8589934591),"
		" (SELECT max(ino) + 1 FROM inode))",
		0, &ino);
	if (r == 0 && ino == 0)
		r = repair_ask(m, "SELECT max(ino) + 1 FROM inode", 2, &ino);
	if (r == 0 && ino > (int64_t)SQ_INO_MAX) /* damage made one the last there can be */
		r = repair_ask(m,
			"SELECT max(ino) + 1 FROM inode WHERE ino < 8589934591"
			" AND ino + 1 NOT IN (SELECT ino FROM inode)",
			0, &ino);
	if (r == 0 && ino > (int64_t)SQ_INO_MAX)
		r = -ENOSPC;
	if (r == 0)
		r = free_name(m, STORE_ROOT_INO, "lost+found", name, sizeof name);
	if (r == 0)
		r = repair_run(m,
			"INSERT INTO inode SELECT %lld, 16832, 0, 0, 2, 0, 0, 0, 0, t, t, t, t, 1,"
			" 1, NULL, 0, NULL FROM (SELECT CAST(strftime('%%s') AS INTEGER)"
			" * 1000000000 AS t);"
			"INSERT INTO dentry SELECT 1, %Q, max(version, (SELECT coalesce(max(id), 0)"
			" + 1 FROM dentry WHERE parent = 1)), %lld, 16384 FROM inode WHERE ino = 1;"
			"INSERT OR IGNORE INTO reached VALUES(%lld)",
			(long long)ino, name, (long long)ino, (long long)ino);
	if (r == 0) {
		m->lost_found = ino;
		repair_tell(m, ino, "the directory %s is made", name);
	}
	return r;
}

static int to_lost_found(struct repair *m, int64_t ino)
{
	char stem[40], name[60];
	int r = find_lost_found(m);
	snprintf(stem, sizeof stem, "#%lld", (long long)ino);
	if (r == 0)
		r = free_name(m, m->lost_found, stem, name, sizeof name);
	if (r == 0)
		r = repair_run(m,
			"INSERT INTO dentry SELECT %lld, %Q, (SELECT coalesce(max(id), 0) + 1 FROM"
			" dentry WHERE parent = %lld), ino, mode & 61440 FROM inode"
			" WHERE ino = %lld",
			(long long)m->lost_found, name, (long long)m->lost_found, (long long)ino);
	if (r == 0)
		repair_tell(m, ino, "had no place in the tree: it is %s in lost+found now", name);
	return r;
}

#define BELOW(start)                                                                               \
	"INSERT OR IGNORE INTO reached WITH RECURSIVE below(ino) AS (VALUES(" start ") UNION"      \
	" SELECT d.ino FROM below JOIN dentry d ON d.parent = below.ino WHERE d.type = 16384)"     \
	" SELECT ino FROM below;"

/* A directory that cannot be reached: the top of a tree that is lost, or, when there is none of
 * these any more, one in a circle, which is cut there. */
#define TOP                                                                                        \
	"SELECT min(ino) FROM unreached u WHERE ino > %lld AND NOT EXISTS"                         \
	" (SELECT 1 FROM dentry d WHERE d.ino = u.ino AND d.type = 16384)"
#define CIRCLE                                                                                     \
	"SELECT min(ino) FROM unreached WHERE ino > %lld AND ino NOT IN (SELECT ino FROM reached)"
#define NAMELESS "SELECT min(ino) FROM nameless WHERE ino > %lld"

static int cut_and_reattach(struct repair *m, int64_t ino)
{
	int r = repair_run(
		m, "DELETE FROM dentry WHERE ino = %lld AND type = 16384", (long long)ino);
	if (r == 0)
		r = to_lost_found(m, ino);
	return r < 0 ? r : repair_run(m, BELOW("%lld"), (long long)ino);
}

/* All that the query gives, one after the other: it asks for the next one after %lld. */
static int reattach(struct repair *m, const char *query, int (*how)(struct repair *m, int64_t ino))
{
	for (int64_t ino = 0;;) {
		char *sql = sqlite3_mprintf(query, (long long)ino);
		int r = sql ? repair_ask(m, sql, 0, &ino) : -ENOMEM;
		sqlite3_free(sql);
		if (r == 0 && ino == 0)
			return 0;
		if (r == 0)
			r = check_progress(&m->check) ? how(m, ino) : -ECANCELED;
		if (r < 0)
			return r;
	}
}

/* What has no name, no link and is known to be an orphan was deleted. */
#define DELETED                                                                                    \
	"CREATE TEMP TABLE deleted(ino INTEGER PRIMARY KEY);"                                      \
	"INSERT INTO deleted SELECT ino FROM inode WHERE nlink = 0 AND ino <> 1"                   \
	" AND ino IN (SELECT ino FROM orphan) AND ino NOT IN (SELECT ino FROM dentry)"             \
	" AND ino NOT IN (SELECT parent FROM dentry);"

int repair_tree(struct repair *m)
{
	int r = repair_run(m,
		DELETED "CREATE TEMP TABLE reached(ino INTEGER PRIMARY KEY);" BELOW(
			"1") "CREATE TEMP TABLE"
			     " unreached(ino INTEGER PRIMARY KEY); INSERT INTO unreached SELECT "
			     "ino FROM inode"
			     " WHERE mode & 61440 = 16384 AND ino NOT IN (SELECT ino FROM reached)"
			     " AND ino NOT IN (SELECT ino FROM deleted)");
	if (r == 0)
		r = reattach(m, TOP, cut_and_reattach);
	if (r == 0)
		r = reattach(m, CIRCLE, cut_and_reattach);
	if (r == 0)
		r = repair_run(m,
			"CREATE TEMP TABLE nameless(ino INTEGER PRIMARY KEY);"
			"INSERT INTO nameless SELECT ino FROM inode WHERE mode & 61440 <> 16384"
			" AND ino NOT IN (SELECT ino FROM dentry)"
			" AND ino NOT IN (SELECT ino FROM deleted)");
	return r < 0 ? r : reattach(m, NAMELESS, to_lost_found);
}

/* -- counts -------------------------------------------------------------------------------------
 */

int repair_counts(struct repair *m)
{
	static const struct {
		const char *which, *what, *how;
	} mends[] = {
		{"SELECT i.ino FROM inode i JOIN dentry d ON d.ino = i.ino AND d.type = 16384"
		 " WHERE i.parent <> d.parent",
			"its parent is set right",
			"UPDATE inode SET parent = d.parent FROM dentry d"
			" WHERE d.ino = inode.ino AND d.type = 16384"},
		{"SELECT ino FROM inode WHERE ino = 1 AND parent <> 1", "its parent is set right",
			"UPDATE inode SET parent = 1 WHERE ino = 1"},
		{"SELECT i.ino FROM inode i JOIN links l USING(ino) WHERE i.nlink <> l.n",
			"its link count is set right",
			"UPDATE inode SET nlink = l.n FROM links l WHERE l.ino = inode.ino"},
		{"SELECT DISTINCT ino FROM orphan WHERE ino NOT IN (SELECT ino FROM deleted)",
			"is not listed as an orphan any more",
			"DELETE FROM orphan WHERE ino NOT IN (SELECT ino FROM deleted)"},
	};
	int r = repair_run(m,
		"CREATE TEMP TABLE links(ino INTEGER PRIMARY KEY, n);"
		"INSERT INTO links SELECT ino, 0 FROM deleted;"
		"INSERT OR IGNORE INTO links SELECT ino, 2 FROM inode WHERE mode & 61440 = 16384;"
		"INSERT OR IGNORE INTO links SELECT ino, count(*) FROM dentry GROUP BY ino;"
		"INSERT INTO links SELECT parent, 2 + count(*) FROM dentry WHERE type = 16384"
		" GROUP BY parent ON CONFLICT(ino) DO UPDATE SET n = excluded.n");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(mends); i++)
		r = repair_each(m, mends[i].which, mends[i].what, mends[i].how);
	return r;
}
