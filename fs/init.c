/*
 * What kernel and daemon agree on at the beginning of a mount.
 *
 * EXPLICIT_INVAL_DATA, not AUTO: with AUTO the kernel throws all pages of a record away when it
 * sees the mtime that our own write has set. No WRITEBACK_CACHE: write(2) would return before the
 * store has the data. No HANDLE_KILLPRIV: so the kernel clears setuid and setgid itself where it
 * asks for attributes to be set (chown, truncate), and the store does it for data. No splice: the
 * data goes into the store by copy anyway.
 */
#include "fs.h"
#include "ops.h"
#include "tell.h"

#include <assert.h>

#define MiB (1u << 20)
/* STORE_READ_MAX blocks must cover a request, also one that begins inside a block. */
#define REQUEST_MAX MiB
static_assert(REQUEST_MAX / STORE_BLOCK_SIZE + 1 <= STORE_READ_MAX, "a read is one store_read()");

/* Read-ahead requests that may be under way, and from how many on the kernel goes easy. */
#define BACKGROUND_MAX 64
#define BACKGROUND_MANY 48

/* The protocol's minor version from which on the kernel drops pages after a direct write: it is
 * what was tested, the change itself may be a little older. */
#define DROPS_WRITTEN 45

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
static void set(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (on)
		fuse_set_feature_flag(conn, flag); /* ignored where the kernel does not offer it */
	else
		fuse_unset_feature_flag(conn, flag);
}
#else
static void set(struct fuse_conn_info *conn, unsigned flag, bool on)
{
	if (on)
		conn->want |= flag & conn->capable;
	else
		conn->want &= ~flag;
}
#endif

void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;
	set(conn, FUSE_CAP_EXPLICIT_INVAL_DATA, true);
	set(conn, FUSE_CAP_POSIX_ACL, true);
	set(conn, FUSE_CAP_DONT_MASK, true);
	set(conn, FUSE_CAP_ATOMIC_O_TRUNC, true);
	set(conn, FUSE_CAP_READDIRPLUS, true);
	set(conn, FUSE_CAP_READDIRPLUS_AUTO, true);
	set(conn, FUSE_CAP_ASYNC_READ, true);
	set(conn, FUSE_CAP_EXPORT_SUPPORT, true);
	set(conn, FUSE_CAP_CACHE_SYMLINKS, fs->options->cache_ttl_ns > 0);
	set(conn, FUSE_CAP_IOCTL_DIR, true);
	set(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
	set(conn, FUSE_CAP_WRITEBACK_CACHE, false);
	set(conn, FUSE_CAP_SPLICE_READ, false);
	set(conn, FUSE_CAP_SPLICE_WRITE, false);
	set(conn, FUSE_CAP_SPLICE_MOVE, false);
	set(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	set(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, false);
	set(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP, true);
	set(conn, FUSE_CAP_PARALLEL_DIROPS, true);
#endif
	if (conn->max_write > REQUEST_MAX)
		conn->max_write = REQUEST_MAX;
	conn->max_read = fs->options->max_read;
	conn->max_readahead =
		REQUEST_MAX; /* the kernel takes the smaller one of this and its own */
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MANY;
	fs->kernel_drops_written = conn->proto_major > 7 || conn->proto_minor >= DROPS_WRITTEN;
	/* Where the kernel cannot be told to drop all entries at once, they must go by themselves.
	 */
	bool by_itself = conn->proto_major == 7 && conn->proto_minor < TELL_ALL_NAMES_MINOR;
	fs->entry_ttl_max = by_itself && fs->options->watch_ns ? fs->options->watch_ns : INT64_MAX;
	fs->initialised = true;
}
