#include "reply.h"

#include "clock.h"
#include "latency.h"
#include "log.h"
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

/* A record that may not be cached can still be mapped, and a mapping is a cache: it is dropped this
 * often (in nanoseconds). */
#define MAPPING_TTL 50000000

/* Numbers of deleted inodes are not given out again, so one generation is enough. */
#define GENERATION 1

static struct log_limit failures = LOG_LIMIT_INIT;

/* The request that this thread processes. */
static _Thread_local struct {
	int64_t begun; /* monotonic nanoseconds */
	uint_least64_t outside_changes;
} current;

int64_t reply_begin(struct fs *fs)
{
	current.begun = clock_monotonic();
	current.outside_changes = atomic_load(&fs->outside_changes);
	return current.begun;
}

bool reply_is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool reply_name_fits(fuse_req_t req, const char *name)
{
	size_t len = strcspn(name, "/");
	if (len > 0 && len <= STORE_NAME_MAX && name[len] == '\0' && !reply_is_dots(name))
		return true;
	fuse_reply_err(req, len > STORE_NAME_MAX ? ENAMETOOLONG : EINVAL);
	return false;
}

struct change reply_change(fuse_req_t req, enum change_kind kind)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	return (struct change){
		.kind = kind,
		.now = clock_wall(),
		.caller = {.uid = ctx->uid,
			.gid = ctx->gid,
			.umask = ctx->umask,
			.kill_suid = ctx->uid != 0},
	};
}

/* An inode without a name is an orphan, reaped when nobody uses it. */
static void settle_orphans(struct fs *fs, const struct change *c)
{
	uint64_t blocks = 0;
	for (unsigned i = 0; i < c->n_touched; i++)
		blocks += c->touched[i].nlink == 0 ? c->touched[i].blocks : 0;
	reaper_busy(fs->reaper, blocks);
	for (unsigned i = 0; i < c->n_touched; i++) {
		if (c->touched[i].nlink > 0)
			continue;
		if (inodes_set_orphan(fs->inodes, c->touched[i].ino, true))
			reaper_add(fs->reaper, c->touched[i].ino);
		else
			loop_expect_trifle(); /* the kernel forgets it, unless it is open */
	}
}

/* What the change did to names. */
static void settle_names(struct fs *fs, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_UNLINK:
	case CHANGE_RENAME:
		settle_orphans(fs, c);
		break;
	case CHANGE_LINK:
		(void)!inodes_set_orphan(fs->inodes, c->link.ino, false);
		reaper_busy(fs->reaper, 0);
		break;
	case CHANGE_CREATE:
		reaper_busy(fs->reaper, 0);
		break;
	case CHANGE_WRITE:
	case CHANGE_SETATTR:
	case CHANGE_ALLOCATE:
	case CHANGE_COPY:
	case CHANGE_SETXATTR:
	case CHANGE_REMOVEXATTR:
	case CHANGE_REAP:
		break;
	}
}

/* The inode that the change is about, if that is known before; else 0. */
static uint64_t subject(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
		return c->write.ino;
	case CHANGE_SETATTR:
		return c->setattr.ino;
	case CHANGE_ALLOCATE:
		return c->allocate.ino;
	case CHANGE_COPY:
		return c->copy.to;
	case CHANGE_LINK:
		return c->link.ino;
	case CHANGE_SETXATTR:
		return c->setxattr.ino;
	case CHANGE_REMOVEXATTR:
		return c->removexattr.ino;
	case CHANGE_CREATE:
		return c->create.parent;
	case CHANGE_UNLINK:
		return c->unlink.parent;
	case CHANGE_RENAME:
		return c->rename.parent;
	case CHANGE_REAP:
		break;
	}
	return 0;
}

/* Gives back what is deleted already. False: there is nothing of that. */
static bool make_room(struct fs *fs)
{
	loop_may_block(NULL); /* it may wait for the reaper alone, not for the store */
	return reaper_help(fs->reaper);
}

