/*
 * The interleavings that make write-through caches serve stale or torn data, each one forced: a
 * hook of the store below runs the one operation in the middle of the other. Where that needs two
 * threads, gates decide who goes when.
 */
#include "cache/guard.h"
#include "cache/lock.h"
#include "cache_rig.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define B ((uint64_t)STORE_BLOCK_SIZE)
#define BLOCKS 6u

static struct rig rig;

/* What one read showed. */
struct snap {
	uint64_t size;
	uint32_t count;
	unsigned char bytes[BLOCKS * STORE_BLOCK_SIZE];
};

static void snap_take(struct store *store, struct snap *ret)
{
	struct store_span span;
	memset(ret, 0, sizeof *ret);
	assert_int_equal(store_read(store, rig.ino, 0, BLOCKS, &span), 0);
	ret->size = span.attr.size;
	ret->count = span.count < BLOCKS ? span.count : BLOCKS;
	for (uint32_t i = 0; i < ret->count; i++)
		memcpy(ret->bytes + i * B, span.blocks[i]->data, span.blocks[i]->len);
	store_span_release(&span);
}

static bool snap_same(const struct snap *a, const struct snap *b)
{
	return a->size == b->size && a->count == b->count &&
	       memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

enum { WRITES, APPENDS, TRUNCATES, PUNCHES, COPIES, GROWS, CHANGES };

static void make_change(int which)
{
	static unsigned char data[3 * STORE_BLOCK_SIZE];
	size_t copied;
	memset(data, 0xee, sizeof data);
	struct change append = {.kind = CHANGE_WRITE,
		.write = {.ino = rig.ino, .len = 2 * B, .data = data, .append = true}};
	switch (which) {
	case WRITES:
		assert_int_equal(kit_write(rig.kit, rig.ino, B / 2, data, 3 * B), 0);
		return;
	case APPENDS:
		assert_int_equal(kit_apply(rig.kit, &append), 0);
		block_unref(append.write.head);
		block_unref(append.write.tail);
		return;
	case TRUNCATES:
		assert_int_equal(kit_truncate(rig.kit, rig.ino, B + B / 2), 0);
		return;
	case PUNCHES:
		assert_int_equal(kit_allocate(rig.kit, rig.ino, STORE_PUNCH_HOLE, B / 2, 2 * B), 0);
		return;
	case COPIES:
		assert_int_equal(kit_copy(rig.kit, rig.ino, 0, rig.ino, 2 * B, 2 * B, &copied), 0);
		return;
	default:
		assert_int_equal(kit_truncate(rig.kit, rig.ino, 6 * B), 0);
		return;
	}
}

/* Of the read and the change, the one that the other's hook runs, once. */
static int inner_change;
static bool inner_ran;
static struct snap inner_snap;

static void change_inside(struct script *s)
{
	(void)s;
	if (!inner_ran) {
		inner_ran = true;
		make_change(inner_change);
	}
}

static int change_inside_first(struct script *s)
{
	change_inside(s);
	return 0;
}

static void read_inside(struct script *s)
{
	(void)s;
	inner_ran = true;
	snap_take(rig.cache, &inner_snap);
}

static int read_inside_first(struct script *s)
{
	read_inside(s);
	return 0;
}

/* Blocks of `mask` are cached, and the attributes or not. The last block is a short one. */
static void start(unsigned mask, bool attr)
{
	const struct cache_config cfg = rig_config();
	int byte;
	rig_start(&rig, &cfg, 3);
	assert_int_equal(rig_write(&rig, 3 * B, 100, 4), 0);
	rig_drop_all(&rig);
	for (unsigned i = 0; i < 4; i++)
		if (mask & 1u << i)
			assert_int_equal(rig_read(&rig, i, 1, &byte), 1);
	if (attr)
		(void)kit_attr(rig.kit, rig.ino);
	else
		(void)rig_tell(
			&rig, &(struct store_event){.kind = STORE_EVENT_ATTR, .ino = rig.ino});
	inner_ran = false;
}

enum { BEFORE_READ, AFTER_READ, BEFORE_APPLY, AFTER_APPLY, POINTS };

static void set_hook(int point)
{
	if (point == BEFORE_READ) {
		rig.script.before[SCRIPT_READ] = change_inside_first;
		rig.script.before[SCRIPT_GETATTR] = change_inside_first;
	} else if (point == AFTER_READ) {
		rig.script.after[SCRIPT_READ] = change_inside;
		rig.script.after[SCRIPT_GETATTR] = change_inside;
	} else if (point == BEFORE_APPLY) {
		rig.script.before[SCRIPT_APPLY] = read_inside_first;
	} else {
		rig.script.after[SCRIPT_APPLY] = read_inside;
	}
}

static void clear_hooks(void)
{
	memset(rig.script.before, 0, sizeof rig.script.before);
	memset(rig.script.after, 0, sizeof rig.script.after);
}

static void check_interleaving(int which, int point, unsigned mask, bool attr)
{
	struct snap before, after, seen;
	start(mask, attr);
	snap_take(rig.script.next, &before);
	inner_change = which;
	set_hook(point);
	if (point == BEFORE_READ || point == AFTER_READ) {
		snap_take(rig.cache, &seen);
	} else {
		make_change(which);
		seen = inner_snap;
	}
	clear_hooks();
	if (!inner_ran) { /* all of it was cached: nothing to come between */
		assert_true(mask == 15 && attr);
		make_change(which);
	}
	snap_take(rig.script.next, &after);
	/* Once committed, nobody is shown the old state: another one may have seen the new. */
	bool may_be_old = point != AFTER_APPLY;
	if (!(may_be_old && snap_same(&seen, &before)) && !snap_same(&seen, &after))
		fail_msg("change %d, point %d, mask %u, attr %d: a mix", which, point, mask, attr);
	snap_take(rig.cache, &seen); /* the change was answered: nothing older any more */
	if (!snap_same(&seen, &after))
		fail_msg("change %d, point %d, mask %u, attr %d: stale", which, point, mask, attr);
	rig_check(&rig);
	rig_stop(&rig);
}

/* Every kind of change in every place of a read, and the other way round, whatever is cached. */
static void test_a_read_is_one_state_and_leaves_nothing_stale(void **state)
{
	(void)state;
	for (int which = 0; which < CHANGES; which++)
		for (int point = 0; point < POINTS; point++)
			for (unsigned mask = 0; mask < 16; mask++)
				for (int attr = 0; attr < 2; attr++)
					check_interleaving(which, point, mask, attr);
}

/* Attributes */

static void chmod_inside(struct script *s)
{
	(void)s;
	if (!inner_ran) {
		inner_ran = true;
		assert_int_equal(kit_chmod(rig.kit, rig.ino, 0700), 0);
	}
}

static void test_getattr_against_chmod(void **state)
{
	(void)state;
	start(0, false);
	rig.script.after[SCRIPT_GETATTR] = chmod_inside;
	(void)kit_attr(rig.kit, rig.ino);
	assert_true(inner_ran);
	clear_hooks();
	assert_int_equal(kit_attr(rig.kit, rig.ino).mode & 07777, 0700);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_lookup_against_chmod(void **state)
{
	(void)state;
	start(0, false);
	rig.script.after[SCRIPT_LOOKUP] = chmod_inside;
	assert_int_equal(kit_lookup(rig.kit, STORE_ROOT_INO, "file"), rig.ino);
	assert_true(inner_ran);
	clear_hooks();
	assert_int_equal(kit_attr(rig.kit, rig.ino).mode & 07777, 0700);
	rig_stop(&rig);
}

static void test_lookup_fills_when_nothing_happens(void **state)
{
	(void)state;
	start(0, false);
	assert_int_equal(kit_lookup(rig.kit, STORE_ROOT_INO, "file"), rig.ino);
	unsigned calls = rig_calls(&rig, SCRIPT_GETATTR);
	(void)kit_attr(rig.kit, rig.ino);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), calls);
	rig_stop(&rig);
}

