/*
 * Telling others what is changed here: the rows of table changelog that a change writes.
 *
 * They are written with the change, so they go with it when it fails, and only while there are
 * peers: who is alone has nobody to tell. What an SQL client changes is logged by triggers in
 * the file, always; those do not run in our connections.
 *
 *	kind	a row says
 *	1	attributes of inode `ino` changed
 *	2	its blocks [first, last] changed (last NULL: to the end), and its attributes
 *	3	entry `name` of directory `ino` came, went, or is another inode now
 *	4	inode `ino` lost its last name; its attributes changed with that
 *	5	mount `mount` was entered: while it is alone, it changes things without a word
 *
 * Ids grow by one from row to row, in the order of commits, so a reader knows that it has missed
 * some: old rows go (KEEP), the newest one never.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <string.h>

/* Rows that stay, and how often that is seen to. */
#define KEEP 65536
#define TRIM_EACH 1024
/* Rows that stay when there is no space. */
#define KEEP_TIGHT 256

#define BLOCKS_MAX ((uint64_t)1 << SQ_BLOCK_BITS)

/* Takes the id of the row that was just inserted. */
static int trim(struct sqlite_store *s)
{
	int64_t id = sqlite3_last_insert_rowid(s->writer->db);
	if (id % TRIM_EACH != 0 || id <= KEEP)
		return 0;
	return sq_exec(sq_query(s->writer, SQ_LOG_TRIM, "i", id - KEEP));
}

static int log_row(struct sqlite_store *s, sqlite3_stmt *row)
{
	int r = sq_exec(row);
	return r < 0 ? r : trim(s);
}

static int log_attr(struct sqlite_store *s, uint64_t ino)
{
	return log_row(
		s, sq_query(s->writer, SQ_LOG_NEW, "iiunnn", s->mount, (int64_t)SQ_LOG_ATTR, ino));
}

/* Blocks from that of byte `offset` on. */
static int log_from(struct sqlite_store *s, uint64_t ino, uint64_t offset)
{
	uint64_t first = offset / STORE_BLOCK_SIZE;
	if (first >= BLOCKS_MAX)
		return log_attr(s, ino);
	return log_row(s, sq_query(s->writer, SQ_LOG_NEW, "iiuunn", s->mount, (int64_t)SQ_LOG_DATA,
				  ino, first));
}

/* Blocks that [offset, offset + len) touches, len > 0. */
static int log_bytes(struct sqlite_store *s, uint64_t ino, uint64_t offset, uint64_t len)
{
	uint64_t first = offset / STORE_BLOCK_SIZE;
	if (len > STORE_FILE_MAX || offset > STORE_FILE_MAX - len)
		return log_from(s, ino, offset);
	uint64_t last = (offset + len - 1) / STORE_BLOCK_SIZE;
	return log_row(s, sq_query(s->writer, SQ_LOG_NEW, "iiuuun", s->mount, (int64_t)SQ_LOG_DATA,
				  ino, first, last));
}

static int log_name(struct sqlite_store *s, uint64_t dir, const struct change_name *name)
{
	return log_row(s, sq_query(s->writer, SQ_LOG_NEW, "iiunns", s->mount, (int64_t)SQ_LOG_NAME,
				  dir, (const void *)name->bytes, name->len));
}

/* Who may use the inode has to answer for this row before it is deleted: sqlite_mount.c. */
static int log_gone(struct sqlite_store *s, uint64_t ino)
{
	struct sq_conn *c = s->writer;
	int r = sq_exec(sq_query(c, SQ_LOG_NEW, "iiunnn", s->mount, (int64_t)SQ_LOG_GONE, ino));
	int64_t id = sqlite3_last_insert_rowid(c->db);
	if (r == 0)
		r = trim(s);
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_ORPHAN_CHANGE, "uii", ino, s->mount, id));
	if (r == 0 && sqlite3_changes(c->db) != 1)
		r = -EIO;
	return r;
}

