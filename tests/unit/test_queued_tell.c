/*
 * Tests of queued/operators_tell: what an operator is told of a flush that is refused.
 */
#include "queued/operators_tell.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	enum hold_kind hold;
	int64_t row_until; /* 0: the SOC holds nothing */
	const char *wanted;
} refused[] = {
    {HOLD_OPERATOR, 0, "an operator holds it: release it first"},
    {HOLD_BREAKER, 0, "the breaker holds it: release has it try a message now"},
    {HOLD_WRONG_HOST, 0, "it is held because the primary is not the pinned one"},
    {HOLD_NONE, 1795000000,
	"the SOC holds it until 2026-11-18 11:06:40Z, by its row: only that row, in SQL, can end "
	"it"},
    {HOLD_OPERATOR, 1795000000, /* a release would not do */
	"the SOC holds it until 2026-11-18 11:06:40Z, by its row: only that row, in SQL, can end "
	"it"},
    {HOLD_NONE, HOLD_FOREVER, "the SOC holds it, by its row: only that row, in SQL, can end it"},
};

START_TEST(test_not_flushed)
{
	const struct watch_row row = {.hold_until = refused[_i].row_until};
	const struct watch_view view = {.domain = "a.example",
	    .row = &row,
	    .state = {.hold = refused[_i].hold},
	    .soc_hold = refused[_i].row_until != 0};
	char out[256];

	tell_not_flushed(&view, out);
	ck_assert_str_eq(out, refused[_i].wanted);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued_tell");
	TCase *tests = tcase_create("tests");
	SRunner *runner;

	tcase_add_loop_test(tests, test_not_flushed, 0, sizeof(refused) / sizeof(refused[0]));
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
