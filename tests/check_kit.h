/*
 * What the tests of the check share: a sound store, copies of it to be damaged, and what a check
 * finds in them.
 */
#pragma once

#include "cache/store/sqlite_check.h"
#include "kit.h"

/* A text that is in block 3 of /file, once. */
#define CHECK_MARK "here is block three"

extern char check_dir[64];    /* of the test alone */
extern char check_sound[96];  /* the store that all tests copy */
extern char check_broken[96]; /* the copy */

/* Set-up and tear-down of a group of tests. */
int check_make_store(void **state);
int check_remove_store(void **state);

struct kit *check_open(const char *path);

#define CHECK_FAULTS_MAX 64
struct check_findings {
	size_t n;
	struct {
		char what[256];
		char path[256]; /* "": none */
		uint64_t ino;
		int64_t offset;
	} fault[CHECK_FAULTS_MAX];
	unsigned allowed; /* calls of progress before it says stop; 0: never */
};

/* sqlite_check(), with what it told in *found. */
int check_run(const char *path, struct check_findings *found, struct sqlite_check_summary *sum);
void check_print(const struct check_findings *found);
/* It finds nothing, or the test fails. */
void check_expect_clean(const char *path, struct sqlite_check_summary *sum);

/* A file as a whole. `used` is what the database says that it uses of it. */
struct check_bytes {
	unsigned char *p;
	size_t n;
	size_t used;
};
struct check_bytes check_read_file(const char *path);
void check_write_file(const char *path, const void *p, size_t n);
bool check_exists(const char *path, const char *suffix);

/* check_broken becomes a copy of check_sound. */
void check_copy_sound(void);
void check_run_sql(const char *path, const char *sql);
