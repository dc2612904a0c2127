/*
 * What a disk may hold when power fails, made of a record (power_disk.h).
 *
 * All that was flushed is there. Of what was done to a file since, anything may be: each write, or
 * each sector of it, or not, in whatever order, so a later one without an earlier one; a new size,
 * or an old one, with zeros where nothing was written. A flush of one file says nothing of another.
 * Names come and go in their own order, and are there for certain once the directory was flushed.
 * What was not flushed yet when a flush failed is partly there, for good: the kernel takes it for
 * written, and no later flush writes the rest.
 *
 *	struct walk *w = walk_new(record, seed);
 *	walk_to(w, cut); walk_image(w, dir); walk_to(w, later_cut); ...
 */
#pragma once

#include "power_disk.h"

struct walk;

struct walk *walk_new(const struct disk_record *r, uint64_t seed);
void walk_free(struct walk *w);

/* Lets all happen that is before `cut`, which must not be before the last one. */
void walk_to(struct walk *w, size_t cut);

/* Fills the directory with one of the states that the disk may have now. Files that are there
 * already are replaced, others taken away. */
void walk_image(struct walk *w, const char *dir);
/* The same one again, to look at. */
void walk_image_again(struct walk *w, const char *dir);

/* A random number below n, from the walk's seed. */
size_t walk_roll(struct walk *w, size_t n);
