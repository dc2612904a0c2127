/*
 * The same random changes go to the store under test and to the model: what they answer, what they
 * say they altered, and what is there in the end must be the same. The seed is printed; to repeat a
 * run, give it in RECORDFS_SEED, and in RECORDFS_STEPS how far to go.
 *
 * Inode numbers may differ between the two, so what was made is known here by its place in a list.
 */
#include "contract.h"
#include "contract_compare.h"
#include "model_store.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define STEPS 1500u /* batches */
#define BATCH_MAX 6u
#define OBJECTS_MAX 400u
#define FAR ((uint64_t)1 << 40)

static unsigned char bytes[1 << 20]; /* what writes write */

struct run {
	struct kit *k;
	struct pair pair; /* [0] under test, [1] the model */
	struct thing things[OBJECTS_MAX];
	unsigned n_things;
	uint64_t random;
	int64_t now;
};

/* xorshift64*: the same numbers everywhere. */
static unsigned roll(struct run *r, unsigned n)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return (unsigned)((r->random * 2685821657736338717u) >> 33) % n;
}

static bool chance(struct run *r, unsigned percent)
{
	return roll(r, 100) < percent;
}

static unsigned any(struct run *r)
{
	return roll(r, r->n_things);
}

/* Mostly one of the type, now and then any. */
static unsigned any_of(struct run *r, uint32_t type)
{
	unsigned i = any(r);

	for (unsigned tries = 0; tries < 50 && !chance(r, 2); tries++, i = any(r))
		if ((r->things[i].mode & S_IFMT) == type && !r->things[i].gone)
			break;
	return i;
}

static struct change_name any_name(struct run *r)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "f", "g", "\xff", "name", "nam", "names", " ", "\n"};
	const char *name = names[roll(r, ARRAY_LEN(names))];

	return (struct change_name){name, strlen(name)};
}

/* Around borders of blocks and of what a store may keep together; some far away. */
static uint64_t any_offset(struct run *r)
{
	uint64_t at = 0;

	if (chance(r, 60))
		at = roll(r, 8) * 65536u;
	if (chance(r, 60))
		at += roll(r, 17) * 4096u;
	if (chance(r, 50))
		at += roll(r, 3) * 17u + (at ? 0u : 1u) - 1u;
	if (chance(r, 20))
		at = roll(r, 600000);
	return chance(r, 3) ? at + FAR : at;
}

static size_t any_len(struct run *r)
{
	static const size_t lens[] = {
		1, 2, 10, 100, 4095, 4096, 4097, 8192, 16384, 40000, 65536, 65537, 131072, 200000};
	size_t len = lens[roll(r, ARRAY_LEN(lens))];

	return chance(r, 30) ? len + roll(r, 5000) : len;
}

static void make_write(struct run *r, struct twin *t)
{
	t->what[0] = any_of(r, S_IFREG);
	t->c.kind = CHANGE_WRITE;
	t->c.write.offset = chance(r, 1) ? STORE_FILE_MAX - roll(r, 5000) : any_offset(r);
	t->c.write.len = any_len(r);
	t->c.write.data = bytes + roll(r, sizeof bytes / 2);
	t->c.write.append = chance(r, 15) && r->things[t->what[0]].size < 1 << 20;
}

static void make_setattr(struct run *r, struct twin *t)
{
	struct change_setattr *s = &t->c.setattr;

	t->c.kind = CHANGE_SETATTR;
	t->what[0] = any(r);
	if (chance(r, 60)) {
		t->what[0] = any_of(r, S_IFREG);
		s->mask = STORE_SET_SIZE;
		s->size = any_offset(r) + (chance(r, 2) ? STORE_FILE_MAX : 0);
	}
	if (s->mask == 0 || chance(r, 10))
		s->mask |= roll(r, 64) & ~STORE_SET_SIZE;
	s->mode = roll(r, 010000);
	s->uid = roll(r, 3);
	s->gid = roll(r, 3);
	s->atime = r->now - roll(r, 1000);
	s->mtime = r->now + roll(r, 1000);
}

static void make_allocate(struct run *r, struct twin *t)
{
	static const enum store_allocate modes[] = {STORE_ALLOCATE, STORE_ALLOCATE_KEEP,
		STORE_PUNCH_HOLE, STORE_PUNCH_HOLE, STORE_ZERO_RANGE, STORE_ZERO_RANGE_KEEP};

	t->what[0] = any_of(r, S_IFREG);
	t->c.kind = CHANGE_ALLOCATE;
	t->c.allocate.mode = modes[roll(r, ARRAY_LEN(modes))];
	t->c.allocate.offset = any_offset(r);
	t->c.allocate.len = any_len(r);
}

