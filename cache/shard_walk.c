/*
 * What a shard has, in pieces. The walk goes through the entries' memory from its begin to its end,
 * not through the index: so it reads each line once, one after the other, and it is not led astray
 * when the index grows or shrinks between two pieces.
 */
#include "shard_internal.h"

size_t shard_walk(
	const struct shard *s, uint32_t *place, int64_t now, struct blocks_seen *ret, size_t max)
{
	size_t n = 0, looked_at = 0;
	uint32_t handle = slab_next(&s->entries, *place);
	for (; handle && looked_at < max; looked_at++) {
		const struct entry *e = shard_entry(s, handle);
		if (e->block) /* else it is free */
			ret[n++] = (struct blocks_seen){.ino = e->ino,
				.ttl_left = e->expires > now ? e->expires - now : 0,
				.bytes = (uint32_t)entry_cost(e),
				.data = is_data(e->index)};
		*place = handle;
		handle = slab_next(&s->entries, handle);
	}
	if (!handle)
		*place = 0;
	return n;
}
