/* recordfsctl: looks into mounts and stores. docs/recordfsctl.1 is its manual. */

#include "recordfsctl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *help;
} commands[] = {
	{"stats", ctl_stats, "[--json | --prometheus | --watch[=SECONDS]] MOUNTPOINT",
		"What a mount has counted and measured since it was made, and its last errors.\n"
		"  --json             as one JSON object\n"
		"  --prometheus       in the exposition format of Prometheus\n"
		"  --watch[=SECONDS]  what happens every second, or as often (0.01 to 86400 s), "
		"until\n"
		"                     interrupted: one screen on a terminal, which q ends as "
		"well,\n"
		"                     lines elsewhere\n"},
	{"report", ctl_report, "MOUNTPOINT",
		"The same as a page in HTML on standard output, with the last hour, what is "
		"cached\n"
		"by directory, and how long it stays: recordfsctl report DIR > report.html\n"},
	{"info", ctl_info, "[--blocks] FILE...",
		"How files on a mount are stored and cached: blocks, holes, checksums, TTL left.\n"
		"  --blocks           a line for each block, not for each range of like blocks\n"},
	{"warm", ctl_warm, "[--quiet] MOUNTPOINT [PATH...]",
		"Reads records, or all of them, into the caches of the daemon and the kernel, "
		"until\n"
		"the daemon's is full. A directory means all in it. For the owner of the mount.\n"
		"  -q, --quiet        no progress and no summary\n"},
	{"drop", ctl_drop, "[--quiet] MOUNTPOINT [PATH...]",
		"Takes records, or all of them, out of the caches of the daemon and the kernel.\n"
		"A directory means all in it. For the owner of the mount.\n"
		"  -q, --quiet        no progress on standard error\n"},
	{"set", ctl_set, "MOUNTPOINT NAME=VALUE...",
		"Changes options of a mount in use, all or none: cache_size, cache_ttl, sync,\n"
		"on_cache_error, as after -o of recordfs. For the owner of the mount.\n"},
	{"records", ctl_records, "[-l | -0 | --json] STORE|MOUNTPOINT [PATH]",
		"Lists the records of a store, or all below PATH, with all their directories.\n"
		"  -l, --long         with mode, links, uid, gid, size and time\n"
		"  --null, -0         paths as they are, with a NUL after each\n"
		"  --json             as a JSON array, an object a line\n"},
	{"sql", ctl_sql, "[--json | --csv] [--header] [--readonly] STORE|MOUNTPOINT QUERY",
		"Runs SQL on a store, mounted or not. path_ino(PATH), and path_dir(PATH) with\n"
		"path_name(PATH) for the view's parent and name, find a record without a scan.\n"
		"  --json             rows as a JSON array of objects\n"
		"  --csv              as comma-separated values, with a header\n"
		"  --header           the columns' names first\n"
		"  --readonly         refuse to change anything\n"},
	{"compact", ctl_compact, "[--quiet] STORE|MOUNTPOINT",
		"Gives the free space in a store back to the filesystem, mounted or not, in small\n"
		"steps between which others write.\n"
		"  -q, --quiet        no progress and no summary\n"},
	{"check", ctl_check, "[--quiet] [--repair] STORE|MOUNTPOINT",
		"Verifies the structure of a store and every checksum, without changing it; also\n"
		"while it is mounted. A line for each fault; exit status 1 if there is any.\n"
		"  -q, --quiet        no progress on standard error\n"
		"  --repair           mends what can be mended, of a store that nobody has open;\n"
		"                     exit status 1 if a fault is left\n"},
	{"backup", ctl_backup, "[--keep-going] [--quiet] [--rate=SIZE] STORE|MOUNTPOINT DEST",
		"Copies a store into a new file DEST, as it is at one moment; also while it is\n"
		"mounted and written to. The copy is verified before it gets its name.\n"
		"  -k, --keep-going   keep a copy that has faults as well, and end with exit "
		"status\n"
		"                     1\n"
		"  -q, --quiet        no progress, no summary\n"
		"  --rate=SIZE        bytes a second at most (K, M, G, T)\n"},
	{"export", ctl_export, "[--keep-going] [--quiet] [--output=FILE] STORE|MOUNTPOINT [PATH]",
		"Writes a record or a tree, or all of a store, as a tar stream to standard "
		"output,\n"
		"as it is at one moment; also while it is mounted and written to.\n"
		"  -k, --keep-going   leave out what cannot be read, tell of it, and end with "
		"exit\n"
		"                     status 1\n"
		"  -o, --output=FILE  into a new file instead\n"
		"  -q, --quiet        no progress on standard error\n"},
	{"import", ctl_import, "[OPTION...] STORE|MOUNTPOINT [PATH]",
		"Reads a tar stream from standard input into a store, or the directory PATH in "
		"it;\n"
		"also while it is mounted. Files that are there are replaced, directories stay. A\n"
		"STORE that is missing is made.\n"
		"  -f, --file=FILE    read FILE instead\n"
		"  -k, --keep         what is there stays as it is; exit status 1 if something "
		"was\n"
		"  -q, --quiet        no progress, no summary\n"
		"  --same-owner       owners are those of the archive (so it is for root)\n"
		"  --no-same-owner    all is owned by who imports it (so it is for others)\n"},
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int print_help(const char *command)
{
	const struct command *c = find(command);
	if (c)
		printf("usage: recordfsctl %s %s\n\n%s  -h, --help         this text\n", c->name,
			c->arguments, c->help);
	return DONE;
}

static int print_all_help(void)
{
	printf("usage: recordfsctl COMMAND [OPTION...] ARGUMENT...\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("recordfsctl %s %s\n", commands[i].name, commands[i].arguments);
	printf("\n"
	       "  -h, --help     this text; after a command, what it does\n"
	       "  -V, --version  the version of recordfs\n"
	       "\n"
	       "Exit status: 0 done, 1 failed or fault found, 2 wrong usage.\n");
	return DONE;
}

static int run(int argc, char **argv)
{
	if (argc < 2)
		return misused("which command?");
	const char *name = argv[1];
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "help") == 0)
		return argc > 2 && find(argv[2]) ? print_help(argv[2]) : print_all_help();
	if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
		printf("recordfsctl %s\n", RECORDFS_VERSION);
		return DONE;
	}
	const struct command *c = find(name);
	if (!c)
		return misused("there is no command '%s'", name);
	/* What getopt_long(3) begins its complaints with. */
	char prefix[32];
	snprintf(prefix, sizeof prefix, "recordfsctl: %s", c->name);
	argv[1] = prefix;
	return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE is told as a failed write */
	int status = run(argc, argv);
	/* A full disk behind standard output is a failure as well. */
	if (fflush(stdout) != 0 || ferror(stdout))
		status = complain("cannot write to standard output");
	return status;
}
