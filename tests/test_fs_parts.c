/*
 * The threads beside the requests, the notifier and the reaper, and the table of errnos, the log's
 * limit and the answer to INIT.
 */
#include "kit.h"
#include "model_store.h"
#include "script_store.h"

#include "fs/clock.h"
#include "fs/errors.h"
#include "fs/init_patch.h"
#include "fs/log.h"
#include "fs/notify.h"
#include "fs/reaper.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned sent;
	struct inodes_stale last;
	unsigned all_names;
	unsigned names;
	uint64_t parent;
	char name[256];
	bool gone;
	bool blocked; /* names are not taken for now */
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void send_inode(void *arg, const struct inodes_stale *stale)
{
	(void)arg;
	pthread_mutex_lock(&sink.lock);
	sink.sent++;
	sink.last = *stale;
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static void send_name(void *arg, uint64_t parent, const char *name, size_t len, bool gone)
{
	(void)arg;
	pthread_mutex_lock(&sink.lock);
	while (sink.blocked)
		pthread_cond_wait(&sink.changed, &sink.lock);
	assert_int_equal(strlen(name), len);
	sink.names++;
	sink.parent = parent;
	memcpy(sink.name, name, len + 1);
	sink.gone = gone;
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static void send_all_names(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&sink.lock);
	sink.all_names++;
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static const struct notify_ops sink_ops = {
	.inode = send_inode, .name = send_name, .all_names = send_all_names};

static void wait_for(const unsigned *count, unsigned n)
{
	pthread_mutex_lock(&sink.lock);
	while (*count < n)
		pthread_cond_wait(&sink.changed, &sink.lock);
	pthread_mutex_unlock(&sink.lock);
}

static void block_names(bool blocked)
{
	pthread_mutex_lock(&sink.lock);
	sink.blocked = blocked;
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static struct notify *start_notify(struct inodes **ret_inodes)
{
	struct notify *n = NULL;
	sink.sent = sink.all_names = sink.names = 0;
	sink.last = (struct inodes_stale){0};
	assert_int_equal(inodes_new(ret_inodes), 0);
	assert_int_equal(notify_start(*ret_inodes, &sink_ops, NULL, &n), 0);
	return n;
}

static void notes_are_sent_by_the_thread(void **state)
{
	(void)state;
	struct inodes *t = NULL;
	struct notify *n = start_notify(&t);
	notify_stale(n, 1, 4096, 100);
	wait_for(&sink.sent, 1);
	assert_int_equal(sink.last.ino, 1);
	assert_int_equal(sink.last.offset, 4096);
	notify_filled(n, 1, clock_monotonic() + 1000000, 1, 1);
	wait_for(&sink.sent, 2);
	assert_int_equal(sink.last.offset, 0);
	assert_int_equal(sink.last.len, 0);
	assert_int_equal(inodes_lookup(t, 2), 0);
	notify_all_inodes(n, INT64_MIN);
	wait_for(&sink.sent, 4);
	notify_filled(n, 1, INT64_MAX - 1, 1, 1); /* does not keep it from ending */
	notify_halt(n);
	notify_stale(n, 1, 0, 0); /* comes too late, does no harm */
	n = notify_free(n);
	assert_int_equal(sink.sent, 4);
	inodes_free(t);
}

static void names_are_sent_by_a_thread_of_their_own(void **state)
{
	(void)state;
	struct inodes *t = NULL;
	struct notify *n = start_notify(&t);
	notify_name(n, 99, "unknown", 7, true); /* the kernel knows nothing of the directory */
	notify_name(n, 1, "name is longer", 4, true);
	wait_for(&sink.names, 1);
	assert_int_equal(sink.parent, 1);
	assert_string_equal(sink.name, "name");
	assert_true(sink.gone);
	/* Inodes go on while a name has to wait; names that are too many are dropped all at once.
	 */
	block_names(true);
	for (unsigned i = 0; i < NOTIFY_NAMES_MAX + 2; i++)
		notify_name(n, 1, "x", 1, false);
	wait_for(&sink.all_names, 1);
	notify_stale(n, 1, 0, 0);
	wait_for(&sink.sent, 1);
	block_names(false);
	wait_for(&sink.names, 1 + NOTIFY_NAMES_MAX);
	assert_false(sink.gone);
	/* What waits at the end is not sent. */
	block_names(true);
	notify_name(n, 1, "x", 1, false);
	notify_name(n, 1, "x", 1, false);
	block_names(false);
	n = notify_free(n);
	inodes_free(t);
}

static void drop_is_sent(struct notify_job *job)
{
	assert_true(job->stale.ino == 1 || job->stale.ino == 2);
	pthread_mutex_lock(&sink.lock);
	if (job->stale.ino == 1) /* else it came after the end, and nothing was sent */
		assert_int_equal(sink.last.ino, 1);
	sink.sent += 100;
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static void a_drop_can_come_before_an_answer(void **state)
{
	(void)state;
	struct inodes *t = NULL;
	struct notify *n = start_notify(&t);
	struct notify_job job = {.stale = {1, 4096, 8192, false}, .done = drop_is_sent};
	/* A name that has to wait does not keep it. */
	block_names(true);
	notify_name(n, 1, "x", 1, false);
	notify_before(n, &job);
	wait_for(&sink.sent, 101);
	assert_int_equal(sink.last.offset, 4096);
	block_names(false);
	notify_halt(n);
	job.stale.ino = 2;
	notify_before(n, &job);
	assert_int_equal(sink.sent, 201);
	n = notify_free(n);
	inodes_free(t);
}

static void all_is_dropped(struct notify_job *job)
{
	pthread_mutex_lock(&sink.lock);
	/* All 50 of the first round were sent, all 99 of the second. */
	assert_true(sink.sent >= (job->stale.ino == 1000 ? 50u : 1050u + 99u));
	sink.sent += (unsigned)job->stale.ino; /* how the test counts the jobs */
	pthread_cond_broadcast(&sink.changed);
	pthread_mutex_unlock(&sink.lock);
}

static void an_answer_can_wait_for_all_that_is_noted(void **state)
{
	(void)state;
	struct inodes *t = NULL;
	struct notify *n = start_notify(&t);
	struct notify_job jobs[2] = {{.stale = {.ino = 1000}, .done = all_is_dropped},
		{.stale = {.ino = 10000}, .done = all_is_dropped}};
	for (uint64_t ino = 2; ino < 100; ino++)
		assert_int_equal(inodes_lookup(t, ino), 0);
	/* A name that has to wait does not keep it. */
	block_names(true);
	notify_name(n, 1, "x", 1, false);
	for (unsigned round = 0; round < 100; round++) {
		pthread_mutex_lock(&sink.lock);
		sink.sent = sink.all_names = 0;
		pthread_mutex_unlock(&sink.lock);
		for (uint64_t ino = 2; ino < 52; ino++)
			notify_stale(n, ino, 0, 0);
		notify_after(n, &jobs[0]);
		wait_for(&sink.sent, 1050);
		notify_all_names(n);
		notify_all_inodes(n, INT64_MIN);
		notify_after(n, &jobs[1]);
		wait_for(&sink.sent, 1050 + 10000 + 99);
		assert_int_equal(sink.all_names, 1);
	}
	block_names(false);
	notify_halt(n);
	unsigned sent = sink.sent;
	notify_after(n, &jobs[0]);
	assert_int_equal(sink.sent, sent + 1000);
	n = notify_free(n);
	inodes_free(t);
}

static void orphans_are_deleted(void **state)
{
	(void)state;
	struct kit *k = kit_new(model_store_new());
	struct reaper *r = NULL;
	struct store_attr attr;
	uint64_t inos[100];
	k->unwatched = true;
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++) {
		assert_int_equal(kit_create(k, 1, "x", S_IFREG | 0644, &inos[i]), 0);
		assert_int_equal(kit_unlink(k, 1, "x"), 0);
	}
	uint64_t named = kit_must_file(k, 1, "named");
	assert_int_equal(reaper_start(k->store, NULL, &r), 0);
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++)
		reaper_add(r, inos[i]);
	reaper_add(r, named); /* has a name: stays */
	reaper_add(r, 4711);  /* there is none */
	r = reaper_stop(r, INT64_MAX / 2);
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++)
		assert_int_equal(store_getattr(k->store, inos[i], &attr), -ESTALE);
	assert_int_equal(store_getattr(k->store, named, &attr), 0);
	kit_free(k);
}

static int fail_at_first(struct script *s)
{
	return atomic_load(&s->calls[SCRIPT_APPLY]) <= 1 ? -EIO : 0;
}

static int fail_always(struct script *s)
{
	(void)s;
	return -EIO;
}

static void what_failed_is_tried_again(void **state)
{
	(void)state;
	struct kit *k = kit_new(model_store_new());
	struct script script;
	struct reaper *r = NULL;
	struct store_attr attr;
	uint64_t ino;
	k->unwatched = true;
	script_init(&script, k->store);
	assert_int_equal(kit_create(k, 1, "x", S_IFREG | 0644, &ino), 0);
	assert_int_equal(kit_unlink(k, 1, "x"), 0);
	script.before[SCRIPT_APPLY] = fail_at_first;
	assert_int_equal(reaper_start(&script.store, NULL, &r), 0);
	reaper_add(r, ino);
	while (store_getattr(k->store, ino, &attr) == 0)
		sched_yield();
	r = reaper_stop(r, INT64_MAX / 2);
	/* But not for ever when it is time to go. */
	script.before[SCRIPT_APPLY] = fail_always;
	assert_int_equal(reaper_start(&script.store, NULL, &r), 0);
	reaper_add(r, ino);
	r = reaper_stop(r, INT64_MAX / 2);
	kit_free(k);
}

/* Holds up the first batch until the test has added all. */
static int hold_the_first(struct script *s)
{
	atomic_bool *go = s->arg;
	while (atomic_load(&s->calls[SCRIPT_APPLY]) == 1 && !atomic_load(go))
		sched_yield();
	return 0;
}

static void make_orphans(struct kit *k, uint64_t *inos, unsigned n)
{
	k->unwatched = true;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(kit_create(k, 1, "x", S_IFREG | 0644, &inos[i]), 0);
		assert_int_equal(kit_unlink(k, 1, "x"), 0);
	}
}

