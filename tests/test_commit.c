/*
 * Group commit: who leads, what a batch is, and that everyone is answered. The apply function
 * blocks where the test says so, so that who is queued when is no matter of luck.
 */
#include "cache/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CALLERS 8
#define BATCHES_MAX 32

struct caller {
	struct commit_job job;
	struct world *world;
	unsigned number;
	bool fails;
	int result;
	bool returned; /* under world.lock */
	pthread_t thread;
	pthread_t applied_by;
};

/* What happened, and the gate at which the apply function waits. */
struct world {
	struct commit commit;
	struct lock lock;
	pthread_cond_t changed;
	/* Under lock: */
	bool gate_closed;
	unsigned close_after; /* so many applies more go through, then it closes */
	bool waiting;	      /* an apply is at the gate */
	unsigned n_batches;
	unsigned batch_size[BATCHES_MAX];
	bool batch_durable[BATCHES_MAX];
	unsigned order[BATCHES_MAX * CALLERS];
	unsigned n_order;
	unsigned inside; /* applies at once */
};

static void apply(void *arg, struct commit_job *first, bool durable)
{
	struct world *w = arg;
	lock_acquire(&w->lock);
	assert_int_equal(w->inside++, 0);
	unsigned size = 0;
	for (struct commit_job *job = first; job; job = job->next, size++) {
		struct caller *caller = CONTAINER_OF(job, struct caller, job);
		caller->result = caller->fails ? -1 : 0;
		caller->applied_by = pthread_self();
		w->order[w->n_order++] = caller->number;
	}
	w->batch_size[w->n_batches] = size;
	w->batch_durable[w->n_batches++] = durable;
	w->waiting = true;
	pthread_cond_broadcast(&w->changed);
	while (w->gate_closed)
		lock_wait(&w->lock, &w->changed);
	if (w->close_after > 0 && --w->close_after == 0)
		w->gate_closed = true;
	w->waiting = false;
	w->inside--;
	lock_release(&w->lock);
}

static void *call(void *arg)
{
	struct caller *caller = arg;
	commit_run(&caller->world->commit, &caller->job);
	lock_acquire(&caller->world->lock);
	caller->returned = true;
	lock_release(&caller->world->lock);
	return NULL;
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof *w);
	lock_init(&w->lock);
	pthread_cond_init(&w->changed, NULL);
	commit_init(&w->commit, apply, w);
}

static void world_destroy(struct world *w)
{
	commit_destroy(&w->commit);
	pthread_cond_destroy(&w->changed);
	lock_destroy(&w->lock);
}

static struct caller new_caller(struct world *w, unsigned number)
{
	return (struct caller){.job = {.changes = 1}, .world = w, .number = number, .result = 1};
}

static void set_gate(struct world *w, bool closed)
{
	lock_acquire(&w->lock);
	w->gate_closed = closed;
	pthread_cond_broadcast(&w->changed);
	lock_release(&w->lock);
}

static void await_apply(struct world *w)
{
	lock_acquire(&w->lock);
	while (!w->waiting)
		lock_wait(&w->lock, &w->changed);
	lock_release(&w->lock);
}

/* Waits until `job` is in the queue: only then does the next one start, so order is known. */
static void await_queued(struct world *w, const struct commit_job *job)
{
	for (bool queued = false; !queued;) {
		lock_acquire(&w->commit.lock);
		for (const struct commit_job *j = w->commit.head; j; j = j->next)
			queued |= j == job;
		lock_release(&w->commit.lock);
	}
}

/* One caller is being applied at the closed gate, the others are queued behind it in order. */
static void start_all(struct world *w, struct caller *callers, unsigned n)
{
	set_gate(w, true);
	assert_int_equal(pthread_create(&callers[0].thread, NULL, call, &callers[0]), 0);
	await_apply(w);
	for (unsigned i = 1; i < n; i++) {
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
		await_queued(w, &callers[i].job);
	}
}

static void join_all(struct caller *callers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
}

static void test_a_lone_caller_leads_itself(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	for (unsigned i = 0; i < 3; i++) {
		struct caller one = new_caller(&w, i);
		commit_run(&w.commit, &one.job);
		assert_int_equal(one.result, 0);
		assert_true(pthread_equal(one.applied_by, pthread_self()));
		assert_false(w.commit.led);
	}
	assert_int_equal(w.n_batches, 3);
	world_destroy(&w);
}

