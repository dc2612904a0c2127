/*
 * The history of a mount (history.h) with a lock: any thread may read it. The watcher adds to it.
 */
#pragma once

#include "fs.h"
#include "history.h"

struct past;

/* -ENOMEM */
int past_new(struct past **ret) MUST_CHECK NONNULL(1);

/* Takes NULL. Returns NULL. */
struct past *past_free(struct past *p);

/* Adds what the mount has counted to its history, fs->past, if it is time for that. One thread. */
void past_tick(struct fs *fs) NONNULL(1);

/* history_read() */
uint32_t past_read(struct past *p, uint64_t *first, struct recordfs_sample *ret,
	uint32_t max) MUST_CHECK NONNULL(1, 2, 3);