/* Only the store knows which inode a name is: it cannot be announced before. */
static void unlink_inside(struct script *s)
{
	(void)s;
	if (!inner_ran) {
		inner_ran = true;
		assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "file"), 0);
	}
}

static void test_fills_of_attributes_against_unlink(void **state)
{
	(void)state;
	const enum script_op ops[] = {SCRIPT_GETATTR, SCRIPT_READ, SCRIPT_LOOKUP};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		struct snap snap;
		start(0, false);
		rig.script.after[ops[i]] = unlink_inside;
		if (ops[i] == SCRIPT_READ)
			snap_take(rig.cache, &snap);
		else if (ops[i] == SCRIPT_GETATTR)
			(void)kit_attr(rig.kit, rig.ino);
		else
			assert_int_equal(kit_lookup(rig.kit, STORE_ROOT_INO, "file"), rig.ino);
		assert_true(inner_ran);
		clear_hooks();
		assert_int_equal(kit_attr(rig.kit, rig.ino).nlink, 0);
		rig_check(&rig);
		rig_stop(&rig);
	}
}

/* A change elsewhere in the file does not keep a fill out. */
static void write_elsewhere(struct script *s)
{
	(void)s;
	if (!inner_ran) {
		inner_ran = true;
		assert_int_equal(rig_write(&rig, 2 * B, B, 0xdd), 0);
	}
}

