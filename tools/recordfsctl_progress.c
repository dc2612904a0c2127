#include "recordfsctl_progress.h"
#include "recordfsctl.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* Between two lines: on a terminal, and elsewhere. */
#define REDRAW (SECOND / 8)
#define PLAIN (5 * SECOND)
/* No time left is told before so much was measured. */
#define MEASURED (SECOND / 2)
#define LINE_SIZE 160
#define BAR_WIDTH 20

static volatile sig_atomic_t stopped;

/* `arg` is right as long as `fn` is set. */
static struct {
	void (*volatile fn)(void *arg);
	void *volatile arg;
} also;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
	void (*fn)(void *arg) = also.fn;
	if (fn)
		fn(also.arg);
}

void progress_on_signal(void (*fn)(void *arg), void *arg)
{
	also.fn = NULL;
	also.arg = arg;
	also.fn = fn;
}

bool interrupted(void)
{
	return stopped;
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_signal}, before;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		/* What was ignored stays so: nohup(1), a shell's background jobs. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

void progress_begin(struct progress *p, const char *doing, enum progress_unit unit, bool quiet)
{
	catch_signals();
	*p = (struct progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO)};
	p->shown = p->terminal ? 0 : now();
	progress_next(p, doing, unit);
}

void progress_next(struct progress *p, const char *doing, enum progress_unit unit)
{
	p->doing = doing;
	p->unit = unit;
	p->step[0] = '\0';
	p->step_at = now();
	p->first = 0;
}

void progress_wipe(struct progress *p)
{
	if (p->dirty)
		fputs("\r\033[K", stderr);
	p->dirty = false;
}

void progress_end(struct progress *p)
{
	progress_wipe(p);
}

/* A line that is put together; what does not fit is left out. */
struct line {
	size_t len;
	char text[LINE_SIZE];
};

static void add(struct line *l, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct line *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(l->text + l->len, sizeof l->text - l->len, format, args);
	va_end(args);
	if (n > 0)
		l->len = l->len + (size_t)n < sizeof l->text ? l->len + (size_t)n
							     : sizeof l->text - 1;
}

static void add_bar(struct line *l, uint64_t done, uint64_t total)
{
	char bar[BAR_WIDTH + 1];
	size_t full = (size_t)((double)done / (double)total * BAR_WIDTH);
	for (size_t i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	add(l, " [%s]", bar);
}

static void add_duration(struct line *l, double seconds)
{
	uint64_t s = (uint64_t)(seconds + 0.5);
	if (s >= 3600)
		add(l, ", %" PRIu64 ":%02u:%02u left", s / 3600, (unsigned)(s / 60 % 60),
			(unsigned)(s % 60));
	else
		add(l, ", %u:%02u left", (unsigned)(s / 60), (unsigned)(s % 60));
}

static void add_amounts(struct line *l, enum progress_unit unit, uint64_t done, uint64_t total)
{
	char a[NUMBER_SIZE], b[NUMBER_SIZE];
	if (unit == PROGRESS_SHARE)
		return;
	bool bytes = unit == PROGRESS_BYTES;
	add(l, ", %s", bytes ? size_of(done, a) : number(done, a));
	if (total)
		add(l, " of %s", bytes ? size_of(total, b) : number(total, b));
}

static void add_speed(
	struct line *l, const struct progress *p, uint64_t done, uint64_t total, int64_t at)
{
	char a[NUMBER_SIZE];
	double seconds = (double)(at - p->step_at) / SECOND;
	if (at - p->step_at < MEASURED || done <= p->first)
		return;
	double rate = (double)(done - p->first) / seconds;
	if (p->unit == PROGRESS_BYTES)
		add(l, ", %s/s", size_of((uint64_t)rate, a));
	else if (p->unit == PROGRESS_COUNT)
		add(l, ", %s/s", number((uint64_t)rate, a));
	if (total)
		add_duration(l, (double)(total - done) / rate);
}

static void show(struct progress *p, uint64_t done, uint64_t total, int64_t at)
{
	struct line l = {0};
	if (done > total && total)
		done = total;
	add(&l, "%s%s%s", p->doing, p->step[0] ? " " : "", p->step);
	if (total && p->terminal)
		add_bar(&l, done, total);
	if (total)
		add(&l, "%s %.0f %%", p->terminal ? "" : ":", (double)done / (double)total * 100);
	add_amounts(&l, p->unit, done, total);
	add_speed(&l, p, done, total, at);
	if (p->terminal)
		fprintf(stderr, "\r\033[K%s", l.text);
	else
		fprintf(stderr, "recordfsctl: %s\n", l.text);
	fflush(stderr);
	p->dirty = p->terminal;
	p->shown = at;
}

bool progress_at(struct progress *p, const char *step, uint64_t done, uint64_t total)
{
	if (stopped || p->quiet)
		return !stopped;
	int64_t at = now();
	if (step && strncmp(step, p->step, sizeof p->step - 1) != 0) {
		snprintf(p->step, sizeof p->step, "%s", step);
		p->step_at = at;
		p->first = done;
	}
	if (at - p->shown >= (p->terminal ? REDRAW : PLAIN))
		show(p, done, total, at);
	return true;
}
