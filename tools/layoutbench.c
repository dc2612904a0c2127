/*
 * layoutbench: which page size, and which way to write rows, suits a store in SQLite?
 *
 *	layoutbench [--quick | --reps N] DIR
 *
 * Runs every workload of the table below on a fresh database in DIR (on the disk that is asked
 * about, not a tmpfs), for one layout after the other (A B C A B C ...), and prints the medians of
 * the repetitions as a Markdown table. What recordfs took from it: docs/measurements.md.
 *
 * The databases are written as a store writes: WAL, which reaches its size once and is reused; no
 * checkpoint inside an operation, but one by the same connection whenever the WAL is past its limit
 * ("all/s" counts that time as well, and that of a last checkpoint at the end).
 */
#include "layoutdb.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#define BLOCK ((size_t)STORE_BLOCK_SIZE)
#define MIB_BLOCKS 256u		/* blocks in a MiB */
#define FILE_BLOCKS 16384u	/* of the 64 MiB file that most workloads start from */
#define WAL_REACHED (20u << 20) /* what the WAL grows to before anything is measured */
#define RECORD_SIZE 1024u	/* of a created file */
#define APPEND_SIZE 100u
#define MAX_REPS 9
#define MAX_OPS 8192u

enum { WARM_INO = 2, DIR_INO, FILE_INO, NEW_INO = 100 };

#define PLAIN 1u
#define PAGES (2u | 4u | 8u)
#define VACUUM (PAGES | 16u | 32u | 64u)

static const struct layout layouts[] = {
	{"file", 0, 0},
	{"4", 4096, VACUUM_INCREMENTAL},
	{"8", 8192, VACUUM_INCREMENTAL},
	{"16", 16384, VACUUM_INCREMENTAL},
	{"4 none", 4096, VACUUM_NONE},
	{"8 none", 8192, VACUUM_NONE},
	{"16 none", 16384, VACUUM_NONE},
};
#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct bench;

struct workload {
	const char *name;
	unsigned layouts;  /* bits: which of the layouts it is run on */
	bool durable;	   /* synchronous=FULL, else NORMAL */
	unsigned file_run; /* blocks to a row of the file that is there at the start, 0: none */
	unsigned run;	   /* blocks to a row that it writes */
	enum stmt how;	   /* how it writes rows */
	unsigned ops;
	size_t bytes; /* of a user's data, to an operation */
	void (*op)(struct bench *b, unsigned i);
};

struct bench {
	const struct workload *work;
	struct db db;
	int fd; /* of a plain file */
	uint64_t random;
};

enum metric { P50, P99, RATE, RATE_ALL, MB_ALL, WAL_PER_OP, SPACE_PER_OP, N_METRICS };

static unsigned char noise[4u << 20];
static unsigned char sink[MIB_BLOCKS * BLOCK];

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Bytes that no row has yet, so that SQLite cannot see that nothing changed. */
static const unsigned char *fresh_bytes(struct bench *b)
{
	return noise + next_random(&b->random) % (sizeof(noise) - RUN * BLOCK);
}

static void put_fresh_row(struct bench *b, enum stmt how, uint64_t key, size_t len)
{
	db_put_row(&b->db, how, key, fresh_bytes(b), fresh_bytes(b), len);
}

/* Operations: each is one transaction. */

static void op_overwrite(struct bench *b, unsigned i)
{
	(void)i;
	db_run(&b->db, BEGIN);
	put_fresh_row(b, b->work->how, db_row_key(FILE_INO, next_random(&b->random) % FILE_BLOCKS),
		BLOCK);
	db_put_inode(&b->db, TOUCH_INODE, FILE_INO, FILE_BLOCKS * BLOCK);
	db_run(&b->db, COMMIT);
}

static void op_pwrite(struct bench *b, unsigned i)
{
	uint64_t at = next_random(&b->random) % FILE_BLOCKS * BLOCK;

	(void)i;
	if (pwrite(b->fd, fresh_bytes(b), BLOCK, (off_t)at) != (ssize_t)BLOCK)
		err(1, "%s", b->db.path);
}

static void write_mib(struct bench *b, uint64_t ino, unsigned i, unsigned run)
{
	db_run(&b->db, BEGIN);
	for (unsigned at = 0; at < MIB_BLOCKS; at += run)
		put_fresh_row(
			b, PUT_ROW, db_row_key(ino, (uint64_t)i * MIB_BLOCKS + at), run * BLOCK);
	db_put_inode(&b->db, TOUCH_INODE, ino, (i + (uint64_t)1) << 20);
	db_run(&b->db, COMMIT);
}

