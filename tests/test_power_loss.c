/*
 * Power fails. Changes are made, and all that reaches the files is recorded (power_disk.h); then,
 * for many points of the record, one of the states that the disk may hold is made (power_image.h),
 * opened and compared with what was promised (power_oracle.h):
 *   - what was acknowledged as durable is there,
 *   - the state is the one after some first part of the transactions: nothing later without
 *     everything earlier, nothing torn,
 *   - a change whose commit failed is not there, once that was answered,
 *   - the check finds no fault, and the store works: power may fail again while it is being
 *     opened, or after the next write.
 *
 * Hundreds of states, or 10000 with RFS_LONG=1 (fewer under sanitizers), or RFS_STATES. The seed is
 * printed; to repeat a run give it in RFS_SEED (threads make no two records the same, though).
 * RFS_LIE=log, or db: the disk does not flush that, to see that it is found. RFS_KEEP=DIRECTORY:
 * where to put what failed. RECORDFS_TEST=test_store: that one alone.
 */
#include "fault_vfs.h"
#include "power_actor.h"
#include "power_disk.h"
#include "power_image.h"
#include "power_oracle.h"

#include "cache/cache.h"
#include "cache/store/sqlite_check.h"
#include "cache/store/sqlite_internal.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STATES 60u
#define STATES_LONG 1000u
#else
#define STATES 320u
#define STATES_LONG 10000u
#endif
/* States made of one record. */
#define STATES_OF_ONE 250u
/* Pages of the log after which it starts anew: often. */
#define LOG_PAGES 60u
#define BATCH_MAX 6u
#define CLIENTS 4u
#define BUSY_MS 1000
/* A reader that stays makes a store wait so long that has something to settle. */
#define BUSY_SETTLING_MS 20

struct run {
	char top[64];
	char dir[80];	 /* where the files are recorded */
	char image[80];	 /* a state of the disk */
	char image2[80]; /* a state of it after that */
	char path[96];
	uint64_t seed;
	struct store *store;
	struct sqlite_store *sqlite;
	struct oracle *oracle;
	atomic_llong now;
	atomic_size_t answered; /* the last state of which somebody has been told */
	size_t states, looks;
	size_t ghosts_seen, refused, ghosts, unsettled;
};

static struct run run;

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 0) : otherwise;
}

static size_t states_wanted(void)
{
	const char *is_long = getenv("RFS_LONG");
	return number_of("RFS_STATES", is_long && *is_long == '1' ? STATES_LONG : STATES);
}

static struct store *open_store(const char *path, int busy_ms)
{
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = busy_ms};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	int r = sqlite_store_open(&cfg, &s, why, sizeof why);
	if (r < 0)
		fail_msg("%s", why);
	return s;
}

static void clear(const char *dir)
{
	char command[200];
	snprintf(command, sizeof command, "rm -rf %s/*", dir);
	assert_int_equal(system(command), 0);
}

/* Begins a record, with a new store. */
static void begin(int busy_ms)
{
	clear(run.dir);
	disk_start(run.dir);
	struct store *s = open_store(run.path, busy_ms);
	run.sqlite = sq_store(s);
	atomic_store(&sq_store(s)->log_size, LOG_PAGES);
	atomic_store(&sq_store(s)->log_limit, LOG_PAGES);
	run.store = oracle_new(s, &run.oracle);
	atomic_store(&run.answered, 0);
}

/* -- what is found after power has failed ---------------------------------------------------- */

struct state_at {
	struct walk *walk;
	const char *what;
	const char *dir;
	size_t cut, of, needs;
};

static void say_fault(void *arg, const struct sqlite_check_fault *fault)
{
	(void)arg;
	print_message("  %s (inode %llu, path %s, offset %lld)\n", fault->what,
		(unsigned long long)fault->ino, fault->path ? fault->path : "-",
		(long long)fault->offset);
}

static void keep(const struct state_at *at)
{
	const char *where = getenv("RFS_KEEP");
	if (where)
		walk_image_again(at->walk, where);
}

#define FAIL_AT(at, ...)                                                                           \
	do {                                                                                       \
		keep(at);                                                                          \
		print_message("%s: power fails at %zu of %zu (RFS_SEED=%llu), state %zu must be "  \
			      "there of %zu:\n",                                                   \
			(at)->what, (at)->cut, (at)->of, (unsigned long long)run.seed,             \
			(at)->needs, oracle_states(run.oracle) - 1);                               \
		fail_msg(__VA_ARGS__);                                                             \
	} while (0)

