/*
 * account_parts: messages, recipients and the domains they are held for: making them, linking them,
 * giving them an outcome, letting them go. What they mean is account.c's.
 */
#include "queued/account_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- domains ------------------------------------------------------------------------------------
 */

static struct holding *
holding_take(struct account *account, const char *name)
{
	const size_t length = strlen(name);
	struct keyed_node *found = keyed_find(&account->holdings, name, length);

	if (found != NULL)
		return KEYED_OWNER(found, struct holding, node);
	struct holding *holding = calloc(1, sizeof(*holding) + length + 1);
	if (holding == NULL)
		return NULL;
	memcpy(holding->name, name, length + 1);
	TAILQ_INIT(&holding->held);
	if (keyed_add(&account->holdings, &holding->node, holding->name, length))
		return holding;
	free(holding);
	return NULL;
}

static void
holding_drop(struct account *account, struct holding *holding)
{
	if (holding->references > 0)
		return;
	keyed_remove(&account->holdings, &holding->node);
	free(holding);
}

static void
holding_join(struct account *account, struct recipient *recipient)
{
	account->held++;
	TAILQ_INSERT_TAIL(&recipient->holding->held, recipient, in_holding);
}

static void
holding_leave(struct account *account, struct recipient *recipient)
{
	account->held--;
	TAILQ_REMOVE(&recipient->holding->held, recipient, in_holding);
}

/* --- messages ------------------------------------------------------------------------------------
 */

struct message *
message_find(const struct account *account, const char *queue_id)
{
	struct keyed_node *found = keyed_find(&account->messages, queue_id, strlen(queue_id));

	return found != NULL ? KEYED_OWNER(found, struct message, node) : NULL;
}

struct message *
message_make(struct account *account, const char *queue_id, int64_t at)
{
	struct message *message = calloc(1, sizeof(*message));
	const int64_t by_id = journal_queue_id_time(queue_id);

	if (message == NULL)
		return NULL;
	snprintf(message->queue_id, sizeof(message->queue_id), "%s", queue_id);
	message->accepted_at = by_id > 0 ? by_id : at;
	message->guessed = by_id <= 0;
	message->known_at = account->listing;
	message->unnamed = UNNAMED_UNKNOWN;
	if (!keyed_add(
		&account->messages, &message->node, message->queue_id, strlen(message->queue_id))) {
		free(message);
		return NULL;
	}
	message->nameless = true;
	TAILQ_INSERT_TAIL(&account->nameless, message, in_nameless);
	return message;
}

struct message *
message_get(struct account *account, const char *queue_id, int64_t at)
{
	struct message *message = message_find(account, queue_id);

	return message != NULL ? message : message_make(account, queue_id, at);
}

void
message_arrived(struct message *message, int64_t at)
{
	if (message->guessed && at > 0)
		message->accepted_at = at;
	message->guessed = false;
}

void
message_named_one(struct account *account, struct message *message)
{
	if (message->nameless)
		TAILQ_REMOVE(&account->nameless, message, in_nameless);
	message->nameless = false;
}

static void
recipient_free(struct account *account, struct recipient *recipient)
{
	if (recipient->outcome == OUTCOME_HELD)
		holding_leave(account, recipient);
	recipient_waits(account, recipient, WAITING_NOT, 0);
	recipient->holding->references--;
	holding_drop(account, recipient->holding);
	words_drop(&account->words, recipient->text);
	words_drop(&account->words, recipient->primary);
	words_drop(&account->words, recipient->reply);
	words_drop(&account->words, recipient->by);
	free(recipient);
}

static void
departed_add(struct account *account, const char *queue_id)
{
	struct departed *departed = calloc(1, sizeof(*departed));

	if (departed == NULL)
		return; /* at worst the listing shows it once more, and the next does not */
	snprintf(departed->queue_id, sizeof(departed->queue_id), "%s", queue_id);
	const size_t length = strlen(departed->queue_id);
	if (keyed_find(&account->departed, departed->queue_id, length) != NULL ||
	    !keyed_add(&account->departed, &departed->node, departed->queue_id, length))
		free(departed);
}

void
message_free(struct account *account, struct message *message)
{
	if (account->listing_runs)
		departed_add(account, message->queue_id);
	while (message->recipients != NULL) {
		struct recipient *next = message->recipients->next;
		recipient_free(account, message->recipients);
		message->recipients = next;
	}
	message_intent_clear(account, message);
	message_refused_unlink(account, message);
	message_left_unlink(account, message);
	message_named_one(account, message);
	words_drop(&account->words, message->sender);
	words_drop(&account->words, message->client);
	words_drop(&account->words, message->left_by);
	keyed_remove(&account->messages, &message->node);
	free(message);
}

