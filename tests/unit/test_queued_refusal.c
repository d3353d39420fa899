/*
 * Tests of queued/refusal and queued/retention by tests/data/refusals.txt (what a 5xx says),
 * tests/data/refusal_rules.txt (when it is believed) and tests/data/retention.txt.
 */
#include "queued/refusal.h"
#include "queued/retention.h"

#include "tests/unit/table.h"

static struct table kinds, rules, ages;

#define MINUTE 60000000

/* "unknown-user rcpt 550 5.1.1 words"; "-" where there is no enhanced code */
START_TEST(test_kind)
{
	const char *line = kinds.lines[_i];
	char expected[32], stage[16], code[8], enhanced[16], reply[512];
	enum maillog_stage where = MAILLOG_STAGE_NONE;

	table_word(&line, expected, sizeof(expected));
	table_word(&line, stage, sizeof(stage));
	table_word(&line, code, sizeof(code));
	table_word(&line, enhanced, sizeof(enhanced));
	table_rest(&line, reply, sizeof(reply));
	while (strcmp(maillog_stage_name(where), stage) != 0) {
		ck_assert_msg(where < MAILLOG_STAGE_OTHER, "no such stage: %s", stage);
		where++;
	}
	const enum refusal_kind kind = refusal_kind(
	    where, (unsigned)atoi(code), strcmp(enhanced, "-") == 0 ? "" : enhanced, reply);
	ck_assert_msg((kind == REFUSAL_UNKNOWN_USER) == (strcmp(expected, "unknown-user") == 0),
	    "%s", kinds.lines[_i]);
}
END_TEST

static void
answer(struct refusal_history *history, const char *word, int64_t taken)
{
	static const struct {
		const char *name, *reply, *enhanced;
		enum attempt_result result;
		enum maillog_stage stage;
		unsigned code;
	} answers[] = {
	    {"unknown", "550 5.1.1 User unknown", "5.1.1", ATTEMPT_REFUSED, MAILLOG_STAGE_RCPT,
		550},
	    {"spam", "554 5.7.1 Spam", "5.7.1", ATTEMPT_REFUSED, MAILLOG_STAGE_END, 554},
	    {"greeting", "554 5.7.1 not you", "5.7.1", ATTEMPT_REFUSED, MAILLOG_STAGE_GREETING,
		554},
	    {"later", "450 4.2.0 later", "4.2.0", ATTEMPT_DEFERRED, MAILLOG_STAGE_RCPT, 450},
	    {"away", "connect to m: Connection refused", "4.4.1", ATTEMPT_UNREACHED,
		MAILLOG_STAGE_NONE, 0},
	};
	char name[32];
	int minute;

	ck_assert_msg(sscanf(word, "%31[^@]@%d", name, &minute) == 2, "%s", word);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (strcmp(answers[i].name, name) != 0)
			continue;
		struct maillog_event event = {.kind = MAILLOG_DELIVERY,
		    .at = (1000000 + minute) * (int64_t)MINUTE,
		    .result = answers[i].result,
		    .stage = answers[i].stage,
		    .code = answers[i].code,
		    .reply = {answers[i].reply, strlen(answers[i].reply)}};
		snprintf(event.enhanced, sizeof(event.enhanced), "%s", answers[i].enhanced);
		refusal_note(history, &event, taken);
		return;
	}
	ck_abort_msg("no such answer: %s", word);
}

/* "take spam@0 taken@1 spam@70 spam@121 taken@122" */
START_TEST(test_rule)
{
	const char *line = rules.lines[_i];
	struct refusal_limits limits = {.unknown_user_tries = 2,
	    .unknown_user_seconds = 600,
	    .other_tries = 3,
	    .other_seconds = 7200};
	struct refusal_history history = {.count = 0};
	char expected[16], word[64];
	int64_t taken = 0;
	int minute;

	table_word(&line, expected, sizeof(expected));
	while (*line != '\0') {
		table_word(&line, word, sizeof(word));
		if (sscanf(word, "taken@%d", &minute) == 1)
			taken = (1000000 + minute) * (int64_t)MINUTE;
		else if (strcmp(word, "keep-refused") == 0)
			limits.keep = true;
		else
			answer(&history, word, taken);
	}
	ck_assert_msg(refusal_is_final(&history, &limits) == (strcmp(expected, "take") == 0),
	    "%s: %u from %lld to %lld", rules.lines[_i], history.count,
	    (long long)history.first / MINUTE, (long long)history.last / MINUTE);
}
END_TEST

/* "over|kept LEVEL accepted retention lifetime now", seconds */
START_TEST(test_age)
{
	const char *line = ages.lines[_i];
	char expected[16];
	long long accepted, retention, lifetime, now;
	unsigned level;

	table_word(&line, expected, sizeof(expected));
	ck_assert_int_eq(
	    sscanf(line, "%u %lld %lld %lld %lld", &level, &accepted, &retention, &lifetime, &now),
	    5);
	ck_assert_msg(retention_is_over(accepted * 1000000, retention, lifetime, now * 1000000) ==
			  (strcmp(expected, "over") == 0),
	    "%s", ages.lines[_i]);
	const unsigned got = retention_level(accepted * 1000000, retention, now * 1000000);
	ck_assert_msg(got == level, "%s: %u", ages.lines[_i], got);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("refusal");
	TCase *part = tcase_create("tables");

	kinds = table_load("tests/data/refusals.txt");
	rules = table_load("tests/data/refusal_rules.txt");
	ages = table_load("tests/data/retention.txt");
	tcase_add_loop_test(part, test_kind, 0, kinds.count);
	tcase_add_loop_test(part, test_rule, 0, rules.count);
	tcase_add_loop_test(part, test_age, 0, ages.count);
	suite_add_tcase(suite, part);
	const int status = table_run(suite);
	table_free(&kinds);
	table_free(&rules);
	table_free(&ages);
	return status;
}
