/*
 * Tests of milter/session: who is judged, which reply, which size limit counts. The rules behind it
 * are a fake here: the domain of the recipient says what they answer.
 */
#include "milter/session.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MB10 10485760u

static char judged[1100]; /* the recipient of the last judgement, "" when there was none */
static char client[64];   /* and its client */
static uint64_t declared; /* and its size */

static const struct fake {
	const char *domain;
	struct judgement judgement;
} fakes[] = {
    {"ok.example", {.verdict = {VERDICT_PERMIT, RULE_AUTHORISED, 0, "", "Domain authorised"},
		       .known = true,
		       .limits = {.size_limit = MB10, .oversize = OVERSIZE_REJECT}}},
    {"also.example", {.verdict = {VERDICT_PERMIT, RULE_AUTHORISED, 0, "", ""},
			 .known = true,
			 .limits = {.size_limit = MB10, .oversize = OVERSIZE_REJECT}}},
    {"big.example", {.verdict = {VERDICT_PERMIT, RULE_AUTHORISED, 0, "", ""},
			.known = true,
			.limits = {.size_limit = 2 * MB10, .oversize = OVERSIZE_REJECT}}},
    {"soft.example", {.verdict = {VERDICT_PERMIT, RULE_AUTHORISED, 0, "", ""},
			 .known = true,
			 .limits = {.size_limit = MB10, .oversize = OVERSIZE_DEFER}}},
    {"region.example",
	{.verdict = {VERDICT_DEFER, RULE_REGION, 450, "4.7.1", "Region"}, .known = true}},
    {"large.example",
	{.verdict = {VERDICT_REJECT, RULE_SIZE, 552, "5.3.4", "Size"}, .known = true}},
    {"dark.example", {.verdict = {VERDICT_CANNOT_TELL, RULE_NO_SNAPSHOT, 450, "4.3.0", "Later"}}},
    {"stale.example",
	{.verdict = {VERDICT_CANNOT_TELL, RULE_UNKNOWN_STALE, 450, "4.7.1", "Stale"}}},
};

static struct judgement
fake_judge(void *context, const struct judge_request *request)
{
	static const struct judgement unknown = {
	    .verdict = {VERDICT_NOT_OURS, RULE_UNKNOWN, 0, "", "Domain not served here"}};
	const char *at = strrchr(request->recipient, '@');

	(void)context;
	ck_assert_uint_eq(strlen(request->recipient), request->recipient_length);
	ck_assert_uint_lt(request->recipient_length, sizeof(judged));
	memcpy(judged, request->recipient, request->recipient_length + 1);
	memcpy(client, request->client_address, strlen(request->client_address) + 1);
	declared = request->declared_size;
	for (size_t i = 0; at != NULL && i < sizeof(fakes) / sizeof(fakes[0]); i++) {
		if (strcmp(at + 1, fakes[i].domain) == 0)
			return fakes[i].judgement;
	}
	return unknown;
}

static bool
fake_own_name(void *context, const char *domain)
{
	(void)context;
	return strcmp(domain, "eu.mx.example") == 0;
}

static const struct session_rules shared = {fake_judge, fake_own_name, NULL, false};
static const struct session_rules dedicated = {fake_judge, fake_own_name, NULL, true};

/* --- recipients --------------------------------------------------------------------- */

struct recipient_case {
	const char *argument, *address, *mailer;
	const struct session_rules *rules;
	unsigned code; /* 0: no objection */
	const char *reason;
	const char *judged; /* NULL: the rules were not asked */
};

