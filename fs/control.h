/*
 * The control interface of a mount: ioctl(2) on any file or directory of it, open for reading.
 * Needs no libfuse; recordfsctl uses it. EPERM for all but the daemon's user and root.
 */
#pragma once

#include "cache/store/stats.h"

#include <linux/ioctl.h>
#include <stdint.h>

/* Of the structs below. A daemon of another version answers ENOTTY, for their sizes differ. */
#define RECORDFS_CONTROL_VERSION 1

#define RECORDFS_STATS_COUNT (sizeof(struct store_stats) / sizeof(uint64_t))
#define RECORDFS_STATS_MAX 64

struct recordfs_stats {
	uint32_t version;		     /* RECORDFS_CONTROL_VERSION */
	uint32_t n;			     /* values that count */
	uint64_t values[RECORDFS_STATS_MAX]; /* in the order of STORE_STATS */
	int64_t cache_ttl;		     /* nanoseconds */
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

#define RECORDFS_IOC_TYPE 'r' /* of all of them */
#define RECORDFS_IOC_STATS _IOR(RECORDFS_IOC_TYPE, 0x51, struct recordfs_stats)
#define RECORDFS_IOC_INFO _IOWR(RECORDFS_IOC_TYPE, 0x52, struct recordfs_info)
