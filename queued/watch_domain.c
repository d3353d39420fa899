/*
 * watch_domain: the part of the watch that decides what is done for a domain: is it held, are its
 * primaries probed, may its mail leave (watch_release), is anybody alerted (watch_alert).
 * domain_judge() brings all of it in line with what is known; it may be called at any time, and
 * twice does no harm.
 */
#include "queued/watch_inner.h"

#include <stdlib.h>
#include <string.h>

/* --- what holds ----------------------------------------------------------------------------------
 */

bool
domain_soc_hold(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->row != NULL && domain->row->hold_until > watch->now.wall;
}

bool
domain_operator_holds(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->operator_until > watch->now.wall;
}

bool
domain_hushed(const struct watch *watch, const struct watch_domain *domain)
{
	return domain_operator_holds(watch, domain) && domain->operator_silent;
}

/* A declared maintenance: what is amiss then is told when it ends, if it still is. */
bool
domain_is_silent(const struct watch *watch, const struct watch_domain *domain)
{
	return domain_soc_hold(watch, domain) || domain_hushed(watch, domain);
}

bool
domain_is_pinned(const struct watch_domain *domain)
{
	return domain->row != NULL &&
	       (domain->row->pin_certificate[0] != '\0' || domain->row->pin_banner[0] != '\0');
}

enum primary_state
domain_primary_state(const struct watch_domain *domain)
{
	const struct primary *primary = domain_primary(domain);

	if (primary != NULL)
		return primary->state;
	return domain->route_verdict == ROUTE_NOWHERE && domain->route_since != 0 ? PRIMARY_DOWN
										  : PRIMARY_UNKNOWN;
}

enum primary_state
domain_told_state(const struct watch_domain *domain)
{
	const enum primary_state state = domain_primary_state(domain);

	return state == PRIMARY_UP && unmet_kind(&domain->unmet) == UNMET_PIN ? PRIMARY_WRONG_HOST
									      : state;
}

/*
 * A stranger gets nothing in any case: smtp(8) looks at the pin. Held, its mail is not offered.
 * Where only smtp(8) finds one it is: nobody else would see that it has found its primary again.
 */
enum hold_kind
domain_decide_hold(const struct watch *watch, const struct watch_domain *domain)
{
	if (domain_operator_holds(watch, domain))
		return HOLD_OPERATOR;
	if (domain->active && domain->messages > 0 &&
	    domain_primary_state(domain) == PRIMARY_WRONG_HOST)
		return HOLD_WRONG_HOST;
	if (breaker_holds(&domain->breaker))
		return HOLD_BREAKER;
	return HOLD_NONE;
}

/* --- judging -------------------------------------------------------------------------------------
 */

static void
judge_hold(struct watch *watch, struct watch_domain *domain)
{
	enum hold_kind hold = domain_decide_hold(watch, domain);

	if (hold == domain->hold)
		return;
	domain->hold = hold;
	domain_dirty(watch, domain);
	watch->put_ms = watch->now.ms; /* before a message is tried that would still meet it */
}

static void
judge_probing(struct watch *watch, struct watch_domain *domain)
{
	bool wanted = domain->messages > 0 || domain->passed_ms != 0 ||
		      (domain->row != NULL && domain->row->wants_state);

	domain_wants(watch, domain,
	    domain->active && wanted && domain->row != NULL && !domain_soc_hold(watch, domain) &&
		domain->hold != HOLD_OPERATOR);
}

static void
judge_told(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const bool beside = domain_passed_by(domain) != NULL;

	if (state == domain->told_primary && beside == domain->told_beside)
		return;
	domain->told_primary = state;
	domain->told_beside = beside;
	domain_dirty(watch, domain);
	ports->changed(ports->context, domain->name);
}

bool
domain_has_stranger(const struct watch_domain *domain)
{
	for (size_t i = 0; i < domain->links; i++)
		if (domain->link[i].primary->machine.state == PRIMARY_WRONG_HOST)
			return true;
	return false;
}

/* It is not forgotten while a stranger whom smtp(8) passes by has not gone. */
static void
judge_passed(struct watch *watch, struct watch_domain *domain)
{
	if (domain->passed_ms == 0)
		return;
	if (domain->row == NULL || !domain_is_pinned(domain) ||
	    (watch->now.ms >= domain->passed_ms && !domain_has_stranger(domain)))
		domain->passed_ms = 0;
	if (domain->messages > 0)
		return;
	const int64_t lasts =
	    domain->passed_ms != 0 ? WATCH_REFRESH_MS + WATCH_LINGER_MS : WATCH_LINGER_MS;
	if (domain->forget_ms == NEVER_MS || domain->forget_ms < watch->now.ms + lasts)
		domain->forget_ms = watch->now.ms + lasts;
}

