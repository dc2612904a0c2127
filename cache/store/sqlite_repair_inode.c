/* Mends the rows of inodes, their attributes, and the tables about the store as a whole. */

#include "acl.h"
#include "sqlite_repair_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_INO "8589934591" /* SQ_INO_MAX */
#define TYPE "(mode & 61440)"
#define KNOWN_TYPES "(32768, 16384, 40960, 4096, 49152, 8192, 24576)"
/* Keys of the data of the inode. */
#define KEYS "BETWEEN inode.ino << 30 AND (inode.ino << 30) + 1073741823"

int repair_store_row(struct repair *m)
{
	int64_t rows;
	int r = repair_ask(m, "SELECT count(*) FROM store WHERE id = 1", 0, &rows);
	if (r == 0 && rows == 0)
		r = repair_each(m, "SELECT 0", "the store's own row is made anew",
			"DELETE FROM store; INSERT INTO store VALUES(1, randomblob(16),"
			" CAST(strftime('%s') AS INTEGER) * 1000000000, 4096, 2, 0)");
	if (r == 0)
		r = repair_each(m, "SELECT 0 FROM store WHERE length(uuid) <> 16",
			"the store gets a new uuid", "UPDATE store SET uuid = randomblob(16)");
	if (r == 0)
		r = repair_each(m, "SELECT 0 FROM store WHERE block_size <> 4096",
			"the block size is set right", "UPDATE store SET block_size = 4096");
	return r;
}

/* Who can have had these numbers is not known: all that is there is past them. */
int repair_next_ino(struct repair *m)
{
	return repair_each(m,
		"SELECT 0 FROM store WHERE next_ino <= (SELECT max(ino) FROM inode)"
		" OR next_ino > " MAX_INO " + 1",
		"the number of the next inode is set right",
		"UPDATE store SET next_ino = (SELECT max(ino) + 1 FROM inode)");
}

/* -- inodes that are gone, but not all that was theirs ------------------------------------------
 */

int repair_lost_inodes(struct repair *m)
{
	int r = repair_each(m, "SELECT ino FROM inode WHERE ino < 1 OR ino > " MAX_INO,
		"is deleted: no inode can have that number",
		"DELETE FROM inode WHERE ino < 1 OR ino > " MAX_INO);
	if (r == 0)
		r = repair_run(m,
			"CREATE TEMP TABLE lost(ino INTEGER PRIMARY KEY, mode INTEGER);"
			"INSERT OR IGNORE INTO lost SELECT DISTINCT parent, 16832 FROM dentry"
			" WHERE parent BETWEEN 1 AND " MAX_INO ";"
			"INSERT OR IGNORE INTO lost VALUES(1, 16877);"
			"INSERT OR IGNORE INTO lost SELECT DISTINCT key >> 30, 33152 FROM block"
			" WHERE key >= 1 << 30;"
			"DELETE FROM lost WHERE ino IN (SELECT ino FROM inode)");
	if (r == 0) /* A size of -1 is found out from the data. */
		r = repair_each(m, "SELECT ino FROM lost",
			"was lost, and is made anew of what is left of it",
			"INSERT INTO inode SELECT ino, mode, 0, 0, iif(mode & 16384, 2, 1),"
			" iif(mode & 16384, 0, -1), 0, 0, 0, t, t, t, t, 1, mode >> 14 & 1, NULL,"
			" 0, NULL FROM lost,"
			" (SELECT CAST(strftime('%s') AS INTEGER) * 1000000000 AS t)");
	return r;
}

/* -- rows of inodes ---------------------------------------------------------------------------- */

#define SET(where, what, set)                                                                      \
	{                                                                                          \
		"SELECT ino FROM inode WHERE " where, what,                                        \
			"UPDATE inode SET " set " WHERE " where                                    \
	}
#define HAS_ENTRIES "EXISTS (SELECT 1 FROM dentry WHERE parent = inode.ino)"
#define HAS_DATA "EXISTS (SELECT 1 FROM block WHERE key " KEYS ")"

