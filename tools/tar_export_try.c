/* Can a file be read whole? An entry that has been begun in an archive cannot be taken back. */

#include "tar_export_internal.h"

#include <errno.h>

int tar_try_data(const struct tar_export *x, const struct store_attr *a, struct store_span *span,
	uint64_t bytes)
{
	uint64_t at = 0, data;
	int r = 0;
	while (r == 0 && at < a->size) {
		r = store_seek(x->store, a->ino, at, true, &data);
		if (r < 0)
			break;
		uint64_t block = data / STORE_BLOCK_SIZE;
		r = store_read(x->store, a->ino, block, READ_BLOCKS, span);
		if (r == 0)
			store_span_release(span);
		at = (block + READ_BLOCKS) * STORE_BLOCK_SIZE;
		if (r == 0 && x->progress && !x->progress(x->arg, bytes))
			r = -ECANCELED;
	}
	return r == -ENXIO ? 0 : r; /* a hole at the end */
}
