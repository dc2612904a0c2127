/*
 * recordfs: mounts a SQLite database as a directory.
 */
#include "daemon.h"
#include "fuse.h"
#include "log.h"
#include "options.h"
#include "session.h"
#include "stack.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define EXIT_USAGE 2

static int complain(const char *errmsg, int status)
{
	log_line(LOG_ERR, "%s", errmsg);
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
	daemon_serves_memory();
	if (session_run(o, daemon_ready, errmsg, sizeof errmsg) < 0)
		return complain(errmsg, EXIT_FAILURE);
	return EXIT_SUCCESS;
}

/*
 * malloc(3) keeps what was freed in arenas. Blocks come from whichever thread reads or writes, and
 * go when others evict them; so with more than one arena, each keeps what another could use: 605
 * MiB resident were seen with a cache of 256 MiB and 24 threads, and two arenas still took 40 MiB
 * more than one. Its top grows by TOP_PAD, not page by page, and is given back when so much is
 * free. Buffers for requests are mapped, which would else be a matter of what was freed before.
 */
#define ARENAS 1
#define TOP_PAD (1 << 20)
#define TRIM_THRESHOLD (4 << 20)
#define MMAP_THRESHOLD (512 << 10)

static void set_up_malloc(void)
{
	mallopt(M_ARENA_MAX, ARENAS);
	mallopt(M_TOP_PAD, TOP_PAD);
	mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
}

int main(int argc, char *argv[])
{
	struct options o = {0};
	if (daemon_standard_fds() < 0)
		return EXIT_FAILURE; /* there may be nowhere to say so */
	set_up_malloc();
	log_start();
	int status = run(argc, argv, &o);
	options_fini(&o);
	return status;
}
