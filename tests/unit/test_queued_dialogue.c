/*
 * Tests of queued/dialogue: the cases of tests/data/queued_dialogue.txt, each with its bytes all at
 * once and one by one; and what has no end.
 */
#include "queued/dialogue.h"

#include "tests/unit/table.h"

static struct table cases;

static const char *
outcome_name(enum probe_outcome outcome)
{
	static const char *const names[] = {[PROBE_GOOD] = "good",
	    [PROBE_BUSY] = "busy",
	    [PROBE_BROKEN] = "broken",
	    [PROBE_DOWN] = "down",
	    [PROBE_WRONG_HOST] = "wrong-host",
	    [PROBE_CANNOT_TELL] = "cannot-tell"};

	return names[outcome];
}

/* Notes the command, without its argument. */
static void
hear(struct dialogue *dialogue, char *said, size_t size)
{
	size_t used = strlen(said);

	if (dialogue->out_length == 0)
		return;
	ck_assert_int_eq(dialogue->out[dialogue->out_length - 2], '\r');
	ck_assert_int_eq(dialogue->out[dialogue->out_length - 1], '\n');
	(void)snprintf(said + used, size - used, "%s%.*s", used > 0 ? "," : "",
	    (int)strcspn(dialogue->out, " \r"), dialogue->out);
	dialogue->out_length = 0;
}

static void
shake_hands(struct dialogue *dialogue, const char *flags)
{
	if (strchr(flags, 's') != NULL)
		dialogue_tls_done(dialogue, DIALOGUE_TLS_STRANGER, "ab");
	else if (strchr(flags, 'f') != NULL)
		dialogue_tls_done(dialogue, DIALOGUE_TLS_FAILED, "oops");
	else
		dialogue_tls_done(dialogue, DIALOGUE_TLS_GOOD, "");
}

/* Plays the server's bytes, `step` of them at a time. */
static void
play(struct dialogue *dialogue, const char *flags, const char *bytes, size_t length, size_t step,
    char *said, size_t size)
{
	size_t at = 0;

	while (at < length && dialogue->stage != DIALOGUE_DONE) {
		if (dialogue->stage == DIALOGUE_HANDSHAKE) {
			const char *tls = memchr(bytes + at, '\x01', length - at);
			ck_assert_ptr_nonnull(tls);
			at = (size_t)(tls - bytes) + 1;
			shake_hands(dialogue, flags);
		} else {
			size_t part = length - at < step ? length - at : step;
			at += dialogue_feed(dialogue, bytes + at, part);
		}
		hear(dialogue, said, size);
	}
	dialogue_lost(dialogue, "lost");
	ck_assert_int_eq(dialogue->stage, DIALOGUE_DONE);
}

START_TEST(test_case)
{
	const char *line = cases.lines[_i / 2];
	char outcome[32], code[16], flags[16], wanted[64], bytes[4096], said[256] = "";
	struct dialogue dialogue;

	table_word(&line, outcome, sizeof(outcome));
	table_word(&line, code, sizeof(code));
	table_word(&line, flags, sizeof(flags));
	table_word(&line, wanted, sizeof(wanted));
	size_t length = table_rest(&line, bytes, sizeof(bytes));
	const struct dialogue_setup setup = {.helo = "relay.example",
	    .tls_required = strchr(flags, 't') != NULL,
	    .pinned_certificate = strchr(flags, 'c') != NULL,
	    .pin_banner = strchr(flags, 'b') != NULL ? "mail.a.example" : ""};
	dialogue_init(&dialogue, &setup);
	dialogue_connected(&dialogue);
	play(&dialogue, flags, bytes, length, _i % 2 == 0 ? sizeof(bytes) : 1, said, sizeof(said));
	ck_assert_msg(strcmp(outcome_name(dialogue.finding.outcome), outcome) == 0, "%s (%s)\n%s",
	    outcome_name(dialogue.finding.outcome), dialogue.finding.reason, cases.lines[_i / 2]);
	ck_assert_msg(dialogue.finding.code == (unsigned)atoi(code), "%u\n%s",
	    dialogue.finding.code, cases.lines[_i / 2]);
	ck_assert_str_eq(said[0] != '\0' ? said : "-", wanted);
}
END_TEST

static struct dialogue
begun(void)
{
	const struct dialogue_setup setup = {.helo = "relay.example", .pin_banner = ""};
	struct dialogue dialogue;

	dialogue_init(&dialogue, &setup);
	dialogue_connected(&dialogue);
	return dialogue;
}

/* Feeds `text` until the dialogue ends. Returns how many bytes it took. */
static size_t
flood(struct dialogue *dialogue, const char *text)
{
	size_t taken = 0;

	while (dialogue->stage != DIALOGUE_DONE) {
		taken += dialogue_feed(dialogue, text, strlen(text));
		dialogue->out_length = 0;
		ck_assert_uint_lt(taken, 1000000);
	}
	return taken;
}

START_TEST(test_endless)
{
	static const char *const floods[] = {
	    "xxxxxxxxxxxxxxxx", "220-x\r\n", "220", "\r", "220-\n"};
	struct dialogue dialogue = begun();

	ck_assert_uint_le(flood(&dialogue, floods[_i]), 2 * DIALOGUE_REPLY_BYTES);
	ck_assert_int_eq(dialogue.finding.outcome, PROBE_BROKEN);
}
END_TEST

/* Words of the other side cannot write into our log or terminal. */
START_TEST(test_words_are_printable)
{
	static const char banner[] = "554 \x1b[2J\xff\x07 bad\r\n";
	struct dialogue dialogue = begun();

	(void)dialogue_feed(&dialogue, banner, strlen(banner));
	ck_assert_str_eq(dialogue.finding.reason, "banner: 554 ?[2J?? bad");
}
END_TEST

START_TEST(test_long_line_is_cut)
{
	char line[10000];
	struct dialogue dialogue = begun();

	memset(line, 'x', sizeof(line));
	memcpy(line, "554 ", 4);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	(void)dialogue_feed(&dialogue, line, sizeof(line));
	ck_assert_int_eq(dialogue.finding.outcome, PROBE_BROKEN);
	ck_assert_uint_eq(dialogue.finding.code, 554);
	ck_assert_uint_lt(strlen(dialogue.finding.reason), STATE_TEXT_SIZE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/dialogue");
	TCase *tcase = tcase_create("table");

	cases = table_load("tests/data/queued_dialogue.txt");
	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, test_case, 0, 2 * cases.count);
	tcase_add_loop_test(tcase, test_endless, 0, 5);
	tcase_add_test(tcase, test_words_are_printable);
	tcase_add_test(tcase, test_long_line_is_cut);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	table_free(&cases);
	return code;
}
