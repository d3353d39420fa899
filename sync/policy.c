/*
 * policy: see policy.h. Three tables of conditions are asked in order: does the authority know us;
 * is it to be believed; how much is to be read. The first that holds decides.
 */
#include "sync/policy.h"

#include "sync/schedule.h"

#include <string.h>

#define CONFIRM "if this is intended: insert into mxhold.feed_confirmation (note) values ('why')"

struct facts {
	const struct feed_state *state;
	const struct policy_local *local;
	int64_t now;
};

struct condition {
	bool (*holds)(const struct facts *);
	const char *reason;
	const char *cure;
};

static bool
no_login(const struct facts *f)
{
	return f->state->relay[0] == '\0';
}

static bool
other_relay(const struct facts *f)
{
	return strcmp(f->state->relay, f->local->relay) != 0;
}

static bool
other_region(const struct facts *f)
{
	return strcmp(f->state->region, f->local->region) != 0;
}

static bool
empty_after_loss(const struct facts *f)
{
	return !f->local->usable && f->local->lost && f->state->empty;
}

static bool
other_epoch(const struct facts *f)
{
	return f->local->usable && strcmp(f->state->epoch, f->local->meta.epoch) != 0;
}

static bool
backwards(const struct facts *f)
{
	return f->local->usable && f->state->version < f->local->meta.newest;
}

static bool
other_history(const struct facts *f)
{
	return f->local->usable && !f->state->same_history;
}

static bool
emptied(const struct facts *f)
{
	return f->local->usable && f->state->empty && f->local->domains > 0;
}

static bool
no_snapshot(const struct facts *f)
{
	return !f->local->usable;
}

static bool
moved(const struct facts *f)
{
	return strcmp(f->local->meta.relay, f->local->relay) != 0 ||
	       strcmp(f->local->meta.region, f->local->region) != 0;
}

static bool
below_floor(const struct facts *f)
{
	return f->local->meta.version < f->state->floor;
}

static bool
asked(const struct facts *f)
{
	return f->local->reload_wanted;
}

static bool
compare_due(const struct facts *f)
{
	return schedule_is_due(f->now, f->local->compare_next);
}

static const struct condition strangers[] = {
    {no_login, "no-relay-row",
	"set `login` of this relay's row in mxhold.relay to the user of [authority] conninfo"},
    {other_relay, "other-relay",
	"the login belongs to another row of mxhold.relay: make [relay] name and the row agree"},
    {other_region, "other-region",
	"make [relay] region and the region of this relay's row in mxhold.relay agree"},
};

static const struct condition brakes[] = {
    {empty_after_loss, "empty-feed", CONFIRM},
    {other_epoch, "other-epoch", CONFIRM},
    {backwards, "version-backwards", CONFIRM},
    {other_history, "other-history", CONFIRM},
    {emptied, "empty-feed", CONFIRM},
};

static const struct condition loads[] = {
    {no_snapshot, "no-snapshot", NULL},
    {moved, "relay-or-region-changed", NULL},
    {below_floor, "below-floor", NULL},
    {asked, "asked", NULL},
    {compare_due, "comparison", NULL},
};

static const struct condition *
first(const struct condition *table, size_t count, const struct facts *facts)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (table[i].holds(facts))
			return &table[i];
	return NULL;
}

#define FIRST(table, facts) first(table, sizeof(table) / sizeof((table)[0]), facts)

bool
policy_confirmed(const struct feed_state *state, const struct policy_local *local)
{
	bool same = local->usable && strcmp(state->epoch, local->meta.epoch) == 0;

	return state->confirmation > (same ? local->meta.confirmation : 0);
}

struct policy_decision
policy_decide(const struct feed_state *state, const struct policy_local *local, int64_t now)
{
	const struct facts facts = {state, local, now};
	const struct condition *hit;

	hit = FIRST(strangers, &facts);
	if (hit != NULL)
		return (struct policy_decision){POLICY_NOT_OURS, hit->reason, hit->cure, false};
	hit = FIRST(brakes, &facts);
	if (hit != NULL && policy_confirmed(state, local))
		return (struct policy_decision){POLICY_FULL, hit->reason, NULL, true};
	if (hit != NULL)
		return (struct policy_decision){POLICY_HOLD, hit->reason, hit->cure, false};
	hit = FIRST(loads, &facts);
	if (hit != NULL)
		return (struct policy_decision){POLICY_FULL, hit->reason, NULL, false};
	if (state->version > local->meta.version)
		return (struct policy_decision){POLICY_CHANGES, "changes", NULL, false};
	return (struct policy_decision){POLICY_NOTHING, "current", NULL, false};
}
