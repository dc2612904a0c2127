/*
 * The life of a store on a disk that fails, and flushes.
 *
 * States of the store (enum store_state), all under the write lock, but that any thread may find a
 * flush to fail:
 *   healthy    degraded == false
 *   degraded   a flush of the log has failed, or a commit, and it was not settled yet, or could not
 *              be. Changes and flushes are refused with EIO, reads go on, nothing of the log is
 *              moved.
 *   probing    the same while it is being settled: changes and flushes wait for the end of that,
 *              which comes after the busy timeout at the latest (disks that hang apart)
 *
 *   healthy -> probing     a commit has failed: sq_settle()
 *   healthy -> degraded    a flush has failed: sync_log(), sq_log_move()
 *   degraded -> probing    each change or flush begins so; after a failure of it at most one in
 *                          PROBE_INTERVAL. Without any, the keeper does it: sq_probe()
 *   probing -> healthy     it is settled
 *   probing -> degraded    it is not
 */

#include "cause.h"
#include "sqlite_internal.h"

#include <errno.h>

#define PROBE_INTERVAL_NS 100000000LL
/* How long a probe that nobody has asked for waits for others. */
#define PROBE_PATIENCE_NS 200000000LL

/* A probe has failed. Whoever made it is refused for a reason that was told before. */
static void note_probe(struct sqlite_store *s, int error)
{
	if (s->errors)
		store_errors_add(s->errors,
			&(struct store_error){
				.times = 1, .offset = -1, .error = -error, .op = "probe"});
	store_cause_repeat();
}

/*
 * Makes sure that a failed commit did not happen and will not have happened after a crash. The
 * whole log is moved into the database file and starts anew, ghost and all, with a durable
 * transaction; that also rewrites every page whose flush may have been lost, since after a failed
 * fsync(2) the kernel takes them for written. For the same reason the log itself is written anew
 * before: if power fails while it is being moved, it must be there as a whole. When a reader holds
 * the log, a durable transaction overwrites the ghost; but not what was committed without a flush
 * before it, so if there is any of that, nothing is settled yet.
 */
int sq_settle(struct sqlite_store *s)
{
	if (s->probed && sq_now() - s->probed < PROBE_INTERVAL_NS) {
		store_cause_repeat();
		return -EIO;
	}
	bool known = atomic_load(&s->degraded);
	struct store_cause why = store_cause();
	sq_degrade(s);
	atomic_fetch_add(&s->probes, 1);
	atomic_store(&s->probing, true);
	sq_rollback(s->writer);
	int64_t until = sq_deadline(s->writer);
	int r = sq_log_rewrite(s, until);
	if (r == 0)
		r = sq_log_anew(s, true, until);
	if (r == -EBUSY && atomic_load(&s->flushed) == atomic_load(&s->committed))
		r = sq_log_touch(s, true);
	s->probed = r < 0 ? sq_now() : 0;
	atomic_store(&s->degraded, r < 0);
	atomic_store(&s->probing, false);
	if (r < 0 && known)
		note_probe(s, r);
	else /* why it had to be */
		store_cause_restore(why);
	return r < 0 ? -EIO : 0;
}

void sq_degrade(struct sqlite_store *s)
{
	if (!atomic_exchange(&s->degraded, true))
		atomic_fetch_add(&s->degradations, 1);
}

void sq_probe(struct sqlite_store *s)
{
	sq_write_lock(s);
	s->writer->busy_until = sq_now() + PROBE_PATIENCE_NS;
	/* What was committed without a flush is flushed with it. */
	store_cause_clear();
	if (atomic_load(&s->degraded) && sq_settle(s) == 0)
		atomic_store(&s->flushed, atomic_load(&s->committed));
	s->writer->busy_until = 0;
	sq_write_unlock(s);
}

/*
 * After an fsync(2) that failed the kernel takes for written what it has not written, and the next
 * one says that all is well. So none is tried, and nothing committed, until the log was settled.
 */
static int sync_log(struct sqlite_store *s)
{
	uint64_t target = atomic_load(&s->committed);
	if (atomic_load(&s->flushed) >= target)
		return 0;
	if (atomic_load(&s->degraded))
		return -EAGAIN;
	atomic_fetch_add(&s->flushes, 1);
	int r = sq_errno(s->log_file->pMethods->xSync(s->log_file, SQLITE_SYNC_NORMAL));
	if (r < 0)
		sq_degrade(s);
	uint64_t flushed = atomic_load(&s->flushed);
	while (r == 0 && flushed < target &&
		!atomic_compare_exchange_weak(&s->flushed, &flushed, target))
		;
	return r;
}

int sq_flush(struct store *store)
{
	struct sqlite_store *s = sq_store(store);
	if (s->readonly || atomic_load(&s->flushed) >= atomic_load(&s->committed))
		return 0;
	pthread_mutex_lock(&s->sync);
	int r = sync_log(s);
	struct store_cause why = store_cause();
	pthread_mutex_unlock(&s->sync);
	if (r == 0)
		return 0;
	/* What was committed is in doubt on the disk: write it anew, to another place. The caller
	 * whose flush it was is told nevertheless, as after any failed fsync(2). */
	atomic_fetch_add(&s->failures, 1);
	sq_write_lock(s);
	int settled = 0; /* by another one, maybe */
	if (atomic_load(&s->degraded) && (settled = sq_settle(s)) == 0)
		atomic_store(&s->flushed, atomic_load(&s->committed));
	sq_write_unlock(s);
	if (r == -EAGAIN)
		return settled;
	store_cause_restore(why);
	return -EIO;
}
