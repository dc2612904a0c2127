/* recordfsctl report MOUNTPOINT */

#include "recordfsctl_report.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* -- the head ---------------------------------------------------------------------------------- */

static void print_time(FILE *out, int64_t nanoseconds)
{
	char text[40] = "?";
	time_t t = (time_t)(nanoseconds / 1000000000);
	struct tm tm;
	if (localtime_r(&t, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &tm);
	fputs(text, out);
}

static void print_fact(FILE *out, const char *name, const char *value, size_t max)
{
	fprintf(out, "<dt>%s</dt><dd><bdi>", name);
	html_text(out, value, max);
	fputs("</bdi></dd>\n", out);
}

static void print_warnings(FILE *out, const struct snapshot *s)
{
	char text[NUMBER_SIZE];
	if (snapshot_value(s, STAT_faults_on)) {
		fputs("<p class=\"warn\">Faults are on: <bdi>", out);
		html_text(out, s->stats.fault, sizeof s->stats.fault);
		fprintf(out, "</bdi> (%s injected so far)</p>\n",
			number(snapshot_value(s, STAT_faults_injected), text));
	}
	if (snapshot_value(s, STAT_store_degraded))
		fprintf(out,
			"<p class=\"warn\">The store is degraded: a commit or a flush failed and "
			"its outcome could not be settled; writes are refused until it can be "
			"(%s)</p>\n",
			snapshot_state(s));
	if (snapshot_value(s, STAT_checksum_failures))
		fprintf(out,
			"<p class=\"warn\">Damaged blocks: %s %s did not match; see "
			"recordfsctl check</p>\n",
			number(snapshot_value(s, STAT_checksum_failures), text),
			snapshot_value(s, STAT_checksum_failures) == 1 ? "checksum" : "checksums");
}

static void print_head(FILE *out, const struct snapshot *s, const char *path)
{
	const struct recordfs_stats *t = &s->stats;
	char text[NUMBER_SIZE];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	fputs("<h1><bdi>", out);
	html_text(out, path, SIZE_MAX);
	fprintf(out, "</bdi></h1>\n<p class=\"soft\">recordfs %.*s, ", (int)sizeof t->release,
		t->release);
	print_time(out, (int64_t)now.tv_sec * 1000000000);
	fputs("</p>\n", out);
	print_warnings(out, s);
	fputs("<section><h2>Mount</h2>\n", out);
	bool healthy = snapshot_value(s, STAT_store_state) == STORE_HEALTHY;
	fprintf(out, "<dl><dt>state</dt><dd class=\"%s\">%s</dd>\n", healthy ? "good" : "bad",
		snapshot_state(s));
	print_fact(out, "store", t->store, sizeof t->store);
	print_fact(out, "sync", t->sync, sizeof t->sync);
	print_fact(out, "cache_ttl", seconds_of(t->cache_ttl, text), SIZE_MAX);
	print_fact(out, "options", t->options, sizeof t->options);
	print_fact(out, "mounted for", seconds_of(t->uptime / 1000000000 * 1000000000, text),
		SIZE_MAX);
	fputs("</dl></section>\n", out);
}

static void print_tile(FILE *out, const char *value, const char *what)
{
	fprintf(out, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", value, what);
}

static void print_tiles(FILE *out, const struct snapshot *s)
{
	char text[NUMBER_SIZE] = "-";
	double ratio = hit_ratio(snapshot_value(s, STAT_cache_hits),
		snapshot_value(s, STAT_cache_misses), snapshot_value(s, STAT_cache_expired));
	if (ratio >= 0)
		snprintf(text, sizeof text, "%.1f %%", ratio);
	fputs("<div class=\"tiles\">\n", out);
	print_tile(out, text, "hit ratio, since the mount");
	print_tile(out, number(snapshot_value(s, STAT_read_requests), text), "read requests");
	print_tile(out, number(snapshot_value(s, STAT_write_requests), text), "write requests");
	print_tile(out, number(snapshot_value(s, STAT_store_commits), text), "commits");
	print_tile(out, size_of(snapshot_value(s, STAT_cache_bytes), text), "in the cache");
	print_tile(out, size_of(snapshot_value(s, STAT_store_bytes), text), "in the store");
	fputs("</div>\n", out);
}

/* -- errors, counters -------------------------------------------------------------------------- */

static void print_error(FILE *out, const struct recordfs_error *e)
{
	char text[NUMBER_SIZE];
	const char *name = strerrorname_np(e->error);
	fputs("<tr><td>", out);
	print_time(out, e->last);
	fprintf(out, "</td><td>%s</td><td class=\"text\">", number(e->times, text));
	html_text(out, e->op, sizeof e->op);
	fputs("</td><td class=\"text name\"><bdi>", out);
	if (e->path[0])
		html_text(out, e->path, sizeof e->path);
	else if (e->ino)
		fprintf(out, "inode %" PRIu64, e->ino);
	fputs("</bdi></td><td>", out);
	if (e->offset >= 0)
		fprintf(out, "%" PRId64, e->offset);
	fprintf(out, "</td><td class=\"text\">%s ", name ? name : "?");
	html_text(out, e->code_name, sizeof e->code_name);
	fputs("</td></tr>\n", out);
}

static void print_errors(FILE *out, const struct snapshot *s)
{
	fputs("<section><h2>Last errors of the store</h2>\n", out);
	if (s->errors.n == 0)
		fputs("<p class=\"soft\">None.</p>", out);
	else
		fputs("<table><thead><tr><th>last seen</th><th>times</th>"
		      "<th class=\"text\">operation</th><th class=\"text\">record</th>"
		      "<th>offset</th><th class=\"text\">error</th></tr></thead>\n<tbody>\n",
			out);
	for (unsigned i = 0; i < s->errors.n; i++)
		print_error(out, &s->errors.error[i]);
	fputs(s->errors.n ? "</tbody></table></section>\n" : "</section>\n", out);
}

static void print_counters(FILE *out, const struct snapshot *s)
{
	char text[NUMBER_SIZE];
	fputs("<section><h2>Counters, since the mount</h2>\n<table><tbody>\n", out);
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++)
		fprintf(out,
			"<tr id=\"%s\"><td>%s</td><td data-value=\"%" PRIu64
			"\">%s</td><td class=\"text soft\">%s</td></tr>\n",
			stat_texts[i].name, stat_texts[i].name, s->stats.values[i],
			number(s->stats.values[i], text), stat_texts[i].text);
	fputs("</tbody></table></section>\n", out);
}

/* -- commits, the cache ------------------------------------------------------------------------ */

/* How many commits had 1, 2 to 3, 4 to 7, ... changes. */
static void print_groups(FILE *out, const struct measured *m)
{
	uint64_t last = 0, n[16] = {0}, most = 0;
	char text[NUMBER_SIZE];
	unsigned rows = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t least = i ? histogram_end(i - 1) : 0;
		unsigned row = least > 1 ? 63 - (unsigned)__builtin_clzll(least) : 0;
		row = row < ARRAY_LEN(n) ? row : ARRAY_LEN(n) - 1;
		n[row] += m->view.bucket[i];
		most = n[row] > most ? n[row] : most;
		rows = n[row] && row >= rows ? row + 1 : rows;
	}
	fprintf(out,
		"<section><h2>Changes of a commit, since the mount</h2>\n<p class=\"soft\">p50 "
		"%" PRIu64 ", p99 %" PRIu64 ", most %" PRIu64 "</p>\n"
		"<table><thead><tr><th>changes</th><th>commits</th><th></th></tr></thead><tbody>\n",
		histogram_quantile(&m->view, 0.5), histogram_quantile(&m->view, 0.99), m->view.max);
	for (unsigned row = 0; row < rows; row++) {
		last = ((uint64_t)2 << row) - 1;
		fprintf(out, "<tr><td>%u", 1u << row);
		if (last > 1u << row)
			fprintf(out, " to %" PRIu64, last);
		fprintf(out, "</td><td>%s</td>", number(n[row], text));
		html_bar(out, (double)n[row], (double)most);
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></section>\n", out);
}

static void print_commits(FILE *out, const struct snapshot *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->measured[i].kind == RECORDFS_GROUP)
			print_groups(out, &s->measured[i]);
}

