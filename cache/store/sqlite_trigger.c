/*
 * The triggers of the view `records`: INSERT, UPDATE and DELETE of records as rows, by SQL clients.
 * They keep the invariants of docs/store-format.md, as sqlite_names.c, sqlite_data.c and
 * sqlite_xattr.c do for a mount; what plain SQL cannot do is refused.
 *
 * RAISE(ABORT) undoes the whole statement, in whatever way it was asked to handle conflicts. The
 * conflicts themselves must not come up: `INSERT OR IGNORE INTO records` and the like make every
 * statement in here ignore them, too, and half of the work would be left undone. So everything is
 * looked at before the first row is written.
 *
 * The triggers call each other by views without rows: INSERT INTO record_content(...) runs its
 * trigger, with arguments.
 */

#include "sqlite_internal.h"
#include "sqlite_sql.h"

/* A trigger is one statement, and may be longer than what every C compiler must take. */
#pragma GCC diagnostic ignored "-Woverlength-strings"

/* What follows is laid out as SQL. */
/* clang-format off */

#define REFUSE(why, when) " SELECT RAISE(ABORT, 'recordfs: " why "') WHERE " when ";"

#define IS(type, mode) "(" mode " & " SQL_TYPE " = " type ")"
#define IS_DIRECTORY(mode) IS(SQL_DIRECTORY, mode)
#define BYTES(x) "CAST(" x " AS BLOB)"
#define CHANGED(column) "(NEW." column " IS NOT OLD." column ")"
#define IF_CHANGED(column) "CASE WHEN " CHANGED(column) " THEN NEW." column " ELSE " column " END"
#define NOT_WHOLE(value, low, high)                                                                \
	"(typeof(" value ") <> 'integer' OR " value " NOT BETWEEN " low " AND " high ")"

#define TTL BYTES("'user.recordfs.ttl'")
#define FILE_CAPS BYTES("'security.capability'")
#define ACCESS_ACL BYTES("'system.posix_acl_access'")
#define DEFAULT_ACL BYTES("'system.posix_acl_default'")

/* What a change of data or of the owner takes from the mode. S_ISGID without S_IXGRP stays. */
#define KILLED(mode)                                                                               \
	"CASE WHEN " IS_DIRECTORY(mode) " THEN " mode " WHEN " mode " & 8 THEN " mode              \
	" & ~3072 ELSE " mode " & ~2048 END"

/* The entry of `x`, a row of dentry; whatever the class of the name in it. */
#define AT(parent_ino, x) "parent = " parent_ino " AND name IN (" BYTES(x) ", CAST(" x " AS TEXT))"

/* The place of a new entry in the directory: as SQ_DENTRY_NEW has it. */
#define NEW_ID(dir)                                                                                \
	"(SELECT max(version, coalesce((SELECT max(id) FROM dentry WHERE parent = " dir            \
	"), 0) + 1) FROM inode WHERE ino = " dir ")"

/* The inode number that was taken last. */
#define NEWEST "(SELECT next_ino - 1 FROM store)"

/* An ACL is 4 bytes, then 8 for each entry: tag, permissions (16 bits each), id. The first entry is
 * the owner's; the last one but one the mask, or the group where there is no mask; the last one
 * that of others. Where the permissions of each are: */
#define OWNER_AT "7"
#define GROUP_AT(acl) "length(" acl ") - 13"
#define OTHER_AT(acl) "length(" acl ") - 5"
#define PERM(acl, at) "(instr(x'0001020304050607', substr(" acl ", " at ", 1)) - 1)"
#define BYTE(n) "substr(x'0001020304050607', (" n ") + 1, 1)"
#define ACL_BITS(acl)                                                                              \
	"(" PERM(acl, OWNER_AT) " * 64 + " PERM(acl, GROUP_AT(acl)) " * 8 + "                      \
	PERM(acl, OTHER_AT(acl)) ")"
/* The ACL with the permission bits of a mode. */
#define ACL_SET(acl, mode)                                                                         \
	"CAST(substr(" acl ", 1, 6) || " BYTE(mode " >> 6 & 7")                                    \
	" || substr(" acl ", 8, length(" acl ") - 21) || " BYTE(mode " >> 3 & 7")                  \
	" || substr(" acl ", length(" acl ") - 12, 7) || " BYTE(mode " & 7")                       \
	" || substr(" acl ", length(" acl ") - 4) AS BLOB)"
