/*
 * test_helper: what mxhold-helper is asked, what it answers, and what postsuper's words mean.
 */
#include "core/helper_request.h"
#include "helper/job.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
parses(const char *line, struct helper_request *out)
{
	return helper_request_parse(line, strlen(line), out);
}

START_TEST(test_requests)
{
	struct helper_request request;

	ck_assert(parses("ping", &request));
	ck_assert_int_eq(request.verb, HELPER_PING);
	ck_assert(parses("delete 4jX72F1Cpnz1c7tm refused -", &request));
	ck_assert_int_eq(request.verb, HELPER_DELETE);
	ck_assert_str_eq(request.queue_id, "4jX72F1Cpnz1c7tm");
	ck_assert_str_eq(request.why, "refused");
	ck_assert_str_eq(request.by, "-");
	ck_assert(parses("hold ABCDEF operator alice(uid=0)", &request));
	ck_assert_int_eq(request.verb, HELPER_HOLD);
	ck_assert(parses("release ABCDEF operator x", &request));
	ck_assert_int_eq(request.verb, HELPER_RELEASE);
}
END_TEST

START_TEST(test_no_requests)
{
	static const char *const lines[] = {"", " ", "ping ", " ping", "PING", "pings", "delete",
	    "delete ALL operator a", "delete ABCDE operator a",
	    "delete ABCDEFGHIJKLMNOPQRSTU operator a", "delete ABCD/F operator a",
	    "delete ABC.EF operator a", "delete -ABCDE operator a", "delete ABCDEF  a",
	    "delete ABCDEF operator", "delete ABCDEF operator ", "delete ABCDEF operator a ",
	    "delete ABCDEF operator a b", "delete  ABCDEF operator a", "delete ABCDEF Why a",
	    "delete ABCDEF w1y a", "erase ABCDEF operator a", "delete ABCDEF operator \x7f",
	    "delete ABCDEF operator \xc3\xa9", "delete ABC\xc3\xa9 operator a",
	    "delete ABCDEF abcdefghijabcdefghijabcdefghijabc a"};
	struct helper_request request;
	char huge[100000];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(!parses(lines[i], &request), "%s", lines[i]);
	memset(huge, 'A', sizeof(huge));
	ck_assert(!helper_request_parse(huge, sizeof(huge), &request));
	ck_assert(!helper_request_parse("delete ABCDEF oper\0tor a", 24, &request));
}
END_TEST

START_TEST(test_print)
{
	struct helper_request request = {
	    .verb = HELPER_DELETE, .queue_id = "ABCDEF", .why = "removed", .by = "al ice\n"};
	char line[HELPER_LINE_MAX + 1];

	ck_assert_uint_eq(helper_request_print(&request, line), strlen(line));
	ck_assert_str_eq(line, "delete ABCDEF removed al_ice_\n");
	request.by[0] = request.why[0] = '\0';
	ck_assert_uint_gt(helper_request_print(&request, line), 0);
	ck_assert_str_eq(line, "delete ABCDEF none -\n");
	strcpy(request.queue_id, "ALL");
	ck_assert_uint_eq(helper_request_print(&request, line), 0);
	strcpy(request.queue_id, "ABCDEF");
	strcpy(request.why, "a b");
	ck_assert_uint_eq(helper_request_print(&request, line), 0);
	memset(request.why, 'w', sizeof(request.why) - 1);
	memset(request.by, 'b', sizeof(request.by) - 1);
	strcpy(request.queue_id, "ABCDEFGHIJKLMNOPQRST");
	ck_assert_uint_lt(helper_request_print(&request, line), HELPER_LINE_MAX);
	ck_assert(helper_request_parse(line, strlen(line) - 1, &request));
}
END_TEST

START_TEST(test_answers)
{
	char text[HELPER_ANSWER_MAX], huge[4096];
	enum helper_answer answer;

	ck_assert(helper_answer_parse("ok", 2, &answer, text));
	ck_assert_int_eq(answer, HELPER_DONE);
	ck_assert(helper_answer_parse("gone", 4, &answer, text));
	ck_assert_int_eq(answer, HELPER_GONE);
	ck_assert(helper_answer_parse("failed a\nb", 10, &answer, text));
	ck_assert_int_eq(answer, HELPER_FAILED);
	ck_assert_str_eq(text, "ab");
	ck_assert(!helper_answer_parse("", 0, &answer, text));
	ck_assert_int_eq(answer, HELPER_FAILED);
	ck_assert(!helper_answer_parse("okay", 4, &answer, text));
	memset(huge, 'x', sizeof(huge));
	memcpy(huge, "failed ", 7);
	ck_assert(helper_answer_parse(huge, sizeof(huge), &answer, text));
	ck_assert_uint_eq(strlen(text), HELPER_ANSWER_MAX - 1);
}
END_TEST

#define EXITED(code) ((code) << 8) /* as waitpid(2) tells it */

START_TEST(test_judge)
{
	const struct {
		enum helper_verb verb;
		int status;
		const char *words;
		enum helper_answer answer;
	} cases[] = {
	    {HELPER_DELETE, 0, "postsuper: A: removed\npostsuper: Deleted: 1 message\n",
		HELPER_DONE},
	    {HELPER_DELETE, 0, "postsuper: Deleted: 0 messages\n", HELPER_GONE},
	    {HELPER_DELETE, EXITED(1), "postsuper: Deleted: 1 message\n", HELPER_FAILED},
	    {HELPER_DELETE, 0, "postsuper: Placed on hold: 1 message\n", HELPER_FAILED},
	    {HELPER_DELETE, 0, "postsuper: Deleted: 12 messages\n", HELPER_FAILED},
	    {HELPER_DELETE, 0, "", HELPER_FAILED},
	    {HELPER_DELETE, 9, "", HELPER_FAILED},
	    {HELPER_DELETE, EXITED(1), "postsuper: fatal: no\n", HELPER_FAILED},
	    {HELPER_HOLD, 0, "postsuper: warning: x\npostsuper: Placed on hold: 1 message\n",
		HELPER_DONE},
	    {HELPER_HOLD, 0, "postsuper: Placed on hold: 0 messages\n", HELPER_GONE},
	    {HELPER_RELEASE, 0, "postsuper: Released from hold: 1 message\n", HELPER_DONE},
	};
	char text[HELPER_ANSWER_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct helper_request request = {.verb = cases[i].verb};
		ck_assert_int_eq(
		    job_judge(&request, cases[i].status, cases[i].words, text), cases[i].answer);
		ck_assert_int_eq(text[0] != '\0', cases[i].answer == HELPER_FAILED);
		ck_assert_ptr_null(strchr(text, '\n'));
	}
}
END_TEST

/* A postsuper that writes faster than anybody reads: there is more whenever one looks. */
START_TEST(test_words_without_end)
{
	struct job job = {.pid_fd = -1, .output = open("/dev/zero", O_RDONLY)};

	ck_assert_int_ge(job.output, 0);
	job_read(&job);
	ck_assert_int_ge(job.output, 0);
	ck_assert_uint_lt(job.used, JOB_OUTPUT_MAX);
	close(job.output);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("helper");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, test_requests);
	tcase_add_test(tcase, test_no_requests);
	tcase_add_test(tcase, test_print);
	tcase_add_test(tcase, test_answers);
	tcase_add_test(tcase, test_judge);
	tcase_add_test(tcase, test_words_without_end);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
