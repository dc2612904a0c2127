#include "power_actor.h"

#include <linux/fs.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const names[] = {"a", "b", "c", "d", "e", "\xff"};

static unsigned char bytes[1 << 20]; /* what writes write */
static pthread_once_t bytes_once = PTHREAD_ONCE_INIT;

static void fill_bytes(void)
{
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < sizeof bytes; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		bytes[i] = (unsigned char)(x >> 32);
	}
}

unsigned actor_roll(struct actor *a, unsigned n)
{
	a->random ^= a->random >> 12;
	a->random ^= a->random << 25;
	a->random ^= a->random >> 27;
	return (unsigned)((a->random * 2685821657736338717u) >> 33) % n;
}

static bool chance(struct actor *a, unsigned percent)
{
	return actor_roll(a, 100) < percent;
}

static struct change new_change(struct actor *a, enum change_kind kind)
{
	return (struct change){.kind = kind,
		.now = 1000000000000000000 + 1000 * atomic_fetch_add(a->now, 1),
		.caller = {.uid = 1, .gid = 2, .umask = 022}};
}

void actor_begin(struct actor *a)
{
	pthread_once(&bytes_once, fill_bytes);
	struct change c = new_change(a, CHANGE_SETATTR);
	c.setattr = (struct change_setattr){
		.ino = STORE_ROOT_INO, .mask = 0x37, .mode = 0755, .atime = 1, .mtime = 1};
	assert_int_equal(store_apply_one(a->store, &c, false), 0);
}

uint64_t actor_mkdir(struct actor *a, const char *name)
{
	struct change c = new_change(a, CHANGE_CREATE);
	c.create = (struct change_create){
		.parent = STORE_ROOT_INO, .name = {name, strlen(name)}, .mode = S_IFDIR | 0755};
	assert_int_equal(store_apply_one(a->store, &c, false), 0);
	return c.touched[0].ino;
}

static struct change_name any_name(struct actor *a)
{
	const char *name = names[actor_roll(a, ARRAY_LEN(names))];
	return (struct change_name){name, strlen(name)};
}

static uint64_t any_offset(struct actor *a)
{
	uint64_t at = chance(a, 50) ? actor_roll(a, 4) * 65536u : 0;
	if (chance(a, 50))
		at += actor_roll(a, 17) * 4096u;
	return chance(a, 40) ? at + actor_roll(a, 5000) : at;
}

static size_t any_len(struct actor *a)
{
	static const size_t lens[] = {
		1, 10, 100, 1000, 4095, 4096, 4096, 4097, 8192, 16384, 65536, 70000, 100000};
	return lens[actor_roll(a, ARRAY_LEN(lens))];
}

static struct change make_write(struct actor *a, uint64_t ino)
{
	struct change c = new_change(a, CHANGE_WRITE);
	c.write.ino = ino;
	c.write.offset = any_offset(a);
	c.write.len = any_len(a);
	c.write.data = bytes + actor_roll(a, sizeof bytes / 2);
	c.write.append = chance(a, 20);
	return c;
}

static struct change make_truncate(struct actor *a, uint64_t ino)
{
	struct change c = new_change(a, CHANGE_SETATTR);
	c.setattr.ino = ino;
	c.setattr.mask = STORE_SET_SIZE;
	c.setattr.size = chance(a, 50) ? 0 : any_offset(a);
	return c;
}

static struct change make_allocate(struct actor *a, uint64_t ino)
{
	static const enum store_allocate modes[] = {
		STORE_ALLOCATE, STORE_PUNCH_HOLE, STORE_ZERO_RANGE, STORE_ALLOCATE_KEEP};
	struct change c = new_change(a, CHANGE_ALLOCATE);
	c.allocate.ino = ino;
	c.allocate.mode = modes[actor_roll(a, ARRAY_LEN(modes))];
	c.allocate.offset = any_offset(a);
	c.allocate.len = any_len(a);
	return c;
}

static struct change make_xattr(struct actor *a, uint64_t ino)
{
	static const char *const xattrs[] = {"user.one", "user.two"};
	const char *name = xattrs[actor_roll(a, 2)];
	struct change c = new_change(a, chance(a, 30) ? CHANGE_REMOVEXATTR : CHANGE_SETXATTR);
	if (c.kind == CHANGE_REMOVEXATTR) {
		c.removexattr.ino = ino;
		c.removexattr.name = (struct change_name){name, strlen(name)};
		return c;
	}
	c.setxattr.ino = ino;
	c.setxattr.name = (struct change_name){name, strlen(name)};
	c.setxattr.value = bytes + actor_roll(a, 1000);
	c.setxattr.size = actor_roll(a, 300);
	return c;
}