void
message_changed(struct account *account, struct message *message)
{
	if (message->changed)
		return;
	message->changed = true;
	TAILQ_INSERT_TAIL(&account->changed, message, in_changed);
}

void
message_refused(struct account *account, struct message *message)
{
	if (message->refused)
		return;
	message->refused = true;
	TAILQ_INSERT_TAIL(&account->refused, message, in_refused);
}

void
message_refused_unlink(struct account *account, struct message *message)
{
	if (message->refused)
		TAILQ_REMOVE(&account->refused, message, in_refused);
	message->refused = false;
}

bool
message_open(const struct message *message)
{
	for (const struct recipient *one = message->recipients; one != NULL; one = one->next)
		if (one->outcome == OUTCOME_HELD)
			return true;
	return false;
}

void
message_gone(struct account *account, struct message *message)
{
	message->gone = true;
	message_named_one(account, message);
	message_changed(account, message);
}

bool
message_set_text(struct account *account, const char **place, const char *text)
{
	if (*place != NULL && strcmp(*place, text) == 0)
		return true;
	const char *kept = words_take(&account->words, text);
	if (kept == NULL)
		return false;
	words_drop(&account->words, *place);
	*place = kept;
	return true;
}

bool
message_set_part(struct account *account, const char **place, struct maillog_text text)
{
	char copy[JOURNAL_ADDRESS_SIZE];

	journal_address(copy, text.at != NULL ? text.at : "", text.length);
	return message_set_text(account, place, copy);
}

bool
message_part_unknown(const char *part)
{
	return part == NULL || part[0] == '\0';
}

void
message_intent_clear(struct account *account, struct message *message)
{
	if (message->intent_stage == INTENT_NONE)
		return;
	TAILQ_REMOVE(&account->intents, message, in_intents);
	words_drop(&account->words, message->intent_by);
	message->intent_by = NULL;
	message->intent_stage = INTENT_NONE;
	message->intent = OUTCOME_HELD;
}

/* --- recipients ----------------------------------------------------------------------------------
 */

/* Neither the log nor the listing need spell what is not ASCII: see journal_key. */
static char
canonical(char byte)
{
	return (char)(byte == '\0' || (byte >= ' ' && byte <= '~') ? byte : '?');
}

static bool
same_address(const char *a, const char *b)
{
	while (*a != '\0' && canonical(*a) == canonical(*b)) {
		a++;
		b++;
	}
	return *a == '\0' && *b == '\0';
}

struct recipient *
recipient_find(const struct message *message, const char *text)
{
	struct recipient *one = message->recipients;

	while (one != NULL && !same_address(one->text, text))
		one = one->next;
	return one;
}

struct recipient *
recipient_make(
    struct account *account, struct message *message, const char *text, const char *domain)
{
	struct recipient *recipient = calloc(1, sizeof(*recipient));

	if (recipient == NULL)
		return NULL;
	recipient->holding = holding_take(account, domain);
	recipient->text = words_take(&account->words, text);
	if (recipient->holding == NULL || recipient->text == NULL) {
		if (recipient->holding != NULL)
			holding_drop(account, recipient->holding);
		words_drop(&account->words, recipient->text);
		free(recipient);
		return NULL;
	}
	recipient->holding->references++;
	recipient->message = message;
	recipient->known_at = account->listing;
	recipient->next = message->recipients;
	message->recipients = recipient;
	holding_join(account, recipient);
	message_named_one(account, message);
	message_changed(account, message); /* its row says what the note does */
	return recipient;
}

static const char *
skip_quotes(const char *text)
{
	return text + strspn(text, "\"\\");
}

/*
 * A recipient with a control character in its quoted local part is listed twice: as `"u?"@d` from
 * the message, and without quotes from the log of what was put off. Nothing else makes an address
 * with a question mark need quotes.
 */
static bool
alike_but_for_quotes(const char *a, const char *b)
{
	bool replaced = false;

	a = skip_quotes(a);
	b = skip_quotes(b);
	while (*a != '\0' && canonical(*a) == canonical(*b)) {
		replaced = replaced || canonical(*a) == '?';
		a = skip_quotes(a + 1);
		b = skip_quotes(b + 1);
	}
	return replaced && *a == '\0' && *b == '\0';
}

struct recipient *
recipient_find_listed(const struct message *message, const char *text)
{
	struct recipient *one = recipient_find(message, text);

	if (one != NULL)
		return one;
	one = message->recipients;
	while (one != NULL && !alike_but_for_quotes(one->text, text))
		one = one->next;
	return one;
}

static struct recipients *
waiting_list(struct account *account, enum waiting waiting)
{
	switch (waiting) {
	case WAITING_LAZY: return &account->lazy;
	case WAITING_URGENT: return &account->urgent;
	case WAITING_WRITTEN: return &account->written_rows;
	case WAITING_NOT: break;
	}
	return NULL;
}

