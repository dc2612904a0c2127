/*
 * The request loop on requests that come through a pipe: one byte each, which says what to do.
 */
#include "kit.h"

#include "fs/company.h"
#include "fs/linger.h"
#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
	int fds[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned receiving, most_receiving; /* and waiting for it, at one time */
	unsigned taking, most_taking;	    /* receiving at all */
	unsigned waiting;		    /* requests that wait for the gate */
	unsigned done;
	bool open; /* the gate */
	pthread_t first;
	unsigned ended;
	int error;
	struct gather *gather;
	unsigned committed, commits, largest;
	unsigned done_first; /* requests processed before the first commit */
	bool commits_wait;   /* for the gate */
	bool flushes;	     /* commits do, as they say */
	unsigned gathered, refused;
	unsigned kept; /* requests that keep the baton until another one is there */
	/* Of the loop's clock: */
	int64_t now, tick;
	/* The lone client, which sends one request after the other: */
	const char *next;
	size_t to_come;
	unsigned answers_at; /* at which look it sends the next one */
	unsigned looks;	     /* since the last request */
	unsigned looked_for, slept_for, served;
};

static struct bench bench;

static void bump(unsigned *count, int by)
{
	pthread_mutex_lock(&bench.lock);
	*count += (unsigned)by;
	if (bench.receiving > bench.most_receiving)
		bench.most_receiving = bench.receiving;
	if (bench.taking > bench.most_taking)
		bench.most_taking = bench.taking;
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

static bool is_there(void)
{
	struct pollfd fd = {.fd = bench.fds[0], .events = POLLIN};
	return poll(&fd, 1, 0) != 0;
}

/* `n` of them: those in `what`, again and again. */
static void send_requests(const char *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(write(bench.fds[1], &what[i % strlen(what)], 1), 1);
}

/* Called by the thread that receives, which finds nothing. */
static void client_sends(unsigned *count)
{
	bench.to_come--;
	bench.looks = 0;
	send_requests(bench.next++, 1);
	bump(count, 1);
}

static void wait_for_more(const unsigned *count, unsigned than)
{
	pthread_mutex_lock(&bench.lock);
	while (*count <= than)
		pthread_cond_wait(&bench.changed, &bench.lock);
	pthread_mutex_unlock(&bench.lock);
}

static int receive_one(void *buf)
{
	ssize_t n = read(bench.fds[0], buf, 1);
	if (n < 0)
		return -errno;
	return n == 1 && *(char *)buf == 'e' ? -EIO : (int)n;
}

static int receive_any(void *buf, bool wait)
{
	if (!wait)
		return receive_one(buf);
	if (bench.to_come && !is_there())
		client_sends(&bench.slept_for);
	bump(&bench.receiving, 1);
	struct pollfd fd = {.fd = bench.fds[0], .events = POLLIN};
	int r = poll(&fd, 1, -1) < 0 ? -errno : receive_one(buf);
	bump(&bench.receiving, -1);
	return r == -EAGAIN ? -EINTR : r;
}

static int receive(void *arg, void *buf, bool wait)
{
	(void)arg;
	bump(&bench.taking, 1);
	int r = receive_any(buf, wait);
	bump(&bench.taking, -1);
	return r;
}

static bool waiting(void *arg)
{
	(void)arg;
	if (is_there())
		return true;
	bump(&bench.looks, 1);
	if (bench.to_come && bench.looks == bench.answers_at) {
		client_sends(&bench.looked_for);
		return true;
	}
	return false;
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

static void put(void)
{
	struct gather_item *item = calloc(1, sizeof *item);
	assert_non_null(item);
	item->bytes = 1;
	if (gather_put(bench.gather, item)) {
		bump(&bench.gathered, 1);
	} else {
		free(item);
		bump(&bench.refused, 1);
	}
}

static bool apply(void *arg, struct gather_item *first, size_t n)
{
	(void)arg;
	pthread_mutex_lock(&bench.lock);
	if (bench.commits++ == 0)
		bench.done_first = bench.done;
	if (n > bench.largest)
		bench.largest = (unsigned)n;
	pthread_mutex_unlock(&bench.lock);
	loop_may_block(NULL);
	if (bench.commits_wait)
		wait_for_gate();
	for (struct gather_item *next; first; first = next) {
		next = first->next;
		free(first);
		n--;
		bump(&bench.committed, 1);
	}
	assert_int_equal(n, 0);
	return bench.flushes;
}

/* Of one client, of nobody, or each of another one. */
static uint64_t client(void *arg, const void *buf)
{
	static atomic_uint others = 2;
	(void)arg;
	switch (*(const char *)buf) {
	case 'u':
	case 's':
		return 1;
	case 'f':
		return COMPANY_NOBODY;
	default:
		return others++;
	}
}

static void process(void *arg, void *buf)
{
	(void)arg;
	switch (*(char *)buf) {
	case '1': /* makes it the first thread */
		bench.first = pthread_self();
		break;
	case 'p': /* is gathered */
		put();
		break;
	case 'l': /* the same, when another thread has gone to receive */
		loop_may_block(NULL);
		wait_until(&bench.receiving, 1);
		put();
		break;
	case 'w': /* waits, and says so */
		loop_may_block(NULL);
		loop_may_block(NULL);
		wait_for_gate();
		break;
	case 'v': /* waits for another request, and says when it has waited */
		loop_may_block(NULL);
		bump(&bench.kept, 1);
		while (!is_there())
			sched_yield();
		loop_has_blocked();
		break;
	case 'c': /* the same, but another request is there; counting begins anew */
		bench.slept_for = bench.looked_for = 0;
		send_requests("x", 1);
		loop_may_block(NULL);
		break;
	case 'g': /* waits, and does not say so */
		wait_for_gate();
		break;
	case 'h': /* in the first thread the same, in others it is gathered */
		if (pthread_equal(pthread_self(), bench.first))
			wait_for_gate();
		else
			put();
		break;
	case 's': /* has something come that nobody waits for */
		loop_expect_trifle();
		break;
	case 'u': /* the same; it is there already when it waits itself */
		loop_expect_trifle();
		send_requests("f", 1);
		loop_may_block(NULL);
		loop_has_blocked();
		break;
	case 'o': /* the same, but what is there is another client's */
		send_requests("m", 1);
		loop_may_block(NULL);
		loop_has_blocked();
		break;
	case 'b': /* says so and does not wait */
		loop_may_block(NULL);
		break;
	default:
		break;
	}
	bump(&bench.done, 1);
	if (*(char *)buf != 'x')
		bump(&bench.served, 1);
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

static int64_t now(void *arg)
{
	(void)arg;
	return bench.now += bench.tick;
}

static const struct loop_ops ops = {
	receive, waiting, client, process, fini, ended, now, 1, 0, 1000000};
/* With these the watchdog takes nothing away. */
static const struct loop_ops patient = {
	receive, waiting, client, process, fini, ended, now, 1, 0, (int64_t)3600 * 1000000000};
/* With these another thread may receive beside the holder. */
static const struct loop_ops helped = {
	receive, waiting, client, process, fini, ended, now, 1, 1, (int64_t)3600 * 1000000000};
static const struct loop_ops helped_soon = {
	receive, waiting, client, process, fini, ended, now, 1, 1, 1000000};

static int setup(void **state)
{
	(void)state;
	bench = (struct bench){.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.tick = 1000};
	return gather_new(apply, NULL, &bench.gather) || pipe(bench.fds) ||
	       fcntl(bench.fds[0], F_SETFL, O_NONBLOCK);
}

static int teardown(void **state)
{
	(void)state;
	bench.gather = gather_free(bench.gather);
	close(bench.fds[0]);
	if (bench.fds[1] >= 0)
		close(bench.fds[1]);
	return 0;
}

static struct loop *start_with(const struct loop_ops *with, unsigned max)
{
	struct loop *l = NULL;
	assert_int_equal(loop_start(with, NULL, bench.gather, max, &l), 0);
	return l;
}

static struct loop *start(unsigned max)
{
	return start_with(&ops, max);
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
	assert_int_equal(bench.most_taking, 1); /* nobody helps */
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
	assert_int_equal(bench.most_taking, 1); /* nobody helps */
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

static void what_waits_is_committed_together(void **state)
{
	(void)state;
	send_requests("ppppp", 5);
	struct loop *l = start(1);
	wait_until(&bench.committed, 5);
	assert_int_equal(bench.largest, 5);
	for (unsigned n = 6; n < 106; n++) { /* nothing else comes: nothing is waited for */
		send_requests("p", 1);
		wait_until(&bench.committed, n);
	}
	loop_stop(l);
	assert_int_equal(bench.refused, 0);
}

static void other_requests_do_not_put_a_commit_off(void **state)
{
	(void)state;
	send_requests("p", 1);
	for (int i = 0; i < 100; i++)
		send_requests("m", 1);
	struct loop *l = start(LOOP_THREADS_MAX);
	wait_until(&bench.done, 101);
	wait_until(&bench.committed, 1);
	assert_int_equal(bench.done_first, 1 + LOOP_OTHERS_MAX);
	loop_stop(l);
}

static void no_more_is_gathered_than_fits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GATHER_MAX + 10; i++)
		send_requests("p", 1);
	struct loop *l = start(4);
	wait_until(&bench.done, GATHER_MAX + 10);
	wait_until(&bench.committed, GATHER_MAX + 10);
	assert_int_equal(bench.largest, GATHER_MAX);
	assert_int_equal(bench.refused, 0);
	loop_stop(l);
}

static void others_gather_while_a_commit_waits(void **state)
{
	(void)state;
	bench.commits_wait = true;
	struct loop *l = start(LOOP_THREADS_MAX);
	send_requests("p", 1);
	wait_until(&bench.waiting, 1);
	send_requests("pmpmp", 5);
	wait_until(&bench.done, 6);
	assert_int_equal(bench.committed, 0);
	open_gate();
	wait_until(&bench.committed, 4);
	assert_int_equal(bench.commits, 2);
	assert_int_equal(loop_threads(l), 2);
	loop_stop(l);
}

static void what_does_not_fit_while_a_commit_waits_is_refused(void **state)
{
	(void)state;
	bench.commits_wait = true;
	struct loop *l = start(LOOP_THREADS_MAX);
	send_requests("p", 1);
	wait_until(&bench.waiting, 1);
	for (unsigned i = 0; i < GATHER_MAX + 3; i++)
		send_requests("p", 1);
	wait_until(&bench.done, GATHER_MAX + 4);
	assert_int_equal(bench.refused, 3);
	open_gate();
	wait_until(&bench.committed, GATHER_MAX + 1);
	loop_stop(l);
}

/* The receiver sleeps, and has seen that there was nothing to be committed. */
static void who_has_lost_the_baton_commits_itself(void **state)
{
	(void)state;
	struct loop *l = start(LOOP_THREADS_MAX);
	for (unsigned n = 1; n <= 50; n++) {
		send_requests("l", 1);
		wait_until(&bench.committed, n);
	}
	loop_stop(l);
}

static void what_was_gathered_is_committed_at_the_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct loop *l = start(i % 3 + 1);
		send_requests("ppmpbp", 6);
		loop_stop(l);
		assert_int_equal(bench.committed, bench.gathered);
	}
	send_requests("ppp", 3);
	close(bench.fds[1]);
	bench.fds[1] = -1;
	struct loop *l = start(4);
	wait_until(&bench.ended, 1);
	loop_stop(l);
	assert_int_equal(bench.committed, bench.gathered);
	assert_int_equal(bench.gathered, 60 * 4 + 3);
}

