/*
 * Messages of the daemon: to standard error until log_to_syslog() was called, to syslog after it.
 * If systemd has connected standard error with its journal, each line begins with its priority, in
 * the form that the journal takes it (sd-daemon(3)). One line each, without a newline. Any thread.
 */
#pragma once

#include "cache/store/compiler.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Looks where standard error leads to. Before any line, and before there are threads. */
void log_start(void);

/* From now on to syslog: standard error is gone. */
void log_to_syslog(void);

/* `priority` as syslog(3) has them (LOG_ERR, ...). What is less than LOG_NOTICE is for a log that
 * is kept: a bare standard error does not show it. */
void log_line(int priority, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * Lets LOG_BURST lines pass and then one a second, so that a store that fails every request does
 * not fill the log as well. Initialise with LOG_LIMIT_INIT.
 */
#define LOG_BURST 10u
struct log_limit {
	pthread_mutex_t lock; /* over all below */
	int64_t last;	      /* when a token was last given */
	unsigned used;
	unsigned suppressed;
};
#define LOG_LIMIT_INIT                                                                             \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER                                                  \
	}

/* May a line be logged at `now` (nanoseconds, monotonic)? *ret_suppressed: how many were not since
 * the last one that was. */
bool log_allowed(struct log_limit *l, int64_t now, unsigned *ret_suppressed) MUST_CHECK;
