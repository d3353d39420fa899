/*
 * operators_tell: see operators_tell.h. Reasons may hold a primary's words, which may be anything.
 */
#include "queued/operators_tell.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A text that may not be UTF-8: its strange bytes become '?'. */
static json_t *
text_of(const char *text)
{
	char copy[1024];
	json_t *string = json_string(text);

	if (string != NULL)
		return string;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return json_string(copy);
}

static const char *
breaker_name(const struct watch_view *view)
{
	return breaker_stage_name(view->breaker);
}

static json_t *
seconds_until(int64_t next_ms, struct queued_time now)
{
	if (next_ms == NEVER_MS)
		return json_null();
	return json_integer(next_ms > now.ms ? (next_ms - now.ms + 999) / 1000 : 0);
}

/* Seconds until the next probe; null: none is due. */
static json_t *
next_probe(const struct watch_view *view, struct queued_time now)
{
	int64_t next = NEVER_MS;

	for (size_t i = 0; i < view->endpoints; i++)
		if (view->endpoint[i].primary != NULL && view->endpoint[i].probed &&
		    view->endpoint[i].primary->next_ms < next)
			next = view->endpoint[i].primary->next_ms;
	return seconds_until(next, now);
}

static json_t *
hold_end(const struct watch_view *view)
{
	if (view->state.hold == HOLD_NONE || view->state.hold_until == HOLD_FOREVER)
		return json_null();
	return json_integer(view->state.hold_until);
}

static bool
row_holds(const struct watch_view *view)
{
	return view->soc_hold && view->row != NULL;
}

/* The row's hold goes before the operator's where both are: it lasts when that is released. */
static void
add_hold(json_t *object, const struct watch_view *view)
{
	const bool soc = row_holds(view);

	(void)json_object_set_new(
	    object, "hold", json_string(soc ? "soc" : hold_kind_name(view->state.hold)));
	if (!soc)
		(void)json_object_set_new(object, "hold_until", hold_end(view));
	else if (view->row->hold_until == HOLD_FOREVER)
		(void)json_object_set_new(object, "hold_until", json_null());
	else
		(void)json_object_set_new(
		    object, "hold_until", json_integer(view->row->hold_until));
	(void)json_object_set_new(
	    object, "hold_reason", text_of(soc ? view->row->hold_reason : view->state.hold_reason));
}

json_t *
tell_view(const struct watch_view *view, struct queued_time now)
{
	const struct state_domain *state = &view->state;
	json_t *object = json_pack(
	    "{s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:i, s:o, s:s, s:s, s:o, s:o, s:I}", "domain",
	    view->domain, "row", view->row != NULL ? view->row->owner : "", "messages",
	    (json_int_t)state->messages, "bytes", (json_int_t)state->bytes, "oldest",
	    (json_int_t)state->oldest, "primary", primary_state_name(state->primary), "since",
	    (json_int_t)state->primary_since, "at", (json_int_t)state->primary_at, "code",
	    (int)state->primary_code, "reason", text_of(state->primary_reason), "release",
	    release_stage_name(view->release), "breaker", breaker_name(view), "next_probe",
	    next_probe(view, now), "next_dns", seconds_until(view->next_dns_ms, now), "retention",
	    (json_int_t)(view->row != NULL ? view->row->retention : 0));

	if (object != NULL)
		add_hold(object, view);
	return object;
}

static json_t *
tell_endpoint(const struct watch_view *view, size_t i, struct queued_time now)
{
	const struct route_endpoint *endpoint = view->endpoint[i].endpoint;
	const struct primary *primary = view->endpoint[i].primary;
	const bool probed = view->endpoint[i].probed;
	char address[IP_TEXT_SIZE];
	const int64_t wait = primary->next_ms > now.ms ? primary->next_ms - now.ms : 0;

	ip_format(&endpoint->address, address);
	return json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:i, s:o, s:o, s:b}", "name",
	    endpoint->name, "address", address, "port", (int)endpoint->port, "state",
	    primary_state_name(primary->state), "since", (json_int_t)primary->since, "at",
	    (json_int_t)primary->at, "code", (int)primary->code, "reason", text_of(primary->reason),
	    "next_probe",
	    !probed || primary->next_ms == NEVER_MS ? json_null()
						    : json_integer((wait + 999) / 1000),
	    "held", view->held && !probed);
}