static void what_was_gathered_is_committed_before_an_error(void **state)
{
	(void)state;
	send_requests("ppe", 3);
	struct loop *l = start(4);
	wait_until(&bench.ended, 1);
	loop_stop(l);
	assert_int_equal(bench.error, -EIO);
	assert_int_equal(bench.committed, 2);
}

static void a_lone_client_is_served_by_one_thread(void **state)
{
	(void)state;
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	for (unsigned n = 1; n <= 1000; n++) {
		send_requests(n % 2 ? "b" : "p", 1);
		wait_until(&bench.done, n);
		wait_until(&bench.committed, n / 2);
	}
	assert_int_equal(loop_threads(l), 1);
	loop_stop(l);
}

static void what_nobody_waits_for_is_no_sign_of_others(void **state)
{
	(void)state;
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	for (unsigned n = 1; n <= 1000; n++) {
		send_requests("u", 1);
		wait_until(&bench.done, 2 * n);
	}
	assert_int_equal(loop_threads(l), 1);
	loop_stop(l);
}

/* Once; from then on the baton is passed on. */
static void others_may_be_taken_for_what_nobody_waits_for(void **state)
{
	(void)state;
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	send_requests("s", 1);
	wait_until(&bench.done, 1);
	send_requests("o", 1);
	wait_until(&bench.done, 3);
	assert_int_equal(loop_threads(l), 1);
	send_requests("w", 1);
	wait_until(&bench.waiting, 1);
	send_requests("m", 1);
	wait_until(&bench.done, 4);
	open_gate();
	wait_until(&bench.done, 5);
	loop_stop(l);
}

