/* What the files of recordfsctl share: one command, one file. */
#pragma once

#include "cache/store/compiler.h"
#include "fs/control.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit status, of every command. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* The commands; argv[0] is the command's name. They return the exit status. */
int ctl_stats(int argc, char **argv) MUST_CHECK;
int ctl_report(int argc, char **argv) MUST_CHECK;
int ctl_info(int argc, char **argv) MUST_CHECK;
int ctl_check(int argc, char **argv) MUST_CHECK;
int ctl_backup(int argc, char **argv) MUST_CHECK;
int ctl_warm(int argc, char **argv) MUST_CHECK;
int ctl_drop(int argc, char **argv) MUST_CHECK;
int ctl_set(int argc, char **argv) MUST_CHECK;
int ctl_records(int argc, char **argv) MUST_CHECK;
int ctl_sql(int argc, char **argv) MUST_CHECK;
int ctl_compact(int argc, char **argv) MUST_CHECK;
int ctl_export(int argc, char **argv) MUST_CHECK;
int ctl_import(int argc, char **argv) MUST_CHECK;

struct sqlite3;
/* For struct sqlite_check_handler: a signal stops SQLite at once. */
void interrupt_on_signal(void *arg, struct sqlite3 *db);

/* One line on standard error, "recordfsctl: ..."; returns FAILED. */
int complain(const char *format, ...) PRINTF_LIKE(1, 2);
/* The same for a command line that cannot be understood, and how to go on; returns USAGE. */
int misused(const char *format, ...) PRINTF_LIKE(1, 2);
/* What getopt_long(3) has complained about already; returns USAGE. */
int misused_option(void);

/* Prints how to use the command; returns DONE. */
int print_help(const char *command);

/* A file of a mount, open for the calls of fs/control.h. On failure it has complained and returns
 * -1; `path` is not on a recordfs mount, or cannot be opened. */
int open_on_mount(const char *path) MUST_CHECK;
/* The ioctl; `path` is for the complaint. 0, or -1 with errno after a complaint. */
int ask_mount(int fd, const char *path, unsigned long request, void *arg) MUST_CHECK;

/* A path with the bytes that could harm a terminal, or be taken for an end of line, escaped as
 * \ooo; a backslash is doubled. */
void print_path(FILE *out, const char *path);

/* "64M" -> bytes; letters K, M, G, T of either case. False: it is no size. */
bool parse_size(const char *text, uint64_t *ret) MUST_CHECK;

/* Text in buf, which is returned: 1,234,567; 12.3 MiB; 2.5 s. */
enum { NUMBER_SIZE = 40 };
const char *number(uint64_t value, char buf[NUMBER_SIZE]);
const char *size_of(uint64_t bytes, char buf[NUMBER_SIZE]);
const char *seconds_of(int64_t nanoseconds, char buf[NUMBER_SIZE]);

/* "1 inode", "1,234 inodes". */
void print_count(FILE *out, uint64_t n, const char *one, const char *many);
