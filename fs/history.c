#include "history.h"

bool history_due(const struct history *h, int64_t now)
{
	return h->added == 0 || now - h->ring[(h->added - 1) % HISTORY_MAX].at >= HISTORY_INTERVAL;
}

void history_add(struct history *h, const struct recordfs_sample *sample)
{
	h->ring[h->added++ % HISTORY_MAX] = *sample;
}

uint32_t history_read(
	const struct history *h, uint64_t *first, struct recordfs_sample *ret, uint32_t max)
{
	uint64_t oldest = h->added > HISTORY_MAX ? h->added - HISTORY_MAX : 0;
	uint32_t n = 0;
	if (*first < oldest)
		*first = oldest;
	while (n < max && *first < h->added && n < h->added - *first) {
		ret[n] = h->ring[(*first + n) % HISTORY_MAX];
		n++;
	}
	return n;
}
