/*
 * recordfsctl report: a page in HTML that needs nothing but itself, neither a network nor a script.
 * What is shown is of one moment, and of the hour before it.
 */
#pragma once

#include "recordfsctl_stats.h"

#include <stdio.h>

/* -- what is cached (recordfsctl_report_cached.c) ---------------------------------------------- */

#define REPORT_DIRECTORIES 20
#define REPORT_PATHS 2000 /* records that have the most in the cache: whose path is asked for */

struct cached_part {
	char *name; /* of a directory, from the root of the store */
	uint64_t records;
	uint64_t blocks;
	uint64_t bytes;
};

struct cached {
	struct cached_part all;
	unsigned n;
	struct cached_part directory[REPORT_DIRECTORIES]; /* the largest first */
	struct cached_part others;			  /* other directories */
	struct cached_part rest;			  /* not asked for, or without a name */
	int64_t step;
	uint64_t ttl[RECORDFS_TTL_BUCKETS]; /* blocks: see fs/control.h */
};

/* Asks the mount; `fd` is a file on it; `ttl` is what holds there. 0, or -1 after a complaint.
 * cached_free() in any case. */
int cached_take(int fd, const char *path, int64_t ttl, struct cached *ret) MUST_CHECK;
void cached_free(struct cached *c);

/* -- the last hour (recordfsctl_report_past.c) ------------------------------------------------- */

#define REPORT_SAMPLES 400

struct past {
	unsigned n;
	struct recordfs_sample sample[REPORT_SAMPLES]; /* the last one is of `now` */
};

int past_take(int fd, const char *path, const struct snapshot *now, struct past *ret) MUST_CHECK;
void past_print(FILE *out, const struct past *p);

/* -- parts of the page (recordfsctl_report_html.c) --------------------------------------------- */

/* Text as text, of at most `max` bytes: nothing in it is taken for HTML. What is not UTF-8, or
 * would alter how the rest is shown, becomes U+FFFD, a control character its picture. */
void html_text(FILE *out, const char *text, size_t max);

/* Up to the heading, and from the end of it all. */
void html_begin(FILE *out, const char *title);
void html_end(FILE *out);

/* A cell with a bar in it, as long as value is of most. */
void html_bar(FILE *out, double value, double most);

/* -- charts (recordfsctl_report_chart.c) ------------------------------------------------------- */

#define CHART_POINTS 120
#define CHART_SERIES 3

/* The value as text in buf, which is returned. */
typedef const char *chart_text_fn(double value, char buf[NUMBER_SIZE]);

struct chart {
	const char *title;
	chart_text_fn *text;
	bool binary;		  /* the scale ends at a power of two, else at a round number */
	double least_top;	  /* the scale goes as high at least */
	double since;		  /* seconds ago, where the first point's time begins */
	unsigned n;		  /* points, each of the time since the one before */
	double ago[CHART_POINTS]; /* where it ends; falling */
	unsigned n_series;
	struct {
		const char *name;
		double y[CHART_POINTS]; /* NAN: none */
	} series[CHART_SERIES];
};

/* Lines over time. */
void chart_print(FILE *out, const struct chart *c);

/* Latencies, as a table with a range for each on one scale. */
void latencies_print(FILE *out, const struct snapshot *s);
