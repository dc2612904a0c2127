/* recordfsctl backup [--keep-going] [--quiet] [--rate=SIZE] STORE|MOUNTPOINT DEST */

#include "cache/store/sqlite_backup.h"
#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct work {
	const char *dest;
	struct progress progress;
	bool verifying;
};

static bool show_copied(void *arg, uint64_t done, uint64_t total)
{
	struct work *w = arg;
	return progress_at(&w->progress, NULL, done, total);
}

static bool show_verified(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct work *w = arg;
	if (!w->verifying)
		progress_next(&w->progress, "verifying", PROGRESS_SHARE);
	w->verifying = true;
	return progress_at(&w->progress, step, done, total);
}

static void say_replaced(void *arg, const char *path)
{
	struct work *w = arg;
	progress_wipe(&w->progress);
	fputs("recordfsctl: ", stderr);
	print_path(stderr, path);
	fputs(" was left by a backup that was killed; it is made anew\n", stderr);
}

static void show_fault(void *arg, const struct sqlite_check_fault *f)
{
	struct work *w = arg;
	progress_wipe(&w->progress);
	fputs("recordfsctl: in the copy: ", stderr);
	if (f->path) {
		print_path(stderr, f->path);
		fputs(": ", stderr);
	}
	fprintf(stderr, "%s\n", f->what);
}

/* Is `path` on a mount of this very store? */
static bool on_mount_of(const struct stat *store, const char *path)
{
	struct recordfs_stats s = {0};
	struct statfs fs;
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ours = fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
		    ioctl(fd, RECORDFS_IOC_STATS, &s) >= 0;
	if (fd >= 0)
		close(fd);
	s.store[sizeof s.store - 1] = '\0';
	return ours && stat(s.store, &st) == 0 && st.st_dev == store->st_dev &&
	       st.st_ino == store->st_ino;
}

/* A copy in the store itself would become a part of what is copied, the next time. */
static bool inside(const struct target *t, const char *dest)
{
	struct stat store;
	char *dir = strdup(dest);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	if (slash)
		slash[slash == dir] = '\0';
	bool found = dir && stat(t->store, &store) == 0 && on_mount_of(&store, slash ? dir : ".");
	free(dir);
	return found;
}

struct options {
	uint64_t rate;
	bool keep_going, quiet;
};

static void show_summary(const char *dest, const struct sqlite_backup_summary *sum)
{
	char a[NUMBER_SIZE];
	print_path(stdout, dest);
	printf(": %s, ", size_of(sum->bytes, a));
	print_count(stdout, sum->check.inodes, "inode", "inodes");
	fputs(", ", stdout);
	print_count(stdout, sum->check.blocks, "block", "blocks");
	fputs(", ", stdout);
	if (sum->check.faults)
		print_count(stdout, sum->check.faults, "fault", "faults");
	else
		fputs("no faults", stdout);
	if (sum->log_grown)
		printf("; the store's log grew by %s meanwhile", size_of(sum->log_grown, a));
	putchar('\n');
}

/* A copy was made. */
static int finish(
	const char *dest, const struct sqlite_backup_summary *sum, const struct options *o)
{
	char n[NUMBER_SIZE];
	if (!o->quiet)
		show_summary(dest, sum);
	if (!sum->check.faults)
		return DONE;
	return complain("%s: the copy has %s %s, see above; recordfsctl check says whether the"
			" store has them as well; mend either, unmounted, with check --repair",
		dest, number(sum->check.faults, n), sum->check.faults == 1 ? "fault" : "faults");
}

static int backup(const char *argument, const char *dest, const struct options *o)
{
	struct target t;
	struct work w = {.dest = dest};
	const struct sqlite_check_handler check = {.fault = show_fault,
		.progress = show_verified,
		.working = interrupt_on_signal,
		.arg = &w};
	const struct sqlite_backup_config cfg = {.rate = o->rate,
		.keep_faulty = o->keep_going,
		.copied = show_copied,
		.replaced = say_replaced,
		.arg = &w,
		.check = &check};
	struct sqlite_backup_summary sum = {0};
	char why[SQLITE_STORE_WHY];
	if (target_find(argument, &t) < 0)
		return FAILED;
	int r = -EINVAL;
	if (inside(&t, dest)) {
		snprintf(why, sizeof why,
			"%s: lies in the store that it would be a copy of; name a file elsewhere",
			dest);
	} else {
		progress_begin(&w.progress, "copying", PROGRESS_BYTES, o->quiet);
		r = sqlite_backup(t.store, dest, &cfg, &sum, why, sizeof why);
		progress_end(&w.progress);
	}
	target_free(&t);
	return r < 0 ? complain("%s", why) : finish(dest, &sum, o);
}

int ctl_backup(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"keep-going", no_argument, NULL, 'k'},
		{"quiet", no_argument, NULL, 'q'},
		{"rate", required_argument, NULL, 'r'},
		{0},
	};
	struct options o = {0};
	int option;
	while ((option = getopt_long(argc, argv, "hkq", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("backup");
		if (option == 'q')
			o.quiet = true;
		else if (option == 'k')
			o.keep_going = true;
		else if (option != 'r')
			return misused_option();
		else if (!parse_size(optarg, &o.rate) || o.rate == 0)
			return misused("backup: --rate=%s is no size (64M)", optarg);
	}
	if (argc - optind != 2)
		return misused("backup: name a STORE or MOUNTPOINT, and a DEST");
	signal(SIGPIPE, SIG_IGN); /* or it would leave what it has begun */
	return backup(argv[optind], argv[optind + 1], &o);
}
