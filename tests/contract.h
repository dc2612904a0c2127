/*
 * The promises of store.h and change.h as tests, run against every kind of store there is. A new
 * store is tested by one more line in test_store_contract.c.
 */
#pragma once

#include "kit.h"

/* What a store is to be opened with. */
struct contract_limits {
	bool readonly;
	uint64_t max_size; /* bytes; 0: none */
};

/* How to make a store of one kind. */
struct contract_store {
	const char *name;
	/* A store in directory `dir`, which is empty, or has what an earlier one left there. */
	int (*open)(const char *dir, struct store **ret);
	bool lasting; /* what was stored is there when it is opened again */
};

/* The kind that is tested now. */
extern const struct contract_store *contract_under_test;

/* Around every test: *state is a struct kit on a new store. */
int contract_setup(void **state);
int contract_teardown(void **state);
#define CONTRACT_TEST(f) cmocka_unit_test_setup_teardown(f, contract_setup, contract_teardown)

/* Closes the store and opens it again (only if it is lasting). */
void contract_reopen(struct kit *k);
void contract_reopen_as(struct kit *k, struct contract_limits as);

/* The groups: how many tests failed. */
int contract_data(void);
int contract_space(void);
int contract_names(void);
int contract_rename(void);
int contract_readdir(void);
int contract_attr(void);
int contract_xattr(void);
int contract_batch(void);
int contract_orphans(void);
int contract_limits(void);
int contract_random(void);
