/*
 * Tests of core/journal: rows to JSON and back, text that is no UTF-8, keys, long queue ids.
 */
#include "core/journal.h"

#include "tests/unit/table.h"

#include <jansson.h>

static struct journal_row
full_row(void)
{
	return (struct journal_row){
	    .queue_id = "4QkT3z0V1Wz5s",
	    .recipient = "\"a> , status=sent\"@customer.example",
	    .domain = "customer.example",
	    .sender = "sender@out.example",
	    .client = "2001:db8::9",
	    .size = 10485760,
	    .accepted_at = 1793000000123456,
	    .first_attempt = 1793000001000000,
	    .last_attempt = 1793000002000000,
	    .attempts = 7,
	    .outcome = OUTCOME_REFUSED,
	    .outcome_at = 1793000003000000,
	    .by = "",
	    .primary = "mail.customer.example[203.0.113.5]:25",
	    .reply = "550 5.1.1 no \"such\" user\t\\",
	    .code = "5.1.1",
	    .refusals = 2,
	    .first_refusal = 1793000001500000,
	    .last_refusal = 1793000002500000,
	};
}

START_TEST(test_round)
{
	const struct journal_row row = full_row();
	struct journal_row got;
	char *text = journal_row_print(&row, true);

	ck_assert_ptr_nonnull(text);
	ck_assert(journal_row_parse(text, strlen(text), &got));
	ck_assert_int_eq(memcmp(&row, &got, sizeof(row)), 0);
	free(text);
}
END_TEST

START_TEST(test_shipped_form)
{
	const struct journal_row row = full_row();
	char *text = journal_row_print(&row, false);
	json_t *object = json_loads(text, 0, NULL);

	ck_assert_ptr_null(json_object_get(object, "refusals"));
	ck_assert_ptr_null(json_object_get(object, "first_refusal"));
	ck_assert_str_eq(json_string_value(json_object_get(object, "kind")), "message");
	ck_assert_str_eq(json_string_value(json_object_get(object, "outcome")), "refused");
	ck_assert_int_eq(
	    json_integer_value(json_object_get(object, "accepted_at")), 1793000000123456);
	ck_assert_uint_eq(json_object_size(object), 17);
	json_decref(object);
	free(text);
}
END_TEST

