/*
 * Tests of policyd with a state beside the snapshot: rules 8, 9 and 10, holds, the question for a
 * new reading of MX records; and that an absent, old or damaged state refuses and holds nothing.
 */
#include "core/netstring.h"
#include "policyd/answer.h"

#include "tests/unit/snapshot_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define PERMIT "action=defer_unauth_destination\n\n"

static struct answer_note note;
static struct answer_relay relay = {
    .judge = {.region = "eu", .stale_after = 600, .queue_lifetime = LIFETIME}};
static struct answer_view view;
static struct conf *conf;
static int64_t wall; /* the time of the tests */
static const struct state_domain *to_write;
static const char *write_as;

static void
write_rows(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme"};

	must_ok(snapshot_load_begin(writer));
	put_relay(writer, "relay1", "192.0.2.1");
	put_customer(writer, "acme", "eu");
	put_domain(writer, "plain.example", "acme");
	record.include_subdomains = true;
	record.limits.quota_messages = 10;
	record.limits.quota_bytes = 1000;
	must_ok(snapshot_put_domain(writer, "quota.example", &record, NOW));
	record =
	    (struct domain_record){.customer = "acme", .limits.when_primary_up = PRIMARY_UP_DEFER};
	must_ok(snapshot_put_domain(writer, "defer.example", &record, NOW));
	record = (struct domain_record){.customer = "acme", .limits.mx_check = MX_CHECK_OFF};
	must_ok(snapshot_put_domain(writer, "off.example", &record, NOW));
	record = (struct domain_record){
	    .customer = "acme", .hold_until = INT64_MAX, .hold_reason = "new\tserver\xc3"};
	must_ok(snapshot_put_domain(writer, "soc.example", &record, NOW));
	record = (struct domain_record){
	    .customer = "acme", .hold_until = time(NULL) + 3600, .next_hops = "[203.0.113.5]"};
	must_ok(snapshot_put_domain(writer, "hour.example", &record, NOW));
	record.hold_until = time(NULL) - 1;
	must_ok(snapshot_put_domain(writer, "over.example", &record, NOW));
	record = (struct domain_record){.customer = "acme", .next_hops = "[203.0.113.5]"};
	(void)strcpy(record.pin_banner, "mx.example ESMTP");
	must_ok(snapshot_put_domain(writer, "pinned.example", &record, NOW));
	writer_commit(writer, 1);
	must_ok(snapshot_put_contact(writer, snapshot_clock_boot_ms()));
	snapshot_writer_close(writer);
}

