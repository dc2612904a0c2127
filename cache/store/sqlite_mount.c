/*
 * Entering and leaving the store as a mount, and whose orphans are whose.
 *
 * An orphan is an inode without a name: deleted, but perhaps open somewhere. It has a row in table
 * orphan for each mount that may use it, and each of these gives up its own when it does not any
 * more (CHANGE_REAP); the last one deletes the inode. Mount 0 stands for nobody in particular.
 *
 *	row of the mount in table mount		the orphan
 *	there, and the process runs		is that mount's, too: leave it alone
 *	there, the process is gone		is not that mount's
 *	there, pid is 0: it has left		is not that mount's
 *	not there				is not that mount's
 *
 * A mount that uses an inode that another one deletes learns of that by the change log and then
 * claims it with a row of its own (sqlite_watch.c). Until it has, nobody knows; so an orphan is
 * deleted only when every mount that runs has answered for the log up to orphan.change, where the
 * deletion is logged: mount.seen says how far each has. A deletion that was not logged (change 0)
 * was made by a mount that was alone: who came later cannot use the inode.
 *
 * A row of table mount is deleted only when no orphan refers to it, since its id may be given out
 * again.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <time.h>

/* Dead mounts that one mount clears up after; the next one goes on. */
#define DEAD_MAX 64

/* Forgets dead mounts, but not those that own orphans: see above. */
static int forget_dead(struct sq_conn *c, const struct sq_identity *me)
{
	int64_t dead[DEAD_MAX];
	size_t n = 0;
	int r;
	sqlite3_stmt *st = sq_query(c, SQ_MOUNT_LIST, "");
	while ((r = sq_step(st)) == 1) {
		if (sq_mount_dead(st, 1, me))
			dead[n++] = sqlite3_column_int64(st, 0);
		if (n == DEAD_MAX) {
			sq_done(st);
			break;
		}
	}
	for (size_t i = 0; i < n && r >= 0; i++)
		r = sq_exec(sq_query(c, SQ_MOUNT_FORGET, "i", dead[i]));
	return r < 0 ? r : 0;
}

static int insert(struct sq_conn *c, const struct sq_identity *me, int64_t *ret)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	sqlite3_stmt *st = sq_query(c, SQ_MOUNT_NEW, "niii", me->pid, me->started,
		(int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	if (st && sqlite3_bind_text(st, 1, me->boot, -1, SQLITE_STATIC) != SQLITE_OK)
		return -ENOMEM;
	int r = sq_exec(st);
	if (r == 0)
		*ret = sqlite3_last_insert_rowid(c->db);
	return r;
}

/* Says that the mount is there to who reads along without being one, and where it begins to. */
static int log_entry(struct sqlite_store *s, int64_t id)
{
	struct sq_conn *c = s->writer;
	int r = sq_exec(sq_query(c, SQ_LOG_HEAL, "i", SQ_LOG_ID_MAX));
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_LOG_ENTER, "ii", id, SQ_LOG_ID_MAX));
	int64_t at = sqlite3_last_insert_rowid(c->db);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_MOUNT_SEEN, "ii", id, at));
	if (r == 0)
		s->told = at;
	return r;
}

static int enter(struct sqlite_store *s)
{
	struct sq_conn *c = s->writer;
	int64_t id = 0;
	int r = sq_begin(s);
	if (r == 0)
		r = forget_dead(c, &s->me);
	if (r == 0)
		r = insert(c, &s->me, &id);
	if (r == 0)
		r = log_entry(s, id);
	if (r == 0)
		r = sq_peers_load(c, &s->me, id, &s->peers);
	if (r == 0)
		r = sq_reserve_space(s, false);
	if (r == 0)
		r = sq_exec(sq_query(s->writer, SQ_COMMIT, ""));
	if (r == 0) {
		s->mount = id;
		sq_peers_committed(s);
	} else {
		sq_rollback(c);
	}
	return r;
}

