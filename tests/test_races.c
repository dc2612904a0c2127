/*
 * Interleavings that are forced, of the requests of a kernel with each other and with the notifier,
 * and of fills with eviction and the end of a TTL. docs/reliability.md lists all of them, and the
 * tests that have the others.
 */
#include "cache_rig.h"
#include "kernel.h"
#include "model_store.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>

/* -- fills ------------------------------------------------------------------------------------ */

static struct rig rig;
static uint64_t large; /* a file that does not fit into the cache */
static bool inner_ran;

static void start(uint64_t cache_size)
{
	static unsigned char data[256 * STORE_BLOCK_SIZE];
	struct cache_config cfg = rig_config();
	cfg.size = cache_size;
	rig_start(&rig, &cfg, 8);
	large = kit_must_file(rig.kit, STORE_ROOT_INO, "large");
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(kit_write(rig.kit, large, i * sizeof data, data, sizeof data), 0);
	rig_drop_all(&rig);
	inner_ran = false;
}

/* Others read so much that all that was cached goes. */
static void evict_inside(struct script *s)
{
	(void)s;
	struct store_span *span = inner_ran ? NULL : test_malloc(sizeof *span);
	inner_ran = true;
	for (uint64_t first = 0; span && first < 1024; first += 256) {
		assert_int_equal(store_read(rig.cache, large, first, 256, span), 0);
		store_span_release(span);
	}
	test_free(span);
}

/* Half of what is read is cached before, and is evicted while the other half is loaded. */
static void a_fill_against_eviction(void **state)
{
	(void)state;
	int bytes[8] = {0};
	start(1 << 20);
	assert_int_equal(rig_read(&rig, 0, 4, bytes), 4);
	rig.script.after[SCRIPT_READ] = evict_inside;
	assert_int_equal(rig_read(&rig, 0, 8, bytes), 8);
	rig.script.after[SCRIPT_READ] = NULL;
	assert_true(inner_ran);
	for (int i = 0; i < 8; i++)
		assert_int_equal(bytes[i], i + 1);
	struct store_stats stats = rig_stats(&rig);
	assert_true(stats.cache_evictions > 0);
	assert_true(stats.cache_bytes <= stats.cache_limit_bytes);
	rig_check(&rig);
	rig_stop(&rig);
}

static void time_passes_inside(struct script *s)
{
	struct rig *r = s->arg;
	if (!inner_ran)
		atomic_fetch_add(&r->now, RIG_TTL);
	inner_ran = true;
}

/* The TTL of all of it ends while a part is loaded: what was read may be kept for what was left
 * when the read began, and the next read asks the store for all of it again. */
static void a_fill_against_the_end_of_its_ttl(void **state)
{
	(void)state;
	int bytes[8] = {0};
	struct store_span *span = test_malloc(sizeof *span);
	start(16 << 20);
	assert_int_equal(rig_read(&rig, 0, 4, bytes), 4);
	atomic_fetch_add(&rig.now, RIG_TTL / 2);
	rig.script.after[SCRIPT_READ] = time_passes_inside;
	assert_int_equal(store_read(rig.cache, rig.ino, 0, 8, span), 0);
	rig.script.after[SCRIPT_READ] = NULL;
	assert_true(inner_ran);
	assert_int_equal(span->ttl_left, RIG_TTL - RIG_TTL / 2);
	store_span_release(span);
	test_free(span);
	unsigned reads = rig_calls(&rig, SCRIPT_READ);
	assert_int_equal(rig_read(&rig, 0, 8, bytes), 8);
	assert_int_equal(rig_calls(&rig, SCRIPT_READ), reads + 1);
	assert_int_equal(rig.script.first, 0);
	assert_int_equal(rig.script.count, 8);
	rig_stop(&rig);
}

/* -- requests --------------------------------------------------------------------------------- */

static struct script script;
static struct kernel *kernel;
static uint64_t file;

/* A request that must be answered at once, and well; the size of the answer. */
static size_t must_work(uint32_t opcode, uint64_t nodeid, const void *in, size_t size)
{
	struct kernel_answer a = {0};
	kernel_ask(kernel, opcode, nodeid, in, size, &a);
	assert_true(a.answered);
	assert_int_equal(a.error, 0);
	size_t answered = a.size;
	kernel_answer_free(&a);
	return answered;
}

/* Looks /f up, as one who is told of `nodeid` then, or 0: there is none. */
static uint64_t look_up(void)
{
	uint64_t nodeid = 0;
	struct kernel_answer a = {0};
	kernel_ask(kernel, FUSE_LOOKUP, STORE_ROOT_INO, "f", 2, &a);
	assert_true(a.answered);
	assert_true(a.error == 0 || a.error == ENOENT);
	if (!a.error)
		memcpy(&nodeid, a.data, sizeof nodeid);
	kernel_answer_free(&a);
	return nodeid;
}

