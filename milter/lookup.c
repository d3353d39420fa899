/*
 * lookup: see lookup.h. In: requests from any thread. Out: judgements. The clock is read here, so
 * that nothing below needs one. It must never keep a read transaction open between two calls: that
 * would make the snapshot grow.
 */
#include "milter/lookup.h"

#include "core/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define COMPLAIN_MS 10000 /* an unusable snapshot is logged at most so often */

struct lookup {
	pthread_mutex_t mutex; /* guards all that follows */
	struct snapshot *snapshot;
	struct judge_relay relay;
	int64_t complained_at; /* boot milliseconds; 0: not yet */
	bool usable;
};

static bool
add_own_addresses(struct snapshot *snapshot, const struct conf *conf)
{
	for (size_t i = 0; i < conf->relay.public_address_count; i++) {
		if (!snapshot_own_address(snapshot, &conf->relay.public_addresses[i]))
			return false;
	}
	return true;
}

struct lookup *
lookup_new(const struct conf *conf)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		return NULL;
	lookup->relay = (struct judge_relay){
	    .region = conf->relay.region,
	    .stale_after = conf->authority.stale_after,
	    .queue_lifetime = conf->relay.queue_lifetime,
	};
	lookup->usable = true;
	lookup->snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	if (lookup->snapshot == NULL || !add_own_addresses(lookup->snapshot, conf) ||
	    pthread_mutex_init(&lookup->mutex, NULL) != 0) {
		snapshot_free(lookup->snapshot);
		free(lookup);
		return NULL;
	}
	return lookup;
}

void
lookup_free(struct lookup *lookup)
{
	if (lookup == NULL)
		return;
	snapshot_free(lookup->snapshot);
	(void)pthread_mutex_destroy(&lookup->mutex);
	free(lookup);
}

/* Under the mutex: says when the snapshot can no longer be used, and when it can again. */
static void
note_result(struct lookup *lookup, enum snapshot_result begun, int64_t boot_ms)
{
	if (begun == SNAPSHOT_OK) {
		if (!lookup->usable)
			log_event(LOG_NOTICE, "snapshot-usable", kv("daemon", "mxhold-milter"));
		lookup->usable = true;
		return;
	}
	if (lookup->usable || boot_ms - lookup->complained_at >= COMPLAIN_MS) {
		log_event(LOG_ERR, "snapshot-unusable",
		    kv("problem", snapshot_problem(lookup->snapshot)));
		lookup->complained_at = boot_ms;
	}
	lookup->usable = false;
}

struct judgement
lookup_judge(void *context, const struct judge_request *request)
{
	struct lookup *lookup = context;
	const struct judge_time now = {
	    .wall = (int64_t)time(NULL), .boot_ms = snapshot_clock_boot_ms()};
	struct judgement judgement;
	enum snapshot_result begun;

	(void)pthread_mutex_lock(&lookup->mutex);
	begun = snapshot_begin(lookup->snapshot, now.boot_ms);
	judgement = judge_recipient(lookup->snapshot, begun, &lookup->relay, now, request, NULL);
	if (begun == SNAPSHOT_OK)
		snapshot_end(lookup->snapshot);
	note_result(lookup, begun, now.boot_ms);
	(void)pthread_mutex_unlock(&lookup->mutex);
	return judgement;
}

bool
lookup_own_name(void *context, const char *normal_domain)
{
	struct lookup *lookup = context;
	const struct fleet *fleet;
	bool own = false;

	(void)pthread_mutex_lock(&lookup->mutex);
	if (snapshot_begin(lookup->snapshot, snapshot_clock_boot_ms()) == SNAPSHOT_OK) {
		fleet = snapshot_fleet(lookup->snapshot);
		own = fleet != NULL && fleet_name(fleet, normal_domain) == FLEET_SELF;
		snapshot_end(lookup->snapshot);
	}
	(void)pthread_mutex_unlock(&lookup->mutex);
	return own;
}

void
lookup_pass(struct lookup *lookup)
{
	(void)pthread_mutex_lock(&lookup->mutex);
	(void)pthread_mutex_unlock(&lookup->mutex);
}
