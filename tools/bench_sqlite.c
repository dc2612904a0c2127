/*
 * The same work on SQLite alone: the rows that a store writes, in its transactions, in the process
 * itself. WAL that has reached its size; a checkpoint as soon as it is past its limit counts as
 * part of the operation that it follows.
 */
#include "bench.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#define WAL_REACHED (20u << 20)
#define MIB_BLOCKS (MIB / BLOCK)

enum { WARM_INO = 2, DIR_INO, FILE_INO, NEW_INO = 100 };

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

static void setup_database(struct run *r)
{
	struct worker w = {.run = r, .random = 4711};

	r->db = calloc(1, sizeof(*r->db));
	if (r->db == NULL)
		errx(1, "no memory");
	r->layout = (struct layout){r->name, r->yard->page, VACUUM_INCREMENTAL};
	r->db->layout = &r->layout;
	snprintf(r->db->path, sizeof(r->db->path), "%s/store.db", r->dir);
	db_connect(r->db);
	for (uint64_t ino = WARM_INO; ino < NEW_INO; ino++)
		db_put_inode(r->db, NEW_INODE, ino, 0);
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
	write_mib(w, FILE_INO + w->run->rep, i, RUN);
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

const struct load sql_overwrite = {setup_overwrite, NULL, op_overwrite, false};
const struct load sql_sequential = {setup_database, NULL, op_sequential, false};
const struct load sql_create = {setup_database, NULL, op_create, false};
