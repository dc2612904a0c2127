/*
 * What the log of changes costs the write path: the same changes by a mount that is alone, which
 * logs nothing, and by one that has a peer, in turns. And what a poll costs.
 *
 *	changelogbench DIRECTORY	(where to make a store; on the disk in question)
 */
#include "cache/store/sqlite.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 21u
#define FILE_BLOCKS 4096u
#define POLLS 100000u
#define POLL_EACH_NS 50000000 /* of the peer: half of the default `watch` */

static char path[4096];
static char data[STORE_BLOCK_SIZE];

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct store *open_store(void)
{
	struct sqlite_config cfg = {.path = path, .busy_timeout_ms = 5000};
	char why[SQLITE_STORE_WHY];
	struct store *s;
	if (sqlite_store_open(&cfg, &s, why, sizeof why) < 0)
		errx(1, "%s", why);
	return s;
}

static bool ignore(void *arg, const struct store_event *event)
{
	(void)arg;
	(void)event;
	return false;
}

static void poll_once(struct store *s)
{
	if (store_poll(s, ignore, NULL) < 0)
		errx(1, "cannot poll");
}

/* -- the peer: has the store open from one byte on its pipe to the next ----------------------- */

static volatile sig_atomic_t told;

static void tell(int signal)
{
	(void)signal;
	told = 1;
}

static void serve(int from, int to) __attribute__((noreturn));
static void serve(int from, int to)
{
	const struct timespec pause = {.tv_nsec = POLL_EACH_NS};
	char byte = 0;
	signal(SIGUSR1, tell);
	while (read(from, &byte, 1) == 1) {
		struct store *s = open_store();
		told = 0;
		if (write(to, &byte, 1) != 1)
			exit(1);
		while (!told) {
			poll_once(s);
			nanosleep(&pause, NULL);
		}
		store_close(s);
		if (write(to, &byte, 1) != 1)
			exit(1);
	}
	exit(0);
}

struct peer {
	pid_t pid;
	int to, from;
};

static struct peer start_peer(void)
{
	int to[2], from[2];
	if (pipe(to) < 0 || pipe(from) < 0)
		err(1, "pipe");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	return (struct peer){pid, to[1], from[0]};
}

static void set_peer(const struct peer *p, bool open)
{
	char byte = 0;
	if (open ? write(p->to, &byte, 1) != 1 : kill(p->pid, SIGUSR1) < 0)
		err(1, "the peer");
	if (read(p->from, &byte, 1) != 1)
		errx(1, "the peer has died");
}

/* -- the work -------------------------------------------------------------------------------- */

struct bench {
	struct store *store;
	uint64_t file;
	unsigned created;
	uint64_t random;
};

static void apply(struct bench *b, struct change *c, bool durable)
{
	if (store_apply_one(b->store, c, durable) < 0)
		errx(1, "a change failed");
	if (c->kind == CHANGE_WRITE) {
		block_unref(c->write.head);
		block_unref(c->write.tail);
	}
}

static uint64_t create(struct bench *b, const char *name)
{
	struct change c = {.kind = CHANGE_CREATE,
		.now = 1,
		.create = {.parent = STORE_ROOT_INO,
			.name = {name, strlen(name)},
			.mode = S_IFREG | 0644}};
	apply(b, &c, false);
	return c.touched[0].ino;
}

static void write_at(struct bench *b, uint64_t ino, uint64_t offset, size_t len, bool durable)
{
	struct change c = {.kind = CHANGE_WRITE,
		.now = 2,
		.write = {.ino = ino, .offset = offset, .len = len, .data = data}};
	apply(b, &c, durable);
}

static void overwrite(struct bench *b, bool durable)
{
	b->random = b->random * 6364136223846793005u + 1442695040888963407u;
	uint64_t block = (b->random >> 33) % FILE_BLOCKS;
	write_at(b, b->file, block * STORE_BLOCK_SIZE, STORE_BLOCK_SIZE, durable);
}

static void new_record(struct bench *b, bool durable)
{
	char name[32];
	snprintf(name, sizeof name, "record-%06u.json", b->created++);
	write_at(b, create(b, name), 0, 1024, durable);
}

static const struct work {
	const char *name;
	void (*run)(struct bench *b, bool durable);
	bool durable;
	unsigned ops; /* of one round */
} works[] = {
	{"4 KiB overwrite, always", overwrite, true, 400},
	{"4 KiB overwrite, standard", overwrite, false, 2000},
	{"1 KiB create, always", new_record, true, 400},
	{"1 KiB create, standard", new_record, false, 1000},
};

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, compare);
	return v[n / 2];
}

/* Microseconds of one operation, the median of a round. */
static double run_round(struct bench *b, const struct work *w)
{
	static double each[2000];
	for (unsigned i = 0; i < w->ops; i++) {
		int64_t begin = now();
		w->run(b, w->durable);
		each[i] = (double)(now() - begin) / 1000;
	}
	return median(each, w->ops);
}

static void compare_work(struct bench *b, const struct peer *p, const struct work *w)
{
	double alone[ROUNDS], with[ROUNDS], ratio[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		alone[i] = run_round(b, w);
		set_peer(p, true);
		with[i] = run_round(b, w);
		set_peer(p, false);
		ratio[i] = with[i] / alone[i];
	}
	double m = median(ratio, ROUNDS);
	printf("%-28s alone %7.1f us   with a peer %7.1f us   ratio %.2f (%.2f to %.2f)\n", w->name,
		median(alone, ROUNDS), median(with, ROUNDS), m, ratio[ROUNDS / 4],
		ratio[ROUNDS * 3 / 4]);
	fflush(stdout);
}

static void time_polls(struct bench *b)
{
	poll_once(b->store);
	int64_t begin = now();
	for (unsigned i = 0; i < POLLS; i++)
		poll_once(b->store);
	printf("%-28s %.2f us\n", "a poll, nothing committed",
		(double)(now() - begin) / POLLS / 1000);
	int64_t sum = 0;
	for (unsigned i = 0; i < POLLS / 100; i++) {
		overwrite(b, false);
		begin = now();
		poll_once(b->store);
		sum += now() - begin;
	}
	printf("%-28s %.2f us\n", "a poll after our own commit",
		(double)sum / (POLLS / 100.0) / 1000);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: changelogbench DIRECTORY");
	snprintf(path, sizeof path, "%s/changelogbench.db", argv[1]);
	struct peer p = start_peer(); /* before the store is open: see sqlite.h */
	struct bench b = {.store = open_store(), .random = 4711};
	b.file = create(&b, "file");
	for (unsigned i = 0; i < FILE_BLOCKS; i++)
		write_at(&b, b.file, (uint64_t)i * STORE_BLOCK_SIZE, STORE_BLOCK_SIZE, false);
	time_polls(&b);
	for (size_t i = 0; i < ARRAY_LEN(works); i++)
		compare_work(&b, &p, &works[i]);
	close(p.to);
	waitpid(p.pid, NULL, 0);
	store_close(b.store);
	unlink(path);
	return 0;
}
