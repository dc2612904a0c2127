/*
 * The store that keeps records in a SQLite database (docs/store-format.md describes the file).
 *
 *	struct sqlite_config cfg = { .path = "/srv/shop.db", .busy_timeout_ms = 5000 };
 *	char why[SQLITE_STORE_WHY];
 *	struct store *s;
 *	int r = sqlite_store_open(&cfg, &s, why, sizeof why);
 *
 * The file is in WAL mode while it is open. One connection writes, a pool of others reads, one
 * belongs to the keeper, a thread that moves the log into the database file beside the writer and
 * gives free space back. The thread is started by sqlite_store_open() and ended by close.
 *
 * SQLite's POSIX locks are lost when a process closes any descriptor of the file: nobody else in
 * the process may open the store's files while the store is open. Open it after fork(2), never
 * before.
 */
#pragma once

#include "store.h"
#include "store_errors.h"

#define SQLITE_STORE_WHY 512u

struct sqlite_config {
	const char *path;
	bool readonly; /* changes answer -EROFS; nothing is written */
	/* Readonly, and every call sees the store as it was at the open. Until the close its log
	 * cannot start anew, and grows with each write of others. One read at a time. The files
	 * that SQLite makes to read a store which nobody has open are taken away at the close. */
	bool snapshot;
	uint64_t max_size;   /* bytes that the database may grow to; 0: only the disk limits it */
	int busy_timeout_ms; /* how long to wait for others' transactions */
	/* For failures of what the store does by itself, which no caller hears of; NULL: they are
	 * not kept. Must stay while the store is open. */
	struct store_errors *errors;
	/* Called, on any thread, when the file is found to have been removed from `path`, renamed
	 * or replaced (is: changes answer -EIO from now on), and when it is back; or NULL. */
	void (*misplaced)(const char *path, bool is);
};

/*
 * Sets what SQLite can only be told before its first use in a process, for a program that uses it
 * for stores alone: SQLite is not to keep statistics of its memory, which is a lock for every
 * allocation. To be called by one thread, before any other function of SQLite; too late, it does
 * nothing.
 */
void sqlite_store_prepare(void);

/*
 * Opens the store at cfg->path. If it is not to be readonly: creates it when there is no file, or
 * an empty one, and converts one of an older format. *ret is the caller's. On failure `why` says in
 * one line what is wrong with which file and what to do, and the file is untouched.
 *   -EPROTO   not a store: another application's database, not a database at all
 *   -EPROTONOSUPPORT   a store of a newer format, or of an older one and readonly
 *   -EBUSY    a store of an older format that is mounted; or somebody's transaction has lasted
 *             longer than the timeout
 *   -ENOENT, -EACCES, -EROFS, -EISDIR, -ENOSPC, -EIO, -ENOMEM
 */
int sqlite_store_open(const struct sqlite_config *cfg, struct store **ret, char *why,
	size_t why_size) MUST_CHECK NONNULL(1, 2, 3);

/* Was the file created by this open? (So that a mount that fails can take it away again.) */
bool sqlite_store_created(const struct store *s) NONNULL(1) MUST_CHECK;

/* Removes the files of a store that this process has made and closed again, unless another one has
 * opened it since. */
void sqlite_store_remove(const char *path) NONNULL(1);

/*
 * Is there a store at `path`, of our format or of an older one? It reads the file's header only,
 * and nothing is done to it. It opens and closes the file: see above about locks. 0, or as
 * sqlite_store_open(): -EPROTO (also: an empty file), -EPROTONOSUPPORT, -ENOENT, -EACCES, ...
 */
int sqlite_is_store(const char *path, char *why, size_t why_size) MUST_CHECK NONNULL(1, 2);
