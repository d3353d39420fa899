/*
 * serve: see serve.h. It lives from the start, and works from when it has the stores: only one
 * process may write state and spool, so a new one waits until the one before has ended.
 *
 * Every callback begins with serve_enter() (time) and ends with serve_leave() (no transaction of
 * the snapshot is kept, the state is committed, the watch's next wake-up is set).
 */
#include "queued/serve_inner.h"

#include "core/lmdb_files.h"
#include "core/log.h"
#include "core/supervise.h"
#include "queued/stand_in.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 200  /* how often stores that are not ours yet are tried */
#define PUT_OFF_MS 10 /* who has asked whether we live is answered before that may last */
#define PUT_OFF_MOST 200
#define TELL_MS 10000      /* how often that is said */
#define GIVE_MS 300000     /* how often the parent is to try anew to give what it could not */
#define ALIVE_TIMEOUT_S 10 /* who asks whether we live says so within this */
#define SPOOL_DEFAULT 4294967296u
#define ROWS_SETTLE_MS 3000  /* from when rows can be read until all domains have theirs */
#define STATE_ALERT_MS 20000 /* a state that cannot be written for so long is an alert */
#define ASIDE_MS 3600000     /* how long the alert of a spool that was set aside stands */

/* --- the collector
 * ----------------------------------------------------------------------------------- */

static void
sink_held(void *context, const struct event_held *event)
{
	struct serve *serve = context;

	serve_enter(serve);
	serve->watch_sink.held(serve->watch_sink.context, event);
	serve_leave(serve);
}

static void
sink_left(void *context, const struct event_left *event)
{
	struct serve *serve = context;

	serve_enter(serve);
	serve->watch_sink.left(serve->watch_sink.context, event);
	serve_leave(serve);
}

static void
sink_attempt(void *context, const struct event_attempt *event)
{
	struct serve *serve = context;

	serve_enter(serve);
	serve->watch_sink.attempt(serve->watch_sink.context, event);
	serve_leave(serve);
}

/* It comes between our own callbacks: no transaction is open. */
static enum rows_answer
collector_row(void *context, const char *domain, struct row_facts *out)
{
	struct serve *serve = context;

	return rows_find(serve->snapshot, serve->conf, domain, out);
}

/* Whoever refuses now may be somebody else, or be half broken. */
static bool
collector_may_refuse(void *context, const char *domain)
{
	struct serve *serve = context;
	struct watch_view view;

	if (!watch_look(serve->watch, domain, &view))
		return true;
	return view.breaker == BREAKER_CLOSED && view.state.hold == HOLD_NONE &&
	       view.state.primary != PRIMARY_WRONG_HOST;
}

static void
tell_state_unwritten(struct serve *serve)
{
	char text[ALERT_TEXT_SIZE];
	const struct alert alert = {.kind = ALERT_SPOOL, .level = 100, .domain = "", .text = text};

	(void)snprintf(text, sizeof(text),
	    "the state cannot be written: what others are told is old; make room on the disk of "
	    "%.120s",
	    serve->conf->paths.state_dir);
	serve_raise(serve, &alert);
}

/* One alert for the state and the collector's spool: it stands while either of them wants it. */
static void
look_at_state(struct serve *serve)
{
	const bool bad =
	    serve->state_bad_ms != 0 && serve->now.ms - serve->state_bad_ms >= STATE_ALERT_MS;

	if (bad == serve->state_alert)
		return;
	serve->state_alert = bad;
	if (serve->spool_alert)
		return;
	if (bad)
		tell_state_unwritten(serve);
	else
		serve_end_alert(serve, ALERT_SPOOL, "");
}

static void
collector_alert(void *context, const struct alert *alert, bool raised)
{
	struct serve *serve = context;

	if (alert->kind == ALERT_SPOOL)
		serve->spool_alert = raised;
	if (!raised && alert->kind == ALERT_SPOOL && serve->state_alert)
		tell_state_unwritten(serve);
	else if (raised)
		serve_raise(context, alert);
	else
		serve_end_alert(context, alert->kind, alert->domain);
}

