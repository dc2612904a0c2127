/*
 * The control interface of a mount: ioctl(2) on any file or directory of it, open for reading.
 * Needs no libfuse; recordfsctl uses it. EPERM for all but the daemon's user and root.
 */
#pragma once

#include "cache/store/histogram.h"
#include "cache/store/stats.h"

#include <linux/ioctl.h>
#include <stdint.h>

/* Of the structs below. A daemon of another version answers ENOTTY, for their sizes differ. */
#define RECORDFS_CONTROL_VERSION 2

#define RECORDFS_STATS_COUNT (sizeof(struct store_stats) / sizeof(uint64_t))
#define RECORDFS_STATS_MAX 64

struct recordfs_stats {
	uint32_t version;		     /* RECORDFS_CONTROL_VERSION */
	uint32_t n;			     /* values that count */
	uint64_t values[RECORDFS_STATS_MAX]; /* in the order of STORE_STATS */
	int64_t cache_ttl;		     /* nanoseconds */
	int64_t uptime;			     /* nanoseconds since the mount was made */
	char release[32];		     /* of the daemon */
	char sync[16];			     /* always, standard, disabled */
	char options[1024];		     /* as after -o: all that recordfs itself knows */
	char fault[1024];		     /* the faults that are injected, or "" */
	char store[4096];		     /* absolute path of the database file */
};

#define RECORDFS_INFO_MAX 256
#define RECORDFS_BLOCK_HAS_SUM 1u
#define RECORDFS_BLOCK_CACHED 2u
struct recordfs_block {
	uint64_t index;
	uint64_t sum;
	int64_t ttl_left; /* nanoseconds, if cached */
	uint32_t len;
	uint32_t flags;
};
struct recordfs_info {
	uint64_t first; /* in: block to begin with; out: block to go on with */
	uint32_t count; /* in: blocks to look at, RECORDFS_INFO_MAX at most */
	uint32_t n;	/* out: how many of them exist */
	uint64_t ino;	/* out, and all below */
	uint64_t size;	/* bytes */
	uint64_t blocks;
	uint64_t version;
	int64_t ttl; /* nanoseconds that hold for this record */
	uint32_t block_size;
	uint32_t own_ttl; /* 1: the record's own, not the mount's */
	struct recordfs_block block[RECORDFS_INFO_MAX];
};

/* What was measured: how long requests take, and what the store is asked; changes of a commit. They
 * are asked for from the `first` on until there are no more (n == 0). */
#define RECORDFS_HISTOGRAMS 13
enum recordfs_histogram_kind {
	RECORDFS_REQUEST, /* nanoseconds of a FUSE operation */
	RECORDFS_STORE,	  /* nanoseconds of an operation of the store, below the cache */
	RECORDFS_GROUP,	  /* changes of a transaction */
};
struct recordfs_histogram {
	char name[24];
	uint32_t kind;
	uint32_t unused;
	uint64_t errors; /* requests: answers that were an errno */
	uint64_t failed; /* of these EIO and ENOSPC */
	uint64_t sum;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS]; /* cache/store/histogram.h */
};
struct recordfs_histograms {
	uint32_t version; /* RECORDFS_CONTROL_VERSION */
	uint32_t first;	  /* in */
	uint32_t n;
	uint32_t unused;
	struct recordfs_histogram histogram[RECORDFS_HISTOGRAMS];
};

/* The last failures of the store, the newest first. */
#define RECORDFS_ERRORS 16
struct recordfs_error {
	int64_t first; /* nanoseconds since 1970 */
	int64_t last;
	uint64_t times;
	uint64_t ino;	/* 0: about no record */
	int64_t offset; /* bytes; -1: not about a place */
	int32_t error;	/* positive errno */
	int32_t code;	/* the store's own; for SQLite its extended result code. 0: none */
	char code_name[40];
	char op[24];
	char path[888]; /* from the root of the store; the end of one that is longer. "": not known
			 */
};
struct recordfs_errors {
	uint32_t version;
	uint32_t n;
	struct recordfs_error error[RECORDFS_ERRORS];
};

/* What the mount has done lately: counters as in recordfs_stats, every ten seconds for an hour.
 * They are asked for from the `first` on, then from first + n on, until there are no more (n == 0).
 */
