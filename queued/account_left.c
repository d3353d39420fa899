/*
 * account_left: messages that were taken out of the queue, and are remembered for a while.
 *
 * postsuper(1) takes a message out whatever Postfix is doing with it. A delivery that was under way
 * goes on: its line comes as late as smtp(8)'s timeouts let it. It must find the message, with its
 * outcome, and not begin another one under the same id. So the message stays in memory, and its
 * note on the disk, which then says what became of it and when: bounded in time and number.
 */
#include "queued/account_inner.h"

#include <stdlib.h>
#include <string.h>

#define LEFT_KEPT 1800000000   /* microseconds: two sessions of ten minutes each, and more */
#define LEFT_MOST 200000       /* messages */
#define LEFT_FORGET_MOST 10000 /* in one go: each is a note to be removed */

/* The next write removes its note, and then it goes from memory. */
static void
forget(struct account *account, struct message *message)
{
	message_left_unlink(account, message);
	message_changed(account, message);
}

/* Its time is over; also where the clock was set back by as much. */
static bool
is_over(const struct message *message, int64_t now)
{
	const int64_t age = now - message->left_at;

	return age >= LEFT_KEPT || age <= -LEFT_KEPT;
}

static void
remember(struct account *account, struct message *message, enum journal_outcome outcome, int64_t at)
{
	message->left = outcome;
	message->left_at = at;
	message->remembered = true;
	TAILQ_INSERT_TAIL(&account->left, message, in_left);
	account->left_count++;
}

void
message_left_unlink(struct account *account, struct message *message)
{
	if (!message->remembered)
		return;
	message->remembered = false;
	TAILQ_REMOVE(&account->left, message, in_left);
	account->left_count--;
}

void
message_left(struct account *account, struct message *message, enum journal_outcome outcome,
    const char *by, int64_t at)
{
	if (message->remembered)
		return;
	account_left_forget(account, at);
	if (account->left_count >= LEFT_MOST)
		forget(account, TAILQ_FIRST(&account->left));
	/* Other people's has no rows, and a late line of it makes none. */
	if (!message->foreign && message_set_text(account, &message->left_by, by))
		remember(account, message, outcome, at);
	message->on_hold = false;
	message_intent_clear(account, message);
	message_gone(account, message);
}

bool
message_left_restore(
    struct account *account, struct message *message, const struct journal_row *row)
{
	if (!message_set_text(account, &message->left_by, row->by) ||
	    !message_set_text(account, &message->client, row->client))
		return false;
	remember(account, message, row->outcome, row->outcome_at);
	message->restored = message->gone = true;
	message->intent_noted = message->left_noted = true;
	message_named_one(account, message);
	return true;
}

void
account_left_forget(struct account *account, int64_t now)
{
	struct message *message;

	for (size_t i = 0; i < LEFT_FORGET_MOST; i++) {
		message = TAILQ_FIRST(&account->left);
		if (message == NULL || !is_over(message, now))
			return;
		forget(account, message);
	}
}

struct message *
message_anew(struct account *account, struct message *message, int64_t at)
{
	char queue_id[JOURNAL_ID_SIZE];
	const bool noted = message->intent_noted;

	/* A long id is never used again; and what is still to be written must not get lost. */
	if (!message->remembered || message->changed ||
	    journal_queue_id_time(message->queue_id) > 0)
		return message;
	memcpy(queue_id, message->queue_id, sizeof(queue_id));
	message_free(account, message);
	message = message_make(account, queue_id, at);
	if (message != NULL) {
		message->intent_noted = noted; /* the next write removes it */
		message_changed(account, message);
	}
	return message;
}
