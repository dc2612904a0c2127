/*
 * Memory of ours that runs out where a test wants it, in the thread that asks for that; that of
 * SQLite's is scarce.h's. The program is linked with --wrap=malloc, calloc and realloc.
 */
#pragma once

#include <stdbool.h>

/* In this thread: `left` allocations work, and the next fails; -1: all work. */
void scarce_heap_arm(long left);

/* For a while all work, and none counts. Such times may lie in one another. */
void scarce_heap_pause(bool on);

/* How many have failed since scarce_heap_arm(). */
int scarce_heap_refused(void);
