/*
 * What is measured of a store, and kept of its failures: histograms, the ring of the last errors,
 * and the layer that feeds both.
 */

#include "kit.h"
#include "model_store.h"

#include "cache/store/cause.h"
#include "cache/store/fault.h"
#include "cache/store/meter.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_every_value_is_in_its_bucket(void **state)
{
	(void)state;
	uint64_t start = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t end = histogram_end(i);
		assert_true(end > start);
		assert_int_equal(histogram_index(start), i);
		assert_int_equal(histogram_index(end - 1), i);
		/* known to a quarter of itself */
		if (i < HISTOGRAM_BUCKETS - 1)
			assert_true(end - start <= (start < 8 ? 1 : start / 4));
		start = end;
	}
	assert_int_equal(start, UINT64_MAX);
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_quantiles(void **state)
{
	(void)state;
	struct histogram h = {0};
	struct histogram_view v, old;
	histogram_read(&h, &v);
	assert_int_equal(v.count, 0);
	assert_int_equal(histogram_quantile(&v, 0.5), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		histogram_add(&h, i * 1000);
	histogram_read(&h, &v);
	assert_int_equal(v.count, 1000);
	assert_int_equal(v.sum, 500500000);
	assert_int_equal(v.max, 1000000);
	static const double shares[] = {0.1, 0.5, 0.9, 0.99, 1};
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		double wanted = shares[i] * 1e6, got = (double)histogram_quantile(&v, shares[i]);
		assert_true(got > 0.9 * wanted && got < 1.1 * wanted);
		assert_true(got <= 1e6);
	}
	assert_int_equal(histogram_below(&v, UINT64_C(1) << 19), 524);
	assert_int_equal(histogram_below(&v, UINT64_C(1) << 20), 1000);
	/* Of an interval */
	old = v;
	for (int i = 0; i < 7; i++)
		histogram_add(&h, 3);
	histogram_read(&h, &v);
	histogram_since(&v, &old);
	assert_int_equal(v.count, 7);
	assert_int_equal(v.sum, 21);
	assert_int_equal(v.max, 3);
	assert_int_equal(histogram_quantile(&v, 0.01), 3);
	assert_int_equal(histogram_quantile(&v, 1), 3);
	old = v;
	histogram_since(&v, &old);
	assert_int_equal(v.count, 0);
	assert_int_equal(v.max, 0);
}

static struct store_error error_at(const char *op, uint64_t ino, int64_t offset)
{
	return (struct store_error){
		.times = 1, .ino = ino, .offset = offset, .error = EIO, .op = op};
}

static void test_last_errors(void **state)
{
	(void)state;
	struct store_errors e = {0};
	struct store_error kept[STORE_ERRORS_MAX], one;
	store_errors_init(&e);
	assert_int_equal(store_errors_read(&e, kept), 0);
	store_cause_clear();
	store_cause_set(10, "TEN");
	one = error_at("read", 5, 0);
	store_errors_add(&e, &one);
	store_errors_add(&e, &one);
	one = error_at("read", 5, 4096);
	store_errors_add(&e, &one);
	assert_int_equal(store_errors_read(&e, kept), 2);
	assert_int_equal(kept[0].offset, 4096);
	assert_int_equal(kept[0].times, 1);
	assert_int_equal(kept[1].times, 2);
	assert_int_equal(kept[1].code, 10);
	assert_string_equal(kept[1].code_name, "TEN");
	assert_true(kept[1].first > 0 && kept[1].last >= kept[1].first);
	/* A failure that is being told again is none. */
	store_cause_repeat();
	one = error_at("write", 6, 0);
	store_errors_add(&e, &one);
	assert_int_equal(store_errors_read(&e, kept), 2);
	store_cause_clear();
	/* The oldest make way. */
	for (unsigned i = 0; i < 3 * STORE_ERRORS_MAX; i++) {
		one = error_at("write", i, 0);
		store_errors_add(&e, &one);
	}
	assert_int_equal(store_errors_read(&e, kept), STORE_ERRORS_MAX);
	for (unsigned i = 0; i < STORE_ERRORS_MAX; i++)
		assert_int_equal(kept[i].ino, 3 * STORE_ERRORS_MAX - 1 - i);
	store_errors_destroy(&e);
}

