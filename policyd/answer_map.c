/*
 * answer_map: one socketmap request, "name key", from its bytes to its reply.
 *
 * The maps: relay_domains (which domains Postfix may take mail for), transport (by which way it
 * leaves), dns_reply (the fence around that way), pins and greeting (what a pinned primary must
 * show before it gets any). Postfix asks socketmaps for whole keys only, for the transport also for
 * "*"; an address comes unquoted, so its domain is what follows the last '@'. Whatever cannot be
 * told is TEMP: Postfix then defers. NOTFOUND for a domain that we have would send its held mail
 * out by another transport, past the fence.
 */
#include "policyd/answer.h"

#include "core/domain.h"
#include "core/netstring.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NEXT_HOP_BLANKS ", \t"
#define HOLD_WORDS 120 /* bytes of a hold's reason that are shown, with NUL */

#define REPLY_SIZE (NEXT_HOPS_SIZE + 256) /* also for PINS_MOST certificates */

struct map_request {
	const struct answer_view *view;
	struct pin_session *session;
	const char *key;
	size_t length;
	struct answer_note *note;
	char reply[REPLY_SIZE];
};

typedef void map_answer(struct map_request *request);

static void
reply(struct map_request *request, const char *status, const char *text)
{
	(void)snprintf(request->reply, sizeof(request->reply), "%s %s", status, text);
}

/* True: a transaction is open. Else the reply is TEMP. */
static bool
map_usable(struct map_request *request)
{
	if (request->view->begun == SNAPSHOT_OK)
		return true;
	reply(request, "TEMP", "no usable snapshot");
	return false;
}

/*
 * Finds the row that speaks for the domain text[0..length). False: the reply is made, NOTFOUND for
 * what is no domain or has no row, TEMP for what could not be told.
 */
static bool
map_find_row(struct map_request *request, const char *text, size_t length, char domain[DOMAIN_SIZE],
    struct domain_record *record, const char **owner)
{
	if (!domain_normalise(text, length, domain)) {
		reply(request, "NOTFOUND", "");
		return false;
	}
	if (!map_usable(request))
		return false;
	switch (snapshot_domain_for(request->view->snapshot, domain, record, owner)) {
	case SNAPSHOT_OK: return true;
	case SNAPSHOT_NOT_FOUND: reply(request, "NOTFOUND", ""); return false;
	case SNAPSHOT_DAMAGED: reply(request, "TEMP", "damaged record"); return false;
	case SNAPSHOT_UNUSABLE: break;
	}
	reply(request, "TEMP", "snapshot cannot be read");
	return false;
}

/* --- relay_domains ------------------------------------------------------------- */

static void
map_relay_domains(struct map_request *request)
{
	const struct answer_view *view = request->view;
	struct domain_record record;
	char domain[DOMAIN_SIZE];
	const char *owner = NULL;

	if (!map_find_row(request, request->key, request->length, domain, &record, &owner))
		return;
	/* As the rules see it: what they call unknown must not be a destination either. */
	if (decide_retired_expired(
		record.retired_at, view->now.wall, view->relay->judge.queue_lifetime))
		reply(request, "NOTFOUND", "");
	else
		reply(request, "OK", owner);
}

/* --- transport ----------------------------------------------------------------- */

static void
transport_note(struct map_request *request, const char *hop, size_t length, const char *reason)
{
	struct answer_note *note = request->note;

	(void)snprintf(note->text, sizeof(note->text), "%.*s", (int)length, hop);
	answer_note_begin(note, LOG_WARNING, "next-hop-dropped");
	answer_note_add(note, kv_bytes("domain", request->key, request->length));
	answer_note_add(note, kv("next_hop", note->text));
	answer_note_add(note, kv("reason", reason));
}

/*
 * Appends the hops of the row that the fence lets pass. Returns how many it did. `pinned`: the
 * row's name, where smtp(8) is going to ask what it pins there; else NULL.
 */
static size_t
transport_hops(
    struct map_request *request, const char *hops, const struct fleet *fleet, const char *pinned)
{
	size_t kept = 0, used = strlen(request->reply);

	for (;;) {
		struct fence_verdict verdict;
		size_t length;

		hops += strspn(hops, NEXT_HOP_BLANKS);
		length = strcspn(hops, NEXT_HOP_BLANKS);
		if (length == 0)
			return kept;
		verdict = fence_next_hop(hops, length, fleet, &request->view->relay->allow);
		if (verdict.drop) {
			transport_note(request, hops, length, verdict.reason);
		} else {
			used +=
			    (size_t)snprintf(request->reply + used, sizeof(request->reply) - used,
				"%s%.*s", kept == 0 ? "" : ", ", (int)length, hops);
			kept++;
			if (pinned != NULL)
				pins_remember(request->view->pins, hops, length, pinned);
		}
		hops += length;
	}
}

