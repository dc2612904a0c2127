/*
 * The write-through cache: what it serves, for how long, and what each failure leaves behind (the
 * rows F1 to F7 of the failure table). Interleavings are in test_cache_forced.c.
 */
#include "cache/lock.h"
#include "cache_rig.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define B ((uint64_t)STORE_BLOCK_SIZE)

static struct rig rig;

static void start(uint32_t blocks)
{
	const struct cache_config cfg = rig_config();
	rig_start(&rig, &cfg, blocks);
}

static void expect_read(uint64_t first, uint32_t count, const int *want, int n)
{
	int have[STORE_READ_MAX] = {0};
	assert_int_equal(rig_read(&rig, first, count, have), n);
	for (int i = 0; i < n; i++)
		assert_int_equal(have[i], want[i]);
}

/* Its data is cached; the attributes need not be. */
static void expect_warm_data(uint64_t offset, int want)
{
	unsigned reads = rig_calls(&rig, SCRIPT_READ);
	assert_int_equal(rig_byte(&rig, rig.cache, offset), want);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads);
}

/* Warm: served without asking the store. */
static void expect_warm(uint64_t offset, int want)
{
	unsigned attrs = rig_calls(&rig, SCRIPT_GETATTR);
	expect_warm_data(offset, want);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), attrs);
}

static void expect_cold(uint64_t offset, int want)
{
	unsigned reads = rig_calls(&rig, SCRIPT_READ);
	assert_int_equal(rig_byte(&rig, rig.cache, offset), want);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads + 1);
}

static void test_a_second_read_is_warm(void **state)
{
	(void)state;
	start(8);
	expect_read(2, 4, (const int[]){3, 4, 5, 6}, 4);
	assert_int_equal(rig_stats(&rig).cache_misses, 4);
	assert_int_equal(rig_stats(&rig).cache_hits, 0);
	unsigned blocking = atomic_load(&rig.blocking);
	assert_true(blocking > 0);
	expect_warm(2 * B, 3);
	expect_warm(5 * B, 6);
	assert_int_equal(atomic_load(&rig.blocking), blocking);
	assert_int_equal(rig_stats(&rig).cache_hits, 2);
	assert_int_equal(atomic_load(&rig.blocking), blocking + 1); /* the store is asked, too */
	assert_int_equal(rig_stats(&rig).cache_blocks, 4);
	rig_stop(&rig);
}

/* The store is asked for the smallest range that covers what is missing. */
static void test_only_what_is_missing_is_read(void **state)
{
	(void)state;
	start(16);
	expect_read(0, 4, (const int[]){1, 2, 3, 4}, 4);
	expect_read(8, 4, (const int[]){9, 10, 11, 12}, 4);
	expect_read(2, 8, (const int[]){3, 4, 5, 6, 7, 8, 9, 10}, 8);
	assert_int_equal(rig.script.first, 4);
	assert_int_equal(rig.script.count, 4);
	assert_int_equal(rig_stats(&rig).cache_hits, 4);
	assert_int_equal(rig_stats(&rig).cache_misses, 12);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_what_the_store_adds_is_kept(void **state)
{
	(void)state;
	start(8);
	rig.script.slack = 2;
	expect_read(3, 1, (const int[]){4}, 1);
	rig.script.slack = 0;
	expect_warm(1 * B, 2);
	expect_warm(5 * B, 6);
	expect_cold(6 * B, 7);
	rig_stop(&rig);
}

static void test_a_read_ends_at_the_end_of_the_file(void **state)
{
	(void)state;
	start(3);
	expect_read(1, 10, (const int[]){2, 3}, 2);
	expect_read(1, 10, (const int[]){2, 3}, 2);
	expect_read(3, 1, NULL, 0);
	expect_read((uint64_t)1 << 29, 1, NULL, 0);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), 1);
	assert_int_equal(rig_stats(&rig).cache_misses, 2);
	assert_int_equal(kit_truncate(rig.kit, rig.ino, 0), 0);
	expect_read(0, 1, NULL, 0);
	rig_stop(&rig);
}