static void make_copy(struct run *r, struct twin *t)
{
	t->what[0] = any_of(r, S_IFREG);
	t->what[1] = chance(r, 30) ? t->what[0] : any_of(r, S_IFREG);
	t->c.kind = CHANGE_COPY;
	t->c.copy.from_offset = any_offset(r);
	t->c.copy.to_offset = any_offset(r);
	t->c.copy.len = any_len(r);
	r->things[t->what[1]].copied_to = true;
}

static void make_create(struct run *r, struct twin *t)
{
	static const uint32_t types[] = {
		S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR};
	struct change_create *n = &t->c.create;

	t->c.kind = CHANGE_CREATE;
	t->what[0] = any_of(r, S_IFDIR);
	n->name = any_name(r);
	n->mode = types[roll(r, ARRAY_LEN(types))] | (S_ISLNK(n->mode) ? 0777 : roll(r, 010000));
	if (S_ISLNK(n->mode))
		n->mode = S_IFLNK | 0777;
	if (S_ISCHR(n->mode))
		n->rdev = roll(r, 70000);
	if (S_ISREG(n->mode) && chance(r, 10))
		n->name = (struct change_name){NULL, 0};
	n->target = any_name(r);
}

static void make_link(struct run *r, struct twin *t)
{
	t->c.kind = CHANGE_LINK;
	t->what[0] = any_of(r, S_IFREG);
	t->what[1] = any_of(r, S_IFDIR);
	t->c.link.name = any_name(r);
}

static void make_unlink(struct run *r, struct twin *t)
{
	t->c.kind = CHANGE_UNLINK;
	t->what[0] = any_of(r, S_IFDIR);
	t->c.unlink.name = any_name(r);
	t->c.unlink.directory = chance(r, 25);
}

static void make_rename(struct run *r, struct twin *t)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};

	t->c.kind = CHANGE_RENAME;
	t->what[0] = any_of(r, S_IFDIR);
	t->what[1] = chance(r, 40) ? t->what[0] : any_of(r, S_IFDIR);
	t->c.rename.name = any_name(r);
	t->c.rename.new_name = any_name(r);
	t->c.rename.flags = flags[roll(r, ARRAY_LEN(flags))];
}

#define ENTRY(tag, perm, id) tag "\0" perm "\0" id
#define NOBODY "\xff\xff\xff\xff"
#define SOMEBODY "\x05\0\0\0"

static const struct {
	const char *name;
	const char *value;
	size_t size;
} xattrs[] = {
#define X(name, value)                                                                             \
	{                                                                                          \
		name, value, sizeof value - 1                                                      \
	}
	X("user.a", "some value"),
	X("user.a", ""),
	X("user.b", "another value"),
	X("security.capability", "caps"),
	X("user.recordfs.ttl", "1.5"),
	X("user.recordfs.ttl", "60"),
	X("user.recordfs.ttl", "soon"),
	X("system.posix_acl_access",
		"\2\0\0\0" ENTRY("\1", "\7", NOBODY) ENTRY("\2", "\5", SOMEBODY) ENTRY("\4", "\5",
			NOBODY) ENTRY("\x10", "\3", NOBODY) ENTRY("\x20", "\1", NOBODY)),
	X("system.posix_acl_access", "\2\0\0\0" ENTRY("\1", "\6", NOBODY) ENTRY("\4", "\4", NOBODY)
					     ENTRY("\x20", "\0", NOBODY)),
	X("system.posix_acl_access", "\2\0\0\0" ENTRY("\1", "\6", NOBODY)),
#undef X
};

static const char default_acl[] = "\2\0\0\0" ENTRY("\1", "\7", NOBODY) ENTRY("\2", "\6", SOMEBODY)
	ENTRY("\4", "\5", NOBODY) ENTRY("\x10", "\7", NOBODY) ENTRY("\x20", "\4", NOBODY);

static void make_setxattr(struct run *r, struct twin *t)
{
	struct change_setxattr *s = &t->c.setxattr;
	unsigned i = roll(r, ARRAY_LEN(xattrs));

	t->c.kind = CHANGE_SETXATTR;
	t->what[0] = any_of(r, chance(r, 50) ? S_IFREG : S_IFDIR);
	s->name = (struct change_name){xattrs[i].name, strlen(xattrs[i].name)};
	s->value = xattrs[i].value;
	s->size = xattrs[i].size;
	if (S_ISDIR(r->things[t->what[0]].mode) && chance(r, 20)) {
		s->name = (struct change_name){"system.posix_acl_default", 24};
		s->value = default_acl;
		s->size = sizeof default_acl - 1;
	}
	if (chance(r, 20))
		s->flags = chance(r, 50) ? XATTR_CREATE : XATTR_REPLACE;
}

static void make_removexattr(struct run *r, struct twin *t)
{
	const char *name = xattrs[roll(r, ARRAY_LEN(xattrs))].name;

	t->c.kind = CHANGE_REMOVEXATTR;
	t->what[0] = any_of(r, chance(r, 50) ? S_IFREG : S_IFDIR);
	if (S_ISDIR(r->things[t->what[0]].mode) && chance(r, 30))
		name = "system.posix_acl_default";
	t->c.removexattr.name = (struct change_name){name, strlen(name)};
}

