/*
 * A SQLite store in a directory of its own, for tests that look at its file, or alter it, or open
 * it in odd ways. What cannot be had fails the test.
 */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/store/sqlite.h"

struct store_file {
	char dir[64];
	char path[96];	     /* of the database, in dir */
	struct store *store; /* NULL while it is closed */
	int busy_timeout_ms;
	char why[SQLITE_STORE_WHY];
};

/* For cmocka: *state is a struct store_file, its store open. */
int store_file_setup(void **state);
/* The same in memory, if that can be had: for tests that ask what is flushed, not whether it lasts.
 */
int store_file_setup_in_memory(void **state);
int store_file_teardown(void **state);

/* Opens and closes the store. The first returns what sqlite_store_open() does. */
int store_file_try_open(struct store_file *f, bool readonly);
void store_file_open(struct store_file *f);
void store_file_close(struct store_file *f);

/* Runs SQL on the file, in a connection of its own that stays out of the log's way. */
void store_file_sql(struct store_file *f, const char *sql);

/* A new record in the root directory; its inode. */
uint64_t store_file_create(struct store_file *f, const char *name);
/* Writes `len` bytes of `fill`. */
int store_file_write(
	struct store_file *f, uint64_t ino, uint64_t offset, char fill, size_t len, bool durable);
/* The first byte of the record; '\0': it is a hole, or empty. */
char store_file_first(struct store_file *f, uint64_t ino);
