/*
 * recordfsctl stats --watch: on a terminal one screen that is drawn anew, elsewhere a line for each
 * interval. Figures are of the interval, not since the mount.
 */

#include "recordfsctl_keys.h"
#include "recordfsctl_stats.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static volatile sig_atomic_t suspended;

/* Those that end it, and the one that comes again. */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM};

/* Again every second: one that comes just before write(2) would not end it, if nobody reads. */
static void on_signal(int number)
{
	(void)number;
	stopped = 1;
	alarm(1);
}

/* Ctrl-Z. */
static void on_suspend(int number)
{
	(void)number;
	suspended = 1;
}

static void catch_signal(int number, void (*handler)(int))
{
	/* A stop is not to be noticed by what is being written. */
	struct sigaction action = {
		.sa_handler = handler, .sa_flags = number == SIGTSTP ? SA_RESTART : 0};
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

static void catch_signals(bool terminal)
{
	struct sigaction before;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		catch_signal(ending[i], on_signal);
	if (terminal && sigaction(SIGTSTP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
		catch_signal(SIGTSTP, on_suspend);
}

/* With SIG_BLOCK or SIG_UNBLOCK. */
static void mask_signals(int how)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaddset(&set, ending[i]);
	sigaddset(&set, SIGTSTP);
	sigprocmask(how, &set, NULL);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Or until a signal or the key q comes: signals are blocked but here, where none is missed, and
 * while we print. */
static void sleep_seconds(double seconds, bool *keys)
{
	double end = now() + seconds, left = seconds;
	sigset_t none;
	sigemptyset(&none);
	for (; left > 0 && !stopped && !suspended; left = end - now()) {
		struct timespec t = {.tv_sec = (time_t)left};
		t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
		fd_set set;
		FD_ZERO(&set);
		FD_SET(STDIN_FILENO, &set);
		int n = pselect(
			*keys ? STDIN_FILENO + 1 : 0, *keys ? &set : NULL, NULL, NULL, &t, &none);
		int pressed = n > 0 ? keys_have('q') : 0;
		if (pressed > 0)
			stopped = 1;
		else if (pressed < 0)
			*keys = false;
	}
}

/* What the stream has. A reader who has stalled does not get the rest of it after a signal. */
static void flush_output(void)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || !stopped)
		return;
	__fpurge(stdout);
	clearerr(stdout);
}

struct interval {
	const struct snapshot *old;
	const struct snapshot *new;
	double seconds;
};

static uint64_t grew(const struct interval *i, enum counter which)
{
	return snapshot_value(i->new, which) - snapshot_value(i->old, which);
}

static double rate(const struct interval *i, enum counter which)
{
	return (double)grew(i, which) / i->seconds;
}

static uint64_t failures(const struct interval *i)
{
	return grew(i, STAT_store_failures) + grew(i, STAT_checksum_failures) +
	       grew(i, STAT_cache_update_failures);
}

static const char *ratio(const struct interval *i, char buf[NUMBER_SIZE])
{
	double hits = hit_ratio(
		grew(i, STAT_cache_hits), grew(i, STAT_cache_misses), grew(i, STAT_cache_expired));
	if (hits < 0)
		return "-";
	snprintf(buf, NUMBER_SIZE, "%.1f", hits);
	return buf;
}

/* -- lines ------------------------------------------------------------------------------------- */

static const struct column {
	const char *name;
	enum recordfs_histogram_kind kind;
	const char *title;
} latencies[] = {
	{"read", RECORDFS_REQUEST, "read"},
	{"write", RECORDFS_REQUEST, "write"},
	{"commit_durable", RECORDFS_STORE, "commit"},
};

static void print_heading(void)
{
	char title[32];
	printf("%9s %9s %6s %9s %9s %9s %10s %8s", "reads/s", "writes/s", "hit%", "commits/s",
		"flushes/s", "dropped/s", "cache", "failures");
	for (size_t i = 0; i < ARRAY_LEN(latencies); i++) {
		snprintf(title, sizeof title, "%s p50", latencies[i].title);
		printf(" %10s", title);
		snprintf(title, sizeof title, "%s p99", latencies[i].title);
		printf(" %10s", title);
	}
	putchar('\n');
}

static void print_percentiles(const struct interval *i, const struct column *c)
{
	char low[NUMBER_SIZE] = "-", high[NUMBER_SIZE] = "-";
	for (unsigned k = 0; k < i->new->n; k++) {
		const struct measured *m = &i->new->measured[k];
		if (m->kind != c->kind || strcmp(m->name, c->name) != 0)
			continue;
		struct measured since = measured_since(i->old, m);
		if (since.view.count == 0)
			break;
		duration_of(histogram_quantile(&since.view, 0.5), low);
		duration_of(histogram_quantile(&since.view, 0.99), high);
	}
	printf(" %10s %10s", low, high);
}

static void print_line(const struct interval *i)
{
	char size[NUMBER_SIZE], hits[NUMBER_SIZE];
	printf("%9.0f %9.0f %6s %9.0f %9.0f %9.0f %10s %8" PRIu64, rate(i, STAT_read_requests),
		rate(i, STAT_write_requests), ratio(i, hits), rate(i, STAT_store_commits),
		rate(i, STAT_store_flushes),
		rate(i, STAT_cache_evictions) + rate(i, STAT_cache_invalidations),
		size_of(snapshot_value(i->new, STAT_cache_bytes), size), failures(i));
	for (size_t k = 0; k < ARRAY_LEN(latencies); k++)
		print_percentiles(i, &latencies[k]);
	printf("%s%s\n", snapshot_value(i->new, STAT_store_degraded) ? "  STORE IS DEGRADED" : "",
		snapshot_value(i->new, STAT_faults_on) ? "  FAULTS ARE ON" : "");
}

/* What a terminal is told. Lines that are too long for it are cut. */
#define CURSOR_HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
#define CLEAR_ALL CURSOR_HOME "\033[2J"
#define CUT_LINES "\033[?7l"
#define WRAP_LINES "\033[?7h"

/* What is watched, and how. */
struct watching {
	const char *path;
	double interval;
	bool terminal; /* a screen that is drawn anew */
	bool keys;     /* and q ends it */
};

/* The terminal as a screen, and as it was. */
static void take_terminal(struct watching *w)
{
	if (!w->terminal)
		return;
	fputs(CUT_LINES CLEAR_ALL, stdout);
	w->keys = keys_begin();
}

static void give_terminal_back(struct watching *w)
{
	if (!w->terminal)
		return;
	fputs(WRAP_LINES, stdout);
	keys_end();
	w->keys = false;
}

/* -- a screen ---------------------------------------------------------------------------------- */

static void write_screen(FILE *out, const struct interval *i, const struct watching *w)
{
	char a[NUMBER_SIZE], b[NUMBER_SIZE];
	print_path(out, w->path);
	fputs(": ", out);
	print_path(out, i->new->stats.store);
	fprintf(out, ", %s, every %.3g s; %s ends it\n", snapshot_state(i->new), i->seconds,
		w->keys ? "q" : "Ctrl-C");
	stats_print_warnings(out, i->new, "\n");
	fprintf(out, "\nreads/s %s, ", rate_of(rate(i, STAT_read_requests), a));
	fprintf(out, "writes/s %s, ", rate_of(rate(i, STAT_write_requests), a));
	fprintf(out, "commits/s %s, flushes/s %s\n", rate_of(rate(i, STAT_store_commits), a),
		rate_of(rate(i, STAT_store_flushes), b));
	fprintf(out, "cache %s of %s", size_of(snapshot_value(i->new, STAT_cache_bytes), a),
		size_of(snapshot_value(i->new, STAT_cache_limit_bytes), b));
	const char *hits = ratio(i, a);
	fprintf(out, ", hits %s%s, dropped/s %s", hits, *hits == '-' ? "" : " %",
		rate_of(rate(i, STAT_cache_evictions) + rate(i, STAT_cache_invalidations), b));
	fprintf(out, ", failures %s\n", number(failures(i), a));
	stats_print_latencies(out, i->new, i->old, "\n");
	stats_print_errors(out, i->new, 5, "\n");
}

/* So many lines as there is room for, over those of before, of which nothing is left. */
static void show_screen(const char *text)
{
	struct winsize size = {0};
	unsigned rows = 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 2)
		size.ws_row = 24;
	fputs(CURSOR_HOME, stdout);
	for (; *text && rows + 1 < size.ws_row; rows++) {
		size_t len = strcspn(text, "\n");
		fwrite(text, 1, len, stdout);
		fputs(CLEAR_LINE "\n", stdout);
		text += len + (text[len] == '\n');
	}
	fputs(CLEAR_BELOW, stdout);
}

