/*
 * What a mount has counted and measured, and what went wrong, for the control interface
 * (control.h).
 */
#include "clock.h"
#include "control.h"
#include "ops.h"
#include "ops_control.h"
#include "reply.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(RECORDFS_STATS_COUNT <= RECORDFS_STATS_MAX, "make room, and a new version");
static_assert(_IOC_SIZE(RECORDFS_IOC_STATS) == sizeof(struct recordfs_stats), "14 bits of size");
static_assert(_IOC_SIZE(RECORDFS_IOC_HISTOGRAMS) == sizeof(struct recordfs_histograms),
	"14 bits of size");
static_assert(_IOC_SIZE(RECORDFS_IOC_ERRORS) == sizeof(struct recordfs_errors), "14 bits of size");
static_assert(RECORDFS_ERRORS == STORE_ERRORS_MAX, "all that are kept");

/* At most `size` bytes of text, terminated. */
static void copy_text(char *to, size_t size, const char *from)
{
	if (from)
		snprintf(to, size, "%s", from);
}

void control_describe(const struct options *o, char *buf, size_t size)
{
	snprintf(buf, size,
		"%s,sync=%s,on_cache_error=%s,cache_size=%" PRIu64 ",cache_ttl=%g,watch=%g"
		",max_size=%" PRIu64 ",sandbox=%s%s",
		o->readonly ? "ro" : "rw", options_sync_name(o->sync),
		o->drop_on_error ? "drop" : "eio", o->cache_size, (double)o->cache_ttl_ns / 1e9,
		(double)o->watch_ns / 1e6, o->max_size, o->sandbox ? "on" : "off",
		o->single_threaded ? ",single" : "");
}

static void describe_options(const struct options *o, struct recordfs_stats *s)
{
	control_describe(o, s->options, sizeof s->options);
	copy_text(s->sync, sizeof s->sync, options_sync_name(o->sync));
	copy_text(s->fault, sizeof s->fault, o->fault);
	copy_text(s->store, sizeof s->store, o->store);
	copy_text(s->release, sizeof s->release, RECORDFS_VERSION);
	s->cache_ttl = o->cache_ttl_ns;
}

void op_ioctl_stats(fuse_req_t req)
{
	struct fs *fs = fs_of(req);
	struct store_stats stats = {0};
	store_stats(fs->store, &stats);
	stats.read_requests = atomic_load_explicit(&fs->read_requests, memory_order_relaxed);
	stats.write_requests = atomic_load_explicit(&fs->write_requests, memory_order_relaxed);
	stats.outside_changes = atomic_load_explicit(&fs->outside_changes, memory_order_relaxed);

	struct recordfs_stats s = {.version = RECORDFS_CONTROL_VERSION, .n = RECORDFS_STATS_COUNT};
	unsigned i = 0;
#define X(name, text) s.values[i++] = stats.name;
	STORE_STATS(X)
#undef X
	struct options now = settings_get(&fs->settings);
	describe_options(&now, &s);
	s.uptime = clock_monotonic() - fs->mounted;
	fuse_reply_ioctl(req, 0, &s, sizeof s);
}

static void export_histogram(const struct histogram *h, struct recordfs_histogram *ret)
{
	struct histogram_view view;
	histogram_read(h, &view);
	ret->sum = view.sum;
	ret->max = view.max;
	memcpy(ret->bucket, view.bucket, sizeof ret->bucket);
}

/* The i-th of all. False: there are no more. */
static bool describe_histogram(struct fs *fs, unsigned i, struct recordfs_histogram *ret)
{
	static const char *const store_ops[] = {
#define X(name, text) #name,
		METER_OPS(X)
#undef X
	};
	if (i < LATENCY_OPS_N) {
		ret->kind = RECORDFS_REQUEST;
		copy_text(ret->name, sizeof ret->name, latency_op_name((enum latency_op)i));
		ret->errors = atomic_load(&fs->latency->op[i].errors);
		ret->failed = atomic_load(&fs->latency->op[i].failed);
		export_histogram(&fs->latency->op[i].time, ret);
	} else if (i < LATENCY_OPS_N + METER_OPS_N) {
		i -= LATENCY_OPS_N;
		ret->kind = RECORDFS_STORE;
		copy_text(ret->name, sizeof ret->name, store_ops[i]);
		export_histogram(&fs->meter->time[i], ret);
	} else if (i == LATENCY_OPS_N + METER_OPS_N) {
		ret->kind = RECORDFS_GROUP;
		copy_text(ret->name, sizeof ret->name, "commit_changes");
		export_histogram(&fs->meter->group, ret);
	} else {
		return false;
	}
	return true;
}

void op_ioctl_histograms(fuse_req_t req, const void *in, size_t in_size)
{
	struct recordfs_histograms *h = calloc(1, sizeof *h);
	if (!h || in_size < sizeof *h) {
		reply_error(req, OP_IOCTL, h ? -EINVAL : -ENOMEM);
		free(h);
		return;
	}
	uint32_t first = ((const struct recordfs_histograms *)in)->first;
	h->version = RECORDFS_CONTROL_VERSION;
	h->first = first;
	while (h->n < RECORDFS_HISTOGRAMS && first <= LATENCY_OPS_N + METER_OPS_N &&
		describe_histogram(fs_of(req), first + h->n, &h->histogram[h->n]))
		h->n++;
	fuse_reply_ioctl(req, 0, h, sizeof *h);
	free(h);
}

/* Where the record is now, if it still is; of one that is too long the end. */
static void describe_path(struct fs *fs, const struct store_error *from, char *ret, size_t size)
{
	char path[4096 + STORE_ERROR_NAME + 1];
	ret[0] = '\0';
	if (!from->ino || store_path(fs->store, from->ino, path, 4096) < 0)
		return;
	size_t len = strlen(path);
	if (from->name[0])
		len += (size_t)snprintf(path + len, sizeof path - len, "%s%s",
			len && path[len - 1] == '/' ? "" : "/", from->name);
	if (len < size)
		memcpy(ret, path, len + 1);
	else
		snprintf(ret, size, "...%s", path + len - (size - 4));
}

void op_ioctl_errors(fuse_req_t req)
{
	struct fs *fs = fs_of(req);
	struct store_error *kept = calloc(STORE_ERRORS_MAX, sizeof *kept);
	struct recordfs_errors *e = calloc(1, sizeof *e);
	if (!kept || !e) {
		reply_error(req, OP_IOCTL, -ENOMEM);
		goto end;
	}
	e->version = RECORDFS_CONTROL_VERSION;
	e->n = store_errors_read(&fs->meter->errors, kept);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct store_error *from = &kept[i];
		struct recordfs_error *to = &e->error[i];
		*to = (struct recordfs_error){
			.first = from->first,
			.last = from->last,
			.times = from->times,
			.ino = from->ino,
			.offset = from->offset,
			.error = from->error,
			.code = from->code,
		};
		copy_text(to->code_name, sizeof to->code_name, from->code_name);
		copy_text(to->op, sizeof to->op, from->op);
		describe_path(fs, from, to->path, sizeof to->path);
	}
	fuse_reply_ioctl(req, 0, e, sizeof *e);
end:
	free(e);
	free(kept);
}