static void test_holes_are_cached(void **state)
{
	(void)state;
	start(1);
	assert_int_equal(rig_write(&rig, 9 * B, B, 7), 0);
	expect_read(0, 10, (const int[]){1, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 10);
	expect_warm(4 * B, 0);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_a_directory_is_no_file(void **state)
{
	(void)state;
	struct store_span span;
	struct store_attr attr;
	start(1);
	for (int warm = 0; warm < 2; warm++) {
		assert_int_equal(store_read(rig.cache, STORE_ROOT_INO, 0, 1, &span), -EISDIR);
		assert_int_equal(store_getattr(rig.cache, STORE_ROOT_INO, &attr), 0);
	}
	assert_int_equal(store_getattr(rig.cache, 999, &attr), -ESTALE);
	assert_int_equal(store_read(rig.cache, 999, 0, 1, &span), -ESTALE);
	rig_stop(&rig);
}

static void test_what_was_written_is_warm(void **state)
{
	(void)state;
	start(4);
	assert_int_equal(rig_write(&rig, B / 2, 2 * B, 0xaa), 0); /* parts of 0 and 2, all of 1 */
	expect_warm(0, 1);
	expect_warm(B / 2, 0xaa);
	expect_warm(B, 0xaa);
	expect_warm(2 * B, 0xaa);
	expect_warm(2 * B + B / 2, 3);
	expect_cold(3 * B, 4);
	assert_int_equal(
		rig_write(&rig, 10 * B + 5, 10, 0xbb), 0); /* inside one block, past the end */
	expect_warm(10 * B + 5, 0xbb);
	expect_warm(10 * B + 20, 0);
	rig_check(&rig);
	rig_stop(&rig);
}

/* The store could not say what the edges are: they are read when asked for. */
static void test_unknown_edges_are_dropped(void **state)
{
	(void)state;
	start(4);
	expect_read(0, 4, (const int[]){1, 2, 3, 4}, 4);
	rig.script.hide_edges = true;
	assert_int_equal(rig_write(&rig, B / 2, 2 * B, 0xaa), 0);
	expect_warm(B, 0xaa);
	expect_cold(B / 2, 0xaa);
	expect_cold(2 * B, 0xaa);
	assert_int_equal(rig_stats(&rig).cache_update_failures, 0);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_appends_land_where_the_store_says(void **state)
{
	(void)state;
	start(2);
	rig_check(&rig);
	unsigned char data[6000];
	memset(data, 9, sizeof data);
	for (int i = 0; i < 3; i++) {
		struct change c = {.kind = CHANGE_WRITE,
			.write = {
				.ino = rig.ino, .len = sizeof data, .data = data, .append = true}};
		assert_int_equal(kit_apply(rig.kit, &c), 0);
		assert_int_equal(c.write.offset, 2 * B + (uint64_t)i * sizeof data);
		expect_warm(c.write.offset, 9);
		expect_warm(c.write.offset + sizeof data - 1, 9);
		block_unref(c.write.head);
		block_unref(c.write.tail);
		rig_check(&rig);
	}
	rig_stop(&rig);
}

/* Truncation, allocation and copies drop what they alter, and only that. */
static void test_other_changes_of_data(void **state)
{
	(void)state;
	start(8);
	rig_check(&rig);
	assert_int_equal(kit_truncate(rig.kit, rig.ino, 6 * B + 100), 0);
	expect_warm(5 * B, 6);
	expect_cold(6 * B, 7);
	expect_warm(6 * B + 100, 0);
	rig_check(&rig);
	assert_int_equal(kit_truncate(rig.kit, rig.ino, 8 * B), 0);
	rig_check(&rig);
	assert_int_equal(kit_allocate(rig.kit, rig.ino, STORE_PUNCH_HOLE, B, B), 0);
	expect_warm(0, 1);
	expect_cold(B, 0);
	expect_warm(2 * B, 3);
	assert_int_equal(kit_allocate(rig.kit, rig.ino, STORE_ZERO_RANGE, 3 * B + 1, 10), 0);
	rig_check(&rig);
	assert_int_equal(kit_allocate(rig.kit, rig.ino, STORE_ALLOCATE, 0, 20 * B), 0);
	rig_check(&rig);
	size_t copied = 0;
	assert_int_equal(kit_copy(rig.kit, rig.ino, 0, rig.ino, 4 * B + 7, B, &copied), 0);
	assert_int_equal(copied, B);
	expect_warm(0, 1);
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_attributes_follow_every_change(void **state)
{
	(void)state;
	start(1);
	struct store_attr attr;
	assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), 0);
	assert_int_equal(kit_attr(rig.kit, rig.ino).mode & 07777, 0600);
	assert_int_equal(kit_link(rig.kit, rig.ino, STORE_ROOT_INO, "second"), 0);
	assert_int_equal(kit_attr(rig.kit, rig.ino).nlink, 2);
	assert_int_equal(kit_setxattr(rig.kit, rig.ino, "user.a", "b", 1, 0), 0);
	assert_true(kit_attr(rig.kit, rig.ino).flags & STORE_ATTR_XATTRS);
	assert_int_equal(kit_removexattr(rig.kit, rig.ino, "user.a"), 0);
	assert_int_equal(
		kit_rename(rig.kit, STORE_ROOT_INO, "second", STORE_ROOT_INO, "third", 0), 0);
	assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "file"), 0);
	assert_int_equal(kit_attr(rig.kit, rig.ino).nlink, 1);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), 0); /* all of it from memory */
	rig_check(&rig);
	assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "third"), 0);
	assert_int_equal(kit_attr(rig.kit, rig.ino).nlink, 0);
	expect_warm(0, 1); /* an orphan is read on */
	kit_must_reap(rig.kit, rig.ino);
	assert_int_equal(store_getattr(rig.cache, rig.ino, &attr), -ESTALE);
	assert_int_equal(rig_stats(&rig).cache_blocks, 0);
	rig_stop(&rig);
}

