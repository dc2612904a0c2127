/*
 * What follows from settings that change while the mount is in use, in the daemon itself. What they
 * mean to the cache is asked in test_tune.c.
 */
#include "kernel.h"
#include "kit.h"
#include "model_store.h"

#include "cache/cache.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct store *cache;
static struct kernel *kernel;
static uint64_t file;

static void start(void)
{
	const struct cache_config cache_config = {.size = 1 << 20, .ttl_ns = 300000000000};
	const struct kernel_config config = {.minor = 45, .cache_ttl_ns = 300000000000};
	struct change create = {.kind = CHANGE_CREATE,
		.create = {.parent = STORE_ROOT_INO, .name = {"f", 1}, .mode = S_IFREG | 0644}};
	assert_int_equal(cache_new(&cache_config, model_store_new(), &cache), 0);
	assert_int_equal(store_apply_one(cache, &create, false), 0);
	file = create.touched[0].ino;
	kernel = kernel_open(cache, &config);
}

static void stop(void)
{
	kernel_close(kernel);
	store_close(cache);
}

/* Was it flushed, as the gather was told? */
static bool write_flushes(int flags)
{
	const struct {
		struct fuse_write_in in;
		char data[8];
	} write = {.in = {.size = 8, .flags = (uint32_t)flags}, .data = "written"};
	struct kernel_answer a = {0};
	kernel_ask(kernel, FUSE_WRITE, file, &write, sizeof write.in + 8, &a);
	assert_true(kernel_settle(kernel));
	assert_true(a.answered);
	assert_int_equal(a.error, 0);
	kernel_answer_free(&a);
	return kernel_flushed(kernel);
}

static void the_gather_knows_what_is_flushed(void **state)
{
	(void)state;
	start();
	assert_true(write_flushes(0));
	kernel_set(kernel, "sync=standard");
	assert_false(write_flushes(0));
	assert_true(write_flushes(O_DSYNC));
	assert_true(write_flushes(O_SYNC));
	kernel_set(kernel, "sync=disabled");
	assert_false(write_flushes(0));
	assert_false(write_flushes(O_DSYNC));
	kernel_set(kernel, "sync=always");
	assert_true(write_flushes(0));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gather_knows_what_is_flushed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
