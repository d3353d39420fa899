/*
 * sync: see sync.h. Between two rounds come the local jobs: the snapshot is opened where it is not,
 * looked at, verified, purged; the configuration is read again; and then the wait for a notice, for
 * the next poll, or for somebody at the control socket.
 */
#include "sync/sync.h"

#include "sync/conninfo.h"
#include "sync/control.h"
#include "sync/round.h"
#include "sync/schedule.h"
#include "sync/signals.h"

#include "core/deadman.h"
#include "core/log.h"
#include "core/service.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define SECOND_MS INT64_C(1000)
#define VERIFY_MS (3600 * SECOND_MS)
#define DAILY_MS (86400 * SECOND_MS)
#define CRASHES_FORGOTTEN_MS (600 * SECOND_MS)

struct sync {
	struct conf *conf;
	const char *config;
	struct pump pump;
	struct status status;
	struct store store;
	struct control *control;
	struct shipper *shipper;
	struct round round;
	int64_t verify_at, daily_at, crashes_forgotten_at; /* CLOCK_BOOTTIME, ms */
};

/* --- configuration ---------------------------------------------------------------------- */

static bool
check_conninfo(const char *config, const char *section, const char *text, FILE *errors)
{
	struct conninfo *info;
	const char *problem;

	info = conninfo_parse(text, &problem);
	if (info == NULL)
		fprintf(errors, "%s: [%s] conninfo: %s\n", config, section, problem);
	conninfo_free(info);
	return info != NULL;
}

bool
sync_check_conf(const struct conf *conf, const char *config, FILE *errors)
{
	const char *authority = conf->authority.conninfo;
	bool good = true;

	if (authority == NULL || authority[0] == '\0') {
		fprintf(
		    errors, "%s: [authority] conninfo is missing: where the database is\n", config);
		return false;
	}
	if (strlen(conf->paths.state_dir) > 90) {
		fprintf(errors, "%s: [paths] state_dir is too long for its socket (90 bytes)\n",
		    config);
		good = false;
	}
	good = check_conninfo(config, "authority", authority, errors) && good;
	if (conf->journal.conninfo != NULL && conf->journal.conninfo[0] != '\0')
		good = check_conninfo(config, "journal", conf->journal.conninfo, errors) && good;
	return check_conninfo(config, "report", round_report_conninfo(conf), errors) && good;
}

/* May it take the place of the present one? */
static bool
may_replace(const struct conf *conf, const char *config, FILE *errors, const void *context)
{
	const struct conf *present = context;

	if (!sync_check_conf(conf, config, errors))
		return false;
	if (strcmp(conf->paths.state_dir, present->paths.state_dir) == 0)
		return true;
	fprintf(errors, "%s: another [paths] state_dir needs a restart\n", config);
	return false;
}

/* Makes `conf` the present one. False: out of memory, and nothing has changed. */
static bool
use_conf(struct sync *sync, struct conf *conf)
{
	struct conf *old = sync->conf;

	if (!report_to(sync->round.report, round_report_conninfo(conf)))
		return false;
	if (strcmp(old->authority.conninfo, conf->authority.conninfo) != 0)
		feed_close(sync->round.feed);
	sync->conf = conf;
	sync->round.conf = conf;
	sync->status.relay = conf->relay.name;
	sync->status.region = conf->relay.region;
	sync->status.has_journal =
	    conf->journal.conninfo != NULL && conf->journal.conninfo[0] != '\0';
	sync->store.state_dir = conf->paths.state_dir;
	shipper_use(sync->shipper, conf);
	if (old != conf)
		conf_free(old);
	return true;
}

static void
reload_conf(struct sync *sync)
{
	struct conf *conf = service_read_conf(sync->config, may_replace, sync->conf);

	if (conf != NULL && use_conf(sync, conf)) {
		log_event(LOG_NOTICE, "configuration-read", kv("file", sync->config));
		return;
	}
	if (conf != NULL)
		conf_free(conf);
	log_event(LOG_ERR, "configuration-refused", kv("file", sync->config),
	    kv("effect", "the old one stays in force"));
}

/* --- local jobs --------------------------------------------------------------------------- */

