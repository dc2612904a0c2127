/*
 * The log (WAL): who may start it anew, and when.
 *
 * SQLite before 3.51.3 can lose data when a checkpoint starts while a writer starts the log anew
 * (https://sqlite.org/wal.html#walresetbug): it reads how long the log is, then how much of it is
 * in the database; in between all of it was, and the log started anew, so now nothing is; and it
 * copies what is left of the old log as though it were the new one. All that happens under SQLite's
 * lock CKPT. So the log must never start anew while anybody else may hold that lock. Any connection
 * of any process may checkpoint; and any that writes starts the log anew when it finds
 *   - all of it in the database when its transaction begins, and
 *   - the locks READ1 to READ4 free, which readers of the log hold.
 * One mount at a time, the keeper of the log, takes care of that for all: it is
 *
 *   SQ_ROLE_PINNED   holding READ4, so nobody can start the log anew; or for a moment
 *   SQ_ROLE_OPEN     holding CKPT, so nobody can checkpoint.
 *
 * It lets go of the one only while it holds the other. To start the log anew it
 *   takes the lock WRITE, moves the whole log into the database, waits until nobody reads the log
 *   (whoever begins to read now reads the database alone), takes CKPT, lets go of READ4 and WRITE;
 *   commits a small transaction (whoever commits first starts the log anew, be it another process);
 *   takes READ4 again, which only a reader can have taken meanwhile, and lets go of CKPT.
 *
 * READ4 comes with a number: up to where its holders read the log, so how far a checkpoint may go.
 * The keeper does not read; the number is "not used", which holds nothing back and lets nobody
 * choose READ4 for reading. The lock is exclusive, so there is one keeper; it goes with its
 * process, however that ends. Until another mount takes its place (each tries ten times a second)
 * the log is not guarded against SQL clients that checkpoint.
 *
 * The locks and the index of the log are part of SQLite's file format
 * (https://sqlite.org/walformat.html#wal_locks); they are taken through SQLite's VFS, on the file
 * of a connection that does nothing else: a lock that its own connection wanted as well would not
 * keep it out.
 */

#include "sqlite_log.h"
#include "sqlite_internal.h"
#include "sqlite_vfs.h"

#include <errno.h>
#include <stdlib.h>

/* SQLite's locks on the index of the log. */
#define WAL_WRITE 0
#define WAL_CKPT 1
#define WAL_READ1 4
#define WAL_READ4 7

/* The index: 32-bit words. Its header is there twice; when the two differ it is being changed. */
#define INDEX_SIZE 32768
#define INDEX_VERSION 3007000
#define AT_VERSION 0
#define AT_CHANGE 2
#define AT_FRAMES 4
#define AT_PAGES 5
#define AT_SALT 8
#define HEADER_WORDS 12
#define AT_MOVED 24
#define AT_READ4 29
#define READ_UNUSED 0xffffffffu

/* Of the format of the log's file. */
#define LOG_HEADER 32
#define FRAME_HEADER 24
/* The log is written anew in such pieces. */
#define PIECE (64 << 10)

/* How long to wait, at least, for the transaction that others have begun. */
#define FIRST_NS 1000000000
/* And for readers, once the log was moved. */
#define AGAIN_NS 10000000

/* SQLite changes the index under locks that a sanitizer cannot know. */
#define SHARED_INDEX __attribute__((no_sanitize("thread"), noinline))

