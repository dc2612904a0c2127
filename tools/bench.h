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
#define REST_MS 1050u  /* longer than passthrough filesystems keep attributes: a second */
#define CACHE_MIB 256u /* of memory, that recordfs may use for its cache */
#define SPARE_MIB 64u  /* and more than that, in all */
#define MAX_THREADS 16u
#define MAX_YARDS 3u
#define MAX_SIDES (MAX_YARDS + 1)
#define MAX_REPS 15u

enum side { RECORDFS, EXT4, BINDFS, MEMFS, SQLITE };
/* WRITTEN: bytes to the disk for each byte that was asked for. It, SECONDS: less is better. */
enum unit { OPS, MBPS, SECONDS, WRITTEN };

struct run;
struct worker;

/* What comes before each repetition, on all sides. */
enum start {
	AT_ONCE,
	RESTED, /* REST_MS */
	COLD,	/* mounted, or opened, anew, with nothing in memory */
	FRESH,	/* the side is made anew, setup and all, and there is no other at that time */
	SETTLED /* the same, and mounted anew after the setup, so that nothing is left to write */
};

struct load {
	void (*setup)(struct run *r);		  /* once; NULL: nothing to do */
	void (*before)(struct run *r);		  /* before each repetition; NULL */
	void (*op)(struct worker *w, unsigned i); /* what is measured */
	enum start start;
};

struct yard {
	enum side side;		 /* RECORDFS: no more of them */
	const char *name;	 /* NULL: that of the side */
	double goal;		 /* the ratio that is wanted; 0: none */
	double p99_goal;	 /* and of the 99th percentiles; 0: none */
	const struct load *load; /* NULL: the same as the work's */
	/* SQLite: */
	unsigned batch; /* writes to a commit */
	unsigned page;	/* bytes */
};

struct work {
	const char *name;
	bool durable; /* recordfs: sync=always, else standard */
	bool apart;   /* each thread has a file of its own */
	enum unit unit;
	unsigned threads;
	unsigned ops;  /* of a thread, in a repetition; 0: as many as there is time for */
	size_t per_op; /* what the unit counts in an operation: things, or bytes; 0: entries */
	const struct load *load;
	struct yard yards[MAX_YARDS];
	unsigned reps;	    /* if fewer than others have */
	unsigned stall_max; /* milliseconds that recordfs may take for an operation; 0: any */
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
	size_t cold_size;  /* of the one that is read when it is not in memory */
};

/* One repetition; times in microseconds. */
struct sample {
	double rate; /* operations a second */
	double p50;
	double p99;
	double max;
	uint64_t ops;
	uint64_t written; /* bytes to the disk, also by taking the side down; of WRITTEN only */
};

/* One side of a work, while it lasts. */
struct run {
	const struct work *work;
	const struct yard *yard; /* NULL: recordfs */
	const struct load *load;
	enum side side;
	unsigned index; /* among the sides */
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
	uint64_t rss; /* the most memory that the daemon has used, bytes */
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
extern const struct load overwrite, log_frames, append, read_random, read_sequential, read_direct,
	read_first;
extern const struct load sequential, cold_sequential, cold_random, overwrite_settled,
	append_settled, sequential_settled;
extern const struct load create_files, stat_hot, stat_rested, open_files, list_rested, find_files,
	rename_files, unlink_files, make_dirs;
extern const struct load git_clone, tar_extract, copy_tree, grep_tree, remove_tree;
extern const struct load guest_commits;
/* Loads on SQLite alone. */
extern const struct load sql_overwrite, sql_sequential, sql_create, sql_cold_sequential,
	sql_overwrite_settled, sql_append_settled, sql_sequential_settled;

/* bench_run.c */
void run_init(void);
/* The next repetition: what is measured of it, after `before`. */
void run_repetition(struct run *r);

/* A MiB that is nowhere yet, so that nobody can see that nothing changed. */
const unsigned char *fresh_bytes(struct worker *w);
uint64_t pick(struct worker *w, uint64_t below);

/* bench_files.c: file number `number` of a side, for durable writing if the work is durable; and
 * filled with `size` bytes, in pieces of a MiB. */
int file_open(const struct run *r, unsigned number, int flags);
void file_make(const struct run *r, unsigned number, uint64_t size);
void file_write(const struct run *r, int fd, const void *bytes, size_t len, uint64_t at);
void file_read(const struct run *r, int fd, void *bytes, size_t len, uint64_t at);

/*
 * Bytes written to the disk so far. A process may be told too many: the kernel counts all of a
 * large folio when some of it is written. So may the disk: it is not ours alone. The smaller one is
 * nearer.
 */
struct written {
	uint64_t by_process; /* the daemon; else this one */
	uint64_t to_disk;
};

/* bench_sides.c: makes and takes down a side of a work, in its own directory below `base`. */
struct programs {
	const char *recordfs;
	const char *memfs;
};
extern const char *const side_names[];
void side_start(struct run *r, const char *base, const struct programs *programs);
/* The two steps of it: the directories, then the mount, if there is to be one. */
void side_make(struct run *r, const char *base);
void side_mount(struct run *r, const struct programs *programs);
struct written side_written(const struct run *r);
/* Returns what side_written() came to, with all that was still to be written. */
struct written side_stop(struct run *r);
/* Opens or mounts it anew; `cold`: after all that is in memory was dropped. */
void side_restart(struct run *r, const struct programs *programs, bool cold);
/* Runs a shell command in r->dir, with $TREE and $REP. */
void shell(const struct run *r, const char *command);

/* bench_system.c: what the kernel knows. */
uint64_t process_written(pid_t pid); /* bytes to the disk, also of one that has ended */
uint64_t process_rss_max(pid_t pid); /* bytes of memory, at most, so far */
uint64_t process_rss(pid_t pid);
uint64_t system_free(void);		 /* bytes of memory that one can have */
uint64_t disk_written(const char *path); /* bytes, of the disk that it is on; 0: not known */
/* Takes what was read or written out of memory: everything if that is allowed, else only files
 * below `dir`. And which of the two it is. */
void system_drop_caches(const char *dir);
const char *system_dropping(void);
bool system_forget(void); /* inodes and names that nobody uses; false: not allowed */

/* bench_sqlite.c: the same for SQLite, which has no daemon. */
void sql_open(struct run *r);
void sql_close(struct run *r);

/* bench_report.c: prints a work's line for each yardstick, and keeps it for the JSON. */
void report_begin(const struct scale *scale);
void report_work(const struct run *runs, unsigned n, unsigned reps);
void report_memory(uint64_t rss_max, const char *work);

/* Of the repetitions of one side: medians, and the longest operation of all. */
struct figures {
	double value; /* in the work's unit */
	double best;
	double p50;
	double p99;
	double longest;
};
double value_of(const struct run *r, unsigned rep);
struct figures figures_of(const struct run *r, unsigned reps);
/* Is the ratio as it is wanted? */
bool goal_met(const struct work *work, double ratio, double goal);

/* bench_json.c: the same, and every repetition, for other programs; tools/benchreport says what it
 * looks like. */
void json_begin(const struct scale *scale, const char *path);
void json_work(const struct run *runs, unsigned n, unsigned reps);
void json_end(uint64_t rss_max, const char *work);