static void op_write_mib(struct bench *b, unsigned i)
{
	write_mib(b, FILE_INO, i, b->work->run);
}

static void op_create(struct bench *b, unsigned i)
{
	char name[32];
	int len = snprintf(name, sizeof(name), "record-%06u.json", i * 7919 % 1000000);

	db_run(&b->db, BEGIN);
	db_put_inode(&b->db, NEW_INODE, NEW_INO + i, RECORD_SIZE);
	db_put_dentry(&b->db, NEW_INO + i, name, (size_t)len);
	put_fresh_row(b, PUT_ROW, db_row_key(NEW_INO + i, 0), RECORD_SIZE);
	db_put_inode(&b->db, TOUCH_INODE, DIR_INO, i);
	db_run(&b->db, COMMIT);
}

/* To the end of what is in b->db.row, and on in a row of its own once that is full. */
static void op_append(struct bench *b, unsigned i)
{
	uint64_t size = (uint64_t)i * APPEND_SIZE;
	size_t used = size % BLOCK;
	size_t fits = used + APPEND_SIZE <= BLOCK ? APPEND_SIZE : BLOCK - used;
	uint64_t key = db_row_key(FILE_INO, size / BLOCK);

	db_run(&b->db, BEGIN);
	if (used > 0)
		db_get_row(&b->db, key);
	memcpy(b->db.row + used, fresh_bytes(b), fits);
	db_put_row(&b->db, PUT_ROW, key, fresh_bytes(b), b->db.row, used + fits);
	if (fits < APPEND_SIZE)
		put_fresh_row(b, PUT_ROW, key + 1, APPEND_SIZE - fits);
	db_put_inode(&b->db, TOUCH_INODE, FILE_INO, size + APPEND_SIZE);
	db_run(&b->db, COMMIT);
}

static uint64_t random_run(struct bench *b)
{
	return db_row_key(FILE_INO, next_random(&b->random) % (FILE_BLOCKS / RUN) * RUN);
}

/* One block of a whole row changes; the row is written again. */
static void op_patch(struct bench *b, unsigned i)
{
	uint64_t key = random_run(b);
	size_t at = i % RUN;

	db_run(&b->db, BEGIN);
	db_get_row(&b->db, key);
	memcpy(b->db.sums + at * 8, fresh_bytes(b), 8);
	memcpy(b->db.row + at * BLOCK, fresh_bytes(b), BLOCK);
	db_put_row(&b->db, b->work->how, key, b->db.sums, b->db.row, RUN * BLOCK);
	db_put_inode(&b->db, TOUCH_INODE, FILE_INO, FILE_BLOCKS * BLOCK);
	db_run(&b->db, COMMIT);
}

/* The same through incremental blob I/O, which leaves the rest of the row alone. */
static void op_patch_blob(struct bench *b, unsigned i)
{
	uint64_t key = random_run(b);

	db_run(&b->db, BEGIN);
	db_patch(&b->db, "sums", key, i % RUN, fresh_bytes(b), 8);
	db_patch(&b->db, "data", key, i % RUN, fresh_bytes(b), STORE_BLOCK_SIZE);
	db_put_inode(&b->db, TOUCH_INODE, FILE_INO, FILE_BLOCKS * BLOCK);
	db_run(&b->db, COMMIT);
}

/* The first change of a block in a whole row: it becomes RUN rows of one block. */
static void op_split(struct bench *b, unsigned i)
{
	uint64_t key = db_row_key(FILE_INO, (uint64_t)i * RUN);

	db_run(&b->db, BEGIN);
	db_get_row(&b->db, key);
	memcpy(b->db.row + i % RUN * BLOCK, fresh_bytes(b), BLOCK);
	for (size_t at = 0; at < RUN; at++)
		db_put_row(&b->db, PUT_ROW, key + at, b->db.sums + at * 8, b->db.row + at * BLOCK,
			BLOCK);
	db_put_inode(&b->db, TOUCH_INODE, FILE_INO, FILE_BLOCKS * BLOCK);
	db_run(&b->db, COMMIT);
}

