/*
 * account_due: which messages are to leave, and what is held, for those who look.
 */
#include "queued/account_inner.h"

#include <stdio.h>
#include <string.h>

/* --- intents ------------------------------------------------------------------------------------
 */

static bool
intend(
    struct account *account, struct message *message, enum journal_outcome outcome, const char *by)
{
	if (message->intent_stage != INTENT_NONE ||
	    !message_set_text(account, &message->intent_by, by))
		return false;
	message->intent = outcome;
	message->intent_stage = INTENT_NEW;
	TAILQ_INSERT_TAIL(&account->intents, message, in_intents);
	message_changed(account, message);
	return true;
}

static bool
has_held(const struct message *message)
{
	for (const struct recipient *one = message->recipients; one != NULL; one = one->next)
		if (one->outcome == OUTCOME_HELD)
			return true;
	return false;
}

bool
account_intend(
    struct account *account, const char *queue_id, enum journal_outcome outcome, const char *by)
{
	struct message *message = message_find(account, queue_id);

	if (message == NULL || message->gone || !has_held(message))
		return false;
	if (message->intent_stage != INTENT_NONE && message->intent == OUTCOME_REMOVED)
		return true;
	/* An operator's word comes before a judgement that was not yet carried out. */
	if (message->intent_stage != INTENT_NONE)
		account_intent_drop(account, queue_id);
	return intend(account, message, outcome, by);
}

static void
forget(struct account *account, struct message *message)
{
	message_intent_clear(account, message);
	message_changed(account, message);
}

void
account_intent_drop(struct account *account, const char *queue_id)
{
	struct message *message = message_find(account, queue_id);

	if (message != NULL)
		forget(account, message);
}

void
account_intents_undo(struct account *account)
{
	struct message *one = TAILQ_FIRST(&account->intents), *next;

	for (; one != NULL; one = next) {
		next = TAILQ_NEXT(one, in_intents);
		if (one->intent_stage == INTENT_NEW && one->intent == OUTCOME_REMOVED)
			forget(account, one);
	}
}

/* It was asked for and not done. What an operator wants stays wanted. */
static void
put_back(struct account *account, struct message *message, enum intent_stage stage)
{
	if (message->intent != OUTCOME_REMOVED) {
		forget(account, message);
		return;
	}
	message->intent_stage = stage;
	message->intent_at = account->listing;
	TAILQ_REMOVE(&account->intents, message, in_intents);
	TAILQ_INSERT_TAIL(&account->intents, message, in_intents);
}

/* NULL also where it is in another stage: the answer is to an intent that was replaced. */
static struct message *
find_asked(struct account *account, const char *queue_id)
{
	struct message *message = message_find(account, queue_id);
	const bool asked =
	    message != NULL && message->intent_stage == INTENT_ASKED && !message->gone;

	return asked ? message : NULL;
}

void
account_intent_answered(struct account *account, const char *queue_id)
{
	struct message *message = find_asked(account, queue_id);

	if (message == NULL)
		return;
	message->intent_stage = INTENT_ANSWERED;
	message->intent_at = account->listing;
}

void
account_intent_failed(struct account *account, const char *queue_id)
{
	struct message *message = find_asked(account, queue_id);

	if (message != NULL)
		put_back(account, message, INTENT_KEPT);
}

void
account_intent_gone(struct account *account, const char *queue_id)
{
	struct message *message = find_asked(account, queue_id);

	if (message != NULL)
		put_back(account, message, INTENT_GONE);
}

void
message_intent_again(struct account *account, struct message *message)
{
	if (message->intent_stage == INTENT_ANSWERED || message->intent_stage == INTENT_GONE)
		put_back(account, message, INTENT_KEPT);
}

void
account_each_intent(struct account *account,
    bool (*ask)(void *context, const char *queue_id, enum journal_outcome outcome, const char *by),
    void *context)
{
	struct message *one = TAILQ_FIRST(&account->intents), *next;

	for (; one != NULL; one = next) {
		next = TAILQ_NEXT(one, in_intents);
		if (one->intent_stage != INTENT_KEPT || one->gone)
			continue;
		one->intent_stage = INTENT_ASKED;
		/* The answer may come before `ask` returns, and clear the intent. */
		if (!ask(context, one->queue_id, one->intent,
			one->intent_by != NULL ? one->intent_by : "")) {
			if (one->intent_stage == INTENT_ASKED)
				one->intent_stage = INTENT_KEPT;
			return;
		}
	}
}

/* --- what is due --------------------------------------------------------------------------------
 */

struct search {
	struct account *account;
	size_t most, found;
	enum account_fate (*judge)(void *context, const struct account_history *history);
	void *context;
};

static enum account_fate
fate_of(const struct search *search, const struct recipient *recipient)
{
	const struct account_history history = {
	    .domain = recipient->holding->name,
	    .queue_id = recipient->message->queue_id,
	    .accepted_at = recipient->message->accepted_at,
	    .refusals = recipient->refusals,
	};

	return search->judge(search->context, &history);
}