void reply_apply_all(struct fs *fs, struct change *const *changes, size_t n, bool durable)
{
	for (size_t i = 0; i < n; i++)
		inodes_state(fs->inodes, subject(changes[i]), page_state_begin, 0);
	store_apply(fs->store, changes, n, durable);
	loop_has_blocked();
	for (size_t i = 0; i < n; i++) {
		struct change *c = changes[i];
		uint64_t ino = subject(c);
		while (c->result == -ENOSPC && !c->doubtful && make_room(fs))
			(void)!store_apply_one(fs->store, c, durable);
		for (unsigned k = 0; c->result == 0 && k < c->n_touched; k++)
			inodes_state(fs->inodes, c->touched[k].ino, page_state_changed,
				c->touched[k].version);
		if (c->result < 0 && c->doubtful)
			inodes_state(fs->inodes, ino, page_state_doubt, 0);
		inodes_state(fs->inodes, ino, page_state_end, 0);
		if (c->result == 0)
			settle_names(fs, c);
	}
}

int reply_apply(struct fs *fs, struct change *c)
{
	reply_apply_all(fs, &c, 1, false);
	return c->result;
}

void reply_doubt(struct fs *fs, const struct change *c, uint64_t ino)
{
	if (c->result < 0 && c->doubtful)
		notify_stale(fs->notify, ino, 0, 0);
}

int64_t reply_ttl(const struct fs *fs, const struct store_attr *attr)
{
	return attr->ttl < 0 ? settings_ttl(&fs->settings) : attr->ttl;
}

bool reply_outdated(const struct fs *fs)
{
	return atomic_load(&fs->outside_changes) != current.outside_changes;
}

double reply_timeout(const struct fs *fs, int64_t ttl, int64_t age)
{
	int64_t left = ttl - age - (clock_monotonic() - current.begun);
	return left > 0 && !reply_outdated(fs) ? (double)left / 1e9 : 0;
}

void reply_stat(const struct store_attr *attr, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = attr->ino,
		.st_mode = attr->mode,
		.st_nlink = attr->nlink,
		.st_uid = attr->uid,
		.st_gid = attr->gid,
		.st_rdev = attr->rdev,
		.st_size = (off_t)attr->size,
		.st_blksize = STORE_BLOCK_SIZE,
		.st_blocks = (blkcnt_t)(attr->blocks * (STORE_BLOCK_SIZE / 512)),
		.st_atim = clock_timespec(attr->atime),
		.st_mtim = clock_timespec(attr->mtime),
		.st_ctim = clock_timespec(attr->ctime),
	};
}

static void note_suid(struct fs *fs, const struct store_attr *attr)
{
	if (S_ISREG(attr->mode) && attr->mode & (S_ISUID | S_ISGID))
		inodes_note_suid(fs->inodes, attr->ino);
	if (!S_ISDIR(attr->mode) && (attr->mode & (S_ISGID | S_IXGRP)) == S_ISGID)
		inodes_note_sgid(fs->inodes, attr->ino);
}

/* An answer that waits for a drop. */
struct late_answer {
	struct notify_job job;
	struct latency_stamp stamp;
	fuse_req_t req;
	enum fs_op op;
	int error;   /* 0: an answer to what went well: */
	size_t size; /* bytes of a write or copy */
	struct fuse_entry_param entry;
};

static bool changes_data(enum fs_op op)
{
	return op == OP_WRITE || op == OP_COPY || op == OP_FALLOCATE;
}

static void answer_data(fuse_req_t req, enum fs_op op, size_t size)
{
	if (op == OP_FALLOCATE)
		fuse_reply_err(req, 0);
	else
		fuse_reply_write(req, size);
}

static void answer_late(struct notify_job *job)
{
	struct late_answer *late = CONTAINER_OF(job, struct late_answer, job);
	struct fs *fs = fs_of(late->req);
	latency_resume(late->stamp);
	if (late->error)
		reply_error(late->req, late->op, late->error);
	else if (changes_data(late->op))
		answer_data(late->req, late->op, late->size);
	else if (late->op == OP_GETATTR)
		fuse_reply_attr(late->req, &late->entry.attr, late->entry.attr_timeout);
	else if (fuse_reply_entry(late->req, &late->entry) < 0)
		reply_forget(fs, late->entry.ino, 1);
	free(late);
}