static void
helper_answered(void *context, const char *queue_id, enum helper_answer answer, const char *text)
{
	static const enum collector_answer answers[] = {[HELPER_DONE] = COLLECTOR_TAKEN_OUT,
	    [HELPER_GONE] = COLLECTOR_GONE,
	    [HELPER_FAILED] = COLLECTOR_FAILED,
	    [HELPER_UNSURE] = COLLECTOR_UNSURE};
	struct serve *serve = context;

	if (answer == HELPER_FAILED)
		log_event(
		    LOG_WARNING, "not-taken-out", kv("queue_id", queue_id), kv("error", text));
	else if (answer == HELPER_GONE)
		log_event(LOG_NOTICE, "not-taken-out", kv("queue_id", queue_id),
		    kv("reason", "postsuper finds it no more: the log or a listing will tell"));
	else if (answer == HELPER_UNSURE)
		log_event(LOG_WARNING, "helper-unsure", kv("queue_id", queue_id), kv("error", text),
		    kv("effect", "the log or the next listing tells whether it has left"));
	collector_taken_out(serve->collector, queue_id, answers[answer]);
}

_Static_assert(COLLECTOR_AT_ONCE + HELPER_CLIENT_ORDERS <= HELPER_CLIENT_AT_ONCE,
    "neither keeps the other waiting");

static bool
collector_take_out(void *context, const struct collector_act *act)
{
	struct helper_request request = {.verb = HELPER_DELETE};
	struct serve *serve = context;

	(void)snprintf(request.queue_id, sizeof(request.queue_id), "%s", act->queue_id);
	(void)snprintf(request.why, sizeof(request.why), "%s", journal_outcome_name(act->outcome));
	(void)snprintf(request.by, sizeof(request.by), "%s", act->by);
	return helper_client_ask(serve->helper, &request, helper_answered, serve);
}

static bool
start_collector(struct serve *serve)
{
	const struct collector_ports ports = {
	    .sink = {sink_held, sink_left, sink_attempt, serve},
	    .row = collector_row,
	    .may_refuse = collector_may_refuse,
	    .take_out = collector_take_out,
	    .alert = collector_alert,
	    .postqueue = serve->postfix.postqueue,
	    .instances = &serve->instances,
	    .context = serve,
	};
	const char *problem = "it does not start";

	serve->collector = collector_new(serve->base, serve->conf, serve->spool, &ports, &problem);
	if (serve->collector != NULL && collector_start(serve->collector))
		return true;
	log_event(LOG_ERR, "collector-failed", kv("error", problem),
	    kv("effect", "what is in the queue is not known: nothing is probed or released"));
	return false;
}

/* --- start
 * ------------------------------------------------------------------------------------------- */

/* Has the parent just given what it could, and this one thing not (a pipe, say)? */
static bool
gives_in_vain(struct serve *serve)
{
	if (!serve->attempted)
		serve->give_ms = serve->now.ms + GIVE_MS;
	return serve->now.ms < serve->give_ms;
}

/*
 * Is there something of them that this user may not use? Then this process ends where its parent
 * gives such things over before it starts the next one; else they are waited for. `problem`: what,
 * where it is waited for.
 */
static bool
ends_for_denied(struct serve *serve, const char **problem)
{
	static char words[PATH_MAX + 64];
	static const char *const names[] = {"state", "spool"};
	char home[PATH_MAX], path[PATH_MAX];

	(void)snprintf(home, sizeof(home), "%s/" QUEUED_FOLDER, serve->conf->paths.state_dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct lmdb_place place = {.state_dir = home, .name = names[i]};

		if (!lmdb_denied(&place, path, sizeof(path)))
			continue;
		const bool ends = serve->setup->parent_gives && !gives_in_vain(serve);

		(void)snprintf(words, sizeof(words), "%s: %s", path, strerror(EACCES));
		*problem = words;
		if (!ends && serve->now.ms < serve->tell_ms)
			return false;
		serve->tell_ms = serve->now.ms + TELL_MS;
		log_event(LOG_ERR, "store-denied", kv("path", path), kv("error", strerror(EACCES)),
		    kv("effect", ends ? "a new process is started, and given what is ours"
				      : "waiting until this user may read and write it"));
		if (ends)
			(void)event_base_loopbreak(serve->base);
		return ends;
	}
	return false;
}

