/*
 * Tests of queued/account by log lines, listings and acts in, and rows of the journal and events
 * out, as text. Rows go into a spool of the test's own, by key, so that each recipient's one
 * outcome is seen, and a restart (a new account, restored from that) can happen anywhere.
 */
#include "queued/account.h"

#include "tests/unit/table.h"

#include <stdarg.h>

#define ID "4QkT3z0V1Wz5s"
#define ID2 "4QkT400V1Wz6t"
#define SHORT "9A1B2C3D4E"
#define NOW 1793577600
#define MINUTE 60000000

#define SPOOLED 200000

static struct account *account;
static struct {
	char key[JOURNAL_KEY_SIZE];
	size_t length;
	struct journal_row row;
	bool final, note;
} * spool;
static size_t spooled;
static char told[65536];
static bool fails; /* writing */
static enum rows_answer answers = ROWS_OURS;

/* --- the world around ------------------------------------------------------------------------- */

static enum rows_answer
row_of(void *context, const char *domain, struct row_facts *out)
{
	(void)context;
	(void)out;
	if (answers != ROWS_OURS)
		return answers;
	return strstr(domain, "other") != NULL ? ROWS_OTHER : ROWS_OURS;
}

static void __attribute__((format(printf, 1, 2))) tell(const char *format, ...)
{
	const size_t used = strlen(told);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(told + used, sizeof(told) - used, format, arguments);
	va_end(arguments);
}

static void
on_held(void *context, const struct event_held *event)
{
	(void)context;
	tell("held %s %s %d", event->domain, event->queue_id, (int)event->size);
	tell(event->refusals > 0 ? " refused %u;" : ";", (unsigned)event->refusals);
}

static void
on_left(void *context, const struct event_left *event)
{
	(void)context;
	(void)event->queue_id;
	tell("left %s %s %d;", event->domain, journal_outcome_name(event->outcome),
	    (int)event->size);
}

static void
on_attempt(void *context, const struct event_attempt *event)
{
	static const char *const names[] = {"sent", "deferred", "refused", "unreached", "held"};

	(void)context;
	tell(event->unknown_user ? "attempt %s unknown %s %d;" : "attempt %s %s %d;", event->domain,
	    names[event->result], (int)event->code);
	if (event->passed)
		tell("passed;");
	if (event->answered)
		tell("answered;");
}

static const struct account_ports ports = {
    .sink = {on_held, on_left, on_attempt, NULL},
    .row = row_of,
};

static void
store(const char *key, size_t length, const struct journal_row *row, bool final, bool note)
{
	size_t i = 0;

	while (i < spooled && (spool[i].length != length || memcmp(spool[i].key, key, length) != 0))
		i++;
	if (row == NULL) {
		if (i < spooled)
			spool[i] = spool[--spooled];
		return;
	}
	ck_assert_uint_lt(i, SPOOLED);
	/* A row that is final may only become a delivery, or be told again. */
	if (i < spooled && spool[i].final)
		ck_assert(row->outcome == OUTCOME_DELIVERED ||
			  (row->outcome == spool[i].row.outcome &&
			      row->outcome_at == spool[i].row.outcome_at));
	memcpy(spool[i].key, key, length);
	spool[i].length = length;
	spool[i].row = *row;
	spool[i].final = final;
	spool[i].note = note;
	spooled += i == spooled ? 1 : 0;
}

static bool
write_row(void *context, const char *key, size_t length, const struct journal_row *row, bool final)
{
	(void)context;
	if (!fails)
		store(key, length, row, final, false);
	return !fails;
}

static bool
write_note(void *context, const char *name, const struct journal_row *row)
{
	(void)context;
	if (!fails)
		store(name, strlen(name), row, false, true);
	return !fails;
}

static const struct account_writer writer = {.row = write_row, .note = write_note};

static bool
save_at(int64_t now, bool all)
{
	const bool good = account_write(account, now, all, SIZE_MAX, &writer);

	account_written(account, good);
	return good;
}

static void
save(void)
{
	ck_assert(save_at(NOW * (int64_t)1000000, true));
}

static void
restart(void)
{
	account_free(account);
	account = account_new(&ports);
	told[0] = '\0';
	for (size_t i = 0; i < spooled; i++)
		if (!spool[i].note && !spool[i].final)
			ck_assert(
			    account_restore(account, spool[i].key, spool[i].length, &spool[i].row));
	for (size_t i = 0; i < spooled; i++)
		if (spool[i].note) {
			char name[JOURNAL_KEY_SIZE + 1];
			snprintf(name, sizeof(name), "%.*s", (int)spool[i].length, spool[i].key);
			ck_assert(account_restore_note(account, name, &spool[i].row));
		}
}

static void
setup(void)
{
	setenv("TZ", "UTC", 1);
	spool = calloc(SPOOLED, sizeof(*spool));
	account = account_new(&ports);
	spooled = 0;
	told[0] = '\0';
	fails = false;
	answers = ROWS_OURS;
}

static void
teardown(void)
{
	account_free(account);
	free(spool);
}

/* --- what comes in -----------------------------------------------------------------------------
 */

static bool
try_line(const char *clock, const char *daemon, const char *id, const char *rest)
{
	char line[2048];
	struct maillog_event event;
	const int length = snprintf(
	    line, sizeof(line), "Nov  1 %s eu postfix/%s[1]: %s: %s", clock, daemon, id, rest);

	ck_assert(maillog_line(line, (size_t)length, NOW, &event));
	ck_assert_msg(event.kind != MAILLOG_NONE, "not understood: %s", line);
	return account_event(account, &event);
}

static void
line_in(const char *clock, const char *daemon, const char *id, const char *rest)
{
	ck_assert(try_line(clock, daemon, id, rest));
}

static void
accepted(const char *id)
{
	line_in("10:00:00", "smtpd", id, "client=unknown[203.0.113.9]");
	line_in("10:00:00", "qmgr", id, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
}

static void
answered(const char *clock, const char *id, const char *recipient, const char *answer)
{
	char rest[1024];

	snprintf(rest, sizeof(rest),
	    "to=<%s>, relay=m[203.0.113.5]:25, delay=1, delays=1/0/0/0, %s", recipient, answer);
	line_in(clock, "smtp", id, rest);
}

#define SENT "dsn=2.0.0, status=sent (250 2.0.0 stored)"
#define REFUSED                                                                                    \
	"dsn=4.1.1, status=deferred (host m[203.0.113.5] said: 550 5.1.1 User unknown (in reply "  \
	"to RCPT TO command))"
#define AWAY "dsn=4.4.1, status=deferred (connect to m[203.0.113.5]:25: Connection refused)"

static int64_t listed_at; /* microseconds; 0: NOW */

static void
count_message(const struct census_message *message, void *context)
{
	account_census_message(
	    account, message, listed_at != 0 ? listed_at : NOW * (int64_t)1000000);
	++*(int *)context;
}

/* A listing's line: recipients separated by blanks. */
static void
listed(const char *id, const char *queue, const char *recipients)
{
	char line[4096], list[2048] = "", copy[1024], *word, *rest = copy;
	int count = 0;

	snprintf(copy, sizeof(copy), "%s", recipients);
	while (copy[0] != '\0' && (word = strsep(&rest, " ")) != NULL)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
		    "%s{\"address\":\"%s\",\"delay_reason\":\"away\"}", list[0] != '\0' ? "," : "",
		    word);
	const int length = snprintf(line, sizeof(line),
	    "{\"queue_name\":\"%s\",\"queue_id\":\"%s\",\"arrival_time\":1793500000,"
	    "\"message_size\":285,\"forced_expire\":false,\"sender\":\"s@out.example\","
	    "\"recipients\":[%s]}",
	    queue, id, list);
	ck_assert(census_parse(line, (size_t)length, count_message, &count));
	ck_assert_int_eq(count, 1);
}

static size_t
census_over(void)
{
	return account_census_end(account, true, NOW * (int64_t)1000000);
}

static void
census_empty(void)
{
	account_census_begin(account);
	(void)census_over();
}

/* --- what came out
 * -------------------------------------------------------------------------------- */

/* NULL: there is none. */
static const struct journal_row *
row_if_saved(const char *id, const char *recipient)
{
	char key[JOURNAL_KEY_SIZE];
	const size_t length = journal_key(key, id, recipient);

	for (size_t i = 0; i < spooled; i++)
		if (!spool[i].note && spool[i].length == length &&
		    memcmp(spool[i].key, key, length) == 0)
			return &spool[i].row;
	return NULL;
}

static const struct journal_row *
row_saved(const char *id, const char *recipient)
{
	const struct journal_row *row = row_if_saved(id, recipient);

	if (row == NULL)
		ck_abort_msg("no row of %s %s", id, recipient);
	return row;
}

static void
expect_outcome(const char *id, const char *recipient, const char *outcome)
{
	ck_assert_str_eq(journal_outcome_name(row_saved(id, recipient)->outcome), outcome);
}

static void
expect_origin(const char *recipient)
{
	const struct journal_row *row = row_saved(ID, recipient);

	ck_assert_str_eq(row->client, "203.0.113.9");
	ck_assert_str_eq(row->sender, "s@out.example");
	ck_assert_uint_eq(row->size, 285);
}

