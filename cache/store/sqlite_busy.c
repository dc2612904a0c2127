/*
 * Waiting for other processes that write to the same file.
 *
 * SQLite's own way of waiting sleeps up to 100 ms between attempts, so a mount beside a busy one
 * would seldom be there at the right moment. Ours sleeps shortly.
 *
 * Mounts make way for each other: one that finds the file busy locks the byte SQ_FILE_WAIT (one at
 * a time does), and one that has written for TURN_NS waits, before it begins a transaction, until
 * that lock is gone, or WAY_NS; who has not come through by then (it may have been stopped) is not
 * waited for again for NO_WAY_NS. A turn is longer than a transaction since what another process
 * wrote has to be read again.
 *
 * SQL clients know nothing of this, and nobody can see that they wait: they try, and sleep up to
 * 100 ms. So that they come through, mounts leave room for them: one that has been writing, or
 * waiting to, for some BUSY_NS altogether, while other processes have the file open, locks the byte
 * SQ_FILE_ROOM in a transaction and keeps it for a while after that; in that time mounts that write
 * much begin nothing. That is a sixth of the time, and a client that tries for 5 seconds tries
 * some 58 times.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

/* Sleeps between attempts: the first ones so long, the later ones at most so long. */
#define NAP_MIN_NS 50000
#define NAP_MAX_NS 1000000
/* The first one in the queue knows that the others make way. */
#define NAP_FIRST 400
/* A turn: how long a mount may go on while another waits. */
#define TURN_NS 2000000
/* How long to make way, and not to. */
#define WAY_NS 5000000
#define NO_WAY_NS 1000000000
/* Room is left after about so much work, for 1 / ROOM_SHARE of that time, at most so long. Who has
 * done less than ACTIVE_NS since is not held up by it. */
#define BUSY_NS 20000000
#define ROOM_SHARE 5
#define ROOM_MAX_NS INT64_C(25000000)
#define ACTIVE_NS 1000000
/* The bytes of which each process that has the file open locks some. */
#define SQLITE_SHARED_FIRST 0x40000002
#define SQLITE_SHARED_SIZE 510

/* Locks that SQLite does not know, between mounts; they go with the descriptor. */
static int file_lock(struct sqlite_store *s, int command, short type, off_t byte)
{
	struct flock l = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = SQ_FILE_LOCKS + byte, .l_len = 1};
	if (s->file < 0)
		return -EOPNOTSUPP;
	if (fcntl(s->file, command, &l) < 0)
		return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	return command == F_OFD_GETLK && l.l_type != F_UNLCK ? -EBUSY : 0;
}

int sq_file_lock(struct sqlite_store *s, off_t byte)
{
	return file_lock(s, F_OFD_SETLK, F_WRLCK, byte);
}

void sq_file_unlock(struct sqlite_store *s, off_t byte)
{
	IGNORE(file_lock(s, F_OFD_SETLK, F_UNLCK, byte)); /* it does not fail */
}

bool sq_file_locked(struct sqlite_store *s, off_t byte)
{
	return file_lock(s, F_OFD_GETLK, F_WRLCK, byte) == -EBUSY;
}

void sq_nap(unsigned count)
{
	struct timespec t = {.tv_nsec = NAP_MIN_NS};
	while (count-- && t.tv_nsec < NAP_MAX_NS)
		t.tv_nsec *= 2;
	if (t.tv_nsec > NAP_MAX_NS)
		t.tv_nsec = NAP_MAX_NS;
	nanosleep(&t, NULL);
}

int64_t sq_deadline(const struct sq_conn *c)
{
	return c->busy_until ? c->busy_until : sq_now() + c->busy_timeout_ns;
}

/* Another mount leaves room, or was stopped while it did. (w) */
static void respect_room(struct sqlite_store *s)
{
	int64_t begin = sq_now();
	if (begin < s->no_room_until)
		return;
	while (sq_file_locked(s, SQ_FILE_ROOM)) {
		if (sq_now() - begin > 2 * ROOM_MAX_NS) {
			s->no_room_until = begin + NO_WAY_NS;
			return;
		}
		sq_nap(0);
	}
}

int sq_busy(void *conn, int count)
{
	struct sq_conn *c = conn;
	if (count == 0)
		c->deadline = sq_deadline(c);
	if (sq_now() >= c->deadline)
		return 0;
	struct sqlite_store *s = c->writes;
	if (s && !s->waiting)
		s->waiting = sq_file_lock(s, SQ_FILE_WAIT) == 0;
	sq_nap(s && s->waiting && count < NAP_FIRST ? 0 : (unsigned)count);
	if (s)
		respect_room(s);
	return 1;
}

static void make_way(struct sqlite_store *s)
{
	int64_t begin = sq_now();
	if (begin < s->turn_until)
		return;
	while (sq_file_locked(s, SQ_FILE_WAIT)) {
		if (sq_now() - begin > WAY_NS) {
			s->turn_until = begin + NO_WAY_NS;
			return;
		}
		sq_nap(0);
	}
	s->turn_until = sq_now() + TURN_NS;
}

/* Does another process have the file open? */
static bool others_there(const struct sqlite_store *s)
{
	struct flock l = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = SQLITE_SHARED_FIRST,
		.l_len = SQLITE_SHARED_SIZE};
	return s->file >= 0 && fcntl(s->file, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

void sq_leave_room(struct sqlite_store *s)
{
	if (!atomic_load(&s->room))
		return;
	int64_t left = s->room_until - sq_now();
	if (left > 0) {
		struct timespec t = {.tv_nsec = left};
		nanosleep(&t, NULL);
	}
	sq_file_unlock(s, SQ_FILE_ROOM);
	atomic_store(&s->room, false);
}

static void before(struct sqlite_store *s)
{
	sq_leave_room(s);
	if (s->others && s->busy_ns > ACTIVE_NS && sq_file_locked(s, SQ_FILE_ROOM)) {
		respect_room(s);
		s->busy_ns = 0;
	}
	s->began = sq_now();
	make_way(s);
}

/* In the transaction: others that wait for its end shall find that room is left then. */
static void plan_room(struct sqlite_store *s)
{
	if (s->busy_ns < s->busy_limit)
		return;
	/* Not at regular times, which those of a client could always miss. */
	s->busy_limit = BUSY_NS / 2 + sq_now() % BUSY_NS;
	s->others = others_there(s);
	if (s->others && sq_file_lock(s, SQ_FILE_ROOM) == 0)
		atomic_store(&s->room, true);
	else
		s->busy_ns = 0;
}

static void stop_waiting(struct sqlite_store *s)
{
	if (s->waiting) {
		sq_file_unlock(s, SQ_FILE_WAIT);
		s->turn_until = sq_now() + TURN_NS;
	}
	s->waiting = false;
}

void sq_ended(struct sqlite_store *s)
{
	stop_waiting(s); /* who does not begin with sq_begin() waits as well */
	if (!s->began)
		return;
	int64_t now = sq_now();
	s->busy_ns += now - s->began;
	s->began = 0;
	if (atomic_load(&s->room)) {
		int64_t room = s->busy_ns / ROOM_SHARE;
		s->room_until = now + (room < ROOM_MAX_NS ? room : ROOM_MAX_NS);
		s->busy_ns = 0;
	}
}

int sq_begin(struct sqlite_store *s)
{
	before(s);
	int r = sq_exec(sq_query(s->writer, SQ_BEGIN_IMMEDIATE, ""));
	stop_waiting(s);
	if (r == 0)
		plan_room(s);
	return r;
}