static const struct recipient_case recipients[] = {
    /* a shared relay judges what goes through our transports, by the resolved address alone */
    {"<u@ok.example>", "u@ok.example", "mxhold", &shared, 0, "", "u@ok.example"},
    {"<u@ok.example>", "u@ok.example", "mxhold-tls", &shared, 0, "", "u@ok.example"},
    {"<u@ok.example>", "u@ok.example", "mxhold-pin", &shared, 0, "", "u@ok.example"},
    {"<u@ok.example>", "u@ok.example", "retry", &shared, 0, "", "u@ok.example"},
    {"<u@ok.example>", "u@ok.example", "smtp", &shared, 0, "", NULL},
    {"<u@own.example>", "u@own.example", "local", &shared, 0, "", NULL},
    {"<u@own.example>", "u@own.example", "retry", &shared, 0, "", "u@own.example"},
    {"<u@own.example>", NULL, "smtp", &shared, 0, "", NULL},
    {"<u%region.example@relay>", "u@region.example", "mxhold", &shared, 450, "region",
	"u@region.example"},
    {"<u@ok.example>", "u@region.example", "mxhold", &shared, 450, "region", "u@region.example"},
    {"<u@ok.example>", "u@large.example", "mxhold", &shared, 552, "size", "u@large.example"},
    {"<u@ok.example>", "u@dark.example", "mxhold", &shared, 450, "no-snapshot", "u@dark.example"},
    {"<u@ok.example>", "u@stale.example", "retry", &shared, 450, "unknown-stale",
	"u@stale.example"},
    {"<u@new.example>", "u@new.example", "mxhold", &shared, 450, "transport-ahead",
	"u@new.example"},
    {"<u@new.example>", "u@new.example", "mxhold-tls", &dedicated, 450, "transport-ahead",
	"u@new.example"},
    {"<u@new.example>", "u@new.example", "mxhold-pin", &shared, 450, "transport-ahead",
	"u@new.example"},
    /* macros that are missing */
    {"<u@ok.example>", NULL, "mxhold", &shared, 451, "macros-missing", NULL},
    {"<u@ok.example>", "", "mxhold", &shared, 451, "macros-missing", NULL},
    {"<u@ok.example>", "u@ok.example", NULL, &shared, 451, "macros-missing", NULL},
    {"<u@ok.example>", "u@ok.example", "", &shared, 451, "macros-missing", NULL},
    {"<u@ok.example>", NULL, "smtp", &dedicated, 451, "macros-missing", NULL},
    {"<u@ok.example>", "u@ok.example", NULL, &dedicated, 451, "macros-missing", NULL},
    {NULL, "u@ok.example", "mxhold", &shared, 0, "", "u@ok.example"},
    /* a dedicated relay judges all of them */
    {"<u@ok.example>", "u@ok.example", "smtp", &dedicated, 0, "", "u@ok.example"},
    {"<u@new.example>", "u@new.example", "smtp", &dedicated, 554, "unknown", "u@new.example"},
    {"<u@own.example>", "u@own.example", "local", &dedicated, 554, "unknown", "u@own.example"},
    {"<u@new.example>", "u@new.example", "retry", &dedicated, 554, "unknown", "u@new.example"},
    {"<u@stale.example>", "u@stale.example", "smtp", &dedicated, 450, "unknown-stale",
	"u@stale.example"},
    {"<u@[192.0.2.1]>", "u@[192.0.2.1]", "smtp", &dedicated, 554, "unknown", "u@[192.0.2.1]"},
    /* its own postmaster, abuse and root */
    {"<postmaster>", "postmaster@odd-origin.example", "smtp", &dedicated, 0, "",
	"postmaster@odd-origin.example"},
    {"<PostMaster>", "PostMaster@odd-origin.example", "smtp", &dedicated, 0, "",
	"PostMaster@odd-origin.example"},
    {"postmaster", "postmaster@odd-origin.example", "smtp", &dedicated, 0, "",
	"postmaster@odd-origin.example"},
    {"<abuse>", "abuse@odd-origin.example", "error", &dedicated, 0, "", "abuse@odd-origin.example"},
    {"<root>", "root", "local", &dedicated, 0, "", "root"},
    {"<\"postmaster\">", "postmaster", "smtp", &dedicated, 0, "", "postmaster"},
    {"<postmaster@host.example>", "postmaster@host.example", "smtp", &dedicated, 0, "",
	"postmaster@host.example"},
    {"<postmaster@HOST.example.>", "postmaster@HOST.example.", "smtp", &dedicated, 0, "",
	"postmaster@HOST.example."},
    {"<postmaster@EU.mx.example>", "postmaster@EU.mx.example", "smtp", &dedicated, 0, "",
	"postmaster@EU.mx.example"},
    {"<abuse@[127.0.0.1]>", "abuse@[127.0.0.1]", "local", &dedicated, 0, "", "abuse@[127.0.0.1]"},
    /* and nobody who looks like them */
    {"<postmaster%evil.example>", "postmaster@evil.example", "smtp", &dedicated, 554, "unknown",
	"postmaster@evil.example"},
    {"<evil.example!postmaster>", "postmaster@evil.example", "smtp", &dedicated, 554, "unknown",
	"postmaster@evil.example"},
    {"<postmaster@evil.example>", "postmaster@evil.example", "smtp", &dedicated, 554, "unknown",
	"postmaster@evil.example"},
    {"<postmaster@[192.0.2.1]>", "postmaster@[192.0.2.1]", "smtp", &dedicated, 554, "unknown",
	"postmaster@[192.0.2.1]"},
    {"<postmaster>", "info@evil.example", "smtp", &dedicated, 554, "unknown", "info@evil.example"},
    {"<postmasters>", "postmasters@host.example", "smtp", &dedicated, 554, "unknown",
	"postmasters@host.example"},
    {"<postmaster@host.example.evil.example>", "postmaster@host.example.evil.example", "smtp",
	&dedicated, 554, "unknown", "postmaster@host.example.evil.example"},
    {"<info@host.example>", "info@host.example", "smtp", &dedicated, 554, "unknown",
	"info@host.example"},
    {"<postmaster@region.example>", "postmaster@region.example", "local", &dedicated, 450, "region",
	"postmaster@region.example"},
    /* quoted local parts reach the rules as the policy service gets them */
    {"<\"J D\"@ok.example>", "\"J D\"@ok.example", "mxhold", &shared, 0, "", "J D@ok.example"},
    {"<x>", "\"a\\\"b\"@ok.example", "mxhold", &shared, 0, "", "a\"b@ok.example"},
    {"<x>", "\"a@region.example\"@ok.example", "mxhold", &shared, 0, "",
	"a@region.example@ok.example"},
    {"<x>", "\"a\"b@ok.example", "mxhold", &shared, 0, "", "\"a\"b@ok.example"},
    {"<x>", "\"a@region.example", "mxhold", &shared, 450, "region", "\"a@region.example"},
    {"<x>", "\"\"@ok.example", "mxhold", &shared, 0, "", "\"\"@ok.example"},
};