static void test_a_fill_stays_when_something_else_changes(void **state)
{
	(void)state;
	int byte;
	start(0, true);
	rig.script.after[SCRIPT_READ] = write_elsewhere;
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	assert_true(inner_ran);
	clear_hooks();
	unsigned reads = rig_calls(&rig, SCRIPT_READ);
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads);
	rig_check(&rig);
	rig_stop(&rig);
}

/* Blocks that came along are kept only if they are still true. */
static void test_what_the_store_adds_is_guarded(void **state)
{
	(void)state;
	int byte;
	start(0, true);
	rig.script.slack = 3;
	rig.script.after[SCRIPT_READ] = write_elsewhere;
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	assert_true(inner_ran);
	clear_hooks();
	assert_int_equal(rig_read(&rig, 2, 1, &byte), 1);
	assert_int_equal(byte, 0xdd);
	rig_check(&rig);
	rig_stop(&rig);
}

/* The changes of a batch become visible together, also while the cache is being updated. */
static int read_inside_update(void *arg)
{
	unsigned *updates = arg;
	if (++*updates == 2)
		snap_take(rig.cache, &inner_snap);
	return 0;
}

static void test_a_batch_is_one_state(void **state)
{
	(void)state;
	unsigned updates = 0;
	struct cache_config cfg = rig_config();
	struct snap after;
	rig_start_with_fault(&rig, &cfg, 4, read_inside_update, &updates);
	rig_check(&rig);
	unsigned char data[2 * STORE_BLOCK_SIZE];
	struct change changes[2];
	memset(data, 0x77, sizeof data);
	memset(changes, 0, sizeof changes);
	for (unsigned i = 0; i < 2; i++) {
		changes[i].kind = CHANGE_WRITE;
		changes[i].write = (struct change_write){
			.ino = rig.ino, .offset = i * 2 * B, .len = 2 * B, .data = data};
	}
	kit_apply_batch(rig.kit, changes, 2);
	assert_int_equal(updates, 2);
	snap_take(rig.script.next, &after);
	assert_true(snap_same(&inner_snap, &after));
	rig_stop(&rig);
}

/* More changes than the guard remembers: who cannot know does not fill. */
static void write_often(struct script *s)
{
	(void)s;
	if (inner_ran)
		return;
	inner_ran = true;
	assert_int_equal(rig_write(&rig, 0, B, 0xdd), 0);
	for (unsigned i = 0; i < 2 * GUARD_RING; i++)
		assert_int_equal(rig_write(&rig, 2 * B, B, 0xcc), 0);
}

static void test_a_token_older_than_the_ring(void **state)
{
	(void)state;
	int byte;
	start(0, true);
	rig.script.after[SCRIPT_READ] = write_often;
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	clear_hooks();
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	assert_int_equal(byte, 0xdd);
	rig_check(&rig);
	rig_stop(&rig);
}

/* Others change the store, and the watcher drops what they changed, while a read is loading. */
static void outsider(struct script *s)
{
	if (inner_ran)
		return;
	inner_ran = true;
	unsigned char data[STORE_BLOCK_SIZE];
	memset(data, 0x99, sizeof data);
	struct change c = {
		.kind = CHANGE_WRITE, .write = {.ino = rig.ino, .len = sizeof data, .data = data}};
	assert_int_equal(store_apply_one(s->next, &c, false), 0);
}

static void outsider_and_drop(struct script *s)
{
	outsider(s);
	rig_drop(&rig, 0, 0);
}

static void outsider_and_drop_all(struct script *s)
{
	outsider(s);
	rig_drop_all(&rig);
}

static void test_a_fill_against_a_drop(void **state)
{
	(void)state;
	void (*const hooks[])(struct script *) = {outsider_and_drop, outsider_and_drop_all};
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		int byte;
		start(0, true);
		rig.script.after[SCRIPT_READ] = hooks[i];
		assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
		clear_hooks();
		assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
		assert_int_equal(byte, 0x99);
		rig_check(&rig);
		rig_stop(&rig);
	}
}

/*
 * Others change the store after our own change was committed, and the watcher drops what they
 * changed before our change gets to the cache: what it puts then is too old.
 */
