/*
 * Operations on names: look up, create, link, unlink, rename.
 */
#include "clock.h"
#include "ops.h"
#include "reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct change_name name_of(const char *name)
{
	return (struct change_name){name, strlen(name)};
}

/* The kernel may remember that there is no such name, for the directory's TTL. */
static void reply_no_entry(fuse_req_t req, uint64_t parent)
{
	struct fs *fs = fs_of(req);
	int64_t ttl = reply_dir_ttl(fs, parent);
	if (ttl > fs->entry_ttl_max)
		ttl = fs->entry_ttl_max;
	struct fuse_entry_param none = {.entry_timeout = reply_timeout(fs, ttl, 0)};
	if (none.entry_timeout > 0)
		fuse_reply_entry(req, &none);
	else
		fuse_reply_err(req, ENOENT);
}

/* How often a lookup is made anew when others change something meanwhile. */
#define LOOKUP_TRIES 3

/*
 * Looks the name up, and counts its inode as known. Whoever removes it asks all mounts whether it
 * is in use, and then deletes it: when the store has told of something between the lookup and the
 * count, that may have been it.
 */
static int look_up(struct fs *fs, uint64_t parent, const char *name, struct store_attr *attr)
{
	for (int i = 0;; i++) {
		int r;
		if (strcmp(name, ".") ==
			0) { /* of a file handle (NFS): any inode, a file as well */
			r = store_getattr(fs->store, parent, attr);
			if (r == 0 && attr->nlink == 0)
				r = -ESTALE; /* the kernel does not know it: it is being deleted */
		} else {
			r = store_lookup(fs->store, parent, name, strlen(name), attr);
		}
		if (r == 0)
			r = inodes_lookup(fs->inodes, attr->ino);
		if (r < 0 || i == LOOKUP_TRIES || !reply_outdated(fs))
			return r;
		reply_forget(fs, attr->ino, 1);
		reply_begin(fs);
	}
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct store_attr attr;
	if (!reply_is_dots(name) && !reply_name_fits(req, name))
		return;
	int r = look_up(fs, parent, name, &attr);
	if (r == 0) { /* of an inode that may not be kept the entry may not either */
		reply_entry(req, OP_LOOKUP, &attr,
			reply_ttl(fs, &attr) ? reply_dir_ttl(fs, parent) : 0);
		reply_forget(fs, attr.ino, 1); /* it was counted twice */
	} else if (r == -ENOENT) {
		reply_no_entry(req, parent);
	} else {
		reply_error(req, OP_LOOKUP, r);
	}
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	reply_forget(fs_of(req), ino, n);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		reply_forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void make(fuse_req_t req, const struct change_create *create)
{
	if (!reply_name_fits(req, create->name.bytes))
		return;
	struct change c = reply_change(req, CHANGE_CREATE);
	c.create = *create;
	int r = reply_apply(fs_of(req), &c);
	if (r < 0)
		reply_error(req, OP_MKNOD, r);
	else
		reply_entry(req, OP_MKNOD, &c.touched[0],
			reply_dir_ttl_of(fs_of(req), create->parent, &c));
}

/* Directories and symlinks have requests of their own; a type that is none must not get into the
 * store, whatever the kernel says. */
static bool is_nodes_type(mode_t mode)
{
	return S_ISREG(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	if (!is_nodes_type(mode)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	make(req, &(struct change_create){
			  .parent = parent,
			  .name = name_of(name),
			  .mode = mode & (S_IFMT | 07777),
			  /* libfuse hands on what the kernel sent, and back what we reply. */
			  .rdev = S_ISCHR(mode) || S_ISBLK(mode) ? (uint32_t)rdev : 0,
		  });
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, &(struct change_create){
			  .parent = parent,
			  .name = name_of(name),
			  .mode = S_IFDIR | (mode & 07777),
		  });
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	if (strlen(target) > STORE_TARGET_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	make(req, &(struct change_create){
			  .parent = parent,
			  .name = name_of(name),
			  .mode = S_IFLNK | 0777,
			  .target = name_of(target),
		  });
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	char target[STORE_TARGET_MAX + 1];
	struct store_attr attr;
	inodes_note_link(fs->inodes, ino);
	int r = store_readlink(fs->store, ino, target, sizeof target);
	if (r == 0)
		r = store_getattr(fs->store, ino, &attr);
	if (r < 0) {
		reply_error(req, OP_READLINK, r);
		return;
	}
	/* The kernel keeps targets as it keeps data: until it is told to drop them. */
	reply_filling(fs, ino, &attr, INT64_MAX, sizeof target);
	fuse_reply_readlink(req, target);
}

/* After the answer: what has lost a name but not its last. The kernel counts one link less by
 * itself, also if it has just asked for the attributes and knows the new number already. */
static void refresh_links(struct fs *fs, const struct change *c, unsigned first)
{
	for (unsigned i = first; i < c->n_touched; i++)
		if (c->touched[i].nlink > 0 && !S_ISDIR(c->touched[i].mode))
			notify_stale(fs->notify, c->touched[i].ino, -1, 0);
}

static void remove_name(fuse_req_t req, enum fs_op op, uint64_t parent, const char *name)
{
	if (!reply_name_fits(req, name))
		return;
	struct change c = reply_change(req, CHANGE_UNLINK);
	c.unlink = (struct change_unlink){
		.parent = parent, .name = name_of(name), .directory = op == OP_RMDIR};
	struct fs *fs = fs_of(req);
	reply_error(req, op, reply_apply(fs, &c));
	if (c.result == 0)
		refresh_links(fs, &c, 0);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, OP_UNLINK, parent, name);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, OP_RMDIR, parent, name);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned flags)
{
	if (!reply_name_fits(req, name) || !reply_name_fits(req, new_name))
		return;
	if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct change c = reply_change(req, CHANGE_RENAME);
	c.rename = (struct change_rename){.parent = parent,
		.name = name_of(name),
		.new_parent = new_parent,
		.new_name = name_of(new_name),
		.flags = flags};
	struct fs *fs = fs_of(req);
	renames_add(fs->renames, &c.rename, clock_monotonic());
	reply_error(req, OP_RENAME, reply_apply(fs, &c));
	if (c.result == 0 && flags != RENAME_EXCHANGE)
		refresh_links(fs, &c, 1);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	if (!reply_name_fits(req, new_name))
		return;
	struct change c = reply_change(req, CHANGE_LINK);
	c.link = (struct change_link){.ino = ino, .parent = new_parent, .name = name_of(new_name)};
	int r = reply_apply(fs_of(req), &c);
	if (r < 0)
		reply_error(req, OP_LINK, r);
	else
		reply_entry(
			req, OP_LINK, &c.touched[0], reply_dir_ttl_of(fs_of(req), new_parent, &c));
}