static void
verify_if_due(struct sync *sync, int64_t now)
{
	bool asked = control_take(sync->control, CONTROL_VERIFY), good;

	if (!asked && now < sync->verify_at)
		return;
	sync->verify_at = now + VERIFY_MS;
	good = store_verify(&sync->store);
	if (asked)
		control_done(sync->control, CONTROL_VERIFY,
		    good && sync->status.verified.census.damaged == 0,
		    sync->status.verified.result);
}

/*
 * What is purged is gone for good: only while the authority is heard, so that its clock speaks
 * against ours.
 */
static bool
daily_if_due(struct sync *sync, int64_t now)
{
	int64_t lifetime = sync->conf->relay.queue_lifetime + ROUND_RETIRED_GRACE;

	if (now < sync->daily_at || !sync->status.usable || sync->round.state.server_time == 0)
		return true;
	sync->daily_at = now + DAILY_MS;
	if (!store_purge(&sync->store, round_careful_now(&sync->round), lifetime))
		return false;
	return sync->round.state.read_only || feed_maintain(sync->round.feed) == FEED_OK;
}

/* False: the snapshot cannot be used at present. */
static bool
local_jobs(struct sync *sync)
{
	int64_t now = pump_now();

	sync->pump.wake = false;
	if (sync->pump.reload) {
		sync->pump.reload = false;
		reload_conf(sync);
	}
	if (now >= sync->crashes_forgotten_at)
		signals_crashes_forget();
	if (sync->store.writer != NULL && !store_check(&sync->store))
		log_event(LOG_NOTICE, "snapshot-opened-anew", kv("why", sync->store.problem));
	if (!store_open(&sync->store)) {
		if (control_take(sync->control, CONTROL_VERIFY))
			control_done(sync->control, CONTROL_VERIFY, false, sync->store.problem);
		return false;
	}
	verify_if_due(sync, now);
	return store_open(&sync->store);
}

/* --- the loop ------------------------------------------------------------------------------- */

static void
answer_reload(struct sync *sync, enum round_end end)
{
	const struct status *status = &sync->status;
	char detail[sizeof status->error];

	switch (end) {
	case ROUND_GOOD:
	case ROUND_AGAIN:
		snprintf(detail, sizeof detail, "%llu rows, %llu differing, %llu retired",
		    (unsigned long long)status->load.rows,
		    (unsigned long long)status->load.differing,
		    (unsigned long long)status->load.carried);
		control_done(sync->control, CONTROL_RELOAD, true, detail);
		return;
	case ROUND_HELD:
		snprintf(detail, sizeof detail, "held: %s: %s", status->reason, status->cure);
		break;
	default: snprintf(detail, sizeof detail, "%s", status->error); break;
	}
	control_done(sync->control, CONTROL_RELOAD, false, detail);
}

static enum round_end
one_round(struct sync *sync)
{
	enum round_end end;
	bool asked;

	if (!local_jobs(sync)) {
		round_no_store(&sync->round);
		end = ROUND_STORE;
		asked = control_take(sync->control, CONTROL_RELOAD);
	} else {
		asked = control_take(sync->control, CONTROL_RELOAD);
		sync->round.reload_wanted = asked;
		end = round_run(&sync->round);
	}
	if (asked)
		answer_reload(sync, end);
	if ((end == ROUND_GOOD || end == ROUND_HELD) && !daily_if_due(sync, pump_now()))
		feed_close(sync->round.feed);
	return end;
}

/* Waits for what comes first: a notice, the next poll, somebody's wish. False: the end. */
static bool
wait_for_more(struct sync *sync)
{
	int64_t deadline = pump_now() + sync->conf->authority.poll_interval * SECOND_MS;
	uint64_t known = sync->status.usable ? sync->status.meta.version : 0;

	if (sync->status.state != STATUS_CURRENT)
		known = UINT64_MAX; /* held: only the poll asks again */
	return feed_idle(sync->round.feed, known, deadline) != FEED_IDLE_STOP;
}

static bool
back_off(struct sync *sync)
{
	int64_t wait = schedule_backoff(++sync->round.failures, (uint32_t)random());
	short ready;

	return pump_wait(&sync->pump, -1, 0, pump_now() + wait, true, &ready) != PUMP_STOP;
}

