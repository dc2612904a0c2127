/*
 * A disk that remembers: a SQLite VFS that wraps the default one, becomes the default, and records
 * in order what is done to the files of one directory. power_image.h makes of the record what the
 * disk may hold when power fails at any point of it.
 *
 * Recorded are writes, changes of size, flushes and names, also what the store does past SQLite
 * with fallocate(2), renameat2(2) and fsync(2) of a directory: for that a program that uses this is
 * to be linked with --wrap of the three. Not recorded is sync_file_range(2), which makes nothing
 * durable, and the index of the log (-shm), which nobody needs after a crash.
 *
 * A write is recorded as whole sectors, with what the kernel's page cache has of them then: that is
 * what can be written back, not the bytes alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR 512u
#define DISK_FILES_MAX 128u
#define DISK_NAME_MAX 64u

enum disk_op_kind {
	DISK_WRITE,
	DISK_SIZE, /* truncated, or made larger */
	DISK_SYNC,
	DISK_SYNC_FAILED, /* fsync(2) failed: what was written before it may be lost for good */
	DISK_NAME,	  /* `file` was made, or has got another name instead of `old` */
	DISK_UNNAME,
	DISK_NAMES_SYNC, /* the directory was flushed */
};

struct disk_op {
	enum disk_op_kind kind;
	unsigned file;
	uint64_t at; /* DISK_WRITE, in whole sectors */
	size_t len;
	unsigned char *bytes;
	uint64_t size; /* DISK_WRITE, DISK_SIZE: of the file after it */
	/* Of the flushes: the operations that were over when it began, so those that it flushed.
	 * It stands where it ended. */
	size_t upto;
	char name[DISK_NAME_MAX]; /* in the directory */
	char old[DISK_NAME_MAX];
};

/* A file as it was, durably, when the record began. */
struct disk_base {
	unsigned char *bytes;
	uint64_t size;
	char name[DISK_NAME_MAX];
};

struct disk_record {
	struct disk_op *ops;
	size_t n;
	struct disk_base *base; /* of files [0, n_base) */
	unsigned n_base;
	unsigned n_files;
};

/* Registers the VFS under the name of SQLite's own, so that the store treats the file as it treats
 * plain files. Once, before any database is opened. */
void disk_install(void);

/* Records what happens in `dir` from now on. Nobody may have a file in it open. */
void disk_start(const char *dir);
/* The record so far; the caller's, to be freed. Files that are still open are not followed. */
struct disk_record *disk_stop(void);
void disk_free(struct disk_record *r);

/* How many operations there were. What has happened by now is durable at a cut there, or later. */
size_t disk_position(void);

/* How many operations of the kind there were, on the database or on its log. */
size_t disk_count(const struct disk_record *r, enum disk_op_kind kind, bool log);

/* To break things on purpose, and see it found: flushes that do nothing (but say that all is
 * well). */
enum disk_lie {
	DISK_HONEST,
	DISK_NO_LOG_SYNC,
	DISK_NO_DB_SYNC,
};
void disk_lie(enum disk_lie lie);