bool reply_show(struct fs *fs, const struct store_attr *attr)
{
	bool outdated = inodes_show(fs->inodes, attr->ino, attr->version);
	if (outdated)
		notify_stale(fs->notify, attr->ino, 0, 0); /* which wakes the notifier */
	return outdated;
}

/* Answers with `entry`, or the attributes in it, when the kernel has dropped what it had. False: no
 * memory. */
static bool answer_after_drop(
	fuse_req_t req, enum fs_op op, uint64_t ino, const struct fuse_entry_param *entry)
{
	struct late_answer *late = malloc(sizeof *late);
	if (!late)
		return false;
	*late = (struct late_answer){.job = {.stale = {.ino = ino}, .done = answer_late},
		.stamp = latency_stamp(),
		.req = req,
		.op = op,
		.entry = *entry};
	notify_before(fs_of(req)->notify, &late->job);
	return true;
}

static void answer_attr(fuse_req_t req, const struct store_attr *attr, bool may_wait)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry = {
		.attr_timeout = reply_timeout(fs, reply_ttl(fs, attr), attr->age)};
	reply_stat(attr, &entry.attr);
	note_suid(fs, attr);
	bool outdated = reply_show(fs, attr);
	if (outdated && may_wait && answer_after_drop(req, OP_GETATTR, attr->ino, &entry))
		return;
	fuse_reply_attr(req, &entry.attr, entry.attr_timeout);
}

void reply_attr(fuse_req_t req, const struct store_attr *attr)
{
	answer_attr(req, attr, true);
}

void reply_changed_attr(fuse_req_t req, const struct store_attr *attr)
{
	inodes_answer(fs_of(req)->inodes, attr->ino, clock_monotonic());
	answer_attr(req, attr, false);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t reply_dir_ttl(struct fs *fs, uint64_t dir)
{
	struct store_attr attr;
	return store_getattr(fs->store, dir, &attr) == 0 ? reply_ttl(fs, &attr) : 0;
}

int64_t reply_dir_ttl_of(struct fs *fs, uint64_t dir, const struct change *c)
{
	const struct store_attr *attr = change_touched(c, dir);
	return attr ? reply_ttl(fs, attr) : reply_dir_ttl(fs, dir);
}

int reply_make_entry(
	struct fs *fs, const struct store_attr *attr, int64_t dir_ttl, struct fuse_entry_param *ret)
{
	int64_t ttl = reply_ttl(fs, attr);
	int r = inodes_lookup(fs->inodes, attr->ino);
	if (r < 0)
		return r;
	note_suid(fs, attr);
	inodes_answer(fs->inodes, attr->ino, clock_monotonic());
	*ret = (struct fuse_entry_param){
		.ino = attr->ino,
		.generation = GENERATION,
		.attr_timeout = reply_timeout(fs, ttl, attr->age),
		.entry_timeout =
			reply_timeout(fs, least(least(ttl, dir_ttl), fs->entry_ttl_max), 0),
	};
	reply_stat(attr, &ret->attr);
	return 0;
}

void reply_entry(fuse_req_t req, enum fs_op op, const struct store_attr *attr, int64_t dir_ttl)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	int r = reply_make_entry(fs, attr, dir_ttl, &entry);
	if (r < 0) {
		reply_error(req, op, r);
		return;
	}
	if (reply_show(fs, attr) && answer_after_drop(req, op, attr->ino, &entry))
		return;
	if (fuse_reply_entry(req, &entry) < 0)
		reply_forget(fs, attr->ino, 1);
}

void reply_forget(struct fs *fs, uint64_t ino, uint64_t n)
{
	if (inodes_forget(fs->inodes, ino, n))
		reaper_add(fs->reaper, ino);
}

void reply_close(struct fs *fs, uint64_t ino)
{
	if (inodes_close(fs->inodes, ino))
		reaper_add(fs->reaper, ino);
}

