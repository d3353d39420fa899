/*
 * round: one exchange with the authority: state, decision, rows, end; and what is said of it, in
 * the log, the status and the heartbeat.
 *
 * Whatever goes wrong in it leaves the snapshot as it was. Contact is noted only when the authority
 * was heard and believed.
 */
#ifndef MXHOLD_SYNC_ROUND_H
#define MXHOLD_SYNC_ROUND_H

#include "sync/backlog.h"
#include "sync/feed.h"
#include "sync/policy.h"
#include "sync/report.h"
#include "sync/store.h"
#include "sync/unusable.h"

#include "core/conf.h"

enum round_end {
	ROUND_GOOD,
	ROUND_AGAIN,  /* good, and there is more, or may be */
	ROUND_HELD,   /* the authority was asked, and is not followed */
	ROUND_FAILED, /* of the authority or the way to it */
	ROUND_STORE,  /* of the snapshot */
	ROUND_STOP,   /* the program has to end */
};

struct round {
	const struct conf *conf;
	struct status *status;
	struct store *store;
	struct feed *feed;
	struct report *report;
	struct unusable unusable; /* what the authority tells and we cannot use */
	bool reload_wanted;       /* an operator waits for a full load */
	int64_t compare_next;     /* when the nightly comparison is due, seconds since the epoch */
	unsigned failures;        /* rounds in a row that were neither good nor held */
	int64_t said_at;          /* when the lasting fault or hold was last logged */
	bool silent;              /* the log knows that no notices come */
	struct feed_state state;  /* of the last round that read one */
	struct backlog backlog;   /* changes that are yet to be taken */
	/* When all that the snapshot holds was true of the authority, CLOCK_BOOTTIME; -1: no news.
	 */
	int64_t heard_at;
};

enum round_end round_run(struct round *round) __attribute__((warn_unused_result));
/* The snapshot cannot be used at present: says so. */
void round_no_store(struct round *round);
/* Which database takes the heartbeats. */
const char *round_report_conninfo(const struct conf *conf);
/* Seconds since the epoch by the slower of both clocks: one that runs ahead must not age rows. */
int64_t round_careful_now(const struct round *round);

/* How long a retired row stays beyond the queue's lifetime, seconds. */
#define ROUND_RETIRED_GRACE 86400

#endif
