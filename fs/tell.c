#include "tell.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>

/* As <linux/fuse.h> has them since protocol 7.38, 7.44 and 7.45. */
struct inval_entry {
	uint64_t parent;
	uint32_t namelen;
	uint32_t flags; /* padding to kernels before that */
};
#define EXPIRE_ONLY 1u
#define NOTIFY_INC_EPOCH 8
struct prune {
	uint32_t count; /* of inode numbers, which follow */
	uint32_t padding;
	uint64_t spare;
};
#define NOTIFY_PRUNE 9

static struct log_limit failures = LOG_LIMIT_INIT;

/* The kernel may have forgotten it meanwhile, or be about to go. */
static bool is_harmless(int error)
{
	return error == -ENOENT || error == -ENOTCONN || error == -ENODEV || error == -EBADF;
}

static void complain(const char *what, uint64_t ino, int error)
{
	unsigned suppressed;
	if (error < 0 && !is_harmless(error) &&
		log_allowed(&failures, clock_monotonic(), &suppressed))
		log_line(LOG_ERR, "the kernel could not be told to drop %s %llu: %s", what,
			(unsigned long long)ino, strerror(-error));
}

/* iov[0] is `header`, which is filled in. */
static int notify(struct fuse_session *se, struct fuse_out_header *header, int code,
	const struct iovec *iov, int n)
{
	*header = (struct fuse_out_header){.error = code};
	for (int i = 0; i < n; i++)
		header->len += (uint32_t)iov[i].iov_len;
	return writev(fuse_session_fd(se), iov, n) < 0 ? -errno : 0;
}

/* Entries of any name that nobody uses. Kernels that do not know of this keep them until they need
 * the memory. */
static void tell_entries(struct fuse_session *se, uint64_t ino)
{
	struct fuse_out_header header;
	struct prune prune = {.count = 1};
	const struct iovec iov[] = {
		{&header, sizeof header}, {&prune, sizeof prune}, {&ino, sizeof ino}};
	int r = notify(se, &header, NOTIFY_PRUNE, iov, (int)ARRAY_LEN(iov));
	if (r != -EINVAL)
		complain("the entries of inode", ino, r);
}

void tell_inode(struct fuse_session *se, const struct inodes_stale *stale)
{
	complain("inode", stale->ino,
		fuse_lowlevel_notify_inval_inode(se, stale->ino, stale->offset, stale->len));
	if (stale->entries)
		tell_entries(se, stale->ino);
}

void tell_attr(struct fuse_session *se, uint64_t ino)
{
	tell_inode(se, &(struct inodes_stale){.ino = ino, .offset = -1});
}

void tell_name(struct fuse_session *se, uint64_t parent, const char *name, size_t len, bool forget)
{
	struct fuse_out_header header;
	struct inval_entry entry = {.parent = parent, .namelen = (uint32_t)len};
	union { /* what is sent is not written to, whatever struct iovec says */
		const char *from;
		void *to;
	} bytes = {.from = name};
	const struct iovec iov[] = {
		{&header, sizeof header}, {&entry, sizeof entry}, {bytes.to, len + 1}};
	if (!forget)
		entry.flags = EXPIRE_ONLY;
	complain("an entry of directory", parent,
		notify(se, &header, FUSE_NOTIFY_INVAL_ENTRY, iov, (int)ARRAY_LEN(iov)));
}

void tell_all_names(struct fuse_session *se)
{
	struct fuse_out_header header;
	const struct iovec iov = {&header, sizeof header};
	complain("all entries of", 1, notify(se, &header, NOTIFY_INC_EPOCH, &iov, 1));
}