static void who_blocks_while_others_wait_passes_the_baton_on(void **state)
{
	(void)state;
	send_requests("wm", 2);
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	wait_until(&bench.waiting, 1);
	wait_until(&bench.done, 1);
	open_gate();
	wait_until(&bench.done, 2);
	loop_stop(l);
}

static void who_has_kept_others_waiting_does_so_no_more(void **state)
{
	(void)state;
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	send_requests("v", 1);
	wait_until(&bench.kept, 1);
	assert_int_equal(bench.done, 0);
	send_requests("m", 1);
	wait_until(&bench.done, 2);
	send_requests("w", 1);
	wait_until(&bench.waiting, 1);
	send_requests("m", 1);
	wait_until(&bench.done, 3);
	open_gate();
	wait_until(&bench.done, 4);
	for (unsigned n = 0; n < COMPANY_LASTS; n++) { /* nobody else comes: as before */
		send_requests("b", 1);
		wait_until(&bench.done, 5 + n);
	}
	send_requests("v", 1);
	wait_until(&bench.kept, 2);
	send_requests("m", 1);
	wait_until(&bench.done, 5 + COMPANY_LASTS + 1);
	loop_stop(l);
}

/* The watchdog may have gone to sleep, or not. */
static void who_blocks_for_ever_loses_the_baton(void **state)
{
	(void)state;
	struct loop *l = start(LOOP_THREADS_MAX);
	for (unsigned n = 1; n <= 5; n++) {
		usleep(n * 10000);
		send_requests("w", 1);
		wait_until(&bench.waiting, n);
		send_requests("m", 1);
		wait_until(&bench.done, n);
	}
	bench.commits_wait = true;
	usleep(30000);
	send_requests("p", 1);
	wait_until(&bench.waiting, 6);
	send_requests("m", 1);
	wait_until(&bench.done, 7);
	open_gate();
	wait_until(&bench.done, 12);
	wait_until(&bench.committed, 1);
	loop_stop(l);
}