static void many_are_deleted_at_once(void **state)
{
	(void)state;
	struct kit *k = kit_new(model_store_new());
	struct script script;
	struct reaper *r = NULL;
	struct store_attr attr;
	atomic_bool go = false;
	uint64_t inos[201];
	script_init(&script, k->store);
	script.before[SCRIPT_APPLY] = hold_the_first;
	script.arg = &go;
	make_orphans(k, inos, ARRAY_LEN(inos));
	/* One of them has a name again by the time it is its turn. */
	struct change link = {
		.kind = CHANGE_LINK, .link = {.ino = inos[100], .parent = 1, .name = {"again", 5}}};
	assert_int_equal(reaper_start(&script.store, NULL, &r), 0);
	reaper_add(r, inos[0]);
	while (atomic_load(&script.calls[SCRIPT_APPLY]) == 0)
		sched_yield();
	for (unsigned i = 1; i < ARRAY_LEN(inos); i++)
		reaper_add(r, inos[i]);
	assert_int_equal(store_apply_one(k->store, &link, false), 0);
	atomic_store(&go, true);
	r = reaper_stop(r, INT64_MAX / 2);
	assert_int_equal(script.calls[SCRIPT_APPLY], 1 + 13); /* 1, then 16 at a time */
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++)
		assert_int_equal(store_getattr(k->store, inos[i], &attr), i == 100 ? 0 : -ESTALE);
	kit_free(k);
}

