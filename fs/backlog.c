#include "backlog.h"

#include <errno.h>
#include <stdlib.h>

int backlog_init(struct backlog *b, const struct backlog_pace *pace, size_t max)
{
	*b = (struct backlog){.pace = *pace, .max = max, .busy = INT64_MIN / 2, .asked = INT64_MIN};
	b->ring = calloc(max, sizeof *b->ring);
	return b->ring ? 0 : -ENOMEM;
}

void backlog_fini(struct backlog *b)
{
	free(b->ring);
	b->ring = NULL;
}

void backlog_busy(struct backlog *b, uint64_t blocks, int64_t now)
{
	b->busy = now;
	b->blocks += blocks;
}

bool backlog_add(struct backlog *b, uint64_t ino, int64_t now)
{
	if (b->n == b->max)
		return false;
	b->ring[(b->first + b->n) % b->max] = (struct backlog_entry){ino, now};
	b->n++;
	/* Not when the blocks are lost: whose they are may still be in use then. */
	if (b->blocks >= b->pace.blocks)
		backlog_ask(b, now);
	return true;
}

size_t backlog_take(struct backlog *b, struct backlog_entry *ret, size_t max)
{
	size_t n = 0;
	for (; n < max && b->n; n++) {
		ret[n] = b->ring[b->first];
		b->first = (b->first + 1) % b->max;
		b->n--;
	}
	return n;
}

bool backlog_put_back(struct backlog *b, const struct backlog_entry *e)
{
	if (b->n == b->max)
		return false;
	b->first = (b->first + b->max - 1) % b->max;
	b->ring[b->first] = *e;
	b->n++;
	return true;
}

void backlog_ask(struct backlog *b, int64_t now)
{
	b->asked = now;
	b->blocks = 0;
}

int64_t backlog_due(const struct backlog *b)
{
	if (b->n == 0)
		return INT64_MAX;
	int64_t since = b->ring[b->first].since;
	if (b->n >= b->pace.inodes || since <= b->asked)
		return INT64_MIN;
	int64_t old = since + b->pace.age, quiet = b->busy + b->pace.quiet;
	return old < quiet ? old : quiet;
}
