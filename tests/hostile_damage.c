/* What an input does to a store. */

#include "hostile.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- the input ---------------------------------------------------------------------------------
 */

struct feed {
	const uint8_t *p;
	size_t left;
};

static uint8_t byte(struct feed *f)
{
	if (f->left == 0)
		return 0;
	f->left--;
	return *f->p++;
}

static uint32_t number(struct feed *f)
{
	uint32_t n = byte(f);
	n = n << 8 | byte(f);
	return n << 8 | byte(f);
}

/* -- the bytes of the files -------------------------------------------------------------------- */

static struct hostile_file db, wal;

static struct hostile_file *which(struct feed *f)
{
	return byte(f) % 4 == 0 && wal.size > 0 ? &wal : &db;
}

/* A place in the file, half of them where a page begins: there it says what is in it. */
static size_t place(struct feed *f, const struct hostile_file *file)
{
	uint32_t n = number(f);
	size_t pages = file->size / 4096;
	if (n % 2 == 0 || pages == 0)
		return file->size ? n % file->size : 0;
	size_t start = file == &wal ? 32 : 0;
	size_t each = file == &wal ? 4096 + 24 : 4096;
	size_t at = start + (n >> 7) % pages * each + (n >> 1) % 64;
	return at % file->size;
}

static void flip(struct feed *f)
{
	struct hostile_file *file = which(f);
	size_t at = place(f, file);
	if (file->size)
		file->bytes[at] ^= (uint8_t)(1u << byte(f) % 8);
}

static void overwrite(struct feed *f)
{
	struct hostile_file *file = which(f);
	size_t at = place(f, file), n = byte(f) % 32 + 1u;
	uint8_t value = byte(f);
	for (size_t i = 0; i < n && at + i < file->size; i++)
		file->bytes[at + i] = value % 4 ? value : byte(f);
}

static void zero_page(struct feed *f)
{
	struct hostile_file *file = which(f);
	size_t pages = file->size / 4096;
	if (pages)
		memset(file->bytes + number(f) % pages * 4096, byte(f) % 2 ? 0xff : 0, 4096);
}

static void copy_page(struct feed *f)
{
	struct hostile_file *file = which(f);
	size_t pages = file->size / 4096;
	if (pages == 0)
		return;
	size_t from = number(f) % pages, to = number(f) % pages;
	memmove(file->bytes + to * 4096, file->bytes + from * 4096, 4096);
}

static void cut(struct feed *f)
{
	struct hostile_file *file = which(f);
	size_t n = number(f);
	if (file->size)
		file->size = n % 2 ? n % file->size : n % (file->size / 4096 + 1) * 4096;
}

/* -- rows --------------------------------------------------------------------------------------
 */

static const struct {
	const char *table;
	const char *columns[18];
} tables[] = {
	{"inode", {"mode", "uid", "gid", "nlink", "size", "blocks", "reserved", "rdev", "atime",
			  "version", "parent", "ttl", "flags", "target", "ino", "mtime", "ctime"}},
	{"dentry", {"parent", "name", "id", "ino", "type"}},
	{"block", {"key", "sums", "data"}},
	{"hole", {"key", "count", "reserved"}},
	{"xattr", {"ino", "name", "value"}},
	{"orphan", {"ino", "mount", "change"}},
	{"mount", {"id", "boot", "pid", "started", "since", "seen"}},
	{"changelog", {"id", "mount", "kind", "ino", "first", "last", "name"}},
	{"store", {"id", "uuid", "created", "block_size", "next_ino", "settled"}},
};

