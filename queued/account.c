/*
 * account: what lines of the log and listings of the queue do to the accounts (see account.h).
 */
#include "queued/account_inner.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BY_POSTFIX "postfix"
#define BY_POSTSUPER "postsuper"
#define BY_REQUEUE "postsuper -r"
#define ABSENT_TWICE 2

/* --- life
 * ------------------------------------------------------------------------------------------ */

struct account *
account_new(const struct account_ports *ports)
{
	struct account *account = calloc(1, sizeof(*account));

	if (account == NULL)
		return NULL;
	account->ports = *ports;
	TAILQ_INIT(&account->urgent);
	TAILQ_INIT(&account->lazy);
	TAILQ_INIT(&account->written_rows);
	TAILQ_INIT(&account->changed);
	TAILQ_INIT(&account->written);
	TAILQ_INIT(&account->intents);
	TAILQ_INIT(&account->nameless);
	TAILQ_INIT(&account->left);
	TAILQ_INIT(&account->refused);
	TAILQ_INIT(&account->told);
	return account;
}

static void
free_message(struct keyed_node *node, void *context)
{
	message_free(context, KEYED_OWNER(node, struct message, node));
}

static void
free_departed(struct keyed_node *node, void *context)
{
	struct account *account = context;

	keyed_remove(&account->departed, node);
	free(KEYED_OWNER(node, struct departed, node));
}

void
account_free(struct account *account)
{
	if (account == NULL)
		return;
	account->listing_runs = false;
	keyed_each(&account->messages, free_message, account);
	keyed_each(&account->departed, free_departed, account);
	discard_free(account);
	keyed_free(&account->messages);
	keyed_free(&account->holdings);
	keyed_free(&account->departed);
	words_free(&account->words);
	free(account);
}

struct account_counts
account_counts(const struct account *account)
{
	return (struct account_counts){.messages = account->messages.count - account->left_count,
	    .held = account->held,
	    .unaccounted = account->unaccounted,
	    .lost_domain = account->lost_domain,
	    .lost_id = account->lost_id};
}

/* --- the log ------------------------------------------------------------------------------------
 */

/* What its note and its rows say has changed: a listing may have shown it before the log did. */
static void
message_told(struct account *account, struct message *message, int64_t at)
{
	message->stale = true;
	message_changed(account, message);
	for (struct recipient *one = message->recipients; one != NULL; one = one->next)
		recipient_waits(account, one, WAITING_URGENT, at);
}

/* The message has gone on under another id, which has its client. */
static bool
client_inherit(struct account *account, struct message *message, const char *former_id)
{
	const struct message *former = message_find(account, former_id);

	return former == NULL || former == message || message_part_unknown(former->client) ||
	       message_set_text(account, &message->client, former->client);
}

static bool
on_client(struct account *account, const struct maillog_event *event)
{
	struct message *message = message_get(account, event->queue_id, event->at);

	if (message != NULL)
		message = message_anew(account, message, event->at);
	const char *before = message != NULL ? message->client : NULL;
	if (message == NULL || !message_set_part(account, &message->client, event->address) ||
	    (event->former_id[0] != '\0' && !client_inherit(account, message, event->former_id)))
		return false;
	message_arrived(message, event->at);
	if (message->client != before)
		message_told(account, message, event->at);
	return true;
}

static bool
on_from(struct account *account, const struct maillog_event *event)
{
	struct message *message = message_get(account, event->queue_id, event->at);
	const char *before = message != NULL ? message->sender : NULL;

	if (message == NULL || !message_set_part(account, &message->sender, event->address))
		return false;
	discard_not(account, event->queue_id);
	message->size = event->size;
	message->unnamed = event->recipients;
	message->passed = message->answered = false;
	if (message->sender != before)
		message_told(account, message, event->at);
	return true;
}

static void
code_of(const struct maillog_event *event, char out[16])
{
	if (event->enhanced[0] != '\0')
		snprintf(out, 16, "%s", event->enhanced);
	else if (event->code != 0)
		snprintf(out, 16, "%u", event->code);
	else
		out[0] = '\0';
}

/* What was said, and by whom. Postfix's own words do not replace a primary's refusal. */
static void
attempt_words(
    struct account *account, struct recipient *recipient, const struct maillog_event *event)
{
	char text[JOURNAL_TEXT_SIZE];
	const bool words = event->stage != MAILLOG_STAGE_NONE || event->result == ATTEMPT_SENT;

