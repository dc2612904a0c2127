/*
 * Is there more than one client? The signs of it: a request is waiting when another one is about to
 * block, or was when it had.
 *
 * A request that nobody waits for is no sign of others: when a file has lost its last name the
 * kernel forgets it, and hands that out when there is nothing else to hand out, which may be after
 * the next request of the same client. So one that is waiting may be that; a look cannot tell.
 * Then it is taken for that, and what is received next says whether it was.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Once there is a sign of others, they are taken to be there so many times. */
#define COMPANY_LASTS 32u

/* So many looks may find what is expected. */
#define COMPANY_TRIFLE_LOOKS 2u

/* Who waits for the answer of a request. All other numbers are equal when the client is the same.
 */
#define COMPANY_NOBODY 0
#define COMPANY_UNKNOWN UINT64_MAX /* differs from all, also itself */

/* Zeroed: alone. Any thread; what one sees of another one may be late. */
struct company {
	atomic_uint there;   /* so many times more */
	atomic_uint trifles; /* what nobody waits for is expected, for so many looks */
	atomic_bool seen;    /* since company_was_seen() */
};

/* There was a sign of others. */
void company_came(struct company *c) NONNULL(1);

/* Before somebody blocks; `waiting`: a request is. True: there is no sign of others. */
bool company_none(struct company *c, bool waiting) MUST_CHECK NONNULL(1);

/* After what is being processed the kernel sends something that nobody waits for. */
void company_expect_trifle(struct company *c) NONNULL(1);

/* A request has come; it may be that. */
void company_received(struct company *c, uint64_t client) NONNULL(1);

/* Is a request of `client`, which was waiting while one of `blocked` was, a sign of others? */
bool company_differs(uint64_t client, uint64_t blocked) MUST_CHECK;

/* Was there a sign since the last call? */
bool company_was_seen(struct company *c) MUST_CHECK NONNULL(1);
