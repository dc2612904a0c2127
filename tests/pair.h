/*
 * Two mounts of one store: this process, and a peer (peer.h). And what to say to them.
 */
#pragma once

#include "peer.h"
#include "store_file.h"

struct pair {
	struct store_file file; /* its store is open here */
	struct peer *peer;	/* has it open as well */
	struct peer_used used;	/* in use here */
};

/* For cmocka: *state is a struct pair. After the test the store must be sound. */
int pair_setup(void **state);
int pair_teardown(void **state);

/* The first number that a query of an SQL client gives. */
int64_t pair_number(struct store_file *f, const char *sql);

/* Runs SQL on the file as it is written: the triggers of the file do nothing. */
void pair_sql(struct store_file *f, const char *sql);

/* What a poll told last. */
extern struct peer_told pair_told;
/* Polls the store of this process, or that of the peer. When the answer, which inodes are in use,
 * cannot be written at once since others write, polls again until it is; what is told then is not
 * of interest. */
void pair_hear(struct store_file *f, const struct peer_used *used);
void pair_peer_hears(struct pair *x);
/* What was told, as text: "name 1 f, attr 1, data 2 0-3, data 2 4-, gone 2, all". */
void pair_expect(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Applies a change there, or here. *ret (may be NULL) is the change with its results. */
int pair_there(struct pair *x, struct change c, struct change *ret);
int pair_here(struct pair *x, struct change c, struct change *ret);

/* Made by the peer in the root directory. */
uint64_t pair_create(struct pair *x, const char *name, uint32_t mode);
/* A file that we have been told of. */
uint64_t pair_file(struct pair *x, const char *name);

/* Changes, as values. Names are in the root directory where none is given. */
struct change_name make_name(const char *s);
struct change make_write(uint64_t ino, uint64_t offset, size_t len, bool append);
struct change make_setattr(uint64_t ino, unsigned mask, uint64_t size);
struct change make_link(uint64_t ino, uint64_t dir, const char *name);
struct change make_unlink(const char *name, bool directory);
struct change make_rename(
	uint64_t from, const char *name, uint64_t to, const char *new_name, unsigned flags);
struct change make_xattr(uint64_t ino, const char *name, const char *value);
struct change make_reap(uint64_t ino);
