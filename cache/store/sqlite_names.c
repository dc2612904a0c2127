/*
 * The changes of names: create, link, unlink, rename, and the end of orphans.
 *
 * What has to hold between the tables, and holds after each of these:
 *   - every dentry's parent is a directory with nlink > 0, its ino an inode with nlink > 0;
 *   - nlink of a directory is 2 + its subdirectories, and 0 once it is removed; of anything else,
 *     the number of its dentries;
 *   - an inode has nlink 0 exactly when it has a row in table orphan;
 *   - inode.parent of a directory is the parent of its one dentry (of a removed one: of the last).
 * A file in which that does not hold is damaged: -EIO.
 */

#include "sqlite_internal.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>

/* Rows of data that one CHANGE_REAP deletes. */
#define REAP_ROWS 1024

static bool is_dir(const struct sq_inode *i)
{
	return S_ISDIR(i->attr.mode);
}

/* A directory that names can be added to. */
static int load_live_dir(struct sq_conn *c, uint64_t ino, struct sq_inode *ret)
{
	int r = sq_dir_load(c, ino, ret);
	if (r == 0 && ret->attr.nlink == 0)
		r = -ENOENT;
	return r;
}

/* Loads the directory, in which `name` must not be. */
static int new_name(struct sq_conn *c, uint64_t parent, const struct change_name *name,
	struct sq_inode *ret_dir)
{
	struct sq_dentry d;
	int r = load_live_dir(c, parent, ret_dir);
	if (r < 0)
		return r;
	r = sq_dentry_find(c, parent, name, &d);
	return r == 1 ? -EEXIST : r;
}

/* The inode of a name that was found. */
static int load_named(struct sq_conn *c, const struct sq_dentry *d, struct sq_inode *ret)
{
	int r = sq_inode_load(c, d->ino, ret);
	if (r == -ESTALE)
		return -EIO;
	if (r == 0 && (ret->attr.nlink == 0 || (ret->attr.mode & S_IFMT) != d->type))
		return -EIO;
	return r;
}

/* Loads the directory, and the inode that `name` is in it. */
static int old_name(struct sq_conn *c, uint64_t parent, const struct change_name *name,
	struct sq_inode *ret_dir, struct sq_inode *ret)
{
	struct sq_dentry d;
	int r = sq_dir_load(c, parent, ret_dir);
	if (r < 0)
		return r;
	r = sq_dentry_find(c, parent, name, &d);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (d.ino == parent)
		return -EIO;
	return load_named(c, &d, ret);
}

/* Runs a statement that must alter exactly one row. */
static int exec_one(struct sq_conn *c, sqlite3_stmt *st)
{
	int r = sq_exec(st);
	if (r < 0)
		return r;
	return sqlite3_changes(c->db) == 1 ? 0 : -EIO;
}

/* Adds a name for `i` (SQ_DENTRY_NEW), or makes an existing one its (SQ_DENTRY_SET). */
static int dentry_put(struct sq_conn *c, enum sq_statement which, uint64_t parent,
	const struct change_name *name, const struct sq_inode *i)
{
	return exec_one(c, sq_query(c, which, "usuu", parent, (const void *)name->bytes, name->len,
				   i->attr.ino, (uint64_t)(i->attr.mode & S_IFMT)));
}

static int dentry_remove(struct sq_conn *c, uint64_t parent, const struct change_name *name)
{
	return exec_one(c,
		sq_query(c, SQ_DENTRY_DELETE, "us", parent, (const void *)name->bytes, name->len));
}

/* -ENOTEMPTY */
static int check_empty(struct sq_conn *c, const struct sq_inode *dir)
{
	sqlite3_stmt *st = sq_query(c, SQ_DENTRY_ANY, "u", dir->attr.ino);
	int r = sq_step(st);
	if (r == 1)
		sq_done(st);
	return r == 1 ? -ENOTEMPTY : r;
}

static int orphan_add(struct sqlite_store *s, const struct sq_inode *i)
{
	return sq_exec(
		sq_query(s->writer, SQ_ORPHAN_NEW, "uii", i->attr.ino, s->mount, (int64_t)0));
}

/* A directory gets, or loses, the ".." of a subdirectory. */
static int dir_gains(struct sq_inode *dir)
{
	if (dir->attr.nlink >= STORE_LINK_MAX)
		return -EMLINK;
	dir->attr.nlink++;
	return 0;
}

static int dir_loses(struct sq_inode *dir)
{
	if (dir->attr.nlink <= 2)
		return -EIO;
	dir->attr.nlink--;
	return 0;
}

/* `i` loses a name in `dir`, and becomes an orphan when that was the last one. */
static int drop_name(struct sqlite_store *s, struct sq_inode *dir, struct sq_inode *i)
{
	int r = 0;
	if (is_dir(i)) {
		r = dir_loses(dir);
		i->attr.nlink = 0;
	} else {
		i->attr.nlink--;
	}
	if (r == 0 && i->attr.nlink == 0)
		r = orphan_add(s, i);
	return r;
}

