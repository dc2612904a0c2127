/*
 * Pieces of SQL that the views and triggers of a store are made of. Arguments are SQL, as strings.
 *
 * The statements become a part of every store, and are compared word by word when one is opened:
 * whoever alters a piece alters the format (docs/store-format.md).
 */
#pragma once

/* The types of inodes, as S_IFMT has them. */
#define SQL_TYPE "61440"
#define SQL_FILE "32768"
#define SQL_DIRECTORY "16384"
#define SQL_SYMLINK "40960"
#define SQL_FIFO "4096"
#define SQL_SOCKET "49152"

/* All keys of an inode's data. */
#define SQL_KEYS(ino) "BETWEEN " ino " << 30 AND " ino " << 30 | 1073741823"

/* Now, in nanoseconds since 1970: SQLite's clock has milliseconds. */
#define SQL_NOW "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000000"
/* The time of a change after one at `last`: later, also in the same millisecond. */
#define SQL_TICK(last)                                                                             \
	"CASE WHEN " last " BETWEEN " SQL_NOW " AND " SQL_NOW " + 999999999 THEN " last " + 1"     \
	" ELSE " SQL_NOW " END"

/* Is this TEXT well-formed UTF-8? unicode() and char() take apart and put together each character
 * on its own; only U+FFFE and U+FFFF come out as something else, though they are well-formed. */
#define SQL_IS_UTF8(text)                                                                          \
	"(" text " NOT GLOB '*[^ -~]*' OR NOT EXISTS (WITH RECURSIVE c(n, s) AS"                   \
	" (SELECT 1, substr(" text ", 1, 1) UNION ALL SELECT n + 1, substr(" text ", n + 1, 1)"    \
	" FROM c WHERE n < length(" text ")) SELECT 1 FROM c WHERE hex(s) <>"                      \
	" hex(char(unicode(s))) AND hex(s) NOT IN ('EFBFBE', 'EFBFBF')))"

/* Bytes (a BLOB) as a name is stored. */
#define SQL_TEXT_OR_BLOB(bytes)                                                                    \
	"CASE WHEN " SQL_IS_UTF8("CAST(" bytes " AS TEXT)") " THEN CAST(" bytes                    \
							    " AS TEXT) ELSE " bytes " END"

/*
 * Down from the root along a path (a BLOB, which begins with a slash): one row, `dir` the inode of
 * the directory that the last name is in, `rest` the name, a BLOB. No row, or `dir` is NULL: there
 * is no such directory.
 */
#define SQL_WALK(path)                                                                             \
	"(WITH RECURSIVE walk(dir, rest) AS (SELECT 1, substr(" path ", 2) UNION ALL"              \
	" SELECT (SELECT ino FROM dentry WHERE parent = walk.dir AND type = " SQL_DIRECTORY        \
	" AND name IN (CAST(substr(rest, 1, instr(rest, x'2f') - 1) AS TEXT),"                     \
	" substr(rest, 1, instr(rest, x'2f') - 1))), substr(rest, instr(rest, x'2f') + 1)"         \
	" FROM walk WHERE instr(rest, x'2f') AND dir IS NOT NULL)"                                 \
	" SELECT dir, rest FROM walk WHERE instr(rest, x'2f') = 0)"
