/*
 * judge_state: see judge_state.h. The rules before 8 need no state, and most domains have nothing
 * that counts: so the question is asked without the state first, and again only where a fact could
 * change the answer.
 */
#include "core/judge_state.h"

#include <string.h>

struct records {
	struct state_domain row, domain;
	const struct state_domain *row_found, *domain_found; /* NULL: nothing is known */
};

static void
look_up(const struct judge_state *state, const struct judgement *judgement, struct records *out)
{
	out->row_found =
	    state->record(state->context, judgement->owner, &out->row) ? &out->row : NULL;
	if (strcmp(judgement->owner, judgement->domain) == 0)
		out->domain_found = out->row_found;
	else
		out->domain_found = state->record(state->context, judgement->domain, &out->domain)
					? &out->domain
					: NULL;
}

bool
judge_mx_counts(const struct judgement *judgement)
{
	return strcmp(judgement->owner, judgement->domain) == 0;
}

/*
 * Was nothing read yet, or is what refuses too old to do so, or soon will be? Mail is taken until
 * it was read.
 */
static bool
mx_to_be_read(const struct records *records, const struct judgement *judgement, int64_t now)
{
	const struct state_domain *row = records->row_found;

	if (judgement->limits.mx_check == MX_CHECK_OFF || !judge_mx_counts(judgement))
		return false;
	if (row == NULL || row->mx_at == 0)
		return true;
	return row->mx == MX_STATE_NOT_NAMED &&
	       (row->mx_at > now || now - row->mx_at > STATE_MX_AGE / 2);
}

/* A primary that is down is watched as long as mail is held for it. */
static bool
primary_to_be_watched(const struct records *records, const struct judgement *judgement, int64_t now)
{
	const struct state_domain *domain = records->domain_found;

	return judgement->limits.when_primary_up == PRIMARY_UP_DEFER &&
	       judgement->verdict.rule >= RULE_PRIMARY_UP &&
	       (domain == NULL || domain->primary == PRIMARY_UP ||
		   !state_primary_known(domain, now));
}

struct judgement
judge_with_state(struct snapshot *snapshot, enum snapshot_result begun,
    const struct judge_relay *relay, struct judge_time now, const struct judge_request *request,
    const struct judge_state *state)
{
	const struct judgement first = judge_recipient(snapshot, begun, relay, now, request, NULL);
	struct judgement judgement = first;
	struct records records;

	if (state == NULL || !first.known || first.verdict.rule < RULE_MX)
		return first;
	look_up(state, &first, &records);
	struct state_facts facts =
	    state_facts_at(records.row_found, records.domain_found, now.wall);
	if (!judge_mx_counts(&first))
		facts.mx = MX_STATE_UNKNOWN;
	if (state->read_mx_again != NULL && mx_to_be_read(&records, &first, now.wall))
		state->read_mx_again(state->context, first.owner);
	if (facts.primary_is_up && first.limits.when_primary_up == PRIMARY_UP_DEFER &&
	    state->keeps_trying != NULL)
		facts.sender_keeps_trying =
		    state->keeps_trying(state->context, request, first.domain);
	if (facts.mx == MX_STATE_NOT_NAMED || facts.held_messages != 0 || facts.held_bytes != 0 ||
	    facts.primary_is_up)
		judgement = judge_recipient(snapshot, begun, relay, now, request, &facts);
	if (state->watch_primary != NULL && primary_to_be_watched(&records, &judgement, now.wall))
		state->watch_primary(state->context, first.domain);
	return judgement;
}
