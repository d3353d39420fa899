/*
 * account_discard: messages that are thrown away after they were accepted, and before they came
 * into the queue: by header and body checks (DISCARD), or by a milter.
 *
 * The line of cleanup(8) names the last recipient, and no line names the others. mxhold-milter does
 * (account_told), for each message with several, since it cannot know what becomes of it: just
 * before or after the line. What comes first waits for the other: recipients in a table, for a
 * minute; the message as one that has left (account_left), with its note on the disk.
 *
 * Recipients whom nobody says were accepted never get a row.
 */
#include "queued/account_inner.h"

#include <stdlib.h>
#include <string.h>

#define BY_DISCARD "postfix: discard"
#define TOLD_MOST 200000 /* recipients; beyond, the oldest messages' are forgotten */

/* --- what was told -------------------------------------------------------------------------------
 */

static struct told *
told_find(const struct account *account, const char *queue_id)
{
	struct keyed_node *found = keyed_find(&account->told_ids, queue_id, strlen(queue_id));

	return found != NULL ? KEYED_OWNER(found, struct told, node) : NULL;
}

static void
told_free(struct account *account, struct told *told)
{
	TAILQ_REMOVE(&account->told, told, in_told);
	keyed_remove(&account->told_ids, &told->node);
	account->told_count -= told->count;
	free(told->addresses);
	free(told);
}

static struct told *
told_make(struct account *account, const char *queue_id, int64_t now)
{
	const size_t length = strlen(queue_id);
	struct told *told;

	if (length >= sizeof(told->queue_id))
		return NULL;
	told = calloc(1, sizeof(*told));
	if (told == NULL)
		return NULL;
	memcpy(told->queue_id, queue_id, length + 1);
	told->at = now;
	if (!keyed_add(&account->told_ids, &told->node, told->queue_id, length)) {
		free(told);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&account->told, told, in_told);
	return told;
}

static bool
told_room(struct told *told, size_t more)
{
	size_t room = told->room != 0 ? told->room : 256;
	char *addresses;

	while (room - told->length < more)
		room *= 2;
	if (room == told->room)
		return true;
	addresses = realloc(told->addresses, room);
	if (addresses == NULL)
		return false;
	told->addresses = addresses;
	told->room = room;
	return true;
}

/* Told twice counts once: mxhold-milter tells a new process what the former one may have read. */
static bool
told_before(struct told *told, const char *text, size_t size)
{
	if (told->again == told->length)
		told->again = 0;
	if (told->length == 0 || strcmp(told->addresses + told->again, text) != 0)
		return false;
	told->again += size;
	return true;
}

static bool
told_add(struct account *account, struct told *told, const char *address, size_t length)
{
	char text[JOURNAL_ADDRESS_SIZE];

	journal_address(text, address, length);
	const size_t size = strlen(text) + 1;
	if (size > 1 && told_before(told, text, size))
		return true;
	if (size == 1 || !told_room(told, size))
		return false;
	memcpy(told->addresses + told->length, text, size);
	told->length += size;
	told->count++;
	account->told_count++;
	return true;
}

/* --- what was thrown away ------------------------------------------------------------------------
 */

static bool
is_discarded(const struct message *message)
{
	return message != NULL && message->remembered && message->left_by != NULL &&
	       strcmp(message->left_by, BY_DISCARD) == 0;
}

static bool
settle(struct account *account, struct message *message, const char *text, const char *domain,
    int64_t at)
{
	struct recipient *recipient = recipient_find_listed(message, text);

	if (recipient == NULL)
		recipient = recipient_make(account, message, text, domain);
	if (recipient == NULL)
		return false;
	if (recipient->outcome == OUTCOME_HELD)
		recipient_settle(account, recipient, OUTCOME_REMOVED, BY_DISCARD, at);
	return true;
}

