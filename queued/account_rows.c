/*
 * account_rows: the accounts as rows and notes of the spool, there and back. What was handed out
 * counts as written only when account_written says that it is on the disk.
 */
#include "queued/account_inner.h"

#include <stdio.h>
#include <string.h>

#define NOTE_SIZE (sizeof(ACCOUNT_PENDING) + JOURNAL_ID_SIZE)

/* --- there -------------------------------------------------------------------------------------
 */

static bool
row_write(struct recipient *recipient, const struct account_writer *writer)
{
	struct journal_row row;
	char key[JOURNAL_KEY_SIZE];

	recipient_row(recipient, &row);
	const size_t length = journal_key(key, row.queue_id, row.recipient);
	return writer->row(writer->context, key, length, &row, recipient->outcome != OUTCOME_HELD);
}

/* Also when the clock was set back since: then nobody knows how long it has waited. */
static bool
waited(const struct recipient *recipient, int64_t now)
{
	return now - recipient->waiting_since >= ACCOUNT_COALESCE || now < recipient->waiting_since;
}

static bool
rows_write(struct account *account, struct recipients *list, int64_t now, bool all, size_t *most,
    const struct account_writer *writer)
{
	struct recipient *one;

	while (*most > 0 && (one = TAILQ_FIRST(list)) != NULL && (all || waited(one, now))) {
		if (!row_write(one, writer))
			return false;
		recipient_waits(account, one, WAITING_WRITTEN, now);
		--*most;
	}
	return true;
}

static bool
note_write(const struct message *message, const char *prefix, bool wanted,
    const struct account_writer *writer)
{
	struct journal_row row;
	char name[NOTE_SIZE];

	message_row(message, &row);
	snprintf(name, sizeof(name), "%s%s", prefix, message->queue_id);
	return writer->note(writer->context, name, wanted ? &row : NULL);
}

/*
 * The note keeps client and sender for recipients that no line has named yet. Where an open row
 * does, it is not needed.
 */
static bool
message_write(struct message *message, const struct account_writer *writer)
{
	message->noting = !message->gone && !message_open(message) &&
			  !(message->foreign && message->recipients == NULL);
	message->intent_noting =
	    message->remembered || (!message->gone && message->intent_stage != INTENT_NONE);
	if ((message->noting != message->noted || (message->noting && message->stale)) &&
	    !note_write(message, ACCOUNT_PENDING, message->noting, writer))
		return false;
	return (message->intent_noting == message->intent_noted &&
		   message->remembered == message->left_noted &&
		   message->intent_stage != INTENT_NEW) ||
	       note_write(message, ACCOUNT_INTENT, message->intent_noting, writer);
}

static bool
messages_write(struct account *account, size_t *most, const struct account_writer *writer)
{
	struct message *one;

	while (*most > 0 && (one = TAILQ_FIRST(&account->changed)) != NULL) {
		if (!message_write(one, writer))
			return false;
		TAILQ_REMOVE(&account->changed, one, in_changed);
		TAILQ_INSERT_TAIL(&account->written, one, in_changed);
		--*most;
	}
	return true;
}

bool
account_write(struct account *account, int64_t now, bool all, size_t most,
    const struct account_writer *writer)
{
	return rows_write(account, &account->urgent, now, true, &most, writer) &&
	       rows_write(account, &account->lazy, now, all, &most, writer) &&
	       messages_write(account, &most, writer);
}

static bool
rows_wait(const struct message *message)
{
	for (const struct recipient *one = message->recipients; one != NULL; one = one->next)
		if (one->waiting != WAITING_NOT)
			return true;
	return false;
}

static void
message_written(struct account *account, struct message *message)
{
	message->changed = false;
	message->noted = message->noting;
	message->stale = false;
	message->intent_noted = message->intent_noting;
	message->left_noted = message->remembered;
	if (message->intent_stage == INTENT_NEW && message->intent_noted)
		message->intent_stage = INTENT_KEPT;
	if (!message->gone)
		return;
	if (rows_wait(message)) /* its rows come with the next transaction */
		message_changed(account, message);
	else if (!message->remembered)
		message_free(account, message);
}

