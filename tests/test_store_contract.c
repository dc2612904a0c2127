/* Runs the contract (contract.h) against every kind of store: add yours to `stores`. */
#include "cache/cache.h"
#include "cache/store/fault.h"
#include "cache/store/meter.h"
#include "cache/store/sqlite.h"
#include "contract.h"
#include "model_store.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct contract_store *contract_under_test;

/* Of the test that runs. */
static char dir[64];
static struct contract_limits limits;

static int open_model(const char *where, struct store **ret)
{
	(void)where;
	*ret = model_store_new();
	return 0;
}

static int open_sqlite(const char *where, struct store **ret)
{
	char path[sizeof dir + 16], why[SQLITE_STORE_WHY];
	struct sqlite_config config = {
		.path = path,
		.readonly = limits.readonly,
		.max_size = limits.max_size,
		.busy_timeout_ms = 5000,
	};

	snprintf(path, sizeof path, "%s/store.db", where);
	int r = sqlite_store_open(&config, ret, why, sizeof why);
	if (r < 0)
		print_error("%s\n", why);
	return r;
}

typedef int opener(const char *where, struct store **ret);

static int in_cache(
	uint64_t size, enum cache_sync sync, opener *below, const char *where, struct store **ret)
{
	struct cache_config config = {.size = size, .ttl_ns = 300000000000, .sync = sync};
	struct store *next = NULL;
	int r = below(where, &next);

	if (r < 0)
		return r;
	assert_non_null(next);
	r = cache_new(&config, next, ret);
	if (r < 0)
		store_close(next);
	return r;
}

/* A plan that never acts: all that is left of the fault injector is that it passes things on. */
static int in_fault(opener *below, const char *where, struct store **ret)
{
	struct fault_spec *spec = NULL;
	const char *wrong = NULL;
	struct store *next = NULL;
	int r = below(where, &next);

	if (r < 0)
		return r;
	assert_non_null(next);
	r = fault_spec_parse(
		"read:EIO:count=0+write:EIO:count=0+commit:EIO:count=0", &spec, &wrong);
	if (r == 0)
		r = fault_store_new(spec, next, ret);
	if (r < 0) {
		fault_spec_free(spec);
		store_close(next);
	}
	return r;
}

static int open_cache_model(const char *where, struct store **ret)
{
	return in_cache(64 << 20, CACHE_SYNC_STANDARD, open_model, where, ret);
}

static int open_cache_sqlite(const char *where, struct store **ret)
{
	return in_cache(64 << 20, CACHE_SYNC_STANDARD, open_sqlite, where, ret);
}

/* So small that every read evicts what the last one brought. */
static int open_small_cache(const char *where, struct store **ret)
{
	return in_cache(96 << 10, CACHE_SYNC_STANDARD, open_model, where, ret);
}

static int open_no_cache(const char *where, struct store **ret)
{
	return in_cache(0, CACHE_SYNC_ALWAYS, open_model, where, ret);
}

static int open_fault_sqlite(const char *where, struct store **ret)
{
	return in_fault(open_sqlite, where, ret);
}

static int open_fault_cache_sqlite(const char *where, struct store **ret)
{
	return in_fault(open_cache_sqlite, where, ret);
}

static int open_metered(const char *where, struct store **ret)
{
	static struct meter *meter; /* of all tests */
	struct store *next = NULL;
	int r = open_fault_sqlite(where, &next);

	if (r < 0)
		return r;
	if (!meter)
		r = meter_new(&meter);
	if (r == 0)
		r = meter_store_new(meter, next, ret);
	if (r < 0)
		store_close(next);
	return r;
}

/* As a mount has them: SQLite, then faults, the meter, then the cache. */
static int open_mount(const char *where, struct store **ret)
{
	return in_cache(64 << 20, CACHE_SYNC_ALWAYS, open_metered, where, ret);
}

static const struct contract_store stores[] = {
	{"model", open_model, false},
	{"sqlite", open_sqlite, true},
	{"cache(model)", open_cache_model, false},
	{"small-cache(model)", open_small_cache, false},
	{"no-cache(model)", open_no_cache, false},
	{"cache(sqlite)", open_cache_sqlite, true},
	{"fault(cache(sqlite))", open_fault_cache_sqlite, true},
	{"cache(fault(sqlite))", open_mount, true},
};

int contract_setup(void **state)
{
	struct store *s = NULL;

	limits = (struct contract_limits){0};
	strcpy(dir, "/tmp/recordfs-contract-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	int r = contract_under_test->open(dir, &s);
	if (r < 0) {
		print_error("%s: cannot be opened: %s\n", contract_under_test->name, strerror(-r));
		return -1;
	}
	*state = kit_new(s);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int contract_teardown(void **state)
{
	kit_free(*state);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void contract_reopen_as(struct kit *k, struct contract_limits as)
{
	assert_true(contract_under_test->lasting);
	k->store = store_close(k->store);
	limits = as;
	assert_int_equal(contract_under_test->open(dir, &k->store), 0);
}

void contract_reopen(struct kit *k)
{
	contract_reopen_as(k, (struct contract_limits){0});
}

/* With arguments: only the stores of these names; with RECORDFS_TEST: only the tests that match. */
static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	static int (*const groups[])(void) = {
		contract_data,
		contract_space,
		contract_names,
		contract_rename,
		contract_readdir,
		contract_attr,
		contract_xattr,
		contract_batch,
		contract_orphans,
		contract_limits,
		contract_random,
	};
	int failed = 0;

	if (getenv("RECORDFS_TEST"))
		cmocka_set_test_filter(getenv("RECORDFS_TEST"));
	for (size_t s = 0; s < ARRAY_LEN(stores); s++) {
		contract_under_test = &stores[s];
		if (!wanted(stores[s].name, argc, argv))
			continue;
		for (size_t g = 0; g < ARRAY_LEN(groups); g++)
			failed += groups[g]();
	}
	return failed != 0;
}