static void
expect_empty(void)
{
	ck_assert_uint_eq(account_counts(account).messages, 0);
	ck_assert_uint_eq(account_counts(account).held, 0);
}

static size_t
notes_saved(void)
{
	size_t notes = 0;

	for (size_t i = 0; i < spooled; i++)
		notes += spool[i].note ? 1 : 0;
	return notes;
}

/* So long that nobody remembers what was taken out on the lines' day. */
static void
time_passes(void)
{
	census_empty();
	save();
}

/* --- what is known
 * ----------------------------------------------------------------------------------- */

START_TEST(test_knows)
{
	ck_assert_int_eq(account_knows(account, ID), ACCOUNT_UNKNOWN);
	accepted(ID);
	ck_assert_int_eq(account_knows(account, ID), ACCOUNT_KNOWN);
	answered("10:00:01", ID, "a@c.example", AWAY);
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	ck_assert_int_eq(account_knows(account, ID), ACCOUNT_LISTED);
	(void)census_over();
	save();
	restart(); /* what an earlier process saw may have been another's */
	ck_assert_int_eq(account_knows(account, ID), ACCOUNT_KNOWN);
	answered("10:00:02", ID, "a@c.example", SENT);
	line_in("10:00:02", "qmgr", ID, "removed");
	save();
	ck_assert_int_eq(account_knows(account, ID), ACCOUNT_UNKNOWN);
}
END_TEST

/* By postsuper's lines; after a restart by a listing. */
START_TEST(test_on_hold)
{
	ck_assert(!account_on_hold(account, ID));
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	ck_assert(!account_on_hold(account, ID));
	answered("10:00:01", ID, "b@c.example", AWAY);
	answered("10:00:01", ID, "x@d.example", AWAY);
	accepted(ID2);
	answered("10:00:01", ID2, "a@c.example", AWAY);
	ck_assert_uint_eq(account_count_on_hold(account, "c.example"), 0);
	line_in("10:00:02", "postsuper", ID, "placed on hold");
	ck_assert(account_on_hold(account, ID));
	ck_assert_uint_eq(account_count_on_hold(account, "c.example"), 1); /* a message, once */
	ck_assert_uint_eq(account_count_on_hold(account, "d.example"), 1);
	ck_assert_uint_eq(account_count_on_hold(account, "e.example"), 0);
	answered("10:00:02", ID, "b@c.example", SENT);
	answered("10:00:02", ID, "x@d.example", SENT);
	ck_assert_uint_eq(account_count_on_hold(account, "c.example"), 1);
	ck_assert_uint_eq(account_count_on_hold(account, "d.example"), 0);
	line_in("10:00:02", "postsuper", ID2, "removed");
	save();
	restart();
	account_census_begin(account);
	listed(ID, "hold", "a@c.example");
	(void)census_over();
	ck_assert(account_on_hold(account, ID));
	line_in("10:00:03", "postsuper", ID, "released from hold");
	ck_assert(!account_on_hold(account, ID));
}
END_TEST

/* A listing that runs while the log tells may have looked before: the log's word counts. */
static const struct {
	const char *word, *listed;
	bool on_hold, later; /* by the log; by the next listing, which shows `listed` again */
} HOLDS[] = {
    {"placed on hold", "deferred", true, false},
    {"placed on hold", "hold", true, true},
    {"released from hold", "hold", false, true},
    {"released from hold", "deferred", false, false},
};

START_TEST(test_on_hold_beside_a_listing)
{
	const bool before = !HOLDS[_i].on_hold;

	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	account_census_begin(account);
	listed(ID, before ? "hold" : "deferred", "a@c.example");
	(void)census_over();
	ck_assert_int_eq(account_on_hold(account, ID), before);
	account_census_begin(account);
	line_in("10:00:02", "postsuper", ID, HOLDS[_i].word);
	listed(ID, HOLDS[_i].listed, "a@c.example");
	(void)census_over();
	ck_assert_int_eq(account_on_hold(account, ID), HOLDS[_i].on_hold);
	account_census_begin(account);
	listed(ID, HOLDS[_i].listed, "a@c.example");
	(void)census_over();
	ck_assert_int_eq(account_on_hold(account, ID), HOLDS[_i].later);
}
END_TEST

/* --- outcomes ------------------------------------------------------------------------------------
 */

START_TEST(test_delivered_at_once)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", SENT);
	line_in("10:00:01", "qmgr", ID, "removed");
	save();
	const struct journal_row *row = row_saved(ID, "a@c.example");
	ck_assert_int_eq(row->outcome, OUTCOME_DELIVERED);
	ck_assert_str_eq(row->sender, "s@out.example");
	ck_assert_str_eq(row->client, "203.0.113.9");
	ck_assert_str_eq(row->primary, "m[203.0.113.5]:25");
	ck_assert_str_eq(row->reply, "250 2.0.0 stored");
	ck_assert_uint_eq(row->attempts, 1);
	ck_assert_uint_eq(row->size, 285);
	ck_assert_int_eq(row->accepted_at, journal_queue_id_time(ID));
	/* It was never held. */
	ck_assert_str_eq(told, "attempt c.example sent 250;");
	expect_empty();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/* smtp(8) says of the message that it passed a stranger by, and of its recipients what then came.
 */
START_TEST(test_passed_by)
{
	accepted(ID);
	accepted(ID2);
	line_in("10:00:01", "smtp", ID, "Server certificate not verified");
	line_in("10:00:01", "smtp", "4QkT400V1Wz6x", "Server certificate not verified");
	answered("10:00:01", ID, "a@c.example", SENT);
	answered("10:00:01", ID2, "a@c.example", SENT);
	answered("10:00:01", ID, "b@c.example", AWAY);
	line_in("10:05:00", "qmgr", ID, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	answered("10:05:01", ID, "b@c.example", SENT);
	ck_assert_str_eq(told, "attempt c.example sent 250;passed;attempt c.example sent 250;"
			       "held c.example " ID " 285;attempt c.example unreached 0;passed;"
			       "attempt c.example sent 250;left c.example delivered 285;");
	ck_assert_int_eq(account_knows(account, "4QkT400V1Wz6x"), ACCOUNT_UNKNOWN);
}
END_TEST

/* The first of two servers answers, the second is away: what the log says last of the delivery. */
START_TEST(test_answered_before)
{
	accepted(ID);
	line_in("10:00:01", "smtp", ID,
	    "host m[203.0.113.5] said: 452 4.2.2 full (in reply to RCPT TO command)");
	answered("10:00:01", ID, "a@c.example", AWAY);
	line_in("10:05:00", "qmgr", ID, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	answered("10:05:01", ID, "a@c.example", AWAY);
	ck_assert_str_eq(told, "held c.example " ID " 285;attempt c.example unreached 0;answered;"
			       "attempt c.example unreached 0;");
}
END_TEST

START_TEST(test_held_then_delivered)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	save();
	expect_outcome(ID, "a@c.example", "held");
	answered("11:00:01", ID, "a@c.example", SENT);
	line_in("11:00:01", "qmgr", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 2);
	ck_assert_str_eq(told, "held c.example " ID " 285;attempt c.example unreached 0;"
			       "attempt c.example sent 250;left c.example delivered 285;");
	expect_empty();
}
END_TEST

START_TEST(test_recipients_of_several)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	answered("10:00:01", ID, "b@c.example", AWAY);
	answered("10:00:01", ID, "x@d.example", SENT);
	answered("10:00:01", ID, "y@other.example", AWAY);
	save();
	ck_assert_uint_eq(spooled, 3);
	answered("10:30:00", ID, "a@c.example", SENT);
	line_in("15:00:00", "qmgr", ID, "from=<s@out.example>, status=expired, returned to sender");
	line_in("15:00:00", "qmgr", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	expect_outcome(ID, "b@c.example", "expired");
	expect_outcome(ID, "x@d.example", "delivered");
	expect_empty();
}
END_TEST

START_TEST(test_removed_by_others)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	line_in("10:10:00", "postsuper", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "postsuper");
	expect_empty();
}
END_TEST

/* ID goes on as ID2. */
static void
picked_up(const char *clock)
{
	line_in(clock, "pickup", ID2, "uid=102 from=<s@out.example> orig_id=" ID);
	line_in(clock, "qmgr", ID2, "from=<s@out.example>, size=300, nrcpt=1 (queue active)");
}

START_TEST(test_requeued_and_bounced)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	line_in("10:10:00", "postsuper", ID, "requeued");
	picked_up("10:10:00");
	answered("10:10:01", ID2, "a@c.example",
	    "dsn=5.1.1, status=bounced (host m[203.0.113.5] said: 550 5.1.1 no (in reply to RCPT "
	    "TO "
	    "command))");
	line_in("10:10:01", "qmgr", ID2, "removed");
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "postsuper -r");
	expect_outcome(ID2, "a@c.example", "refused");
	ck_assert_str_eq(row_saved(ID2, "a@c.example")->by, "postfix");
	expect_empty();
}
END_TEST

