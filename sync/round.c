/*
 * round: see round.h. Changes are read a page a round (backlog.h), each in a transaction of its
 * own, so that between two of them there is time for everything else.
 */
#include "sync/round.h"

#include "sync/apply.h"
#include "sync/schedule.h"

#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_MS INT64_C(1000)
#define SAY_AGAIN_MS (60 * SECOND_MS) /* a lasting fault is logged once a minute */
#define PROGRESS_MS (5 * SECOND_MS)
#define CONTACT_LEAST_MS 200 /* rounds that follow at once share one contact */
#define COMPARE_RETRY 3600   /* seconds until a nightly comparison that failed is due again */
#define UNUSABLE_LINES 20    /* rows of one reading that get a line in the log each */

/* --- what is said ------------------------------------------------------------------- */

/* Is it time to say `now` what was said at round->said_at? `fresh`: it is something else. */
static bool
say(struct round *round, bool fresh, int64_t now)
{
	if (!fresh && now < round->said_at + SAY_AGAIN_MS)
		return false;
	round->said_at = now;
	return true;
}

static void
set_error(struct round *round, const char *text)
{
	snprintf(round->status->error, sizeof round->status->error, "%s", text);
	round->status->error_at = time(NULL);
}

static void
note_failure(struct round *round, enum status_state state, const char *event, const char *text)
{
	bool fresh = round->status->state != state || strcmp(round->status->error, text) != 0;

	if (say(round, fresh, pump_now()))
		log_event(state == STATUS_NO_STORE ? LOG_CRIT : LOG_ERR, event, kv("error", text),
		    kv_number("failures", round->failures + 1));
	set_error(round, text);
	round->status->state = state;
	round->status->reason = round->status->cure = NULL;
}

static void
note_good(struct round *round)
{
	struct status *status = round->status;

	if (status->state != STATUS_CURRENT)
		log_event(LOG_NOTICE, "current", kv("was", status_state_name(status->state)),
		    kv("epoch", status->meta.epoch),
		    kv_number("version", (long long)status->meta.version),
		    kv_number("domains", (long long)status->domains),
		    kv("listening", status->listening ? "yes" : "no"));
	status->state = STATUS_CURRENT;
	status->reason = status->cure = NULL;
	round->failures = 0;
}

static void
note_held(struct round *round, const struct policy_decision *decision)
{
	struct status *status = round->status;
	enum status_state state = decision->action == POLICY_HOLD ? STATUS_HELD : STATUS_UNHEARD;
	bool fresh = status->state != state || status->reason != decision->reason;

	status->state = state;
	status->reason = decision->reason;
	status->cure = decision->cure;
	if (!say(round, fresh, pump_now()))
		return;
	log_event(LOG_CRIT, state == STATUS_HELD ? "feed-held" : "feed-not-heard",
	    kv("reason", decision->reason), kv("cure", decision->cure),
	    kv("effect", "the last good snapshot stays, and counts as stale"),
	    kv("epoch", round->state.epoch), kv_number("version", (long long)round->state.version),
	    kv("snapshot_epoch", status->meta.epoch),
	    kv_number("snapshot_version", (long long)status->meta.version),
	    kv("relay", round->state.relay), kv("region", round->state.region));
}

/* --- heartbeat ------------------------------------------------------------------------ */

const char *
round_report_conninfo(const struct conf *conf)
{
	return conf->report.conninfo != NULL && conf->report.conninfo[0] != '\0'
		   ? conf->report.conninfo
		   : conf->authority.conninfo;
}

/* A standby takes no heartbeat; and without a row there is nobody to send one. */
static bool
may_report(const struct round *round)
{
	bool own = strcmp(round_report_conninfo(round->conf), round->conf->authority.conninfo) != 0;

	return round->state.relay[0] != '\0' && (own || !round->state.read_only);
}

