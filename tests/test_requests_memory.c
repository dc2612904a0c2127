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

/* cmocka.h wants these before it. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STRIDE 5

/* On this thread: so many allocations work, then one fails; -1: all work. None counts while nobody
 * is asked, or something else than fs/ works. */
static _Thread_local long left_here = -1;
static _Thread_local bool asking;
static _Thread_local int paused;
static _Thread_local bool refused;
static unsigned refusals;

static bool refuse(void)
{
	if (!asking || paused > 0 || left_here < 0 || left_here-- > 0)
		return false;
	return refused = true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

static void pause_refusals(bool on)
{
	paused += on ? 1 : -1;
}

static void before(void)
{
	refused = false;
	asking = true;
}

static bool after(void)
{
	asking = false;
	refusals += refused;
	return refused;
}

/* -- the store below, whose memory is not meant -------------------------------------------------
 */

static const struct store_ops *below;

/* `call` is made of the store's own function. */
#define PAUSED(type, call)                                                                         \
	do {                                                                                       \
		pause_refusals(true);                                                              \
		type result = below->call;                                                         \
		pause_refusals(false);                                                             \
		return result;                                                                     \
	} while (0)

static void paused_apply(struct store *s, struct change *const *changes, size_t n, bool durable)
{
	pause_refusals(true);
	below->apply(s, changes, n, durable);
	pause_refusals(false);
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
	pause_refusals(true);
	below->stats(s, stats);
	pause_refusals(false);
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
		.opened = opened, .pause = pause_refusals, .before = before, .after = after};
	long step = getenv("RFS_LONG") ? 1 : STRIDE;
	unsigned seen;
	long n = 0;
	do {
		seen = refusals;
		left_here = n;
		bool good = requests_run_hooked(input, size, &hooks, why);
		left_here = -1;
		if (!good) {
			size_t len = strlen(why);
			snprintf(why + len, REQUESTS_WHY - len, ", without allocation %ld", n);
			return false;
		}
		n += step;
	} while (refusals != seen);
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
	print_message("%u allocations failed\n", refusals);
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
