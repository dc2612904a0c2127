/*
 * Operations on attributes: stat, chmod, chown, truncate, utimens, statfs.
 */
#include "caller.h"
#include "clock.h"
#include "loop.h"
#include "ops.h"
#include "reply.h"
#include "tell.h"

#include <errno.h>
#include <sys/statvfs.h>

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct store_attr attr;
	int r = store_getattr(fs_of(req)->store, ino, &attr);
	if (r < 0)
		reply_error(req, OP_GETATTR, r);
	else
		reply_attr(req, &attr);
}

/* What does not fit becomes the nearest time that does, as in other filesystems. */
static int64_t nanoseconds(const struct timespec *ts)
{
	int64_t ns;
	if (!__builtin_mul_overflow((int64_t)ts->tv_sec, 1000000000, &ns) &&
		!__builtin_add_overflow(ns, ts->tv_nsec, &ns))
		return ns;
	return ts->tv_sec < 0 ? INT64_MIN : INT64_MAX;
}

/* What the kernel asks to set, in our terms. */
static struct change_setattr translate(
	uint64_t ino, const struct stat *st, unsigned to_set, int64_t now)
{
	struct change_setattr s = {
		.ino = ino,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : nanoseconds(&st->st_atim),
		.mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : nanoseconds(&st->st_mtim),
	};
	if (to_set & FUSE_SET_ATTR_MODE)
		s.mask |= STORE_SET_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		s.mask |= STORE_SET_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		s.mask |= STORE_SET_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		s.mask |= STORE_SET_SIZE;
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
		s.mask |= STORE_SET_ATIME;
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		s.mask |= STORE_SET_MTIME;
	return s;
}

/* The kernel clears setuid and setgid itself, by setting a mode; only when it truncates without
 * saying anything of the mode is it for the store to do. But it leaves setgid where the group may
 * not execute, also in that mode, whoever the caller is. */
static void kill_privileges(fuse_req_t req, struct change *c)
{
	struct change_setattr *s = &c->setattr;
	c->caller.kill_suid =
		c->caller.kill_suid && s->mask & STORE_SET_SIZE && !(s->mask & STORE_SET_MODE);
	if (!(s->mask & (STORE_SET_SIZE | STORE_SET_UID | STORE_SET_GID)))
		return;
	c->caller.kill_sgid = caller_kills_idle_sgid(req, s->ino);
	if (c->caller.kill_sgid)
		s->mode &= ~(uint32_t)S_ISGID;
}

void op_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct change c = reply_change(req, CHANGE_SETATTR);
	c.setattr = translate(ino, st, (unsigned)to_set, c.now);
	if (!c.setattr.mask) {
		op_getattr(req, ino, fi);
		return;
	}
	if (c.setattr.mask & STORE_SET_SIZE && st->st_size < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	kill_privileges(req, &c);
	struct fs *fs = fs_of(req);
	int r = reply_apply(fs, &c);
	if (r == 0) {
		reply_changed_attr(req, &c.touched[0]);
	} else {
		/* A truncation holds what the drop of pages waits for, so that comes after the
		 * answer. It shows nothing old meanwhile: with a new size they go anyway. */
		if (c.doubtful)
			tell_attr(fs->se, ino);
		reply_error(req, OP_SETATTR, r);
		reply_doubt(fs, &c, ino);
	}
}

/* How long, in nanoseconds, it waits for what was deleted to be gone: enough for some thousand
 * small files. */
#define STATFS_PATIENCE 200000000

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	struct store_space space;
	loop_may_block(NULL);
	reaper_ask(fs_of(req)->reaper, STATFS_PATIENCE);
	int r = store_statfs(fs_of(req)->store, &space);
	if (r < 0) {
		reply_error(req, OP_STATFS, r);
		return;
	}
	uint64_t inodes_free = space.inodes_max - space.inodes;
	fuse_reply_statfs(req, &(struct statvfs){
				       .f_bsize = STORE_BLOCK_SIZE,
				       .f_frsize = STORE_BLOCK_SIZE,
				       .f_blocks = space.total / STORE_BLOCK_SIZE,
				       .f_bfree = space.free / STORE_BLOCK_SIZE,
				       .f_bavail = space.free / STORE_BLOCK_SIZE,
				       .f_files = space.inodes_max,
				       .f_ffree = inodes_free,
				       .f_favail = inodes_free,
				       .f_namemax = STORE_NAME_MAX,
			       });
}
