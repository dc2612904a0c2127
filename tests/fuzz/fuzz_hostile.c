/*
 * libFuzzer's entry to hostile.h. A promise that is broken ends the process, as a crash would, and
 * leaves the input in a file: it belongs into tests/corpus, where test_hostile runs it for good.
 */
#include "tests/hostile.h"

#include "cache/store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	sqlite_store_prepare();
	hostile_setup();
	atexit(hostile_teardown);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[HOSTILE_WHY] = "";
	if (!hostile_run(data, size, why)) {
		fprintf(stderr, "a promise was broken: %s\n", why);
		abort();
	}
	return 0;
}