static int take_long(struct script *s)
{
	(void)s;
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
	return 0;
}

static void who_needs_space_need_not_wait(void **state)
{
	(void)state;
	struct kit *k = kit_new(model_store_new());
	struct script script;
	struct reaper *r = NULL;
	struct store_attr attr;
	uint64_t inos[100];
	script_init(&script, k->store);
	make_orphans(k, inos, ARRAY_LEN(inos));
	assert_int_equal(reaper_start(&script.store, NULL, &r), 0);
	assert_false(reaper_help(r));
	script.before[SCRIPT_APPLY] = take_long; /* so some may be in the thread's hands */
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++)
		reaper_add(r, inos[i]);
	while (reaper_help(r))
		;
	for (unsigned i = 0; i < ARRAY_LEN(inos); i++)
		assert_int_equal(store_getattr(k->store, inos[i], &attr), -ESTALE);
	/* What cannot be deleted is no help, for as long as one asks. */
	make_orphans(k, inos, 1);
	script.before[SCRIPT_APPLY] = fail_always;
	reaper_add(r, inos[0]);
	assert_false(reaper_help(r));
	script.before[SCRIPT_APPLY] = SCRIPT_NO_HOOK;
	while (store_getattr(k->store, inos[0], &attr) == 0)
		(void)!reaper_help(r);
	r = reaper_stop(r, INT64_MAX / 2);
	kit_free(k);
}