/* What nobody waits for, and what a probe sees as well, contradicts nothing. */
static void
judge_unmet(struct watch_domain *domain)
{
	if (domain->messages == 0 || domain_primary_state(domain) != PRIMARY_UP)
		unmet_clear(&domain->unmet);
}

/* A primary that refused everything, was taken down and comes up again may be mended. */
static void
judge_back(struct watch_domain *domain, enum primary_state state, struct queued_time now)
{
	if (state != PRIMARY_UP) {
		domain->away = domain->away || state != PRIMARY_UNKNOWN;
		return;
	}
	if (!domain->away || domain->waits > 0 || /* the DNS tells of another one, perhaps */
	    (domain->breaker.stage != BREAKER_CLOSED && domain->breaker.stage != BREAKER_OPEN))
		return; /* what is being tried may not have found it */
	domain->away = false;
	breaker_back(&domain->breaker, now);
}

/* What was kept back is told at once: retention and quota are not judged here. */
static void
judge_silence(struct watch *watch, struct watch_domain *domain)
{
	const bool silent = domain_is_silent(watch, domain);

	if (silent == domain->silent)
		return;
	domain->silent = silent;
	if (!silent)
		domain->refresh_ms = watch->now.ms;
	owner_count(watch, domain->owner, 0, 0);
}

void
domain_judge(struct watch *watch, struct watch_domain *domain)
{
	enum primary_state state;

	judge_hold(watch, domain);
	judge_passed(watch, domain);
	judge_probing(watch, domain);
	judge_silence(watch, domain);
	state =
	    domain_primary_state(domain); /* one that was not probed for long is not known now */
	judge_unmet(domain);
	if (domain->active) {
		judge_told(watch, domain, domain_told_state(domain));
		domain_judge_alerts(watch, domain, domain_told_state(domain));
		judge_back(domain, state, watch->now);
	}
	domain_judge_release(watch, domain);
	domain_schedule(watch, domain);
}

/* --- rows ----------------------------------------------------------------------------------------
 */

static bool
same_way(const struct watch_row *a, const struct watch_row *b)
{
	return a->tls_required == b->tls_required && strcmp(a->next_hops, b->next_hops) == 0 &&
	       strcmp(a->pin_certificate, b->pin_certificate) == 0 &&
	       strcmp(a->pin_banner, b->pin_banner) == 0;
}

/* What the old one refused says nothing of the new one, whom nobody has seen yet. */
static void
another_primary(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;

	ports->mended(ports->context, domain->name);
	domain->mended_ms = watch->now.ms;
	domain->refused_run = 0;
	unmet_clear(&domain->unmet);
	domain->away = true;
	breaker_anew(&domain->breaker);
	release_stop(&domain->release);
}

static void
row_lost(struct watch *watch, struct watch_domain *domain)
{
	free(domain->row);
	domain->row = NULL;
	domain_owner(watch, domain, NULL);
	domain_unlink(watch, domain);
}

void
domain_read_row(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct watch_row *row = malloc(sizeof(*row));

	if (row == NULL)
		return;
	memset(row, 0, sizeof(*row));
	domain->row_result = ports->row(ports->context, domain->name, row);
	if (domain->row_result == WATCH_ROW_FOUND) {
		if (domain->row == NULL || !same_way(domain->row, row)) {
			domain->route_ms = watch->now.ms;
			if (domain->row != NULL)
				another_primary(watch, domain);
		}
		free(domain->row);
		domain->row = row;
		domain_owner(watch, domain, row);
		return;
	}
	free(row);
	if (domain->row_result == WATCH_ROW_NONE)
		row_lost(watch, domain);
}

void
domain_activate(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	double part = ports->random(ports->context);

	domain->activate_ms = NEVER_MS;
	if (domain->active)
		return;
	domain->active = true;
	watch->active++;
	/* Spread: thousands that became active at once are not renewed at once. */
	domain->refresh_ms = watch->now.ms + (int64_t)((0.5 + part / 2) * WATCH_REFRESH_MS);
	domain->route_ms = watch->now.ms;
	domain_read_row(watch, domain);
	domain_dirty(watch, domain);
	if (domain->row != NULL)
		domain_route(watch, domain);
	domain_judge(watch, domain);
}

/* --- what comes ----------------------------------------------------------------------------------
 */

/*
 * Somebody who does not show the pin is among its servers, or was for a moment. The line does not
 * tell which: all are probed, and what they show decides.
 */
void
domain_note_passed(struct watch *watch, struct watch_domain *domain)
{
	const bool known = domain->passed_ms != 0 && domain_has_stranger(domain);

	if (!domain_is_pinned(domain))
		return;
	domain->passed_ms = watch->now.ms + WATCH_PASSED_MS;
	domain_activate(watch, domain);
	for (size_t i = 0; i < domain->links && !known; i++)
		primary_doubt(watch, domain->link[i].primary);
}