static void op_read_mib(struct bench *b, unsigned i)
{
	uint64_t first = db_row_key(FILE_INO, (uint64_t)i * MIB_BLOCKS % FILE_BLOCKS);

	if (db_get_range(&b->db, first, first + MIB_BLOCKS - 1, sink) != sizeof(sink))
		errx(1, "%s: not the MiB that was written", b->db.path);
}

#define MIB (1u << 20)
static const struct workload workloads[] = {
	{"a overwrite 4K, O_DSYNC", PLAIN, true, 1, 1, N_STMTS, 2000, BLOCK, op_pwrite},
	{"a overwrite 4K, durable", VACUUM, true, 1, 1, PUT_ROW, 2000, BLOCK, op_overwrite},
	{"a same with REPLACE", PAGES, true, 1, 1, REPLACE_ROW, 2000, BLOCK, op_overwrite},
	{"b overwrite 4K", PAGES, false, 1, 1, PUT_ROW, 4000, BLOCK, op_overwrite},
	{"c write 1M as 64K rows, durable", VACUUM, true, 0, RUN, N_STMTS, 256, MIB, op_write_mib},
	{"c write 1M as 4K rows, durable", VACUUM, true, 0, 1, N_STMTS, 256, MIB, op_write_mib},
	{"d create 1K, durable", VACUUM, true, 0, 0, N_STMTS, 2000, RECORD_SIZE, op_create},
	{"d create 1K", VACUUM, false, 0, 0, N_STMTS, 8000, RECORD_SIZE, op_create},
	{"e append 100 bytes, durable", PAGES, true, 0, 0, N_STMTS, 2000, APPEND_SIZE, op_append},
	{"f read 1M of 64K rows", PAGES, false, RUN, 0, N_STMTS, 64, MIB, op_read_mib},
	{"f read 1M of 4K rows", PAGES, false, 1, 0, N_STMTS, 64, MIB, op_read_mib},
	{"i 4K in a 64K row, REPLACE", PAGES, true, RUN, RUN, REPLACE_ROW, 1000, BLOCK, op_patch},
	{"i 4K in a 64K row, upsert", PAGES, true, RUN, RUN, PUT_ROW, 1000, BLOCK, op_patch},
	{"i 4K in a 64K row, blob", PAGES, true, RUN, RUN, N_STMTS, 1000, BLOCK, op_patch_blob},
	{"i 4K in a 64K row, split", PAGES, true, RUN, 1, N_STMTS, 1000, BLOCK, op_split},
};
#define N_WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static double results[N_WORKLOADS][N_LAYOUTS][N_METRICS][MAX_REPS];

/* The file that the workload starts from, and a WAL that has reached its size. */
static void prepare_database(struct bench *b)
{
	db_connect(&b->db);
	for (uint64_t ino = WARM_INO; ino <= FILE_INO; ino++)
		db_put_inode(&b->db, NEW_INODE, ino, 0);
	for (unsigned i = 0; db_wal_size(&b->db) < WAL_REACHED; i++)
		write_mib(b, WARM_INO, i, RUN);
	db_checkpoint_past(&b->db, 0);
	for (unsigned i = 0; b->work->file_run > 0 && i < FILE_BLOCKS / MIB_BLOCKS; i++) {
		write_mib(b, FILE_INO, i, b->work->file_run);
		db_checkpoint_past(&b->db, WAL_LIMIT);
	}
	db_checkpoint_past(&b->db, 0);
	if (b->work->op == op_read_mib) {
		db_disconnect(&b->db);
		db_connect(&b->db);
	}
	db_set_durable(&b->db, b->work->durable);
}

