/*
 * Tests of milter/content: what is counted, to the octet. Each case is what Postfix 3.7 was seen to
 * hand over for the octets in `wire`.
 */
#include "milter/content.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 5

struct field {
	const char *name;
	const char *value;
};

struct message {
	const char *about;
	const char *wire; /* as sent after DATA, dot-stuffing undone */
	struct field fields[FIELDS_MAX];
	const char *body;
	int less; /* octets that are not counted, in the sender's favour */
};

static const struct message messages[] = {
    {"plain", "Subject: x\r\nFrom: a@b.example\r\n\r\nbody\r\n",
	{{"Subject", " x"}, {"From", " a@b.example"}}, "body\r\n", 0},
    {"a folded field", "Subject: x\r\n\ty\r\n  z\r\n\r\nbody\r\n", {{"Subject", " x\n\ty\n  z"}},
	"body\r\n", 0},
    {"a folded field with CRLF", "Subject: x\r\n\ty\r\n\r\nb\r\n", {{"Subject", " x\r\n\ty"}},
	"b\r\n", 0},
    {"blanks after the colon", "Subject:x\r\nA:\r\nB: \r\nC:\t\r\n\r\nbody\r\n",
	{{"Subject", "x"}, {"A", ""}, {"B", " "}, {"C", "\t"}}, "body\r\n", 0},
    {"a blank before the colon", "D : q\r\n\r\nx\r\n", {{"D", " q"}}, "x\r\n", 1},
    {"no empty line, no body", "Subject: x\r\n", {{"Subject", " x"}}, "", 0},
    {"an empty line, no body", "Subject: x\r\n\r\n", {{"Subject", " x"}}, "", 2},
    {"an empty line first", "\r\nbody\r\n", {{NULL, NULL}}, "body\r\n", 2},
    {"body first", "body line\r\nsecond\r\n", {{NULL, NULL}}, "body line\r\nsecond\r\n", 0},
    {"a blank first", " lead: x\r\nSubject: x\r\n\r\nbody\r\n", {{NULL, NULL}},
	" lead: x\r\nSubject: x\r\n\r\nbody\r\n", 0},
    {"empty", "", {{NULL, NULL}}, "", 0},
    {"an mbox separator", "From a@b Sat\r\nSubject: x\r\n\r\nbody\r\n",
	{{"X-Mailbox-Line", " From a@b Sat"}, {"Subject", " x"}}, "body\r\n", 0},
    {"a quoted mbox separator", ">>From a\r\n\r\nbody\r\n", {{"X-Mailbox-Line", " >>From a"}},
	"body\r\n", 0},
    {"that name, further down", "A: b\r\nX-Mailbox-Line: From a\r\n\r\nbody\r\n",
	{{"A", " b"}, {"X-Mailbox-Line", " From a"}}, "body\r\n", 0},
    {"that name, another value", "X-Mailbox-Line: Fromage\r\n\r\nbody\r\n",
	{{"X-Mailbox-Line", " Fromage"}}, "body\r\n", 0},
    {"a header that Postfix completed", "Subject: x\r\n\r\nbody\r\n",
	{{"Subject", " x"}, {"Message-Id", " <20261121192935.33933A7213C@relay.example>"},
	    {"Date", " Sat, 21 Nov 2026 19:29:35 +0000 (UTC)"}, {"From", " a@b.example"}},
	"body\r\n", 0},
    {"nothing but what Postfix completed", "body\r\n",
	{{"Message-Id", " <20261121192935.33933A7213C@relay.example>"},
	    {"Date", " Sat, 21 Nov 2026 19:29:35 +0000 (UTC)"}},
	"body\r\n", 0},
    {"the sender's Message-Id of that form",
	"Message-Id: <20261121192935.33933A7213D@relay.example>\r\n\r\nbody\r\n",
	{{"Message-Id", " <20261121192935.33933A7213D@relay.example>"}}, "body\r\n", 0},
    {"the Message-Id of another host",
	"Message-Id: <20261121192935.33933A7213C@relay.example.net>\r\n\r\nbody\r\n",
	{{"Message-Id", " <20261121192935.33933A7213C@relay.example.net>"}}, "body\r\n", 0},
    {"odd Message-Ids",
	"Message-Id: <@>\r\nMessage-Id: <20261121192935.@>\r\nMessage-Id:\r\nMessage-Id: "
	"<20261121192935.>@\r\n\r\nb\r\n",
	{{"Message-Id", " <@>"}, {"Message-Id", " <20261121192935.@>"}, {"Message-Id", ""},
	    {"Message-Id", " <20261121192935.>@"}},
	"b\r\n", 0},
};

static uint64_t
count(const struct message *message, const char *queue_id, const char *host)
{
	struct content content = {0};

	for (size_t i = 0; i < FIELDS_MAX && message->fields[i].name != NULL; i++)
		content_header(&content, message->fields[i].name, message->fields[i].value);
	content_body(&content, strlen(message->body));
	return content_total(&content, queue_id, host);
}

START_TEST(counts_what_was_sent)
{
	const struct message *message = &messages[_i];
	const uint64_t got = count(message, "33933A7213C", "relay.example");

	ck_assert_msg(got == strlen(message->wire) - (size_t)message->less,
	    "%s: counted %llu, sent %zu", message->about, (unsigned long long)got,
	    strlen(message->wire));
}
END_TEST

START_TEST(counts_all_without_queue_id)
{
	const struct message completed = {
	    .fields = {{"Message-Id", " <20261121192935.33933A7213C@relay.example>"}},
	    .body = "b\r\n"};

	ck_assert_uint_eq(count(&completed, NULL, "relay.example"), 56 + 2 + 3);
	ck_assert_uint_eq(count(&completed, "33933A7213C", NULL), 56 + 2 + 3);
	ck_assert_uint_eq(count(&completed, "", "relay.example"), 56 + 2 + 3);
	ck_assert_uint_eq(count(&completed, "33933A7213C", "relay.example"), 3);
}
END_TEST

START_TEST(an_overlong_id_is_no_queue_id)
{
	char value[600] = " <20261121192935.";
	struct content content = {0};

	memset(value + strlen(value), 'A', 500);
	memcpy(value + 517, "@h>", 4);
	content_header(&content, "Message-Id", value);
	ck_assert_str_eq(content.queue_id, "");
	ck_assert_uint_eq(content_total(&content, "", "h"), 10 + 1 + 520 + 2);
}
END_TEST

START_TEST(body_in_chunks)
{
	struct content content = {0};

	content_header(&content, "A", " b");
	for (int i = 0; i < 161; i++)
		content_body(&content, 65535);
	ck_assert_uint_eq(content_total(&content, NULL, NULL), 6 + 2 + 161ull * 65535);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("milter-content");
	TCase *tcase = tcase_create("content");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(
	    tcase, counts_what_was_sent, 0, (int)(sizeof(messages) / sizeof(messages[0])));
	tcase_add_test(tcase, counts_all_without_queue_id);
	tcase_add_test(tcase, an_overlong_id_is_no_queue_id);
	tcase_add_test(tcase, body_in_chunks);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
