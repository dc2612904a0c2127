/*
 * The watcher: what the store tells of others becomes notes to the kernel, at once and once more on
 * the next tick; what is gone becomes an orphan.
 */
#include "kit.h"
#include "model_store.h"

#include "fs/clock.h"
#include "fs/watch.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define SENT_MAX 64
#define BARRIER 1000u /* an inode whose notes come after those that were there before */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock: */
	const struct store_event *events; /* what the next poll tells */
	size_t n_events;
	int fail;	/* the next polls fail with it, after they have told */
	unsigned polls; /* that began */
	bool in_use;	/* the last answer */
	unsigned n;
	struct inodes_stale sent[SENT_MAX];
	unsigned names, all_names;
	unsigned barriers;
	char name[256];
	bool gone;
} s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void send_inode(void *arg, const struct inodes_stale *stale)
{
	(void)arg;
	pthread_mutex_lock(&s.lock);
	if (stale->ino == BARRIER)
		s.barriers++;
	else
		s.sent[s.n++ % SENT_MAX] = *stale;
	pthread_cond_broadcast(&s.changed);
	pthread_mutex_unlock(&s.lock);
}

static void send_name(void *arg, uint64_t parent, const char *name, size_t len, bool gone)
{
	(void)arg;
	pthread_mutex_lock(&s.lock);
	assert_int_equal(parent, 1);
	assert_int_equal(len, strlen(name));
	memcpy(s.name, name, len + 1);
	if (s.names++ == 0)
		s.gone = gone;
	pthread_cond_broadcast(&s.changed);
	pthread_mutex_unlock(&s.lock);
}

static void send_all_names(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&s.lock);
	s.all_names++;
	pthread_cond_broadcast(&s.changed);
	pthread_mutex_unlock(&s.lock);
}

static const struct notify_ops ops = {
	.inode = send_inode, .name = send_name, .all_names = send_all_names};

static struct fs fs;

/* What was noted has been sent; else notes of two ticks could become one. Twice, since names have a
 * queue of their own. */
static void pass_barrier(void)
{
	for (int i = 0; i < 2; i++) {
		pthread_mutex_lock(&s.lock);
		unsigned seen = s.barriers;
		pthread_mutex_unlock(&s.lock);
		notify_stale(fs.notify, BARRIER, -1, 0);
		pthread_mutex_lock(&s.lock);
		while (s.barriers == seen)
			pthread_cond_wait(&s.changed, &s.lock);
		pthread_mutex_unlock(&s.lock);
	}
}

/* Readable when the store is being written to; -1: it cannot be seen. */
static int written = -1;

static int poll_fd(struct store *store)
{
	(void)store;
	return written;
}

static int poll_store(struct store *store, store_event_fn *fn, void *arg)
{
	(void)store;
	eventfd_t count;
	if (written >= 0)
		(void)!eventfd_read(written, &count);
	pass_barrier();
	pthread_mutex_lock(&s.lock);
	const struct store_event *events = s.events;
	size_t n = s.n_events;
	int r = s.fail ? s.fail : (int)n;
	s.n_events = 0;
	pthread_mutex_unlock(&s.lock);
	for (size_t i = 0; i < n; i++) {
		bool in_use = fn(arg, &events[i]);
		pthread_mutex_lock(&s.lock);
		s.in_use = in_use;
		pthread_mutex_unlock(&s.lock);
	}
	pthread_mutex_lock(&s.lock);
	s.polls++;
	pthread_cond_broadcast(&s.changed);
	pthread_mutex_unlock(&s.lock);
	return r;
}

/* Of orphans the model says nothing: this is the one. */
static _Atomic uint64_t orphan;

static int orphans(struct store *store, store_ino_fn *fn, void *arg)
{
	(void)store;
	uint64_t ino = atomic_exchange(&orphan, 0);
	if (ino)
		(void)fn(arg, ino);
	return 0;
}

/* The rig: the model with a poll of our own. */
static struct options options;
static struct watch *watch;
static struct store_ops polled;
static struct kit *kit;