/* Refused only when all that are left are: else the time is what takes it out. */
static enum account_fate
message_fate(const struct search *search, const struct message *message)
{
	enum account_fate all = FATE_KEEP;
	size_t open = 0;

	for (const struct recipient *one = message->recipients; one != NULL; one = one->next) {
		if (one->outcome != OUTCOME_HELD)
			continue;
		if (one->seen_at != message->seen_at)
			return FATE_KEEP;
		const enum account_fate fate = fate_of(search, one);
		if (fate == FATE_KEEP)
			return FATE_KEEP;
		all = open++ == 0 || fate == FATE_EXPIRED ? fate : all;
	}
	return open > 0 && open == message->listed ? all : FATE_KEEP;
}

static void
search_message(struct search *search, struct message *message)
{
	if (search->found >= search->most || message->gone || message->on_hold ||
	    message->intent_stage != INTENT_NONE || message->recipients == NULL ||
	    message->seen_at == 0 || message->seen_at < search->account->complete)
		return;
	const enum account_fate fate = message_fate(search, message);
	if (fate == FATE_KEEP)
		return;
	const enum journal_outcome outcome =
	    fate == FATE_REFUSED ? OUTCOME_REFUSED : OUTCOME_EXPIRED;
	if (intend(search->account, message, outcome, ""))
		search->found++;
}

static void
search_node(struct keyed_node *node, void *context)
{
	search_message(context, KEYED_OWNER(node, struct message, node));
}

size_t
account_find_due(struct account *account, size_t most,
    enum account_fate (*judge)(void *context, const struct account_history *history), void *context)
{
	struct search search = {
	    .account = account, .most = most, .judge = judge, .context = context};

	if (account->complete > 0)
		keyed_each(&account->messages, search_node, &search);
	return search.found;
}

size_t
account_find_refused(struct account *account, size_t most,
    enum account_fate (*judge)(void *context, const struct account_history *history), void *context)
{
	struct search search = {
	    .account = account, .most = most, .judge = judge, .context = context};
	struct message *message;

	while (search.found < most && (message = TAILQ_FIRST(&account->refused)) != NULL) {
		message_refused_unlink(account, message);
		if (account->complete > 0)
			search_message(&search, message);
	}
	return search.found;
}

static void
refusals_anew(struct account *account, struct holding *holding)
{
	struct recipient *one = NULL;

	TAILQ_FOREACH(one, &holding->held, in_holding)
	{
		if (one->refusals.count == 0)
			continue;
		one->refusals = (struct refusal_history){.kind = REFUSAL_OTHER};
		recipient_waits(account, one, WAITING_URGENT, one->last_attempt);
	}
}

static void
begin_anew(struct keyed_node *node, void *context)
{
	struct holding *holding = KEYED_OWNER(node, struct holding, node);

	memset(holding->taker, 0, sizeof(holding->taker));
	refusals_anew(context, holding);
}

void
account_clock_set(struct account *account, int64_t now)
{
	account->refusals_from = now;
	keyed_each(&account->holdings, begin_anew, account);
}

void
account_refusals_anew(struct account *account, const char *domain)
{
	struct keyed_node *found = keyed_find(&account->holdings, domain, strlen(domain));

	if (found != NULL)
		refusals_anew(account, KEYED_OWNER(found, struct holding, node));
}

/* --- looking -------------------------------------------------------------------------------------
 */

struct look {
	bool (*row)(const struct journal_row *row, void *context);
	const char *queue_id;
	void *context;
	bool stopped;
};

static void
look_holding(struct keyed_node *node, void *context)
{
	struct look *look = context;
	const struct holding *holding = KEYED_OWNER(node, struct holding, node);
	const struct recipient *one = NULL;
	struct journal_row row;

	TAILQ_FOREACH(one, &holding->held, in_holding)
	{
		if (look->stopped)
			return;
		if (look->queue_id != NULL && strcmp(one->message->queue_id, look->queue_id) != 0)
			continue;
		recipient_row(one, &row);
		look->stopped = !look->row(&row, look->context);
	}
}

void
account_each_held(struct account *account, const char *domain, const char *queue_id,
    bool (*visit)(const struct journal_row *row, void *context), void *context)
{
	struct look look = {.row = visit, .queue_id = queue_id, .context = context};

	if (domain == NULL) {
		keyed_each(&account->holdings, look_holding, &look);
		return;
	}
	struct keyed_node *found = keyed_find(&account->holdings, domain, strlen(domain));
	if (found != NULL)
		look_holding(found, &look);
}

/* Of its message's recipients that are held there. */
static bool
is_first(const struct recipient *recipient)
{
	const struct recipient *one = recipient->message->recipients;

	while (one->holding != recipient->holding || one->outcome != OUTCOME_HELD)
		one = one->next;
	return one == recipient;
}

size_t
account_count_on_hold(const struct account *account, const char *domain)
{
	const struct keyed_node *found = keyed_find(&account->holdings, domain, strlen(domain));
	const struct recipient *one = NULL;
	size_t count = 0;

	if (found == NULL)
		return 0;
	TAILQ_FOREACH(one, &KEYED_OWNER(found, struct holding, node)->held, in_holding)
	{
		count += one->message->on_hold && is_first(one);
	}
	return count;
}
