/* What the files of the export share. */
#pragma once

#include "tar_export.h"

struct archive_entry;

/* Blocks that are read at a time. */
#define READ_BLOCKS 256u

/* Clears the entry and gives it the name in the archive, owner, mode, size, times. */
void tar_set_stat(struct archive_entry *e, const char *path, const struct store_attr *a)
	NONNULL(1, 2, 3);

/* Reads all data of a regular file into `span`, for nothing but to know whether that works.
 * `bytes` is what the progress shows meanwhile. -ECANCELED: it said stop; or what a store answers.
 */
int tar_try_data(const struct tar_export *x, const struct store_attr *a, struct store_span *span,
	uint64_t bytes) MUST_CHECK NONNULL(1, 2, 3);
