/*
 * Looking for the next request for a moment before sleeping.
 *
 * A lone client sends its next request some microseconds after it had its answer. If whoever
 * receives has gone to sleep on an idle core by then, waking it takes longer than the rest of the
 * request (some 20 us in a virtual machine). So it looks for the request for a while first, giving
 * way to whoever wants its core between the looks, as long as that pays:
 *   - requests come soon: a running estimate says how long after the last answer;
 *   - it was not in vain several times in a row, nor did somebody else use the core meanwhile;
 *   - there is something to wait for: where requests are there at once again and again,
 *     several clients ask, and need the cores themselves.
 * A mount that nobody uses is looked at once more, for LINGER_MAX at most, and sleeps.
 *
 * For one thread at a time: the one that receives.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Times are nanoseconds. How long to look: twice what the estimate says, but not less than a
 * client takes to wake up, nor more than sleeping and waking up cost the two together. */
#define LINGER_MIN 15000
#define LINGER_MAX 50000

/* So much of what passes while one sleeps is the waking up. */
#define LINGER_WAKING 20000

/* What came later still counts as this, in the estimate: one request in five that comes late is one
 * too many. Who is held up for so long by one look has lost the core to somebody else. */
#define LINGER_LATE 200000

/* The estimate moves by this part of the way to what was seen last: 1 / 8. */
#define LINGER_WEIGHT 8

/* After so many times in vain it just sleeps, the next LINGER_PAUSE_MIN times; again twice as often
 * each time, up to LINGER_PAUSE_MAX. What pays halves it. */
#define LINGER_TRIES 3u
#define LINGER_PAUSE_MIN 64u
#define LINGER_PAUSE_MAX 4096u

/* So many requests in a row that were there at once are not those of a lone client: it
 * just sleeps the next LINGER_PAUSE_MIN times. */
#define LINGER_CROWD 8u

struct linger_ops {
	bool (*ready)(void *arg); /* is there something to be received, or other reason to stop? */
	void (*give_way)(void *arg);
	int64_t (*now)(void *arg); /* monotonic */
};

struct linger {
	const struct linger_ops *ops;
	void *arg;
	int64_t estimate; /* from the begin of waiting to the request, at most LINGER_LATE */
	int64_t began;	  /* to wait */
	bool found;	  /* by looking */
	unsigned in_vain; /* in a row */
	unsigned crowd;	  /* at once, in a row */
	unsigned pause;	  /* to go */
	unsigned next_pause;
};

/* It is taken that requests come late. `ops` must stay. */
void linger_init(struct linger *l, const struct linger_ops *ops, void *arg) NONNULL(1, 2);

/* A request was there before one had to wait for it. */
void linger_at_once(struct linger *l) NONNULL(1);

/* There is none: before one sleeps, looks for it, if that may pay. True: ready() was. */
bool linger_wait(struct linger *l) MUST_CHECK NONNULL(1);

/* There is another sign that clients are several. */
void linger_crowded(struct linger *l) NONNULL(1);

/* What was waited for was received. Not called: this time does not count. */
void linger_received(struct linger *l) NONNULL(1);
