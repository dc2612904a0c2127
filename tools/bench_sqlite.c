/*
 * Databases. The same work on SQLite alone: the rows that a store writes, in its transactions, in
 * the process itself. WAL that has reached its size; a checkpoint as soon as it is past its limit
 * counts as part of the operation that it follows. And a guest: a database that lives on a side as
 * a file.
 */
#include "bench.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#define WAL_REACHED (20u << 20)
#define MIB_BLOCKS (MIB / BLOCK)
#define READ_BLOCKS 32u /* of a sequential read */
#define GUEST_PAGE 4096u
#define GUEST_WAL (4u << 20) /* as SQLite has it when nobody says otherwise */

enum { WARM_INO = 2, DIR_INO, FILE_INO, GUEST_INO, NEW_INO = 100 };

static void write_mib(struct worker *w, uint64_t ino, uint64_t at, unsigned blocks)
{
	struct db *db = w->run->db;

	db_run(db, BEGIN);
	for (uint64_t i = 0; i < MIB_BLOCKS; i += blocks)
		db_put_row(db, PUT_ROW, db_row_key(ino, at * MIB_BLOCKS + i), fresh_bytes(w),
			fresh_bytes(w), blocks * BLOCK);
	db_put_inode(db, TOUCH_INODE, ino, (at + 1) * MIB);
	db_run(db, COMMIT);
	db_checkpoint_past(db, WAL_LIMIT);
}

void sql_open(struct run *r)
{
	db_connect(r->db);
	db_set_durable(r->db, r->work->durable);
}

void sql_close(struct run *r)
{
	if (r->db != NULL && r->db->sql != NULL)
		db_disconnect(r->db);
}

static void make_database(struct run *r)
{
	r->db = calloc(1, sizeof(*r->db));
	if (r->db == NULL)
		errx(1, "no memory");
	r->layout = (struct layout){
		r->name, r->side == SQLITE ? r->yard->page : GUEST_PAGE, VACUUM_INCREMENTAL};
	r->db->layout = &r->layout;
	snprintf(r->db->path, sizeof(r->db->path), "%s/store.db", r->dir);
	db_connect(r->db);
	for (uint64_t ino = WARM_INO; ino < NEW_INO; ino++)
		db_put_inode(r->db, NEW_INODE, ino, 0);
}

static void setup_database(struct run *r)
{
	struct worker w = {.run = r, .random = 4711};

	make_database(r);
	for (uint64_t at = 0; at < WAL_REACHED / MIB; at++)
		write_mib(&w, WARM_INO, at, RUN);
	db_set_durable(r->db, r->work->durable);
}

static void setup_overwrite(struct run *r)
{
	struct worker w = {.run = r, .random = 4711};

	setup_database(r);
	db_set_durable(r->db, false);
	for (uint64_t at = 0; at < r->scale->file_size / MIB; at++)
		write_mib(&w, FILE_INO, at, 1);
	db_checkpoint_past(r->db, 0);
	db_set_durable(r->db, r->work->durable);
}

static void op_overwrite(struct worker *w, unsigned i)
{
	struct db *db = w->run->db;
	size_t size = w->run->scale->file_size;

	(void)i;
	db_run(db, BEGIN);
	for (unsigned n = 0; n < w->run->yard->batch; n++) {
		db_put_row(db, PUT_ROW, db_row_key(FILE_INO, pick(w, size / BLOCK)), fresh_bytes(w),
			fresh_bytes(w), BLOCK);
		db_put_inode(db, TOUCH_INODE, FILE_INO, size);
	}
	db_run(db, COMMIT);
	db_checkpoint_past(db, WAL_LIMIT);
}

static void op_sequential(struct worker *w, unsigned i)
{
	write_mib(w, FILE_INO, i, RUN);
}

static void op_append(struct worker *w, unsigned i)
{
	struct db *db = w->run->db;
	uint64_t at = i * (uint64_t)LOG_RECORD;

	db_run(db, BEGIN);
	db_put_row(db, PUT_ROW, db_row_key(FILE_INO, at / BLOCK), fresh_bytes(w), fresh_bytes(w),
		at % BLOCK + LOG_RECORD);
	db_put_inode(db, TOUCH_INODE, FILE_INO, at + LOG_RECORD);
	db_run(db, COMMIT);
	db_checkpoint_past(db, WAL_LIMIT);
}

static void setup_cold(struct run *r)
{
	struct worker w = {.run = r, .random = 4711};

	make_database(r);
	for (uint64_t at = 0; at < r->scale->cold_size / MIB; at++)
		write_mib(&w, FILE_INO, at, RUN);
}

static void op_cold_sequential(struct worker *w, unsigned i)
{
	uint64_t first = (uint64_t)i * READ_BLOCKS % (w->run->scale->cold_size / BLOCK);
	size_t got = db_get_range(w->run->db, db_row_key(FILE_INO, first),
		db_row_key(FILE_INO, first + READ_BLOCKS - 1), w->buf);

	if (got != READ_BLOCKS * BLOCK)
		errx(1, "%s: not as written", w->run->db->path);
}

static void op_create(struct worker *w, unsigned i)
{
	struct db *db = w->run->db;
	uint64_t ino = NEW_INO + w->run->rep * (uint64_t)w->run->ops + i;
	char name[32];
	int len =
		snprintf(name, sizeof(name), "record-%06u.json", (unsigned)(ino * 7919 % 1000000));

	db_run(db, BEGIN);
	db_put_inode(db, NEW_INODE, ino, SMALL_FILE);
	db_put_dentry(db, ino, name, (size_t)len);
	db_put_row(db, PUT_ROW, db_row_key(ino, 0), fresh_bytes(w), fresh_bytes(w), SMALL_FILE);
	db_put_inode(db, TOUCH_INODE, DIR_INO, i);
	db_run(db, COMMIT);
	db_checkpoint_past(db, WAL_LIMIT);
}

static void op_guest(struct worker *w, unsigned i)
{
	struct db *db = w->run->db;

	db_run(db, BEGIN);
	db_put_row(db, PUT_ROW, db_row_key(GUEST_INO, (uint64_t)w->run->rep << 20 | i),
		fresh_bytes(w), fresh_bytes(w), LOG_RECORD);
	db_run(db, COMMIT);
	db_checkpoint_past(db, GUEST_WAL);
}

/* Its log has reached its size, too. */
static void setup_guest(struct run *r)
{
	struct worker w = {.run = r, .random = 4711};

	make_database(r);
	for (uint64_t at = 0; at <= GUEST_WAL / MIB; at++)
		write_mib(&w, WARM_INO, at, RUN);
	db_checkpoint_past(r->db, GUEST_WAL);
	db_set_durable(r->db, true);
}

const struct load sql_overwrite = {setup_overwrite, NULL, op_overwrite, AT_ONCE};
const struct load sql_sequential = {setup_database, NULL, op_sequential, FRESH};
const struct load sql_create = {setup_database, NULL, op_create, AT_ONCE};
const struct load sql_cold_sequential = {setup_cold, NULL, op_cold_sequential, COLD};
const struct load sql_overwrite_settled = {setup_overwrite, NULL, op_overwrite, SETTLED};
const struct load sql_append_settled = {make_database, NULL, op_append, SETTLED};
const struct load sql_sequential_settled = {make_database, NULL, op_sequential, SETTLED};
const struct load guest_commits = {setup_guest, NULL, op_guest, AT_ONCE};