static void test_a_batch_is_applied_as_one(void **state)
{
	(void)state;
	start(4);
	rig_check(&rig);
	unsigned char data[STORE_BLOCK_SIZE];
	struct change changes[5];
	memset(data, 0x55, sizeof data);
	memset(changes, 0, sizeof changes);
	for (unsigned i = 0; i < 5; i++) {
		changes[i].kind = CHANGE_WRITE;
		changes[i].write = (struct change_write){
			.ino = rig.ino, .offset = i * B, .len = B, .data = data};
	}
	changes[2].kind = CHANGE_SETATTR;
	changes[2].setattr =
		(struct change_setattr){.ino = rig.ino, .mask = STORE_SET_SIZE, .size = B / 2};
	changes[3].write.ino = 999;
	unsigned applies = rig_calls(&rig, SCRIPT_APPLY);
	kit_apply_batch(rig.kit, changes, 5);
	assert_int_equal(rig_calls(&rig, SCRIPT_APPLY), applies + 1);
	assert_int_equal(rig.script.n_changes, 5);
	assert_int_equal(changes[3].result, -ESTALE);
	assert_int_equal(changes[4].result, 0);
	rig_check(&rig);
	expect_warm(4 * B, 0x55);
	rig_stop(&rig);
}

/* F1, F2, F3: refused, and the cache is as it was. */
static void test_a_refused_change_alters_nothing(void **state)
{
	(void)state;
	const int errnos[] = {EIO, ENOSPC, EROFS};
	for (size_t i = 0; i < ARRAY_LEN(errnos); i++) {
		start(4);
		expect_read(0, 4, (const int[]){1, 2, 3, 4}, 4);
		rig.script.refuse = -errnos[i];
		assert_int_equal(rig_write(&rig, B / 2, 2 * B, 0xaa), -errnos[i]);
		assert_int_equal(kit_truncate(rig.kit, rig.ino, 0), -errnos[i]);
		assert_int_equal(kit_chmod(rig.kit, rig.ino, 0), -errnos[i]);
		for (unsigned n = 0; n < 4; n++)
			expect_warm(n * B, (int)n + 1);
		assert_int_equal(rig_stats(&rig).cache_invalidations, 0);
		rig.script.refuse = 0;
		assert_int_equal(rig_write(&rig, B / 2, 2 * B, 0xaa), 0);
		rig_check(&rig);
		rig_stop(&rig);
	}
}

/* F4: the commit's outcome was in doubt: what it was about is dropped, and read from the store. */
static void test_a_doubtful_change_drops_what_it_is_about(void **state)
{
	(void)state;
	start(4);
	expect_read(0, 4, (const int[]){1, 2, 3, 4}, 4);
	rig.script.refuse = -EIO;
	rig.script.doubtful = true;
	assert_int_equal(rig_write(&rig, B, B, 0xaa), -EIO);
	expect_warm_data(0, 1);
	expect_cold(B, 2);
	expect_warm_data(2 * B, 3);
	unsigned attrs = rig_calls(&rig, SCRIPT_GETATTR);
	assert_int_equal(kit_chmod(rig.kit, rig.ino, 0), -EIO);
	kit_attr(rig.kit, rig.ino);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), attrs + 1);
	assert_int_equal(kit_truncate(rig.kit, rig.ino, 2 * B), -EIO);
	expect_cold(3 * B, 4);
	expect_warm_data(B, 2);
	assert_int_equal(kit_unlink(rig.kit, STORE_ROOT_INO, "file"), -EIO);
	expect_cold(0, 1); /* which inode it was about only the store knows */
	rig.script.refuse = 0;
	rig_check(&rig);
	rig_stop(&rig);
}

/* Each kind of change of data, number 0 to 3. */
static int change_data(int which)
{
	size_t copied;
	switch (which) {
	case 0:
		return rig_write(&rig, B, 2 * B, 0xaa);
	case 1:
		return kit_truncate(rig.kit, rig.ino, 2 * B + 1);
	case 2:
		return kit_allocate(rig.kit, rig.ino, STORE_PUNCH_HOLE, B, 2 * B);
	default:
		return kit_copy(rig.kit, rig.ino, 0, rig.ino, 2 * B, B, &copied);
	}
}

