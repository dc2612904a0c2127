/*
 * Mends the rows of data and of holes of the files in which check_data() finds a fault.
 *
 * Such a file is taken apart into blocks: of two rows that have the same one, that with the right
 * checksum counts. What cannot be read as it was must go on being an error, so a block that is lost
 * is stored as one whose checksum does not match. When the blocks that are stored are as many as
 * the inode counts, it is the size that was damaged, and not the data.
 */

#include "sqlite_repair_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Lost blocks of one file that are made unreadable; a size of a terabyte may be all wrong. */
#define POISON_MAX 65536u

#define BLOCKS_MAX ((uint64_t)1 << SQ_BLOCK_BITS)

/* How far a piece can be trusted. */
enum { FAILS, UNSUMMED, SOUND };

static int64_t first_key(int64_t ino)
{
	return ino * ((int64_t)1 << SQ_BLOCK_BITS);
}

static int64_t last_key(int64_t ino)
{
	return first_key(ino) + ((int64_t)BLOCKS_MAX - 1); /* at most INT64_MAX, in this order */
}

/* Of a file that is being mended. */
struct parts {
	struct repair *m;
	int64_t ino;
	int64_t size;	 /* as found, then as it will be */
	uint64_t lost;	 /* so many blocks fewer are there than the inode counts */
	int64_t counted; /* blocks that the inode says are stored */
	bool deleted;	 /* then it may lack blocks */
	uint64_t eof;
	uint64_t poisoned;
};

/* -- taking apart ------------------------------------------------------------------------------ */

/* One block of the row: `sum` NULL: none; its own does not fit into the row: `no_sum`. */
static int put_piece(struct parts *f, sqlite3_stmt *put, uint64_t block, const unsigned char *data,
	size_t len, const unsigned char *sum, bool no_sum)
{
	unsigned char own[8];
	uint64_t right = sq_sum((uint64_t)f->ino, block, data, len);
	int good = no_sum ? UNSUMMED : sum && sq_sum_get(sum) == right ? SOUND : FAILS;
	sq_sum_put(own, sum ? sq_sum_get(sum) : ~right);
	sqlite3_bind_int64(put, 1, (int64_t)block);
	if (no_sum)
		sqlite3_bind_null(put, 2);
	else
		sqlite3_bind_blob(put, 2, own, 8, SQLITE_STATIC);
	sqlite3_bind_blob(put, 3, data, (int)len, SQLITE_STATIC);
	sqlite3_bind_int(put, 4, good);
	return repair_step(f->m, put);
}

static int take_row(struct parts *f, sqlite3_stmt *row, sqlite3_stmt *put)
{
	uint64_t first = sq_key_block(sqlite3_column_int64(row, 0));
	const unsigned char *sums = sqlite3_column_blob(row, 1);
	size_t sums_len = (size_t)sqlite3_column_bytes(row, 1);
	const unsigned char *data = sqlite3_column_blob(row, 2);
	size_t len = (size_t)sqlite3_column_bytes(row, 2);
	bool none = sqlite3_column_type(row, 1) == SQLITE_NULL;
	int r = 0;
	for (uint64_t i = 0; r == 0 && i * STORE_BLOCK_SIZE < len && first + i < BLOCKS_MAX; i++) {
		size_t left = len - i * STORE_BLOCK_SIZE;
		r = put_piece(f, put, first + i, data + i * STORE_BLOCK_SIZE,
			left < STORE_BLOCK_SIZE ? left : STORE_BLOCK_SIZE,
			sums && sums_len >= 8 * (i + 1) ? sums + 8 * i : NULL, none);
	}
	return r;
}

