/* Where a store is mended: in place, or in a new one that takes its place. */

#include "sqlite_repair.h"
#include "sqlite_repair_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For others who are just closing the store. */
#define BUSY_TIMEOUT_MS 1000
#define DAMAGED_MAX 1000

static const struct {
	const char *step;
	int (*run)(struct repair *m);
} steps[] = {
	{"store", repair_store_row},
	{"lost inodes", repair_lost_inodes},
	{"inodes", repair_inodes},
	{"names", repair_names},
	{"tree", repair_tree},
	{"link counts", repair_counts},
	{"attributes", repair_xattrs},
	{"change log", repair_logs},
	{"data", repair_data},
	{"numbers", repair_next_ino},
};

/* -- what the steps use ------------------------------------------------------------------------ */

void repair_tell(struct repair *m, int64_t ino, const char *format, ...)
{
	const struct sqlite_check_handler *handler = m->check.handler;
	char what[512];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	m->mended++;
	struct sqlite_check_fault done = {.what = what, .ino = (uint64_t)ino, .offset = -1};
	if (handler->mended)
		handler->mended(handler->arg, &done);
}

int repair_failed(struct repair *m)
{
	if (m->check.stopped)
		return -ECANCELED;
	int r = sq_errno(sqlite3_extended_errcode(m->db));
	snprintf(m->failure, sizeof m->failure, "%s: %s", m->check.step, sqlite3_errmsg(m->db));
	return r < 0 ? r : -EIO;
}

int repair_run(struct repair *m, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *sql = sqlite3_vmprintf(format, args);
	va_end(args);
	if (!sql)
		return -ENOMEM;
	int rc = sqlite3_exec(m->db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	return rc == SQLITE_OK ? 0 : repair_failed(m);
}

sqlite3_stmt *repair_query(struct repair *m, const char *sql)
{
	sqlite3_stmt *st = NULL;
	return sqlite3_prepare_v2(m->db, sql, -1, &st, NULL) == SQLITE_OK ? st : NULL;
}

void repair_done(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
	*st = NULL;
}

int repair_step(struct repair *m, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : repair_failed(m);
	sqlite3_reset(st);
	return r;
}

int repair_ask(struct repair *m, const char *sql, int64_t none, int64_t *ret)
{
	CLEANUP(repair_done) sqlite3_stmt *st = repair_query(m, sql);
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return repair_failed(m);
	bool has = rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL;
	*ret = has ? sqlite3_column_int64(st, 0) : none;
	return 0;
}

int repair_each(struct repair *m, const char *which, const char *what, const char *how)
{
	CLEANUP(repair_done) sqlite3_stmt *st = repair_query(m, which);
	int rc = SQLITE_ERROR;
	bool any = false;
	while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		any = true;
		repair_tell(m, sqlite3_column_int64(st, 0), "%s", what);
	}
	if (rc != SQLITE_DONE)
		return repair_failed(m);
	repair_done(&st);
	return any ? repair_run(m, "%s", how) : 0;
}

/* -- mending -----------------------------------------------------------------------------------
 */

/* Nothing in the file may run code, and nobody else has it open. */
static int configure(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, CHECK_LENGTH_MAX);
	int rc = sq_no_code(db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
			"PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
			"PRAGMA temp_store = FILE; PRAGMA cell_size_check = ON;"
			"PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 0",
			NULL, NULL, NULL);
	/* This reads the schema, which may be damaged. */
	(void)sqlite3_exec(db, "PRAGMA cache_size = -16384", NULL, NULL, NULL);
	return rc;
}

/* From here on the connection reads what it can, of a database that is cut short or whose schema
 * cannot be understood. It is for reading alone. */
static int tolerate(sqlite3 *db)
{
	int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA writable_schema = ON", NULL, NULL, NULL);
	return rc;
}

static bool is_damage(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_ERROR;
}

