/*
 * Who has the store mounted; whose orphans are whose.
 *
 * A row of table mount names a process by the boot it runs in, its pid and when it started, so that
 * it can be told from a later process of the same pid. The orphans of a mount are files that are
 * deleted but still open there; once it is dead nobody has them open, and any mount may reap them.
 *
 *	row	process				orphans belong to
 *	there	runs				that mount: leave them alone
 *	there	is gone, or another one		nobody
 *	there	pid is 0: unmounted with orphans	nobody
 *	gone	-				nobody
 *
 * A row is deleted only when no orphan refers to it, since its id may be given out again.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Dead mounts that one mount clears up after; the next one goes on. */
#define DEAD_MAX 64

/*
 * The boot, and the pid namespace, since a pid means nothing outside of its own:
 * "b2f0a4b8-...-2d1c/4026531836".
 */
struct identity {
	char boot[80];
	size_t boot_id_len; /* of the part before the slash */
	int64_t pid;
	int64_t started;
};

/* The first `size - 1` bytes of a file in /proc, terminated. */
static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	int r = n < 0 ? -errno : 0;
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return r;
}

/* When process `pid` started: field 22 of its stat. The second one, its name in parentheses, may
 * hold blanks and parentheses itself. */
static int process_started(int64_t pid, int64_t *ret)
{
	char path[64], stat_line[1024];
	snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
	int r = read_file(path, stat_line, sizeof stat_line);
	if (r < 0)
		return r;
	const char *p = strrchr(stat_line, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -EIO;
	char *end;
	long long started = strtoll(p + 1, &end, 10);
	if (end == p + 1 || started < 0)
		return -EIO;
	*ret = started;
	return 0;
}

static int identify(struct identity *ret)
{
	struct identity me = {.pid = getpid()};
	char boot_id[40];
	struct stat ns;
	int r = read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
	if (r < 0)
		return r;
	me.boot_id_len = strcspn(boot_id, "\n");
	if (stat("/proc/self/ns/pid", &ns) < 0)
		return -errno;
	snprintf(me.boot, sizeof me.boot, "%.*s/%llu", (int)me.boot_id_len, boot_id,
		(unsigned long long)ns.st_ino);
	r = process_started(me.pid, &me.started);
	if (r == 0)
		*ret = me;
	return r;
}

/* Is the process gone for sure? /proc may hide those of others (hidepid), kill(2) does not. */
static bool process_gone(int64_t pid, int64_t started)
{
	if (pid <= 0 || pid > INT32_MAX)
		return true;
	int64_t now;
	if (process_started(pid, &now) == 0)
		return now != started;
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Is the mount dead whose row a statement with columns boot, pid, started is on? What cannot be
 * told, because it is in another pid namespace, counts as alive until the next boot. */
static bool mount_dead(sqlite3_stmt *st, int column, const struct identity *me)
{
	const char *boot = (const char *)sqlite3_column_text(st, column);
	int64_t pid = sqlite3_column_int64(st, column + 1);
	if (!boot || pid == 0)
		return true;
	if (strncmp(boot, me->boot, me->boot_id_len + 1) != 0)
		return true;
	if (strcmp(boot, me->boot) != 0)
		return false;
	return process_gone(pid, sqlite3_column_int64(st, column + 2));
}

/* Forgets dead mounts, but not those that own orphans: see above. */
static int forget_dead(struct sq_conn *c, const struct identity *me)
{
	int64_t dead[DEAD_MAX];
	size_t n = 0;
	int r;
	sqlite3_stmt *st = sq_query(c, SQ_MOUNT_LIST, "");
	while ((r = sq_step(st)) == 1) {
		if (mount_dead(st, 1, me))
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

static int insert(struct sq_conn *c, const struct identity *me, int64_t *ret)
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

static int enter(struct sqlite_store *s, const struct identity *me)
{
	struct sq_conn *c = s->writer;
	int64_t id = 0;
	int r = sq_exec(sq_query(c, SQ_BEGIN_IMMEDIATE, ""));
	if (r == 0)
		r = forget_dead(c, me);
	if (r == 0)
		r = insert(c, me, &id);
	if (r == 0)
		r = sq_reserve_space(s, false);
	if (r == 0)
		r = sq_exec(sq_query(s->writer, SQ_COMMIT, ""));
	if (r == 0)
		s->mount = id;
	else
		sq_rollback(c);
	return r;
}

int sq_mount_enter(struct sqlite_store *s)
{
	struct identity me;
	int r = identify(&me);
	if (r < 0)
		return r;
	r = enter(s, &me);
	/* A full disk must not keep anybody from mounting the store to empty it. */
	if (r == -ENOSPC && sq_checkpoint_now(s) == 0)
		r = enter(s, &me);
	return r;
}

void sq_mount_leave(struct sqlite_store *s)
{
	if (s->mount == 0)
		return;
	struct sq_conn *c = s->writer;
	int r = sq_exec(sq_query(c, SQ_BEGIN_IMMEDIATE, ""));
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

static int owner_dead(struct sq_conn *c, int64_t mount, const struct identity *me)
{
	sqlite3_stmt *st = sq_query(c, SQ_MOUNT_GET, "i", mount);
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : 1;
	r = mount_dead(st, 0, me);
	sq_done(st);
	return r;
}

static int list_orphans(struct sq_conn *c, const struct identity *me, store_ino_fn *fn, void *arg)
{
	sqlite3_stmt *st = sq_query(c, SQ_ORPHAN_LIST, "");
	int64_t judged = -1; /* the mount that `dead` is about */
	int dead = 0, r;
	while ((r = sq_step(st)) == 1) {
		int64_t mount = sqlite3_column_int64(st, 1);
		r = 0;
		uint64_t ino = sq_column_u64(st, 0, &r);
		if (r == 0 && (mount != judged || judged < 0)) {
			dead = owner_dead(c, mount, me);
			judged = mount;
		}
		if (dead < 0)
			r = dead;
		if (r < 0 || (dead && !fn(arg, ino))) {
			sq_done(st);
			break;
		}
	}
	return r;
}

int sq_orphans(struct store *store, store_ino_fn *fn, void *arg)
{
	struct sqlite_store *s = sq_store(store);
	if (s->readonly)
		return 0; /* nothing here may reap them */
	struct identity me;
	int r = identify(&me);
	if (r < 0)
		return r;
	struct sq_conn *c;
	r = sq_read_begin(s, &c);
	if (r < 0)
		return r;
	r = list_orphans(c, &me, fn, arg);
	sq_read_end(s, c);
	return r;
}