START_TEST(test_wrong_bytes)
{
	static const struct {
		const char *bytes, *clean;
	} cases[] = {
	    {"\xff", "\xef\xbf\xbd"},
	    {"a\xc3\xa9z", "a\xc3\xa9z"},
	    {"\xc3", "\xef\xbf\xbd"},
	    {"\xc3(", "\xef\xbf\xbd("},
	    {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
	    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
	    {"\xf0\x9f\x93\xac", "\xf0\x9f\x93\xac"},
	    {"\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct journal_row row = full_row(), got;
		snprintf(row.sender, sizeof(row.sender), "%s", cases[i].bytes);
		char *text = journal_row_print(&row, true);
		ck_assert_ptr_nonnull(text);
		ck_assert(journal_row_parse(text, strlen(text), &got));
		ck_assert_str_eq(got.sender, cases[i].clean);
		free(text);
	}
}
END_TEST

/* A whole field of wrong bytes grows threefold; the row must be readable all the same. */
START_TEST(test_wrong_bytes_everywhere)
{
	struct journal_row row = full_row(), got;

	memset(row.reply, 0xfe, sizeof(row.reply) - 1);
	memset(row.recipient, 0xc3, sizeof(row.recipient) - 1);
	char *text = journal_row_print(&row, true);
	ck_assert_ptr_nonnull(text);
	ck_assert(journal_row_parse(text, strlen(text), &got));
	ck_assert_uint_lt(strlen(got.reply), sizeof(got.reply));
	ck_assert_uint_eq(strlen(got.reply) % 3, 0); /* no half character */
	free(text);
}
END_TEST

START_TEST(test_not_a_row)
{
	static const char *const cases[] = {"", "{", "[]", "{}", "null", "{\"kind\":\"message\"}",
	    "{\"kind\":\"alert\"}", "{\"kind\":\"message\",\"kind\":\"message\"}"};
	const struct journal_row row = full_row();
	struct journal_row got;
	json_t *object;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(!journal_row_parse(cases[i], strlen(cases[i]), &got), "%s", cases[i]);
	static const struct {
		const char *name, *value;
	} wrong[] = {{"size", "-1"}, {"size", "\"1\""}, {"outcome", "\"lost\""},
	    {"attempts", "4294967296"}, {"attempts", "1.5"}, {"queue_id", "\"\""},
	    {"recipient", "\"\""}, {"domain", "null"},
	    {"queue_id", "\"0123456789012345678901234567890123456789\""}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *text = journal_row_print(&row, true);
		object = json_loads(text, 0, NULL);
		free(text);
		json_object_set_new(
		    object, wrong[i].name, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
		text = json_dumps(object, 0);
		ck_assert_msg(!journal_row_parse(text, strlen(text), &got), "%s", text);
		free(text);
		json_decref(object);
	}
}
END_TEST

START_TEST(test_text_is_cut)
{
	char out[8];

	ck_assert(journal_text(out, sizeof(out), "1234567", 7));
	ck_assert(!journal_text(out, sizeof(out), "12345678", 8));
	ck_assert_str_eq(out, "1234567");
	ck_assert(!journal_text(out, sizeof(out), "12345\xc3\xa9\xc3\xa9", 9));
	ck_assert_str_eq(out, "12345\xc3\xa9");
	ck_assert(!journal_text(out, sizeof(out), "123456\xc3\xa9", 8));
	ck_assert_str_eq(out, "123456");
	ck_assert(!journal_text(out, sizeof(out), "\x80\x80\x80\x80\x80\x80\x80\x80\x80", 9));
	ck_assert_uint_eq(strlen(out), 7); /* no character anywhere: cut where it must be */
	ck_assert(journal_text(out, sizeof(out), "a\0b", 3));
	ck_assert_str_eq(out, "a?b");
	ck_assert(journal_text(out, sizeof(out), "", 0));
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(test_address)
{
	char long_one[2000], a[JOURNAL_ADDRESS_SIZE], b[JOURNAL_ADDRESS_SIZE];

	memset(long_one, 'x', sizeof(long_one));
	journal_address(a, long_one, JOURNAL_ADDRESS_SIZE - 1);
	ck_assert_uint_eq(strspn(a, "x"), JOURNAL_ADDRESS_SIZE - 1);
	journal_address(a, long_one, sizeof(long_one));
	long_one[1999] = 'y'; /* differs only where it is cut */
	journal_address(b, long_one, sizeof(long_one));
	ck_assert_uint_eq(strlen(a), strlen(b));
	ck_assert_str_ne(a, b);
	ck_assert_int_eq(a[strlen(a) - 17], '~');
}
END_TEST

START_TEST(test_key)
{
	char key[JOURNAL_KEY_SIZE], other[JOURNAL_KEY_SIZE];
	const size_t length = journal_key(key, "4QkT3z0V1Wz5s", "a@b.example");

	ck_assert_uint_eq(length, 13 + 1 + 11);
	ck_assert_int_eq(memcmp(key, "4QkT3z0V1Wz5s\0a@b.example", length), 0);
	/* The log without SMTPUTF8 and the queue's listing spell one recipient like this. */
	ck_assert_uint_eq(
	    journal_key(key, "A1", "\xc3\xa9@b.example"), journal_key(other, "A1", "??@b.example"));
	ck_assert_str_eq(key, other);
	ck_assert_int_eq(memcmp(key, other, journal_key(other, "A1", "??@b.example")), 0);
}
END_TEST

START_TEST(test_queue_id_time)
{
	static const struct {
		const char *id;
		int64_t at;
	} cases[] = {
	    {"0000010000z1", 1000000},
	    {"0000000001z1", 1},
	    {"00000z0000z1", 51000000},
	    {"000000Bzzzz1", 0}, /* more than 999,999 microseconds */
	    {"0000010000a1", 0},
	    {"0000010000z", 0},
	    {"0000010000z1z", 0},
	    {"00000A0000z1", 0},
	    {"A1B2C3D4E5", 0}, /* a short one */
	    {"", 0},
	    {"0000010000z11111111111111111111111111111111111111111", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(journal_queue_id_time(cases[i].id) == cases[i].at, "%s: %lld",
		    cases[i].id, (long long)journal_queue_id_time(cases[i].id));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("journal");
	TCase *rows = tcase_create("rows"), *text = tcase_create("text");

	tcase_add_test(rows, test_round);
	tcase_add_test(rows, test_shipped_form);
	tcase_add_test(rows, test_wrong_bytes);
	tcase_add_test(rows, test_wrong_bytes_everywhere);
	tcase_add_test(rows, test_not_a_row);
	suite_add_tcase(suite, rows);
	tcase_add_test(text, test_text_is_cut);
	tcase_add_test(text, test_address);
	tcase_add_test(text, test_key);
	tcase_add_test(text, test_queue_id_time);
	suite_add_tcase(suite, text);
	return table_run(suite);
}
