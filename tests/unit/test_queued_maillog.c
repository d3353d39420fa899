/*
 * Tests of queued/maillog by tests/data/maillog.txt: a line of a log (`> `), and what it must say
 * (`= `). Besides: every beginning of each line is read without a byte too far, and nothing that a
 * stranger can write changes whose line it is.
 */
#include "queued/maillog.h"

#include "tests/unit/table.h"

#include <time.h>

#define NOW 1793577600 /* 2026-11-01 20:00:00 UTC */

static struct table lines;

static const char *
result_name(enum attempt_result result)
{
	static const char *const names[] = {
	    [ATTEMPT_SENT] = "sent",
	    [ATTEMPT_DEFERRED] = "deferred",
	    [ATTEMPT_REFUSED] = "refused",
	    [ATTEMPT_UNREACHED] = "unreached",
	    [ATTEMPT_HELD] = "held",
	};

	return names[result];
}

static void
say_text(char *out, size_t size, const char *name, struct maillog_text text)
{
	const size_t used = strlen(out);

	if (text.at != NULL)
		snprintf(out + used, size - used, " %s=[%.*s]", name, (int)text.length, text.at);
}

static void
say_delivery(char *out, size_t size, const struct maillog_event *event)
{
	static const char *const statuses[] = {"sent", "deferred", "bounced"};

	say_text(out, size, "relay", event->relay);
	const size_t used = strlen(out);
	snprintf(out + used, size - used, " delay=%lld %s %s%s stage=%s code=%u enhanced=%s",
	    (long long)event->delay, statuses[event->status], result_name(event->result),
	    event->suspended ? " suspended" : "", maillog_stage_name(event->stage), event->code,
	    event->enhanced);
	say_text(out, size, "reply", event->reply);
}

static void
say(char *out, size_t size, bool good, const struct maillog_event *event)
{
	char when[32] = "-";
	const time_t at = (time_t)(event->at / 1000000);
	struct tm parts;

	if (event->at != 0)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&at, &parts));
	if (event->kind == MAILLOG_NONE) {
		snprintf(out, size, good ? "nothing %s" : "no line", when);
		return;
	}
	snprintf(out, size, "%s %s %s", maillog_kind_name(event->kind), when, event->queue_id);
	say_text(out, size, "address", event->address);
	if (event->former_id[0] != '\0')
		snprintf(out + strlen(out), size - strlen(out), " former=%s", event->former_id);
	say_text(out, size, "sender", event->sender);
	say_text(out, size, "client", event->client);
	if (event->kind == MAILLOG_FROM) {
		const size_t used = strlen(out);
		snprintf(out + used, size - used, " size=%llu recipients=%u",
		    (unsigned long long)event->size, event->recipients);
	}
	if (event->kind == MAILLOG_DELIVERY)
		say_delivery(out, size, event);
}

START_TEST(test_line)
{
	const char *line = lines.lines[2 * _i], *expected = lines.lines[2 * _i + 1];
	struct maillog_event event;
	char got[TABLE_LINE_SIZE];

	ck_assert_msg(strncmp(line, "> ", 2) == 0, "not a log line: %s", line);
	ck_assert_msg(strncmp(expected, "= ", 2) == 0, "not an expectation: %s", expected);
	say(got, sizeof(got), maillog_line(line + 2, strlen(line) - 2, NOW, &event), &event);
	ck_assert_msg(strcmp(got, expected + 2) == 0, "%s\n  got      %s\n  expected %s", line + 2,
	    got, expected + 2);
}
END_TEST

/* A line that was cut anywhere is read within its bounds, and never as mail that was delivered. */
START_TEST(test_cut)
{
	const char *line = lines.lines[2 * _i] + 2;
	const size_t length = strlen(line);
	struct maillog_event whole, event;

	(void)maillog_line(line, length, NOW, &whole);
	for (size_t cut = 0; cut < length; cut++) {
		char *exact = malloc(cut > 0 ? cut : 1);
		memcpy(exact, line, cut);
		(void)maillog_line(exact, cut, NOW, &event);
		if (whole.kind != MAILLOG_DELIVERY || whole.status != MAILLOG_SENT)
			ck_assert(event.kind != MAILLOG_DELIVERY || event.status != MAILLOG_SENT);
		free(exact);
	}
}
END_TEST

