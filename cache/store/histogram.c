/*
 * Bucket i < 4 is the value i. From there on: a value whose highest bit is k (k >= 2) is in one of
 * the four buckets from 4 * (k - 1) on, by the two bits below that one.
 */
#include "histogram.h"

unsigned histogram_index(uint64_t value)
{
	if (value < 4)
		return (unsigned)value;
	unsigned k = 63 - (unsigned)__builtin_clzll(value);
	unsigned i = 4 * (k - 1) + ((unsigned)(value >> (k - 2)) & 3);
	return i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_end(unsigned index)
{
	if (index >= HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	if (index < 4)
		return index + 1;
	return (uint64_t)(4 + index % 4 + 1) << (index / 4 - 1);
}

static uint64_t start_of(unsigned index)
{
	return index ? histogram_end(index - 1) : 0;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	atomic_fetch_add_explicit(&h->bucket[histogram_index(value)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
	uint_least64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
	while (value > max && !atomic_compare_exchange_weak(&h->max, &max, value))
		;
}

void histogram_read(const struct histogram *h, struct histogram_view *ret)
{
	ret->count = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		ret->bucket[i] = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		ret->count += ret->bucket[i];
	}
	ret->sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
	ret->max = atomic_load_explicit(&h->max, memory_order_relaxed);
}

void histogram_since(struct histogram_view *view, const struct histogram_view *old)
{
	unsigned last = 0;
	view->count = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		view->bucket[i] -= old->bucket[i];
		view->count += view->bucket[i];
		if (view->bucket[i])
			last = i;
	}
	view->sum -= old->sum;
	if (view->count == 0)
		view->max = 0;
	else if (histogram_end(last) - 1 < view->max)
		view->max = histogram_end(last) - 1;
}

uint64_t histogram_quantile(const struct histogram_view *view, double q)
{
	double rank = q * (double)view->count, below = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double here = (double)view->bucket[i];
		if (view->bucket[i] && below + here >= rank) {
			uint64_t start = start_of(i);
			uint64_t last =
				histogram_end(i) - 1 < view->max ? histogram_end(i) - 1 : view->max;
			if (last <= start)
				return last;
			return start + (uint64_t)((double)(last - start) * (rank - below) / here);
		}
		below += here;
	}
	return 0;
}

uint64_t histogram_below(const struct histogram_view *view, uint64_t end)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_end(i) <= end; i++)
		n += view->bucket[i];
	return n;
}
