/*
 * Giving up what the daemon does not need: docs/security.md lists what is left, and must be kept
 * right with sandbox.c.
 */
#pragma once

#include "cache/store/compiler.h"

/* Before there is any other thread, and before the store is opened; the process beside the daemon
 * keeps what it has. `store`: absolute path of its file, which need not exist. *ret_missing: what
 * this kernel cannot do and is done without, or NULL. A negative errno: it can, and did not. */
int sandbox_enter(const char *store, const char **ret_missing) MUST_CHECK NONNULL(1, 2);