#define RECORDFS_SAMPLES 120
struct recordfs_sample {
	int64_t at;	   /* nanoseconds since the mount was made */
	uint64_t requests; /* of any kind */
	uint64_t read_requests;
	uint64_t write_requests;
	uint64_t hits;
	uint64_t misses; /* also of what was past its TTL */
	uint64_t commits;
	uint64_t changes; /* that were committed */
	uint64_t flushes;
	uint64_t failures; /* of the store, of checksums, of updates of the cache */
	uint64_t cache_bytes;
	uint64_t dropped; /* blocks, to make room or because they changed */
};
struct recordfs_history {
	uint32_t version; /* RECORDFS_CONTROL_VERSION */
	uint32_t n;
	uint64_t first; /* in; out: it is higher when older ones are not kept any more */
	struct recordfs_sample sample[RECORDFS_SAMPLES];
};

/* What is cached, and for how long still: some of it with each call, from cursor 0 on until it is
 * RECORDFS_CACHED_END. An inode may come in several calls, and twice in one. */
#define RECORDFS_CACHED_MAX 980
#define RECORDFS_CACHED_END UINT64_MAX
#define RECORDFS_TTL_BUCKETS 40
struct recordfs_cached_inode {
	uint64_t ino;
	uint32_t blocks; /* of data */
	uint32_t bytes;	 /* of memory, also of attributes */
};
struct recordfs_cached {
	uint32_t version;
	uint32_t n;
	uint64_t cursor; /* in, out */
	int64_t step;	 /* in: nanoseconds, not 0 */
	/* Of the blocks of this call: [0] past their TTL; [i] those with up to i steps left; [of
	 * the last] any that have more than those before it */
	uint64_t ttl[RECORDFS_TTL_BUCKETS];
	struct recordfs_cached_inode inode[RECORDFS_CACHED_MAX];
};

/* Where a record is now. */
struct recordfs_path {
	uint64_t ino;	 /* in */
	char path[4096]; /* out: from the root of the store; "": it has none, or one that is longer
			  */
};

#define RECORDFS_IOC_TYPE 'r' /* of all of them */
#define RECORDFS_IOC_STATS _IOR(RECORDFS_IOC_TYPE, 0x51, struct recordfs_stats)
#define RECORDFS_IOC_INFO _IOWR(RECORDFS_IOC_TYPE, 0x52, struct recordfs_info)
#define RECORDFS_IOC_HISTOGRAMS _IOWR(RECORDFS_IOC_TYPE, 0x58, struct recordfs_histograms)
#define RECORDFS_IOC_ERRORS _IOR(RECORDFS_IOC_TYPE, 0x59, struct recordfs_errors)
#define RECORDFS_IOC_HISTORY _IOWR(RECORDFS_IOC_TYPE, 0x5a, struct recordfs_history)
#define RECORDFS_IOC_CACHED _IOWR(RECORDFS_IOC_TYPE, 0x5b, struct recordfs_cached)
#define RECORDFS_IOC_PATH _IOWR(RECORDFS_IOC_TYPE, 0x5c, struct recordfs_path)

/* Drops all that is cached of the inodes named, or of all there are, in the daemon and in the
 * kernel: blocks, pages, attributes and, where the kernel can, entries. Done when it returns. */
#define RECORDFS_DROP_MAX 1024
struct recordfs_drop {
	uint32_t all; /* 1: everything, and n is 0 */
	uint32_t n;
	uint64_t ino[RECORDFS_DROP_MAX];
};

/* Reads blocks of the file into the daemon's cache, and keeps them there: see cache/cache.h. */
#define RECORDFS_WARM_MAX 256
#define RECORDFS_WARM_FULL 1u  /* there is no room any more: nothing was read, or less kept */
#define RECORDFS_WARM_NEVER 2u /* the record is never cached: its TTL is 0 */
struct recordfs_warm {
	uint64_t first;
	uint32_t count;	  /* in: blocks, 1 ... RECORDFS_WARM_MAX */
	uint32_t session; /* in: 0, or what the call before has answered; out */
	uint32_t blocks;  /* out, and all below: so many there are in the range */
	uint32_t kept;
	uint32_t flags;
	uint32_t unused;
};

/* Changes options of the mount, all or none. */
struct recordfs_set {
	char text[1024];    /* in: "cache_size=64M,sync=standard", see options_change() */
	char options[1024]; /* out: as in recordfs_stats, after it */
	char why[512];	    /* out: one line, if error is not 0 */
	int32_t error;	    /* out: an errno, nothing was changed; or 0 */
	uint32_t unused;
};

#define RECORDFS_IOC_DROP _IOW(RECORDFS_IOC_TYPE, 0x53, struct recordfs_drop)
#define RECORDFS_IOC_WARM _IOWR(RECORDFS_IOC_TYPE, 0x54, struct recordfs_warm)
#define RECORDFS_IOC_SET _IOWR(RECORDFS_IOC_TYPE, 0x55, struct recordfs_set)