static void
tell(struct round *round, const char *held)
{
	struct report_beat beat = {.held = held != NULL, .domains = round->status->domains};
	uint64_t unusable = unusable_count(&round->unusable);
	char *names;

	round->status->unusable = unusable;
	if (!may_report(round))
		return;
	names = unusable_array(&round->unusable);
	if (names == NULL) /* no memory: the next one will say it */
		return;
	if (round->status->usable) {
		memcpy(beat.epoch, round->status->meta.epoch, sizeof beat.epoch);
		beat.version = round->status->meta.version;
	}
	if (held != NULL)
		snprintf(beat.detail, sizeof beat.detail, "%s", held);
	else if (unusable > 0)
		snprintf(beat.detail, sizeof beat.detail, "rows that it cannot use: %llu",
		    (unsigned long long)unusable);
	report_tell(round->report, &beat, names);
	free(names);
}

/* --- a round --------------------------------------------------------------------------- */

static enum round_end
feed_failed(struct round *round, enum feed_result result)
{
	feed_close(round->feed);
	round->status->listening = false;
	if (result == FEED_STOPPED)
		return ROUND_STOP;
	note_failure(round, STATUS_UNREACHABLE, "feed-failed", feed_problem(round->feed));
	return ROUND_FAILED;
}

static enum round_end
store_failed(struct round *round)
{
	feed_close(round->feed);
	round->status->listening = false;
	note_failure(round, STATUS_NO_STORE, "store-failed", round->store->problem);
	return ROUND_STORE;
}

int64_t
round_careful_now(const struct round *round)
{
	int64_t now = time(NULL), server = (int64_t)round->state.server_time;

	return server > 0 && server < now ? server : now;
}

struct reading {
	struct round *round;
	struct apply apply;
	struct backlog backlog; /* as it will be after this page */
	struct backlog_page page;
	const char *fault;         /* in what came */
	struct unusable *unusable; /* a load makes it anew */
	uint64_t unusable_rows;
	int64_t progress_at;
	int64_t read_at; /* the state, CLOCK_BOOTTIME */
};

static void
log_unusable(struct reading *reading, const struct row *row)
{
	static const char *const effects[] = {
	    [ROW_RELAY] = "the fleet is as it was known before",
	    [ROW_CUSTOMER] = "mail for his domains is deferred",
	    [ROW_DOMAIN] = "mail for it is deferred",
	};

	reading->unusable_rows++;
	if (reading->unusable_rows <= UNUSABLE_LINES)
		log_event(LOG_ERR, "row-not-usable", kv("kind", row_kind_name(row->kind)),
		    kv("key", row->key), kv("error", row->why),
		    kv("effect", row->fault == ROW_BAD_KEY ? "passed over" : effects[row->kind]));
}

static bool
take(const struct row *row, void *context)
{
	struct reading *reading = context;
	struct round *round = reading->round;

	if (!reading->apply.load && !backlog_row(&reading->backlog, &reading->page, row)) {
		reading->fault = "feed_since: a row that was not asked for";
		return false;
	}
	if (row->present && row->fault != ROW_SOUND)
		log_unusable(reading, row);
	unusable_note(reading->unusable, row);
	if (!apply_row(&reading->apply, row))
		return false;
	round->status->loading = reading->apply.rows;
	if (!reading->apply.load || reading->apply.rows % 1000 != 0 ||
	    pump_now() < reading->progress_at)
		return true;
	reading->progress_at = pump_now() + PROGRESS_MS;
	log_event(LOG_INFO, "loading", kv_number("rows", (long long)reading->apply.rows));
	return true;
}

static struct snapshot_meta
loaded_meta(const struct round *round)
{
	const struct feed_state *state = &round->state;
	struct snapshot_meta meta = {.version = state->version,
	    .newest = state->version,
	    .confirmation = state->confirmation,
	    .loaded_at = round_careful_now(round)};

	memcpy(meta.epoch, state->epoch, sizeof meta.epoch);
	memcpy(meta.stamp, state->stamp, sizeof meta.stamp);
	memcpy(meta.newest_stamp, state->stamp, sizeof meta.newest_stamp);
	snprintf(meta.relay, sizeof meta.relay, "%s", state->relay);
	snprintf(meta.region, sizeof meta.region, "%s", state->region);
	return meta;
}