/* Saves an inode that the change alters, and enters it in the results. */
static int save(struct sq_conn *c, struct change *ch, struct sq_inode *i)
{
	i->attr.ctime = ch->now;
	int r = sq_inode_save(c, i);
	if (r == 0)
		sq_touched(ch, i);
	return r;
}

/* The same for a directory whose entries change. */
static int save_dir(struct sq_conn *c, struct change *ch, struct sq_inode *dir)
{
	dir->attr.mtime = ch->now;
	return save(c, ch, dir);
}

/* -- create -------------------------------------------------------------------------------- */

static int check_create(const struct change_create *a, const struct sq_inode *dir)
{
	switch (a->mode & S_IFMT) {
	case S_IFDIR:
		if (!a->name.bytes)
			return -EINVAL;
		return dir->attr.nlink >= STORE_LINK_MAX ? -EMLINK : 0;
	case S_IFLNK:
		return a->target.len > STORE_TARGET_MAX ? -ENAMETOOLONG : 0;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	default:
		return -EINVAL;
	}
}

static struct sq_inode newborn(const struct change *ch, const struct sq_inode *dir, uint64_t ino)
{
	const struct change_create *a = &ch->create;
	struct sq_inode i = {
		.attr =
			{
				.ino = ino,
				.version = 1,
				.atime = ch->now,
				.mtime = ch->now,
				.ctime = ch->now,
				.btime = ch->now,
				.ttl = STORE_TTL_DEFAULT,
				.mode = a->mode & (S_IFMT | ALLPERMS),
				.uid = ch->caller.uid,
				.gid = ch->caller.gid,
				.nlink = a->name.bytes ? 1 : 0,
			},
	};
	if (dir->attr.mode & S_ISGID) {
		i.attr.gid = dir->attr.gid;
		if (is_dir(&i))
			i.attr.mode |= S_ISGID;
	}
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		i.attr.rdev = a->rdev;
	if (S_ISLNK(a->mode))
		i.attr.size = a->target.len;
	if (is_dir(&i)) {
		i.attr.nlink = 2;
		i.parent = dir->attr.ino;
	}
	return i;
}

int sq_apply_create(struct sqlite_store *s, struct change *ch)
{
	const struct change_create *a = &ch->create;
	struct sq_conn *c = s->writer;
	struct sq_inode dir;
	int r = a->name.bytes ? new_name(c, a->parent, &a->name, &dir)
			      : load_live_dir(c, a->parent, &dir);
	if (r == 0)
		r = check_create(a, &dir);
	if (r < 0)
		return r;
	uint64_t ino = sq_take_ino(s);
	if (ino == 0 || ino > SQ_INO_MAX)
		return -ENOSPC;
	struct sq_inode i = newborn(ch, &dir, ino);
	r = sq_xattr_inherit(c, &dir, &i, &ch->caller);
	if (r == 0)
		r = sq_inode_new(c, &i, &a->target);
	if (r < 0)
		return r;
	sq_touched(ch, &i);
	if (!a->name.bytes)
		return orphan_add(s, &i);
	r = is_dir(&i) ? dir_gains(&dir) : 0;
	if (r == 0)
		r = dentry_put(c, SQ_DENTRY_NEW, a->parent, &a->name, &i);
	return r < 0 ? r : save_dir(c, ch, &dir);
}

/* -- link, unlink --------------------------------------------------------------------------- */

int sq_apply_link(struct sqlite_store *s, struct change *ch)
{
	const struct change_link *a = &ch->link;
	struct sq_conn *c = s->writer;
	struct sq_inode i, dir;
	int r = sq_inode_load(c, a->ino, &i);
	if (r == 0)
		r = new_name(c, a->parent, &a->name, &dir);
	if (r < 0)
		return r;
	if (is_dir(&i))
		return -EPERM;
	if (i.attr.nlink >= STORE_LINK_MAX)
		return -EMLINK;
	if (i.attr.nlink == 0)
		r = sq_exec(sq_query(c, SQ_ORPHAN_DELETE, "u", i.attr.ino));
	i.attr.nlink++;
	if (r == 0)
		r = dentry_put(c, SQ_DENTRY_NEW, a->parent, &a->name, &i);
	if (r == 0)
		r = save(c, ch, &i);
	return r < 0 ? r : save_dir(c, ch, &dir);
}