static void
write_state(void)
{
	const char *problem;
	struct state_writer *writer = state_writer_open(state_dir, (gid_t)-1, &problem);

	must(writer != NULL && state_write_begin(writer) == STATE_OK);
	must(state_write_put(writer, write_as, to_write) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	state_writer_close(writer);
}

static void
know(const char *name, struct state_domain record)
{
	to_write = &record;
	write_as = name;
	in_child(write_state);
}

static void
look(int64_t later)
{
	snapshot_end(view.snapshot);
	facts_end(view.facts);
	view.now.wall = wall + later;
	view.now.boot_ms += 2000;
	view.begun = snapshot_begin(view.snapshot, view.now.boot_ms);
	ck_assert_int_eq(view.begun, SNAPSHOT_OK);
	facts_begin(view.facts, view.now);
}

static void
set_up(void)
{
	char text[256], path[96];

	fixture_setup();
	in_child(write_rows);
	snprintf(path, sizeof(path), "%s/policyd", state_dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(text, sizeof(text),
	    "[relay]\nname = relay1\nregion = eu\n[paths]\nstate_dir = %s\nsocket_dir = %s\n",
	    state_dir, state_dir);
	conf = conf_parse(text, strlen(text), "test", stderr);
	ck_assert_ptr_nonnull(conf);
	wall = (int64_t)time(NULL);
	view = (struct answer_view){.relay = &relay,
	    .snapshot = snapshot_new(state_dir, "relay1"),
	    .facts = facts_new(conf),
	    .pins = pins_new(),
	    .now = {.boot_ms = snapshot_clock_boot_ms()}};
	relay.judge.quota_messages = 0;
	ck_assert(view.snapshot != NULL && view.facts != NULL && view.pins != NULL);
	look(0);
}

static void
tear_down(void)
{
	snapshot_free(view.snapshot);
	facts_free(view.facts);
	pins_free(view.pins);
	conf_free(conf);
	fixture_teardown();
}

static char out[ANSWER_MAX + 1];

static const char *
rcpt(const char *recipient)
{
	char request[1024];
	const int length = snprintf(request, sizeof(request),
	    "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.77\n"
	    "sender=s@sender.example\nrecipient=%s\n\n",
	    recipient);

	out[answer_policy(&view, request, (size_t)length, &note, out, ANSWER_MAX)] = '\0';
	return out;
}

static const char *
transport(const char *recipient)
{
	char request[300];
	struct pin_session session = {.next_hop = ""};
	struct netstring reply;
	const int length = snprintf(request, sizeof(request), "transport %s", recipient);
	const size_t size =
	    answer_map(&view, &session, request, (size_t)length, &note, out, ANSWER_MAX);

	ck_assert_int_eq(netstring_decode(out, size, NETSTRING_MAX, &reply), NETSTRING_OK);
	out[reply.payload - out + (ptrdiff_t)reply.length] = '\0';
	return reply.payload;
}

#define answers(recipient, begin)                                                                  \
	ck_assert_msg(strncmp(rcpt(recipient), begin, strlen(begin)) == 0, "%s", out)

/* --- the rules ------------------------------------------------------------------------------ */

START_TEST(test_no_state)
{
	answers("a@plain.example", PERMIT);
	ck_assert_str_eq(transport("a@plain.example"), "OK mxhold:");
	ck_assert_str_eq(transport("a@nobody.example"), "NOTFOUND ");
}
END_TEST

START_TEST(test_rule_mx)
{
	know("plain.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall});
	look(0);
	answers("a@plain.example", "action=450 4.7.1 This host is not a mail exchanger");
	look(STATE_MX_AGE + 1);
	answers("a@plain.example", PERMIT);
	know("off.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall});
	look(0);
	answers("a@off.example", PERMIT);
	know("plain.example", (struct state_domain){.mx = MX_STATE_NAMED, .mx_at = wall});
	look(0);
	answers("a@plain.example", PERMIT);
}
END_TEST

/* What was read are the MX records of the row's own name: of a name below it they say nothing. */
START_TEST(test_rule_mx_below_the_row)
{
	const struct state_domain not_named = {.mx = MX_STATE_NOT_NAMED, .mx_at = wall};

	know("quota.example", not_named); /* with subdomains */
	look(0);
	answers("a@quota.example", "action=450 4.7.1 This host is not a mail exchanger");
	answers("a@x.quota.example", PERMIT);
	know("x.quota.example", not_named); /* no row: nobody reads, or writes, this */
	look(0);
	answers("a@x.quota.example", PERMIT);
}
END_TEST

START_TEST(test_rule_quota)
{
	know("quota.example", (struct state_domain){.row_messages = 9, .counted_at = wall});
	look(0);
	answers("a@quota.example", PERMIT);
	know("quota.example", (struct state_domain){.row_messages = 10, .counted_at = wall});
	look(0);
	answers("a@quota.example", "action=452 4.2.2 ");
	answers("a@sub.quota.example", "action=452 4.2.2 "); /* by row */
	answers("a@plain.example", PERMIT);
	look(STATE_COUNTS_AGE + 1);
	answers("a@quota.example", PERMIT);
	know("quota.example", (struct state_domain){.row_bytes = 1000, .counted_at = wall});
	look(0);
	answers("a@quota.example", "action=452 4.2.2 ");
}
END_TEST

START_TEST(test_quota_of_the_relay)
{
	know("plain.example", (struct state_domain){.row_messages = 5, .counted_at = wall});
	know("quota.example", (struct state_domain){.row_messages = 5, .counted_at = wall});
	relay.judge.quota_messages = 5;
	look(0);
	answers("a@plain.example", "action=452 4.2.2 ");
	answers("a@quota.example", PERMIT); /* the row says 10 */
}
END_TEST

START_TEST(test_rule_primary_up)
{
	know("defer.example", (struct state_domain){.primary = PRIMARY_UP, .primary_at = wall});
	know("plain.example", (struct state_domain){.primary = PRIMARY_UP, .primary_at = wall});
	look(0);
	answers("a@plain.example", PERMIT);
	answers("a@defer.example", "action=450 4.3.2 ");
	answers("b@defer.example", "action=450 4.3.2 ");
	look(299);
	answers("a@defer.example", PERMIT); /* no longer confirmed */
	know("defer.example",
	    (struct state_domain){.primary = PRIMARY_UP, .primary_at = wall + 300});
	look(300);
	answers("a@defer.example", PERMIT); /* he came back */
	answers("c@defer.example", "action=450 4.3.2 ");
	facts_free(view.facts); /* a new child */
	view.facts = facts_new(conf);
	look(300);
	answers("b@defer.example", PERMIT);
	answers("c@defer.example", "action=450 4.3.2 ");
}
END_TEST

/* What is logged from here on goes to a file. Returns what stderr was. */
static int
catch_log(FILE *file)
{
	const int before = dup(STDERR_FILENO);

	ck_assert_int_ge(before, 0);
	ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
	return before;
}

static unsigned
count_lines(FILE *file, const char *with)
{
	char line[1024];
	unsigned count = 0;

	rewind(file);
	while (fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, with) != NULL;
	return count;
}

/* Rule 10's memory cannot be made: everybody is taken, which is said, once, until it can. */
START_TEST(test_no_memory)
{
	char path[128];
	FILE *log = tmpfile();

	ck_assert_ptr_nonnull(log);
	snprintf(path, sizeof(path), "%s/policyd/senders", state_dir);
	facts_free(view.facts);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	know("defer.example", (struct state_domain){.primary = PRIMARY_UP, .primary_at = wall});
	const int before = catch_log(log);
	view.facts = facts_new(conf);
	for (int64_t second = 0; second < 5; second++) {
		look(second);
		(void)rcpt("a@defer.example");
		(void)rcpt("b@defer.example");
	}
	const bool taken = strncmp(out, PERMIT, strlen(PERMIT)) == 0;
	const int removed = rmdir(path);
	look(5);
	(void)rcpt("c@defer.example");
	ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
	close(before);
	ck_assert(taken);
	ck_assert_int_eq(removed, 0);
	ck_assert_msg(strncmp(out, "action=450 4.3.2 ", 17) == 0, "%s", out);
	ck_assert_uint_eq(count_lines(log, "event=senders-unusable"), 1);
	ck_assert_uint_eq(count_lines(log, strerror(EISDIR)), 1);
	ck_assert_uint_eq(count_lines(log, "event=senders-usable"), 1);
	(void)fclose(log);
}
END_TEST

/* --- holds ------------------------------------------------------------------------------------ */

START_TEST(test_hold_by_row)
{
	ck_assert_str_eq(
	    transport("a@soc.example"), /* without its reason, which is for the customer */
	    "OK retry:4.3.2 held by the SOC until further notice");
	ck_assert_ptr_nonnull(
	    strstr(transport("a@hour.example"), "OK retry:4.3.2 held by the SOC until 20"));
	look(3700);
	ck_assert_str_eq(transport("a@hour.example"), "OK mxhold:[203.0.113.5]");
	ck_assert_str_eq(transport("a@over.example"), "OK mxhold:[203.0.113.5]");
	answers("a@soc.example", PERMIT); /* RCPT is still taken */
}
END_TEST

START_TEST(test_hold_by_state)
{
	know("plain.example", (struct state_domain){.hold = HOLD_BREAKER,
				  .hold_until = wall + 300,
				  .hold_reason = "too many refusals\r\n"});
	look(0);
	ck_assert_ptr_nonnull(
	    strstr(transport("a@plain.example"), "OK retry:4.3.2 held by the breaker until 20"));
	ck_assert_ptr_nonnull(strstr(out, "UTC: too many refusals??"));
	answers("a@plain.example", PERMIT);
	look(300);
	ck_assert_str_eq(transport("a@plain.example"), "OK mxhold:");
	know("sub.quota.example",
	    (struct state_domain){
		.hold = HOLD_OPERATOR, .hold_until = HOLD_FOREVER, .hold_reason = "in court"});
	look(0);
	ck_assert_str_eq(transport("a@sub.quota.example"), /* by recipient domain */
	    "OK retry:4.3.2 held by an operator until further notice");
	ck_assert_str_eq(transport("a@quota.example"), "OK mxhold:");
}
END_TEST

/* What smtp(8) does not see by itself is held: which of the servers shows the pin. */
START_TEST(test_hold_by_pin)
{
	/* Where nothing is known, smtp(8) looks: its transport is one that does. */
	ck_assert_str_eq(transport("a@pinned.example"), "OK mxhold-pin:[203.0.113.5]");
	/* Such a hold is renewed as long as it lasts: no time is told. */
	know("pinned.example", (struct state_domain){.hold = HOLD_WRONG_HOST,
				   .hold_until = wall + 300,
				   .hold_reason = "not the pinned banner"});
	look(0);
	ck_assert_str_eq(transport("a@pinned.example"),
	    "OK retry:4.3.2 held by the pin of the primary: not the pinned banner");
	answers("a@pinned.example", PERMIT);
	look(301); /* mxhold-queued is dead */
	ck_assert_str_eq(transport("a@pinned.example"), "OK mxhold-pin:[203.0.113.5]");
	ck_assert_str_eq(transport("a@plain.example"), "OK mxhold:");
}
END_TEST

START_TEST(test_damaged_state)
{
	static const char nonsense[4096] = "nonsense";
	char path[96];

	know("plain.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall});
	know("soc.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall});
	look(0);
	answers("a@plain.example", "action=450 4.7.1 ");
	snprintf(path, sizeof(path), "%s/queued/state/data.mdb", state_dir);
	const int file = open(path, O_RDWR);
	for (int page = _i; page < 8; page++)
		ck_assert_int_eq(pwrite(file, nonsense, 4096, page * 4096L), 4096);
	close(file);
	look(0);
	answers("a@plain.example", PERMIT);
	ck_assert_str_eq(transport("a@plain.example"), "OK mxhold:");
	ck_assert_ptr_nonnull(strstr(transport("a@soc.example"), "held by the SOC"));
	ck_assert_int_eq(truncate(path, 0), 0);
	answers("a@plain.example", PERMIT);
	look(0);
	answers("a@plain.example", PERMIT);
}
END_TEST

/* --- a new reading ------------------------------------------------------------------------------
 */

static int
listen_for_questions(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	const int listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/queue-ask", state_dir);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
	return listener;
}

START_TEST(test_asks_again)
{
	char line[300];

	know("plain.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall - 901});
	know("off.example", (struct state_domain){.mx = MX_STATE_NOT_NAMED, .mx_at = wall - 901});
	look(0);
	answers("a@plain.example", PERMIT); /* nobody listens */
	look(0);
	const int listener = listen_for_questions();
	view.now.boot_ms += 20000;
	look(0);
	answers("a@plain.example", PERMIT);
	answers("a@plain.example", PERMIT);
	answers("a@off.example", PERMIT);
	ck_assert_int_eq(recv(listener, line, sizeof(line), 0), 14);
	ck_assert_int_eq(memcmp(line, "plain.example\n", 14), 0);
	ck_assert_int_eq(recv(listener, line, sizeof(line), 0), -1); /* once in ten seconds */
	answers("a@soc.example", PERMIT); /* of which nothing was ever read */
	ck_assert_int_eq(recv(listener, line, sizeof(line), 0), 12);
	ck_assert_int_eq(memcmp(line, "soc.example\n", 12), 0);
	answers("a@x.quota.example", PERMIT); /* of which nobody reads any */
	ck_assert_int_eq(recv(listener, line, sizeof(line), 0), -1);
	close(listener);
}
END_TEST

static void
hears(int listener, const char *wanted)
{
	char line[300];
	const ssize_t length = recv(listener, line, sizeof(line), 0);

	ck_assert_int_eq(length, (ssize_t)strlen(wanted));
	ck_assert_int_eq(memcmp(line, wanted, strlen(wanted)), 0);
}

static void
hears_nothing(int listener)
{
	char line[300];

	ck_assert_int_eq(recv(listener, line, sizeof(line), 0), -1);
}

/* Rule 10 needs a fact: where there is none it is asked for, and kept where it is used. */
START_TEST(test_asks_about_primary)
{
	struct state_domain record = {.mx = MX_STATE_NAMED, .mx_at = wall};
	const int listener = listen_for_questions();

	know("plain.example", record);
	know("defer.example", record);
	look(0);
	answers("a@plain.example", PERMIT);
	hears_nothing(listener); /* its row does not ask for it */
	answers("a@defer.example", PERMIT);
	hears(listener, "primary defer.example\n");
	answers("b@defer.example", PERMIT);
	hears_nothing(listener); /* once in ten seconds */
	record.primary = PRIMARY_DOWN;
	record.primary_at = wall;
	know("defer.example", record);
	view.now.boot_ms += 20000;
	look(0);
	answers("c@defer.example", PERMIT);
	hears_nothing(listener); /* it is known, and watched */
	look(STATE_PRIMARY_AGE + 1);
	answers("c@defer.example", PERMIT);
	hears(listener, "primary defer.example\n");
	record.primary = PRIMARY_UP;
	know("defer.example", record);
	view.now.boot_ms += 20000;
	look(0);
	answers("d@defer.example", "action=450 4.3.2 ");
	hears(listener, "primary defer.example\n"); /* else it would be forgotten meanwhile */
	record.mx = MX_STATE_NOT_NAMED;
	record.primary = PRIMARY_UNKNOWN;
	know("defer.example", record);
	view.now.boot_ms += 20000;
	look(0);
	answers("e@defer.example", "action=450 4.7.1 ");
	hears_nothing(listener); /* another rule refuses */
	close(listener);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policyd-facts");
	TCase *tests = tcase_create("state");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, test_no_state);
	tcase_add_test(tests, test_rule_mx);
	tcase_add_test(tests, test_rule_mx_below_the_row);
	tcase_add_test(tests, test_rule_quota);
	tcase_add_test(tests, test_quota_of_the_relay);
	tcase_add_test(tests, test_rule_primary_up);
	tcase_add_test(tests, test_no_memory);
	tcase_add_test(tests, test_hold_by_row);
	tcase_add_test(tests, test_hold_by_state);
	tcase_add_test(tests, test_hold_by_pin);
	tcase_add_loop_test(tests, test_damaged_state, 0, 4);
	tcase_add_test(tests, test_asks_again);
	tcase_add_test(tests, test_asks_about_primary);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