#define HOLD_NO_TIME 0 /* it is renewed as long as it is needed: its end says nothing */

/*
 * The words of a hold: for the log and for `postqueue`, one short line of printable ASCII. On a
 * shared relay Postfix tells them to whoever asks, so that `reason` is none that a person wrote.
 */
static void
transport_hold(struct map_request *request, const char *who, int64_t until, const char *reason)
{
	char when[32] = " until further notice", words[HOLD_WORDS];
	const time_t seconds = (time_t)until;
	struct tm utc;
	size_t used = 0;

	if (until == HOLD_NO_TIME)
		when[0] = '\0';
	else if (until != INT64_MAX && gmtime_r(&seconds, &utc) != NULL)
		(void)strftime(when, sizeof(when), " until %Y-%m-%d %H:%M UTC", &utc);
	for (; *reason != '\0' && used + 1 < sizeof(words); reason++)
		words[used++] = *reason >= ' ' && *reason <= '~' ? *reason : '?';
	words[used] = '\0';
	(void)snprintf(request->reply, sizeof(request->reply), "OK retry:4.3.2 held by %s%s%s%s",
	    who, when, used > 0 ? ": " : "", words);
}

/* Is its mail held back: by the SOC in the row, or by mxhold-queued in the state? */
static bool
transport_held(struct map_request *request, const struct domain_record *record, const char *domain)
{
	static const char *const who[] = {
	    [HOLD_OPERATOR] = "an operator",
	    [HOLD_BREAKER] = "the breaker",
	    [HOLD_WRONG_HOST] = "the pin of the primary",
	};
	const int64_t now = request->view->now.wall;
	struct state_domain state;

	if (record->hold_until > now) {
		transport_hold(request, "the SOC", record->hold_until, "");
		return true;
	}
	if (!facts_record(request->view->facts, domain, &state) || !state_held(&state, now))
		return false;
	transport_hold(request, who[state.hold],
	    state.hold == HOLD_WRONG_HOST ? HOLD_NO_TIME : state.hold_until,
	    state.hold == HOLD_OPERATOR ? "" : state.hold_reason);
	return true;
}

static void
map_transport(struct map_request *request)
{
	const char *at = memrchr(request->key, '@', request->length);
	struct domain_record record;
	char domain[DOMAIN_SIZE];
	const struct fleet *fleet;
	const char *owner = NULL;
	bool pinned;

	if (at != NULL) { /* only the domain counts, and only that is for the log */
		request->length -= (size_t)(at + 1 - request->key);
		request->key = at + 1;
	}
	if (!map_find_row(request, request->key, request->length, domain, &record, &owner))
		return;
	if (transport_held(request, &record, domain))
		return;
	pinned = pins_row(&record);
	reply(request, "OK",
	    pinned                ? "mxhold-pin:"
	    : record.tls_required ? "mxhold-tls:"
				  : "mxhold:");
	if (record.next_hops[0] == '\0')
		return;
	fleet = snapshot_fleet(request->view->snapshot);
	if (fleet == NULL)
		reply(request, "TEMP", "damaged record of a relay");
	else if (transport_hops(request, record.next_hops, fleet, pinned ? owner : NULL) == 0)
		reply(request, "OK", "retry:4.4.4 no next hop of this domain may be used");
}

/* --- dns_reply ------------------------------------------------------------------- */

static void
dns_reply_drop(struct map_request *request, const char *reason)
{
	reply(request, "OK", "IGNORE");
	answer_note_begin(request->note, LOG_WARNING, "dns-record-dropped");
	answer_note_add(request->note, kv_bytes("record", request->key, request->length));
	answer_note_add(request->note, kv("reason", reason));
}

static void
map_dns_reply(struct map_request *request)
{
	struct fence_verdict verdict;
	const struct fleet *fleet;
	struct dns_record record;

	if (!map_usable(request))
		return;
	if (!dns_text_parse(request->key, request->length, &record)) {
		dns_reply_drop(request, "unreadable");
		return;
	}
	fleet = snapshot_fleet(request->view->snapshot);
	if (fleet == NULL) {
		reply(request, "TEMP", "damaged record of a relay");
		return;
	}
	verdict = fence_record(&record, fleet, &request->view->relay->allow);
	if (verdict.drop)
		dns_reply_drop(request, verdict.reason);
	else
		reply(request, "NOTFOUND", "");
}

/* --- pins, greeting -------------------------------------------------------------- */

#define NOT_PINNED "no domain pins this next hop"

static void
pins_note(struct map_request *request, const char *hop, size_t length, size_t left_out)
{
	answer_note_begin(request->note, LOG_WARNING, "pins-left-out");
	answer_note_add(request->note, kv_bytes("next_hop", hop, length));
	answer_note_add(request->note, kv_number("rows", (long long)left_out));
	answer_note_add(request->note, kv_number("most", PINS_MOST));
	answer_note_add(request->note, kv("effect", "their mail waits"));
}

