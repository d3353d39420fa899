/*
 * judge: gathers from the snapshot what decide needs, for one recipient, and asks it. The one way
 * by which policyd, the milter and `mxholdctl domain check` come to an answer.
 */
#ifndef MXHOLD_CORE_JUDGE_H
#define MXHOLD_CORE_JUDGE_H

#include "core/decide.h"
#include "core/snapshot.h"

struct judge_relay { /* this relay, from the configuration */
	const char *region;
	int64_t stale_after;                  /* seconds */
	int64_t queue_lifetime;               /* seconds */
	uint64_t quota_messages, quota_bytes; /* [queue]: where no row says; 0: none */
};

struct judge_time {
	int64_t wall;    /* seconds since the epoch */
	int64_t boot_ms; /* CLOCK_BOOTTIME, milliseconds */
};

struct judge_request {
	const char *recipient; /* raw, as the policy service gets it */
	size_t recipient_length;
	const char *client_address; /* text; "" or unreadable: no relay of the fleet */
	const char *sender;         /* for rule 10's memory; NULL: not known */
	uint64_t declared_size;     /* UINT64_MAX: not declared */
};

struct judgement {
	struct verdict verdict;
	char
	    domain[DOMAIN_SIZE]; /* normal form of the recipient's domain, "" where there is none */
	char owner[DOMAIN_SIZE]; /* the row that decided, "" where none did */
	bool known;              /* a row speaks for the domain */
	struct limits limits;    /* effective ones, when known */
};

/*
 * Runs in a transaction that the caller began: `begun` is the result of
 * snapshot_begin. `state` is NULL while nobody writes one.
 */
struct judgement judge_recipient(struct snapshot *snapshot, enum snapshot_result begun,
    const struct judge_relay *relay, struct judge_time now, const struct judge_request *request,
    const struct state_facts *state);

#endif
