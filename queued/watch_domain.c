/*
 * watch_domain: the part of the watch that decides what is done for a domain: is it held, are its
 * primaries probed, does its mail leave, who is alerted. domain_judge() brings all of it in line
 * with what is known; it may be called at any time, and twice does no harm.
 */
#include "queued/retention.h"
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- alerts --------------------------------------------------------------------------------------
 */

static void
alert_raise(struct watch *watch, struct watch_domain *domain, enum alert_kind kind, unsigned level,
    const char *text)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const struct alert alert = {
	    .kind = kind, .domain = domain->name, .level = level, .text = text};

	domain->alerts |= 1u << kind;
	ports->raise(ports->context, &alert);
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

/* --- what holds ----------------------------------------------------------------------------------
 */

bool
domain_soc_hold(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->row != NULL && domain->row->hold_until > watch->now.wall;
}

static bool
operator_holds(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->operator_until > watch->now.wall;
}

bool
domain_hushed(const struct watch *watch, const struct watch_domain *domain)
{
	return operator_holds(watch, domain) && domain->operator_silent;
}

/* A declared maintenance: what is amiss then is told when it ends, if it still is. */
static bool
is_silent(const struct watch *watch, const struct watch_domain *domain)
{
	return domain_soc_hold(watch, domain) || domain_hushed(watch, domain);
}

bool
domain_is_pinned(const struct watch_domain *domain)
{
	return domain->row != NULL &&
	       (domain->row->pin_certificate[0] != '\0' || domain->row->pin_banner[0] != '\0');
}

static enum primary_state
primary_state_of(const struct watch_domain *domain)
{
	const struct primary *primary = domain_primary(domain);

	if (domain->strayed)
		return PRIMARY_UNKNOWN;
	if (primary != NULL)
		return primary->state;
	return domain->route_verdict == ROUTE_NOWHERE && domain->route_since != 0 ? PRIMARY_DOWN
										  : PRIMARY_UNKNOWN;
}

/*
 * While a pinned primary is away, whoever answers in its place must get nothing: the domain is held
 * from the moment its mail waits until the pinned one has shown itself.
 */
static enum hold_kind
decide_hold(const struct watch *watch, const struct watch_domain *domain)
{
	enum primary_state state = primary_state_of(domain);

	if (operator_holds(watch, domain))
		return HOLD_OPERATOR;
	if (domain->active && domain->messages > 0 &&
	    (state == PRIMARY_WRONG_HOST || (domain_is_pinned(domain) && state != PRIMARY_UP)))
		return HOLD_WRONG_HOST;
	if (breaker_holds(&domain->breaker))
		return HOLD_BREAKER;
	return HOLD_NONE;
}

static bool
may_leave(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->active && domain->messages > 0 && domain->row != NULL &&
	       decide_hold(watch, domain) == HOLD_NONE && !domain_soc_hold(watch, domain) &&
	       domain->breaker.stage == BREAKER_CLOSED && primary_state_of(domain) == PRIMARY_UP;
}

/* --- acts ----------------------------------------------------------------------------------------
 */

static const char *
try_message(struct watch *watch, const struct watch_message *message)
{
	const struct watch_ports *ports = &watch->setup.ports;

	if (message == NULL)
		return NULL;
	ports->flush_id(ports->context, message->key.id, false);
	return message->key.id;
}

static void
try_some(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const struct heap *by_age = &domain->by_age;
	unsigned tried = 0;

	for (size_t i = 1; i <= by_age->count && tried < WATCH_SOME; i++) {
		const struct watch_message *message =
		    HEAP_OWNER(by_age->nodes[i], struct watch_message, age);
		if (!queue_may_go(watch, message) || !queue_can_leave(watch, message))
			continue;
		ports->flush_id(ports->context, message->key.id, true);
		tried++;
	}
}

static void
probe_soon(struct watch *watch, struct watch_domain *domain)
{
	for (size_t i = 0; i < domain->links; i++) {
		primary_missed(&domain->link[i].primary->machine, watch->now);
		primary_schedule(watch, domain->link[i].primary);
	}
}

static void
try_canary(struct watch *watch, struct watch_domain *domain)
{
	struct release_canary canary = {.id = NULL};

	if (domain->release.canaries == 0)
		queue_round(domain);
	struct watch_message *message = queue_pick(watch, domain, QUEUE_FOR_RELEASE);
	if (message != NULL) {
		canary.again = queue_refused(message);
		message->lost = message->asked;
		message->asked = true;
	} else {
		canary.due_ms = queue_due(watch, domain);
	}
	canary.id = try_message(watch, message);
	(void)release_tried(&domain->release, &canary, watch->now);
}

