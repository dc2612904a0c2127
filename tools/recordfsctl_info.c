/* recordfsctl info [--blocks] FILE... */

#include "recordfsctl.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Blocks that follow each other and are alike, as one line of the list. */
struct range {
	uint64_t first;
	uint64_t count;
	struct recordfs_block last;
	int64_t ttl_least; /* of those cached */
};

struct totals {
	uint64_t stored;
	uint64_t holes;
	uint64_t cached;
	uint64_t unsummed;
	int64_t ttl_least;
	int64_t ttl_most;
};

/* One pass over a file: what came in so far. */
struct listing {
	const char *path;
	int fd;
	bool each_block;
	bool print; /* the ranges, as they come; the totals come before them, in a pass of their own
		     */
	struct range range;
	struct totals totals;
};

static bool alike(const struct recordfs_block *a, const struct recordfs_block *b)
{
	return (a->len == 0) == (b->len == 0) && a->flags == b->flags;
}

static void print_range(const struct range *r)
{
	char ttl[NUMBER_SIZE], places[2 * NUMBER_SIZE];
	const struct recordfs_block *b = &r->last;
	if (r->count == 1)
		snprintf(places, sizeof places, "%" PRIu64, r->first);
	else
		snprintf(places, sizeof places, "%" PRIu64 "-%" PRIu64, r->first,
			r->first + r->count - 1);
	printf("  %-21s", places);
	if (b->len == 0)
		printf(" hole");
	else if (r->count > 1)
		printf(" %s", b->flags & RECORDFS_BLOCK_HAS_SUM ? "stored, with checksums"
								: "stored, without checksums");
	else if (b->flags & RECORDFS_BLOCK_HAS_SUM)
		printf(" %4" PRIu32 " %s, checksum %016" PRIx64, b->len,
			b->len == 1 ? "byte" : "bytes", b->sum);
	else
		printf(" %4" PRIu32 " %s, no checksum", b->len, b->len == 1 ? "byte" : "bytes");
	if (b->flags & RECORDFS_BLOCK_CACHED)
		printf(", cached, TTL left %s", seconds_of(r->ttl_least, ttl));
	printf("\n");
}

static void end_range(struct listing *l)
{
	if (l->range.count && l->print)
		print_range(&l->range);
	l->range.count = 0;
}

static void count_block(struct totals *t, const struct recordfs_block *b)
{
	if (b->len == 0)
		t->holes++;
	else
		t->stored++;
	if (b->len && !(b->flags & RECORDFS_BLOCK_HAS_SUM))
		t->unsummed++;
	if (!(b->flags & RECORDFS_BLOCK_CACHED))
		return;
	if (t->cached == 0 || b->ttl_left < t->ttl_least)
		t->ttl_least = b->ttl_left;
	if (t->cached == 0 || b->ttl_left > t->ttl_most)
		t->ttl_most = b->ttl_left;
	t->cached++;
}

static void add_block(struct listing *l, const struct recordfs_block *b)
{
	struct range *r = &l->range;
	count_block(&l->totals, b);
	bool single = l->each_block && b->len;
	if (r->count == 0 || single || (l->each_block && r->last.len) || !alike(&r->last, b) ||
		b->index != r->first + r->count) {
		end_range(l);
		*r = (struct range){.first = b->index, .ttl_least = b->ttl_left};
	}
	r->count++;
	r->last = *b;
	if (b->ttl_left < r->ttl_least)
		r->ttl_least = b->ttl_left;
}

/* A hole may have a billion blocks: seek to its end, to ask no more than needed. */
static void skip_hole(struct listing *l, const struct recordfs_info *i, uint64_t *first)
{
	uint64_t all = (i->size + i->block_size - 1) / i->block_size, end = all;
	if (*first >= all)
		return;
	off_t data = lseek(l->fd, (off_t)(*first * i->block_size), SEEK_DATA);
	if (data >= 0)
		end = (uint64_t)data / i->block_size;
	else if (errno != ENXIO)
		return;
	if (end <= *first)
		return;
	l->totals.holes += end - *first;
	if (l->range.count && l->range.last.len == 0 && !l->range.last.flags)
		l->range.count += end - *first;
	*first = end;
}

/* Goes through the blocks of the file. *ret: as it was at the end of that. */
static int list_blocks(struct listing *l, struct recordfs_info *ret)
{
	uint64_t first = 0;
	for (;;) {
		memset(ret, 0, sizeof *ret);
		ret->first = first;
		ret->count = RECORDFS_INFO_MAX;
		if (ask_mount(l->fd, l->path, RECORDFS_IOC_INFO, ret) < 0)
			return -1;
		if (ret->n > RECORDFS_INFO_MAX || ret->block_size == 0) {
			complain("%s: the mount's answer makes no sense", l->path);
			return -1;
		}
		for (uint32_t b = 0; b < ret->n; b++)
			add_block(l, &ret->block[b]);
		uint64_t all = (ret->size + ret->block_size - 1) / ret->block_size;
		if (ret->first <= first || ret->first >= all)
			break;
		first = ret->first;
		if (l->range.count >= ret->n && l->range.last.len == 0)
			skip_hole(l, ret, &first);
		if (first >= all)
			break;
	}
	end_range(l);
	return 0;
}

static void print_totals(const struct totals *t, const struct recordfs_info *i)
{
	char a[NUMBER_SIZE], b[NUMBER_SIZE];
	printf("  blocks of %" PRIu32 ": %s stored", i->block_size, number(t->stored, a));
	printf(", %s in holes", number(t->holes, a));
	if (t->unsummed)
		printf(", %s without a checksum", number(t->unsummed, a));
	printf("\n  cached: %s", number(t->cached, a));
	if (t->cached)
		printf(", TTL left %s", seconds_of(t->ttl_least, a));
	if (t->cached > 1)
		printf(" to %s", seconds_of(t->ttl_most, b));
	printf("\n");
}

/* What a symlink leads to: that is what is told of. */
static void print_link(const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	fputs(" -> ", stdout);
	print_path(stdout, target);
}

static int describe(int fd, const char *path, bool each_block)
{
	char a[NUMBER_SIZE];
	struct recordfs_info i;
	struct listing count = {.path = path, .fd = fd};
	if (list_blocks(&count, &i) < 0)
		return FAILED;
	print_path(stdout, path);
	print_link(path);
	printf("\n  inode %" PRIu64 ", ", i.ino);
	print_count(stdout, i.size, "byte", "bytes");
	printf(", version %" PRIu64 ", TTL %s (%s)\n", i.version, seconds_of(i.ttl, a),
		i.own_ttl ? "its own" : "the mount's");
	if (count.totals.stored + count.totals.holes == 0)
		return DONE;
	print_totals(&count.totals, &i);
	struct listing show = {.path = path, .fd = fd, .each_block = each_block, .print = true};
	return list_blocks(&show, &i) < 0 ? FAILED : DONE;
}

static int info(const char *path, bool each_block)
{
	int fd = open_on_mount(path);
	if (fd < 0)
		return FAILED;
	int status = describe(fd, path, each_block);
	close(fd);
	return status;
}

int ctl_info(int argc, char **argv)
{
	static const struct option options[] = {
		{"blocks", no_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool each_block = false;
	int option, status = DONE;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return print_help("info");
		if (option != 'b')
			return misused_option();
		each_block = true;
	}
	if (optind == argc)
		return misused("info: name a FILE");
	for (int i = optind; i < argc; i++)
		if (info(argv[i], each_block) != DONE)
			status = FAILED;
	return status;
}