int sq_apply_unlink(struct sqlite_store *s, struct change *ch)
{
	const struct change_unlink *a = &ch->unlink;
	struct sq_conn *c = s->writer;
	struct sq_inode i, dir;
	int r = old_name(c, a->parent, &a->name, &dir, &i);
	if (r < 0)
		return r;
	if (a->directory != is_dir(&i))
		return a->directory ? -ENOTDIR : -EISDIR;
	if (a->directory)
		r = check_empty(c, &i);
	if (r == 0)
		r = dentry_remove(c, a->parent, &a->name);
	if (r == 0)
		r = drop_name(s, &dir, &i);
	if (r == 0)
		r = save(c, ch, &i);
	return r < 0 ? r : save_dir(c, ch, &dir);
}

/* -- rename --------------------------------------------------------------------------------- */

/* A rename with everything looked up. */
struct rename {
	struct sq_inode dir, other_dir;
	struct sq_inode *new_dir; /* `other_dir`, or `dir` when it is the same */
	struct sq_inode inode;
	struct sq_inode other; /* what is at the new name */
	bool occupied;	       /* there is something at the new name */
};

/* Is directory `dir` directory `above`, or somewhere below it? 1, 0. A walk in a circle, which a
 * damaged file may have, comes by a mark again that is set at ever longer intervals. */
static int is_below(struct sq_conn *c, uint64_t dir, uint64_t above)
{
	uint64_t mark = dir, steps = 0, next_mark = 1;
	while (dir != above && dir != STORE_ROOT_INO) {
		struct sq_inode i;
		int r = sq_inode_load(c, dir, &i);
		if (r < 0)
			return r == -ESTALE ? -EIO : r;
		dir = i.parent;
		if (!is_dir(&i) || dir == mark)
			return -EIO;
		if (++steps == next_mark) {
			mark = dir;
			next_mark *= 2;
		}
	}
	return dir == above;
}

/* May directory `i` move to `to`? Not below itself. */
static int check_move(
	struct sq_conn *c, const struct sq_inode *i, const struct sq_inode *from, uint64_t to)
{
	if (!is_dir(i) || from->attr.ino == to)
		return 0;
	int r = is_below(c, to, i->attr.ino);
	return r == 1 ? -EINVAL : r;
}

static int rename_find(struct sq_conn *c, const struct change_rename *a, struct rename *n)
{
	int r = old_name(c, a->parent, &a->name, &n->dir, &n->inode);
	if (r < 0)
		return r;
	if (a->new_parent == a->parent) {
		n->new_dir = &n->dir;
	} else {
		r = load_live_dir(c, a->new_parent, &n->other_dir);
		n->new_dir = &n->other_dir;
	}
	struct sq_dentry d;
	if (r == 0)
		r = sq_dentry_find(c, a->new_parent, &a->new_name, &d);
	if (r <= 0)
		return r;
	if (d.ino == a->new_parent)
		return -EIO;
	n->occupied = true;
	return load_named(c, &d, &n->other);
}

static int rename_check(struct sq_conn *c, const struct rename *n, unsigned flags)
{
	if (n->occupied && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!n->occupied && flags & RENAME_EXCHANGE)
		return -ENOENT;
	int r = check_move(c, &n->inode, &n->dir, n->new_dir->attr.ino);
	if (r == 0 && flags & RENAME_EXCHANGE)
		r = check_move(c, &n->other, n->new_dir, n->dir.attr.ino);
	if (r < 0 || !n->occupied || flags & RENAME_EXCHANGE)
		return r;
	if (n->other.attr.ino == n->inode.attr.ino)
		return 0;
	if (is_dir(&n->inode) != is_dir(&n->other))
		return is_dir(&n->inode) ? -ENOTDIR : -EISDIR;
	return is_dir(&n->other) ? check_empty(c, &n->other) : 0;
}

/* A directory moves from one parent to another one. */
static int move_dir(struct sq_inode *i, struct sq_inode *from, struct sq_inode *to)
{
	if (!is_dir(i) || from == to)
		return 0;
	i->parent = to->attr.ino;
	int r = dir_loses(from);
	return r < 0 ? r : dir_gains(to);
}

static int exchange(struct sq_conn *c, const struct change_rename *a, struct rename *n)
{
	int r = dentry_put(c, SQ_DENTRY_SET, a->parent, &a->name, &n->other);
	if (r == 0)
		r = dentry_put(c, SQ_DENTRY_SET, a->new_parent, &a->new_name, &n->inode);
	if (r < 0 || n->new_dir == &n->dir)
		return r;
	/* A directory for a directory: nothing to count. Neither may be full for that. */
	if (is_dir(&n->inode) && is_dir(&n->other)) {
		n->inode.parent = a->new_parent;
		n->other.parent = a->parent;
		return 0;
	}
	r = move_dir(&n->inode, &n->dir, n->new_dir);
	return r < 0 ? r : move_dir(&n->other, n->new_dir, &n->dir);
}

/* An entry that stays in its directory keeps its place there; so nobody who renames what it reads
 * in a directory comes by the same entry again and again. */
