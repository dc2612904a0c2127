/* Rows of table inode. */

#include "sqlite_internal.h"

#include <errno.h>
#include <sys/stat.h>

/* A column of at most 32 bits: a greater value must not become another one. */
static uint32_t column_u32(sqlite3_stmt *st, int column, int *r)
{
	uint64_t v = sq_column_u64(st, column, r);
	if (v > UINT32_MAX)
		*r = -EIO;
	return (uint32_t)v;
}

int sq_inode_columns(sqlite3_stmt *st, int column, struct sq_inode *ret)
{
	int r = 0;
	struct store_attr *a = &ret->attr;
	a->mode = column_u32(st, column++, &r);
	a->uid = column_u32(st, column++, &r);
	a->gid = column_u32(st, column++, &r);
	a->nlink = column_u32(st, column++, &r);
	a->size = sq_column_u64(st, column++, &r);
	ret->stored = sq_column_u64(st, column++, &r);
	ret->reserved = sq_column_u64(st, column++, &r);
	a->rdev = column_u32(st, column++, &r);
	a->atime = sqlite3_column_int64(st, column++);
	a->mtime = sqlite3_column_int64(st, column++);
	a->ctime = sqlite3_column_int64(st, column++);
	a->btime = sqlite3_column_int64(st, column++);
	a->version = sq_column_u64(st, column++, &r);
	ret->parent = sq_column_u64(st, column++, &r);
	a->ttl = sqlite3_column_type(st, column) == SQLITE_NULL ? STORE_TTL_DEFAULT
								: sqlite3_column_int64(st, column);
	column++;
	a->flags = column_u32(st, column, &r);
	a->blocks = ret->stored + ret->reserved;
	if (S_ISREG(a->mode) && a->size > STORE_FILE_MAX)
		r = -EIO;
	if (a->ttl < 0 && a->ttl != STORE_TTL_DEFAULT)
		r = -EIO;
	/* It only grows, and must stay a number that can be stored. */
	if (a->version > SQ_VERSION_MAX)
		r = -EIO;
	return r;
}

int sq_inode_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret)
{
	const struct sq_inode *held = sq_batch_inode(c, ino);
	if (held) {
		*ret = *held;
		return 0;
	}
	sqlite3_stmt *st = sq_query(c, SQ_INODE_GET, "u", ino);
	int r = sq_step(st);
	if (r <= 0)
		return r < 0 ? r : -ESTALE;
	struct sq_inode i = {.attr.ino = ino};
	r = sq_inode_columns(st, 0, &i);
	sq_done(st);
	if (r == 0)
		*ret = i;
	return r;
}

int sq_file_load(struct sq_conn *c, uint64_t ino, struct sq_inode *ret)
{
	struct sq_inode i;
	int r = sq_inode_load(c, ino, &i);
	if (r < 0)
		return r;
	if (S_ISDIR(i.attr.mode))
		return -EISDIR;
	if (!S_ISREG(i.attr.mode))
		return -EINVAL;
	*ret = i;
	return 0;
}

int sq_inode_save(struct sq_conn *c, struct sq_inode *i)
{
	struct store_attr *a = &i->attr;
	if (a->version >= SQ_VERSION_MAX)
		return -EIO;
	a->version++;
	a->blocks = i->stored + i->reserved;
	sqlite3_stmt *st = sq_query(c, SQ_INODE_PUT, "uuuuuuuuiiiuunu", a->ino, (uint64_t)a->mode,
		(uint64_t)a->uid, (uint64_t)a->gid, (uint64_t)a->nlink, a->size, i->stored,
		i->reserved, a->atime, a->mtime, a->ctime, a->version, i->parent,
		(uint64_t)a->flags);
	if (st && a->ttl != STORE_TTL_DEFAULT && sqlite3_bind_int64(st, 14, a->ttl) != SQLITE_OK)
		return -ENOMEM;
	int r = sq_exec(st);
	if (r < 0)
		return r;
	return sqlite3_changes(c->db) == 1 ? 0 : -EIO;
}

int sq_inode_save_data(struct sq_conn *c, struct sq_inode *i)
{
	if (i->attr.version >= SQ_VERSION_MAX)
		return -EIO;
	i->attr.version++;
	i->attr.blocks = i->stored + i->reserved;
	return sq_batch_hold(c, i);
}

int sq_inode_put_data(struct sq_conn *c, const struct sq_inode *i)
{
	const struct store_attr *a = &i->attr;
	if (++c->batch.rows > SQ_SMALL_ROWS)
		c->batch.bounded = false;
	int r = sq_exec(sq_query(c, SQ_INODE_PUT_DATA, "uuuuuiiuu", a->ino, (uint64_t)a->mode,
		a->size, i->stored, i->reserved, a->mtime, a->ctime, a->version,
		(uint64_t)a->flags));
	if (r < 0)
		return r;
	return sqlite3_changes(c->db) == 1 ? 0 : -EIO;
}

int sq_inode_new(struct sq_conn *c, const struct sq_inode *i, const struct change_name *target)
{
	const struct store_attr *a = &i->attr;
	sqlite3_stmt *st = sq_query(c, SQ_INODE_NEW, "uuuuuuuuuiiiiuunun", a->ino,
		(uint64_t)a->mode, (uint64_t)a->uid, (uint64_t)a->gid, (uint64_t)a->nlink, a->size,
		i->stored, i->reserved, (uint64_t)a->rdev, a->atime, a->mtime, a->ctime, a->btime,
		a->version, i->parent, (uint64_t)a->flags);
	if (!st)
		return -EIO;
	int rc = SQLITE_OK;
	if (a->ttl != STORE_TTL_DEFAULT)
		rc = sqlite3_bind_int64(st, 16, a->ttl);
	if (rc == SQLITE_OK && S_ISLNK(a->mode))
		rc = sqlite3_bind_blob64(st, 18, target->bytes, target->len, SQLITE_STATIC);
	if (rc != SQLITE_OK)
		return sq_errno(rc);
	return sq_exec(st);
}

void sq_touched(struct change *ch, const struct sq_inode *i)
{
	unsigned n = 0;
	while (n < ch->n_touched && ch->touched[n].ino != i->attr.ino)
		n++;
	if (n == CHANGE_TOUCHED_MAX)
		return;
	ch->touched[n] = i->attr;
	if (n == ch->n_touched)
		ch->n_touched++;
}

uint32_t sq_killed_mode(const struct change_caller *caller, uint32_t mode)
{
	mode &= ~(uint32_t)S_ISUID;
	/* Without S_IXGRP it meant mandatory locking once: that is for the group to say. */
	if (mode & S_IXGRP || caller->kill_sgid)
		mode &= ~(uint32_t)S_ISGID;
	return mode;
}