/* The reaper's thread stays in its first batch until the test lets it go on. */
static void who_helps_does_one_piece(void **state)
{
	(void)state;
	static const unsigned char byte = 1;
	struct kit *k = kit_new(model_store_new());
	struct script script;
	struct reaper *r = NULL;
	struct store_attr attr;
	atomic_bool go = false;
	uint64_t inos[2];
	script_init(&script, k->store);
	script.before[SCRIPT_APPLY] = hold_the_first;
	script.arg = &go;
	make_orphans(k, inos, ARRAY_LEN(inos));
	for (uint64_t i = 0; i < 2000; i++)
		assert_int_equal(kit_write(k, inos[1], i * STORE_BLOCK_SIZE, &byte, 1), 0);
	assert_int_equal(reaper_start(&script.store, NULL, &r), 0);
	reaper_add(r, inos[0]);
	while (atomic_load(&script.calls[SCRIPT_APPLY]) == 0)
		sched_yield();
	reaper_add(r, inos[1]);
	assert_true(reaper_help(r));
	assert_int_equal(script.calls[SCRIPT_APPLY], 2);
	assert_int_equal(store_getattr(k->store, inos[1], &attr), 0);
	atomic_store(&go, true);
	r = reaper_stop(r, INT64_MAX / 2);
	assert_int_equal(store_getattr(k->store, inos[1], &attr), -ESTALE);
	kit_free(k);
}

static void only_posix_errnos_get_out(void **state)
{
	(void)state;
	assert_int_equal(errors_reply(OP_READ, 0), 0);
	assert_int_equal(errors_reply(OP_READ, -EBADMSG), EIO);
	assert_int_equal(errors_reply(OP_WRITE, -ENOMEM), EIO);
	assert_int_equal(errors_reply(OP_WRITE, -ENOSPC), ENOSPC);
	assert_int_equal(errors_reply(OP_WRITE, -EFBIG), EFBIG);
	assert_int_equal(errors_reply(OP_WRITE, -EROFS), EROFS);
	assert_int_equal(errors_reply(OP_READ, -ENOSPC), EIO);
	assert_int_equal(errors_reply(OP_LOOKUP, -ESTALE), ESTALE);
	assert_int_equal(errors_reply(OP_RMDIR, -ENOTEMPTY), ENOTEMPTY);
	assert_int_equal(errors_reply(OP_UNLINK, -ENOTEMPTY), EIO);
	for (enum fs_op op = 0; op < OP_MAX; op++) {
		assert_non_null(errors_op_name(op));
		assert_int_equal(errors_reply(op, -EIO), EIO);
		assert_int_equal(
			errors_reply(op, -EBUSY), op == OP_RENAME || op == OP_RMDIR ? EBUSY : EIO);
	}
}