void
account_written(struct account *account, bool committed)
{
	struct message *message;
	struct recipient *one;

	while ((one = TAILQ_FIRST(&account->written_rows)) != NULL)
		recipient_waits(
		    account, one, committed ? WAITING_NOT : WAITING_URGENT, one->waiting_since);
	if (!committed) {
		TAILQ_CONCAT(&account->changed, &account->written, in_changed);
		return;
	}
	struct messages done = TAILQ_HEAD_INITIALIZER(done);
	TAILQ_CONCAT(&done, &account->written, in_changed);
	while ((message = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, message, in_changed);
		message_written(account, message);
	}
}

bool
account_is_dirty(const struct account *account)
{
	return !TAILQ_EMPTY(&account->urgent) || !TAILQ_EMPTY(&account->changed);
}

/* --- and back ------------------------------------------------------------------------------------
 */

/* What the message's rows and notes say alike. */
static bool
message_restore(struct account *account, struct message *message, const struct journal_row *row)
{
	message->accepted_at = row->accepted_at;
	message->guessed = false;
	message->size = row->size;
	return message_set_text(account, &message->sender, row->sender) &&
	       message_set_text(account, &message->client, row->client);
}

static struct message *
message_of(struct account *account, const struct journal_row *row)
{
	struct message *message = message_find(account, row->queue_id);

	if (message != NULL)
		return message;
	message = message_make(account, row->queue_id, row->accepted_at);
	if (message != NULL && !message_restore(account, message, row)) {
		message_free(account, message);
		return NULL;
	}
	return message;
}

/* Bytes that were not UTF-8 did not come through the row's text: the key has kept their number. */
static const char *
address_of(const char *key, size_t key_length, const struct journal_row *row,
    char out[JOURNAL_ADDRESS_SIZE])
{
	char again[JOURNAL_KEY_SIZE];
	const char *nul = memchr(key, '\0', key_length);

	if (nul == NULL || (journal_key(again, row->queue_id, row->recipient) == key_length &&
			       memcmp(again, key, key_length) == 0))
		return row->recipient;
	journal_address(out, nul + 1, (size_t)(key + key_length - nul - 1));
	return out;
}

static bool
recipient_restore(
    struct account *account, struct recipient *recipient, const struct journal_row *row)
{
	recipient->first_attempt = row->first_attempt;
	recipient->last_attempt = row->last_attempt;
	recipient->attempts = row->attempts;
	recipient->refusals = (struct refusal_history){
	    .kind = row->unknown_user != 0 ? REFUSAL_UNKNOWN_USER : REFUSAL_OTHER,
	    .count = row->refusals,
	    .first = row->first_refusal,
	    .last = row->last_refusal,
	};
	snprintf(recipient->code, sizeof(recipient->code), "%s", row->code);
	return message_set_text(account, &recipient->primary, row->primary) &&
	       message_set_text(account, &recipient->reply, row->reply);
}

bool
account_restore(
    struct account *account, const char *key, size_t key_length, const struct journal_row *row)
{
	char cut[JOURNAL_ADDRESS_SIZE];
	const char *address = address_of(key, key_length, row, cut);
	struct message *message = message_of(account, row);

	if (message == NULL)
		return false;
	if (row->outcome != OUTCOME_HELD || recipient_find(message, address) != NULL)
		return true;
	struct recipient *recipient = recipient_make(account, message, address, row->domain);
	if (recipient == NULL || !recipient_restore(account, recipient, row))
		return false;
	recipient_tell_held(account, recipient);
	return true;
}

bool
account_restore_note(struct account *account, const char *name, const struct journal_row *row)
{
	const bool intent = strncmp(name, ACCOUNT_INTENT, sizeof(ACCOUNT_INTENT) - 1) == 0;
	struct message *message = message_of(account, row);

	if (message == NULL)
		return false;
	if (!intent) {
		message->guessed = message->recipients == NULL && row->client[0] == '\0' &&
				   journal_queue_id_time(row->queue_id) == 0;
		message->noted = true;
		message_changed(account, message); /* rows may have come since */
		return true;
	}
	if (message->intent_stage != INTENT_NONE || message->remembered)
		return true;
	if (row->outcome_at > 0 && !message_open(message))
		return message_left_restore(account, message, row);
	if (!message_set_text(account, &message->intent_by, row->by))
		return false;
	/* Whether the helper was asked, nobody knows: a listing will tell (see census). */
	message->intent_stage = INTENT_ANSWERED;
	message->intent = row->outcome;
	message->intent_noted = true;
	TAILQ_INSERT_TAIL(&account->intents, message, in_intents);
	return true;
}
