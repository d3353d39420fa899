/*
 * primary: see primary.h. primary_set() is the one place where the state changes.
 */
#include "queued/primary.h"

#include <stdio.h>
#include <string.h>

static const enum primary_state state_of[] = {
    [PROBE_GOOD] = PRIMARY_UP,
    [PROBE_BUSY] = PRIMARY_BUSY,
    [PROBE_BROKEN] = PRIMARY_BROKEN,
    [PROBE_DOWN] = PRIMARY_DOWN,
    [PROBE_WRONG_HOST] = PRIMARY_WRONG_HOST,
    [PROBE_CANNOT_TELL] = PRIMARY_UNKNOWN,
};

struct primary
primary_new(struct queued_time now)
{
	return (struct primary){
	    .since = now.wall, .since_ms = now.ms, .next_ms = now.ms, .reason = "not yet probed"};
}

void
primary_recall(struct primary *primary, enum primary_state state, int64_t since)
{
	if (primary->state != PRIMARY_UNKNOWN || state == PRIMARY_UNKNOWN)
		return;
	primary->former = state;
	primary->former_since = since;
}

/* Nothing was known yet: it may have been so for longer. */
static void
take_former(struct primary *primary, struct queued_time now)
{
	const int64_t lasted = now.wall - primary->former_since;

	if (primary->former == primary->state && primary->former_since > 0 && lasted > 0) {
		primary->since = primary->former_since;
		if (primary->state != PRIMARY_UP) /* how long it is up is for its release to see */
			primary->since_ms = now.ms - lasted * 1000;
	}
	primary->former = PRIMARY_UNKNOWN;
}

static void
note_flap(struct primary *primary, enum primary_state next, int64_t lasted)
{
	if (primary->state != PRIMARY_UP || next == PRIMARY_UP)
		return;
	if (lasted >= PRIMARY_CALM_MS)
		primary->flaps = 0;
	else if (lasted < PRIMARY_FLAP_MS && primary->flaps < PRIMARY_FLAPS_MAX)
		primary->flaps++;
}

static bool
primary_set(struct primary *primary, enum primary_state next, struct queued_time now)
{
	bool both_bad = next != PRIMARY_UP && next != PRIMARY_UNKNOWN &&
			primary->state != PRIMARY_UP && primary->state != PRIMARY_UNKNOWN;

	primary->at = now.wall;
	if (primary->state == next)
		return false;
	note_flap(primary, next, now.ms - primary->since_ms);
	primary->state = next;
	primary->since = now.wall;
	/* How long an outage lasts: from down to busy it goes on. */
	if (!both_bad)
		primary->since_ms = now.ms;
	take_former(primary, now);
	return true;
}

unsigned
primary_needed(const struct primary *primary, const struct primary_policy *policy)
{
	return policy->confirmations * (1 + primary->flaps);
}

static int64_t
interval(const struct primary *primary, const struct primary_policy *policy, struct queued_time now,
    double jitter)
{
	int64_t base = policy->interval_ms;

	if (primary->state == PRIMARY_UP)
		base = PRIMARY_UP_INTERVAL_MS;
	else if (now.ms - primary->since_ms > PRIMARY_LONG_MS)
		base = policy->long_interval_ms;
	return base + (int64_t)((double)base * (jitter - 0.5) * 0.4);
}

static bool
probed_good(struct primary *primary, const struct primary_policy *policy, struct queued_time now)
{
	bool changed = false;

	primary->bad = 0;
	if (primary->state == PRIMARY_UP || primary->good + 1 >= primary_needed(primary, policy)) {
		changed = primary_set(primary, PRIMARY_UP, now);
		primary->good = 0;
		return changed;
	}
	primary->good++;
	primary->next_ms = now.ms + PRIMARY_SPACING_MS;
	return false;
}

/* Up is left at the second bad probe in a row, but for a stranger. */
static bool
probed_bad(struct primary *primary, enum primary_state next, struct queued_time now)
{
	primary->good = 0;
	if (primary->bad < 2)
		primary->bad++;
	if (primary->state == PRIMARY_UP && primary->bad < 2 && next != PRIMARY_WRONG_HOST) {
		primary->next_ms = now.ms + PRIMARY_SPACING_MS;
		return false;
	}
	return primary_set(primary, next, now);
}

bool
primary_probed(struct primary *primary, const struct primary_policy *policy,
    const struct probe_finding *finding, struct queued_time now, double jitter)
{
	bool changed;

	primary->next_ms = NEVER_MS;
	if (finding->outcome == PROBE_CANNOT_TELL) {
		primary->next_ms = now.ms + interval(primary, policy, now, jitter);
		return false;
	}
	primary->code = finding->code;
	(void)snprintf(primary->reason, sizeof(primary->reason), "%s", finding->reason);
	if (finding->outcome == PROBE_GOOD)
		changed = probed_good(primary, policy, now);
	else
		changed = probed_bad(primary, state_of[finding->outcome], now);
	if (primary->next_ms == NEVER_MS)
		primary->next_ms = now.ms + interval(primary, policy, now, jitter);
	return changed;
}

bool
primary_delivered(struct primary *primary, struct queued_time now)
{
	if (primary->state == PRIMARY_WRONG_HOST)
		return false;
	primary->bad = 0;
	primary->good = 0;
	primary->reason[0] = '\0';
	if (primary->state == PRIMARY_UP && primary->next_ms < NEVER_MS / 2)
		primary->next_ms = now.ms + PRIMARY_UP_INTERVAL_MS;
	return primary_set(primary, PRIMARY_UP, now);
}

void
primary_missed(struct primary *primary, struct queued_time now)
{
	if (primary->state == PRIMARY_UP && primary->next_ms > now.ms + PRIMARY_SPACING_MS)
		primary->next_ms = now.ms + PRIMARY_SPACING_MS;
}

void
primary_hurry(struct primary *primary, int64_t soonest_ms)
{
	if (primary->state != PRIMARY_WRONG_HOST && primary->next_ms > soonest_ms)
		primary->next_ms = soonest_ms;
}
