/* Tar streams that are kept for good: those that were hostile on purpose, and what was found. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/model_store.h"
#include "tests/tar_feed.h"
#include "tools/tar_import.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint8_t *load(const char *name, size_t *ret_size)
{
	char path[512];
	struct stat st;
	snprintf(path, sizeof path, "%s/%s", RFS_CORPUS, name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	uint8_t *data = malloc((size_t)st.st_size + 1);
	assert_non_null(data);
	*ret_size = fread(data, 1, (size_t)st.st_size, f);
	assert_int_equal(*ret_size, st.st_size);
	fclose(f);
	return data;
}

/* Whole, and cut off wherever an entry may be. */
static void keeps_its_promises(void **state)
{
	(void)state;
	DIR *dir = opendir(RFS_CORPUS);
	unsigned n = 0;
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		size_t size;
		if (d->d_name[0] == '.')
			continue;
		uint8_t *data = load(d->d_name, &size);
		for (size_t len = size; len > 0; len -= len < 173 ? len : 173) {
			char why[TAR_FEED_WHY] = "";
			if (!tar_feed(data, len, why))
				fail_msg("%s, %zu bytes of it: %s", d->d_name, len, why);
		}
		free(data);
		n++;
	}
	closedir(dir);
	assert_true(n >= 10);
}

struct feed {
	const uint8_t *data;
	size_t size, at;
	unsigned complaints;
};

static ssize_t read_some(void *arg, void *buf, size_t size)
{
	struct feed *f = arg;
	size_t n = f->size - f->at < size ? f->size - f->at : size;
	memcpy(buf, f->data + f->at, n);
	f->at += n;
	return (ssize_t)n;
}

static void complain(void *arg, const char *path, const char *reason)
{
	struct feed *f = arg;
	(void)path;
	(void)reason;
	f->complaints++;
}

static int import(struct store *s, const char *name, size_t cut, struct feed *f)
{
	struct tar_import_summary sum;
	char why[TAR_FEED_WHY];
	uint8_t *data = load(name, &f->size);
	f->data = data;
	f->size = cut && cut < f->size ? cut : f->size;
	const struct tar_import i = {
		.store = s, .dir = "/in/side", .read = read_some, .complain = complain, .arg = f};
	int r = tar_import(&i, &sum, why, sizeof why);
	assert_int_equal(sum.failures, f->complaints);
	free(data);
	return r;
}

static uint64_t find(struct store *s, uint64_t dir, const char *name)
{
	struct store_attr a = {0};
	return store_lookup(s, dir, name, strlen(name), &a) == 0 ? a.ino : 0;
}

/* Whatever its entries say, an archive reaches nothing outside of the directory. */
static void stays_inside(void **state)
{
	(void)state;
	struct store *s = model_store_new();
	struct feed f = {0};
	assert_int_equal(import(s, "escapes", 0, &f), 0);
	assert_true(f.complaints >= 4);
	uint64_t in = find(s, STORE_ROOT_INO, "in");
	uint64_t side = find(s, in, "side");
	assert_true(side != 0);
	assert_int_equal(find(s, STORE_ROOT_INO, "a"), 0);
	assert_int_equal(find(s, STORE_ROOT_INO, "etc"), 0);
	assert_int_equal(find(s, in, "a"), 0);
	assert_int_equal(find(s, in, "c"), 0);
	assert_int_equal(find(s, side, "h"), 0);
	assert_int_equal(find(s, side, "h2"), 0);
	assert_true(find(s, find(s, side, "etc"), "b") != 0); /* /etc/b is etc/b, as tar has it */
	s->ops->close(s);
}

/* The first bytes of an archive: what is there has all of its contents. */
static void no_half_files(void **state)
{
	(void)state;
	size_t size;
	free(load("of-gnu-tar", &size));
	for (size_t cut = 1; cut < size; cut += 97) {
		struct store *s = model_store_new();
		struct feed f = {0};
		int r = import(s, "of-gnu-tar", cut, &f);
		assert_true(r == -EINVAL || r == -EPIPE || r == 0);
		uint64_t dir = find(s, find(s, STORE_ROOT_INO, "in"), "side");
		struct store_attr a;
		if (dir && store_lookup(s, dir, "sp2", 3, &a) == 0)
			assert_int_equal(a.size, 10 << 20);
		s->ops->close(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_its_promises),
		cmocka_unit_test(stays_inside),
		cmocka_unit_test(no_half_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