	if (!words && recipient->refusals.count > 0)
		return;
	journal_text(text, sizeof(text), event->reply.at, event->reply.length);
	(void)message_set_text(account, &recipient->reply, text);
	code_of(event, recipient->code);
	if (event->relay.length == 4 && memcmp(event->relay.at, "none", 4) == 0)
		return;
	journal_text(
	    text, sizeof(((struct journal_row *)0)->primary), event->relay.at, event->relay.length);
	(void)message_set_text(account, &recipient->primary, text);
}

static void
tell_attempt(
    struct account *account, const struct recipient *recipient, const struct maillog_event *event)
{
	char reply[JOURNAL_TEXT_SIZE], primary[256];
	const struct event_attempt attempt = {
	    .domain = recipient->holding->name,
	    .queue_id = event->queue_id,
	    .result = event->result,
	    .code = event->code,
	    .enhanced = event->enhanced,
	    .reply = reply,
	    .unknown_user =
		event->result == ATTEMPT_REFUSED && refusal_kind_of(event) == REFUSAL_UNKNOWN_USER,
	    .passed = recipient->message->passed,
	    .answered = recipient->message->answered,
	    .primary = primary,
	    .at = event->at,
	};

	journal_text(reply, sizeof(reply), event->reply.at, event->reply.length);
	journal_text(primary, sizeof(primary), event->relay.at, event->relay.length);
	if (strcmp(primary, "none") == 0)
		primary[0] = '\0';
	if (account->ports.sink.attempt != NULL)
		account->ports.sink.attempt(account->ports.sink.context, &attempt);
}

/* "mx.example[192.0.2.1]:25": one server may have several names. */
static uint64_t
server_of(const struct maillog_event *event)
{
	const struct maillog_text *relay = &event->relay;
	const char *address;

	if (relay->length == 0)
		return 0;
	address = memchr(relay->at, '[', relay->length);
	if (address == NULL)
		address = relay->at;
	return XXH3_64bits(address, relay->length - (size_t)(address - relay->at));
}

/* Its place; where it has none, that of whoever took mail longest ago. */
static struct taker *
taker_of(struct holding *holding, uint64_t server)
{
	struct taker *oldest = &holding->taker[0];

	for (size_t i = 0; i < TAKERS; i++) {
		struct taker *taker = &holding->taker[i];

		if (taker->at != 0 && taker->server == server)
			return taker;
		if (taker->at < oldest->at)
			oldest = taker;
	}
	return oldest;
}

static void
note_taken(struct holding *holding, const struct maillog_event *event)
{
	const uint64_t server = server_of(event);

	*taker_of(holding, server) = (struct taker){.server = server, .at = event->at};
}

/* When did the server of this line last take mail of the domain? 0: not known. */
static int64_t
taken_by(struct holding *holding, const struct maillog_event *event)
{
	const uint64_t server = server_of(event);
	const struct taker *taker = taker_of(holding, server);

	return taker->server == server ? taker->at : 0;
}

static void
attempt_count(
    struct account *account, struct recipient *recipient, const struct maillog_event *event)
{
	const uint32_t refusals = recipient->refusals.count;

	recipient->attempts++;
	recipient->last_attempt = event->at;
	if (recipient->first_attempt == 0)
		recipient->first_attempt = event->at;
	if (event->at >= account->refusals_from)
		refusal_note(&recipient->refusals, event, taken_by(recipient->holding, event));
	if (event->result == ATTEMPT_REFUSED)
		message_refused(account, recipient->message);
	const bool tells = recipient->attempts == 1 || recipient->refusals.count != refusals;
	recipient_waits(account, recipient, tells ? WAITING_URGENT : WAITING_LAZY, event->at);
}

/* A delivery that came late still counts; of everything else the first outcome does. */
static void
attempt_outcome(
    struct account *account, struct recipient *recipient, const struct maillog_event *event)
{
	if (event->status == MAILLOG_SENT && recipient->outcome != OUTCOME_DELIVERED)
		recipient_settle(account, recipient, OUTCOME_DELIVERED, "", event->at);
	else if (event->status == MAILLOG_BOUNCED && recipient->outcome == OUTCOME_HELD)
		recipient_settle(account, recipient, OUTCOME_REFUSED, BY_POSTFIX, event->at);
}