void reply_filling(
	struct fs *fs, uint64_t ino, const struct store_attr *attr, int64_t left, uint64_t bytes)
{
	int64_t ttl = reply_ttl(fs, attr);
	if (ttl == 0)
		ttl = MAPPING_TTL;
	/* Where the file ends is filled in as well, and may have been known for longer. */
	notify_filled(fs->notify, ino, current.begun + least(ttl - attr->age, left),
		bytes / STORE_BLOCK_SIZE + 1, attr->size / STORE_BLOCK_SIZE + 1);
	(void)!reply_show(fs, attr);
}

static const char *cause(int error)
{
	return error == -EBADMSG ? "checksum does not match" : strerror(-error);
}

/* May a failure be logged now? Says first how many were not. */
static bool may_log(void)
{
	unsigned suppressed;
	if (!log_allowed(&failures, clock_monotonic(), &suppressed))
		return false;
	if (suppressed)
		log_line(LOG_ERR, "%u more failures not shown", suppressed);
	return true;
}

void reply_error(fuse_req_t req, enum fs_op op, int error)
{
	int reply = errors_reply(op, error);
	bool logged = op == OP_READ || op == OP_WRITE || op == OP_FSYNC; /* with more to say */
	fuse_reply_err(req, reply);
	if (reply == EIO && !logged && may_log())
		log_line(LOG_ERR, "%s failed: %s", errors_op_name(op), cause(error));
}

/* Answers when [offset, offset + len) of the inode is dropped, all of it with 0 and 0, and nothing
 * but its attributes with -1. */
static void answer_data_after_drop(
	fuse_req_t req, enum fs_op op, uint64_t ino, int64_t offset, int64_t len, size_t size)
{
	struct fs *fs = fs_of(req);
	struct late_answer *late = malloc(sizeof *late);
	if (!late) { /* without memory the drop comes after the answer */
		answer_data(req, op, size);
		notify_stale(fs->notify, ino, offset, len);
		return;
	}
	*late = (struct late_answer){
		.job = {.stale = {.ino = ino, .offset = offset, .len = len}, .done = answer_late},
		.stamp = latency_stamp(),
		.req = req,
		.op = op,
		.size = size};
	notify_before(fs->notify, &late->job);
}

static bool has_lost_suid(struct fs *fs, const struct change *c, uint64_t ino)
{
	return c->caller.kill_suid && inodes_take_suid(fs->inodes, ino);
}

void reply_changed_data(
	fuse_req_t req, enum fs_op op, const struct change *c, uint64_t ino, size_t size)
{
	if (has_lost_suid(fs_of(req), c, ino))
		answer_data_after_drop(req, op, ino, -1, 0, size);
	else
		answer_data(req, op, size);
}

void reply_written(fuse_req_t req, const struct change *c, uint64_t offset)
{
	const struct change_write *w = &c->write;
	if (fs_of(req)->kernel_drops_written)
		reply_changed_data(req, OP_WRITE, c, w->ino, w->len);
	else
		answer_data_after_drop(
			req, OP_WRITE, w->ino, (int64_t)offset, (int64_t)w->len, w->len);
}

void reply_written_elsewhere(fuse_req_t req, uint64_t ino, size_t size)
{
	answer_data_after_drop(req, OP_WRITE, ino, 0, 0, size);
}

void reply_failure(fuse_req_t req, enum fs_op op, const struct change *c, uint64_t ino)
{
	struct fs *fs = fs_of(req);
	struct late_answer *late = c->doubtful ? malloc(sizeof *late) : NULL;
	if (!late) { /* without memory the drop comes after the answer */
		reply_error(req, op, c->result);
		reply_doubt(fs, c, ino);
		return;
	}
	*late = (struct late_answer){.job = {.stale = {.ino = ino}, .done = answer_late},
		.stamp = latency_stamp(),
		.req = req,
		.op = op,
		.error = c->result};
	notify_before(fs->notify, &late->job);
}

void reply_log_failure(struct fs *fs, enum fs_op op, uint64_t ino, int64_t offset, int error)
{
	if (!may_log())
		return;
	char path[4096];
	if (store_path(fs->store, ino, path, sizeof path) < 0)
		snprintf(path, sizeof path, "record %llu", (unsigned long long)ino);
	log_line(LOG_ERR, "%s of '%s' at offset %lld failed: %s", errors_op_name(op), path,
		(long long)offset, cause(error));
}
