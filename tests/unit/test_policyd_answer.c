/*
 * test_policyd_answer: what policyd says to requests, over a snapshot in a temporary directory: the
 * actions of the policy protocol, the replies of the maps; with a good snapshot, a stale one, none,
 * one with damaged records. No socket.
 */
#include "core/netstring.h"
#include "policyd/answer.h"
#include "policyd/protocol.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIFETIME 432000

static char state_dir[64];
static struct snapshot_writer *writer;
static struct answer_note note;
static struct answer_relay relay = {
    .judge = {.region = "eu", .stale_after = 60, .queue_lifetime = LIFETIME},
};
static struct answer_view view = {.relay = &relay};
static struct pin_session session;
static char out[ANSWER_MAX];

/* --- the snapshot --------------------------------------------------------------------- */

#define KEY_A "aa000000000000000000000000000000000000000000000000000000000000ff"
#define SHOWN_A                                                                                    \
	"aa:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"                                         \
	"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:ff"
#define KEY_B "bb000000000000000000000000000000000000000000000000000000000000ff"
#define SHOWN_B                                                                                    \
	"bb:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"                                         \
	"00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:ff"

struct row {
	const char *name;
	struct domain_record record;
};

static const struct row rows[] = {
    {"customer.example", {.customer = "acme"}},
    {"hops.example", {.customer = "acme", .next_hops = "[203.0.113.5]:25, [203.0.113.6]:2525"}},
    {"half.example", {.customer = "acme", .next_hops = "[198.51.100.10]:25, [203.0.113.6]"}},
    {"tlshops.example",
	{.customer = "acme", .tls_required = true, .next_hops = "mx.elsewhere.example"}},
    {"fleet.example", {.customer = "acme", .next_hops = "us.mx.backup.example, [10.0.0.1]"}},
    {"self.example", {.customer = "acme", .next_hops = "[192.0.2.10]"}},
    {"tls.example", {.customer = "acme", .tls_required = true}},
    {"withheld.example", {.customer = "acme", .hops_withheld = true}},
    {"us.example", {.customer = "acme", .regions = "us"}},
    {"paused.example", {.customer = "acme", .suspended = true}},
    {"late.example", {.customer = "late"}},
    {"wide.example", {.customer = "acme", .include_subdomains = true}},
    {"small.example", {.customer = "acme", .limits = {.size_limit = 1000}}},
    {"soft.example",
	{.customer = "acme", .limits = {.size_limit = 1000, .oversize = OVERSIZE_DEFER}}},
    {"orphan.example", {.customer = "nobody"}},
    {"key.example", {.customer = "acme", .pin_certificate = KEY_A}},
    {"banner.example", {.customer = "acme", .pin_banner = "mx.banner.example ESMTP"}},
    {"strict.example",
	{.customer = "acme", .tls_required = true, .pin_banner = "mx.strict.example"}},
    {"wideandpinned.example",
	{.customer = "acme", .include_subdomains = true, .pin_certificate = KEY_A}},
    {"both.example", {.customer = "acme",
			 .pin_certificate = KEY_A,
			 .pin_banner = "mx.both.example",
			 .next_hops = "[203.0.113.7]:25, [198.51.100.10], [Mail.both.example]"}},
    {"shared1.example",
	{.customer = "acme", .pin_certificate = KEY_A, .next_hops = "[203.0.113.8]"}},
    {"shared2.example",
	{.customer = "acme", .pin_certificate = KEY_B, .next_hops = "[203.0.113.8]"}},
    {"shared3.example",
	{.customer = "acme", .pin_certificate = KEY_B, .next_hops = "[203.0.113.8]"}},
    {"shared4.example", {.customer = "acme", .next_hops = "[203.0.113.8]"}},
};

static void
put_rows(int64_t now)
{
	const struct relay_record self = {
	    .region = "eu", .names = "eu.mx.backup.example", .addresses = "192.0.2.10"};
	const struct relay_record other = {
	    .region = "us", .names = "us.mx.backup.example", .addresses = "198.51.100.10"};
	const struct customer_record acme = {.regions = "eu us"};
	const struct customer_record late = {.regions = "eu", .suspended = true};
	struct domain_record gone = {.customer = "acme", .retired_at = now - 100};
	struct domain_record old = {.customer = "acme", .retired_at = now - LIFETIME - 10};
	size_t i;

	ck_assert_int_eq(snapshot_put_relay(writer, "relay1", &self), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_relay(writer, "relay2", &other), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_customer(writer, "acme", &acme), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_customer(writer, "late", &late), SNAPSHOT_OK);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_int_eq(
		    snapshot_put_domain(writer, rows[i].name, &rows[i].record, now), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_domain(writer, "gone.example", &gone, now), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_domain(writer, "old.example", &old, now), SNAPSHOT_OK);
}

