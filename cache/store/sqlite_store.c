/* Opening and closing a SQLite store, and the table of its functions. */

#include "cause.h"
#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* The writer's page cache, in KiB: a transaction of STORE_BATCH_MAX changes should fit. */
#define WRITER_CACHE "PRAGMA cache_size = -16384"

int sq_space(struct sqlite_store *s, struct sq_conn *c, struct store_space *ret)
{
	struct statvfs fs;
	int64_t pages, unused;
	int r = sq_scalar(sq_query(c, SQ_PAGE_COUNT, ""), &pages);
	if (r == 0)
		r = sq_scalar(sq_query(c, SQ_FREE_COUNT, ""), &unused);
	if (r == 0 && (s->file >= 0 ? fstatvfs(s->file, &fs) : statvfs(s->path, &fs)) < 0)
		r = -EIO;
	if (r < 0)
		return r;
	uint64_t used = (uint64_t)(pages - unused) * s->page_size;
	uint64_t disk = (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)unused * s->page_size;
	uint64_t limit = s->max_pages * s->page_size;
	uint64_t left = limit > used ? limit - used : 0;
	ret->free = limit && left < disk ? left : disk;
	ret->total = limit ? limit : used + disk;
	return 0;
}

static int sq_statfs(struct store *store, struct store_space *ret)
{
	struct sqlite_store *s = sq_store(store);
	struct store_space space = {.inodes_max = SQ_INO_MAX};
	struct sq_conn *c;
	unsigned commits = atomic_load(&s->inodes_commits);
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	atomic_fetch_sub(&s->reads, 1); /* neither data nor attributes nor names */
	r = sq_space(s, c, &space);
	if (r == 0)
		r = sq_census(s, c, commits, &space.inodes);
	sq_read_end(s, c);
	if (r == 0)
		*ret = space;
	return r;
}

static enum store_state state_of(struct sqlite_store *s)
{
	if (!atomic_load(&s->degraded))
		return sq_misplaced(s) ? STORE_DEGRADED : STORE_HEALTHY;
	return atomic_load(&s->probing) ? STORE_PROBING : STORE_DEGRADED;
}

static void sq_stats(struct store *store, struct store_stats *stats)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	struct sq_log_view log;
	int64_t pages = 0;
	stats->store_reads = atomic_load(&s->reads);
	stats->store_commits = atomic_load(&s->committed);
	stats->store_write_requests = atomic_load(&s->changes);
	stats->store_flushes = atomic_load(&s->flushes);
	stats->store_failures = atomic_load(&s->failures);
	stats->checksum_failures = atomic_load(&s->checksum_failures);
	stats->store_state = state_of(s);
	stats->store_degraded = stats->store_state != STORE_HEALTHY;
	stats->store_degradations = atomic_load(&s->degradations);
	stats->store_probes = atomic_load(&s->probes);
	if (s->log_index && sq_log_view(s, &log))
		stats->log_bytes = (uint64_t)log.frames * s->page_size;
	if (sq_read_begin(s, &c) == 0) {
		atomic_fetch_sub(&s->reads, 1); /* looking does not count */
		if (sq_scalar(sq_query(c, SQ_PAGE_COUNT, ""), &pages) == 0)
			stats->store_bytes = (uint64_t)pages * s->page_size;
		sq_read_end(s, c);
	}
}

static void free_store(struct sqlite_store *s)
{
	sq_keeper_stop(s);
	sq_readers_close(s);
	s->watcher = sq_conn_close(s->watcher);
	sq_notice_close(s);
	sq_log_close(s);
	s->writer =
		sq_conn_close(s->writer); /* the last one: it checkpoints, and removes the log */
	/* Not before: closing any descriptor of a file gives up all locks that SQLite has on it. */
	if (s->file >= 0)
		close(s->file);
	if (s->beside.index)
		sq_side_files_tidy(s->path, &s->beside);
	sq_side_files_free(&s->beside);
	pthread_cond_destroy(&s->pool_free);
	pthread_cond_destroy(&s->woken);
	pthread_mutex_destroy(&s->wake);
	pthread_mutex_destroy(&s->pool);
	pthread_mutex_destroy(&s->sync);
	pthread_mutex_destroy(&s->write);
	pthread_mutex_destroy(&s->turn);
	pthread_mutex_destroy(&s->watch);
	free(s->path);
	free(s);
}

static void sq_close(struct store *store)
{
	struct sqlite_store *s = sq_store(store);
	if (!s->readonly) {
		sq_write_lock(s);
		sq_mount_leave(s);
		sq_checkpoint_last(s);
		sq_slack_leave(s);
		sq_write_unlock(s);
		IGNORE(sq_flush(store)); /* the last commit of all is in the log anyway */
	}
	free_store(s);
}

static const struct store_ops ops = {
	.apply = sq_apply,
	.flush = sq_flush,
	.read = sq_read,
	.getattr = sq_getattr,
	.lookup = sq_lookup,
	.readlink = sq_readlink,
	.readdir = sq_readdir,
	.getxattr = sq_getxattr,
	.listxattr = sq_listxattr,
	.seek = sq_seek,
	.statfs = sq_statfs,
	.orphans = sq_orphans,
	.poll = sq_poll,
	.poll_fd = sq_poll_fd,
	.path = sq_path,
	.block_info = sq_block_info,
	.stats = sq_stats,
	.close = sq_close,
};

