/* Lines over time, and latencies, as pictures in SVG. */

#include "recordfsctl_report.h"

#include <inttypes.h>
#include <math.h>

/* A chart in units of its own: what is left, right, above and below of where the lines are. */
#define WIDTH 480.0
#define HEIGHT 130.0
#define LEFT 56.0
#define RIGHT 6.0
#define TOP 8.0
#define BOTTOM 18.0

/* 1, 2 or 5 times a power of ten, or a power of two, not below `value`. */
static double round_up(double value, bool binary)
{
	if (binary)
		return exp2(ceil(log2(value)));
	double power = pow(10, floor(log10(value)));
	double digit = value / power;
	return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static double top_of(const struct chart *c)
{
	double most = c->least_top;
	for (unsigned s = 0; s < c->n_series; s++)
		for (unsigned i = 0; i < c->n; i++)
			if (c->series[s].y[i] > most) /* NAN is not */
				most = c->series[s].y[i];
	return most > c->least_top ? round_up(most, c->binary) : most;
}

static double x_of(const struct chart *c, double ago)
{
	double span = c->since > 0 ? c->since : 1;
	return LEFT + (WIDTH - LEFT - RIGHT) * (1 - ago / span);
}

static double y_of(double value, double top)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top;
}

static const char *ago_text(double seconds, char buf[NUMBER_SIZE])
{
	if (seconds < 1)
		snprintf(buf, NUMBER_SIZE, "now");
	else if (seconds < 100)
		snprintf(buf, NUMBER_SIZE, "%.0f s ago", seconds);
	else
		snprintf(buf, NUMBER_SIZE, "%.0f min ago", seconds / 60);
	return buf;
}

static void print_axes(FILE *out, const struct chart *c, double top)
{
	static const char *const anchors[] = {"start", "middle", "end"};
	char text[NUMBER_SIZE];
	for (int i = 0; i <= 2; i++) {
		double value = top * i / 2, y = y_of(value, top);
		fprintf(out,
			"<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, c->text(value, text));
	}
	for (int i = 0; i <= 2; i++) {
		double ago = c->since * (2 - i) / 2;
		fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
			x_of(c, ago), HEIGHT - 4, anchors[i], ago_text(ago, text));
	}
}

/* Interrupted where there is no value; after that, and at the begin, level for the first one. */
static void print_line(FILE *out, const struct chart *c, unsigned s, double top)
{
	const double *y = c->series[s].y;
	bool open = false;
	for (unsigned i = 0; i < c->n; i++) {
		if (isnan(y[i])) {
			fputs(open ? "\"/>\n" : "", out);
			open = false;
			continue;
		}
		if (!open)
			fprintf(out, "<polyline class=\"s%u\" points=\"%.1f,%.1f ", s,
				x_of(c, i ? c->ago[i - 1] : c->since), y_of(y[i], top));
		fprintf(out, "%.1f,%.1f ", x_of(c, c->ago[i]), y_of(y[i], top));
		open = true;
	}
	fputs(open ? "\"/>\n" : "", out);
}

/* What the pointer is told: a strip for each point, without a script. */
static void print_strips(FILE *out, const struct chart *c)
{
	char text[NUMBER_SIZE];
	for (unsigned i = 0; i < c->n; i++) {
		double left = x_of(c, i ? c->ago[i - 1] : c->since);
		double right = x_of(c, c->ago[i]);
		fprintf(out,
			"<rect class=\"hit\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
			"<title>%s",
			left, TOP, fmax(right - left, 0), HEIGHT - TOP - BOTTOM,
			ago_text(c->ago[i], text));
		for (unsigned s = 0; s < c->n_series; s++)
			fprintf(out, "\n%s: %s", c->series[s].name,
				isnan(c->series[s].y[i]) ? "-" : c->text(c->series[s].y[i], text));
		fputs("</title></rect>\n", out);
	}
}