static int take_apart(struct parts *f)
{
	struct repair *m = f->m;
	int r = repair_run(m, "DELETE FROM piece; DELETE FROM old_hole; DELETE FROM new_hole");
	if (r < 0)
		return r;
	CLEANUP(repair_done)
	sqlite3_stmt *rows = repair_query(m,
		"SELECT key, iif(length(sums) > 128, substr(sums, 1, 128), sums), iif(length(data)"
		" > 65536, substr(data, 1, 65536), data) FROM block WHERE key BETWEEN ?1 AND ?2");
	CLEANUP(repair_done)
	sqlite3_stmt *put = repair_query(m,
		"INSERT INTO piece VALUES(?1, ?2, ?3, ?4) ON CONFLICT(block) DO UPDATE SET"
		" sum = excluded.sum, data = excluded.data, good = excluded.good"
		" WHERE excluded.good > good");
	if (!rows || !put)
		return repair_failed(m);
	sqlite3_bind_int64(rows, 1, first_key(f->ino));
	sqlite3_bind_int64(rows, 2, last_key(f->ino));
	int rc;
	while ((rc = sqlite3_step(rows)) == SQLITE_ROW)
		if ((r = take_row(f, rows, put)) < 0)
			return r;
	if (rc != SQLITE_DONE)
		return repair_failed(m);
	return repair_run(m,
		"INSERT INTO old_hole SELECT key & 1073741823, min(count, 1073741824 - (key &"
		" 1073741823)), reserved <> 0 FROM hole WHERE count > 0 AND key BETWEEN %lld AND"
		" %lld",
		(long long)first_key(f->ino), (long long)last_key(f->ino));
}

/* -- the size -----------------------------------------------------------------------------------
 */

/* Nothing is left of what is between `end` and `size`. Was there anything? */
static int64_t without_lost_end(const struct parts *f, int64_t size, int64_t end, int64_t stored)
{
	int64_t lost = f->counted > stored ? f->counted - stored : 0;
	int64_t from = (int64_t)sq_blocks_of((uint64_t)end);
	int64_t tail = (int64_t)sq_blocks_of((uint64_t)size) - from;
	if (tail <= 0)
		return size;
	if (f->counted == stored)
		return end;
	/* No more than was counted can have been there. */
	lost = lost < (int64_t)POISON_MAX ? lost : (int64_t)POISON_MAX;
	return tail > (int64_t)POISON_MAX ? (from + lost) * STORE_BLOCK_SIZE : size;
}

static int choose_size(struct parts *f)
{
	int64_t data_end, sound_end, stored, hole_end;
	int r = repair_ask(f->m,
		"SELECT block * 4096 + length(data) FROM piece ORDER BY block DESC LIMIT 1", 0,
		&data_end);
	if (r == 0)
		r = repair_ask(f->m,
			"SELECT block * 4096 + length(data) FROM piece WHERE good > 0"
			" ORDER BY block DESC LIMIT 1",
			0, &sound_end);
	if (r == 0)
		r = repair_ask(f->m, "SELECT count(*) FROM piece", 0, &stored);
	if (r == 0)
		r = repair_ask(
			f->m, "SELECT max(first + count) * 4096 FROM old_hole", 0, &hole_end);
	if (r < 0)
		return r;
	int64_t end = data_end > hole_end ? data_end : hole_end, size = f->size;
	bool known = size >= 0 && (uint64_t)size <= STORE_FILE_MAX, all = stored == f->counted;
	if (!known)
		size = end;
	else if (sound_end > size && all)
		size = sound_end;
	else if (!f->deleted)
		size = without_lost_end(f, size, end, stored);
	if (size != f->size)
		repair_tell(f->m, f->ino, "its size was %lld, and is %lld now, where its data ends",
			(long long)f->size, (long long)size);
	f->size = size;
	f->eof = sq_blocks_of((uint64_t)size);
	/* A count of more than there can be says nothing of what is lost. */
	bool may_be = f->counted > stored && (uint64_t)f->counted <= f->eof;
	f->lost = may_be ? (uint64_t)(f->counted - stored) : 0;
	return 0;
}

