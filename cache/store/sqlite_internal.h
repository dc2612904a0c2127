/*
 * What the files of the SQLite store share. Nobody outside of sqlite*.c includes this.
 *
 *	sqlite_store.c       open, close, the table of functions
 *	sqlite_schema.c      the tables; creating and recognising a store
 *	sqlite_upgrade.c     stores of an older format
 *	sqlite_view.c        views, for SQL clients: records as rows
 *	sqlite_trigger.c     triggers that make them writable
 *	sqlite_trigger_log.c triggers that log what SQL clients change
 *	sqlite_side.c        the files of the log, of a store that is only read
 *	sqlite_place.c       whether the file is where it was
 *	sqlite_conn.c        connections, statements (sqlite_statements.h), errors
 *	sqlite_cause.c       SQLite's errors by their names
 *	sqlite_pool.c        connections that read
 *	sqlite_commit.c      transactions: batches, savepoints, failed commits
 *	sqlite_settle.c      flushes, commits of unknown outcome; the life of a store
 *	sqlite_vfs.c         writing the log in large pieces
 *	sqlite_batch.c       what is done once for several changes
 *	sqlite_busy.c        waiting for other processes
 *	sqlite_log.c         the log: who may start it anew, and when
 *	sqlite_keeper.c      the thread that checkpoints and gives space back
 *	sqlite_peers.c       who else has the store mounted
 *	sqlite_mount.c       entering and leaving; whose orphans are whose
 *	sqlite_changelog.c   telling others what was changed here
 *	sqlite_watch.c       what others have changed
 *	sqlite_notice.c      noticing that somebody writes
 *	sqlite_inode.c       rows of inodes
 *	sqlite_census.c      how many inodes there are
 *	sqlite_blocks.c      rows of data: runs of blocks
 *	sqlite_holes.c       rows of holes
 *	sqlite_data.c        changes of data
 *	sqlite_read.c        reading data
 *	sqlite_part.c        reading a few blocks of a long row
 *	sqlite_ahead.c       having the kernel read at one time what that will ask for
 *	sqlite_guess.c       where a row lies, before it was looked up
 *	sqlite_names.c       changes of names
 *	sqlite_dir.c         reading names
 *	sqlite_xattr.c       extended attributes
 *	sqlite_check*.c      verifying all of it
 *	sqlite_backup.c      copying it
 *	sqlite_repair*.c     mending it
 */
#pragma once

#include "sqlite.h"
#include "sqlite_guess.h"
#include "sqlite_log.h"
#include "sqlite_statements.h"
#include "store_errors.h"

#include <pthread.h>
#include <sqlite3.h>

/* A row of table inode. attr.blocks is stored + reserved. */
struct sq_inode {
	struct store_attr attr;
	uint64_t stored;   /* blocks that have a row of data */
	uint64_t reserved; /* blocks in holes that fallocate(2) reserved */
	uint64_t parent;   /* of a directory; else 0 */
};

/* What the writer keeps from one change of a transaction to the next one; sqlite_batch.c. */
#define SQ_HELD_MAX 16
#define SQ_SMALL_ROWS 16u
struct sq_batch {
	bool folds;	 /* rows of inodes may be held back */
	bool bounded;	 /* it is known how many pages it has taken at most: */
	unsigned pages;	 /* so many, and what rows take that became longer: */
	unsigned rows;	 /* of inodes that were written */
	uint64_t unseen; /* changes that SQLite does not count, ever */
	unsigned n_held; /* rows that are still to be written: newer than those in the table */
	unsigned next;	 /* which of them makes way for another one */
	struct sq_inode held[SQ_HELD_MAX];
	sqlite3_blob *data; /* of table block; NULL: not open */
	sqlite3_blob *sums;
};

/* The log and its index beside the database, and whether they were there. */
struct sq_side_files {
	char *log;
	char *index;
	bool log_there;
	bool index_there;
};

/* A connection. Used by one thread at a time: SQLite's own locks are off. */
struct sq_conn {
	sqlite3 *db;
	sqlite3_stmt *statement[SQ_STATEMENTS_N];
	struct sq_conn *next;	     /* in the pool of readers */
	struct sqlite_store *writes; /* the store whose writer it is; else NULL */
	sqlite3_file *file;	     /* the database; NULL: not known */
	int64_t busy_timeout_ns;
	int64_t busy_until; /* not to wait for others past that, sq_now(); 0: a timeout each time */
	int64_t deadline;   /* of the wait that is under way */
	unsigned ticks;	    /* in the transaction: see on_tick() */
	struct sq_batch batch;
	struct sq_guess guess; /* of its small reads */
};

/*
 * The key of a row of data or of a hole: inode and first block in one integer, which is the fastest
 * key SQLite has (docs/measurements.md). Inode numbers are never used twice; 2^33 of them are
 * 100 days of 1,000 new records a second.
 */