static void outsider_makes(struct script *s, struct change *c)
{
	assert_int_equal(store_apply_one(s->next, c, false), 0);
	if (c->kind == CHANGE_WRITE) {
		block_unref(c->write.head);
		block_unref(c->write.tail);
	}
}

static bool drops_all;

static void outsider_writes(struct script *s)
{
	static unsigned char data[4 * STORE_BLOCK_SIZE];
	if (inner_ran)
		return;
	inner_ran = true;
	memset(data, 0x99, sizeof data);
	outsider_makes(s, &(struct change){.kind = CHANGE_WRITE,
				  .now = 2,
				  .write = {.ino = rig.ino, .len = sizeof data, .data = data}});
	if (drops_all)
		rig_drop_all(&rig);
	else
		rig_drop(&rig, 0, 3);
}

static void outsider_chmods(struct script *s)
{
	if (inner_ran)
		return;
	inner_ran = true;
	outsider_makes(
		s, &(struct change){.kind = CHANGE_SETATTR,
			   .now = 2,
			   .setattr = {.ino = rig.ino, .mask = STORE_SET_MODE, .mode = 0711}});
	if (drops_all)
		rig_drop_all(&rig);
	else
		(void)rig_tell(
			&rig, &(struct store_event){.kind = STORE_EVENT_ATTR, .ino = rig.ino});
}

/* The end of the file is not where the append looks for it. */
static int outsider_truncates_first(struct script *s)
{
	outsider_makes(s, &(struct change){.kind = CHANGE_SETATTR,
				  .now = 2,
				  .setattr = {.ino = rig.ino, .mask = STORE_SET_SIZE, .size = 0}});
	return 0;
}

static void test_a_change_against_a_drop(void **state)
{
	(void)state;
	for (int which = 0; which < 2 * CHANGES; which++) {
		drops_all = which % 2;
		start(15, true);
		rig.script.after[SCRIPT_APPLY] = outsider_writes;
		make_change(which / 2);
		assert_true(inner_ran);
		clear_hooks();
		rig_check(&rig);
		rig_stop(&rig);
	}
}

static void test_an_append_elsewhere_against_a_drop(void **state)
{
	(void)state;
	for (int all = 0; all < 2; all++) {
		drops_all = all;
		start(15, true);
		rig.script.before[SCRIPT_APPLY] = outsider_truncates_first;
		rig.script.after[SCRIPT_APPLY] = outsider_writes;
		make_change(APPENDS);
		assert_true(inner_ran);
		clear_hooks();
		rig_check(&rig);
		rig_stop(&rig);
	}
}

/* Of a change by name the inode is known only afterwards. */
static void test_attributes_of_a_change_against_a_drop(void **state)
{
	(void)state;
	for (int which = 0; which < 6; which++) {
		drops_all = which % 2;
		start(0, true);
		assert_int_equal(kit_link(rig.kit, rig.ino, STORE_ROOT_INO, "second"), 0);
		rig.script.after[SCRIPT_APPLY] = outsider_chmods;
		if (which / 2 == 0)
			assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "file"), 0);
		else if (which / 2 == 1)
			assert_int_equal(kit_chmod(rig.kit, rig.ino, 0700), 0);
		else
			assert_int_equal(kit_rename(rig.kit, STORE_ROOT_INO, "file", STORE_ROOT_INO,
						 "third", 0),
				0);
		assert_true(inner_ran);
		clear_hooks();
		assert_int_equal(kit_attr(rig.kit, rig.ino).mode & 07777, 0711);
		rig_check(&rig);
		rig_stop(&rig);
	}
}

/* While the change is being put into the cache, and after it, nobody reads what it puts. */
static int drop_and_read_inside_update(void *arg)
{
	bool *ran = arg;
	if (*ran)
		return 0;
	*ran = true;
	outsider_writes(&rig.script);
	snap_take(rig.cache, &inner_snap);
	return 0;
}

static void test_a_drop_while_the_cache_is_updated(void **state)
{
	(void)state;
	bool ran = true;
	struct cache_config cfg = rig_config();
	struct snap after;
	rig_start_with_fault(&rig, &cfg, 4, drop_and_read_inside_update, &ran);
	rig_check(&rig);
	inner_ran = ran = drops_all = false;
	assert_int_equal(rig_write(&rig, 0, 2 * B, 0x77), 0);
	assert_true(ran);
	snap_take(rig.script.next, &after);
	assert_true(snap_same(&inner_snap, &after));
	rig_check(&rig);
	rig_stop(&rig);
}

