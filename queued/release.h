/*
 * release: how one domain's held mail leaves once its primary is up, as a state machine: deliveries
 * and time in, flushes out. Pure.
 *
 * First one message goes, the canary; its delivery is the proof (for all domains of the primary:
 * queued/watch lets one of them go first). Then the domain is flushed, in
 * waves: a wave ends when nothing was tried for a while; what then is left gets another wave after
 * a pause. A wave does not end while messages of it are on their way: flush(8) does not know of
 * each message (docs/queue.md, "Release"), so where some were not tried and it has become quiet, a
 * listing of the queue tells which of them wait for qmgr(8)'s turn, and which were missed and have
 * to be tried one by one. The pause stays short while most of a wave is taken, and grows (each
 * flush costs a line in the log for each recipient) while the primary says "later". A canary
 * that gets 4xx, 5xx or no line in the log at all is followed by another one, and after some of
 * them by a pause; a short one, unless the primary said "later".
 *
 * A message that was refused has a pause of its own (release_refused_pause(); the caller keeps
 * it): until that is over it is no canary, and where all that is left waits so, the domain does.
 * What was refused before goes last, and one of it in a round. So one that is refused for ever
 * keeps nobody back.
 *
 * Pauses end before their time: with a delivery, when something is put off for the first time, and
 * when a canary that was lost is heard of. That cannot become a storm: after a wave that brought
 * next to nothing a delivery is no news, and what is put off anew shortens pauses less and less.
 */
#ifndef MXHOLD_QUEUED_RELEASE_H
#define MXHOLD_QUEUED_RELEASE_H

#include "queued/clock.h"
#include "queued/events.h"

enum release_stage {
	RELEASE_IDLE,   /* nothing to do, or the primary is not up, or the domain is held */
	RELEASE_CANARY, /* one message is being tried */
	RELEASE_DRAIN,  /* a wave is under way */
	RELEASE_PAUSE,  /* until next_ms */
	RELEASE_STAGES,
};
const char *release_stage_name(enum release_stage stage);

/* What the caller has to do now. */
enum release_act {
	RELEASE_NOTHING,
	RELEASE_TRY,      /* try a message that was not yet a canary, and call release_tried() */
	RELEASE_FLUSH,    /* postqueue -s DOMAIN */
	RELEASE_TRY_SOME, /* postqueue -i of some of the oldest: the flush had no effect */
	RELEASE_LIST,     /* see where those are that were not tried, and call release_listed() */
	RELEASE_PROBE,    /* the primary was not reached: probe it soon */
};

/* Why there is a pause. */
enum release_why {
	RELEASE_FOR_OTHERS,  /* put off, lost, not reached, or between waves */
	RELEASE_FOR_REFUSED, /* all that is left was refused lately, or is held by an operator */
	RELEASE_FOR_HOLD,    /* a try met our own hold: nothing shortens it */
};

struct release_round { /* of canaries */
	unsigned canaries;
	unsigned later;               /* of them: answered 4xx */
	unsigned lost;                /* of them: without a line in the log */
	bool again;                   /* the canary was refused before */
	char canary[JOURNAL_ID_SIZE]; /* "": none under way */
};

struct release_flush {                             /* a wave */
	unsigned sent, deferred, refused, unheard; /* attempts; unheard: no answer */
	unsigned attempts;                         /* all of them */
	unsigned before;                           /* attempts when messages were tried singly */
	unsigned listings;                         /* since the last one that helped */
	int64_t active_ms;                         /* the last attempt or flush */
	int64_t listed_ms;                         /* when a listing was asked for last */
	bool listing;                              /* one is asked for */
	bool singly;                               /* messages of it were tried one by one */
	bool blind;                                /* no listing is to be had, or none helps */
	bool sure;                                 /* it began with a delivery */
};

struct release_rest { /* pauses: the present one, and how they grow */
	enum release_why why;
	bool proved;         /* after it: flush, without a canary */
	bool vain;           /* a wave that began with a delivery brought less than it left */
	unsigned step;       /* they grow with it, */
	unsigned short_step; /* the short ones with this, */
	unsigned news_step;  /* and this is how often one was cut short for news, */
	int64_t news_ms;     /* the last time then */
};

struct release {
	enum release_stage stage;
	int64_t next_ms; /* when release_tick() is wanted */
	int64_t held_ms; /* a try that met our own hold; 0: none */
	struct release_round round;
	struct release_flush wave;
	struct release_rest pause;
};

