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
 * 100 ms. So that they come through, no mount that is as good as always writing begins a
 * transaction in the last ROOM_NS of each PERIOD_NS of the system's clock, if other processes have
 * the file open. A client that tries for 5 seconds tries some 58 times.
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
/* What is left to SQL clients. */
#define PERIOD_NS 25000000
#define ROOM_NS 3000000
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

static void leave_room(struct sqlite_store *s)
{
	int64_t now = sq_now();
	int64_t period = now - now % PERIOD_NS;
	if (period != s->period) {
		s->period = period;
		s->busy_ns = 0;
	}
	int64_t left = period + PERIOD_NS - now;
	if (left < ROOM_NS && s->busy_ns > (PERIOD_NS - ROOM_NS) / 4 * 3 && others_there(s)) {
		struct timespec t = {.tv_nsec = left};
		nanosleep(&t, NULL);
	}
}

/* What begins without sq_begin() may have waited, too. */
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
	stop_waiting(s);
	if (s->began)
		s->busy_ns += sq_now() - (s->began > s->period ? s->began : s->period);
	s->began = 0;
}

int sq_begin(struct sqlite_store *s)
{
	leave_room(s);
	s->began = sq_now();
	make_way(s);
	int r = sq_exec(sq_query(s->writer, SQ_BEGIN_IMMEDIATE, ""));
	stop_waiting(s);
	return r;
}
