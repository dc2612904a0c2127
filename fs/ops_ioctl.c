/*
 * The control interface (control.h) from the daemon's side.
 */
#include "control.h"
#include "ops.h"
#include "ops_control.h"
#include "reply.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(_IOC_SIZE(RECORDFS_IOC_INFO) == sizeof(struct recordfs_info), "14 bits of size");

static int look_at_blocks(struct fs *fs, uint64_t ino, struct recordfs_info *info)
{
	struct store_block_info *blocks = calloc(RECORDFS_INFO_MAX, sizeof *blocks);
	if (!blocks)
		return -ENOMEM;
	ssize_t n = store_block_info(fs->store, ino, info->first, info->count, blocks);
	for (ssize_t i = 0; i < n; i++)
		info->block[i] = (struct recordfs_block){
			.index = blocks[i].index,
			.sum = blocks[i].sum,
			.ttl_left = blocks[i].ttl_left,
			.len = blocks[i].len,
			.flags = (blocks[i].has_sum ? RECORDFS_BLOCK_HAS_SUM : 0) |
				 (blocks[i].cached ? RECORDFS_BLOCK_CACHED : 0),
		};
	free(blocks);
	if (n < 0)
		return (int)n;
	info->n = (uint32_t)n;
	info->first += info->count;
	return 0;
}

static int fill_info(struct fs *fs, uint64_t ino, struct recordfs_info *info)
{
	struct store_attr attr;
	if (info->count > RECORDFS_INFO_MAX || info->first > STORE_FILE_MAX / STORE_BLOCK_SIZE)
		return -EINVAL;
	int r = store_getattr(fs->store, ino, &attr);
	if (r < 0)
		return r;
	info->n = 0;
	info->ino = attr.ino;
	info->size = attr.size;
	info->blocks = attr.blocks;
	info->version = attr.version;
	info->ttl = reply_ttl(fs, &attr);
	info->own_ttl = attr.ttl >= 0;
	info->block_size = STORE_BLOCK_SIZE;
	return info->count && S_ISREG(attr.mode) ? look_at_blocks(fs, ino, info) : 0;
}

static void reply_info(fuse_req_t req, uint64_t ino, const void *in, size_t in_size)
{
	struct recordfs_info *info = malloc(sizeof *info);
	int r = -ENOMEM;
	if (info && in_size < sizeof *info) {
		r = -EINVAL;
	} else if (info) {
		memcpy(info, in, sizeof *info);
		memset(info->block, 0, sizeof info->block);
		r = fill_info(fs_of(req), ino, info);
	}
	if (r < 0)
		reply_error(req, OP_IOCTL, r);
	else
		fuse_reply_ioctl(req, 0, info, sizeof *info);
	free(info);
}

/* All of the control interface is for the user whose daemon this is, and for root: it tells where
 * the store lies and what it holds, and with allow_other anybody can open a file. */
static bool may_control(fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	return uid == 0 || uid == geteuid();
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
	unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	(void)arg;
	(void)fi;
	(void)flags;
	if (_IOC_TYPE(cmd) != RECORDFS_IOC_TYPE)
		fuse_reply_err(req, ENOTTY);
	else if (!may_control(req))
		fuse_reply_err(req, EPERM);
	else if (cmd == RECORDFS_IOC_STATS && out_size >= sizeof(struct recordfs_stats))
		op_ioctl_stats(req);
	else if (cmd == RECORDFS_IOC_HISTOGRAMS && out_size >= sizeof(struct recordfs_histograms))
		op_ioctl_histograms(req, in, in_size);
	else if (cmd == RECORDFS_IOC_ERRORS && out_size >= sizeof(struct recordfs_errors))
		op_ioctl_errors(req);
	else if (cmd == RECORDFS_IOC_HISTORY && out_size >= sizeof(struct recordfs_history))
		op_ioctl_history(req, in, in_size);
	else if (cmd == RECORDFS_IOC_CACHED && out_size >= sizeof(struct recordfs_cached))
		op_ioctl_cached(req, in, in_size);
	else if (cmd == RECORDFS_IOC_PATH && out_size >= sizeof(struct recordfs_path))
		op_ioctl_path(req, in, in_size);
	else if (cmd == RECORDFS_IOC_INFO && out_size >= sizeof(struct recordfs_info))
		reply_info(req, ino, in, in_size);
	else if (!control_change(req, ino, cmd, in, in_size, out_size))
		fuse_reply_err(req, ENOTTY);
}
