/* recordfsctl stats [--json | --prometheus | --watch[=SECONDS]] MOUNTPOINT */

#include "recordfsctl_stats.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct stat_text stat_texts[RECORDFS_STATS_COUNT] = {
#define X(name, text) {#name, text},
	STORE_STATS(X)
#undef X
};

bool stat_is_gauge(size_t i)
{
	switch (i) {
	case STAT_cache_bytes:
	case STAT_cache_limit_bytes:
	case STAT_cache_blocks:
	case STAT_store_bytes:
	case STAT_log_bytes:
	case STAT_store_degraded:
	case STAT_store_state:
	case STAT_faults_on:
		return true;
	default:
		return false;
	}
}

uint64_t snapshot_value(const struct snapshot *s, enum counter which)
{
	return s->stats.values[which];
}

const char *snapshot_state(const struct snapshot *s)
{
	static const char *const names[] = {[STORE_HEALTHY] = "healthy",
		[STORE_DEGRADED] = "degraded",
		[STORE_PROBING] = "probing"};
	uint64_t state = snapshot_value(s, STAT_store_state);
	return state < ARRAY_LEN(names) ? names[state] : "unknown";
}

double hit_ratio(uint64_t hits, uint64_t misses, uint64_t expired)
{
	uint64_t all = hits + misses + expired;
	return all ? 100.0 * (double)hits / (double)all : -1;
}

/* -- asking ------------------------------------------------------------------------------------ */

static int check_version(const struct snapshot *s, const char *path)
{
	const struct recordfs_stats *t = &s->stats;
	if (t->version == RECORDFS_CONTROL_VERSION && t->n == RECORDFS_STATS_COUNT)
		return 0;
	complain("%s: the mount runs recordfs %.*s, this is %s; use the matching one", path,
		(int)sizeof t->release, t->release, RECORDFS_VERSION);
	return -1;
}

static void import(const struct recordfs_histogram *from, struct measured *to)
{
	memcpy(to->name, from->name, sizeof to->name);
	to->name[sizeof to->name - 1] = '\0';
	to->kind = (enum recordfs_histogram_kind)from->kind;
	to->errors = from->errors;
	to->failed = from->failed;
	to->view = (struct histogram_view){.sum = from->sum, .max = from->max};
	memcpy(to->view.bucket, from->bucket, sizeof to->view.bucket);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->view.count += from->bucket[i];
}

static int ask_histograms(int fd, const char *path, struct snapshot *ret)
{
	static struct recordfs_histograms h;
	do {
		memset(&h, 0, sizeof h);
		h.first = ret->n;
		if (ask_mount(fd, path, RECORDFS_IOC_HISTOGRAMS, &h) < 0)
			return -1;
		for (uint32_t i = 0; i < h.n && i < RECORDFS_HISTOGRAMS; i++)
			if (ret->n < MEASURED_MAX)
				import(&h.histogram[i], &ret->measured[ret->n++]);
	} while (h.n && ret->n < MEASURED_MAX);
	return 0;
}

static int ask_all(int fd, const char *path, struct snapshot *ret)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	ret->at = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	if (ask_mount(fd, path, RECORDFS_IOC_STATS, &ret->stats) < 0 ||
		check_version(ret, path) < 0)
		return -1;
	if (ask_histograms(fd, path, ret) < 0)
		return -1;
	int r = ask_mount(fd, path, RECORDFS_IOC_ERRORS, &ret->errors);
	if (ret->errors.n > RECORDFS_ERRORS)
		ret->errors.n = RECORDFS_ERRORS;
	return r;
}

int snapshot_take(const char *path, struct snapshot *ret)
{
	int fd = open_on_mount(path);
	if (fd < 0)
		return -1;
	memset(ret, 0, sizeof *ret);
	int r = ask_all(fd, path, ret);
	close(fd); /* an open file would be in the way of umount */
	return r;
}

struct measured measured_since(const struct snapshot *old, const struct measured *new)
{
	struct measured m = *new;
	for (unsigned i = 0; old && i < old->n; i++) {
		const struct measured *before = &old->measured[i];
		if (before->kind != new->kind || strcmp(before->name, new->name) != 0)
			continue;
		histogram_since(&m.view, &before->view);
		m.errors -= before->errors;
		m.failed -= before->failed;
	}
	return m;
}

/* -- the command ------------------------------------------------------------------------------- */

static bool parse_interval(const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || !(value >= 0.01 && value <= 86400))
		return false;
	*ret = value;
	return true;
}

static int show(const char *path, char form)
{
	static struct snapshot s;
	if (snapshot_take(path, &s) < 0)
		return FAILED;
	if (form == 'j')
		stats_print_json(&s);
	else if (form == 'p')
		stats_print_prometheus(&s, path);
	else
		stats_print_text(&s, path);
	return DONE;
}

int ctl_stats(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"prometheus", no_argument, NULL, 'p'},
		{"watch", optional_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	char form = 0;
	double interval = 1;
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("stats");
		if (option == '?')
			return misused_option();
		if (form && form != option)
			return misused("stats: one of --json, --prometheus and --watch");
		form = (char)option;
		if (optarg && !parse_interval(optarg, &interval))
			return misused(
				"stats: --watch=%s is no number of seconds, 0.01 to 86400", optarg);
	}
	/* --watch 5 MOUNTPOINT, as other programs have it */
	if (form == 'w' && argc - optind == 2 && parse_interval(argv[optind], &interval))
		optind++;
	if (argc - optind != 1)
		return misused("stats: name one MOUNTPOINT");
	return form == 'w' ? stats_watch(argv[optind], interval) : show(argv[optind], form);
}
