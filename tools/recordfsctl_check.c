/* recordfsctl check [--quiet] [--repair] STORE|MOUNTPOINT */

#include "cache/store/sqlite_repair.h"
#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static void interrupt(void *db)
{
	sqlite3_interrupt(db);
}

void interrupt_on_signal(void *arg, struct sqlite3 *db)
{
	(void)arg;
	progress_on_signal(db ? interrupt : NULL, db);
}

/* Where lines about faults go, and the progress that is in their way on a terminal. */
struct screen {
	FILE *out;
	const char *prefix; /* of the lines about faults */
	struct progress progress;
};

static bool show_progress(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct screen *s = arg;
	return progress_at(&s->progress, step, done, total);
}

static void show(struct screen *s, const char *prefix, const struct sqlite_check_fault *f)
{
	progress_wipe(&s->progress);
	fputs(prefix, s->out);
	if (f->path) {
		print_path(s->out, f->path);
		fputs(": ", s->out);
	}
	if (f->ino)
		fprintf(s->out, "inode %" PRId64, (int64_t)f->ino);
	else
		fputs("store", s->out);
	if (f->offset >= 0)
		fprintf(s->out, ", offset %" PRId64, f->offset);
	fprintf(s->out, ": %s\n", f->what);
	fflush(s->out);
}

static void show_fault(void *arg, const struct sqlite_check_fault *f)
{
	struct screen *s = arg;
	show(s, s->prefix, f);
}

static void show_mended(void *arg, const struct sqlite_check_fault *done)
{
	show(arg, "mended: ", done);
}

static void show_summary(const char *path, const struct sqlite_check_summary *sum)
{
	char text[NUMBER_SIZE];
	print_path(stdout, path);
	fputs(": ", stdout);
	print_count(stdout, sum->inodes, "inode", "inodes");
	fputs(", ", stdout);
	print_count(stdout, sum->names, "name", "names");
	fputs(", ", stdout);
	print_count(stdout, sum->blocks, "block", "blocks");
	if (sum->unsummed)
		printf(" (%s of them without a checksum)", number(sum->unsummed, text));
	if (sum->orphans) {
		fputs(", ", stdout);
		print_count(stdout, sum->orphans, "deleted file", "deleted files");
		fputs(" still kept", stdout);
	}
	fputs(": ", stdout);
	if (sum->faults)
		print_count(stdout, sum->faults, "fault", "faults");
	else
		fputs("no faults", stdout);
	putchar('\n');
}

static void copy_to_stdout(FILE *from)
{
	char some[4096];
	size_t n;
	rewind(from);
	while ((n = fread(some, 1, sizeof some, from)) > 0)
		fwrite(some, 1, n, stdout);
}

/* A store that the check has found faults in. What was mended is told when all of it is done:
 * before, it may still come to nothing. */
static int repair(const char *path, struct screen *screen, struct sqlite_check_handler *handler)
{
	struct sqlite_repair_summary sum;
	char why[SQLITE_STORE_WHY], n[NUMBER_SIZE];
	progress_next(&screen->progress, "repairing", PROGRESS_SHARE);
	screen->prefix = "not mended: ";
	screen->out = tmpfile();
	if (!screen->out)
		return complain("%s: cannot make a temporary file: %s", path, strerror(errno));
	int r = sqlite_repair(path, handler, &sum, why, sizeof why);
	progress_wipe(&screen->progress);
	if (r == 0)
		copy_to_stdout(screen->out);
	fclose(screen->out);
	screen->out = stdout;
	if (r < 0)
		return complain("%s", why);
	print_path(stdout, path);
	if (sum.mended)
		printf(": mended %s %s", number(sum.mended, n), sum.mended == 1 ? "time" : "times");
	else
		fputs(": nothing could be mended", stdout);
	if (sum.damaged[0]) {
		fputs("; the damaged store is now ", stdout);
		print_path(stdout, sum.damaged);
	}
	putchar('\n');
	show_summary(path, &sum.check);
	return sum.check.faults == 0 ? DONE : FAILED;
}

static int check(const char *path, bool mend, bool quiet)
{
	struct screen screen = {.out = stdout, .prefix = ""};
	struct sqlite_check_handler handler = {
		.fault = show_fault,
		.progress = show_progress,
		.working = interrupt_on_signal,
		.mended = show_mended,
		.arg = &screen,
	};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY];
	progress_begin(&screen.progress, "checking", PROGRESS_SHARE, quiet);
	int r = sqlite_check(path, &handler, &sum, why, sizeof why);
	progress_end(&screen.progress);
	if (r < 0)
		return complain("%s", why);
	show_summary(path, &sum);
	if (sum.faults == 0)
		return DONE;
	return mend ? repair(path, &screen, &handler) : FAILED;
}

int ctl_check(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"quiet", no_argument, NULL, 'q'},
		{"repair", no_argument, NULL, 'r'},
		{0},
	};
	bool mend = false, quiet = false;
	int option;
	while ((option = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("check");
		if (option == 'q')
			quiet = true;
		else if (option == 'r')
			mend = true;
		else
			return misused_option();
	}
	if (argc - optind != 1)
		return misused("check: name one STORE or MOUNTPOINT");
	struct target t;
	if (!target_is_mountpoint(argv[optind]))
		return check(argv[optind], mend, quiet);
	if (mend)
		return complain(
			"%s: a directory; --repair needs the STORE, unmounted", argv[optind]);
	if (target_find_mount(argv[optind], &t) < 0)
		return FAILED;
	int status = check(t.store, false, quiet);
	target_free(&t);
	return status;
}
