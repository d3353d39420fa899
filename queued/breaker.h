/*
 * breaker: holds a domain whose primary refuses (5xx) what it is offered, as a state machine:
 * attempts and time in, a hold and now and then one message to try out. Pure.
 *
 * It opens when the last 10 minutes saw at least 5 messages refused for other reasons than an
 * unknown user, and at least four of five answered so; or at least 10 messages refused for
 * whatever reason, and none taken ("unknown user" for everybody: a user table was lost). Unknown
 * users among mail that is taken never open it: backup MXes see many of them. The caller has each
 * message counted once, when it is refused for the first time: spam that waits and is offered again
 * and again says nothing of the others.
 *
 * Open, the domain is held. After 1, 5, 15, 15, ... minutes the hold is lifted and one message
 * tried; where it still meets the hold (qmgr keeps a resolver's answer for 30 s) it is tried once
 * more after 31 s. Taken: closed. Refused: held again. No verdict: held again, and another one is
 * tried after the same interval (the watch lets them go round).
 */
#ifndef MXHOLD_QUEUED_BREAKER_H
#define MXHOLD_QUEUED_BREAKER_H

#include "queued/clock.h"
#include "queued/events.h"

enum breaker_stage { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_LIFTED, BREAKER_TRYING, BREAKER_STAGES };
const char *breaker_stage_name(enum breaker_stage stage);

enum breaker_act {
	BREAKER_NOTHING,
	BREAKER_HOLD,  /* (again) hold the domain, alert where it is not yet raised */
	BREAKER_LIFT,  /* end the hold for the moment: a message will be tried */
	BREAKER_TRY,   /* try a message, and call breaker_tried() */
	BREAKER_CLOSE, /* end the hold and the alert, let the domain go */
};

#define BREAKER_SLOTS 10
#define BREAKER_SLOT_MS 60000
#define BREAKER_REFUSED 5      /* other refusals at least */
#define BREAKER_SHARE 4        /* that many of them for each message taken */
#define BREAKER_ANY 10         /* refusals of any kind, where none is taken */
#define BREAKER_SETTLE_MS 1000 /* from lifting to trying: readers of the state see it */
#define BREAKER_HELD_MS 31000
#define BREAKER_VERDICT_MS 60000
#define BREAKER_BACK_MS 30000

struct breaker_slot {
	int64_t number; /* time / BREAKER_SLOT_MS */
	unsigned sent, unknown, refused;
};

struct breaker {
	enum breaker_stage stage;
	int64_t next_ms;
	unsigned tries;  /* since it opened, each without success */
	bool again;      /* the message met the hold: it is tried once more */
	int64_t back_ms; /* when it was hurried by a primary that came back; 0: never */
	bool hurried;    /* the next one is tried in any case, also where it was refused just now */
	char canary[JOURNAL_ID_SIZE];
	char last_refused[JOURNAL_ID_SIZE]; /* one message with many recipients counts once */
	struct breaker_slot slot[BREAKER_SLOTS];
};

struct breaker breaker_new(void);
/* An attempt of the domain. ATTEMPT_UNREACHED counts as no verdict. */
enum breaker_act breaker_attempt(
    struct breaker *breaker, const struct event_attempt *attempt, struct queued_time now);
/* Answer to BREAKER_TRY. NULL: no message is left that could be tried, it closes. */
enum breaker_act breaker_tried(struct breaker *breaker, const char *id, struct queued_time now);
/* An operator says that the primary is mended: an open one tries a message at the next tick, due
   now. False: it is not open. */
bool breaker_hurry(struct breaker *breaker, struct queued_time now);
/* Its primary was away, and is back, perhaps mended: the same, but BREAKER_BACK_MS apart. */
void breaker_back(struct breaker *breaker, struct queued_time now);
/* Its primary is another one now: nothing that was counted is of that. */
void breaker_anew(struct breaker *breaker);
/* There is nothing to be tried yet: an open one is looked at again then. */
void breaker_wait(struct breaker *breaker, int64_t until_ms);
/* To be called at next_ms. */
enum breaker_act breaker_tick(struct breaker *breaker, struct queued_time now);
/* Is the domain to be held now? */
bool breaker_holds(const struct breaker *breaker);

#endif
