/*
 * How far long work has come, on standard error, and whether it is to stop.
 *
 *	struct progress p;
 *	progress_begin(&p, "copying", PROGRESS_BYTES, quiet);
 *	while (there is more)
 *		if (!progress_at(&p, NULL, done, total))
 *			undo it all, and say so
 *	progress_end(&p);
 *
 * On a terminal: one line, drawn anew a few times a second. Elsewhere: a line every few seconds, so
 * that work which is done soon says nothing. With `quiet`: nothing. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum progress_unit {
	PROGRESS_COUNT, /* done and total are a number of things */
	PROGRESS_BYTES, /* they are shown as sizes */
	PROGRESS_SHARE, /* only their ratio is shown */
};

struct progress {
	const char *doing; /* "copying" */
	enum progress_unit unit;
	bool quiet;
	bool terminal;
	bool dirty;	 /* something is on the terminal's last line */
	int64_t began;	 /* nanoseconds, CLOCK_MONOTONIC */
	int64_t shown;	 /* when something was last shown, or was to be */
	char step[40];	 /* what the rate is measured of */
	int64_t step_at; /* when that began */
	uint64_t first;	 /* `done` then */
};

/* `doing` must stay. From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT do not end the process, but
 * make progress_at() and interrupted() say so. They interrupt system calls (EINTR). */
void progress_begin(struct progress *p, const char *doing, enum progress_unit unit, bool quiet);

/* Other work follows, of which the rate and the time left are to be told from now on. */
void progress_next(struct progress *p, const char *doing, enum progress_unit unit);

/* `done` of `total`; 0: it is not known of how many. `step` says what part of the work it is; may
 * be NULL. False: a signal has come; end in order. Cheap enough to be called for every piece. */
bool progress_at(struct progress *p, const char *step, uint64_t done, uint64_t total);

/* Before something else is printed, which may be on the same terminal. */
void progress_wipe(struct progress *p);

/* The work has ended, well or not. Signals stay caught: what follows is to be short. */
void progress_end(struct progress *p);

/* Has one of the signals come? Also from other threads. */
bool interrupted(void);

/* What is to be called when one comes, in its handler; NULL: nothing any more. */
void progress_on_signal(void (*fn)(void *arg), void *arg);