static struct change make_unlink(struct actor *a, struct change_name name, bool directory)
{
	struct change c = new_change(a, CHANGE_UNLINK);
	c.unlink.parent = a->dir;
	c.unlink.name = name;
	c.unlink.directory = directory;
	return c;
}

static struct change make_rename(struct actor *a, struct change_name name)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	struct change c = new_change(a, CHANGE_RENAME);
	c.rename.parent = c.rename.new_parent = a->dir;
	c.rename.name = name;
	c.rename.new_name = any_name(a);
	c.rename.flags = flags[actor_roll(a, ARRAY_LEN(flags))];
	return c;
}

static struct change make_create(struct actor *a, uint64_t parent, struct change_name name)
{
	static const uint32_t modes[] = {S_IFREG | 0644, S_IFREG | 0644, S_IFREG | 0600,
		S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777};
	struct change c = new_change(a, CHANGE_CREATE);
	c.create.parent = parent;
	c.create.name = name;
	c.create.mode = modes[parent == a->dir ? actor_roll(a, ARRAY_LEN(modes)) : 0];
	if (S_ISLNK(c.create.mode))
		c.create.target = any_name(a);
	return c;
}

static struct change make_link(struct actor *a, uint64_t ino)
{
	struct change c = new_change(a, CHANGE_LINK);
	c.link.ino = ino;
	c.link.parent = a->dir;
	c.link.name = any_name(a);
	return c;
}

/* From a record in the directory, perhaps the same one. */
static struct change make_copy(struct actor *a, uint64_t ino)
{
	struct store_attr from;
	struct change_name name = any_name(a);
	struct change c = new_change(a, CHANGE_COPY);
	if (store_lookup(a->store, a->dir, name.bytes, name.len, &from) < 0 || !S_ISREG(from.mode))
		return make_write(a, ino);
	c.copy.from = from.ino;
	c.copy.from_offset = any_offset(a);
	c.copy.to = ino;
	c.copy.to_offset = any_offset(a);
	c.copy.len = any_len(a);
	return c;
}

static struct change make_chmod(struct actor *a, uint64_t ino)
{
	struct change c = new_change(a, CHANGE_SETATTR);
	c.setattr.ino = ino;
	c.setattr.mask = STORE_SET_MODE | STORE_SET_MTIME;
	c.setattr.mode = actor_roll(a, 0777);
	c.setattr.mtime = c.now - 5;
	return c;
}

/* With a record of the directory. */
static struct change with_file(struct actor *a, uint64_t ino, struct change_name name)
{
	switch (actor_roll(a, 20)) {
	case 0:
	case 1:
		return make_truncate(a, ino);
	case 2:
		return make_allocate(a, ino);
	case 3:
	case 4:
		return make_xattr(a, ino);
	case 5:
	case 6:
		return make_unlink(a, name, false);
	case 7:
	case 8:
		return make_rename(a, name);
	case 9:
		return make_link(a, ino);
	case 10:
		return make_copy(a, ino);
	case 11:
		return make_chmod(a, ino);
	default:
		return make_write(a, ino);
	}
}

static struct change in_shared(struct actor *a)
{
	struct store_attr attr;
	struct change_name name = any_name(a);
	if (store_lookup(a->store, a->shared, name.bytes, name.len, &attr) < 0)
		return make_create(a, a->shared, name);
	return chance(a, 20) ? make_truncate(a, attr.ino) : make_write(a, attr.ino);
}

struct change actor_change(struct actor *a)
{
	struct store_attr attr;
	struct change_name name = any_name(a);
	if (a->n_reaps && chance(a, 20)) {
		struct change c = new_change(a, CHANGE_REAP);
		c.reap.ino = a->reaps[--a->n_reaps];
		return c;
	}
	if (a->shared && chance(a, 30))
		return in_shared(a);
	if (store_lookup(a->store, a->dir, name.bytes, name.len, &attr) < 0)
		return make_create(a, a->dir, name);
	if (S_ISREG(attr.mode))
		return with_file(a, attr.ino, name);
	if (chance(a, 30))
		return make_chmod(a, attr.ino);
	return chance(a, 50) ? make_rename(a, name) : make_unlink(a, name, S_ISDIR(attr.mode));
}

void actor_done(struct actor *a, struct change *c)
{
	if (c->kind == CHANGE_WRITE) {
		c->write.head = block_unref(c->write.head);
		c->write.tail = block_unref(c->write.tail);
	}
	if (c->result < 0)
		return;
	if (c->kind == CHANGE_REAP && c->reap.more && a->n_reaps < ACTOR_REAPS_MAX)
		a->reaps[a->n_reaps++] = c->reap.ino;
	for (unsigned i = 0; c->kind != CHANGE_REAP && i < c->n_touched; i++)
		if (c->touched[i].nlink == 0 && a->n_reaps < ACTOR_REAPS_MAX)
			a->reaps[a->n_reaps++] = c->touched[i].ino;
}