/* Attributes of all that a change of names touched, but `from` of them. */
static int log_touched(struct sqlite_store *s, const struct change *ch, unsigned from)
{
	int r = 0;
	for (unsigned i = from; r == 0 && i < ch->n_touched; i++) {
		const struct store_attr *a = &ch->touched[i];
		r = a->nlink == 0 ? log_gone(s, a->ino) : log_attr(s, a->ino);
	}
	return r;
}

/* A new inode is known to nobody, so there is nothing to say of it but its name. */
static int log_create(struct sqlite_store *s, const struct change *ch)
{
	const struct change_create *a = &ch->create;
	if (!a->name.bytes)
		return log_attr(s, ch->touched[0].ino); /* for who counts inodes */
	int r = log_name(s, a->parent, &a->name);
	return r < 0 ? r : log_touched(s, ch, 1);
}

static int log_rename(struct sqlite_store *s, const struct change *ch)
{
	const struct change_rename *a = &ch->rename;
	if (ch->n_touched <= 1)
		return 0; /* two names of one inode: nothing was done */
	int r = log_name(s, a->parent, &a->name);
	if (r == 0)
		r = log_name(s, a->new_parent, &a->new_name);
	return r < 0 ? r : log_touched(s, ch, 0);
}

static int log_xattr(struct sqlite_store *s, uint64_t ino, const struct change_name *name)
{
	/* The TTL of what is cached of it changes with this one. */
	if (name->len == strlen(SQ_TTL_NAME) && memcmp(name->bytes, SQ_TTL_NAME, name->len) == 0)
		return log_from(s, ino, 0);
	return log_attr(s, ino);
}

static int log_any(struct sqlite_store *s, const struct change *ch)
{
	int r;
	switch (ch->kind) {
	case CHANGE_WRITE:
		return log_bytes(s, ch->write.ino, ch->write.offset, ch->write.len);
	case CHANGE_ALLOCATE:
		return log_bytes(s, ch->allocate.ino, ch->allocate.offset, ch->allocate.len);
	case CHANGE_COPY:
		if (ch->copy.copied == 0)
			return 0;
		return log_bytes(s, ch->copy.to, ch->copy.to_offset, ch->copy.copied);
	case CHANGE_SETATTR:
		if (ch->setattr.mask & STORE_SET_SIZE)
			return log_from(s, ch->setattr.ino, ch->setattr.size);
		return log_attr(s, ch->setattr.ino);
	case CHANGE_CREATE:
		return log_create(s, ch);
	case CHANGE_LINK:
		r = log_name(s, ch->link.parent, &ch->link.name);
		return r < 0 ? r : log_touched(s, ch, 0);
	case CHANGE_UNLINK:
		r = log_name(s, ch->unlink.parent, &ch->unlink.name);
		return r < 0 ? r : log_touched(s, ch, 0);
	case CHANGE_RENAME:
		return log_rename(s, ch);
	case CHANGE_SETXATTR:
		return log_xattr(s, ch->setxattr.ino, &ch->setxattr.name);
	case CHANGE_REMOVEXATTR:
		return log_xattr(s, ch->removexattr.ino, &ch->removexattr.name);
	case CHANGE_REAP:
		if (ch->n_touched == 0 || ch->reap.more)
			return 0;
		return log_attr(s, ch->reap.ino); /* nobody uses it, but may have it cached */
	}
	return 0;
}

int sq_log_change(struct sqlite_store *s, const struct change *ch)
{
	return s->peers.any ? log_any(s, ch) : 0;
}

int sq_log_shrink(struct sqlite_store *s)
{
	int r = sq_exec(sq_query(s->writer, SQ_LOG_SHRINK, "i", (int64_t)KEEP_TIGHT));
	if (r == 0 && sqlite3_changes(s->writer->db) < KEEP_TIGHT)
		r = -ENOSPC;
	return r;
}