static void start(int64_t watch_ns)
{
	struct inodes *inodes = NULL;
	s.n = s.names = s.all_names = s.polls = 0;
	s.n_events = 0;
	s.fail = 0;
	s.in_use = false;
	options = (struct options){.watch_ns = watch_ns};
	kit = kit_new(model_store_new());
	kit->unwatched = true;
	polled = *kit->store->ops;
	polled.poll = poll_store;
	polled.poll_fd = poll_fd;
	polled.orphans = orphans;
	kit->store->ops = &polled;
	assert_int_equal(inodes_new(&inodes), 0);
	fs.options = &options;
	settings_init(&fs.settings, &options);
	fs.store = kit->store;
	fs.inodes = inodes;
	atomic_store(&fs.outside_changes, 0);
	assert_int_equal(renames_new(&fs.renames), 0);
	assert_int_equal(notify_start(inodes, &ops, NULL, &fs.notify), 0);
	assert_int_equal(inodes_lookup(inodes, BARRIER), 0);
	assert_int_equal(reaper_start(fs.store, NULL, &fs.reaper), 0);
	assert_int_equal(watch_start(&fs, &watch), 0);
}

static void stop(void)
{
	watch = watch_stop(watch);
	fs.notify = notify_free(fs.notify);
	fs.reaper = reaper_stop(fs.reaper, INT64_MAX / 2);
	fs.renames = renames_free(fs.renames);
	inodes_free(fs.inodes);
	kit_free(kit);
}

static void wait_for(const unsigned *count, unsigned n)
{
	pthread_mutex_lock(&s.lock);
	while (*count < n)
		pthread_cond_wait(&s.changed, &s.lock);
	pthread_mutex_unlock(&s.lock);
}

static void wait_for_polls(unsigned n)
{
	pthread_mutex_lock(&s.lock);
	unsigned wanted = s.polls + n;
	pthread_mutex_unlock(&s.lock);
	wait_for(&s.polls, wanted);
}

/* The store tells of these; returns when all that follows has been done, the echo as well. */
static void tell(const struct store_event *events, size_t n)
{
	pthread_mutex_lock(&s.lock);
	s.events = events;
	s.n_events = n;
	pthread_mutex_unlock(&s.lock);
	wait_for_polls(4);
}

static void expect_sent(unsigned i, uint64_t ino, int64_t offset, int64_t len)
{
	wait_for(&s.n, i + 1);
	pthread_mutex_lock(&s.lock);
	assert_int_equal(s.sent[i].ino, ino);
	assert_int_equal(s.sent[i].offset, offset);
	assert_int_equal(s.sent[i].len, len);
	pthread_mutex_unlock(&s.lock);
}

#define MS ((int64_t)1000000)
#define B ((int64_t)STORE_BLOCK_SIZE)

/* Attributes and listings that are being given to the kernel now are dropped once more. */
static void answer(uint64_t ino)
{
	inodes_answer(fs.inodes, ino, clock_monotonic());
}

static void data_is_dropped_and_attributes_once_more(void **state)
{
	(void)state;
	start(2 * MS);
	assert_int_equal(inodes_lookup(fs.inodes, 5), 0);
	tell(&(struct store_event){.kind = STORE_EVENT_DATA, .ino = 5, .first = 3, .last = 4}, 1);
	expect_sent(0, 5, 3 * B, 2 * B);
	tell(
		&(struct store_event){
			.kind = STORE_EVENT_DATA, .ino = 5, .first = 3, .last = UINT64_MAX},
		1);
	expect_sent(1, 5, 3 * B, 0);
	answer(5);
	tell(&(struct store_event){.kind = STORE_EVENT_DATA, .ino = 5, .first = 3, .last = 4}, 1);
	expect_sent(2, 5, 3 * B, 2 * B);
	expect_sent(3, 5, -1, 0);
	tell(&(struct store_event){.kind = STORE_EVENT_ATTR, .ino = 5}, 1);
	expect_sent(4, 5, -1, 0);
	expect_sent(5, 5, -1, 0);
	tell(&(struct store_event){.kind = STORE_EVENT_ATTR, .ino = 6}, 1); /* not known */
	assert_int_equal(s.n, 6);
	assert_int_equal(atomic_load(&fs.outside_changes), 5);
	stop();
}

