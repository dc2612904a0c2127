/*
 * recordfsctl stats --prometheus: the exposition format of Prometheus. Every sample has the label
 * `mountpoint`, so that those of several mounts can be told apart.
 */

#include "json_text.h"
#include "recordfsctl_stats.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Upper bounds of buckets: of times 2^10 to 2^35 ns (1 us to half a minute), of changes 2^0 to 2^7
 * and one less than twice that. */
#define TIME_FIRST 10u
#define TIME_LAST 35u
#define GROUP_LAST 8u

/* The root of the mount that `path` is on, or what comes near to it. */
static void find_root(const char *path, char root[PATH_MAX])
{
	struct stat st, above;
	char up[PATH_MAX];
	if (!realpath(path, root)) {
		snprintf(root, PATH_MAX, "%s", path);
		return;
	}
	while (stat(root, &st) == 0 && strcmp(root, "/") != 0) {
		snprintf(up, sizeof up, "%s", root);
		char *slash = strrchr(up, '/');
		slash[slash == up] = '\0';
		if (stat(up, &above) < 0 || above.st_dev != st.st_dev)
			return;
		snprintf(root, PATH_MAX, "%s", up);
	}
}

/* What goes between the quotes of a label, which is UTF-8: other bytes become U+FFFD. */
static void print_escaped(const char *text, size_t max)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strnlen(text, max);
	while (p < end) {
		size_t n = utf8_sequence(p, (size_t)(end - p));
		if (n == 0)
			fputs("\xef\xbf\xbd", stdout);
		else if (*p == '\n')
			fputs("\\n", stdout);
		else if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else
			fwrite(p, 1, n, stdout);
		p += n ? n : 1;
	}
}

static void print_label(const char *name, const char *text, size_t max)
{
	printf("%s=\"", name);
	print_escaped(text, max);
	putchar('"');
}

struct exposition {
	const struct snapshot *s;
	char root[PATH_MAX];
};

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP recordfs_%s %s.\n# TYPE recordfs_%s %s\n", name, help, name, type);
}

/* "recordfs_NAME{mountpoint="..."", to be closed by the caller. */
static void begin_sample(const struct exposition *x, const char *name)
{
	printf("recordfs_%s{", name);
	print_label("mountpoint", x->root, sizeof x->root);
}

static void sample(const struct exposition *x, const char *name, double value)
{
	begin_sample(x, name);
	printf("} %.15g\n", value);
}

/* Help begins with a capital letter. */
static void counter_head(const char *name, const char *type, const char *text)
{
	char help[128];
	snprintf(help, sizeof help, "%s", text);
	if (help[0] >= 'a' && help[0] <= 'z')
		help[0] = (char)(help[0] - 'a' + 'A');
	head(name, type, help);
}

static void print_counters(const struct exposition *x)
{
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++) {
		char name[64];
		bool gauge = stat_is_gauge(i);
		if (i == STAT_store_state)
			continue; /* has labels */
		snprintf(name, sizeof name, "%s%s", stat_texts[i].name, gauge ? "" : "_total");
		counter_head(name, gauge ? "gauge" : "counter", stat_texts[i].text);
		begin_sample(x, name);
		printf("} %" PRIu64 "\n", x->s->stats.values[i]);
	}
}

static void print_state(const struct exposition *x)
{
	static const char *const states[] = {"healthy", "degraded", "probing"};
	head("store_state", "gauge", "1 for the state that the store is in");
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		begin_sample(x, "store_state");
		printf(",state=\"%s\"} %d\n", states[i],
			strcmp(states[i], snapshot_state(x->s)) == 0);
	}
}

static void print_about(const struct exposition *x)
{
	const struct recordfs_stats *t = &x->s->stats;
	head("mount_info", "gauge", "1; the labels say what is mounted, and how");
	begin_sample(x, "mount_info");
	putchar(',');
	print_label("store", t->store, sizeof t->store);
	putchar(',');
	print_label("release", t->release, sizeof t->release);
	putchar(',');
	print_label("sync", t->sync, sizeof t->sync);
	printf("} 1\n");
	head("uptime_seconds", "gauge", "Time since the mount was made");
	sample(x, "uptime_seconds", (double)t->uptime / 1e9);
	head("cache_ttl_seconds", "gauge", "For how long the mount caches a block");
	sample(x, "cache_ttl_seconds", (double)t->cache_ttl / 1e9);
	if (x->s->errors.n == 0)
		return;
	head("last_error_timestamp_seconds", "gauge", "When the store last failed");
	sample(x, "last_error_timestamp_seconds", (double)x->s->errors.error[0].last / 1e9);
}

static void bucket(const struct exposition *x, const char *name, const char *op, const char *bound,
	uint64_t value)
{
	begin_sample(x, name);
	if (op)
		printf(",op=\"%s\"", op);
	if (bound)
		printf(",le=\"%s\"", bound);
	printf("} %" PRIu64 "\n", value);
}

static void print_histogram(const struct exposition *x, const char *name, const struct measured *m)
{
	char full[64], bound[32];
	bool group = m->kind == RECORDFS_GROUP;
	const char *op = group ? NULL : m->name;
	snprintf(full, sizeof full, "%s_bucket", name);
	for (unsigned k = group ? 1 : TIME_FIRST; k <= (group ? GROUP_LAST : TIME_LAST); k++) {
		uint64_t end = UINT64_C(1) << k;
		if (group)
			snprintf(bound, sizeof bound, "%" PRIu64, end - 1);
		else
			snprintf(bound, sizeof bound, "%.11g", (double)end / 1e9);
		bucket(x, full, op, bound, histogram_below(&m->view, end));
	}
	bucket(x, full, op, "+Inf", m->view.count);
	snprintf(full, sizeof full, "%s_sum", name);
	begin_sample(x, full);
	if (op)
		printf(",op=\"%s\"", op);
	printf("} %.15g\n", group ? (double)m->view.sum : (double)m->view.sum / 1e9);
	snprintf(full, sizeof full, "%s_count", name);
	bucket(x, full, op, NULL, m->view.count);
}

static void print_kind(
	const struct exposition *x, unsigned kind, const char *name, const char *help)
{
	head(name, "histogram", help);
	for (unsigned i = 0; i < x->s->n; i++)
		if (x->s->measured[i].kind == kind)
			print_histogram(x, name, &x->s->measured[i]);
}

static void print_failed(const struct exposition *x)
{
	head("request_errors_total", "counter", "Requests that were answered with an error");
	for (unsigned i = 0; i < x->s->n; i++)
		if (x->s->measured[i].kind == RECORDFS_REQUEST)
			bucket(x, "request_errors_total", x->s->measured[i].name, NULL,
				x->s->measured[i].errors);
	head("request_failures_total", "counter",
		"Requests that failed because of the store: EIO and ENOSPC");
	for (unsigned i = 0; i < x->s->n; i++)
		if (x->s->measured[i].kind == RECORDFS_REQUEST)
			bucket(x, "request_failures_total", x->s->measured[i].name, NULL,
				x->s->measured[i].failed);
}

void stats_print_prometheus(const struct snapshot *s, const char *path)
{
	struct exposition x = {.s = s};
	find_root(path, x.root);
	print_about(&x);
	print_state(&x);
	print_counters(&x);
	print_failed(&x);
	print_kind(&x, RECORDFS_REQUEST, "request_duration_seconds",
		"From the receipt of a request to its answer");
	print_kind(&x, RECORDFS_STORE, "store_duration_seconds",
		"What the store below the cache takes");
	print_kind(&x, RECORDFS_GROUP, "commit_changes", "Changes that one transaction has");
}