/* `script`: one request after the other. Returns when the last one was processed. */
static struct loop *serve_lone_client(const char *script)
{
	bench.next = script;
	bench.to_come = strlen(script);
	bench.answers_at = 5;
	struct loop *l = start_with(&patient, LOOP_THREADS_MAX);
	wait_until(&bench.served, (unsigned)strlen(script));
	return l;
}

#define TEN(what) what what what what what what what what what what

static void a_lone_client_is_looked_for(void **state)
{
	(void)state;
	loop_stop(serve_lone_client(TEN(TEN("m") TEN("b") TEN("p"))));
	assert_in_range(bench.slept_for, 1, 20);
	assert_int_equal(bench.looked_for, 300 - bench.slept_for);
	assert_int_equal(bench.committed, 100);
}

static void with_company_it_sleeps_at_once(void **state)
{
	(void)state;
	loop_stop(serve_lone_client(TEN("mmmmm") "c" TEN(TEN("m"))));
	assert_int_equal(bench.slept_for, LINGER_PAUSE_MIN - 1); /* "c" itself brings one more */
	assert_int_equal(bench.looked_for, 100 - bench.slept_for);
}

/* Time stands still: it looks for ever. */
static void what_is_gathered_is_committed_before_one_looks(void **state)
{
	(void)state;
	bench.tick = 0;
	struct loop *l = serve_lone_client(TEN("mmpmp"));
	wait_until(&bench.committed, 20);
	wait_for_more(&bench.looks, bench.answers_at);
	send_requests("p", 1);
	wait_until(&bench.committed, 21);
	loop_stop(l);
}