int sq_mount_enter(struct sqlite_store *s)
{
	int r = enter(s);
	/* A full disk must not keep anybody from mounting the store to empty it. */
	if (r == -ENOSPC && sq_log_anew(s, false, sq_deadline(s->writer)) == 0)
		r = enter(s);
	return r;
}

void sq_mount_leave(struct sqlite_store *s)
{
	if (s->mount == 0)
		return;
	struct sq_conn *c = s->writer;
	int r = sq_begin(s);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_MOUNT_END, "i", s->mount));
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_MOUNT_FORGET, "i", s->mount));
	if (r == 0)
		r = sq_exec(sq_query(s->writer, SQ_COMMIT, ""));
	if (r < 0)
		sq_rollback(c);
	s->mount = 0;
}

int sq_orphan_release(struct sqlite_store *s, uint64_t ino)
{
	struct sq_conn *c = s->writer;
	bool used = false;
	int64_t change = 0;
	int r;
	if (!s->peers.any)
		return 1;
	sqlite3_stmt *st = sq_query(c, SQ_ORPHAN_OF, "u", ino);
	while ((r = sq_step(st)) == 1) {
		int64_t mount = sqlite3_column_int64(st, 0);
		used |= mount != s->mount && sq_peer_alive(&s->peers, mount);
		if (sqlite3_column_int64(st, 1) > change)
			change = sqlite3_column_int64(st, 1);
	}
	if (r < 0)
		return r;
	if (!used && sq_peers_seen(&s->peers) >= change)
		return 1;
	r = sq_exec(sq_query(c, SQ_ORPHAN_GIVE_UP, "ui", ino, s->mount));
	if (r == 0 && !used)
		r = sq_exec(sq_query(c, SQ_ORPHAN_NEW, "uii", ino, (int64_t)0, change));
	return r;
}

/* An orphan, put together from its rows. */
struct orphan {
	uint64_t ino; /* 0: none yet */
	int64_t change;
	bool used;
};

/* May the orphan be deleted, and is that taken note of? False: enough. */
static bool offer(const struct orphan *o, int64_t seen, store_ino_fn *fn, void *arg)
{
	return o->ino == 0 || o->used || o->change > seen || fn(arg, o->ino);
}

static int list_orphans(struct sqlite_store *s, struct sq_conn *c, store_ino_fn *fn, void *arg)
{
	struct sq_peers peers = {0};
	struct orphan o = {0};
	int r = sq_peers_load(c, &s->me, s->mount, &peers);
	if (r < 0)
		return r;
	int64_t seen = sq_peers_seen(&peers);
	if (peers.own_seen < seen)
		seen = peers.own_seen;
	sqlite3_stmt *st = sq_query(c, SQ_ORPHAN_LIST, "");
	while ((r = sq_step(st)) == 1) {
		int64_t mount = sqlite3_column_int64(st, 1), change = sqlite3_column_int64(st, 2);
		int bad = 0;
		uint64_t ino = sq_column_u64(st, 0, &bad);
		if (bad < 0 || ino == 0)
			continue; /* damaged; the others can be deleted nevertheless */
		if (ino != o.ino && !offer(&o, seen, fn, arg)) {
			sq_done(st);
			return 0;
		}
		if (ino != o.ino)
			o = (struct orphan){.ino = ino};
		o.used |= mount == s->mount || sq_peer_alive(&peers, mount);
		o.change = change > o.change ? change : o.change;
	}
	if (r == 0)
		(void)offer(&o, seen, fn, arg);
	return r;
}

int sq_orphans(struct store *store, store_ino_fn *fn, void *arg)
{
	struct sqlite_store *s = sq_store(store);
	struct sq_conn *c;
	if (s->readonly)
		return 0; /* nothing here may reap them */
	int r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = list_orphans(s, c, fn, arg);
	sq_read_end(s, c);
	return r;
}