static uint64_t count(const struct histogram *h)
{
	struct histogram_view v;
	histogram_read(h, &v);
	return v.count;
}

static struct change write_of(uint64_t ino, const char *data)
{
	return (struct change){.kind = CHANGE_WRITE,
		.now = 1,
		.write = {.ino = ino, .offset = 8192, .data = data, .len = strlen(data)}};
}

static struct change create_of(const char *name)
{
	return (struct change){.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {.bytes = name, .len = strlen(name)},
			.mode = S_IFREG | 0644}};
}

/* A model, faults as in `spec`, the meter on top. */
static struct store *metered(struct meter *m, const char *spec)
{
	struct fault_spec *faults;
	const char *where;
	struct store *model = model_store_new(), *fault, *ret;
	assert_int_equal(fault_spec_parse(spec, &faults, &where), 0);
	assert_int_equal(fault_store_new(faults, model, &fault), 0);
	assert_int_equal(meter_store_new(m, fault, &ret), 0);
	return ret;
}

static void test_a_store_is_measured(void **state)
{
	(void)state;
	struct meter *m;
	struct store_attr attr;
	static struct store_span span;
	assert_int_equal(meter_new(&m), 0);
	struct store *s = metered(m, "read:EIO:after=1");
	struct change a = create_of("a"), b = create_of("b"), *both[] = {&a, &b};
	store_apply(s, both, 2, false);
	assert_int_equal(a.result, 0);
	struct change w = write_of(a.touched[0].ino, "x");
	assert_int_equal(store_apply_one(s, &w, true), 0);
	block_unref(w.write.head);
	block_unref(w.write.tail);
	assert_int_equal(store_flush(s), 0);
	assert_int_equal(store_lookup(s, STORE_ROOT_INO, "none", 4, &attr), -ENOENT);
	assert_int_equal(store_read(s, a.touched[0].ino, 0, 1, &span), 0);
	store_span_release(&span);
	assert_int_equal(count(&m->time[METER_commit]), 1);
	assert_int_equal(count(&m->time[METER_commit_durable]), 1);
	assert_int_equal(count(&m->time[METER_flush]), 1);
	assert_int_equal(count(&m->time[METER_lookup]), 1);
	assert_int_equal(count(&m->time[METER_read]), 1);
	struct histogram_view group;
	histogram_read(&m->group, &group);
	assert_int_equal(group.count, 2);
	assert_int_equal(group.sum, 3);
	struct store_error kept[STORE_ERRORS_MAX];
	assert_int_equal(store_errors_read(&m->errors, kept), 0); /* ENOENT is none of the store */
	assert_int_equal(store_read(s, a.touched[0].ino, 1, 1, &span), -EIO);
	assert_int_equal(store_errors_read(&m->errors, kept), 1);
	assert_string_equal(kept[0].op, "read");
	assert_int_equal(kept[0].ino, a.touched[0].ino);
	assert_int_equal(kept[0].offset, STORE_BLOCK_SIZE);
	assert_int_equal(kept[0].error, EIO);
	store_close(s);
	meter_free(m);
}

/* What fails of one transaction for the same reason is one entry. */
static void test_failed_changes(void **state)
{
	(void)state;
	struct meter *m;
	assert_int_equal(meter_new(&m), 0);
	struct store *s = metered(m, "write:ENOSPC");
	struct change a = create_of("a"), b = create_of("b"), *both[] = {&a, &b};
	store_apply(s, both, 2, false);
	assert_int_equal(a.result, -ENOSPC);
	struct store_error kept[STORE_ERRORS_MAX];
	assert_int_equal(store_errors_read(&m->errors, kept), 1);
	assert_int_equal(kept[0].times, 2);
	assert_int_equal(kept[0].error, ENOSPC);
	assert_int_equal(kept[0].ino, STORE_ROOT_INO);
	assert_string_equal(kept[0].name, "a");
	assert_string_equal(kept[0].op, "create");
	store_close(s);
	meter_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_value_is_in_its_bucket),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_last_errors),
		cmocka_unit_test(test_a_store_is_measured),
		cmocka_unit_test(test_failed_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
