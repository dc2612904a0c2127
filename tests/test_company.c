/* Which requests are signs of other clients. */
#include "kit.h"

#include "fs/company.h"

static void what_waits_is_a_sign_for_a_while(void **state)
{
	(void)state;
	struct company c = {0};
	assert_true(company_none(&c, false));
	assert_false(company_was_seen(&c));
	assert_false(company_none(&c, true));
	assert_true(company_was_seen(&c));
	assert_false(company_was_seen(&c));
	for (unsigned i = 0; i < COMPANY_LASTS; i++)
		assert_false(company_none(&c, false));
	assert_true(company_none(&c, false));
	company_came(&c);
	assert_false(company_none(&c, false));
}

static void what_is_expected_is_no_sign(void **state)
{
	(void)state;
	struct company c = {0};
	company_expect_trifle(&c);
	for (unsigned i = 0; i < COMPANY_TRIFLE_LOOKS; i++)
		assert_true(company_none(&c, true));
	assert_false(company_none(&c, true)); /* it has not come, so it is something else */
	/* It does not keep others there either. */
	for (unsigned i = 0; i < COMPANY_LASTS; i++) {
		company_expect_trifle(&c);
		assert_false(company_none(&c, true));
	}
	company_expect_trifle(&c);
	company_received(&c, 8);
	assert_true(company_none(&c, true));
	/* Once it has come, nothing is. */
	company_received(&c, COMPANY_NOBODY);
	assert_false(company_none(&c, true));
}

static void it_comes_from_somebody_else(void **state)
{
	(void)state;
	assert_false(company_differs(7, 7));
	assert_true(company_differs(7, 8));
	assert_false(company_differs(COMPANY_NOBODY, 8));
	assert_false(company_differs(8, COMPANY_NOBODY)); /* nobody else was held up */
	assert_true(company_differs(COMPANY_UNKNOWN, COMPANY_UNKNOWN));
	assert_true(company_differs(COMPANY_UNKNOWN, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_is_a_sign_for_a_while),
		cmocka_unit_test(what_is_expected_is_no_sign),
		cmocka_unit_test(it_comes_from_somebody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
