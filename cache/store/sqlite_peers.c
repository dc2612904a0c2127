/*
 * Who else has the store mounted, and whether they still run.
 *
 * A row of table mount names a process by the boot it runs in, its pid and when it started, so that
 * it can be told from a later process of the same pid, and the file, so that the rows in a copy of
 * the store are not taken for its own mounts. Whoever enters or leaves does so in a write
 * transaction (sqlite_mount.c). So the peers that a transaction of ours sees after BEGIN IMMEDIATE
 * are those that will see its changes: nobody can enter before it is over.
 *
 * The table is read again only when somebody else has committed since the last time, and a process
 * is judged at most once a second: a mount that is alone pays for one comparison.
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

#define JUDGE_EACH_NS 1000000000LL

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

int sq_identify(const char *path, struct sq_identity *ret)
{
	struct sq_identity me = {.pid = getpid()};
	char boot_id[40];
	struct stat ns, file;
	int r = read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
	if (r < 0)
		return r;
	me.boot_id_len = strcspn(boot_id, "\n");
	if (stat("/proc/self/ns/pid", &ns) < 0 || stat(path, &file) < 0)
		return -errno;
	me.space_len = (size_t)snprintf(me.boot, sizeof me.boot, "%.*s/%llu", (int)me.boot_id_len,
		boot_id, (unsigned long long)ns.st_ino);
	snprintf(me.boot + me.space_len, sizeof me.boot - me.space_len, "/%llu:%llu",
		(unsigned long long)file.st_dev, (unsigned long long)file.st_ino);
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

/* Can it be told from here whether the process of such a row runs? What cannot, because it is in
 * another pid namespace, counts as alive until the next boot. A row with another file came along
 * when the store was copied: its process has that one mounted. (Format 1 did not say which.) */
static enum sq_fate fate(const char *boot, int64_t pid, const struct sq_identity *me)
{
	if (!boot || pid == 0)
		return SQ_FATE_GONE;
	if (strncmp(boot, me->boot, me->boot_id_len + 1) != 0)
		return SQ_FATE_GONE;
	const char *file = strchr(boot + me->boot_id_len + 1, '/');
	if (file && strcmp(file, me->boot + me->space_len) != 0)
		return SQ_FATE_GONE;
	size_t space_len = file ? (size_t)(file - boot) : strlen(boot);
	bool here = space_len == me->space_len && memcmp(boot, me->boot, space_len) == 0;
	return here ? SQ_FATE_RUNS : SQ_FATE_UNKNOWN;
}

bool sq_mount_dead(sqlite3_stmt *st, int column, const struct sq_identity *me)
{
	int64_t pid = sqlite3_column_int64(st, column + 1);
	enum sq_fate f = fate((const char *)sqlite3_column_text(st, column), pid, me);
	if (f == SQ_FATE_RUNS && process_gone(pid, sqlite3_column_int64(st, column + 2)))
		f = SQ_FATE_GONE;
	return f == SQ_FATE_GONE;
}

int64_t sq_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void judge(struct sq_peers *p, int64_t now)
{
	p->any = p->unlisted;
	for (unsigned i = 0; i < p->n; i++) {
		struct sq_peer *peer = &p->peer[i];
		if (peer->fate == SQ_FATE_RUNS && now - peer->judged >= JUDGE_EACH_NS) {
			peer->judged = now;
			if (process_gone(peer->pid, peer->started))
				peer->fate = SQ_FATE_GONE;
		}
		p->any |= peer->fate != SQ_FATE_GONE;
	}
	p->judged = now;
}

/* What is known of the process already; else it is to be judged. */
static void remember(struct sq_peer *peer, const struct sq_peers *known)
{
	peer->judged = -JUDGE_EACH_NS;
	for (unsigned i = 0; i < known->n; i++) {
		const struct sq_peer *k = &known->peer[i];
		if (k->id != peer->id || k->pid != peer->pid || k->started != peer->started)
			continue;
		peer->judged = k->judged;
		if (k->fate == SQ_FATE_GONE)
			peer->fate = SQ_FATE_GONE;
	}
}

int sq_peers_load(struct sq_conn *c, const struct sq_identity *me, int64_t own, struct sq_peers *p)
{
	struct sq_peers now = {.own_seen = -1};
	sqlite3_stmt *st = sq_query(c, SQ_MOUNT_LIST, "");
	int r;
	while ((r = sq_step(st)) == 1) {
		struct sq_peer peer = {
			.id = sqlite3_column_int64(st, 0),
			.pid = sqlite3_column_int64(st, 2),
			.started = sqlite3_column_int64(st, 3),
			.seen = sqlite3_column_int64(st, 4),
		};
		if (own && peer.id == own) {
			now.own_seen = peer.seen;
			continue;
		}
		if (now.n == SQ_PEERS_MAX) {
			now.unlisted = true;
			sq_done(st);
			break;
		}
		if (peer.seen > SQ_LOG_ID_MAX)
			peer.seen = -1; /* damaged: it answers for nothing */
		peer.fate = fate((const char *)sqlite3_column_text(st, 1), peer.pid, me);
		remember(&peer, p);
		now.peer[now.n++] = peer;
	}
	if (r < 0)
		return r;
	judge(&now, sq_now());
	now.version = p->version;
	*p = now;
	return 0;
}

bool sq_peer_alive(const struct sq_peers *p, int64_t id)
{
	if (id == 0)
		return false;
	for (unsigned i = 0; i < p->n; i++)
		if (p->peer[i].id == id)
			return p->peer[i].fate != SQ_FATE_GONE;
	return p->unlisted;
}

int64_t sq_peers_seen(const struct sq_peers *p)
{
	int64_t least = p->unlisted ? -1 : INT64_MAX;
	for (unsigned i = 0; i < p->n; i++)
		if (p->peer[i].fate != SQ_FATE_GONE && p->peer[i].seen < least)
			least = p->peer[i].seen;
	return least;
}

/* Counts what others committed before the current transaction, and our own commits. */
static int data_version(struct sqlite_store *s, unsigned *ret)
{
	return sq_errno(
		sqlite3_file_control(s->writer->db, "main", SQLITE_FCNTL_DATA_VERSION, ret));
}

int sq_peers_look(struct sqlite_store *s)
{
	struct sq_peers *p = &s->peers;
	unsigned version;
	int r = data_version(s, &version);
	if (r < 0)
		return r;
	if (version == p->version) {
		if (p->any && sq_now() - p->judged >= JUDGE_EACH_NS)
			judge(p, sq_now());
		return 0;
	}
	r = sq_peers_load(s->writer, &s->me, s->mount, p);
	if (r == 0)
		p->version = version;
	return r;
}

void sq_peers_committed(struct sqlite_store *s)
{
	unsigned version;
	if (data_version(s, &version) == 0)
		s->peers.version = version;
}