static int lock(struct sqlite_store *s, int first, int n)
{
	int rc = s->gate->pMethods->xShmLock(
		s->gate, first, n, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
	return (rc & 0xff) == SQLITE_BUSY ? -EBUSY : sq_errno(rc);
}

static void unlock(struct sqlite_store *s, int first, int n)
{
	(void)s->gate->pMethods->xShmLock(
		s->gate, first, n, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

static int lock_until(struct sqlite_store *s, int first, int n, int64_t until)
{
	int r;
	for (unsigned i = 0; (r = lock(s, first, n)) == -EBUSY && sq_now() < until; i++)
		sq_nap(i);
	return r;
}

SHARED_INDEX static void read_header(const volatile uint32_t *h, struct sq_log_view *ret)
{
	*ret = (struct sq_log_view){.salt = (uint64_t)h[AT_SALT] << 32 | h[AT_SALT + 1],
		.change = h[AT_CHANGE],
		.frames = h[AT_FRAMES],
		.pages = h[AT_PAGES]};
}

SHARED_INDEX static uint32_t read_word(const volatile uint32_t *word)
{
	return *word;
}

SHARED_INDEX static void write_word(volatile uint32_t *word, uint32_t value)
{
	*word = value;
}

bool sq_log_view(struct sqlite_store *s, struct sq_log_view *ret)
{
	struct sq_log_view again;
	read_header(s->log_index, ret);
	s->gate->pMethods->xShmBarrier(s->gate);
	read_header(s->log_index + HEADER_WORDS, &again);
	ret->moved = read_word(s->log_index + AT_MOVED);
	return ret->salt == again.salt && ret->change == again.change &&
	       ret->frames == again.frames;
}

/* Has READ4, and nobody else can be in between. */
static void pinned(struct sqlite_store *s)
{
	if (read_word(s->log_index + AT_READ4) != READ_UNUSED)
		write_word(s->log_index + AT_READ4, READ_UNUSED);
	unlock(s, WAL_CKPT, 1);
	atomic_store(&s->log_role, SQ_ROLE_PINNED);
}

int sq_log_keep(struct sqlite_store *s)
{
	int role = atomic_load(&s->log_role);
	if (role == SQ_ROLE_PINNED)
		return 0;
	int r = lock(s, WAL_READ4, 1);
	if (r < 0)
		return r;
	if (role == SQ_ROLE_NONE) {
		r = lock(s, WAL_CKPT, 1);
		if (r < 0) {
			unlock(s, WAL_READ4, 1);
			return r;
		}
	}
	pinned(s);
	return 0;
}

int sq_log_touch(struct sqlite_store *s, bool durable)
{
	int r = sq_synchronous(s, durable ? 2 : 1);
	s->logged = false;
	if (r == 0)
		r = sq_begin(s);
	if (r == 0)
		r = sq_exec(sq_query(s->writer, SQ_SETTLE, ""));
	if (r == 0)
		r = sq_exec(sq_query(s->writer, SQ_COMMIT, ""));
	sq_rollback(s->writer);
	if (s->logged) {
		uint64_t committed = atomic_fetch_add(&s->committed, 1) + 1;
		if (durable)
			atomic_store(&s->flushed, committed);
	}
	return r;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static sqlite3_file *log_of(struct sq_conn *c)
{
	sqlite3_file *log = NULL;
	IGNORE(sq_file_control(c, SQLITE_FCNTL_JOURNAL_POINTER, &log));
	return log && log->pMethods ? log : NULL;
}

/*
 * A flush failed, so what was to be flushed may be lost, and no later one will say so. Of the
 * database that is what this checkpoint has written, and others before it that moved a part of the
 * log and flushed nothing: so all of the log counts as not moved. The number is changed under the
 * lock of who moves it; being too small does no harm.
 */
static void flush_failed(struct sqlite_store *s, struct sq_conn *c)
{
	if (sq_vfs_flush_failed(log_of(c)))
		sq_degrade(s);
	bool is_ours = atomic_load(&s->log_role) == SQ_ROLE_OPEN;
	if (!is_ours && lock_until(s, WAL_CKPT, 1, sq_now() + FIRST_NS) < 0)
		return; /* who moves it now is told as well: each open file is */
	write_word(s->log_index + AT_MOVED, 0);
	if (!is_ours)
		unlock(s, WAL_CKPT, 1);
}

int sq_log_move(struct sqlite_store *s, struct sq_conn *c, int *ret_left)
{
	int pages = 0, moved = 0;
	IGNORE(sq_vfs_flush_failed(log_of(c))); /* of a commit */
	int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
	if (rc == SQLITE_IOERR_FSYNC)
		flush_failed(s, c);
	if (rc == SQLITE_OK && ret_left)
		*ret_left = pages - moved;
	return (rc & 0xff) == SQLITE_BUSY ? -EBUSY : sq_errno(rc);
}

/* Moves all of the log into the database; nobody writes to it meanwhile. A reader that was in the
 * way when that began may have gone by its end, which can be long past `until`. */
static int move_all(struct sqlite_store *s, int64_t until)
{
	for (unsigned i = 0;; i++) {
		int left = 0;
		int r = sq_log_move(s, s->writer, &left);
		if (r == 0 && left == 0)
			return 0;
		if (r < 0 && r != -EBUSY)
			return r;
		if (i == 0)
			until = later(until, sq_now() + AGAIN_NS);
		if (sq_now() >= until)
			return -EBUSY;
		sq_nap(i);
	}
}

static int lock_writers_out(struct sqlite_store *s, int64_t until)
{
	bool turn = sq_file_lock(s, SQ_FILE_WAIT) == 0; /* else it is another one's */
	int r = lock_until(s, WAL_WRITE, 1, until);
	if (turn)
		sq_file_unlock(s, SQ_FILE_WAIT);
	return r;
}

static int rewrite(struct sqlite_store *s, sqlite3_file *log)
{
	struct sq_log_view v;
	if (!sq_log_view(s, &v))
		return -EIO;
	int64_t size =
		v.frames ? LOG_HEADER + (int64_t)v.frames * (FRAME_HEADER + s->page_size) : 0;
	unsigned char *piece = malloc(PIECE);
	int r = piece ? 0 : -ENOMEM;
	for (int64_t at = 0; r == 0 && at < size; at += PIECE) {
		int n = size - at < PIECE ? (int)(size - at) : PIECE;
		r = sq_errno(log->pMethods->xRead(log, piece, n, at));
		if (r == 0)
			r = sq_errno(log->pMethods->xWrite(log, piece, n, at));
	}
	free(piece);
	return r;
}

int sq_log_rewrite(struct sqlite_store *s, int64_t until)
{
	sqlite3_file *log = log_of(s->writer);
	int r = log ? lock_writers_out(s, until) : -EIO;
	if (r < 0)
		return r;
	r = rewrite(s, log);
	unlock(s, WAL_WRITE, 1);
	return r;
}

/* From PINNED to OPEN, with a log that the next transaction starts anew. */
static int open_log(struct sqlite_store *s, int64_t until)
{
	int r = lock_writers_out(s, until);
	if (r < 0)
		return r;
	r = move_all(s, until);
	until = later(until, sq_now() + AGAIN_NS);
	if (r == 0) {
		r = lock_until(s, WAL_READ1, WAL_READ4 - WAL_READ1, until);
		if (r == 0)
			unlock(s, WAL_READ1, WAL_READ4 - WAL_READ1);
	}
	if (r == 0)
		r = lock_until(s, WAL_CKPT, 1, until);
	if (r == 0) {
		atomic_store(&s->log_role, SQ_ROLE_OPEN);
		unlock(s, WAL_READ4, 1);
	}
	unlock(s, WAL_WRITE, 1);
	return r;
}

/* Another process may have been faster, and starts the log anew itself with the transaction that is
 * under way now: that is worth waiting for, since all that was moved so that it can would be for
 * nothing. */
static int first_transaction(struct sqlite_store *s, bool durable)
{
	int64_t saved = s->writer->busy_until;
	if (saved)
		s->writer->busy_until = later(saved, sq_now() + FIRST_NS);
	int r = sq_log_touch(s, durable);
	s->writer->busy_until = saved;
	return r;
}

/* The keeper's way. */
static int start_anew(struct sqlite_store *s, bool durable, int64_t until)
{
	struct sq_log_view before, after;
	while (!sq_log_view(s, &before))
		if (sq_now() >= until)
			return -EBUSY;
	int r = open_log(s, until);
	if (r < 0)
		return r;
	r = first_transaction(s, durable);
	for (unsigned i = 0; i < 20 && sq_log_keep(s) < 0; i++)
		sq_nap(i);
	if (r < 0)
		return r;
	bool anew = before.frames == 0 || (sq_log_view(s, &after) && after.salt != before.salt);
	return anew ? 0 : -EBUSY;
}

bool sq_log_asked(struct sqlite_store *s)
{
	return sq_file_locked(s, SQ_FILE_ASK);
}

/* Waits until the keeper has started the log anew (1), or this mount is the keeper (0). */
static int ask(struct sqlite_store *s, int64_t until)
{
	struct sq_log_view first, now;
	bool known = false;
	int r = -EBUSY;
	/* When another one has the lock, it asks. */
	bool asked = sq_file_lock(s, SQ_FILE_ASK) == 0;
	for (unsigned i = 0; r == -EBUSY; i++) {
		if (sq_log_view(s, &now)) {
			if (!known)
				first = now;
			known = true;
			if (now.frames == 0 || now.salt != first.salt) {
				r = 1;
				break;
			}
		}
		r = sq_log_keep(s);
		if (r == -EBUSY && sq_now() >= until)
			break;
		sq_nap(i);
	}
	if (asked)
		sq_file_unlock(s, SQ_FILE_ASK);
	return r;
}

int sq_log_anew(struct sqlite_store *s, bool durable, int64_t until)
{
	int r = sq_log_keep(s);
	if (r == -EBUSY)
		r = ask(s, until);
	if (r < 0)
		return r;
	if (r == 0)
		return start_anew(s, durable, until);
	return durable ? sq_log_touch(s, true) : 0;
}

int sq_log_open(struct sqlite_store *s)
{
	int64_t one;
	void volatile *index = NULL;
	int r = sq_conn_open(s, &s->flusher);
	if (r == 0) /* a transaction, so that the log and its index are there */
		r = sq_scalar(sq_query(s->flusher, SQ_NEXT_INO, ""), &one);
	if (r == 0)
		r = sq_file_control(s->flusher, SQLITE_FCNTL_JOURNAL_POINTER, &s->log_file);
	if (r == 0)
		r = sq_file_control(s->flusher, SQLITE_FCNTL_FILE_POINTER, &s->gate);
	if (r == 0 && (!s->log_file || !s->log_file->pMethods || !s->gate->pMethods))
		r = -EIO;
	if (r == 0)
		r = sq_errno(s->gate->pMethods->xShmMap(s->gate, 0, INDEX_SIZE, 0, &index));
	if (r == 0 && !index)
		r = -EIO;
	s->log_index = index;
	if (r == 0 && read_word(s->log_index + AT_VERSION) != INDEX_VERSION)
		r = -EIO;
	return r;
}

void sq_log_close(struct sqlite_store *s)
{
	int role = atomic_load(&s->log_role);
	atomic_store(&s->log_role, SQ_ROLE_NONE);
	if (role == SQ_ROLE_PINNED)
		unlock(s, WAL_READ4, 1);
	else if (role == SQ_ROLE_OPEN)
		unlock(s, WAL_CKPT, 1);
	s->flusher = sq_conn_close(s->flusher);
}