/* What others write: addresses as Postfix quotes them, and replies. */
START_TEST(test_forgery)
{
	static const char *const addresses[] = {
	    "\"a> , relay=evil, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 "
	    "ok\"@d.example",
	    "\"a\\\">, relay=evil, delay=0, dsn=2.0.0, status=sent (250 ok)\"@d.example",
	    "\"x\\\\\"@d.example",
	    "\" to=<b@d.example>, relay=x, delay=1, dsn=2.0.0, status=sent (\"@d.example",
	};
	static const char *const replies[] = {
	    "host m[203.0.113.5] said: 450 4.2.0 status=sent (250 2.0.0 ok) (in reply to RCPT TO "
	    "command)",
	    "host m[203.0.113.5] said: 450 x), to=<b@d.example>, relay=x, delay=0, dsn=2.0.0, "
	    "status=sent (250",
	    "host m[203.0.113.5] said: 450 (in reply to end of DATA command) (in reply to RCPT TO "
	    "command)",
	};
	char line[2048];
	struct maillog_event event;

	for (size_t a = 0; a < sizeof(addresses) / sizeof(addresses[0]); a++)
		for (size_t r = 0; r < sizeof(replies) / sizeof(replies[0]); r++) {
			const int length = snprintf(line, sizeof(line),
			    "Nov  1 02:03:04 eu postfix/smtp[9]: 4QkT3z0V1Wz5s: to=<%s>, "
			    "orig_to=<%s>, "
			    "relay=m[203.0.113.5]:25, conn_use=2, delay=1.1, delays=0/0/0/1, "
			    "dsn=4.2.0, "
			    "status=deferred (%s)",
			    addresses[a], addresses[a], replies[r]);
			ck_assert(maillog_line(line, (size_t)length, NOW, &event));
			ck_assert_int_eq(event.kind, MAILLOG_DELIVERY);
			ck_assert_int_eq(event.status, MAILLOG_DEFERRED);
			ck_assert_uint_eq(event.code, 450);
			ck_assert_uint_eq(event.address.length, strlen(addresses[a]));
			ck_assert_int_eq(
			    memcmp(event.address.at, addresses[a], event.address.length), 0);
			ck_assert_uint_eq(event.relay.length, strlen("m[203.0.113.5]:25"));
		}
}
END_TEST

static void
expect_time(const char *traditional, const char *now, const char *expected)
{
	struct maillog_event event;
	struct tm parts = {.tm_sec = 0};
	char line[128], when[32];

	ck_assert_ptr_nonnull(strptime(now, "%Y-%m-%dT%H:%M:%S", &parts));
	const int length = snprintf(
	    line, sizeof(line), "%s eu postfix/qmgr[1]: 4QkT3z0V1Wz5s: removed", traditional);
	ck_assert(maillog_line(line, (size_t)length, timegm(&parts), &event));
	const time_t at = (time_t)(event.at / 1000000);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&at, &parts));
	ck_assert_msg(strcmp(when, expected) == 0, "%s, read at %s: %s, not %s", traditional, now,
	    when, expected);
}

START_TEST(test_year)
{
	static const struct {
		const char *line, *now, *expected;
	} cases[] = {
	    {"Dec 31 23:59:59", "2027-01-01T00:00:01", "2026-12-31T23:59:59"},
	    {"Jan  1 00:00:01", "2026-12-31T23:59:59", "2027-01-01T00:00:01"}, /* a clock ahead */
	    {"Jan  3 00:00:01", "2026-12-31T23:59:59", "2026-01-03T00:00:01"},
	    {"Feb 29 12:00:00", "2028-03-01T00:00:00", "2028-02-29T12:00:00"},
	    {"Feb 29 12:00:00", "2029-02-01T00:00:00", "2028-02-29T12:00:00"},
	    {"Nov  1 02:03:04", "2026-11-01T02:03:04", "2026-11-01T02:03:04"},
	    {"Nov 11 02:03:04", "2026-11-01T02:03:04", "2025-11-11T02:03:04"},
	};

	/* Each twice: the second of two lines of one second need not be worked out again. */
	for (size_t n = 0; n < 2 * sizeof(cases) / sizeof(cases[0]); n++) {
		const size_t i = n / 2;
		expect_time(cases[i].line, cases[i].now, cases[i].expected);
	}
}
END_TEST

