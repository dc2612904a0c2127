/* The SQL that the SQLite store runs again and again. Included by sqlite_internal.h. */
#pragma once

/* Statements, prepared once for each connection that uses them. */
#define SQ_STATEMENTS(X)                                                                           \
	X(SQ_BEGIN, "BEGIN")                                                                       \
	X(SQ_BEGIN_IMMEDIATE, "BEGIN IMMEDIATE")                                                   \
	X(SQ_COMMIT, "COMMIT")                                                                     \
	X(SQ_ROLLBACK, "ROLLBACK")                                                                 \
	X(SQ_SAVEPOINT, "SAVEPOINT one")                                                           \
	X(SQ_RELEASE, "RELEASE one")                                                               \
	X(SQ_ROLLBACK_TO, "ROLLBACK TO one")                                                       \
	X(SQ_PAGE_COUNT, "PRAGMA page_count")                                                      \
	X(SQ_FREE_COUNT, "PRAGMA freelist_count")                                                  \
	X(SQ_SETTLE, "UPDATE store SET settled = settled + 1")                                     \
	X(SQ_NEXT_INO, "SELECT next_ino FROM store")                                               \
	X(SQ_RESERVE_INO, "UPDATE store SET next_ino = ?1")                                        \
	X(SQ_INODE_GET,                                                                            \
		"SELECT mode, uid, gid, nlink, size, blocks, reserved, rdev, atime, mtime, ctime," \
		" btime, version, parent, ttl, flags FROM inode WHERE ino = ?1")                   \
	X(SQ_INODE_PUT, "UPDATE inode SET mode = ?2, uid = ?3, gid = ?4, nlink = ?5, size = ?6,"   \
			" blocks = ?7, reserved = ?8, atime = ?9, mtime = ?10, ctime = ?11,"       \
			" version = ?12, parent = ?13, ttl = ?14, flags = ?15 WHERE ino = ?1")     \
	X(SQ_INODE_PUT_DATA, "UPDATE inode SET mode = ?2, size = ?3, blocks = ?4, reserved = ?5,"  \
			     " mtime = ?6, ctime = ?7, version = ?8, flags = ?9 WHERE ino = ?1")   \
	X(SQ_INODE_NEW,                                                                            \
		"INSERT INTO inode(ino, mode, uid, gid, nlink, size, blocks, reserved, rdev,"      \
		" atime, mtime, ctime, btime, version, parent, ttl, flags, target)"                \
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"   \
		" ?17, ?18)")                                                                      \
	X(SQ_INODE_DELETE, "DELETE FROM inode WHERE ino = ?1")                                     \
	X(SQ_INODE_SLICE, "SELECT count(*), max(ino) FROM (SELECT ino FROM inode WHERE ino > ?1"   \
			  " ORDER BY ino LIMIT ?2)")                                               \
	X(SQ_INODE_LAST, "SELECT max(ino) FROM inode")                                             \
	X(SQ_TARGET_GET, "SELECT target FROM inode WHERE ino = ?1")                                \
	X(SQ_ORPHAN_NEW, "INSERT OR REPLACE INTO orphan(ino, mount, change) VALUES(?1, ?2, ?3)")   \
	X(SQ_ORPHAN_DELETE, "DELETE FROM orphan WHERE ino = ?1")                                   \
	X(SQ_ORPHAN_GIVE_UP, "DELETE FROM orphan WHERE ino = ?1 AND mount = ?2")                   \
	X(SQ_ORPHAN_CHANGE, "UPDATE orphan SET change = ?3 WHERE ino = ?1 AND mount = ?2")         \
	X(SQ_ORPHAN_CLAIM, "INSERT OR REPLACE INTO orphan(ino, mount, change)"                     \
			   " SELECT ino, ?2, max(change) FROM orphan WHERE ino = ?1 GROUP BY ino") \
	X(SQ_ORPHAN_OF, "SELECT mount, change FROM orphan WHERE ino = ?1")                         \
	X(SQ_ORPHAN_LIST, "SELECT ino, mount, change FROM orphan ORDER BY ino")                    \
	X(SQ_ORPHAN_FOREIGN,                                                                       \
		"SELECT DISTINCT ino FROM orphan o WHERE ino > ?1 AND NOT EXISTS (SELECT 1"        \
		" FROM orphan p WHERE p.ino = o.ino AND p.mount = ?2) ORDER BY ino LIMIT ?3")      \
	X(SQ_MOUNT_NEW, "INSERT INTO mount(boot, pid, started, since, seen)"                       \
			" VALUES(?1, ?2, ?3, ?4, 0)")                                              \
	X(SQ_MOUNT_SEEN, "UPDATE mount SET seen = ?2 WHERE id = ?1")                               \
	X(SQ_MOUNT_END, "UPDATE mount SET pid = 0 WHERE id = ?1")                                  \
	X(SQ_MOUNT_FORGET, "DELETE FROM mount WHERE id = ?1"                                       \
			   " AND NOT EXISTS (SELECT 1 FROM orphan WHERE mount = ?1)")              \
	X(SQ_MOUNT_LIST, "SELECT id, boot, pid, started, seen FROM mount")                         \
	X(SQ_MOUNT_THERE, "SELECT count(*) FROM mount WHERE id = ?1")                              \
	X(SQ_DATA_VERSION, "PRAGMA data_version")                                                  \
	X(SQ_LOG_NEW, "INSERT INTO changelog(mount, kind, ino, first, last, name)"                 \
		      " VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                           \
	X(SQ_LOG_ENTER, "INSERT INTO changelog(id, mount, kind, ino) SELECT 1 + max("              \
			"(SELECT coalesce(max(id), 0) FROM changelog),"                            \
			" (SELECT coalesce(max(seen), 0) FROM mount WHERE seen <= ?2),"            \
			" (SELECT coalesce(max(change), 0) FROM orphan WHERE change <= ?2)),"      \
			" ?1, 5, 0")                                                               \
	X(SQ_LOG_HEAL, "DELETE FROM changelog WHERE id > ?1")                                      \
	X(SQ_LOG_TRIM, "DELETE FROM changelog WHERE id <= ?1")                                     \
	X(SQ_LOG_SHRINK, "DELETE FROM changelog WHERE id <= (SELECT max(id) FROM changelog) - ?1") \
	X(SQ_LOG_ENDS, "SELECT (SELECT coalesce(min(id), 0) FROM changelog),"                      \
		       " (SELECT coalesce(max(id), 0) FROM changelog)")                            \
	X(SQ_LOG_AFTER, "SELECT id, mount, kind, ino, first, last, name FROM changelog"            \
			" WHERE id > ?1 ORDER BY id LIMIT ?2")                                     \
	X(SQ_BLOCK_PUT,                                                                            \
		"INSERT INTO block(key, sums, data) VALUES(?1, ?2, ?3)"                            \
		" ON CONFLICT(key) DO UPDATE SET sums = excluded.sums, data = excluded.data")      \
	X(SQ_BLOCK_SET, "UPDATE block SET sums = ?2, data = ?3 WHERE key = ?1")                    \
	X(SQ_BLOCK_RANGE,                                                                          \
		"SELECT key, sums, data FROM block WHERE key >= coalesce((SELECT max(key)"         \
		" FROM block WHERE key BETWEEN ?1 AND ?2), ?2) AND key <= ?3 ORDER BY key")        \
	X(SQ_BLOCK_LENGTHS,                                                                        \
		"SELECT key, length(data), length(sums) FROM block WHERE key >= "                  \
		"coalesce((SELECT max(key)"                                                        \
		" FROM block WHERE key BETWEEN ?1 AND ?2), ?2) AND key <= ?3 ORDER BY key")        \
	X(SQ_BLOCK_IN_CHUNK, "SELECT key, length(data), length(sums) FROM block"                   \
			     " WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC")                     \
	X(SQ_BLOCK_LAST, "SELECT key, sums, CASE WHEN length(data) <= 8192 THEN data END,"         \
			 " length(data) FROM block WHERE key BETWEEN ?1 AND ?2"                    \
			 " ORDER BY key DESC LIMIT 1")                                             \
	X(SQ_BLOCK_AT, "SELECT key, sums, CASE WHEN length(data) <= 8192 THEN data END,"           \
		       " length(data) FROM block WHERE key = ?1")                                  \
	X(SQ_BLOCK_DELETE, "DELETE FROM block WHERE key BETWEEN ?1 AND ?2")                        \
	X(SQ_HOLE_RANGE,                                                                           \
		"SELECT key, count, reserved FROM hole WHERE key >= coalesce((SELECT max(key)"     \
		" FROM hole WHERE key BETWEEN ?1 AND ?2), ?2) AND key <= ?3 ORDER BY key")         \
	X(SQ_HOLE_PUT, "INSERT OR REPLACE INTO hole(key, count, reserved) VALUES(?1, ?2, ?3)")     \
	X(SQ_HOLE_DELETE, "DELETE FROM hole WHERE key = ?1")                                       \
	X(SQ_DENTRY_GET, "SELECT ino, type, id FROM dentry WHERE parent = ?1 AND name = ?2")       \
	X(SQ_DENTRY_NEW, "INSERT INTO dentry(parent, name, id, ino, type) VALUES(?1, ?2, (SELECT"  \
			 " max(version, coalesce((SELECT max(id) FROM dentry WHERE parent = ?1"    \
			 " AND id < 1 << 62), 0) + 1) FROM inode WHERE ino = ?1), ?3, ?4)")        \
	X(SQ_DENTRY_SET, "UPDATE dentry SET ino = ?3, type = ?4 WHERE parent = ?1 AND name = ?2")  \
	X(SQ_DENTRY_RENAME, "UPDATE dentry SET name = ?3 WHERE parent = ?1 AND name = ?2")         \
	X(SQ_DENTRY_DELETE, "DELETE FROM dentry WHERE parent = ?1 AND name = ?2")                  \
	X(SQ_DENTRY_ANY, "SELECT 1 FROM dentry WHERE parent = ?1 LIMIT 1")                         \
	X(SQ_DENTRY_LIST, "SELECT id, name, ino, type FROM dentry WHERE parent = ?1 AND id > ?2"   \
			  " ORDER BY id LIMIT ?3")                                                 \
	X(SQ_DENTRY_LIST_ATTR,                                                                     \
		"SELECT id, name, d.ino, type, mode, uid, gid, nlink, size, blocks, reserved,"     \
		" rdev, atime, mtime, ctime, btime, version, i.parent, ttl, flags"                 \
		" FROM dentry d JOIN inode i ON i.ino = d.ino WHERE d.parent = ?1 AND d.id > ?2"   \
		" ORDER BY d.id LIMIT ?3")                                                         \
	X(SQ_DENTRY_OF, "SELECT parent, name FROM dentry WHERE ino = ?1 LIMIT 1")                  \
	X(SQ_DENTRY_OF_DIR, "SELECT name FROM dentry WHERE parent = ?1 AND ino = ?2 LIMIT 1")      \
	X(SQ_XATTR_GET, "SELECT value FROM xattr WHERE ino = ?1 AND name = ?2")                    \
	X(SQ_XATTR_PUT, "INSERT OR REPLACE INTO xattr(ino, name, value) VALUES(?1, ?2, ?3)")       \
	X(SQ_XATTR_DELETE, "DELETE FROM xattr WHERE ino = ?1 AND name = ?2")                       \
	X(SQ_XATTR_DELETE_ALL, "DELETE FROM xattr WHERE ino = ?1")                                 \
	X(SQ_XATTR_LIST, "SELECT name FROM xattr WHERE ino = ?1 ORDER BY name")                    \
	X(SQ_XATTR_SIZE, "SELECT count(*), sum(length(name) + length(value)) FROM xattr"           \
			 " WHERE ino = ?1")

enum sq_statement {
#define X(name, sql) name,
	SQ_STATEMENTS(X)
#undef X
		SQ_STATEMENTS_N
};
