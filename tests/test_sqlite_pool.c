/* The pool of readers: how many there are, and that those who wait for one another do not for ever.
 */
#include "store_file.h"

#include "cache/store/sqlite_internal.h"

#include <pthread.h>

/* Readers that are held at one time, by one thread. */
struct nest {
	struct store_file *f;
	unsigned depth, wanted;
	unsigned most; /* readers at one time */
};

static unsigned count_readers(struct store_file *f)
{
	struct sqlite_store *s = sq_store(f->store);
	pthread_mutex_lock(&s->pool);
	unsigned n = s->readers;
	pthread_mutex_unlock(&s->pool);
	return n;
}

static bool deeper(void *arg, const struct store_entry *entry)
{
	struct nest *n = arg;
	(void)entry;
	n->depth++;
	unsigned readers = count_readers(n->f);
	n->most = readers > n->most ? readers : n->most;
	if (n->depth < n->wanted)
		assert_int_equal(
			store_readdir(n->f->store, STORE_ROOT_INO, 0, false, deeper, n), 0);
	return false;
}

static void nest(struct nest *n)
{
	n->depth = n->most = 0;
	assert_int_equal(store_readdir(n->f->store, STORE_ROOT_INO, 0, false, deeper, n), 0);
	assert_int_equal(n->depth, n->wanted);
}

static void test_kept(void **state)
{
	struct nest n = {.f = *state, .wanted = SQ_READERS_MAX};
	store_file_create(n.f, "a");
	nest(&n);
	assert_int_equal(n.most, SQ_READERS_MAX);
	assert_int_equal(count_readers(n.f), SQ_READERS_MAX);
	nest(&n); /* the same ones again */
	assert_int_equal(n.most, SQ_READERS_MAX);
}

/* One thread has them all and wants more: it gets them, after a while, and they go again. */
static void test_too_many(void **state)
{
	struct nest n = {.f = *state, .wanted = SQ_READERS_MAX + 2};
	store_file_create(n.f, "a");
	nest(&n);
	assert_int_equal(n.most, SQ_READERS_MAX + 2);
	assert_int_equal(count_readers(n.f), SQ_READERS_MAX);
}

#define THREADS 24u

static atomic_int wrong;

static bool note(void *arg, const struct store_entry *entry)
{
	(void)arg;
	(void)entry;
	return true;
}

static void *read_names(void *arg)
{
	struct store_file *f = arg;
	for (int i = 0; i < 50; i++)
		if (store_readdir(f->store, STORE_ROOT_INO, 0, true, note, NULL) < 0)
			atomic_fetch_add(&wrong, 1);
	return NULL;
}

static void test_threads(void **state)
{
	struct store_file *f = *state;
	pthread_t threads[THREADS];
	char name[] = "a";
	for (; name[0] <= 'z'; name[0]++)
		store_file_create(f, name);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_names, f), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_true(count_readers(f) <= SQ_READERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_too_many, store_file_setup, store_file_teardown),
		cmocka_unit_test_setup_teardown(
			test_threads, store_file_setup, store_file_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
