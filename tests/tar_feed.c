#include "tests/tar_feed.h"

#include "tests/model_store.h"
#include "tools/tar_export.h"
#include "tools/tar_import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What an export may take: the data of a file is at most so much longer than its archive. */
#define EXPORT_MAX ((size_t)64 << 20)

struct stream {
	const uint8_t *data;
	size_t size, at;
};

static ssize_t read_some(void *arg, void *buf, size_t size)
{
	struct stream *s = arg;
	size_t n = s->size - s->at < size ? s->size - s->at : size;
	memcpy(buf, s->data + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

static void ignore(void *arg, const char *path, const char *reason)
{
	(void)arg;
	(void)path;
	(void)reason;
}

struct sink {
	uint8_t *data;
	size_t size, room;
};

static int write_some(void *arg, const void *data, size_t len)
{
	struct sink *s = arg;
	if (s->size + len > EXPORT_MAX)
		return -EFBIG;
	if (s->size + len > s->room) {
		s->room = 2 * (s->size + len);
		s->data = realloc(s->data, s->room);
		if (!s->data)
			abort();
	}
	memcpy(s->data + s->size, data, len);
	s->size += len;
	return 0;
}

static int import(struct store *store, const uint8_t *data, size_t size,
	struct tar_import_summary *sum, char *why)
{
	struct stream s = {.data = data, .size = size};
	const struct tar_import i = {.store = store,
		.dir = "/",
		.same_owner = true,
		.read = read_some,
		.complain = ignore,
		.arg = &s};
	return tar_import(&i, sum, why, TAR_FEED_WHY);
}

static bool count_orphan(void *arg, uint64_t ino)
{
	(void)ino;
	++*(unsigned *)arg;
	return true;
}

/* Of the files in the root. */
struct sizes {
	struct store *store;
	uint64_t bytes;
};

static bool add_size(void *arg, const struct store_entry *e)
{
	struct sizes *s = arg;
	s->bytes += S_ISREG(e->attr->mode) ? e->attr->size : 0;
	return true;
}

static int export(struct store *store, struct sink *sink, char *why)
{
	const struct tar_export x = {.store = store, .write = write_some, .arg = sink};
	return tar_export(&x, "/", why, TAR_FEED_WHY);
}

/* What can be exported can be imported again, without a complaint. */
static bool round_trip(struct store *store, char *why)
{
	struct sink archive = {0};
	struct tar_import_summary sum = {0};
	struct sizes top = {.store = store};
	bool ok = store_readdir(store, STORE_ROOT_INO, 0, true, add_size, &top) == 0;
	/* Holes of terabytes take their time. */
	if (ok && top.bytes < EXPORT_MAX) {
		int r = export(store, &archive, why);
		struct store *again = model_store_new();
		if (r == 0)
			r = import(again, archive.data, archive.size, &sum, why);
		if (r == 0 && sum.failures)
			snprintf(why, TAR_FEED_WHY, "not all of an export could be imported");
		ok = r == -EFBIG || (r == 0 && sum.failures == 0);
		again->ops->close(again);
	}
	free(archive.data);
	return ok;
}

bool tar_feed(const uint8_t *data, size_t size, char why[TAR_FEED_WHY])
{
	struct store *store = model_store_new();
	struct tar_import_summary sum;
	unsigned orphans = 0;
	char text[TAR_FEED_WHY];
	int r = import(store, data, size, &sum, text);
	bool ok = true;
	if (r < 0 && !text[0]) {
		snprintf(why, TAR_FEED_WHY, "it failed with %d, and says nothing", r);
		ok = false;
	}
	if (store_orphans(store, count_orphan, &orphans) < 0 || orphans > 0) {
		snprintf(why, TAR_FEED_WHY, "%u records without a name are left", orphans);
		ok = false;
	}
	ok = ok && round_trip(store, why);
	store->ops->close(store);
	return ok;
}
