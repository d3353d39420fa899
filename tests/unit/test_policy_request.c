/*
 * Tests of core/policy_request: where a request ends, however it is cut, and what is in it.
 */
#include "core/policy_request.h"

#include "tests/unit/table.h"

static const char real[] =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
    "client_address=192.0.2.7\nclient_name=client.example\nclient_port=49152\n"
    "reverse_client_name=client.example\nserver_address=203.0.113.1\nserver_port=25\n"
    "helo_name=helo.example\nsender=a=b@sender.example\nrecipient=User@Customer.Example.\n"
    "recipient_count=0\nqueue_id=\ninstance=1f4.655c.0\nsize=12345\netrn_domain=\nstress=\n"
    "sasl_method=\nccert_subject=\nencryption_protocol=TLSv1.3\npolicy_context=\n\n";

/* Parses a copy of exactly that size. The request's values live until the next call. */
static bool
parse(const char *text, size_t length, struct policy_request *out, const char **error)
{
	static char *copy;

	free(copy);
	copy = malloc(length > 0 ? length : 1);
	memcpy(copy, text, length);
	*error = NULL;
	return policy_request_parse(copy, length, out, error);
}

START_TEST(test_real_request)
{
	struct policy_request request;
	const char *error;
	size_t resume = 0;

	ck_assert_uint_eq(policy_request_length(real, strlen(real), &resume), strlen(real));
	ck_assert_msg(parse(real, strlen(real), &request, &error), "%s", error);
	ck_assert_str_eq(request.request, "smtpd_access_policy");
	ck_assert_str_eq(request.protocol_state, "RCPT");
	ck_assert_str_eq(request.protocol_name, "ESMTP");
	ck_assert_str_eq(request.client_address, "192.0.2.7");
	ck_assert_str_eq(request.helo_name, "helo.example");
	ck_assert_str_eq(request.sender, "a=b@sender.example");
	ck_assert_str_eq(request.recipient, "User@Customer.Example.");
	ck_assert_str_eq(request.queue_id, "");
	ck_assert_str_eq(request.instance, "1f4.655c.0");
	ck_assert_uint_eq(request.size, 12345);
}
END_TEST

START_TEST(test_absent_values)
{
	struct policy_request request;
	const char *error;

	ck_assert(parse("x=y\n\n", 5, &request, &error));
	ck_assert_str_eq(request.request, "");
	ck_assert_str_eq(request.recipient, "");
	ck_assert_str_eq(request.instance, "");
	ck_assert_uint_eq(request.size, POLICY_SIZE_UNKNOWN);
}
END_TEST

/* Each byte comes alone: the end is found exactly when it is there, and nothing is scanned twice.
 */
START_TEST(test_byte_by_byte)
{
	size_t resume = 0;

	for (size_t length = 0; length < strlen(real); length++) {
		ck_assert_uint_eq(policy_request_length(real, length, &resume), 0);
		ck_assert_uint_eq(resume, length);
	}
	ck_assert_uint_eq(policy_request_length(real, strlen(real), &resume), strlen(real));
}
END_TEST

START_TEST(test_first_of_several)
{
	static const char two[] = "a=1\n\nb=2\n\n";
	size_t resume = 0;

	ck_assert_uint_eq(policy_request_length(two, strlen(two), &resume), 5);
	resume = 0;
	ck_assert_uint_eq(policy_request_length(two + 5, strlen(two) - 5, &resume), 5);
	resume = 0;
	ck_assert_msg(policy_request_length("\nb=2\n\n", 6, &resume) == 1, "an empty request");
	resume = 1000;
	ck_assert_msg(
	    policy_request_length("a=1\n\n", 5, &resume) == 5, "resume of another buffer");
	resume = 0;
	ck_assert_msg(policy_request_length("a=1\r\n\r\n", 7, &resume) == 0, "CR is no end");
}
END_TEST

