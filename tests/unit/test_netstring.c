/*
 * Tests of core/netstring: both directions, each border of length, and every way to cut a
 * netstring.
 */
#include "core/netstring.h"

#include "tests/unit/table.h"

/* Decodes from a buffer of exactly that size, so that a byte too far is seen. */
static enum netstring_result
decode(const char *data, size_t length, size_t max, struct netstring *out)
{
	static char *exact;

	free(exact);
	exact = malloc(length > 0 ? length : 1);
	memcpy(exact, data, length);
	return netstring_decode(exact, length, max, out);
}

START_TEST(test_decode)
{
	static const struct {
		const char *data;
		size_t max;
		enum netstring_result result;
		const char *payload;
		size_t consumed;
	} cases[] = {
	    {"5:hello,", 100, NETSTRING_OK, "hello", 8},
	    {"5:hello,5:world,", 100, NETSTRING_OK, "hello", 8},
	    {"0:,", 100, NETSTRING_OK, "", 3},
	    {"0:,rest", 0, NETSTRING_OK, "", 3},
	    {"1:,,", 100, NETSTRING_OK, ",", 4},
	    {"3:a:b,", 100, NETSTRING_OK, "a:b", 6},
	    {"10:0123456789,", 10, NETSTRING_OK, "0123456789", 14},
	    {"", 100, NETSTRING_MORE, NULL, 0},
	    {"5", 100, NETSTRING_MORE, NULL, 0},
	    {"5:", 100, NETSTRING_MORE, NULL, 0},
	    {"5:hell", 100, NETSTRING_MORE, NULL, 0},
	    {"5:hello", 100, NETSTRING_MORE, NULL, 0},
	    {"0:", 100, NETSTRING_MORE, NULL, 0},
	    {"0", 100, NETSTRING_MORE, NULL, 0},
	    {"100000", NETSTRING_MAX, NETSTRING_MORE, NULL, 0},
	    {"100000:", NETSTRING_MAX, NETSTRING_MORE, NULL, 0},
	    {":", 100, NETSTRING_BAD, NULL, 0},
	    {",", 100, NETSTRING_BAD, NULL, 0},
	    {"x", 100, NETSTRING_BAD, NULL, 0},
	    {" 5:hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"+5:hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"-1:,", 100, NETSTRING_BAD, NULL, 0},
	    {"5 :hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"5;hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"5:hello;", 100, NETSTRING_BAD, NULL, 0},
	    {"5:helloo", 100, NETSTRING_BAD, NULL, 0},
	    {"4:hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"05:hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"00:,", 100, NETSTRING_BAD, NULL, 0},
	    {"01", 100, NETSTRING_BAD, NULL, 0},
	    {"0x5:hello,", 100, NETSTRING_BAD, NULL, 0},
	    {"11:", 10, NETSTRING_BAD, NULL, 0},
	    {"11", 10, NETSTRING_BAD, NULL, 0},
	    {"100001", NETSTRING_MAX, NETSTRING_BAD, NULL, 0},
	    {"100001", (size_t)-1, NETSTRING_BAD, NULL, 0},
	    {"1000000", (size_t)-1, NETSTRING_BAD, NULL, 0},
	    {"18446744073709551616:", (size_t)-1, NETSTRING_BAD, NULL, 0},
	    {"18446744073709551621:hello,", (size_t)-1, NETSTRING_BAD, NULL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netstring got = {NULL, 0, 0};
		enum netstring_result result =
		    decode(cases[i].data, strlen(cases[i].data), cases[i].max, &got);
		ck_assert_msg(result == cases[i].result, "'%s': %d", cases[i].data, (int)result);
		if (result != NETSTRING_OK)
			continue;
		ck_assert_uint_eq(got.consumed, cases[i].consumed);
		ck_assert_uint_eq(got.length, strlen(cases[i].payload));
		ck_assert(memcmp(got.payload, cases[i].payload, got.length) == 0);
	}
}
END_TEST

/* Whatever part of a good netstring has come: the answer is MORE until the last byte is there. */
START_TEST(test_every_cut)
{
	static const char whole[] = "12:map customer,";
	struct netstring got;

	for (size_t length = 0; length < strlen(whole); length++)
		ck_assert_int_eq(decode(whole, length, 100, &got), NETSTRING_MORE);
	ck_assert_int_eq(decode(whole, strlen(whole), 100, &got), NETSTRING_OK);
}
END_TEST

START_TEST(test_binary_payload)
{
	static const char data[] = "4:a\0\n\xff,";
	struct netstring got;

	ck_assert_int_eq(decode(data, sizeof(data) - 1, 4, &got), NETSTRING_OK);
	ck_assert(got.length == 4 && memcmp(got.payload, "a\0\n\xff", 4) == 0);
}
END_TEST

START_TEST(test_encode)
{
	char out[20];

	ck_assert_uint_eq(netstring_encode(out, sizeof(out), "OK x", 4), 7);
	ck_assert(memcmp(out, "4:OK x,", 7) == 0);
	ck_assert_uint_eq(netstring_encode(out, sizeof(out), "", 0), 3);
	ck_assert(memcmp(out, "0:,", 3) == 0);
	ck_assert_uint_eq(netstring_encode(out, 7, "OK x", 4), 7);
	memset(out, 'X', sizeof(out));
	ck_assert_uint_eq(netstring_encode(out, 6, "OK x", 4), 0);
	ck_assert_uint_eq(netstring_encode(out, 0, "", 0), 0);
	ck_assert_msg(out[0] == 'X', "nothing is written of what does not fit");
}
END_TEST

/* The largest payload goes there and back; one byte more does not. */
START_TEST(test_round_trip_largest)
{
	char *payload = malloc(NETSTRING_MAX + 1);
	char *out = malloc(NETSTRING_MAX + 100);
	struct netstring got;

	memset(payload, 'p', NETSTRING_MAX + 1);
	size_t length = netstring_encode(out, NETSTRING_MAX + 100, payload, NETSTRING_MAX);
	ck_assert_uint_eq(length, NETSTRING_HEADER + NETSTRING_MAX + 1);
	ck_assert_int_eq(decode(out, length, NETSTRING_MAX, &got), NETSTRING_OK);
	ck_assert_uint_eq(got.length, NETSTRING_MAX);
	ck_assert_uint_eq(got.consumed, length);
	ck_assert_uint_eq(
	    netstring_encode(out, NETSTRING_MAX + 100, payload, NETSTRING_MAX + 1), 0);
	free(payload);
	free(out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("netstring");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_decode);
	tcase_add_test(tests, test_every_cut);
	tcase_add_test(tests, test_binary_payload);
	tcase_add_test(tests, test_encode);
	tcase_add_test(tests, test_round_trip_largest);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
