/*
 * benchfs: what a round trip through FUSE costs when there is nothing to do.
 *
 *	benchfs [-s] MOUNTPOINT
 *
 * A tree in memory. The kernel is told what recordfs tells it, so it asks for the same: handles
 * that can write go past the kernel's page cache, those that only read keep it; it checks
 * permissions by itself, and need not ask anything at close(2). Stays in the foreground. -s: one
 * thread, which is fastest for one client.
 */
#define FUSE_USE_VERSION 312
#include "benchfs_tree.h"

#include <err.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 30)
#define KEPT 3600.0 /* seconds */
#define LOOP_THREADS 4

/* Over the tree. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

/* The kernel's number of a node is its address. */
static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? tree_root() : (struct node *)ino;
}

/* To be given back with done(). */
static struct node *use(fuse_ino_t ino)
{
	pthread_rwlock_rdlock(&lock);
	return node_of(ino);
}

static struct node *change(fuse_ino_t ino)
{
	pthread_rwlock_wrlock(&lock);
	return node_of(ino);
}

static void done(void)
{
	pthread_rwlock_unlock(&lock);
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
	conn->want |= conn->capable & (FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_READDIRPLUS |
					      FUSE_CAP_READDIRPLUS_AUTO);
}

/* The kernel is about to know it. */
static struct fuse_entry_param entry_of(struct node *node)
{
	node->lookups++;
	return (struct fuse_entry_param){.ino = (fuse_ino_t)node,
		.attr = node->attr,
		.attr_timeout = KEPT,
		.entry_timeout = KEPT};
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *node = tree_find(change(parent), name);
	struct fuse_entry_param entry = {.entry_timeout = KEPT};

	if (node != NULL)
		entry = entry_of(node);
	done();
	fuse_reply_entry(req, &entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	tree_forget(change(ino), n);
	done();
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = use(ino)->attr;

	(void)fi;
	done();
	fuse_reply_attr(req, &st, KEPT);
}

static void set(struct node *node, const struct stat *attr, int to_set)
{
	struct stat *st = &node->attr;

	if (to_set & FUSE_SET_ATTR_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | (attr->st_mode & 07777);
	if (to_set & FUSE_SET_ATTR_UID)
		st->st_uid = attr->st_uid;
	if (to_set & FUSE_SET_ATTR_GID)
		st->st_gid = attr->st_gid;
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
		st->st_atim = attr->st_atim;
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		st->st_mtim = attr->st_mtim;
}

static void op_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct node *node = change(ino);
	bool good = true;

	if (to_set & FUSE_SET_ATTR_SIZE)
		good = (size_t)attr->st_size <= FILE_MAX &&
		       tree_resize(node, (size_t)attr->st_size);
	if (good)
		set(node, attr, to_set);
	done();
	if (good)
		op_getattr(req, ino, fi);
	else
		fuse_reply_err(req, ENOSPC);
}

/* A new node, and what the kernel is to know of it. */
static int make(
	fuse_ino_t parent, const char *name, mode_t mode, struct fuse_entry_param *ret_entry)
{
	struct node *dir = change(parent), *node = NULL;
	int r = tree_find(dir, name) != NULL ? EEXIST : 0;

	if (r == 0 && (node = tree_add(dir, name, mode)) == NULL)
		r = ENOMEM;
	if (node != NULL)
		*ret_entry = entry_of(node);
	done();
	return r;
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_entry_param entry;
	int r = make(parent, name, S_IFDIR | (mode & 07777), &entry);

	if (r == 0)
		fuse_reply_entry(req, &entry);
	else
		fuse_reply_err(req, r);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	size_t len = strlen(target);
	int r = make(parent, name, S_IFLNK | 0777, &entry);

	if (r == 0) {
		struct node *node = change(entry.ino);

		if (tree_resize(node, len))
			memcpy(node->data, target, len);
		entry.attr = node->attr;
		done();
		fuse_reply_entry(req, &entry);
	} else {
		fuse_reply_err(req, r);
	}
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct node *node = use(ino);

	fuse_reply_buf(req, node->data, (size_t)node->attr.st_size);
	done();
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool directory)
{
	struct node *node = tree_find(change(parent), name);
	int r = node == NULL ? ENOENT : directory && node->first != NULL ? ENOTEMPTY : 0;

	if (r == 0)
		tree_remove(node);
	done();
	fuse_reply_err(req, r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, false);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, true);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned flags)
{
	struct node *node = tree_find(change(parent), name);
	int r = node == NULL ? ENOENT : flags != 0 ? EINVAL : 0;

	if (r == 0)
		tree_move(node, node_of(new_parent), new_name);
	done();
	fuse_reply_err(req, r);
}

