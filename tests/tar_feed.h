/*
 * Any bytes as a tar stream into a store, and what is promised of that: it ends, in memory that
 * does not depend on what the stream says of itself; nothing is in the store but what tar_import()
 * counted and directories, no record lacks its name, and what is there can be exported and imported
 * again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_FEED_WHY 512

/* False: a promise was broken, as `why` tells. */
bool tar_feed(const uint8_t *data, size_t size, char why[TAR_FEED_WHY]);
