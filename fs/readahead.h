/*
 * How far the kernel reads ahead in files of the mount. INIT cannot ask for more than the kernel's
 * default of 128 KiB; sysfs can, where we may write to it (as root), as the administrator of an NFS
 * mount does. Sequential reads of what is in no cache then take fewer requests and fewer queries
 * (docs/measurements.md). It is also what a fault in a mapping brings at least, so more is not
 * better without end.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdint.h>

#define READAHEAD_KIB 512u

/* To be called once the mount answers. Never lowers what it finds. 0, or a negative errno, after
 * which all is as it was. */
int readahead_raise(const char *mountpoint) MUST_CHECK NONNULL(1);
