/*
 * Going to the background only once there is something to go there with: the parent waits until the
 * child says that the mount works, and exits as the child did if it never does.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>

/* Forks, unless `foreground`, and returns in the child. In the parent it does not return. A
 * negative errno: no child. */
int daemon_fork(bool foreground) MUST_CHECK;

/* The mount works: leaves the terminal, sends messages to syslog, lets the parent exit 0. In the
 * foreground it does nothing. */
void daemon_ready(void);