static void the_log_is_not_flooded(void **state)
{
	(void)state;
	struct log_limit l = LOG_LIMIT_INIT;
	int64_t now = (int64_t)100 * 1000000000;
	unsigned suppressed = 0;
	for (unsigned i = 0; i < LOG_BURST; i++)
		assert_true(log_allowed(&l, now, &suppressed));
	assert_int_equal(suppressed, 0);
	for (unsigned i = 0; i < 7; i++)
		assert_false(log_allowed(&l, now, &suppressed));
	now += 1000000000;
	assert_true(log_allowed(&l, now, &suppressed));
	assert_int_equal(suppressed, 7);
	assert_false(log_allowed(&l, now, &suppressed));
	now += (int64_t)60 * 1000000000;
	for (unsigned i = 0; i < LOG_BURST; i++)
		assert_true(log_allowed(&l, now, &suppressed));
}

static void make_init(char *msg, uint32_t flags, uint32_t flags2)
{
	struct fuse_in_header header = {.opcode = FUSE_INIT, .unique = 42};
	struct fuse_init_in init = {.major = 7, .flags = flags, .flags2 = flags2};
	memcpy(msg, &header, sizeof header);
	memcpy(msg + sizeof header, &init, sizeof init);
}

static bool answer(struct init_offer *offer, uint64_t unique, struct fuse_init_out *ret)
{
	struct fuse_out_header header = {.unique = unique};
	struct fuse_init_out init = {.flags = FUSE_ASYNC_READ};
	struct iovec iov[2] = {{&header, sizeof header}, {&init, sizeof init}};
	char out[sizeof header + sizeof init];
	size_t len = 0;
	bool patched = init_patch_answer(offer, iov, 2, out, sizeof out, &len);
	if (patched) {
		assert_int_equal(len, sizeof out);
		memcpy(ret, out + sizeof header, sizeof *ret);
		assert_int_equal(ret->flags & FUSE_ASYNC_READ, FUSE_ASYNC_READ);
	}
	return patched;
}

static void init_is_completed_with_what_was_offered(void **state)
{
	(void)state;
	char msg[sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in)];
	struct init_offer offer = {0};
	struct fuse_init_out out;
	assert_false(answer(&offer, 42, &out));
	make_init(msg, FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT, 1 << 4);
	init_patch_request(&offer, msg, 10); /* too short to be anything */
	assert_false(offer.seen);
	init_patch_request(&offer, msg, sizeof msg);
	assert_false(answer(&offer, 41, &out));
	assert_true(answer(&offer, 42, &out));
	assert_int_equal(out.flags, FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT);
	assert_int_equal(out.flags2, 1 << 4);
	assert_false(answer(&offer, 42, &out));

	make_init(msg, 0, 1 << 4); /* flags2 means nothing without INIT_EXT */
	init_patch_request(&offer, msg, sizeof msg);
	assert_true(answer(&offer, 42, &out));
	assert_int_equal(out.flags, FUSE_ASYNC_READ);
	assert_int_equal(out.flags2, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_are_sent_by_the_thread),
		cmocka_unit_test(names_are_sent_by_a_thread_of_their_own),
		cmocka_unit_test(a_drop_can_come_before_an_answer),
		cmocka_unit_test(an_answer_can_wait_for_all_that_is_noted),
		cmocka_unit_test(orphans_are_deleted),
		cmocka_unit_test(what_failed_is_tried_again),
		cmocka_unit_test(many_are_deleted_at_once),
		cmocka_unit_test(who_needs_space_need_not_wait),
		cmocka_unit_test(who_helps_does_one_piece),
		cmocka_unit_test(only_posix_errnos_get_out),
		cmocka_unit_test(the_log_is_not_flooded),
		cmocka_unit_test(init_is_completed_with_what_was_offered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
