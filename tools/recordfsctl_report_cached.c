/* What is in the cache of a mount, by directory and by the time left. */

#include "recordfsctl_report.h"

#include <stdlib.h>
#include <string.h>

#define LEVELS 2     /* of directories that are told apart */
#define TTL_STEPS 12 /* of the mount's TTL */
#define STEP_OF_NONE 1000000000

struct record {
	uint64_t ino;
	uint64_t blocks;
	uint64_t bytes;
};

struct records {
	size_t n, room;
	struct record *of;
};

static void add_part(struct cached_part *p, const struct record *r)
{
	p->records++;
	p->blocks += r->blocks;
	p->bytes += r->bytes;
}

static bool append(struct records *all, const struct recordfs_cached_inode *from)
{
	if (all->n == all->room) {
		size_t room = all->room ? all->room * 2 : 1024;
		struct record *more = realloc(all->of, room * sizeof *more);
		if (!more)
			return false;
		all->of = more;
		all->room = room;
	}
	all->of[all->n++] = (struct record){from->ino, from->blocks, from->bytes};
	return true;
}

/* All that is cached, an inode perhaps several times. */
static int ask(int fd, const char *path, struct records *all, struct cached *ret)
{
	static struct recordfs_cached c;
	uint64_t cursor = 0;
	while (cursor != RECORDFS_CACHED_END) {
		c.cursor = cursor;
		c.step = ret->step;
		if (ask_mount(fd, path, RECORDFS_IOC_CACHED, &c) < 0)
			return -1;
		for (uint32_t i = 0; i < c.n && i < RECORDFS_CACHED_MAX; i++) {
			if (!append(all, &c.inode[i])) {
				complain("no memory");
				return -1;
			}
		}
		for (unsigned i = 0; i < RECORDFS_TTL_BUCKETS; i++)
			ret->ttl[i] += c.ttl[i];
		cursor = c.cursor;
	}
	return 0;
}

static int by_ino(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

static int by_bytes(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static int by_part_name(const void *a, const void *b)
{
	const struct cached_part *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static int by_part_bytes(const void *a, const void *b)
{
	const struct cached_part *x = a, *y = b;
	return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes)
				    : by_part_name(a, b);
}

/* Each inode once, those with the most bytes first. */
static void gather(struct records *all)
{
	size_t n = 0;
	if (all->n == 0)
		return;
	qsort(all->of, all->n, sizeof *all->of, by_ino);
	for (size_t i = 1; i < all->n; i++) {
		if (all->of[i].ino != all->of[n].ino) {
			all->of[++n] = all->of[i];
			continue;
		}
		all->of[n].blocks += all->of[i].blocks;
		all->of[n].bytes += all->of[i].bytes;
	}
	all->n = n + 1;
	qsort(all->of, all->n, sizeof *all->of, by_bytes);
}

/* "/a/b/c/d" becomes "/a/b", "/a" becomes "/". */
static void keep_directory(char *path)
{
	char *last = strrchr(path, '/'), *end = path;
	if (!last)
		return;
	*(last == path ? last + 1 : last) = '\0';
	for (unsigned level = 0; end && level <= LEVELS; level++)
		end = strchr(level ? end + 1 : end, '/');
	if (end)
		*end = '\0';
}

/* The directory of a record in a string of its own; NULL: it has no path. -1 after a complaint. */
static int directory_of(int fd, const char *path, uint64_t ino, char **ret)
{
	static struct recordfs_path p;
	*ret = NULL;
	p.ino = ino;
	if (ask_mount(fd, path, RECORDFS_IOC_PATH, &p) < 0)
		return -1;
	p.path[sizeof p.path - 1] = '\0';
	if (p.path[0] != '/')
		return 0;
	keep_directory(p.path);
	*ret = strdup(p.path);
	if (*ret)
		return 0;
	complain("no memory");
	return -1;
}

/* Those of one name become one; the largest first. */
static unsigned merge(struct cached_part *parts, unsigned n)
{
	unsigned kept = 0;
	if (n == 0)
		return 0;
	qsort(parts, n, sizeof *parts, by_part_name);
	for (unsigned i = 1; i < n; i++) {
		if (strcmp(parts[i].name, parts[kept].name) != 0) {
			parts[++kept] = parts[i];
			continue;
		}
		parts[kept].records += parts[i].records;
		parts[kept].blocks += parts[i].blocks;
		parts[kept].bytes += parts[i].bytes;
		free(parts[i].name);
	}
	qsort(parts, kept + 1, sizeof *parts, by_part_bytes);
	return kept + 1;
}

static void share_out(struct cached_part *parts, unsigned n, struct cached *ret)
{
	for (unsigned i = 0; i < n; i++) {
		if (i < REPORT_DIRECTORIES) {
			ret->directory[ret->n++] = parts[i];
			continue;
		}
		ret->others.records += parts[i].records;
		ret->others.blocks += parts[i].blocks;
		ret->others.bytes += parts[i].bytes;
		free(parts[i].name);
	}
}

static int by_directory(int fd, const char *path, const struct records *all, struct cached *ret)
{
	static struct cached_part parts[REPORT_PATHS];
	unsigned n = 0;
	int r = 0;
	for (size_t i = 0; i < all->n && r == 0; i++) {
		char *name = NULL;
		add_part(&ret->all, &all->of[i]);
		if (i < REPORT_PATHS)
			r = directory_of(fd, path, all->of[i].ino, &name);
		if (name) {
			parts[n] = (struct cached_part){.name = name};
			add_part(&parts[n++], &all->of[i]);
		} else {
			add_part(&ret->rest, &all->of[i]);
		}
	}
	share_out(parts, merge(parts, n), ret);
	return r;
}

int cached_take(int fd, const char *path, int64_t ttl, struct cached *ret)
{
	struct records all = {0};
	memset(ret, 0, sizeof *ret);
	ret->step = ttl >= TTL_STEPS ? ttl / TTL_STEPS : STEP_OF_NONE;
	int r = ask(fd, path, &all, ret);
	if (r == 0) {
		gather(&all);
		r = by_directory(fd, path, &all, ret);
	}
	free(all.of);
	return r;
}

void cached_free(struct cached *c)
{
	for (unsigned i = 0; i < c->n; i++)
		free(c->directory[i].name);
	c->n = 0;
}
