/*
 * judge_state: judge_recipient with what mxhold-queued knows (core/state), for rules 8 to 10. Used
 * by policyd and `mxholdctl domain check`.
 */
#ifndef MXHOLD_CORE_JUDGE_STATE_H
#define MXHOLD_CORE_JUDGE_STATE_H

#include "core/judge.h"
#include "core/state.h"

/* What the caller has of the state. Functions may be NULL. */
struct judge_state {
	/* The record of a name, in a transaction of the caller's. False: nothing is known. */
	bool (*record)(void *context, const char *name, struct state_domain *out);
	/* Rule 10: does this sender come back after having been sent away? */
	bool (*keeps_trying)(
	    void *context, const struct judge_request *request, const char *domain);
	/* A recipient at `row` itself: its MX records were never read; or that they do not name
	 * this relay is too old to be used, or soon will be. */
	void (*read_mx_again)(void *context, const char *row);
	/* Rule 10: it is not known how the primary of `domain` is, or it is and shall stay so. */
	void (*watch_primary)(void *context, const char *domain);
	void *context;
};

/* `state` NULL: as judge_recipient without state. */
struct judgement judge_with_state(struct snapshot *snapshot, enum snapshot_result begun,
    const struct judge_relay *relay, struct judge_time now, const struct judge_request *request,
    const struct judge_state *state);

/*
 * Pure: does what was read of the row's MX records speak of the recipient's domain? Not where that
 * is a name below the row (include_subdomains): it has MX records of its own, which nobody reads,
 * and rule 8 leaves it alone.
 */
bool judge_mx_counts(const struct judgement *judgement);

#endif
