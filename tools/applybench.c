/*
 * What the store makes of changes and of small reads, in CPU time of the thread that asks: the
 * store alone, without FUSE and cache, nothing flushed. Each line is the median of some rounds.
 *
 *	applybench DIRECTORY [TEXT]	(where to make a store; only the works whose name has TEXT)
 */
#include "cache/store/sqlite.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15u
#define ROUND_NS 60000000
#define FILE_BLOCKS 16384u
#define BULK_BLOCKS 256u
#define BATCH_MAX 16u

struct bench {
	struct store *store;
	uint64_t runs;	 /* a file written in bulk: 16 blocks a row */
	uint64_t blocks; /* one written block by block */
	uint64_t random;
	unsigned created;
	uint64_t last;		     /* the newest record */
	unsigned removed;	     /* records before it have no name any more, */
	uint64_t orphans[BATCH_MAX]; /* the last ones of these */
	int64_t aside;		     /* time that is not the measured work's */
};

static char data[BULK_BLOCKS * STORE_BLOCK_SIZE];

static int64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void apply(struct bench *b, struct change *c, size_t n)
{
	struct change *table[BATCH_MAX] = {0};
	for (size_t i = 0; i < n; i++)
		table[i] = &c[i];
	store_apply(b->store, table, n, false);
	for (size_t i = 0; i < n; i++) {
		if (c[i].result < 0)
			errx(1, "a change failed: %s", strerror(-c[i].result));
		if (c[i].kind == CHANGE_WRITE) {
			block_unref(c[i].write.head);
			block_unref(c[i].write.tail);
		}
	}
}

static struct change creation(const char *name)
{
	return (struct change){.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {name, strlen(name)},
			.mode = S_IFREG | 0644}};
}

static struct change writing(uint64_t ino, uint64_t offset, size_t len)
{
	return (struct change){.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = ino, .offset = offset, .len = len, .data = data}};
}

static uint64_t random_block(struct bench *b)
{
	b->random = b->random * 6364136223846793005u + 1442695040888963407u;
	return (b->random >> 33) % FILE_BLOCKS;
}

static void overwrite(struct bench *b, uint64_t ino, unsigned n, size_t len)
{
	struct change c[BATCH_MAX];
	for (unsigned i = 0; i < n; i++)
		c[i] = writing(ino, random_block(b) * STORE_BLOCK_SIZE, len);
	apply(b, c, n);
}

static void overwrite_runs(struct bench *b, unsigned n)
{
	overwrite(b, b->runs, n, STORE_BLOCK_SIZE);
}

static void overwrite_blocks(struct bench *b, unsigned n)
{
	overwrite(b, b->blocks, n, STORE_BLOCK_SIZE);
}

static void overwrite_part(struct bench *b, unsigned n)
{
	overwrite(b, b->runs, n, 100);
}

static void create(struct bench *b, unsigned n)
{
	struct change c[BATCH_MAX];
	char name[BATCH_MAX][32];
	for (unsigned i = 0; i < n; i++) {
		snprintf(name[i], sizeof name[i], "record-%06u.json", b->created++);
		c[i] = creation(name[i]);
	}
	apply(b, c, n);
	b->last = c[n - 1].touched[0].ino;
}

static void create_and_write(struct bench *b, unsigned n)
{
	struct change c[BATCH_MAX];
	create(b, n);
	for (unsigned i = 0; i < n; i++)
		c[i] = writing(b->last - i, 0, 1024);
	apply(b, c, n);
}

/* Records for n removals, made aside. */
static void supply(struct bench *b, unsigned n)
{
	int64_t begin = cpu_now();
	if (b->created - b->removed < n)
		for (unsigned i = 0; i < 2048; i += BATCH_MAX)
			create_and_write(b, BATCH_MAX);
	b->aside += cpu_now() - begin;
}

static void unlink_records(struct bench *b, unsigned n)
{
	struct change c[BATCH_MAX];
	char name[BATCH_MAX][32];
	supply(b, n);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name[i], sizeof name[i], "record-%06u.json", b->removed++);
		c[i] = (struct change){.kind = CHANGE_UNLINK,
			.now = 3,
			.unlink = {.parent = STORE_ROOT_INO, .name = {name[i], strlen(name[i])}}};
	}
	apply(b, c, n);
	for (unsigned i = 0; i < n; i++)
		b->orphans[i] = c[i].touched[0].ino;
}

static void reap(struct bench *b, unsigned n)
{
	struct change c[BATCH_MAX];
	int64_t begin = cpu_now(), aside = b->aside;
	unlink_records(b, n);
	b->aside = aside + cpu_now() - begin;
	for (unsigned i = 0; i < n; i++)
		c[i] = (struct change){
			.kind = CHANGE_REAP, .now = 4, .reap = {.ino = b->orphans[i]}};
	apply(b, c, n);
}

static void append_bytes(struct bench *b, unsigned n)
{
	struct change c[BATCH_MAX];
	for (unsigned i = 0; i < n; i++) {
		c[i] = writing(b->last, 0, 100);
		c[i].write.append = true;
	}
	apply(b, c, n);
}

