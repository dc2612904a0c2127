/*
 * The last failures of a store: which operation on which record failed, when and why. Bounded: the
 * oldest one makes way, and a failure that repeats the newest one is counted there.
 */
#pragma once

#include "change.h"
#include "compiler.h"

#include <pthread.h>
#include <stdint.h>

#define STORE_ERRORS_MAX 16u
#define STORE_ERROR_NAME 256u

struct store_error {
	int64_t first; /* nanoseconds since 1970 */
	int64_t last;
	uint64_t times;
	uint64_t ino;		     /* 0: it is about none */
	char name[STORE_ERROR_NAME]; /* of an entry in directory `ino`; "": it is about `ino` */
	int64_t offset;		     /* bytes; -1: not about a place in the data */
	int error;		     /* positive errno */
	int code;		     /* the store's own, see cause.h; 0: none */
	const char *code_name;	     /* constant; NULL: none */
	const char *op;		     /* constant: "write", "checkpoint" */
};

struct store_errors {
	pthread_mutex_t lock; /* over all below */
	uint64_t total;	      /* entries there ever were */
	struct store_error entry[STORE_ERRORS_MAX];
};

void store_errors_init(struct store_errors *e) NONNULL(1);
void store_errors_destroy(struct store_errors *e) NONNULL(1);

/* Enters a failure of this moment; `first` and `last` are set here, code and code_name taken from
 * store_cause(). Nothing, if the cause says that it was told before. */
void store_errors_add(struct store_errors *e, const struct store_error *error) NONNULL(1, 2);

/* Copies them, the newest first; returns how many. */
unsigned store_errors_read(
	struct store_errors *e, struct store_error ret[STORE_ERRORS_MAX]) MUST_CHECK NONNULL(1, 2);