/* Nothing is stored past the end. */
static int cut_at_end(struct parts *f)
{
	struct repair *m = f->m;
	int64_t strays = 0, tail = f->size % STORE_BLOCK_SIZE;
	char sql[160];
	sqlite3_snprintf(sizeof sql, sql, "SELECT count(*) FROM piece WHERE block >= %lld",
		(long long)f->eof);
	int r = repair_ask(m, sql, 0, &strays);
	if (r == 0 && strays) {
		repair_tell(m, f->ino,
			strays == 1 ? "%lld block past its end is dropped"
				    : "%lld blocks past its end are dropped",
			(long long)strays);
		r = repair_run(m, "DELETE FROM piece WHERE block >= %lld", (long long)f->eof);
	}
	if (r < 0 || tail == 0)
		return r;
	sqlite3_snprintf(sizeof sql, sql,
		"SELECT block, data, good FROM piece WHERE block = %lld AND length(data) > %lld",
		(long long)f->eof - 1, (long long)tail);
	CLEANUP(repair_done) sqlite3_stmt *last = repair_query(m, sql);
	CLEANUP(repair_done)
	sqlite3_stmt *put = repair_query(m, "INSERT OR REPLACE INTO piece VALUES(?1, ?2, ?3, ?4)");
	if (!last || !put)
		return repair_failed(m);
	if (sqlite3_step(last) != SQLITE_ROW)
		return 0;
	unsigned char data[STORE_BLOCK_SIZE], sum[8];
	int good = sqlite3_column_int(last, 2);
	memcpy(data, sqlite3_column_blob(last, 1), (size_t)tail);
	sqlite3_reset(last);
	sq_sum_put(sum, sq_sum((uint64_t)f->ino, f->eof - 1, data, (size_t)tail));
	repair_tell(m, f->ino, "what is stored past its end is dropped");
	return put_piece(f, put, f->eof - 1, data, (size_t)tail, good == SOUND ? sum : NULL,
		good == UNSUMMED);
}

/* -- what is in no piece ------------------------------------------------------------------------
 */

struct filling {
	struct parts *f;
	sqlite3_stmt *hole; /* old holes, in order */
	bool at_hole;
	uint64_t first, end; /* of that one */
	int64_t reserved;
	sqlite3_stmt *put_hole;
	sqlite3_stmt *put_piece;
};

static int next_hole(struct filling *g)
{
	int rc = sqlite3_step(g->hole);
	g->at_hole = rc == SQLITE_ROW;
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : repair_failed(g->f->m);
	g->first = (uint64_t)sqlite3_column_int64(g->hole, 0);
	g->end = g->first + (uint64_t)sqlite3_column_int64(g->hole, 1);
	g->reserved = sqlite3_column_int64(g->hole, 2);
	return 0;
}

/* Blocks [from, to) are lost: they are stored as what nobody can take for data. */
static int poison(struct filling *g, uint64_t from, uint64_t to)
{
	static const unsigned char nothing[1];
	struct parts *f = g->f;
	int r = 0;
	if (f->deleted || from >= to)
		return 0;
	if (to - from > POISON_MAX - f->poisoned)
		return 0; /* too many: the check goes on telling of them */
	f->poisoned += to - from;
	for (uint64_t b = from; r == 0 && b < to; b++)
		r = put_piece(f, g->put_piece, b, nothing, sizeof nothing, NULL, false);
	return r;
}

/* No piece has [from, to): as far as they were holes they are again, and the others are lost. */
static int fill(struct filling *g, uint64_t from, uint64_t to)
{
	int r = 0;
	while (r == 0 && from < to) {
		while (r == 0 && g->at_hole && g->end <= from)
			r = next_hole(g);
		if (r < 0)
			return r;
		uint64_t first = !g->at_hole || g->first > to ? to : g->first;
		if (first > from) {
			r = poison(g, from, first);
			from = first;
			continue;
		}
		uint64_t end = g->end < to ? g->end : to;
		sqlite3_bind_int64(g->put_hole, 1, (int64_t)from);
		sqlite3_bind_int64(g->put_hole, 2, (int64_t)(end - from));
		sqlite3_bind_int64(g->put_hole, 3, g->reserved);
		r = repair_step(g->f->m, g->put_hole);
		from = end;
	}
	return r;
}