/* Its client goes along; 1: with a restart between, 2: and of its line, 3: it had no recipient. */
START_TEST(test_requeued_client)
{
	accepted(ID);
	if (_i != 3)
		answered("10:00:01", ID, "a@c.example", AWAY);
	save();
	if (_i == 2)
		restart();
	line_in("10:10:00", "postsuper", ID, "requeued");
	save();
	if (_i == 1)
		restart();
	if (_i != 1)
		ck_assert(!account_wants_names(account, INT64_MAX));
	account_census_begin(account); /* it saw the message where it was before */
	listed(ID, _i == 1 ? "maildrop" : "deferred", "a@c.example b@c.example");
	picked_up("10:10:59");
	answered("10:11:00", ID2, "a@c.example", AWAY);
	save();
	ck_assert_str_eq(row_saved(ID2, "a@c.example")->client, "203.0.113.9");
	if (_i != 3)
		expect_outcome(ID, "a@c.example", "removed");
	if (_i != 1)
		ck_assert_uint_eq(account_counts(account).messages, 1);
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
}
END_TEST

/* It never came back: it is not kept for ever, nor is it missed. */
START_TEST(test_requeued_only)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	line_in("10:10:00", "postsuper", ID, "requeued");
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	for (int i = 0; i < 3; i++)
		census_empty();
	save();
	expect_empty();
	ck_assert_uint_eq(notes_saved(), 0);
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
}
END_TEST

START_TEST(test_rejected_at_the_end)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	save();
	ck_assert_uint_eq(notes_saved(), 1); /* the client must survive a restart */
	line_in("10:00:00", "cleanup", ID,
	    "milter-reject: END-OF-MESSAGE from unknown[203.0.113.9]: 5.7.1 no; from=<> "
	    "to=<a@c.example>");
	save();
	ck_assert_uint_eq(spooled, 0);
	expect_empty();
}
END_TEST

#define DISCARD                                                                                    \
	"discard: header Subject: t from unknown[203.0.113.9]; from=<s@out.example> "              \
	"to=<a@%s.example> proto=ESMTP helo=<x>"

/* After its 250; its first line was read, or not. Never held, for a moment. */
START_TEST(test_discarded)
{
	char rest[256];

	if (_i == 0) {
		line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
		save();
		restart();
	}
	snprintf(rest, sizeof(rest), DISCARD, "c");
	answers = ROWS_CANNOT_TELL;
	ck_assert(!try_line("10:00:01", "cleanup", ID, rest));
	answers = ROWS_OURS;
	line_in("10:00:01", "cleanup", ID, rest);
	snprintf(rest, sizeof(rest), DISCARD, "other");
	line_in("10:00:01", "cleanup", ID2, rest);
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "postfix: discard");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->client, "203.0.113.9");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->sender, "s@out.example");
	ck_assert_int_eq(row_saved(ID, "a@c.example")->outcome_at, 1793527201 * (int64_t)1000000);
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 0);
	ck_assert_str_eq(told, "");
	ck_assert_uint_eq(spooled - notes_saved(), 1);
	expect_empty();
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

static void
told_at(const char *id, const char *recipient, int64_t at)
{
	account_told(account, id, recipient, strlen(recipient), at);
}

#define TOLD_AT (1793527201 * (int64_t)1000000)

static void
discarded(const char *id)
{
	char rest[256];

	snprintf(rest, sizeof(rest), DISCARD, "c");
	line_in("10:00:01", "cleanup", id, rest);
}

static void
expect_discarded(const char *id, const char *recipient)
{
	expect_outcome(id, recipient, "removed");
	ck_assert_str_eq(row_saved(id, recipient)->by, "postfix: discard");
	ck_assert_str_eq(row_saved(id, recipient)->client, "203.0.113.9");
	ck_assert_str_eq(row_saved(id, recipient)->sender, "s@out.example");
	ck_assert_int_eq(row_saved(id, recipient)->outcome_at, TOLD_AT);
}

/* Each recipient has a row, and one: told before the line (0), after it (1), after a restart
 * between the two (2), or before and after (3); the one that the line names is told too. */
START_TEST(test_discarded_recipients)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	if (_i == 0 || _i == 3) {
		told_at(ID, "b@c.example", TOLD_AT);
		told_at(ID, "x@other.example", TOLD_AT);
	}
	if (_i == 0)
		told_at(ID, "a@c.example", TOLD_AT);
	discarded(ID);
	save();
	if (_i == 2)
		restart();
	if (_i != 0) {
		told_at(ID, "a@c.example", TOLD_AT);
		told_at(ID, "b@c.example", TOLD_AT);
		told_at(ID, "d@c.example", TOLD_AT);
	}
	save();
	expect_discarded(ID, "a@c.example");
	expect_discarded(ID, "b@c.example");
	if (_i != 0)
		expect_discarded(ID, "d@c.example");
	ck_assert_uint_eq(spooled - notes_saved(), _i == 0 ? 2 : 3);
	ck_assert_str_eq(told, "");
	expect_empty();
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/* The line names somebody else's recipient, or none that can be read: ours have rows all the same.
 */
START_TEST(test_discarded_among_others)
{
	char rest[512];

	if (_i == 0)
		snprintf(rest, sizeof(rest), DISCARD, "other");
	else
		snprintf(rest, sizeof(rest),
		    "discard: header x; from=<> to=<v@c.example> from " DISCARD, "c");
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	told_at(ID, "b@c.example", TOLD_AT);
	line_in("10:00:01", "cleanup", ID, rest);
	told_at(ID, "d@c.example", TOLD_AT);
	save();
	expect_outcome(ID, "b@c.example", "removed");
	expect_outcome(ID, "d@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "d@c.example")->client, "203.0.113.9");
	ck_assert_uint_eq(spooled - notes_saved(), 2);
}
END_TEST

/* What the log says nothing of has no row: it came into the queue, was refused, or given up. */
START_TEST(test_told_for_nothing)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	told_at(ID, "b@c.example", TOLD_AT);
	if (_i == 0)
		line_in("10:00:00", "qmgr", ID,
		    "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	if (_i == 1)
		line_in("10:00:00", "cleanup", ID,
		    "milter-reject: END-OF-MESSAGE from unknown[203.0.113.9]: 5.7.1 no; from=<> "
		    "to=<a@c.example>");
	if (_i == 2) {
		account_told_turn(account, TOLD_AT + ACCOUNT_TOLD - 1);
		account_told_turn(account, TOLD_AT + ACCOUNT_TOLD);
	}
	if (_i == 3)
		account_told_turn(account, TOLD_AT - ACCOUNT_TOLD); /* the clock was set back */
	discarded(ID); /* such a line would find nobody */
	save();
	ck_assert_ptr_null(row_if_saved(ID, "b@c.example"));
	expect_discarded(ID, "a@c.example");
}
END_TEST

/* Up to the last moment it is known. */
START_TEST(test_told_in_time)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	told_at(ID, "b@c.example", TOLD_AT);
	account_told_turn(account, TOLD_AT + ACCOUNT_TOLD - 1);
	discarded(ID);
	save();
	expect_discarded(ID, "b@c.example");
}
END_TEST

/* Whose it is cannot be told for hours: the row comes when it can. */
START_TEST(test_told_later)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	discarded(ID);
	answers = ROWS_CANNOT_TELL;
	told_at(ID, "b@d.example", TOLD_AT);
	told_at(ID, "x@other.example", TOLD_AT);
	account_told_turn(account, TOLD_AT + 3 * ACCOUNT_TOLD);
	save();
	ck_assert_ptr_null(row_if_saved(ID, "b@d.example"));
	answers = ROWS_OURS;
	account_told_turn(account, TOLD_AT + 4 * ACCOUNT_TOLD);
	save();
	expect_discarded(ID, "b@d.example");
	ck_assert_ptr_null(row_if_saved(ID, "x@other.example"));
}
END_TEST

/*
 * mxhold-queued was killed: the log is read again from the last position, and all is told again.
 * Nothing of it had been written (0); rows and note had (1); both the former process and this one
 * are told twice (2).
 */
START_TEST(test_told_again)
{
	struct journal_row before;

	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	told_at(ID, "a@c.example", TOLD_AT);
	told_at(ID, "b@c.example", TOLD_AT);
	discarded(ID);
	if (_i == 2) {
		told_at(ID, "a@c.example", TOLD_AT);
		told_at(ID, "b@c.example", TOLD_AT);
	}
	if (_i != 0) {
		save();
		before = *row_saved(ID, "b@c.example");
	}
	restart();
	for (int i = 0; i < (_i == 2 ? 2 : 1); i++) {
		told_at(ID, "a@c.example", TOLD_AT + 1);
		told_at(ID, "b@c.example", TOLD_AT + 1);
	}
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	discarded(ID);
	told_at(ID, "a@c.example", TOLD_AT + 2);
	told_at(ID, "b@c.example", TOLD_AT + 2);
	save();
	expect_discarded(ID, "a@c.example");
	expect_discarded(ID, "b@c.example");
	if (_i != 0)
		ck_assert_mem_eq(&before, row_saved(ID, "b@c.example"), sizeof(before));
	ck_assert_uint_eq(spooled - notes_saved(), 2);
	ck_assert_str_eq(told, "");
	expect_empty();
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/* A message that came into the queue (0), and was delivered since (1), or taken out by hand (2): it
 * is told again, and has the rows that it had. */
START_TEST(test_told_again_of_others)
{
	accepted(ID);
	line_in("10:00:01", "smtp", ID,
	    _i == 1 ? "to=<a@c.example>, relay=m[203.0.113.5]:25, delay=1, delays=1/0/0/0, "
		      "dsn=2.0.0, status=sent (250 ok)"
		    : "to=<a@c.example>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, "
		      "status=deferred (connect to m[203.0.113.5]:25: Connection refused)");
	if (_i == 1)
		line_in("10:00:01", "qmgr", ID, "removed");
	if (_i == 2)
		line_in("10:00:01", "postsuper", ID, "removed");
	save();
	const size_t rows = spooled - notes_saved();
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			restart();
		told_at(ID, "a@c.example", TOLD_AT);
		told_at(ID, "b@c.example", TOLD_AT);
		account_told_turn(account, TOLD_AT + 1);
		save();
		account_told_turn(account, TOLD_AT + ACCOUNT_TOLD);
		save();
		ck_assert_uint_eq(spooled - notes_saved(), rows);
		ck_assert_ptr_null(row_if_saved(ID, "b@c.example"));
		expect_outcome(ID, "a@c.example",
		    _i == 0   ? "held"
		    : _i == 1 ? "delivered"
			      : "removed");
	}
}
END_TEST