/* F5: committed, but the cache could not be updated. */
static void test_a_failed_update_drops_and_says_so(void **state)
{
	(void)state;
	for (int drop = 0; drop < 2; drop++) {
		for (int which = 0; which < 4; which++) {
			struct cache_config cfg = rig_config();
			cfg.drop_on_error = drop;
			rig_start(&rig, &cfg, 4);
			rig_check(&rig);
			atomic_store(&rig.fault, -ENOMEM);
			assert_int_equal(change_data(which), drop ? 0 : -EIO);
			assert_int_equal(rig_stats(&rig).cache_update_failures, 1);
			assert_true(rig_stats(&rig).cache_invalidations > 0);
			expect_warm_data(0, 1);
			expect_cold(2 * B, rig_byte(&rig, rig.script.next, 2 * B));
			rig_check(&rig);
			assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), 0); /* no data */
			assert_int_equal(rig_stats(&rig).cache_update_failures, 1);
			atomic_store(&rig.fault, 0);
			assert_int_equal(rig_write(&rig, 0, B, 0xcc), 0);
			rig_check(&rig);
			rig_stop(&rig);
		}
	}
}

static void test_a_failed_update_keeps_the_contract(void **state)
{
	(void)state;
	start(4);
	unsigned char byte = 1;
	atomic_store(&rig.fault, -ENOMEM);
	struct change c = {.kind = CHANGE_WRITE,
		.write = {.ino = rig.ino, .offset = 5, .len = 1, .data = &byte}};
	assert_int_equal(kit_apply(rig.kit, &c), -EIO);
	assert_true(c.doubtful); /* a cache above drops it, too */
	assert_int_equal(c.n_touched, 0);
	assert_null(c.write.head);
	assert_int_equal(rig_byte(&rig, rig.script.next, 5), 1);
	rig_stop(&rig);
}

/* F6, F7: a cold read fails; nothing is cached, and the store is asked again. */
static int fail_read(struct script *s)
{
	(void)s;
	return -EBADMSG;
}

static void test_a_failed_read_is_not_remembered(void **state)
{
	(void)state;
	start(4);
	expect_cold(0, 1);
	rig.script.before[SCRIPT_READ] = fail_read;
	int got[4];
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rig_read(&rig, 0, 4, got), -EBADMSG);
		assert_int_equal(rig_calls(&rig, SCRIPT_READ), i + 2);
	}
	assert_int_equal(rig_stats(&rig).cache_blocks, 1);
	expect_warm(0, 1);
	assert_int_equal(rig_write(&rig, B, B, 9), 0); /* written whole: good again */
	expect_warm(B, 9);
	rig.script.before[SCRIPT_READ] = SCRIPT_NO_HOOK;
	rig_check(&rig);
	rig_stop(&rig);
}

static void test_ttl(void **state)
{
	(void)state;
	start(4);
	atomic_store(&rig.now, 5000);
	expect_cold(0, 1);
	atomic_store(&rig.now, 5000 + RIG_TTL - 1);
	expect_warm(0, 1); /* a use does not prolong it */
	assert_int_equal(rig_write(&rig, B, B, 8), 0);
	atomic_store(&rig.now, 5000 + RIG_TTL);
	expect_warm(B, 8);
	expect_cold(0, 1);
	assert_int_equal(rig_stats(&rig).cache_expired, 1);
	atomic_store(&rig.now, 5000 + 2 * RIG_TTL - 1);
	expect_cold(B, 8);
	unsigned attrs = rig_calls(&rig, SCRIPT_GETATTR);
	kit_attr(rig.kit, rig.ino);
	atomic_store(&rig.now, 5000 + 4 * RIG_TTL);
	kit_attr(rig.kit, rig.ino);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), attrs + 1);
	rig_stop(&rig);
}

static void test_a_read_says_how_fresh_it_is(void **state)
{
	struct store_span span;
	(void)state;
	start(4);
	atomic_store(&rig.now, 5000);
	assert_int_equal(store_read(rig.cache, rig.ino, 0, 1, &span), 0);
	assert_true(span.ttl_left == INT64_MAX);
	store_span_release(&span);
	assert_int_equal(rig_write(&rig, 2 * B, B, 8), 0);
	atomic_store(&rig.now, 5300);
	assert_int_equal(rig_write(&rig, B, B, 8), 0);
	atomic_store(&rig.now, 5400);
	assert_int_equal(store_read(rig.cache, rig.ino, 1, 1, &span), 0);
	assert_int_equal(span.ttl_left, RIG_TTL - 100);
	store_span_release(&span);
	assert_int_equal(store_read(rig.cache, rig.ino, 1, 3, &span), 0);
	assert_int_equal(span.ttl_left, RIG_TTL - 400);
	store_span_release(&span);
	rig_stop(&rig);
}

static void test_attributes_say_how_old_they_are(void **state)
{
	struct store_attr attr;
	(void)state;
	start(1);
	atomic_store(&rig.now, 5000);
	assert_int_equal(store_getattr(rig.cache, rig.ino, &attr), 0);
	assert_int_equal(attr.age, 0);
	atomic_store(&rig.now, 5300);
	assert_int_equal(store_getattr(rig.cache, rig.ino, &attr), 0);
	assert_int_equal(attr.age, 300);
	assert_int_equal(rig_write(&rig, 0, 1, 8), 0);
	atomic_store(&rig.now, 5310);
	assert_int_equal(store_getattr(rig.cache, rig.ino, &attr), 0);
	assert_int_equal(attr.age, 10);
	atomic_store(&rig.now, 5300 + RIG_TTL);
	assert_int_equal(store_getattr(rig.cache, rig.ino, &attr), 0);
	assert_int_equal(attr.age, 0);
	rig_stop(&rig);
}

