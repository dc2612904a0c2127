/* What was answered, by both, and what the kernel makes of it. */
#include "requests.h"

#include "fs/errors.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Requests that have an operation, and how it is called in the table of errnos. */
static const struct {
	uint32_t opcode;
	enum fs_op op;
} operations[] = {
	{FUSE_LOOKUP, OP_LOOKUP},
	{FUSE_GETATTR, OP_GETATTR},
	{FUSE_SETATTR, OP_SETATTR},
	{FUSE_READLINK, OP_READLINK},
	{FUSE_SYMLINK, OP_MKNOD},
	{FUSE_MKNOD, OP_MKNOD},
	{FUSE_MKDIR, OP_MKNOD},
	{FUSE_UNLINK, OP_UNLINK},
	{FUSE_RMDIR, OP_RMDIR},
	{FUSE_RENAME, OP_RENAME},
	{FUSE_RENAME2, OP_RENAME},
	{FUSE_LINK, OP_LINK},
	{FUSE_OPEN, OP_OPEN},
	{FUSE_READ, OP_READ},
	{FUSE_WRITE, OP_WRITE},
	{FUSE_STATFS, OP_STATFS},
	{FUSE_RELEASE, OP_OPEN},
	{FUSE_FSYNC, OP_FSYNC},
	{FUSE_SETXATTR, OP_SETXATTR},
	{FUSE_GETXATTR, OP_GETXATTR},
	{FUSE_LISTXATTR, OP_GETXATTR},
	{FUSE_REMOVEXATTR, OP_REMOVEXATTR},
	{FUSE_OPENDIR, OP_OPEN},
	{FUSE_READDIR, OP_READDIR},
	{FUSE_READDIRPLUS, OP_READDIR},
	{FUSE_RELEASEDIR, OP_OPEN},
	{FUSE_FSYNCDIR, OP_FSYNC},
	{FUSE_CREATE, OP_OPEN},
	{FUSE_IOCTL, OP_IOCTL},
	{FUSE_FALLOCATE, OP_FALLOCATE},
	{FUSE_LSEEK, OP_LSEEK},
	{FUSE_COPY_FILE_RANGE, OP_COPY},
};

/* May this operation say so? What there is no operation for is ENOSYS, and nothing else is. */
static bool may_say(uint32_t opcode, int error)
{
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (operations[i].opcode == opcode)
			return error != EIO && errors_reply(operations[i].op, -error) == error;
	return error == ENOSYS;
}

static bool makes_entry(const struct asked *a)
{
	return a->opcode == FUSE_LOOKUP || a->opcode == FUSE_MKNOD || a->opcode == FUSE_MKDIR ||
	       a->opcode == FUSE_SYMLINK || a->opcode == FUSE_LINK || a->opcode == FUSE_CREATE;
}

/* How long the answer must be; *ret_exactly or at most. */
static size_t wanted_size(const struct asked *a, bool *ret_exactly)
{
	*ret_exactly = true;
	switch (a->opcode) {
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return sizeof(struct fuse_attr_out);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return sizeof(struct fuse_open_out);
	case FUSE_WRITE:
	case FUSE_COPY_FILE_RANGE:
		return sizeof(struct fuse_write_out);
	case FUSE_LSEEK:
		return sizeof(struct fuse_lseek_out);
	case FUSE_STATFS:
		return sizeof(struct fuse_statfs_out);
	case FUSE_READLINK:
		*ret_exactly = false;
		return STORE_TARGET_MAX;
	case FUSE_CREATE:
		return sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out);
	default:
		*ret_exactly = makes_entry(a);
		return makes_entry(a) ? sizeof(struct fuse_entry_out) : a->room;
	}
}

static bool judge_one(struct requests *r, const struct asked *a, unsigned side)
{
	const struct kernel_answer *w = &a->answer[side];
	bool exactly;
	if (!w->answered)
		return requests_wrong(r, "request %u was not answered", a->opcode);
	if (w->error)
		return may_say(a->opcode, w->error) ||
		       requests_wrong(r, "request %u answers %s", a->opcode, strerror(w->error));
	size_t wanted = wanted_size(a, &exactly);
	if (exactly ? w->size != wanted : w->size > wanted)
		return requests_wrong(
			r, "request %u answers %zu bytes of %zu", a->opcode, w->size, wanted);
	return true;
}