static void forget(uint64_t n)
{
	const struct fuse_forget_in in = {.nlookup = n};
	kernel_tell(kernel, FUSE_FORGET, file, &in, sizeof in);
}

/* Does the store still have it? */
static bool exists(void)
{
	struct store_attr attr;
	return store_getattr(script.next, file, &attr) == 0;
}

/* A daemon over a scripted store, with a file /f that the kernel knows once. */
static void start_kernel(uint32_t minor)
{
	const struct kernel_config config = {.minor = minor, .cache_ttl_ns = 300000000000};
	struct {
		struct fuse_mknod_in in;
		char name[2];
	} make = {.in = {.mode = S_IFREG | 0644}, .name = "f"};
	script_init(&script, model_store_new());
	kernel = kernel_open(&script.store, &config);
	must_work(FUSE_MKNOD, STORE_ROOT_INO, &make, offsetof(__typeof__(make), name) + 2);
	file = look_up();
	forget(1);
	assert_int_equal(kernel_inodes(kernel), 2);
	inner_ran = false;
}

static void stop_kernel(void)
{
	kernel_close(kernel);
	store_close(&script.store);
}

static void forget_inside(struct script *s)
{
	(void)s;
	if (!inner_ran)
		forget(1);
	inner_ran = true;
}

/* The kernel forgets what it knew while it looks the same up again: then it knows it once, and what
 * is unlinked now is not deleted before it has forgotten that, too. */
static void a_lookup_against_a_forget(void **state)
{
	(void)state;
	start_kernel(45);
	script.after[SCRIPT_LOOKUP] = forget_inside;
	assert_int_equal(look_up(), file);
	script.after[SCRIPT_LOOKUP] = NULL;
	assert_true(inner_ran);
	assert_int_equal(kernel_inodes(kernel), 2);
	must_work(FUSE_UNLINK, STORE_ROOT_INO, "f", 2);
	must_work(FUSE_STATFS, STORE_ROOT_INO, NULL, 0); /* deletes what can be */
	assert_true(exists());
	forget(1);
	assert_int_equal(kernel_inodes(kernel), 1);
	must_work(FUSE_STATFS, STORE_ROOT_INO, NULL, 0);
	assert_false(exists());
	stop_kernel();
}

/* Another mount, which asks all others whether they use the file. Nobody does yet. */
static void others_delete_inside(struct script *s)
{
	if (inner_ran)
		return;
	inner_ran = true;
	struct change unlink = {
		.kind = CHANGE_UNLINK, .unlink = {.parent = STORE_ROOT_INO, .name = {"f", 1}}};
	struct change reap = {.kind = CHANGE_REAP, .reap = {.ino = file}};
	assert_int_equal(store_apply_one(s->next, &unlink, false), 0);
	assert_int_equal(store_apply_one(s->next, &reap, false), 0);
	kernel_others_changed(kernel);
}

/* What others delete between the lookup and its being counted is not what the kernel is told of. */
static void a_lookup_against_a_deletion_by_others(void **state)
{
	(void)state;
	start_kernel(45);
	forget(1);
	assert_int_equal(kernel_inodes(kernel), 1);
	script.after[SCRIPT_LOOKUP] = others_delete_inside;
	assert_int_equal(look_up(), 0);
	script.after[SCRIPT_LOOKUP] = NULL;
	assert_true(inner_ran);
	assert_int_equal(kernel_inodes(kernel), 1);
	stop_kernel();
}

static void unlink_inside(struct script *s)
{
	(void)s;
	if (inner_ran)
		return;
	inner_ran = true;
	must_work(FUSE_UNLINK, STORE_ROOT_INO, "f", 2);
}

/* What is unlinked while it is being opened is open then, and stays until it is closed. */
static void an_open_against_an_unlink(void **state)
{
	(void)state;
	const struct fuse_open_in open = {0};
	const struct fuse_release_in release = {0};
	start_kernel(45);
	script.after[SCRIPT_GETATTR] = unlink_inside;
	must_work(FUSE_OPEN, file, &open, sizeof open);
	script.after[SCRIPT_GETATTR] = NULL;
	assert_true(inner_ran);
	forget(1);
	must_work(FUSE_STATFS, STORE_ROOT_INO, NULL, 0);
	assert_true(exists());
	must_work(FUSE_RELEASE, file, &release, sizeof release);
	must_work(FUSE_STATFS, STORE_ROOT_INO, NULL, 0);
	assert_false(exists());
	stop_kernel();
}

