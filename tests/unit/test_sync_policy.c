/*
 * test_sync_policy: the brake as a table: what the authority says, what the relay has, what is
 * done.
 */
#include "sync/policy.h"
#include "tests/unit/table.h"

#define NOW 1000000

/* The healthy case: same epoch and history, one version behind nothing. */
static const struct feed_state healthy = {
    .epoch = "e1",
    .version = 10,
    .stamp = "s",
    .floor = 3,
    .same_history = true,
    .relay = "a",
    .region = "europe",
};

static struct policy_local
local_healthy(void)
{
	struct policy_local local = {.usable = true,
	    .domains = 5,
	    .relay = "a",
	    .region = "europe",
	    .compare_next = NOW + 1};

	strcpy(local.meta.epoch, "e1");
	strcpy(local.meta.stamp, "s");
	strcpy(local.meta.relay, "a");
	strcpy(local.meta.region, "europe");
	local.meta.version = local.meta.newest = 10;
	local.meta.confirmation = 2;
	return local;
}

struct change {
	const char *name;
	/* the authority; NULL, -1: as in the healthy case */
	const char *epoch, *relay, *region;
	int version, other_history, empty, confirmation, floor;
	/* the relay */
	int unusable, lost, no_domains, asked, due, clock_set_back, newest;
	const char *snapshot_region;
	/* what is expected */
	enum policy_action action;
	const char *reason;
	int released;
};

static const struct change changes[] = {
    {"nothing new", .action = POLICY_NOTHING, .reason = "current"},
    {"a version more", .version = 11, .action = POLICY_CHANGES, .reason = "changes"},
    {"rows are newer than what is claimed", .version = 12, .newest = 12, .action = POLICY_CHANGES,
	.reason = "changes"},
    {"behind rows that are newer than what is claimed", .version = 11, .newest = 12,
	.action = POLICY_HOLD, .reason = "version-backwards"},
    {"just above the floor", .version = 20, .floor = 10, .action = POLICY_CHANGES,
	.reason = "changes"},
    {"below the floor", .version = 20, .floor = 11, .action = POLICY_FULL, .reason = "below-floor"},
    {"no snapshot", .unusable = 1, .action = POLICY_FULL, .reason = "no-snapshot"},
    {"no snapshot, new authority", .unusable = 1, .empty = 1, .action = POLICY_FULL,
	.reason = "no-snapshot"},
    {"snapshot lost", .unusable = 1, .lost = 1, .action = POLICY_FULL, .reason = "no-snapshot"},
    {"snapshot lost, feed empty", .unusable = 1, .lost = 1, .empty = 1, .action = POLICY_HOLD,
	.reason = "empty-feed"},
    {"snapshot lost, feed empty, confirmed", .unusable = 1, .lost = 1, .empty = 1,
	.confirmation = 1, .action = POLICY_FULL, .reason = "empty-feed", .released = 1},
    {"asked for", .asked = 1, .action = POLICY_FULL, .reason = "asked"},
    {"comparison due", .due = 1, .action = POLICY_FULL, .reason = "comparison"},
    {"clock set back by years", .clock_set_back = 1, .action = POLICY_FULL, .reason = "comparison"},
    {"region changed on both sides", .snapshot_region = "asia", .action = POLICY_FULL,
	.reason = "relay-or-region-changed"},
    {"other epoch", .epoch = "e2", .action = POLICY_HOLD, .reason = "other-epoch"},
    {"other epoch, confirmed there", .epoch = "e2", .confirmation = 1, .action = POLICY_FULL,
	.reason = "other-epoch", .released = 1},
    {"other epoch, asked for a load", .epoch = "e2", .asked = 1, .action = POLICY_HOLD,
	.reason = "other-epoch"},
    {"backwards", .version = 9, .action = POLICY_HOLD, .reason = "version-backwards"},
    {"backwards to nothing", .version = -1, .action = POLICY_HOLD, .reason = "version-backwards"},
    {"backwards, old confirmation", .version = 9, .confirmation = 2, .action = POLICY_HOLD,
	.reason = "version-backwards"},
    {"backwards, new confirmation", .version = 9, .confirmation = 3, .action = POLICY_FULL,
	.reason = "version-backwards", .released = 1},
    {"backwards, below the floor", .version = 9, .floor = 11, .action = POLICY_HOLD,
	.reason = "version-backwards"},
    {"other history, same version", .other_history = 1, .action = POLICY_HOLD,
	.reason = "other-history"},
    {"other history, newer version", .other_history = 1, .version = 12, .action = POLICY_HOLD,
	.reason = "other-history"},
    {"other history, confirmed", .other_history = 1, .version = 12, .confirmation = 3,
	.action = POLICY_FULL, .reason = "other-history", .released = 1},
    {"emptied", .empty = 1, .version = 11, .action = POLICY_HOLD, .reason = "empty-feed"},
    {"emptied, comparison due", .empty = 1, .version = 11, .due = 1, .action = POLICY_HOLD,
	.reason = "empty-feed"},
    {"emptied, confirmed", .empty = 1, .version = 11, .confirmation = 3, .action = POLICY_FULL,
	.reason = "empty-feed", .released = 1},
    {"empty as before", .empty = 1, .no_domains = 1, .version = 11, .action = POLICY_CHANGES,
	.reason = "changes"},
    {"no row for the login", .relay = "", .action = POLICY_NOT_OURS, .reason = "no-relay-row"},
    {"row of another relay", .relay = "b", .action = POLICY_NOT_OURS, .reason = "other-relay"},
    {"another region", .region = "asia", .action = POLICY_NOT_OURS, .reason = "other-region"},
    {"another region, no snapshot", .region = "asia", .unusable = 1, .action = POLICY_NOT_OURS,
	.reason = "other-region"},
    {"no row and another epoch", .relay = "", .epoch = "e2", .confirmation = 9,
	.action = POLICY_NOT_OURS, .reason = "no-relay-row"},
};