static bool
open_stores(struct serve *serve)
{
	const char *directory = serve->conf->paths.state_dir, *problem = "";
	int64_t size = serve->conf->queue.spool_size;
	const pid_t stand_in = stand_in_begin(serve->setup->alive_fd);

	if (serve->state == NULL)
		serve->state = state_writer_open(directory, serve->setup->group, &problem);
	if (serve->state != NULL && serve->spool == NULL)
		serve->spool = spool_writer_open(directory, serve->setup->group,
		    size > 0 ? (size_t)size : SPOOL_DEFAULT, &problem);
	stand_in_end(stand_in);
	if (serve->state != NULL && serve->spool != NULL) {
		serve->attempted = true;
		serve->give_ms = 0;
		unopened_over(serve->unopened);
		return true;
	}
	const bool ends = ends_for_denied(serve, &problem);

	serve->attempted = true;
	if (ends)
		return false;
	unopened_still(serve->unopened, serve->now.ms, problem);
	if (serve->now.ms >= serve->tell_ms) {
		serve->tell_ms = serve->now.ms + TELL_MS;
		log_event(LOG_WARNING, "stores-not-open", kv("state_dir", directory),
		    kv("error", problem), kv("effect", "waiting"));
	}
	return false;
}

static bool
open_snapshot(struct serve *serve)
{
	const struct conf *conf = serve->conf;

	serve->snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	if (serve->snapshot == NULL)
		return false;
	for (size_t i = 0; i < conf->relay.public_address_count; i++) {
		if (!snapshot_own_address(serve->snapshot, &conf->relay.public_addresses[i]))
			return false;
	}
	return true;
}

/* --- MX records
 * ------------------------------------------------------------------------------------ */

static bool
mx_need_snapshot(void *context)
{
	return serve_need_snapshot(context);
}

static struct state_writer *
mx_need_state(void *context)
{
	struct serve *serve = context;

	return serve_need_state(serve) ? serve->state : NULL;
}

static bool
mx_silent(void *context, const char *domain)
{
	struct serve *serve = context;

	return watch_silent(serve->watch, domain);
}

static void
primary_asked(void *context, const char *domain)
{
	struct serve *serve = context;

	watch_asked(serve->watch, domain, serve->now);
}

static void
recipient_told(void *context, const char *queue_id, const char *address, size_t length)
{
	struct serve *serve = context;

	if (serve->collector != NULL)
		collector_told(serve->collector, queue_id, address, length);
}

static void
on_ask(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	serve_enter(serve);
	mxwatch_io_asked(serve->mxwatch);
	serve_leave(serve);
}

/* Without it, MTA-STS policies are not read; all else is. */
static void
start_fetcher(struct serve *serve)
{
	serve->fetcher = sts_fetcher_new();
	if (serve->fetcher != NULL)
		serve->on_fetcher = event_new(
		    serve->base, sts_fetcher_fd(serve->fetcher), EV_READ, serve_fetcher, serve);
	if (serve->on_fetcher != NULL)
		return;
	sts_fetcher_free(serve->fetcher);
	serve->fetcher = NULL;
	log_event(LOG_WARNING, "mta-sts-unread", kv("error", "no memory, or no descriptor"));
}

static void
mx_sweep(void *context, enum alert_kind kind, alert_keep *keep, void *keep_context)
{
	struct serve *serve = context;

	alerts_sweep(serve->alerts, kind, keep, keep_context);
}

/* The stores are ours: whoever read there before has ended. */
static bool
start_asked(struct serve *serve)
{
	serve->on_ask =
	    event_new(serve->base, serve->setup->ask_fd, EV_READ | EV_PERSIST, on_ask, serve);
	if (serve->on_ask == NULL || event_add(serve->on_ask, NULL) != 0)
		return false;
	if (!mxwatch_ask_mark(serve->setup->socket_dir))
		log_event(LOG_WARNING, "ask-socket-not-marked", kv("error", strerror(errno)),
		    kv("effect", "mxhold-milter tells nobody's recipients again"));
	return true;
}