/* Those that are told twice take no room from others, though a part of them came once only. */
START_TEST(test_told_again_in_bounds)
{
	char id[32];

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 60000; i++) {
			snprintf(id, sizeof(id), "4QkT%08d", i);
			if (round > 0)
				told_at(id, "a@c.example", TOLD_AT);
			told_at(id, "b@c.example", TOLD_AT);
			told_at(id, "d@c.example", TOLD_AT);
		}
	for (int i = 0; i < 60000; i += 5000) {
		snprintf(id, sizeof(id), "4QkT%08d", i);
		discarded(id);
		save();
		ck_assert_ptr_nonnull(row_if_saved(id, "a@c.example"));
		ck_assert_ptr_nonnull(row_if_saved(id, "b@c.example"));
		ck_assert_ptr_nonnull(row_if_saved(id, "d@c.example"));
	}
}
END_TEST

/* A flood of what is never thrown away leaves no more than so many; garbage leaves nothing. */
START_TEST(test_told_flood)
{
	char id[32];

	told_at("", "b@c.example", TOLD_AT);
	told_at("0123456789012345678901234567890123456789", "b@c.example", TOLD_AT);
	told_at(ID, "", TOLD_AT);
	for (int i = 0; i < 200100; i++) {
		snprintf(id, sizeof(id), "4QkT%08d", i);
		told_at(id, "b@c.example", TOLD_AT);
	}
	discarded("4QkT00000000");
	discarded("4QkT00200099");
	save();
	ck_assert_ptr_null(row_if_saved("4QkT00000000", "b@c.example"));
	ck_assert_ptr_nonnull(row_if_saved("4QkT00200099", "b@c.example"));
}
END_TEST

/* "delivery temporarily suspended" tells of an earlier attempt; our own hold is none either. */
START_TEST(test_no_attempts)
{
	accepted(ID);
	line_in("10:00:01", "error", ID,
	    "to=<a@c.example>, relay=none, delay=1, delays=1/0/0/0, dsn=4.3.2, status=deferred "
	    "(held)");
	line_in("10:00:02", "error", ID,
	    "to=<a@c.example>, relay=none, delay=1, delays=1/0/0/0, dsn=4.1.1, status=deferred "
	    "(delivery temporarily suspended: host m[203.0.113.5] said: 550 5.1.1 User unknown (in "
	    "reply to RCPT TO command))");
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 0);
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 0);
	ck_assert_str_eq(told, "held c.example " ID " 285;attempt c.example held 0;");
}
END_TEST

/* The watch, and its breaker, hear the same judgement of a refusal as the account's own. */
START_TEST(test_unknown_users)
{
#define SAID "relay=m[203.0.113.5]:25, delay=1, delays=1/0/0/0, dsn=4.0.0, status=deferred "
	accepted(ID);
	line_in("10:00:01", "smtp", ID,
	    "to=<a@c.example>, " SAID "(host m[203.0.113.5] said: 550 no such user here (in reply "
	    "to RCPT TO command))");
	line_in("10:00:02", "smtp", ID,
	    "to=<a@c.example>, " SAID "(host m[203.0.113.5] said: 554 5.7.1 Service refused: your "
	    "domain does not exist in DNS (in reply to RCPT TO command))");
	line_in("10:00:03", "smtp", ID,
	    "to=<a@c.example>, " SAID "(host m[203.0.113.5] said: 550 no such user here (in reply "
	    "to end of DATA command))");
	ck_assert_str_eq(told, "held c.example " ID " 285;attempt c.example unknown refused 550;"
			       "attempt c.example refused 554;attempt c.example refused 550;");
}
END_TEST

/* --- restarts and failures -----------------------------------------------------------------------
 */

START_TEST(test_restart_everywhere)
{
	static const char *const steps[][3] = {
	    {"smtpd", "client=unknown[203.0.113.9]", NULL},
	    {"qmgr", "from=<s@out.example>, size=285, nrcpt=2 (queue active)", NULL},
	    {"a@c.example", REFUSED, NULL},
	    {"b@d.example", AWAY, NULL},
	    {"a@c.example", REFUSED, NULL},
	    {"b@d.example", SENT, NULL},
	    {"a@c.example", SENT, NULL},
	    {"qmgr", "removed", NULL},
	};
	const size_t count = sizeof(steps) / sizeof(steps[0]);

	for (size_t crash = 0; crash <= count; crash++) {
		spooled = 0;
		account_free(account);
		account = account_new(&ports);
		for (size_t i = 0; i < count; i++) {
			if (i == crash)
				restart();
			if (strchr(steps[i][0], '@') != NULL)
				answered("10:00:00", ID, steps[i][0], steps[i][1]);
			else
				line_in("10:00:00", steps[i][0], ID, steps[i][1]);
			save();
		}
		expect_outcome(ID, "a@c.example", "delivered");
		expect_outcome(ID, "b@d.example", "delivered");
		const struct journal_row *row = row_saved(ID, "a@c.example");
		ck_assert_str_eq(row->client, "203.0.113.9");
		ck_assert_str_eq(row->sender, "s@out.example");
		ck_assert_uint_eq(row->size, 285);
		ck_assert_uint_eq(row->attempts, 3);
		ck_assert_uint_eq(notes_saved(), 0);
		expect_empty();
	}
}
END_TEST

static void
accepted_for_two(void)
{
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	line_in("10:00:00", "qmgr", ID, "from=<s@out.example>, size=285, nrcpt=2 (queue active)");
	save();
}

/* One recipient has its outcome, the other one no line yet: his row knows the client too. */
START_TEST(test_restart_between_recipients)
{
	accepted_for_two();
	answered("10:00:01", ID, "a@c.example", AWAY);
	save();
	ck_assert_uint_eq(notes_saved(), 0);
	answered("10:00:01", ID, "a@c.example", SENT);
	save();
	restart();
	save();
	answered("10:00:31", ID, "b@d.example", AWAY);
	save();
	restart();
	answered("10:00:41", ID, "b@d.example", SENT);
	line_in("10:00:41", "qmgr", ID, "removed");
	save();
	expect_origin("a@c.example");
	expect_origin("b@d.example");
	expect_outcome(ID, "b@d.example", "delivered");
	ck_assert_uint_eq(notes_saved(), 0);
	expect_empty();
}
END_TEST

