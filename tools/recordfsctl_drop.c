/* recordfsctl drop MOUNTPOINT [PATH...] */

#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_walk.h"

#include <stdlib.h>
#include <unistd.h>

struct dropping {
	const struct target *target;
	int fd; /* on the mount */
	struct progress progress;
	uint64_t dropped;
	bool failed;
	struct recordfs_drop batch;
};

static bool send_batch(struct dropping *d)
{
	if (d->batch.n == 0)
		return true;
	d->failed = ask_mount(d->fd, d->target->name, RECORDFS_IOC_DROP, &d->batch) < 0;
	d->dropped += d->batch.n;
	d->batch.n = 0;
	return !d->failed;
}

static bool add(void *arg, const struct walk_item *item)
{
	struct dropping *d = arg;
	d->batch.ino[d->batch.n++] = item->ino;
	if (d->batch.n == RECORDFS_DROP_MAX && !send_batch(d))
		return false;
	return progress_at(&d->progress, NULL, d->dropped + d->batch.n, 0);
}

static int drop_path(struct dropping *d, const char *argument)
{
	char *path = target_path(d->target, argument);
	if (!path)
		return FAILED;
	int r = walk_mount(d->target, path, add, d);
	free(path);
	if (!d->failed)
		(void)!send_batch(d); /* what it was interrupted in as well: it does no harm */
	return r == 0 && !d->failed ? DONE : FAILED;
}

static int drop_all(struct dropping *d)
{
	d->batch.all = 1;
	return ask_mount(d->fd, d->target->name, RECORDFS_IOC_DROP, &d->batch) < 0 ? FAILED : DONE;
}

static int drop(const struct target *t, int n, char **paths, bool quiet)
{
	struct dropping *d = calloc(1, sizeof *d);
	int status = DONE;
	if (!d)
		return complain("no memory");
	d->target = t;
	d->fd = open_on_mount(t->name);
	if (d->fd < 0) {
		free(d);
		return FAILED;
	}
	progress_begin(&d->progress, "dropping", PROGRESS_COUNT, quiet);
	if (n == 0)
		status = t->place.below[1] ? drop_path(d, t->place.below) : drop_all(d);
	for (int i = 0; i < n && !interrupted() && !d->failed; i++)
		if (drop_path(d, paths[i]) != DONE)
			status = FAILED;
	progress_end(&d->progress);
	if (interrupted())
		status = complain("drop: interrupted; the rest is still cached");
	close(d->fd);
	free(d);
	return status;
}

int ctl_drop(int argc, char **argv)
{
	return target_run(argc, argv, "drop", drop);
}