START_TEST(judges_recipients)
{
	const struct recipient_case *c = &recipients[_i];
	const struct session_recipient recipient = {
	    c->argument, c->address, c->mailer, "host.example", "192.0.2.7"};
	struct session session;
	struct session_answer answer;

	judged[0] = '\0';
	session_reset(&session);
	answer = session_recipient(&session, c->rules, &recipient);
	ck_assert_msg(answer.code == c->code && strcmp(answer.reason, c->reason) == 0,
	    "%s as %s by %s: %u (%s)", c->argument != NULL ? c->argument : "-",
	    c->address != NULL ? c->address : "-", c->mailer != NULL ? c->mailer : "-", answer.code,
	    answer.reason);
	ck_assert_int_eq(answer.action, c->code == 0    ? SESSION_CONTINUE
					: c->code < 500 ? SESSION_TEMPFAIL
							: SESSION_REJECT);
	ck_assert_str_eq(judged, c->judged != NULL ? c->judged : "");
	ck_assert_uint_eq(session.recipients, c->code == 0);
}
END_TEST

START_TEST(an_overlong_address_is_no_address)
{
	char address[4000];
	const struct session_recipient recipient = {
	    address, address, "mxhold", "host.example", NULL};
	struct session session;

	session_reset(&session);
	memset(address, 'a', sizeof(address));
	memcpy(address + sizeof(address) - 12, "@ok.example", 12);
	ck_assert_uint_eq(session_recipient(&session, &shared, &recipient).code, 451);
	address[0] = '"';
	ck_assert_uint_eq(session_recipient(&session, &shared, &recipient).code, 451);
	memset(address, 'a', sizeof(address) - 1);
	address[1] = '@';
	ck_assert_uint_eq(session_recipient(&session, &shared, &recipient).code, 451);
}
END_TEST

