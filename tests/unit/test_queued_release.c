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

/* "-": none is left but what may go at `due`; "A+": it was refused before. */
static enum release_act
tried(struct release *release, const char *text, struct queued_time now)
{
	char id[32];
	struct release_canary canary = {.id = id, .due_ms = NEVER_MS};

	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(text, "+"), text);
	canary.again = strchr(text, '+') != NULL;
	if (text[0] != '-')
		return release_tried(release, &canary, now);
	canary.id = NULL;
	if (text[1] != '\0')
		canary.due_ms = strtoll(text + 1, NULL, 10);
	return release_tried(release, &canary, now);
}

/* "A": known; "A~fresh", "A~late", "A~mended". */
static enum release_act
attempted(struct release *release, struct event_attempt *attempt, const char *text,
    struct queued_time now)
{
	static const char *const names[] = {[RELEASE_KNOWN] = "",
	    [RELEASE_FRESH] = "~fresh",
	    [RELEASE_LATE] = "~late",
	    [RELEASE_AGAIN] = "~again",
	    [RELEASE_MENDED] = "~mended"};
	const size_t cut = strcspn(text, "~");
	char id[32];
	size_t news = 0;

	(void)snprintf(id, sizeof(id), "%.*s", (int)cut, text);
	attempt->queue_id = id;
	while (strcmp(names[news], text + cut) != 0)
		ck_assert_uint_lt(++news, sizeof(names) / sizeof(names[0]));
	return release_attempt(release, attempt, (enum release_news)news, now);
}

static enum release_act
apply(struct release *release, const struct machine_step *step, struct queued_time now)
{
	struct event_attempt attempt;

	if (machine_step_attempt(step, &attempt))
		return attempted(release, &attempt, step->id, now);
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
		return tried(release, step->id, now);
	if (strcmp(step->input, "empty") == 0)
		return release_empty(release, now);
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

/* The first pauses of a refused message are short; the second try of an unknown user is not early.
 */
START_TEST(test_refused_pause)
{
	static const int64_t seconds[] = {30, 60, 120, 240, 480, 960, 1920, 3600, 3600};

	for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
		ck_assert_int_eq(release_refused_pause(i + 1, false), seconds[i] * 1000);
	ck_assert_int_eq(release_refused_pause(1, true), 600000);
	ck_assert_int_eq(release_refused_pause(2, true), 1200000);
	ck_assert_int_eq(release_refused_pause(255, true), 3600000);
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
			(void)release_tried(&release, &(struct release_canary){.id = "A"}, now);
			now.ms += 10;
			act = release_attempt(&release, &attempt, RELEASE_KNOWN, now);
			continue;
		}
		if (act == RELEASE_FLUSH) {
			flushes++;
			now.ms += 10;
			act = release_attempt(&release, &attempt, RELEASE_KNOWN, now);
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
			(void)release_tried(&release, &(struct release_canary){0}, now);
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
	tcase_add_test(tcase, test_refused_pause);
	tcase_add_test(tcase, test_no_storm);
	tcase_add_loop_test(tcase, test_no_storm_of_listings, 0, 3);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	table_free(&cases);
	return code;
}
