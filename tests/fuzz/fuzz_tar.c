/*
 * libFuzzer's entry to tar_feed.h. A promise that is broken ends the process, as a crash would, and
 * leaves the input in a file: it belongs into tests/corpus-tar, where test_tar runs it for good.
 */
#include "tests/tar_feed.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[TAR_FEED_WHY] = "";
	if (!tar_feed(data, size, why)) {
		fprintf(stderr, "a promise was broken: %s\n", why);
		abort();
	}
	return 0;
}
