/*
 * maillog: one line of Postfix's log (see maillog.h). Sources: Postfix's src/global/log_adhoc.c
 * (delivery), src/qmgr/qmgr_active.c, src/smtpd/smtpd.c, src/postsuper/postsuper.c, and
 * src/smtp/smtp_trouble.c (the primary's words).
 *
 * It looks at each byte a bounded number of times, and keeps nothing.
 */
#include "queued/maillog.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is left of the line. */
struct cursor {
	const char *at, *end;
};

static size_t
left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* Takes `word`, if it comes next. */
static bool
take(struct cursor *cursor, const char *word)
{
	const size_t length = strlen(word);

	if (left(cursor) < length || memcmp(cursor->at, word, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

/* Takes what stands before the next `mark`, and the mark. */
static bool
take_until(struct cursor *cursor, char mark, struct maillog_text *out)
{
	const char *found = memchr(cursor->at, mark, left(cursor));

	if (found == NULL)
		return false;
	*out = (struct maillog_text){cursor->at, (size_t)(found - cursor->at)};
	cursor->at = found + 1;
	return true;
}

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* Takes 1 to `most` digits. */
static bool
take_number(struct cursor *cursor, size_t most, uint64_t *out)
{
	size_t count = 0;

	*out = 0;
	while (cursor->at < cursor->end && count < most && is_digit(*cursor->at)) {
		*out = *out * 10 + (uint64_t)(*cursor->at++ - '0');
		count++;
	}
	return count > 0 && (cursor->at == cursor->end || !is_digit(*cursor->at));
}

static bool
text_is(const struct maillog_text *text, const char *word)
{
	return text->length == strlen(word) && memcmp(text->at, word, text->length) == 0;
}

/* --- the time --------------------------------------------------------------------------------- */

/* Exactly `digits` digits, as a number between low and high. */
static bool
take_fixed(struct cursor *cursor, size_t digits, int low, int high, int *out)
{
	*out = 0;
	if (left(cursor) < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (!is_digit(cursor->at[i]))
			return false;
		*out = *out * 10 + (cursor->at[i] - '0');
	}
	cursor->at += digits;
	return *out >= low && *out <= high;
}

static bool
take_clock(struct cursor *cursor, struct tm *out)
{
	return take_fixed(cursor, 2, 0, 23, &out->tm_hour) && take(cursor, ":") &&
	       take_fixed(cursor, 2, 0, 59, &out->tm_min) && take(cursor, ":") &&
	       take_fixed(cursor, 2, 0, 60, &out->tm_sec);
}

static bool
take_month(struct cursor *cursor, struct tm *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12 && left(cursor) >= 3; i++)
		if (memcmp(cursor->at, names + (size_t)i * 3, 3) == 0) {
			out->tm_mon = i;
			cursor->at += 3;
			return true;
		}
	return false;
}

/* As far as such a line tells it. */
static bool
is_same_second(const struct tm *a, const struct tm *b)
{
	return a->tm_sec == b->tm_sec && a->tm_min == b->tm_min && a->tm_hour == b->tm_hour &&
	       a->tm_mday == b->tm_mday && a->tm_mon == b->tm_mon;
}

/* The hour that comes twice when summer time ends has two readings: the one nearer to `now`. */
static int64_t
nearer_reading(const struct tm *given, int64_t at, int64_t now)
{
	static const int shifts[] = {-7200, -3600, -1800, 1800, 3600, 7200}; /* that zones have */
	int64_t best = at;

	for (size_t i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
		const time_t other = (time_t)(at + shifts[i]);
		struct tm parts;
		if (llabs(other - now) < llabs(best - now) && localtime_r(&other, &parts) != NULL &&
		    is_same_second(&parts, given))
			best = other;
	}
	return best;
}

/*
 * Of last year, this and the next, the one nearest to `now`, at most a day ahead. The last answer
 * is kept: lines of the same second follow each other by the thousand, and mktime(3) looks at
 * /etc/localtime each time.
 */
static bool
year_guess(const struct tm *given, int64_t now, int64_t *seconds)
{
	static struct {
		bool set;
		int64_t now, seconds;
		struct tm given;
	} last;
	const time_t present = (time_t)now;
	struct tm today;

	if (last.set && last.now == now && is_same_second(&last.given, given)) {
		*seconds = last.seconds;
		return true;
	}
	if (localtime_r(&present, &today) == NULL)
		return false;
	for (int year = today.tm_year + 1; year >= today.tm_year - 1; year--) {
		struct tm wanted = *given;
		wanted.tm_year = year;
		wanted.tm_isdst = -1;
		const int64_t at = mktime(&wanted);
		if (wanted.tm_mon != given->tm_mon || at > now + 86400)
			continue; /* the 29th of February of another year; the future */
		*seconds = last.seconds = nearer_reading(given, at, now);
		last.now = now;
		last.given = *given;
		last.set = true;
		return true;
	}
	return false;
}

/* "Nov  1 02:03:04" */
static bool
take_traditional(struct cursor *cursor, int64_t now, int64_t *at)
{
	struct tm parts = {.tm_sec = 0};
	int64_t seconds;

	if (!take_month(cursor, &parts) || !take(cursor, " "))
		return false;
	if (!take_fixed(cursor, take(cursor, " ") ? 1 : 2, 1, 31, &parts.tm_mday) ||
	    !take(cursor, " ") || !take_clock(cursor, &parts) || !year_guess(&parts, now, &seconds))
		return false;
	*at = seconds * 1000000;
	return true;
}

static void
take_fraction(struct cursor *cursor, int64_t *at)
{
	int64_t unit = 100000;

	if (!take(cursor, "."))
		return;
	for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++, unit /= 10)
		*at += unit * (*cursor->at - '0');
}

/* "Z", "+01:00", "-0330": what is to be taken off. */
static bool
take_zone(struct cursor *cursor, int64_t *seconds)
{
	int hours, minutes;
	const bool ahead = left(cursor) > 0 && *cursor->at == '+';

	*seconds = 0;
	if (take(cursor, "Z"))
		return true;
	if ((!take(cursor, "+") && !take(cursor, "-")) || !take_fixed(cursor, 2, 0, 23, &hours))
		return false;
	(void)take(cursor, ":");
	if (!take_fixed(cursor, 2, 0, 59, &minutes))
		return false;
	*seconds = ((int64_t)hours * 3600 + (int64_t)minutes * 60) * (ahead ? 1 : -1);
	return true;
}

/* RFC 3339: "2026-11-01T02:03:04.123456+01:00" */
static bool
take_rfc3339(struct cursor *cursor, int64_t *at)
{
	struct tm parts = {.tm_sec = 0};
	int64_t offset;

	if (!take_fixed(cursor, 4, 1970, 9999, &parts.tm_year) || !take(cursor, "-") ||
	    !take_fixed(cursor, 2, 1, 12, &parts.tm_mon) || !take(cursor, "-") ||
	    !take_fixed(cursor, 2, 1, 31, &parts.tm_mday) || !take(cursor, "T") ||
	    !take_clock(cursor, &parts))
		return false;
	parts.tm_year -= 1900;
	parts.tm_mon -= 1;
	*at = (int64_t)timegm(&parts) * 1000000;
	take_fraction(cursor, at);
	if (!take_zone(cursor, &offset))
		return false;
	*at -= offset * 1000000;
	return true;
}

/* --- fields --------------------------------------------------------------------------------- */

/* Behind the opening quote: up to and with the closing one. */
static bool
skip_quoted(struct cursor *cursor)
{
	while (cursor->at < cursor->end) {
		const char byte = *cursor->at++;
		if (byte == '"')
			return true;
		if (byte == '\\' && cursor->at < cursor->end)
			cursor->at++;
	}
	return false;
}

/* "<address>": what stands in it. A bracket within quotes does not end it. */
static bool
take_address(struct cursor *cursor, struct maillog_text *out)
{
	struct maillog_text rest;

	if (!take(cursor, "<"))
		return false;
	const char *from = cursor->at;
	if (take(cursor, "\"") && !skip_quoted(cursor))
		return false;
	if (!take_until(cursor, '>', &rest))
		return false;
	*out = (struct maillog_text){from, (size_t)(cursor->at - 1 - from)};
	return true;
}

/* A value of our own making (of Postfix's, that is): up to the next ", ". */
static bool
take_value(struct cursor *cursor, struct maillog_text *out)
{
	const char *comma = memmem(cursor->at, left(cursor), ", ", 2);

	if (comma == NULL)
		return false;
	*out = (struct maillog_text){cursor->at, (size_t)(comma - cursor->at)};
	cursor->at = comma;
	return true;
}

static bool
is_long_id(char byte)
{
	return byte != '\0' &&
	       strchr("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz", byte) != NULL;
}

static bool
is_hex(char byte)
{
	return is_digit(byte) || (byte >= 'A' && byte <= 'F');
}

/*
 * "ID", up to a colon or the end. No vowels stand in a long id, and a short one is hexadecimal: so
 * no word of Postfix's own
 * ("warning: ", "NOQUEUE: ") is one.
 */
static bool
take_bare_id(struct cursor *cursor, char out[JOURNAL_ID_SIZE])
{
	bool of_long = true, of_hex = true;
	size_t length = 0;

	while (length < left(cursor) && length < JOURNAL_ID_SIZE && cursor->at[length] != ':') {
		of_long = of_long && is_long_id(cursor->at[length]);
		of_hex = of_hex && is_hex(cursor->at[length]);
		length++;
	}
	if (length < 5 || length >= JOURNAL_ID_SIZE || (!of_long && !of_hex))
		return false;
	memcpy(out, cursor->at, length);
	out[length] = '\0';
	cursor->at += length;
	return true;
}

static bool
take_id(struct cursor *cursor, char out[JOURNAL_ID_SIZE])
{
	return take_bare_id(cursor, out) && take(cursor, ": ");
}

/* --- the primary's words ---------------------------------------------------------------------- */

/* "5.1.1" */
static bool
take_enhanced(struct cursor *cursor, char out[16])
{
	struct cursor next = *cursor;
	uint64_t part;

	if (left(&next) < 2 || *next.at < '2' || *next.at > '5' || next.at[1] != '.' ||
	    !take_number(&next, 1, &part) || !take(&next, ".") || !take_number(&next, 3, &part) ||
	    !take(&next, ".") || !take_number(&next, 3, &part))
		return false;
	if (next.at < next.end && *next.at != ' ')
		return false;
	memcpy(out, cursor->at, (size_t)(next.at - cursor->at));
	out[next.at - cursor->at] = '\0';
	*cursor = next;
	return true;
}

/* "550 5.1.1 text", "550-5.1.1 text", "550" */
static bool
reply_read(struct maillog_text reply, unsigned *code, char enhanced[16])
{
	struct cursor cursor = {reply.at, reply.at + reply.length};
	uint64_t number;

	if (!take_number(&cursor, 3, &number) || number < 200 || number > 599)
		return false;
	if (left(&cursor) > 0 && !take(&cursor, " ") && !take(&cursor, "-"))
		return false;
	*code = (unsigned)number;
	enhanced[0] = '\0';
	(void)take_enhanced(&cursor, enhanced);
	return true;
}

static const char *
last_of(struct maillog_text text, const char *word)
{
	const size_t length = strlen(word);

	for (size_t i = text.length; i >= length; i--)
		if (memcmp(text.at + i - length, word, length) == 0)
			return text.at + i - length;
	return NULL;
}

/* Cuts "(in reply to RCPT TO command)" off, which Postfix puts last. */
static enum maillog_stage
stage_take(struct maillog_text *reply)
{
	static const char before[] = " (in reply to ";
	static const struct {
		const char *words;
		enum maillog_stage stage;
	} stages[] = {
	    {"MAIL FROM command)", MAILLOG_STAGE_MAIL},
	    {"RCPT TO command)", MAILLOG_STAGE_RCPT},
	    {"DATA command)", MAILLOG_STAGE_DATA},
	    {"end of DATA command)", MAILLOG_STAGE_END},
	    {"EHLO command)", MAILLOG_STAGE_GREETING},
	    {"HELO command)", MAILLOG_STAGE_GREETING},
	    {"STARTTLS command)", MAILLOG_STAGE_GREETING},
	};
	const char *found = last_of(*reply, before);

	if (found == NULL)
		return MAILLOG_STAGE_OTHER;
	const char *words = found + sizeof(before) - 1;
	const struct maillog_text name = {words, (size_t)(reply->at + reply->length - words)};
	reply->length = (size_t)(found - reply->at);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (text_is(&name, stages[i].words))
			return stages[i].stage;
	return MAILLOG_STAGE_OTHER;
}

/* "host NAME[ADDRESS] said: REPLY (in reply to ... command)" */
static void
words_read(struct cursor cursor, struct maillog_event *out)
{
	struct maillog_text host, reply;
	enum maillog_stage stage;

	(void)take(&cursor, "Protocol error: ");
	if (!take(&cursor, "host ") || !take_until(&cursor, ' ', &host))
		return;
	const bool said = take(&cursor, "said: ");
	if (!said && !take(&cursor, "refused to talk to me: "))
		return;
	reply = (struct maillog_text){cursor.at, left(&cursor)};
	stage = said ? stage_take(&reply) : MAILLOG_STAGE_GREETING;
	if (!reply_read(reply, &out->code, out->enhanced))
		return;
	out->reply = reply;
	out->stage = stage;
	if (text_is(&out->relay, "none"))
		out->relay = host;
}

/*
 * Postfix's own words in the place of a greeting without the pinned banner: policyd's map
 * `greeting` makes them (X.7.5 is about cryptography, no server greets with it). Nothing was
 * offered to whoever it is, and he says nothing of the primary.
 */
static bool
is_stranger(const struct maillog_event *event)
{
	return event->stage == MAILLOG_STAGE_GREETING && event->code == 421 &&
	       strcmp(event->enhanced, "4.7.5") == 0;
}

static enum attempt_result
result_of(const struct maillog_event *event, const struct maillog_text *daemon)
{
	if (event->status == MAILLOG_SENT)
		return ATTEMPT_SENT;
	if (event->stage != MAILLOG_STAGE_NONE && !is_stranger(event))
		return event->code >= 500 ? ATTEMPT_REFUSED : ATTEMPT_DEFERRED;
	if ((text_is(daemon, "error") || text_is(daemon, "retry")) && !event->suspended &&
	    strcmp(event->enhanced, "4.3.2") == 0)
		return ATTEMPT_HELD;
	return ATTEMPT_UNREACHED;
}

/* --- lines by what they begin with ----------------------------------------------------------- */

static bool
status_take(struct cursor *cursor, enum maillog_status *out)
{
	static const struct {
		const char *word;
		enum maillog_status status;
	} words[] = {
	    {"sent (", MAILLOG_SENT},
	    {"deferred (", MAILLOG_DEFERRED},
	    {"SOFTBOUNCE (", MAILLOG_DEFERRED},
	    {"bounced (", MAILLOG_BOUNCED},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (take(cursor, words[i].word)) {
			*out = words[i].status;
			return true;
		}
	return false; /* "deliverable", "undeliverable": of a probe, not of mail */
}

static bool
enhanced_copy(struct maillog_text text, char out[16])
{
	struct cursor cursor = {text.at, text.at + text.length};

	return take_enhanced(&cursor, out) && left(&cursor) == 0;
}

/* "0.31", "86400": 0 where it is neither. */
static int64_t
delay_read(struct maillog_text text)
{
	struct cursor cursor = {text.at, text.at + text.length};
	uint64_t seconds;

	if (!take_number(&cursor, 9, &seconds))
		return 0;
	int64_t delay = (int64_t)seconds * 1000000;
	take_fraction(&cursor, &delay);
	return left(&cursor) == 0 ? delay : 0;
}

/* ", relay=..., conn_use=..., delay=..., delays=..., dsn=..., status=": up to the status's word. */
static bool
fields_take(struct cursor *cursor, struct maillog_event *out)
{
	struct maillog_text value;

	if (take(cursor, ", orig_to=") && !take_address(cursor, &value))
		return false;
	if (!take(cursor, ", relay=") || !take_value(cursor, &out->relay))
		return false;
	if (take(cursor, ", conn_use=") && !take_value(cursor, &value))
		return false;
	if (!take(cursor, ", delay=") || !take_value(cursor, &value))
		return false;
	out->delay = delay_read(value);
	if (take(cursor, ", delays=") && !take_value(cursor, &value))
		return false;
	return take(cursor, ", dsn=") && take_value(cursor, &value) &&
	       enhanced_copy(value, out->enhanced) && take(cursor, ", status=");
}

/* "to=<a@b>, orig_to=<c@d>, relay=..., dsn=4.1.1, status=deferred (text)" */
static bool
delivery_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	if (!take_address(cursor, &out->address) || !fields_take(cursor, out) ||
	    !status_take(cursor, &out->status))
		return false;
	if (left(cursor) > 0 && cursor->end[-1] == ')')
		cursor->end--;
	out->suspended = take(cursor, "delivery temporarily suspended: ");
	out->reply = (struct maillog_text){cursor->at, left(cursor)};
	if (out->status == MAILLOG_SENT) {
		char unused[16];
		(void)reply_read(out->reply, &out->code, unused);
	} else
		words_read(*cursor, out);
	out->result = result_of(out, daemon);
	return true;
}

/* "name[address]", with ":port" behind it where smtpd_client_port_logging is on: the address. */
static bool
client_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	struct maillog_text name;

	(void)daemon;
	return take_until(cursor, '[', &name) && take_until(cursor, ']', &out->address) &&
	       (left(cursor) == 0 || *cursor->at == ':' || *cursor->at == ',');
}

