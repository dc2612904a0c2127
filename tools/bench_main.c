/*
 * bench: recordfs beside its yardsticks. See tools/bench, the script, which builds and calls it:
 *
 *	benchrun [--quick] [--json FILE] [--only TEXT] --recordfs PROGRAM --memfs PROGRAM DIR
 *
 * DIR is an empty directory on a disk, but for DIR/tree, which holds tree.tar and repo: a source
 * tree as an archive and as a git repository. Every work of the table in bench_works.c is done by
 * recordfs, then by each of its yardsticks, and again, so often; recordfs has a fresh store for
 * each. What is printed are medians, and ratios of them: nothing else can be trusted on a machine
 * that does other things as well.
 */
#include "bench.h"

#include <err.h>
#include <getopt.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

static const struct scale full = {
	.reps = 15, .slice_ms = 120, .divide = 1, .listed = 5000, .file_size = 64 * MIB};
static const struct scale quick = {
	.reps = 3, .slice_ms = 50, .divide = 10, .listed = 500, .file_size = 8 * MIB};

struct arguments {
	struct programs programs;
	const struct scale *scale;
	const char *json;
	const char *only;
	const char *dir;
};

static void set_up(struct run *r, const struct work *work, const struct yard *yard,
	const struct scale *scale, const char *tree)
{
	*r = (struct run){
		.work = work,
		.yard = yard,
		.load = yard != NULL && yard->load != NULL ? yard->load : work->load,
		.side = yard == NULL ? RECORDFS : yard->side,
		.threads = work->threads,
		.ops = (work->ops + scale->divide - 1) / scale->divide,
		.scale = scale,
		.tree = tree,
	};
	if (r->side == SQLITE)
		r->threads = 1;
	r->name = yard != NULL && yard->name != NULL ? yard->name : side_names[r->side];
}

static void repeat(struct run *runs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (runs[i].load->before != NULL)
			runs[i].load->before(&runs[i]);
	if (runs[0].load->rested)
		usleep(REST_MS * 1000);
	for (unsigned i = 0; i < n; i++)
		run_repetition(&runs[i]);
}

static void do_work(const struct work *work, const struct arguments *a, const char *tree)
{
	static struct run runs[MAX_SIDES];
	unsigned n = 0;

	set_up(&runs[n++], work, NULL, a->scale, tree);
	for (unsigned i = 0; i < MAX_YARDS && work->yards[i].side != RECORDFS; i++)
		set_up(&runs[n++], work, &work->yards[i], a->scale, tree);
	for (unsigned i = 0; i < n; i++) {
		side_start(&runs[i], a->dir, &a->programs);
		if (runs[i].load->setup != NULL)
			runs[i].load->setup(&runs[i]);
	}
	for (unsigned rep = 0; rep < a->scale->reps; rep++)
		repeat(runs, n);
	report_work(runs, n, a->scale->reps);
	for (unsigned i = 0; i < n; i++)
		side_stop(&runs[i]);
}

static bool is_wanted(const struct work *work, const struct arguments *a)
{
	return a->only == NULL || strstr(work->name, a->only) != NULL;
}

static void do_all(const struct arguments *a)
{
	char tree[PATH_MAX];
	unsigned total = 0, done = 0;
	uint64_t begin = now_ns();

	snprintf(tree, sizeof(tree), "%s/tree", a->dir);
	for (unsigned i = 0; i < n_works; i++)
		total += is_wanted(&works[i], a);
	report_begin(a->scale, a->json);
	for (unsigned i = 0; i < n_works; i++) {
		if (!is_wanted(&works[i], a))
			continue;
		fprintf(stderr, "%3.0f s: %u of %u: %s\n", (double)(now_ns() - begin) / 1e9, ++done,
			total, works[i].name);
		do_work(&works[i], a, tree);
	}
	report_end();
}

static void parse(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"quick", no_argument, NULL, 'q'},
		{"json", required_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'},
		{"recordfs", required_argument, NULL, 'r'},
		{"memfs", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret = (struct arguments){.scale = &full};
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'q')
			ret->scale = &quick;
		else if (c == 'j')
			ret->json = optarg;
		else if (c == 'o')
			ret->only = optarg;
		else if (c == 'r')
			ret->programs.recordfs = optarg;
		else if (c == 'm')
			ret->programs.memfs = optarg;
		else
			exit(2);
	}
	if (argc - optind != 1 || ret->programs.recordfs == NULL || ret->programs.memfs == NULL)
		errx(2, "run tools/bench instead");
	ret->dir = argv[optind];
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct statfs fs;

	parse(argc, argv, &a);
	if (statfs(a.dir, &fs) < 0)
		err(1, "%s", a.dir);
	if (fs.f_type == TMPFS_MAGIC)
		errx(1, "%s: a tmpfs, which says nothing about a disk", a.dir);
	run_init();
	do_all(&a);
	return 0;
}
