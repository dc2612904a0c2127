/* recordfsctl stats for people: tables. */

#include "recordfsctl_stats.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

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
	{"trouble", "store_failures checksum_failures store_degraded store_degradations"
		    " store_probes faults_on faults_injected"},
	{"", "store_state"}, /* which is a word above all of it */
};

const char *duration_of(uint64_t nanoseconds, char buf[NUMBER_SIZE])
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double value = (double)nanoseconds;
	size_t unit = 0;
	for (; value >= 999.5 && unit + 1 < ARRAY_LEN(units); unit++)
		value /= 1000;
	int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	snprintf(buf, NUMBER_SIZE, "%.*f %s", digits, value, units[unit]);
	return buf;
}

const char *rate_of(double per_second, char buf[NUMBER_SIZE])
{
	if (per_second >= 99.5)
		return number((uint64_t)(per_second + 0.5), buf);
	int digits = per_second >= 9.95 ? 1 : per_second > 0 ? 2 : 0;
	snprintf(buf, NUMBER_SIZE, "%.*f", digits, per_second);
	return buf;
}

static bool in_group(const struct group *g, size_t i)
{
	size_t len = strlen(stat_texts[i].name);
	for (const char *p = g->names; (p = strstr(p, stat_texts[i].name)); p += len)
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

static double uptime_of(const struct snapshot *s)
{
	double seconds = (double)s->stats.uptime / 1e9;
	return seconds > 0.001 ? seconds : 0.001;
}

static void print_value(const struct snapshot *s, size_t i)
{
	char text[NUMBER_SIZE], rate[NUMBER_SIZE] = "";
	uint64_t v = s->stats.values[i];
	const char *suffix = strrchr(stat_texts[i].name, '_');
	bool size = suffix && strcmp(suffix, "_bytes") == 0;
	const char *value = size ? size_of(v, text) : number(v, text);
	if (i == STAT_store_degraded || i == STAT_faults_on)
		value = v ? "YES" : "no";
	if (!stat_is_gauge(i))
		rate_of((double)v / uptime_of(s), rate);
	printf("  %-22s %14s %10s  %s\n", stat_texts[i].name, value, rate, stat_texts[i].text);
}

static void print_ratio(const struct snapshot *s)
{
	double ratio = hit_ratio(snapshot_value(s, STAT_cache_hits),
		snapshot_value(s, STAT_cache_misses), snapshot_value(s, STAT_cache_expired));
	if (ratio < 0)
		printf("  %-22s %14s\n", "hit ratio", "-");
	else
		printf("  %-22s %12.1f %%\n", "hit ratio", ratio);
}

static void print_group(const struct snapshot *s, const struct group *g)
{
	printf("\n%-24s %14s %10s\n", g->title, "", "a second");
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++)
		if (in_group(g, i))
			print_value(s, i);
	if (strcmp(g->title, "cache") == 0)
		print_ratio(s);
}

static void print_counters(const struct snapshot *s)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		if (groups[g].title[0])
			print_group(s, &groups[g]);
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

/* What nobody may overlook. */
void stats_print_warnings(FILE *out, const struct snapshot *s, const char *end)
{
	char text[NUMBER_SIZE];
	if (snapshot_value(s, STAT_faults_on))
		fprintf(out, "%s*** FAULTS ARE ON: %.*s (%s injected so far) ***%s", end,
			(int)sizeof s->stats.fault, s->stats.fault,
			number(snapshot_value(s, STAT_faults_injected), text), end);
	if (snapshot_value(s, STAT_store_degraded))
		fprintf(out,
			"%s*** THE STORE IS DEGRADED: a commit or a flush failed and its outcome "
			"could"
			" not be settled; writes are refused until it can be (%s) ***%s",
			end, snapshot_state(s), end);
	if (snapshot_value(s, STAT_checksum_failures))
		fprintf(out,
			"%s*** DAMAGED BLOCKS: %s %s did not match; see recordfsctl check ***%s",
			end, number(snapshot_value(s, STAT_checksum_failures), text),
			snapshot_value(s, STAT_checksum_failures) == 1 ? "checksum" : "checksums",
			end);
}