static void
on_attempt(struct account *account, struct recipient *recipient, const struct maillog_event *event)
{
	const bool open = recipient->outcome == OUTCOME_HELD;

	if (!open && event->status != MAILLOG_SENT)
		return;
	attempt_words(account, recipient, event);
	if (!event->suspended && event->result != ATTEMPT_HELD)
		attempt_count(account, recipient, event);
	if (event->result == ATTEMPT_SENT)
		note_taken(recipient->holding, event);
	if (!event->suspended)
		tell_attempt(account, recipient, event);
	attempt_outcome(account, recipient, event);
}

/* Its first line. NULL and *later false: not ours. */
static struct recipient *
recipient_first(struct account *account, struct message *message, const struct maillog_event *event,
    const char *text, bool *later)
{
	char domain[DOMAIN_SIZE];
	const enum rows_answer whose =
	    account_whose(account, event->address.at, event->address.length, domain);

	*later = whose == ROWS_CANNOT_TELL;
	if (whose != ROWS_OURS)
		return NULL;
	struct recipient *recipient = recipient_make(account, message, text, domain);
	*later = recipient == NULL;
	if (recipient == NULL)
		return NULL;
	recipient_waits(account, recipient, WAITING_URGENT, event->at);
	if (event->status == MAILLOG_DEFERRED && !message->remembered)
		recipient_tell_held(account, recipient);
	return recipient;
}

/*
 * The message was taken out while this delivery was under way. What its recipients became stands
 * already, unless this one has no row yet (so it gets the same), or was delivered.
 */
static bool
is_too_late(const struct message *message, const struct maillog_event *event)
{
	return message->restored && event->status != MAILLOG_SENT;
}

/* One more recipient has a line. Where all have one, and none is ours, it needs no note. */
static void
message_named(struct account *account, struct message *message)
{
	if (message->unnamed > 0 && message->unnamed != UNNAMED_UNKNOWN)
		message->unnamed--;
	if (message->unnamed == 0 && message->recipients == NULL && !message->foreign) {
		message->foreign = true;
		message_changed(account, message);
	}
}

static void
settle_all(struct account *account, struct message *message, enum journal_outcome outcome,
    const char *by, int64_t at)
{
	for (struct recipient *one = message->recipients; one != NULL; one = one->next)
		if (one->outcome == OUTCOME_HELD)
			recipient_settle(account, one, outcome, by, at);
}

static bool
on_delivery(struct account *account, const struct maillog_event *event)
{
	struct message *message = message_get(account, event->queue_id, event->at);
	char text[JOURNAL_ADDRESS_SIZE];
	bool later = false;

	if (message == NULL)
		return false;
	message_arrived(message, event->at - event->delay);
	journal_address(text, event->address.at, event->address.length);
	struct recipient *recipient = recipient_find_listed(message, text);
	/* One that has lines of its own is another. */
	if (recipient != NULL && recipient->attempts > 0 && !recipient->from_listing)
		recipient = recipient_find(message, text);
	if (recipient == NULL && is_too_late(message, event))
		return true;
	if (recipient == NULL)
		recipient = recipient_first(account, message, event, text, &later);
	if (later)
		return false;
	if (recipient != NULL)
		on_attempt(account, recipient, event);
	if (message->remembered)
		settle_all(account, message, message->left, message->left_by, message->left_at);
	message_named_one(account, message);
	message_named(account, message);
	return true;
}

/* Its file is gone. Recipients without an outcome wait for the listings: a line may be late. */
static void
on_removed(struct account *account, struct message *message)
{
	if (!message_open(message))
		message_gone(account, message);
}

static void
on_super_removed(struct account *account, struct message *message, int64_t at)
{
	const bool meant = message->intent_stage != INTENT_NONE;
	const enum journal_outcome outcome = meant ? message->intent : OUTCOME_REMOVED;
	const char *by = !meant                       ? BY_POSTSUPER
			 : message->intent_by != NULL ? message->intent_by
						      : "";

	settle_all(account, message, outcome, by, at);
	message_left(account, message, outcome, by, at);
}

static void
hold_told(const struct account *account, struct message *message, bool on_hold)
{
	message->on_hold = on_hold;
	message->hold_at = account->listing;
}

