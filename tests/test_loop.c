/*
 * The request loop on requests that come through a pipe: one byte each, which says what to do.
 */
#include "kit.h"

#include "fs/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
	int fds[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned receiving, most_receiving; /* at one time */
	unsigned waiting;		    /* requests that wait for the gate */
	unsigned done;
	bool open; /* the gate */
	unsigned ended;
	int error;
};

static struct bench bench;

static void bump(unsigned *count, int by)
{
	pthread_mutex_lock(&bench.lock);
	*count += (unsigned)by;
	if (bench.receiving > bench.most_receiving)
		bench.most_receiving = bench.receiving;
	pthread_cond_broadcast(&bench.changed);
	pthread_mutex_unlock(&bench.lock);
}

static void wait_until(const unsigned *count, unsigned value)
{
	pthread_mutex_lock(&bench.lock);
	while (*count != value)
		pthread_cond_wait(&bench.changed, &bench.lock);
	pthread_mutex_unlock(&bench.lock);
}

static int receive(void *arg, void *buf)
{
	(void)arg;
	bump(&bench.receiving, 1);
	ssize_t n = read(bench.fds[0], buf, 1);
	int r = n < 0 ? -errno : (int)n;
	bump(&bench.receiving, -1);
	return n == 1 && *(char *)buf == 'e' ? -EIO : r;
}

static void wait_for_gate(void)
{
	pthread_mutex_lock(&bench.lock);
	bench.waiting++;
	pthread_cond_broadcast(&bench.changed);
	while (!bench.open)
		pthread_cond_wait(&bench.changed, &bench.lock);
	bench.waiting--;
	pthread_mutex_unlock(&bench.lock);
}

static void process(void *arg, void *buf)
{
	(void)arg;
	switch (*(char *)buf) {
	case 'w': /* waits, and says so */
		loop_may_block(NULL);
		loop_may_block(NULL);
		wait_for_gate();
		break;
	case 'b': /* says so and does not wait */
		loop_may_block(NULL);
		break;
	default:
		break;
	}
	bump(&bench.done, 1);
}

static void fini(void *arg, void *buf)
{
	(void)arg;
	(void)buf;
}

static void ended(void *arg, int error)
{
	(void)arg;
	bench.error = error;
	bump(&bench.ended, 1);
}

static const struct loop_ops ops = {receive, process, fini, ended, 1};

static int setup(void **state)
{
	(void)state;
	bench = (struct bench){
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	return pipe(bench.fds);
}

static int teardown(void **state)
{
	(void)state;
	close(bench.fds[0]);
	if (bench.fds[1] >= 0)
		close(bench.fds[1]);
	return 0;
}

static void send_requests(const char *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(write(bench.fds[1], what, 1), 1);
}

static struct loop *start(unsigned max)
{
	struct loop *l = NULL;
	assert_int_equal(loop_start(&ops, NULL, max, &l), 0);
	return l;
}

static void one_thread_serves_what_does_not_wait(void **state)
{
	(void)state;
	struct loop *l = start(LOOP_THREADS_MAX);
	send_requests("m", 500);
	wait_until(&bench.done, 500);
	assert_int_equal(loop_threads(l), 1);
	loop_stop(l);
	assert_int_equal(bench.ended, 0);
}

static void open_gate(void)
{
	pthread_mutex_lock(&bench.lock);
	bench.open = true;
	pthread_cond_broadcast(&bench.changed);
	pthread_mutex_unlock(&bench.lock);
}

static void others_receive_while_requests_wait(void **state)
{
	(void)state;
	struct loop *l = start(8);
	send_requests("w", 5);
	wait_until(&bench.waiting, 5);
	send_requests("m", 100);
	wait_until(&bench.done, 100);
	open_gate();
	wait_until(&bench.done, 105);
	assert_int_equal(loop_threads(l), 6);
	assert_int_equal(bench.most_receiving, 1);
	loop_stop(l);
}

static void there_are_never_more_threads_than_allowed(void **state)
{
	(void)state;
	struct loop *l = start(3);
	send_requests("w", 5);
	wait_until(&bench.waiting, 3);
	assert_int_equal(loop_threads(l), 3);
	open_gate();
	wait_until(&bench.done, 5);
	send_requests("b", 200);
	wait_until(&bench.done, 205);
	assert_int_equal(loop_threads(l), 3);
	loop_stop(l);
	assert_int_equal(bench.most_receiving, 1);
}

static void one_thread_keeps_the_baton(void **state)
{
	(void)state;
	struct loop *l = start(1);
	send_requests("b", 100);
	wait_until(&bench.done, 100);
	assert_int_equal(loop_threads(l), 1);
	loop_stop(l);
}

static void the_loop_ends_with_its_source(void **state)
{
	(void)state;
	struct loop *l = start(4);
	send_requests("b", 10);
	close(bench.fds[1]);
	bench.fds[1] = -1;
	wait_until(&bench.ended, 1);
	loop_stop(l);
	assert_int_equal(bench.error, 0);
	assert_int_equal(bench.done, 10);
	assert_int_equal(bench.ended, 1);
}

static void an_error_ends_the_loop_and_is_told(void **state)
{
	(void)state;
	struct loop *l = start(4);
	send_requests("w", 1);
	wait_until(&bench.waiting, 1);
	send_requests("e", 1);
	wait_until(&bench.ended, 1);
	assert_int_equal(bench.error, -EIO);
	open_gate();
	loop_stop(l);
	assert_int_equal(bench.done, 1);
}

static void stopping_waits_for_requests_in_hand(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		bench.open = false;
		bench.done = 0;
		struct loop *l = start(4);
		send_requests("w", 2);
		wait_until(&bench.waiting, 2);
		open_gate();
		loop_stop(l);
		assert_int_equal(bench.done, 2);
		assert_int_equal(bench.waiting, 0);
	}
	assert_int_equal(bench.ended, 0);
	loop_may_block(NULL); /* in a thread that is no loop's */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_thread_serves_what_does_not_wait),
		TEST(others_receive_while_requests_wait),
		TEST(there_are_never_more_threads_than_allowed),
		TEST(one_thread_keeps_the_baton),
		TEST(the_loop_ends_with_its_source),
		TEST(an_error_ends_the_loop_and_is_told),
		TEST(stopping_waits_for_requests_in_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
