/* recordfsctl stats --json: one object. */

#include "json_text.h"
#include "recordfsctl_stats.h"

#include <inttypes.h>
#include <string.h>

static void print_text(const char *name, const char *text, size_t max)
{
	printf(",\n \"%s\": ", name);
	json_print_text(stdout, text, strnlen(text, max));
}

/* Latencies in nanoseconds, or numbers of changes. */
static void print_view(const struct histogram_view *v, const char *unit)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
	printf("\"count\": %" PRIu64 ", \"sum%s\": %" PRIu64, v->count, unit, v->sum);
	for (size_t i = 0; i < ARRAY_LEN(shares); i++)
		printf(", \"%s%s\": %" PRIu64, shares[i].name, unit,
			histogram_quantile(v, shares[i].share));
	printf(", \"max%s\": %" PRIu64, unit, v->max);
}

static void print_kind(const struct snapshot *s, unsigned kind, const char *title)
{
	const char *before = "";
	printf(",\n \"%s\": {", title);
	for (unsigned i = 0; i < s->n; i++) {
		const struct measured *m = &s->measured[i];
		if (m->kind != kind)
			continue;
		printf("%s\n  \"%s\": {", before, m->name);
		print_view(&m->view, "_ns");
		if (kind == RECORDFS_REQUEST)
			printf(", \"errors\": %" PRIu64 ", \"failed\": %" PRIu64, m->errors,
				m->failed);
		printf("}");
		before = ",";
	}
	printf("\n }");
}

static void print_groups(const struct snapshot *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (s->measured[i].kind != RECORDFS_GROUP)
			continue;
		printf(",\n \"%s\": {", s->measured[i].name);
		print_view(&s->measured[i].view, "");
		printf("}");
	}
}

static void print_error(const struct recordfs_error *e)
{
	const char *name = strerrorname_np(e->error);
	printf("{\"time_ns\": %" PRId64 ", \"first_time_ns\": %" PRId64 ", \"times\": %" PRIu64,
		e->last, e->first, e->times);
	printf(", \"operation\": ");
	json_print_text(stdout, e->op, strnlen(e->op, sizeof e->op));
	printf(", \"inode\": %" PRIu64 ", \"path\": ", e->ino);
	if (e->path[0])
		json_print_text(stdout, e->path, strnlen(e->path, sizeof e->path));
	else
		printf("null");
	if (e->offset >= 0)
		printf(", \"offset\": %" PRId64, e->offset);
	else
		printf(", \"offset\": null");
	printf(", \"errno\": \"%s\", \"code\": %" PRId32 ", \"code_name\": ", name ? name : "",
		e->code);
	if (e->code_name[0])
		json_print_text(stdout, e->code_name, strnlen(e->code_name, sizeof e->code_name));
	else
		printf("null");
	printf("}");
}

void stats_print_json(const struct snapshot *s)
{
	for (size_t i = 0; i < RECORDFS_STATS_COUNT; i++)
		printf("%s\"%s\": %" PRIu64, i ? ",\n " : "{", stat_texts[i].name,
			s->stats.values[i]);
	printf(",\n \"uptime_ms\": %" PRId64, s->stats.uptime / 1000000);
	printf(",\n \"cache_ttl_ms\": %" PRId64, s->stats.cache_ttl / 1000000);
	print_text("state", snapshot_state(s), SIZE_MAX);
	print_text("store", s->stats.store, sizeof s->stats.store);
	print_text("release", s->stats.release, sizeof s->stats.release);
	print_text("sync", s->stats.sync, sizeof s->stats.sync);
	print_text("options", s->stats.options, sizeof s->stats.options);
	print_text("fault", s->stats.fault, sizeof s->stats.fault);
	print_kind(s, RECORDFS_REQUEST, "latencies");
	print_kind(s, RECORDFS_STORE, "store_latencies");
	print_groups(s);
	printf(",\n \"last_errors\": [");
	for (unsigned i = 0; i < s->errors.n; i++) {
		printf("%s\n  ", i ? "," : "");
		print_error(&s->errors.error[i]);
	}
	printf("%s]}\n", s->errors.n ? "\n " : "");
}
