/*
 * breaker: see breaker.h. breaker_enter() is the one place where the stage changes.
 */
#include "queued/breaker.h"

#include <stdio.h>
#include <string.h>

const char *
breaker_stage_name(enum breaker_stage stage)
{
	static const char *const names[BREAKER_STAGES] = {
	    [BREAKER_CLOSED] = "closed",
	    [BREAKER_OPEN] = "open",
	    [BREAKER_LIFTED] = "lifted",
	    [BREAKER_TRYING] = "trying",
	};

	return names[stage];
}

struct breaker
breaker_new(void)
{
	return (struct breaker){.next_ms = NEVER_MS};
}

bool
breaker_holds(const struct breaker *breaker)
{
	return breaker->stage == BREAKER_OPEN;
}

/* --- counting ------------------------------------------------------------------------------------
 */

static struct breaker_slot *
slot_now(struct breaker *breaker, struct queued_time now)
{
	int64_t number = now.ms / BREAKER_SLOT_MS;
	struct breaker_slot *slot = &breaker->slot[number % BREAKER_SLOTS];

	if (slot->number != number)
		*slot = (struct breaker_slot){.number = number};
	return slot;
}

static bool
surged(const struct breaker *breaker, struct queued_time now)
{
	int64_t oldest = now.ms / BREAKER_SLOT_MS - BREAKER_SLOTS;
	unsigned sent = 0, unknown = 0, refused = 0;

	for (size_t i = 0; i < BREAKER_SLOTS; i++) {
		const struct breaker_slot *slot = &breaker->slot[i];
		if (slot->number <= oldest)
			continue;
		sent += slot->sent;
		unknown += slot->unknown;
		refused += slot->refused;
	}
	if (refused >= BREAKER_REFUSED && refused >= BREAKER_SHARE * sent)
		return true;
	return sent == 0 && unknown + refused >= BREAKER_ANY;
}

static void
count_refused(struct breaker *breaker, const struct event_attempt *attempt, struct queued_time now)
{
	struct breaker_slot *slot = slot_now(breaker, now);

	if (strcmp(breaker->last_refused, attempt->queue_id) == 0)
		return;
	(void)snprintf(
	    breaker->last_refused, sizeof(breaker->last_refused), "%s", attempt->queue_id);
	if (attempt->unknown_user)
		slot->unknown++;
	else
		slot->refused++;
}

static void
forget_counts(struct breaker *breaker)
{
	memset(breaker->slot, 0, sizeof(breaker->slot));
	breaker->last_refused[0] = '\0';
}

/* --- stages --------------------------------------------------------------------------------------
 */

static void
breaker_enter(struct breaker *breaker, enum breaker_stage stage, int64_t next_ms)
{
	breaker->stage = stage;
	breaker->next_ms = next_ms;
}

static int64_t
open_for(unsigned tries)
{
	static const int64_t minutes[] = {1, 5, 15};
	size_t last = sizeof(minutes) / sizeof(minutes[0]) - 1;

	return minutes[tries < last ? tries : last] * 60000;
}

static enum breaker_act
hold(struct breaker *breaker, struct queued_time now)
{
	breaker->canary[0] = '\0';
	breaker->hurried = false;
	breaker_enter(breaker, BREAKER_OPEN, now.ms + open_for(breaker->tries));
	return BREAKER_HOLD;
}

static enum breaker_act
close_again(struct breaker *breaker)
{
	forget_counts(breaker);
	breaker->tries = 0;
	breaker->canary[0] = '\0';
	breaker_enter(breaker, BREAKER_CLOSED, NEVER_MS);
	return BREAKER_CLOSE;
}

enum breaker_act
breaker_tried(struct breaker *breaker, const char *id, struct queued_time now)
{
	if (breaker->stage != BREAKER_TRYING)
		return BREAKER_NOTHING;
	if (id == NULL)
		return close_again(breaker);
	(void)snprintf(breaker->canary, sizeof(breaker->canary), "%s", id);
	breaker->next_ms = now.ms + BREAKER_VERDICT_MS;
	return BREAKER_NOTHING;
}

static enum breaker_act
trying_attempt(struct breaker *breaker, const struct event_attempt *attempt, struct queued_time now)
{
	if (attempt->result == ATTEMPT_SENT)
		return close_again(breaker);
	if (strcmp(attempt->queue_id, breaker->canary) != 0)
		return BREAKER_NOTHING;
	switch (attempt->result) {
	case ATTEMPT_REFUSED: breaker->tries++; return hold(breaker, now);
	case ATTEMPT_HELD:
		if (breaker->again)
			return hold(breaker, now);
		breaker->again = true;
		breaker_enter(breaker, BREAKER_LIFTED, now.ms + BREAKER_HELD_MS);
		return BREAKER_NOTHING;
	case ATTEMPT_DEFERRED:
	case ATTEMPT_UNREACHED: return hold(breaker, now);
	case ATTEMPT_SENT: break;
	}
	return BREAKER_NOTHING;
}

enum breaker_act
breaker_attempt(
    struct breaker *breaker, const struct event_attempt *attempt, struct queued_time now)
{
	if (attempt->result == ATTEMPT_SENT)
		slot_now(breaker, now)->sent++;
	if (attempt->result == ATTEMPT_REFUSED)
		count_refused(breaker, attempt, now);
	switch (breaker->stage) {
	case BREAKER_CLOSED:
		if (attempt->result != ATTEMPT_REFUSED || !surged(breaker, now))
			return BREAKER_NOTHING;
		breaker->tries = 0;
		return hold(breaker, now);
	case BREAKER_LIFTED:
	case BREAKER_TRYING: return trying_attempt(breaker, attempt, now);
	case BREAKER_OPEN: /* what was under way when it opened */
	case BREAKER_STAGES: break;
	}
	return BREAKER_NOTHING;
}

bool
breaker_hurry(struct breaker *breaker, struct queued_time now)
{
	if (breaker->stage != BREAKER_OPEN)
		return false;
	breaker->next_ms = now.ms;
	breaker->hurried = true;
	return true;
}

void
breaker_back(struct breaker *breaker, struct queued_time now)
{
	int64_t when = now.ms;

	if (breaker->back_ms != 0 && when < breaker->back_ms + BREAKER_BACK_MS)
		when = breaker->back_ms + BREAKER_BACK_MS;
	if (breaker->stage != BREAKER_OPEN || when >= breaker->next_ms)
		return;
	breaker->next_ms = breaker->back_ms = when;
	breaker->hurried = true;
}

void
breaker_anew(struct breaker *breaker)
{
	forget_counts(breaker);
	breaker->tries = 0;
	breaker->back_ms = 0;
}

void
breaker_wait(struct breaker *breaker, int64_t until_ms)
{
	if (breaker->stage == BREAKER_OPEN)
		breaker->next_ms = until_ms;
}

enum breaker_act
breaker_tick(struct breaker *breaker, struct queued_time now)
{
	if (now.ms < breaker->next_ms)
		return BREAKER_NOTHING;
	switch (breaker->stage) {
	case BREAKER_OPEN:
		breaker->again = false;
		breaker_enter(breaker, BREAKER_LIFTED, now.ms + BREAKER_SETTLE_MS);
		return BREAKER_LIFT;
	case BREAKER_LIFTED:
		breaker_enter(breaker, BREAKER_TRYING, now.ms + BREAKER_VERDICT_MS);
		return BREAKER_TRY;
	case BREAKER_TRYING: return hold(breaker, now);
	case BREAKER_CLOSED:
	case BREAKER_STAGES: break;
	}
	breaker->next_ms = NEVER_MS;
	return BREAKER_NOTHING;
}
