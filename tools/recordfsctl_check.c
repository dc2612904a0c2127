/* recordfsctl check STORE */

#include "cache/store/sqlite_repair.h"
#include "recordfsctl.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is on the terminal's last line: so much of it has to be wiped out before a line is printed.
 */
struct screen {
	FILE *out;
	bool terminal;
	bool dirty;
	const char *prefix; /* of the lines about faults */
	const char *doing;  /* "checking" */
	char last[80];
};

/* Set by a signal; the check then ends in order, and leaves no file behind. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

static void wipe(struct screen *s)
{
	if (s->dirty)
		fputs("\r\033[K", stderr);
	s->dirty = false;
	s->last[0] = '\0';
}

static bool show_progress(void *arg, const char *step, uint64_t done, uint64_t total)
{
	struct screen *s = arg;
	char line[sizeof s->last];
	if (!s->terminal)
		return !interrupted;
	if (total && done)
		snprintf(line, sizeof line, "%s %s: %" PRIu64 " %%", s->doing, step,
			(done < total ? done : total) * 100 / total);
	else
		snprintf(line, sizeof line, "%s %s", s->doing, step);
	if (strcmp(line, s->last) != 0) {
		fprintf(stderr, "\r\033[K%s", line);
		fflush(stderr);
		snprintf(s->last, sizeof s->last, "%s", line);
		s->dirty = true;
	}
	return !interrupted;
}

static void show(struct screen *s, const char *prefix, const struct sqlite_check_fault *f)
{
	wipe(s);
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
	char a[NUMBER_SIZE], b[NUMBER_SIZE], c[NUMBER_SIZE];
	print_path(stdout, path);
	printf(": %s inodes, %s names, %s blocks", number(sum->inodes, a), number(sum->names, b),
		number(sum->blocks, c));
	if (sum->unsummed)
		printf(" (%s of them without a checksum)", number(sum->unsummed, a));
	if (sum->orphans)
		printf(", %s deleted files still kept", number(sum->orphans, a));
	if (sum->faults == 0)
		printf(": no faults\n");
	else
		printf(": %s %s\n", number(sum->faults, a), sum->faults == 1 ? "fault" : "faults");
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
	screen->doing = "repairing";
	screen->prefix = "not mended: ";
	screen->out = tmpfile();
	if (!screen->out)
		return complain("%s: cannot make a temporary file: %s", path, strerror(errno));
	int r = sqlite_repair(path, handler, &sum, why, sizeof why);
	wipe(screen);
	if (r == 0)
		copy_to_stdout(screen->out);
	fclose(screen->out);
	screen->out = stdout;
	if (r < 0)
		return complain("%s", why);
	print_path(stdout, path);
	if (sum.mended)
		printf(": mended %s times", number(sum.mended, n));
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

static int check(const char *path, bool mend)
{
	struct screen screen = {.out = stdout,
		.terminal = isatty(STDERR_FILENO),
		.prefix = "",
		.doing = "checking"};
	struct sqlite_check_handler handler = {
		.fault = show_fault,
		.progress = show_progress,
		.mended = show_mended,
		.arg = &screen,
	};
	struct sqlite_check_summary sum;
	char why[SQLITE_STORE_WHY];
	catch_signals();
	int r = sqlite_check(path, &handler, &sum, why, sizeof why);
	wipe(&screen);
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
		{"help", no_argument, NULL, 'h'}, {"repair", no_argument, NULL, 'r'}, {0}};
	bool mend = false;
	int option;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("check");
		if (option != 'r')
			return misused_option();
		mend = true;
	}
	if (argc - optind != 1)
		return misused("check: name one STORE");
	return check(argv[optind], mend);
}