static void names_are_dropped_with_the_listing(void **state)
{
	(void)state;
	start(2 * MS);
	const struct store_event events[] = {
		{.kind = STORE_EVENT_NAME, .ino = 1, .name = {"one", 3}},
		{.kind = STORE_EVENT_ATTR, .ino = 1}, /* does not make less of it */
		{.kind = STORE_EVENT_NAME, .ino = 9, .name = {"unknown", 7}},
	};
	answer(1);
	tell(events, ARRAY_LEN(events));
	expect_sent(0, 1, 0, 0);
	wait_for(&s.names, 2);
	assert_string_equal(s.name, "one");
	assert_false(s.gone);
	assert_true(s.n >= 2);
	expect_sent(s.n - 1, 1, 0, 0);
	stop();
}

static void what_is_gone_is_an_orphan_if_in_use(void **state)
{
	(void)state;
	start(2 * MS);
	struct store_event events[] = {
		{.kind = STORE_EVENT_NAME, .ino = 1, .name = {"one", 3}},
		{.kind = STORE_EVENT_GONE, .ino = 5},
	};
	tell(events, ARRAY_LEN(events));
	assert_false(s.in_use);
	wait_for(&s.names, 2);
	assert_false(s.gone);
	s.names = 0;
	assert_int_equal(inodes_lookup(fs.inodes, 5), 0);
	tell(events, ARRAY_LEN(events));
	assert_true(s.in_use);
	wait_for(&s.names, 2);
	assert_true(s.gone); /* so that the kernel lets go of the inode */
	assert_true(inodes_forget(fs.inodes, 5, 1));
	stop();
}

static void after_missing_some_everything_goes(void **state)
{
	(void)state;
	start(2 * MS);
	assert_int_equal(inodes_lookup(fs.inodes, 5), 0);
	answer(5);
	const struct store_event events[] = {
		{.kind = STORE_EVENT_ALL}, {.kind = STORE_EVENT_GONE, .ino = 5}};
	tell(events, ARRAY_LEN(events));
	assert_true(s.in_use);
	wait_for(&s.all_names, 2);
	wait_for(&s.n, 3); /* both inodes, and the one that was answered once more */
	assert_true(inodes_forget(fs.inodes, 5, 1));
	stop();
}

/* More names than can be remembered are all names, but no inode more than was named. */
static void too_many_names_are_all_names(void **state)
{
	(void)state;
	enum { N = 40000 };
	static struct store_event events[N];
	static char name[] = "a name of some length";
	start(2 * MS);
	assert_int_equal(inodes_lookup(fs.inodes, 5), 0);
	for (size_t i = 0; i < N; i++)
		events[i] = (struct store_event){
			.kind = STORE_EVENT_NAME, .ino = 1, .name = {name, sizeof name - 1}};
	tell(events, N);
	wait_for(&s.all_names, 2);
	pthread_mutex_lock(&s.lock);
	assert_int_equal(s.names, 0);
	for (unsigned i = 0; i < s.n && i < SENT_MAX; i++)
		assert_int_equal(s.sent[i].ino, 1);
	pthread_mutex_unlock(&s.lock);
	stop();
}

