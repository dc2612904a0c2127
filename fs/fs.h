/*
 * What all operations share: the store that they translate to, what the kernel knows, the threads
 * beside them. One of these is the user data of the libfuse session.
 */
#pragma once

#include "cache/store/meter.h"
#include "cache/store/store.h"
#include "fuse.h"
#include "gather.h"
#include "inodes.h"
#include "latency.h"
#include "notify.h"
#include "options.h"
#include "reaper.h"
#include "renames.h"
#include "room.h"
#include "settings.h"

#include <stdatomic.h>

struct fs {
	/* constant while requests are served */
	const struct options *options;
	struct store *store;
	struct inodes *inodes;
	struct notify *notify;
	struct reaper *reaper;
	struct gather *gather; /* of small writes */
	struct renames *renames;
	struct room *room;
	struct meter *meter;	  /* of the store below the cache */
	struct latency *latency;  /* of requests */
	struct past *past;	  /* what was counted lately; NULL: nobody asks */
	int64_t mounted;	  /* when it was, by the monotonic clock */
	struct settings settings; /* what may have changed of the options since */
	struct fuse_session *se;

	atomic_uint_least64_t read_requests;
	atomic_uint_least64_t write_requests;
	/* Told of by the store. While a request is under way it is also what says whether something
	 * came in between: see reply_begin(). */
	atomic_uint_least64_t outside_changes;
	/* The kernel has just been told to drop everything, and the watcher is to have it do so
	 * once more, for the sake of replies that had just left. */
	atomic_bool echo_all;
	/* Set before the first other request: */
	bool kernel_drops_written; /* see reply_written() */
	int64_t entry_ttl_max;	   /* of entries in the kernel, nanoseconds; see op_init() */
	bool initialised; /* INIT was processed; the thread that serves it reads and writes this */
};

/* Every operation that recordfs has, for fuse_session_new(); its user data is a struct fs. */
extern const struct fuse_lowlevel_ops fs_operations;