static void
start_wave(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	uint64_t wanted;

	if (queue_wave(watch, domain, &wanted))
		ports->flush_domain(ports->context, domain->name, domain->messages);
	else if (wanted == 0 && release_empty(&domain->release, watch->now) == RELEASE_TRY)
		try_canary(watch, domain);
}

/* What has just been learned may hold the domain: then nothing more is offered. */
static void
release_do(struct watch *watch, struct watch_domain *domain, enum release_act act)
{
	const struct watch_ports *ports = &watch->setup.ports;

	if (act != RELEASE_NOTHING && act != RELEASE_PROBE && !may_leave(watch, domain)) {
		release_stop(&domain->release);
		return;
	}
	switch (act) {
	case RELEASE_NOTHING: break;
	case RELEASE_TRY: try_canary(watch, domain); break;
	case RELEASE_FLUSH: start_wave(watch, domain); break;
	case RELEASE_TRY_SOME: try_some(watch, domain); break;
	case RELEASE_LIST:
		domain->wants_list = true;
		ports->list(ports->context);
		break;
	case RELEASE_PROBE: probe_soon(watch, domain); break;
	}
}

/*
 * Where all that is left was refused lately nothing is tried yet, unless somebody wants it: what is
 * refused is offered hourly in the end. What comes new meanwhile ends the wait.
 */
static bool
breaker_waits(struct watch *watch, struct watch_domain *domain)
{
	const int64_t now = watch->now.ms;
	int64_t due;

	if (domain->breaker.stage != BREAKER_OPEN || domain->breaker.hurried)
		return false;
	due = queue_breaker_due(watch, domain);
	if (due <= now || due == NEVER_MS)
		return false;
	breaker_wait(&domain->breaker, due < now + RELEASE_LOOK_MS ? due : now + RELEASE_LOOK_MS);
	return true;
}

/* One that met our own hold was not offered to anybody: it is still its turn. */
static const struct watch_message *
breaker_pick(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_message *message = NULL;

	if (domain->breaker.again)
		message = queue_find(watch, domain, domain->breaker.canary);
	if (message != NULL && queue_can_leave(watch, message))
		return message;
	queue_round(domain);
	message = queue_pick(watch, domain, QUEUE_FOR_BREAKER);
	return message != NULL ? message : queue_pick(watch, domain, QUEUE_AT_ONCE);
}

static void
alert_breaker(struct watch *watch, struct watch_domain *domain)
{
	if (!alert_is_raised(domain, ALERT_BREAKER) && !is_silent(watch, domain))
		alert_raise(watch, domain, ALERT_BREAKER, 0,
		    "the primary refuses what it is offered: the domain is held");
}

/* Before anything is offered again, and may be taken out for what was said until now. */
static void
breaker_closed(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;

	ports->mended(ports->context, domain->name);
	alert_end(watch, domain, ALERT_BREAKER);
}

static void
breaker_do(struct watch *watch, struct watch_domain *domain, enum breaker_act act)
{
	switch (act) {
	case BREAKER_NOTHING:
	case BREAKER_LIFT: break;
	case BREAKER_HOLD: alert_breaker(watch, domain); break;
	case BREAKER_TRY:
		act = breaker_tried(
		    &domain->breaker, try_message(watch, breaker_pick(watch, domain)), watch->now);
		if (act == BREAKER_CLOSE)
			breaker_closed(watch, domain);
		break;
	case BREAKER_CLOSE: breaker_closed(watch, domain); break;
	}
}

/* --- judging -------------------------------------------------------------------------------------
 */

/* Is its way read anew since mail went astray, and was everybody probed who may answer there? */
static void
judge_stray(struct watch *watch, struct watch_domain *domain)
{
	if (!domain->strayed || domain->route_from_ms != 0)
		return;
	for (size_t i = 0; i < domain->links; i++)
		if (domain->link[i].primary->machine.state == PRIMARY_UNKNOWN)
			return;
	domain->strayed = false;
	domain_dirty(watch, domain);
}

static void
judge_hold(struct watch *watch, struct watch_domain *domain)
{
	enum hold_kind hold = decide_hold(watch, domain);

	if (hold == domain->hold)
		return;
	domain->hold = hold;
	domain_dirty(watch, domain);
	watch->put_ms = watch->now.ms; /* before a message is tried that would still meet it */
}

static void
judge_probing(struct watch *watch, struct watch_domain *domain)
{
	bool wanted = domain->messages > 0 || (domain->row != NULL && domain->row->wants_state);

	domain_wants(watch, domain,
	    domain->active && wanted && domain->row != NULL && !domain_soc_hold(watch, domain) &&
		domain->hold != HOLD_OPERATOR);
}

static bool
is_proved(const struct watch *watch, const struct watch_domain *domain,
    const struct watch_primary *primary)
{
	return primary->proved_ms != 0 && primary->proved_ms >= primary->machine.since_ms &&
	       primary->proved_ms > domain->missed_ms &&
	       watch->now.ms - primary->proved_ms <= WATCH_PROOF_MS;
}

