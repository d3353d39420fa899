/*
 * Tests of core/records: looking through a list of names.
 */
#include "core/records.h"

#include "tests/unit/table.h"

START_TEST(test_records_list)
{
	ck_assert(records_list_has("eu", "eu"));
	ck_assert(records_list_has("eu us ap", "eu"));
	ck_assert(records_list_has("eu us ap", "us"));
	ck_assert(records_list_has("eu us ap", "ap"));
	ck_assert(records_list_has("  eu   us ", "us"));
	ck_assert(!records_list_has("", "eu"));
	ck_assert(!records_list_has(" ", "eu"));
	ck_assert(!records_list_has("eu", ""));
	ck_assert(!records_list_has("", ""));
	ck_assert(!records_list_has("eu-west us", "eu"));
	ck_assert(!records_list_has("eu", "eu-west"));
	ck_assert(!records_list_has("eu us", "eu us"));
	ck_assert(!records_list_has("EU", "eu"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("records");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_records_list);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