/* Of kernels that must be told to drop what was written, before the answer: the notifier may have
 * to wait for a lock that is held for another request. All that hold one are answered meanwhile. */
static void requests_against_the_notifier(void **state)
{
	(void)state;
	const struct fuse_getattr_in getattr = {0};
	const struct fuse_read_in read = {.size = 4096};
	struct {
		struct fuse_write_in in;
		char data[8];
	} write = {.in = {.size = 8}, .data = "written"};
	struct kernel_answer late = {0};
	start_kernel(40);
	kernel_block_drops(kernel, true);
	kernel_ask(kernel, FUSE_WRITE, file, &write, sizeof write.in + 8, &late);
	for (int i = 0; i < 2; i++) { /* commits it, and then nothing is left to be done here */
		assert_int_equal(kernel_waiting(kernel), 1);
		kernel_commit(kernel);
	}
	assert_int_equal(must_work(FUSE_READ, file, &read, sizeof read), 8);
	must_work(FUSE_UNLINK, STORE_ROOT_INO, "f", 2);
	must_work(FUSE_STATFS, STORE_ROOT_INO, NULL, 0);
	must_work(FUSE_GETATTR, STORE_ROOT_INO, &getattr, sizeof getattr);
	assert_int_equal(kernel_waiting(kernel), 1);
	kernel_block_drops(kernel, false);
	assert_true(kernel_settle(kernel));
	assert_true(late.answered);
	assert_int_equal(late.error, 0);
	kernel_answer_free(&late);
	stop_kernel();
}

/* Changes data of the file, as somebody who may not leave it setuid. The caller hears of it when
 * the kernel has dropped the mode, and not before. */
static void must_drop_suid(uint32_t opcode, const void *in, size_t size)
{
	const struct fuse_setattr_in chmod = {.valid = FATTR_MODE, .mode = 04755};
	struct kernel_answer late = {0};
	size_t drops = kernel_drops(kernel);
	kernel_caller(kernel, 0, 0);
	must_work(FUSE_SETATTR, file, &chmod, sizeof chmod);
	kernel_caller(kernel, 1000, 1000);
	kernel_block_drops(kernel, true);
	kernel_ask(kernel, opcode, file, in, size, &late);
	kernel_commit(kernel);
	assert_int_equal(kernel_waiting(kernel), 1);
	kernel_block_drops(kernel, false);
	assert_true(kernel_settle(kernel));
	assert_int_equal(late.error, 0);
	assert_int_equal(kernel_drops(kernel), drops + 1);
	kernel_answer_free(&late);
	must_work(opcode, file, in, size); /* nothing to drop, so at once */
}

static void setuid_is_gone_when_the_change_is_answered(void **state)
{
	(void)state;
	const struct fuse_fallocate_in allocate = {.length = 4096};
	struct fuse_copy_file_range_in copy = {.off_out = 4096, .len = 1};
	struct {
		struct fuse_write_in in;
		char data[100000]; /* too large to wait for others */
	} write = {.in = {.size = sizeof write.data}};
	start_kernel(45);
	copy.nodeid_out = file;
	must_drop_suid(FUSE_FALLOCATE, &allocate, sizeof allocate);
	must_drop_suid(FUSE_COPY_FILE_RANGE, &copy, sizeof copy);
	must_drop_suid(FUSE_WRITE, &write, sizeof write.in + sizeof write.data);
	stop_kernel();
}

/* The kernel drops the mode by itself. If it was told to, behind the answer, it might be just
 * asking for the mode, and not believe what it is told then. */
static void an_acl_is_not_followed_by_a_drop(void **state)
{
	(void)state;
	static const char name[] = "system.posix_acl_access";
	const struct fuse_fallocate_in allocate = {.length = 4096};
	start_kernel(45);
	must_work(FUSE_REMOVEXATTR, STORE_ROOT_INO, name, sizeof name);
	must_drop_suid(FUSE_FALLOCATE, &allocate, sizeof allocate);
	assert_int_equal(kernel_drops(kernel), 1);
	stop_kernel();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fill_against_eviction),
		cmocka_unit_test(a_fill_against_the_end_of_its_ttl),
		cmocka_unit_test(a_lookup_against_a_forget),
		cmocka_unit_test(a_lookup_against_a_deletion_by_others),
		cmocka_unit_test(an_open_against_an_unlink),
		cmocka_unit_test(requests_against_the_notifier),
		cmocka_unit_test(setuid_is_gone_when_the_change_is_answered),
		cmocka_unit_test(an_acl_is_not_followed_by_a_drop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