static void prepare_plain(struct bench *b)
{
	b->fd = open(b->db.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (unsigned i = 0; b->fd >= 0 && i < FILE_BLOCKS; i++)
		if (pwrite(b->fd, noise, BLOCK, (off_t)(i * BLOCK)) != (ssize_t)BLOCK)
			err(1, "%s", b->db.path);
	if (b->fd < 0 || fsync(b->fd) < 0 || close(b->fd) < 0)
		err(1, "%s", b->db.path);
	b->fd = open(b->db.path, O_RDWR | O_DSYNC | O_CLOEXEC);
	if (b->fd < 0)
		err(1, "%s", b->db.path);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(struct bench *b, unsigned ops, double *ret)
{
	static uint64_t took[MAX_OPS];
	const unsigned half = ops / 2, most = ops * 99 / 100;
	uint64_t begin, done, sum = 0, wal = b->db.wal_bytes, space = db_used_bytes(&b->db);

	begin = now_ns();
	for (unsigned i = 0; i < ops; i++) {
		uint64_t start = now_ns();

		b->work->op(b, i);
		took[i] = now_ns() - start;
		sum += took[i];
		db_checkpoint_past(&b->db, WAL_LIMIT);
	}
	db_checkpoint_past(&b->db, 0);
	done = now_ns();
	qsort(took, ops, sizeof(took[0]), compare_u64);
	ret[P50] = (double)took[half] / 1e3;
	ret[P99] = (double)took[most] / 1e3;
	ret[RATE] = ops * 1e9 / (double)sum;
	ret[RATE_ALL] = ops * 1e9 / (double)(done - begin);
	ret[MB_ALL] = ret[RATE_ALL] * (double)b->work->bytes / 1e6;
	ret[WAL_PER_OP] = (double)(b->db.wal_bytes - wal) / ops;
	ret[SPACE_PER_OP] = ((double)db_used_bytes(&b->db) - (double)space) / ops;
}

static void run_one(const char *dir, unsigned work, unsigned layout, unsigned ops, int rep)
{
	static struct bench bench;
	double measured[N_METRICS];
	struct bench *b = &bench;

	*b = (struct bench){
		.work = &workloads[work],
		.db.layout = &layouts[layout],
		.random = 88172645463325252u + (unsigned)rep,
	};
	snprintf(b->db.path, sizeof(b->db.path), "%s/layoutbench.db", dir);
	if (b->db.layout->page == 0)
		prepare_plain(b);
	else
		prepare_database(b);
	measure(b, ops, measured);
	for (int m = 0; m < N_METRICS; m++)
		results[work][layout][m][rep] = measured[m];
	if (b->db.layout->page == 0)
		close(b->fd);
	else
		db_disconnect(&b->db);
	unlink(b->db.path);
}

static void print_results(int reps)
{
	printf("| workload | pages KiB | p50 us | p99 us | op/s | all/s | all MB/s | WAL B/op |"
	       " store B/op |\n|---|---|---|---|---|---|---|---|---|\n");
	for (unsigned w = 0; w < N_WORKLOADS; w++)
		for (unsigned l = 0; l < N_LAYOUTS; l++) {
			if (!(workloads[w].layouts & 1u << l))
				continue;
			printf("| %s | %s |", workloads[w].name, layouts[l].name);
			for (int m = 0; m < N_METRICS; m++) {
				double *r = results[w][l][m];

				qsort(r, (size_t)reps, sizeof(*r), compare_double);
				printf(" %.*f |", m == MB_ALL ? 1 : 0, r[reps / 2]);
			}
			printf("\n");
		}
}

static void run_all(const char *dir, int reps, unsigned fraction)
{
	for (int rep = 0; rep < reps; rep++)
		for (unsigned w = 0; w < N_WORKLOADS; w++)
			for (unsigned l = 0; l < N_LAYOUTS; l++)
				if (workloads[w].layouts & 1u << l)
					run_one(dir, w, l, workloads[w].ops / fraction, rep);
}

static void fill_noise(void)
{
	uint64_t seed = 42;

	for (size_t i = 0; i < sizeof(noise); i += sizeof(seed)) {
		next_random(&seed);
		memcpy(noise + i, &seed, sizeof(seed));
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"quick", no_argument, NULL, 'q'},
		{"reps", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	struct statfs fs;
	unsigned fraction = 1;
	long reps = 3;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		fraction = c == 'q' ? 4 : 1;
		reps = c == 'q' ? 1 : c == 'r' ? strtol(optarg, NULL, 10) : 0;
	}
	if (argc - optind != 1 || reps < 1 || reps > MAX_REPS)
		errx(2, "usage: layoutbench [--quick | --reps 1...%d] DIR", MAX_REPS);
	if (statfs(argv[optind], &fs) < 0)
		err(1, "%s", argv[optind]);
	if (fs.f_type == TMPFS_MAGIC)
		errx(1, "%s: a tmpfs, which says nothing about a disk", argv[optind]);
	fill_noise();
	run_all(argv[optind], (int)reps, fraction);
	print_results((int)reps);
	return 0;
}
