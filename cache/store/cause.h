/*
 * Why a call failed, in the store's own words: what an errno cannot say. A store says it on the
 * thread that fails, and whoever called reads it there; nobody in between need know of it.
 *
 *	store_cause_clear();
 *	r = store_flush(s);
 *	if (r < 0)
 *		cause = store_cause();   // cause.code == 0: nothing but the errno is known
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>

struct store_cause {
	int code;	  /* the store's own: for SQLite, its extended result code */
	const char *name; /* of that code, constant: "SQLITE_IOERR_FSYNC"; NULL: none */
	bool repeated;	  /* a failure of before is being told once more: the store is degraded */
};

void store_cause_clear(void);
void store_cause_set(int code, const char *name);
void store_cause_repeat(void);
struct store_cause store_cause(void) MUST_CHECK;
/* After calls whose failures are not what is to be told. */
void store_cause_restore(struct store_cause cause);
