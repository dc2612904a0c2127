/*
 * What is done once for several changes of a transaction.
 *
 * Rows of inodes: writes of several pieces of a file alter its row again and again. In a batch
 * without savepoints the row is held back here and written once, before a change of another kind is
 * applied (which may read the table in its own ways) and before COMMIT.
 *
 * Handles for incremental blob I/O: opening one compiles a small program, moving it to another row
 * does not. They count as statements that write, so they are closed before SAVEPOINT and COMMIT.
 *
 * Nothing of it outlives the transaction.
 */

#include "sqlite_internal.h"

void sq_batch_begin(struct sq_conn *c, bool folds)
{
	c->batch.folds = folds;
	c->batch.bounded = true;
	c->batch.pages = c->batch.rows = 0;
}

void sq_batch_takes(struct sq_conn *c, unsigned pages)
{
	c->batch.pages += pages;
}

static int close_blob(sqlite3_blob **blob)
{
	int rc = sqlite3_blob_close(*blob);
	*blob = NULL;
	return sq_errno(rc);
}

int sq_batch_write(struct sq_conn *c)
{
	struct sq_batch *b = &c->batch;
	int r = 0;
	for (unsigned i = 0; r == 0 && i < b->n_held; i++)
		r = sq_inode_put_data(c, &b->held[i]);
	b->n_held = 0;
	return r;
}

int sq_batch_end(struct sq_conn *c)
{
	int r = sq_batch_write(c);
	int data = close_blob(&c->batch.data), sums = close_blob(&c->batch.sums);
	if (r == 0)
		r = data < 0 ? data : sums;
	return r;
}

void sq_batch_drop(struct sq_conn *c)
{
	c->batch.n_held = 0;
	c->batch.folds = c->batch.bounded = false;
	IGNORE(close_blob(&c->batch.data)); /* what was written is taken back */
	IGNORE(close_blob(&c->batch.sums));
}

int64_t sq_batch_changes(const struct sq_conn *c)
{
	return sqlite3_total_changes64(c->db) + (int64_t)c->batch.unseen;
}

static unsigned find(const struct sq_batch *b, uint64_t ino)
{
	unsigned i = 0;
	while (i < b->n_held && b->held[i].attr.ino != ino)
		i++;
	return i;
}

const struct sq_inode *sq_batch_inode(const struct sq_conn *c, uint64_t ino)
{
	unsigned i = find(&c->batch, ino);
	return i < c->batch.n_held ? &c->batch.held[i] : NULL;
}

int sq_batch_hold(struct sq_conn *c, const struct sq_inode *i)
{
	struct sq_batch *b = &c->batch;
	if (!b->folds)
		return sq_inode_put_data(c, i);
	unsigned at = find(b, i->attr.ino);
	int r = 0;
	if (at == SQ_HELD_MAX) {
		at = b->next++ % SQ_HELD_MAX;
		r = sq_inode_put_data(c, &b->held[at]);
	} else if (at == b->n_held) {
		b->n_held++;
	}
	b->held[at] = *i;
	b->unseen++;
	return r;
}

/* Where one reads or writes: some bytes of a column. */
struct place {
	sqlite3_blob **blob;
	const char *column;
	int64_t key;
	size_t len;
	size_t at;
};

static int seek(struct sq_conn *c, const struct place *p)
{
	if (*p->blob)
		return sqlite3_blob_reopen(*p->blob, p->key);
	return sqlite3_blob_open(c->db, "main", "block", p->column, p->key, 1, p->blob);
}

/* After a failure the handle is of no use any more. */
static int done(const struct place *p, int rc)
{
	if (rc != SQLITE_OK)
		IGNORE(close_blob(p->blob));
	return sq_errno(rc);
}

static int patch(struct sq_conn *c, const struct place *p, const void *bytes)
{
	int rc = seek(c, p);
	if (rc == SQLITE_OK) {
		c->batch.unseen++;
		rc = sqlite3_blob_write(*p->blob, bytes, (int)p->len, (int)p->at);
	}
	return done(p, rc);
}

static int fetch(struct sq_conn *c, const struct place *p, void *ret)
{
	int rc = seek(c, p);
	if (rc == SQLITE_OK)
		rc = sqlite3_blob_read(*p->blob, ret, (int)p->len, (int)p->at);
	return done(p, rc);
}

int sq_batch_patch_data(struct sq_conn *c, int64_t key, const void *bytes, size_t len, size_t at)
{
	return patch(c, &(struct place){&c->batch.data, "data", key, len, at}, bytes);
}

int sq_batch_patch_sums(struct sq_conn *c, int64_t key, const void *bytes, size_t len, size_t at)
{
	return patch(c, &(struct place){&c->batch.sums, "sums", key, len, at}, bytes);
}

int sq_batch_read_data(struct sq_conn *c, int64_t key, void *ret, size_t len, size_t at)
{
	return fetch(c, &(struct place){&c->batch.data, "data", key, len, at}, ret);
}

int sq_batch_read_sums(struct sq_conn *c, int64_t key, void *ret, size_t len, size_t at)
{
	return fetch(c, &(struct place){&c->batch.sums, "sums", key, len, at}, ret);
}
