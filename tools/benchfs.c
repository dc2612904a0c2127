/*
 * benchfs: what a round trip through FUSE costs when there is nothing to do.
 *
 *	benchfs [-s] MOUNTPOINT
 *
 * One directory of a few files in memory; caching is as in recordfs: handles that can write go
 * past the kernel's page cache, those that only read keep it. Stays in the foreground. -s: one
 * thread, which is fastest for one client.
 */
#define FUSE_USE_VERSION 312
#include <err.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES 16u
#define FILE_MAX ((size_t)64 << 20)
#define KEPT 3600.0 /* seconds */
#define LOOP_THREADS 4

/* File i has the inode number i + 2. */
static struct {
	char name[32];
	size_t size;
	char *data;
} files[FILES];

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat st = {
		.st_ino = ino,
		.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = 1,
		.st_uid = getuid(),
		.st_gid = getgid(),
	};

	if (ino != FUSE_ROOT_ID)
		st.st_size = (off_t)files[ino - 2].size;
	return st;
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	conn->want |= conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	return (struct fuse_entry_param){
		.ino = ino, .attr = attr_of(ino), .attr_timeout = KEPT, .entry_timeout = KEPT};
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].data != NULL && strcmp(files[i].name, name) == 0) {
			struct fuse_entry_param entry = entry_of(i + 2);

			fuse_reply_entry(req, &entry);
			return;
		}
	fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attr_of(ino);

	(void)fi;
	fuse_reply_attr(req, &st, KEPT);
}

static void op_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_SIZE && (size_t)attr->st_size <= FILE_MAX)
		files[ino - 2].size = (size_t)attr->st_size;
	op_getattr(req, ino, fi);
}

static void choose_caching(struct fuse_file_info *fi)
{
	fi->direct_io = (fi->flags & O_ACCMODE) != O_RDONLY;
	fi->keep_cache = !fi->direct_io;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	choose_caching(fi);
	fuse_reply_open(req, fi);
}

static void op_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	(void)parent;
	(void)mode;
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].data == NULL && (files[i].data = calloc(1, FILE_MAX)) != NULL) {
			struct fuse_entry_param entry = entry_of(i + 2);

			snprintf(files[i].name, sizeof(files[i].name), "%s", name);
			choose_caching(fi);
			fuse_reply_create(req, &entry, fi);
			return;
		}
	fuse_reply_err(req, ENOSPC);
}

static void op_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	size_t end = files[ino - 2].size, at = (size_t)off < end ? (size_t)off : end;

	(void)fi;
	fuse_reply_buf(req, files[ino - 2].data + at, size < end - at ? size : end - at);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	size_t end = (size_t)off + size;

	(void)fi;
	if (end > FILE_MAX) {
		fuse_reply_err(req, EFBIG);
		return;
	}
	memcpy(files[ino - 2].data + off, buf, size);
	if (files[ino - 2].size < end)
		files[ino - 2].size = end;
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
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
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *session;

	if (argc != 2 + single)
		errx(2, "usage: benchfs [-s] MOUNTPOINT");
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