static const int64_t numbers[] = {0, 1, -1, 2, 3, 5, 7, 15, 16, 17, 40, 255, 256, 4095, 4096, 4097,
	65536, 65537, 16384, 16877, 33188, 41471, 4516, 61440, (1LL << 30) - 1, 1LL << 30,
	(1LL << 30) + 1, INT32_MAX, 1LL << 31, UINT32_MAX, 1LL << 32, (1LL << 32) + 33188,
	(1LL << 33) - 1, 1LL << 33, 1LL << 34, 1LL << 42, (1LL << 42) + 1, 1LL << 62,
	(1LL << 62) + 1, INT64_MAX - 1, INT64_MAX, INT64_MIN, INT64_MIN + 1, 2LL << 30,
	(2LL << 30) + 20, (3LL << 30) + 7, (5LL << 30) - 1, 0x72636673};

static const char *const texts[] = {"", ".", "..", "a/b", "/", "file", "dir", "x\xff", "symlink",
	"12345", "a\nb", "user.recordfs.ttl", "system.posix_acl_access", "lost+found",
	"../../../../../../etc/passwd"};

/* Binds a value of any type. */
static void bind(struct feed *f, sqlite3_stmt *st, int at)
{
	static const uint8_t blob[300] = {2, 0, 0, 0, 'a', 0, 'b'};
	uint8_t kind = byte(f), n = byte(f);
	switch (kind % 16) {
	case 0:
		sqlite3_bind_null(st, at);
		break;
	case 1:
		sqlite3_bind_double(st, at, n * 1e17 - 1e18);
		break;
	case 2:
	case 3:
		sqlite3_bind_text(st, at, texts[n % ARRAY_LEN(texts)], -1, SQLITE_STATIC);
		break;
	case 4:
		sqlite3_bind_blob(st, at, texts[n % ARRAY_LEN(texts)],
			(int)strlen(texts[n % ARRAY_LEN(texts)]), SQLITE_STATIC);
		break;
	case 5:
		sqlite3_bind_blob(st, at, blob, n, SQLITE_STATIC);
		break;
	case 6:
		sqlite3_bind_zeroblob(st, at, n % 32 == 31 ? 30000000 : n * 300);
		break;
	case 7:
		sqlite3_bind_int64(st, at, n);
		break;
	case 8:
		sqlite3_bind_int64(st, at, (int64_t)(number(f) % 20) << 30 | n);
		break;
	default:
		sqlite3_bind_int64(st, at, numbers[n % ARRAY_LEN(numbers)]);
		break;
	}
}

static void run(sqlite3 *connection, const char *sql)
{
	sqlite3_exec(connection, sql, NULL, NULL, NULL);
}

/* Runs one statement with values for as many parameters as it has. */
static void run_bound(struct feed *f, sqlite3 *connection, const char *sql)
{
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(connection, sql, -1, &st, NULL) == SQLITE_OK) {
		for (int i = 1; i <= sqlite3_bind_parameter_count(st); i++)
			bind(f, st, i);
		while (sqlite3_step(st) == SQLITE_ROW)
			;
	}
	sqlite3_finalize(st);
}

static size_t columns_of(size_t table)
{
	size_t n = 0;
	while (n < ARRAY_LEN(tables[table].columns) && tables[table].columns[n])
		n++;
	return n;
}

static void change_row(struct feed *f, sqlite3 *connection)
{
	size_t t = byte(f) % 16, row = byte(f);
	t = t < ARRAY_LEN(tables) ? t : t % 4;
	const char *column = tables[t].columns[byte(f) % columns_of(t)];
	char sql[400];
	const char *key = tables[t].columns[0], *table = tables[t].table;
	snprintf(sql, sizeof sql,
		"UPDATE OR REPLACE %s SET %s = ?1 WHERE (%s, %s) = (SELECT %s, %s FROM %s"
		" LIMIT 1 OFFSET %zu %% (SELECT count(*) + (count(*) = 0) FROM %s))",
		table, column, key, tables[t].columns[1], key, tables[t].columns[1], table, row,
		table);
	if (t == 0) /* its key is not the first one */
		snprintf(sql, sizeof sql, "UPDATE OR REPLACE inode SET %s = ?1 WHERE ino = %zu",
			column, row % 20 + 1);
	run_bound(f, connection, sql);
}

