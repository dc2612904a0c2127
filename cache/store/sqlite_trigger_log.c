/*
 * The triggers that fill the log of changes when an SQL client writes to the tables, directly or by
 * the view: mounts follow it. Our own connections have triggers switched off and log by themselves.
 *
 * Every change of a row of inode, dentry, block, hole, xattr and orphan is logged, and what is
 * logged may be more than what changed, never less: data by chunk, since a run never crosses one.
 *
 * While the view replaces all data of an inode it logs that once, in a row that has a `name` as
 * long as this takes; as long as it is the newest row, the triggers of that inode are silent. All
 * of that is in one statement, so nobody else ever sees the row with a name.
 */

#include "sqlite_internal.h"
#include "sqlite_sql.h"

/* Rows that stay in the log, and how often, in ids, the older ones are deleted. */
#define KEPT "65536"
#define TRIMMED "1024"

#define LOUD(ino)                                                                                  \
	" WHEN (SELECT ino = " ino " AND kind = 2 AND name IS NOT NULL FROM changelog"             \
	" ORDER BY id DESC LIMIT 1) IS NOT 1"

#define LOG(kind, ino) " INSERT INTO changelog(mount, kind, ino) VALUES(0, " kind ", " ino ");"
#define LOG_DATA(ino, first, last)                                                                 \
	" INSERT INTO changelog(mount, kind, ino, first, last) VALUES(0, 2, " ino ", " first       \
	", " last ");"
#define LOG_NAME(parent, name)                                                                     \
	" INSERT INTO changelog(mount, kind, ino, name) VALUES(0, 3, " parent ", " name ");"
#define LOG_RUN(row)                                                                               \
	LOG_DATA(row ".key >> 30", row ".key & 1073741823", "(" row ".key & 1073741823) | 15")
#define LOG_HOLE(row)                                                                              \
	LOG_DATA(row ".key >> 30", row ".key & 1073741823",                                        \
		"(" row ".key & 1073741823) + " row ".count - 1")

/* What follows is laid out as SQL. */
/* clang-format off */
static const char *const ddl[] = {
	"CREATE TRIGGER log_inode_insert AFTER INSERT ON inode" LOUD("NEW.ino")
	" BEGIN" LOG("1", "NEW.ino") " END",
	"CREATE TRIGGER log_inode_update AFTER UPDATE ON inode" LOUD("NEW.ino")
	" BEGIN INSERT INTO changelog(mount, kind, ino, first) SELECT 0,"
	" CASE WHEN OLD.size = NEW.size AND OLD.ttl IS NEW.ttl THEN 1 ELSE 2 END, NEW.ino,"
	" CASE WHEN OLD.ttl IS NOT NEW.ttl THEN 0 WHEN OLD.size <> NEW.size"
	" THEN min(OLD.size, NEW.size) / 4096 END;"
	" INSERT INTO changelog(mount, kind, ino) SELECT 0, 1, OLD.ino WHERE OLD.ino <> NEW.ino;"
	" END",
	"CREATE TRIGGER log_inode_delete AFTER DELETE ON inode"
	" BEGIN" LOG("1", "OLD.ino") " END",

	"CREATE TRIGGER log_dentry_insert AFTER INSERT ON dentry"
	" BEGIN" LOG_NAME("NEW.parent", "NEW.name") " END",
	"CREATE TRIGGER log_dentry_update AFTER UPDATE ON dentry"
	" BEGIN" LOG_NAME("OLD.parent", "OLD.name") LOG_NAME("NEW.parent", "NEW.name") " END",
	"CREATE TRIGGER log_dentry_delete AFTER DELETE ON dentry"
	" BEGIN" LOG_NAME("OLD.parent", "OLD.name") " END",

	"CREATE TRIGGER log_block_insert AFTER INSERT ON block" LOUD("NEW.key >> 30")
	" BEGIN" LOG_RUN("NEW") " END",
	"CREATE TRIGGER log_block_update AFTER UPDATE ON block" LOUD("NEW.key >> 30")
	" BEGIN" LOG_RUN("OLD") LOG_RUN("NEW") " END",
	"CREATE TRIGGER log_block_delete AFTER DELETE ON block" LOUD("OLD.key >> 30")
	" BEGIN" LOG_RUN("OLD") " END",

	"CREATE TRIGGER log_hole_insert AFTER INSERT ON hole" LOUD("NEW.key >> 30")
	" BEGIN" LOG_HOLE("NEW") " END",
	"CREATE TRIGGER log_hole_update AFTER UPDATE ON hole" LOUD("NEW.key >> 30")
	" BEGIN" LOG_HOLE("OLD") LOG_HOLE("NEW") " END",
	"CREATE TRIGGER log_hole_delete AFTER DELETE ON hole" LOUD("OLD.key >> 30")
	" BEGIN" LOG_HOLE("OLD") " END",

	"CREATE TRIGGER log_xattr_insert AFTER INSERT ON xattr"
	" BEGIN" LOG("1", "NEW.ino") " END",
	"CREATE TRIGGER log_xattr_update AFTER UPDATE ON xattr"
	" BEGIN" LOG("1", "OLD.ino") LOG("1", "NEW.ino") " END",
	"CREATE TRIGGER log_xattr_delete AFTER DELETE ON xattr"
	" BEGIN" LOG("1", "OLD.ino") " END",

	/* An orphan knows the row that told of it. */
	"CREATE TRIGGER log_orphan_insert AFTER INSERT ON orphan BEGIN" LOG(
		"4", "NEW.ino") " UPDATE orphan SET change = (SELECT max(id) FROM changelog)"
				" WHERE ino = NEW.ino AND mount = NEW.mount; END",
	"CREATE TRIGGER log_orphan_delete AFTER DELETE ON orphan BEGIN" LOG("1", "OLD.ino") " END",

	"CREATE TRIGGER log_trim AFTER INSERT ON changelog WHEN NEW.id % " TRIMMED " = 0 BEGIN"
	" DELETE FROM changelog WHERE id <= NEW.id - " KEPT "; END",

	"CREATE TRIGGER log_keep_delete BEFORE DELETE ON changelog"
	" WHEN OLD.id > (SELECT max(id) FROM changelog) - " KEPT " BEGIN"
	" SELECT RAISE(ABORT, 'recordfs: the newest rows of changelog must stay:"
	" mounts go by them'); END",
	"CREATE TRIGGER log_keep_update BEFORE UPDATE ON changelog"
	" WHEN NEW.name IS NOT NULL OR OLD.name IS NULL OR OLD.kind <> 2 BEGIN"
	" SELECT RAISE(ABORT, 'recordfs: rows of changelog cannot be changed:"
	" mounts go by them'); END",
};
/* clang-format on */

const char *const *sq_log_ddl(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(ddl);
	return ddl;
}