static void test_ttl_0_serves_nothing(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.ttl_ns = 0;
	rig_start(&rig, &cfg, 4);
	for (int i = 0; i < 3; i++) {
		expect_cold(0, 1);
		assert_int_equal(rig_write(&rig, B, B, (unsigned char)i), 0);
		expect_cold(B, i);
	}
	assert_int_equal(rig_stats(&rig).cache_blocks, 0);
	assert_int_equal(rig_stats(&rig).cache_hits, 0);
	rig_stop(&rig);
}

static void test_a_cache_of_no_size_serves_nothing(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 0;
	rig_start(&rig, &cfg, 4);
	expect_cold(0, 1);
	assert_int_equal(rig_write(&rig, B, B, 9), 0);
	expect_cold(B, 9);
	assert_int_equal(rig_stats(&rig).cache_bytes, 0);
	rig_check(&rig);
	rig_stop(&rig);
}

/* A record's own TTL rules over the default, from the moment it is set. */
static void test_a_record_has_its_own_ttl(void **state)
{
	(void)state;
	start(4);
	expect_cold(0, 1);
	assert_int_equal(kit_setxattr(rig.kit, rig.ino, "user.recordfs.ttl", "0", 1, 0), 0);
	expect_cold(0, 1);
	expect_cold(0, 1);
	assert_int_equal(rig_write(&rig, 0, B, 5), 0);
	expect_cold(0, 5);
	assert_int_equal(kit_setxattr(rig.kit, rig.ino, "user.recordfs.ttl", "2.5", 3, 0), 0);
	expect_cold(0, 5);
	atomic_store(&rig.now, 2499999999);
	expect_warm(0, 5);
	atomic_store(&rig.now, 2500000000);
	expect_cold(0, 5);
	assert_int_equal(kit_removexattr(rig.kit, rig.ino, "user.recordfs.ttl"), 0);
	expect_cold(0, 5);
	atomic_store(&rig.now, 2500000000 + RIG_TTL);
	expect_cold(0, 5);
	rig_stop(&rig);
}

static void test_block_info_shows_the_cache(void **state)
{
	(void)state;
	start(4);
	struct store_block_info info[4];
	expect_cold(B, 2);
	atomic_store(&rig.now, 300);
	assert_int_equal(store_block_info(rig.cache, rig.ino, 0, 4, info), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(info[i].cached, i == 1);
		assert_int_equal(info[i].ttl_left, i == 1 ? RIG_TTL - 300 : 0);
	}
	rig_stop(&rig);
}

static void test_dropping_from_outside(void **state)
{
	(void)state;
	start(4);
	rig_check(&rig);
	rig_drop(&rig, 1, 2);
	expect_cold(B, 2);
	expect_warm(3 * B, 4);
	expect_cold(2 * B, 3);
	rig_drop(&rig, 0, UINT64_MAX);
	assert_int_equal(rig_stats(&rig).cache_blocks, 0);
	rig_check(&rig);
	rig_drop_all(&rig);
	expect_cold(3 * B, 4);
	rig_stop(&rig);
}

static void test_what_others_change_goes_before_it_is_told(void **state)
{
	(void)state;
	start(2);
	rig_check(&rig);
	unsigned calls = rig_calls(&rig, SCRIPT_GETATTR);
	struct store_event event = {.ino = rig.ino};
	const enum store_event_kind kinds[] = {
		STORE_EVENT_ATTR, STORE_EVENT_NAME, STORE_EVENT_GONE};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		event.kind = kinds[i];
		assert_int_equal(rig_tell(&rig, &event), 1);
		assert_int_equal(rig.script.answered, kinds[i] == STORE_EVENT_GONE);
		assert_int_equal(rig_stats(&rig).cache_blocks, 2);
		(void)kit_attr(rig.kit, rig.ino);
		(void)kit_attr(rig.kit, rig.ino);
		assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), calls + i + 1);
	}
	rig_stop(&rig);
}

static void test_a_blind_cache_goes_by_the_ttl_alone(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.blind = true;
	rig_start(&rig, &cfg, 2);
	atomic_fetch_add(&rig.now, 2 * RIG_TTL);
	rig_check(&rig);
	unsigned calls = rig_calls(&rig, SCRIPT_GETATTR);
	struct store_event event = {.ino = rig.ino, .last = UINT64_MAX};
	const enum store_event_kind kinds[] = {STORE_EVENT_ATTR, STORE_EVENT_NAME, STORE_EVENT_DATA,
		STORE_EVENT_ALL, STORE_EVENT_GONE};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		event.kind = kinds[i];
		assert_int_equal(rig_tell(&rig, &event), kinds[i] == STORE_EVENT_GONE);
		assert_int_equal(rig.script.answered, kinds[i] == STORE_EVENT_GONE);
	}
	(void)kit_attr(rig.kit, rig.ino);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), calls);
	assert_int_equal(rig_stats(&rig).cache_blocks, 2);
	rig_stop(&rig);
}