/* "<a@b>, size=1, nrcpt=2 (queue active)", or "<a@b>, status=expired, returned to sender" */
static bool
from_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	uint64_t recipients;

	(void)daemon;
	if (!take_address(cursor, &out->address))
		return false;
	if (take(cursor, ", status=expired") || take(cursor, ", status=force-expired")) {
		out->kind = MAILLOG_EXPIRED;
		return left(cursor) == 0 || *cursor->at == ',';
	}
	if (!take(cursor, ", size=") || !take_number(cursor, 18, &out->size) ||
	    !take(cursor, ", nrcpt=") || !take_number(cursor, 9, &recipients))
		return false;
	out->recipients = (uint32_t)recipients;
	return true;
}

static bool
nothing_more(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	(void)daemon;
	(void)out;
	return left(cursor) == 0;
}

/* "102 from=<a@b> orig_id=ID": its id before postsuper -r, behind the last of other people's text.
 */
static bool
pickup_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	struct cursor rest = *cursor;
	struct maillog_text sender;
	uint64_t uid;

	(void)daemon;
	if (!take_number(&rest, 10, &uid) || !take(&rest, " from=") ||
	    !take_address(&rest, &sender) || !take(&rest, " orig_id=") ||
	    !take_bare_id(&rest, out->former_id) || left(&rest) > 0)
		out->former_id[0] = '\0';
	return true;
}

