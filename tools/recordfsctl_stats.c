/* recordfsctl stats [--json | --watch[=SECONDS]] MOUNTPOINT */

#include "recordfsctl.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Places of the counters in recordfs_stats.values, and what they are called. */
enum stat {
#define X(name, text) STAT_##name,
	STORE_STATS(X)
#undef X
};
static const struct {
	const char *name;
	const char *text;
} stats[RECORDFS_STATS_COUNT] = {
#define X(name, text) {#name, text},
	STORE_STATS(X)
#undef X
};

/* The text's groups; a counter that is in none of them comes last. */
static const struct group {
	const char *title;
	const char *names;
} groups[] = {
	{"requests", "read_requests write_requests"},
	{"cache", "cache_hits cache_misses cache_expired cache_evictions cache_invalidations"
		  " cache_update_failures cache_bytes cache_limit_bytes cache_blocks"},
	{"store", "store_reads store_commits store_write_requests store_flushes store_bytes"
		  " log_bytes outside_changes"},
	{"trouble", "store_failures checksum_failures store_degraded faults_on faults_injected"},
};

static int fetch(const char *path, struct recordfs_stats *ret)
{
	int fd = open_on_mount(path);
	if (fd < 0)
		return -1;
	memset(ret, 0, sizeof *ret);
	int r = ask_mount(fd, path, RECORDFS_IOC_STATS, ret);
	close(fd); /* an open file would be in the way of umount */
	if (r < 0)
		return r;
	if (ret->version != RECORDFS_CONTROL_VERSION || ret->n != RECORDFS_STATS_COUNT) {
		complain("%s: the mount runs recordfs %.*s, this is %s; use the matching one", path,
			(int)sizeof ret->release, ret->release, RECORDFS_VERSION);
		return -1;
	}
	return 0;
}

/* -- JSON ---------------------------------------------------------------------------------------
 */

static void print_json(const struct recordfs_stats *s)
{
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++)
		printf("%s\"%s\": %" PRIu64, i ? ",\n " : "{", stats[i].name, s->values[i]);
	printf("}\n");
}

/* -- text ---------------------------------------------------------------------------------------
 */

static bool in_group(const struct group *g, size_t i)
{
	size_t len = strlen(stats[i].name);
	for (const char *p = g->names; (p = strstr(p, stats[i].name)); p += len)
		if ((p == g->names || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

static bool in_any_group(size_t i)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		if (in_group(&groups[g], i))
			return true;
	return false;
}

static void print_value(const struct recordfs_stats *s, size_t i)
{
	char text[NUMBER_SIZE];
	const char *suffix = strrchr(stats[i].name, '_');
	bool size = suffix && strcmp(suffix, "_bytes") == 0;
	const char *value = size ? size_of(s->values[i], text) : number(s->values[i], text);
	if (i == STAT_store_degraded || i == STAT_faults_on)
		value = s->values[i] ? "YES" : "no";
	printf("  %-24s %14s  %s\n", stats[i].name, value, stats[i].text);
}

/* Hits of all lookups, in percent; negative when there were none. */
static double hit_ratio(uint64_t hits, uint64_t misses, uint64_t expired)
{
	uint64_t all = hits + misses + expired;
	return all ? 100.0 * (double)hits / (double)all : -1;
}

static void print_ratio(const struct recordfs_stats *s)
{
	double ratio = hit_ratio(s->values[STAT_cache_hits], s->values[STAT_cache_misses],
		s->values[STAT_cache_expired]);
	if (ratio < 0)
		printf("  %-24s %14s\n", "hit ratio", "-");
	else
		printf("  %-24s %12.1f %%\n", "hit ratio", ratio);
}

/* What nobody may overlook. */
static void print_warnings(const struct recordfs_stats *s)
{
	char text[NUMBER_SIZE];
	if (s->values[STAT_faults_on])
		printf("\n*** FAULTS ARE ON: %.*s (%s injected so far) ***\n", (int)sizeof s->fault,
			s->fault, number(s->values[STAT_faults_injected], text));
	if (s->values[STAT_store_degraded])
		printf("\n*** THE STORE IS DEGRADED: a commit failed and its outcome could not be"
		       " settled; writes are refused until it can be ***\n");
	if (s->values[STAT_checksum_failures])
		printf("\n*** DAMAGED BLOCKS: %s checksums did not match; see recordfsctl check"
		       " ***\n",
			number(s->values[STAT_checksum_failures], text));
}

static void print_text(const struct recordfs_stats *s, const char *path)
{
	char text[NUMBER_SIZE];
	print_path(stdout, path); /* which may be anywhere on the mount */
	printf(": ");
	print_path(stdout, s->store);
	printf(", recordfs %.*s\nsync=%.*s, cache_ttl=%s\noptions: %.*s\n", (int)sizeof s->release,
		s->release, (int)sizeof s->sync, s->sync, seconds_of(s->cache_ttl, text),
		(int)sizeof s->options, s->options);
	print_warnings(s);
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		printf("\n%s\n", groups[g].title);
		for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++)
			if (in_group(&groups[g], i))
				print_value(s, i);
		if (strcmp(groups[g].title, "cache") == 0)
			print_ratio(s);
	}
	bool title = false;
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++) {
		if (in_any_group(i))
			continue;
		if (!title)
			printf("\nother\n");
		title = true;
		print_value(s, i);
	}
}

