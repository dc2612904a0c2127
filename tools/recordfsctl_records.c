/* recordfsctl records [-l | -0 | --json] STORE|MOUNTPOINT [PATH] */

#include "cache/store/sqlite_client.h"
#include "recordfsctl.h"
#include "recordfsctl_json.h"
#include "recordfsctl_progress.h"
#include "recordfsctl_target.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum form { PATHS, LONG, NUL, JSON };

/* A directory whose entries are still to be listed. */
struct directory {
	struct directory *next;
	int64_t ino;
	unsigned depth;
	size_t len;
	char path[]; /* "" for the root; terminated */
};

struct listing {
	sqlite3 *db;
	sqlite3_stmt *entries; /* of the directory ?1 */
	enum form form;
	struct directory *todo; /* a stack */
	bool any;		/* was printed */
	char *path;		/* of the record to be printed, terminated */
	size_t len, room;
};

/* More than any path can be deep: a circle in a damaged store. */
#define DEPTH_MAX 16384

#define COLUMNS                                                                                    \
	"d.name, d.ino, i.mode, i.uid, i.gid, i.size, i.mtime, i.nlink FROM main.dentry d"         \
	" CROSS JOIN main.inode i ON i.ino = d.ino WHERE d.parent = ?1"

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	default:
		return "block";
	}
}

/* As ls -l writes it. */
static void print_mode(mode_t mode)
{
	static const char letters[] = "rwxrwxrwx";
	char text[] = "----------";
	text[0] = S_ISDIR(mode)	   ? 'd'
		  : S_ISLNK(mode)  ? 'l'
		  : S_ISFIFO(mode) ? 'p'
		  : S_ISSOCK(mode) ? 's'
		  : S_ISCHR(mode)  ? 'c'
		  : S_ISBLK(mode)  ? 'b'
				   : '-';
	for (unsigned i = 0; i < 9; i++)
		if (mode & (0400u >> i))
			text[1 + i] = letters[i];
	if (mode & S_ISUID)
		text[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & S_IXOTH ? 't' : 'T';
	fputs(text, stdout);
}

static void print_time(int64_t nanoseconds)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)(nanoseconds / 1000000000 - (nanoseconds % 1000000000 < 0));
	if (localtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) > 0)
		fputs(text, stdout);
	else
		fputs("-", stdout);
}

static void print_json(const struct listing *l, mode_t mode)
{
	sqlite3_stmt *st = l->entries;
	fputs(l->any ? ",\n{\"path\":" : "[{\"path\":", stdout);
	json_bytes(stdout, l->path, l->len);
	printf(",\"type\":\"%s\",\"ino\":%" PRId64 ",\"mode\":%u,\"uid\":%" PRId64
	       ",\"gid\":%" PRId64 ",\"size\":%" PRId64 ",\"mtime\":%" PRId64 "}",
		type_name(mode), (int64_t)sqlite3_column_int64(st, 1), (unsigned)mode,
		(int64_t)sqlite3_column_int64(st, 3), (int64_t)sqlite3_column_int64(st, 4),
		(int64_t)sqlite3_column_int64(st, 5), (int64_t)sqlite3_column_int64(st, 6));
}

static void print_long(const struct listing *l, mode_t mode)
{
	sqlite3_stmt *st = l->entries;
	print_mode(mode);
	printf(" %2" PRId64 " %5" PRId64 " %5" PRId64 " %10" PRId64 " ",
		(int64_t)sqlite3_column_int64(st, 7), (int64_t)sqlite3_column_int64(st, 3),
		(int64_t)sqlite3_column_int64(st, 4), (int64_t)sqlite3_column_int64(st, 5));
	print_time(sqlite3_column_int64(st, 6));
	putchar(' ');
	print_path(stdout, l->path);
	putchar('\n');
}

static void print_record(struct listing *l)
{
	mode_t mode = (mode_t)sqlite3_column_int64(l->entries, 2);
	switch (l->form) {
	case PATHS:
		print_path(stdout, l->path);
		putchar('\n');
		break;
	case NUL:
		fwrite(l->path, 1, l->len + 1, stdout);
		break;
	case LONG:
		print_long(l, mode);
		break;
	case JSON:
		print_json(l, mode);
		break;
	}
	l->any = true;
}

/* l->path becomes dir/name. */
static int set_path(
	struct listing *l, const char *dir, size_t dir_len, const void *name, size_t len)
{
	if (dir_len + len + 2 > l->room) {
		size_t room = 2 * (dir_len + len + 2);
		char *bigger = realloc(l->path, room);
		if (!bigger)
			return -ENOMEM;
		l->path = bigger;
		l->room = room;
	}
	memcpy(l->path, dir, dir_len);
	l->path[dir_len] = '/';
	memcpy(l->path + dir_len + 1, name, len);
	l->len = dir_len + 1 + len;
	l->path[l->len] = '\0';
	return 0;
}

/* What l->path is will be listed as well. */
static int add_directory(struct listing *l, int64_t ino, unsigned depth)
{
	struct directory *d = malloc(sizeof *d + l->len + 1);
	if (!d)
		return -ENOMEM;
	*d = (struct directory){.next = l->todo, .ino = ino, .depth = depth, .len = l->len};
	memcpy(d->path, l->path, l->len + 1);
	l->todo = d;
	return 0;
}

