/* The table on standard output, and the same with every repetition as JSON. */
#include "bench.h"

#include <err.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *const units[] = {"op/s", "MB/s", "s"};
static FILE *json;
static bool json_begun;

/* Of the repetitions of one side: medians, and the longest operation of all. */
struct figures {
	double value; /* in the work's unit */
	double best;
	double p50;
	double p99;
	double longest;
};

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

static double value_of(const struct run *r, unsigned rep)
{
	double rate = r->samples[rep].rate;

	if (r->work->unit == SECONDS)
		return 1 / rate;
	if (r->work->unit == MBPS)
		return rate * (double)r->work->per_op / 1e6;
	if (r->work->per_op == 0)
		return rate * r->scale->listed;
	return r->side == SQLITE ? rate * r->yard->batch : rate;
}

static struct figures figures_of(const struct run *r, unsigned reps)
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
	f.best = r->work->unit == SECONDS ? value[0] : value[reps - 1];
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

static void print_line(const struct run *ours, const struct run *theirs, unsigned reps)
{
	struct figures a = figures_of(ours, reps), b = figures_of(theirs, reps);
	double ratio = a.value / b.value, goal = theirs->yard->goal;
	bool less = ours->work->unit == SECONDS;

	printf("| %s | %s |", ours->work->name, theirs->name);
	print_figures(ours, &a);
	print_figures(theirs, &b);
	printf(" **%.2f** |", ratio);
	print_range(ours, theirs, reps);
	printf(" %.2f |", a.best / b.best);
	if (ours->work->unit == OPS && ours->work->per_op == 1)
		printf(" %.2f/%.2f |", a.p50 / b.p50, a.p99 / b.p99);
	else
		printf(" |");
	if (goal > 0)
		printf(" %s %.2g, %s |\n", less ? "<=" : ">=", goal,
			(less ? ratio <= goal : ratio >= goal) ? "met" : "missed");
	else
		printf(" |\n");
}

static void write_json(const struct run *r, unsigned reps)
{
	struct figures f = figures_of(r, reps);

	fprintf(json,
		"%s\n  {\"work\": \"%s\", \"side\": \"%s\", \"unit\": \"%s\", \"threads\": %u,",
		json_begun ? "," : "", r->work->name, r->name, units[r->work->unit],
		r->work->threads);
	fprintf(json,
		" \"goal\": %.2f, \"median\": %.3f, \"best\": %.3f, \"p50_us\": %.3f, \"p99_us\": "
		"%.3f,",
		r->yard == NULL ? 0 : r->yard->goal, f.value, f.best, f.p50, f.p99);
	fprintf(json, " \"longest_us\": %.3f, \"values\": [", f.longest);
	for (unsigned i = 0; i < reps; i++)
		fprintf(json, "%s%.3f", i == 0 ? "" : ", ", value_of(r, i));
	fprintf(json, "]}");
	json_begun = true;
}

void report_begin(const struct scale *scale, const char *path)
{
	struct utsname u;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (uname(&u) < 0)
		err(1, "uname");
	printf("Medians of %u interleaved repetitions; Linux %s, %ld cores, SQLite %s.\n\n",
		scale->reps, u.release, cpus, sqlite3_libversion());
	printf("| work | yardstick | recordfs | the yardstick | ratio | half of them | best |"
	       " p50/p99 ratio | goal |\n|---|---|---|---|---|---|---|---|---|\n");
	fflush(stdout);
	if (path == NULL)
		return;
	json = fopen(path, "we");
	if (json == NULL)
		err(1, "%s", path);
	fprintf(json,
		"{\"time\": %lld, \"kernel\": \"%s\", \"cpus\": %ld, \"sqlite\": \"%s\","
		" \"repetitions\": %u, \"results\": [",
		(long long)time(NULL), u.release, cpus, sqlite3_libversion(), scale->reps);
}

void report_work(const struct run *runs, unsigned n, unsigned reps)
{
	for (unsigned i = 1; i < n; i++)
		print_line(&runs[0], &runs[i], reps);
	fflush(stdout);
	for (unsigned i = 0; json != NULL && i < n; i++)
		write_json(&runs[i], reps);
}

void report_end(void)
{
	if (json == NULL)
		return;
	fprintf(json, "\n]}\n");
	if (fclose(json) != 0)
		err(1, "the JSON");
}