/* False: no memory. */
static bool print_screen(const struct interval *i, const struct watching *w)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return false;
	write_screen(out, i, w);
	bool written = fclose(out) == 0;
	if (written)
		show_screen(text);
	free(text);
	return written;
}

/* -- watching ---------------------------------------------------------------------------------- */

/* Ctrl-Z: what follows it is as if it began. */
static void suspend(struct watching *w)
{
	give_terminal_back(w);
	flush_output();
	catch_signal(SIGTSTP, SIG_DFL);
	(void)raise(SIGTSTP);
	mask_signals(SIG_UNBLOCK);
	suspended = 0;
	catch_signal(SIGTSTP, on_suspend);
	take_terminal(w);
	mask_signals(SIG_BLOCK);
}

/* Until a signal, or the key, comes: true. */
static bool watch(struct watching *w, struct snapshot *old, struct snapshot *new)
{
	bool printed = true;
	while (printed && (stopped || !ferror(stdout))) {
		flush_output();
		mask_signals(SIG_BLOCK);
		if (!stopped)
			sleep_seconds(w->interval, &w->keys);
		if (suspended && !stopped)
			suspend(w);
		int r = stopped ? 0 : snapshot_take(w->path, new);
		mask_signals(SIG_UNBLOCK);
		if (stopped || r < 0)
			return r == 0;
		struct interval i = {old, new, new->at - old->at};
		if (w->terminal)
			printed = print_screen(&i, w);
		else
			print_line(&i);
		struct snapshot *last = old;
		old = new;
		new = last;
	}
	return false;
}

int stats_watch(const char *path, double interval)
{
	static struct snapshot kept[2];
	struct watching w = {path, interval, isatty(STDOUT_FILENO), false};
	if (snapshot_take(path, &kept[0]) < 0)
		return FAILED;
	catch_signals(w.terminal);
	if (w.terminal)
		take_terminal(&w);
	else
		print_heading();
	bool good = watch(&w, &kept[0], &kept[1]);
	give_terminal_back(&w);
	flush_output();
	return good ? DONE : FAILED;
}
