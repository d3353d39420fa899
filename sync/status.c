/*
 * status: see status.h. Texts from the server may hold anything: what is not printable ASCII is
 * shown as '?'.
 */
#include "sync/status.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
    [STATUS_STARTING] = "starting",
    [STATUS_NO_STORE] = "no-store",
    [STATUS_UNREACHABLE] = "unreachable",
    [STATUS_LOADING] = "loading",
    [STATUS_CURRENT] = "current",
    [STATUS_HELD] = "held",
    [STATUS_UNHEARD] = "unheard",
};

const char *
status_state_name(enum status_state state)
{
	return state_names[state];
}

/* NULL and "" become null. */
static json_t *
text(const char *value)
{
	char plain[600];
	size_t i;

	if (value == NULL || value[0] == '\0')
		return json_null();
	for (i = 0; i < sizeof plain - 1 && value[i] != '\0'; i++)
		plain[i] = value[i] >= ' ' && value[i] <= '~' ? value[i] : '?';
	plain[i] = '\0';
	return json_string(plain);
}

static json_t *
number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* A time, or null for "never". */
static json_t *
moment(int64_t at)
{
	return at > 0 ? json_integer(at) : json_null();
}

static json_t *
verification(const struct status *status)
{
	if (status->verified.at == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "at", moment(status->verified.at),
	    "result", text(status->verified.result), "domains",
	    number(status->verified.census.domains), "retired",
	    number(status->verified.census.retired), "customers",
	    number(status->verified.census.customers), "relays",
	    number(status->verified.census.relays), "damaged",
	    number(status->verified.census.damaged));
}

static json_t *
load(const struct status *status)
{
	if (status->load.at == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "at", moment(status->load.at), "reason",
	    text(status->load.reason), "rows", number(status->load.rows), "differing",
	    number(status->load.differing), "carried", number(status->load.carried), "took_ms",
	    number((uint64_t)status->load.took_ms));
}

static bool
add_snapshot(json_t *object, const struct status *status)
{
	const struct snapshot_meta *meta = &status->meta;

	if (!status->usable)
		return json_object_set_new(object, "snapshot", json_null()) == 0;
	return json_object_set_new(object, "snapshot",
		   json_pack("{s:o, s:o, s:o, s:o, s:o}", "epoch", text(meta->epoch), "version",
		       number(meta->version), "domains", number(status->domains), "confirmation",
		       number(meta->confirmation), "loaded_at", moment(meta->loaded_at))) == 0;
}

/* In words: is the journal getting what it should? */
static const char *
journal_state(const struct status *status, const struct shipper_status *ship)
{
	if (!shipper_is_alive(status->shipper))
		return "starting";
	if (ship->spool_error[0] != '\0')
		return "spool-not-readable";
	if (!status->has_journal)
		return "off";
	if (ship->journal_error[0] != '\0')
		return "failing";
	if (!ship->looked)
		return "starting";
	return ship->behind > 0 ? "behind" : "current";
}

static bool
add_shipper(json_t *object, const struct status *status)
{
	const struct shipper_status *ship;

	if (status->shipper == NULL)
		return true;
	ship = shipper_status(status->shipper);
	return json_object_set_new(object, "journal",
		   json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "state",
		       journal_state(status, ship), "behind", number(ship->behind), "shipped",
		       number(ship->shipped), "refused", number(ship->refused), "shipped_at",
		       moment(ship->shipped_at), "last_error", text(ship->journal_error),
		       "spool_error", text(ship->spool_error), "restarts",
		       number(shipper_restarts(status->shipper)))) == 0 &&
	       json_object_set_new(object, "figures",
		   json_pack("{s:o, s:o, s:o}", "domains", number(ship->domains), "told_at",
		       moment(ship->told_at), "last_error", text(ship->figures_error))) == 0;
}

char *
status_json(const struct status *status, int64_t boot_ms)
{
	json_t *object;
	char *line = NULL;

	object = json_pack("{s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "state", status_state_name(status->state), "relay", text(status->relay), "region",
	    text(status->region), "contact_age_ms",
	    status->contact_ms >= 0 ? json_integer(boot_ms - status->contact_ms) : json_null(),
	    "listening", (int)status->listening, "reason", text(status->reason), "cure",
	    text(status->cure), "last_error", text(status->error), "last_error_at",
	    moment(status->error_at), "report_error", text(status->report_error), "loading_rows",
	    number(status->loading), "unusable_rows", number(status->unusable), "last_load",
	    load(status), "verification", verification(status));
	if (object != NULL && add_snapshot(object, status) && add_shipper(object, status))
		line = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return line;
}
