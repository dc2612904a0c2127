/* recordfsctl export [--keep-going] [--quiet] [-o FILE] STORE|MOUNTPOINT [PATH] */

#include "cache/store/sqlite.h"
#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"
#include "tar_export.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 10000

struct work {
	int fd;
	uint64_t total;	   /* bytes of the store; 0: only a part of it is exported */
	uint64_t left_out; /* records that could not be read */
	struct progress progress;
};

struct options {
	const char *file;
	bool keep_going, quiet;
};

static int write_all(void *arg, const void *data, size_t len)
{
	struct work *w = arg;
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(w->fd, p, len);
		if (n < 0 && (errno != EINTR || interrupted()))
			return errno == EINTR ? -ECANCELED : -errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static bool show_progress(void *arg, uint64_t bytes)
{
	struct work *w = arg;
	return progress_at(&w->progress, NULL, bytes, w->total);
}

static void say_skipped(void *arg, const char *path, const char *reason)
{
	struct work *w = arg;
	progress_wipe(&w->progress);
	fputs("recordfsctl: ", stderr);
	print_path(stderr, path);
	fprintf(stderr, ": left out: %s\n", reason);
}

static void say_unreadable(void *arg, const char *path, int error)
{
	struct work *w = arg;
	w->left_out++;
	say_skipped(arg, path,
		error == -EBADMSG ? "a block of it is damaged" : "it cannot be read whole");
}

/* As one line, whatever names are in it. */
static int complain_of(const char *why)
{
	fputs("recordfsctl: ", stderr);
	print_path(stderr, why);
	fputc('\n', stderr);
	return FAILED;
}

static int export_store(
	const char *store, const char *path, int fd, const struct options *o, uint64_t *left_out)
{
	struct sqlite_config cfg = {
		.path = store, .snapshot = true, .busy_timeout_ms = BUSY_TIMEOUT_MS};
	struct work w = {.fd = fd};
	struct store_stats stats = {0};
	char why[4096 + SQLITE_STORE_WHY];
	struct store *s;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		return complain_of(why);
	s->ops->stats(s, &stats);
	w.total = strcmp(path, "/") == 0 ? stats.store_bytes : 0;
	struct tar_export x = {.store = s,
		.write = write_all,
		.progress = show_progress,
		.skipped = say_skipped,
		.unreadable = o->keep_going ? say_unreadable : NULL,
		.arg = &w};
	progress_begin(&w.progress, "exporting", PROGRESS_BYTES, o->quiet);
	int r = tar_export(&x, path, why, sizeof why);
	progress_end(&w.progress);
	s->ops->close(s);
	*left_out = w.left_out;
	return r < 0 ? complain_of(why) : DONE;
}

/* To a file that is not there yet, and is not there if it fails. */
static int export_to_file(
	const char *store, const char *path, const struct options *o, uint64_t *left_out)
{
	const char *file = o->file;
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return complain("%s: %s%s", file, strerror(errno),
			errno == EEXIST ? "; name another file, or move it away" : "");
	int status = export_store(store, path, fd, o, left_out);
	if (status == DONE && fsync(fd) < 0 && errno != EINVAL)
		status = complain("%s: %s", file, strerror(errno));
	if (close(fd) < 0 && status == DONE)
		status = complain("%s: %s", file, strerror(errno));
	if (status != DONE)
		unlink(file);
	return status;
}

static int export(const char *argument, const char *where, const struct options *o)
{
	struct target t;
	if (!o->file && isatty(STDOUT_FILENO))
		return misused("export: standard output is a terminal; redirect it, or -o FILE");
	if (target_find(argument, &t) < 0)
		return FAILED;
	int status = FAILED;
	uint64_t left_out = 0;
	char n[NUMBER_SIZE];
	char *path = where ? target_path(&t, where) : strdup(t.mounted ? t.place.below : "/");
	if (path && o->file)
		status = export_to_file(t.store, path, o, &left_out);
	else if (path)
		status = export_store(t.store, path, STDOUT_FILENO, o, &left_out);
	if (status == DONE && left_out)
		status = complain("%s %s left out, see above; the archive has all the others",
			number(left_out, n), left_out == 1 ? "record was" : "records were");
	free(path);
	target_free(&t);
	return status;
}

int ctl_export(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"keep-going", no_argument, NULL, 'k'},
		{"output", required_argument, NULL, 'o'},
		{"quiet", no_argument, NULL, 'q'},
		{0},
	};
	struct options o = {0};
	int option;
	while ((option = getopt_long(argc, argv, "hko:q", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("export");
		if (option == 'q')
			o.quiet = true;
		else if (option == 'k')
			o.keep_going = true;
		else if (option == 'o')
			o.file = optarg;
		else
			return misused_option();
	}
	if (argc - optind < 1 || argc - optind > 2)
		return misused("export: name a STORE or MOUNTPOINT, and at most one PATH");
	signal(SIGPIPE, SIG_IGN); /* told as a failed write */
	/* Names that are UTF-8 are written as such, others are marked as bytes. */
	setlocale(LC_CTYPE, "C.UTF-8");
	return export(argv[optind], argv[optind + 1], &o);
}