/* A path that stays right when the process changes its directory, and that SQLite, as some build
 * it, does not take for a URI. To be freed. */
static char *absolute_path(const char *path)
{
	char *cwd = NULL, *absolute = NULL;
	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (cwd && asprintf(&absolute, "%s/%s", cwd, path) < 0)
		absolute = NULL;
	free(cwd);
	return absolute;
}

/* Takes `path` over. */
static struct sqlite_store *new_store(const struct sqlite_config *cfg, char *path)
{
	struct sqlite_store *s = calloc(1, sizeof *s);
	if (!s) {
		free(path);
		return NULL;
	}
	s->store.ops = &ops;
	s->readonly = cfg->readonly || cfg->snapshot;
	s->snapshot = cfg->snapshot;
	s->busy_timeout_ms = cfg->busy_timeout_ms;
	s->errors = cfg->errors;
	s->tell_misplaced = cfg->misplaced;
	s->file = -1;
	s->notice = -1;
	s->told_version = -1;
	s->path = path;
	atomic_init(&s->inodes, -1);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->woken, &monotonic);
	pthread_cond_init(&s->pool_free, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&s->watch, NULL);
	pthread_mutex_init(&s->turn, NULL);
	pthread_mutex_init(&s->write, NULL);
	pthread_mutex_init(&s->sync, NULL);
	pthread_mutex_init(&s->pool, NULL);
	pthread_mutex_init(&s->wake, NULL);
	return s;
}

bool sq_has_beside(const char *path, const char *suffix)
{
	struct stat st;
	char *name = sqlite3_mprintf("%s%s", path, suffix);
	bool there = !name || (stat(name, &st) == 0 && st.st_size > 0);
	sqlite3_free(name);
	return there;
}

static bool has_log(const struct sqlite_store *s)
{
	return sq_has_beside(s->path, "-wal");
}

/* The first connection; a store on a read-only filesystem has no room for SQLite's locks, and needs
 * none. But without its log the file is not what was stored. */
static int open_writer(struct sqlite_store *s, char *why, size_t why_size)
{
	int64_t page_size = 0;
	int r = sq_conn_open(s, &s->writer);
	if (r == 0)
		r = sq_verify_application(s->writer, why, why_size);
	if (r == 0 && !s->readonly)
		r = sq_upgrade(s->writer, why, why_size);
	if (r == 0)
		r = sq_verify_format(s->writer, why, why_size);
	if (r == 0)
		r = sq_verify_schema(s->writer, why, why_size);
	bool known = r == -EPROTO || r == -EPROTONOSUPPORT;
	/* Somebody else may have it mounted, and write to it. */
	if (r < 0 && !known && sq_strangers_beside(s->path, why, why_size))
		return -EACCES;
	if (r < 0 && !known && s->readonly && !s->immutable && has_log(s)) {
		snprintf(why, why_size,
			"%s: its log (-wal) cannot be read; mount it writable once, or a copy of"
			" both in a writable directory",
			s->path);
		return r;
	}
	if (r < 0 && !known && s->readonly && !s->immutable) {
		s->writer = sq_conn_close(s->writer);
		s->immutable = true;
		return open_writer(s, why, why_size);
	}
	if (r < 0)
		return r;
	if (sqlite3_db_readonly(s->writer->db, "main"))
		s->readonly = true;
	sqlite3_stmt *st = NULL;
	r = sq_errno(sqlite3_prepare_v2(s->writer->db, "PRAGMA page_size", -1, &st, NULL));
	if (r == 0)
		r = sq_scalar(st, &page_size);
	sqlite3_finalize(st);
	if (r == 0 && (page_size < 512 || page_size > 65536))
		r = -EIO;
	s->page_size = (uint32_t)page_size;
	return r == 0 ? sq_run(s->writer, WRITER_CACHE) : r;
}

/* Without it there is nothing to mount. What else is damaged is told by whoever comes across it. */
static int verify_root(struct sqlite_store *s, char *why, size_t why_size)
{
	struct sq_inode root;
	int r = sq_dir_load(s->writer, STORE_ROOT_INO, &root);
	if (r == 0)
		return 0;
	snprintf(why, why_size, "%s: its root directory cannot be read", s->path);
	return -EIO;
}

/* Any client may have set another journal mode while nobody had it open, and a copy made with
 * VACUUM INTO always has. */