/* -- the same of both ------------------------------------------------------------------------- */

static bool same_attr(struct requests *r, const struct asked *a, const struct fuse_attr *x,
	const struct fuse_attr *y)
{
	if (x->mode == y->mode && x->nlink == y->nlink && x->uid == y->uid && x->gid == y->gid &&
		x->size == y->size && x->rdev == y->rdev && x->blksize == y->blksize)
		return true;
	return requests_wrong(r,
		"request %u: mode %o and %o, links %u and %u, size %llu and %llu, owner %u:%u and "
		"%u:%u",
		a->opcode, x->mode, y->mode, x->nlink, y->nlink, (unsigned long long)x->size,
		(unsigned long long)y->size, x->uid, x->gid, y->uid, y->gid);
}

/* What a listing has, in any order, and where its last entry is. Those that the kernel hears of are
 * forgotten again. */
static uint64_t take_listing(struct requests *r, const struct asked *a, unsigned side)
{
	const struct kernel_answer *w = &a->answer[side];
	bool plus = a->opcode == FUSE_READDIRPLUS;
	size_t skip = plus ? offsetof(struct fuse_direntplus, dirent) : 0, at = 0;
	uint64_t sum = 0;
	while (at + skip + FUSE_NAME_OFFSET <= w->size) {
		struct fuse_dirent d;
		struct fuse_entry_out entry = {0};
		memcpy(&d, w->data + at + skip, FUSE_NAME_OFFSET);
		if (plus)
			memcpy(&entry, w->data + at, sizeof entry);
		const unsigned char *name = w->data + at + skip + FUSE_NAME_OFFSET;
		size_t next = at + skip + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
		if (d.namelen == 0 || d.namelen > STORE_NAME_MAX || next > w->size ||
			memchr(name, '/', d.namelen) || memchr(name, 0, d.namelen)) {
			(void)requests_wrong(r, "a listing has what is no entry");
			return 0;
		}
		sum += XXH3_64bits_withSeed(name, d.namelen, d.type);
		r->cookie[side] = d.off;
		if (entry.nodeid && !w->refused) {
			const struct fuse_forget_in one = {.nlookup = 1};
			kernel_tell(r->kernel[side], FUSE_FORGET, entry.nodeid, &one, sizeof one);
		}
		at = next;
	}
	return sum;
}

static bool same_listing(struct requests *r, const struct asked *a)
{
	uint64_t x = take_listing(r, a, 0), y = take_listing(r, a, 1);
	/* Both have all of it only where there was room for more. */
	bool all = a->whole && a->answer[0].size + 512 < a->room && a->room < 128u << 10;
	return !all || x == y || requests_wrong(r, "the listings differ");
}

static bool same_bytes(struct requests *r, const struct asked *a)
{
	const struct kernel_answer *x = &a->answer[0], *y = &a->answer[1];
	if (x->size != y->size)
		return requests_wrong(
			r, "request %u: %zu and %zu bytes", a->opcode, x->size, y->size);
	if (a->opcode != FUSE_LISTXATTR && x->size && memcmp(x->data, y->data, x->size) != 0)
		return requests_wrong(r, "request %u: other bytes", a->opcode);
	return true;
}

static bool same_answers(struct requests *r, const struct asked *a)
{
	const struct kernel_answer *x = &a->answer[0], *y = &a->answer[1];
	switch (a->opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
		return same_attr(r, a,
			&((const struct fuse_entry_out *)(const void *)x->data)->attr,
			&((const struct fuse_entry_out *)(const void *)y->data)->attr);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return same_attr(r, a, &((const struct fuse_attr_out *)(const void *)x->data)->attr,
			&((const struct fuse_attr_out *)(const void *)y->data)->attr);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return same_listing(r, a);
	case FUSE_STATFS:
		return true;
	default:
		return a->may_differ || same_bytes(r, a);
	}
}

/* -- what the kernel knows then --------------------------------------------------------------- */

static bool is_other(const struct requests *r, const uint64_t ino[SIDES])
{
	for (unsigned i = 0; i < r->n_things; i++)
		if ((r->things[i].ino[0] == ino[0]) != (r->things[i].ino[1] == ino[1]))
			return true;
	return false;
}

