/*
 * libFuzzer's entry to requests.h. A promise that is broken ends the process, as a crash would, and
 * leaves the input in a file: it belongs into tests/corpus-requests, where test_requests runs it
 * for good.
 */
#include "tests/requests.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	requests_setup();
	atexit(requests_teardown);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[REQUESTS_WHY] = "";
	if (!requests_run(data, size, why)) {
		fprintf(stderr, "a promise was broken: %s\n", why);
		abort();
	}
	return 0;
}