/* The same beside a recipient that is not ours; and where none is, no note stays. */
START_TEST(test_restart_beside_others)
{
	accepted_for_two();
	answered("10:00:01", ID, "x@other.example", AWAY);
	save();
	restart();
	answered("10:00:31", ID, "b@d.example", AWAY);
	save();
	expect_origin("b@d.example");
	line_in("10:00:00", "qmgr", ID2, "from=<s@out.example>, size=285, nrcpt=2 (queue active)");
	answered("10:00:31", ID2, "x@other.example", AWAY);
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	answered("10:00:31", ID2, "y@other.example", AWAY);
	save();
	ck_assert_uint_eq(notes_saved(), 0);
	line_in("10:01:00", "qmgr", ID2, "from=<s@out.example>, size=285, nrcpt=2 (queue active)");
	save();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/*
 * A short id does not tell when the message came. Where the lines of its arrival were not read, the
 * first thing that names a recipient tells: a row's key has that time.
 */
START_TEST(test_arrival)
{
	const int64_t at_ten = 1793527200 * (int64_t)1000000;

	line_in(
	    "10:00:00", "qmgr", SHORT, "from=<s@out.example>, size=285, nrcpt=2 (queue active)");
	save();
	ck_assert_uint_eq(spooled, notes_saved());
	if (_i == 1)
		restart();
	line_in("10:00:02", "smtp", SHORT,
	    "to=<a@c.example>, relay=none, delay=7202.5, delays=7200/0/2.5/0, " AWAY);
	save();
	ck_assert_int_eq(row_saved(SHORT, "a@c.example")->accepted_at, at_ten - 7200500000);
	if (_i == 1)
		restart();
	account_census_begin(account); /* what was written stays */
	listed(SHORT, "deferred", "a@c.example b@c.example");
	(void)census_over();
	line_in("10:30:00", "smtp", SHORT,
	    "to=<b@c.example>, relay=none, delay=9002, delays=9000/0/2/0, " AWAY);
	save();
	ck_assert_int_eq(row_saved(SHORT, "a@c.example")->accepted_at, at_ten - 7200500000);
	ck_assert_int_eq(row_saved(SHORT, "b@c.example")->accepted_at, at_ten - 7200500000);
}
END_TEST

START_TEST(test_arrival_listed)
{
	line_in(
	    "10:00:00", "qmgr", SHORT, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	account_census_begin(account);
	listed(SHORT, "active", "a@c.example"); /* tells the time, though it names nobody yet */
	(void)census_over();
	answered("10:00:01", SHORT, "a@c.example", AWAY);
	save();
	ck_assert_int_eq(
	    row_saved(SHORT, "a@c.example")->accepted_at, 1793500000 * (int64_t)1000000);
}
END_TEST

/* Its first line was read: neither a delivery that was long in coming nor a listing is better. */
START_TEST(test_arrival_seen)
{
	line_in("10:00:00", _i == 0 ? "smtpd" : "pickup", SHORT,
	    _i == 0 ? "client=unknown[203.0.113.9]" : "uid=0 from=<s@out.example>");
	line_in(
	    "10:00:01", "qmgr", SHORT, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	account_census_begin(account);
	listed(SHORT, "deferred", "a@c.example");
	(void)census_over();
	line_in("10:10:00", "smtp", SHORT,
	    "to=<a@c.example>, relay=none, delay=610, delays=610/0/0/0, " AWAY);
	save();
	ck_assert_int_eq(
	    row_saved(SHORT, "a@c.example")->accepted_at, 1793527200 * (int64_t)1000000);
}
END_TEST

/* A listing has shown it before its first lines were read. */
START_TEST(test_listed_before_its_lines)
{
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	(void)census_over();
	save();
	ck_assert_str_eq(row_saved(ID, "a@c.example")->client, "");
	line_in("10:00:00", "smtpd", ID, "client=unknown[203.0.113.9]");
	ck_assert(account_is_dirty(account));
	save();
	restart();
	line_in("10:00:00", "qmgr", ID, "from=<s@out.example>, size=285, nrcpt=1 (queue active)");
	answered("10:00:01", ID, "a@c.example", SENT);
	line_in("10:00:01", "qmgr", ID, "removed");
	save();
	expect_origin("a@c.example");
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

START_TEST(test_writing_fails)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	fails = true;
	ck_assert(!save_at(NOW * (int64_t)1000000, true));
	answered("10:00:02", ID, "a@c.example", SENT);
	line_in("10:00:02", "qmgr", ID, "removed");
	ck_assert(!save_at(NOW * (int64_t)1000000, true));
	ck_assert_uint_eq(spooled, 0);
	ck_assert(account_is_dirty(account));
	fails = false;
	save();
	ck_assert(!account_is_dirty(account));
	expect_outcome(ID, "a@c.example", "delivered");
	expect_empty();
}
END_TEST

START_TEST(test_cannot_tell)
{
	accepted(ID);
	answers = ROWS_CANNOT_TELL;
	ck_assert(!try_line("10:00:01", "smtp", ID,
	    "to=<a@c.example>, relay=none, delay=1, delays=1/0/0/0, " AWAY));
	answers = ROWS_OURS;
	answered("10:00:01", ID, "a@c.example", AWAY);
	/* What is held stays ours, whatever becomes of its row. */
	answers = ROWS_OTHER;
	answered("10:30:01", ID, "b@c.example", AWAY);
	save();
	ck_assert_uint_eq(account_counts(account).held, 2);
}
END_TEST

START_TEST(test_coalescing)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	const int64_t at = 1793527201 * (int64_t)1000000;
	ck_assert(save_at(at, false));
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 1);
	answered("10:00:01", ID, "a@c.example", AWAY);
	ck_assert(save_at(at + ACCOUNT_COALESCE - 1, false));
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 1);
	ck_assert(save_at(at + ACCOUNT_COALESCE, false));
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 2);
	answered("10:00:01", ID, "a@c.example", AWAY);
	ck_assert(save_at(at - 10 * MINUTE, false)); /* the clock was set back */
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 3);
	answered("10:00:01", ID, "a@c.example", REFUSED);
	ck_assert(save_at(at, false)); /* a refusal is written at once */
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 1);
}
END_TEST

/* --- listings
 * ------------------------------------------------------------------------------------- */

START_TEST(test_unaccounted)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	account_census_begin(account);
	ck_assert_uint_eq(census_over(), 1); /* once proves nothing */
	save();
	expect_outcome(ID, "a@c.example", "held");
	account_census_begin(account);
	ck_assert_uint_eq(account_census_end(account, false, NOW), 0); /* nor one that broke off */
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	ck_assert_uint_eq(census_over(), 0); /* it was there: the count begins anew */
	census_empty();
	census_empty();
	save();
	expect_outcome(ID, "a@c.example", "unaccounted");
	ck_assert_uint_eq(account_counts(account).unaccounted, 1);
	ck_assert_str_eq(account_counts(account).lost_id, ID);
	ck_assert_str_eq(account_counts(account).lost_domain, "c.example");
	expect_empty();
	/* A line that comes later all the same is the truth. */
	answered("10:40:00", ID, "a@c.example", SENT);
	line_in("10:40:00", "qmgr", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
}
END_TEST

START_TEST(test_listing_restores)
{
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example b@other.example");
	listed(ID2, "deferred", "x@other.example");
	listed("4QkT3z0V1Wz7v", "active", "b@c.example");
	ck_assert_uint_eq(census_over(), 0);
	save();
	ck_assert_uint_eq(account_counts(account).held, 1);
	ck_assert_uint_eq(account_counts(account).messages, 1);
	expect_outcome(ID, "a@c.example", "held");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->sender, "s@out.example");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->reply, "away");
	ck_assert_str_eq(told, "held c.example " ID " 285;");
}
END_TEST

/* The first attempt takes long, and no line has named a recipient: the listing does. */
START_TEST(test_listing_names)
{
	accepted(ID);
	const int64_t came = journal_queue_id_time(ID);
	ck_assert(!account_wants_names(account, came + ACCOUNT_NAMELESS - 1));
	ck_assert(account_wants_names(account, came + ACCOUNT_NAMELESS));
	account_census_begin(account);
	listed_at = came + ACCOUNT_NAMELESS - 1;
	listed(ID, "active", "a@c.example");
	(void)account_census_end(account, false, listed_at);
	ck_assert_uint_eq(account_counts(account).held, 0); /* it is on its way */
	account_census_begin(account);
	listed_at = came + ACCOUNT_NAMELESS;
	listed(ID, "active", "a@c.example b@other.example");
	listed("4QkT3z0V1Wz7v", "active", "b@c.example"); /* not known: it may have left since */
	(void)account_census_end(account, false, listed_at);
	listed_at = 0;
	ck_assert(!account_wants_names(account, came + 100 * ACCOUNT_NAMELESS));
	save();
	ck_assert_str_eq(told, "held c.example " ID " 285;");
	expect_outcome(ID, "a@c.example", "held");
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, 0);
	answered("10:00:01", ID, "a@c.example", AWAY);
	answered("10:05:00", ID, "a@c.example", SENT);
	line_in("10:05:00", "qmgr", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	ck_assert_uint_eq(account_counts(account).held, 0);
	accepted(ID2); /* other people's: named as well */
	answered("10:00:01", ID2, "x@other.example", AWAY);
	ck_assert(!account_wants_names(account, INT64_MAX));
}
END_TEST

/* One that was too young when a listing showed it is named by the next. */
START_TEST(test_listing_names_later)
{
	const int64_t came = journal_queue_id_time(ID);

	accepted(ID);
	account_census_begin(account);
	listed_at = came + ACCOUNT_NAMELESS - 1;
	listed(ID, "active", "a@c.example");
	(void)account_census_end(account, false, listed_at);
	ck_assert(account_wants_names(account, came - 1)); /* the clock was set back */
	ck_assert(!account_wants_names(account, came + ACCOUNT_NAMELESS - 1));
	ck_assert(account_wants_names(account, came + ACCOUNT_NAMELESS));
	account_census_begin(account);
	listed_at = came + ACCOUNT_NAMELESS;
	listed(ID, "incoming", ""); /* as good as not listed */
	(void)account_census_end(account, false, listed_at);
	ck_assert(account_wants_names(account, listed_at));
	account_census_begin(account);
	listed(ID, "active", _i == 0 ? "a@c.example" : "x@other.example y@other.example");
	(void)account_census_end(account, false, listed_at);
	listed_at = 0;
	ck_assert(!account_wants_names(account, INT64_MAX));
	ck_assert_uint_eq(account_counts(account).held, _i == 0 ? 1 : 0);
}
END_TEST

