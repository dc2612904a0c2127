/*
 * Fuzzed command lines: an input becomes arguments, which are taken apart by options.h, and what
 * fault= says by stack.h; nothing is opened. One entry for the test (random inputs), the corpus and
 * the fuzzer.
 *
 * If the first byte is odd, each other one is a word (an option, a number, a separator, ...); else
 * they are the arguments themselves, a NUL after each.
 *
 * The promises:
 *   - what is refused is refused with a text, and with the same one the next time
 *   - what is taken is in its bounds: sizes, times, what libfuse is handed on
 *   - what is wrong with a fault= is a place in it; what is taken can be passed
 *   - nothing crashes or leaks: that is for who runs it to see
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_WHY 512u

bool words_run(const uint8_t *input, size_t size, char *why) MUST_CHECK NONNULL(3);

/* Command lines so far, and how many of them were taken. */
struct words_counts {
	unsigned runs, taken, faults;
};
extern struct words_counts words_counts;