/* -- watching -----------------------------------------------------------------------------------
 */

/* Lines between two headings on a terminal. */
#define HEADING_LINES 20

static double seconds_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_seconds(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds};
	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

static void print_heading(void)
{
	printf("%9s %9s %9s %9s %6s %9s %9s %9s %10s %10s\n", "reads/s", "writes/s", "hits/s",
		"misses/s", "hit%", "commits/s", "flushes/s", "dropped/s", "cache", "failures");
}

static void print_rates(
	const struct recordfs_stats *old, const struct recordfs_stats *new, double seconds)
{
#define GREW(name) (new->values[STAT_##name] - old->values[STAT_##name])
#define RATE(name) ((double)GREW(name) / seconds)
	char size[NUMBER_SIZE], ratio[NUMBER_SIZE] = "-";
	double hits = hit_ratio(GREW(cache_hits), GREW(cache_misses), GREW(cache_expired));
	if (hits >= 0)
		snprintf(ratio, sizeof ratio, "%.1f", hits);
	printf("%9.0f %9.0f %9.0f %9.0f %6s %9.0f %9.0f %9.0f %10s %10" PRIu64 "%s%s\n",
		RATE(read_requests), RATE(write_requests), RATE(cache_hits),
		RATE(cache_misses) + RATE(cache_expired), ratio, RATE(store_commits),
		RATE(store_flushes), RATE(cache_evictions) + RATE(cache_invalidations),
		size_of(new->values[STAT_cache_bytes], size),
		GREW(store_failures) + GREW(checksum_failures) + GREW(cache_update_failures),
		new->values[STAT_store_degraded] ? "  STORE IS DEGRADED" : "",
		new->values[STAT_faults_on] ? "  FAULTS ARE ON" : "");
#undef RATE
#undef GREW
}

static int watch(const char *path, double interval)
{
	struct recordfs_stats old, new;
	bool terminal = isatty(STDOUT_FILENO);
	if (fetch(path, &old) < 0)
		return FAILED;
	double before = seconds_now();
	for (unsigned line = 0; !ferror(stdout); line++) {
		if (line == 0 || (terminal && line % HEADING_LINES == 0))
			print_heading();
		fflush(stdout);
		sleep_seconds(interval);
		if (fetch(path, &new) < 0)
			return FAILED;
		double now = seconds_now();
		print_rates(&old, &new, now - before);
		fflush(stdout);
		old = new;
		before = now;
	}
	return FAILED;
}

/* -- the command --------------------------------------------------------------------------------
 */

static bool parse_interval(const char *text, double *ret)
{
	char *end;
	double value = text ? strtod(text, &end) : 1;
	if (text && (end == text || *end || !(value >= 0.01 && value <= 86400)))
		return false;
	*ret = value;
	return true;
}

int ctl_stats(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"watch", optional_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool json = false;
	double interval = 0;
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("stats");
		if (option == 'j')
			json = true;
		else if (option != 'w')
			return misused_option();
		else if (!parse_interval(optarg, &interval))
			return misused("stats: --watch=%s is no number of seconds", optarg);
	}
	if (argc - optind != 1)
		return misused("stats: name one MOUNTPOINT");
	if (json && interval > 0)
		return misused("stats: --json or --watch, not both");
	const char *path = argv[optind];
	if (interval > 0)
		return watch(path, interval);
	struct recordfs_stats s;
	if (fetch(path, &s) < 0)
		return FAILED;
	if (json)
		print_json(&s);
	else
		print_text(&s, path);
	return DONE;
}
