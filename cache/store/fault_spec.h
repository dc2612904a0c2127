/*
 * What is to fail, and when: the plan that a fault-injecting store (fault.h) goes by.
 *
 *   SPEC   RULE[+RULE]...
 *   RULE   POINT:ERROR[:every=N][:after=N][:count=N][:file=PATH]
 *   POINT  read | write | commit | flush | cache | open
 *   ERROR  the name of an errno (EIO, ENOSPC, ...), or delay=MILLISECONDS
 *
 * A rule lets the first `after` passages of its point go by, then acts on every `every`th of the
 * rest (default: on each), at most `count` times; each option is given once at most. With `file` it
 * acts, and counts, only while that file exists; a file that cannot be looked at does not exist. A
 * relative PATH is one below the directory that was current when the plan was parsed. PATH can hold
 * neither ':' nor '+', and must not lie in the mount that the faults are for: looking at it there
 * would wait for itself.
 *
 * Where several rules are about one point, each counts each passage. All delays are served, then
 * the first of the rules that has an error decides.
 */
#pragma once

#include "compiler.h"

#include <stdint.h>

enum fault_point {
	FAULT_READ,
	FAULT_WRITE,
	FAULT_COMMIT,
	FAULT_FLUSH,
	FAULT_CACHE,
	FAULT_OPEN,
};

#define FAULT_RULES_MAX 32u	 /* rules of one plan */
#define FAULT_DELAY_MAX 3600000u /* milliseconds */

struct fault_spec;

/* -EINVAL: *ret_where is set to the part of `spec` that is wrong. -ENOMEM: it is not. */
int fault_spec_parse(const char *spec, struct fault_spec **ret, const char **ret_where) MUST_CHECK
	NONNULL(1, 2, 3);

/* Takes NULL. Returns NULL. */
struct fault_spec *fault_spec_free(struct fault_spec *spec);

/* The point is passed: sleeps as long as the plan says, then 0 or a negative errno. Any thread. */
int fault_spec_pass(struct fault_spec *spec, enum fault_point point) MUST_CHECK NONNULL(1);

/* How often a rule has acted, of any point. Any thread. */
uint64_t fault_spec_hits(struct fault_spec *spec) MUST_CHECK NONNULL(1);
