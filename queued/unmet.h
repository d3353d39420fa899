/*
 * unmet: a domain's primary is up by the probe, and yet Postfix says, time and again, that it did
 * not reach it, or that who answers does not show the pin; and no reply of it comes between. Then
 * the probe does not see what smtp(8) sees: more pins at the next hop than policyd hands out,
 * settings of main.cf that forbid TLS, an overlay that lacks the transport. Pure.
 *
 * It is believed after UNMET_TIMES attempts, the last of them UNMET_PIN_MS (of a pin) or
 * UNMET_MS (of anything else) after the first: a stranger who has just come, or a primary that has
 * just gone, is found by a probe long before.
 */
#ifndef MXHOLD_QUEUED_UNMET_H
#define MXHOLD_QUEUED_UNMET_H

#include "core/state.h"
#include "queued/clock.h"
#include "queued/events.h"

#define UNMET_TIMES 3
#define UNMET_PIN_MS 10000
#define UNMET_MS 60000
#define UNMET_WORDS_SIZE 128

enum unmet_kind {
	UNMET_NOT,
	UNMET_PIN,      /* smtp(8) takes who answers for a stranger, a probe does not */
	UNMET_DELIVERY, /* it does not come so far */
};

struct unmet_run { /* of attempts */
	unsigned times;
	int64_t first_ms, last_ms;
	int64_t since; /* the first one, wall clock */
};

struct unmet {                        /* all 0: nothing is known */
	struct unmet_run any, pin;    /* all of them; the last ones, all of which met a pin */
	char words[UNMET_WORDS_SIZE]; /* Postfix's, of the last one; printable ASCII */
};

/*
 * An attempt while a probe says "up". `pinned`: its row pins something. What the primary itself
 * answered, or took, ends it, also where smtp(8) then tried another server, and did not reach that
 * one; our own hold says nothing, nor does a dialogue that broke.
 */
void unmet_attempt(
    struct unmet *unmet, const struct event_attempt *attempt, bool pinned, struct queued_time now);
/* The primary is not up any more, or is another one, or nothing waits: it begins anew. */
void unmet_clear(struct unmet *unmet);
enum unmet_kind unmet_kind(const struct unmet *unmet);
/* Since when (wall clock); 0: UNMET_NOT. */
int64_t unmet_since(const struct unmet *unmet);

#endif
