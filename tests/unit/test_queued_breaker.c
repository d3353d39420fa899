/*
 * Tests of queued/breaker: the cases of tests/data/queued_breaker.txt.
 */
#include "queued/breaker.h"

#include "tests/unit/machine_steps.h"

static struct table cases;

static enum breaker_act
apply(struct breaker *breaker, const struct machine_step *step, struct queued_time now)
{
	struct event_attempt attempt;
	enum breaker_act act = BREAKER_NOTHING;
	char id[64];

	if (strcmp(step->input, "tick") == 0)
		return breaker_tick(breaker, now);
	if (strcmp(step->input, "hurry") == 0) {
		ck_assert_int_eq(breaker_hurry(breaker, now), breaker->stage == BREAKER_OPEN);
		return BREAKER_NOTHING;
	}
	if (strcmp(step->input, "back") == 0) {
		breaker_back(breaker, now);
		return BREAKER_NOTHING;
	}
	if (strcmp(step->input, "anew") == 0) {
		breaker_anew(breaker);
		return BREAKER_NOTHING;
	}
	if (strcmp(step->input, "wait") == 0) {
		breaker_wait(breaker, now.ms + 1000);
		return BREAKER_NOTHING;
	}
	if (strcmp(step->input, "tried") == 0)
		return breaker_tried(breaker, strcmp(step->id, "-") == 0 ? NULL : step->id, now);
	ck_assert_msg(machine_step_attempt(step, &attempt), "no such input: %s", step->input);
	attempt.queue_id = id;
	for (int i = 0; i < step->count; i++) {
		(void)snprintf(id, sizeof(id), "%s", step->id);
		if (step->count > 1)
			(void)snprintf(id, sizeof(id), "%.31s-%d", step->id, i);
		act = breaker_attempt(breaker, &attempt, now);
	}
	return act;
}

START_TEST(test_case)
{
	static const char *const acts[] = {[BREAKER_NOTHING] = "nothing",
	    [BREAKER_HOLD] = "hold",
	    [BREAKER_LIFT] = "lift",
	    [BREAKER_TRY] = "try",
	    [BREAKER_CLOSE] = "close"};
	const char *line = cases.lines[_i];
	struct breaker breaker = breaker_new();

	while (*line != '\0') {
		struct machine_step step = machine_step_read(&line);
		struct queued_time now = {.ms = step.ms, .wall = 1000000};
		enum breaker_act act = apply(&breaker, &step, now);
		machine_step_check(&step, breaker_stage_name(breaker.stage), acts[act],
		    breaker.next_ms, cases.lines[_i]);
		ck_assert_int_eq(breaker_holds(&breaker), breaker.stage == BREAKER_OPEN);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/breaker");
	TCase *tcase = tcase_create("table");

	cases = table_load("tests/data/queued_breaker.txt");
	tcase_add_loop_test(tcase, test_case, 0, cases.count);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	table_free(&cases);
	return code;
}