#define ACL_DAMAGED(ino, what)                                                                     \
	"EXISTS (SELECT 1 FROM xattr WHERE ino = " ino " AND name = " what                         \
	" AND (length(value) < 28 OR length(value) % 8 <> 4))"

/* NEW.path may be a record's, if it is `given`. With a slash after it, no part may be empty. */
#define CHECK_PATH(given)                                                                          \
	REFUSE("path must be a text, or a BLOB",                                                   \
		given " AND typeof(NEW.path) NOT IN ('text', 'blob')")                             \
	REFUSE("path must begin with a slash",                                                     \
		given " AND substr(" BYTES("NEW.path") ", 1, 1) IS NOT x'2f'")                       \
	REFUSE("path has an empty part, or . or .. (and no path ends with a slash)",               \
		given " AND EXISTS (SELECT 1 FROM (SELECT " BYTES("NEW.path || '/'") " AS p)"      \
		" WHERE instr(p, x'2f2f') OR instr(p, x'2f2e2f') OR instr(p, x'2f2e2e2f'))")       \
	REFUSE("path has a NUL byte in it", given " AND instr(" BYTES("NEW.path") ", x'00')")

#define CHECK_NUMBERS(given_mode, given_uid, given_gid, given_mtime, given_atime)                  \
	REFUSE("mode must be a whole number, permissions with or without the type",                \
		given_mode " AND " NOT_WHOLE("NEW.mode", "0", "65535"))                            \
	REFUSE("uid must be a whole number, 0 to 4294967294",                                      \
		given_uid " AND " NOT_WHOLE("NEW.uid", "0", "4294967294"))                         \
	REFUSE("gid must be a whole number, 0 to 4294967294",                                      \
		given_gid " AND " NOT_WHOLE("NEW.gid", "0", "4294967294"))                         \
	REFUSE("mtime must be a whole number of nanoseconds",                                      \
		given_mtime " AND typeof(NEW.mtime) <> 'integer'")                                 \
	REFUSE("atime must be a whole number of nanoseconds",                                      \
		given_atime " AND typeof(NEW.atime) <> 'integer'")

#define CHECK_PLACE(dir, name)                                                                     \
	REFUSE("no such directory: the parent of path must exist", dir " IS NULL")                 \
	REFUSE("the name in path is longer than 255 bytes", "length(" BYTES(name) ") > 255")

#define TYPE_GIVEN                                                                                 \
	"CASE NEW.type WHEN 'file' THEN " SQL_FILE " WHEN 'directory' THEN " SQL_DIRECTORY         \
	" WHEN 'dir' THEN " SQL_DIRECTORY " WHEN 'symlink' THEN " SQL_SYMLINK                      \
	" WHEN 'fifo' THEN " SQL_FIFO " WHEN 'socket' THEN " SQL_SOCKET " END"

#define NOBODY_MOUNTS "NOT EXISTS (SELECT 1 FROM mount)"