static void stopping_ends_the_look_for_a_request(void **state)
{
	(void)state;
	bench.tick = 0;
	for (int i = 0; i < 50; i++) {
		bench.served = 0;
		struct loop *l = serve_lone_client(TEN("mm"));
		wait_for_more(&bench.looks, bench.answers_at + (unsigned)i);
		loop_stop(l);
	}
	assert_int_equal(bench.receiving, 0);
	assert_int_equal(bench.ended, 0);
}

/* Who waits does not say so, so nobody else gets the baton. */
static void a_crowd_is_served_by_two_threads(void **state)
{
	(void)state;
	send_requests("m", 20);
	send_requests("g", 1);
	send_requests("m", 20);
	struct loop *l = start_with(&helped, LOOP_THREADS_MAX);
	wait_until(&bench.done, 40);
	wait_until(&bench.waiting, 1); /* it may have been received, and no more */
	assert_int_equal(loop_threads(l), 2);
	open_gate();
	wait_until(&bench.done, 41);
	loop_stop(l);
	assert_in_range(bench.most_receiving, 0, 1); /* it may never have to wait */
}

static void who_helps_commits_what_it_gathers(void **state)
{
	(void)state;
	send_requests("1", 1);
	send_requests("m", 20);
	send_requests("hh", 2);
	struct loop *l = start_with(&helped, LOOP_THREADS_MAX);
	wait_until(&bench.waiting, 1);
	wait_until(&bench.committed, 1);
	open_gate();
	wait_until(&bench.done, 23);
	loop_stop(l);
}

/* Nor does what blocks, or is gathered, however many clients send it. */
static void a_lone_client_is_no_crowd(void **state)
{
	(void)state;
	send_requests("s", 500);
	send_requests("p", 200);
	struct loop *l = start_with(&helped, LOOP_THREADS_MAX);
	wait_until(&bench.done, 700);
	wait_until(&bench.committed, 200);
	assert_int_equal(loop_threads(l), 1);
	loop_stop(l);
}

/* Also when another thread looks after what is gathered: a helper would have nothing to do but to
 * take the baton from who is alone. */
static void what_is_gathered_beside_a_commit_is_no_crowd(void **state)
{
	(void)state;
	bench.commits_wait = true;
	struct loop *l = start_with(&helped_soon, LOOP_THREADS_MAX);
	send_requests("p", 1);
	wait_until(&bench.waiting, 1);
	send_requests("p", 200);
	wait_until(&bench.done, 201);
	unsigned threads = loop_threads(l);
	open_gate();
	wait_until(&bench.committed, 201);
	loop_stop(l);
	assert_int_equal(threads, 2);
}

static void a_crowd_may_come_and_go(void **state)
{
	(void)state;
	struct loop *l = start_with(&helped, 3);
	for (unsigned i = 1; i <= 50; i++) {
		send_requests("mmmmmmmmmmmmmmmmmmmbp", 420);
		wait_until(&bench.done, 420 * i);
		wait_until(&bench.committed, 20 * i);
	}
	loop_stop(l);
	assert_in_range(bench.most_receiving, 0, 1); /* it may never have to wait */
}

static void stopping_ends_a_crowd(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		send_requests("mmmmmmmmmmmmmmmmmmmmmmmmmp", 1000);
		unsigned before = bench.done;
		struct loop *l = start_with(&helped, 3);
		wait_for_more(&bench.done, before + i * 9);
		loop_stop(l);
		assert_int_equal(bench.committed, bench.gathered);
		for (char c; read(bench.fds[0], &c, 1) == 1;)
			;
	}
	assert_int_equal(bench.ended, 0);
}