/* --- transactions ------------------------------------------------------------------- */

static void
begin(struct session *session, const char *size)
{
	char parameter[64] = "BODY=8BITMIME", other[64];
	char *parameters[] = {parameter, other, NULL};

	if (size == NULL)
		parameters[1] = NULL;
	else
		memcpy(other, size, strlen(size) + 1);
	session_mail(session, parameters);
}

static unsigned
to(struct session *session, const char *address, const char *mailer)
{
	const struct session_recipient recipient = {
	    address, address, mailer, "host.example", "192.0.2.7"};

	return session_recipient(session, &shared, &recipient).code;
}

static unsigned
end(struct session *session, uint64_t bytes)
{
	struct session_answer answer;

	content_body(&session->content, bytes);
	answer = session_end_of_message(session, "4XYZ", "host.example");
	ck_assert(answer.code == 0 || answer.code == 452 || answer.code == 552);
	ck_assert_str_eq(answer.enhanced, answer.code == 0     ? ""
					  : answer.code == 452 ? "4.3.4"
							       : "5.3.4");
	return answer.code;
}

static const struct size_case {
	const char *parameter;
	uint64_t size;
} sizes[] = {
    {NULL, UINT64_MAX},
    {"SIZE=0", UINT64_MAX},
    {"SIZE=1", 1},
    {"size=10485760", MB10},
    {"SIZE=18446744073709551613", UINT64_MAX - 2},
    {"SIZE=18446744073709551614", UINT64_MAX - 1},
    {"SIZE=18446744073709551615", UINT64_MAX - 1},
    {"SIZE=99999999999999999999999999999", UINT64_MAX - 1},
    {"SIZE=", UINT64_MAX},
    {"SIZE=12x", UINT64_MAX},
    {"SIZE=-1", UINT64_MAX},
    {"SIZES=12", UINT64_MAX},
};

START_TEST(reads_the_declared_size)
{
	struct session session;

	begin(&session, sizes[_i].parameter);
	ck_assert_uint_eq(session.declared_size, sizes[_i].size);
	ck_assert_uint_eq(to(&session, "u@ok.example", "mxhold"), 0);
	ck_assert_uint_eq(declared, sizes[_i].size);
	ck_assert_str_eq(client, "192.0.2.7");
}
END_TEST

START_TEST(the_border)
{
	struct session session;

	begin(&session, NULL);
	ck_assert_uint_eq(to(&session, "u@ok.example", "mxhold"), 0);
	ck_assert_uint_eq(end(&session, MB10), 0);
	begin(&session, NULL);
	ck_assert_uint_eq(to(&session, "u@ok.example", "mxhold"), 0);
	ck_assert_uint_eq(end(&session, MB10 + 1), 552);
	begin(&session, NULL);
	ck_assert_uint_eq(to(&session, "u@soft.example", "mxhold"), 0);
	ck_assert_uint_eq(end(&session, MB10 + 1), 452);
}
END_TEST

START_TEST(other_mail_has_no_limit)
{
	struct session session;

	begin(&session, NULL);
	ck_assert_uint_eq(to(&session, "u@own.example", "local"), 0);
	ck_assert_uint_eq(end(&session, 100 * (uint64_t)MB10), 0);
	begin(&session, NULL);
	ck_assert_uint_eq(end(&session, 100 * (uint64_t)MB10), 0); /* nobody was accepted */
}
END_TEST