static bool
anything_more(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	(void)cursor;
	(void)daemon;
	(void)out;
	return true;
}

/* " from name[address]" at the end of `before`. Of a local sender there is none. */
static struct maillog_text
origin_client(struct maillog_text before)
{
	const char *bracket = memrchr(before.at, '[', before.length);
	const char *end = before.at + before.length - 1;

	if (bracket == NULL || *end != ']' || bracket + 1 == end)
		return (struct maillog_text){NULL, 0};
	return (struct maillog_text){bracket + 1, (size_t)(end - bracket - 1)};
}

/*
 * "header Subject: x from name[address]; from=<a@b> to=<c@d> proto=ESMTP helo=<e>: text". A header,
 * the name of the client's greeting and addresses are other people's: where one of them looks like
 * what is sought, so that it is there twice, nothing is known but that the message is gone.
 */
static bool
discard_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	static const char mark[] = "; from=<";
	const char *found = memmem(cursor->at, left(cursor), mark, sizeof(mark) - 1);
	struct maillog_text sender, recipient;
	struct cursor rest;

	(void)daemon;
	if (found == NULL || found == cursor->at)
		return true;
	rest = (struct cursor){found + 1, cursor->end};
	if (memmem(rest.at, left(&rest), mark, sizeof(mark) - 1) != NULL)
		return true;
	rest.at = found + sizeof(mark) - 2; /* at the bracket */
	if (!take_address(&rest, &sender) || !take(&rest, " to=") ||
	    !take_address(&rest, &recipient))
		return true;
	out->client =
	    origin_client((struct maillog_text){cursor->at, (size_t)(found - cursor->at)});
	out->sender = sender;
	out->address = recipient;
	return true;
}