/* A name that only begins or ends like a known one is another attribute. */
START_TEST(test_names_are_exact)
{
	static const char near[] = "recipientx=a\nrecipien=b\nRecipient=c\n recipient=d\n\n";
	static const char exact[] = "recipient==\nsender= x \n\n";
	struct policy_request request;
	const char *error;

	ck_assert(parse(near, strlen(near), &request, &error));
	ck_assert_str_eq(request.recipient, "");
	ck_assert(parse(exact, strlen(exact), &request, &error));
	ck_assert_str_eq(request.recipient, "=");
	ck_assert_str_eq(request.sender, " x ");
}
END_TEST

START_TEST(test_faults)
{
	static const struct {
		const char *text;
		size_t length; /* 0: that of the text */
		const char *error;
	} cases[] = {
	    {"\n", 0, "the request is empty"},
	    {"x", 0, "the request is empty"},
	    {"\n\n", 0, "more than one request, or less"},
	    {"a=b\n", 0, "the request has no end"},
	    {"a=b", 0, "the request has no end"},
	    {"a=b\n\nc=d\n\n", 0, "more than one request, or less"},
	    {"a=b\n\n\n", 0, "more than one request, or less"},
	    {"a\n\n", 0, "a line without '='"},
	    {"request=x\ngarbage\n\n", 0, "a line without '='"},
	    {"=x\n\n", 0, "an attribute without a name"},
	    {"recipient=a\nrecipient=a\n\n", 0, "an attribute is repeated"},
	    {"size=1\nsize=1\n\n", 0, "an attribute is repeated"},
	    {"recipient=a\0b\n\n", 15, "a NUL byte"},
	    {"a=b\0\n\n", 6, "a NUL byte"},
	    {"size=\n\n", 0, "the size is not a number"},
	    {"size=-1\n\n", 0, "the size is not a number"},
	    {"size=1k\n\n", 0, "the size is not a number"},
	    {"size= 1\n\n", 0, "the size is not a number"},
	    {"size=18446744073709551616\n\n", 0, "the size is not a number"},
	    {"size=99999999999999999999999\n\n", 0, "the size is not a number"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = cases[i].length ? cases[i].length : strlen(cases[i].text);
		struct policy_request request;
		const char *error;
		ck_assert_msg(
		    !parse(cases[i].text, length, &request, &error), "'%s'", cases[i].text);
		ck_assert_str_eq(error, cases[i].error);
	}
	struct policy_request request;
	const char *error;
	ck_assert(!parse("", 0, &request, &error));
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
	    {"size=0\n\n", POLICY_SIZE_UNKNOWN},
	    {"size=000\n\n", POLICY_SIZE_UNKNOWN},
	    {"size=1\n\n", 1},
	    {"size=10485760\n\n", 10485760},
	    {"size=18446744073709551614\n\n", UINT64_MAX - 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_request request;
		const char *error;
		ck_assert(parse(cases[i].text, strlen(cases[i].text), &request, &error));
		ck_assert_uint_eq(request.size, cases[i].size);
	}
}
END_TEST

START_TEST(test_longest)
{
	char *text = malloc(POLICY_REQUEST_MAX + 1);
	struct policy_request request;
	const char *error;

	memset(text, 'x', POLICY_REQUEST_MAX + 1);
	memcpy(text, "recipient=", 10);
	memcpy(text + POLICY_REQUEST_MAX - 2, "\n\n", 2);
	ck_assert(parse(text, POLICY_REQUEST_MAX, &request, &error));
	ck_assert_uint_eq(strlen(request.recipient), POLICY_REQUEST_MAX - 12);
	memcpy(text + POLICY_REQUEST_MAX - 2, "x\n\n", 3);
	ck_assert(!parse(text, POLICY_REQUEST_MAX + 1, &request, &error));
	ck_assert_str_eq(error, "the request is too long");
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy_request");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_real_request);
	tcase_add_test(tests, test_absent_values);
	tcase_add_test(tests, test_byte_by_byte);
	tcase_add_test(tests, test_first_of_several);
	tcase_add_test(tests, test_names_are_exact);
	tcase_add_test(tests, test_faults);
	tcase_add_test(tests, test_sizes);
	tcase_add_test(tests, test_longest);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