/* Others write to the whole file, and nobody has told the cache yet. */
static void others_fill(unsigned char fill)
{
	unsigned char data[4 * B];
	memset(data, fill, sizeof data);
	struct change c = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = rig.ino, .len = sizeof data, .data = data}};
	assert_int_equal(store_apply_one(rig.script.next, &c, false), 0);
}

/* What is cached may be old until the cache is told; but old and new are not read together. */
static void test_a_read_does_not_mix_states_of_others(void **state)
{
	(void)state;
	start(4);
	expect_read(1, 2, (const int[]){2, 3}, 2);
	others_fill(9);
	expect_warm(1 * B, 2);
	expect_read(0, 4, (const int[]){9, 9, 9, 9}, 4);
	others_fill(8);
	expect_warm(0, 9);
	rig_stop(&rig);
}

/* The attributes are cached, and no block is. */
static void test_a_read_finds_what_others_added(void **state)
{
	(void)state;
	start(1);
	rig_drop(&rig, 0, UINT64_MAX);
	(void)kit_attr(rig.kit, rig.ino);
	others_fill(9);
	expect_read(0, 4, (const int[]){9, 9, 9, 9}, 4);
	rig_stop(&rig);
}

/* The same where a read brings a block, and a write puts one, beside others that are cached. */
static void test_a_fill_finds_out_what_others_changed(void **state)
{
	(void)state;
	start(4);
	expect_read(1, 2, (const int[]){2, 3}, 2);
	others_fill(9);
	expect_read(3, 1, (const int[]){9}, 1);
	expect_read(1, 3, (const int[]){9, 9, 9}, 3);
	others_fill(8);
	assert_int_equal(rig_write(&rig, 2 * B, B, 7), 0);
	expect_warm(2 * B, 7);
	expect_read(1, 3, (const int[]){8, 7, 8}, 3);
	rig_check(&rig);
	rig_stop(&rig);
}

/* A lookup brings attributes before anybody has told: the blocks of the state before are not read
 * with the new size. */
static void test_old_blocks_are_not_read_with_a_new_size(void **state)
{
	(void)state;
	start(2);
	expect_read(0, 2, (const int[]){1, 2}, 2);
	others_fill(9);
	expect_read(0, 2, (const int[]){1, 2}, 2);
	assert_int_equal(kit_lookup(rig.kit, STORE_ROOT_INO, "file"), rig.ino);
	expect_read(0, 4, (const int[]){9, 9, 9, 9}, 4);
	rig_stop(&rig);
}

/* While a read is on its way, others change the file and another read brings what they made. */
static void others_are_read_first(struct script *s)
{
	s->after[SCRIPT_READ] = NULL;
	others_fill(9);
	expect_read(2, 1, (const int[]){9}, 1);
}

static void test_what_comes_late_is_not_kept(void **state)
{
	(void)state;
	start(4);
	rig.script.after[SCRIPT_READ] = others_are_read_first;
	expect_read(1, 1, (const int[]){2}, 1);
	expect_read(1, 2, (const int[]){9, 9}, 2);
	rig_check(&rig);
	rig_stop(&rig);
}

/* A write's TTL counts from before its commit: from then on others may change the same. */
static void a_while_passes(struct script *s)
{
	struct rig *r = s->arg;
	atomic_fetch_add(&r->now, RIG_TTL / 2);
}

static void test_the_time_of_a_write_counts_from_its_commit(void **state)
{
	(void)state;
	start(1);
	rig.script.after[SCRIPT_APPLY] = a_while_passes;
	assert_int_equal(rig_write(&rig, 0, B, 9), 0);
	rig.script.after[SCRIPT_APPLY] = NULL;
	struct store_block_info info;
	assert_int_equal(store_block_info(rig.cache, rig.ino, 0, 1, &info), 1);
	assert_true(info.cached);
	assert_int_equal(info.ttl_left, RIG_TTL - RIG_TTL / 2);
	rig_stop(&rig);
}

static void test_the_cache_is_bounded(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 1 << 20;
	rig_start(&rig, &cfg, 0);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(rig_write(&rig, i * 64 * B, 64 * B, (unsigned char)i), 0);
		struct store_stats stats = rig_stats(&rig);
		assert_true(stats.cache_bytes <= stats.cache_limit_bytes);
		assert_int_equal(stats.cache_limit_bytes, 1 << 20);
	}
	assert_true(rig_stats(&rig).cache_evictions > 0);
	rig_check(&rig);
	rig_stop(&rig);
}

