/*
 * What the parts of bench share. A work is done by several sides in turn: recordfs, and the
 * yardsticks that it is measured with. A load is how a side does it. Whatever fails ends the
 * program with a message; tools/bench, the script, cleans up after it.
 */
#pragma once

#include "layoutdb.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOCK ((size_t)STORE_BLOCK_SIZE)
#define MIB ((size_t)1 << 20)
#define SMALL_FILE ((size_t)1024)
#define LOG_RECORD ((size_t)100)
#define REST_MS 1050u /* longer than passthrough filesystems keep attributes: a second */
#define MAX_THREADS 16u
#define MAX_YARDS 3u
#define MAX_SIDES (MAX_YARDS + 1)
#define MAX_REPS 15u

enum side { RECORDFS, EXT4, BINDFS, MEMFS, SQLITE };
enum unit { OPS, MBPS, SECONDS };

struct run;
struct worker;

struct load {
	void (*setup)(struct run *r);		  /* once; NULL: nothing to do */
	void (*before)(struct run *r);		  /* before each repetition; NULL */
	void (*op)(struct worker *w, unsigned i); /* what is measured */
	bool rested;				  /* not at once, but after REST_MS */
};

struct yard {
	enum side side;	  /* RECORDFS: no more of them */
	const char *name; /* NULL: that of the side */
	double goal;	  /* the ratio that is wanted; 0: none */
	/* SQLite: */
	const struct load *load; /* NULL: the same as the work's */
	unsigned batch;		 /* writes to a commit */
	unsigned page;		 /* bytes */
};

struct work {
	const char *name;
	bool durable; /* recordfs: sync=always, else standard */
	bool apart;   /* each thread has a file of its own */
	enum unit unit;
	unsigned threads;
	unsigned ops;  /* of a repetition; 0: as many as there is time for */
	size_t per_op; /* what the unit counts in an operation: things, or bytes; 0: entries */
	const struct load *load;
	struct yard yards[MAX_YARDS];
};

extern const struct work works[];
extern const unsigned n_works;

/* How much is done. */
struct scale {
	unsigned reps;
	unsigned slice_ms; /* of a repetition without a number of operations */
	unsigned divide;   /* numbers of operations by this */
	unsigned listed;   /* entries of the directory that is listed */
	size_t file_size;  /* of the file that is overwritten, or read */
};

/* One repetition; times in microseconds. */
struct sample {
	double rate; /* operations a second */
	double p50;
	double p99;
	double max;
};

/* One side of a work, while it lasts. */
struct run {
	const struct work *work;
	const struct yard *yard; /* NULL: recordfs */
	const struct load *load;
	enum side side;
	const char *name;
	unsigned threads;
	unsigned rep;
	unsigned ops; /* as in struct work */
	const struct scale *scale;
	char home[PATH_MAX / 8]; /* holds the store, or what a mount shows; removed at the end */
	char dir[PATH_MAX / 4];	 /* where the side works: home, or the mount */
	const char *tree;	 /* tree.tar and repo, of a source tree */
	int fd[MAX_THREADS + 1]; /* closed at the end; the last is for a writer beside readers */
	pid_t daemon;
	struct layout layout;
	struct db *db;
	struct sample samples[MAX_REPS];
};

struct worker {
	struct run *run;
	unsigned index;
	int fd;
	uint64_t random;
	unsigned char *buf; /* a MiB, aligned */
	uint64_t began;	    /* the operation; one that prepares something first sets it anew */
	uint64_t busy;	    /* nanoseconds in operations */
	unsigned ops;
	uint32_t *took; /* nanoseconds of operations */
};

/* Loads on a filesystem. */
extern const struct load overwrite, append, sequential, read_random, read_sequential, read_direct,
	read_first, create_files, stat_hot, stat_rested, open_files, list_rested, find_files,
	rename_files, unlink_files, make_dirs, git_clone, tar_extract, grep_tree, remove_tree;
/* Loads on SQLite alone. */
extern const struct load sql_overwrite, sql_sequential, sql_create;

/* bench_run.c */
void run_init(void);
/* The next repetition: what is measured of it, after `before`. */
void run_repetition(struct run *r);

/* A MiB that is nowhere yet, so that nobody can see that nothing changed. */
const unsigned char *fresh_bytes(struct worker *w);
uint64_t pick(struct worker *w, uint64_t below);

/* bench_sides.c: makes and takes down a side of a work, in its own directory below `base`. */
struct programs {
	const char *recordfs;
	const char *memfs;
};
extern const char *const side_names[];
void side_start(struct run *r, const char *base, const struct programs *programs);
void side_stop(struct run *r);
/* Runs a shell command in r->dir, with $TREE and $REP. */
void shell(const struct run *r, const char *command);

/* bench_report.c: prints a work's line for each yardstick, and keeps it for the JSON. */
void report_begin(const struct scale *scale, const char *path);
void report_work(const struct run *runs, unsigned n, unsigned reps);
void report_end(void);