static void
apply_change(const struct change *change, struct feed_state *state, struct policy_local *local)
{
	*state = healthy;
	*local = local_healthy();
	if (change->epoch != NULL)
		strcpy(state->epoch, change->epoch);
	if (change->relay != NULL)
		strcpy(state->relay, change->relay);
	if (change->region != NULL)
		strcpy(state->region, change->region);
	if (change->version != 0)
		state->version = change->version < 0 ? 0 : (uint64_t)change->version;
	if (change->floor != 0)
		state->floor = (uint64_t)change->floor;
	state->same_history = !change->other_history;
	state->empty = change->empty != 0;
	state->confirmation = (uint64_t)change->confirmation;
	local->usable = !change->unusable;
	local->lost = change->lost != 0;
	if (change->unusable)
		memset(&local->meta, 0, sizeof(local->meta));
	if (change->no_domains)
		local->domains = 0;
	local->reload_wanted = change->asked != 0;
	if (change->newest != 0)
		local->meta.newest = (uint64_t)change->newest;
	if (change->due)
		local->compare_next = NOW;
	if (change->clock_set_back)
		local->compare_next = NOW + INT64_C(315360000);
	if (change->snapshot_region != NULL)
		strcpy(local->meta.region, change->snapshot_region);
}

START_TEST(test_table)
{
	const struct change *change = &changes[_i];
	struct policy_local local;
	struct feed_state state;

	apply_change(change, &state, &local);
	const struct policy_decision decision = policy_decide(&state, &local, NOW);
	ck_assert_msg(
	    decision.action == change->action, "%s: action %d", change->name, (int)decision.action);
	ck_assert_msg(strcmp(decision.reason, change->reason) == 0, "%s: reason %s", change->name,
	    decision.reason);
	ck_assert_msg(decision.released == (change->released != 0), "%s: released", change->name);
	if (decision.action == POLICY_HOLD || decision.action == POLICY_NOT_OURS)
		ck_assert_msg(decision.cure != NULL, "%s: a cure is named", change->name);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-policy");
	TCase *tcase = tcase_create("decide");

	tcase_add_loop_test(tcase, test_table, 0, (int)(sizeof(changes) / sizeof(changes[0])));
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