/* Durability: which commits are durable, and which flushes are made. */

static void expect_durable(enum cache_sync sync, bool data, bool names)
{
	struct cache_config cfg = rig_config();
	cfg.sync = sync;
	rig_start(&rig, &cfg, 4);
	for (int which = 0; which < 4; which++) {
		assert_int_equal(change_data(which), 0);
		assert_int_equal(rig.script.durable, data);
	}
	assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), 0);
	assert_int_equal(rig.script.durable, names);
	struct change c = {.kind = CHANGE_SETATTR,
		.setattr = {.ino = rig.ino, .mask = STORE_SET_MODE, .mode = 0644}};
	assert_int_equal(store_apply_one(rig.cache, &c, true), 0); /* asked for: O_SYNC */
	assert_int_equal(rig.script.durable, sync != CACHE_SYNC_DISABLED);
	rig_stop(&rig);
}

static void test_durability_levels(void **state)
{
	(void)state;
	expect_durable(CACHE_SYNC_ALWAYS, true, false);
	expect_durable(CACHE_SYNC_STANDARD, false, false);
	expect_durable(CACHE_SYNC_DISABLED, false, false);
}

static void test_no_flush_without_need(void **state)
{
	(void)state;
	start(4);
	assert_int_equal(store_flush(rig.cache), 0); /* the file's creation */
	unsigned flushes = rig_calls(&rig, SCRIPT_FLUSH);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_int_equal(rig_write(&rig, 0, B, 1), 0); /* durable by itself */
	assert_int_equal(store_flush(rig.cache), 0);
	rig.script.refuse = -EIO;
	assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), -EIO);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_int_equal(rig_calls(&rig, SCRIPT_FLUSH), flushes);
	rig.script.refuse = 0;
	assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), 0);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_true(rig_calls(&rig, SCRIPT_FLUSH) > flushes);
	rig_stop(&rig);
}

static void test_disabled_never_flushes(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.sync = CACHE_SYNC_DISABLED;
	rig_start(&rig, &cfg, 1);
	assert_int_equal(rig_write(&rig, 0, B, 1), 0);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_int_equal(rig_calls(&rig, SCRIPT_FLUSH), 0);
	rig_stop(&rig);
}

/* Flushes in the background fail, those of the test's own thread do not. */
static struct lock flush_lock;
static pthread_cond_t flush_seen = PTHREAD_COND_INITIALIZER;
static unsigned flushes_seen; /* in the background, under flush_lock */
static pthread_t test_thread;

static int fail_in_background(struct script *s)
{
	(void)s;
	if (pthread_equal(pthread_self(), test_thread))
		return 0;
	lock_acquire(&flush_lock);
	flushes_seen++;
	pthread_cond_broadcast(&flush_seen);
	lock_release(&flush_lock);
	return -EIO;
}

static void test_what_is_committed_is_flushed_by_itself(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.sync = CACHE_SYNC_STANDARD;
	lock_init(&flush_lock);
	test_thread = pthread_self();
	rig_start(&rig, &cfg, 1);
	rig.script.before[SCRIPT_FLUSH] = fail_in_background;
	assert_int_equal(rig_write(&rig, 0, B, 1), 0);
	lock_acquire(&flush_lock);
	while (flushes_seen < 2) /* the first one failed: it is tried again */
		lock_wait(&flush_lock, &flush_seen);
	lock_release(&flush_lock);
	assert_int_equal(store_flush(rig.cache), -EIO); /* somebody is told, once */
	assert_int_equal(store_flush(rig.cache), 0);
	rig_stop(&rig);
	lock_destroy(&flush_lock);
}

static int count_in_background(struct script *s)
{
	(void)fail_in_background(s);
	return 0;
}

/* Also what comes while the flusher waits already, for something that others have flushed. */
static void test_is_flushed_by_itself_again_and_again(void **state)
{
	(void)state;
	lock_init(&flush_lock);
	test_thread = pthread_self();
	start(1);
	rig.script.before[SCRIPT_FLUSH] = count_in_background;
	lock_acquire(&flush_lock);
	flushes_seen = 0;
	lock_release(&flush_lock);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(kit_chmod(rig.kit, rig.ino, 0600), 0);
		for (unsigned k = 0; k < i; k++)
			assert_int_equal(rig_write(&rig, 0, B, 1), 0); /* durable */
		assert_int_equal(kit_chmod(rig.kit, rig.ino, 0640), 0);
		lock_acquire(&flush_lock);
		while (flushes_seen < i)
			lock_wait(&flush_lock, &flush_seen);
		lock_release(&flush_lock);
		if (i == 2)
			assert_int_equal(store_flush(rig.cache), 0);
	}
	rig_stop(&rig);
	lock_destroy(&flush_lock);
}

