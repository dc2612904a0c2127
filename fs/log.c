#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <syslog.h>

#define SECOND 1000000000

static atomic_bool use_syslog;

void log_to_syslog(void)
{
	openlog("recordfs", LOG_PID, LOG_DAEMON);
	atomic_store(&use_syslog, true);
}

void log_line(int priority, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (atomic_load(&use_syslog)) {
		vsyslog(priority, fmt, ap);
	} else {
		char line[5120];
		vsnprintf(line, sizeof line, fmt, ap);
		/* One call, so that lines of several threads do not mix. */
		fprintf(stderr, "recordfs: %s\n", line);
	}
	va_end(ap);
}

bool log_allowed(struct log_limit *l, int64_t now, unsigned *ret_suppressed)
{
	pthread_mutex_lock(&l->lock);
	int64_t given = (now - l->last) / SECOND;
	if (given > 0) {
		l->used = given >= l->used ? 0 : l->used - (unsigned)given;
		l->last = now;
	}
	bool allowed = l->used < LOG_BURST;
	if (allowed) {
		l->used++;
		*ret_suppressed = l->suppressed;
		l->suppressed = 0;
	} else {
		l->suppressed++;
	}
	pthread_mutex_unlock(&l->lock);
	return allowed;
}