static struct twin make_any(struct run *r)
{
	static void (*const make[])(struct run *, struct twin *) = {
		make_write,
		make_write,
		make_write,
		make_write,
		make_write,
		make_write,
		make_setattr,
		make_setattr,
		make_allocate,
		make_allocate,
		make_copy,
		make_copy,
		make_create,
		make_create,
		make_create,
		make_link,
		make_unlink,
		make_unlink,
		make_rename,
		make_rename,
		make_setxattr,
		make_removexattr,
	};
	struct twin t = {
		.c =
			{
				.now = r->now += 1 + roll(r, 1000000),
				.caller =
					{
						.uid = roll(r, 3),
						.gid = roll(r, 3),
						.umask = chance(r, 50) ? 022 : 0,
						.kill_suid = chance(r, 50),
						.kill_sgid = chance(r, 50),
					},
			},
	};
	make[roll(r, ARRAY_LEN(make))](r, &t);
	return t;
}

static void learn(struct run *r, const struct twin *t)
{
	if (t->c.kind != CHANGE_CREATE || t->changes[1].result != 0)
		return;
	assert_true(r->n_things < OBJECTS_MAX);
	r->things[r->n_things++] = (struct thing){
		.ino = {t->changes[0].touched[0].ino, t->changes[1].touched[0].ino},
	};
}

/* To the end, since how much goes at a time may differ. */
static void reap(struct run *r)
{
	struct twin t = {.c = {.kind = CHANGE_REAP}, .what = {any(r)}};

	for (unsigned side = 0; side < 2; side++) {
		struct change *c = twin_for(&t, r->things, side);
		do {
			c->now = r->now;
		} while (store_apply_one(r->pair.store[side], c, false) == 0 && c->reap.more);
	}
	compare_results(&t, r->things, r->n_things);
}

/* One batch, on both. */
static void step(struct run *r)
{
	static struct twin t[BATCH_MAX];
	unsigned n = chance(r, 40) ? 1 : 1 + roll(r, BATCH_MAX);
	bool durable = chance(r, 5);

	for (unsigned i = 0; i < n; i++) {
		t[i] = make_any(r);
		/* Full: what there is must do. */
		while (t[i].c.kind == CHANGE_CREATE && r->n_things + n >= OBJECTS_MAX)
			t[i] = make_any(r);
	}
	for (unsigned side = 0; side < 2; side++) {
		struct change *table[BATCH_MAX];
		for (unsigned i = 0; i < n; i++)
			table[i] = twin_for(&t[i], r->things, side);
		store_apply(r->pair.store[side], table, n, durable);
	}
	for (unsigned i = 0; i < n; i++)
		learn(r, &t[i]);
	for (unsigned i = 0; i < n; i++) {
		compare_results(&t[i], r->things, r->n_things);
		twin_release(&t[i]);
	}
	if (chance(r, 10))
		reap(r);
	if (chance(r, 20))
		compare_thing(&r->pair, r->things, r->n_things, any(r));
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void is_as_the_model(void **state)
{
	struct run *r = kit_memory(NULL, sizeof *r);
	uint64_t seed = number_of("RECORDFS_SEED", 20260728);
	uint64_t steps = number_of("RECORDFS_STEPS", STEPS);

	memset(r, 0, sizeof *r);
	r->k = *state;
	r->pair.store[0] = r->k->store;
	r->pair.store[1] = model_store_new();
	r->random = seed ? seed : 1;
	r->now = 1000000000000000000;
	r->things[0] = (struct thing){.ino = {STORE_ROOT_INO, STORE_ROOT_INO}, .mode = S_IFDIR};
	r->n_things = 1;
	kit_pattern(bytes, sizeof bytes, 1);
	struct change chmod = {
		.kind = CHANGE_SETATTR,
		.setattr = {.ino = STORE_ROOT_INO, .mask = 0x37, .mode = 0755},
	};
	for (unsigned side = 0; side < 2; side++)
		assert_int_equal(store_apply_one(r->pair.store[side], &chmod, false), 0);

	print_message("           RECORDFS_SEED=%llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < steps; i++) {
		compare_step = i;
		step(r);
		if (i % 250 == 249 || i + 1 == steps)
			compare_all(&r->pair, r->things, r->n_things);
		if (i % 500 == 499 && contract_under_test->lasting) {
			contract_reopen(r->k);
			r->pair.store[0] = r->k->store;
		}
	}
	store_close(r->pair.store[1]);
	free(r);
}

int contract_random(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(is_as_the_model),
	};
	return cmocka_run_group_tests_name(contract_under_test->name, tests, NULL, NULL);
}
