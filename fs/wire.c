#include "wire.h"

#include "fs.h"
#include "init_patch.h"
#include "latency.h"

#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of the one session of this process. Only the thread that serves INIT writes to it, before there
 * are others. */
static struct init_offer offer;
static bool answered = FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17); /* it can do it by itself */

static ssize_t wire_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	ssize_t n = read(fd, buf, len);
	if (!answered && n > 0)
		init_patch_request(&offer, buf, (size_t)n);
	return n;
}

/* Notifications have no number, and answer nothing. */
static void count(struct fs *fs, const struct iovec *iov)
{
	struct fuse_out_header header;
	if (iov->iov_len < sizeof header)
		return;
	memcpy(&header, iov->iov_base, sizeof header);
	if (header.unique)
		latency_answered(fs->latency, header.error);
}

static ssize_t wire_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	char out[sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out)];
	size_t len;
	if (answered || !init_patch_answer(&offer, iov, n, out, sizeof out, &len)) {
		count(userdata, iov);
		return writev(fd, iov, n);
	}
	answered = true;
	return write(fd, out, len);
}

int wire_attach(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.writev = wire_writev, .read = wire_read};
	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