/*
 * One canary a primary: its delivery is the proof for all of its domains, which then go at once.
 * Where it takes long (that domain's mail may be what is wrong) each sends its own.
 */
static void
begin_release(struct watch *watch, struct watch_domain *domain)
{
	struct watch_primary *primary = domain_primary_up(domain);
	int64_t waited;
	bool first;

	if (primary == NULL)
		return;
	if (watch->now.ms - domain->fresh_ms < WATCH_FRESH_MS) {
		domain->turn_ms = domain->fresh_ms + WATCH_FRESH_MS;
		return;
	}
	if (is_proved(watch, domain, primary)) {
		release_do(watch, domain, release_start_proved(&domain->release, watch->now));
		return;
	}
	waited = watch->now.ms - primary->canary_ms;
	first = primary->canary_ms < primary->machine.since_ms || waited > WATCH_PROOF_MS;
	if (!first && waited < WATCH_TURN_MS) {
		domain_await_turn(domain, primary, primary->canary_ms + WATCH_TURN_MS);
		return;
	}
	release_do(watch, domain, release_start(&domain->release, watch->now));
	if (first && domain->release.stage == RELEASE_CANARY) /* it has one to send */
		primary->canary_ms = watch->now.ms;
}

static void
judge_release(struct watch *watch, struct watch_domain *domain)
{
	domain_end_turn(domain);
	if (!may_leave(watch, domain)) {
		if (domain->release.stage != RELEASE_IDLE)
			release_stop(&domain->release);
	} else if (domain->release.stage == RELEASE_IDLE) {
		begin_release(watch, domain);
	}
}

static void
judge_wrong_host(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	if (state != PRIMARY_WRONG_HOST || domain->messages == 0) {
		if (state != PRIMARY_WRONG_HOST)
			alert_end(watch, domain, ALERT_WRONG_HOST);
		return;
	}
	if (!alert_is_raised(domain, ALERT_WRONG_HOST) && !is_silent(watch, domain))
		alert_raise(watch, domain, ALERT_WRONG_HOST, 0,
		    "what answers is not the pinned primary: the domain is held");
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

	if (primary != NULL)
		return primary->reason;
	return domain->route_why[0] != '\0' ? domain->route_why : "the DNS has not answered";
}

static void
judge_outage(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	char text[STATE_TEXT_SIZE + 64];

	if (state == PRIMARY_UP || domain->messages == 0 || domain->row_result == WATCH_ROW_NONE) {
		alert_end(watch, domain, ALERT_OUTAGE);
		return;
	}
	if ((state == PRIMARY_UNKNOWN && watch->now.ms < domain->unknown_ms) ||
	    alert_is_raised(domain, ALERT_OUTAGE) || is_silent(watch, domain))
		return;
	(void)snprintf(text, sizeof(text), "mail is held, the primary is %s: %s",
	    primary_state_name(state), outage_reason(domain));
	alert_raise(watch, domain, ALERT_OUTAGE, 0, text);
}

static void
judge_told(struct watch *watch, struct watch_domain *domain, enum primary_state state)
{
	const struct watch_ports *ports = &watch->setup.ports;

	if (state == domain->told_primary)
		return;
	domain->told_primary = state;
	domain_dirty(watch, domain);
	ports->changed(ports->context, domain->name);
}

/* A primary that refused everything, was taken down and comes up again may be mended. */
static void
judge_back(struct watch_domain *domain, enum primary_state state, struct queued_time now)
{
	if (state != PRIMARY_UP) {
		domain->away = domain->away || state != PRIMARY_UNKNOWN;
		return;
	}
	if (!domain->away ||
	    (domain->breaker.stage != BREAKER_CLOSED && domain->breaker.stage != BREAKER_OPEN))
		return; /* what is being tried may not have found it */
	domain->away = false;
	breaker_back(&domain->breaker, now);
}

