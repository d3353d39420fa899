/*
 * serve_ports: the part of the child process that every callback passes through, and the ports by
 * which the watch reads rows, writes the state, and has names resolved, primaries probed, mail
 * flushed and people alerted.
 */
#include "queued/serve_inner.h"

#include "core/decide.h"
#include "core/log.h"
#include "queued/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_MS 10000    /* deadline of a question to the DNS */
#define STATE_TOLD_MS 60000 /* that the state cannot be written is told so often */

void
serve_set_timer(struct event *timer, int64_t ms)
{
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)evtimer_add(timer, &wait);
}

/* --- the frame of every callback
 * --------------------------------------------------------------------- */

void
serve_enter(struct serve *serve)
{
	if (serve->depth++ > 0)
		return;
	serve->now = clock_now();
	if (serve->watch != NULL)
		watch_set_time(serve->watch, serve->now);
}

/* While the disk is full it fails with each try: told at once, then now and then. */
static void
state_fail_tell(struct serve *serve)
{
	if (serve->state_told_ms != 0 && serve->now.ms - serve->state_told_ms < STATE_TOLD_MS)
		return;
	serve->state_told_ms = serve->now.ms;
	log_event(LOG_ERR, "state-unusable", kv("state_dir", serve->conf->paths.state_dir),
	    kv("cure", "it is opened anew; see that there is room on the disk"));
}

static void
state_fail(struct serve *serve)
{
	state_fail_tell(serve);
	if (serve->state_bad_ms == 0)
		serve->state_bad_ms = serve->now.ms;
	if (serve->state_open)
		state_write_abort(serve->state);
	state_writer_close(serve->state);
	serve->state = NULL;
	serve->state_open = false;
	serve->state_lost = true;
}

static void
wait_for_resolver(struct serve *serve)
{
	int64_t wait = resolver_wait_ms(serve->resolver, serve->now.ms);
	struct timeval limit = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};

	(void)event_add(serve->on_resolver, wait >= 0 ? &limit : NULL);
}

