/*
 * The daemon's own memory runs out: the 1st, the 2nd, the 3rd ... allocation of fs/ fails in each
 * of the programs of requests of tests/corpus-requests and in random ones (requests.h). A request
 * that fails for it says ENOMEM or EIO and has changed nothing; each is answered once; the daemon
 * knows of nothing that it should not, in the end. That of the layers below is
 * test_every_failure's. Every 5th allocation each time, each of them with RFS_LONG=1 in the
 * environment.
 */
#include "inputs.h"
#include "requests.h"
#include "scarce_heap.h"

/* cmocka.h wants these before it. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STRIDE 5

/* All that is not fs/'s own work, while it is asked, is in a pause. */
static int seen, refusals;

static void before(void)
{
	seen = scarce_heap_refused();
	scarce_heap_pause(false);
}

static bool after(void)
{
	scarce_heap_pause(true);
	int now = scarce_heap_refused() - seen;
	refusals += now;
	return now > 0;
}

/* -- the store below, whose memory is not meant -------------------------------------------------
 */

static const struct store_ops *below;

/* `call` is made of the store's own function. */
#define PAUSED(type, call)                                                                         \
	do {                                                                                       \
		scarce_heap_pause(true);                                                           \
		type result = below->call;                                                         \
		scarce_heap_pause(false);                                                          \
		return result;                                                                     \
	} while (0)

static void paused_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	scarce_heap_pause(true);
	below->apply(s, changes, n, durable);
	scarce_heap_pause(false);
}

static int paused_flush(struct store *s)
{
	PAUSED(int, flush(s));
}

static int paused_read(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_span *ret)
{
	PAUSED(int, read(s, ino, first, count, ret));
}

static int paused_getattr(struct store *s, uint64_t ino, struct store_attr *ret)
{
	PAUSED(int, getattr(s, ino, ret));
}

static int paused_lookup(
	struct store *s, uint64_t parent, const char *name, size_t len, struct store_attr *ret)
{
	PAUSED(int, lookup(s, parent, name, len, ret));
}

static int paused_readlink(struct store *s, uint64_t ino, char *buf, size_t size)
{
	PAUSED(int, readlink(s, ino, buf, size));
}

static int paused_readdir(
	struct store *s, uint64_t dir, uint64_t from, bool with_attr, store_entry_fn *fn, void *arg)
{
	PAUSED(int, readdir(s, dir, from, with_attr, fn, arg));
}

static ssize_t paused_getxattr(
	struct store *s, uint64_t ino, const char *name, size_t len, void *buf, size_t size)
{
	PAUSED(ssize_t, getxattr(s, ino, name, len, buf, size));
}

static int paused_listxattr(struct store *s, uint64_t ino, store_xattr_fn *fn, void *arg)
{
	PAUSED(int, listxattr(s, ino, fn, arg));
}

static int paused_seek(struct store *s, uint64_t ino, uint64_t offset, bool data, uint64_t *ret)
{
	PAUSED(int, seek(s, ino, offset, data, ret));
}

static int paused_statfs(struct store *s, struct store_space *ret)
{
	PAUSED(int, statfs(s, ret));
}

static int paused_path(struct store *s, uint64_t ino, char *buf, size_t size)
{
	PAUSED(int, path(s, ino, buf, size));
}

static ssize_t paused_block_info(
	struct store *s, uint64_t ino, uint64_t first, uint32_t count, struct store_block_info *ret)
{
	PAUSED(ssize_t, block_info(s, ino, first, count, ret));
}

static void paused_stats(struct store *s, struct store_stats *stats)
{
	scarce_heap_pause(true);
	below->stats(s, stats);
	scarce_heap_pause(false);
}

static void opened(struct store *store)
{
	static struct store_ops ops;
	below = store->ops;
	ops = *below;
	ops.apply = paused_apply;
	ops.flush = paused_flush;
	ops.read = paused_read;
	ops.getattr = paused_getattr;
	ops.lookup = paused_lookup;
	ops.readlink = paused_readlink;
	ops.readdir = paused_readdir;
	ops.getxattr = paused_getxattr;
	ops.listxattr = paused_listxattr;
	ops.seek = paused_seek;
	ops.statfs = paused_statfs;
	ops.path = paused_path;
	ops.block_info = paused_block_info;
	ops.stats = paused_stats;
	store->ops = &ops;
}

/* -- the inputs -------------------------------------------------------------------------------- */

static bool run(const uint8_t *input, size_t size, char *why)
{
	static const struct requests_hooks hooks = {
		.opened = opened, .pause = scarce_heap_pause, .before = before, .after = after};
	long step = getenv("RFS_LONG") ? 1 : STRIDE;
	int sum;
	long n = 0;
	do {
		sum = refusals;
		scarce_heap_arm(n);
		scarce_heap_pause(true);
		bool good = requests_run_hooked(input, size, &hooks, why);
		scarce_heap_pause(false);
		scarce_heap_arm(-1);
		if (!good) {
			size_t len = strlen(why);
			snprintf(why + len, REQUESTS_WHY - len, ", without allocation %ld", n);
			return false;
		}
		n += step;
	} while (refusals != sum);
	return true;
}

static const struct inputs inputs = {
	.run = run, .size_max = 4000, .cases = 8, .cases_long = 500, .seconds = 600};

static void without_memory_nothing_is_half_done_in_the_corpus(void **state)
{
	(void)state;
	inputs_corpus(&inputs, RFS_CORPUS);
}

static void without_memory_nothing_is_half_done(void **state)
{
	(void)state;
	inputs_random(&inputs);
	print_message("%d allocations failed\n", refusals);
	assert_true(refusals > 0);
}

static int setup(void **state)
{
	(void)state;
	requests_setup();
	inputs_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	requests_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_nothing_is_half_done_in_the_corpus),
		cmocka_unit_test(without_memory_nothing_is_half_done),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
