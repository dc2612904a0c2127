/*
 * Other processes that use the same store: mounts of it, and SQL clients. A neighbour is this
 *program started once more; it does what it is told, a line at a time, and answers a line:
 *
 *	open | close            a mount of the store
 *	create NAME             a record in the root; answers its inode
 *	write INO LETTER N      N durable writes of one block full of LETTER
 *	keeper                  is it the keeper of the log? 0, 1
 *	sql I STATEMENT         on the I-th connection of a SQL client, which does not wait for
 *locks; answers SQLite's code, then the columns of the first row salt | size             of the
 *log's file: changes when it starts anew; bytes race SECONDS CHECKPOINT SQL client: commits, and
 *checkpoints so, as fast as it can; answers how many commits
 */
#pragma once

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

/* Tells it to do something; the answer is in p->answer, and returned. */
const char *neighbour_do(struct neighbour *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same in two steps. */
void neighbour_tell(struct neighbour *p, const char *line);
const char *neighbour_answer(struct neighbour *p);
/* An answer that is a number. */
long long neighbour_number(struct neighbour *p, const char *line);
