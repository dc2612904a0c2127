/* recordfsctl compact [--quiet] STORE|MOUNTPOINT */

#include "cache/store/sqlite_client.h"
#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>

/*
 * One transaction gives back so many pages as it can in about STEP_NS, since a writer may have to
 * wait for it; beside a mount there is a pause of STEP_PAUSE times its length after it. SQLite
 * searches the list of free pages for each page that leaves, so a page can take a millisecond.
 */
#define STEP_NS 5000000
#define STEP_PAUSE 4
#define STEP_PAGES_MAX 65536
#define STEP_PAGES_FIRST 16

struct compacting {
	sqlite3 *db;
	struct progress progress;
	bool mounted;
	int64_t page_size;
	int64_t pages;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_ns(int64_t ns)
{
	/* A signal ends it early, as it should. */
	nanosleep(&(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
}

/* The number that a statement gives; false: it fails. */
static bool number_of(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	bool ok = sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
		  sqlite3_step(st) == SQLITE_ROW;
	if (ok)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return ok;
}

static bool run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* One transaction; *ret_ns: how long others may have had to wait for it. */
static bool give_back(struct compacting *c, int64_t pages, int64_t *ret_ns)
{
	char sql[64];
	snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%" PRId64 ")", pages);
	if (!run(c->db, "BEGIN IMMEDIATE"))
		return false;
	int64_t begun = now_ns();
	bool ok = run(c->db, sql) && run(c->db, "COMMIT");
	*ret_ns = now_ns() - begun;
	if (!ok)
		(void)!run(c->db, "ROLLBACK");
	return ok;
}

/* How many pages to try next, after `pages` took so long. */
static int64_t next_step(int64_t pages, int64_t took_ns)
{
	int64_t next = took_ns > 0 ? pages * STEP_NS / took_ns : 2 * pages;
	if (next > 2 * pages)
		next = 2 * pages;
	return next < 1 ? 1 : next > STEP_PAGES_MAX ? STEP_PAGES_MAX : next;
}

/* What is free now, all of it; what others free meanwhile is left. */
static bool give_all_back(struct compacting *c)
{
	int64_t free_pages, left, step = STEP_PAGES_FIRST, took;
	if (!number_of(c->db, "PRAGMA freelist_count", &free_pages))
		return false;
	left = free_pages;
	while (left > 0 &&
		progress_at(&c->progress, NULL, (uint64_t)((free_pages - left) * c->page_size),
			(uint64_t)(free_pages * c->page_size))) {
		int64_t now;
		if (!number_of(c->db, "PRAGMA freelist_count", &now))
			return false;
		if (now == 0)
			break; /* a mount gives back as well */
		if (!give_back(c, step, &took))
			return false;
		left -= step;
		step = next_step(step, took);
		if (c->mounted)
			pause_ns(took * STEP_PAUSE);
	}
	return true;
}

/* The file is as long as the database when all of the log has been moved into it. Where the store
 * is mounted the mount sees to the log, and to what cannot be moved yet. */
static void move_log(sqlite3 *db, bool mounted)
{
	sqlite3_busy_timeout(db, 0);
	(void)!run(
		db, mounted ? "PRAGMA wal_checkpoint(PASSIVE)" : "PRAGMA wal_checkpoint(TRUNCATE)");
}

static bool look(struct compacting *c)
{
	int64_t mounts;
	if (!number_of(c->db, "PRAGMA page_size", &c->page_size) ||
		!number_of(c->db, "PRAGMA page_count", &c->pages) ||
		!number_of(c->db, "SELECT count(*) FROM main.mount WHERE pid <> 0", &mounts))
		return false;
	c->mounted = mounts > 0;
	return true;
}

static void show_summary(const struct compacting *c, const char *store, int64_t pages)
{
	char a[NUMBER_SIZE], b[NUMBER_SIZE];
	int64_t gone = c->pages > pages ? c->pages - pages : 0;
	print_path(stdout, store);
	printf(": gave back %s, %s are left\n", size_of((uint64_t)(gone * c->page_size), a),
		size_of((uint64_t)(pages * c->page_size), b));
}

static int failed(const char *store, sqlite3 *db)
{
	if (sqlite3_errcode(db) == SQLITE_BUSY)
		return complain("%s: others have kept it busy for 10 s; what was given back by"
				" then stays so; try again",
			store);
	return complain("%s: %s", store, sqlite3_errmsg(db));
}

static int compact(const char *store, bool quiet)
{
	struct compacting c = {0};
	char why[SQLITE_CLIENT_WHY];
	int64_t pages = 0;
	if (sqlite_client_open(store, false, &c.db, why, sizeof why) < 0)
		return complain("%s", why);
	progress_begin(&c.progress, "compacting", PROGRESS_BYTES, quiet);
	/* A step that is lost to a power failure is no loss: it need not be flushed. */
	bool ok = run(c.db, "PRAGMA synchronous = NORMAL") && look(&c) && give_all_back(&c) &&
		  number_of(c.db, "PRAGMA page_count", &pages);
	progress_end(&c.progress);
	int status = ok ? DONE : failed(store, c.db);
	if (ok) {
		move_log(c.db, c.mounted);
		if (!quiet)
			show_summary(&c, store, pages);
	}
	sqlite3_close(c.db);
	if (interrupted())
		status = complain("compact: interrupted; what was given back stays so");
	return status;
}

int ctl_compact(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'}, {0}};
	bool quiet = false;
	int option;
	while ((option = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("compact");
		if (option != 'q')
			return misused_option();
		quiet = true;
	}
	if (argc - optind != 1)
		return misused("compact: name one STORE or MOUNTPOINT");
	struct target t;
	if (target_find_writable(argv[optind], &t) < 0)
		return FAILED;
	int status = compact(t.store, quiet);
	target_free(&t);
	return status;
}
