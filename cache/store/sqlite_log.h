/*
 * The log (WAL): who may start it anew, and when; see sqlite_log.c.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct sq_conn;
struct sqlite_store;

/* What SQLite's index of the log says. */
struct sq_log_view {
	uint64_t salt;	 /* another one each time the log starts anew */
	uint32_t change; /* another one after each commit */
	uint32_t frames; /* pages in the log */
	uint32_t moved;	 /* of those, how many are in the database */
	uint32_t pages;	 /* of the database, after the last commit; 0: unknown */
};

/* This mount's part in it. */
enum sq_log_role {
	SQ_ROLE_NONE,	/* another mount's task, or nobody's */
	SQ_ROLE_PINNED, /* keeper: nobody can start the log anew */
	SQ_ROLE_OPEN,	/* keeper, in between: somebody may, but nobody can checkpoint */
};

/* Opens the connection through which the log is locked and flushed. Before any other function. */
int sq_log_open(struct sqlite_store *s) MUST_CHECK NONNULL(1);
/* Gives up what it holds; NULL connection: nothing. */
void sq_log_close(struct sqlite_store *s) NONNULL(1);

/* Becomes the keeper of the log if there is none. -EBUSY: there is one, or somebody reads where it
 * would take its place. (w) */
int sq_log_keep(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* False: it is being changed just now. */
bool sq_log_view(struct sqlite_store *s, struct sq_log_view *ret) MUST_CHECK NONNULL(1, 2);

/*
 * Moves the whole log into the database, and has the log start anew with a small transaction, in
 * the space that it has; `durable`: with a flush, so that nothing that was in the log can come
 * back. When another mount is the keeper, asks it to. Waits for readers and other writers until
 * `until` (sq_now()). -EBUSY: they did not make way. (w)
 */
int sq_log_anew(struct sqlite_store *s, bool durable, int64_t until) MUST_CHECK NONNULL(1);

/* Writes the log anew, in its place, so that the next flush is one of all of it: a flush that
 * failed makes the kernel take for written what is not. -EBUSY as above. (w) */
int sq_log_rewrite(struct sqlite_store *s, int64_t until) MUST_CHECK NONNULL(1);

/*
 * Moves what it can of the log into the database (a passive checkpoint), with a connection that
 * nobody else uses now; *ret_left (may be NULL): pages that are left. What a flush that failed may
 * have lost is moved anew the next time; and if it was the log's, the outcome of what is in it is
 * unknown: the store is degraded until a change settles that. -EBUSY.
 */
int sq_log_move(struct sqlite_store *s, struct sq_conn *c, int *ret_left) MUST_CHECK NONNULL(1, 2);

/* Is another mount waiting for that? */
bool sq_log_asked(struct sqlite_store *s) MUST_CHECK NONNULL(1);

/* A small transaction. (w) */
int sq_log_touch(struct sqlite_store *s, bool durable) MUST_CHECK NONNULL(1);