static void check(const struct state_at *at, const char *path)
{
	struct sqlite_check_handler handler = {.fault = say_fault};
	struct sqlite_check_summary sum = {0};
	char why[SQLITE_STORE_WHY] = "";
	int r = sqlite_check(path, &handler, &sum, why, sizeof why);
	if (r < 0)
		FAIL_AT(at, "the store cannot be checked: %s", why);
	if (sum.faults)
		FAIL_AT(at, "the check finds %llu faults", (unsigned long long)sum.faults);
}

static uint64_t digest_of(const struct state_at *at, const char *path)
{
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = BUSY_MS};
	char why[SQLITE_STORE_WHY] = "";
	struct store *s = NULL;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		FAIL_AT(at, "the store cannot be opened: %s", why);
	uint64_t digest = oracle_digest(s);
	store_close(s);
	return digest;
}

static const char after_text[] = "after power was back";

/* A record of its own, and then, flushed, what is in it. The digests before, in between, after. */
static void write_after(struct store *s, uint64_t ret[3])
{
	struct change c = {.kind = CHANGE_CREATE,
		.now = 5,
		.create = {.parent = STORE_ROOT_INO, .name = {"after", 5}, .mode = S_IFREG | 0600}};
	ret[0] = oracle_digest(s);
	assert_int_equal(store_apply_one(s, &c, false), 0);
	ret[1] = oracle_digest(s);
	struct change_write w = {
		.ino = c.touched[0].ino, .data = after_text, .len = sizeof after_text};
	c = (struct change){.kind = CHANGE_WRITE, .now = 6, .write = w};
	assert_int_equal(store_apply_one(s, &c, true), 0);
	block_unref(c.write.head);
	block_unref(c.write.tail);
	ret[2] = oracle_digest(s);
}

/* The store is opened and written to, and then power fails again: what was there stays. */
static void fail_again(const struct state_at *at, uint64_t seed)
{
	char path[128];
	uint64_t known[3];
	snprintf(path, sizeof path, "%s/store.db", at->dir);
	disk_start(at->dir);
	struct store *s = open_store(path, BUSY_MS);
	write_after(s, known);
	size_t acknowledged = disk_position();
	store_close(s);
	struct disk_record *r = disk_stop();
	struct walk *w = walk_new(r, seed);
	const size_t cuts[] = {walk_roll(w, acknowledged), acknowledged, r->n};
	snprintf(path, sizeof path, "%s/store.db", run.image2);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		const struct state_at again = {
			w, "the second time", run.image2, cuts[i], r->n, at->needs};
		walk_to(w, cuts[i]);
		walk_image(w, run.image2);
		check(&again, path);
		uint64_t digest = digest_of(&again, path);
		run.states++;
		if (digest != known[2] && cuts[i] >= acknowledged)
			FAIL_AT(&again, "the write after power was back is not there");
		if (digest != known[0] && digest != known[1] && digest != known[2])
			FAIL_AT(&again, "what was there the first time is not there any more");
	}
	walk_free(w);
	disk_free(r);
}

static void check_state(struct state_at *at)
{
	char path[128];
	struct stat st;
	size_t state;
	snprintf(path, sizeof path, "%s/store.db", at->dir);
	at->needs = oracle_needs(run.oracle, at->cut);
	run.states++;
	if (stat(path, &st) < 0) {
		if (oracle_needs(run.oracle, at->cut) > 0)
			FAIL_AT(at, "there is no store any more");
		return;
	}
	check(at, path);
	uint64_t digest = digest_of(at, path);
	if (!oracle_knows(run.oracle, digest, at->cut, at->needs, &state)) {
		size_t earlier;
		if (oracle_knows(run.oracle, digest, at->cut, 0, &earlier))
			FAIL_AT(at, "the state is an earlier one, %zu", earlier);
		FAIL_AT(at, "the state is none that there has been");
	}
	run.ghosts_seen += state == 0 && at->needs > 0;
	if (++run.looks % 16 == 0)
		fail_again(at, run.seed + run.looks);
}

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	return x < y ? -1 : x > y;
}

/* Looks at n states that power failures may leave of the record. */
static void look(
	const char *what, const struct disk_record *r, const size_t *acks, size_t n_acks, size_t n)
{
	struct walk *w = walk_new(r, run.seed);
	size_t *cuts = calloc(n, sizeof *cuts);
	assert_non_null(cuts);
	for (size_t i = 0; i < n; i++) /* half of them just when something was acknowledged */
		cuts[i] = i % 2 && n_acks ? acks[walk_roll(w, n_acks)] : walk_roll(w, r->n + 1);
	qsort(cuts, n, sizeof *cuts, by_size);
	for (size_t i = 0; i < n; i++) {
		struct state_at at = {w, what, run.image, cuts[i], r->n, 0};
		walk_to(w, cuts[i]);
		walk_image(w, run.image);
		check_state(&at);
	}
	free(cuts);
	walk_free(w);
}

