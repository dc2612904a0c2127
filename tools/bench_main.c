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

#define LEAST_REPS 5u
#define PATIENCE_NS (15u * (uint64_t)1000000000) /* that a work may take for more than these */

static const struct scale full = {.reps = 9,
	.slice_ms = 120,
	.divide = 1,
	.listed = 20000,
	.file_size = 64 * MIB,
	.cold_size = 1024 * MIB};
static const struct scale quick = {.reps = 3,
	.slice_ms = 40,
	.divide = 20,
	.listed = 500,
	.file_size = 8 * MIB,
	.cold_size = 64 * MIB};

struct arguments {
	struct programs programs;
	const struct scale *scale;
	const char *json;
	const char *only;
	const char *dir;
};

static void set_up(struct run *r, unsigned index, const struct work *work, const struct yard *yard,
	const struct scale *scale, const char *tree)
{
	*r = (struct run){
		.work = work,
		.yard = yard,
		.load = yard != NULL && yard->load != NULL ? yard->load : work->load,
		.side = yard == NULL ? RECORDFS : yard->side,
		.index = index,
		.threads = work->threads,
		.ops = (work->ops + scale->divide - 1) / scale->divide,
		.scale = scale,
		.tree = tree,
	};
	if (r->side == SQLITE)
		r->threads = 1;
	r->name = yard != NULL && yard->name != NULL ? yard->name : side_names[r->side];
}

static void start_sides(struct run *runs, unsigned n, const struct arguments *a)
{
	for (unsigned i = 0; i < n; i++) {
		side_start(&runs[i], a->dir, &a->programs);
		if (runs[i].load->setup != NULL)
			runs[i].load->setup(&runs[i]);
	}
}

static void before(struct run *r)
{
	if (r->load->before != NULL)
		r->load->before(r);
}

/* All sides are there, and stay. */
static void repeat(struct run *runs, unsigned n, const struct arguments *a)
{
	for (unsigned i = 0; i < n; i++) {
		if (runs[0].load->start == COLD)
			side_restart(&runs[i], &a->programs, true);
		before(&runs[i]);
	}
	if (runs[0].load->start == RESTED)
		usleep(REST_MS * 1000);
	for (unsigned i = 0; i < n; i++)
		run_repetition(&runs[i]);
}

static uint64_t written_between(const struct written *from, const struct written *to)
{
	uint64_t a = to->by_process - from->by_process, b = to->to_disk - from->to_disk;

	return to->to_disk == 0 || a < b ? a : b;
}

/* One side after the other is made, measured, and removed. */
static void repeat_fresh(struct run *runs, unsigned n, const struct arguments *a)
{
	for (unsigned i = 0; i < n; i++) {
		struct run *r = &runs[i];
		struct written from, to;

		start_sides(r, 1, a);
		if (r->load->start == SETTLED)
			side_restart(r, &a->programs, false);
		before(r);
		from = side_written(r);
		run_repetition(r);
		to = side_stop(r);
		r->samples[r->rep - 1].written = written_between(&from, &to);
	}
}

static bool is_fresh(const struct run *r)
{
	return r->load->start == FRESH || r->load->start == SETTLED;
}

/* Could `next` go on where `r` has left off, with its files? */
static bool continues(const struct run *next, const struct run *r)
{
	return r->work != NULL && !is_fresh(next) && !is_fresh(r) && next->load->setup != NULL &&
	       next->load->setup == r->load->setup && next->side == r->side &&
	       next->threads == r->threads && next->work->durable == r->work->durable &&
	       next->work->apart == r->work->apart;
}

/* The sides that are there, since the work before had them too. */
struct sides {
	struct run runs[MAX_SIDES];
	unsigned n;
	uint64_t rss_max;
	const char *rss_work;
};

static void stop_sides(struct sides *s)
{
	for (unsigned i = 0; i < s->n; i++)
		side_stop(&s->runs[i]);
	s->n = 0;
}

static void note_memory(struct sides *s, const struct work *work)
{
	uint64_t now = s->runs[0].daemon > 0 ? process_rss_max(s->runs[0].daemon) : 0;

	if (s->runs[0].rss < now)
		s->runs[0].rss = now;
	if (s->rss_max >= s->runs[0].rss)
		return;
	s->rss_max = s->runs[0].rss;
	s->rss_work = work->name;
}

/* Takes over what next[i] goes on with; else all sides are made anew. */
static void begin_work(struct sides *s, struct run *next, unsigned n, const struct arguments *a)
{
	bool all = n <= s->n;

	for (unsigned i = 0; all && i < n; i++)
		all = continues(&next[i], &s->runs[i]);
	if (!all) {
		stop_sides(s);
		memcpy(s->runs, next, n * sizeof(*next));
		if (!is_fresh(next)) {
			start_sides(s->runs, n, a);
			s->n = n;
		}
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		s->runs[i].work = next[i].work;
		s->runs[i].yard = next[i].yard;
		s->runs[i].load = next[i].load;
		s->runs[i].name = next[i].name;
		s->runs[i].ops = next[i].ops;
		s->runs[i].rep = 0;
	}
}

static void do_work(
	struct sides *s, const struct work *work, const struct arguments *a, const char *tree)
{
	static struct run next[MAX_SIDES];
	unsigned n = 0, reps = a->scale->reps;
	uint64_t begun = now_ns();

	if (work->reps > 0 && work->reps < reps)
		reps = work->reps;
	set_up(&next[n], n, work, NULL, a->scale, tree);
	n++;
	for (; n <= MAX_YARDS && work->yards[n - 1].side != RECORDFS; n++)
		set_up(&next[n], n, work, &work->yards[n - 1], a->scale, tree);
	begin_work(s, next, n, a);
	for (unsigned rep = 0; rep < reps; rep++) {
		if (is_fresh(s->runs))
			repeat_fresh(s->runs, n, a);
		else
			repeat(s->runs, n, a);
		if (rep + 1 >= LEAST_REPS && now_ns() - begun > PATIENCE_NS)
			reps = rep + 1;
	}
	note_memory(s, work);
	report_work(s->runs, n, reps);
	json_work(s->runs, n, reps);
}

static bool is_wanted(const struct work *work, const struct arguments *a)
{
	return a->only == NULL || strstr(work->name, a->only) != NULL;
}

static void do_all(const struct arguments *a)
{
	static struct sides sides;
	char tree[PATH_MAX];
	unsigned total = 0, done = 0;
	uint64_t begin = now_ns();

	snprintf(tree, sizeof(tree), "%s/tree", a->dir);
	for (unsigned i = 0; i < n_works; i++)
		total += is_wanted(&works[i], a);
	report_begin(a->scale);
	json_begin(a->scale, a->json);
	for (unsigned i = 0; i < n_works; i++) {
		if (!is_wanted(&works[i], a))
			continue;
		fprintf(stderr, "%3.0f s: %u of %u: %s\n", (double)(now_ns() - begin) / 1e9, ++done,
			total, works[i].name);
		do_work(&sides, &works[i], a, tree);
	}
	stop_sides(&sides);
	report_memory(sides.rss_max, sides.rss_work);
	json_end(sides.rss_max, sides.rss_work);
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