static void
on_known(struct account *account, struct message *message, const struct maillog_event *event)
{
	switch (event->kind) {
	case MAILLOG_EXPIRED: settle_all(account, message, OUTCOME_EXPIRED, "", event->at); break;
	case MAILLOG_REMOVED: on_removed(account, message); break;
	case MAILLOG_REJECTED:
		discard_not(account, event->queue_id);
		message_gone(account, message);
		break;
	case MAILLOG_SUPER_REMOVED: on_super_removed(account, message, event->at); break;
	case MAILLOG_SUPER_REQUEUED:
		settle_all(account, message, OUTCOME_REMOVED, BY_REQUEUE, event->at);
		message_left(account, message, OUTCOME_REMOVED, BY_REQUEUE, event->at);
		break;
	case MAILLOG_PASSED: message->passed = true; break;
	case MAILLOG_ANSWERED: message->answered = true; break;
	case MAILLOG_SUPER_HELD: hold_told(account, message, true); break;
	case MAILLOG_SUPER_RELEASED: hold_told(account, message, false); break;
	default: break;
	}
}

bool
account_event(struct account *account, const struct maillog_event *event)
{
	struct message *message;

	switch (event->kind) {
	case MAILLOG_NONE: return true;
	case MAILLOG_CLIENT:
	case MAILLOG_LOCAL: return on_client(account, event);
	case MAILLOG_FROM: return on_from(account, event);
	case MAILLOG_DELIVERY: return on_delivery(account, event);
	case MAILLOG_DISCARDED: return discard_event(account, event);
	default: break;
	}
	message = message_find(account, event->queue_id);
	if (message != NULL)
		on_known(account, message, event);
	return true;
}

enum account_knows
account_knows(const struct account *account, const char *queue_id)
{
	const struct message *message = message_find(account, queue_id);

	if (message == NULL || message->remembered)
		return ACCOUNT_UNKNOWN;
	return message->seen_at > 0 ? ACCOUNT_LISTED : ACCOUNT_KNOWN;
}

bool
account_on_hold(const struct account *account, const char *queue_id)
{
	const struct message *message = message_find(account, queue_id);

	return message != NULL && message->on_hold;
}

/* --- listings ------------------------------------------------------------------------------------
 */

void
account_census_begin(struct account *account)
{
	account->listing++;
	account->listing_runs = true;
}

/* Messages in others are on their way; the log will say what becomes of them in a moment. */
static bool
queue_is_held(const char *queue)
{
	return strcmp(queue, "deferred") == 0 || strcmp(queue, "hold") == 0;
}

/*
 * That moment is over: its first attempt takes long, or the clock was set back since. (One that is
 * not known may have left since.)
 */
static bool
takes_long(const struct message *message, int64_t now)
{
	const int64_t age = now - message->accepted_at;

	return age >= ACCOUNT_NAMELESS || age < 0;
}

bool
account_wants_names(const struct account *account, int64_t now)
{
	const struct message *first = TAILQ_FIRST(&account->nameless);

	return first != NULL && takes_long(first, now);
}

/* False: it cannot be told now whose it is (or out of memory). */
static bool
listed_new(struct account *account, struct message *message, const char *address,
    const char *reason, int64_t now)
{
	char domain[DOMAIN_SIZE], text[JOURNAL_ADDRESS_SIZE], words[JOURNAL_TEXT_SIZE];
	const enum rows_answer whose = account_whose(account, address, strlen(address), domain);

	if (whose != ROWS_OURS)
		return whose == ROWS_OTHER;
	journal_address(text, address, strlen(address));
	struct recipient *recipient = recipient_make(account, message, text, domain);
	if (recipient == NULL)
		return false;
	journal_text(words, sizeof(words), reason, strlen(reason));
	(void)message_set_text(account, &recipient->reply, words);
	recipient->seen_at = account->listing;
	recipient->from_listing = true;
	recipient_waits(account, recipient, WAITING_URGENT, now);
	recipient_tell_held(account, recipient);
	return true;
}

/* True: each was taken in, or is not ours. */
static bool
listed_recipients(struct account *account, struct message *message,
    const struct census_message *listed, int64_t now)
{
	const bool held = queue_is_held(listed->queue) || takes_long(message, now);
	bool named = listed->recipients > 0;
	const char *address, *reason;
	char text[JOURNAL_ADDRESS_SIZE];

	for (size_t i = 0; i < listed->recipients; i++) {
		if (!census_recipient(listed, i, &address, &reason))
			continue;
		journal_address(text, address, strlen(address));
		struct recipient *recipient = recipient_find_listed(message, text);
		if (recipient != NULL) {
			recipient->seen_at = account->listing;
			recipient->absent = 0;
			/* Settled since: the listing is older. Or told twice. */
			if (recipient->outcome != OUTCOME_HELD ||
			    recipient != recipient_find(message, text))
				message->listed--;
		} else if (!held || !listed_new(account, message, address, reason, now))
			named = false;
	}
	return named;
}