/* False: the reply is TEMP. Nobody pins it: the row has changed, and its mail is led anew. */
static bool
pins_wanted(struct map_request *request, const char *hop, size_t length, struct pin_demand *demand)
{
	const struct answer_view *view = request->view;

	if (!map_usable(request))
		return false;
	if (!pins_at(view->pins, view->snapshot, hop, length, demand))
		reply(request, "TEMP", "snapshot cannot be read");
	else if (demand->rows == 0)
		reply(request, "TEMP", NOT_PINNED);
	if (demand->left_out > 0)
		pins_note(request, hop, length, demand->left_out);
	return demand->rows > 0;
}

/* As smtp_tls_fingerprint_cert_match wants it: "12:ab:...". */
static size_t
put_fingerprint(char *out, size_t size, const char *hex)
{
	size_t used = 0;

	for (size_t i = 0; hex[i] != '\0' && used + 2 < size; i++) {
		if (i > 0 && i % 2 == 0)
			out[used++] = ':';
		out[used++] = hex[i];
	}
	out[used] = '\0';
	return used;
}

/* A TLS policy (smtp_tls_policy_maps) for a next hop. */
static void
map_pins(struct map_request *request)
{
	struct pin_session *session = request->session;
	struct pin_demand demand;
	size_t used;

	*session = (struct pin_session){.next_hop = ""};
	if (request->length < sizeof(session->next_hop))
		memcpy(session->next_hop, request->key, request->length);
	if (!pins_wanted(request, request->key, request->length, &demand))
		return;
	if (demand.certificates == 0) {
		reply(request, "OK", demand.tls_required ? "encrypt" : "may");
		return;
	}
	reply(request, "OK", "fingerprint match=");
	used = strlen(request->reply);
	for (size_t i = 0; i < demand.certificates; i++) {
		if (i > 0)
			request->reply[used++] = '|';
		used += put_fingerprint(
		    request->reply + used, sizeof(request->reply) - used, demand.certificate[i]);
	}
}

/* A line of a server's reply (smtp_reply_filter): one that greets has to show the banner. */
static void
map_greeting(struct map_request *request)
{
	struct pin_session *session = request->session;
	struct pin_demand demand;

	reply(request, "NOTFOUND", "");
	if (session->next_hop[0] == '\0') {
		/* The connection to us broke in the middle: what was taken must not be put off. */
		if (request->length >= 3 && memcmp(request->key, "220", 3) == 0)
			reply(request, "TEMP", "whose greeting it is was not asked before");
		return;
	}
	if (!greeting_note(&session->greeting, request->key, request->length))
		return;
	if (!pins_wanted(request, session->next_hop, strlen(session->next_hop), &demand) ||
	    pin_banner_shown(&demand, request->key, request->length))
		return;
	reply(request, "OK", "421 4.7.5 this is not the pinned primary: it greets in other words");
	answer_note_begin(request->note, LOG_WARNING, "pin-not-shown");
	answer_note_add(request->note, kv("next_hop", session->next_hop));
	answer_note_add(request->note, kv_bytes("greeting", request->key, request->length));
}

/* --- dispatch -------------------------------------------------------------------- */

static const struct {
	const char *name;
	map_answer *answer;
} maps[] = {
    {"relay_domains", map_relay_domains},
    {"transport", map_transport},
    {"dns_reply", map_dns_reply},
    {"pins", map_pins},
    {"greeting", map_greeting},
};

static map_answer *
map_named(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		if (strlen(maps[i].name) == length && memcmp(maps[i].name, name, length) == 0)
			return maps[i].answer;
	}
	return NULL;
}

size_t
answer_map(const struct answer_view *view, struct pin_session *session, const char *data,
    size_t length, struct answer_note *note, char *out, size_t size)
{
	const char *blank = memchr(data, ' ', length);
	struct map_request request = {.view = view, .session = session, .note = note};
	map_answer *answer = NULL;

	note->event = NULL;
	if (blank != NULL) {
		answer = map_named(data, (size_t)(blank - data));
		request.key = blank + 1;
		request.length = length - (size_t)(blank - data) - 1;
	}
	if (answer != NULL) {
		answer(&request);
	} else {
		/* A fault of the configuration, not of the mail: later, not never. */
		reply(&request, "TEMP", blank == NULL ? "not a request" : "no map of that name");
		answer_note_begin(note, LOG_WARNING, "request-refused");
		answer_note_add(note, kv("protocol", "map"));
		answer_note_add(note, kv_bytes("request", data, length < 200 ? length : 200));
	}
	return netstring_encode(out, size, request.reply, strlen(request.reply));
}