/* Ends the record, and looks at what may be left of it. `acks`: when something was answered. */
static void end(const char *what, const size_t *acks, size_t n_acks, size_t n)
{
	size_t unsettled;
	run.store = store_close(run.store);
	struct disk_record *r = disk_stop();
	look(what, r, acks, n_acks, n);
	size_t ghosts = oracle_ghosts(run.oracle, &unsettled);
	run.ghosts += ghosts;
	run.unsettled += unsettled;
	print_message("           %s: %zu operations, %zu flushes of the log and %zu of the "
		      "database, %zu states of the store, %zu commits in doubt\n",
		what, r->n, disk_count(r, DISK_SYNC, true), disk_count(r, DISK_SYNC, false),
		oracle_states(run.oracle), ghosts);
	oracle_free(run.oracle);
	disk_free(r);
}

/* -- straight to the store ------------------------------------------------------------------- */

/* Somebody who reads for long, so that the log cannot be moved as a whole. */
static sqlite3 *open_reader(void)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(run.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_wal_autocheckpoint(db, 0), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "BEGIN; SELECT count(*) FROM inode", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static void toggle_reader(sqlite3 **db)
{
	if (*db) {
		assert_int_equal(sqlite3_close(*db), SQLITE_OK);
		*db = NULL;
	} else {
		*db = open_reader();
	}
}

static void apply_some(struct actor *a, bool durable)
{
	struct change changes[BATCH_MAX], *list[BATCH_MAX];
	size_t n = actor_roll(a, 100) < 40 ? 1 : 1 + actor_roll(a, BATCH_MAX);
	for (size_t i = 0; i < n; i++) {
		changes[i] = actor_change(a);
		list[i] = &changes[i];
	}
	store_apply(a->store, list, n, durable);
	for (size_t i = 0; i < n; i++) {
		run.refused += changes[i].result == -EIO;
		actor_done(a, &changes[i]);
	}
}

/* Faults of the disk: a flush that fails, a write that is cut short. Now and then several. Records
 * differ in which are frequent. */
static void arm(struct actor *a)
{
	static const unsigned ops[2][6] = {
		{FAULT_LOG_SYNC, FAULT_LOG_SYNC, FAULT_LOG_SYNC, FAULT_DB_SYNC, FAULT_LOG_WRITE,
			FAULT_DB_WRITE},
		{FAULT_DB_SYNC, FAULT_DB_SYNC, FAULT_DB_SYNC, FAULT_DB_SYNC, FAULT_DB_WRITE,
			FAULT_LOG_SYNC},
	};
	for (unsigned i = 0; i == 0 || (i < 3 && actor_roll(a, 3) == 0); i++) {
		unsigned op = ops[run.seed % 2][actor_roll(a, 6)];
		int rc = op & (FAULT_LOG_SYNC | FAULT_DB_SYNC) ? SQLITE_IOERR_FSYNC
							       : SQLITE_IOERR_WRITE;
		int after = (int)actor_roll(a, 3);
		if (i == 0)
			fault_vfs_arm(op, after, false, rc);
		else
			fault_vfs_then(op, after, false, rc);
	}
	fault_vfs_torn(actor_roll(a, 2));
}

/* What could not be settled is tried again with the next change, not a tenth of a second later. */
static void probe_soon(void)
{
	sq_write_lock(run.sqlite);
	run.sqlite->probed = 0;
	sq_write_unlock(run.sqlite);
}

/* What the keeper does when the log is full, and leaves for a second when somebody reads it. */
static void move_log(void)
{
	sq_write_lock(run.sqlite);
	if (!atomic_load(&run.sqlite->degraded))
		IGNORE(sq_log_anew(run.sqlite, false, sq_now() + 1000000));
	sq_write_unlock(run.sqlite);
}

static void record_direct(struct actor *a, size_t steps, bool faults, size_t *acks, size_t *n_acks)
{
	sqlite3 *reader = NULL;
	for (size_t i = 0; i < steps; i++) {
		unsigned roll = actor_roll(a, 100);
		if (roll < (reader ? 30 : 3))
			toggle_reader(&reader);
		/* What is seldom done stays armed for longer. */
		if (faults && roll % (run.seed % 2 ? 10 : 5) == 0)
			arm(a);
		apply_some(a, roll < 40);
		if (roll >= 90)
			run.refused += store_flush(a->store) < 0;
		if (faults && roll % (run.seed % 2 ? 20 : 5) == 3)
			fault_vfs_disarm();
		if (faults)
			probe_soon();
		if (roll % 8 == 0)
			move_log();
		acks[(*n_acks)++] = disk_position();
	}
	fault_vfs_disarm();
	if (reader)
		assert_int_equal(sqlite3_close(reader), SQLITE_OK);
}

/* One record, and n states of it. */
static void direct(const char *what, bool faults, size_t n)
{
	size_t steps = 40 + n, n_acks = 0;
	size_t *acks = calloc(steps, sizeof *acks);
	assert_non_null(acks);
	begin(faults ? BUSY_SETTLING_MS : BUSY_MS);
	struct actor a = {
		.store = run.store, .now = &run.now, .random = run.seed * 31 + faults + 1};
	actor_begin(&a);
	a.dir = actor_mkdir(&a, "dir");
	record_direct(&a, steps, faults, acks, &n_acks);
	end(what, acks, n_acks, n);
	free(acks);
}

/* -- through the cache, by several at a time -------------------------------------------------- */

struct client {
	struct actor actor;
	enum cache_sync sync;
	size_t steps;
	size_t *acks;
	size_t n_acks;
	pthread_t thread;
};

/* What the durability levels promise to who gets this answer (product's table). */
static void note_answer(struct client *c, const struct change *ch, bool durable)
{
	size_t position = disk_position();
	bool data = c->sync == CACHE_SYNC_ALWAYS && change_is_data(ch);
	size_t state = ch->result == 0 ? oracle_state_of(run.oracle, ch->now) : 0;
	size_t before = atomic_load(&run.answered);
	if (state && (data || (durable && c->sync != CACHE_SYNC_DISABLED)))
		oracle_note(run.oracle, position, state);
	while (before < state && !atomic_compare_exchange_weak(&run.answered, &before, state))
		;
	c->acks[c->n_acks++] = position;
}

static void *be_client(void *arg)
{
	struct client *c = arg;
	for (size_t i = 0; i < c->steps; i++) {
		struct change ch = actor_change(&c->actor);
		struct change *list[] = {&ch};
		bool durable = actor_roll(&c->actor, 10) == 0;
		if (c->sync != CACHE_SYNC_DISABLED && actor_roll(&c->actor, 20) == 0) {
			size_t state = atomic_load(&run.answered);
			assert_int_equal(store_flush(c->actor.store), 0);
			oracle_note(run.oracle, disk_position(), state);
		}
		store_apply(c->actor.store, list, 1, durable);
		note_answer(c, &ch, durable);
		actor_done(&c->actor, &ch);
	}
	return NULL;
}

static void start_cache(enum cache_sync sync)
{
	const struct cache_config cfg = {.size = 4 << 20, .ttl_ns = INT64_MAX, .sync = sync};
	struct store *cache;
	begin(BUSY_MS);
	assert_int_equal(cache_new(&cfg, run.store, &cache), 0);
	run.store = cache;
}

static void record_cache(enum cache_sync sync, size_t steps, size_t *acks, size_t *n_acks)
{
	static struct client clients[CLIENTS];
	static const char *const dirs[CLIENTS] = {"0", "1", "2", "3"};
	struct actor first = {.store = run.store, .now = &run.now, .random = run.seed + 1};
	actor_begin(&first);
	uint64_t shared = actor_mkdir(&first, "shared");
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] =
			(struct client){.sync = sync, .steps = steps, .acks = acks + i * steps};
		clients[i].actor = first;
		clients[i].actor.random = run.seed * 7 + i + 1;
		clients[i].actor.shared = shared;
		clients[i].actor.dir = actor_mkdir(&first, dirs[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(
			pthread_create(&clients[i].thread, NULL, be_client, &clients[i]), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
	(void)actor_mkdir(&first, "last"); /* which nobody has flushed */
	*n_acks = CLIENTS * steps;
}

static void cached(const char *what, enum cache_sync sync, size_t n)
{
	size_t steps = 20 + n / 2, n_acks;
	size_t *acks = calloc(CLIENTS * steps, sizeof *acks);
	assert_non_null(acks);
	start_cache(sync);
	record_cache(sync, steps, acks, &n_acks);
	if (sync != CACHE_SYNC_DISABLED) {
		/* Within 1 s, without being asked; and not because the keeper moves the log. */
		sq_keeper_stop(run.sqlite);
		usleep(1300000);
		size_t position = disk_position();
		oracle_note(run.oracle, position, oracle_states(run.oracle) - 1);
		for (size_t i = 0; i < n_acks / 4; i++)
			acks[i] = position; /* not to be missed */
	}
	end(what, acks, n_acks, n);
	free(acks);
}

/* -- all of it ------------------------------------------------------------------------------- */

static void store_part(size_t n)
{
	direct("store", false, n);
}

static void faults_part(size_t n)
{
	direct("failing disk", true, n);
}

static void always_part(size_t n)
{
	cached("sync=always", CACHE_SYNC_ALWAYS, n);
}

static void standard_part(size_t n)
{
	cached("sync=standard", CACHE_SYNC_STANDARD, n);
}

static void disabled_part(size_t n)
{
	cached("sync=disabled", CACHE_SYNC_DISABLED, n);
}

/* So many percent of the states, some at a time, of two records at least: faults come in two ways.
 */
static void in_parts(void (*part)(size_t n), size_t percent)
{
	size_t left = states_wanted() * percent / 100, most = left / 2 + 1;
	if (most > STATES_OF_ONE)
		most = STATES_OF_ONE;
	for (run.seed = number_of("RFS_SEED", 1); left > 0; run.seed++) {
		size_t n = left < most ? left : most;
		part(n);
		left -= n;
	}
}

static void test_store(void **state)
{
	(void)state;
	in_parts(store_part, 25);
}

/* A part of the log is moved, since somebody reads it, and not flushed, as SQLite does that only
 * when all of it is there. Then a flush fails, which takes that part along, and the next works. */
static void partly_moved(size_t n)
{
	size_t n_acks = 0, acks[64];
	sqlite3 *reader = NULL;
	begin(BUSY_SETTLING_MS);
	atomic_store(&run.sqlite->log_size, UINT_MAX);
	atomic_store(&run.sqlite->log_limit, UINT_MAX);
	struct actor a = {.store = run.store, .now = &run.now, .random = run.seed * 31 + 3};
	actor_begin(&a);
	a.dir = actor_mkdir(&a, "dir");
	for (unsigned i = 0; i < 60; i++) {
		apply_some(&a, true);
		acks[n_acks++] = disk_position();
		if (i % 12 == 4) {
			reader = open_reader();
		} else if (i % 12 == 8) {
			move_log();
			assert_int_equal(sqlite3_close(reader), SQLITE_OK);
			fault_vfs_arm(FAULT_DB_SYNC, 0, false, SQLITE_IOERR_FSYNC);
			move_log();
			assert_int_equal(fault_vfs_disarm(), 1);
			move_log();
		}
	}
	end("partly moved", acks, n_acks, n);
}

static void test_partly_moved(void **state)
{
	(void)state;
	in_parts(partly_moved, 10);
}

static void test_failing_disk(void **state)
{
	(void)state;
	in_parts(faults_part, 30);
	print_message(
		"           %zu changes and flushes refused, %zu commits in doubt, %zu of them "
		"not settled at once, %zu seen\n",
		run.refused, run.ghosts, run.unsettled, run.ghosts_seen);
	assert_true(run.ghosts > 0);
}

static void test_always(void **state)
{
	(void)state;
	in_parts(always_part, 15);
}

static void test_standard(void **state)
{
	(void)state;
	in_parts(standard_part, 10);
}

static void test_disabled(void **state)
{
	(void)state;
	in_parts(disabled_part, 10);
}

static int setup(void **state)
{
	(void)state;
	const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	const char *lie = getenv("RFS_LIE");
	snprintf(run.top, sizeof run.top, "%s/recordfs-power-XXXXXX", parent);
	if (!mkdtemp(run.top))
		return -1;
	snprintf(run.dir, sizeof run.dir, "%s/disk", run.top);
	snprintf(run.image, sizeof run.image, "%s/image", run.top);
	snprintf(run.image2, sizeof run.image2, "%s/image2", run.top);
	snprintf(run.path, sizeof run.path, "%s/store.db", run.dir);
	if (lie)
		disk_lie(strcmp(lie, "log") == 0 ? DISK_NO_LOG_SYNC : DISK_NO_DB_SYNC);
	print_message("           RFS_SEED=%llu\n", (unsigned long long)number_of("RFS_SEED", 1));
	return mkdir(run.dir, 0700) + mkdir(run.image, 0700) + mkdir(run.image2, 0700);
}

static int teardown(void **state)
{
	char command[100];
	(void)state;
	print_message("           %zu states after power failures\n", run.states);
	snprintf(command, sizeof command, "rm -rf %s", run.top);
	return system(command);
}

int main(void)
{
	fault_vfs_install();
	disk_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_failing_disk),
		cmocka_unit_test(test_partly_moved),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_standard),
		cmocka_unit_test(test_disabled),
	};
	if (getenv("RECORDFS_TEST"))
		cmocka_set_test_filter(getenv("RECORDFS_TEST"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
