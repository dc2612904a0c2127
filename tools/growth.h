/*
 * What the parts of benchgrow share: what does an operation cost when there is ten times, and a
 * hundred times, as much? The sizes are measured in turn, A B C A B C, and each time it is the mean
 * of many operations. Whatever fails ends the program with a message.
 */
#pragma once

#include "bench.h"

#define SIZES 3u
#define GROWTH_REPS 5u
#define GROWTH_GOAL 1.5	 /* what the largest may cost, if the smallest costs 1 */
#define FILE_STRIDE 16u	 /* a sparse file has one block in so many */
#define RECORD_SIZE 100u /* bytes */

/* One operation, in all sizes; microseconds. */
struct growth {
	const char *what;
	double us[SIZES][GROWTH_REPS];
};

struct growth_scale {
	uint64_t records[SIZES];
	uint64_t file_bytes[SIZES]; /* sparse */
	uint64_t index_blocks[SIZES];
	unsigned ops;	    /* of a repetition, on a mount */
	unsigned index_ops; /* in memory */
	unsigned reps;
};

/* growth_fill.c: makes the store of a side that is not mounted yet. */
void fill_records(const struct run *r, uint64_t n);
void fill_file(const struct run *r, uint64_t size);
void record_name(char *buf, size_t size, uint64_t number);

/* growth_ops.c: repetition `rep` of all operations on a side that was mounted just now; results
 * into column `size` of the growths, in this order. */
enum { R_STAT, R_READ, R_OVERWRITE, R_CREATE, R_UNLINK, R_READDIR, R_N };
enum { F_READ, F_OVERWRITE, F_APPEND, F_N };
enum { C_GET, C_MISS, C_PUT, C_N };
void measure_records(const struct run *r, uint64_t n, const struct growth_scale *scale,
	struct growth *ret, unsigned size, unsigned rep);
void measure_file(const struct run *r, uint64_t bytes, const struct growth_scale *scale,
	struct growth *ret, unsigned size, unsigned rep);
/* Looks up every one of `n` records. */
void visit_records(const struct run *r, uint64_t n);

/* growth_cache.c: all sizes, of the index of the block cache. */
void measure_index(const struct growth_scale *scale, struct growth *ret);