static int list_entry(struct listing *l, const struct directory *d)
{
	sqlite3_stmt *st = l->entries;
	const void *name = sqlite3_column_blob(st, 0);
	int r = set_path(l, d->path, d->len, name ? name : "",
		name ? (size_t)sqlite3_column_bytes(st, 0) : 0);
	if (r < 0)
		return r;
	print_record(l);
	if (!S_ISDIR((mode_t)sqlite3_column_int64(st, 2)))
		return 0;
	if (d->depth == DEPTH_MAX)
		return -ELOOP;
	return add_directory(l, sqlite3_column_int64(st, 1), d->depth + 1);
}

/* All of one directory; those in it are put on the stack. */
static int list_directory(struct listing *l, const struct directory *d)
{
	int r = 0, rc = SQLITE_DONE;
	sqlite3_bind_int64(l->entries, 1, d->ino);
	while (r == 0 && !interrupted() && (rc = sqlite3_step(l->entries)) == SQLITE_ROW)
		r = list_entry(l, d);
	sqlite3_reset(l->entries);
	return r < 0 ? r : rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -EIO;
}

static int walk(struct listing *l)
{
	int r = 0;
	while (r == 0 && l->todo && !interrupted() && !ferror(stdout)) {
		struct directory *d = l->todo;
		l->todo = d->next;
		r = list_directory(l, d);
		free(d);
	}
	for (struct directory *d; (d = l->todo); free(d))
		l->todo = d->next;
	return r;
}

/* The statement for what `path` (not "/") is; it is printed, and what is in it put on the stack. */
static int begin_below(struct listing *l, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	struct directory above = {.len = 0};
	struct directory *dir = malloc(sizeof *dir + strlen(path) + 1);
	if (!dir)
		return -ENOMEM;
	*dir = above;
	dir->len = (size_t)(name - 1 - path);
	memcpy(dir->path, path, dir->len);
	sqlite3_stmt *all = l->entries;
	int rc = sqlite3_prepare_v2(
		l->db, "SELECT " COLUMNS " AND d.name = path_name(?2)", -1, &l->entries, NULL);
	sqlite3_stmt *find = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(l->db, "SELECT path_dir(?1)", -1, &find, NULL);
	int r = -EIO;
	if (rc == SQLITE_OK && sqlite3_bind_text(find, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_step(find) == SQLITE_ROW) {
		dir->ino = sqlite3_column_int64(find, 0);
		sqlite3_bind_text(l->entries, 2, path, -1, SQLITE_STATIC);
		r = list_directory(l, dir);
	}
	sqlite3_finalize(find);
	sqlite3_finalize(l->entries);
	l->entries = all;
	free(dir);
	return r == 0 && !l->any && !interrupted() ? -ENOENT : r;
}

static int begin(struct listing *l, const char *path)
{
	int rc = sqlite3_exec(l->db, "BEGIN", NULL, NULL, NULL); /* one moment's state */
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(
			l->db, "SELECT " COLUMNS " ORDER BY d.name", -1, &l->entries, NULL);
	if (rc != SQLITE_OK)
		return -EIO;
	if (path[1])
		return begin_below(l, path);
	int r = set_path(l, "", 0, "", 0);
	l->len = 0;
	return r < 0 ? r : add_directory(l, 1, 0);
}

static int list(const char *store, const char *path, enum form form)
{
	struct listing l = {.form = form};
	struct progress p; /* for its signals alone */
	char why[SQLITE_CLIENT_WHY];
	if (sqlite_client_open(store, true, &l.db, why, sizeof why) < 0)
		return complain("%s", why);
	progress_begin(&p, "listing", PROGRESS_COUNT, true);
	int r = begin(&l, path);
	if (r == 0)
		r = walk(&l);
	if (form == JSON)
		fputs(l.any ? "]\n" : "[]\n", stdout);
	progress_end(&p);
	int status = DONE;
	if (r == -ENOENT)
		status = complain("%s: there is no such record", path);
	else if (r == -ELOOP)
		status = complain(
			"%s: its directories go in a circle; see recordfsctl check", store);
	else if (r == -EIO)
		status = complain("%s: %s; see recordfsctl check", store, sqlite3_errmsg(l.db));
	else if (r < 0)
		status = complain("%s: %s", store, strerror(-r));
	else if (interrupted())
		status = complain("records: interrupted");
	sqlite3_finalize(l.entries);
	sqlite3_close(l.db);
	free(l.path);
	return status;
}

static int list_target(const char *argument, const char *below, enum form form)
{
	struct target t;
	if (target_find(argument, &t) < 0)
		return FAILED;
	char *path = below ? target_path(&t, below) : strdup(t.mounted ? t.place.below : "/");
	int status = path ? list(t.store, path, form) : FAILED;
	free(path);
	target_free(&t);
	return status;
}

int ctl_records(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'}, {"long", no_argument, NULL, 'l'},
		{"null", no_argument, NULL, '0'}, {0}};
	enum form form = PATHS;
	int option, before = 0;
	while ((option = getopt_long(argc, argv, "hl0", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("records");
		if (option != '?' && before && option != before)
			return misused("records: one of -l, -0 and --json");
		before = option;
		if (option == 'j')
			form = JSON;
		else if (option == 'l')
			form = LONG;
		else if (option == '0')
			form = NUL;
		else
			return misused_option();
	}
	int n = argc - optind;
	if (n < 1 || n > 2)
		return misused("records: name a STORE or MOUNTPOINT, and one PATH at most");
	return list_target(argv[optind], n == 2 ? argv[optind + 1] : NULL, form);
}