/* It claims no version before all of it is there. */
static struct snapshot_meta
page_meta(struct reading *reading)
{
	struct round *round = reading->round;
	struct snapshot_meta meta = round->status->meta;

	backlog_end(&reading->backlog, &reading->page, &round->state, reading->read_at);
	backlog_claim(&reading->backlog, &round->state, &meta, &round->heard_at);
	meta.confirmation = round->state.confirmation;
	return meta;
}

static enum feed_result
read_rows(struct reading *reading)
{
	enum feed_result result = FEED_OK;
	enum row_kind kind;

	if (!reading->apply.load)
		return feed_since(reading->round->feed, &reading->page, take, reading);
	for (kind = ROW_RELAY; kind <= ROW_DOMAIN && result == FEED_OK; kind++)
		result = feed_full(reading->round->feed, kind, take, reading);
	/* What no old set is there to carry over must be told. */
	if (result == FEED_OK)
		result = feed_gone(reading->round->feed, take, reading);
	return result;
}

/* What cannot be right in rows that came; a full load must hold some things. */
static const char *
fault_of(const struct reading *reading, enum feed_result result)
{
	if (reading->fault != NULL || result != FEED_OK || !reading->apply.load)
		return reading->fault;
	if (!reading->apply.own_row)
		return "full load: this relay's own row was not among the rows";
	if (reading->apply.domains + reading->apply.passed == 0 && !reading->round->state.empty)
		return "full load: no domain came, though there are some";
	return NULL;
}

static void
log_applied(struct reading *reading, const char *reason, int64_t took)
{
	struct round *round = reading->round;
	struct status *status = round->status;
	struct apply *apply = &reading->apply;

	if (!apply->load) {
		log_event(LOG_INFO, "changes-applied", kv_number("rows", (long long)apply->rows),
		    kv_number("version", (long long)status->meta.version),
		    kv_number("newest", (long long)status->meta.newest),
		    kv_number("large", (long long)round->backlog.count),
		    kv_number("ms", (long long)took));
		return;
	}
	status->load.at = status->meta.loaded_at;
	status->load.reason = reason;
	status->load.rows = apply->rows;
	status->load.differing = apply->differing;
	status->load.carried = apply->carried;
	status->load.took_ms = took;
	log_event(LOG_NOTICE, "loaded", kv("reason", reason),
	    kv_number("rows", (long long)apply->rows),
	    kv_number("domains", (long long)apply->domains),
	    kv_number("differing", (long long)apply->differing),
	    kv_number("retired", (long long)apply->carried), kv("epoch", status->meta.epoch),
	    kv_number("version", (long long)status->meta.version),
	    kv_number("ms", (long long)took));
}

static void
count_domains(struct round *round, const struct apply *apply)
{
	if (apply->load)
		round->status->domains = apply->domains;
	else
		round->status->domains = (uint64_t)((int64_t)round->status->domains + apply->live);
}

/*
 * Saved before the rows are committed: what is told twice is noted once, what is forgotten would
 * be told by no change.
 */
static void
save_unusable(const struct reading *reading)
{
	const char *state_dir = reading->round->store->state_dir;

	if (reading->unusable_rows > UNUSABLE_LINES)
		log_event(LOG_ERR, "rows-not-usable",
		    kv_number("rows", (long long)reading->unusable_rows));
	if ((reading->apply.load || reading->unusable->changed) &&
	    !unusable_save(reading->unusable, state_dir))
		log_event(LOG_ERR, "unusable-not-saved", kv("state_dir", state_dir),
		    kv("error", strerror(errno)));
}

