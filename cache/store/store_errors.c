#include "store_errors.h"

#include "cause.h"

#include <string.h>
#include <time.h>

void store_errors_init(struct store_errors *e)
{
	pthread_mutex_init(&e->lock, NULL);
	e->total = 0;
}

void store_errors_destroy(struct store_errors *e)
{
	pthread_mutex_destroy(&e->lock);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Apart from when and how often. */
static bool alike(const struct store_error *a, const struct store_error *b)
{
	return a->ino == b->ino && a->error == b->error && a->code == b->code &&
	       a->offset == b->offset && strcmp(a->op, b->op) == 0 && strcmp(a->name, b->name) == 0;
}

void store_errors_add(struct store_errors *e, const struct store_error *error)
{
	struct store_cause cause = store_cause();
	if (cause.repeated)
		return;
	struct store_error new = *error;
	new.code = cause.code;
	new.code_name = cause.name;
	new.first = new.last = now();
	pthread_mutex_lock(&e->lock);
	struct store_error *newest =
		&e->entry[(e->total + STORE_ERRORS_MAX - 1) % STORE_ERRORS_MAX];
	if (e->total && alike(newest, &new)) {
		newest->times += new.times;
		newest->last = new.last;
	} else {
		e->entry[e->total++ % STORE_ERRORS_MAX] = new;
	}
	pthread_mutex_unlock(&e->lock);
}

unsigned store_errors_read(struct store_errors *e, struct store_error ret[STORE_ERRORS_MAX])
{
	pthread_mutex_lock(&e->lock);
	unsigned n = e->total < STORE_ERRORS_MAX ? (unsigned)e->total : STORE_ERRORS_MAX;
	for (unsigned i = 0; i < n; i++)
		ret[i] = e->entry[(e->total - 1 - i) % STORE_ERRORS_MAX];
	pthread_mutex_unlock(&e->lock);
	return n;
}
