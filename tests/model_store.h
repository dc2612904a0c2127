/*
 * A store that is simple rather than good: everything in memory, one mutex, arrays that are
 * searched from end to end. It is what other stores are compared with, and what the layers above
 * are tested on. It does what store.h and change.h promise, without anything that could be clever
 * and wrong.
 *
 * It dies when there is no memory (abort), keeps no checksums, and forgets everything on close.
 */
#pragma once

#include "cache/store/store.h"

/* A new store with an empty root directory (mode 0755, owner 0:0, times 0). */
struct store *model_store_new(void) MUST_CHECK;