static void
make_snapshot(void)
{
	struct snapshot_meta meta = {.epoch = "test", .version = 1, .relay = "relay1"};
	const char *problem;

	ck_assert_int_eq(
	    snapshot_writer_open(state_dir, (gid_t)-1, (size_t)64 << 20, &writer, &problem),
	    SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_load_begin(writer), SNAPSHOT_OK);
	put_rows((int64_t)time(NULL));
	ck_assert_int_eq(snapshot_commit(writer, &meta), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_contact(writer, snapshot_clock_boot_ms()), SNAPSHOT_OK);
}

/* A look at the world as it is `later_ms` from now. */
static void
look(int64_t later_ms)
{
	snapshot_end(view.snapshot);
	view.now.boot_ms = snapshot_clock_boot_ms() + later_ms;
	view.now.wall = (int64_t)time(NULL) + later_ms / 1000;
	view.begun = snapshot_begin(view.snapshot, view.now.boot_ms);
}

static void
set_up_empty(void)
{
	(void)snprintf(state_dir, sizeof(state_dir), "/tmp/mxhold-ans.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
	view.snapshot = snapshot_new(state_dir, "relay1");
	ck_assert_ptr_nonnull(view.snapshot);
	view.pins = pins_new();
	ck_assert_ptr_nonnull(view.pins);
	session = (struct pin_session){.next_hop = ""};
	look(0);
	ck_assert_int_eq(view.begun, SNAPSHOT_UNUSABLE);
}

static void
set_up(void)
{
	(void)snprintf(state_dir, sizeof(state_dir), "/tmp/mxhold-ans.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
	make_snapshot();
	view.snapshot = snapshot_new(state_dir, "relay1");
	ck_assert_ptr_nonnull(view.snapshot);
	view.pins = pins_new();
	ck_assert_ptr_nonnull(view.pins);
	session = (struct pin_session){.next_hop = ""};
	look(0);
	ck_assert_int_eq(view.begun, SNAPSHOT_OK);
}

static void
tear_down(void)
{
	char command[128];

	snapshot_free(view.snapshot);
	pins_free(view.pins);
	if (writer != NULL)
		snapshot_writer_close(writer);
	writer = NULL;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", state_dir);
	ck_assert_int_eq(system(command), 0);
}

/* --- asking --------------------------------------------------------------------------- */

static const char *
policy(const char *request)
{
	static char data[20000];
	size_t length = strlen(request);

	memcpy(data, request, length);
	length = answer_policy(&view, data, length, &note, out, sizeof(out));
	out[length] = '\0';
	return length == 0 ? "(closed)" : out;
}

static const char *
rcpt(const char *recipient, const char *size, const char *client)
{
	char request[2048];

	(void)snprintf(request, sizeof(request),
	    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
	    "client_address=%s\nhelo_name=x\nsender=s@sender.example\nrecipient=%s\n"
	    "queue_id=\ninstance=1.2.3\nsize=%s\n\n",
	    client, recipient, size);
	return policy(request);
}

static const char *
map_bytes(const char *request, size_t length)
{
	static char text[ANSWER_MAX];
	struct netstring reply;

	length = answer_map(&view, &session, request, length, &note, out, sizeof(out));
	ck_assert_int_eq(netstring_decode(out, length, NETSTRING_MAX, &reply), NETSTRING_OK);
	ck_assert_uint_eq(reply.consumed, length);
	memcpy(text, reply.payload, reply.length);
	text[reply.length] = '\0';
	return text;
}

static const char *
map(const char *request)
{
	return map_bytes(request, strlen(request));
}

/* --- policy ---------------------------------------------------------------------------- */

#define PERMIT "action=defer_unauth_destination\n\n"
#define DUNNO "action=DUNNO\n\n"
#define MAIL "203.0.113.77"

static const struct {
	const char *recipient;
	const char *size;
	const char *client;
	const char *begins; /* the action */
} verdicts[] = {
    {"u@customer.example", "0", MAIL, PERMIT},
    {"U@Customer.EXAMPLE.", "0", MAIL, PERMIT},
    {"u@customer.example", "10485760", MAIL, PERMIT},
    {"u@customer.example", "10487808", MAIL, PERMIT},
    {"u@customer.example", "10487809", MAIL, "action=552 5.3.4 "},
    {"u@customer.example", "18446744073709551614", MAIL, "action=552 5.3.4 "},
    {"u@small.example", "3048", MAIL, PERMIT},
    {"u@small.example", "3049", MAIL, "action=552 5.3.4 "},
    {"u@soft.example", "3049", MAIL, "action=452 4.3.4 "},
    {"u@customer.example", "0", "198.51.100.10", "action=450 4.7.1 "},
    {"u@customer.example", "0", "192.0.2.10", "action=450 4.7.1 "},
    {"u@customer.example", "0", "::ffff:198.51.100.10", "action=450 4.7.1 "},
    {"u@customer.example", "0", "", PERMIT},
    {"u@customer.example", "0", "unknown", PERMIT},
    {"u@us.example", "0", MAIL, "action=450 4.7.1 "},
    {"u@paused.example", "0", MAIL, "action=450 4.7.1 "},
    {"u@late.example", "0", MAIL, "action=450 4.7.1 "},
    {"u@gone.example", "0", MAIL, "action=450 4.7.1 "},
    {"u@old.example", "0", MAIL, DUNNO},
    {"u@a.b.wide.example", "0", MAIL, PERMIT},
    {"u@sub.customer.example", "0", MAIL, DUNNO},
    {"u@orphan.example", "0", MAIL, "action=450 4.3.0 "},
    {"u@nobody.example", "0", MAIL, DUNNO},
    {"u@nobody.example", "99999999999", MAIL, DUNNO},
    {"u%customer.example@other.example", "0", MAIL, "action=450 4.1.3 "},
    {"customer.example!u", "0", MAIL, "action=450 4.1.3 "},
    {"u@customer.example@", "0", MAIL, "action=450 4.1.3 "},
    {"u%nobody.example@other.example", "0", MAIL, DUNNO},
    {"postmaster", "0", MAIL, DUNNO},
    {"u@[192.0.2.10]", "0", MAIL, DUNNO},
};

START_TEST(test_policy_verdicts)
{
	const char *action = rcpt(verdicts[_i].recipient, verdicts[_i].size, verdicts[_i].client);
	size_t length = strlen(action);

	ck_assert_msg(strncmp(action, verdicts[_i].begins, strlen(verdicts[_i].begins)) == 0,
	    "%s size %s from %s: %s", verdicts[_i].recipient, verdicts[_i].size,
	    verdicts[_i].client, action);
	ck_assert_uint_gt(length, strlen("action=\n\n")); /* an empty action would pass */
	ck_assert_str_eq(action + length - 2, "\n\n");
	ck_assert_ptr_eq(strchr(action, '\n'), action + length - 2);
	ck_assert_str_eq(note.event, "decision");
}
END_TEST

/* What no client may send as a local part is refused for good, where the domain is taken here. */
START_TEST(test_policy_local_bytes)
{
	ck_assert_str_eq(rcpt("\xd0\xb8@customer.example", "0", MAIL),
	    "action=553 5.6.7 Address requires SMTPUTF8, which is not offered\n\n");
	ck_assert_str_eq(rcpt("u\x01@customer.example", "0", MAIL),
	    "action=553 5.1.3 Control characters are not allowed in an address\n\n");
	ck_assert_ptr_nonnull(strstr(rcpt("\xd0\xb8@us.example", "0", MAIL), "action=450 4.7.1 "));
	ck_assert_ptr_nonnull(strstr(rcpt("u\x01@orphan.example", "0", MAIL), "action=450 4.3.0 "));
	ck_assert_str_eq(rcpt("\xd0\xb8@nobody.example", "0", MAIL), DUNNO);
	ck_assert_str_eq(rcpt("u\x01@nobody.example", "0", MAIL), DUNNO);
}
END_TEST

START_TEST(test_policy_never_answers_5xx_but_for_size)
{
	size_t i;

	for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		const char *action = rcpt(verdicts[i].recipient, "0", verdicts[i].client);

		ck_assert_ptr_null(strstr(action, "action=5"));
		ck_assert_ptr_null(strstr(action, "REJECT\n"));
	}
}
END_TEST

START_TEST(test_policy_other_states_pass)
{
	static const char *const states[] = {
	    "CONNECT", "EHLO", "HELO", "MAIL", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN", ""};
	char request[256];
	size_t i;

	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		(void)snprintf(request, sizeof(request),
		    "request=smtpd_access_policy\nprotocol_state=%s\n"
		    "recipient=u@us.example\n\n",
		    states[i]);
		ck_assert_str_eq(policy(request), DUNNO);
	}
}
END_TEST

START_TEST(test_policy_closes_on_what_is_no_request)
{
	ck_assert_str_eq(policy("\n"), "(closed)");
	ck_assert_str_eq(policy("hello\n\n"), "(closed)");
	ck_assert_str_eq(
	    policy("request=junk\nprotocol_state=RCPT\nrecipient=a@customer.example\n\n"),
	    "(closed)");
	ck_assert_str_eq(
	    policy("protocol_state=RCPT\nrecipient=a@customer.example\n\n"), "(closed)");
	ck_assert_str_eq(policy("request=smtpd_access_policy\nprotocol_state=RCPT\n"
				"recipient=a@b.example\nrecipient=a@customer.example\n\n"),
	    "(closed)");
	ck_assert_str_eq(policy("request=smtpd_access_policy\nprotocol_state=RCPT\n"
				"recipient=a@customer.example\nsize=-1\n\n"),
	    "(closed)");
	ck_assert_str_eq(note.event, "request-refused");
}
END_TEST

START_TEST(test_policy_stale)
{
	look(59000);
	ck_assert_str_eq(rcpt("u@nobody.example", "0", MAIL), DUNNO);
	look(61000);
	ck_assert_str_eq(rcpt("u@customer.example", "0", MAIL), PERMIT);
	ck_assert_ptr_nonnull(
	    strstr(rcpt("u@nobody.example", "0", MAIL), "action=DEFER_IF_REJECT 4.7.1 "));
	ck_assert_ptr_nonnull(
	    strstr(rcpt("u%nobody.example@x.example", "0", MAIL), "action=DEFER_IF_REJECT 4.7.1 "));
}
END_TEST

START_TEST(test_policy_without_snapshot)
{
	ck_assert_ptr_nonnull(
	    strstr(rcpt("u@customer.example", "0", MAIL), "action=DEFER_IF_REJECT 4.3.0 "));
	ck_assert_ptr_nonnull(
	    strstr(rcpt("u%x@customer.example", "0", MAIL), "action=DEFER_IF_REJECT 4.3.0 "));
	ck_assert_str_eq(rcpt("u@[192.0.2.1]", "0", MAIL), DUNNO);
}
END_TEST

START_TEST(test_policy_reply_needs_room)
{
	char request[] = "request=smtpd_access_policy\nprotocol_state=RCPT\n"
			 "recipient=u@us.example\n\n";
	char data[sizeof(request)];
	size_t size, length;
	char small[128];

	for (size = 0; size < sizeof(small); size++) {
		memcpy(data, request, sizeof(request));
		memset(small, '#', sizeof(small));
		length = answer_policy(&view, data, sizeof(request) - 1, &note, small, size);
		ck_assert_uint_le(length, size);
		ck_assert(length == 0 || (small[length - 1] == '\n' && small[length - 2] == '\n'));
		if (size < sizeof(small))
			ck_assert_int_eq(small[size], '#');
	}
}
END_TEST

/* --- maps ------------------------------------------------------------------------------- */

static const struct {
	const char *request;
	const char *reply;
} lookups[] = {
    {"relay_domains customer.example", "OK customer.example"},
    {"relay_domains Customer.Example.", "OK customer.example"},
    {"relay_domains gone.example", "OK gone.example"},
    {"relay_domains old.example", "NOTFOUND "},
    {"relay_domains paused.example", "OK paused.example"},
    {"relay_domains late.example", "OK late.example"},
    {"relay_domains us.example", "OK us.example"},
    {"relay_domains orphan.example", "OK orphan.example"},
    {"relay_domains wide.example", "OK wide.example"},
    {"relay_domains a.b.wide.example", "OK wide.example"},
    {"relay_domains sub.customer.example", "NOTFOUND "},
    {"relay_domains .customer.example", "NOTFOUND "},
    {"relay_domains .wide.example", "NOTFOUND "},
    {"relay_domains u@customer.example", "NOTFOUND "},
    {"relay_domains @customer.example", "NOTFOUND "},
    {"relay_domains nobody.example", "NOTFOUND "},
    {"relay_domains *", "NOTFOUND "},
    {"relay_domains example", "NOTFOUND "},
    {"relay_domains [192.0.2.10]", "NOTFOUND "},
    {"relay_domains localhost", "NOTFOUND "},
    {"relay_domains ", "NOTFOUND "},
    {"relay_domains  customer.example", "NOTFOUND "},

    {"transport User+Ext@Customer.Example", "OK mxhold:"},
    {"transport u@customer.example", "OK mxhold:"},
    {"transport customer.example", "OK mxhold:"},
    {"transport odd \"quoted\" @ local@customer.example", "OK mxhold:"},
    {"transport us.example@customer.example", "OK mxhold:"},
    {"transport u@customer.example@nobody.example", "NOTFOUND "},
    {"transport @customer.example", "OK mxhold:"},
    {"transport u@a.wide.example", "OK mxhold:"},
    {"transport u@tls.example", "OK mxhold-tls:"},
    {"transport u@gone.example", "OK mxhold:"},
    {"transport u@old.example", "OK mxhold:"},
    {"transport u@paused.example", "OK mxhold:"},
    {"transport u@us.example", "OK mxhold:"},
    {"transport u@orphan.example", "OK mxhold:"},
    {"transport u@withheld.example", "OK mxhold:"},
    {"transport u@hops.example", "OK mxhold:[203.0.113.5]:25, [203.0.113.6]:2525"},
    {"transport u@half.example", "OK mxhold:[203.0.113.6]"},
    {"transport u@tlshops.example", "OK mxhold-tls:mx.elsewhere.example"},
    {"transport u@fleet.example", "OK retry:4.4.4 no next hop of this domain may be used"},
    {"transport u@self.example", "OK retry:4.4.4 no next hop of this domain may be used"},
    {"transport u@nobody.example", "NOTFOUND "},
    {"transport double-bounce@relay.backup.example", "NOTFOUND "},
    {"transport u@[203.0.113.5]", "NOTFOUND "},
    {"transport u@", "NOTFOUND "},
    {"transport .customer.example", "NOTFOUND "},
    {"transport *", "NOTFOUND "},
    {"transport ", "NOTFOUND "},

    {"dns_reply customer.example. 5 IN MX 100 us.mx.backup.example.", "OK IGNORE"},
    {"dns_reply customer.example. 5 IN MX 100 US.mx.Backup.example.", "OK IGNORE"},
    {"dns_reply customer.example. 5 IN MX 100 eu.mx.backup.example.", "NOTFOUND "},
    {"dns_reply customer.example. 5 IN MX 10 mail.customer.example.", "NOTFOUND "},
    {"dns_reply mail.customer.example. 5 IN A 198.51.100.10", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN A 127.0.0.1", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN A 10.1.2.3", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN A 100.64.0.1", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN AAAA ::1", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN AAAA ::ffff:8.8.8.8", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN A 8.8.8.8", "NOTFOUND "},
    {"dns_reply mail.customer.example. 5 IN AAAA 2a00:1450::1", "NOTFOUND "},
    {"dns_reply mail.customer.example. 5 IN A 8.8.8", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN AAAA what", "OK IGNORE"},
    {"dns_reply mail.customer.example. 5 IN CNAME x.example.", "NOTFOUND "},

    {"transport u@key.example", "OK mxhold-pin:"},
    {"transport u@strict.example", "OK mxhold-pin:"},
    {"transport u@both.example", "OK mxhold-pin:[203.0.113.7]:25, [Mail.both.example]"},
    {"transport u@shared4.example", "OK mxhold:[203.0.113.8]"},

    {"pins key.example", "OK fingerprint match=" SHOWN_A},
    {"pins KEY.example", "OK fingerprint match=" SHOWN_A},
    {"pins sub.wideandpinned.example", "OK fingerprint match=" SHOWN_A},
    {"pins banner.example", "OK may"},
    {"pins strict.example", "OK encrypt"},
    {"pins [203.0.113.7]:25", "OK fingerprint match=" SHOWN_A},
    {"pins [mail.BOTH.example]", "OK fingerprint match=" SHOWN_A},
    {"pins [203.0.113.8]", "OK fingerprint match=" SHOWN_A "|" SHOWN_B},
    {"pins [203.0.113.8]:25", "TEMP no domain pins this next hop"},
    {"pins both.example", "TEMP no domain pins this next hop"},
    {"pins customer.example", "TEMP no domain pins this next hop"},
    {"pins nobody.example", "TEMP no domain pins this next hop"},
    {"pins .key.example", "TEMP no domain pins this next hop"},
    {"pins *", "TEMP no domain pins this next hop"},
    {"pins ", "TEMP no domain pins this next hop"},

    {"greeting 250 mx.banner.example", "NOTFOUND "}, /* in the midst of a session, perhaps */
    {"greeting 554 mx.banner.example", "NOTFOUND "},
    {"greeting 220 mx.banner.example ESMTP", "TEMP whose greeting it is was not asked before"},
    {"greeting ", "NOTFOUND "},

    {"relay_domain customer.example", "TEMP no map of that name"},
    {"relay_domainsx customer.example", "TEMP no map of that name"},
    {" customer.example", "TEMP no map of that name"},
    {"relay_domains", "TEMP not a request"},
    {"", "TEMP not a request"},
};

START_TEST(test_map_lookups)
{
	ck_assert_msg(strcmp(map(lookups[_i].request), lookups[_i].reply) == 0, "%s: %s, not %s",
	    lookups[_i].request, map(lookups[_i].request), lookups[_i].reply);
}
END_TEST

START_TEST(test_map_stale_snapshot_still_knows)
{
	look(3600000);
	ck_assert_str_eq(map("relay_domains customer.example"), "OK customer.example");
	ck_assert_str_eq(map("relay_domains nobody.example"), "NOTFOUND ");
	ck_assert_str_eq(map("transport u@customer.example"), "OK mxhold:");
	ck_assert_str_eq(map("transport u@nobody.example"), "NOTFOUND ");
}
END_TEST

START_TEST(test_map_without_snapshot)
{
	static const char *const questions[] = {"relay_domains customer.example",
	    "relay_domains nobody.example", "transport u@customer.example",
	    "transport u@nobody.example", "dns_reply a. 5 IN A 8.8.8.8", "pins key.example",
	    "greeting 220 x"};
	size_t i;

	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		ck_assert_ptr_eq(strstr(map(questions[i]), "TEMP "), map(questions[i]));
	ck_assert_str_eq(map("transport *"), "NOTFOUND ");
	ck_assert_str_eq(map("relay_domains *"), "NOTFOUND ");
}
END_TEST

/* Retired for good at this moment: policy and relay_domains must change together. */
START_TEST(test_map_and_rules_agree_on_expiry)
{
	int64_t ms;

	for (ms = 0; ms <= (LIFETIME + 200) * 1000LL; ms += LIFETIME * 250LL) {
		bool known;

		look(ms);
		known = strcmp(map("relay_domains gone.example"), "NOTFOUND ") != 0;
		ck_assert_int_eq(
		    strstr(rcpt("u@gone.example", "0", MAIL), "action=450 ") != NULL, known);
		ck_assert_str_eq(map("transport u@gone.example"), "OK mxhold:");
	}
	ck_assert_str_eq(map("relay_domains gone.example"), "NOTFOUND ");
}
END_TEST

START_TEST(test_map_names_allowed_networks)
{
	struct ip_network network;

	ck_assert(ip_network_parse("10.1.0.0/16", &network));
	relay.allow = (struct fence_networks){.list = &network, .count = 1};
	ck_assert_str_eq(map("dns_reply a.example. 5 IN A 10.1.2.3"), "NOTFOUND ");
	ck_assert_str_eq(map("dns_reply a.example. 5 IN A 10.2.2.3"), "OK IGNORE");
	relay.allow = (struct fence_networks){.count = 0};
}
END_TEST

START_TEST(test_map_hostile_bytes)
{
	static const char nul[] = "relay_domains customer.example\0x";
	static const char high[] = "transport \xff\xfe\n\r@customer.example";
	char longest[ANSWER_MAP_KEY_MAX];

	ck_assert_str_eq(map_bytes(nul, sizeof(nul) - 1), "NOTFOUND ");
	ck_assert_str_eq(map_bytes(high, sizeof(high) - 1), "OK mxhold:");
	memset(longest, 'a', sizeof(longest));
	ck_assert_str_eq(map_bytes(longest, sizeof(longest)), "TEMP not a request");
	memcpy(longest, "relay_domains ", 14);
	ck_assert_str_eq(map_bytes(longest, sizeof(longest)), "NOTFOUND ");
	memcpy(longest, "dns_reply     ", 14);
	ck_assert_str_eq(map_bytes(longest, sizeof(longest)), "OK IGNORE");
}
END_TEST

#define NOT_IT "OK 421 4.7.5 this is not the pinned primary: it greets in other words"

/* One connection of smtp(8): the next hop, then each line that the server says. */
START_TEST(test_map_greetings)
{
	ck_assert_str_eq(map("pins banner.example"), "OK may");
	ck_assert_str_eq(map("greeting 220 mx.banner.example ESMTP Postfix"), "NOTFOUND ");
	ck_assert_str_eq(map("greeting 250-mx.banner.example"), "NOTFOUND ");
	ck_assert_str_eq(map("greeting 250 STARTTLS"), "NOTFOUND ");
	ck_assert_str_eq(map("greeting 220 2.0.0 Ready to start TLS"), "NOTFOUND ");
	ck_assert_str_eq(map("greeting 220 stranger.example ESMTP"), NOT_IT); /* the next host */
	ck_assert_str_eq(note.event, "pin-not-shown");
	ck_assert_str_eq(map("greeting 220-stranger.example ESMTP"), NOT_IT);
	ck_assert_str_eq(map("greeting 220 mx.banner.example ESMTP"), "NOTFOUND ");
	/* smtp(8) goes on with any 2xx. */
	ck_assert_str_eq(map("pins banner.example"), "OK may");
	ck_assert_str_eq(map("greeting 250 stranger.example"), NOT_IT);
	/* Another next hop: what was said before does not count. */
	ck_assert_str_eq(map("pins [203.0.113.7]:25"), "OK fingerprint match=" SHOWN_A);
	ck_assert_str_eq(map("greeting 220 mx.banner.example ESMTP"), NOT_IT);
	ck_assert_str_eq(map("pins [203.0.113.7]:25"), "OK fingerprint match=" SHOWN_A);
	ck_assert_str_eq(map("greeting 220 mx.both.example ESMTP"), "NOTFOUND ");
	ck_assert_str_eq(map("pins key.example"), "OK fingerprint match=" SHOWN_A);
	ck_assert_str_eq(map("greeting 220 whatever"), "NOTFOUND ");
	ck_assert_str_eq(map("pins customer.example"), "TEMP no domain pins this next hop");
	ck_assert_str_eq(map("greeting 220 whatever"), "TEMP no domain pins this next hop");
}
END_TEST

static void
change_row(const char *name, const struct domain_record *record)
{
	struct snapshot_meta meta;

	snapshot_end(view.snapshot);
	ck_assert_int_eq(snapshot_writer_meta(writer, &meta), SNAPSHOT_OK);
	meta.version++;
	ck_assert_int_eq(snapshot_write_begin(writer), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_put_domain(writer, name, record, 0), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_commit(writer, &meta), SNAPSHOT_OK);
	view.begun = snapshot_begin(view.snapshot, view.now.boot_ms);
	ck_assert_int_eq(view.begun, SNAPSHOT_OK);
}

/* Of a next hop that several rows name all are known, whoever was asked for first. */
START_TEST(test_map_pins_shared)
{
	ck_assert_str_eq(map("transport u@shared1.example"), "OK mxhold-pin:[203.0.113.8]");
	ck_assert_str_eq(map("pins [203.0.113.8]"), "OK fingerprint match=" SHOWN_A "|" SHOWN_B);
}
END_TEST

/* What a row names anew is known at once, also where the snapshot's rows were read before. */
START_TEST(test_map_pins_added)
{
	struct domain_record record = {
	    .customer = "acme", .pin_certificate = KEY_A, .next_hops = "[203.0.113.9]"};

	change_row("shared1.example", &record);
	change_row("late1.example", &record);
	ck_assert_str_eq(map("pins [203.0.113.9]"), "OK fingerprint match=" SHOWN_A);
	(void)strcpy(record.pin_certificate, KEY_B);
	change_row("late2.example", &record);
	ck_assert_str_eq(map("pins [203.0.113.9]"), "OK fingerprint match=" SHOWN_A);
	ck_assert_str_eq(map("transport u@late2.example"), "OK mxhold-pin:[203.0.113.9]");
	ck_assert_str_eq(map("pins [203.0.113.9]"), "OK fingerprint match=" SHOWN_A "|" SHOWN_B);
}
END_TEST

START_TEST(test_map_pins_too_many)
{
	struct domain_record record = {.customer = "acme", .next_hops = "[203.0.113.9]"};
	char name[32];

	for (int i = 0; i <= PINS_MOST; i++) {
		(void)snprintf(name, sizeof(name), "many%d.example", i);
		(void)snprintf(record.pin_banner, sizeof(record.pin_banner), "banner%d", i);
		change_row(name, &record);
	}
	ck_assert_str_eq(map("pins [203.0.113.9]"), "OK may");
	ck_assert_str_eq(note.event, "pins-left-out");
}
END_TEST

/* Another pin counts with the next delivery. */
START_TEST(test_map_pins_follow_rows)
{
	struct domain_record record = {
	    .customer = "acme", .pin_certificate = KEY_B, .next_hops = "[203.0.113.8]"};

	ck_assert_str_eq(map("pins [203.0.113.8]"), "OK fingerprint match=" SHOWN_A "|" SHOWN_B);
	change_row("shared1.example", &record);
	ck_assert_str_eq(map("pins [203.0.113.8]"), "OK fingerprint match=" SHOWN_B);
	(void)strcpy(record.next_hops, "[203.0.113.9]");
	(void)strcpy(record.pin_certificate, KEY_A);
	change_row("shared1.example", &record);
	ck_assert_str_eq(map("pins [203.0.113.8]"), "OK fingerprint match=" SHOWN_B);
	/* A row's new next hop is known by what `transport` said of it. */
	ck_assert_str_eq(map("pins [203.0.113.9]"), "TEMP no domain pins this next hop");
	ck_assert_str_eq(map("transport u@shared1.example"), "OK mxhold-pin:[203.0.113.9]");
	ck_assert_str_eq(map("pins [203.0.113.9]"), "OK fingerprint match=" SHOWN_A);
	record.pin_certificate[0] = '\0';
	change_row("shared1.example", &record);
	ck_assert_str_eq(map("pins [203.0.113.9]"), "TEMP no domain pins this next hop");
	ck_assert_str_eq(map("transport u@shared1.example"), "OK mxhold:[203.0.113.9]");
}
END_TEST

/* What the log gets must outlive the answer: fields are read only now. */
START_TEST(test_notes_hold_what_they_name)
{
	static const char question[] = "transport Some.Body@half.example";
	char text[256];

	ck_assert_uint_gt(
	    answer_map(&view, &session, question, strlen(question), &note, out, sizeof(out)), 0);
	ck_assert_str_eq(note.event, "next-hop-dropped");
	ck_assert_uint_eq(note.count, 3);
	(void)log_escape(text, sizeof(text), note.fields[0].text, note.fields[0].length);
	ck_assert_str_eq(text, "half.example"); /* the domain, not the address */
	(void)log_escape(text, sizeof(text), note.fields[1].text, note.fields[1].length);
	ck_assert_str_eq(text, "[198.51.100.10]:25");
	(void)rcpt("u@us.example", "0", MAIL);
	ck_assert_int_eq(note.priority, LOG_NOTICE);
	note.describe(&note);
	ck_assert_uint_ge(note.count, 8);
	ck_assert_str_eq(note.fields[3].key, "domain");
	ck_assert_str_eq(note.fields[3].text, "us.example");
}
END_TEST

/* Every byte of the values on disk, flipped: never a permit that was none, never "unknown". */
START_TEST(test_damaged_records_are_later)
{
	static const char needle[] = "203.0.113.5]:25, [203.0.113.6]:2525";
	char path[128], *file, *at;
	off_t length;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/snapshot/data.mdb", state_dir);
	fd = open(path, O_RDWR);
	length = lseek(fd, 0, SEEK_END);
	file = malloc((size_t)length);
	ck_assert_int_eq(pread(fd, file, (size_t)length, 0), length);
	at = memmem(file, (size_t)length, needle, strlen(needle));
	ck_assert_ptr_nonnull(at);
	while (at != NULL) { /* every copy of it */
		ck_assert_int_eq(pwrite(fd, "9", 1, at - file), 1);
		at = memmem(at + 1, (size_t)(length - (at + 1 - file)), needle, strlen(needle));
	}
	free(file);
	(void)close(fd);
	look(0);
	ck_assert_str_eq(map("transport u@hops.example"), "TEMP damaged record");
	ck_assert_str_eq(map("relay_domains hops.example"), "TEMP damaged record");
	ck_assert_ptr_nonnull(strstr(rcpt("u@hops.example", "0", MAIL), "action=450 4.3.0 "));
	ck_assert_str_eq(map("relay_domains customer.example"), "OK customer.example");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policyd_answer");
	TCase *good = tcase_create("snapshot");
	TCase *none = tcase_create("no snapshot");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(good, 30);
	tcase_add_checked_fixture(good, set_up, tear_down);
	tcase_add_loop_test(
	    good, test_policy_verdicts, 0, (int)(sizeof(verdicts) / sizeof(verdicts[0])));
	tcase_add_test(good, test_policy_local_bytes);
	tcase_add_test(good, test_policy_never_answers_5xx_but_for_size);
	tcase_add_test(good, test_policy_other_states_pass);
	tcase_add_test(good, test_policy_closes_on_what_is_no_request);
	tcase_add_test(good, test_policy_stale);
	tcase_add_test(good, test_policy_reply_needs_room);
	tcase_add_loop_test(good, test_map_lookups, 0, (int)(sizeof(lookups) / sizeof(lookups[0])));
	tcase_add_test(good, test_map_stale_snapshot_still_knows);
	tcase_add_test(good, test_map_and_rules_agree_on_expiry);
	tcase_add_test(good, test_map_names_allowed_networks);
	tcase_add_test(good, test_map_hostile_bytes);
	tcase_add_test(good, test_map_greetings);
	tcase_add_test(good, test_map_pins_follow_rows);
	tcase_add_test(good, test_map_pins_shared);
	tcase_add_test(good, test_map_pins_added);
	tcase_add_test(good, test_map_pins_too_many);
	tcase_add_test(good, test_notes_hold_what_they_name);
	tcase_add_test(good, test_damaged_records_are_later);
	tcase_add_checked_fixture(none, set_up_empty, tear_down);
	tcase_add_test(none, test_policy_without_snapshot);
	tcase_add_test(none, test_map_without_snapshot);
	suite_add_tcase(suite, good);
	suite_add_tcase(suite, none);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
