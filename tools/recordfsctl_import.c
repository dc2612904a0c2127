/* recordfsctl import [OPTION...] STORE|MOUNTPOINT [PATH] */

#include "cache/store/sqlite.h"
#include "recordfsctl.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"
#include "tar_import.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 10000

struct work {
	int fd;
	uint64_t total; /* bytes of the archive; 0: not known */
	struct progress progress;
};

struct options {
	const char *file;
	bool keep, quiet;
	bool same_owner;
};

static ssize_t read_some(void *arg, void *buf, size_t size)
{
	struct work *w = arg;
	for (;;) {
		ssize_t n = interrupted() ? -1 : read(w->fd, buf, size);
		if (n >= 0)
			return n;
		if (interrupted())
			return -ECANCELED;
		if (errno != EINTR)
			return -errno;
	}
}

static bool show_progress(void *arg, uint64_t bytes)
{
	struct work *w = arg;
	return progress_at(&w->progress, NULL, bytes, w->total);
}

static void say(const char *text, const char *more)
{
	fputs("recordfsctl: ", stderr);
	print_path(stderr, text);
	if (more) {
		fputs(": ", stderr);
		print_path(stderr, more);
	}
}

static void show_complaint(void *arg, const char *path, const char *reason)
{
	struct work *w = arg;
	progress_wipe(&w->progress);
	say(path, reason);
	fputc('\n', stderr);
}

static int finish(int r, const struct tar_import_summary *sum, const char *why, bool quiet)
{
	char a[NUMBER_SIZE];
	if (r < 0) {
		say(why, NULL);
		if (sum->records == 1)
			fputs("; 1 record was imported, whole\n", stderr);
		else if (sum->records)
			fprintf(stderr, "; %s records were imported, each of them whole\n",
				number(sum->records, a));
		else
			fputs("; nothing was imported\n", stderr);
		return FAILED;
	}
	if (!quiet) {
		print_count(stdout, sum->records, "record", "records");
		printf(", %s\n", size_of(sum->bytes, a));
	}
	if (sum->failures)
		return complain("%s %s could not be imported as %s, see above",
			number(sum->failures, a), sum->failures == 1 ? "entry" : "entries",
			sum->failures == 1 ? "it is" : "they are");
	return DONE;
}

/* But the root: others may have filled a store that an import has made and waits to fill. */
static bool holds_nothing(struct store *s)
{
	struct store_space space;
	return store_statfs(s, &space) == 0 && space.inodes <= 1;
}

static int import_into(const char *store, const char *dir, int fd, const struct options *o)
{
	struct sqlite_config cfg = {.path = store, .busy_timeout_ms = BUSY_TIMEOUT_MS};
	struct work w = {.fd = fd};
	struct tar_import_summary sum = {0};
	char why[8192];
	struct stat st;
	struct store *s;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0) {
		say(why, NULL);
		fputc('\n', stderr);
		return FAILED;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		w.total = (uint64_t)st.st_size;
	const struct tar_import i = {.store = s,
		.dir = dir,
		.keep = o->keep,
		.same_owner = o->same_owner,
		.uid = geteuid(),
		.gid = getegid(),
		.read = read_some,
		.progress = show_progress,
		.complain = show_complaint,
		.arg = &w};
	progress_begin(&w.progress, "importing", PROGRESS_BYTES, o->quiet);
	int r = tar_import(&i, &sum, why, sizeof why);
	progress_end(&w.progress);
	bool made_in_vain = r < 0 && sqlite_store_created(s) && holds_nothing(s);
	s->ops->close(s);
	if (made_in_vain)
		sqlite_store_remove(store);
	return finish(r, &sum, why, o->quiet);
}

/* The store, which is made if it is not there, as recordfs makes it, and the place in it. */
static int find_target(const char *argument, const char *where, struct target *t, char **ret_path)
{
	struct stat st;
	*t = (struct target){.name = argument};
	if (stat(argument, &st) < 0 && errno == ENOENT) {
		t->store = strdup(argument);
		if (!t->store)
			return -1;
	} else if (target_find_writable(argument, t) < 0) {
		return -1;
	}
	*ret_path = where ? target_path(t, where) : strdup(t->mounted ? t->place.below : "/");
	if (*ret_path)
		return 0;
	target_free(t);
	return -1;
}

static int import(const char *argument, const char *where, const struct options *o)
{
	struct target t;
	char *path;
	int fd = STDIN_FILENO, status = FAILED;
	if (o->file && strcmp(o->file, "-") != 0)
		fd = open(o->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	else if (isatty(STDIN_FILENO))
		return misused("import: standard input is a terminal; redirect it, or -f FILE");
	if (fd < 0)
		return complain("%s: %s", o->file, strerror(errno));
	if (find_target(argument, where, &t, &path) == 0) {
		status = import_into(t.store, path, fd, o);
		free(path);
		target_free(&t);
	}
	if (fd != STDIN_FILENO)
		close(fd);
	return status;
}

int ctl_import(int argc, char **argv)
{
	static const struct option options[] = {
		{"file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{"keep", no_argument, NULL, 'k'},
		{"no-same-owner", no_argument, NULL, 'n'},
		{"quiet", no_argument, NULL, 'q'},
		{"same-owner", no_argument, NULL, 's'},
		{0},
	};
	struct options o = {.same_owner = geteuid() == 0};
	int option;
	while ((option = getopt_long(argc, argv, "f:hkq", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			o.file = optarg;
			break;
		case 'h':
			return print_help("import");
		case 'k':
			o.keep = true;
			break;
		case 'n':
		case 's':
			o.same_owner = option == 's';
			break;
		case 'q':
			o.quiet = true;
			break;
		default:
			return misused_option();
		}
	}
	if (argc - optind < 1 || argc - optind > 2)
		return misused("import: name a STORE or MOUNTPOINT, and at most one PATH");
	/* In the locale C, that of a program that sets none, libarchive hands over names as the
	 * bytes that they are; in one of UTF-8 it would compose characters. */
	return import(argv[optind], argv[optind + 1], &o);
}
