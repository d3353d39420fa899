/*
 * Tests of queued/primary: the cases of tests/data/queued_primary.txt.
 */
#include "queued/primary.h"

#include "tests/unit/table.h"

#include <inttypes.h>

static struct table cases;

static const struct primary_policy policy = {
    .interval_ms = 5000, .long_interval_ms = 10000, .confirmations = 3};

static void
apply(struct primary *primary, char input, struct queued_time now)
{
	static const char inputs[] = "gbxdwc";
	static const enum probe_outcome outcomes[] = {
	    PROBE_GOOD, PROBE_BUSY, PROBE_BROKEN, PROBE_DOWN, PROBE_WRONG_HOST, PROBE_CANNOT_TELL};
	const char *place = strchr(inputs, input);
	enum primary_state before = primary->state;
	bool changed = false;

	if (input == 'm') {
		primary_missed(primary, now);
	} else if (input == 'h') {
		primary_hurry(primary, now.ms);
	} else if (input == 's') {
		changed = primary_delivered(primary, now);
	} else {
		ck_assert_msg(place != NULL && input != '\0', "no such input: %c", input);
		struct probe_finding finding = {.outcome = outcomes[place - inputs]};
		changed = primary_probed(primary, &policy, &finding, now, 0.5);
	}
	ck_assert_int_eq(changed, before != primary->state);
	if (changed)
		ck_assert_int_eq(primary->since, now.wall);
}

START_TEST(test_case)
{
	const char *line = cases.lines[_i];
	struct primary primary;
	bool begun = false;
	char word[64];

	while (*line != '\0') {
		char input, state[32], next[32];
		int64_t ms;
		table_word(&line, word, sizeof(word));
		ck_assert_msg(
		    sscanf(word, "%" SCNd64 ":%c=%31[a-z-]@%31s", &ms, &input, state, next) == 4,
		    "bad step: %s", word);
		struct queued_time now = {.ms = ms, .wall = 1000000 + ms / 1000};
		if (!begun)
			primary = primary_new(now);
		begun = true;
		apply(&primary, input, now);
		ck_assert_msg(strcmp(primary_state_name(primary.state), state) == 0,
		    "%s: the state is %s", word, primary_state_name(primary.state));
		if (strcmp(next, "*") != 0)
			ck_assert_msg(primary.next_ms == strtoll(next, NULL, 10),
			    "%s: next is %" PRId64, word, primary.next_ms);
	}
}
END_TEST

START_TEST(test_jitter_spreads)
{
	struct queued_time now = {.ms = 0, .wall = 1};
	struct probe_finding down = {.outcome = PROBE_DOWN};
	struct primary low = primary_new(now), high = primary_new(now);

	(void)primary_probed(&low, &policy, &down, now, 0.0);
	(void)primary_probed(&high, &policy, &down, now, 1.0);
	ck_assert_int_eq(low.next_ms, 4000);
	ck_assert_int_eq(high.next_ms, 6000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/primary");
	TCase *tcase = tcase_create("table");

	cases = table_load("tests/data/queued_primary.txt");
	tcase_add_loop_test(tcase, test_case, 0, cases.count);
	tcase_add_test(tcase, test_jitter_spreads);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	table_free(&cases);
	return code;
}