static bool
start_mxwatch(struct serve *serve)
{
	start_fetcher(serve);

	const struct mxwatch_io_setup settings = {.conf = serve->conf,
	    .snapshot = serve->snapshot,
	    .resolver = serve->resolver,
	    .fetcher = serve->fetcher,
	    .need_snapshot = mx_need_snapshot,
	    .need_state = mx_need_state,
	    .ask_fd = serve->setup->ask_fd,
	    .raise = serve_raise,
	    .end = serve_end_alert,
	    .sweep = mx_sweep,
	    .silent = mx_silent,
	    .primary_asked = primary_asked,
	    .recipient_told = recipient_told,
	    .context = serve};

	serve->mxwatch = mxwatch_io_new(&settings);
	if (serve->mxwatch == NULL)
		return false;
	return settings.ask_fd < 0 || start_asked(serve);
}

/* --- operators
 * --------------------------------------------------------------------------------------- */

static struct queued_time
operators_enter(void *context)
{
	struct serve *serve = context;

	serve_enter(serve);
	return serve->now;
}

static void
operators_leave(void *context)
{
	serve_leave(context);
}

static bool
operators_unknown(void *context, const char *domain)
{
	struct watch_row row = {.hold_until = 0};

	return serve_row(context, domain, &row) == WATCH_ROW_NONE;
}

static bool
operators_mx(void *context, const char *domain)
{
	const struct serve *serve = context;

	return serve->mxwatch != NULL && mxwatch_io_demand(serve->mxwatch, domain);
}

/* What was in it and not shipped yet is in the folder that was set aside, and nowhere else. */
static void
tell_set_aside(struct serve *serve)
{
	const char *where = spool_set_aside(serve->spool);
	char text[ALERT_TEXT_SIZE];
	const struct alert alert = {.kind = ALERT_DAMAGED, .domain = "", .text = text};

	if (where[0] == '\0')
		return;
	(void)snprintf(text, sizeof(text),
	    "the journal's spool was damaged and is set aside: what was not shipped is in %s only",
	    where);
	serve->aside_ms = serve->now.ms + ASIDE_MS;
	serve_raise(serve, &alert);
}

/* False: alerts are as needed as the rest. */
static bool
start_alerts(struct serve *serve)
{
	const struct alerts_setup settings = {.base = serve->base,
	    .spool = serve->spool,
	    .relay = serve->conf->relay.name,
	    .region = serve->conf->relay.region,
	    .command = serve->conf->alert.command};

	serve->alerts = alerts_new(&settings);
	serve->helper = helper_client_new(serve->base, serve->conf->paths.socket_dir);
	if (serve->alerts == NULL || serve->helper == NULL)
		return false;
	tell_set_aside(serve);
	return true;
}

/* Without them nobody may look, or order; the rest goes on. */
static void
start_operators(struct serve *serve)
{
	const struct operators_setup settings = {.base = serve->base,
	    .listen_fd = serve->setup->control_fd,
	    .readers = serve->setup->readers,
	    .reader_count = SERVE_READERS,
	    .watch = serve->watch,
	    .collector = serve->collector,
	    .spool = serve->spool,
	    .alerts = serve->alerts,
	    .helper = serve->helper,
	    .enter = operators_enter,
	    .leave = operators_leave,
	    .unknown = operators_unknown,
	    .mx = operators_mx,
	    .context = serve};
	const char *problem;

	serve->operators = operators_new(&settings, &problem);
	if (serve->operators == NULL)
		log_event(LOG_ERR, "control-failed", kv("error", problem));
}

static struct watch_setup
watch_settings(struct serve *serve)
{
	const struct conf *conf = serve->conf;
	const unsigned wanted = (unsigned)conf->queue.concurrency, probes = prober_most(wanted);

	if (probes < wanted)
		log_event(LOG_WARNING, "probes-limited", kv_number("at_once", probes),
		    kv_number("concurrency", wanted), kv("reason", "limit of open files"));
	return (struct watch_setup){.primary = {.interval_ms = conf->queue.probe_interval * 1000,
					.long_interval_ms = conf->queue.probe_interval_long * 1000,
					.confirmations = (unsigned)conf->queue.confirmations},
	    .probes = probes,
	    .use4 = serve->postfix.use4,
	    .use6 = serve->postfix.use6,
	    .port = 25,
	    .allow = {conf->fence.allow, conf->fence.allow_count},
	    .ports = serve_ports(serve)};
}

