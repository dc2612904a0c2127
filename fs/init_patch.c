#include "init_patch.h"

#include "fuse.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ull << 36)
#endif

void init_patch_request(struct init_offer *offer, const void *msg, size_t len)
{
	struct fuse_in_header header;
	struct fuse_init_in init = {0};
	if (len < sizeof header)
		return;
	memcpy(&header, msg, sizeof header);
	if (header.opcode != FUSE_INIT)
		return;
	len -= sizeof header;
	memcpy(&init, (const char *)msg + sizeof header, len < sizeof init ? len : sizeof init);
	offer->seen = true;
	offer->unique = header.unique;
	offer->flags = init.flags;
	if (init.flags & FUSE_INIT_EXT)
		offer->flags |= (uint64_t)init.flags2 << 32;
}

bool init_patch_answer(struct init_offer *offer, const struct iovec *iov, int count, void *out,
	size_t out_size, size_t *ret_len)
{
	struct fuse_out_header header;
	struct fuse_init_out init;
	if (!offer->seen || count != 2 || iov[0].iov_len != sizeof header ||
		iov[1].iov_len != sizeof init || out_size < sizeof header + sizeof init)
		return false;
	memcpy(&header, iov[0].iov_base, sizeof header);
	if (header.unique != offer->unique || header.error)
		return false;
	offer->seen = false;
	memcpy(&init, iov[1].iov_base, sizeof init);
	init.flags |= FUSE_PARALLEL_DIROPS & (uint32_t)offer->flags;
	if (offer->flags & FUSE_INIT_EXT && offer->flags & FUSE_DIRECT_IO_ALLOW_MMAP) {
		init.flags |= FUSE_INIT_EXT;
		init.flags2 |= (uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32);
	}
	memcpy(out, &header, sizeof header);
	memcpy((char *)out + sizeof header, &init, sizeof init);
	*ret_len = sizeof header + sizeof init;
	return true;
}
