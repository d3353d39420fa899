/*
 * test_ctl_show: texts of strangers on an operator's terminal.
 */
#include "ctl/queue_show.h"
#include "ctl/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *text, *shown;
} texts[] = {
    {"", ""},
    {"anna@customer.example", "anna@customer.example"},
    {"a\x1b[2Jb\r\n\tc\x7f", "a?[2Jb???c?"},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}, /* letters stay */
    {"\xc2\x9b"
     "2J",
	"?2J"}, /* CSI in one character */
    {"\xc2\x80\xc2\x9f\xc2\xa0", "??\xc2\xa0"},
    {"a\xe2\x80\xae"
     "b\xe2\x80\xac",
	"a?b?"}, /* turns the text round */
    {"\xe2\x81\xa6x\xe2\x81\xa9", "?x?"},
    {"\xe2\x80\xa8\xe2\x80\x8f\xd8\x9c", "???"},
    {"\xe2\x82\xac\xe2\x80\x94", "\xe2\x82\xac\xe2\x80\x94"},
    {"\xc2", "\xc2"}, /* cut */
    {"\xe2\x80", "\xe2\x80"},
};

START_TEST(test_safe)
{
	FILE *before = stdout;
	char *shown = NULL;
	size_t length = 0;

	stdout = open_memstream(&shown, &length);
	ck_assert_ptr_nonnull(stdout);
	show_safe(texts[_i].text);
	fclose(stdout);
	stdout = before;
	ck_assert_str_eq(shown, texts[_i].shown);
	free(shown);
}
END_TEST

static const struct {
	const char *object, *shown;
} primaries[] = {
    {"{\"domain\":\"a.example\",\"primary\":\"down\",\"reason\":\"refused\",\"next_probe\":3}",
	"a.example: down: refused; next probe in 3s\n"},
    {"{\"domain\":\"a.example\",\"primary\":\"down\",\"next_probe\":null,\"held\":true,"
     "\"endpoints\":[{\"name\":\"mx\",\"address\":\"192.0.2.1\",\"port\":25,\"state\":\"up\","
     "\"next_probe\":null,\"held\":true}]}",
	"a.example: down; not probed while held\n"
	"    mx[192.0.2.1]:25 up; not probed while held\n"},
    {"{\"domain\":\"a.example\",\"primary\":\"unknown\",\"reason\":\"the DNS does not tell\","
     "\"next_probe\":null,\"next_dns\":12,\"held\":false}",
	"a.example: unknown: the DNS does not tell; the DNS is asked again in 12s\n"},
    {"{\"domain\":\"a.example\",\"primary\":\"up\",\"next_probe\":null,\"held\":false}",
	"a.example: up\n"},
};

START_TEST(test_primary)
{
	FILE *before = stdout;
	json_t *object = json_loads(primaries[_i].object, 0, NULL);
	char *shown = NULL;
	size_t length = 0;

	stdout = open_memstream(&shown, &length);
	ck_assert_ptr_nonnull(stdout);
	show_primary(object, 1700000000);
	fclose(stdout);
	stdout = before;
	ck_assert_str_eq(shown, primaries[_i].shown);
	free(shown);
	json_decref(object);
}
END_TEST

static const struct {
	const char *object, *next;
} nexts[] = {
    {"{\"primary\":\"down\",\"hold\":\"none\",\"next_probe\":3,\"next_dns\":null}", "probe in 3s"},
    {"{\"primary\":\"unknown\",\"hold\":\"none\",\"next_probe\":null,\"next_dns\":15}",
	"DNS in 15s"},
    {"{\"primary\":\"unknown\",\"hold\":\"none\",\"next_probe\":null,\"next_dns\":null}", "-"},
    {"{\"primary\":\"unknown\",\"hold\":\"soc\",\"next_probe\":null,\"next_dns\":15}",
	"waits for the end of the hold"},
};

START_TEST(test_next)
{
	json_t *object = json_loads(nexts[_i].object, 0, NULL);
	char out[64];

	ck_assert_str_eq(show_next(object, out, sizeof(out)), nexts[_i].next);
	json_decref(object);
}
END_TEST

static const struct {
	const char *object, *shown;
} aparts[] = {
    {"{\"apart\":1,\"apart_messages\":1,\"subdomains\":[\"a.b.example\"]}",
	"subdomains are apart: 1 of them has held mail (1 message): a.b.example\n"},
    {"{\"apart\":3,\"apart_messages\":12,\"subdomains\":[\"a.b.example\",\"c.b.example\"]}",
	"subdomains are apart: 3 of them have held mail (12 messages): a.b.example, c.b.example, "
	"...\n"},
};

START_TEST(test_apart)
{
	FILE *before = stdout;
	json_t *object = json_loads(aparts[_i].object, 0, NULL);
	char *shown = NULL;
	size_t length = 0;

	stdout = open_memstream(&shown, &length);
	ck_assert_ptr_nonnull(stdout);
	show_apart(object);
	fclose(stdout);
	stdout = before;
	ck_assert_str_eq(shown, aparts[_i].shown);
	free(shown);
	json_decref(object);
}
END_TEST

