/*
 * Opening and closing. Which of the kernel's caches a handle may use is decided here:
 *   - a handle that can write is FOPEN_DIRECT_IO: the kernel would else show what is being written
 *     before the store has taken it, and go on showing it through mappings when it did not;
 *   - a handle that only reads keeps what the kernel has of the record (the notifier takes it away
 *     when it must go), unless the record's TTL is 0.
 */
#include "caller.h"
#include "clock.h"
#include "ops.h"
#include "reply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>

static void choose_caching(
	const struct fs *fs, const struct store_attr *attr, struct fuse_file_info *fi)
{
	bool cached = (fi->flags & O_ACCMODE) == O_RDONLY && reply_ttl(fs, attr) > 0;
	fi->direct_io = !cached;
	/* What should have gone already, the notifier being late, goes with the opening. */
	fi->keep_cache = cached && !inodes_overdue(fs->inodes, attr->ino, clock_monotonic());
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
	fi->parallel_direct_writes = 1;
#endif
}

/* Several may write to one record at once, so that their writes share a commit: the store keeps
 * each of them whole. libfuse before 3.15 has no word for that, but lets us write the reply
 * ourselves. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
static int reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	return fuse_reply_open(req, fi);
}
#else
static int reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct fuse_open_out out = {.fh = fi->fh};
	if (fi->direct_io)
		out.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
	else if (fi->keep_cache)
		out.open_flags = FOPEN_KEEP_CACHE;
	return fuse_reply_buf(req, (const char *)&out, sizeof out);
}
#endif

/* O_TRUNC: the kernel leaves it to open, and times change even when the file is empty already.
 * False: it failed, and the request was answered. */
static bool truncate_now(fuse_req_t req, uint64_t ino, struct store_attr *attr)
{
	struct change c = reply_change(req, CHANGE_SETATTR);
	c.setattr = (struct change_setattr){.ino = ino, .mask = STORE_SET_SIZE, .size = 0};
	c.caller.kill_sgid = caller_kills_idle_sgid(req, ino);
	if (reply_apply(fs_of(req), &c) < 0) {
		reply_failure(req, OP_OPEN, &c, ino);
		return false;
	}
	*attr = c.touched[0];
	return true;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req); /* the request is gone with its reply */
	struct store_attr attr;
	int r = 0;
	if (!(fi->flags & O_TRUNC))
		r = store_getattr(fs->store, ino, &attr);
	else if (!truncate_now(req, ino, &attr))
		return;
	if (r == 0)
		r = inodes_open(fs->inodes, ino);
	if (r < 0) {
		reply_error(req, OP_OPEN, r);
		return;
	}
	choose_caching(fs, &attr, fi);
	if (reply_open(req, fi) < 0)
		reply_close(fs, ino);
}

static void reply_create(
	fuse_req_t req, struct fuse_file_info *fi, const struct store_attr *attr, int64_t dir_ttl)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	int r = reply_make_entry(fs, attr, dir_ttl, &entry);
	if (r < 0) {
		reply_close(fs, attr->ino);
		reply_error(req, OP_OPEN, r);
	} else if (fuse_reply_create(req, &entry, fi) < 0) {
		reply_close(fs, attr->ino);
		reply_forget(fs, attr->ino, 1);
	}
}

/* May whoever asks open the file without the kernel's leave? The owner may do what the mode says,
 * no ACL has a say in that; anybody else is for the kernel to judge. */
static bool is_owners(fuse_req_t req, const struct store_attr *attr, int flags)
{
	static const uint32_t wanted[] = {
		[O_RDONLY] = S_IRUSR, [O_WRONLY] = S_IWUSR, [O_RDWR] = S_IRUSR | S_IWUSR};
	unsigned mode = (unsigned)flags & O_ACCMODE;
	uint32_t uid = fuse_req_ctx(req)->uid;
	return S_ISREG(attr->mode) && attr->uid == uid && mode < ARRAY_LEN(wanted) &&
	       (uid == 0 || (attr->mode & wanted[mode]) == wanted[mode]);
}

/*
 * Another one made the file behind the kernel's back, which has not asked whether the caller may
 * open it. On ESTALE it looks the name up, and then asks - but only once: where others make and
 * remove the name all the time, the caller would get the ESTALE. So the clear cases are decided
 * here. The file is open then. -ENOENT: it is gone again.
 */