/* Random changes, some of which fail in every way there is: the cache agrees with the store. */

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static int random_change(uint32_t *seed)
{
	uint64_t offset = next_random(seed) % (40 * STORE_BLOCK_SIZE);
	uint64_t len = 1 + next_random(seed) % (6 * STORE_BLOCK_SIZE);
	uint64_t to = next_random(seed) % (40 * STORE_BLOCK_SIZE);
	size_t copied;
	if (next_random(seed) % 2)
		offset -= offset % STORE_BLOCK_SIZE;
	switch (next_random(seed) % 8) {
	case 0:
		return kit_truncate(rig.kit, rig.ino, offset);
	case 1:
		return kit_allocate(rig.kit, rig.ino, (enum store_allocate)(next_random(seed) % 5),
			offset, len);
	case 2:
		return kit_copy(rig.kit, rig.ino, offset, rig.ino, to, (size_t)len, &copied);
	case 3:
		return kit_chmod(rig.kit, rig.ino, next_random(seed) & 0777);
	default:
		return rig_write(&rig, offset, (size_t)len, (unsigned char)next_random(seed));
	}
}

static void test_random_changes_agree_with_the_store(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 1 << 17; /* a few blocks less than the file has */
	uint32_t seed = 7654321;
	print_message("seed %u\n", seed);
	rig_start(&rig, &cfg, 10);
	for (int i = 0; i < 4000; i++) {
		rig.script.refuse = next_random(&seed) % 16 ? 0 : -EIO;
		rig.script.doubtful = next_random(&seed) % 2;
		rig.script.hide_edges = next_random(&seed) % 8 == 0;
		rig.script.slack = next_random(&seed) % STORE_READ_SLACK;
		atomic_store(&rig.fault, next_random(&seed) % 16 ? 0 : -ENOMEM);
		atomic_fetch_add(&rig.now, next_random(&seed) % 100);
		int r = random_change(&seed);
		(void)r;
		int some[STORE_READ_MAX];
		r = rig_read(&rig, next_random(&seed) % 40, 1 + next_random(&seed) % 10, some);
		assert_true(r >= 0);
		rig_check(&rig);
	}
	struct store_stats stats = rig_stats(&rig);
	assert_true(stats.cache_hits > 1000 && stats.cache_misses > 1000);
	assert_true(stats.cache_evictions > 0 && stats.cache_update_failures > 0);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_read_is_warm),
		cmocka_unit_test(test_only_what_is_missing_is_read),
		cmocka_unit_test(test_what_the_store_adds_is_kept),
		cmocka_unit_test(test_a_read_ends_at_the_end_of_the_file),
		cmocka_unit_test(test_holes_are_cached),
		cmocka_unit_test(test_a_directory_is_no_file),
		cmocka_unit_test(test_what_was_written_is_warm),
		cmocka_unit_test(test_unknown_edges_are_dropped),
		cmocka_unit_test(test_appends_land_where_the_store_says),
		cmocka_unit_test(test_other_changes_of_data),
		cmocka_unit_test(test_attributes_follow_every_change),
		cmocka_unit_test(test_a_batch_is_applied_as_one),
		cmocka_unit_test(test_a_refused_change_alters_nothing),
		cmocka_unit_test(test_a_doubtful_change_drops_what_it_is_about),
		cmocka_unit_test(test_a_failed_update_drops_and_says_so),
		cmocka_unit_test(test_a_failed_update_keeps_the_contract),
		cmocka_unit_test(test_a_failed_read_is_not_remembered),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_a_read_says_how_fresh_it_is),
		cmocka_unit_test(test_attributes_say_how_old_they_are),
		cmocka_unit_test(test_ttl_0_serves_nothing),
		cmocka_unit_test(test_a_cache_of_no_size_serves_nothing),
		cmocka_unit_test(test_a_record_has_its_own_ttl),
		cmocka_unit_test(test_block_info_shows_the_cache),
		cmocka_unit_test(test_dropping_from_outside),
		cmocka_unit_test(test_what_others_change_goes_before_it_is_told),
		cmocka_unit_test(test_a_blind_cache_goes_by_the_ttl_alone),
		cmocka_unit_test(test_a_read_does_not_mix_states_of_others),
		cmocka_unit_test(test_a_read_finds_what_others_added),
		cmocka_unit_test(test_a_fill_finds_out_what_others_changed),
		cmocka_unit_test(test_old_blocks_are_not_read_with_a_new_size),
		cmocka_unit_test(test_what_comes_late_is_not_kept),
		cmocka_unit_test(test_the_time_of_a_write_counts_from_its_commit),
		cmocka_unit_test(test_the_cache_is_bounded),
		cmocka_unit_test(test_durability_levels),
		cmocka_unit_test(test_no_flush_without_need),
		cmocka_unit_test(test_disabled_never_flushes),
		cmocka_unit_test(test_what_is_committed_is_flushed_by_itself),
		cmocka_unit_test(test_is_flushed_by_itself_again_and_again),
		cmocka_unit_test(test_random_changes_agree_with_the_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
