/* What was measured, as JSON. tools/benchreport adds what it was measured on, and documents it. */
#include "bench.h"

#include <err.h>
#include <sqlite3.h>
#include <stdio.h>

static const char *const units[] = {"op/s", "MB/s", "s", "bytes"};
static FILE *json;
static bool begun;

void json_begin(const struct scale *scale, const char *path)
{
	if (path == NULL)
		return;
	json = fopen(path, "we");
	if (json == NULL)
		err(1, "%s", path);
	fprintf(json,
		"{\"settings\": {\"repetitions\": %u, \"slice_ms\": %u, \"listed\": %u,"
		" \"file_bytes\": %zu, \"cold_bytes\": %zu, \"cache_bytes\": %zu,"
		" \"cold\": \"%s\", \"sqlite\": \"%s\"},\n \"works\": [",
		scale->reps, scale->slice_ms, scale->listed, scale->file_size, scale->cold_size,
		CACHE_MIB * MIB, system_dropping(), sqlite3_libversion());
}

static void write_ratio(const struct run *ours, const struct run *theirs, unsigned reps)
{
	struct figures a = figures_of(ours, reps), b = figures_of(theirs, reps);
	const struct yard *yard = theirs->yard;

	fprintf(json, ",\n    \"ratio\": %.4f, \"p99_ratio\": %.4f", a.value / b.value,
		a.p99 / b.p99);
	if (yard->goal > 0)
		fprintf(json, ", \"goal\": %.3f, \"met\": %s", yard->goal,
			goal_met(ours->work, a.value / b.value, yard->goal) ? "true" : "false");
	if (yard->p99_goal > 0)
		fprintf(json, ", \"p99_goal\": %.3f, \"p99_met\": %s", yard->p99_goal,
			a.p99 / b.p99 <= yard->p99_goal ? "true" : "false");
}

static void write_side(const struct run *runs, unsigned i, unsigned reps)
{
	const struct run *r = &runs[i];
	struct figures f = figures_of(r, reps);

	fprintf(json,
		"%s\n   {\"side\": \"%s\", \"median\": %.4f, \"best\": %.4f, \"p50_us\": %.3f,"
		" \"p99_us\": %.3f, \"longest_us\": %.3f, \"rss_max\": %llu",
		i == 0 ? "" : ",", r->name, f.value, f.best, f.p50, f.p99, f.longest,
		(unsigned long long)r->rss);
	if (i > 0)
		write_ratio(&runs[0], r, reps);
	fprintf(json, ",\n    \"values\": [");
	for (unsigned k = 0; k < reps; k++)
		fprintf(json, "%s%.4f", k == 0 ? "" : ", ", value_of(r, k));
	fprintf(json, "]}");
}

void json_work(const struct run *runs, unsigned n, unsigned reps)
{
	const struct work *work = runs[0].work;

	if (json == NULL)
		return;
	fprintf(json,
		"%s\n  {\"name\": \"%s\", \"unit\": \"%s\", \"less_is_better\": %s,"
		" \"threads\": %u, \"durable\": %s,",
		begun ? "," : "", work->name, units[work->unit],
		work->unit == SECONDS || work->unit == WRITTEN ? "true" : "false", work->threads,
		work->durable ? "true" : "false");
	if (work->stall_max > 0)
		fprintf(json, " \"longest_goal_us\": %u,", work->stall_max * 1000);
	fprintf(json, " \"sides\": [");
	for (unsigned i = 0; i < n; i++)
		write_side(runs, i, reps);
	fprintf(json, "]}");
	begun = true;
}

void json_end(uint64_t rss_max, const char *work)
{
	if (json == NULL)
		return;
	fprintf(json, "\n ],\n \"memory\": {\"rss_max\": %llu, \"work\": \"%s\", \"goal\": %zu}}\n",
		(unsigned long long)rss_max, work == NULL ? "" : work,
		(CACHE_MIB + SPARE_MIB) * MIB);
	if (fclose(json) != 0)
		err(1, "the JSON");
}