static int open_existing(
	fuse_req_t req, uint64_t parent, const char *name, int flags, struct store_attr *attr)
{
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_SETATTR);
	int r = store_lookup(fs->store, parent, name, strlen(name), attr);
	if (r < 0)
		return r;
	if (!is_owners(req, attr, flags))
		return -ESTALE;
	r = inodes_open(fs->inodes, attr->ino);
	if (r < 0)
		return r;
	/* Others may have removed it before it was open, and delete what nobody uses. */
	c.setattr = (struct change_setattr){.ino = attr->ino, .mask = STORE_SET_SIZE};
	uint64_t ino = attr->ino;
	if (flags & O_TRUNC) {
		c.caller.kill_sgid = caller_kills_sgid(req, ino);
		r = reply_apply(fs, &c);
		reply_doubt(fs, &c, ino);
		if (r == 0)
			*attr = c.touched[0];
	} else {
		r = store_lookup(fs->store, parent, name, strlen(name), attr);
	}
	if (r == 0 && (attr->ino != ino || attr->nlink == 0))
		r = -ENOENT;
	if (r < 0)
		reply_close(fs, ino);
	return r;
}

/* The same for a file that was made: -ENOENT, and another is to be made. */
static int open_created(struct fs *fs, struct store_attr *attr)
{
	uint64_t ino = attr->ino;
	int r = inodes_open(fs->inodes, ino);
	if (r < 0 || !reply_outdated(fs))
		return r;
	reply_begin(fs);
	r = store_getattr(fs->store, ino, attr);
	if (r == -ESTALE || (r == 0 && attr->nlink == 0))
		r = -ENOENT;
	if (r < 0)
		reply_close(fs, ino);
	return r;
}

/* How often a name may come and go before one gives up. */
#define CREATE_TRIES 100

void op_create(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	if (!reply_name_fits(req, name))
		return;
	struct fs *fs = fs_of(req);
	struct store_attr attr = {0};
	struct change c;
	int r = -ENOENT;
	for (int i = 0; i < CREATE_TRIES && r == -ENOENT; i++) {
		c = reply_change(req, CHANGE_CREATE);
		c.create = (struct change_create){.parent = parent,
			.name = {name, strlen(name)},
			.mode = S_IFREG | (mode & 07777)};
		r = reply_apply(fs, &c);
		if (r == 0) {
			attr = c.touched[0];
			r = open_created(fs, &attr);
		} else if (r == -EEXIST && !(fi->flags & O_EXCL)) {
			r = open_existing(req, parent, name, fi->flags, &attr);
		} else {
			break;
		}
	}
	if (r < 0) {
		reply_error(req, OP_OPEN, r);
		return;
	}
	choose_caching(fs, &attr, fi);
	(void)!reply_show(fs, &attr);
	reply_create(req, fi, &attr, reply_dir_ttl_of(fs, parent, &c));
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct change c = reply_change(req, CHANGE_CREATE);
	c.create = (struct change_create){.parent = parent, .mode = S_IFREG | (mode & 07777)};
	int r = reply_apply(fs, &c);
	if (r < 0) {
		reply_error(req, OP_MKNOD, r);
		return;
	}
	/* An orphan from birth: whoever closes it last, or this if it cannot be opened, reaps it.
	 */
	r = inodes_open(fs->inodes, c.touched[0].ino);
	if (inodes_set_orphan(fs->inodes, c.touched[0].ino, true))
		reaper_add(fs->reaper, c.touched[0].ino);
	if (r < 0) {
		reply_error(req, OP_MKNOD, r);
		return;
	}
	choose_caching(fs, &c.touched[0], fi);
	reply_create(req, fi, &c.touched[0], 0); /* no name, no entry */
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_close(fs_of(req), ino);
	fuse_reply_err(req, 0);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct store_attr attr;
	int r = store_getattr(fs->store, ino, &attr);
	if (r == 0)
		r = inodes_open(fs->inodes, ino);
	if (r < 0) {
		reply_error(req, OP_OPEN, r);
		return;
	}
	bool cached = reply_ttl(fs, &attr) > 0;
	fi->cache_readdir = cached;
	fi->keep_cache = cached;
	if (fuse_reply_open(req, fi) < 0)
		reply_close(fs, ino);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	op_release(req, ino, fi);
}