#define RELEASE_CANARY_MS 20000 /* a canary without a line in the log is lost after this */
#define RELEASE_CANARIES 10     /* of a round */
#define RELEASE_LATER 3         /* canaries that get 4xx, then a sweep and a pause */
#define RELEASE_QUIET_MS 3000   /* a wave has ended when nothing was tried for so long */
#define RELEASE_STALL_MS 1000   /* quiet for so long, with messages that were not tried: list */
#define RELEASE_BUSY_MS 5000    /* the same while the primary takes mail of other domains */
#define RELEASE_LIST_MS 1000    /* between listings; doubled with each one that did not help */
#define RELEASE_LIST_MAX_MS 60000
#define RELEASE_LOST_MS 180000 /* a listing that takes so long is lost */
#define RELEASE_HELD_MS 31000  /* qmgr(8) keeps a resolver's answer for 30 s */
#define RELEASE_PAUSE_MS 5000  /* the first pause; doubled with each step */
#define RELEASE_PAUSE_MAX_MS 300000
#define RELEASE_SHORT_MAX_MS 60000 /* the longest where nobody said "later" */
#define RELEASE_NEWS_MS 2000       /* until what was put off for the first time is tried */
#define RELEASE_NEWS_OLD_MS 600000 /* without news: the next ones count in full again */
#define RELEASE_SOON_MS 1000       /* smtp(8) writes its line before qmgr(8) puts the message off */
#define RELEASE_REFUSED_MS 30000   /* until a refused message is offered again; doubled each time */
#define RELEASE_UNKNOWN_MS 600000  /* the same where there is no such user */
#define RELEASE_REFUSED_MAX_MS 3600000
#define RELEASE_SPACE_MS 15000 /* between two of them */
#define RELEASE_LOOK_MS 60000  /* they are looked at so often at least: one may be set free */

struct release release_new(void);
/* The primary was confirmed up, or a hold has ended, and there is held mail. */
enum release_act release_start(struct release *release, struct queued_time now);
/* The same, where a delivery to this primary, of whatever domain, was the proof already. */
enum release_act release_start_proved(struct release *release, struct queued_time now);
/* The primary is not up any more, or the domain is held, or its queue is empty. */
void release_stop(struct release *release);
/* A message that was refused `refusals` times waits so long. */
int64_t release_refused_pause(unsigned refusals, bool unknown_user);
/* Answer to RELEASE_TRY. */
struct release_canary {
	const char *id; /* NULL: none is left but such as were tried, or have to wait */
	bool again;     /* it was refused before */
	int64_t due_ms; /* without an id: when the first of those that were refused may go */
};
enum release_act release_tried(
    struct release *release, const struct release_canary *canary, struct queued_time now);
/* Answer to RELEASE_FLUSH, where nothing may go: all that is left was refused lately. */
enum release_act release_empty(struct release *release, struct queued_time now);
/* A delivery attempt of the domain; of a message that is */
enum release_news {
	RELEASE_KNOWN,
	RELEASE_FRESH,  /* put off for the first time, or was refused before */
	RELEASE_LATE,   /* put off, a lost canary: what it says is of an earlier attempt */
	RELEASE_AGAIN,  /* refused once more, whoever had it offered */
	RELEASE_MENDED, /* taken, and something that was refused before may go again for that */
};
enum release_act release_attempt(struct release *release, const struct event_attempt *attempt,
    enum release_news news, struct queued_time now);
/* A message has left the queue without an attempt (removed by somebody). */
enum release_act release_left(struct release *release, const char *id, struct queued_time now);
/* The flush has not been carried out yet: the wave begins now. */
void release_flushing(struct release *release, struct queued_time now);
/* What the caller knows of the wave under way. */
struct release_wave {
	uint64_t untried; /* messages of it that were not tried yet */
	bool busy;        /* the primary took mail of whatever domain just now */
};
/* Answer to RELEASE_LIST. `good`: it could be had; `singly`: messages had been missed by the flush,
   and are tried one by one now. */
void release_listed(struct release *release, bool good, bool singly, struct queued_time now);
/* To be called at next_ms. */
enum release_act release_tick(
    struct release *release, const struct release_wave *wave, struct queued_time now);

#endif
