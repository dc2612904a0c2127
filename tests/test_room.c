/* Large requests: who waits for room, and which buffers keep their memory. */
#include "kit.h"

#include "fs/room.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

static struct room *room;
static atomic_size_t inside, most;
static atomic_uint waits;

static void waiting(void *arg)
{
	(void)arg;
	atomic_fetch_add(&waits, 1);
}

static void *come_and_go(void *arg)
{
	size_t bytes = *(const size_t *)arg;
	for (int i = 0; i < 2000; i++) {
		room_enter(room, bytes, waiting);
		size_t now = atomic_fetch_add(&inside, bytes) + bytes, before = atomic_load(&most);
		while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
			;
		atomic_fetch_sub(&inside, bytes);
		room_leave(room, bytes);
	}
	return NULL;
}

static void test_bound(void **state)
{
	static const size_t sizes[] = {MIB, 3 * MIB, 5 * MIB, 300 << 10, MIB, 7 * MIB};
	pthread_t threads[ARRAY_LEN(sizes)];
	(void)state;
	assert_int_equal(room_new(&room), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		union {
			const size_t *from;
			void *to;
		} arg = {.from = &sizes[i]};
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, arg.to), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&most) <= ROOM_READS);
	room = room_free(room);
}

static void *enter_one(void *arg)
{
	(void)arg;
	room_enter(room, MIB, waiting);
	atomic_fetch_add(&inside, 1);
	room_leave(room, MIB);
	return NULL;
}

/* What does not fit waits, having said so first, and gets in when somebody leaves. */
static void test_waits(void **state)
{
	pthread_t thread;
	(void)state;
	assert_int_equal(room_new(&room), 0);
	atomic_store(&waits, 0);
	atomic_store(&inside, 0);
	room_enter(room, ROOM_READS, waiting);
	room_enter(room, ROOM_SMALL, waiting); /* does not count */
	assert_int_equal(atomic_load(&waits), 0);
	assert_int_equal(pthread_create(&thread, NULL, enter_one, NULL), 0);
	while (atomic_load(&waits) == 0)
		;
	assert_int_equal(atomic_load(&inside), 0);
	room_leave(room, ROOM_SMALL);
	room_leave(room, ROOM_READS);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&inside), 1);
	room_enter(room, 2 * ROOM_READS, waiting); /* alone */
	room_leave(room, 2 * ROOM_READS);
	assert_int_equal(atomic_load(&waits), 1);
	room = room_free(room);
}

/* Bytes of a buffer that are in memory. */
static size_t resident(void *buf)
{
	unsigned char pages[257];
	size_t n = 0;
	assert_int_equal(mincore(buf, sizeof pages * 4096, pages), 0);
	for (size_t i = 0; i < sizeof pages; i++)
		n += pages[i] & 1u;
	return n * 4096;
}

/* A thread's buffer, filled, and handed in. */
static void *receive(void *arg)
{
	size_t size = 257 * 4096;
	char *buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return NULL;
	memset(buf, 1, 32 * 4096);
	room_received(buf, 32 * 4096);
	bool small_kept = resident(buf) == (size_t)32 * 4096;
	memset(buf + 16, 1, MIB);
	room_received(buf + 16, MIB);
	if (small_kept)
		*(size_t *)arg = resident(buf);
	munmap(buf, size);
	return NULL;
}

static void test_buffers(void **state)
{
	size_t keepers = 0;
	(void)state;
	for (unsigned i = 0; i < ROOM_BUFFERS_KEPT + 4; i++) {
		pthread_t thread;
		size_t kept = 0;
		assert_int_equal(pthread_create(&thread, NULL, receive, &kept), 0);
		pthread_join(thread, NULL);
		assert_true(kept > 0);
		if (kept > MIB)
			keepers++;
		else
			assert_true(kept <= ROOM_BUFFER + (size_t)3 * 4096);
	}
	assert_int_equal(keepers, ROOM_BUFFERS_KEPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_buffers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
