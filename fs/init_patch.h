/*
 * libfuse before 3.17 cannot ask the kernel for FOPEN_DIRECT_IO handles that may be mapped, and
 * forgets to ask for parallel directory operations. So the answer to INIT is completed on its way
 * to the kernel, with each of the two only if the kernel has offered it.
 */
#pragma once

#include "cache/store/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The two halves of it, on messages as the kernel has them; wire.c has both pass here, but for a
 * libfuse that can do it all by itself. */
struct init_offer {
	bool seen;	 /* an INIT request, whose answer is to come */
	uint64_t unique; /* its number */
	uint64_t flags;	 /* what the kernel offered */
};
void init_patch_request(struct init_offer *offer, const void *msg, size_t len) NONNULL(1, 2);

/* Is this the answer? Then completes it: `out` (`out_size` bytes) becomes the message. */
bool init_patch_answer(struct init_offer *offer, const struct iovec *iov, int count, void *out,
	size_t out_size, size_t *ret_len) MUST_CHECK NONNULL(1, 2, 4, 6);