#define SQ_BLOCK_BITS 30
#define SQ_VERSION_MAX ((uint64_t)1 << 62)
#define SQ_INO_MAX (((uint64_t)1 << (63 - SQ_BLOCK_BITS)) - 1)
static inline int64_t sq_key(uint64_t ino, uint64_t block)
{
	return (int64_t)(ino << SQ_BLOCK_BITS | block);
}
static inline uint64_t sq_key_block(int64_t key)
{
	return (uint64_t)key & (((uint64_t)1 << SQ_BLOCK_BITS) - 1);
}
static inline uint64_t sq_blocks_of(uint64_t bytes)
{
	return (bytes + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
}

/* A row of data is a run of at most this many blocks, and crosses no multiple of it: a chunk. */
#define SQ_RUN_MAX 16u

/* What names a mount's process for good, and the store that it has mounted: the boot, with the pid
 * namespace, since a pid means nothing outside of its own, and the file, since a copy of the store
 * has the same rows ("b2f0a4b8-...-2d1c/4026531836/2049:131"); the pid, and when it started. */
struct sq_identity {
	char boot[112];
	size_t boot_id_len; /* of the part before the first slash */
	size_t space_len;   /* before the second one */
	int64_t pid;
	int64_t started;
};

enum sq_fate {
	SQ_FATE_GONE,
	SQ_FATE_RUNS,	 /* when last looked at */
	SQ_FATE_UNKNOWN, /* it cannot be told */
};

/* Another mount of the store: its row, and what is known of its process. */
struct sq_peer {
	int64_t id;
	int64_t pid;
	int64_t started;
	int64_t seen;
	int64_t judged; /* when its process was last looked at; sq_now() */
	enum sq_fate fate;
};

#define SQ_PEERS_MAX 64
struct sq_peers {
	unsigned version; /* of the database, when table mount was read */
	int64_t judged;	  /* when all were; sq_now() */
	bool any;	  /* one of them is not known to be gone */
	bool unlisted;	  /* there are more rows; they are taken to run */
	int64_t own_seen; /* of our own row; -1: there is none */
	unsigned n;
	struct sq_peer peer[SQ_PEERS_MAX];
};

/*
 * Locks, in the order in which they are taken:
 *   watch     one poll at a time: fields marked (p)
 *   turn      only to queue for `write` in order, so that the keeper gets its turn
 *   write     one transaction at a time: the writer's connection, and every field marked (w)
 *   sync      one flush of the log at a time: the flusher's connection, `log_file`
 *   pool      the list of idle readers
 *   wake      the keeper's: `stopping`, `log_full`
 *
 * Other processes write to the file as well. What is kept here of it stays right nevertheless:
 *   next_ino, last_ino   set aside in table store by a transaction; others take numbers after them
 *   max_pages            our own limit; what is in use is read in the transaction that may exceed
 * it page_size            cannot change in WAL mode, not even by VACUUM degraded             is
 * about our own commits: what others commit is whole, or settled by them peers brought up to date
 * in each transaction, before anything is done inodes               found to be wrong by poll, and
 * counted anew statements           are prepared anew by SQLite when the schema has changed; what
 * does not go with the new one is refused (-EIO)
 */
struct sqlite_store {
	struct store store;

	/* Constant after the open. */
	char *path;
	bool readonly;
	bool snapshot;		     /* readonly, and all of it is of one moment */
	struct sq_side_files beside; /* before it was opened for reading, to be tidied */
	bool created;
	uint64_t max_pages; /* 0: no limit */
	uint32_t page_size;
	int busy_timeout_ms;
	struct sq_identity me; /* not of a read-only store */
	bool placed;	       /* it is known which file it is: these two; see sqlite_place.c */
	dev_t place_dev;
	ino_t place_ino;
	void (*tell_misplaced)(const char *path, bool is); /* or NULL */
	bool immutable; /* opened without any locking: the file is on a read-only filesystem */

	pthread_mutex_t turn;
	pthread_mutex_t write;
	struct sq_conn *writer; /* (w) */
	int file;		/* the database, to lock, to set space aside, to have it read
				 * ahead; constant once open; -1: none */
	bool plain_file;	/* SQLite does nothing but read and write it */
	int synchronous;	/* (w) 1: NORMAL, 2: FULL, 0: not known */
	uint64_t next_ino;	/* (w) numbers [next_ino, last_ino) are reserved for this mount */
	uint64_t last_ino;	/* (w) */
	atomic_bool degraded;	/* the log is in doubt; cleared under (w); sqlite_settle.c */
	atomic_bool misplaced;	/* the file was gone from its path when last looked */
	atomic_bool probing;	/* it is being settled; set under (w) */
	int64_t probed;		/* (w) when settling failed last; CLOCK_MONOTONIC, ns; or 0 */
	bool waiting;		/* (w) has locked SQ_FILE_WAIT */
	int64_t turn_until;	/* (w) not to make way for another mount until then */
	int64_t began;		/* (w) when the transaction began to wait for its begin; 0: none */
	int64_t busy_ns;	/* (w) spent writing and waiting to, since room was left last */
	int64_t busy_limit;	/* (w) when it is left again */
	bool others;		/* (w) other processes had the file open when last looked */
	atomic_bool room;	/* has locked SQ_FILE_ROOM; set under (w) */
	int64_t room_until;	/* (w) for so long */
	int64_t no_room_until;	/* (w) not to respect another one's until then */
	bool logged;		/* (w) the last commit wrote to the log: it had an effect */
	int64_t mount;		/* (w) our row in table mount; constant while it is open */
	struct sq_peers peers;	/* (w) as of the current, or the last, transaction */
	bool shrink_log;	/* (w) the change log must make room; sqlite_changelog.c */
	atomic_int log_role;	/* enum sq_log_role; set under (w) */
	atomic_uint log_size;	/* pages that the log may grow to; for tests, else constant */
	atomic_uint log_limit;	/* pages in the log that wake the keeper */
	atomic_uint_fast64_t committed; /* transactions */
	atomic_uint_fast64_t flushed;	/* of those, the ones known to be on stable storage */
	atomic_uint_fast64_t looked_up; /* of those, how many there were at the last lookup */

	/* The number of rows in table inode; sqlite_census.c. */
	atomic_int_fast64_t inodes;	/* -1: not counted yet */
	atomic_int_fast64_t recount_at; /* not before, if it is wrong; sq_now() */
	atomic_bool inodes_stale;	/* others have changed it */
	atomic_bool census_wanted;	/* the keeper is to count them */
	int64_t census_at;		/* (w) it has counted up to this one; 0: none */
	int64_t census_n;		/* (w) so many */
	int64_t census_ns;		/* (w) in so long */
	atomic_uint inodes_commits;	/* odd while a commit of ours that alters it goes on */

	pthread_mutex_t watch;
	struct sq_conn *watcher; /* (p) opened by the first poll */
	int64_t told;		 /* (p) id of the last row of the change log that was told */
	int64_t told_version;	 /* (p) PRAGMA data_version when there was nothing more; or -1 */
	bool gone_due;		 /* (p) orphans are to be told of, and answered for, anew */
	int notice;		 /* inotify on the log; constant once open; -1: none */
	bool notice_armed;	 /* (p) */
	bool had_mounts;	 /* (p) read-only: a mount was there when last looked */

	pthread_mutex_t sync;
	struct sq_conn *flusher; /* holds the log open, for what follows, and does nothing else */
	sqlite3_file *log_file;
	sqlite3_file *gate;	      /* the database, to lock the log */
	volatile uint32_t *log_index; /* constant once open */

	pthread_mutex_t pool;
	pthread_cond_t pool_free; /* there is an idle one, or room for one more */
	struct sq_conn *idle;
	unsigned readers; /* idle or in use */
	unsigned pool_waiting;

	pthread_mutex_t wake;
	pthread_cond_t woken;
	bool stopping;
	bool log_full;
	bool keeper_runs;
	pthread_t keeper; /* started by open, joined by close */
	struct sq_conn *keeper_conn;

	/* Keys of blocks at which reads have ended lately; sqlite_part.c. */
#define SQ_READ_ENDS 64u
	atomic_int_fast64_t read_ends[SQ_READ_ENDS];

	/* Counters; see stats.h. */
	atomic_uint_fast64_t reads;
	atomic_uint_fast64_t changes;
	atomic_uint_fast64_t flushes;
	atomic_uint_fast64_t failures;
	atomic_uint_fast64_t checksum_failures;
	atomic_uint_fast64_t degradations;
	atomic_uint_fast64_t probes;

	struct store_errors *errors; /* constant; NULL: nobody keeps them */
};

static inline struct sqlite_store *sq_store(struct store *s)
{
	return CONTAINER_OF(s, struct sqlite_store, store);
}

/* -- sqlite_conn.c ------------------------------------------------------------------------- */

/* SQLite's result code as an errno: the one table. A failure becomes the thread's store_cause(). */
int sq_errno(int rc) MUST_CHECK;
/* What SQLite says may quote a damaged file: control characters of `text` become spaces. */
void sq_one_line(char *text) NONNULL(1);

/* sqlite3_file_control() of the database. */
int sq_file_control(struct sq_conn *c, int op, void *arg) MUST_CHECK NONNULL(1);

/* The name for sqlite3_open_v2() of a file that nobody writes to: it is read without locks, and
 * without the log. To be freed with sqlite3_free(). */
char *sq_immutable_uri(const char *path) MUST_CHECK NONNULL(1);

int sq_conn_open(const struct sqlite_store *s, struct sq_conn **ret) MUST_CHECK NONNULL(1, 2);
struct sq_conn *sq_conn_close(struct sq_conn *c);

/* Is it well-formed UTF-8? So are names told that are stored as TEXT from those that are BLOBs. */
bool sq_is_text(const void *bytes, size_t len) MUST_CHECK;

/* Nothing in the file may run in the connection: no trigger, no view. Returns SQLite's code. */
int sq_no_code(sqlite3 *db) MUST_CHECK NONNULL(1);

/* Runs SQL that is not worth a prepared statement. */
int sq_run(struct sq_conn *c, const char *sql) MUST_CHECK NONNULL(1, 2);

/*
 * The prepared statement, with parameters bound from the arguments as `format` says, a letter each:
 * i int64_t, u uint64_t, n NULL (no argument), b blob (const void *, size_t), z zeroblob (size_t),
 * s the name of an entry (const void *, size_t): text when it is UTF-8, else a blob.
 * A blob or name must stay until the statement is reset. NULL: no memory or a broken schema;
 * sq_step(NULL) turns that into an errno, so a caller need not look.
 */
sqlite3_stmt *sq_query(struct sq_conn *c, enum sq_statement which, const char *format,
	...) MUST_CHECK NONNULL(1, 3);

/* 1: a row, read it with sqlite3_column_*; 0: no (more) rows; negative errno. Anything but 1 has
 * reset the statement; after 1, sq_done() does. */
int sq_step(sqlite3_stmt *st) MUST_CHECK;
void sq_done(sqlite3_stmt *st);

/* A statement that gives no rows: runs and resets it. */
int sq_exec(sqlite3_stmt *st) MUST_CHECK;

/* The first column of the first row. -EIO when there is no row. */
int sq_scalar(sqlite3_stmt *st, int64_t *ret) MUST_CHECK NONNULL(2);

/* A column that holds a count, a size, an inode: -EIO in *r when it is negative (a damaged file).
 */
uint64_t sq_column_u64(sqlite3_stmt *st, int column, int *r) NONNULL(1, 3);

/* -- sqlite_cause.c ------------------------------------------------------------------------- */

/* Says SQLite's result code to who asks why something failed. */
void sq_cause(int rc);

/* -- sqlite_pool.c ------------------------------------------------------------------------- */

/* Connections that read at the same time; more than that would only cost memory,
 * docs/architecture.md has the sum. */
#define SQ_READERS_MAX 8u

/* A reader from the pool, inside of a read transaction: one committed state until sq_read_end(),
 * which takes NULL. Of a snapshot there is one, and its transaction ends with the store. */
int sq_read_begin(struct sqlite_store *s, struct sq_conn **ret) MUST_CHECK NONNULL(1, 2);
void sq_read_end(struct sqlite_store *s, struct sq_conn *c) NONNULL(1);

/* Opens the reader of a snapshot, whose moment this is. */
int sq_snapshot_begin(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* Closes those that are idle, which must be all. */
void sq_readers_close(struct sqlite_store *s) NONNULL(1);

/* -- sqlite_schema.c ----------------------------------------------------------------------- */

/* "rcfs", at offset 68 of the file; file(1) and every SQLite client can read it. */
#define SQ_APPLICATION_ID 0x72636673

/* The format of a store: one higher for each change that an older recordfs could not cope with. */
#define SQ_FORMAT 2
#define SQ_FORMAT_1 1

/* OLD: of format 1, as far as the header tells: what is in the log may say otherwise. */
enum sq_format { SQ_FORMAT_MISSING, SQ_FORMAT_EMPTY, SQ_FORMAT_OLD, SQ_FORMAT_OURS };

/* What is at `path`? Reads the header only. -EPROTO, -EPROTONOSUPPORT as sqlite_store_open. */
int sq_recognise(const char *path, enum sq_format *ret, char *why, size_t why_size) MUST_CHECK
	NONNULL(1, 2, 3);

/* Makes a new, complete store at `path`, or nothing. `replace`: an empty file is there. 1: made; 0:
 * somebody else was first, and what is there now is left alone. */
int sq_create(const char *path, bool replace, char *why, size_t why_size) MUST_CHECK NONNULL(1, 3);

/* Flushes the directory that `path` is in. */
int sq_sync_directory_of(const char *path) MUST_CHECK NONNULL(1);
/* Nobody has the database open, nor can while `fd` of it, which must not be SQLite's, is. False:
 * somebody has. */
bool sq_lock_all_out(int fd) MUST_CHECK;
/* The file, and what SQLite may have left beside it. */
void sq_remove_database(const char *path) NONNULL(1);

/* The n-th statement that makes the schema of a store; NULL: no more. */
const char *sq_schema(size_t n) MUST_CHECK;

/* Is the schema the one we know (nothing missing, nothing added that could run)? -EPROTO. */
int sq_verify_schema(struct sq_conn *c, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);

/* -- sqlite_upgrade.c ---------------------------------------------------------------------- */

/* Is it a store at all? -EPROTO. */
int sq_verify_application(struct sq_conn *c, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);

/* Is the store of our format, not an older one? -EPROTONOSUPPORT. */
int sq_verify_format(struct sq_conn *c, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);

/* Converts a store of format 1; any other is left alone. -EBUSY: it is mounted. */
int sq_upgrade(struct sq_conn *c, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);

/* -- for SQL clients ----------------------------------------------------------------------- */

/* Views and triggers, each one statement; *ret_n: how many. They run for SQL clients only: our own
 * connections have both switched off (sq_no_code). */
const char *const *sq_view_ddl(size_t *ret_n) MUST_CHECK NONNULL(1);
const char *const *sq_trigger_ddl(size_t *ret_n) MUST_CHECK NONNULL(1);
const char *const *sq_log_ddl(size_t *ret_n) MUST_CHECK NONNULL(1);

/* -- sqlite_commit.c ----------------------------------------------------------------------- */

void sq_apply(struct store *store, struct change *const *changes, size_t n, bool durable);

/* Takes and gives back the right to write, in turn. The second one waits for so long at most. */
void sq_write_lock(struct sqlite_store *s) NONNULL(1);
bool sq_write_lock_within(struct sqlite_store *s, int64_t ns) MUST_CHECK NONNULL(1);
void sq_write_unlock(struct sqlite_store *s) NONNULL(1);

/* PRAGMA synchronous on the writer: 1 NORMAL, 2 FULL. Outside of a transaction. (w) */
int sq_synchronous(struct sqlite_store *s, int level) MUST_CHECK NONNULL(1);

/* Leaves a transaction that SQLite may have left by itself already. */
void sq_rollback(struct sq_conn *c) NONNULL(1);

/* -- sqlite_settle.c ----------------------------------------------------------------------- */

int sq_flush(struct store *store) MUST_CHECK;

/* A flush of the log, or a commit, has failed, and the outcome is not settled. */
void sq_degrade(struct sqlite_store *s) NONNULL(1);
/* Tries to settle it where nobody waits for that, so that a store works again when the cause is
 * gone, also if nobody writes. */
void sq_probe(struct sqlite_store *s) NONNULL(1);
/* A commit has failed, or the store is degraded: makes sure that nothing of what failed happened,
 * or will have happened after a crash. -EIO: it is (still) degraded. (w) */
int sq_settle(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* -- sqlite_batch.c ------------------------------------------------------------------------ */

/* A transaction begins; `folds`: of several changes, without savepoints. */
void sq_batch_begin(struct sq_conn *c, bool folds) NONNULL(1);
/* A change takes so many pages more of the database, at most. One of which that cannot be said sets
 * `bounded` to false. */
void sq_batch_takes(struct sq_conn *c, unsigned pages) NONNULL(1);
/* Writes what was held back; before the tables are read other than by the functions below. */
int sq_batch_write(struct sq_conn *c) MUST_CHECK NONNULL(1);
/* The same, and closes what must not be open at COMMIT, and not at SAVEPOINT either. */
int sq_batch_end(struct sq_conn *c) MUST_CHECK NONNULL(1);
/* Forgets it all; after COMMIT and before ROLLBACK. */
void sq_batch_drop(struct sq_conn *c) NONNULL(1);

/* Grows with each change of the database: has there been one since? */
int64_t sq_batch_changes(const struct sq_conn *c) MUST_CHECK NONNULL(1);

/* The row that is held of the inode; NULL: it is in the table. */
const struct sq_inode *sq_batch_inode(const struct sq_conn *c, uint64_t ino) MUST_CHECK NONNULL(1);
/* Holds it, or writes it at once. */
int sq_batch_hold(struct sq_conn *c, const struct sq_inode *i) MUST_CHECK NONNULL(1, 2);

/* Overwrites a part of a column of table block. It keeps its length, and the pages beside are not
 * even read. */
int sq_batch_patch_data(struct sq_conn *c, int64_t key, const void *bytes, size_t len,
	size_t at) MUST_CHECK NONNULL(1, 3);
int sq_batch_read_data(struct sq_conn *c, int64_t key, void *ret, size_t len, size_t at) MUST_CHECK
	NONNULL(1, 3);
int sq_batch_read_sums(struct sq_conn *c, int64_t key, void *ret, size_t len, size_t at) MUST_CHECK
	NONNULL(1, 3);
int sq_batch_patch_sums(struct sq_conn *c, int64_t key, const void *bytes, size_t len,
	size_t at) MUST_CHECK NONNULL(1, 3);

/* -- sqlite_keeper.c ----------------------------------------------------------------------- */

int sq_keeper_start(struct sqlite_store *s) MUST_CHECK NONNULL(1);
void sq_keeper_stop(struct sqlite_store *s) NONNULL(1);

/* For the writer's connection: called with the pages in the log after each commit. */
int sq_log_grew(void *store, sqlite3 *db, const char *name, int pages);

/* Makes the database file as large as the open transaction will need, plus some pages for changes
 * that must work on a full disk if `needs_space`; so a checkpoint never finds the disk full.
 * -ENOSPC. (w) */
int sq_reserve_space(struct sqlite_store *s, bool needs_space) MUST_CHECK NONNULL(1);

/* Moves what readers let move of the log into the database, at the close: SQLite does so by itself
 * only when nobody else has the store open. (w) */
void sq_checkpoint_last(struct sqlite_store *s) NONNULL(1);

/* Is there a file beside `path`, with something in it? sqlite_store.c */
bool sq_has_beside(const char *path, const char *suffix) NONNULL(1, 2) MUST_CHECK;

/* -- sqlite_slack.c ------------------------------------------------------------------------- */

/* Makes room for a log and its index if the disk is full, from the end of the file that nothing
 * uses. Before this process has it open; what cannot be done is left. */
void sq_slack_use(const char *path) NONNULL(1);

/* Leaves such an end for the next mount. After the last checkpoint. (w) */
void sq_slack_leave(struct sqlite_store *s) NONNULL(1);

/* -- sqlite_busy.c ------------------------------------------------------------------------- */

/* A short sleep before attempt `count` + 1. */
void sq_nap(unsigned count);

/* SQLite's busy handler; takes the struct sq_conn. */
int sq_busy(void *conn, int count);
/* Until when a wait that begins now may last. */
int64_t sq_deadline(const struct sq_conn *c) MUST_CHECK NONNULL(1);

/* Begins a transaction that writes, in turn with other mounts. The way to begin one. (w) */
int sq_begin(struct sqlite_store *s) MUST_CHECK NONNULL(1);
/* Whatever was begun has ended; sq_write_unlock() calls it. (w) */
void sq_ended(struct sqlite_store *s) NONNULL(1);

/* Waits for the end of the room that this mount leaves to others, if it does. (w) */
void sq_leave_room(struct sqlite_store *s) NONNULL(1);

/* Bytes of the database file that mounts lock, far from SQLite's own, and what they mean. */
#define SQ_FILE_LOCKS (0x40000000 + 1024)
#define SQ_FILE_ASK 0  /* the log must be started anew; sqlite_log.c */
#define SQ_FILE_WAIT 1 /* somebody waits to write; sqlite_busy.c */
#define SQ_FILE_ROOM 2 /* nobody shall write much now; sqlite_busy.c */
/* -EBUSY: another mount has locked it. */
int sq_file_lock(struct sqlite_store *s, off_t byte) MUST_CHECK NONNULL(1);
void sq_file_unlock(struct sqlite_store *s, off_t byte) NONNULL(1);
/* Has another mount locked it? */
bool sq_file_locked(struct sqlite_store *s, off_t byte) MUST_CHECK NONNULL(1);

/* -- sqlite_peers.c ------------------------------------------------------------------------ */

/* This process, as a mount of the store at `path`. */
int sq_identify(const char *path, struct sq_identity *ret) MUST_CHECK NONNULL(1, 2);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t sq_now(void) MUST_CHECK;

/* Is the mount dead whose row a statement with columns boot, pid, started is on? */
bool sq_mount_dead(sqlite3_stmt *st, int column, const struct sq_identity *me) MUST_CHECK
	NONNULL(1, 3);

/* Reads table mount; all but row `own` are peers. *p has what was known of their processes, or is
 * zeroed. */
int sq_peers_load(struct sq_conn *c, const struct sq_identity *me, int64_t own,
	struct sq_peers *p) MUST_CHECK NONNULL(1, 2, 4);
/* May mount `id`, not our own, still run? */
bool sq_peer_alive(const struct sq_peers *p, int64_t id) MUST_CHECK NONNULL(1);
/* Up to where in the change log all of them have answered; INT64_MAX: there is none. */
int64_t sq_peers_seen(const struct sq_peers *p) MUST_CHECK NONNULL(1);

/* Brings s->peers up to date; for each transaction that changes the store, as soon as it has begun.
 * (w) */
int sq_peers_look(struct sqlite_store *s) MUST_CHECK NONNULL(1);
/* That was our own commit, and no reason to look again. (w) */
void sq_peers_committed(struct sqlite_store *s) NONNULL(1);

/* -- sqlite_side.c ------------------------------------------------------------------------- */

/* Before a store is opened for reading. Whatever is returned: sq_side_files_free(). */
int sq_side_files_find(const char *path, struct sq_side_files *ret) MUST_CHECK NONNULL(1, 2);
void sq_side_files_free(struct sq_side_files *f) NONNULL(1);
/* When it is closed again: those that were not there before go, if they may. */
void sq_side_files_tidy(const char *path, const struct sq_side_files *before) NONNULL(1, 2);
/* May files be made in the directory that `path` is in, and is there space for an index? */
bool sq_directory_writable(const char *path) MUST_CHECK NONNULL(1);
/* Is the store, or what SQLite takes for a part of it, a stranger's (trust.h)? Then `why` says so
 * in one line. */
bool sq_strangers_beside(const char *path, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);
/* Looks for what keeps a store at `path` from being opened, `readonly` or to be changed, that
 * SQLite, which gave the extended result `code`, has no words for. True: `why` says it in one line,
 * and what to do. */
bool sq_explain_open(const char *path, bool readonly, int code, char *why,
	size_t why_size) MUST_CHECK NONNULL(1, 4);

/* -- sqlite_place.c ------------------------------------------------------------------------- */

/* Notes which file it is, once s->file is open. */
void sq_place_note(struct sqlite_store *s) NONNULL(1);
/* Looks whether the file has been removed, renamed or replaced since. Any thread. */
bool sq_misplaced(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* -- sqlite_store.c ------------------------------------------------------------------------ */

/* Sets what *ret has of bytes. */
int sq_space(struct sqlite_store *s, struct sq_conn *c, struct store_space *ret) MUST_CHECK
	NONNULL(1, 2, 3);

/* -- sqlite_census.c ----------------------------------------------------------------------- */

/* The number of inodes. `commits`: s->inodes_commits before the reader's transaction began. */
int sq_census(struct sqlite_store *s, struct sq_conn *c, unsigned commits, uint64_t *ret) MUST_CHECK
	NONNULL(1, 2, 4);
/* A change was committed. (w) */
void sq_census_commit(struct sqlite_store *s, const struct change *ch) NONNULL(1, 2);
/* The keeper counts on, if it is to. True: there is more. */
bool sq_census_step(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* -- sqlite_mount.c ------------------------------------------------------------------------ */

/* Enters this process as a mount, and forgets dead ones without orphans. (w) */
int sq_mount_enter(struct sqlite_store *s) MUST_CHECK NONNULL(1);
/* Takes it out again; what fails is cleared up by the next mount. (w) */
void sq_mount_leave(struct sqlite_store *s) NONNULL(1);
int sq_orphans(struct store *store, store_ino_fn *fn, void *arg) MUST_CHECK;

/* Gives up this mount's claim to the orphan, inside of a transaction. 1: nobody uses it, so it is
 * to be deleted, rows in table orphan and all; 0: it is left to others. (w) */
int sq_orphan_release(struct sqlite_store *s, uint64_t ino) MUST_CHECK NONNULL(1);

/* -- sqlite_changelog.c -------------------------------------------------------------------- */

/* Kinds of rows in the change log. */
enum sq_log_kind {
	SQ_LOG_ATTR = 1,
	SQ_LOG_DATA,
	SQ_LOG_NAME,
	SQ_LOG_GONE,
	SQ_LOG_ENTERED,
};
/* Ids past this are not ours. */
#define SQ_LOG_ID_MAX ((int64_t)1 << 62)

/* Tells the peers, if there are any, of a change that was just applied. (w) */
int sq_log_change(struct sqlite_store *s, const struct change *ch) MUST_CHECK NONNULL(1, 2);
/* Forgets all but the newest rows: who has not read them drops everything. -ENOSPC: that would
 * make no room. (w) */
int sq_log_shrink(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* -- sqlite_watch.c ------------------------------------------------------------------------ */

/* From here on others' changes are told. For a store that is not entered as a mount. */
int sq_watch_start(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* -- sqlite_notice.c ----------------------------------------------------------------------- */

/* What fails here costs time, nothing else. */
void sq_notice_open(struct sqlite_store *s) NONNULL(1);
void sq_notice_close(struct sqlite_store *s) NONNULL(1);
/* It goes off at the next write to the log. (p) */
void sq_notice_arm(struct sqlite_store *s) NONNULL(1);
int sq_poll_fd(struct store *store) MUST_CHECK;
int sq_poll(struct store *store, store_event_fn *fn, void *arg) MUST_CHECK;

/* -- sqlite_inode.c ------------------------------------------------------------------------ */

/* -ESTALE */
int sq_inode_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret) MUST_CHECK NONNULL(1, 3);
/* The same of a regular file: -EISDIR, -EINVAL. */
int sq_file_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret) MUST_CHECK NONNULL(1, 3);
/* The columns of SQ_INODE_GET, starting at `column`, into all of *ret but attr.ino. */
int sq_inode_columns(sqlite3_stmt *st, int column, struct sq_inode *ret) MUST_CHECK NONNULL(1, 3);
/* Writes the row back, its version one higher. */
int sq_inode_save(struct sq_conn *c, struct sq_inode *i) MUST_CHECK NONNULL(1, 2);
/* The same after a change of data, maybe later: sq_batch_hold(). */
int sq_inode_save_data(struct sq_conn *c, struct sq_inode *i) MUST_CHECK NONNULL(1, 2);
/* Writes what changes of data alter of the row. */
int sq_inode_put_data(struct sq_conn *c, const struct sq_inode *i) MUST_CHECK NONNULL(1, 2);
int sq_inode_new(struct sq_conn *c, const struct sq_inode *i,
	const struct change_name *target) MUST_CHECK NONNULL(1, 2);

/* Enters the inode's attributes into the change's results (again). */
void sq_touched(struct change *ch, const struct sq_inode *i) NONNULL(1, 2);

/* The mode after a change of data by a caller who may not keep setuid and setgid. */
uint32_t sq_killed_mode(const struct change_caller *caller, uint32_t mode) MUST_CHECK NONNULL(1);

/* -- sqlite_dir.c -------------------------------------------------------------------------- */

/* An entry of a directory. */
struct sq_dentry {
	uint64_t ino;
	uint32_t type; /* the S_IFMT bits of the mode */
};
/* A directory. -ESTALE, -ENOTDIR. */
int sq_dir_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret) MUST_CHECK NONNULL(1, 3);
/* 1: found; 0: there is none, whatever `parent` is. -ENAMETOOLONG. */
int sq_dentry_find(struct sq_conn *c, uint64_t parent, const struct change_name *name,
	struct sq_dentry *ret) MUST_CHECK NONNULL(1, 3, 4);

/* -- sqlite_blocks.c ----------------------------------------------------------------------- */

/* What is stored of one block: its content, and the checksum it came with. */
struct sq_stored {
	bool found;
	bool has_sum;
	uint64_t sum;
	uint32_t len;
	unsigned char data[STORE_BLOCK_SIZE];
};

/* XXH3 of a block's stored bytes, seeded with its place. */
uint64_t sq_sum(uint64_t ino, uint64_t block, const void *data, size_t len) MUST_CHECK;
/* One of column `sums`, 8 bytes. */
void sq_sum_put(unsigned char *p, uint64_t sum) NONNULL(1);
uint64_t sq_sum_get(const unsigned char *p) MUST_CHECK NONNULL(1);

/* A row of data taken apart. */
struct sq_run {
	uint64_t first; /* block */
	uint32_t count; /* blocks */
	const unsigned char *data;
	size_t len;		   /* bytes: only the last block may be short */
	const unsigned char *sums; /* 8 bytes a block, big-endian; NULL: none */
};
/* The row that a statement with columns key, sums, data is on. -EIO: damaged. */
int sq_run_columns(sqlite3_stmt *st, struct sq_run *ret) MUST_CHECK NONNULL(1, 2);
/* The same of a statement with columns key, sums, data (NULL: left out), length(data). */
int sq_run_lengths(sqlite3_stmt *st, struct sq_run *ret) MUST_CHECK NONNULL(1, 2);
/* Bytes of block `first + i` of the run. */
uint32_t sq_run_block_len(const struct sq_run *run, uint32_t i) MUST_CHECK NONNULL(1);
uint64_t sq_run_sum(const struct sq_run *run, uint32_t i) MUST_CHECK NONNULL(1);

/* One block, for a change of it, verified. -EBADMSG: its checksum is wrong, or the row is gone
 * though no hole is there.
 */
int sq_block_load(struct sqlite_store *s, const struct sq_inode *i, uint64_t block,
	struct sq_stored *ret) MUST_CHECK NONNULL(1, 2, 4);

/* Writes `len` bytes as blocks `first`, ...: whole blocks, the last one may be short. Keeps
 * i->stored, i->reserved and the holes right; the inode's size must not have been changed yet. */
int sq_blocks_write(struct sq_conn *c, struct sq_inode *i, uint64_t first, const void *data,
	size_t len) MUST_CHECK NONNULL(1, 2, 4);

/* Deletes the rows of blocks [first, last], at most `limit` rows (0: all). *ret_more: there are
 * more. Keeps i->stored right, not the holes. */
int sq_blocks_delete(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last,
	unsigned limit, bool *ret_more) MUST_CHECK NONNULL(1, 2, 6);

/* Takes `n`, or all there is, from a count of blocks. */
void sq_take_from(uint64_t *count, uint64_t n) NONNULL(1);

/* -- sqlite_holes.c ------------------------------------------------------------------------ */

/* Makes [first, last] a hole, given that there are no rows of data in it (any more). */
int sq_holes_add(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last,
	bool reserved) MUST_CHECK NONNULL(1, 2);
/* Forgets holes in [first, last]. */
int sq_holes_cut(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last) MUST_CHECK
	NONNULL(1, 2);
/* The same, and adds to *cut how many blocks of holes that were. */
int sq_holes_count_cut(struct sq_conn *c, struct sq_inode *i, uint64_t first, uint64_t last,
	uint64_t *cut) MUST_CHECK NONNULL(1, 2, 5);
/* Marks the holes in [first, last] as reserved. */
int sq_holes_reserve(struct sq_conn *c, struct sq_inode *i, uint64_t first,
	uint64_t last) MUST_CHECK NONNULL(1, 2);
/* 1: *ret is the first block in [from, to] that is in a hole; 0: none is. */
int sq_holes_next(struct sq_conn *c, uint64_t ino, uint64_t from, uint64_t to,
	uint64_t *ret) MUST_CHECK NONNULL(1, 5);
/* Is the block in a hole? Sets *ret_last to the last block of that hole. */
int sq_holes_find(struct sq_conn *c, uint64_t ino, uint64_t block, bool *ret,
	uint64_t *ret_last) MUST_CHECK NONNULL(1, 4, 5);

/* -- sqlite_ahead.c ------------------------------------------------------------------------ */

/* A small read of one row, and the pages of the database that it reads. */
struct sq_ahead {
	int fd;
	uint32_t page_size;
	bool guesses;
	sqlite3_file *conn_file;
	struct sq_guess *guess;
	struct sq_guess_file *file;
	uint64_t chunk;
	uint64_t skip; /* its blocks before those that are wanted */
	size_t bytes;  /* of pages, that those are in */
	bool straight; /* each page of the descent leads to the next one */
	uint64_t leaf; /* the page read last in the descent; 0: none */
	uint64_t data; /* the one read first of the row's chain; 0: none */
	int64_t told;  /* from here on the kernel was told, last; -1: not yet */
};

/* For blocks [first, end) of one chunk. */
void sq_ahead_begin(struct sq_ahead *a, const struct sqlite_store *s, struct sq_conn *c,
	uint64_t ino, uint64_t first, uint64_t end) NONNULL(1, 2, 3);
/* It is these blocks that are wanted, of the same chunk. */
void sq_ahead_want(struct sq_ahead *a, uint64_t first, uint64_t end) NONNULL(1);
/* From now on, until sq_ahead_stop(), the row is looked for; `straight`: by the key of the chunk's
 * first block, and a guess may be made. Then: its data is read, if it is long. */
void sq_ahead_descent(struct sq_ahead *a, bool straight) NONNULL(1);
void sq_ahead_data(struct sq_ahead *a) NONNULL(1);
void sq_ahead_stop(struct sq_ahead *a) NONNULL(1);
/* The row begins the chunk and is long: what was read of it says where such rows lie. */
void sq_ahead_learn(struct sq_ahead *a) NONNULL(1);

/* -- sqlite_part.c ------------------------------------------------------------------------- */

/* Reads blocks [first, end), which the file has, into *ret, if they are few, and in as few rows as
 * can be; maybe with others of these. 1: done; 0: not in this way, *ret is as it was. */
int sq_read_part(struct sqlite_store *s, struct sq_conn *c, const struct sq_inode *i,
	uint64_t first, uint64_t end, struct store_span *ret) MUST_CHECK NONNULL(1, 2, 3, 6);
/* A read of the inode has brought the blocks before `end`. */
void sq_read_ended(struct sqlite_store *s, uint64_t ino, uint64_t end) NONNULL(1);

/* -- the changes: each one applied inside of an open transaction, (w) ------------------------ */

int sq_apply_write(struct sqlite_store *s, struct change *ch) MUST_CHECK; /* sqlite_data.c */
int sq_apply_setattr(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_allocate(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_copy(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_create(struct sqlite_store *s, struct change *ch) MUST_CHECK; /* sqlite_names.c */
int sq_apply_link(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_unlink(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_rename(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_reap(struct sqlite_store *s, struct change *ch) MUST_CHECK;
int sq_apply_setxattr(struct sqlite_store *s, struct change *ch) MUST_CHECK; /* sqlite_xattr.c */
int sq_apply_removexattr(struct sqlite_store *s, struct change *ch) MUST_CHECK;

/* An inode number from the reserved ones (sqlite_commit.c sees to it that there are enough). */
uint64_t sq_take_ino(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* What a new inode `i` takes over from the directory it is created in: default ACL or umask, which
 * alters its mode, and the TTL. Before sq_inode_new(); in sqlite_xattr.c. */
int sq_xattr_inherit(struct sq_conn *c, const struct sq_inode *dir, struct sq_inode *i,
	const struct change_caller *caller) MUST_CHECK NONNULL(1, 2, 3, 4);
/* The attribute that is in the inode's row as well, and what its value says, in nanoseconds. May be
 * NULL with length 0. -EINVAL: not a decimal number of seconds; in sqlite_xattr.c. */
#define SQ_TTL_NAME "user.recordfs.ttl"
int sq_parse_ttl(const void *value, size_t len, int64_t *ret) MUST_CHECK NONNULL(3);
/* What chmod(2) does to an access ACL; in sqlite_xattr.c. No ACL: nothing. */
int sq_acl_chmod(struct sq_conn *c, const struct sq_inode *i) MUST_CHECK NONNULL(1, 2);
/* Removes the file capabilities of an inode whose data or owner changed; in sqlite_xattr.c. */
int sq_drop_capabilities(struct sq_conn *c, struct sq_inode *i) MUST_CHECK NONNULL(1, 2);

/* -- reading -------------------------------------------------------------------------------- */

int sq_read(struct store *store, uint64_t ino, uint64_t first, uint32_t count,
	struct store_span *ret) MUST_CHECK; /* sqlite_read.c */
int sq_getattr(struct store *store, uint64_t ino, struct store_attr *ret) MUST_CHECK;
int sq_seek(
	struct store *store, uint64_t ino, uint64_t offset, bool data, uint64_t *ret) MUST_CHECK;
ssize_t sq_block_info(struct store *store, uint64_t ino, uint64_t first, uint32_t count,
	struct store_block_info *ret) MUST_CHECK;
int sq_lookup(struct store *store, uint64_t parent, const char *name, size_t len,
	struct store_attr *ret) MUST_CHECK; /* sqlite_dir.c */
int sq_readlink(struct store *store, uint64_t ino, char *buf, size_t size) MUST_CHECK;
int sq_readdir(struct store *store, uint64_t dir, uint64_t after, bool with_attr,
	store_entry_fn *fn, void *arg) MUST_CHECK;
int sq_path(struct store *store, uint64_t ino, char *buf, size_t size) MUST_CHECK;
ssize_t sq_getxattr(struct store *store, uint64_t ino, const char *name, size_t len, void *buf,
	size_t size) MUST_CHECK; /* sqlite_xattr.c */
int sq_listxattr(struct store *store, uint64_t ino, store_xattr_fn *fn, void *arg) MUST_CHECK;
