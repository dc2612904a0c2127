/* Loads on the data of files that are larger than what is kept in memory, or not in memory. */
#include "bench.h"

#include <fcntl.h>

#define READ_SIZE (128 * 1024)
#define WARM_UP (32 * MIB) /* more than a log that has reached its size */

static void setup_sequential(struct run *r)
{
	file_make(r, 1, WARM_UP);
}

static void before_sequential(struct run *r)
{
	r->fd[0] = file_open(r, 0, O_WRONLY | O_CREAT | O_EXCL);
}

static void op_sequential(struct worker *w, unsigned i)
{
	file_write(w->run, w->fd, fresh_bytes(w), MIB, i * MIB);
}

static void setup_cold(struct run *r)
{
	file_make(r, 0, r->scale->cold_size);
}

static void before_cold(struct run *r)
{
	r->fd[0] = file_open(r, 0, O_RDONLY);
}

static void op_cold_sequential(struct worker *w, unsigned i)
{
	uint64_t at = (uint64_t)i * READ_SIZE % w->run->scale->cold_size;

	file_read(w->run, w->fd, w->buf, READ_SIZE, at);
}

static void op_cold_random(struct worker *w, unsigned i)
{
	(void)i;
	file_read(w->run, w->fd, w->buf, BLOCK, pick(w, w->run->scale->cold_size / BLOCK) * BLOCK);
}

const struct load sequential = {setup_sequential, before_sequential, op_sequential, FRESH};
const struct load sequential_settled = {NULL, before_sequential, op_sequential, SETTLED};
const struct load cold_sequential = {setup_cold, before_cold, op_cold_sequential, COLD};
const struct load cold_random = {setup_cold, before_cold, op_cold_random, COLD};