/* The thing that both have told of, a new one perhaps. NULL: they mean different ones, or there is
 * no room, and then it is forgotten. */
static struct thing *thing_of(struct requests *r, const uint64_t ino[SIDES])
{
	for (unsigned i = 0; i < r->n_things; i++)
		if (r->things[i].ino[0] == ino[0] && r->things[i].ino[1] == ino[1])
			return &r->things[i];
	if (is_other(r, ino)) {
		(void)requests_wrong(r, "the entries are different inodes");
		return NULL;
	}
	if (r->n_things == REQUESTS_THINGS)
		return NULL;
	r->things[r->n_things] = (struct thing){.ino = {ino[0], ino[1]}};
	return &r->things[r->n_things++];
}

static void take_entry(struct requests *r, const struct asked *a)
{
	uint64_t ino[SIDES];
	for (unsigned side = 0; side < SIDES; side++)
		memcpy(&ino[side], a->answer[side].data, sizeof ino[side]);
	static_assert(offsetof(struct fuse_entry_out, nodeid) == 0, "the first of it");
	struct thing *t = thing_of(r, ino);
	bool open = a->opcode == FUSE_CREATE;
	if (t) {
		t->nlookup++;
		t->nopen += open;
		return;
	}
	for (unsigned side = 0; side < SIDES; side++) {
		const struct fuse_forget_in one = {.nlookup = 1};
		const struct fuse_release_in release = {0};
		struct kernel_answer *answer = &(struct kernel_answer){0};
		if (open)
			kernel_ask(r->kernel[side], FUSE_RELEASE, ino[side], &release,
				sizeof release, answer);
		kernel_answer_free(answer);
		kernel_tell(r->kernel[side], FUSE_FORGET, ino[side], &one, sizeof one);
	}
}

/* Orphans that nobody uses are gone after a STATFS, or not: they are not asked for any more. */
static void leave_orphans(struct requests *r)
{
	unsigned n = 1;
	for (unsigned i = 1; i < r->n_things; i++)
		if (r->things[i].nlookup || r->things[i].nopen)
			r->things[n++] = r->things[i];
	r->n_things = n;
}

/* The thing may have moved since it was asked for. */
static struct thing *thing_asked(struct requests *r, const struct asked *a)
{
	for (unsigned i = 0; i < r->n_things; i++)
		if (r->things[i].ino[0] == a->nodeid[0] && r->things[i].ino[1] == a->nodeid[1])
			return &r->things[i];
	return NULL;
}

static void keep_account(struct requests *r, const struct asked *a)
{
	struct thing *t = thing_asked(r, a);
	bool refused = a->answer[0].refused;
	if (makes_entry(a) && !refused)
		take_entry(r, a);
	else if ((a->opcode == FUSE_OPEN || a->opcode == FUSE_OPENDIR) && t && !refused)
		t->nopen++;
	else if ((a->opcode == FUSE_RELEASE || a->opcode == FUSE_RELEASEDIR) && t && t->nopen)
		t->nopen--;
	else if (a->opcode == FUSE_STATFS)
		leave_orphans(r);
}

/* An entry that the kernel may keep, of a name that there is not, says the same as the error. */
static void take_no_entry(struct asked *a)
{
	for (unsigned side = 0; side < SIDES; side++) {
		struct kernel_answer *w = &a->answer[side];
		uint64_t nodeid;
		if (a->opcode != FUSE_LOOKUP || w->error || w->size < sizeof nodeid)
			continue;
		memcpy(&nodeid, w->data, sizeof nodeid);
		if (nodeid == 0)
			w->error = ENOENT;
	}
}

bool requests_judge(struct requests *r, struct asked *a)
{
	take_no_entry(a);
	if (!judge_one(r, a, 0) || !judge_one(r, a, 1))
		return false;
	int x = a->answer[0].error, y = a->answer[1].error;
	requests_counts.asked++;
	requests_counts.failed += x != 0;
	if (x != y)
		return a->may_fail || requests_wrong(r, "request %u answers %s and %s", a->opcode,
					      strerror(x), strerror(y));
	if (x)
		return true;
	if (!same_answers(r, a))
		return false;
	keep_account(r, a);
	return !r->broken;
}