/* Two recipients: what the second gets, and the end of message of `bytes`. */
static const struct pair {
	const char *size, *first, *second, *second_mailer;
	unsigned second_code;
	uint64_t bytes;
	unsigned end_code;
} pairs[] = {
    {NULL, "u@ok.example", "u@also.example", "mxhold", 0, MB10, 0},
    {NULL, "u@ok.example", "u@also.example", "mxhold", 0, MB10 + 1, 552},
    {NULL, "u@ok.example", "u@big.example", "mxhold", 452, MB10 + 1, 552},
    {NULL, "u@big.example", "u@ok.example", "mxhold", 452, MB10 + 1, 0},
    {NULL, "u@ok.example", "u@soft.example", "mxhold", 452, MB10 + 1, 552},
    {NULL, "u@ok.example", "u@own.example", "local", 452, MB10 + 1, 552},
    {"SIZE=10485760", "u@ok.example", "u@big.example", "mxhold", 0, MB10, 0},
    {"SIZE=10485760", "u@ok.example", "u@big.example", "mxhold", 0, MB10 + 1, 452},
    {"SIZE=10485760", "u@big.example", "u@ok.example", "mxhold", 0, 2 * MB10, 452},
    {"SIZE=10485760", "u@big.example", "u@ok.example", "mxhold", 0, 2 * MB10 + 1, 552},
    {"SIZE=10485761", "u@ok.example", "u@big.example", "mxhold", 452, MB10 + 1, 552},
    {"SIZE=10485761", "u@big.example", "u@ok.example", "mxhold", 452, MB10 + 1, 0},
    {"SIZE=1000", "u@ok.example", "u@soft.example", "mxhold", 0, MB10 + 1, 452},
    {"SIZE=1000", "u@soft.example", "u@ok.example", "mxhold", 0, MB10 + 1, 452},
    {"SIZE=1000", "u@ok.example", "u@own.example", "local", 0, MB10 + 1, 452},
    {"SIZE=1000", "u@own.example", "u@ok.example", "mxhold", 0, MB10, 0},
    {"SIZE=1000", "u@ok.example", "u@region.example", "mxhold", 450, MB10 + 1, 552},
};

START_TEST(one_transaction_one_limit)
{
	const struct pair *p = &pairs[_i];
	const char *mailer = strstr(p->first, "own") != NULL ? "local" : "mxhold";
	struct session session;

	begin(&session, p->size);
	ck_assert_uint_eq(to(&session, p->first, mailer), 0);
	ck_assert_uint_eq(to(&session, p->second, p->second_mailer), p->second_code);
	ck_assert_uint_eq(session.recipients, p->second_code == 0 ? 2 : 1);
	ck_assert_uint_eq(end(&session, p->bytes), p->end_code);
}
END_TEST

START_TEST(mail_and_reset_forget)
{
	struct session session;

	begin(&session, "SIZE=77");
	ck_assert_uint_eq(to(&session, "u@ok.example", "mxhold"), 0);
	content_header(&session.content, "A", " b");
	content_body(&session.content, MB10);
	session_reset(&session);
	ck_assert_uint_eq(session.recipients, 0);
	ck_assert_uint_eq(session.declared_size, UINT64_MAX);
	ck_assert_uint_eq(content_total(&session.content, NULL, NULL), 0);

	begin(&session, "SIZE=77");
	ck_assert_uint_eq(to(&session, "u@soft.example", "mxhold"), 0);
	content_body(&session.content, MB10);
	begin(&session, NULL);
	ck_assert_uint_eq(to(&session, "u@big.example", "mxhold"), 0);
	ck_assert_uint_eq(end(&session, 2 * MB10), 0);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *suite = suite_create("milter-session");
	TCase *tcase = tcase_create("session");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tcase, judges_recipients, 0, COUNT(recipients));
	tcase_add_test(tcase, an_overlong_address_is_no_address);
	tcase_add_loop_test(tcase, reads_the_declared_size, 0, COUNT(sizes));
	tcase_add_test(tcase, the_border);
	tcase_add_test(tcase, other_mail_has_no_limit);
	tcase_add_loop_test(tcase, one_transaction_one_limit, 0, COUNT(pairs));
	tcase_add_test(tcase, mail_and_reset_forget);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
