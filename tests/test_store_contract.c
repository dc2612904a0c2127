/* Runs the contract (contract.h) against every kind of store: add yours to `stores`. */
#include "contract.h"
#include "model_store.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct contract_store *contract_under_test;

static char dir[64]; /* of the test that runs */

static int open_model(const char *where, struct store **ret)
{
	(void)where;
	*ret = model_store_new();
	return 0;
}

static const struct contract_store stores[] = {
	{"model", open_model, false},
};

int contract_setup(void **state)
{
	struct store *s = NULL;

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

void contract_reopen(struct kit *k)
{
	assert_true(contract_under_test->lasting);
	k->store = store_close(k->store);
	assert_int_equal(contract_under_test->open(dir, &k->store), 0);
}

/* With arguments: only the stores of these names. */
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
	};
	int failed = 0;

	for (size_t s = 0; s < ARRAY_LEN(stores); s++) {
		contract_under_test = &stores[s];
		if (!wanted(stores[s].name, argc, argv))
			continue;
		for (size_t g = 0; g < ARRAY_LEN(groups); g++)
			failed += groups[g]();
	}
	return failed != 0;
}