static void delete_row(struct feed *f, sqlite3 *connection)
{
	size_t t = byte(f) % ARRAY_LEN(tables), row = byte(f);
	char sql[400];
	const char *key = t == 0 ? "ino" : tables[t].columns[0];
	const char *second = tables[t].columns[1];
	snprintf(sql, sizeof sql,
		"DELETE FROM %s WHERE (%s, %s) = (SELECT %s, %s FROM %s LIMIT 1 OFFSET %zu"
		" %% (SELECT count(*) + (count(*) = 0) FROM %s))",
		tables[t].table, key, second, key, second, tables[t].table, row, tables[t].table);
	run(connection, sql);
}

static void insert_row(struct feed *f, sqlite3 *connection)
{
	size_t t = byte(f) % ARRAY_LEN(tables), n = columns_of(t);
	char sql[400] = "", values[200] = "";
	snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %s(", tables[t].table);
	for (size_t i = 0; i < n; i++) {
		snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "%s%s", i ? ", " : "",
			tables[t].columns[i]);
		snprintf(values + strlen(values), sizeof values - strlen(values), "%s?",
			i ? ", " : "");
	}
	snprintf(sql + strlen(sql), sizeof sql - strlen(sql), ") VALUES(%s)", values);
	run_bound(f, connection, sql);
}

/* What goes together, so that one value does not give it away at once. */
static const char *const plots[] = {
	"UPDATE dentry SET parent = 6 WHERE name = 'dir'",
	"UPDATE inode SET parent = 6 WHERE ino = 5",
	"INSERT OR REPLACE INTO dentry VALUES(6, 'up', 77, 1, 16384)",
	"INSERT OR REPLACE INTO dentry VALUES(6, 'up', 77, 5, 16384)",
	"INSERT OR REPLACE INTO dentry VALUES(1, ?, 99, 4000, 32768)",
	"INSERT OR REPLACE INTO dentry VALUES(1, ?, 98, 2, 32768)",
	"INSERT OR REPLACE INTO dentry VALUES(1, CAST('file' AS BLOB), 97, 3, 32768)",
	"UPDATE block SET key = key + 1 WHERE key >> 30 = 2",
	"UPDATE block SET key = key + 16 WHERE key >> 30 = 2 AND key & 1023 = 32",
	"UPDATE block SET sums = NULL",
	"UPDATE block SET sums = substr(sums, 2)",
	"UPDATE block SET data = substr(data, 1, 5000), sums = substr(sums, 1, 16)",
	"INSERT OR REPLACE INTO block VALUES((2 << 30) + 5, NULL, x'00')",
	"INSERT OR REPLACE INTO block VALUES((3 << 30) + 5, NULL, zeroblob(?))",
	"INSERT OR REPLACE INTO hole VALUES((2 << 30) + 3, ?, 0)",
	"INSERT OR REPLACE INTO hole VALUES((3 << 30) + 3, ?, 1)",
	"UPDATE hole SET count = ?",
	"UPDATE hole SET count = ?, reserved = 1",
	"DELETE FROM block WHERE key >> 30 = 2 AND key & 1023 = 16",
	"DELETE FROM hole",
	"DELETE FROM orphan",
	"INSERT OR REPLACE INTO orphan VALUES(2, 0, 0)",
	"INSERT OR REPLACE INTO orphan VALUES(?, 0, ?)",
	"UPDATE inode SET nlink = 0 WHERE ino = 2",
	"DELETE FROM store",
	"UPDATE store SET next_ino = 2",
	"UPDATE store SET next_ino = ?",
	"INSERT INTO store SELECT 2, uuid, created, block_size, next_ino, settled FROM store",
	"INSERT INTO changelog(mount, kind, ino, first, last, name) VALUES(?, ?, ?, ?, ?, ?)",
	"INSERT INTO mount(boot, pid, started, since, seen) VALUES(?, ?, ?, ?, ?)",
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
	" INSERT INTO mount(boot, pid, started, since, seen) SELECT 'x', i, i, i, i FROM n",
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
	" INSERT OR REPLACE INTO dentry SELECT 1, 'many' || i, 200, 2, 32768 FROM n",
	"UPDATE inode SET target = CAST(target || x'00' AS BLOB), size = size + 1"
	" WHERE target IS NOT NULL",
	"UPDATE inode SET version = ?",
	"UPDATE inode SET blocks = ?, reserved = ?",
	"UPDATE dentry SET id = ? WHERE parent = 1",
	"DELETE FROM inode WHERE ino = 1",
	"DELETE FROM inode WHERE ino = 5",
	"DELETE FROM dentry WHERE name = 'dir'",
	"DELETE FROM dentry WHERE parent = 1",
};

