/*
 * primary: what is known of one primary (one address and port, with what is pinned), as a state
 * machine: probes and deliveries in, a state and the time of the next probe out. Pure.
 *
 * It takes [queue] confirmations good probes in a row, a second apart, to be up: one answer of a
 * server that is just starting does not release a queue. It takes two bad probes in a row to leave
 * up, the second a second after the first: one lost packet stops no drain. A stranger (wrong host)
 * is believed at once, so that its domains are held. Whoever flaps needs more good probes.
 */
#ifndef MXHOLD_QUEUED_PRIMARY_H
#define MXHOLD_QUEUED_PRIMARY_H

#include "core/state.h"
#include "queued/clock.h"

/* What a probe found. */
enum probe_outcome {
	PROBE_GOOD,
	PROBE_BUSY,        /* 4xx */
	PROBE_BROKEN,      /* 5xx, or not SMTP, or no TLS where it is required */
	PROBE_DOWN,        /* refused, unreachable, no answer in time, connection lost */
	PROBE_WRONG_HOST,  /* it shows another certificate or banner than the pinned one */
	PROBE_CANNOT_TELL, /* our own trouble: no descriptors, no memory */
};

struct probe_finding {
	enum probe_outcome outcome;
	unsigned code;                /* of the reply, 0: none */
	char reason[STATE_TEXT_SIZE]; /* stage and words, for people; "" where good */
};

struct primary_policy {
	int64_t interval_ms;      /* [queue] probe_interval */
	int64_t long_interval_ms; /* [queue] probe_interval_long */
	unsigned confirmations;   /* [queue] confirmations */
};

struct primary {
	enum primary_state state;
	int64_t since, at;            /* changed, last confirmed: wall clock */
	char reason[STATE_TEXT_SIZE]; /* the last probe's, or why the state is what it is */
	unsigned code;
	unsigned good, bad; /* probes in a row */
	unsigned flaps;     /* times that it was up only for a short while */
	int64_t since_ms;
	int64_t next_ms; /* when to probe next */
	/* what a former process knew; UNKNOWN: nothing, or something else has been found since */
	enum primary_state former;
	int64_t former_since;
};

#define PRIMARY_SPACING_MS 1000      /* between confirmations, and before a doubt is settled */
#define PRIMARY_UP_INTERVAL_MS 10000 /* while up */
#define PRIMARY_LONG_MS 3600000      /* an outage of more than this is a long one */
#define PRIMARY_FLAP_MS 120000       /* up for less than this is a flap */
#define PRIMARY_CALM_MS 600000       /* up for longer than this makes up for the flaps */
#define PRIMARY_FLAPS_MAX 3

/* Unknown; to be probed at once. */
struct primary primary_new(struct queued_time now);
/* What a former process knew of it: where the same is found first, it has been so since then. */
void primary_recall(struct primary *primary, enum primary_state state, int64_t since);
/*
 * A probe's finding. `jitter`: 0 to 1, spreads the next one over a fifth of the interval to both
 * sides. True: the state has changed.
 */
bool primary_probed(struct primary *primary, const struct primary_policy *policy,
    const struct probe_finding *finding, struct queued_time now, double jitter);
/* It took a message: it is up. (Not a wrong host: what was under way when it came proves nothing.)
   True: the state has changed. */
bool primary_delivered(struct primary *primary, struct queued_time now);
/* A delivery did not reach it: to be probed soon. */
void primary_missed(struct primary *primary, struct queued_time now);
/* A delivery found somebody else in its place, perhaps: to be probed at `soonest_ms`, unless that
   is known. */
void primary_hurry(struct primary *primary, int64_t soonest_ms);
/* Good probes in a row that it needs now to be up. */
unsigned primary_needed(const struct primary *primary, const struct primary_policy *policy);

#endif