/* The pieces that poison() adds are in another table, for this one is being read. */
static int fill_gaps(struct parts *f)
{
	struct repair *m = f->m;
	CLEANUP(repair_done)
	sqlite3_stmt *pieces = repair_query(m, "SELECT block FROM piece ORDER BY block");
	CLEANUP(repair_done)
	sqlite3_stmt *holes = repair_query(m,
		"SELECT first, min(count, coalesce(lead(first) OVER (ORDER BY first), 1073741824)"
		" - first), reserved FROM old_hole ORDER BY first");
	CLEANUP(repair_done)
	sqlite3_stmt *put_hole = repair_query(m, "INSERT INTO new_hole VALUES(?1, ?2, ?3)");
	CLEANUP(repair_done)
	sqlite3_stmt *put = repair_query(m, "INSERT INTO lost_piece VALUES(?1, ?2, ?3, ?4)");
	if (!pieces || !holes || !put_hole || !put)
		return repair_failed(m);
	struct filling g = {.f = f, .hole = holes, .put_hole = put_hole, .put_piece = put};
	uint64_t at = 0;
	int rc = SQLITE_OK, r = next_hole(&g);
	while (r == 0 && (rc = sqlite3_step(pieces)) == SQLITE_ROW) {
		uint64_t block = (uint64_t)sqlite3_column_int64(pieces, 0);
		r = fill(&g, at, block);
		at = block + 1;
	}
	if (r == 0 && rc != SQLITE_DONE)
		return repair_failed(m);
	return r < 0 ? r : fill(&g, at, f->eof);
}

static int put_together(struct parts *f)
{
	long long from = first_key(f->ino), to = last_key(f->ino);
	return repair_run(f->m,
		"INSERT INTO piece SELECT * FROM lost_piece; DELETE FROM lost_piece;"
		"DELETE FROM block WHERE key BETWEEN %lld AND %lld;"
		"DELETE FROM hole WHERE key BETWEEN %lld AND %lld;"
		"INSERT INTO block SELECT %lld + block, sum, data FROM piece ORDER BY block;"
		"INSERT INTO hole SELECT %lld + first, count, reserved FROM new_hole;"
		"UPDATE inode SET size = %lld, blocks = (SELECT count(*) FROM piece), reserved ="
		" (SELECT coalesce(sum(count * reserved), 0) FROM new_hole) WHERE ino = %lld",
		from, to, from, to, from, from, (long long)f->size, (long long)f->ino);
}

/*
 * Where data is lost, a hole that reaches over data, or past the end, must not make zeros of it.
 * But if what is in no row and in no hole is as much as is lost, all of it is there, and the holes
 * are only too long.
 */
static int fill_with_care(struct parts *f)
{
	int r = fill_gaps(f);
	if (r < 0 || f->lost == 0 || f->lost == f->poisoned)
		return r;
	f->poisoned = 0;
	r = repair_run(f->m,
		"DELETE FROM new_hole; DELETE FROM lost_piece;"
		"DELETE FROM old_hole WHERE first + count > %lld OR EXISTS (SELECT 1 FROM piece"
		" WHERE block BETWEEN first AND first + count - 1)",
		(long long)f->eof);
	return r < 0 ? r : fill_gaps(f);
}

/* -- files ------------------------------------------------------------------------------------- */

static int mend_file(struct parts *f)
{
	int r = take_apart(f);
	if (r == 0)
		r = choose_size(f);
	if (r == 0)
		r = cut_at_end(f);
	if (r == 0)
		r = fill_with_care(f);
	if (r == 0)
		r = put_together(f);
	if (r == 0 && f->poisoned)
		repair_tell(f->m, f->ino,
			f->poisoned == 1 ? "%llu block of it is lost: reading it is an error until"
					   " it is written"
					 : "%llu blocks of it are lost: reading them is an error"
					   " until they are written",
			(unsigned long long)f->poisoned);
	if (r == 0)
		repair_tell(f->m, f->ino, "its rows of data, and their count, are set right");
	return r;
}

