/* One repetition of one side: threads that start together, and what each operation took. */
#include "bench.h"

#include <err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TOOK_MAX (1u << 19) /* operations of a thread whose times are kept */

static unsigned char noise[8 * MIB];
static struct worker workers[MAX_THREADS];
static uint32_t *all_took; /* of all threads, sorted */
static pthread_barrier_t start_line;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

const unsigned char *fresh_bytes(struct worker *w)
{
	return noise + next_random(&w->random) % (sizeof(noise) - MIB);
}

uint64_t pick(struct worker *w, uint64_t below)
{
	return next_random(&w->random) % below;
}

void run_init(void)
{
	uint64_t seed = 42;

	for (size_t i = 0; i < sizeof(noise); i += sizeof(seed)) {
		next_random(&seed);
		memcpy(noise + i, &seed, sizeof(seed));
	}
	all_took = calloc((size_t)TOOK_MAX * MAX_THREADS, sizeof(*all_took));
	for (unsigned i = 0; i < MAX_THREADS; i++) {
		workers[i].buf = aligned_alloc(BLOCK, MIB);
		workers[i].took = calloc(TOOK_MAX, sizeof(*workers[i].took));
		if (all_took == NULL || workers[i].buf == NULL || workers[i].took == NULL)
			errx(1, "no memory");
		workers[i].random = 88172645463325252u + i;
	}
}

static void *work_through(void *arg)
{
	struct worker *w = arg;
	const struct run *r = w->run;
	uint64_t now, end;

	pthread_barrier_wait(&start_line);
	now = now_ns();
	end = now + (uint64_t)r->scale->slice_ms * 1000000;
	while (r->ops > 0 ? w->ops < r->ops : now < end) {
		w->began = now;
		r->load->op(w, w->ops);
		now = now_ns();
		w->took[w->ops++ % TOOK_MAX] = (uint32_t)(now - w->began);
		w->busy += now - w->began;
	}
	return NULL;
}

static int compare_took(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void summarise(const struct run *r, struct sample *ret)
{
	size_t n = 0;

	*ret = (struct sample){0};
	for (unsigned i = 0; i < r->threads; i++) {
		const struct worker *w = &workers[i];
		size_t kept = w->ops < TOOK_MAX ? w->ops : TOOK_MAX;

		memcpy(all_took + n, w->took, kept * sizeof(*all_took));
		n += kept;
		ret->ops += w->ops;
		ret->rate += w->ops * 1e9 / (double)w->busy;
	}
	qsort(all_took, n, sizeof(*all_took), compare_took);
	ret->p50 = all_took[n / 2] / 1e3;
	ret->p99 = all_took[n * 99 / 100] / 1e3;
	ret->max = all_took[n - 1] / 1e3;
}

void run_repetition(struct run *r)
{
	pthread_t threads[MAX_THREADS];

	pthread_barrier_init(&start_line, NULL, r->threads);
	for (unsigned i = 0; i < r->threads; i++) {
		struct worker *w = &workers[i];

		w->run = r;
		w->index = i;
		w->fd = r->fd[i];
		w->busy = 0;
		w->ops = 0;
		if (pthread_create(&threads[i], NULL, work_through, w) != 0)
			errx(1, "no thread");
	}
	for (unsigned i = 0; i < r->threads; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start_line);
	summarise(r, &r->samples[r->rep]);
	r->rep++;
}