static void the_source_of_a_crowd_ends_once(void **state)
{
	(void)state;
	send_requests("m", 2000);
	close(bench.fds[1]);
	bench.fds[1] = -1;
	struct loop *l = start_with(&helped, 3);
	wait_until(&bench.ended, 1);
	loop_stop(l);
	assert_int_equal(bench.error, 0);
	assert_int_equal(bench.done, 2000);
	assert_int_equal(bench.ended, 1);
}

static void there_is_one_committer(void **state)
{
	(void)state;
	struct gather *g = bench.gather;
	assert_false(gather_claim(g));
	put();
	assert_true(gather_waits(g));
	assert_true(gather_claim(g));
	assert_false(gather_claim(g));
	assert_false(gather_waits(g));
	assert_false(gather_release(g));
	gather_leave(g);
	assert_true(gather_claim(g));
	gather_commit(g);
	put();
	assert_false(gather_release(g));
	gather_commit(g);
	gather_commit(g);
	assert_true(gather_release(g));
	assert_int_equal(bench.commits, 2);
}

static void commit_one(void)
{
	put();
	assert_true(gather_claim(bench.gather));
	gather_commit(bench.gather);
	assert_true(gather_release(bench.gather));
}

/* Who was answered may come again, to share a flush. */
static void more_is_expected_after_a_flush_only(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		commit_one();
		assert_false(gather_expects(bench.gather));
	}
	bench.flushes = true;
	do /* the time for it may be over by now */
		commit_one();
	while (!gather_expects(bench.gather));
	bench.flushes = false;
	commit_one();
	assert_false(gather_expects(bench.gather));
}

static bool apply_nothing(void *arg, struct gather_item *first, size_t n)
{
	(void)arg;
	(void)first;
	(void)n;
	return false;
}

static void bytes_are_limited(void **state)
{
	(void)state;
	struct gather_item large = {.bytes = GATHER_BYTES_MAX}, none = {.bytes = 0};
	struct gather_item more = {.bytes = GATHER_BYTES_MAX + 1}, one = {.bytes = 1};
	struct gather *g = NULL;
	assert_int_equal(gather_new(apply_nothing, NULL, &g), 0);
	assert_false(gather_put(g, &more));
	assert_true(gather_put(g, &large));
	assert_false(gather_put(g, &one));
	assert_true(gather_put(g, &none));
	assert_int_equal(gather_count(g), 2);
	assert_true(gather_claim(g));
	gather_commit(g);
	assert_int_equal(gather_count(g), 0);
	assert_true(gather_release(g));
	gather_free(g);
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
		TEST(what_waits_is_committed_together),
		TEST(other_requests_do_not_put_a_commit_off),
		TEST(no_more_is_gathered_than_fits),
		TEST(others_gather_while_a_commit_waits),
		TEST(what_does_not_fit_while_a_commit_waits_is_refused),
		TEST(who_has_lost_the_baton_commits_itself),
		TEST(what_was_gathered_is_committed_at_the_end),
		TEST(what_was_gathered_is_committed_before_an_error),
		TEST(a_lone_client_is_served_by_one_thread),
		TEST(what_nobody_waits_for_is_no_sign_of_others),
		TEST(others_may_be_taken_for_what_nobody_waits_for),
		TEST(who_blocks_while_others_wait_passes_the_baton_on),
		TEST(who_has_kept_others_waiting_does_so_no_more),
		TEST(who_blocks_for_ever_loses_the_baton),
		TEST(a_lone_client_is_looked_for),
		TEST(with_company_it_sleeps_at_once),
		TEST(what_is_gathered_is_committed_before_one_looks),
		TEST(stopping_ends_the_look_for_a_request),
		TEST(a_crowd_is_served_by_two_threads),
		TEST(who_helps_commits_what_it_gathers),
		TEST(a_lone_client_is_no_crowd),
		TEST(what_is_gathered_beside_a_commit_is_no_crowd),
		TEST(a_crowd_may_come_and_go),
		TEST(stopping_ends_a_crowd),
		TEST(the_source_of_a_crowd_ends_once),
		TEST(there_is_one_committer),
		TEST(more_is_expected_after_a_flush_only),
		TEST(bytes_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