json_t *
tell_primary(const struct watch_view *view, struct queued_time now)
{
	const struct state_domain *state = &view->state;
	json_t *endpoints = json_array();

	for (size_t i = 0; i < view->endpoints; i++)
		if (view->endpoint[i].primary != NULL)
			(void)json_array_append_new(endpoints, tell_endpoint(view, i, now));
	json_t *next = next_probe(view, now);
	return json_pack("{s:s, s:s, s:I, s:I, s:i, s:o, s:o, s:o, s:b, s:b, s:o}", "domain",
	    view->domain, "primary", primary_state_name(state->primary), "since",
	    (json_int_t)state->primary_since, "at", (json_int_t)state->primary_at, "code",
	    (int)state->primary_code, "reason", text_of(state->primary_reason), "next_probe", next,
	    "next_dns", seconds_until(view->next_dns_ms, now), "held",
	    view->held && json_is_null(next), "reading", (int)view->reading, "endpoints",
	    endpoints);
}

/* The row's hold goes first, as in add_hold(): no release ends it. */
void
tell_not_flushed(const struct watch_view *view, char out[256])
{
	char until[64] = "";
	struct tm parts;

	if (row_holds(view)) {
		const time_t end = (time_t)view->row->hold_until;

		if (view->row->hold_until != HOLD_FOREVER && gmtime_r(&end, &parts) != NULL)
			(void)strftime(until, sizeof(until), " until %Y-%m-%d %H:%M:%SZ", &parts);
		(void)snprintf(out, 256,
		    "the SOC holds it%s, by its row: only that row, in SQL, can end it", until);
		return;
	}
	switch (view->state.hold) {
	case HOLD_OPERATOR:
		(void)snprintf(out, 256, "an operator holds it: release it first");
		break;
	case HOLD_WRONG_HOST:
		(void)snprintf(out, 256, "it is held because the primary is not the pinned one");
		break;
	case HOLD_BREAKER:
		(void)snprintf(out, 256, "the breaker holds it: release has it try a message now");
		break;
	case HOLD_NONE: (void)snprintf(out, 256, "it cannot be flushed now: try again"); break;
	}
}

json_t *
tell_status(const struct collector_status *collector, struct watch_counts watch,
    struct alerts_counts alerts, size_t helper)
{
	return json_pack("{s:{s:s, s:I, s:b}, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I, "
			 "s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:I, s:o}",
	    "log", "state", collector->log, "at", (json_int_t)(collector->log_at / 1000000),
	    "caught_up", (int)collector->caught_up, "census_at", (json_int_t)collector->census_at,
	    "messages", (json_int_t)collector->messages, "recipients",
	    (json_int_t)collector->recipients, "unaccounted", (json_int_t)collector->unaccounted,
	    "spool", "bytes", (json_int_t)collector->spool.bytes, "limit",
	    (json_int_t)collector->spool.limit, "rows", (json_int_t)collector->spool.rows, "watch",
	    "domains", (json_int_t)watch.domains, "active", (json_int_t)watch.active, "primaries",
	    (json_int_t)watch.primaries, "probing", (json_int_t)watch.probing, "alerts", "standing",
	    (json_int_t)alerts.standing, "rows_waiting", (json_int_t)alerts.waiting_rows,
	    "rows_lost", (json_int_t)alerts.lost_rows, "commands_running",
	    (json_int_t)alerts.running, "commands_lost", (json_int_t)alerts.lost_commands,
	    "commands_failed", (json_int_t)alerts.failed_commands, "helper_requests",
	    (json_int_t)helper, "problem", text_of(collector->problem));
}
