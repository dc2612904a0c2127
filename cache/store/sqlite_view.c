/*
 * The views of a store: records as rows, for SQL clients. docs/store-format.md describes them.
 *
 * `records` is a plain join, without anything that would keep SQLite from merging it into the query
 * that uses it: so whatever is asked of `parent` and `name` goes to the primary key of dentry, and
 * `path` and `content`, which cost something, are computed for those rows only that need them.
 */

#include "sqlite_internal.h"
#include "sqlite_sql.h"

/* From a name up to the root. A circle, in a damaged store, comes to an end as well. */
#define PATH                                                                                       \
	"(WITH RECURSIVE up(ino, path, odd, n) AS (SELECT d.parent, '/' || d.name,"                \
	" typeof(d.name) = 'blob', 0 UNION ALL SELECT u.parent, '/' || u.name || path,"            \
	" odd OR typeof(u.name) = 'blob', n + 1 FROM up JOIN dentry u ON u.ino = up.ino"           \
	" AND u.type = " SQL_DIRECTORY " WHERE n < 16384)"                                         \
	" SELECT CASE WHEN odd THEN CAST(path AS BLOB) ELSE path END FROM up WHERE ino = 1)"

#define TYPE                                                                                       \
	"CASE i.mode & " SQL_TYPE " WHEN " SQL_FILE " THEN 'file' WHEN " SQL_DIRECTORY             \
	" THEN 'directory' WHEN " SQL_SYMLINK " THEN 'symlink' WHEN " SQL_FIFO                     \
	" THEN 'fifo' WHEN " SQL_SOCKET " THEN 'socket' WHEN 8192 THEN 'char'"                     \
	" WHEN 24576 THEN 'block' END"

/* Most files are one run. The others: runs in order, each with the zeros up to the next one; the
 * zeros before the first. */
#define NEXT                                                                                       \
	"coalesce((SELECT (n.key & 1073741823) * 4096 FROM block n WHERE n.key > b.key"            \
	" AND n.key <= i.ino << 30 | 1073741823 ORDER BY n.key LIMIT 1), i.size)"
#define ZEROS "(" NEXT " - (b.key & 1073741823) * 4096 - length(b.data))"
#define RUNS                                                                                       \
	"(SELECT CASE WHEN " ZEROS " > 0 THEN b.data || zeroblob(" ZEROS ") ELSE b.data END"       \
	" AS data FROM block b WHERE b.key " SQL_KEYS("i.ino") " ORDER BY b.key)"
#define FIRST                                                                                      \
	"(SELECT (key & 1073741823) * 4096 FROM block WHERE key " SQL_KEYS(                        \
		"i.ino") " ORDER BY key LIMIT 1)"
#define CONTENT                                                                                    \
	"CASE WHEN i.mode & " SQL_TYPE " <> " SQL_FILE " OR i.size > 999000000 THEN NULL"          \
	" WHEN i.size = 0 THEN x'' ELSE coalesce((SELECT data FROM block WHERE key = i.ino << 30"  \
	" AND length(data) = i.size), CASE WHEN " FIRST " = 0 THEN"                                \
	" (SELECT CAST(group_concat(data, '') AS BLOB) FROM " RUNS ")"                             \
	" WHEN " FIRST " > 0 THEN (SELECT CAST(zeroblob(" FIRST ") || group_concat(data, '')"      \
	" AS BLOB) FROM " RUNS ") END, zeroblob(i.size)) END"

#define COLUMNS                                                                                    \
	"ino, path, name, type, mode, uid, gid, size, mtime, ctime, atime, nlink, target,"         \
	" content, parent"

/* What follows is laid out as SQL. */
/* clang-format off */
static const char *const ddl[] = {
	"CREATE VIEW records(" COLUMNS ") AS SELECT d.ino, " PATH ", d.name, " TYPE
	", i.mode, i.uid, i.gid, i.size, i.mtime, i.ctime, i.atime, i.nlink,"
	" CASE WHEN i.target IS NOT NULL THEN " SQL_TEXT_OR_BLOB("i.target") " END, " CONTENT
	", d.parent FROM dentry d CROSS JOIN inode i ON i.ino = d.ino",

	/* One path, or several, by index: json_each() is the one thing in plain SQL that a view can
	 * hand an argument to. */
	"CREATE VIEW lookup(json, " COLUMNS ") AS SELECT j.json, r.ino, r.path, r.name, r.type,"
	" r.mode, r.uid, r.gid, r.size, r.mtime, r.ctime, r.atime, r.nlink, r.target, r.content,"
	" r.parent FROM json_each j CROSS JOIN records r ON (r.parent, r.name) ="
	" (SELECT dir, CAST(rest AS TEXT) FROM " SQL_WALK("CAST(j.value AS BLOB)") ")"
	" WHERE substr(j.value, 1, 1) = '/'",

	/* What follows has no rows. It is what the triggers of `records` call each other by: an
	 * INSERT into one of these runs its trigger, with arguments. */
	"CREATE VIEW record_creation(parent, name, mode, uid, gid, mtime, atime, target,"
	" has_content) AS SELECT 0, 0, 0, 0, 0, 0, 0, 0, 0 WHERE 0",

	"CREATE VIEW record_move(ino, parent, name, new_parent, new_name)"
	" AS SELECT 0, 0, 0, 0, 0 WHERE 0",

	"CREATE VIEW record_content(ino, mode, mtime, content) AS SELECT 0, 0, 0, 0 WHERE 0",

	"CREATE VIEW record_end(ino) AS SELECT 0 WHERE 0",
};
/* clang-format on */

const char *const *sq_view_ddl(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(ddl);
	return ddl;
}
