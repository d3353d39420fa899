/*
 * Tests of queued/unmet by tests/data/queued_unmet.txt.
 */
#include "queued/unmet.h"

#include "tests/unit/table.h"

static struct table cases;

static struct event_attempt
attempt_of(char what)
{
	static const struct {
		char what;
		enum attempt_result result;
		const char *enhanced;
	} attempts[] = {
	    {'p', ATTEMPT_UNREACHED, "4.7.5"},
	    {'t', ATTEMPT_UNREACHED, "4.7.4"},
	    {'u', ATTEMPT_UNREACHED, "4.3.0"},
	    {'l', ATTEMPT_UNREACHED, "4.4.2"},
	    {'s', ATTEMPT_SENT, ""},
	    {'d', ATTEMPT_DEFERRED, "4.7.5"}, /* in its own words */
	    {'r', ATTEMPT_REFUSED, "5.7.5"},
	    {'h', ATTEMPT_HELD, "4.3.2"},
	    {'a', ATTEMPT_UNREACHED, "4.4.1"},
	    {'b', ATTEMPT_UNREACHED, "4.4.2"},
	};

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (attempts[i].what == what)
			return (struct event_attempt){.result = attempts[i].result,
			    .enhanced = attempts[i].enhanced,
			    .reply = "words",
			    .answered = what == 'a' || what == 'b'};
	ck_abort_msg("no such attempt: %c", what);
}

START_TEST(test_case)
{
	static const char *const names[] = {
	    [UNMET_NOT] = "not", [UNMET_PIN] = "pin", [UNMET_DELIVERY] = "delivery"};
	const char *line = cases.lines[_i];
	char kind[16], pinned[16], step[32];
	struct unmet unmet = {.words = ""};

	table_word(&line, kind, sizeof(kind));
	table_word(&line, pinned, sizeof(pinned));
	while (line[strspn(line, " \t")] != '\0') {
		table_word(&line, step, sizeof(step));
		char *what;
		const int64_t ms = strtoll(step, &what, 10);
		const struct event_attempt attempt = attempt_of(what[1]);

		unmet_attempt(&unmet, &attempt, strcmp(pinned, "yes") == 0,
		    (struct queued_time){.ms = 1000 + ms, .wall = 1700000000 + ms / 1000});
	}
	ck_assert_msg(strcmp(names[unmet_kind(&unmet)], kind) == 0, "%s: got %s", cases.lines[_i],
	    names[unmet_kind(&unmet)]);
	ck_assert((unmet_since(&unmet) != 0) == (unmet_kind(&unmet) != UNMET_NOT));
}
END_TEST

/* Words of others: one line, printable, and no more than there is room for. */
START_TEST(test_words)
{
	char words[4 * UNMET_WORDS_SIZE];
	struct unmet unmet = {.words = ""};
	const struct event_attempt attempt = {
	    .result = ATTEMPT_UNREACHED, .enhanced = "4.7.5", .reply = words};

	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	memcpy(words, "a\nb\x01\xc3\xa9", 6);
	unmet_attempt(&unmet, &attempt, true, (struct queued_time){.ms = 1});
	ck_assert_uint_eq(strlen(unmet.words), UNMET_WORDS_SIZE - 1);
	ck_assert(strncmp(unmet.words, "a?b???x", 7) == 0);
	unmet_clear(&unmet);
	ck_assert_str_eq(unmet.words, "");
	ck_assert_int_eq(unmet_kind(&unmet), UNMET_NOT);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/unmet");
	TCase *tcase = tcase_create("table");

	cases = table_load("tests/data/queued_unmet.txt");
	tcase_add_loop_test(tcase, test_case, 0, cases.count);
	tcase_add_test(tcase, test_words);
	suite_add_tcase(suite, tcase);
	const int status = table_run(suite);
	table_free(&cases);
	return status;
}