static void test_what_gathers_is_one_batch_in_order(void **state)
{
	(void)state;
	struct world w;
	struct caller callers[CALLERS];
	world_init(&w);
	for (unsigned i = 0; i < CALLERS; i++)
		callers[i] = new_caller(&w, i);
	callers[3].fails = true;
	callers[5].job.durable = true;
	start_all(&w, callers, CALLERS);
	set_gate(&w, false);
	join_all(callers, CALLERS);

	assert_int_equal(w.n_batches, 2);
	assert_int_equal(w.batch_size[0], 1);
	assert_int_equal(w.batch_size[1], CALLERS - 1);
	assert_false(w.batch_durable[0]);
	assert_true(w.batch_durable[1]);
	for (unsigned i = 0; i < CALLERS; i++) {
		assert_int_equal(w.order[i], i);
		assert_int_equal(callers[i].result, i == 3 ? -1 : 0);
	}
	world_destroy(&w);
}

/* `changes` and `bytes` of every job, and how many jobs then fit into a batch. */
static void check_bound(size_t changes, uint64_t bytes, unsigned fit)
{
	struct world w;
	struct caller callers[CALLERS];
	world_init(&w);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = new_caller(&w, i);
		callers[i].job.changes = changes;
		callers[i].job.bytes = bytes;
	}
	start_all(&w, callers, CALLERS);
	set_gate(&w, false);
	join_all(callers, CALLERS);
	assert_int_equal(w.batch_size[0], 1);
	unsigned sum = 1;
	for (unsigned i = 1; i < w.n_batches; i++) {
		assert_in_range(w.batch_size[i], 1, fit);
		if (i + 1 < w.n_batches)
			assert_int_equal(w.batch_size[i], fit);
		sum += w.batch_size[i];
	}
	assert_int_equal(sum, CALLERS);
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(w.order[i], i);
	world_destroy(&w);
}

static void test_a_batch_is_bounded(void **state)
{
	(void)state;
	check_bound(COMMIT_CHANGES_MAX / 3, 0, 3);
	check_bound(1, COMMIT_BYTES_MAX / 2, 2);
	check_bound(1, COMMIT_BYTES_MAX * 2, 1); /* larger than a batch: alone */
}

/* Only those whose job is done return; the others wait for their own batch. */
static void test_only_the_done_are_answered(void **state)
{
	(void)state;
	struct world w;
	struct caller callers[3];
	world_init(&w);
	for (unsigned i = 0; i < 3; i++) {
		callers[i] = new_caller(&w, i);
		callers[i].job.changes = COMMIT_CHANGES_MAX;
	}
	start_all(&w, callers, 3);
	lock_acquire(&w.lock);
	assert_int_equal(w.n_batches, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_false(callers[i].returned);
	w.gate_closed = false; /* the first batch goes, and the next one stops here again */
	w.close_after = 1;
	pthread_cond_broadcast(&w.changed);
	while (w.n_batches < 2)
		lock_wait(&w.lock, &w.changed);
	assert_false(callers[1].returned);
	assert_false(callers[2].returned);
	lock_release(&w.lock);
	assert_int_equal(pthread_join(callers[0].thread, NULL), 0);
	set_gate(&w, false);
	join_all(callers + 1, 2);
	assert_int_equal(w.n_batches, 3);
	/* Each batch was led by the thread whose job it was. */
	for (unsigned i = 0; i < 3; i++) {
		assert_true(callers[i].returned);
		assert_true(pthread_equal(callers[i].applied_by, callers[i].thread));
	}
	world_destroy(&w);
}

#define STRESS_ROUNDS 2000

static void *stress(void *arg)
{
	struct caller *caller = arg;
	for (unsigned i = 0; i < STRESS_ROUNDS; i++) {
		caller->result = 1;
		commit_run(&caller->world->commit, &caller->job);
		if (caller->result != 0)
			return caller;
	}
	return NULL;
}

static void count(void *arg, struct commit_job *first, bool durable)
{
	(void)durable;
	struct world *w = arg;
	for (struct commit_job *job = first; job; job = job->next) {
		CONTAINER_OF(job, struct caller, job)->result = 0;
		w->n_order++; /* one apply at a time: TSan would say */
	}
}

static void test_many_callers_are_all_answered(void **state)
{
	(void)state;
	struct world w;
	struct caller callers[4];
	world_init(&w);
	w.commit.apply = count;
	for (unsigned i = 0; i < 4; i++) {
		callers[i] = new_caller(&w, i);
		assert_int_equal(pthread_create(&callers[i].thread, NULL, stress, &callers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		void *failed;
		assert_int_equal(pthread_join(callers[i].thread, &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(w.n_order, 4 * STRESS_ROUNDS);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_lone_caller_leads_itself),
		cmocka_unit_test(test_what_gathers_is_one_batch_in_order),
		cmocka_unit_test(test_a_batch_is_bounded),
		cmocka_unit_test(test_only_the_done_are_answered),
		cmocka_unit_test(test_many_callers_are_all_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