static const struct {
	const char *before, *words;
	size_t width, indent;
	const char *wrapped;
} wraps[] = {
    {"", "", 10, 2, ""},
    {"a: ", "bc def ghi", 10, 2, "a: bc def\n  ghi"},
    {"a: ", "bc defg h", 10, 2, "a: bc defg\n  h"},
    {"\nx\na: ", "bc defgh i", 10, 4, "\nx\na: bc\n    defgh\n    i"},
    {"a: ", "one-that-is-too-long b", 10, 2, "a: one-that-is-too-long\n  b"},
    {"a: ", "b one-that-is-too-long", 10, 2, "a: b\n  one-that-is-too-long"},
    {"a: ", "b  c, as it is", 0, 2, "a: b  c, as it is"},
};

START_TEST(test_wrap)
{
	struct text text = {0};

	text_puts(&text, wraps[_i].before);
	text_wrap(&text, wraps[_i].words, wraps[_i].width, wraps[_i].indent);
	ck_assert_str_eq(text.bytes, wraps[_i].wrapped);
	text_free(&text);
}
END_TEST

static const struct {
	const char *object, *shown;
	void (*show)(const json_t *object, int64_t now);
} on_hold[] = {
    {"{\"domain\":\"a.example\",\"messages\":3,\"on_hold\":1,\"primary\":\"down\",\"next_probe\":"
     "4}",
	" 1 message  probe in 4s\n", show_domain},
    {"{\"domain\":\"a.example\",\"messages\":2,\"on_hold\":2,\"primary\":\"down\",\"next_probe\":"
     "4}",
	" 2 messages  waits to be released\n", show_domain},
    {"{\"domain\":\"a.example\",\"messages\":2,\"on_hold\":2,\"hold\":\"operator\"}",
	" operator, no end, 2 messages  waits for the end of the hold\n", show_domain},
    {"{\"domain\":\"a.example\",\"messages\":2,\"on_hold\":0,\"hold\":\"none\"}", " - -\n",
	show_domain},
    {"{\"queue_id\":\"ABCDEF\",\"recipient\":\"u@a.example\",\"on_hold\":true}",
	" -> <u@a.example>\n on hold until it is released\n", show_recipient},
    {"{\"queue_id\":\"ABCDEF\",\"recipient\":\"u@a.example\"}", " -> <u@a.example>\n",
	show_recipient},
};

/* Blanks are for columns: one stands for several. */
static void
squeeze(char *text)
{
	char *out = text;

	for (const char *in = text; *in != '\0'; in++)
		if (*in != ' ' || out == text || out[-1] != ' ')
			*out++ = *in;
	*out = '\0';
}

START_TEST(test_on_hold)
{
	FILE *before = stdout;
	json_t *object = json_loads(on_hold[_i].object, 0, NULL);
	char *shown = NULL, expected[128];
	size_t length = 0;

	stdout = open_memstream(&shown, &length);
	ck_assert_ptr_nonnull(stdout);
	on_hold[_i].show(object, 1700000000);
	fclose(stdout);
	stdout = before;
	squeeze(shown);
	(void)snprintf(expected, sizeof(expected), "%s", on_hold[_i].shown);
	squeeze(expected);
	ck_assert_uint_ge(strlen(shown), strlen(expected));
	ck_assert_str_eq(shown + strlen(shown) - strlen(expected), expected);
	free(shown);
	json_decref(object);
}
END_TEST

static const struct {
	const char *domain, *shown;
} holds[] = {
    {"{\"hold\":\"soc\",\"hold_until\":null,\"hold_reason\":\"new\\u001b disks\"}",
	"held by the SOC until its row is changed: new? disks\n"},
    {"{\"hold\":\"soc\",\"hold_until\":1763800000,\"hold_reason\":\"\"}",
	"held by the SOC till 2025-11-22 08:26\n"},
    {"{\"hold\":\"operator\",\"hold_until\":1763800000,\"hold_reason\":\"x\"}", ""},
    {"{\"hold\":\"none\"}", ""},
};

START_TEST(test_soc_hold)
{
	json_t *domain = json_loads(holds[_i].domain, 0, NULL);
	FILE *before = stdout;
	char *shown = NULL;
	size_t length = 0;

	ck_assert_ptr_nonnull(domain);
	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
	stdout = open_memstream(&shown, &length);
	ck_assert_ptr_nonnull(stdout);
	show_soc_hold(domain);
	(void)fclose(stdout);
	stdout = before;
	ck_assert_str_eq(shown, holds[_i].shown);
	free(shown);
	json_decref(domain);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ctl show");
	TCase *part = tcase_create("safe");

	tcase_add_loop_test(part, test_safe, 0, (int)(sizeof(texts) / sizeof(texts[0])));
	tcase_add_loop_test(part, test_primary, 0, (int)(sizeof(primaries) / sizeof(primaries[0])));
	tcase_add_loop_test(part, test_wrap, 0, (int)(sizeof(wraps) / sizeof(wraps[0])));
	tcase_add_loop_test(part, test_next, 0, (int)(sizeof(nexts) / sizeof(nexts[0])));
	tcase_add_loop_test(part, test_soc_hold, 0, (int)(sizeof(holds) / sizeof(holds[0])));
	tcase_add_loop_test(part, test_apart, 0, (int)(sizeof(aparts) / sizeof(aparts[0])));
	tcase_add_loop_test(part, test_on_hold, 0, (int)(sizeof(on_hold) / sizeof(on_hold[0])));
	suite_add_tcase(suite, part);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