void chart_print(FILE *out, const struct chart *c)
{
	double top = top_of(c);
	fprintf(out, "<div><h3>%s</h3>\n<p class=\"key\">", c->title);
	for (unsigned s = 0; s < c->n_series; s++)
		fprintf(out, "<span><i class=\"k%u\"></i>%s</span>", s, c->series[s].name);
	fprintf(out, "</p>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n",
		WIDTH, HEIGHT, c->title);
	print_axes(out, c, top);
	for (unsigned s = 0; s < c->n_series; s++)
		print_line(out, c, s, top);
	print_strips(out, c);
	fputs("</svg></div>\n", out);
}

/* -- latencies --------------------------------------------------------------------------------- */

#define SCALE_FROM 1e3 /* nanoseconds, at the left end of a range */
#define SCALE_TO 1e10
#define RANGE_WIDTH 200.0

static double place(uint64_t ns)
{
	double value = fmin(fmax((double)ns, SCALE_FROM), SCALE_TO);
	return RANGE_WIDTH * log(value / SCALE_FROM) / log(SCALE_TO / SCALE_FROM);
}

/* A thick bar from the median to the 99th of 100, a thin one to the longest. */
static void print_range(FILE *out, const struct histogram_view *v)
{
	double from = place(histogram_quantile(v, 0.5)), to = place(histogram_quantile(v, 0.99));
	double max = place(v->max);
	fprintf(out,
		"<td class=\"bar\"><svg viewBox=\"0 0 %.0f 12\" preserveAspectRatio=\"none\" "
		"aria-hidden=\"true\" style=\"height:12px\">",
		RANGE_WIDTH);
	for (int decade = 0; decade <= 7; decade++) /* SCALE_TO / SCALE_FROM */
		fprintf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"12\"/>",
			RANGE_WIDTH * decade / 7, RANGE_WIDTH * decade / 7);
	fprintf(out,
		"<rect class=\"f2\" x=\"%.1f\" y=\"5.5\" width=\"%.1f\" height=\"1\"/>"
		"<rect class=\"f0\" x=\"%.1f\" y=\"2\" width=\"%.1f\" height=\"8\"/></svg></td>",
		from, fmax(max - from, 0.5), from, fmax(to - from, 1.5));
}

static void print_latency(FILE *out, const struct measured *m)
{
	static const double shares[] = {0.5, 0.9, 0.99};
	char text[NUMBER_SIZE];
	fprintf(out, "<tr id=\"%s-%s\"><td>%s</td><td data-value=\"%" PRIu64 "\">%s</td>",
		m->kind == RECORDFS_REQUEST ? "request" : "store", m->name, m->name, m->view.count,
		number(m->view.count, text));
	for (size_t i = 0; i < ARRAY_LEN(shares); i++)
		fprintf(out, "<td>%s</td>",
			duration_of(histogram_quantile(&m->view, shares[i]), text));
	fprintf(out, "<td>%s</td>", duration_of(m->view.max, text));
	if (m->kind == RECORDFS_REQUEST) {
		fprintf(out, "<td>%s</td>", m->errors ? number(m->errors, text) : "-");
		fprintf(out, "<td%s>%s</td>", m->failed ? " class=\"bad\"" : "",
			m->failed ? number(m->failed, text) : "-");
	}
	print_range(out, &m->view);
	fputs("</tr>\n", out);
}

static void print_kind(FILE *out, const struct snapshot *s, unsigned kind, const char *title)
{
	fprintf(out,
		"<section><h2>%s</h2>\n<table><thead><tr><th>operation</th><th>count</th>"
		"<th>p50</th><th>p90</th><th>p99</th><th>max</th>%s"
		"<th>p50 to p99, and max: 1 us to 10 s</th></tr></thead>\n<tbody>\n",
		title, kind == RECORDFS_REQUEST ? "<th>errors</th><th>EIO, ENOSPC</th>" : "");
	for (unsigned i = 0; i < s->n; i++)
		if (s->measured[i].kind == kind && s->measured[i].view.count)
			print_latency(out, &s->measured[i]);
	fputs("</tbody></table></section>\n", out);
}

void latencies_print(FILE *out, const struct snapshot *s)
{
	print_kind(out, s, RECORDFS_REQUEST, "Time of requests, since the mount");
	print_kind(out, s, RECORDFS_STORE, "Time of the store, since the mount");
}
