/*
 * Tests of queued/release: the cases of tests/data/queued_release.txt.
 */
#include "queued/release.h"

#include "tests/unit/machine_steps.h"

static struct table cases;

/* "3": three messages were not tried; "3b": and the primary is busy. */
static enum release_act
tick(struct release *release, const char *id, struct queued_time now)
{
	const struct release_wave wave = {
	    .untried = strtoul(id, NULL, 10), .busy = strchr(id, 'b') != NULL};

	return release_tick(release, &wave, now);
}

static enum release_act
apply(struct release *release, const struct machine_step *step, struct queued_time now)
{
	struct event_attempt attempt;

	if (machine_step_attempt(step, &attempt)) {
		attempt.queue_id = step->id;
		return release_attempt(release, &attempt, now);
	}
	if (strcmp(step->input, "start") == 0)
		return release_start(release, now);
	if (strcmp(step->input, "proved") == 0)
		return release_start_proved(release, now);
	if (strcmp(step->input, "tick") == 0)
		return tick(release, step->id, now);
	if (strcmp(step->input, "flushing") == 0) {
		release_flushing(release, now);
		return RELEASE_NOTHING;
	}
	if (strcmp(step->input, "listed") == 0) {
		release_listed(release, step->id[0] != 'b', strcmp(step->id, "singly") == 0, now);
		return RELEASE_NOTHING;
	}
	if (strcmp(step->input, "left") == 0)
		return release_left(release, step->id, now);
	if (strcmp(step->input, "tried") == 0)
		return release_tried(release, strcmp(step->id, "-") == 0 ? NULL : step->id, now);
	ck_assert_str_eq(step->input, "stop");
	release_stop(release);
	return RELEASE_NOTHING;
}

START_TEST(test_case)
{
	static const char *const acts[] = {[RELEASE_NOTHING] = "nothing",
	    [RELEASE_TRY] = "try",
	    [RELEASE_FLUSH] = "flush",
	    [RELEASE_TRY_SOME] = "try-some",
	    [RELEASE_LIST] = "list",
	    [RELEASE_PROBE] = "probe"};
	const char *line = cases.lines[_i];
	struct release release = release_new();

	while (*line != '\0') {
		struct machine_step step = machine_step_read(&line);
		struct queued_time now = {.ms = step.ms, .wall = 1000000};
		enum release_act act = apply(&release, &step, now);
		machine_step_check(&step, release_stage_name(release.stage), acts[act],
		    release.next_ms, cases.lines[_i]);
	}
}
END_TEST

/* Whatever the primary says, a domain is not flushed more than a bounded number of times a day. */
START_TEST(test_no_storm)
{
	struct release release = release_new();
	struct queued_time now = {.ms = 0, .wall = 1};
	struct event_attempt attempt = {.result = ATTEMPT_DEFERRED,
	    .code = 450,
	    .enhanced = "4.2.0",
	    .reply = "",
	    .queue_id = "A"};
	unsigned flushes = 0, tries = 0;
	enum release_act act = release_start(&release, now);

	while (now.ms < 86400000) {
		if (act == RELEASE_TRY) {
			tries++;
			(void)release_tried(&release, "A", now);
			now.ms += 10;
			act = release_attempt(&release, &attempt, now);
			continue;
		}
		if (act == RELEASE_FLUSH) {
			flushes++;
			now.ms += 10;
			act = release_attempt(&release, &attempt, now);
			continue;
		}
		ck_assert_int_gt(release.next_ms, now.ms);
		now.ms = release.next_ms;
		act = release_tick(&release, &(struct release_wave){0}, now);
	}
	ck_assert_uint_gt(flushes, 100);
	ck_assert_uint_lt(flushes, 320);
	ck_assert_uint_lt(tries, 1000);
}
END_TEST

/* Where qmgr(8) never comes to the messages, or no listing helps, few are made in a day. */
START_TEST(test_no_storm_of_listings)
{
	const struct release_wave wave = {.untried = 1000};
	struct release release = release_new();
	struct queued_time now = {.ms = 0, .wall = 1};
	unsigned flushes = 0, lists = 0;
	enum release_act act = release_start_proved(&release, now);

	while (now.ms < 86400000) {
		flushes += act == RELEASE_FLUSH;
		if (act == RELEASE_LIST) {
			lists++;
			now.ms += 100;
			release_listed(&release, _i != 2, _i == 1, now);
		} else if (act == RELEASE_TRY) {
			(void)release_tried(&release, NULL, now);
		} else {
			ck_assert_int_gt(release.next_ms, now.ms);
			now.ms = release.next_ms;
		}
		act = release_tick(&release, &wave, now);
	}
	ck_assert_uint_lt(flushes, 320);
	ck_assert_uint_gt(lists, 100);
	ck_assert_uint_lt(lists, _i == 0 ? 1500 : 640);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/release");
	TCase *tcase = tcase_create("table");

	cases = table_load("tests/data/queued_release.txt");
	tcase_add_loop_test(tcase, test_case, 0, cases.count);
	tcase_add_test(tcase, test_no_storm);
	tcase_add_loop_test(tcase, test_no_storm_of_listings, 0, 3);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	table_free(&cases);
	return code;
}