static const char *const schemas[] = {
	"CREATE TRIGGER t AFTER UPDATE ON inode BEGIN DELETE FROM block; END",
	"CREATE TRIGGER t BEFORE INSERT ON dentry BEGIN SELECT zeroblob(1000000000); END",
	"CREATE VIEW v AS SELECT load_extension('/tmp/x')",
	"CREATE INDEX i ON inode(hex(zeroblob(100000)))",
	"CREATE INDEX i ON block(key) WHERE length(data) > 5",
	"CREATE TABLE t(x, y AS (hex(zeroblob(1000000))) STORED)",
	"CREATE VIRTUAL TABLE f USING fts5(x)",
	"CREATE VIRTUAL TABLE f USING rtree(a, b, c)",
	"ALTER TABLE inode ADD COLUMN g AS (zeroblob(1000000000))",
	"ALTER TABLE hole RENAME TO away",
	"ALTER TABLE block ADD COLUMN more",
	"DROP TABLE xattr",
	"DROP TABLE changelog",
	"DROP TABLE mount",
	"DROP INDEX dentry_order",
	"DROP TRIGGER log_keep_delete",
	"DROP VIEW records",
	"PRAGMA application_id = 1",
	"PRAGMA user_version = 1",
	"PRAGMA user_version = 3",
	"PRAGMA journal_mode = DELETE",
	"PRAGMA auto_vacuum = NONE; VACUUM",
	"PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM",
	"PRAGMA journal_mode = DELETE; PRAGMA page_size = 65536; VACUUM",
	"PRAGMA wal_checkpoint(TRUNCATE)",
	"ANALYZE",
	"UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name ="
	" 'inode') WHERE name = 'hole'",
	"UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name ="
	" 'dentry_order') WHERE name = 'dentry_directory'",
	"UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'xattr'",
	"UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'changelog'",
	"UPDATE sqlite_schema SET sql = (SELECT sql FROM sqlite_schema WHERE name = 'hole')"
	" WHERE name = 'xattr'",
	"UPDATE sqlite_schema SET sql = NULL WHERE name = 'dentry_order'",
	"UPDATE sqlite_schema SET type = 'view' WHERE name = 'mount'",
	"UPDATE sqlite_schema SET name = 'x', tbl_name = 'y' WHERE name = 'orphan'",
	"DELETE FROM sqlite_schema WHERE name = 'orphan'",
	"DELETE FROM sqlite_schema",
	"INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'inode'",
	"INSERT INTO sqlite_schema VALUES('table', 't', 't', 2, 'CREATE TABLE t(x')",
	"INSERT INTO sqlite_schema VALUES('trigger', 't', 'inode', 0,"
	" 'CREATE TRIGGER t AFTER UPDATE ON inode BEGIN DELETE FROM block; END')",
};

/* Of the sound store, to bring back what made rows of any kind possible. */
static sqlite3 *sound_schema;

/* The tables without their constraints, so that anything may be in them; undone by constrain(). */
static void unconstrain(sqlite3 *connection)
{
	run(connection, "UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql,"
			" ' STRICT', ' '), ' , WITHOUT', ' WITHOUT'), ' NOT NULL', ''), ' CHECK(id "
			"= 1)', '')"
			" WHERE type = 'table' AND sql LIKE '%STRICT%'");
}