/* What the kernel had under a name goes with it when it is renamed. */
static void a_name_that_was_moved_meanwhile_is_found(void **state)
{
	(void)state;
	start(2 * MS);
	const struct change_rename moves[] = {
		{.parent = 1, .name = {"one", 3}, .new_parent = 1, .new_name = {"two", 3}},
		{.parent = 1, .name = {"x", 1}, .new_parent = 1, .new_name = {"y", 1}},
		{.parent = 1, .name = {"two", 3}, .new_parent = 1, .new_name = {"three", 5}},
	};
	for (size_t i = 0; i < ARRAY_LEN(moves); i++)
		renames_add(fs.renames, &moves[i], clock_monotonic());
	tell(&(struct store_event){.kind = STORE_EVENT_NAME, .ino = 1, .name = {"one", 3}}, 1);
	wait_for(&s.names, 6); /* each of the three, and once more */
	assert_string_equal(s.name, "three");
	assert_int_equal(s.all_names, 0);
	for (unsigned i = 0; i < 1000; i++)
		renames_add(fs.renames, &moves[1], clock_monotonic());
	tell(&(struct store_event){.kind = STORE_EVENT_NAME, .ino = 1, .name = {"one", 3}}, 1);
	wait_for(&s.all_names, 2);
	stop();
}

static void a_failing_store_is_asked_again(void **state)
{
	(void)state;
	start(2 * MS);
	s.fail = -EIO;
	wait_for_polls(3);
	tell(&(struct store_event){.kind = STORE_EVENT_ATTR, .ino = 1}, 1);
	expect_sent(0, 1, -1, 0); /* what it told before it failed counts */
	stop();
}

static void a_blind_watch_only_looks_for_what_is_gone(void **state)
{
	(void)state;
	start(0);
	assert_int_equal(inodes_lookup(fs.inodes, 5), 0);
	pthread_mutex_lock(&s.lock);
	s.events = &(struct store_event){.kind = STORE_EVENT_GONE, .ino = 5};
	s.n_events = 1;
	pthread_mutex_unlock(&s.lock);
	wait_for(&s.polls, 1);
	assert_true(s.in_use);
	stop();
	assert_int_equal(s.names + s.all_names, 0);
	assert_in_range(s.n, 0, 1); /* its own entries, so that it is not kept for ever */
}

/* Orphans that others have left are found, once one has reason to look; also while others delete
 * without a pause. */
static void orphans_of_others_are_found(void **state)
{
	(void)state;
	struct store_attr attr;
	uint64_t ino;
	start(2 * MS);
	assert_int_equal(kit_create(kit, 1, "x", S_IFREG | 0644, &ino), 0);
	assert_int_equal(kit_unlink(kit, 1, "x"), 0);
	atomic_store(&orphan, ino);
	wait_for_polls(3); /* nobody looks without a reason */
	assert_int_equal(atomic_load(&orphan), ino);
	do {
		tell(&(struct store_event){.kind = STORE_EVENT_GONE, .ino = ino + 1}, 1);
		wait_for_polls(1);
	} while (store_getattr(kit->store, ino, &attr) == 0);
	stop();
}

/* A store that is seen to be written to is looked at in less than a tick, which is a second here;
 * where the machine was too slow to tell, once more. */
static void polls_come_when_the_store_is_written_to(void **state)
{
	(void)state;
	bool early = false;
	written = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(written >= 0);
	start(1000000 * (int64_t)MS);
	for (int i = 0; i < 10 && !early; i++) {
		wait_for_polls(1); /* a tick, so the next one is far */
		int64_t begin = clock_monotonic();
		assert_int_equal(eventfd_write(written, 1), 0);
		wait_for_polls(3);
		early = clock_monotonic() - begin < 500 * (int64_t)MS;
	}
	assert_true(early);
	stop();
	close(written);
	written = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_dropped_and_attributes_once_more),
		cmocka_unit_test(names_are_dropped_with_the_listing),
		cmocka_unit_test(what_is_gone_is_an_orphan_if_in_use),
		cmocka_unit_test(after_missing_some_everything_goes),
		cmocka_unit_test(too_many_names_are_all_names),
		cmocka_unit_test(a_name_that_was_moved_meanwhile_is_found),
		cmocka_unit_test(a_failing_store_is_asked_again),
		cmocka_unit_test(a_blind_watch_only_looks_for_what_is_gone),
		cmocka_unit_test(orphans_of_others_are_found),
		cmocka_unit_test(polls_come_when_the_store_is_written_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
