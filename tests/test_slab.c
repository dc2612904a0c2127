/* Small objects by the hundred thousand: they keep apart, stay where they are, and go. */
#include "kit.h"

#include "cache/pages.h"
#include "cache/slab.h"

#include <stdlib.h>

enum { N = 100000 };

struct object {
	uint64_t number;
	uint32_t handle;
	uint32_t zero;
};

static uint32_t handles[N + 1];

static void add(struct slab *s, uint32_t n)
{
	uint64_t bytes = slab_bytes(s) + slab_next_bytes(s);
	size_t used = s->used;
	uint32_t handle = slab_alloc(s);
	assert_int_not_equal(handle, 0);
	assert_int_equal(slab_bytes(s), bytes);
	assert_int_equal(s->used, used + 1);
	struct object *o = slab_at(s, handle);
	assert_int_equal(o->number, 0);
	assert_int_equal(o->handle, 0);
	assert_int_equal(o->zero, 0);
	*o = (struct object){.number = n, .handle = handle};
	handles[n] = handle;
}

static void look(struct slab *s, uint32_t n)
{
	const struct object *o = slab_at(s, handles[n]);
	assert_int_equal(o->number, n);
	assert_int_equal(o->handle, handles[n]);
}

static void test_all(void **state)
{
	struct slab s;
	(void)state;
	slab_init(&s, sizeof(struct object), 64 << 10);
	assert_int_equal(slab_bytes(&s), 0);
	for (uint32_t n = 1; n <= N; n++)
		add(&s, n);
	uint64_t most = slab_bytes(&s);
	assert_in_range(most, N * sizeof(struct object), N * sizeof(struct object) * 11 / 10);
	for (uint32_t n = 1; n <= N; n++)
		look(&s, n);
	/* Every other one goes and comes back, in the same memory. */
	for (uint32_t n = 1; n <= N; n += 2)
		slab_free(&s, handles[n]);
	for (uint32_t n = 1; n <= N; n += 2)
		add(&s, n);
	assert_int_equal(slab_bytes(&s), most);
	for (uint32_t n = 1; n <= N; n++)
		look(&s, n);
	/* All but a few that came one after the other go, and their memory with them. */
	for (uint32_t n = 100; n <= N; n++)
		slab_free(&s, handles[n]);
	assert_true(slab_bytes(&s) < most / 5);
	for (uint32_t n = 100; n <= N; n++)
		add(&s, n);
	assert_int_equal(slab_bytes(&s), most);
	for (uint32_t n = 1; n <= N; n++)
		look(&s, n);
	slab_fini(&s);
	assert_int_equal(slab_bytes(&s), 0);
}

/* In any order, with sizes that do not divide a chunk. */
static void test_random(void **state)
{
	static const uint32_t sizes[] = {16, 32, 40, 104, 1000};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct slab s;
		unsigned seed = 1;
		slab_init(&s, sizes[i], 64 << 10);
		for (uint32_t n = 1; n <= 5000; n++)
			handles[n] = 0;
		for (unsigned step = 0; step < 50000; step++) {
			uint32_t n = 1 + (uint32_t)rand_r(&seed) % 5000;
			if (handles[n]) {
				look(&s, n);
				slab_free(&s, handles[n]);
				handles[n] = 0;
			} else {
				add(&s, n);
			}
		}
		for (uint32_t n = 1; n <= 5000; n++)
			if (handles[n])
				slab_free(&s, handles[n]);
		assert_true(slab_bytes(&s) <= 70000); /* the spare one, and the numbers */
		slab_fini(&s);
	}
}

/* A few objects, here and there, are moved out of the chunks that they alone keep. */
static void test_drained(void **state)
{
	struct slab s;
	(void)state;
	slab_init(&s, sizeof(struct object), 64 << 10);
	for (uint32_t n = 1; n <= N; n++)
		add(&s, n);
	assert_false(slab_sparse(&s));
	for (uint32_t n = 1; n <= N; n++)
		if (n % 100)
			slab_free(&s, handles[n]);
	assert_true(slab_bytes(&s) > N * sizeof(struct object));
	while (slab_sparse(&s)) {
		uint32_t first, left = slab_drain(&s, &first);
		for (uint32_t n = 100; left > 0 && n <= N; n += 100) {
			if (handles[n] < first || handles[n] >> s.shift != first >> s.shift)
				continue;
			uint32_t old = handles[n];
			add(&s, n);
			slab_free(&s, old);
			left--;
		}
		assert_int_equal(left, 0);
	}
	assert_in_range(slab_bytes(&s), 64 << 10, 4 * (64 << 10)); /* one of them the spare one */
	for (uint32_t n = 100; n <= N; n += 100)
		look(&s, n);
	assert_int_equal(s.used, N / 100);
	slab_fini(&s);
}

/* In huge pages, if there are any, and each in a line of its own. */
static void test_large_chunks(void **state)
{
	struct slab s;
	(void)state;
	slab_init(&s, 64, PAGES_HUGE);
	for (uint32_t n = 1; n <= N; n++) {
		add(&s, n);
		assert_int_equal((uintptr_t)slab_at(&s, handles[n]) % 64, 0);
	}
	assert_in_range(slab_bytes(&s), 4 * PAGES_HUGE, 4 * PAGES_HUGE + 1024);
	for (uint32_t n = 1; n <= N; n++)
		look(&s, n);
	for (uint32_t n = 1; n <= N; n++)
		slab_free(&s, handles[n]);
	assert_int_equal(s.used, 0);
	assert_in_range(slab_bytes(&s), PAGES_HUGE, PAGES_HUGE + 1024); /* the spare one */
	slab_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_large_chunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