static void print_latency(FILE *out, const struct measured *m, double seconds, const char *end)
{
	static const double shares[] = {0.5, 0.9, 0.99};
	char text[NUMBER_SIZE];
	fprintf(out, "  %-22s %14s", m->name, number(m->view.count, text));
	fprintf(out, " %10s", rate_of((double)m->view.count / seconds, text));
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		uint64_t value = histogram_quantile(&m->view, shares[i]);
		fprintf(out, " %9s",
			m->kind == RECORDFS_GROUP ? number(value, text) : duration_of(value, text));
	}
	fprintf(out, " %9s",
		m->kind == RECORDFS_GROUP ? number(m->view.max, text)
					  : duration_of(m->view.max, text));
	if (m->kind == RECORDFS_REQUEST)
		fprintf(out, " %9s", m->errors ? number(m->errors, text) : "-");
	if (m->kind == RECORDFS_REQUEST && m->failed)
		fprintf(out, "  (%s EIO or ENOSPC)", number(m->failed, text));
	fputs(end, out);
}

/* Those of a kind that have happened, since `old` or ever. */
static void print_kind(FILE *out, const struct snapshot *s, const struct snapshot *old,
	unsigned kind, const char *title, const char *end)
{
	double seconds = old ? s->at - old->at : uptime_of(s);
	bool any = false;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->measured[i].kind != kind)
			continue;
		struct measured m = measured_since(old, &s->measured[i]);
		if (m.view.count == 0)
			continue;
		if (!any)
			fprintf(out, "%s%-24s %14s %10s %9s %9s %9s %9s %9s%s", end, title, "count",
				"a second", "p50", "p90", "p99", "max",
				kind == RECORDFS_REQUEST ? "errors" : "", end);
		any = true;
		print_latency(out, &m, seconds, end);
	}
}

void stats_print_latencies(
	FILE *out, const struct snapshot *s, const struct snapshot *old, const char *end)
{
	print_kind(out, s, old, RECORDFS_REQUEST, "time of requests", end);
	print_kind(out, s, old, RECORDFS_STORE, "time of the store", end);
	print_kind(out, s, old, RECORDFS_GROUP, "changes of a commit", end);
}

static void print_when(FILE *out, int64_t nanoseconds)
{
	char text[32] = "?";
	time_t t = (time_t)(nanoseconds / 1000000000);
	struct tm tm;
	if (localtime_r(&t, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	fputs(text, out);
}

static void print_error(FILE *out, const struct recordfs_error *e, const char *end)
{
	char text[NUMBER_SIZE];
	fprintf(out, "  ");
	print_when(out, e->last);
	fprintf(out, "  %.*s", (int)sizeof e->op, e->op);
	if (e->path[0]) {
		fputc(' ', out);
		print_path(out, e->path);
	} else if (e->ino) {
		fprintf(out, " inode %" PRIu64, e->ino);
	}
	if (e->offset >= 0)
		fprintf(out, " at offset %" PRId64, e->offset);
	fprintf(out, ": %s", strerrorname_np(e->error) ? strerrorname_np(e->error) : "?");
	if (e->code)
		fprintf(out, ", %.*s (%" PRId32 ")", (int)sizeof e->code_name, e->code_name,
			e->code);
	if (e->times > 1) {
		fprintf(out, ", %s times since ", number(e->times, text));
		print_when(out, e->first);
	}
	fputs(end, out);
}

void stats_print_errors(FILE *out, const struct snapshot *s, unsigned most, const char *end)
{
	if (s->errors.n && most)
		fprintf(out, "%slast errors of the store%s", end, end);
	for (unsigned i = 0; i < s->errors.n && i < most; i++)
		print_error(out, &s->errors.error[i], end);
}

void stats_print_text(const struct snapshot *s, const char *path)
{
	const struct recordfs_stats *t = &s->stats;
	char text[NUMBER_SIZE], ttl[NUMBER_SIZE];
	print_path(stdout, path); /* which may be anywhere on the mount */
	printf(": ");
	print_path(stdout, t->store);
	printf(", recordfs %.*s, mounted for %s, %s\nsync=%.*s, cache_ttl=%s\noptions: %.*s\n",
		(int)sizeof t->release, t->release,
		seconds_of(t->uptime / 1000000000 * 1000000000, text), snapshot_state(s),
		(int)sizeof t->sync, t->sync, seconds_of(t->cache_ttl, ttl), (int)sizeof t->options,
		t->options);
	stats_print_warnings(stdout, s, "\n");
	print_counters(s);
	stats_print_latencies(stdout, s, NULL, "\n");
	stats_print_errors(stdout, s, RECORDFS_ERRORS, "\n");
}