static void getattr(struct bench *b, unsigned n)
{
	struct store_attr a;
	for (unsigned i = 0; i < n; i++)
		if (store_getattr(b->store, b->runs, &a) < 0)
			errx(1, "getattr failed");
}

static void lookup(struct bench *b, unsigned n)
{
	struct store_attr a;
	for (unsigned i = 0; i < n; i++)
		if (store_lookup(b->store, STORE_ROOT_INO, "record-000003.json", 18, &a) < 0)
			errx(1, "lookup failed");
}

static void look_up_and_create(struct bench *b, unsigned n)
{
	struct store_attr a;
	char name[32];
	snprintf(name, sizeof name, "record-%06u.json", b->created);
	if (store_lookup(b->store, STORE_ROOT_INO, name, strlen(name), &a) != -ENOENT)
		errx(1, "lookup did not fail");
	create(b, n);
}

static void read_file(struct bench *b, uint64_t ino, unsigned n)
{
	static struct store_span span;
	for (unsigned i = 0; i < n; i++) {
		if (store_read(b->store, ino, random_block(b), 1, &span) < 0)
			errx(1, "a read failed");
		store_span_release(&span);
	}
}

static void read_runs(struct bench *b, unsigned n)
{
	read_file(b, b->runs, n);
}

static void read_blocks(struct bench *b, unsigned n)
{
	read_file(b, b->blocks, n);
}

static const struct work {
	const char *name;
	void (*run)(struct bench *b, unsigned n);
	unsigned batch;
} works[] = {
	{"overwrite 4 KiB in a long row, 1", overwrite_runs, 1},
	{"overwrite 4 KiB in a long row, 8", overwrite_runs, 8},
	{"overwrite 4 KiB in a long row, 16", overwrite_runs, 16},
	{"overwrite a row of 4 KiB, 1", overwrite_blocks, 1},
	{"overwrite a row of 4 KiB, 8", overwrite_blocks, 8},
	{"overwrite a row of 4 KiB, 16", overwrite_blocks, 16},
	{"overwrite 100 bytes, 1", overwrite_part, 1},
	{"overwrite 100 bytes, 8", overwrite_part, 8},
	{"create, 1", create, 1},
	{"create, 8", create, 8},
	{"lookup in vain, create, 1", look_up_and_create, 1},
	{"create, then write 1 KiB, 1", create_and_write, 1},
	{"create, then write 1 KiB, 8", create_and_write, 8},
	{"append 100 bytes, 1", append_bytes, 1},
	{"append 100 bytes, 8", append_bytes, 8},
	{"getattr", getattr, 1},
	{"lookup", lookup, 1},
	{"read 4 KiB of a long row", read_runs, 1},
	{"read a row of 4 KiB", read_blocks, 1},
	{"unlink, 1", unlink_records, 1},
	{"reap, 16", reap, 16},
};

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void measure(struct bench *b, const struct work *w)
{
	double us[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		int64_t begin = cpu_now(), end;
		unsigned n = 0;
		b->aside = 0;
		do {
			for (unsigned k = 0; k < 50; k++)
				w->run(b, w->batch);
			n += 50 * w->batch;
			end = cpu_now() - b->aside;
		} while (end - begin < ROUND_NS);
		us[i] = (double)(end - begin) / n / 1000;
	}
	qsort(us, ROUNDS, sizeof *us, compare);
	printf("%-36s %6.2f us each (%.2f to %.2f)\n", w->name, us[ROUNDS / 2], us[ROUNDS / 4],
		us[ROUNDS * 3 / 4]);
	fflush(stdout);
}

static void prepare(struct bench *b)
{
	struct change c[2] = {creation("in-runs"), creation("in-blocks")};
	apply(b, c, 2);
	b->runs = c[0].touched[0].ino;
	b->blocks = c[1].touched[0].ino;
	for (unsigned i = 0; i < FILE_BLOCKS; i += BULK_BLOCKS) {
		c[0] = writing(b->runs, (uint64_t)i * STORE_BLOCK_SIZE, sizeof data);
		apply(b, c, 1);
	}
	for (unsigned i = 0; i < FILE_BLOCKS; i++) {
		c[0] = writing(b->blocks, (uint64_t)i * STORE_BLOCK_SIZE, STORE_BLOCK_SIZE);
		apply(b, c, 1);
	}
	create(b, BATCH_MAX);
}

int main(int argc, char **argv)
{
	char path[4096], why[SQLITE_STORE_WHY];
	if (argc != 2 && argc != 3)
		errx(2, "usage: applybench DIRECTORY [TEXT]");
	snprintf(path, sizeof path, "%s/applybench.db", argv[1]);
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = 5000};
	struct bench b = {.random = 4711};
	unlink(path);
	sqlite_store_prepare();
	if (sqlite_store_open(&cfg, &b.store, why, sizeof why) < 0)
		errx(1, "%s", why);
	prepare(&b);
	for (size_t i = 0; i < ARRAY_LEN(works); i++)
		if (argc < 3 || strstr(works[i].name, argv[2]))
			measure(&b, &works[i]);
	store_close(b.store);
	unlink(path);
	return 0;
}