static bool
start_watch(struct serve *serve)
{
	const struct watch_setup settings = watch_settings(serve);

	serve->watch = watch_new(&settings);
	if (serve->watch == NULL)
		return false;
	watch_set_time(serve->watch, serve->now);
	serve->watch_sink = watch_sink(serve->watch);
	return true;
}

static bool
start_parts(struct serve *serve)
{
	const struct conf *conf = serve->conf;
	struct resolver_setup dns = {.most = 200};
	const char *problem = "out of memory";

	(void)postfix_read(conf->paths.postfix_config_dir, conf->relay.name, &serve->postfix);
	postfix_instances(conf->paths.postfix_config_dir, &serve->instances);
	if (access(serve->postfix.postqueue, X_OK) != 0)
		log_event(LOG_ERR, "postqueue-missing", kv("path", serve->postfix.postqueue),
		    kv("effect", "held mail waits for Postfix's own retries"));
	if (!resolver_use_anchor(&dns, conf->queue.trust_anchor))
		log_event(LOG_ERR, "trust-anchor-unreadable", kv("path", conf->queue.trust_anchor),
		    kv("effect", "DNSSEC is not checked"));
	serve->resolver = resolver_new(&dns, &problem);
	serve->prober = prober_new(serve->base, &serve->postfix.sender);
	serve->flush = flush_new(&(struct flush_setup){.base = serve->base,
	    .postqueue = serve->postfix.postqueue,
	    .config_dir = conf->paths.postfix_config_dir,
	    .socket = serve->postfix.flush_socket});
	if (serve->resolver != NULL)
		serve->on_resolver = event_new(
		    serve->base, resolver_fd(serve->resolver), EV_READ, serve_resolver, serve);
	if (start_alerts(serve) && open_snapshot(serve) && serve->prober != NULL &&
	    serve->flush != NULL && serve->on_resolver != NULL && serve_list_start(serve) &&
	    start_watch(serve) && start_mxwatch(serve))
		return true;
	log_event(LOG_ERR, "start-failed", kv("error", problem));
	return false;
}

/* --- events of our own
 * ------------------------------------------------------------------------------- */

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	serve_enter(serve);
	serve_leave(serve);
}

/* What is written to a spool that is no more would be lost: a new process proves what is left. */
static void
look_at_spool(struct serve *serve)
{
	const char *why;

	if (spool_writer_sound(serve->spool, &why))
		return;
	log_event(LOG_ERR, "spool-lost", kv("error", why),
	    kv("effect", "it is opened anew, and set aside where it is broken"));
	(void)event_base_loopbreak(serve->base);
}

/* Says so when DNSSEC begins or ceases to be checked. */
static void
tell_dnssec(struct serve *serve)
{
	const bool checks = resolver_checks(serve->resolver);

	if (checks == serve->dnssec)
		return;
	serve->dnssec = checks;
	log_event(LOG_NOTICE, "dnssec", kv("checked", checks ? "yes" : "no"));
}

static bool
is_over_quota(const char *row, void *context)
{
	struct serve *serve = context;
	struct watch_row found = {.quota_messages = 0};

	return watch_over_quota(serve->watch, row) ||
	       serve_row(serve, row, &found) == WATCH_ROW_CANNOT_TELL;
}

#define STRANGERS_MOST 200 /* others are looked at with their mail, or their alerts end */

struct strangers {
	size_t count;
	char domain[STRANGERS_MOST][DOMAIN_SIZE];
};

static void
add_stranger(const struct alert_standing *standing, void *context)
{
	struct strangers *strangers = context;

	if (standing->kind == ALERT_WRONG_HOST && strangers->count < STRANGERS_MOST)
		memcpy(strangers->domain[strangers->count++], standing->domain,
		    sizeof(standing->domain));
}

