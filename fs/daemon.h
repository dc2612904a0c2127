/*
 * Going to the background only once there is something to go there with: the parent waits until the
 * child says that the mount works, and exits as the child did if it never does.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>

/* Opens what its starter has closed of the standard descriptors, so that nothing else gets their
 * numbers, into which is written then as if it were they. A negative errno. */
int daemon_standard_fds(void) MUST_CHECK;

/* Forks, unless `foreground`, and returns in the child. In the parent it does not return. A
 * negative errno: no child. */
int daemon_fork(bool foreground) MUST_CHECK;

/*
 * Says to the kernel that this process is what others wait for when memory is short: it is not made
 * to write back, or wait for, what only it can write (PR_SET_IO_FLUSHER). To be called before there
 * are threads, which inherit it. Needs CAP_SYS_RESOURCE, and Linux 5.6; without, nothing happens.
 */
void daemon_serves_memory(void);

/* The mount works: leaves the terminal, sends messages to syslog, lets the parent exit 0. In the
 * foreground it does nothing. */
void daemon_ready(void);