static int use_log(struct sqlite_store *s, char *why, size_t why_size)
{
	sqlite3_stmt *st = NULL;
	const char *mode = NULL;
	int rc = sqlite3_prepare_v2(s->writer->db, "PRAGMA journal_mode = WAL", -1, &st, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		mode = (const char *)sqlite3_column_text(st, 0);
	int r = sq_errno(rc);
	if (r == 0 && (!mode || strcmp(mode, "wal") != 0))
		r = -EIO;
	if (r < 0)
		snprintf(why, why_size, "%s: cannot set its journal mode to WAL: %s", s->path,
			(rc & 0xff) == SQLITE_BUSY ? "another program uses it; close that first"
						   : sqlite3_errmsg(s->writer->db));
	sqlite3_finalize(st);
	return r;
}

static int start(struct sqlite_store *s)
{
	if (s->snapshot)
		return sq_snapshot_begin(s);
	if (!s->immutable)
		sq_notice_open(s);
	if (s->readonly) {
		if (!s->immutable)
			s->file = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		sq_place_note(s);
		return sq_watch_start(s);
	}
	int r = sq_identify(s->path, &s->me);
	if (r == 0)
		r = sq_keeper_start(s);
	if (r < 0)
		return r;
	sq_write_lock(s);
	r = sq_mount_enter(s);
	sq_write_unlock(s);
	return r;
}

/*
 * SQLite would take what is left of a store that is not there any more for a part of the one that
 * is made in its place. But when others are just making one, it is theirs: then it is there by now.
 */
static int refuse_leftovers(const char *path, enum sq_format *format, char *why, size_t why_size)
{
	bool log = sq_has_beside(path, "-wal");
	if (!log && !sq_has_beside(path, "-journal"))
		return 0;
	int r = sq_recognise(path, format, why, why_size);
	if (r < 0 || *format == SQ_FORMAT_OURS || *format == SQ_FORMAT_OLD)
		return r;
	snprintf(why, why_size,
		"%s: %s, but %s%s beside it is left of a store; bring that back, or move the log"
		" away",
		path, *format == SQ_FORMAT_EMPTY ? "an empty file" : "there is no such file", path,
		log ? "-wal" : "-journal");
	return -EPROTO;
}

/* What is at `path`, made if need be. 1: it was made. */
static int find_or_make(const char *path, bool readonly, char *why, size_t why_size)
{
	enum sq_format format;
	int r = sq_recognise(path, &format, why, why_size);
	if (r < 0 || format == SQ_FORMAT_OURS || format == SQ_FORMAT_OLD)
		return r;
	if (readonly) {
		snprintf(why, why_size, "%s: there is no store to mount read-only", path);
		return -ENOENT;
	}
	r = refuse_leftovers(path, &format, why, why_size);
	if (r < 0 || format == SQ_FORMAT_OURS || format == SQ_FORMAT_OLD)
		return r;
	return sq_create(path, format == SQ_FORMAT_EMPTY, why, why_size);
}

/* What is refused is left as it is: the last one to close a store would else move the log into it.
 * An empty log is one that SQLite has made for us just now, and takes away again. */
static void give_up(struct sqlite_store *s)
{
	if (s->writer && sq_has_beside(s->path, "-wal"))
		(void)sqlite3_db_config(s->writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	free_store(s);
}

static int open_at(const struct sqlite_config *cfg, char *path, bool made, struct store **ret,
	char *why, size_t why_size)
{
	struct sqlite_store *s = new_store(cfg, path);
	if (!s)
		return -ENOMEM;
	s->created = made;
	int r = s->readonly || s->snapshot ? sq_side_files_find(path, &s->beside) : 0;
	if (!s->readonly)
		sq_slack_use(path);
	if (r == 0)
		r = open_writer(s, why, why_size);
	if (r == 0 && !s->snapshot)
		r = verify_root(s, why, why_size);
	if (r == 0) {
		s->max_pages = cfg->max_size / s->page_size;
		if (cfg->max_size && !s->max_pages)
			s->max_pages = 1;
	}
	if (r == 0 && !s->readonly)
		r = use_log(s, why, why_size);
	if (r == 0)
		r = start(s);
	if (r == -EIO && !why[0] && (store_cause().code & 0xff) == SQLITE_BUSY) {
		snprintf(why, why_size,
			"%s: another program keeps it locked; try again when that has ended its "
			"transaction",
			path);
		r = -EBUSY;
	}
	if (r < 0) {
		give_up(s);
		return r;
	}
	/* What a mount leaves stays: whoever writes next takes it away. */
	if (!s->snapshot) {
		sq_side_files_free(&s->beside);
		s->beside = (struct sq_side_files){0};
	}
	*ret = &s->store;
	return 0;
}

int sqlite_store_open(
	const struct sqlite_config *cfg, struct store **ret, char *why, size_t why_size)
{
	why[0] = '\0';
	store_cause_clear();
	char *path = absolute_path(cfg->path);
	int made =
		path ? find_or_make(path, cfg->readonly || cfg->snapshot, why, why_size) : -ENOMEM;
	int r = made < 0 ? made : open_at(cfg, path, made == 1, ret, why, why_size);
	if (made < 0)
		free(path);
	if (r < 0 && !why[0] &&
		!sq_explain_open(cfg->path, cfg->readonly || cfg->snapshot, store_cause().code, why,
			why_size))
		snprintf(why, why_size, "%s: cannot open the store: %s", cfg->path, strerror(-r));
	if (r < 0)
		sq_one_line(why);
	return r;
}

bool sqlite_store_created(const struct store *s)
{
	return ((const struct sqlite_store *)(const void *)s)->created; /* its first member */
}
