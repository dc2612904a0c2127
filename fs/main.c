/*
 * recordfs: mounts a SQLite database as a directory.
 */
#include "daemon.h"
#include "fuse.h"
#include "options.h"
#include "session.h"
#include "stack.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

static int complain(const char *errmsg, int status)
{
	fprintf(stderr, "recordfs: %s\n", errmsg);
	return status;
}

static int run(int argc, char *argv[], struct options *o)
{
	char errmsg[OPTIONS_ERROR_MAX];
	if (options_parse(o, argc, argv, errmsg, sizeof errmsg) < 0)
		return complain(errmsg, EXIT_USAGE);
	if (o->help || o->version) {
		if (o->help)
			fputs(options_help, stdout);
		else
			printf("recordfs %s\nlibfuse %s\n", RECORDFS_VERSION, fuse_pkgversion());
		return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	if (stack_check(o, errmsg, sizeof errmsg) < 0)
		return complain(errmsg, EXIT_USAGE);
	if (options_check(o, errmsg, sizeof errmsg) < 0)
		return complain(errmsg, EXIT_FAILURE);
	/* Everything else is the child's: neither SQLite nor a thread may be taken across a fork.
	 */
	int r = daemon_fork(o->foreground);
	if (r < 0) {
		snprintf(errmsg, sizeof errmsg, "cannot go to the background: %s", strerror(-r));
		return complain(errmsg, EXIT_FAILURE);
	}
	if (session_run(o, daemon_ready, errmsg, sizeof errmsg) < 0)
		return complain(errmsg, EXIT_FAILURE);
	return EXIT_SUCCESS;
}

/*
 * Arenas of malloc(3). Blocks come from whichever thread reads or writes, and go when they are
 * evicted; with an arena a thread, as is the default, each keeps what others could use: 605 MiB
 * resident were seen with a cache of 256 MiB and 24 threads.
 */
#define ARENAS 2

int main(int argc, char *argv[])
{
	struct options o = {0};
	mallopt(M_ARENA_MAX, ARENAS);
	int status = run(argc, argv, &o);
	options_fini(&o);
	return status;
}