static const struct {
	const char *which, *what, *how;
} mends[] = {
	SET("mode NOT BETWEEN 0 AND 65535", "its mode is set right", "mode = mode & 61951"),
	SET("ino = 1 AND " TYPE " <> 16384", "the root is made a directory",
		"mode = 16384 | (mode & 4095)"),
	SET(TYPE " <> 16384 AND target IS NULL AND " HAS_ENTRIES " AND NOT " HAS_DATA,
		"is made a directory, since it has entries", "mode = 16384 | (mode & 4095)"),
	SET(TYPE " NOT IN " KNOWN_TYPES " AND target IS NOT NULL",
		"is made a symlink, since it has a target", "mode = 40960 | (mode & 4095)"),
	SET(TYPE " NOT IN " KNOWN_TYPES, "is made a regular file: what it was is lost",
		"mode = 32768 | (mode & 4095)"),
	SET(TYPE " <> 32768 AND " TYPE " <> 16384 AND " HAS_DATA,
		"is made a regular file, since it has data", "mode = 32768 | (mode & 4095)"),
	SET("uid NOT BETWEEN 0 AND 4294967295",
		"its owner was lost: it belongs to 65534, and is not setuid",
		"uid = 65534, mode = mode & ~3584"),
	SET("gid NOT BETWEEN 0 AND 4294967295",
		"its group was lost: it belongs to 65534, and is not setgid",
		"gid = 65534, mode = mode & ~3584"),
	SET(TYPE " NOT IN (8192, 24576) AND rdev <> 0 OR rdev NOT BETWEEN 0 AND 4294967295",
		"its device number is cleared", "rdev = 0"),
	SET("version NOT BETWEEN 1 AND 1 << 62", "its version is set to 1", "version = 1"),
	SET("ttl < 0", "its TTL is cleared", "ttl = NULL"),
	SET("flags NOT IN (0, 1)", "its flags are set right", "flags = flags & 1"),
	SET(TYPE " <> 16384 AND parent <> 0", "its parent is cleared", "parent = 0"),
	SET(TYPE " = 16384 AND parent NOT BETWEEN 1 AND " MAX_INO, "its parent is set right",
		"parent = 1"),
	SET(TYPE " <> 40960 AND target IS NOT NULL", "its target is dropped: it is no symlink",
		"target = NULL"),
	SET(TYPE " = 40960 AND target IS NULL", "its target is lost, and empty now",
		"target = x''"),
	SET("length(target) > 4095", "its target is cut", "target = substr(target, 1, 4095)"),
	SET("instr(target, x'00')", "its target is cut at the NUL byte",
		"target = substr(target, 1, instr(target, x'00') - 1)"),
	SET(TYPE " = 40960 AND size <> length(target)", "its size is set right",
		"size = length(target)"),
	SET(TYPE " NOT IN (32768, 40960) AND size <> 0", "its size is set to 0", "size = 0"),
	SET(TYPE " <> 32768 AND (blocks <> 0 OR reserved <> 0)", "its count of blocks is cleared",
		"blocks = 0, reserved = 0"),
};

int repair_inodes(struct repair *m)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(mends); i++)
		r = repair_each(m, mends[i].which, mends[i].what, mends[i].how);
	return r;
}

/* -- extended attributes ------------------------------------------------------------------------
 */

enum { INO, NAME, VALUE, VALUE_LEN, MODE, TTL };
#define XATTR_SQL                                                                                  \
	"SELECT x.ino, iif(length(name) <= 255, name, x''),"                                       \
	" iif(length(value) <= 65536, value, x''), length(value), i.mode, i.ttl, name"             \
	" FROM xattr x LEFT JOIN inode i ON i.ino = x.ino"

static bool is_ttl(const char *name, size_t len)
{
	return len == strlen(SQ_TTL_NAME) && memcmp(name, SQ_TTL_NAME, len) == 0;
}

/* Why the attribute cannot stay; NULL: it can. *ret_mode, *ret_ttl: what it says these are. */
static const char *judge(sqlite3_stmt *st, int64_t *ret_mode, int64_t *ret_ttl)
{
	const char *name = sqlite3_column_blob(st, NAME);
	size_t len = (size_t)sqlite3_column_bytes(st, NAME);
	const void *value = sqlite3_column_blob(st, VALUE);
	size_t size = (size_t)sqlite3_column_bytes(st, VALUE);
	uint32_t mode = (uint32_t)sqlite3_column_int64(st, MODE);
	if (sqlite3_column_type(st, MODE) == SQLITE_NULL)
		return "its extended attributes are dropped: it does not exist";
	if (!name || memchr(name, '\0', len))
		return "an extended attribute without a valid name is dropped";
	if (sqlite3_column_int64(st, VALUE_LEN) > STORE_XATTR_MAX)
		return "an extended attribute that is too long is dropped";
	enum acl_kind kind = acl_kind(name, len);
	if (kind != ACL_KIND_NONE && (acl_check(value, size) < 0 || acl_is_empty(value, size)))
		return "a malformed ACL is dropped: the mode alone counts";
	if (kind == ACL_KIND_DEFAULT && !S_ISDIR(mode))
		return "a default ACL is dropped: it is no directory";
	if (kind == ACL_KIND_ACCESS)
		IGNORE(acl_to_mode(value, size, &mode)); /* that it need not be there is fine */
	*ret_mode = mode;
	if (is_ttl(name, len) && sq_parse_ttl(value, size, ret_ttl) < 0)
		return "its " SQ_TTL_NAME " is dropped: it is not a number of seconds";
	return NULL;
}

static int note_xattr(struct repair *m, sqlite3_stmt *st, sqlite3_stmt *bad, sqlite3_stmt *said)
{
	int64_t mode = sqlite3_column_int64(st, MODE), ttl = -1;
	const char *why = judge(st, &mode, &ttl);
	if (why) {
		repair_tell(m, sqlite3_column_int64(st, INO), "%s", why);
		sqlite3_bind_value(bad, 1, sqlite3_column_value(st, INO));
		sqlite3_bind_value(bad, 2, sqlite3_column_value(st, 6));
		return repair_step(m, bad);
	}
	if (mode == sqlite3_column_int64(st, MODE) && ttl < 0)
		return 0;
	sqlite3_bind_int64(said, 1, sqlite3_column_int64(st, INO));
	sqlite3_bind_int64(said, 2, mode);
	if (ttl < 0)
		sqlite3_bind_null(said, 3);
	else
		sqlite3_bind_int64(said, 3, ttl);
	return repair_step(m, said);
}