/* Reads rows and commits them; whatever fails, the snapshot stays as it was. */
static enum round_end
read_and_commit(struct reading *reading)
{
	struct round *round = reading->round;
	struct apply *apply = &reading->apply;
	struct snapshot_meta meta;
	int64_t lifetime = round->conf->relay.queue_lifetime + ROUND_RETIRED_GRACE;
	enum feed_result result;
	const char *fault;

	if (!apply_begin(apply)) {
		store_write_failed(round->store, "begin");
		return store_failed(round);
	}
	result = read_rows(reading);
	fault = fault_of(reading, result);
	if (fault != NULL || (result != FEED_OK && result != FEED_REFUSED)) {
		apply_abort(apply);
		store_note(round->store);
		if (fault != NULL)
			feed_blame(round->feed, fault);
		return feed_failed(round, fault != NULL ? FEED_FAILED : result);
	}
	save_unusable(reading);
	if (result == FEED_OK)
		meta = apply->load ? loaded_meta(round) : page_meta(reading);
	if (result == FEED_REFUSED || !apply_end(apply, &meta, lifetime)) {
		apply_abort(apply);
		store_write_failed(round->store, apply->load ? "load" : "changes");
		return store_failed(round);
	}
	return ROUND_GOOD;
}

/* Is there more that the authority told of than the snapshot claims? */
static bool
behind(const struct round *round)
{
	return round->status->meta.version < round->state.version;
}

/* Reads rows into the snapshot: all of them, or a page of what changed. */
static enum round_end
read_into_store(struct round *round, const struct policy_decision *decision)
{
	bool load = decision->action == POLICY_FULL;
	int64_t began = pump_now();
	struct unusable anew = {.count = 0}, former;
	struct hint hint = {.used = 0};
	struct reading reading = {.round = round,
	    .read_at = round->heard_at,
	    .unusable = load ? &anew : &round->unusable,
	    .progress_at = began + PROGRESS_MS};
	enum round_end end;

	reading.apply = (struct apply){.writer = round->store->writer,
	    .load = load,
	    .compare = load && round->status->usable,
	    .now = round_careful_now(round),
	    .relay = round->state.relay,
	    .hint = &hint};
	if (load)
		log_event(LOG_NOTICE, "load-begins", kv("reason", decision->reason));
	backlog_attach(&round->backlog, &round->status->meta);
	reading.backlog = round->backlog;
	reading.page = backlog_next(&reading.backlog, round->state.version);
	end = read_and_commit(&reading);
	if (end == ROUND_GOOD && load) {
		former = round->unusable;
		round->unusable = anew;
		anew = former;
	}
	unusable_clear(&anew);
	if (end != ROUND_GOOD)
		return end;
	store_look(round->store);
	hint_send(&hint, round->conf->paths.socket_dir);
	round->backlog = reading.backlog;
	count_domains(round, &reading.apply);
	log_applied(&reading, decision->reason, pump_now() - began);
	return pump_now() - began > SECOND_MS || behind(round) ? ROUND_AGAIN : ROUND_GOOD;
}

/* Remembers a confirmation that released nothing: it counts once. */
static bool
note_confirmation(struct round *round)
{
	struct snapshot_meta meta = round->status->meta;

	if (round->state.confirmation <= meta.confirmation)
		return true;
	meta.confirmation = round->state.confirmation;
	return store_put_meta(round->store, &meta);
}

static enum round_end
act(struct round *round, const struct policy_decision *decision)
{
	enum round_end end;

	switch (decision->action) {
	case POLICY_NOTHING: return note_confirmation(round) ? ROUND_GOOD : store_failed(round);
	case POLICY_CHANGES: return read_into_store(round, decision);
	case POLICY_FULL:
		round->status->state = STATUS_LOADING;
		round->status->loading = 0;
		end = read_into_store(round, decision);
		round->status->loading = 0;
		return end;
	default: note_held(round, decision); return ROUND_HELD;
	}
}

/* A comparison that is over, or that failed and must not stand in the way of changes. */
static void
plan_comparison(struct round *round, const struct policy_decision *decision, enum round_end end)
{
	int64_t now = time(NULL);
	struct tm local;

	if (decision->action != POLICY_FULL)
		return;
	if (end == ROUND_GOOD || end == ROUND_AGAIN) {
		localtime_r(&now, &local);
		round->compare_next =
		    schedule_nightly(now, local.tm_gmtoff, round->conf->relay.name);
		round->store->cure = false;
	} else if (schedule_is_due(now, round->compare_next)) {
		round->compare_next = now + COMPARE_RETRY;
	}
}

