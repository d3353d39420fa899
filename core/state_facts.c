/*
 * state_facts: what of the state counts at a given time. Pure. A fact without an age, or with one
 * from the future (a clock that was set back), does not count: what does not count never refuses.
 */
#include "core/state.h"

#define AHEAD 60 /* seconds by which another process's clock may be ahead */

static const char *const primary_names[] = {
    [PRIMARY_UNKNOWN] = "unknown",
    [PRIMARY_UP] = "up",
    [PRIMARY_DOWN] = "down",
    [PRIMARY_BUSY] = "busy",
    [PRIMARY_BROKEN] = "broken",
    [PRIMARY_WRONG_HOST] = "wrong-host",
};

static const char *const hold_names[] = {
    [HOLD_NONE] = "none",
    [HOLD_OPERATOR] = "operator",
    [HOLD_BREAKER] = "breaker",
    [HOLD_WRONG_HOST] = "wrong-host",
};

const char *
primary_state_name(enum primary_state state)
{
	return (size_t)state < sizeof(primary_names) / sizeof(primary_names[0])
		   ? primary_names[state]
		   : "?";
}

const char *
hold_kind_name(enum hold_kind kind)
{
	return (size_t)kind < sizeof(hold_names) / sizeof(hold_names[0]) ? hold_names[kind] : "?";
}

/* Was it true at `at`, and is that at most `age` seconds ago? */
static bool
counts(int64_t at, int64_t age, int64_t now)
{
	return at > 0 && now > 0 && now - at <= age && at - now <= AHEAD;
}

struct state_facts
state_facts_at(const struct state_domain *row, const struct state_domain *domain, int64_t now)
{
	struct state_facts facts = {.mx = MX_STATE_UNKNOWN};

	if (row != NULL && counts(row->mx_at, STATE_MX_AGE, now))
		facts.mx = row->mx;
	if (row != NULL && counts(row->counted_at, STATE_COUNTS_AGE, now)) {
		facts.held_messages = row->row_messages;
		facts.held_bytes = row->row_bytes;
	}
	facts.primary_is_up = domain != NULL && domain->primary == PRIMARY_UP &&
			      counts(domain->primary_at, STATE_PRIMARY_AGE, now);
	return facts;
}

bool
state_primary_known(const struct state_domain *domain, int64_t now)
{
	return domain != NULL && domain->primary != PRIMARY_UNKNOWN &&
	       counts(domain->primary_at, STATE_PRIMARY_AGE, now);
}

bool
state_held(const struct state_domain *domain, int64_t now)
{
	return domain->hold != HOLD_NONE && domain->hold_until > now;
}
