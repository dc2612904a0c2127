/* Reads a damaged store through its interface as a mount would, and changes it. */

#include "hostile.h"

#include "cache/store/acl.h"
#include "cache/store/sqlite.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bounds of a walk: more than any sound store of these tests has. */
#define DIRS_MAX 64u
#define ENTRIES_MAX 512u
#define INOS_MAX 24u	/* inodes that are asked for by number */
#define INOS_EVER 4096u /* numbers past this are not given out in a sound store */
/* Blocks of one file that are read; a damaged size may say 2^30. */
#define BLOCKS_MAX 2048u

static struct store_span span;

/* -- what there once was -------------------------------------------------------------------------
 */

static struct hostile_version *known;
static size_t n_known;

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void learn_file(struct store *s, uint64_t ino)
{
	struct store_attr a;
	if (store_getattr(s, ino, &a) < 0 || !S_ISREG(a.mode))
		return;
	uint64_t blocks = (a.size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE;
	struct hostile_version v = {.ino = ino, .size = a.size};
	v.bytes = must(calloc(blocks + 1, STORE_BLOCK_SIZE));
	v.hole = must(calloc(blocks + 1, sizeof *v.hole));
	for (uint64_t b = 0; b < blocks; b += span.count) {
		if (store_read(s, ino, b, 1, &span) < 0 || span.first > b)
			abort();
		for (uint32_t i = 0; i < span.count; i++) {
			const struct block *block = span.blocks[i];
			uint64_t at = span.first + i;
			memcpy(v.bytes + at * STORE_BLOCK_SIZE, block->data, block->len);
			v.hole[at] = block->len == 0;
		}
		b = span.first;
		uint32_t n = span.count;
		store_span_release(&span);
		span.count = n;
	}
	span.count = 0;
	known = must(realloc(known, (n_known + 1) * sizeof *known));
	known[n_known++] = v;
}

void hostile_learn(const char *path)
{
	struct sqlite_config cfg = {.path = path, .readonly = true, .busy_timeout_ms = 1000};
	char why[SQLITE_STORE_WHY];
	struct store *s;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		abort();
	for (uint64_t ino = 1; ino <= INOS_EVER; ino++)
		learn_file(s, ino);
	store_close(s);
}

void hostile_forget(void)
{
	for (size_t i = 0; i < n_known; i++) {
		free(known[i].bytes);
		free(known[i].hole);
	}
	free(known);
	known = NULL;
	n_known = 0;
}

/* -- reading ------------------------------------------------------------------------------------
 */

struct walk {
	struct store *s;
	struct hostile_seen *seen;
	bool changed;
	uint64_t dirs[DIRS_MAX];
	unsigned n_dirs;
	unsigned n_entries; /* of the directory that is being read */
	bool deleted; /* the inode that is being read: it may lack blocks, as if half reaped */
	struct {
		uint64_t ino;
		char name[256];
		size_t len;
	} entry[ENTRIES_MAX];
};

static void note(struct walk *w, int r, const char *what, uint64_t ino)
{
	/* An answer, not a failure. */
	if (r >= 0 || (r != -EIO && r != -EBADMSG && r != -ENOMEM))
		return;
	if (r == -EBADMSG && w->deleted)
		return;
	if (w->seen->errors++ == 0)
		snprintf(w->seen->first, sizeof w->seen->first, "%s of inode %llu: %s", what,
			(unsigned long long)ino, strerror(-r));
}

enum likeness { LIKE, HOLE_FOR_DATA, UNLIKE };

/* Is block `at` of the inode as one of the versions had it? Where a file ends by its (damaged) size
 * the rest of a block is cut off. */
static enum likeness compare(uint64_t ino, uint64_t at, const struct block *b, bool is_cut)
{
	static const uint8_t zeros[STORE_BLOCK_SIZE];
	bool seen = false;
	for (size_t i = 0; i < n_known; i++) {
		const struct hostile_version *v = &known[i];
		if (v->ino != ino || at * STORE_BLOCK_SIZE >= v->size)
			continue;
		const uint8_t *was = v->bytes + at * STORE_BLOCK_SIZE;
		seen = true;
		if (b->len == 0 ? v->hole[at]
				: memcmp(was, b->data, b->len) == 0 &&
					  (is_cut || memcmp(was + b->len, zeros,
							     STORE_BLOCK_SIZE - b->len) == 0))
			return LIKE;
	}
	if (b->len == 0)
		return seen ? HOLE_FOR_DATA : LIKE;
	return UNLIKE;
}

/* May hostile_change() have made the file, or written to it? */
static bool is_touched(uint64_t ino)
{
	for (size_t i = 0; i < n_known; i++)
		if (known[i].ino == ino)
			return ino <= 5;
	return true;
}

static void check_block(
	struct walk *w, uint64_t ino, uint64_t size, uint64_t at, const struct block *b)
{
	struct store_block_info info = {0};
	enum likeness like = compare(ino, at, b, at * STORE_BLOCK_SIZE + b->len == size);
	if (like == LIKE || (w->changed && is_touched(ino)))
		return;
	if (like == HOLE_FOR_DATA) {
		w->seen->vanished += !w->deleted;
		return;
	}
	if (store_block_info(w->s, ino, at, 1, &info) == 1 && !info.has_sum)
		return; /* what has none is taken as it is */
	snprintf(w->seen->wrong, sizeof w->seen->wrong,
		"block %llu of inode %llu is read with bytes that nobody has written",
		(unsigned long long)at, (unsigned long long)ino);
}

static bool is_like(uint64_t ino, uint64_t size, uint64_t at, const struct block *b)
{
	return compare(ino, at, b, at * STORE_BLOCK_SIZE + b->len == size) == LIKE;
}

static void read_file(struct walk *w, uint64_t ino, uint64_t size)
{
	uint64_t blocks = (size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE, offset;
	uint32_t step = 1;
	blocks = blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
	for (uint64_t b = 0; b < blocks; b += step, step = step % 40 + 13) {
		int r = store_read(w->s, ino, b, step, &span);
		note(w, r, "read", ino);
		for (uint32_t i = 0; r == 0 && i < span.count; i++)
			check_block(w, ino, span.attr.size, span.first + i, span.blocks[i]);
		if (r == 0)
			store_span_release(&span);
	}
	/* One at a time, so that a bad block does not hide the others. */
	for (uint64_t b = 0; b < blocks && b < 64; b++) {
		if (store_read(w->s, ino, b, 1, &span) < 0)
			continue;
		for (uint32_t i = 0; i < span.count; i++)
			check_block(w, ino, span.attr.size, span.first + i, span.blocks[i]);
		if (span.first <= b && b < span.first + span.count &&
			is_like(ino, span.attr.size, b, span.blocks[b - span.first]))
			w->seen->blocks++;
		store_span_release(&span);
	}
	for (int data = 0; data < 2; data++)
		for (uint64_t at = 0, i = 0; i < 32; i++, at = offset + 1) {
			int r = store_seek(w->s, ino, at, data, &offset);
			note(w, r, "seek", ino);
			if (r < 0)
				break;
		}
	IGNORE(store_read(w->s, ino, UINT64_MAX / STORE_BLOCK_SIZE - 600, 500, &span) < 0);
	store_span_release(&span);
}

static bool take_xattr(void *arg, const char *name, size_t len)
{
	char(*names)[STORE_NAME_MAX + 1] = arg;
	for (size_t i = 0; i < 16; i++)
		if (names[i][0] == '\0') {
			memcpy(names[i], name, len);
			names[i][len] = '\0';
			return true;
		}
	return false;
}

static void read_xattrs(struct walk *w, uint64_t ino)
{
	static char value[STORE_XATTR_MAX];
	char names[16][STORE_NAME_MAX + 1] = {{0}};
	note(w, store_listxattr(w->s, ino, take_xattr, names), "list of attributes", ino);
	for (size_t i = 0; i < 16 && names[i][0]; i++) {
		ssize_t n =
			store_getxattr(w->s, ino, names[i], strlen(names[i]), value, sizeof value);
		note(w, (int)n, "attribute", ino);
		if (n == -ENODATA)
			note(w, -EIO, "attribute that is listed", ino);
	}
	ssize_t n = store_getxattr(w->s, ino, ACL_ACCESS_NAME, strlen(ACL_ACCESS_NAME), value, 10);
	note(w, (int)n, "ACL", ino);
}

/* `named`: an entry leads to it. */
static void read_inode(struct walk *w, uint64_t ino, bool named)
{
	static char buf[8192];
	static struct store_block_info info[600];
	struct store_attr a = {0};
	int r = store_getattr(w->s, ino, &a);
	note(w, named && r == -ESTALE ? -EIO : r, "attributes", ino);
	r = store_path(w->s, ino, buf, sizeof buf);
	if (named && !w->changed)
		note(w, r == -ENOENT ? -EIO : r, "path", ino);
	if (store_getattr(w->s, ino, &a) < 0)
		return;
	read_xattrs(w, ino);
	w->deleted = a.nlink == 0;
	r = store_readlink(w->s, ino, buf, sizeof buf);
	if (S_ISLNK(a.mode))
		note(w, r, "target", ino);
	if (S_ISREG(a.mode))
		read_file(w, ino, a.size);
	else
		IGNORE(store_read(w->s, ino, 0, 1, &span) == 0);
	note(w, (int)store_block_info(w->s, ino, 0, ARRAY_LEN(info), info), "list of blocks", ino);
	w->deleted = false;
}

static bool take_entry(void *arg, const struct store_entry *e)
{
	struct walk *w = arg;
	unsigned n = w->n_entries;
	if (n == ENTRIES_MAX)
		return false;
	w->entry[n].ino = e->ino;
	w->entry[n].len = e->name.len;
	memcpy(w->entry[n].name, e->name.bytes, e->name.len);
	w->n_entries++;
	return true;
}

static void visit_dir(struct walk *w, uint64_t ino)
{
	for (unsigned i = 0; i < w->n_dirs; i++)
		if (w->dirs[i] == ino)
			return;
	if (w->n_dirs < DIRS_MAX)
		w->dirs[w->n_dirs++] = ino;
}

static void read_entry(struct walk *w, uint64_t dir, unsigned i)
{
	struct store_attr a = {0};
	int r = store_lookup(w->s, dir, w->entry[i].name, w->entry[i].len, &a);
	note(w, r == -ENOENT ? -EIO : r, "lookup in the directory", dir);
	if (r == 0 && a.ino != w->entry[i].ino)
		note(w, -EIO, "another inode in the list than by name, in the directory", dir);
	if (r == 0 && S_ISDIR(a.mode))
		visit_dir(w, a.ino);
	read_inode(w, w->entry[i].ino, true);
}

static void read_dir(struct walk *w, uint64_t dir)
{
	struct store_attr a;
	w->n_entries = 0;
	note(w, store_readdir(w->s, dir, 0, true, take_entry, w), "entries", dir);
	unsigned with_attr = w->n_entries;
	w->n_entries = 0;
	note(w, store_readdir(w->s, dir, 0, false, take_entry, w), "list", dir);
	if (with_attr != w->n_entries)
		note(w, -EIO, "entries without an inode, in the directory", dir);
	for (unsigned i = 0; i < w->n_entries; i++)
		read_entry(w, dir, i);
	IGNORE(store_lookup(w->s, dir, "..", 2, &a) == 0);
	IGNORE(store_lookup(w->s, dir, "no such name", 12, &a) == 0);
}

static bool ignore_event(void *arg, const struct store_event *e)
{
	(void)e;
	return ++*(unsigned *)arg % 2;
}

static bool count_ino(void *arg, uint64_t ino)
{
	(void)ino;
	return ++*(unsigned *)arg < 1000;
}

void hostile_walk(struct store *s, bool changed, struct hostile_seen *ret)
{
	static struct walk w;
	struct store_space space;
	struct store_stats stats;
	unsigned n = 0;
	memset(ret, 0, sizeof *ret);
	w = (struct walk){.s = s, .seen = ret, .changed = changed};
	visit_dir(&w, STORE_ROOT_INO);
	for (unsigned i = 0; i < w.n_dirs; i++)
		read_dir(&w, w.dirs[i]);
	for (uint64_t ino = 0; ino <= INOS_MAX; ino++)
		read_inode(&w, ino, false);
	note(&w, store_statfs(s, &space), "statfs", 0);
	note(&w, store_orphans(s, count_ino, &n), "orphans", 0);
	note(&w, store_poll(s, ignore_event, &n), "poll", 0);
	store_stats(s, &stats);
}

/* -- changing -----------------------------------------------------------------------------------
 */

static int64_t now = INT64_C(2000000000000000000);

static void apply(struct store *s, struct change c)
{
	c.now = now += 1000;
	c.caller = (struct change_caller){.uid = 7, .gid = 8, .umask = 022, .kill_suid = true};
	IGNORE(store_apply_one(s, &c, now % 7000 == 0));
	if (c.kind == CHANGE_WRITE) {
		block_unref(c.write.head);
		block_unref(c.write.tail);
	}
}

#define NAME(s) ((struct change_name){.bytes = (s), .len = sizeof(s) - 1})

static void change_data(struct store *s, uint64_t ino)
{
	static const char data[70000] = "new";
	static const uint64_t places[] = {0, 5000, 65536 - 10, 163000, 400000};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		apply(s, (struct change){.kind = CHANGE_WRITE,
				 .write = {
					 .ino = ino, .offset = places[i], .data = data, .len = 3}});
		apply(s, (struct change){.kind = CHANGE_WRITE,
				 .write = {.ino = ino,
					 .offset = places[i],
					 .data = data,
					 .len = i % 2 ? sizeof data : 4096}});
	}
	apply(s, (struct change){.kind = CHANGE_WRITE,
			 .write = {.ino = ino, .data = data, .len = 9, .append = true}});
	for (int mode = STORE_ALLOCATE; mode <= STORE_ZERO_RANGE_KEEP; mode++)
		apply(s, (struct change){.kind = CHANGE_ALLOCATE,
				 .allocate = {.ino = ino,
					 .mode = (enum store_allocate)mode,
					 .offset = 3000 + (unsigned)mode * 16384,
					 .len = 40000}});
	apply(s, (struct change){.kind = CHANGE_ALLOCATE,
			 .allocate = {.ino = ino,
				 .mode = STORE_PUNCH_HOLE,
				 .offset = 8192,
				 .len = STORE_FILE_MAX - 8192}});
	apply(s, (struct change){.kind = CHANGE_SETATTR,
			 .setattr = {.ino = ino, .mask = STORE_SET_SIZE, .size = 100000}});
	apply(s, (struct change){.kind = CHANGE_SETATTR,
			 .setattr = {.ino = ino, .mask = STORE_SET_SIZE, .size = 70001}});
}

static void change_attributes(struct store *s, uint64_t ino)
{
	static const unsigned char acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0,
		7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0,
		4, 0, 255, 255, 255, 255};
	apply(s, (struct change){.kind = CHANGE_SETATTR,
			 .setattr = {.ino = ino,
				 .mask = STORE_SET_MODE | STORE_SET_MTIME,
				 .mode = 0640,
				 .mtime = 5}});
	apply(s, (struct change){.kind = CHANGE_SETATTR,
			 .setattr = {.ino = ino, .mask = STORE_SET_UID, .uid = 77}});
	apply(s, (struct change){.kind = CHANGE_SETXATTR,
			 .setxattr = {
				 .ino = ino, .name = NAME("user.new"), .value = "v", .size = 1}});
	apply(s, (struct change){.kind = CHANGE_SETXATTR,
			 .setxattr = {.ino = ino,
				 .name = NAME(ACL_ACCESS_NAME),
				 .value = acl,
				 .size = sizeof acl}});
	apply(s, (struct change){.kind = CHANGE_REMOVEXATTR,
			 .removexattr = {.ino = ino, .name = NAME("user.recordfs.ttl")}});
	apply(s, (struct change){.kind = CHANGE_REMOVEXATTR,
			 .removexattr = {.ino = ino, .name = NAME(ACL_ACCESS_NAME)}});
}