/* Are those still there of whom a former process told? Where no mail waits nobody would look. */
static void
look_at_strangers(struct serve *serve)
{
	struct strangers *strangers = calloc(1, sizeof(*strangers));

	if (strangers == NULL)
		return;
	alerts_each(serve->alerts, add_stranger, strangers);
	for (size_t i = 0; i < strangers->count; i++)
		watch_passed(serve->watch, strangers->domain[i], serve->now);
	free(strangers);
}

/*
 * Which quota is still reached, and which stranger still there, of those that a former process told
 * of? A row with nothing held is never looked at by itself. What is held is known for certain after
 * the first listing.
 */
static void
judge_restored(struct serve *serve)
{
	struct collector_status status;

	if (serve->quotas_judged || serve->collector == NULL || serve->rows_ms == 0 ||
	    serve->now.ms - serve->rows_ms < ROWS_SETTLE_MS)
		return;
	collector_status(serve->collector, &status);
	if (status.census_at == 0)
		return;
	serve->quotas_judged = true;
	alerts_sweep(serve->alerts, ALERT_QUOTA, is_over_quota, serve);
	look_at_strangers(serve);
}

/* Has the snapshot changed? Are the state and the spool there? */
static void
on_heartbeat(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;
	const char *problem;

	(void)fd;
	(void)what;
	look_at_spool(serve);
	serve_enter(serve);
	look_at_state(serve);
	if (serve->rows_ms == 0 && serve_need_snapshot(serve))
		serve->rows_ms = serve->now.ms;
	if (serve_need_snapshot(serve) && snapshot_meta(serve->snapshot)->serial != serve->serial) {
		serve->serial = snapshot_meta(serve->snapshot)->serial;
		watch_rows_changed(serve->watch, serve->now);
	}
	if (serve->state == NULL)
		serve->state =
		    state_writer_open(serve->conf->paths.state_dir, serve->setup->group, &problem);
	if (serve->state == NULL)
		(void)ends_for_denied(serve, &problem);
	if (serve_need_state(serve) && state_writer_renewed(serve->state) != serve->state_renewed) {
		serve->state_renewed = state_writer_renewed(serve->state);
		serve->state_lost = true;
	}
	if (serve->state != NULL && serve->state_lost) {
		serve->state_lost = false;
		watch_rows_changed(serve->watch, serve->now); /* which writes all records */
	}
	if (serve->aside_ms != 0 && serve->now.ms >= serve->aside_ms) {
		serve->aside_ms = 0;
		serve_end_alert(serve, ALERT_DAMAGED, "");
	}
	judge_restored(serve);
	tell_dnssec(serve);
	mxwatch_io_tick(serve->mxwatch, serve->now);
	serve_leave(serve);
	serve_set_timer(serve->on_heartbeat, SERVE_HEARTBEAT_MS);
}

static void
on_retry(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	if (serve->asked > 0 && serve->put_off++ < PUT_OFF_MOST) {
		serve_set_timer(serve->on_retry, PUT_OFF_MS);
		return;
	}
	serve_enter(serve);
	bool opened = open_stores(serve), started = opened && start_parts(serve);
	serve_leave(serve);
	if (!opened)
		serve_set_timer(serve->on_retry, RETRY_MS);
	else if (!started)
		(void)event_base_loopbreak(serve->base);
	if (!started)
		return;
	/* Not within our frame: it reads rows in transactions of its own. */
	if (start_collector(serve))
		start_operators(serve);
	serve_set_timer(serve->on_heartbeat, SERVE_HEARTBEAT_MS);
	log_event(LOG_NOTICE, "serving", kv("helo", serve->postfix.sender.helo),
	    kv("postqueue", serve->postfix.postqueue), kv("flush", serve->postfix.flush_socket));
}

static void
on_term(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	(void)event_base_loopexit(serve->base, NULL);
}

/* --- does it live?
 * ----------------------------------------------------------------------------------- */

static void
alive_said(struct bufferevent *stream, void *context)
{
	struct serve *serve = context;

	serve->asked--;
	bufferevent_free(stream);
}