static bool
is_recent(const struct watch *watch, const struct event_attempt *attempt)
{
	int64_t age = watch->now.wall - attempt->at / 1000000;

	return age <= WATCH_RECENT_S && age >= -WATCH_RECENT_S;
}

/* An outage may have begun: earlier deliveries prove nothing. The log seldom says who was missed.
 */
static void
note_missed(struct watch *watch, struct watch_domain *domain)
{
	domain->missed_ms = watch->now.ms;
	for (size_t i = 0; i < domain->links; i++)
		domain->link[i].primary->proved_ms = 0;
}

static void
note_primary(struct watch *watch, struct watch_domain *domain, const struct event_attempt *attempt)
{
	struct watch_primary *primary = domain_primary_named(domain, attempt->primary);

	if (primary == NULL) {
		domain_went_astray(watch, domain, attempt);
		return;
	}
	if (attempt->result == ATTEMPT_SENT) {
		const bool changed = primary_delivered(&primary->machine, watch->now);
		primary->proved_ms = watch->now.ms;
		primary->seen_ms = watch->now.ms;
		primary_schedule(watch, primary);
		if (changed)
			primary_tell(watch, primary);
		else
			primary_proved(watch, primary);
	} else if (attempt->result == ATTEMPT_UNREACHED && domain_is_pinned(domain)) {
		primary_doubt(watch, primary); /* a stranger, perhaps */
	} else if (attempt->result == ATTEMPT_UNREACHED) {
		primary_missed(&primary->machine, watch->now);
		primary_schedule(watch, primary);
	}
}

/* Of somebody whom probes call a stranger too it says nothing that is not known. */
static void
note_unmet(struct watch *watch, struct watch_domain *domain, const struct event_attempt *attempt)
{
	const struct watch_primary *named = domain_primary_named(domain, attempt->primary);
	const enum unmet_kind before = unmet_kind(&domain->unmet);

	if (domain_primary_state(domain) != PRIMARY_UP ||
	    (named != NULL && named->machine.state == PRIMARY_WRONG_HOST))
		return;
	unmet_attempt(&domain->unmet, attempt, domain_is_pinned(domain), watch->now);
	if (unmet_kind(&domain->unmet) != before)
		domain_dirty(watch, domain);
}

static bool
wants_state(const struct watch_domain *domain)
{
	return domain->row != NULL && domain->row->wants_state;
}

void
domain_attempt(struct watch *watch, struct watch_domain *domain,
    const struct event_attempt *attempt, enum release_news news)
{
	if (!is_recent(watch, attempt))
		return;
	if (attempt->result == ATTEMPT_UNREACHED)
		note_missed(watch, domain);
	if (!domain->active && (attempt->result != ATTEMPT_SENT || wants_state(domain)))
		domain_activate(watch, domain);
	domain_tried(watch, domain, attempt, news);
	note_primary(watch, domain, attempt);
	note_unmet(watch, domain, attempt);
	if (attempt->passed)
		domain_note_passed(watch, domain);
	domain_judge(watch, domain);
}

struct watch_domain *
domain_for_passed(struct watch *watch, const char *name)
{
	struct watch_domain *domain = domain_get(watch, name);

	if (domain == NULL || domain->messages > 0 || domain->forget_ms != NEVER_MS)
		return domain;
	domain->forget_ms = watch->now.ms + WATCH_LINGER_MS;
	domain_schedule(watch, domain);
	return domain;
}

void
domain_left(struct watch *watch, struct watch_domain *domain, const char *id)
{
	domain_dirty(watch, domain);
	if (domain->messages > 0) {
		domain_release_left(watch, domain, id);
		domain_schedule(watch, domain);
		return;
	}
	domain->activate_ms = NEVER_MS;
	domain->forget_ms =
	    watch->now.ms +
	    (domain->active && wants_state(domain) ? WATCH_WANTED_MS : WATCH_LINGER_MS);
	domain_alerts_empty(watch, domain);
	domain_judge(watch, domain);
}

/* --- time ----------------------------------------------------------------------------------------
 */

static void
domain_refresh(struct watch *watch, struct watch_domain *domain)
{
	domain->refresh_ms = watch->now.ms + WATCH_REFRESH_MS;
	if (domain->active)
		domain_read_row(watch, domain);
	domain_judge_retention(watch, domain);
	domain_dirty(watch, domain);
}

void
domain_tick(struct watch *watch, struct watch_domain *domain)
{
	int64_t now = watch->now.ms;

	if (domain->operator_until != 0 && !domain_operator_holds(watch, domain))
		domain->operator_until = 0;
	if (now >= domain->activate_ms)
		domain_activate(watch, domain);
	if (now >= domain->refresh_ms)
		domain_refresh(watch, domain);
	if (domain->active && domain->row != NULL && now >= domain->route_ms)
		domain_route(watch, domain);
	domain_tick_release(watch, domain);
	domain_judge(watch, domain);
}
