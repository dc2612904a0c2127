/*
 * The service manager that has started us, if one has: systemd, or whatever speaks its protocol, a
 * datagram of lines to the socket that $NOTIFY_SOCKET names (sd_notify(3)). Without one nothing
 * happens.
 *
 * This is our own code because a filesystem that everybody can mount shall not need libsystemd: the
 * protocol is a few lines and promised to stay as it is.
 */
#pragma once

#include "cache/store/compiler.h"

/* Sends the lines of `fmt`. A failure is logged: who waits for them will say that we were too slow.
 */
void service_notify(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Readiness of a mount, with a line for `systemctl status`. */
void service_ready(const char *store, const char *mountpoint) NONNULL(1, 2);