static void
alive_end(struct bufferevent *stream, short what, void *context)
{
	(void)what;
	alive_said(stream, context);
}

static void
alive_asked(struct bufferevent *stream, void *context)
{
	struct evbuffer *input = bufferevent_get_input(stream);

	(void)evbuffer_drain(input, evbuffer_get_length(input));
	bufferevent_setcb(stream, NULL, alive_said, alive_end, context);
	(void)bufferevent_disable(stream, EV_READ);
	if (bufferevent_write(stream, "alive\n", 6) != 0)
		alive_said(stream, context);
}

static void
on_alive(evutil_socket_t fd, short what, void *context)
{
	const struct timeval limit = {.tv_sec = ALIVE_TIMEOUT_S};
	struct serve *serve = context;
	struct bufferevent *stream;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (client < 0)
		return;
	stream = bufferevent_socket_new(serve->base, client, BEV_OPT_CLOSE_ON_FREE);
	if (stream == NULL) {
		close(client);
		return;
	}
	serve->asked++;
	bufferevent_setcb(stream, alive_asked, NULL, alive_end, serve);
	(void)bufferevent_set_timeouts(stream, &limit, &limit);
	(void)bufferevent_enable(stream, EV_READ | EV_WRITE);
}

/* --- life
 * -------------------------------------------------------------------------------------------- */

static bool
make_events(struct serve *serve)
{
	serve->base = event_base_new();
	if (serve->base == NULL)
		return false;
	serve->on_term = evsignal_new(serve->base, SIGTERM, on_term, serve);
	serve->on_alive =
	    event_new(serve->base, serve->setup->alive_fd, EV_READ | EV_PERSIST, on_alive, serve);
	serve->on_tick = evtimer_new(serve->base, on_tick, serve);
	serve->on_retry = evtimer_new(serve->base, on_retry, serve);
	serve->on_heartbeat = evtimer_new(serve->base, on_heartbeat, serve);
	if (serve->on_term == NULL || serve->on_alive == NULL || serve->on_tick == NULL ||
	    serve->on_retry == NULL || serve->on_heartbeat == NULL)
		return false;
	serve->unopened = unopened_new(serve->base, serve->setup->control_fd, serve->conf);
	serve_set_timer(serve->on_retry, 0);
	return event_add(serve->on_term, NULL) == 0 && event_add(serve->on_alive, NULL) == 0;
}

static void
free_event(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

static void
serve_end(struct serve *serve)
{
	helper_client_free(serve->helper);
	operators_free(serve->operators);
	serve->operators = NULL;
	if (serve->collector != NULL)
		collector_free(serve->collector);
	serve_cancel_probes(serve);
	serve_list_free(serve);
	flush_free(serve->flush);
	free_event(serve->on_ask);
	mxwatch_io_free(serve->mxwatch);
	free_event(serve->on_fetcher);
	sts_fetcher_free(serve->fetcher);
	free_event(serve->on_resolver);
	resolver_free(serve->resolver);
	prober_free(serve->prober);
	watch_free(serve->watch);
	alerts_free(serve->alerts);
	if (serve->spool != NULL)
		spool_writer_close(serve->spool);
	if (serve->state != NULL)
		state_writer_close(serve->state);
	if (serve->snapshot != NULL)
		snapshot_free(serve->snapshot);
	unopened_free(serve->unopened);
	free_event(serve->on_term);
	free_event(serve->on_alive);
	free_event(serve->on_tick);
	free_event(serve->on_retry);
	free_event(serve->on_heartbeat);
	if (serve->base != NULL)
		event_base_free(serve->base);
}

int
serve_run(const struct serve_setup *setup)
{
	struct serve serve = {.setup = setup, .conf = setup->conf};
	int code = EX_OSERR;

	srandom((unsigned)getpid() ^ (unsigned)time(NULL));
	if (make_events(&serve)) {
		supervise_ready();
		code = event_base_dispatch(serve.base) < 0 ? EX_OSERR : EX_OK;
	}
	if (event_base_got_break(serve.base))
		code = EX_OSERR;
	serve_end(&serve);
	return code;
}
