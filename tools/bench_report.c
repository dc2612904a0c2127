/* The table on standard output. */
#include "bench.h"

#include <err.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare_double);
	return values[n / 2];
}

static bool less_is_better(const struct work *work)
{
	return work->unit == SECONDS || work->unit == WRITTEN;
}

bool goal_met(const struct work *work, double ratio, double goal)
{
	return less_is_better(work) ? ratio <= goal : ratio >= goal;
}

double value_of(const struct run *r, unsigned rep)
{
	const struct sample *s = &r->samples[rep];
	double rate = s->rate, batch = r->side == SQLITE ? r->yard->batch : 1;

	if (r->work->unit == WRITTEN)
		return (double)s->written / ((double)s->ops * batch * (double)r->work->per_op);
	if (r->work->unit == SECONDS)
		return 1 / rate;
	if (r->work->unit == MBPS)
		return rate * (double)r->work->per_op / 1e6;
	if (r->work->per_op == 0)
		return rate * r->scale->listed;
	return rate * batch;
}

struct figures figures_of(const struct run *r, unsigned reps)
{
	double value[MAX_REPS] = {0}, p50[MAX_REPS] = {0}, p99[MAX_REPS] = {0};
	struct figures f = {0};

	for (unsigned i = 0; i < reps; i++) {
		value[i] = value_of(r, i);
		p50[i] = r->samples[i].p50;
		p99[i] = r->samples[i].p99;
		if (f.longest < r->samples[i].max)
			f.longest = r->samples[i].max;
	}
	f.value = median(value, reps);
	f.best = less_is_better(r->work) ? value[0] : value[reps - 1];
	f.p50 = median(p50, reps);
	f.p99 = median(p99, reps);
	return f;
}

static void print_figures(const struct run *r, const struct figures *f)
{
	if (r->work->unit == MBPS && r->work->ops > 0)
		printf(" %.0f MB/s, longest %.0f ms |", f->value, f->longest / 1e3);
	else if (r->work->unit == MBPS)
		printf(" %.0f MB/s |", f->value);
	else if (r->work->unit == SECONDS)
		printf(" %.3f s |", f->value);
	else if (r->work->unit == WRITTEN)
		printf(" %.2f bytes |", f->value);
	else if (r->work->per_op == 0)
		printf(" %.0f/s |", f->value);
	else
		printf(" %.0f/s, %.1f/%.1f us |", f->value, f->p50, f->p99);
}

/* Half of the ratios of repetitions that followed each other are between these two. */
static void print_range(const struct run *ours, const struct run *theirs, unsigned reps)
{
	double ratio[MAX_REPS] = {0};

	for (unsigned i = 0; i < reps; i++)
		ratio[i] = value_of(ours, i) / value_of(theirs, i);
	qsort(ratio, reps, sizeof(*ratio), compare_double);
	printf(" %.2f-%.2f |", ratio[reps / 4], ratio[reps - 1 - reps / 4]);
}

static const char *verdict(bool met)
{
	return met ? "met" : "missed";
}

static void print_goals(const struct run *ours, const struct run *theirs, const struct figures *a,
	const struct figures *b)
{
	const struct work *work = ours->work;
	const struct yard *yard = theirs->yard;
	double ratio = a->value / b->value;

	if (yard->goal > 0)
		printf(" %s %.2g, %s", less_is_better(work) ? "<=" : ">=", yard->goal,
			verdict(goal_met(work, ratio, yard->goal)));
	if (yard->p99_goal > 0)
		printf("; p99 <= %.2g, %s", yard->p99_goal,
			verdict(a->p99 / b->p99 <= yard->p99_goal));
	if (yard->goal > 0 && work->stall_max > 0)
		printf("; longest <= %u ms, %s", work->stall_max,
			verdict(a->longest / 1e3 <= work->stall_max));
	printf(" |\n");
}

static void print_line(const struct run *ours, const struct run *theirs, unsigned reps)
{
	struct figures a = figures_of(ours, reps), b = figures_of(theirs, reps);

	printf("| %s | %s |", ours->work->name, theirs->name);
	print_figures(ours, &a);
	print_figures(theirs, &b);
	printf(" **%.2f** |", a.value / b.value);
	print_range(ours, theirs, reps);
	printf(" %.2f |", a.best / b.best);
	if (ours->work->unit == OPS && ours->work->per_op == 1)
		printf(" %.2f/%.2f |", a.p50 / b.p50, a.p99 / b.p99);
	else
		printf(" |");
	print_goals(ours, theirs, &a, &b);
}

void report_begin(const struct scale *scale)
{
	struct utsname u;

	if (uname(&u) < 0)
		err(1, "uname");
	printf("Medians of %u interleaved repetitions (5 of what takes long); Linux %s, %ld cores,"
	       " SQLite %s. Cold: mounted anew, memory emptied by %s.\n\n",
		scale->reps, u.release, sysconf(_SC_NPROCESSORS_ONLN), sqlite3_libversion(),
		system_dropping());
	printf("| work | yardstick | recordfs | the yardstick | ratio | half of them | best |"
	       " p50/p99 ratio | goal |\n|---|---|---|---|---|---|---|---|---|\n");
	fflush(stdout);
}

void report_work(const struct run *runs, unsigned n, unsigned reps)
{
	for (unsigned i = 1; i < n; i++)
		print_line(&runs[0], &runs[i], reps);
	fflush(stdout);
}

void report_memory(uint64_t rss_max, const char *work)
{
	if (work == NULL)
		return;
	printf("\nMemory of the daemon: at most %.0f MiB, with cache_size=%uM, at \"%s\"; at most"
	       " %u MiB wanted, %s.\n",
		(double)rss_max / (double)MIB, CACHE_MIB, work, CACHE_MIB + SPARE_MIB,
		verdict(rss_max <= (CACHE_MIB + SPARE_MIB) * MIB));
}
