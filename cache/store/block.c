#include "block.h"

#include <assert.h>
#include <stdlib.h>

struct block *block_new(uint32_t len)
{
	assert(len <= STORE_BLOCK_SIZE);
	struct block *b = malloc(sizeof *b + len);
	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->len = len;
	return b;
}

struct block *block_ref(struct block *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

struct block *block_unref(struct block *b)
{
	/* Release: our reads of the data come before its free; acquire: so do everyone else's. */
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
	return NULL;
}
