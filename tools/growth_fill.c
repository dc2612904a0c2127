/* Stores with much in them, made without a mount: that would take longer than all else. */
#include "growth.h"

#include "cache/store/sqlite.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH STORE_BATCH_MAX

static unsigned char bytes[STORE_BLOCK_SIZE];
static struct change changes[BATCH];
static struct change *const *change_list(void)
{
	static struct change *list[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		list[i] = &changes[i];
	return list;
}

static struct store *open_store(const struct run *r)
{
	char path[PATH_MAX], why[SQLITE_STORE_WHY];
	struct sqlite_config config = {.path = path, .busy_timeout_ms = 1000};
	struct store *s;

	snprintf(path, sizeof(path), "%s/store", r->home);
	if (sqlite_store_open(&config, &s, why, sizeof(why)) < 0)
		errx(1, "%s", why);
	memset(bytes, 'x', sizeof(bytes));
	return s;
}

static void apply(struct store *s, unsigned n)
{
	store_apply(s, change_list(), n, false);
	for (unsigned i = 0; i < n; i++)
		if (changes[i].result < 0)
			errx(1, "filling the store: %s", strerror(-changes[i].result));
}

static void plan_create(struct change *c, const char *name)
{
	*c = (struct change){
		.kind = CHANGE_CREATE,
		.now = (int64_t)now_ns(),
		.create = {.parent = STORE_ROOT_INO,
			.name = {name, strlen(name)},
			.mode = S_IFREG | 0644},
	};
}

static void plan_write(struct change *c, uint64_t ino, uint64_t at, size_t len)
{
	*c = (struct change){
		.kind = CHANGE_WRITE,
		.now = (int64_t)now_ns(),
		.write = {.ino = ino, .offset = at, .len = len, .data = bytes},
	};
}

void record_name(char *buf, size_t size, uint64_t number)
{
	snprintf(buf, size, "record-%07llu.json", (unsigned long long)number);
}

void fill_records(const struct run *r, uint64_t n)
{
	static char names[BATCH][32];
	struct store *s = open_store(r);

	for (uint64_t at = 0; at < n; at += BATCH) {
		unsigned count = n - at < BATCH ? (unsigned)(n - at) : BATCH;

		for (unsigned i = 0; i < count; i++) {
			record_name(names[i], sizeof(names[i]), at + i);
			plan_create(&changes[i], names[i]);
		}
		apply(s, count);
		for (unsigned i = 0; i < count; i++)
			plan_write(&changes[i], changes[i].touched[0].ino, 0, RECORD_SIZE);
		apply(s, count);
		for (unsigned i = 0; i < count; i++) {
			block_unref(changes[i].write.head);
			block_unref(changes[i].write.tail);
		}
	}
	store_close(s);
}

void fill_file(const struct run *r, uint64_t size)
{
	uint64_t blocks = size / BLOCK / FILE_STRIDE, ino;
	struct store *s = open_store(r);

	plan_create(&changes[0], "file-0");
	apply(s, 1);
	ino = changes[0].touched[0].ino;
	for (uint64_t at = 0; at < blocks; at += BATCH) {
		unsigned count = blocks - at < BATCH ? (unsigned)(blocks - at) : BATCH;

		for (unsigned i = 0; i < count; i++)
			plan_write(&changes[i], ino, (at + i) * FILE_STRIDE * BLOCK, BLOCK);
		apply(s, count);
	}
	plan_write(&changes[0], ino, size - BLOCK, BLOCK);
	apply(s, 1);
	store_close(s);
}
