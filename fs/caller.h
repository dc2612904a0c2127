/*
 * What the groups of who asks mean for the setgid bit of a file. Linux keeps the bit for root and
 * for the file's group; it asks a FUSE filesystem for changes without looking at the groups itself,
 * save for chmod(2).
 */
#pragma once

#include "fs.h"

#include <stdbool.h>
#include <stdint.h>

/* Is the file setgid, and the caller neither root nor in its group? Also true when that cannot be
 * told. CAP_FSETID is not seen: root is taken to have it, and nobody else. May block. */
bool caller_kills_sgid(fuse_req_t req, uint64_t ino) MUST_CHECK NONNULL(1);

/*
 * The same for changes of data and of the owner, which need to know it only where the group may not
 * execute the file (elsewhere setgid always goes). Costs next to nothing for a file that the kernel
 * was never shown so. Where others set the bit, that is known with the next look at the attributes.
 */
bool caller_kills_idle_sgid(fuse_req_t req, uint64_t ino) MUST_CHECK NONNULL(1);