static struct message *
listed_message(struct account *account, const struct census_message *listed)
{
	struct message *message = message_find(account, listed->queue_id);

	if (strcmp(listed->queue, "maildrop") == 0)
		return NULL; /* of postsuper -r: it gets another id */
	if (message != NULL)
		return message->gone ? NULL : message;
	if (!queue_is_held(listed->queue) ||
	    keyed_find(&account->departed, listed->queue_id, strlen(listed->queue_id)) != NULL)
		return NULL;
	return message_make(account, listed->queue_id, listed->arrived_at);
}

void
account_census_message(struct account *account, const struct census_message *listed, int64_t now)
{
	struct message *message = listed_message(account, listed);

	if (message == NULL)
		return;
	message_arrived(message, listed->arrived_at);
	message->seen_at = account->listing;
	message->absent = 0;
	message->listed = listed->recipients;
	/* A listing that ran when the log told may have seen it before. */
	if (message->hold_at < account->listing)
		message->on_hold = strcmp(listed->queue, "hold") == 0;
	if (message->sender == NULL) {
		const struct maillog_text sender = {listed->sender, strlen(listed->sender)};
		(void)message_set_part(account, &message->sender, sender);
	}
	if (message->size == 0)
		message->size = listed->size;
	if (!listed_recipients(account, message, listed, now))
		return; /* the next listing is asked again */
	message_named_one(account, message);
	if (message->recipients == NULL && queue_is_held(listed->queue))
		message_gone(account, message); /* it waits, and is not ours */
}

/* It left, and no line said how. */
static void
settle_missing(struct account *account, struct recipient *recipient, int64_t now)
{
	const struct message *message = recipient->message;

	if (message->intent_stage == INTENT_ASKED || message->intent_stage == INTENT_ANSWERED) {
		recipient_settle(account, recipient, message->intent,
		    message->intent_by != NULL ? message->intent_by : "", now);
		return;
	}
	recipient_settle(account, recipient, OUTCOME_UNACCOUNTED, "", now);
	account->unaccounted++;
	snprintf(
	    account->lost_domain, sizeof(account->lost_domain), "%s", recipient->holding->name);
	snprintf(account->lost_id, sizeof(account->lost_id), "%s", message->queue_id);
}

struct compare {
	struct account *account;
	int64_t now;
	size_t suspects;
};

static void
compare_recipients(struct compare *compare, struct message *message)
{
	const unsigned listing = compare->account->listing;

	for (struct recipient *one = message->recipients; one != NULL; one = one->next) {
		if (one->outcome != OUTCOME_HELD || one->known_at >= listing ||
		    one->seen_at == listing)
			continue;
		if (++one->absent >= ABSENT_TWICE)
			settle_missing(compare->account, one, compare->now);
		else
			compare->suspects++;
	}
}

static void
compare_absent(struct compare *compare, struct message *message)
{
	if (++message->absent < ABSENT_TWICE) {
		compare->suspects++;
		return;
	}
	for (struct recipient *one = message->recipients; one != NULL; one = one->next)
		if (one->outcome == OUTCOME_HELD)
			settle_missing(compare->account, one, compare->now);
	message_gone(compare->account, message);
}

static void
compare_message(struct keyed_node *node, void *context)
{
	struct compare *compare = context;
	struct message *message = KEYED_OWNER(node, struct message, node);
	const unsigned listing = compare->account->listing;

	if (message->gone || message->known_at >= listing)
		return;
	if (message->seen_at != listing) {
		compare_absent(compare, message);
		return;
	}
	compare_recipients(compare, message);
	if (message->intent_at < listing)
		message_intent_again(compare->account, message);
}

size_t
account_census_end(struct account *account, bool complete, int64_t now)
{
	struct compare compare = {.account = account, .now = now};

	account->listing_runs = false;
	keyed_each(&account->departed, free_departed, account);
	if (!complete)
		return 0;
	account->complete = account->listing;
	account_left_forget(account, now);
	keyed_each(&account->messages, compare_message, &compare);
	return compare.suspects;
}