static void choose_caching(struct fuse_file_info *fi)
{
	fi->direct_io = (fi->flags & O_ACCMODE) != O_RDONLY;
	fi->keep_cache = !fi->direct_io;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->flags & O_TRUNC) {
		struct node *node = change(ino);

		(void)!tree_resize(node, 0);
		tree_touch(node);
		done();
	}
	choose_caching(fi);
	fuse_reply_open(req, fi);
}

static void op_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	int r = make(parent, name, S_IFREG | (mode & 07777), &entry);

	choose_caching(fi);
	if (r == 0)
		fuse_reply_create(req, &entry, fi);
	else
		fuse_reply_err(req, r);
}

static void op_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct node *node = use(ino);
	size_t end = (size_t)node->attr.st_size, at = (size_t)off < end ? (size_t)off : end;

	(void)fi;
	fuse_reply_buf(req, end > 0 ? node->data + at : NULL, size < end - at ? size : end - at);
	done();
}

/* False: no space. */
static bool put(struct node *node, const char *from, size_t len, off_t off)
{
	size_t end = (size_t)off + len;

	if (end > FILE_MAX || (end > (size_t)node->attr.st_size && !tree_resize(node, end)))
		return false;
	memcpy(node->data + off, from, len);
	tree_touch(node);
	return true;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	bool good = put(change(ino), buf, size, off);

	(void)fi;
	done();
	if (good)
		fuse_reply_write(req, size);
	else
		fuse_reply_err(req, ENOSPC);
}

static void op_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
	fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
	const struct node *source = change(from);
	size_t end = (size_t)source->attr.st_size;
	bool good = true;

	(void)from_fi;
	(void)to_fi;
	(void)flags;
	if ((size_t)from_off >= end)
		len = 0;
	else if (len > end - (size_t)from_off)
		len = end - (size_t)from_off;
	if (from == to)
		good = false;
	else if (len > 0)
		good = put(node_of(to), source->data + from_off, len, to_off);
	done();
	if (good)
		fuse_reply_write(req, len);
	else
		fuse_reply_err(req, from == to ? EINVAL : ENOSPC);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->cache_readdir = fi->keep_cache = true;
	fuse_reply_open(req, fi);
}

/* Entries after place `off`; without "." and "..", which nothing measured here needs. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	char *buf = malloc(size);
	size_t used = 0, need = 0;

	for (struct node *node = change(ino)->first; buf != NULL && node != NULL;
		node = node->younger) {
		struct fuse_entry_param entry = {.ino = (fuse_ino_t)node,
			.attr = node->attr,
			.attr_timeout = KEPT,
			.entry_timeout = KEPT};

		if ((off_t)node->place <= off)
			continue;
		if (plus)
			need = fuse_add_direntry_plus(req, buf + used, size - used, node->name,
				&entry, (off_t)node->place);
		else
			need = fuse_add_direntry(req, buf + used, size - used, node->name,
				&entry.attr, (off_t)node->place);
		if (need > size - used)
			break;
		used += need;
		node->lookups += plus;
	}
	done();
	if (buf != NULL)
		fuse_reply_buf(req, buf, used);
	else
		fuse_reply_err(req, ENOMEM);
	free(buf);
}

static void op_readdir(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void op_readdirplus(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.readlink = op_readlink,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.copy_file_range = op_copy,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.getxattr = op_getxattr,
};

static int loop(struct fuse_session *session, int single)
{
	struct fuse_loop_config *config;
	int r;

	if (single)
		return fuse_session_loop(session);
	config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_max_threads(config, LOOP_THREADS);
	r = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return r;
}

int main(int argc, char **argv)
{
	int single = argc == 3 && strcmp(argv[1], "-s") == 0, r;
	char option[] = "-odefault_permissions";
	char *list_of_args[] = {argv[0], option, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, list_of_args);
	struct fuse_session *session;

	if (argc != 2 + single)
		errx(2, "usage: benchfs [-s] MOUNTPOINT");
	(void)tree_root(); /* before there are threads */
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (session == NULL || fuse_set_signal_handlers(session) != 0 ||
		fuse_session_mount(session, argv[argc - 1]) != 0)
		errx(1, "%s: cannot mount", argv[argc - 1]);
	r = loop(session, single);
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	return r == 0 ? 0 : 1;
}