/* False: whose it is cannot be told now (or out of memory). */
static bool
settle_told(struct account *account, struct message *message, const char *text)
{
	char domain[DOMAIN_SIZE];

	switch (account_whose(account, text, strlen(text), domain)) {
	case ROWS_OURS: return settle(account, message, text, domain, message->left_at);
	case ROWS_CANNOT_TELL: return false;
	default: return true;
	}
}

/* Those that were told become what their message did. Whoever cannot be judged now waits. */
static void
join(struct account *account, struct told *told)
{
	struct message *message = message_find(account, told->queue_id);
	bool all = true;

	if (!is_discarded(message))
		return;
	for (size_t at = 0; at < told->length; at += strlen(told->addresses + at) + 1)
		all = settle_told(account, message, told->addresses + at) && all;
	if (all)
		told_free(account, told);
	else
		account->told_later = true;
}

/* What the line says of client and sender, where nothing is known of them. */
static bool
parts(struct account *account, struct message *message, const struct maillog_event *event)
{
	return (!message_part_unknown(message->sender) ||
		   message_set_part(account, &message->sender, event->sender)) &&
	       (!message_part_unknown(message->client) ||
		   message_set_part(account, &message->client, event->client));
}

/* The recipient that the line names, where it does. False: as discard_event. */
static bool
named(struct account *account, struct message *message, const struct maillog_event *event)
{
	char domain[DOMAIN_SIZE], text[JOURNAL_ADDRESS_SIZE];

	if (event->address.at == NULL)
		return true;
	switch (account_whose(account, event->address.at, event->address.length, domain)) {
	case ROWS_CANNOT_TELL: return false;
	case ROWS_OURS: break;
	default: return true;
	}
	journal_address(text, event->address.at, event->address.length);
	return settle(account, message, text, domain, event->at);
}

bool
discard_event(struct account *account, const struct maillog_event *event)
{
	struct message *message = message_get(account, event->queue_id, event->at);
	struct told *told;

	if (message == NULL || !parts(account, message, event) || !named(account, message, event))
		return false;
	message_left(account, message, OUTCOME_REMOVED, BY_DISCARD, event->at);
	told = told_find(account, event->queue_id);
	if (told != NULL)
		join(account, told);
	return true;
}

void
discard_not(struct account *account, const char *queue_id)
{
	struct told *told = told_find(account, queue_id);

	if (told != NULL)
		told_free(account, told);
}

/* --- in ------------------------------------------------------------------------------------------
 */

void
account_told(
    struct account *account, const char *queue_id, const char *address, size_t length, int64_t now)
{
	struct told *told = told_find(account, queue_id);

	if (told == NULL)
		told = told_make(account, queue_id, now);
	if (told == NULL)
		return;
	if (told_add(account, told, address, length))
		join(account, told);
	else if (told->count == 0)
		told_free(account, told);
	while (account->told_count > TOLD_MOST)
		told_free(account, TAILQ_FIRST(&account->told));
}

static void
join_late(struct account *account)
{
	struct told *told = TAILQ_FIRST(&account->told), *next;

	account->told_later = false;
	for (; told != NULL; told = next) {
		next = TAILQ_NEXT(told, in_told);
		join(account, told);
	}
}

/* Also where the clock was set back by as much. One that waits to be judged waits on. */
void
account_told_turn(struct account *account, int64_t now)
{
	struct told *told, *next;

	if (account->told_later)
		join_late(account);
	for (told = TAILQ_FIRST(&account->told); told != NULL; told = next) {
		const int64_t age = now - told->at;

		next = TAILQ_NEXT(told, in_told);
		if (age < ACCOUNT_TOLD && age > -ACCOUNT_TOLD)
			return;
		if (!is_discarded(message_find(account, told->queue_id)))
			told_free(account, told);
	}
}

void
discard_free(struct account *account)
{
	while (!TAILQ_EMPTY(&account->told))
		told_free(account, TAILQ_FIRST(&account->told));
	keyed_free(&account->told_ids);
}