static void print_part(
	FILE *out, const struct cached_part *p, const char *name, const struct cached_part *all)
{
	char text[NUMBER_SIZE];
	if (p->records == 0)
		return;
	fprintf(out, "<tr%s><td class=\"name\"><bdi>", p->name ? "" : " class=\"soft\"");
	html_text(out, p->name ? p->name : name, SIZE_MAX);
	fprintf(out, "</bdi></td><td data-value=\"%" PRIu64 "\">%s</td>", p->records,
		number(p->records, text));
	fprintf(out, "<td data-value=\"%" PRIu64 "\">%s</td>", p->blocks, number(p->blocks, text));
	fprintf(out, "<td data-value=\"%" PRIu64 "\">%s</td>", p->bytes, size_of(p->bytes, text));
	html_bar(out, (double)p->bytes, (double)all->bytes);
	fputs("</tr>\n", out);
}

static void print_cached(FILE *out, const struct cached *c)
{
	fprintf(out,
		"<section id=\"cached\"><h2>In the cache, by directory</h2>\n"
		"<p class=\"soft\">By the first two levels of directories; the path is known of "
		"the "
		"%d records that have the most. Bytes are of memory, without tables.</p>\n"
		"<table><thead><tr><th>directory</th><th>records</th><th>blocks</th><th>bytes</th>"
		"<th></th></tr></thead><tbody>\n",
		REPORT_PATHS);
	for (unsigned i = 0; i < c->n; i++)
		print_part(out, &c->directory[i], "", &c->all);
	print_part(out, &c->others, "other directories", &c->all);
	print_part(out, &c->rest, "other records, and those without a name", &c->all);
	print_part(out, &c->all, "all", &c->all);
	fputs("</tbody></table></section>\n", out);
}