/* While nobody can tell whose they are, a listing changes nothing; the next is asked again. */
START_TEST(test_listing_cannot_tell)
{
	accepted(ID);
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	answers = ROWS_CANNOT_TELL;
	account_census_begin(account);
	listed(ID, _i == 0 ? "deferred" : "active", "a@c.example");
	listed(ID2, "deferred", "x@other.example");
	ck_assert_uint_eq(census_over(), 0);
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	ck_assert(account_wants_names(account, INT64_MAX));
	restart();
	answers = ROWS_OURS;
	account_census_begin(account);
	listed(ID, _i == 0 ? "deferred" : "active", "a@c.example");
	listed(ID2, "deferred", "x@other.example");
	ck_assert_uint_eq(census_over(), 0);
	save();
	ck_assert(!account_wants_names(account, INT64_MAX));
	ck_assert_uint_eq(account_counts(account).messages, 1);
	expect_outcome(ID, "a@c.example", "held");
	expect_origin("a@c.example");
	answered("10:00:01", ID, "a@c.example", SENT);
	line_in("10:00:01", "qmgr", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	expect_empty();
}
END_TEST

/* The listing is older than what the log has said since. */
START_TEST(test_listing_races)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	answered("10:00:01", ID, "b@c.example", AWAY);
	save();
	account_census_begin(account);
	answered("10:01:00", ID, "a@c.example", SENT);
	listed(ID, "deferred", "a@c.example b@c.example");
	save();
	answered("10:01:01", ID, "b@c.example", SENT);
	line_in("10:01:01", "qmgr", ID, "removed");
	save();
	listed(ID, "deferred", "b@c.example"); /* listed twice, as may happen */
	accepted(ID2);                         /* and this one came while it ran */
	answered("10:01:02", ID2, "c@c.example", AWAY);
	ck_assert_uint_eq(census_over(), 0);
	census_empty();
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	expect_outcome(ID, "b@c.example", "delivered");
	expect_outcome(ID2, "c@c.example", "held");
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
}
END_TEST

START_TEST(test_one_recipient_vanishes)
{
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	answered("10:00:01", ID, "b@c.example", AWAY);
	for (int i = 0; i < 2; i++) {
		account_census_begin(account);
		listed(ID, "deferred", "b@c.example");
		ck_assert_uint_eq(census_over(), i == 0 ? 1 : 0);
	}
	save();
	expect_outcome(ID, "a@c.example", "unaccounted");
	expect_outcome(ID, "b@c.example", "held");
}
END_TEST

/* Neither the log nor the listing need spell a recipient that is not ASCII alike. */
START_TEST(test_spelling)
{
	accepted(ID);
	answered("10:00:01", ID, "??t@c.example", AWAY);
	account_census_begin(account);
	listed(ID, "deferred", "\xc3\xa9t@c.example");
	ck_assert_uint_eq(census_over(), 0);
	ck_assert_uint_eq(account_counts(account).held, 1);
}
END_TEST

/* --- taking out
 * ----------------------------------------------------------------------------------- */

static enum account_fate fate = FATE_REFUSED;
static char asked[256];
static bool helper_there = true;

static enum account_fate
judge(void *context, const struct account_history *history)
{
	(void)context;
	return strstr(history->domain, "d.example") != NULL ? FATE_EXPIRED : fate;
}

static bool
ask(void *context, const char *queue_id, enum journal_outcome outcome, const char *by)
{
	(void)context;
	if (helper_there)
		snprintf(
		    asked, sizeof(asked), "%s %s %s", queue_id, journal_outcome_name(outcome), by);
	return helper_there;
}

static void
held_and_listed(const char *recipients)
{
	char copy[256], *word, *rest = copy;

	accepted(ID);
	snprintf(copy, sizeof(copy), "%s", recipients);
	while ((word = strsep(&rest, " ")) != NULL)
		answered("10:00:01", ID, word, REFUSED);
	account_census_begin(account);
	listed(ID, "deferred", recipients);
	(void)census_over();
	asked[0] = '\0';
	fate = FATE_REFUSED;
	helper_there = true;
}

/* A control character in a quoted local part: listed twice, and one recipient all the same. */
START_TEST(test_spelling_with_quotes)
{
	accepted(ID);
	if (_i == 0)
		answered("10:00:01", ID, "\"u?\"@c.example", AWAY);
	for (int i = 0; i < 2; i++) {
		account_census_begin(account);
		listed(ID, "deferred", "u?@c.example \\\"u?\\\"@c.example");
		ck_assert_uint_eq(census_over(), 0);
		ck_assert_uint_eq(account_counts(account).held, 1);
	}
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1); /* all is known of it */
	account_intent_drop(account, ID);
	answered("10:05:00", ID, "\"u?\"@c.example", AWAY);
	answered("10:06:00", ID, "\"u?\"@c.example", SENT);
	line_in("10:06:00", "qmgr", ID, "removed");
	census_empty();
	census_empty();
	save();
	expect_outcome(ID, _i == 0 ? "\"u?\"@c.example" : "u?@c.example", "delivered");
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
	expect_empty();
}
END_TEST

/* What has lines of its own is a recipient of its own. */
START_TEST(test_spelling_of_two)
{
	accepted(ID);
	answered("10:00:01", ID, "\"u?\"@c.example", AWAY);
	answered("10:00:01", ID, "u?@c.example", AWAY);
	ck_assert_uint_eq(account_counts(account).held, 2);
	answered("10:05:00", ID, "\"u?\"@c.example", SENT);
	ck_assert_uint_eq(account_counts(account).held, 1);
}
END_TEST

START_TEST(test_taken_out)
{
	held_and_listed("a@c.example b@c.example");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ""); /* not before it is on the disk */
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	helper_there = false;
	account_each_intent(account, ask, NULL);
	helper_there = true;
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " refused ");
	asked[0] = '\0';
	account_each_intent(account, ask, NULL); /* once */
	ck_assert_str_eq(asked, "");
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "refused");
	expect_outcome(ID, "b@c.example", "refused");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->reply, "550 5.1.1 User unknown");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "");
	expect_empty();
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
	expect_empty();
}
END_TEST

/* Killed between the asking and the log's line: the outcome is the same. */
START_TEST(test_taken_out_restart)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	restart();
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "anna");
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/* Killed before the asking: the next listing shows it, and it is judged anew. */
START_TEST(test_taken_out_forgotten)
{
	held_and_listed("a@c.example");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	save();
	restart();
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	(void)census_over();
	save();
	ck_assert_uint_eq(notes_saved(), 0);
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "postsuper");
}
END_TEST

static void
listed_again(void)
{
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	(void)census_over();
	save();
}

/* The same of an operator's: he was told that it is removed, so it is asked for. */
START_TEST(test_drop_outlives_restart)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	for (int i = 0; i < 2; i++) {
		restart();
		asked[0] = '\0';
		account_each_intent(account, ask, NULL); /* perhaps it was, and has left */
		ck_assert_str_eq(asked, "");
		listed_again();
		ck_assert_uint_eq(notes_saved(), 1);
		account_each_intent(account, ask, NULL);
		ck_assert_str_eq(asked, ID " removed anna");
	}
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "anna");
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

/* What the helper could not do is asked for again, behind the others; no listing is needed. */
START_TEST(test_drop_failed)
{
	held_and_listed("a@c.example");
	accepted(ID2);
	answered("10:00:01", ID2, "a@c.example", AWAY);
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	ck_assert(account_intend(account, ID2, OUTCOME_REMOVED, "anna"));
	save();
	account_intent_failed(account, ID);
	account_intent_failed(account, ID2); /* was not asked for */
	save();
	ck_assert_uint_eq(notes_saved(), 2);
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " removed anna"); /* the last of the two */
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "bert"));
	account_intent_failed(account, ID);
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " removed anna");
	answered("12:00:00", ID, "a@c.example", SENT); /* meanwhile */
	line_in("12:00:00", "qmgr", ID, "removed");
	account_intent_failed(account, ID);
	asked[0] = '\0';
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, "");
	save();
	expect_outcome(ID, "a@c.example", "delivered");
	ck_assert_uint_eq(notes_saved(), 1);
}
END_TEST

/* A judgement that could not be carried out is made anew. */
START_TEST(test_judged_failed)
{
	held_and_listed("a@c.example");
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
		save();
		account_each_intent(account, ask, NULL);
		if (i == 0)
			account_intent_failed(account, ID);
		else
			account_intent_gone(account, ID);
		save();
		ck_assert_uint_eq(notes_saved(), 0);
	}
}
END_TEST

/* postsuper found none, as it was being moved between two queues: a listing shows it. */
START_TEST(test_drop_gone)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	account_intent_gone(account, ID);
	asked[0] = '\0';
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, "");
	if (_i == 0) {
		listed_again();
		account_each_intent(account, ask, NULL);
		ck_assert_str_eq(asked, ID " removed anna");
		return;
	}
	census_empty(); /* it had left, nobody knows how: not by this */
	census_empty();
	save();
	expect_outcome(ID, "a@c.example", "unaccounted");
	ck_assert_uint_eq(notes_saved(), 0);
	expect_empty();
}
END_TEST

/* The spool takes nothing: what was not recorded is not done; what was, is. */
START_TEST(test_drop_unwritten)
{
	held_and_listed("a@c.example");
	accepted(ID2);
	answered("10:00:01", ID2, "a@c.example", AWAY);
	save();
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	ck_assert(account_intend(account, ID2, OUTCOME_REMOVED, "anna"));
	account_intents_undo(account);
	save();
	ck_assert_uint_eq(notes_saved(), 1);
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " removed anna");
}
END_TEST

