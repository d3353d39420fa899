/*
 * policy: what sync does with what the authority says: nothing, take changes, load in full, or
 * hold back (the brake). Pure: facts in, one decision out.
 *
 * The brake holds only what cannot be the SOC's work: an empty feed, another epoch, a version that
 * runs backwards, another history. One row in mxhold.feed_confirmation releases it; a confirmation
 * counts once. Holding keeps the last good snapshot, which then counts as stale.
 */
#ifndef MXHOLD_SYNC_POLICY_H
#define MXHOLD_SYNC_POLICY_H

#include "core/snapshot.h"

/* One row of mxhold.feed_state (docs/feed.md). */
struct feed_state {
	char epoch[SNAPSHOT_EPOCH_SIZE];
	uint64_t version;
	char stamp[SNAPSHOT_STAMP_SIZE];
	uint64_t floor;
	bool same_history;
	char relay[DOMAIN_SIZE]; /* "": no relay has this login */
	char region[REGION_SIZE];
	bool empty;
	uint64_t confirmation;
	bool read_only;
	uint64_t server_time; /* seconds since the epoch */
};

/* What this relay has and is. */
struct policy_local {
	bool usable; /* there is a snapshot, and `meta` is its */
	bool lost;   /* there was one, and it was set aside */
	struct snapshot_meta meta;
	uint64_t domains; /* in it, without the retired ones */
	const char *relay;
	const char *region;   /* both from the configuration */
	bool reload_wanted;   /* an operator asks for a full load */
	int64_t compare_next; /* when the nightly comparison is due, seconds since the epoch */
};

enum policy_action {
	POLICY_NOTHING,
	POLICY_CHANGES,
	POLICY_FULL,
	POLICY_HOLD,     /* the brake: the authority is not believed */
	POLICY_NOT_OURS, /* the authority does not know this relay as the one it is */
};

struct policy_decision {
	enum policy_action action;
	const char *reason; /* static; a word for the log */
	const char *cure;   /* static; what a person has to do, NULL where nothing is */
	bool released;      /* the brake would hold, but a new confirmation releases it */
};

struct policy_decision policy_decide(
    const struct feed_state *state, const struct policy_local *local, int64_t now);

/* Was a confirmation given that this relay has not taken into account? */
bool policy_confirmed(const struct feed_state *state, const struct policy_local *local);

#endif