/* "unknown[203.0.113.9]: milter triggers DISCARD action; from=<a@b> to=<c@d> proto=..." */
static bool
milter_discard_read(
    struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	struct maillog_text client, words;
	struct cursor next = *cursor;

	if (!discard_read(cursor, daemon, out) || out->address.at == NULL)
		return true;
	if (take_until(&next, '[', &words) && take_until(&next, ']', &client))
		out->client = client;
	return true;
}

/*
 * Why smtp(8) goes on to the next server, in the words of a line without a recipient: it did not
 * get past TLS, as whoever lacks the pinned certificate, or was greeted in other words than the
 * pinned ones (see is_stranger()); or the server heard of the message, and answered. What the
 * server said stands behind Postfix's own words.
 */
static bool
next_read(struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out)
{
	(void)daemon;
	if (take(cursor, "Server certificate not ") || take(cursor, "TLS is required, but ") ||
	    take(cursor, "Cannot start TLS: "))
		return true;
	words_read(*cursor, out);
	if (is_stranger(out))
		return true;
	out->kind = MAILLOG_ANSWERED;
	return out->stage == MAILLOG_STAGE_MAIL || out->stage == MAILLOG_STAGE_RCPT ||
	       out->stage == MAILLOG_STAGE_DATA || out->stage == MAILLOG_STAGE_END;
}