static void
wait_for_fetcher(struct serve *serve)
{
	int64_t wait;
	struct timeval limit;

	if (serve->fetcher == NULL)
		return;
	wait = sts_fetcher_wait_ms(serve->fetcher, serve->now.ms);
	limit = (struct timeval){.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
	(void)event_add(serve->on_fetcher, wait >= 0 ? &limit : NULL);
}

void
serve_leave(struct serve *serve)
{
	int64_t next, wait;

	if (serve->depth > 1) {
		serve->depth--;
		return;
	}
	if (serve->watch != NULL) {
		next = watch_tick(serve->watch, serve->now);
		wait = next > serve->now.ms ? next - serve->now.ms : 0;
		serve_set_timer(
		    serve->on_tick, wait < SERVE_HEARTBEAT_MS ? wait : SERVE_HEARTBEAT_MS);
		wait_for_resolver(serve);
		wait_for_fetcher(serve);
	}
	if (serve->state_open) {
		const bool written = state_write_commit(serve->state) == STATE_OK;

		serve->state_open = false;
		if (written)
			serve->state_bad_ms = 0;
		else
			state_fail(serve);
	}
	serve->state_open = false;
	if (serve->snapshot_open)
		snapshot_end(serve->snapshot);
	serve->snapshot_open = false;
	serve->snapshot_bad = false;
	serve->depth--;
}

/* --- the snapshot
 * ------------------------------------------------------------------------------------ */

bool
serve_need_snapshot(struct serve *serve)
{
	if (!serve->snapshot_open && !serve->snapshot_bad) {
		serve->snapshot_open =
		    snapshot_begin(serve->snapshot, serve->now.ms) == SNAPSHOT_OK;
		serve->snapshot_bad = !serve->snapshot_open;
	}
	return serve->snapshot_open;
}

static void
fill_row(const struct serve *serve, const struct domain_record *record,
    const struct customer_record *customer, struct watch_row *out)
{
	struct limits limits = decide_limits(record, customer);
	const struct conf *conf = serve->conf;
	int64_t most = conf->relay.queue_lifetime;
	int64_t preset = conf->queue.retention > 0 ? conf->queue.retention : most;

	(void)snprintf(out->next_hops, sizeof(out->next_hops), "%s", record->next_hops);
	out->tls_required = record->tls_required;
	out->hold_until = record->hold_until;
	(void)snprintf(out->hold_reason, sizeof(out->hold_reason), "%s", record->hold_reason);
	(void)snprintf(
	    out->pin_certificate, sizeof(out->pin_certificate), "%s", record->pin_certificate);
	(void)snprintf(out->pin_banner, sizeof(out->pin_banner), "%s", record->pin_banner);
	out->quota_messages = limits.quota_messages != 0 ? limits.quota_messages
							 : (uint64_t)conf->queue.quota_messages;
	out->quota_bytes =
	    limits.quota_bytes != 0 ? limits.quota_bytes : (uint64_t)conf->queue.quota_bytes;
	out->retention = limits.retention != 0 ? (int64_t)limits.retention : preset;
	if (out->retention > most)
		out->retention = most;
	out->wants_state = limits.when_primary_up == PRIMARY_UP_DEFER;
}

enum watch_row_result
serve_row(void *context, const char *domain, struct watch_row *out)
{
	struct serve *serve = context;
	struct domain_record record;
	struct customer_record customer;
	enum snapshot_result result;
	const char *owner;

	if (!serve_need_snapshot(serve))
		return WATCH_ROW_CANNOT_TELL;
	result = snapshot_domain_for(serve->snapshot, domain, &record, &owner);
	if (result == SNAPSHOT_NOT_FOUND)
		return WATCH_ROW_NONE;
	if (result != SNAPSHOT_OK)
		return WATCH_ROW_CANNOT_TELL;
	result = snapshot_customer(serve->snapshot, record.customer, &customer);
	if (result == SNAPSHOT_NOT_FOUND)
		memset(&customer, 0, sizeof(customer));
	else if (result != SNAPSHOT_OK)
		return WATCH_ROW_CANNOT_TELL;
	(void)snprintf(out->owner, sizeof(out->owner), "%s", owner);
	fill_row(serve, &record, &customer, out);
	return WATCH_ROW_FOUND;
}

static const struct fleet *
port_fleet(void *context)
{
	struct serve *serve = context;

	return serve_need_snapshot(serve) ? snapshot_fleet(serve->snapshot) : NULL;
}

/* --- the state
 * --------------------------------------------------------------------------------------- */

bool
serve_need_state(struct serve *serve)
{
	if (serve->state == NULL)
		return false;
	if (!serve->state_open && state_write_begin(serve->state) != STATE_OK) {
		state_fail(serve);
		return false;
	}
	serve->state_open = true;
	return true;
}

static bool
is_empty(const struct state_domain *record)
{
	return record->counted_at == 0 && record->primary_at == 0 && record->hold == HOLD_NONE &&
	       record->mx == MX_STATE_UNKNOWN;
}

static bool
port_get_state(void *context, const char *name, struct state_domain *out)
{
	struct serve *serve = context;

	return serve_need_state(serve) && state_write_get(serve->state, name, out) == STATE_OK;
}

/* The MX fact in a record is not the watch's: it stays. */
static void
port_put_state(void *context, const char *name, const struct state_domain *record)
{
	struct serve *serve = context;
	struct state_domain before, after = *record;
	enum state_result result;

	if (!serve_need_state(serve))
		return;
	result = state_write_get(serve->state, name, &before);
	if (result == STATE_OK) {
		after.mx = before.mx;
		after.mx_at = before.mx_at;
	}
	if (!is_empty(&after))
		result = state_write_put(serve->state, name, &after);
	else if (result == STATE_OK)
		result = state_write_delete(serve->state, name);
	if (result == STATE_UNUSABLE)
		state_fail(serve);
}

/* --- DNS
 * --------------------------------------------------------------------------------------------- */

static void
resolver_answered(const struct resolver_answer *answer, void *context)
{
	struct serve *serve = context;
	struct dns_record records[RESOLVER_RECORDS_MAX];
	const struct route_answer told = {.outcome = answer->outcome,
	    .bogus = answer->dnssec == RESOLVER_BOGUS,
	    .ttl = answer->ttl,
	    .records = records,
	    .count = answer->count};

	for (size_t i = 0; i < answer->count; i++)
		records[i] = answer->records[i].dns;
	watch_resolved(serve->watch, answer->name, answer->type, &told, serve->now);
}

static bool
port_resolve(void *context, const char *name, enum resolver_type type, bool fresh)
{
	struct serve *serve = context;

	return resolver_ask(serve->resolver, name, type, fresh, serve->now.ms + RESOLVE_MS,
		   resolver_answered, serve) != NULL;
}

void
serve_resolver(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	serve_enter(serve);
	resolver_process(serve->resolver, serve->now.ms);
	serve_leave(serve);
}

void
serve_fetcher(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	serve_enter(serve);
	sts_fetcher_process(serve->fetcher, serve->now.ms);
	serve_leave(serve);
}

/* --- probes
 * ------------------------------------------------------------------------------------------ */

static void
probe_forget(struct serve_probe *probe)
{
	*probe->place = probe->next;
	if (probe->next != NULL)
		probe->next->place = probe->place;
	free(probe);
}

static void
probe_answered(const struct probe_finding *finding, void *context)
{
	struct serve_probe *probe = context;
	struct serve *serve = probe->serve;
	uint64_t id = probe->id;

	probe_forget(probe);
	serve_enter(serve);
	watch_probed(serve->watch, id, finding, serve->now);
	serve_leave(serve);
}

void
serve_cancel_probes(struct serve *serve)
{
	struct serve_probe *probe, *next;

	for (probe = serve->probes; probe != NULL; probe = next) {
		next = probe->next;
		probe_cancel(probe->probe);
		free(probe);
	}
	serve->probes = NULL;
}

static bool
port_probe(void *context, uint64_t id, const struct probe_target *target)
{
	struct serve *serve = context;
	struct serve_probe *probe = calloc(1, sizeof(*probe));

	if (probe == NULL)
		return false;
	probe->serve = serve;
	probe->id = id;
	probe->next = serve->probes;
	probe->place = &serve->probes;
	probe->probe = probe_start(serve->prober, target, probe_answered, probe);
	if (probe->probe == NULL) {
		free(probe);
		return false;
	}
	if (probe->next != NULL)
		probe->next->place = &probe->next;
	serve->probes = probe;
	return true;
}

/* --- postqueue, alerts, the rest
 * --------------------------------------------------------------------- */

static void
port_flush_domain(void *context, const char *domain, uint64_t messages)
{
	struct serve *serve = context;

	log_event(
	    LOG_INFO, "flush", kv("domain", domain), kv_number("messages", (long long)messages));
	flush_domain(serve->flush, domain, messages);
}

static void
port_flush_id(void *context, const char *queue_id, bool late)
{
	struct serve *serve = context;

	flush_id(serve->flush, queue_id, late);
}

static bool
port_on_hold(void *context, const char *queue_id)
{
	const struct serve *serve = context;

	return serve->collector != NULL && collector_on_hold(serve->collector, queue_id);
}

static void
port_mended(void *context, const char *domain)
{
	struct serve *serve = context;

	if (serve->collector != NULL)
		collector_refusals_anew(serve->collector, domain);
}

static bool
port_flushing(void *context, const char *domain)
{
	const struct serve *serve = context;

	return flush_has_domain(serve->flush, domain);
}

void
serve_raise(void *context, const struct alert *alert)
{
	struct serve *serve = context;

	alerts_raise(serve->alerts, alert);
}

void
serve_end_alert(void *context, enum alert_kind kind, const char *domain)
{
	struct serve *serve = context;

	alerts_end(serve->alerts, kind, domain);
}

static bool
port_alert_restored(void *context, enum alert_kind kind, const char *domain)
{
	const struct serve *serve = context;

	return alerts_restored(serve->alerts, kind, domain);
}

static void
port_changed(void *context, const char *domain)
{
	struct serve *serve = context;
	struct watch_view view;

	if (watch_look(serve->watch, domain, &view))
		log_event(LOG_INFO, "primary", kv("domain", domain),
		    kv("state", primary_state_name(view.state.primary)),
		    kv("reason", view.state.primary_reason));
	if (serve->operators != NULL)
		operators_changed(serve->operators, domain);
}

static double
port_random(void *context)
{
	(void)context;
	return (double)random() / ((double)RAND_MAX + 1);
}

struct watch_ports
serve_ports(struct serve *serve)
{
	return (struct watch_ports){.row = serve_row,
	    .fleet = port_fleet,
	    .resolve = port_resolve,
	    .probe = port_probe,
	    .flush_domain = port_flush_domain,
	    .flush_id = port_flush_id,
	    .flushing = port_flushing,
	    .on_hold = port_on_hold,
	    .mended = port_mended,
	    .list = serve_list,
	    .get_state = port_get_state,
	    .put_state = port_put_state,
	    .raise = serve_raise,
	    .end = serve_end_alert,
	    .restored = port_alert_restored,
	    .changed = port_changed,
	    .random = port_random,
	    .context = serve};
}