static int move(struct sqlite_store *s, const struct change_rename *a, struct rename *n)
{
	struct sq_conn *c = s->writer;
	int r;
	if (!n->occupied && n->new_dir == &n->dir)
		return exec_one(c,
			sq_query(c, SQ_DENTRY_RENAME, "uss", a->parent, (const void *)a->name.bytes,
				a->name.len, (const void *)a->new_name.bytes, a->new_name.len));
	if (n->occupied) {
		r = drop_name(s, n->new_dir, &n->other);
		if (r == 0)
			r = dentry_put(c, SQ_DENTRY_SET, a->new_parent, &a->new_name, &n->inode);
	} else {
		r = dentry_put(c, SQ_DENTRY_NEW, a->new_parent, &a->new_name, &n->inode);
	}
	if (r == 0)
		r = dentry_remove(c, a->parent, &a->name);
	return r < 0 ? r : move_dir(&n->inode, &n->dir, n->new_dir);
}

static int rename_save(struct sq_conn *c, struct change *ch, struct rename *n)
{
	int r = save(c, ch, &n->inode);
	if (r == 0)
		r = save_dir(c, ch, &n->dir);
	if (r == 0 && n->new_dir != &n->dir)
		r = save_dir(c, ch, n->new_dir);
	if (r == 0 && n->occupied)
		r = save(c, ch, &n->other);
	return r;
}

int sq_apply_rename(struct sqlite_store *s, struct change *ch)
{
	const struct change_rename *a = &ch->rename;
	struct rename n = {.occupied = false};
	if (a->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
		a->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int r = rename_find(s->writer, a, &n);
	if (r == 0)
		r = rename_check(s->writer, &n, a->flags);
	if (r < 0)
		return r;
	if (n.occupied && n.other.attr.ino == n.inode.attr.ino) {
		/* Two names of one inode: rename(2) does nothing, and says that it worked. */
		sq_touched(ch, &n.inode);
		return 0;
	}
	r = a->flags & RENAME_EXCHANGE ? exchange(s->writer, a, &n) : move(s, a, &n);
	return r < 0 ? r : rename_save(s->writer, ch, &n);
}

/* -- reap ----------------------------------------------------------------------------------- */

/* The data of an inode, up to `rows` rows of it, and its holes. What its row says is not there is
 * not looked for. */
static int delete_data(struct sq_conn *c, struct sq_inode *i, unsigned rows, bool *ret_more)
{
	const uint64_t last = ((uint64_t)1 << SQ_BLOCK_BITS) - 1;
	const uint64_t ino = i->attr.ino;
	bool dense = i->stored == sq_blocks_of(i->attr.size) && i->reserved == 0;
	int r = 0;
	*ret_more = false;
	if (i->stored > rows) /* a row has one block or more */
		r = sq_blocks_delete(c, i, 0, last, rows, ret_more);
	else if (i->stored > 0)
		r = sq_exec(sq_query(c, SQ_BLOCK_DELETE, "ii", sq_key(ino, 0), sq_key(ino, last)));
	if (r == 0 && !*ret_more && !dense)
		r = sq_holes_cut(c, i, 0, last);
	return r;
}

/* What is left of an inode without data. */
static int delete_inode(struct sq_conn *c, const struct sq_inode *i)
{
	uint64_t ino = i->attr.ino;
	int r = 0;
	if (i->attr.flags & STORE_ATTR_XATTRS)
		r = sq_exec(sq_query(c, SQ_XATTR_DELETE_ALL, "u", ino));
	if (r == 0)
		r = exec_one(c, sq_query(c, SQ_INODE_DELETE, "u", ino));
	if (r == 0)
		r = sq_exec(sq_query(c, SQ_ORPHAN_DELETE, "u", ino));
	return r;
}

int sq_apply_reap(struct sqlite_store *s, struct change *ch)
{
	struct sq_conn *c = s->writer;
	struct sq_inode i;
	int r = sq_inode_load(c, ch->reap.ino, &i);
	if (r < 0)
		return r == -ESTALE ? -ENOENT : r;
	if (i.attr.nlink > 0)
		return -EBUSY;
	unsigned rows = ch->reap.rows && ch->reap.rows < REAP_ROWS ? ch->reap.rows : REAP_ROWS;
	bool more = false;
	r = sq_orphan_release(s, i.attr.ino);
	if (r <= 0) {
		ch->reap.more = false;
		return r;
	}
	r = S_ISREG(i.attr.mode) ? delete_data(c, &i, rows, &more) : 0;
	if (r < 0)
		return r;
	if (more) {
		r = save(c, ch, &i);
	} else {
		r = delete_inode(c, &i);
		i.attr.ctime = ch->now;
		i.attr.version++;
		sq_touched(ch, &i);
	}
	if (r == 0)
		ch->reap.more = more;
	return r;
}
