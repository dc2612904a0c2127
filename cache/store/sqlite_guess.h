/*
 * Where the data of a long row lies, guessed from the number of the page that leads to it.
 *
 * The page with a row's header, a leaf of the tree, says where the chain of pages begins that holds
 * its data, so what is wanted of a row that nobody has in memory is two waits for the disk, one
 * after the other. But the leaf's number is known before it is read, and rows that were written in
 * sequence follow each other in the file: eight rows of SQ_RUN_MAX blocks have their headers in one
 * leaf, which was taken when the first of them was written. So chunks whose numbers are the same
 * modulo eight lie at the same distance from their leaves, as long as the file was written so. What
 * is learned of a file are these eight distances.
 *
 * Each lookup is compared with what would have been guessed. A guess is given only while most of
 * the last ones were right, so that a file which was written in another way costs nothing but the
 * comparison. A guess that is wrong costs a read of the disk, which nobody waits for.
 *
 * Pages of the pointer map, which a database that can be vacuumed has at fixed places, are not
 * counted in distances; a row's chain leads over them.
 *
 * Only for pages of SQ_GUESS_PAGE bytes. Memory is what the structs have. No locks: one thread at a
 * time, as for the connection whose lookups these are.
 */
#pragma once

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_GUESS_PAGE 4096u
/* Rows of SQ_RUN_MAX blocks whose headers are in one leaf. */
#define SQ_GUESS_ROWS 8u
#define SQ_GUESS_FILES 32u
#define SQ_GUESS_INNER 512u

/* What is known of a file. */
struct sq_guess_file {
	uint64_t ino;			 /* 0: nobody's */
	int64_t distance[SQ_GUESS_ROWS]; /* pages from the leaf to the chain's first one */
	unsigned known;			 /* bit n: distance[n] is */
	unsigned trust;	 /* grows with guesses that are, or would have been, right */
	bool whole_rows; /* the last row that was looked for began its chunk */
};

/* Zeroed: nothing is known. */
struct sq_guess {
	struct sq_guess_file file[SQ_GUESS_FILES];
	uint64_t inner[SQ_GUESS_INNER]; /* pages above the leaves */
};

/* What is known of `ino`; never NULL, but it is forgotten when many others were asked for. */
struct sq_guess_file *sq_guess_file(struct sq_guess *g, uint64_t ino) MUST_CHECK NONNULL(1);

/* The first page of the chain of the row that begins chunk `chunk`, if its header is in page
 * `leaf`. 0: no guess. */
uint64_t sq_guess_row(const struct sq_guess_file *f, uint64_t chunk, uint64_t leaf) MUST_CHECK
	NONNULL(1);
/* There it was. */
void sq_guess_found(struct sq_guess_file *f, uint64_t chunk, uint64_t leaf, uint64_t page)
	NONNULL(1);

/* A page that is not a leaf, and whether one is known not to be. A page that has become a leaf
 * since then gets no guesses for a while. */
void sq_guess_inner(struct sq_guess *g, uint64_t page) NONNULL(1);
bool sq_guess_is_inner(const struct sq_guess *g, uint64_t page) MUST_CHECK NONNULL(1);

/* The page `n` further on, or back, in a chain that lies in sequence; 0: there is none. */
uint64_t sq_guess_on(uint64_t page, int64_t n) MUST_CHECK;
/* The page of the pointer map that has `page`; is it one itself? */
uint64_t sq_guess_map(uint64_t page) MUST_CHECK;
bool sq_guess_is_map(uint64_t page) MUST_CHECK;
