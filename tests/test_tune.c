/*
 * What is asked of a cache in use: other settings, to forget, to be warmed; and each race of that
 * with reads and writes, forced by a hook of the store below.
 */
#include "cache/internal.h"
#include "cache_rig.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define B ((uint64_t)STORE_BLOCK_SIZE)

static struct rig rig;

static struct cache_settings settings_of(const struct cache_config *cfg)
{
	return (struct cache_settings){.size = cfg->size,
		.ttl_ns = cfg->ttl_ns,
		.sync = cfg->sync,
		.drop_on_error = cfg->drop_on_error};
}

static struct cache_settings start(struct cache_config cfg, uint32_t blocks)
{
	rig_start(&rig, &cfg, blocks);
	return settings_of(&cfg);
}

static void stop(void)
{
	assert_null(blocks_check(cache_of(rig.cache)->blocks));
	rig_check(&rig);
	rig_stop(&rig);
}

/* What is left of the TTL of block `index`; 0: it is not cached. */
static int64_t left(uint64_t index)
{
	struct store_block_info info;
	assert_int_equal(store_block_info(rig.cache, rig.ino, index, 1, &info), 1);
	return info.cached ? info.ttl_left : 0;
}

static uint32_t cached(uint32_t blocks)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < blocks; i++)
		n += left(i) > 0;
	return n;
}

static void read_all(uint32_t blocks)
{
	int bytes[STORE_READ_MAX];
	for (uint32_t at = 0; at < blocks; at += 100) {
		uint32_t n = blocks - at < 100 ? blocks - at : 100;
		assert_int_equal(rig_read(&rig, at, n, bytes), n);
	}
}

/* -- TTL -- */

static void set_ttl(struct cache_settings s, int64_t ttl)
{
	s.ttl_ns = ttl;
	assert_int_equal(cache_set(rig.cache, &s), 0);
}

static void test_shorter_ttl(void **state)
{
	(void)state;
	struct cache_settings s = start(rig_config(), 2);
	read_all(2);
	rig.now = 500;
	set_ttl(s, 600);
	assert_int_equal(left(0), 100);
	set_ttl(s, RIG_TTL); /* does not make it last longer */
	assert_int_equal(left(0), 100);
	set_ttl(s, 400);
	assert_int_equal(left(0), 0);
	unsigned reads = rig_calls(&rig, SCRIPT_READ), attrs = rig_calls(&rig, SCRIPT_GETATTR);
	read_all(2);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads + 1);
	assert_int_equal(left(0), 400);
	rig.now += 400;
	(void)kit_attr(rig.kit, rig.ino);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), attrs + 1);
	set_ttl(s, 0);
	read_all(2);
	assert_int_equal(left(0), 0);
	stop();
}

static struct cache_settings inner;

static void set_inside(struct script *s)
{
	(void)s;
	assert_int_equal(cache_set(rig.cache, &inner), 0);
}

/* A fill or a write that has begun with the longer TTL. */
static void test_shorter_ttl_races(void **state)
{
	(void)state;
	inner = start(rig_config(), 2);
	inner.ttl_ns = 10;
	rig.script.after[SCRIPT_READ] = set_inside;
	read_all(2);
	rig.script.after[SCRIPT_READ] = NULL;
	assert_true(left(0) <= 10 && left(1) <= 10);
	stop();

	inner = start(rig_config(), 2);
	inner.ttl_ns = 10;
	rig.script.after[SCRIPT_APPLY] = set_inside;
	assert_int_equal(rig_write(&rig, 0, B, 9), 0);
	rig.script.after[SCRIPT_APPLY] = NULL;
	assert_true(left(0) <= 10);
	stop();
}

/* -- size -- */

static void test_size(void **state)
{
	(void)state;
	struct cache_settings s = start(rig_config(), 1000);
	read_all(1000);
	assert_int_equal(cached(1000), 1000);
	uint64_t evictions = rig_stats(&rig).cache_evictions;
	s.size = 1 << 20;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	struct store_stats stats = rig_stats(&rig);
	assert_true(stats.cache_bytes <= s.size && stats.cache_limit_bytes == s.size);
	assert_int_equal(stats.cache_evictions - evictions, 1000 - stats.cache_blocks);
	assert_true(stats.cache_blocks > 150);
	assert_null(blocks_check(cache_of(rig.cache)->blocks));
	s.size = 16 << 20;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	assert_int_equal(rig_stats(&rig).cache_blocks, stats.cache_blocks);
	read_all(1000);
	assert_int_equal(cached(1000), 1000);
	s.size = 0;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	assert_int_equal(rig_stats(&rig).cache_blocks, 0);
	read_all(10);
	assert_int_equal(rig_stats(&rig).cache_blocks, 0);
	stop();
}

