/* What others have changed: other mounts of the store, and SQL clients. */

#include "sqlite_internal.h"

int sq_poll(struct store *store, store_event_fn *fn, void *arg)
{
	(void)store;
	(void)fn;
	(void)arg;
	return 0;
}