static int drop_data(struct repair *m, int64_t ino)
{
	long long from = first_key(ino), to = last_key(ino);
	repair_tell(m, ino, "its data is dropped: it is no regular file");
	return repair_run(m,
		"DELETE FROM block WHERE key BETWEEN %lld AND %lld;"
		"DELETE FROM hole WHERE key BETWEEN %lld AND %lld",
		from, to, from, to);
}

static int mend_one(struct repair *m, int64_t ino, sqlite3_stmt *get)
{
	struct parts f = {.m = m, .ino = ino};
	sqlite3_bind_int64(get, 1, ino);
	int rc = sqlite3_step(get);
	bool regular = rc == SQLITE_ROW && S_ISREG((mode_t)sqlite3_column_int64(get, 0));
	f.deleted = sqlite3_column_int64(get, 1) == 0;
	f.size = sqlite3_column_int64(get, 2);
	f.counted = sqlite3_column_int64(get, 3);
	sqlite3_reset(get);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return repair_failed(m);
	return regular ? mend_file(&f) : drop_data(m, ino);
}

/* What check_data() tells of. */
struct found {
	struct repair *m;
	sqlite3_stmt *put;
	int result;
};

static void note_file(void *arg, const struct sqlite_check_fault *fault)
{
	struct found *found = arg;
	if (found->result < 0 || strcmp(fault->what, CHECK_MISMATCH) == 0)
		return;
	sqlite3_bind_int64(found->put, 1, (int64_t)fault->ino);
	found->result = repair_step(found->m, found->put);
}

static bool go_on(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct check *k = &((struct found *)arg)->m->check;
	return !k->handler->progress || k->handler->progress(k->handler->arg, step, done, total);
}

static int find_files(struct repair *m)
{
	struct found found = {.m = m};
	struct sqlite_check_handler handler = {
		.fault = note_file, .progress = go_on, .arg = &found};
	struct check k = {.conn = m->check.conn,
		.handler = &handler,
		.step = m->check.step,
		.no_places = true}; /* paths are of no use here */
	found.put = repair_query(m, "INSERT OR IGNORE INTO bad_file VALUES(?1)");
	int r = found.put ? check_data(&k) : repair_failed(m);
	sqlite3_finalize(found.put);
	return r < 0 ? r : found.result;
}

int repair_data(struct repair *m)
{
	int r = repair_run(m,
		"CREATE TEMP TABLE bad_file(ino INTEGER PRIMARY KEY);"
		"CREATE TEMP TABLE piece(block INTEGER PRIMARY KEY, sum, data, good);"
		"CREATE TEMP TABLE lost_piece(block INTEGER PRIMARY KEY, sum, data, good);"
		"CREATE TEMP TABLE old_hole(first INTEGER PRIMARY KEY, count, reserved);"
		"CREATE TEMP TABLE new_hole(first INTEGER PRIMARY KEY, count, reserved)");
	if (r == 0)
		r = find_files(m);
	if (r == 0) /* of these, check_data() does not speak */
		r = repair_run(m, "INSERT OR IGNORE INTO bad_file SELECT ino FROM inode"
				  " WHERE mode & 61440 = 32768 AND size NOT BETWEEN 0 AND 1 << 42");
	if (r < 0)
		return r;
	CLEANUP(repair_done) sqlite3_stmt *files = repair_query(m, "SELECT ino FROM bad_file");
	CLEANUP(repair_done)
	sqlite3_stmt *get =
		repair_query(m, "SELECT mode, nlink, size, blocks FROM inode WHERE ino = ?1");
	int rc = SQLITE_ERROR;
	while (r == 0 && files && get && (rc = sqlite3_step(files)) == SQLITE_ROW)
		r = mend_one(m, sqlite3_column_int64(files, 0), get);
	return r == 0 && rc != SQLITE_DONE ? repair_failed(m) : r;
}