/* -- durability -- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool applying, go_on, applied, set, flushed_after;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int hold_apply(struct script *s)
{
	(void)s;
	pthread_mutex_lock(&gate.lock);
	gate.applying = true;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.go_on)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

static void note_apply(struct script *s)
{
	(void)s;
	pthread_mutex_lock(&gate.lock);
	gate.applied = true;
	pthread_mutex_unlock(&gate.lock);
}

static int note_flush(struct script *s)
{
	(void)s;
	pthread_mutex_lock(&gate.lock);
	gate.flushed_after = gate.applied;
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

static void *write_one(void *arg)
{
	(void)arg;
	assert_int_equal(rig_write(&rig, 0, B, 7), 0);
	return NULL;
}

static void *set_one(void *arg)
{
	assert_int_equal(cache_set(rig.cache, arg), 0);
	pthread_mutex_lock(&gate.lock);
	gate.set = true;
	pthread_mutex_unlock(&gate.lock);
	return NULL;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The level is raised while a commit of the lower one is under way. */
static void test_always_flushes_what_is_under_way(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.sync = CACHE_SYNC_STANDARD;
	struct cache_settings s = start(cfg, 2);
	pthread_t writer, setter;
	rig.script.before[SCRIPT_APPLY] = hold_apply;
	rig.script.after[SCRIPT_APPLY] = note_apply;
	rig.script.before[SCRIPT_FLUSH] = note_flush;
	assert_int_equal(pthread_create(&writer, NULL, write_one, NULL), 0);
	pthread_mutex_lock(&gate.lock);
	while (!gate.applying)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	s.sync = CACHE_SYNC_ALWAYS;
	assert_int_equal(pthread_create(&setter, NULL, set_one, &s), 0);
	sleep_ms(100); /* enough for it to be wrong */
	pthread_mutex_lock(&gate.lock);
	assert_false(gate.set);
	gate.go_on = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(writer, NULL);
	pthread_join(setter, NULL);
	assert_true(gate.flushed_after);
	assert_false(rig.script.durable);
	assert_int_equal(rig_write(&rig, 0, B, 8), 0);
	assert_true(rig.script.durable);
	stop();
}

static int fail_flush(struct script *s)
{
	(void)s;
	return -EIO;
}

/* All or none: the flush that `always` begins with fails. */
static void test_failed_flush(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.sync = CACHE_SYNC_DISABLED;
	struct cache_settings s = start(cfg, 2);
	assert_int_equal(rig_write(&rig, 0, B, 7), 0);
	rig.script.before[SCRIPT_FLUSH] = fail_flush;
	s.sync = CACHE_SYNC_ALWAYS;
	s.size = 1 << 20;
	assert_int_equal(cache_set(rig.cache, &s), -EIO);
	assert_int_equal(rig_stats(&rig).cache_limit_bytes, cfg.size);
	assert_int_equal(rig_write(&rig, 0, B, 8), 0);
	assert_false(rig.script.durable);
	rig.script.before[SCRIPT_FLUSH] = SCRIPT_NO_HOOK;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	assert_int_equal(rig_stats(&rig).cache_limit_bytes, 1 << 20);
	stop();
}

static void test_other_levels(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.sync = CACHE_SYNC_DISABLED;
	struct cache_settings s = start(cfg, 2);
	assert_int_equal(rig_write(&rig, 0, B, 7), 0);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_int_equal(rig_calls(&rig, SCRIPT_FLUSH), 0);
	/* What was left is flushed by itself. */
	s.sync = CACHE_SYNC_STANDARD;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	for (int i = 0; i < 6000 && rig_calls(&rig, SCRIPT_FLUSH) == 0; i++)
		sleep_ms(10);
	assert_int_equal(rig_calls(&rig, SCRIPT_FLUSH), 1);
	s.sync = CACHE_SYNC_DISABLED;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	assert_int_equal(rig_write(&rig, 0, B, 8), 0);
	assert_int_equal(store_flush(rig.cache), 0);
	assert_int_equal(rig_calls(&rig, SCRIPT_FLUSH), 1);
	stop();
}

static void test_on_error(void **state)
{
	(void)state;
	struct cache_settings s = start(rig_config(), 2);
	rig.fault = -ENOMEM;
	assert_int_equal(rig_write(&rig, 0, B, 7), -EIO);
	s.drop_on_error = true;
	assert_int_equal(cache_set(rig.cache, &s), 0);
	assert_int_equal(rig_write(&rig, 0, B, 7), 0);
	stop();
}

/* -- forgetting -- */

static void forget_inside(struct script *s)
{
	(void)s;
	cache_forget(rig.cache, rig.ino);
}

static void forget_all_inside(struct script *s)
{
	(void)s;
	cache_forget_all(rig.cache);
}

