/*
 * Another process that has a store open, for tests of what only two processes can show. It does one
 * thing at a time, as it is told: so a test decides about every interleaving.
 *
 *	int main(int argc, char **argv)
 *	{
 *		peer_main(argc, argv);
 *		...
 *		struct peer *p = peer_start();
 *		peer_open(p, path, false);
 *
 * What cannot be had, or is not answered, fails the test.
 */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/store/store.h"

/* What a poll told. */
struct peer_event {
	enum store_event_kind kind;
	uint64_t ino;
	uint64_t first;
	uint64_t last;
	char name[STORE_NAME_MAX + 1];
};
#define PEER_EVENTS_MAX 512
struct peer_told {
	int result; /* of store_poll() */
	unsigned n; /* may be more than are listed */
	struct peer_event event[PEER_EVENTS_MAX];
};

/* What is said to be in use, to STORE_EVENT_GONE. */
#define PEER_USED_MAX 64
struct peer_used {
	unsigned n;
	uint64_t ino[PEER_USED_MAX];
};

/* The same in this process: polls `s`. */
void peer_poll_here(struct store *s, const struct peer_used *used, struct peer_told *ret);

/* Every orphan that store_orphans() names. */
struct peer_orphans {
	int result;
	unsigned n;
	uint64_t ino[PEER_USED_MAX];
};
void peer_orphans_here(struct store *s, struct peer_orphans *ret);

/* To be called first in main(): in a peer it does not return. */
void peer_main(int argc, char **argv);

struct peer;

struct peer *peer_start(void);
/* Closes its store, if it is open, and ends it. Takes NULL, returns NULL. */
struct peer *peer_stop(struct peer *p);
/* Ends it at once: SIGKILL. It is no process any more on return. Returns NULL. */
struct peer *peer_kill(struct peer *p);
int peer_pid(const struct peer *p);
/* It does nothing until it is resumed. */
void peer_suspend(struct peer *p);
void peer_resume(struct peer *p);

void peer_open(struct peer *p, const char *path, bool readonly);
void peer_close(struct peer *p);

/* At most PEER_DATA_MAX bytes in a write, a value or a read. */
#define PEER_DATA_MAX 65536u

/* Applies the change there; its results are as from store_apply_one(), but that what they point to
 * stays there. */
int peer_apply(struct peer *p, struct change *c);
/* From now on the inode is in use there, or is not. */
void peer_use(struct peer *p, uint64_t ino, bool used);
void peer_poll(struct peer *p, struct peer_told *ret);
void peer_orphans(struct peer *p, struct peer_orphans *ret);
int peer_getattr(struct peer *p, uint64_t ino, struct store_attr *ret);
/* The first byte of a record: '\0' for a hole or none; negative errno. */
int peer_first(struct peer *p, uint64_t ino);
int peer_inodes(struct peer *p, uint64_t *ret); /* of store_statfs() */
