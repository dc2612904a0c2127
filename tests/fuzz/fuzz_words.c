/*
 * libFuzzer's entry to words.h. A promise that is broken ends the process, as a crash would, and
 * leaves the input in a file: it belongs into tests/corpus-words, where test_words runs it
 * for good.
 */
#include "tests/words.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[WORDS_WHY] = "";
	if (!words_run(data, size, why)) {
		fprintf(stderr, "a promise was broken: %s\n", why);
		abort();
	}
	return 0;
}