/* daemon NULL: any. The first that fits is it. */
static const struct {
	const char *daemon, *word;
	enum maillog_kind kind;
	bool (*read)(
	    struct cursor *cursor, const struct maillog_text *daemon, struct maillog_event *out);
} forms[] = {
    {NULL, "to=", MAILLOG_DELIVERY, delivery_read},
    {"qmgr", "from=", MAILLOG_FROM, from_read},
    {"qmgr", "removed", MAILLOG_REMOVED, nothing_more},
    {"smtpd", "client=", MAILLOG_CLIENT, client_read},
    {"qmqpd", "client=", MAILLOG_CLIENT, client_read},
    {"pickup", "uid=", MAILLOG_LOCAL, pickup_read},
    {"cleanup", "milter-reject: END-OF-MESSAGE ", MAILLOG_REJECTED, anything_more},
    {"cleanup", "milter-discard: END-OF-MESSAGE from ", MAILLOG_DISCARDED, milter_discard_read},
    {"cleanup", "milter-discard: ", MAILLOG_DISCARDED, anything_more},
    {"cleanup", "discard: ", MAILLOG_DISCARDED, discard_read},
    {"postsuper", "removed", MAILLOG_SUPER_REMOVED, nothing_more},
    {"postsuper", "requeued", MAILLOG_SUPER_REQUEUED, nothing_more},
    {"postsuper", "placed on hold", MAILLOG_SUPER_HELD, nothing_more},
    {"postsuper", "released from hold", MAILLOG_SUPER_RELEASED, nothing_more},
    {"smtp", "", MAILLOG_PASSED, next_read},
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

const char *
maillog_kind_name(enum maillog_kind kind)
{
	static const char *const names[MAILLOG_KINDS] = {
	    [MAILLOG_NONE] = "none",
	    [MAILLOG_CLIENT] = "client",
	    [MAILLOG_LOCAL] = "local",
	    [MAILLOG_FROM] = "from",
	    [MAILLOG_DELIVERY] = "delivery",
	    [MAILLOG_PASSED] = "passed",
	    [MAILLOG_ANSWERED] = "answered",
	    [MAILLOG_EXPIRED] = "expired",
	    [MAILLOG_REMOVED] = "removed",
	    [MAILLOG_DISCARDED] = "discarded",
	    [MAILLOG_REJECTED] = "rejected",
	    [MAILLOG_SUPER_REMOVED] = "super-removed",
	    [MAILLOG_SUPER_REQUEUED] = "super-requeued",
	    [MAILLOG_SUPER_HELD] = "super-held",
	    [MAILLOG_SUPER_RELEASED] = "super-released",
	};

	return (size_t)kind < MAILLOG_KINDS ? names[kind] : "none";
}

const char *
maillog_stage_name(enum maillog_stage stage)
{
	static const char *const names[] = {
	    [MAILLOG_STAGE_NONE] = "none",
	    [MAILLOG_STAGE_GREETING] = "greeting",
	    [MAILLOG_STAGE_MAIL] = "mail",
	    [MAILLOG_STAGE_RCPT] = "rcpt",
	    [MAILLOG_STAGE_DATA] = "data",
	    [MAILLOG_STAGE_END] = "end",
	    [MAILLOG_STAGE_OTHER] = "other",
	};

	return (size_t)stage < sizeof(names) / sizeof(names[0]) ? names[stage] : "none";
}

/* "postfix/mxhold/smtp": its last part. Without a slash it is not Postfix's. */
static bool
daemon_of(const char *tag, size_t length, struct maillog_text *out)
{
	const char *slash = memrchr(tag, '/', length);

	if (slash == NULL)
		return false;
	*out = (struct maillog_text){slash + 1, (size_t)(tag + length - slash - 1)};
	return out->length > 0;
}

void
maillog_message(const char *tag, size_t tag_length, const char *message, size_t length, int64_t at,
    struct maillog_event *out)
{
	const struct maillog_event none = {
	    .kind = MAILLOG_NONE, .at = at, .tag = {tag, tag_length}};
	struct cursor cursor = {message, message + length};
	struct maillog_text daemon;

	*out = none;
	if (!daemon_of(tag, tag_length, &daemon) || !take_id(&cursor, out->queue_id)) {
		out->queue_id[0] = '\0';
		return;
	}
	for (size_t i = 0; i < FORMS; i++) {
		if (forms[i].daemon != NULL && !text_is(&daemon, forms[i].daemon))
			continue;
		if (!take(&cursor, forms[i].word))
			continue;
		out->kind = forms[i].kind;
		if (!forms[i].read(&cursor, &daemon, out))
			*out = none;
		return;
	}
	*out = none;
}

/* "postfix/smtp[123]: ", or without the process's number. */
static bool
take_tag(struct cursor *cursor, struct maillog_text *out)
{
	const char *from = cursor->at;
	uint64_t pid;

	while (cursor->at < cursor->end && *cursor->at != '[' && *cursor->at != ':' &&
	       *cursor->at != ' ')
		cursor->at++;
	*out = (struct maillog_text){from, (size_t)(cursor->at - from)};
	if (take(cursor, "[") && (!take_number(cursor, 10, &pid) || !take(cursor, "]")))
		return false;
	return out->length > 0 && take(cursor, ": ");
}

bool
maillog_line(const char *line, size_t length, int64_t now, struct maillog_event *out)
{
	struct cursor cursor = {line, line + length};
	struct maillog_text host, tag;
	int64_t at = 0;

	*out = (struct maillog_event){.kind = MAILLOG_NONE};
	while (cursor.end > cursor.at && (cursor.end[-1] == '\n' || cursor.end[-1] == '\r'))
		cursor.end--;
	const bool dated = left(&cursor) > 0 && is_digit(*cursor.at)
			       ? take_rfc3339(&cursor, &at)
			       : take_traditional(&cursor, now, &at);
	if (!dated || !take(&cursor, " ") || !take_until(&cursor, ' ', &host) || host.length == 0 ||
	    !take_tag(&cursor, &tag))
		return false;
	maillog_message(tag.at, tag.length, cursor.at, left(&cursor), at, out);
	return true;
}