/* Opens, locks, and begins a transaction. */
static int begin(struct repair *m, const char *path)
{
	m->check.conn = calloc(1, sizeof *m->check.conn);
	if (!m->check.conn)
		return -ENOMEM;
	int rc = sqlite3_open_v2(
		path, &m->check.conn->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	m->db = m->check.conn->db;
	if (rc == SQLITE_OK)
		rc = configure(m->db);
	if (rc == SQLITE_OK)
		sqlite3_progress_handler(m->db, CHECK_STEPS, check_on_the_way, &m->check);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(m->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
	if (is_damage(rc) && (rc = tolerate(m->db)) == SQLITE_OK)
		rc = sqlite3_exec(m->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
	if ((rc & 0xff) == SQLITE_BUSY)
		return -EBUSY;
	if ((rc & 0xff) == SQLITE_NOTADB) /* by its log; the file itself begins as a store does */
		return -EBADMSG;
	return rc == SQLITE_OK ? 0 : repair_failed(m);
}

static void end(struct repair *m)
{
	sqlite3_finalize(m->check.place);
	m->check.place = NULL;
	m->check.conn = sq_conn_close(m->check.conn);
	m->db = NULL;
}

/* Are the b-trees sound, and the tables those of a store? */
static bool is_sound(struct repair *m)
{
	char why[SQLITE_STORE_WHY];
	sqlite3_stmt *st = repair_query(m, "PRAGMA main.integrity_check(1)");
	bool sound = st && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) &&
		     strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	sqlite3_finalize(st);
	return sound && sq_verify_schema(m->check.conn, why, sizeof why) == 0;
}

static int mend(struct repair *m)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(steps); i++) {
		check_begin_step(&m->check, steps[i].step);
		r = check_progress(&m->check) ? steps[i].run(m) : -ECANCELED;
	}
	return r;
}

/* Mends, and looks what is left. */
static int mend_and_check(struct repair *m)
{
	int r = mend(m);
	if (r == 0)
		r = check_run_all(&m->check);
	if (r == 0 && sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		r = repair_failed(m);
	return r;
}

/* -- a new store ------------------------------------------------------------------------------- */

/* What a new store begins with makes way for what was in the old one. */
static int make_new(struct repair *m, const char *path, char *why, size_t why_size)
{
	sq_remove_database(path); /* left by another process of that number, which was killed */
	int r = sq_create(path, false, why, why_size);
	if (r >= 0)
		r = begin(m, path);
	return r < 0 ? r : repair_run(m, "DELETE FROM inode; DELETE FROM store");
}

static int link_as(const char *path, const char *damaged, const char *suffix)
{
	char from[PATH_MAX], to[PATH_MAX];
	snprintf(from, sizeof from, "%s%s", path, suffix);
	snprintf(to, sizeof to, "%s%s", damaged, suffix);
	return link(from, to) < 0 ? -errno : 0;
}

static void unlink_as(const char *path, const char *suffix)
{
	char name[PATH_MAX];
	snprintf(name, sizeof name, "%s%s", path, suffix);
	unlink(name);
}

/* A second name for the old store, and for its log. */
static int keep_old(const char *path, char *ret, size_t size)
{
	int r = -EEXIST;
	for (unsigned n = 0; r == -EEXIST && n < DAMAGED_MAX; n++) {
		int len = n ? snprintf(ret, size, "%s.damaged-%u", path, n)
			    : snprintf(ret, size, "%s.damaged", path);
		if (len < 0 || (size_t)len >= size)
			return -ENAMETOOLONG;
		r = link_as(path, ret, "-wal");
		bool log = r == 0;
		if (r == 0 || r == -ENOENT)
			r = link_as(path, ret, "");
		if (r < 0 && log)
			unlink_as(ret, "-wal");
	}
	return r;
}

/* From here on the old store is to be found under its second name alone. The log must go before the
 * new store comes, since it would be taken for a part of that. */
static int swap(const char *path, const char *new)
{
	static const char *const beside[] = {"-wal", "-shm"};
	char name[PATH_MAX];
	int r = sq_sync_directory_of(path);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(beside); i++) {
		snprintf(name, sizeof name, "%s%s", path, beside[i]);
		if (unlink(name) < 0 && errno != ENOENT)
			r = -errno;
	}
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	return r < 0 ? r : sq_sync_directory_of(path);
}

