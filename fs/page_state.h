/*
 * Which version of an inode the data is of that the kernel keeps of it.
 *
 * Our own changes make the version grow and leave that data right: the kernel drops or alters what
 * they concern. A version that has grown by more says that others have altered the inode, though
 * nobody may have been told yet. The kernel must then not be told of a new size while it keeps the
 * old data: it would show zeros that nobody has written where the file has grown.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: not known. What is heard of next is taken for it. */
struct page_state {
	uint64_t version;
	uint64_t own;	   /* bit n: version + 2 + n is a change of ours; the next one is not */
	uint32_t changing; /* changes of ours that are under way */
	uint32_t doubtful; /* changes of ours that may have made a version, nobody knows which */
};

/* A change of ours begins; has made it `version`, in any order; ends, after that was said. Where
 * the version says nothing it is not used. */
void page_state_begin(struct page_state *p, uint64_t unused) NONNULL(1);
void page_state_changed(struct page_state *p, uint64_t version) NONNULL(1);
void page_state_end(struct page_state *p, uint64_t unused) NONNULL(1);

/* A change of ours failed, but may be in the store; before its end is said. The kernel drops the
 * data, but reads that began before it still bring the version that it had. */
void page_state_doubt(struct page_state *p, uint64_t unused) NONNULL(1);

/* Others have altered the inode, and the kernel is told what to drop. */
void page_state_told(struct page_state *p, uint64_t unused) NONNULL(1);

/* Does the data go with this version, as far as one can tell? */
bool page_state_agrees(struct page_state *p, uint64_t version) MUST_CHECK NONNULL(1);
