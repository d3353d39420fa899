/*
 * watch_alert: the part of the watch that says who is alerted of a domain, and when that ends.
 */
#include "queued/retention.h"
#include "queued/watch_inner.h"

#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void
alert_say(struct watch *watch, struct watch_domain *domain, const struct alert *what)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct alert alert = *what;

	alert.domain = domain->name;
	domain->alerts |= 1u << alert.kind;
	ports->raise(ports->context, &alert);
}

static void
alert_raise(struct watch *watch, struct watch_domain *domain, enum alert_kind kind, unsigned level,
    const char *text)
{
	const struct alert alert = {.kind = kind, .level = level, .text = text};

	alert_say(watch, domain, &alert);
}

static bool
alert_is_raised(const struct watch_domain *domain, enum alert_kind kind)
{
	return (domain->alerts & 1u << kind) != 0;
}

static void
alert_end(struct watch *watch, struct watch_domain *domain, enum alert_kind kind)
{
	const struct watch_ports *ports = &watch->setup.ports;

	if (!alert_is_raised(domain, kind) && !ports->restored(ports->context, kind, domain->name))
		return;
	domain->alerts &= ~(1u << kind);
	ports->end(ports->context, kind, domain->name);
}

void
domain_end_alerts(struct watch *watch, struct watch_domain *domain)
{
	static const enum alert_kind kinds[] = {
	    ALERT_OUTAGE, ALERT_RETENTION, ALERT_BREAKER, ALERT_WRONG_HOST}; /* the watch's own */

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		alert_end(watch, domain, kinds[i]);
	domain->retention_level = 0;
}

void
domain_alert_breaker(struct watch *watch, struct watch_domain *domain)
{
	if (!alert_is_raised(domain, ALERT_BREAKER) && !domain_is_silent(watch, domain))
		alert_raise(watch, domain, ALERT_BREAKER, 0,
		    "the primary refuses what it is offered: the domain is held");
}

void
domain_breaker_alert_ends(struct watch *watch, struct watch_domain *domain)
{
	alert_end(watch, domain, ALERT_BREAKER);
}

/* One of its servers, and whether he is the stranger of before is not known. */
static bool
any_unknown(const struct watch_domain *domain)
{
	for (size_t i = 0; i < domain->links; i++)
		if (domain->link[i].primary->machine.state == PRIMARY_UNKNOWN)
			return true;
	return false;
}

/* Who is not known may still be the stranger of before: also where a process has just begun. */
static bool
stranger_is_gone(const struct watch_domain *domain, enum primary_state state)
{
	if (domain->row_result == WATCH_ROW_NONE ||
	    (domain->row != NULL && !domain_is_pinned(domain)))
		return true;
	if (state == PRIMARY_WRONG_HOST || domain_has_stranger(domain))
		return false;
	if (state == PRIMARY_UNKNOWN)
		return domain->messages == 0 && domain->passed_ms == 0;
	return !any_unknown(domain);
}

/* False: there is none. */
static bool
stranger_text(
    const struct watch_domain *domain, enum primary_state state, char out[ALERT_TEXT_SIZE])
{
	const struct watch_link *passed = domain_passed_by(domain);
	char name[WATCH_NAME_SIZE];

	if (state == PRIMARY_WRONG_HOST && domain->messages == 0)
		return false;
	if (state == PRIMARY_WRONG_HOST && unmet_kind(&domain->unmet) == UNMET_PIN)
		(void)snprintf(out, ALERT_TEXT_SIZE,
		    "smtp(8) does not find the pin that probes see, mail waits (%.90s): look at "
		    "mxholdctl postfix status, and for pins-left-out in the log",
		    domain->unmet.words);
	else if (state == PRIMARY_WRONG_HOST)
		(void)snprintf(out, ALERT_TEXT_SIZE,
		    "what answers is not the pinned primary: the domain is held");
	else if (passed != NULL)
		(void)snprintf(out, ALERT_TEXT_SIZE,
		    "%s is not the pinned primary, and gets nothing: the mail goes to another one",
		    link_name(passed, name));
	else
		return false;
	return true;
}

/* What stands already is not told again: only its words change. */
static void
judge_wrong_host(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	const bool raised = alert_is_raised(domain, ALERT_WRONG_HOST);
	char text[ALERT_TEXT_SIZE];
	const struct alert alert = {.kind = ALERT_WRONG_HOST, .text = text, .reworded = raised};

	if (!stranger_text(domain, state, text)) {
		if (stranger_is_gone(domain, state))
			alert_end(watch, domain, ALERT_WRONG_HOST);
		return;
	}
	const uint64_t words = XXH3_64bits(text, strlen(text));
	if (raised ? words == domain->stranger : domain_is_silent(watch, domain))
		return;
	domain->stranger = words;
	alert_say(watch, domain, &alert);
}

