/*
 * Fuzzed requests: an input is a program of requests, with hostile arguments among them, that two
 * daemons without a kernel (kernel.h) are asked: one over the naive model, the other one over the
 * write-through cache, and what is below it is the model or SQLite. One entry for the test (random
 * inputs), the corpus (inputs that once broke something, or reach far) and the fuzzer.
 *
 *	requests_setup();
 *	char why[REQUESTS_WHY];
 *	if (!requests_run(input, size, why))
 *		... the promise that was broken is in `why`
 *	requests_teardown();
 *
 * The first byte chooses the stores and what the kernel is like, then come the requests, each a
 * byte that says what and its arguments; what is missing at the end is zeros. So every input is
 * one, and one that is cut is a shorter one.
 *
 * The promises:
 *   - each request is answered once, with an errno that its operation may answer (errors.h), and
 *     never EIO, since nothing fails; with no more bytes than were asked for
 *   - both daemons answer the same: errno, attributes but for times, data, names
 *   - when the kernel has closed and forgotten all, the daemons know of nothing but the root; then
 *     both stores hold the same tree and no inode besides, and the check of SQLite's finds nothing
 *   - nothing crashes, and no sanitizer complains: that is for who runs it to see
 *
 * What is hostile: numbers of inodes that there are not, or that are forgotten; offsets, sizes and
 * times that are negative or huge; unknown flags, modes, requests and ioctls; names that are empty,
 * too long, or hold what a name cannot; more forgets than lookups, more releases than opens;
 *answers that the kernel does not take. A process can make the kernel send some of that, the rest
 *only a kernel that is out of its mind. What libfuse takes for granted is not among it: see
 *kernel.h.
 */
#pragma once

#include "kernel.h"

#define REQUESTS_WHY 512u

void requests_setup(void);
void requests_teardown(void);
bool requests_run(const uint8_t *input, size_t size, char *why) MUST_CHECK NONNULL(3);

/* For who wants something to fail in the daemon under test, on the thread that runs the input. */
struct requests_hooks {
	void (*opened)(struct store *store); /* the one below that daemon */
	void (*pause)(bool on);		     /* what comes now is not the daemon's own work */
	void (*before)(void);		     /* it is asked */
	bool (*after)(void);		     /* it has answered; has anything failed? */
};

/* The same with hooks, or NULL. A request in which something has failed may say EIO or ENOMEM; then
 * the model is not asked, so it must have changed nothing. None waits for the next one to be asked.
 */
bool requests_run_hooked(const uint8_t *input, size_t size, const struct requests_hooks *hooks,
	char *why) MUST_CHECK NONNULL(4);

/* So far. */
struct requests_counts {
	unsigned runs, asked, failed; /* failed: answered with an error */
};
extern struct requests_counts requests_counts;

/* -- inside ----------------------------------------------------------------------------------- */

#define REQUESTS_THINGS 48u
#define REQUESTS_HELD 8u
#define REQUESTS_BYTES (256u << 10)

/* The side under test, and the model's. */
enum { SIDE_TESTED, SIDE_MODEL, SIDES };

/* What is left of the input; zeros after its end. */
struct requests_input {
	const uint8_t *at, *end;
};
uint8_t input_u8(struct requests_input *in) NONNULL(1);
uint32_t input_u32(struct requests_input *in) NONNULL(1);

/* An inode that both daemons have told the kernel of, each by a number of its own. */
struct thing {
	uint64_t ino[SIDES];
	uint64_t nlookup;
	unsigned nopen;
};

/* A request for both, and what they answered. */
struct asked {
	uint32_t opcode;
	uint64_t nodeid[SIDES];
	unsigned char *in; /* the same for both but for one number, if that: */
	size_t in_size;
	size_t patch_at; /* SIZE_MAX: none */
	uint64_t patch[SIDES];
	size_t room;	 /* bytes of an answer of varying size at most */
	bool whole;	 /* the listing of a directory, from its beginning */
	bool may_differ; /* the answer's number is the store's own affair */
	bool may_fail;	 /* of one side alone: the other one caches nothing, and so does less */
	struct kernel_answer answer[SIDES];
};

struct requests {
	struct store *store[SIDES];
	struct kernel *kernel[SIDES];
	const struct requests_hooks *hooks; /* or NULL */
	char *why;
	bool broken;
	struct requests_input in;
	struct thing things[REQUESTS_THINGS];
	unsigned n_things;
	struct asked held[REQUESTS_HELD];
	unsigned n_held;
	uint64_t cookie[SIDES]; /* the place after the last entry that was listed */
};

/* The first thing that is wrong counts. Returns false. */
bool requests_wrong(struct requests *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* requests_make.c: the next request of the input. False: it was told already, or is nothing. */
bool requests_make(struct requests *r, struct asked *ret) MUST_CHECK NONNULL(1, 2);

/* requests_judge.c: are the two answers right, and the same? Keeps account of what they open and
 * make known. */
bool requests_judge(struct requests *r, struct asked *a) MUST_CHECK NONNULL(1, 2);

/* requests_end.c: the two stores hold the same, and nothing besides. */
bool requests_compare_stores(struct requests *r) MUST_CHECK NONNULL(1);

/* requests_sqlite.c: a SQLite store without anything in it; for this input alone (fresh), or the
 * one that inputs share, which store_close() leaves open. */
void requests_sqlite_setup(void);
void requests_sqlite_teardown(void);
struct store *requests_sqlite_open(bool fresh) MUST_CHECK;

/* After store_close(): a fresh one is checked, the other one is emptied, and checked once in a
 * while. */
void requests_sqlite_done(struct requests *r, bool fresh) NONNULL(1);
