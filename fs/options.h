/*
 * The command line. What is asked for is taken apart here and nowhere else; an unknown option or a
 * bad value is refused with one line that names it.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum options_sync {
	OPTIONS_SYNC_ALWAYS,
	OPTIONS_SYNC_STANDARD,
	OPTIONS_SYNC_DISABLED,
};

struct options {
	char *store;	  /* as given; absolute after options_check() */
	char *mountpoint; /* the same */
	bool help, version;
	bool foreground, debug, single_threaded;
	bool readonly;
	bool nonempty;	/* may cover another recordfs */
	int unwritable; /* why a mount that was to be writable is not, an errno; 0: it is */
	bool drop_on_error;
	bool sandbox;
	enum options_sync sync;
	uint64_t cache_size;  /* bytes */
	uint64_t max_size;    /* bytes, 0: no limit */
	int64_t cache_ttl_ns; /* 0: never serve from a cache */
	int64_t watch_ns;     /* 0: off */
	unsigned max_read;    /* bytes, 0: as large as possible */
	char *fault;	      /* what fault= says, or NULL */
	bool own_fsname;      /* fsname= was given; else the store's path becomes it */
	char *mount;	      /* -o for libfuse: what is handed on, and what we add */
};

/* Room for the one line that says what is wrong. */
#define OPTIONS_ERROR_MAX 512

/*
 * Takes the command line apart. -EINVAL with a line in errmsg: it is wrong. With help or version
 * nothing else is looked at. The caller frees with options_fini(), also after an error.
 */
int options_parse(struct options *o, int argc, char *argv[], char *errmsg,
	size_t errmsg_size) MUST_CHECK NONNULL(1, 3, 4);

/*
 * Looks at what can be known before anything is created: the mountpoint is a directory and no
 * recordfs is mounted on it (one whose daemon has died is unmounted, and a line says so), the
 * store's directory exists, the store is not inside the mountpoint, what is needed to write it can
 * be written. A store that can only be read becomes `readonly`. Makes both paths absolute. A
 * negative errno with a line in errmsg.
 */
int options_check(struct options *o, char *errmsg, size_t errmsg_size) MUST_CHECK NONNULL(1, 2);

/*
 * Changes what can be changed while mounted: `text` is "cache_size=64M,sync=standard", of
 * cache_size, cache_ttl, sync and on_cache_error. All of it, or nothing: -EINVAL with a line in
 * errmsg.
 */
int options_change(struct options *o, const char *text, char *errmsg, size_t errmsg_size) MUST_CHECK
	NONNULL(1, 2, 3);

/* "always", ... */
const char *options_sync_name(enum options_sync sync) MUST_CHECK;

/* What --help says. */
extern const char options_help[];

void options_fini(struct options *o) NONNULL(1);

/* Parts that tests look at. "64M" -> bytes; "2.5" -> nanoseconds (units of `unit` ns). */
int options_parse_size(const char *text, uint64_t *ret) MUST_CHECK NONNULL(1, 2);
int options_parse_time(const char *text, int64_t unit, int64_t *ret) MUST_CHECK NONNULL(1, 3);