/*
 * "Cannot tell" may pass in a moment; what lasts is an outage as well. While the domain is held its
 * primary is not probed, so that not to know it says nothing; the DNS is asked all the same.
 */
static void
judge_unknown(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	const bool held = domain->hold == HOLD_OPERATOR || domain_soc_hold(watch, domain);
	const bool sought =
	    domain->row != NULL && domain->messages > 0 && (domain->links == 0 || !held);

	if (state != PRIMARY_UNKNOWN || !sought)
		domain->unknown_ms = NEVER_MS;
	else if (domain->unknown_ms == NEVER_MS)
		domain->unknown_ms = watch->now.ms + WATCH_UNKNOWN_MS;
}

static const char *
outage_reason(const struct watch_domain *domain)
{
	const struct primary *primary = domain_primary(domain);

	if (unmet_kind(&domain->unmet) != UNMET_NOT)
		return domain->unmet.words;
	if (primary != NULL)
		return primary->reason;
	return domain->route_why[0] != '\0' ? domain->route_why : "the DNS has not answered";
}

/* Up, and yet an outage: Postfix does not come so far. */
#define UNREACHED ", but Postfix does not reach it (see mxholdctl postfix status)"

/* What stands already is not told again: only its words change. */
static void
outage_raise(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	char text[STATE_TEXT_SIZE + 128];
	const struct alert alert = {
	    .kind = ALERT_OUTAGE, .text = text, .reworded = alert_is_raised(domain, ALERT_OUTAGE)};

	const char *reason = outage_reason(domain);
	(void)snprintf(text, sizeof(text), "mail is held, the primary is %s%s%s%s",
	    primary_state_name(state), state == PRIMARY_UP ? UNREACHED : "",
	    reason[0] != '\0' ? ": " : "", reason);
	const uint64_t words = XXH3_64bits(text, strlen(text));
	if (alert.reworded && words == domain->outage)
		return;
	domain->outage = words;
	alert_say(watch, domain, &alert);
}

static void
judge_outage(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	const bool up = state == PRIMARY_UP && unmet_kind(&domain->unmet) == UNMET_NOT;

	if (up || domain->messages == 0 || domain->row_result == WATCH_ROW_NONE)
		alert_end(watch, domain, ALERT_OUTAGE);
	else if ((state != PRIMARY_UNKNOWN || watch->now.ms >= domain->unknown_ms) &&
		 (alert_is_raised(domain, ALERT_OUTAGE) || !domain_is_silent(watch, domain)))
		outage_raise(watch, domain, state);
}

void
domain_judge_alerts(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	if (domain->breaker.stage != BREAKER_CLOSED)
		domain_alert_breaker(watch, domain);
	else /* a former process may have told that it was open */
		domain_breaker_alert_ends(watch, domain);
	judge_unknown(watch, domain, state);
	judge_outage(watch, domain, state);
	judge_wrong_host(watch, domain, state);
}

void
domain_alerts_empty(struct watch *watch, struct watch_domain *domain)
{
	alert_end(watch, domain, ALERT_OUTAGE);
	alert_end(watch, domain, ALERT_RETENTION);
	domain->retention_level = 0;
}

void
domain_judge_retention(struct watch *watch, struct watch_domain *domain)
{
	const struct heap_node *oldest = heap_first(&domain->by_age);
	char text[96];
	unsigned level;

	if (domain->row_result == WATCH_ROW_NONE) {
		alert_end(watch, domain, ALERT_RETENTION); /* there is none any more */
		domain->retention_level = 0;
	}
	if (oldest == NULL || domain->row == NULL || domain->row->retention <= 0)
		return;
	level = retention_level(oldest->key, domain->row->retention, watch->now.wall * 1000000);
	if (level == 0)
		alert_end(watch, domain, ALERT_RETENTION);
	if (level > domain->retention_level && !domain_is_silent(watch, domain)) {
		(void)snprintf(text, sizeof(text),
		    "the oldest message has waited for %u %% of the time it may", level);
		alert_raise(watch, domain, ALERT_RETENTION, level, text);
	} else if (level > domain->retention_level) {
		return; /* silenced: told once that has ended */
	}
	domain->retention_level = level;
}