static void
serve(struct sync *sync)
{
	bool go_on = true;

	while (go_on && !signals_stop()) {
		switch (one_round(sync)) {
		case ROUND_GOOD:
		case ROUND_HELD: go_on = wait_for_more(sync); break;
		case ROUND_AGAIN: break;
		case ROUND_STOP: go_on = false; break;
		default: go_on = back_off(sync); break;
		}
	}
}

/* --- going on after SIGSTOP: nobody else watches this daemon --------------------------------- */

static void
handle_prepare(void *context, struct pump_set *set)
{
	(void)context;
	pump_set_until(set, pump_now() + DEADMAN_TURN_MS);
}

static void
handle_run(void *context, const struct pump_set *set, int64_t now)
{
	(void)context;
	(void)set;
	(void)now;
	deadman_turn();
}

static const struct pump_task handle_task = {.prepare = handle_prepare, .run = handle_run};

/* --- beginning and end ------------------------------------------------------------------------ */

static bool
make_parts(struct sync *sync)
{
	struct round *round = &sync->round;
	struct pump_task task;

	round->conf = sync->conf;
	round->status = &sync->status;
	round->store = &sync->store;
	round->feed = feed_new(&sync->pump);
	round->report = report_new();
	sync->control = control_new(&sync->pump, &sync->status);
	sync->shipper = shipper_new();
	sync->status.shipper = sync->shipper;
	if (round->feed == NULL || round->report == NULL || sync->control == NULL ||
	    sync->shipper == NULL || !use_conf(sync, sync->conf))
		return false;
	task = control_task(sync->control);
	pump_add(&sync->pump, &task);
	task = report_task(round->report);
	pump_add(&sync->pump, &task);
	pump_add(&sync->pump, &handle_task);
	task = shipper_task(sync->shipper);
	pump_add(&sync->pump, &task);
	return control_open(sync->control, sync->conf->paths.state_dir, sync->store.group);
}

/* What crashed again and again over its snapshot does not look at it another time. */
static void
after_crashes(struct sync *sync)
{
	unsigned crashes = signals_crashes();

	if (crashes == 0)
		return;
	log_event(LOG_CRIT, "crashed", kv_number("crashes", crashes),
	    kv("effect", crashes > 1 ? "the snapshot is set aside" : "the snapshot is verified"));
	if (crashes > 1)
		store_set_aside(&sync->store, "this program crashed twice while it used it");
}

static void
start(struct sync *sync)
{
	int64_t now = pump_now();
	time_t clock = time(NULL);
	struct tm local;

	localtime_r(&clock, &local);
	srandom((unsigned)(clock ^ (now << 16) ^ getpid()));
	sync->round.compare_next = schedule_nightly(clock, local.tm_gmtoff, sync->conf->relay.name);
	sync->round.said_at = now;
	sync->status.contact_ms = -1;
	sync->verify_at = now + VERIFY_MS; /* opening it verifies it */
	sync->daily_at = now;
	sync->crashes_forgotten_at = now + CRASHES_FORGOTTEN_MS;
	after_crashes(sync);
	/* Nobody knows what could not be used before: a comparison tells it anew. */
	if (!unusable_load(&sync->round.unusable, sync->conf->paths.state_dir))
		sync->store.cure = true;
}

int
sync_run(struct conf *conf, const char *config, gid_t group)
{
	struct sync sync = {.conf = conf, .config = config};
	int code = EX_OSERR;

	(void)deadman_hold(DEADMAN_AFTER_MS); /* without it, it still serves */
	sync.store = (struct store){
	    .state_dir = conf->paths.state_dir, .group = group, .status = &sync.status};
	if (make_parts(&sync)) {
		start(&sync);
		log_event(LOG_NOTICE, "started", kv("version", MXHOLD_VERSION),
		    kv("relay", conf->relay.name), kv("region", conf->relay.region));
		daemon_notify("READY=1");
		serve(&sync);
		daemon_notify("STOPPING=1");
		log_event(LOG_NOTICE, "stopped", kv("relay", sync.conf->relay.name));
		code = EX_OK;
	}
	control_free(sync.control);
	shipper_free(sync.shipper);
	report_free(sync.round.report);
	feed_free(sync.round.feed);
	unusable_clear(&sync.round.unusable);
	store_close(&sync.store);
	conf_free(sync.conf);
	return code;
}