/* A store of what can be read of the old one, at `new`. */
static int rebuild(struct repair *m, struct repair *old, const char *new, char *why, size_t size)
{
	uint64_t inodes = 0;
	int r = make_new(m, new, why, size);
	if (r == 0)
		r = repair_rows(m, old->db, &inodes);
	if (r == 0 && inodes == 0)
		r = -EBADMSG;
	if (r == 0)
		r = mend_and_check(m);
	/* The log of the new store is moved into it here. */
	end(m);
	return r;
}

static int rebuild_and_swap(struct repair *m, struct repair *old, const char *path,
	struct sqlite_repair_summary *sum, char *why, size_t why_size)
{
	char new[PATH_MAX];
	if ((size_t)snprintf(new, sizeof new, "%s.repair-%d", path, (int)getpid()) >=
		sizeof new - 10)
		return -ENAMETOOLONG;
	int r = rebuild(m, old, new, why, why_size);
	if (r == 0)
		r = keep_old(path, sum->damaged, sizeof sum->damaged);
	if (r == 0)
		r = swap(path, new);
	if (r < 0)
		sq_remove_database(new);
	return r;
}

/* -- the call ---------------------------------------------------------------------------------- */

static void explain(const char *path, int r, const char *failure, char *why, size_t why_size)
{
	if (why[0])
		return;
	if (r == -EBUSY)
		snprintf(why, why_size, "%s: in use; unmount it, or close what has it open, first",
			path);
	else if (r == -ECANCELED)
		snprintf(why, why_size, "%s: stopped; the store is as it was", path);
	else if (r == -EBADMSG)
		snprintf(why, why_size, "%s: nothing in it can be read; restore it from a copy",
			path);
	else
		snprintf(why, why_size, "%s: cannot repair the store: %s", path,
			failure[0] ? failure : strerror(-r));
}

static int repair_at(struct repair *m, const char *path, struct sqlite_repair_summary *sum,
	char *why, size_t why_size)
{
	int r = begin(m, path);
	if (r == 0)
		r = sq_verify_application(m->check.conn, why, why_size);
	if (r == 0)
		r = sq_verify_format(m->check.conn, why, why_size);
	if (r < 0)
		return r;
	if (is_sound(m))
		return mend_and_check(m);
	if (tolerate(m->db) != SQLITE_OK)
		return repair_failed(m);
	struct repair new = {.check.handler = m->check.handler};
	r = rebuild_and_swap(&new, m, path, sum, why, why_size);
	m->mended = new.mended;
	memcpy(m->failure, new.failure, sizeof m->failure);
	m->check.summary = new.check.summary;
	return r;
}

int sqlite_repair(const char *path, const struct sqlite_check_handler *handler,
	struct sqlite_repair_summary *ret, char *why, size_t why_size)
{
	struct repair m = {.check = {.handler = handler, .step = "store"}};
	struct sqlite_repair_summary sum = {0};
	why[0] = '\0';
	int r = sqlite_is_store(path, why, why_size);
	if (r < 0)
		return r;
	r = repair_at(&m, path, &sum, why, why_size);
	/* The last to close moves the log into the store: not into one that is as it was, or that
	 * has another name now. */
	if (m.db && (r < 0 || sum.damaged[0]))
		(void)sqlite3_db_config(m.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	end(&m);
	if (r < 0) {
		explain(path, r, m.failure, why, why_size);
		sq_one_line(why);
		return r;
	}
	sum.check = m.check.summary;
	sum.mended = m.mended;
	*ret = sum;
	return 0;
}
