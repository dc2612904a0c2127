/*
 * benchgrow: what an operation costs in a small store, file and cache, and in one a hundred times
 * as large. See tools/bench, the script, which builds and calls it:
 *
 *	benchgrow [--quick] [--json FILE] --recordfs PROGRAM DIR
 *
 * DIR is an empty directory on a disk. Records: of 100 bytes, all in one directory, which is listed
 * from the middle on. Files: sparse, one block in
 * 16. Both on mounts that were made just now (the daemon has cached nothing), sync=standard; what
 * the disk holds is in memory, so that it is recordfs that is measured. The mounts of all sizes
 * are measured in turn.
 */
#include "growth.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)
#define GIB_BLOCKS (GIB / STORE_BLOCK_SIZE)
#define FORGET_ROUNDS 10u
#define FORGET_US 500000u
#define INDEX_BYTES 160u /* of memory, for each block of an index, while a table grows */

static const struct growth_scale full = {
	.records = {10000, 100000, 1000000},
	.file_bytes = {GIB / 16, GIB, 8 * GIB},
	.index_blocks = {GIB_BLOCKS, 10 * GIB_BLOCKS, 100 * GIB_BLOCKS},
	.ops = 500,
	.index_ops = 200000,
	.reps = GROWTH_REPS,
};
static const struct growth_scale quick = {
	.records = {100, 1000, 10000},
	.file_bytes = {GIB / 1024, GIB / 64, GIB / 8},
	.index_blocks = {GIB_BLOCKS / 1000, GIB_BLOCKS / 100, GIB_BLOCKS / 10},
	.ops = 50,
	.index_ops = 2000,
	.reps = 2,
};

static struct growth records[R_N] = {
	[R_STAT] = {.what = "lookup, stat"},
	[R_READ] = {.what = "open, read, close"},
	[R_OVERWRITE] = {.what = "open, overwrite, close"},
	[R_CREATE] = {.what = "create, write, close"},
	[R_UNLINK] = {.what = "unlink"},
	[R_READDIR] = {.what = "readdir, an entry"},
};
static struct growth files[F_N] = {
	[F_READ] = {.what = "4 KiB read"},
	[F_OVERWRITE] = {.what = "4 KiB overwrite"},
	[F_APPEND] = {.what = "100 byte append"},
};
static struct growth lookups[C_N] = {
	[C_GET] = {.what = "a block found"},
	[C_MISS] = {.what = "a block not found"},
	[C_PUT] = {.what = "a block replaced"},
};

struct arguments {
	struct programs programs;
	struct growth_scale scale;
	const char *json;
	const char *dir;
};

static FILE *json;