void
recipient_waits(
    struct account *account, struct recipient *recipient, enum waiting waiting, int64_t now)
{
	struct recipients *from = waiting_list(account, recipient->waiting);
	struct recipients *to = waiting_list(account, waiting);

	if (recipient->waiting == waiting ||
	    (recipient->waiting == WAITING_URGENT && waiting == WAITING_LAZY))
		return;
	if (from != NULL)
		TAILQ_REMOVE(from, recipient, in_waiting);
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, recipient, in_waiting);
	recipient->waiting = waiting;
	recipient->waiting_since = now;
}

void
recipient_tell_held(struct account *account, struct recipient *recipient)
{
	const struct event_held event = {
	    .domain = recipient->holding->name,
	    .queue_id = recipient->message->queue_id,
	    .accepted_at = recipient->message->accepted_at,
	    .size = recipient->message->size,
	    .refusals = recipient->refusals.count,
	};

	recipient->told = true;
	if (account->ports.sink.held != NULL)
		account->ports.sink.held(account->ports.sink.context, &event);
}

static void
tell_left(struct account *account, const struct recipient *recipient)
{
	const struct event_left event = {
	    .domain = recipient->holding->name,
	    .queue_id = recipient->message->queue_id,
	    .size = recipient->message->size,
	    .outcome = recipient->outcome,
	};

	if (account->ports.sink.left != NULL)
		account->ports.sink.left(account->ports.sink.context, &event);
}

void
recipient_settle(struct account *account, struct recipient *recipient, enum journal_outcome outcome,
    const char *by, int64_t at)
{
	struct message *message = recipient->message;
	const bool was_held = recipient->outcome == OUTCOME_HELD;

	if (was_held) {
		holding_leave(account, recipient);
		if (recipient->seen_at == message->seen_at && message->listed > 0)
			message->listed--;
	}
	recipient->outcome = outcome;
	recipient->outcome_at = at;
	(void)message_set_text(account, &recipient->by, by);
	recipient_waits(account, recipient, WAITING_URGENT, at);
	message_changed(account, message); /* a row that is closed is not restored */
	if (recipient->told)
		tell_left(account, recipient);
	recipient->told = false;
}

/* --- as rows ------------------------------------------------------------------------------------
 */

static void
copy_text(char *out, size_t size, const char *text)
{
	if (text != NULL)
		journal_text(out, size, text, strlen(text));
}

void
message_row(const struct message *message, struct journal_row *out)
{
	memset(out, 0, sizeof(*out));
	copy_text(out->queue_id, sizeof(out->queue_id), message->queue_id);
	copy_text(out->recipient, sizeof(out->recipient), "-");
	copy_text(out->sender, sizeof(out->sender), message->sender);
	copy_text(out->client, sizeof(out->client), message->client);
	out->size = message->size;
	out->accepted_at = message->accepted_at;
	out->outcome = message->remembered ? message->left : message->intent;
	out->outcome_at = message->remembered ? message->left_at : 0;
	copy_text(
	    out->by, sizeof(out->by), message->remembered ? message->left_by : message->intent_by);
}

void
recipient_row(const struct recipient *recipient, struct journal_row *out)
{
	message_row(recipient->message, out);
	copy_text(out->recipient, sizeof(out->recipient), recipient->text);
	copy_text(out->domain, sizeof(out->domain), recipient->holding->name);
	out->first_attempt = recipient->first_attempt;
	out->last_attempt = recipient->last_attempt;
	out->attempts = recipient->attempts;
	out->outcome = recipient->outcome;
	out->outcome_at = recipient->outcome_at;
	out->by[0] = '\0';
	copy_text(out->by, sizeof(out->by), recipient->by);
	copy_text(out->primary, sizeof(out->primary), recipient->primary);
	copy_text(out->reply, sizeof(out->reply), recipient->reply);
	copy_text(out->code, sizeof(out->code), recipient->code);
	out->refusals = recipient->refusals.count;
	out->first_refusal = recipient->refusals.first;
	out->last_refusal = recipient->refusals.last;
	out->unknown_user = recipient->refusals.kind == REFUSAL_UNKNOWN_USER ? 1 : 0;
}

/* --- whose it is
 * ------------------------------------------------------------------------------------ */

enum rows_answer
account_whose(struct account *account, const char *address, size_t length, char domain[DOMAIN_SIZE])
{
	const char *at = memrchr(address, '@', length);
	struct row_facts facts;

	if (at == NULL || !domain_normalise(at + 1, (size_t)(address + length - at - 1), domain))
		return ROWS_OTHER;
	const struct keyed_node *known = keyed_find(&account->holdings, domain, strlen(domain));
	if (known != NULL) /* what we hold stays ours, also when its row has gone */
		return ROWS_OURS;
	return account->ports.row(account->ports.context, domain, &facts);
}
