/*
 * The two clocks: one that only ever goes forward, for TTLs, and the one on the wall, for the times
 * of files. Nanoseconds.
 */
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t clock_monotonic(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline int64_t clock_wall(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static inline struct timespec clock_timespec(int64_t ns)
{
	int64_t sec = ns / 1000000000;
	int64_t rest = ns % 1000000000;
	if (rest < 0) { /* before 1970 */
		sec--;
		rest += 1000000000;
	}
	return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)rest};
}
