/*
 * What tests of stores are written with: short calls for changes, and eyes on what they alter.
 *
 * Every change that goes through the kit is watched: each inode that the kit has seen made is asked
 * for before and after, and what changed must be among the change's results, with the attributes
 * that the store then shows, a greater version and the change's time. A change that fails must have
 * altered nothing. The kit_must_... and kit_expect_... calls fail the test when they do not hold.
 */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/store/store.h"

struct kit {
	struct store *store;
	struct change_caller caller; /* of the changes to come */
	int64_t now;		     /* of the last change; each is a second and a bit later */
	bool unwatched;		     /* for large tests: do not look at every inode every time */
	struct store_attr *known;
	size_t n_known;
};

struct kit *kit_new(struct store *store); /* takes the store over */
void kit_free(struct kit *k);		  /* closes it */
/* Every inode of the store is known again, as it is now: after a change that went round the kit. */
void kit_look(struct kit *k);

/* Memory as of realloc(3), or the test fails. Not cmocka's, which counts it against the setup. */
void *kit_memory(void *p, size_t n);

/* Apply one change, or a batch of them. */
int kit_apply(struct kit *k, struct change *c);
void kit_apply_batch(struct kit *k, struct change *changes, size_t n);

/* The changes, their result returned. `name` is terminated; NULL for an unnamed file. */
int kit_create(struct kit *k, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret);
int kit_symlink(struct kit *k, uint64_t parent, const char *name, const char *target);
int kit_write(struct kit *k, uint64_t ino, uint64_t offset, const void *data, size_t len);
int kit_truncate(struct kit *k, uint64_t ino, uint64_t size);
int kit_chmod(struct kit *k, uint64_t ino, uint32_t mode);
int kit_allocate(
	struct kit *k, uint64_t ino, enum store_allocate mode, uint64_t offset, uint64_t len);
int kit_copy(struct kit *k, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
	size_t len, size_t *copied);
int kit_link(struct kit *k, uint64_t ino, uint64_t parent, const char *name);
int kit_unlink(struct kit *k, uint64_t parent, const char *name);
int kit_rmdir(struct kit *k, uint64_t parent, const char *name);
int kit_rename(struct kit *k, uint64_t parent, const char *name, uint64_t new_parent,
	const char *new_name, unsigned flags);
int kit_setxattr(
	struct kit *k, uint64_t ino, const char *name, const void *value, size_t size, int flags);
int kit_removexattr(struct kit *k, uint64_t ino, const char *name);
int kit_reap(struct kit *k, uint64_t ino, bool *more);

/* They work, or the test fails. */
uint64_t kit_must_file(struct kit *k, uint64_t parent, const char *name);
uint64_t kit_must_dir(struct kit *k, uint64_t parent, const char *name);
void kit_must_reap(struct kit *k, uint64_t ino); /* to the end */
struct store_attr kit_attr(struct kit *k, uint64_t ino);

/* The inode of a name, 0: none. */
uint64_t kit_lookup(struct kit *k, uint64_t parent, const char *name);

/* Bytes that are like no others: of `seed` and the place, never zero. */
void kit_pattern(void *buf, size_t len, unsigned seed);
/* Writes such bytes to the record, and to the same place of `want` unless that is NULL. */
void kit_must_fill(struct kit *k, uint64_t ino, uint64_t offset, size_t len, unsigned seed,
	unsigned char *want);
/* What the record holds at [offset, offset + len), all of it below the end of the file. */
void kit_read(struct kit *k, uint64_t ino, uint64_t offset, void *buf, size_t len);
/* The record holds exactly these bytes. */
void kit_expect_bytes(struct kit *k, uint64_t ino, const void *want, size_t size);
void kit_expect_attr(const struct store_attr *have, const struct store_attr *want);