static int judge_xattrs(struct repair *m)
{
	CLEANUP(repair_done) sqlite3_stmt *st = repair_query(m, XATTR_SQL);
	CLEANUP(repair_done)
	sqlite3_stmt *bad = repair_query(m, "INSERT INTO bad_xattr VALUES(?1, ?2)");
	CLEANUP(repair_done)
	sqlite3_stmt *said = repair_query(m,
		"INSERT INTO said VALUES(?1, ?2, ?3) ON CONFLICT(ino) DO UPDATE SET"
		" mode = CASE WHEN excluded.ttl IS NULL THEN excluded.mode ELSE mode END,"
		" ttl = coalesce(excluded.ttl, ttl)");
	int r = 0, rc = SQLITE_ERROR;
	while (r == 0 && st && bad && said && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = note_xattr(m, st, bad, said);
	return r == 0 && rc != SQLITE_DONE ? repair_failed(m) : r;
}

int repair_xattrs(struct repair *m)
{
	int r = repair_run(m, "CREATE TEMP TABLE bad_xattr(ino INTEGER, name BLOB);"
			      "CREATE TEMP TABLE said(ino INTEGER PRIMARY KEY, mode, ttl)");
	if (r == 0)
		r = judge_xattrs(m);
	if (r == 0)
		r = repair_run(m, "DELETE FROM xattr WHERE (ino, name) IN (SELECT ino, name FROM"
				  " bad_xattr)");
	if (r == 0)
		r = repair_each(m,
			"SELECT ino FROM inode JOIN said s USING(ino) WHERE inode.mode <> s.mode",
			"its mode is made what its ACL says",
			"UPDATE inode SET mode = s.mode FROM said s WHERE s.ino = inode.ino");
	if (r == 0)
		r = repair_each(m,
			"SELECT ino FROM inode LEFT JOIN said s USING(ino) WHERE inode.ttl IS NOT"
			" s.ttl AND (inode.mode & 61440 IN (32768, 16384) OR s.ttl IS NOT NULL)",
			"its TTL is made what " SQ_TTL_NAME " says",
			"UPDATE inode SET ttl = (SELECT ttl FROM said s WHERE s.ino = inode.ino)"
			" WHERE mode & 61440 IN (32768, 16384) OR ino IN (SELECT ino FROM said"
			" WHERE ttl IS NOT NULL)");
	if (r == 0)
		r = repair_each(m,
			"SELECT ino FROM inode WHERE (flags & 1) <> (ino IN (SELECT ino FROM"
			" xattr))",
			"its mark of extended attributes is set right",
			"UPDATE inode SET flags = ino IN (SELECT ino FROM xattr)"
			" WHERE (flags & 1) <> (ino IN (SELECT ino FROM xattr))");
	return r;
}

/* -- who has it mounted, and the log of changes -------------------------------------------------
 */

static int judge_log(struct repair *m)
{
	CLEANUP(repair_done)
	sqlite3_stmt *bad = repair_query(m, "INSERT OR IGNORE INTO bad_row VALUES(?1)");
	struct cursor c;
	int r = bad ? cursor_open(&m->check, CHECK_LOG_SQL, false, &c) : repair_failed(m);
	if (!bad)
		return r;
	while (r == 0 && c.row) {
		const char *why = check_log_row(&c);
		if (why) {
			repair_tell(m, 0, "a row of the change log is dropped: %s", why);
			sqlite3_bind_int64(bad, 1, cursor_int(&c, 1));
			r = repair_step(m, bad);
		}
		if (r == 0)
			r = cursor_next(&c);
	}
	cursor_close(&c);
	return r;
}

/* Nobody has the store mounted, so nobody follows the log, and no orphan is in use. */
int repair_logs(struct repair *m)
{
	int r = repair_run(m, "CREATE TEMP TABLE bad_row(id INTEGER PRIMARY KEY)");
	if (r == 0)
		r = judge_log(m);
	if (r == 0)
		r = repair_run(m, "DELETE FROM changelog WHERE id IN (SELECT id FROM bad_row)");
	if (r == 0)
		r = repair_each(m,
			"SELECT 0 FROM mount WHERE seen < 0 OR seen > (SELECT"
			" coalesce(max(id), 0) FROM changelog)",
			"a mount that has seen more than there was is forgotten",
			"UPDATE orphan SET mount = 0; DELETE FROM mount");
	if (r == 0)
		r = repair_each(m,
			"SELECT DISTINCT ino FROM orphan WHERE mount < 0 OR change < 0 OR change >"
			" (SELECT coalesce(max(id), 0) FROM changelog)",
			"its row as an orphan is set right",
			"CREATE TEMP TABLE orphans AS SELECT DISTINCT ino FROM orphan;"
			"DELETE FROM orphan; INSERT INTO orphan SELECT ino, 0, 0 FROM orphans");
	return r;
}