static const char *const ddl[] = {
	/* -- INSERT: looks at what is given, and finds the directory --------------------------- */
	"CREATE TRIGGER records_insert INSTEAD OF INSERT ON records BEGIN"
	REFUSE("ino, name, size, ctime, nlink and parent cannot be given;"
	       " path says where, content how large",
		"coalesce(NEW.ino, NEW.name, NEW.size, NEW.ctime, NEW.nlink, NEW.parent)"
		" IS NOT NULL")
	CHECK_PATH("1")
	REFUSE("type must be file, directory, symlink, fifo or socket",
		"NEW.type IS NOT NULL AND " TYPE_GIVEN " IS NULL")
	CHECK_NUMBERS("NEW.mode IS NOT NULL", "NEW.uid IS NOT NULL", "NEW.gid IS NOT NULL",
		"NEW.mtime IS NOT NULL", "NEW.atime IS NOT NULL")
	REFUSE("mode and type say different things",
		"NEW.type IS NOT NULL AND NEW.mode & " SQL_TYPE " NOT IN (0, " TYPE_GIVEN ")")
	" INSERT INTO record_creation SELECT w.dir, " SQL_TEXT_OR_BLOB("w.rest") ", t.type |"
	" coalesce(NEW.mode & 4095, CASE t.type WHEN " SQL_DIRECTORY " THEN 493 WHEN " SQL_SYMLINK
	" THEN 511 ELSE 420 END), NEW.uid, NEW.gid, NEW.mtime, NEW.atime, NEW.target,"
	" NEW.content IS NOT NULL FROM (SELECT coalesce(" TYPE_GIVEN
	", nullif(NEW.mode & " SQL_TYPE ", 0),"
	" CASE WHEN NEW.target IS NULL THEN " SQL_FILE " ELSE " SQL_SYMLINK " END) AS type) t"
	" LEFT JOIN " SQL_WALK(BYTES("NEW.path")) " w;"
	" INSERT INTO record_content VALUES(CASE WHEN length(" BYTES("NEW.content") ") THEN " NEWEST
	" END, (SELECT mode FROM inode WHERE ino = " NEWEST "),"
	" (SELECT mtime FROM inode WHERE ino = " NEWEST "), " BYTES("NEW.content") ");"
	" END",

	"CREATE TRIGGER record_creation_insert INSTEAD OF INSERT ON record_creation BEGIN"
	CHECK_PLACE("NEW.parent", "NEW.name")
	REFUSE("path exists already",
		"EXISTS (SELECT 1 FROM dentry WHERE " AT("NEW.parent", "NEW.name") ")")
	REFUSE("device nodes cannot be made with SQL", "NEW.mode & " SQL_TYPE " NOT IN (" SQL_FILE
		", " SQL_DIRECTORY ", " SQL_SYMLINK ", " SQL_FIFO ", " SQL_SOCKET ")")
	REFUSE("a symlink needs a target, 1 to 4095 bytes without NUL", IS(SQL_SYMLINK, "NEW.mode")
		" AND (typeof(NEW.target) NOT IN ('text', 'blob') OR length(" BYTES("NEW.target")
		") NOT BETWEEN 1 AND 4095 OR instr(" BYTES("NEW.target") ", x'00'))")
	REFUSE("only a symlink has a target",
		"NOT " IS(SQL_SYMLINK, "NEW.mode") " AND NEW.target IS NOT NULL")
	REFUSE("only a regular file has content",
		"NOT " IS(SQL_FILE, "NEW.mode") " AND NEW.has_content")
	REFUSE("the directory has too many subdirectories", IS_DIRECTORY("NEW.mode")
		" AND (SELECT nlink FROM inode WHERE ino = NEW.parent) >= 1000000")
	REFUSE("no inode number is left", "(SELECT next_ino FROM store) > 8589934591")
	REFUSE("the default ACL of the directory is damaged",
		ACL_DAMAGED("NEW.parent", DEFAULT_ACL))
	" UPDATE store SET next_ino = next_ino + 1;"
	/* What is inherited: as sq_xattr_inherit() does. */
	" INSERT INTO xattr(ino, name, value) SELECT " NEWEST ", name, value FROM xattr"
	" WHERE ino = NEW.parent AND (name = " TTL " AND (" IS(SQL_FILE, "NEW.mode") " OR "
	IS_DIRECTORY("NEW.mode") ") OR name = " DEFAULT_ACL " AND " IS_DIRECTORY("NEW.mode") ");"
	" INSERT INTO xattr(ino, name, value) SELECT " NEWEST ", " ACCESS_ACL ", "
	ACL_SET("value", "(NEW.mode & " ACL_BITS("value") ")") " FROM xattr WHERE ino = NEW.parent"
	" AND name = " DEFAULT_ACL " AND length(value) > 28"
	" AND NOT " IS(SQL_SYMLINK, "NEW.mode") ";"
	" INSERT INTO inode SELECT " NEWEST ", CASE WHEN x.value IS NULL THEN NEW.mode ELSE"
	" NEW.mode & (~511 | " ACL_BITS("x.value") ") END | CASE WHEN " IS_DIRECTORY("NEW.mode")
	" THEN p.mode & 1024 ELSE 0 END, coalesce(NEW.uid, p.uid), coalesce(NEW.gid, p.gid),"
	" CASE WHEN " IS_DIRECTORY("NEW.mode") " THEN 2 ELSE 1 END,"
	" coalesce(length(" BYTES("NEW.target") "), 0), 0, 0, 0, coalesce(NEW.atime, " SQL_NOW
	"), coalesce(NEW.mtime, " SQL_NOW "), " SQL_NOW ", " SQL_NOW ", 1,"
	" CASE WHEN " IS_DIRECTORY("NEW.mode") " THEN NEW.parent ELSE 0 END, p.ttl,"
	" EXISTS (SELECT 1 FROM xattr WHERE ino = " NEWEST "), " BYTES("NEW.target")
	" FROM inode p LEFT JOIN xattr x ON x.ino = p.ino AND x.name = " DEFAULT_ACL
	" AND NOT " IS(SQL_SYMLINK, "NEW.mode") " WHERE p.ino = NEW.parent;"
	" INSERT INTO dentry(parent, name, id, ino, type) VALUES(NEW.parent, NEW.name, "
	NEW_ID("NEW.parent") ", " NEWEST ", NEW.mode & " SQL_TYPE ");"
	" UPDATE inode SET nlink = nlink + " IS_DIRECTORY("NEW.mode") ", mtime = " SQL_TICK("mtime")
	", ctime = " SQL_TICK("ctime") ", version = version + 1 WHERE ino = NEW.parent;"
	" END",

	/* -- UPDATE ---------------------------------------------------------------------------- */
	/* Two triggers, which both run when content and another column are set, in either order:
	 * neither touches what the other one has set. */
	"CREATE TRIGGER records_update INSTEAD OF UPDATE OF ino, path, name, type, mode, uid, gid,"
	" size, mtime, ctime, atime, nlink, target, parent ON records BEGIN"
	REFUSE("ino cannot be changed", CHANGED("ino"))
	REFUSE("name and parent cannot be set; set path", CHANGED("name") " OR " CHANGED("parent"))
	REFUSE("type cannot be changed; delete the record and insert another", CHANGED("type"))
	REFUSE("size cannot be set; set content", CHANGED("size"))
	REFUSE("ctime cannot be set; it is the time of the last change", CHANGED("ctime"))
	REFUSE("nlink cannot be set; it is the number of names", CHANGED("nlink"))
	REFUSE("target cannot be set; delete the symlink and insert another", CHANGED("target"))
	CHECK_NUMBERS(CHANGED("mode"), CHANGED("uid"), CHANGED("gid"), CHANGED("mtime"),
		CHANGED("atime"))
	REFUSE("mode cannot change the type; delete the record and insert another",
		"NEW.mode & " SQL_TYPE " NOT IN (0, OLD.mode & " SQL_TYPE ")")
	REFUSE("the access ACL of the record is damaged",
		CHANGED("mode") " AND " ACL_DAMAGED("OLD.ino", ACCESS_ACL))
	CHECK_PATH(CHANGED("path"))
	" INSERT INTO record_move SELECT OLD.ino, OLD.parent, OLD.name, w.dir, "
	SQL_TEXT_OR_BLOB("w.rest") " FROM (SELECT 1) LEFT JOIN " SQL_WALK(BYTES("NEW.path"))
	" w WHERE " CHANGED("path")
	" AND (w.dir IS NOT OLD.parent OR w.rest IS NOT " BYTES("OLD.name") ");"
	" DELETE FROM xattr WHERE ino = OLD.ino AND name = " FILE_CAPS " AND (" CHANGED("uid")
	" OR " CHANGED("gid") ");"
	" UPDATE xattr SET value = " ACL_SET("value", "NEW.mode") " WHERE ino = OLD.ino AND name = "
	ACCESS_ACL " AND " CHANGED("mode") ";"
	" UPDATE inode SET mode = CASE WHEN " CHANGED("mode") " THEN (mode & " SQL_TYPE
	") | (NEW.mode & 4095) WHEN " CHANGED("uid") " OR " CHANGED("gid") " THEN " KILLED("mode")
	" ELSE mode END, uid = " IF_CHANGED("uid") ", gid = " IF_CHANGED("gid") ", mtime = "
	IF_CHANGED("mtime") ", atime = " IF_CHANGED("atime") ", ctime = " SQL_TICK("ctime")
	", version = version + 1, flags = EXISTS (SELECT 1 FROM xattr WHERE ino = OLD.ino)"
	" WHERE ino = OLD.ino AND (" CHANGED("mode") " OR " CHANGED("uid") " OR " CHANGED("gid")
	" OR " CHANGED("mtime") " OR " CHANGED("atime") ");"
	" END",

	"CREATE TRIGGER records_update_content INSTEAD OF UPDATE OF content ON records BEGIN"
	REFUSE("only a regular file has content",
		"NOT " IS(SQL_FILE, "OLD.mode") " AND NEW.content IS NOT NULL")
	REFUSE("content cannot be NULL; an empty text empties the file",
		IS(SQL_FILE, "OLD.mode") " AND NEW.content IS NULL")
	" DELETE FROM xattr WHERE ino = OLD.ino AND name = " FILE_CAPS
	" AND " IS(SQL_FILE, "OLD.mode") ";"
	" INSERT INTO record_content VALUES("
	"CASE WHEN " IS(SQL_FILE, "OLD.mode") " THEN OLD.ino END,"
	" (SELECT CASE WHEN " CHANGED("mode") " THEN mode ELSE " KILLED("mode")
	" END FROM inode WHERE ino = OLD.ino), (SELECT CASE WHEN " CHANGED("mtime")
	" THEN mtime ELSE " SQL_TICK("mtime") " END FROM inode WHERE ino = OLD.ino), "
	BYTES("NEW.content") ");"
	" END",

	/* Called with VALUES, never SELECT, which would make a copy of the content. The CAST in the
	 * call is there because substr() of a TEXT would look for its place from the start, each
	 * time. And one row in the log for all of it: sqlite_trigger_log.c. */
	"CREATE TRIGGER record_content_insert INSTEAD OF INSERT ON record_content"
	" WHEN NEW.ino IS NOT NULL BEGIN"
	" INSERT INTO changelog(mount, kind, ino, first, name) VALUES(0, 2, NEW.ino, 0, 'content');"
	" DELETE FROM block WHERE key " SQL_KEYS("NEW.ino") ";"
	" DELETE FROM hole WHERE key " SQL_KEYS("NEW.ino") ";"
	" INSERT INTO block(key, sums, data) SELECT NEW.ino << 30 | n * 16, NULL,"
	" substr(NEW.content, n * 65536 + 1, 65536) FROM (WITH RECURSIVE c(n) AS"
	" (SELECT 0 WHERE length(NEW.content) UNION ALL SELECT n + 1 FROM c"
	" WHERE (n + 1) * 65536 < length(NEW.content)) SELECT n FROM c);"
	" UPDATE inode SET mode = NEW.mode, size = length(NEW.content),"
	" blocks = (length(NEW.content) + 4095) / 4096, reserved = 0, mtime = NEW.mtime,"
	" ctime = " SQL_TICK("ctime") ", version = version + 1,"
	" flags = EXISTS (SELECT 1 FROM xattr WHERE ino = NEW.ino) WHERE ino = NEW.ino;"
	" UPDATE changelog SET name = NULL WHERE id = (SELECT max(id) FROM changelog);"
	" END",

	"CREATE TRIGGER record_move_insert INSTEAD OF INSERT ON record_move BEGIN"
	CHECK_PLACE("NEW.new_parent", "NEW.new_name")
	REFUSE("an earlier row of the statement has moved or replaced the record",
		"NOT EXISTS (SELECT 1 FROM dentry WHERE parent = NEW.parent AND name = NEW.name"
		" AND ino = NEW.ino)")
	REFUSE("path exists already",
		"EXISTS (SELECT 1 FROM dentry WHERE " AT("NEW.new_parent", "NEW.new_name") ")")
	REFUSE("a directory cannot be moved below itself",
		"EXISTS (WITH RECURSIVE up(ino) AS (SELECT NEW.new_parent UNION SELECT u.parent"
		" FROM up JOIN dentry u ON u.ino = up.ino AND u.type = " SQL_DIRECTORY
		") SELECT 1 FROM up WHERE ino = NEW.ino)")
	REFUSE("the directory has too many subdirectories",
		"NEW.parent <> NEW.new_parent AND (SELECT nlink FROM inode"
		" WHERE ino = NEW.new_parent) >= 1000000 AND"
		" (SELECT " IS_DIRECTORY("mode") " FROM inode WHERE ino = NEW.ino)")
	" UPDATE dentry SET parent = NEW.new_parent, name = NEW.new_name, id = CASE WHEN"
	" parent = NEW.new_parent THEN id ELSE " NEW_ID("NEW.new_parent") " END"
	" WHERE parent = NEW.parent AND name = NEW.name;"
	" UPDATE inode SET parent ="
	" CASE WHEN " IS_DIRECTORY("mode") " THEN NEW.new_parent ELSE 0 END,"
	" ctime = " SQL_TICK("ctime") ", version = version + 1 WHERE ino = NEW.ino;"
	" UPDATE inode SET nlink = nlink - (NEW.parent <> NEW.new_parent AND (SELECT "
	IS_DIRECTORY("mode") " FROM inode WHERE ino = NEW.ino)), mtime = " SQL_TICK("mtime")
	", ctime = " SQL_TICK("ctime") ", version = version + 1 WHERE ino = NEW.parent;"
	" UPDATE inode SET nlink = nlink + (SELECT " IS_DIRECTORY("mode") " FROM inode"
	" WHERE ino = NEW.ino), mtime = " SQL_TICK("mtime") ", ctime = " SQL_TICK("ctime")
	", version = version + 1 WHERE ino = NEW.new_parent AND ino <> NEW.parent;"
	" END",

	/* -- DELETE ---------------------------------------------------------------------------- */
	"CREATE TRIGGER records_delete INSTEAD OF DELETE ON records BEGIN"
	REFUSE("the directory is not empty", "EXISTS (SELECT 1 FROM dentry WHERE parent = OLD.ino)")
	" DELETE FROM dentry WHERE parent = OLD.parent AND name = OLD.name;"
	" UPDATE inode SET nlink = nlink - " IS_DIRECTORY("OLD.mode") ", mtime = " SQL_TICK("mtime")
	", ctime = " SQL_TICK("ctime") ", version = version + 1 WHERE ino = OLD.parent;"
	" UPDATE inode SET nlink = CASE WHEN " IS_DIRECTORY("mode") " THEN 0 ELSE nlink - 1 END,"
	" ctime = " SQL_TICK("ctime") ", version = version + 1 WHERE ino = OLD.ino;"
	" INSERT INTO record_end SELECT ino FROM inode WHERE ino = OLD.ino AND nlink = 0;"
	" END",

	/* Somebody may have it open, if the store is mounted: then the mounts see to it. */
	"CREATE TRIGGER record_end_insert INSTEAD OF INSERT ON record_end BEGIN"
	" INSERT INTO orphan(ino, mount, change) SELECT NEW.ino, 0, 0 WHERE NOT " NOBODY_MOUNTS ";"
	" INSERT INTO changelog(mount, kind, ino) SELECT 0, 4, NEW.ino WHERE " NOBODY_MOUNTS ";"
	" DELETE FROM xattr WHERE ino = NEW.ino AND " NOBODY_MOUNTS ";"
	" INSERT INTO changelog(mount, kind, ino, first, name) SELECT 0, 2, NEW.ino, 0, 'content'"
	" WHERE " NOBODY_MOUNTS ";"
	" DELETE FROM block WHERE key " SQL_KEYS("NEW.ino") " AND " NOBODY_MOUNTS ";"
	" DELETE FROM hole WHERE key " SQL_KEYS("NEW.ino") " AND " NOBODY_MOUNTS ";"
	" UPDATE changelog SET name = NULL WHERE id = (SELECT max(id) FROM changelog)"
	" AND " NOBODY_MOUNTS ";"
	" DELETE FROM inode WHERE ino = NEW.ino AND " NOBODY_MOUNTS ";"
	" END",
};

/* clang-format on */

const char *const *sq_trigger_ddl(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(ddl);
	return ddl;
}