/* As long as an answer is due, a listing that shows it proves nothing; nor one older than that. */
START_TEST(test_taken_out_slowly)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	for (int i = 0; i < 2; i++) {
		account_census_begin(account);
		listed(ID, "deferred", "a@c.example");
		if (i == 1)
			account_intent_answered(account, ID);
		(void)census_over();
		save();
		ck_assert_uint_eq(notes_saved(), 1);
	}
	asked[0] = '\0';
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ""); /* nobody knows whether it was done: not again */
	if (_i == 1)
		restart();
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	expect_outcome(ID, "a@c.example", "removed");
	ck_assert_str_eq(row_saved(ID, "a@c.example")->by, "anna");
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
	expect_empty();
}
END_TEST

/* Asked, and no answer came; the next listing shows it: it is judged anew. */
START_TEST(test_taken_out_unanswered)
{
	held_and_listed("a@c.example");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	account_intent_answered(account, ID); /* it was not asked */
	save();
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " refused ");
	account_intent_answered(account, ID);
	account_intent_answered(account, ID2); /* not known */
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
	account_census_begin(account);
	listed(ID, "deferred", "a@c.example");
	(void)census_over();
	save();
	ck_assert_uint_eq(notes_saved(), 0);
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
}
END_TEST

/* The same of an operator's: it is asked for again. */
START_TEST(test_drop_unanswered)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	listed_again(); /* an answer is still due */
	asked[0] = '\0';
	account_intent_answered(account, ID);
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, "");
	listed_again();
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " removed anna");
}
END_TEST

/* It was taken out, and the line got lost: two listings say so, with the intent's outcome. */
START_TEST(test_taken_out_no_line)
{
	held_and_listed("a@c.example");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	save();
	account_each_intent(account, ask, NULL);
	if (_i == 1)
		account_intent_answered(account, ID);
	census_empty();
	census_empty();
	save();
	expect_outcome(ID, "a@c.example", "refused");
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
	expect_empty();
}
END_TEST

/* --- taken out while it is being delivered
 * --------------------------------------------------------- */

/* An operator's, while smtp(8) waits for the primary, and its row is written. */
static void
dropped_meanwhile(void)
{
	held_and_listed("a@c.example");
	ck_assert(account_intend(account, ID, OUTCOME_REMOVED, "anna"));
	save();
	account_each_intent(account, ask, NULL);
	line_in("12:00:00", "postsuper", ID, "removed");
	save();
	told[0] = '\0';
}

static void
expect_kept(const char *outcome, const char *by)
{
	const struct journal_row *row = row_saved(ID, "a@c.example");

	ck_assert_str_eq(journal_outcome_name(row->outcome), outcome);
	ck_assert_str_eq(row->by, by);
	ck_assert_uint_eq(row->size, 285);
	ck_assert_str_eq(row->sender, "s@out.example");
	expect_empty();
}

/* The line of that delivery comes when everything is written: it makes no message anew. */
START_TEST(test_left_then_deferred)
{
	dropped_meanwhile();
	const uint32_t attempts = row_saved(ID, "a@c.example")->attempts;
	if (_i == 1)
		restart();
	answered("12:08:00", ID, "a@c.example", AWAY);
	ck_assert_str_eq(told, "");
	save();
	expect_kept("removed", "anna");
	census_empty();
	census_empty();
	save();
	expect_kept("removed", "anna");
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, attempts);
	ck_assert_uint_eq(account_counts(account).unaccounted, 0);
}
END_TEST

/* The primary has it: that is the outcome, with all that was known of it. */
START_TEST(test_left_then_sent)
{
	dropped_meanwhile();
	const struct journal_row before = *row_saved(ID, "a@c.example");
	if (_i == 1)
		restart();
	answered("12:08:00", ID, "a@c.example", SENT);
	save();
	expect_kept("delivered", "");
	if (_i == 1)
		return; /* its row may have left the spool: what was tried before is not known */
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->attempts, before.attempts + 1);
	ck_assert_int_eq(row_saved(ID, "a@c.example")->first_attempt, before.first_attempt);
}
END_TEST

/* By postsuper, before any line named its recipient: it has a row with that outcome all the same.
 */
START_TEST(test_left_unnamed)
{
	accepted(ID);
	save();
	line_in("10:00:05", "postsuper", ID, "removed");
	save();
	expect_empty();
	answered("10:05:00", ID, "a@c.example", AWAY);
	ck_assert_ptr_eq(strstr(told, "held"), NULL);
	save();
	expect_kept("removed", "postsuper");
	answered("10:06:00", ID, "x@other.example", AWAY);
	save();
	expect_empty();
}
END_TEST

/* Remembered for half an hour, by the log's time and by that of listings. */
START_TEST(test_left_is_bounded)
{
	const char *const later = _i == 0 ? "12:20:00" : "12:40:00";

	dropped_meanwhile();
	accepted(ID2);
	answered("10:00:01", ID2, "a@c.example", AWAY);
	line_in(later, "postsuper", ID2, "removed");
	save();
	ck_assert_uint_eq(notes_saved(), _i == 0 ? 2 : 1);
	line_in(later, "postsuper", ID2, "removed"); /* told twice: as once */
	time_passes();
	ck_assert_uint_eq(notes_saved(), 0);
	restart();
	expect_empty();
}
END_TEST

/* A short id may be another message's soon. */
START_TEST(test_left_id_used_again)
{
	accepted(SHORT);
	answered("10:00:01", SHORT, "a@c.example", AWAY);
	line_in("10:00:02", "postsuper", SHORT, "removed");
	save();
	expect_outcome(SHORT, "a@c.example", "removed");
	accepted(SHORT);
	answered("10:00:04", SHORT, "b@c.example", AWAY);
	save();
	expect_outcome(SHORT, "b@c.example", "held");
	ck_assert_uint_eq(account_counts(account).held, 1);
	ck_assert_uint_eq(notes_saved(), 0);
}
END_TEST

START_TEST(test_whole_messages)
{
	held_and_listed("a@c.example x@d.example");
	fate = FATE_KEEP; /* of the one in c.example */
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
	fate = FATE_REFUSED; /* one refused, one expired: the time takes it out */
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	save();
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " expired ");
}
END_TEST

START_TEST(test_not_all_known)
{
	held_and_listed("a@c.example y@other.example");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
	answered("10:05:00", ID, "b@c.example", REFUSED); /* not in the listing */
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
}
END_TEST

START_TEST(test_delivered_beside)
{
	held_and_listed("a@c.example b@c.example");
	answered("10:05:00", ID, "b@c.example", SENT);
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
}
END_TEST

START_TEST(test_kept_by_operator)
{
	held_and_listed("a@c.example");
	line_in("10:05:00", "postsuper", ID, "placed on hold");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
	line_in("10:06:00", "postsuper", ID, "released from hold");
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
	account_intent_drop(account, ID); /* the helper failed */
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 1);
	ck_assert(!account_intend(account, ID2, OUTCOME_REMOVED, "anna"));
}
END_TEST

START_TEST(test_kept_by_operator_beside_a_listing)
{
	held_and_listed("a@c.example");
	account_census_begin(account);
	line_in("10:05:00", "postsuper", ID, "placed on hold");
	listed(ID, "deferred", "a@c.example");
	(void)census_over();
	ck_assert_uint_eq(account_find_due(account, 10, judge, NULL), 0);
}
END_TEST

static struct account_history judged;

static enum account_fate
judge_history(void *context, const struct account_history *history)
{
	(void)context;
	judged = *history;
	return FATE_KEEP;
}

static void
expect_refusals(uint32_t count, int64_t seconds)
{
	judged.refusals.count = UINT32_MAX;
	(void)account_find_due(account, 10, judge_history, NULL);
	ck_assert_uint_eq(judged.refusals.count, count);
	ck_assert_int_eq(judged.refusals.last - judged.refusals.first, seconds * 1000000);
}

/* Was it refused again by a server that had taken other mail of the domain? */
START_TEST(test_refused_again)
{
	held_and_listed("b@c.example a@c.example");
	expect_refusals(1, 0);
	answered("10:00:10", ID, "a@c.example", REFUSED);
	expect_refusals(2, 9);
	ck_assert_uint_eq(judged.refusals.proven, 0);
	answered("10:00:15", ID, "b@c.example", SENT);
	expect_refusals(2, 9);
	ck_assert_uint_eq(judged.refusals.proven, 0);
	answered("10:00:20", ID, "a@c.example", REFUSED);
	expect_refusals(3, 19);
	ck_assert_uint_eq(judged.refusals.proven, 3);
}
END_TEST

