/*
 * Other processes that use the same store: mounts of it, and SQL clients. A neighbour is this
 * program started once more; it is told what to do in lines, and answers each with a line:
 *
 *	open, close          a mount of the store; answers 0 or an error
 *	keeper               is it the keeper of the log? 0, 1
 *	short                its log starts anew as often as possible
 *	create NAME          a record in the root; answers its inode
 *	write INO LETTER N   N durable writes of one block full of LETTER
 *	count INO SECONDS    writes as in neighbour_counted(); answers the last number
 *
 *	sql I STATEMENT      on the I-th connection of an SQL client, which does not wait for
 *	                     locks; answers SQLite's code, then the columns of the first row
 *	halting              first of all: the next checkpoint answers "halted" when it has read
 *	                     how long the log is, and ends and answers after one more line
 *	race MODE SECONDS    SQL client: commits and checkpoints so (PASSIVE, ...) as fast as
 *	                     it can; answers how many commits
 *	add INO SECONDS      SQL client: adds 1 to the uid of the inode again and again, with
 *	                     automatic checkpoints; answers how often
 *
 *	salt, size           of the log's file: changes when it starts anew; bytes
 */
#pragma once

#include "cache/store/store.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct neighbour {
	pid_t pid;
	FILE *to;
	FILE *from;
	char answer[256]; /* to the last line */
};

/* For main(): does not return when this process is a neighbour. */
void neighbour_main(int argc, char **argv);

void neighbour_start(struct neighbour *p, const char *path);
/* Ends it, also a stopped one; a neighbour that was not started is left alone. */
void neighbour_kill(struct neighbour *p);

/*
 * The writes of `count`: number n, from 1 on, fills block n % NEIGHBOUR_BLOCKS of the record. The
 * last number is in the file INO.acked in the store's directory as soon as it is acknowledged.
 * neighbour_counted() looks whether all of it is there up to a number, which it returns; -1: not.
 */
#define NEIGHBOUR_BLOCKS 32u
long long neighbour_counted(struct store *s, uint64_t ino);
/* What has been acknowledged. */
long long neighbour_acked(const char *path, uint64_t ino);

/* Tells it to do something; the answer is in p->answer, and returned. */
const char *neighbour_do(struct neighbour *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same in two steps. */
void neighbour_tell(struct neighbour *p, const char *line);
const char *neighbour_answer(struct neighbour *p);
/* An answer that is a number. */
long long neighbour_number(struct neighbour *p, const char *line);
