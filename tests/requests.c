#include "requests.h"

#include "model_store.h"

#include "cache/cache.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct requests_counts requests_counts;

bool requests_wrong(struct requests *r, const char *fmt, ...)
{
	va_list ap;
	if (r->broken)
		return false;
	r->broken = true;
	va_start(ap, fmt);
	vsnprintf(r->why, REQUESTS_WHY, fmt, ap);
	va_end(ap);
	return false;
}

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "requests: %s\n", what);
	abort();
}

void requests_setup(void)
{
	requests_sqlite_setup();
}

void requests_teardown(void)
{
	requests_sqlite_teardown();
}

/* One in four: it takes much longer. */
static bool is_sqlite(uint8_t how)
{
	return (how & 3) == 1;
}

/* And one in four of these is new, and checked in the end. So is one in which something fails. */
static bool is_fresh(const struct requests *r, uint8_t how)
{
	return how >> 6 == 0 || r->hooks;
}

/* What is under test is a cache over a store, with or without room in it. */
static void open_sides(struct requests *r, uint8_t how)
{
	static const int64_t ttls[] = {300000000000, 300000000000, 0, 1000000};
	struct kernel_config config = {
		.minor = how & 4 ? 45 : 40, .cache_ttl_ns = ttls[how >> 3 & 3]};
	struct cache_config cache = {.size = how & 32 ? 64 << 10 : 8 << 20,
		.ttl_ns = config.cache_ttl_ns,
		.sync = CACHE_SYNC_STANDARD};
	struct store *below =
		is_sqlite(how) ? requests_sqlite_open(is_fresh(r, how)) : model_store_new();
	if (cache_new(&cache, below, &r->store[SIDE_TESTED]) < 0)
		die("no cache");
	/* Control calls want a cache on top; this one keeps nothing. */
	cache.size = 0;
	if (cache_new(&cache, model_store_new(), &r->store[SIDE_MODEL]) < 0)
		die("no cache");
	for (unsigned side = 0; side < SIDES; side++) {
		config.pause = r->hooks && side == SIDE_TESTED ? r->hooks->pause : NULL;
		r->kernel[side] = kernel_open(r->store[side], &config);
	}
	if (r->hooks)
		r->hooks->opened(r->store[SIDE_TESTED]);
	r->things[0] = (struct thing){.ino = {STORE_ROOT_INO, STORE_ROOT_INO}, .nlookup = 1};
	r->n_things = 1;
}

/* Whatever is held is answered, and judged in its order. */
static void settle(struct requests *r)
{
	for (unsigned side = 0; side < SIDES; side++)
		if (!kernel_settle(r->kernel[side]))
			die("a request is not answered, or twice"); /* its memory is in use */
	for (unsigned i = 0; i < r->n_held; i++) {
		struct asked *a = &r->held[i];
		if (!r->broken)
			(void)!requests_judge(r, a);
		for (unsigned side = 0; side < SIDES; side++)
			kernel_answer_free(&a->answer[side]);
		free(a->in);
	}
	r->n_held = 0;
}

static void ask_one(struct requests *r, struct asked *a, unsigned side)
{
	if (a->patch_at != SIZE_MAX)
		memcpy(a->in + a->patch_at, &a->patch[side], sizeof a->patch[side]);
	kernel_ask(
		r->kernel[side], a->opcode, a->nodeid[side], a->in, a->in_size, &a->answer[side]);
}

/* False: it failed, as it may. */
static bool ask_hooked(struct requests *r, struct asked *a)
{
	struct kernel_answer *answer = &a->answer[SIDE_TESTED];
	r->hooks->before();
	ask_one(r, a, SIDE_TESTED);
	kernel_commit(r->kernel[SIDE_TESTED]);
	bool failed = r->hooks->after();
	if (!kernel_settle(r->kernel[SIDE_TESTED]))
		die("a request is not answered, or twice");
	if (failed && (answer->error == EIO || answer->error == ENOMEM))
		return false;
	ask_one(r, a, SIDE_MODEL);
	return true;
}

static void ask(struct requests *r, struct asked *a, bool refused)
{
	for (unsigned side = 0; side < SIDES; side++)
		a->answer[side].refused = refused;
	if (!r->hooks) {
		for (unsigned side = 0; side < SIDES; side++)
			ask_one(r, a, side);
	} else if (!ask_hooked(r, a)) {
		kernel_answer_free(&a->answer[SIDE_TESTED]);
		free(a->in);
		r->n_held--;
	}
}

/* The kernel goes: it closes and forgets all. */
static void leave(struct requests *r)
{
	settle(r);
	for (unsigned i = 1; i < r->n_things; i++) {
		struct thing *t = &r->things[i];
		for (unsigned side = 0; side < SIDES; side++) {
			const struct fuse_release_in release = {0};
			const struct fuse_forget_in forget = {.nlookup = t->nlookup};
			for (unsigned k = 0; k < t->nopen; k++) {
				struct kernel_answer a = {0};
				kernel_ask(r->kernel[side], FUSE_RELEASE, t->ino[side], &release,
					sizeof release, &a);
				kernel_answer_free(&a);
			}
			if (t->nlookup)
				kernel_tell(r->kernel[side], FUSE_FORGET, t->ino[side], &forget,
					sizeof forget);
		}
	}
	struct thing *root = &r->things[0];
	for (unsigned side = 0; side < SIDES; side++) {
		const struct fuse_release_in release = {0};
		for (unsigned k = 0; k < root->nopen; k++) {
			struct kernel_answer a = {0};
			kernel_ask(r->kernel[side], FUSE_RELEASE, root->ino[side], &release,
				sizeof release, &a);
			kernel_answer_free(&a);
		}
		size_t known = kernel_inodes(r->kernel[side]);
		if (known != 1)
			(void)requests_wrong(r, "%zu inodes are still known in the end", known);
	}
}

bool requests_run_hooked(
	const uint8_t *input, size_t size, const struct requests_hooks *hooks, char *why)
{
	struct requests *r = calloc(1, sizeof *r);
	if (!r)
		die("no memory");
	r->hooks = hooks;
	r->why = why;
	r->in = (struct requests_input){input, input + size};
	uint8_t how = input_u8(&r->in);
	open_sides(r, how);
	while (r->in.at < r->in.end && !r->broken) {
		uint8_t kind = *r->in.at;
		struct asked *a = &r->held[r->n_held];
		if (!requests_make(r, a))
			continue;
		r->n_held++;
		ask(r, a, kind & 0x80);
		/* What is gone after a STATFS is not to be asked for. */
		if (!(kind & 0x40) || hooks || r->n_held == REQUESTS_HELD ||
			a->opcode == FUSE_STATFS)
			settle(r);
	}
	leave(r);
	for (unsigned side = 0; side < SIDES; side++)
		kernel_close(r->kernel[side]);
	if (!r->broken)
		(void)!requests_compare_stores(r);
	for (unsigned side = 0; side < SIDES; side++)
		store_close(r->store[side]);
	if (is_sqlite(how))
		requests_sqlite_done(r, is_fresh(r, how));
	requests_counts.runs++;
	bool good = !r->broken;
	free(r);
	return good;
}

bool requests_run(const uint8_t *input, size_t size, char *why)
{
	return requests_run_hooked(input, size, NULL, why);
}