/* "5 s to 10 s" */
static void print_left(FILE *out, unsigned bucket, int64_t step)
{
	char from[NUMBER_SIZE], to[NUMBER_SIZE];
	if (bucket == 0) {
		fputs("none", out);
		return;
	}
	duration_of((uint64_t)step * (bucket - 1), from);
	if (bucket == RECORDFS_TTL_BUCKETS - 1)
		fprintf(out, "more than %s", from);
	else
		fprintf(out, "%s to %s", bucket == 1 ? "0" : from,
			duration_of((uint64_t)step * bucket, to));
}

static void print_ttl(FILE *out, const struct cached *c)
{
	uint64_t most = 0;
	char text[NUMBER_SIZE];
	unsigned last = 0;
	for (unsigned i = 0; i < RECORDFS_TTL_BUCKETS; i++) {
		most = c->ttl[i] > most ? c->ttl[i] : most;
		last = c->ttl[i] ? i : last;
	}
	fputs("<section id=\"ttl\"><h2>Time left of what is cached</h2>\n"
	      "<p class=\"soft\">Blocks by what is left of their TTL; "
	      "those "
	      "that have none left are never served, and keep their memory until it is "
	      "needed.</p>\n<table><thead><tr><th>time left</th><th>blocks</th><th></th></tr>"
	      "</thead><tbody>\n",
		out);
	for (unsigned i = 0; i <= last; i++) {
		fputs("<tr><td>", out);
		print_left(out, i, c->step);
		fputs("</td>", out);
		fprintf(out, "<td data-value=\"%" PRIu64 "\">%s</td>", c->ttl[i],
			number(c->ttl[i], text));
		html_bar(out, (double)c->ttl[i], (double)most);
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></section>\n", out);
}

/* -- the command ------------------------------------------------------------------------------- */

static void print_page(FILE *out, const char *path, const struct snapshot *s,
	const struct cached *c, const struct past *p)
{
	html_begin(out, path);
	print_head(out, s, path);
	print_tiles(out, s);
	print_errors(out, s);
	past_print(out, p);
	latencies_print(out, s);
	print_commits(out, s);
	print_cached(out, c);
	print_ttl(out, c);
	print_counters(out, s);
	html_end(out);
}

/* Nothing is printed before all is known: a page is whole, or there is none. */
static int report(const char *path)
{
	static struct snapshot s;
	static struct cached cached;
	static struct past past;
	if (snapshot_take(path, &s) < 0)
		return FAILED;
	int fd = open_on_mount(path);
	if (fd < 0)
		return FAILED;
	int r = past_take(fd, path, &s, &past);
	if (r == 0)
		r = cached_take(fd, path, s.stats.cache_ttl, &cached);
	close(fd);
	if (r == 0)
		print_page(stdout, path, &s, &cached, &past);
	cached_free(&cached);
	return r < 0 ? FAILED : DONE;
}

int ctl_report(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("report");
		return misused_option();
	}
	if (argc - optind != 1)
		return misused("report: name one MOUNTPOINT");
	return report(argv[optind]);
}