static void create(struct store *s, uint64_t parent, struct change_name name, uint32_t mode)
{
	apply(s, (struct change){.kind = CHANGE_CREATE,
			 .create = {.parent = parent,
				 .name = name,
				 .mode = mode,
				 .target = NAME("target")}});
}

static void change_names(struct store *s, uint64_t dir)
{
	create(s, dir, NAME("new file"), S_IFREG | 0644);
	create(s, dir, NAME("new directory"), S_IFDIR | 0755);
	create(s, dir, NAME("new link"), S_IFLNK | 0777);
	create(s, dir, (struct change_name){0}, S_IFREG | 0600);
	apply(s, (struct change){.kind = CHANGE_LINK,
			 .link = {.ino = 2, .parent = dir, .name = NAME("linked")}});
	apply(s, (struct change){
			 .kind = CHANGE_UNLINK, .unlink = {.parent = dir, .name = NAME("fifo")}});
	apply(s, (struct change){.kind = CHANGE_UNLINK,
			 .unlink = {.parent = dir, .name = NAME("sub"), .directory = true}});
	static const char *const from[] = {"new file", "dir", "sub", "new link", "deep"};
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		for (unsigned flags = 0; flags <= RENAME_EXCHANGE; flags++)
			apply(s, (struct change){.kind = CHANGE_RENAME,
					 .rename = {.parent = dir,
						 .name = {from[i], strlen(from[i])},
						 .new_parent = i % 2 ? STORE_ROOT_INO : dir,
						 .new_name = NAME("new directory"),
						 .flags = flags}});
}