/* Of two servers the good one proves nothing for the other, whatever it is called. */
START_TEST(test_refused_by_another)
{
	static const char taken[] =
	    "to=<%s@c.example>, relay=%s:25, delay=1, delays=1/0/0/0, " SENT;
	char rest[256];

	held_and_listed("b@c.example d@c.example a@c.example");
	answered("10:00:10", ID, "a@c.example", REFUSED);
	snprintf(rest, sizeof(rest), taken, "b", "m[203.0.113.6]");
	line_in("10:00:15", "smtp", ID, rest);
	answered("10:00:20", ID, "a@c.example", REFUSED);
	expect_refusals(3, 19);
	ck_assert_uint_eq(judged.refusals.proven, 0);
	snprintf(rest, sizeof(rest), taken, "d", "another[203.0.113.5]");
	line_in("10:00:25", "smtp", ID, rest);
	answered("10:00:30", ID, "a@c.example", REFUSED);
	expect_refusals(4, 29);
	ck_assert_uint_eq(judged.refusals.proven, 4);
}
END_TEST

/* Those just refused are found without a look at all others: once, and in turns where they are
 * many.
 */
START_TEST(test_just_refused)
{
	held_and_listed("a@c.example");
	fate = FATE_KEEP;
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 0);
	fate = FATE_REFUSED;
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 0);
	answered("10:05:00", ID, "a@c.example", AWAY);
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 0);
	answered("10:06:00", ID, "a@c.example", REFUSED);
	answered("10:07:00", ID, "a@c.example", REFUSED);
	ck_assert_uint_eq(account_find_refused(account, 0, judge, NULL), 0);
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 1);
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 0);
	save();
	account_each_intent(account, ask, NULL);
	ck_assert_str_eq(asked, ID " refused ");
	account_intent_failed(account, ID);
	answered("10:08:00", ID, "a@c.example", REFUSED);
	line_in("10:09:00", "postsuper", ID, "removed"); /* before it is looked at */
	save();
	ck_assert_uint_eq(account_find_refused(account, 10, judge, NULL), 0);
}
END_TEST

/* Its primary was not well: what it refused so far counts no more, the one delivery included. */
START_TEST(test_refusals_anew)
{
	held_and_listed("a@c.example b@c.example x@d.example");
	answered("10:00:10", ID, "a@c.example", REFUSED);
	answered("10:00:12", ID, "x@d.example", REFUSED);
	answered("10:00:15", ID, "b@c.example", SENT);
	save();
	account_refusals_anew(account, "nobody.example");
	ck_assert(!account_is_dirty(account));
	account_refusals_anew(account, "c.example");
	ck_assert(account_is_dirty(account));
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 0);
	ck_assert_uint_ne(row_saved(ID, "x@d.example")->refusals, 0);
	answered("10:00:20", ID, "a@c.example", REFUSED);
	answered("10:00:30", ID, "a@c.example", REFUSED);
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 2);
	restart();
	ck_assert_ptr_nonnull(strstr(told, "held c.example " ID " 285 refused 2;"));
	account_refusals_anew(account, "c.example");
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 0);
}
END_TEST

/* The clock was set: nobody knows what time has passed since the refusals of before. */
START_TEST(test_clock_set)
{
	const bool forward = _i == 0;
	const int64_t day = (NOW / 86400 - 1) * 86400 * (int64_t)1000000; /* that of the lines */

	held_and_listed("a@c.example b@c.example");
	answered("10:00:10", ID, "a@c.example", REFUSED);
	answered("10:00:15", ID, "b@c.example", SENT);
	expect_refusals(2, 9);
	save();
	account_clock_set(account, day + (forward ? 12 : 8) * 3600 * (int64_t)1000000);
	expect_refusals(0, 0);
	ck_assert(account_is_dirty(account));
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 0);
	if (forward) { /* a line of before that is read late */
		answered("10:00:20", ID, "a@c.example", REFUSED);
		expect_refusals(0, 0);
	}
	answered(forward ? "12:00:05" : "08:00:05", ID, "a@c.example", REFUSED);
	answered(forward ? "12:00:12" : "08:00:12", ID, "a@c.example", REFUSED);
	expect_refusals(2, 7);
	save();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 2);
	account_clock_set(account, day + 13 * 3600 * (int64_t)1000000); /* put right */
	save();
	restart();
	ck_assert_uint_eq(row_saved(ID, "a@c.example")->refusals, 0);
}
END_TEST

/* --- looking
 * --------------------------------------------------------------------------------------- */

static void
expect_held(uint64_t recipients, uint64_t messages)
{
	ck_assert_uint_eq(account_counts(account).held, recipients);
	ck_assert_uint_eq(account_counts(account).messages, messages);
}

START_TEST(test_counts)
{
	accepted(ID2);
	answered("10:00:01", ID2, "a@c.example", AWAY);
	accepted(ID);
	answered("10:00:01", ID, "a@c.example", AWAY);
	answered("10:00:01", ID, "b@c.example", AWAY);
	expect_held(3, 2);
	answered("10:00:03", ID, "b@c.example", SENT);
	expect_held(2, 2);
	line_in("10:00:04", "postsuper", ID, "removed");
	line_in("10:00:04", "postsuper", ID2, "removed");
	save();
	expect_held(0, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("account");
	TCase *part = tcase_create("account");

	tcase_add_checked_fixture(part, setup, teardown);
	tcase_add_test(part, test_knows);
	tcase_add_test(part, test_on_hold);
	tcase_add_loop_test(
	    part, test_on_hold_beside_a_listing, 0, sizeof(HOLDS) / sizeof(HOLDS[0]));
	tcase_add_test(part, test_delivered_at_once);
	tcase_add_test(part, test_passed_by);
	tcase_add_test(part, test_answered_before);
	tcase_add_test(part, test_held_then_delivered);
	tcase_add_test(part, test_recipients_of_several);
	tcase_add_test(part, test_removed_by_others);
	tcase_add_test(part, test_requeued_and_bounced);
	tcase_add_test(part, test_rejected_at_the_end);
	tcase_add_loop_test(part, test_requeued_client, 0, 4);
	tcase_add_test(part, test_requeued_only);
	tcase_add_loop_test(part, test_discarded, 0, 2);
	tcase_add_loop_test(part, test_discarded_recipients, 0, 4);
	tcase_add_loop_test(part, test_discarded_among_others, 0, 2);
	tcase_add_loop_test(part, test_told_for_nothing, 0, 4);
	tcase_add_test(part, test_told_in_time);
	tcase_add_test(part, test_told_later);
	tcase_add_test(part, test_told_flood);
	tcase_add_loop_test(part, test_told_again, 0, 3);
	tcase_add_loop_test(part, test_told_again_of_others, 0, 3);
	tcase_add_test(part, test_told_again_in_bounds);
	tcase_add_test(part, test_no_attempts);
	tcase_add_test(part, test_unknown_users);
	tcase_add_test(part, test_restart_everywhere);
	tcase_add_test(part, test_restart_between_recipients);
	tcase_add_test(part, test_restart_beside_others);
	tcase_add_loop_test(part, test_arrival, 0, 2);
	tcase_add_test(part, test_arrival_listed);
	tcase_add_loop_test(part, test_arrival_seen, 0, 2);
	tcase_add_test(part, test_listed_before_its_lines);
	tcase_add_test(part, test_writing_fails);
	tcase_add_test(part, test_cannot_tell);
	tcase_add_test(part, test_coalescing);
	tcase_add_test(part, test_unaccounted);
	tcase_add_test(part, test_listing_restores);
	tcase_add_test(part, test_listing_names);
	tcase_add_loop_test(part, test_listing_names_later, 0, 2);
	tcase_add_loop_test(part, test_listing_cannot_tell, 0, 2);
	tcase_add_test(part, test_listing_races);
	tcase_add_test(part, test_one_recipient_vanishes);
	tcase_add_test(part, test_spelling);
	tcase_add_loop_test(part, test_spelling_with_quotes, 0, 2);
	tcase_add_test(part, test_spelling_of_two);
	tcase_add_test(part, test_taken_out);
	tcase_add_test(part, test_taken_out_restart);
	tcase_add_test(part, test_taken_out_forgotten);
	tcase_add_test(part, test_drop_outlives_restart);
	tcase_add_test(part, test_drop_failed);
	tcase_add_test(part, test_judged_failed);
	tcase_add_test(part, test_just_refused);
	tcase_add_loop_test(part, test_drop_gone, 0, 2);
	tcase_add_test(part, test_drop_unwritten);
	tcase_add_loop_test(part, test_taken_out_slowly, 0, 2);
	tcase_add_test(part, test_taken_out_unanswered);
	tcase_add_test(part, test_drop_unanswered);
	tcase_add_loop_test(part, test_taken_out_no_line, 0, 2);
	tcase_add_loop_test(part, test_left_then_deferred, 0, 2);
	tcase_add_loop_test(part, test_left_then_sent, 0, 2);
	tcase_add_test(part, test_left_unnamed);
	tcase_add_loop_test(part, test_left_is_bounded, 0, 2);
	tcase_add_test(part, test_left_id_used_again);
	tcase_add_test(part, test_whole_messages);
	tcase_add_test(part, test_not_all_known);
	tcase_add_test(part, test_delivered_beside);
	tcase_add_test(part, test_kept_by_operator);
	tcase_add_test(part, test_refused_again);
	tcase_add_test(part, test_refused_by_another);
	tcase_add_test(part, test_refusals_anew);
	tcase_add_test(part, test_kept_by_operator_beside_a_listing);
	tcase_add_loop_test(part, test_clock_set, 0, 2);
	tcase_add_test(part, test_counts);
	suite_add_tcase(suite, part);
	return table_run(suite);
}