/* A drop elsewhere spoils nothing: what is put stays. */
static void drop_elsewhere(struct script *s)
{
	(void)s;
	(void)rig_tell(
		&rig, &(struct store_event){
			      .kind = STORE_EVENT_DATA, .ino = rig.ino + 1, .last = UINT64_MAX});
}

static void test_a_drop_elsewhere_spoils_nothing(void **state)
{
	(void)state;
	int byte;
	start(15, true);
	rig.script.after[SCRIPT_APPLY] = drop_elsewhere;
	assert_int_equal(rig_write(&rig, 0, B, 0x77), 0);
	clear_hooks();
	unsigned reads = rig_calls(&rig, SCRIPT_READ);
	assert_int_equal(rig_read(&rig, 0, 1, &byte), 1);
	assert_int_equal(byte, 0x77);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads);
	rig_check(&rig);
	rig_stop(&rig);
}

/* Two threads: the reader loads before the commit, and goes on while the writer has committed but
 * not yet updated the cache. */

static struct lock gates_lock;
static pthread_cond_t gates_changed = PTHREAD_COND_INITIALIZER;
static int stage; /* under gates_lock */

static void go_to(int to)
{
	lock_acquire(&gates_lock);
	stage = to;
	pthread_cond_broadcast(&gates_changed);
	lock_release(&gates_lock);
}

static void await_stage(int at_least)
{
	lock_acquire(&gates_lock);
	while (stage < at_least)
		lock_wait(&gates_lock, &gates_changed);
	lock_release(&gates_lock);
}

enum { LOADED = 1, COMMITTED, READ };

static void when_loaded(struct script *s)
{
	(void)s;
	if (inner_ran)
		return;
	inner_ran = true;
	go_to(LOADED);
	await_stage(COMMITTED);
}

static void when_committed(struct script *s)
{
	(void)s;
	go_to(COMMITTED);
	await_stage(READ);
}

static void *write_thread(void *arg)
{
	(void)arg;
	await_stage(LOADED);
	make_change(inner_change);
	return NULL;
}

static void *unlink_thread(void *arg)
{
	(void)arg;
	await_stage(LOADED);
	assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "file"), 0);
	return NULL;
}

static void overtake(enum script_op op, void *(*writer)(void *))
{
	pthread_t thread;
	struct snap seen, after;
	start(5, op == SCRIPT_READ);
	stage = 0;
	rig.script.after[op] = when_loaded;
	rig.script.after[SCRIPT_APPLY] = when_committed;
	assert_int_equal(pthread_create(&thread, NULL, writer, NULL), 0);
	if (op == SCRIPT_READ)
		snap_take(rig.cache, &seen);
	else
		(void)kit_attr(rig.kit, rig.ino);
	go_to(READ);
	assert_int_equal(pthread_join(thread, NULL), 0);
	clear_hooks();
	snap_take(rig.script.next, &after);
	snap_take(rig.cache, &seen);
	assert_true(snap_same(&seen, &after));
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_a_fill_between_commit_and_update(void **state)
{
	(void)state;
	lock_init(&gates_lock);
	for (inner_change = 0; inner_change < CHANGES; inner_change++)
		overtake(SCRIPT_READ, write_thread);
	inner_change = WRITES;
	overtake(SCRIPT_GETATTR, write_thread);
	overtake(SCRIPT_GETATTR, unlink_thread);
	overtake(SCRIPT_READ, unlink_thread);
	lock_destroy(&gates_lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_read_is_one_state_and_leaves_nothing_stale),
		cmocka_unit_test(test_getattr_against_chmod),
		cmocka_unit_test(test_lookup_against_chmod),
		cmocka_unit_test(test_lookup_fills_when_nothing_happens),
		cmocka_unit_test(test_fills_of_attributes_against_unlink),
		cmocka_unit_test(test_a_fill_stays_when_something_else_changes),
		cmocka_unit_test(test_what_the_store_adds_is_guarded),
		cmocka_unit_test(test_a_batch_is_one_state),
		cmocka_unit_test(test_a_token_older_than_the_ring),
		cmocka_unit_test(test_a_fill_against_a_drop),
		cmocka_unit_test(test_a_change_against_a_drop),
		cmocka_unit_test(test_an_append_elsewhere_against_a_drop),
		cmocka_unit_test(test_attributes_of_a_change_against_a_drop),
		cmocka_unit_test(test_a_drop_while_the_cache_is_updated),
		cmocka_unit_test(test_a_drop_elsewhere_spoils_nothing),
		cmocka_unit_test(test_a_fill_between_commit_and_update),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