/* What was kept back is told at once: retention and quota are not judged here. */
static void
judge_silence(struct watch *watch, struct watch_domain *domain)
{
	const bool silent = is_silent(watch, domain);

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

	judge_stray(watch, domain);
	judge_hold(watch, domain);
	judge_probing(watch, domain);
	judge_silence(watch, domain);
	state = primary_state_of(domain); /* one that was not probed for long is not known now */
	if (domain->active) {
		if (domain->breaker.stage != BREAKER_CLOSED)
			alert_breaker(watch, domain);
		judge_told(watch, domain, state);
		judge_unknown(watch, domain, state);
		judge_outage(watch, domain, state);
		judge_wrong_host(watch, domain, state);
		judge_back(domain, state, watch->now);
	}
	judge_release(watch, domain);
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
			domain->stray_ms = 0;
			domain->strayed = false;
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
	if (attempt->result == ATTEMPT_SENT && !domain_is_pinned(domain)) {
		const bool changed = primary_delivered(&primary->machine, watch->now);
		primary->proved_ms = watch->now.ms;
		primary->seen_ms = watch->now.ms;
		primary_schedule(watch, primary);
		if (changed)
			primary_tell(watch, primary);
		else
			primary_proved(watch, primary);
	} else if (attempt->result == ATTEMPT_UNREACHED) {
		primary_missed(&primary->machine, watch->now);
		primary_schedule(watch, primary);
	}
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
	const bool surge = domain->breaker.stage != BREAKER_CLOSED;
	/* What is offered again says nothing new of the others: a message counts once. */
	if (news != RELEASE_AGAIN || surge)
		breaker_do(watch, domain, breaker_attempt(&domain->breaker, attempt, watch->now));
	/* The surge is over: what was refused in it need not wait as what is refused by itself. */
	if (surge && domain->breaker.stage == BREAKER_CLOSED && attempt->result == ATTEMPT_SENT)
		domain->mended_ms = watch->now.ms;
	release_do(watch, domain, release_attempt(&domain->release, attempt, news, watch->now));
	note_primary(watch, domain, attempt);
	domain_judge(watch, domain);
}

void
domain_left(struct watch *watch, struct watch_domain *domain, const char *id)
{
	domain_dirty(watch, domain);
	if (domain->messages > 0) {
		release_do(watch, domain, release_left(&domain->release, id, watch->now));
		domain_schedule(watch, domain);
		return;
	}
	domain->activate_ms = NEVER_MS;
	domain->forget_ms =
	    watch->now.ms +
	    (domain->active && wants_state(domain) ? WATCH_WANTED_MS : WATCH_LINGER_MS);
	alert_end(watch, domain, ALERT_OUTAGE);
	alert_end(watch, domain, ALERT_RETENTION);
	domain->retention_level = 0;
	domain_judge(watch, domain);
}

/* --- time ----------------------------------------------------------------------------------------
 */

static void
judge_retention(struct watch *watch, struct watch_domain *domain)
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
	if (level > domain->retention_level && !is_silent(watch, domain)) {
		(void)snprintf(text, sizeof(text),
		    "the oldest message has waited for %u %% of the time it may", level);
		alert_raise(watch, domain, ALERT_RETENTION, level, text);
	} else if (level > domain->retention_level) {
		return; /* silenced: told once that has ended */
	}
	domain->retention_level = level;
}

static void
domain_refresh(struct watch *watch, struct watch_domain *domain)
{
	domain->refresh_ms = watch->now.ms + WATCH_REFRESH_MS;
	if (domain->active)
		domain_read_row(watch, domain);
	judge_retention(watch, domain);
	domain_dirty(watch, domain);
}

static void
tick_release(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const struct watch_primary *primary = domain_primary_up(domain);
	const struct release_wave wave = {.untried = domain->untried,
	    .busy = primary != NULL && primary->proved_ms != 0 &&
		    watch->now.ms - primary->proved_ms < WATCH_BUSY_MS};

	if (watch->now.ms < domain->release.next_ms)
		return;
	if (domain->release.stage == RELEASE_DRAIN && ports->flushing(ports->context, domain->name))
		release_flushing(&domain->release, watch->now);
	release_do(watch, domain, release_tick(&domain->release, &wave, watch->now));
}

void
domain_listed(struct watch *watch, struct watch_domain *domain, bool good, bool singly)
{
	release_listed(&domain->release, good, singly, watch->now);
	domain_schedule(watch, domain);
}

static void
tick_machines(struct watch *watch, struct watch_domain *domain)
{
	bool others_hold = operator_holds(watch, domain) || domain_soc_hold(watch, domain);

	tick_release(watch, domain);
	if (watch->now.ms < domain->breaker.next_ms)
		return;
	if (others_hold) /* no message could be tried now */
		domain->breaker.next_ms = watch->now.ms + WATCH_REFRESH_MS;
	else if (!breaker_waits(watch, domain))
		breaker_do(watch, domain, breaker_tick(&domain->breaker, watch->now));
}

void
domain_tick(struct watch *watch, struct watch_domain *domain)
{
	int64_t now = watch->now.ms;

	if (domain->operator_until != 0 && !operator_holds(watch, domain))
		domain->operator_until = 0;
	if (now >= domain->activate_ms)
		domain_activate(watch, domain);
	if (now >= domain->refresh_ms)
		domain_refresh(watch, domain);
	if (domain->active && domain->row != NULL && now >= domain->route_ms)
		domain_route(watch, domain);
	tick_machines(watch, domain);
	domain_judge(watch, domain);
}
