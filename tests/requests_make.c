/* What the kernel asks: made of the bytes of an input. */
#include "requests.h"

#include "fs/control.h"

#include <assert.h>
#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define NAME_BYTES 1100u

uint8_t input_u8(struct requests_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

uint32_t input_u32(struct requests_input *in)
{
	uint32_t value = 0;
	for (unsigned i = 0; i < 4; i++)
		value = value << 8 | input_u8(in);
	return value;
}

/* Mostly what files of the test have, but also every edge there is. */
static uint64_t number(struct requests_input *in)
{
	static const uint64_t odd[] = {4095, 4096, 4097, 65535, 65536, 65537, 1u << 20, INT32_MAX,
		UINT32_MAX, STORE_FILE_MAX - 1, STORE_FILE_MAX, STORE_FILE_MAX + 1,
		(uint64_t)1 << 52, INT64_MAX - 4095, INT64_MAX, (uint64_t)1 << 63,
		UINT64_MAX - 4096, UINT64_MAX};
	uint8_t kind = input_u8(in);
	if (kind < 64)
		return kind;
	if (kind < 160)
		return (uint64_t)input_u8(in) << 8 | input_u8(in);
	if (kind < 200)
		return (uint64_t)input_u8(in) * STORE_BLOCK_SIZE;
	return odd[kind % ARRAY_LEN(odd)];
}

/* At most `most`. */
static size_t count(struct requests_input *in, size_t most)
{
	uint64_t n = number(in);
	return n < most ? (size_t)n : most;
}

/* A name, or what is none, into buf; its length, which `strlen` may find to be less. */
static size_t name(struct requests_input *in, char *buf)
{
	static const char *const odd[] = {
		"", ".", "..", "/", "a/b", "/etc/passwd", "..\x01", "\xff\xfe"};
	static const size_t lengths[] = {255, 256, 257, 1024};
	uint8_t kind = input_u8(in);
	if (kind < 200) {
		buf[0] = (char)('a' + kind % 8);
		return 1;
	}
	if (kind < 232) {
		size_t len = strlen(odd[kind % ARRAY_LEN(odd)]);
		memcpy(buf, odd[kind % ARRAY_LEN(odd)], len);
		return len;
	}
	if (kind < 240) {
		memcpy(buf, "a\0b", 3);
		return 3;
	}
	size_t len = lengths[kind % ARRAY_LEN(lengths)];
	memset(buf, 'n', len);
	return len;
}

static void append(struct asked *a, const void *bytes, size_t size)
{
	unsigned char *in = realloc(a->in, a->in_size + size);
	if (!in)
		abort();
	memcpy(in + a->in_size, bytes, size);
	a->in = in;
	a->in_size += size;
}

static void append_name(struct requests *r, struct asked *a)
{
	char buf[NAME_BYTES];
	size_t len = name(&r->in, buf);
	append(a, buf, len);
	append(a, "", 1);
}

/* One of the things, or a number that none has. */
static unsigned pick(struct requests *r, uint64_t ret[SIDES])
{
	static const uint64_t odd[] = {0, 1000000, (uint64_t)1 << 33, (uint64_t)1 << 34,
		(uint64_t)1 << 62, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};
	uint8_t kind = input_u8(&r->in);
	if (kind >= 240) {
		ret[0] = ret[1] = odd[kind % ARRAY_LEN(odd)];
		return REQUESTS_THINGS;
	}
	unsigned i = kind % r->n_things;
	memcpy(ret, r->things[i].ino, sizeof r->things[i].ino);
	return i;
}

/* A second inode, whose number is `at` bytes into the request. */
static void patch_node(struct requests *r, struct asked *a, size_t at)
{
	a->patch_at = at;
	(void)pick(r, a->patch);
}

static void make_named(struct requests *r, struct asked *a)
{
	struct requests_input *in = &r->in;
	const struct fuse_mknod_in mknod = {.mode = input_u32(in), .rdev = a->opcode, .umask = 022};
	const struct fuse_mkdir_in mkdir = {.mode = mknod.mode, .umask = 0};
	const struct fuse_create_in create = {
		.flags = mknod.mode >> 12, .mode = mknod.mode, .umask = 077};
	if (a->opcode == FUSE_MKNOD)
		append(a, &mknod, sizeof mknod);
	else if (a->opcode == FUSE_MKDIR)
		append(a, &mkdir, sizeof mkdir);
	else if (a->opcode == FUSE_CREATE)
		append(a, &create, sizeof create);
	append_name(r, a);
	if (a->opcode == FUSE_SYMLINK) { /* the target */
		static char target[5000];
		size_t len = count(in, sizeof target);
		memset(target, 't', sizeof target);
		append(a, target, len);
		append(a, "", 1);
	}
}

static void make_two_named(struct requests *r, struct asked *a)
{
	if (a->opcode == FUSE_LINK) {
		const struct fuse_link_in link = {0};
		append(a, &link, sizeof link);
		patch_node(r, a, offsetof(struct fuse_link_in, oldnodeid));
		append_name(r, a);
		return;
	}
	if (a->opcode == FUSE_RENAME) {
		const struct fuse_rename_in in = {0};
		append(a, &in, sizeof in);
	} else {
		uint8_t flags = input_u8(&r->in);
		const struct fuse_rename2_in in = {.flags = flags < 250 ? flags % 4 : UINT32_MAX};
		append(a, &in, sizeof in);
	}
	static_assert(offsetof(struct fuse_rename_in, newdir) == 0, "as in fuse_rename2_in");
	patch_node(r, a, 0);
	append_name(r, a);
	append_name(r, a);
}

static void make_setattr(struct requests *r, struct asked *a)
{
	struct requests_input *in = &r->in;
	const struct fuse_setattr_in set = {
		.valid = (uint32_t)input_u8(in) << 8 | input_u8(in),
		.size = number(in),
		.mode = input_u32(in),
		.uid = input_u8(in) % 3,
		.gid = input_u8(in) % 3,
		.atime = number(in),
		.mtime = number(in),
		.atimensec = (uint32_t)number(in),
		.mtimensec = (uint32_t)number(in),
	};
	append(a, &set, sizeof set);
}

static void make_write(struct requests *r, struct asked *a)
{
	static unsigned char data[REQUESTS_BYTES];
	struct requests_input *in = &r->in;
	size_t len = count(in, sizeof data);
	struct fuse_write_in write = {.offset = number(in),
		.size = (uint32_t)len,
		.write_flags = input_u8(in) % 8,
		.flags = input_u8(in) % 2 ? 02000 /* O_APPEND */ : input_u32(in)};
	memset(data, input_u8(in), len);
	append(a, &write, sizeof write);
	append(a, data, len);
}

static void make_read(struct requests *r, struct asked *a)
{
	struct requests_input *in = &r->in;
	struct fuse_read_in read = {.fh = number(in), .offset = number(in)};
	bool list = a->opcode != FUSE_READ;
	/* More than a mount ever agrees to as well. */
	read.size = (uint32_t)count(in, list ? UINT32_MAX : (size_t)4 << 20);
	append(a, &read, sizeof read);
	a->room = read.size;
	a->whole = list && read.offset == 0;
	/* Where each was, past "." and "..". */
	if (list && read.offset % 4 == 3 && r->cookie[0] > 2 && r->cookie[1] > 2) {
		a->patch_at = offsetof(struct fuse_read_in, offset);
		memcpy(a->patch, r->cookie, sizeof r->cookie);
	}
}

static void make_xattr(struct requests *r, struct asked *a)
{
	static const char *const names[] = {"user.a", "user.b", "user.recordfs.ttl", "security.c",
		"trusted.d", "system.posix_acl_access", "system.posix_acl_default", "user.",
		"nothing", ""};
	static char value[70000];
	static char longest[300] = "user.";
	struct requests_input *in = &r->in;
	size_t size = a->opcode == FUSE_REMOVEXATTR ? 0 : count(in, sizeof value);
	const struct fuse_getxattr_in get = {.size = (uint32_t)number(in)};
	const uint32_t set[] = {(uint32_t)size, input_u8(in) % 4}; /* as kernels before 5.13 */
	uint8_t kind = input_u8(in);
	if (a->opcode == FUSE_SETXATTR)
		append(a, set, sizeof set);
	else if (a->opcode != FUSE_REMOVEXATTR)
		append(a, &get, sizeof get);
	a->room = get.size ? get.size : sizeof(struct fuse_getxattr_out);
	if (a->opcode == FUSE_LISTXATTR)
		return;
	memset(longest + 5, 'x', sizeof longest - 6);
	const char *name = kind < 240 ? names[kind % ARRAY_LEN(names)]
				      : longest + sizeof longest - 1 - (248 + kind % 8);
	append(a, name, strlen(name) + 1);
	if (a->opcode == FUSE_SETXATTR) {
		memset(value, '0' + input_u8(in) % 10, size);
		append(a, value, size);
	}
}

static void make_data(struct requests *r, struct asked *a)
{
	struct requests_input *in = &r->in;
	if (a->opcode == FUSE_FALLOCATE) {
		struct fuse_fallocate_in f = {.offset = number(in), .length = number(in)};
		/* The model makes a block of each. */
		if (f.length > 1 << 20 && f.length < STORE_FILE_MAX)
			f.length = 1 << 20;
		f.mode = input_u8(in) < 250 ? input_u8(in) % 64 : UINT32_MAX;
		/* Whether there is space for all of a file is the disk's affair. */
		if (f.length >= STORE_FILE_MAX)
			f.mode &= ~(uint32_t)FALLOC_FL_KEEP_SIZE;
		append(a, &f, sizeof f);
	} else if (a->opcode == FUSE_COPY_FILE_RANGE) {
		struct fuse_copy_file_range_in c = {.off_in = number(in), .off_out = number(in)};
		c.len = input_u8(in) < 240 ? count(in, 1 << 20) : number(in);
		c.flags = input_u8(in) > 250;
		append(a, &c, sizeof c);
		patch_node(r, a, offsetof(struct fuse_copy_file_range_in, nodeid_out));
	} else {
		const struct fuse_lseek_in l = {.offset = number(in), .whence = input_u8(in) % 8};
		append(a, &l, sizeof l);
		a->may_differ = true; /* how much of a hole is a hole */
	}
}

/* What a control call that changes something is given, so that it often means something. */
static void fill_control(struct requests *r, struct asked *a, uint32_t cmd, unsigned char *data)
{
	static const char *const texts[] = {"cache_size=0", "cache_size=64K", "cache_size=8M",
		"sync=always", "sync=disabled", "cache_ttl=0", "cache_ttl=300,sync=standard",
		"on_cache_error=bypass", "", "sync=never", "cache_size=64K,,", "max_size=1M"};
	struct requests_input *in = &r->in;
	if (cmd == RECORDFS_IOC_DROP) {
		struct recordfs_drop drop = {
			.all = input_u8(in) % 4 == 0, .n = (uint32_t)number(in)};
		drop.n = drop.all && drop.n < 32 ? 0 : drop.n;
		patch_node(
			r, a, sizeof(struct fuse_ioctl_in) + offsetof(struct recordfs_drop, ino));
		memcpy(data, &drop, sizeof drop);
	} else if (cmd == RECORDFS_IOC_WARM) {
		const struct recordfs_warm warm = {.first = number(in),
			.count = (uint32_t)number(in),
			.session = (uint32_t)number(in)};
		memcpy(data, &warm, sizeof warm);
	} else if (cmd == RECORDFS_IOC_SET) {
		const char *text = texts[input_u8(in) % ARRAY_LEN(texts)];
		memcpy(data, text, strlen(text));
	}
}

static void make_ioctl(struct requests *r, struct asked *a)
{
	static const uint32_t known[] = {RECORDFS_IOC_STATS, RECORDFS_IOC_INFO,
		RECORDFS_IOC_HISTOGRAMS, RECORDFS_IOC_ERRORS, RECORDFS_IOC_HISTORY,
		RECORDFS_IOC_CACHED, RECORDFS_IOC_PATH, 0x5401 /* TCGETS */, FS_IOC_GETFLAGS,
		FIOCLEX, 0, UINT32_MAX, RECORDFS_IOC_DROP, RECORDFS_IOC_WARM, RECORDFS_IOC_SET};
	static unsigned char data[1 << 14];
	struct requests_input *in = &r->in;
	uint8_t kind = input_u8(in);
	uint32_t cmd = known[kind % ARRAY_LEN(known)];
	if (kind >= 200) {
		unsigned direction = input_u8(in) % 4, size = (unsigned)(number(in) % sizeof data);
		cmd = _IOC(direction, 'r', 0x50u + kind % 16u, size);
	}
	struct fuse_ioctl_in io = {.cmd = cmd, .flags = input_u8(in)};
	/* The kernel takes the sizes from the number; others are as many as there may be. */
	io.in_size = cmd >> 30 & 1 ? _IOC_SIZE(cmd) : 0;
	io.out_size = cmd >> 30 & 2 ? _IOC_SIZE(cmd) : 0;
	uint8_t how = input_u8(in);
	if (how > 200) {
		io.in_size = (uint32_t)count(in, sizeof data);
		io.out_size = (uint32_t)count(in, sizeof data);
	}
	memset(data, 0, sizeof data);
	for (size_t i = 0; i < 32; i++)
		data[i] = input_u8(in);
	if (how < 150)
		fill_control(r, a, cmd, data);
	append(a, &io, sizeof io);
	append(a, data, io.in_size);
	a->room = sizeof(struct fuse_ioctl_out) + io.out_size;
	a->may_differ = true;
	a->may_fail = cmd == RECORDFS_IOC_WARM;
}

static void make_open(struct requests *r, struct asked *a)
{
	if (a->opcode == FUSE_RELEASE || a->opcode == FUSE_RELEASEDIR) {
		const struct fuse_release_in release = {.fh = number(&r->in)};
		append(a, &release, sizeof release);
	} else {
		const struct fuse_open_in open = {.flags = input_u32(&r->in) >> 12};
		append(a, &open, sizeof open);
		a->may_differ = true; /* the TTL may be over by now */
	}
}

/* Requests that nobody has an operation for, among them one that is none. */
static void make_other(struct requests *r, struct asked *a)
{
	static const uint32_t opcodes[] = {FUSE_FLUSH, FUSE_ACCESS, FUSE_BMAP, FUSE_POLL,
		FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW, FUSE_TMPFILE, FUSE_SYNCFS, 52 /* STATX */,
		4711, UINT32_MAX};
	static const unsigned char zeros[256];
	a->opcode = opcodes[input_u8(&r->in) % ARRAY_LEN(opcodes)];
	append(a, zeros, sizeof zeros);
}

/* Told to both at once. */
static void tell_forget(struct requests *r, bool batch)
{
	uint64_t nodes[SIDES];
	unsigned which = pick(r, nodes);
	uint64_t n = number(&r->in);
	struct {
		struct fuse_batch_forget_in head;
		struct fuse_forget_one one[2];
	} many = {.head = {.count = 2}};
	for (unsigned side = 0; side < SIDES; side++) {
		const struct fuse_forget_in one = {.nlookup = n};
		many.one[0] = (struct fuse_forget_one){.nodeid = nodes[side], .nlookup = n};
		if (batch)
			kernel_tell(r->kernel[side], FUSE_BATCH_FORGET, 0, &many, sizeof many);
		else
			kernel_tell(r->kernel[side], FUSE_FORGET, nodes[side], &one, sizeof one);
	}
	if (which < REQUESTS_THINGS && which > 0) {
		struct thing *t = &r->things[which];
		t->nlookup = n < t->nlookup ? t->nlookup - n : 0;
	}
}

static void fill_in(struct requests *r, struct asked *a)
{
	const struct fuse_getattr_in getattr = {0};
	const struct fuse_fsync_in fsync = {.fsync_flags = input_u8(&r->in) % 4};
	switch (a->opcode) {
	case FUSE_LOOKUP:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_CREATE:
		make_named(r, a);
		break;
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		make_two_named(r, a);
		break;
	case FUSE_GETATTR:
		append(a, &getattr, sizeof getattr);
		break;
	case FUSE_SETATTR:
		make_setattr(r, a);
		break;
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		make_read(r, a);
		break;
	case FUSE_WRITE:
		make_write(r, a);
		break;
	case FUSE_SETXATTR:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_REMOVEXATTR:
		make_xattr(r, a);
		break;
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_LSEEK:
		make_data(r, a);
		break;
	case FUSE_IOCTL:
		make_ioctl(r, a);
		break;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		append(a, &fsync, sizeof fsync);
		break;
	case FUSE_READLINK:
	case FUSE_STATFS:
		break;
	default:
		make_open(r, a);
	}
}

bool requests_make(struct requests *r, struct asked *a)
{
	static const uint32_t opcodes[] = {FUSE_LOOKUP, FUSE_LOOKUP, FUSE_LOOKUP, FUSE_GETATTR,
		FUSE_SETATTR, FUSE_SETATTR, FUSE_READLINK, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKNOD,
		FUSE_MKDIR, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2,
		FUSE_RENAME2, FUSE_LINK, FUSE_OPEN, FUSE_OPEN, FUSE_READ, FUSE_READ, FUSE_READ,
		FUSE_WRITE, FUSE_WRITE, FUSE_WRITE, FUSE_WRITE, FUSE_STATFS, FUSE_RELEASE,
		FUSE_FSYNC, FUSE_SETXATTR, FUSE_SETXATTR, FUSE_GETXATTR, FUSE_LISTXATTR,
		FUSE_REMOVEXATTR, FUSE_OPENDIR, FUSE_READDIR, FUSE_READDIR, FUSE_RELEASEDIR,
		FUSE_FSYNCDIR, FUSE_CREATE, FUSE_CREATE, FUSE_CREATE, FUSE_IOCTL, FUSE_FALLOCATE,
		FUSE_FALLOCATE, FUSE_READDIRPLUS, FUSE_LSEEK, FUSE_COPY_FILE_RANGE,
		FUSE_COPY_FILE_RANGE};
	uint8_t kind = input_u8(&r->in) % 64;
	*a = (struct asked){.patch_at = SIZE_MAX};
	if (kind < ARRAY_LEN(opcodes)) {
		a->opcode = opcodes[kind];
		(void)pick(r, a->nodeid);
		fill_in(r, a);
		return true;
	}
	if (kind < 56) {
		tell_forget(r, kind % 2);
		return false;
	}
	if (kind < 58) {
		uint64_t unique = number(&r->in);
		for (unsigned side = 0; side < SIDES; side++)
			kernel_interrupt(r->kernel[side], unique);
		return false;
	}
	if (kind < 60) {
		uint8_t uid = input_u8(&r->in) % 3;
		for (unsigned side = 0; side < SIDES; side++)
			kernel_caller(r->kernel[side], uid, uid);
		return false;
	}
	(void)pick(r, a->nodeid);
	make_other(r, a);
	return true;
}