/* Some changes in one transaction. */
static void change_together(struct store *s)
{
	struct change c[4], *p[4];
	for (size_t i = 0; i < 4; i++) {
		c[i] = (struct change){.kind = CHANGE_WRITE,
			.now = now += 1000,
			.write = {
				.ino = i < 3 ? 2 : 3, .offset = i * 9000, .data = "abc", .len = 3}};
		p[i] = &c[i];
	}
	store_apply(s, p, 4, false);
	for (size_t i = 0; i < 4; i++) {
		block_unref(c[i].write.head);
		block_unref(c[i].write.tail);
	}
}

static void reap(struct store *s, uint64_t ino)
{
	for (unsigned i = 0; i < 50; i++) {
		struct change c = {
			.kind = CHANGE_REAP, .now = now, .reap = {.ino = ino, .rows = 2}};
		if (store_apply_one(s, &c, false) < 0 || !c.reap.more)
			return;
	}
}

void hostile_change(struct store *s)
{
	static const uint64_t dirs[] = {STORE_ROOT_INO, 5, 6, 2, 4000, 0};
	change_together(s);
	change_data(s, 2);
	change_data(s, 3);
	change_data(s, 5);
	for (uint64_t ino = 1; ino <= 16; ino++)
		change_attributes(s, ino);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		change_names(s, dirs[i]);
	apply(s, (struct change){.kind = CHANGE_COPY,
			 .copy = {.from = 4, .from_offset = 10, .to = 2, .len = 90000}});
	for (uint64_t ino = 0; ino <= INOS_MAX; ino++)
		reap(s, ino);
	IGNORE(store_flush(s));
}
