/*
 * recordfsctl stats: what is known of a mount at one moment, and the forms in which it is shown.
 */
#pragma once

#include "recordfsctl.h"

#include <stdio.h>

/* Places of the counters in recordfs_stats.values. */
enum counter {
#define X(name, text) STAT_##name,
	STORE_STATS(X)
#undef X
};

/* What a counter is called, and what it counts. */
struct stat_text {
	const char *name;
	const char *text;
};
extern const struct stat_text stat_texts[RECORDFS_STATS_COUNT];

/* One that may also fall: a size, a state. */
bool stat_is_gauge(size_t i) MUST_CHECK;

struct measured {
	char name[24];
	enum recordfs_histogram_kind kind;
	uint64_t errors;
	uint64_t failed;
	struct histogram_view view;
};

#define MEASURED_MAX 64

struct snapshot {
	double at; /* seconds, monotonic */
	struct recordfs_stats stats;
	unsigned n;
	struct measured measured[MEASURED_MAX];
	struct recordfs_errors errors;
};

/* Asks the mount that `path` is on. 0, or -1 after a complaint. */
int snapshot_take(const char *path, struct snapshot *ret) MUST_CHECK;
uint64_t snapshot_value(const struct snapshot *s, enum counter which) MUST_CHECK;
const char *snapshot_state(const struct snapshot *s) MUST_CHECK; /* "healthy", ... */

/* What `new` has of `old`: the same histogram of an earlier moment. Nothing, if there is none. */
struct measured measured_since(const struct snapshot *old, const struct measured *new) MUST_CHECK;

/* Hits of all look-ups, in percent; negative when there were none. */
double hit_ratio(uint64_t hits, uint64_t misses, uint64_t expired) MUST_CHECK;

/* The forms. */
void stats_print_text(const struct snapshot *s, const char *path);
void stats_print_json(const struct snapshot *s);
void stats_print_prometheus(const struct snapshot *s, const char *path);
/* Every `interval` seconds, until a signal, or on a terminal the key q, ends it: DONE. */
int stats_watch(const char *path, double interval);

/* Parts of the text that the view on a terminal has as well; each line ends as `end` says. */
void stats_print_warnings(FILE *out, const struct snapshot *s, const char *end);
void stats_print_latencies(
	FILE *out, const struct snapshot *s, const struct snapshot *old, const char *end);
void stats_print_errors(FILE *out, const struct snapshot *s, unsigned most, const char *end);

/* 850 ns, 12.3 us, 4.56 ms, 1.2 s in buf, which is returned. */
const char *duration_of(uint64_t nanoseconds, char buf[NUMBER_SIZE]);
/* 0.25, 12.3, 4,567: so many a second. */
const char *rate_of(double per_second, char buf[NUMBER_SIZE]);
