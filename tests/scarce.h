/*
 * Memory of SQLite's that runs out where a test wants it, in the thread that asks for that.
 */
#pragma once

#include <stdbool.h>

/* To be called before SQLite is used. */
void scarce_install(void);

/* In this thread: `left` allocations of SQLite's work, and the next fails; -1: all work. */
void scarce_arm(long left);

/* For a while all work, and none counts. */
void scarce_pause(bool on);

/* All work. Returns how many have failed since scarce_arm(). */
int scarce_disarm(void);
