/*
 * A SQLite store in a directory of its own, for tests that need nothing more.
 */
#pragma once

#include "cache/store/sqlite.h"

/* Of the store's file. */
extern char temp_db_path[64];

/* Setup and teardown of a group of tests: makes the directory, removes it with all in it. */
int temp_db_setup(void **state);
int temp_db_teardown(void **state);

/* Opens the store as it is; a test that cannot fails. */
struct store *temp_db_open(void);

/* Removes what is there and opens a new one. */
struct store *temp_db_new(void);
