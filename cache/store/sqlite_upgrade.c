/*
 * A store of format 1 becomes one of format 2, in one transaction.
 *
 * Format 1 had the same tables but for these: names in dentry were BLOBs, orphan had one row for an
 * inode, mount no column `seen`; there was no changelog, and no view, no trigger.
 */

#include "sqlite_internal.h"
#include "sqlite_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME SQL_TEXT_OR_BLOB("name")

/* The tables that are not as they were make room for the new ones... */
static const char before[] = "DROP INDEX dentry_order;"
			     "ALTER TABLE dentry RENAME TO dentry_1;"
			     "ALTER TABLE orphan RENAME TO orphan_1;"
			     "ALTER TABLE mount RENAME TO mount_1;";

/* ... which then take their rows over. */
static const char after[] =
	"INSERT INTO dentry(parent, name, id, ino, type)"
	" SELECT parent, " NAME ", id, ino, type FROM dentry_1;"
	"DROP TABLE dentry_1;"
	"INSERT INTO orphan SELECT ino, mount, 0 FROM orphan_1;"
	"DROP TABLE orphan_1;"
	"INSERT INTO mount SELECT id, boot, pid, started, since, 0 FROM mount_1;"
	"DROP TABLE mount_1;";

static int ask(struct sq_conn *c, const char *pragma, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int r = sq_errno(sqlite3_prepare_v2(c->db, pragma, -1, &st, NULL));
	if (r == 0)
		r = sq_scalar(st, ret);
	sqlite3_finalize(st);
	return r;
}

static int user_version(struct sq_conn *c, int64_t *ret)
{
	return ask(c, "PRAGMA user_version", ret);
}

/* sq_recognise() has read the file alone: what is in the log may say otherwise. */
int sq_verify_application(struct sq_conn *c, char *why, size_t why_size)
{
	int64_t id = 0;
	if (ask(c, "PRAGMA application_id", &id) < 0 || id == SQ_APPLICATION_ID)
		return 0; /* as below */
	snprintf(why, why_size,
		"%s: a SQLite database, but not a recordfs store; name another file",
		sqlite3_db_filename(c->db, "main"));
	return -EPROTO;
}

int sq_verify_format(struct sq_conn *c, char *why, size_t why_size)
{
	int64_t format = 0;
	/* A file that cannot even say that is left to sq_verify_schema(), which tells why. */
	if (user_version(c, &format) < 0 || format == SQ_FORMAT)
		return 0;
	snprintf(why, why_size,
		format == SQ_FORMAT_1
			? "%s: store format %lld is older than this recordfs (format %d); mount it"
			  " once for writing, which converts it"
			: "%s: store format %lld is not that of this recordfs (format %d); use a"
			  " matching one",
		sqlite3_db_filename(c->db, "main"), (long long)format, SQ_FORMAT);
	return -EPROTONOSUPPORT;
}

/* Is there an object of that SQL? */
static int exists(struct sq_conn *c, const char *sql, bool *ret)
{
	sqlite3_stmt *st = NULL;
	int64_t n = 0;
	int r = sq_errno(sqlite3_prepare_v2(
		c->db, "SELECT count(*) FROM sqlite_schema WHERE sql = ?1", -1, &st, NULL));
	if (r == 0)
		r = sq_errno(sqlite3_bind_text(st, 1, sql, -1, SQLITE_STATIC));
	if (r == 0)
		r = sq_scalar(st, &n);
	sqlite3_finalize(st);
	*ret = n > 0;
	return r;
}

/* What of the schema is new. Triggers come last in it, so they find all their tables. */
static int add_missing(struct sq_conn *c)
{
	int r = 0;
	for (size_t i = 0; r == 0 && sq_schema(i); i++) {
		bool there = false;
		r = exists(c, sq_schema(i), &there);
		if (r == 0 && !there)
			r = sq_run(c, sq_schema(i));
	}
	return r;
}

/* An older recordfs that has the store open would not know what became of it. */
static int refuse_mounted(struct sq_conn *c, char *why, size_t why_size)
{
	struct sq_identity me;
	struct sq_peers peers = {0};
	int r = sq_identify(sqlite3_db_filename(c->db, "main"), &me);
	if (r == 0)
		r = sq_peers_load(c, &me, 0, &peers);
	if (r < 0 || !peers.any)
		return r;
	snprintf(why, why_size,
		"%s: an older recordfs has this store of format 1 mounted; unmount it first",
		sqlite3_db_filename(c->db, "main"));
	return -EBUSY;
}

static int convert(struct sq_conn *c, char *why, size_t why_size)
{
	char version[48];
	snprintf(version, sizeof version, "PRAGMA user_version = %d", SQ_FORMAT);
	int r = sq_run(c, before);
	if (r == 0)
		r = add_missing(c);
	if (r == 0)
		r = sq_run(c, after);
	if (r == 0)
		r = refuse_mounted(c, why, why_size);
	if (r == 0)
		r = sq_verify_schema(c, why, why_size);
	return r == 0 ? sq_run(c, version) : r;
}

int sq_upgrade(struct sq_conn *c, char *why, size_t why_size)
{
	int64_t format = 0;
	if (user_version(c, &format) < 0 || format != SQ_FORMAT_1)
		return 0;
	int r = sq_exec(sq_query(c, SQ_BEGIN_IMMEDIATE, ""));
	if (r == 0)
		r = user_version(c, &format); /* somebody else may have been first */
	if (r == 0 && format == SQ_FORMAT_1)
		r = convert(c, why, why_size);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_COMMIT, ""));
	if (r < 0)
		sq_rollback(c);
	if (r < 0 && !why[0])
		snprintf(why, why_size, "%s: cannot convert the store from format 1: %s",
			sqlite3_db_filename(c->db, "main"), strerror(-r));
	return r;
}