/* The authority was heard and believed. */
static void
note_heard(struct round *round)
{
	if (!behind(round)) {
		note_good(round);
		return;
	}
	if (round->status->state != STATUS_CURRENT)
		round->status->state = STATUS_LOADING;
	round->failures = 0;
}

/*
 * As long as something is missing that was committed before it was heard, the contact is as old as
 * what is whole: an unknown domain may be one of those.
 */
static enum round_end
conclude(struct round *round, enum round_end end)
{
	struct status *status = round->status;

	if (end == ROUND_HELD) {
		tell(round, status->reason);
		round->failures = 0;
		return end;
	}
	if (round->heard_at >= 0 &&
	    (status->contact_ms < 0 || round->heard_at >= status->contact_ms + CONTACT_LEAST_MS))
		if (!store_put_contact(round->store, round->heard_at))
			return store_failed(round);
	note_heard(round);
	tell(round, NULL);
	return end;
}

/* LISTEN comes before the first reading, and again when a standby has become a primary. */
static enum feed_result
listen_first(struct round *round)
{
	enum feed_result result;
	bool listening = false;

	result = feed_listen(round->feed, &listening);
	if (result == FEED_OK && !listening && !round->silent)
		log_event(LOG_NOTICE, "not-listening", kv("error", feed_problem(round->feed)),
		    kv("effect", "changes are found by polling"));
	if (result == FEED_OK)
		round->silent = !listening;
	round->status->listening = listening;
	return result;
}

static enum feed_result
open_feed(struct round *round)
{
	enum feed_result result = FEED_OK;

	if (feed_is_open(round->feed))
		return FEED_OK;
	round->status->listening = false;
	result = feed_open(round->feed, round->conf->authority.conninfo);
	return result == FEED_OK ? listen_first(round) : result;
}

static struct policy_decision
decide(const struct round *round)
{
	const struct policy_local local = {
	    .usable = round->status->usable,
	    .lost = round->store->lost,
	    .meta = round->status->meta,
	    .domains = round->status->domains,
	    .relay = round->conf->relay.name,
	    .region = round->conf->relay.region,
	    .reload_wanted = round->reload_wanted || round->store->cure,
	    .compare_next = round->compare_next,
	};
	struct policy_decision decision = policy_decide(&round->state, &local, time(NULL));

	if (decision.released)
		log_event(LOG_CRIT, "feed-released", kv("reason", decision.reason),
		    kv_number("confirmation", (long long)round->state.confirmation));
	return decision;
}

/* Opens where it is not open, begins, reads the state. */
static enum feed_result
begin_once(struct round *round)
{
	const struct snapshot_meta *meta = round->status->usable ? &round->status->meta : NULL;
	enum feed_result result = open_feed(round);

	return result == FEED_OK ? feed_begin(round->feed, meta, &round->state, &round->heard_at)
				 : result;
}

/* A connection that was kept since the last round may have died: that is no fault yet. */
static enum feed_result
begin(struct round *round)
{
	bool kept = feed_is_open(round->feed);
	enum feed_result result = begin_once(round);

	if (result != FEED_FAILED || !kept)
		return result;
	log_event(LOG_NOTICE, "connection-lost", kv("error", feed_problem(round->feed)));
	feed_close(round->feed);
	return begin_once(round);
}

enum round_end
round_run(struct round *round)
{
	struct policy_decision decision;
	enum feed_result result;
	enum round_end end;

	result = begin(round);
	if (result != FEED_OK)
		return feed_failed(round, result);
	decision = decide(round);
	end = act(round, &decision);
	plan_comparison(round, &decision, end);
	if (end == ROUND_FAILED || end == ROUND_STORE || end == ROUND_STOP)
		return end;
	result = feed_end(round->feed);
	if (result == FEED_OK && !round->status->listening && !round->state.read_only)
		result = listen_first(round);
	if (result != FEED_OK)
		return feed_failed(round, result);
	return conclude(round, end);
}

void
round_no_store(struct round *round)
{
	note_failure(round, STATUS_NO_STORE, "store-failed", round->store->problem);
	feed_close(round->feed);
	round->status->listening = false;
}