/* The hour that comes twice when summer time ends, read as it is written, or a while later. */
START_TEST(test_end_of_summer_time)
{
	static const struct {
		const char *zone, *line, *now, *expected;
	} cases[] = {
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
	    {BERLIN, "Oct 25 01:59:59", "2026-10-25T00:00:00", "2026-10-24T23:59:59"},
	    {BERLIN, "Oct 25 02:00:00", "2026-10-25T00:00:00", "2026-10-25T00:00:00"},
	    {BERLIN, "Oct 25 02:50:00", "2026-10-25T00:50:01", "2026-10-25T00:50:00"},
	    {BERLIN, "Oct 25 02:59:59", "2026-10-25T01:00:00", "2026-10-25T00:59:59"},
	    {BERLIN, "Oct 25 02:00:05", "2026-10-25T01:00:05", "2026-10-25T01:00:05"},
	    {BERLIN, "Oct 25 02:30:00", "2026-10-25T01:30:01", "2026-10-25T01:30:00"},
	    {BERLIN, "Oct 25 02:55:00", "2026-10-25T02:10:00", "2026-10-25T01:55:00"},
	    {BERLIN, "Oct 25 03:01:00", "2026-10-25T02:01:00", "2026-10-25T02:01:00"},
	    {BERLIN, "Mar 29 01:59:59", "2026-03-29T01:00:00", "2026-03-29T00:59:59"},
	    {BERLIN, "Mar 29 03:00:00", "2026-03-29T01:00:00", "2026-03-29T01:00:00"},
	    {BERLIN, "Jul  1 12:00:00", "2026-07-01T10:00:01", "2026-07-01T10:00:00"},
	    {BERLIN, "Dec 31 23:59:59", "2026-12-31T23:00:01", "2026-12-31T22:59:59"},
	    /* half an hour */
	    {"LHST-10:30LHDT-11,M10.1.0,M4.1.0", "Apr  5 01:45:00", "2026-04-04T14:45:01",
		"2026-04-04T14:45:00"},
	    {"LHST-10:30LHDT-11,M10.1.0,M4.1.0", "Apr  5 01:45:00", "2026-04-04T15:15:01",
		"2026-04-04T15:15:00"},
	};

	for (size_t n = 0; n < 2 * sizeof(cases) / sizeof(cases[0]); n++) {
		setenv("TZ", cases[n / 2].zone, 1);
		tzset();
		expect_time(cases[n / 2].line, cases[n / 2].now, cases[n / 2].expected);
	}
	setenv("TZ", "UTC", 1);
	tzset();
}
END_TEST

START_TEST(test_parts)
{
	static const char message[] = "4QkT3z0V1Wz5s: removed";
	struct maillog_event event;

	maillog_message("postfix/qmgr", 12, message, sizeof(message) - 1, 5, &event);
	ck_assert_int_eq(event.kind, MAILLOG_REMOVED);
	ck_assert_int_eq(event.at, 5);
	maillog_message("qmgr", 4, message, sizeof(message) - 1, 5, &event);
	ck_assert_int_eq(event.kind, MAILLOG_NONE);
	maillog_message("", 0, "", 0, 5, &event);
	ck_assert_int_eq(event.kind, MAILLOG_NONE);
}
END_TEST

/* Who says it, from a file and from parts: for lines that mean something, and for those that do
 * not. */
START_TEST(test_tag)
{
	static const char *const tags[] = {
	    "postfix/qmgr", "postfix-out/qmgr", "postfix/mxhold/qmgr", "qmgr"};
	static const char *const messages[] = {"4QkT3z0V1Wz5s: removed", "warning: x"};
	struct maillog_event event;
	char line[256];

	for (size_t t = 0; t < sizeof(tags) / sizeof(tags[0]); t++)
		for (size_t m = 0; m < sizeof(messages) / sizeof(messages[0]); m++) {
			const size_t size = strlen(tags[t]);
			const int length = snprintf(line, sizeof(line),
			    "Nov  1 02:03:04 eu %s[9]: %s\n", tags[t], messages[m]);
			ck_assert(maillog_line(line, (size_t)length, NOW, &event));
			ck_assert_uint_eq(event.tag.length, size);
			ck_assert_int_eq(memcmp(event.tag.at, tags[t], size), 0);
			ck_assert_int_eq(event.kind == MAILLOG_NONE, m == 1 || t == 3);
			maillog_message(tags[t], size, messages[m], strlen(messages[m]), 5, &event);
			ck_assert_ptr_eq(event.tag.at, tags[t]);
			ck_assert_uint_eq(event.tag.length, size);
		}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("maillog");
	TCase *part = tcase_create("lines");

	setenv("TZ", "UTC", 1);
	lines = table_load("tests/data/maillog.txt");
	tcase_add_loop_test(part, test_line, 0, lines.count / 2);
	tcase_add_loop_test(part, test_cut, 0, lines.count / 2);
	tcase_add_test(part, test_forgery);
	tcase_add_test(part, test_year);
	tcase_add_test(part, test_end_of_summer_time);
	tcase_add_test(part, test_parts);
	tcase_add_test(part, test_tag);
	suite_add_tcase(suite, part);
	const int status = table_run(suite);
	table_free(&lines);
	return status;
}
