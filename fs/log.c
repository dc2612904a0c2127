#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define SECOND 1000000000

enum sink {
	SINK_STDERR,
	SINK_JOURNAL, /* is at the other end of standard error */
	SINK_SYSLOG,
};
static atomic_int sink = SINK_STDERR;

/* $JOURNAL_STREAM names the socket by device and inode: a standard error that was sent elsewhere
 * since is another one. */
static bool leads_to_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t dev, ino;
	struct stat st;
	return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &dev, &ino) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_start(void)
{
	atomic_store(&sink, leads_to_journal(STDERR_FILENO) ? SINK_JOURNAL : SINK_STDERR);
}

void log_to_syslog(void)
{
	openlog("recordfs", LOG_PID, LOG_DAEMON);
	atomic_store(&sink, SINK_SYSLOG);
}

void log_line(int priority, const char *fmt, ...)
{
	const int to = atomic_load(&sink);
	va_list ap;
	if (to == SINK_STDERR && priority > LOG_NOTICE)
		return;
	va_start(ap, fmt);
	if (to == SINK_SYSLOG) {
		vsyslog(priority, fmt, ap);
	} else {
		char line[5120];
		vsnprintf(line, sizeof line, fmt, ap);
		/* One call, so that lines of several threads do not mix. */
		if (to == SINK_JOURNAL)
			fprintf(stderr, "<%d>%s\n", priority, line);
		else
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