static void constrain(sqlite3 *connection)
{
	sqlite3_stmt *from = NULL, *to = NULL;
	if (sqlite3_prepare_v2(sound_schema, "SELECT name, sql FROM kept", -1, &from, NULL) !=
			SQLITE_OK ||
		sqlite3_prepare_v2(connection, "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1",
			-1, &to, NULL) != SQLITE_OK) {
		sqlite3_finalize(from);
		return;
	}
	while (sqlite3_step(from) == SQLITE_ROW) {
		sqlite3_bind_value(to, 1, sqlite3_column_value(from, 0));
		sqlite3_bind_value(to, 2, sqlite3_column_value(from, 1));
		sqlite3_step(to);
		sqlite3_reset(to);
	}
	sqlite3_finalize(from);
	sqlite3_finalize(to);
}

static sqlite3 *open_raw(bool triggers)
{
	sqlite3 *connection = NULL;
	sqlite3_open(hostile_path, &connection);
	sqlite3_db_config(connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers, NULL);
	sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, 50000000);
	sqlite3_limit(connection, SQLITE_LIMIT_VDBE_OP, 100000);
	run(connection, "PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;"
			"PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY");
	return connection;
}

static void by_sql(struct feed *f, uint8_t kind)
{
	hostile_save(hostile_path, "", &db);
	hostile_save(hostile_path, "-wal", &wal);
	uint8_t how = byte(f);
	bool any_type = how % 4 == 3 && kind < 11;
	sqlite3 *connection = open_raw(how % 2);
	if (any_type) {
		unconstrain(connection);
		sqlite3_close(connection);
		connection = open_raw(false);
	}
	switch (kind) {
	case 5:
	case 6:
	case 7:
		change_row(f, connection);
		break;
	case 8:
		delete_row(f, connection);
		break;
	case 9:
		insert_row(f, connection);
		break;
	case 10:
		run_bound(f, connection, plots[byte(f) % ARRAY_LEN(plots)]);
		break;
	default:
		run(connection, schemas[byte(f) % ARRAY_LEN(schemas)]);
		break;
	}
	if (any_type)
		constrain(connection);
	sqlite3_close(connection);
	free(db.bytes);
	free(wal.bytes);
	db = hostile_load(hostile_path, "");
	wal = hostile_load(hostile_path, "-wal");
}

/* -- all of it ----------------------------------------------------------------------------------
 */

void hostile_damage_setup(const char *sound)
{
	char sql[300];
	if (sqlite3_open(":memory:", &sound_schema) != SQLITE_OK)
		abort();
	snprintf(sql, sizeof sql,
		"ATTACH '%s' AS sound; CREATE TABLE kept AS SELECT name, sql FROM"
		" sound.sqlite_schema WHERE sql LIKE '%%STRICT%%'; DETACH sound",
		sound);
	if (sqlite3_exec(sound_schema, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

void hostile_damage_teardown(void)
{
	sqlite3_close(sound_schema);
	sound_schema = NULL;
}

void hostile_damage(const uint8_t *input, size_t size)
{
	struct feed f = {.p = input, .left = size};
	db = hostile_load(hostile_path, "");
	wal = hostile_load(hostile_path, "-wal");
	for (unsigned i = 0; i < HOSTILE_DAMAGES && f.left > 0; i++) {
		uint8_t kind = byte(&f) % 12;
		switch (kind) {
		case 0:
			flip(&f);
			break;
		case 1:
			overwrite(&f);
			break;
		case 2:
			zero_page(&f);
			break;
		case 3:
			copy_page(&f);
			break;
		case 4:
			cut(&f);
			break;
		default:
			by_sql(&f, kind);
			break;
		}
	}
	hostile_save(hostile_path, "", &db);
	hostile_save(hostile_path, "-wal", &wal);
	free(db.bytes);
	free(wal.bytes);
	db = wal = (struct hostile_file){0};
}
