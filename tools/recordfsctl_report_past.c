/* The last hour of a mount: what is asked for, and charts of it. */

#include "recordfsctl_report.h"

#include <math.h>
#include <string.h>

static uint64_t count_requests(const struct snapshot *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < s->n; i++)
		if (s->measured[i].kind == RECORDFS_REQUEST)
			n += s->measured[i].view.count;
	return n;
}

static struct recordfs_sample sample_of(const struct snapshot *s)
{
	return (struct recordfs_sample){
		.at = s->stats.uptime,
		.requests = count_requests(s),
		.read_requests = snapshot_value(s, STAT_read_requests),
		.write_requests = snapshot_value(s, STAT_write_requests),
		.hits = snapshot_value(s, STAT_cache_hits),
		.misses = snapshot_value(s, STAT_cache_misses) +
			  snapshot_value(s, STAT_cache_expired),
		.commits = snapshot_value(s, STAT_store_commits),
		.changes = snapshot_value(s, STAT_store_write_requests),
		.flushes = snapshot_value(s, STAT_store_flushes),
		.failures = snapshot_value(s, STAT_store_failures) +
			    snapshot_value(s, STAT_checksum_failures) +
			    snapshot_value(s, STAT_cache_update_failures),
		.cache_bytes = snapshot_value(s, STAT_cache_bytes),
		.dropped = snapshot_value(s, STAT_cache_evictions) +
			   snapshot_value(s, STAT_cache_invalidations),
	};
}

int past_take(int fd, const char *path, const struct snapshot *now, struct past *ret)
{
	static struct recordfs_history h;
	const struct recordfs_sample last = sample_of(now);
	uint64_t first = 0;
	ret->n = 0;
	do {
		h.first = first;
		if (ask_mount(fd, path, RECORDFS_IOC_HISTORY, &h) < 0)
			return -1;
		for (uint32_t i = 0; i < h.n && i < RECORDFS_SAMPLES; i++)
			if (ret->n + 1 < REPORT_SAMPLES && h.sample[i].at < last.at)
				ret->sample[ret->n++] = h.sample[i];
		first = h.first + h.n;
	} while (h.n > 0);
	ret->sample[ret->n++] = last;
	return 0;
}

/* -- what becomes of them ---------------------------------------------------------------------- */

struct span {
	const struct recordfs_sample *from, *to;
	double seconds;
};

typedef double value_fn(const struct span *s);

#define RATE(member)                                                                               \
	static double rate_of_##member(const struct span *s)                                       \
	{                                                                                          \
		return (double)(s->to->member - s->from->member) / s->seconds;                     \
	}
RATE(requests)
RATE(read_requests)
RATE(write_requests)
RATE(commits)
RATE(changes)
RATE(flushes)
RATE(failures)
RATE(dropped)

static double hits_of(const struct span *s)
{
	double ratio = hit_ratio(s->to->hits - s->from->hits, s->to->misses - s->from->misses, 0);
	return ratio < 0 ? (double)NAN : ratio;
}

static double group_of(const struct span *s)
{
	uint64_t commits = s->to->commits - s->from->commits;
	return commits ? (double)(s->to->changes - s->from->changes) / (double)commits
		       : (double)NAN;
}

static double bytes_of(const struct span *s)
{
	return (double)s->to->cache_bytes;
}

static const char *percent_text(double value, char buf[NUMBER_SIZE])
{
	snprintf(buf, NUMBER_SIZE, "%.4g %%", value);
	return buf;
}

static const char *bytes_text(double value, char buf[NUMBER_SIZE])
{
	return size_of((uint64_t)value, buf);
}

static const char *rate_text(double value, char buf[NUMBER_SIZE])
{
	return rate_of(value, buf);
}

static const struct picture {
	const char *title;
	chart_text_fn *text;
	bool binary;
	double least_top;
	struct {
		const char *name;
		value_fn *value;
	} series[CHART_SERIES];
} pictures[] = {
	{"Requests a second", rate_text, false, 1,
		{{"all", rate_of_requests}, {"read", rate_of_read_requests},
			{"write", rate_of_write_requests}}},
	{"Hit ratio", percent_text, false, 100, {{"blocks from the cache", hits_of}}},
	{"Changes, commits and flushes a second", rate_text, false, 1,
		{{"changes", rate_of_changes}, {"commits", rate_of_commits},
			{"flushes to the disk", rate_of_flushes}}},
	{"Changes of a commit", rate_text, false, 1, {{"changes, on the average", group_of}}},
	{"Cache", bytes_text, true, 1 << 20, {{"bytes in the cache", bytes_of}}},
	{"Blocks dropped, and failures, a second", rate_text, false, 1,
		{{"dropped", rate_of_dropped}, {"failures", rate_of_failures}}},
};

/* Neighbours are put together until there are few enough. */
static void print_picture(FILE *out, const struct past *p, const struct picture *from)
{
	static struct chart c;
	unsigned step = (p->n - 1 + CHART_POINTS - 1) / CHART_POINTS;
	int64_t now = p->sample[p->n - 1].at;
	c = (struct chart){.title = from->title,
		.text = from->text,
		.binary = from->binary,
		.least_top = from->least_top};
	c.since = (double)(now - p->sample[0].at) / 1e9;
	for (unsigned s = 0; s < CHART_SERIES && from->series[s].value; s++)
		c.series[c.n_series++].name = from->series[s].name;
	for (unsigned i = 0; i + 1 < p->n; i += step) {
		unsigned end = i + step < p->n ? i + step : p->n - 1;
		struct span span = {&p->sample[i], &p->sample[end],
			(double)(p->sample[end].at - p->sample[i].at) / 1e9};
		c.ago[c.n] = (double)(now - span.to->at) / 1e9;
		for (unsigned s = 0; s < c.n_series; s++)
			c.series[s].y[c.n] = from->series[s].value(&span);
		c.n++;
	}
	chart_print(out, &c);
}

void past_print(FILE *out, const struct past *p)
{
	fputs("<section><h2>The last hour</h2>\n", out);
	if (p->n < 2) {
		fputs("<p class=\"soft\">Nothing yet: the mount is too young.</p></section>\n",
			out);
		return;
	}
	fputs("<div class=\"charts\">\n", out);
	for (size_t i = 0; i < ARRAY_LEN(pictures); i++)
		print_picture(out, p, &pictures[i]);
	fputs("</div></section>\n", out);
}
