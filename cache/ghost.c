#include "ghost.h"

#include "pages.h"

#include <errno.h>
#include <string.h>

#define WAYS 4u

int ghost_init(struct ghost *g, size_t capacity)
{
	if (capacity > UINT32_MAX / 4)
		capacity = UINT32_MAX / 4;
	size_t buckets = 1;
	while (buckets * WAYS < capacity + capacity / 4)
		buckets *= 2;
	uint64_t *slots = pages_map(buckets * WAYS * sizeof *slots);
	if (!slots)
		return -ENOMEM;
	*g = (struct ghost){.slots = slots, .buckets = buckets, .capacity = (uint32_t)capacity};
	return 0;
}

void ghost_clear(struct ghost *g)
{
	memset(g->slots, 0, g->buckets * WAYS * sizeof *g->slots);
}

void ghost_destroy(struct ghost *g)
{
	pages_unmap(g->slots, g->buckets * WAYS * sizeof *g->slots);
	g->slots = NULL;
}

size_t ghost_bytes(const struct ghost *g)
{
	return g->capacity > 0 ? g->buckets * WAYS * sizeof *g->slots : 0;
}

/* The low bits choose the bucket, the high ones are the fingerprint; never 0. */
static uint32_t fingerprint(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1u;
}

static uint64_t *bucket_of(const struct ghost *g, uint64_t hash)
{
	return g->slots + (hash & (g->buckets - 1)) * WAYS;
}

void ghost_add(struct ghost *g, uint64_t hash)
{
	uint64_t *bucket = bucket_of(g, hash);
	uint64_t *victim = bucket;
	uint32_t oldest = 0;
	for (unsigned i = 0; i < WAYS; i++) {
		uint32_t age = g->clock - (uint32_t)bucket[i];
		if (bucket[i] == 0 || bucket[i] >> 32 == fingerprint(hash)) {
			victim = &bucket[i];
			break;
		}
		if (age >= oldest) {
			oldest = age;
			victim = &bucket[i];
		}
	}
	*victim = (uint64_t)fingerprint(hash) << 32 | g->clock++;
}

bool ghost_take(struct ghost *g, uint64_t hash)
{
	uint64_t *bucket = bucket_of(g, hash);
	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i] >> 32 != fingerprint(hash))
			continue;
		uint32_t age = g->clock - (uint32_t)bucket[i];
		bucket[i] = 0;
		return age <= g->capacity;
	}
	return false;
}