static void test_forget(void **state)
{
	(void)state;
	(void)start(rig_config(), 3);
	void (*const ways[])(struct script *) = {forget_inside, forget_all_inside};
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		read_all(3);
		assert_int_equal(cached(3), 3);
		ways[i](NULL);
		assert_int_equal(cached(3), 0);
		/* What was loaded before does not come in after it. */
		rig.script.after[SCRIPT_READ] = ways[i];
		read_all(3);
		rig.script.after[SCRIPT_READ] = NULL;
		assert_int_equal(cached(3), 0);
		/* Nor does what was written before. */
		rig.script.after[SCRIPT_APPLY] = ways[i];
		assert_int_equal(rig_write(&rig, 0, B, 9), 0);
		rig.script.after[SCRIPT_APPLY] = NULL;
		assert_int_equal(cached(3), 0);
	}
	stop();
}

/* -- warming -- */

static struct cache_warmed warm(uint64_t first, uint32_t count, uint16_t session)
{
	struct cache_warmed w = {0};
	assert_int_equal(cache_warm(rig.cache, rig.ino, first, count, session, &w), 0);
	return w;
}

static void test_warm(void **state)
{
	(void)state;
	(void)start(rig_config(), 700);
	uint16_t session = cache_warm_begin(rig.cache);
	for (uint64_t at = 0; at < 1024; at += 256) {
		uint64_t there = at >= 700 ? 0 : 700 - at < 256 ? 700 - at : 256;
		struct cache_warmed w = warm(at, 256, session);
		assert_int_equal(w.blocks, there);
		assert_int_equal(w.kept, there);
		assert_false(w.full);
	}
	assert_int_equal(cached(700), 700);
	unsigned reads = rig_calls(&rig, SCRIPT_READ), attrs = rig_calls(&rig, SCRIPT_GETATTR);
	read_all(700);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads);
	assert_int_equal(rig_calls(&rig, SCRIPT_GETATTR), attrs);
	assert_true(cache_warm_begin(rig.cache) != session);
	stop();
}

/* Others are evicted for it, what was used often as well; what it has warmed itself is not. */
static void test_warm_until_full(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 1 << 20;
	(void)start(cfg, 700);
	for (int i = 0; i < 4; i++) { /* the last 200 blocks are used often */
		int bytes[100];
		assert_int_equal(rig_read(&rig, 500, 100, bytes), 100);
		assert_int_equal(rig_read(&rig, 600, 100, bytes), 100);
	}
	for (int again = 0; again < 2; again++) {
		uint16_t session = cache_warm_begin(rig.cache);
		uint64_t at = 0;
		while (!warm(at, 8, session).full) {
			at += 8;
			assert_true(at < 500);
		}
		assert_true(at > 200); /* of 254 that the size alone would allow */
		assert_int_equal(cached((uint32_t)at), at);
		assert_null(blocks_check(cache_of(rig.cache)->blocks));
		assert_true(rig_stats(&rig).cache_bytes <= cfg.size);
		unsigned reads = rig_calls(&rig, SCRIPT_READ);
		read_all((uint32_t)at);
		assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads);
		cache_forget_all(rig.cache);
	}
	stop();
}

static void test_warm_another_session(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.size = 1 << 20;
	(void)start(cfg, 700);
	uint16_t session = cache_warm_begin(rig.cache);
	for (uint64_t at = 0; !warm(at, 8, session).full;)
		at += 8;
	session = cache_warm_begin(rig.cache);
	for (uint64_t at = 400; at < 600; at += 8)
		assert_int_equal(warm(at, 8, session).kept, 8);
	for (uint64_t at = 400; at < 600; at++)
		assert_true(left(at) > 0);
	stop();
}

static void write_inside(struct script *s)
{
	s->after[SCRIPT_READ] = NULL;
	assert_int_equal(rig_write(&rig, B, B, 0xee), 0);
}

static void test_warm_against_write(void **state)
{
	(void)state;
	(void)start(rig_config(), 3);
	rig.script.after[SCRIPT_READ] = write_inside;
	struct cache_warmed w = warm(0, 3, cache_warm_begin(rig.cache));
	assert_true(w.kept <= w.blocks && !w.full);
	assert_int_equal(rig_byte(&rig, rig.cache, B), 0xee);
	stop();
}

static void test_warm_never(void **state)
{
	(void)state;
	struct cache_config cfg = rig_config();
	cfg.ttl_ns = 0;
	(void)start(cfg, 3);
	struct cache_warmed w = warm(0, 3, cache_warm_begin(rig.cache));
	assert_int_equal(w.ttl_ns, 0);
	assert_int_equal(w.kept, 0);
	assert_false(w.full);
	stop();
	cfg = rig_config();
	cfg.size = 0;
	(void)start(cfg, 3);
	assert_true(warm(0, 3, cache_warm_begin(rig.cache)).full);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shorter_ttl),
		cmocka_unit_test(test_shorter_ttl_races),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_always_flushes_what_is_under_way),
		cmocka_unit_test(test_failed_flush),
		cmocka_unit_test(test_other_levels),
		cmocka_unit_test(test_on_error),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_warm),
		cmocka_unit_test(test_warm_until_full),
		cmocka_unit_test(test_warm_another_session),
		cmocka_unit_test(test_warm_against_write),
		cmocka_unit_test(test_warm_never),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
