/*
 * Keys of the terminal at standard input, as they are pressed: without Enter, and not shown.
 *
 * Between keys_begin() and keys_end() the terminal is not as others want it: whoever begins ends,
 * in every way out, and around a stop (SIGTSTP). Ctrl-C and the like go on to be signals.
 */
#pragma once

#include <stdbool.h>

/* False: there is no terminal, or it is not ours now; standard input is not to be read. */
bool keys_begin(void);
void keys_end(void);

/* To be called when standard input has something to be read: was `key` pressed? Negative: no key
 * will come any more. */
int keys_have(char key);
