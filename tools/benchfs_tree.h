/*
 * What benchfs shows: files and directories in memory, each with one name.
 *
 * A node is there as long as it has a name or the kernel knows it. Nothing here locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct node {
	struct stat attr;
	char *data; /* of a file; of a symlink its target */
	size_t room;
	uint64_t lookups; /* that the kernel has to forget */

	/* Where it is; NULL: nowhere any more. */
	struct node *parent;
	struct node *next_of_hash;
	struct node *older, *younger; /* in the directory */
	uint64_t place;		      /* there; grows with new entries */
	char name[256];

	struct node *first, *last; /* a directory's */
};

struct node *tree_root(void);

/* NULL: there is none. */
struct node *tree_find(const struct node *dir, const char *name);

/* A new one in the directory. NULL: no memory. */
struct node *tree_add(struct node *dir, const char *name, mode_t mode);

/* Gives it this name instead of its own; what had that is removed. */
void tree_move(struct node *node, struct node *dir, const char *name);

/* Takes the name away. */
void tree_remove(struct node *node);

/* The kernel has forgotten it so often. */
void tree_forget(struct node *node, uint64_t n);

/* Makes the data so long. False: no memory. */
bool tree_resize(struct node *node, size_t size);

/* The data has changed. */
void tree_touch(struct node *node);