static double median(const double *values, unsigned n)
{
	double sorted[GROWTH_REPS] = {0};

	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;

		for (; at > 0 && sorted[at - 1] > values[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = values[i];
	}
	return sorted[n / 2];
}

static void write_growth(const struct growth *g, const char *group, const char *const labels[SIZES],
	unsigned reps, double ratio)
{
	static bool begun;

	if (json == NULL)
		return;
	fprintf(json,
		"%s\n  {\"group\": \"%s\", \"what\": \"%s\", \"ratio\": %.3f, \"goal\": %.2f,"
		" \"met\": %s, \"sizes\": [",
		begun ? "," : "", group, g->what, ratio, GROWTH_GOAL,
		ratio <= GROWTH_GOAL ? "true" : "false");
	begun = true;
	for (unsigned size = 0; size < SIZES; size++) {
		fprintf(json, "%s\n   {\"size\": \"%s\", \"median_us\": %.4f, \"values\": [",
			size == 0 ? "" : ",", labels[size], median(g->us[size], reps));
		for (unsigned rep = 0; rep < reps; rep++)
			fprintf(json, "%s%.4f", rep == 0 ? "" : ", ", g->us[size][rep]);
		fprintf(json, "]}");
	}
	fprintf(json, "]}");
}

static void report(const struct growth *growths, unsigned n, const char *group,
	const char *const labels[SIZES], unsigned reps)
{
	for (unsigned i = 0; i < n; i++) {
		const struct growth *g = &growths[i];
		double ratio = median(g->us[SIZES - 1], reps) / median(g->us[0], reps);

		printf("| %s | %s, %s, %s | %s |", group, labels[0], labels[1], labels[2], g->what);
		for (unsigned size = 0; size < SIZES; size++)
			printf(" %.2f us |", median(g->us[size], reps));
		printf(" **%.2f** | <= %.2g, %s |\n", ratio, GROWTH_GOAL,
			ratio <= GROWTH_GOAL ? "met" : "missed");
		write_growth(g, group, labels, reps, ratio);
	}
	fflush(stdout);
}

/* Does this size of bytes or blocks in a few letters. */
static void label(char *buf, size_t size, uint64_t bytes)
{
	if (bytes >= GIB)
		snprintf(buf, size, "%llu GiB", (unsigned long long)(bytes / GIB));
	else
		snprintf(buf, size, "%llu MiB", (unsigned long long)(bytes / MIB));
}

static const struct work on_mounts = {.name = "growth", .durable = false};

static void set_up(struct run *r, unsigned index)
{
	*r = (struct run){.work = &on_mounts, .side = RECORDFS, .index = index, .threads = 1};
}

/* The kernel tells the daemon what it forgot one after the other, and after it has done so. */
static bool let_forget(const struct run *r)
{
	uint64_t last = process_rss(r->daemon), now;

	if (!system_forget())
		return false;
	for (unsigned i = 0; i < FORGET_ROUNDS; i++) {
		usleep(FORGET_US);
		now = process_rss(r->daemon);
		if (now == last && i > 0)
			break;
		last = now;
	}
	return true;
}

/* The daemon of the largest store has to keep something of each inode that the kernel knows, and to
 * give it back. */
static void measure_forgetting(struct run *r, uint64_t n)
{
	uint64_t before = process_rss(r->daemon), known, after;
	bool forgotten;

	visit_records(r, n);
	known = process_rss(r->daemon);
	forgotten = let_forget(r);
	after = process_rss(r->daemon);
	printf("\nMemory of the daemon: %.0f MiB, with %llu inodes looked up %.0f MiB, forgotten"
	       " %.0f MiB%s.\n",
		(double)before / (double)MIB, (unsigned long long)n, (double)known / (double)MIB,
		(double)after / (double)MIB, forgotten ? "" : " (not measured: root only)");
	if (json != NULL)
		fprintf(json,
			"\n ],\n \"inodes\": {\"n\": %llu, \"rss_before\": %llu, \"rss_known\": "
			"%llu,"
			" \"rss_forgotten\": %llu, \"forgotten\": %s}}\n",
			(unsigned long long)n, (unsigned long long)before,
			(unsigned long long)known, (unsigned long long)after,
			forgotten ? "true" : "false");
}

static void grow_records(const struct arguments *a, struct run *runs)
{
	const struct growth_scale *scale = &a->scale;
	char labels[SIZES][24];
	const char *list[SIZES];

	for (unsigned size = 0; size < SIZES; size++) {
		snprintf(labels[size], sizeof(labels[size]), "%llu",
			(unsigned long long)scale->records[size]);
		list[size] = labels[size];
		fprintf(stderr, "growth: making a store of %s records\n", labels[size]);
		set_up(&runs[size], size);
		side_make(&runs[size], a->dir);
		fill_records(&runs[size], scale->records[size]);
	}
	fprintf(stderr, "growth: measuring\n");
	for (unsigned rep = 0; rep < scale->reps; rep++)
		for (unsigned size = 0; size < SIZES; size++) {
			side_restart(&runs[size], &a->programs, false);
			measure_records(
				&runs[size], scale->records[size], scale, records, size, rep);
		}
	report(records, R_N, "records", list, scale->reps);
}

static void grow_files(const struct arguments *a)
{
	const struct growth_scale *scale = &a->scale;
	static struct run runs[SIZES];
	char labels[SIZES][24];
	const char *list[SIZES];

	for (unsigned size = 0; size < SIZES; size++) {
		label(labels[size], sizeof(labels[size]), scale->file_bytes[size]);
		list[size] = labels[size];
		fprintf(stderr, "growth: making a sparse file of %s\n", labels[size]);
		set_up(&runs[size], SIZES + size);
		side_make(&runs[size], a->dir);
		fill_file(&runs[size], scale->file_bytes[size]);
	}
	for (unsigned rep = 0; rep < scale->reps; rep++)
		for (unsigned size = 0; size < SIZES; size++) {
			side_restart(&runs[size], &a->programs, false);
			measure_file(&runs[size], scale->file_bytes[size], scale, files, size, rep);
		}
	report(files, F_N, "file, sparse", list, scale->reps);
	for (unsigned size = 0; size < SIZES; size++)
		side_stop(&runs[size]);
}

static void grow_index(struct growth_scale *scale)
{
	uint64_t room = system_free() / 2 / INDEX_BYTES;
	char labels[SIZES][24];
	const char *list[SIZES];

	for (unsigned size = 0; size < SIZES; size++) {
		if (scale->index_blocks[size] > room) {
			fprintf(stderr, "growth: memory for an index of %llu blocks only\n",
				(unsigned long long)room);
			scale->index_blocks[size] = room;
		}
		label(labels[size], sizeof(labels[size]),
			scale->index_blocks[size] * STORE_BLOCK_SIZE);
		list[size] = labels[size];
	}
	fprintf(stderr, "growth: the index of the cache\n");
	measure_index(scale, lookups);
	report(lookups, C_N, "index of the cache", list, scale->reps);
}

static void parse(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"quick", no_argument, NULL, 'q'},
		{"json", required_argument, NULL, 'j'},
		{"recordfs", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret = (struct arguments){.scale = full};
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'q')
			ret->scale = quick;
		else if (c == 'j')
			ret->json = optarg;
		else if (c == 'r')
			ret->programs.recordfs = optarg;
		else
			exit(2);
	}
	if (argc - optind != 1 || ret->programs.recordfs == NULL)
		errx(2, "run tools/bench instead");
	ret->dir = argv[optind];
}

int main(int argc, char **argv)
{
	static struct run runs[SIZES];
	struct arguments a;

	parse(argc, argv, &a);
	if (a.json != NULL && (json = fopen(a.json, "we")) == NULL)
		err(1, "%s", a.json);
	printf("| growth of | sizes | operation | small | | large | ratio | goal |\n"
	       "|---|---|---|---|---|---|---|---|\n");
	if (json != NULL)
		fprintf(json, "{\"growth\": [");
	grow_index(&a.scale);
	grow_files(&a);
	grow_records(&a, runs);
	measure_forgetting(&runs[SIZES - 1], a.scale.records[SIZES - 1]);
	for (unsigned size = 0; size < SIZES; size++)
		side_stop(&runs[size]);
	if (json != NULL && fclose(json) != 0)
		err(1, "%s", a.json);
	return 0;
}
