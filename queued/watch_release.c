/*
 * watch_release: the part of the watch that lets a domain's mail go: canaries, waves, turns at a
 * primary, and what the breaker tries.
 */
#include "queued/watch_inner.h"

static bool
may_leave(const struct watch *watch, const struct watch_domain *domain)
{
	return domain->active && domain->messages > 0 && domain->row != NULL &&
	       domain_decide_hold(watch, domain) == HOLD_NONE && !domain_soc_hold(watch, domain) &&
	       domain->breaker.stage == BREAKER_CLOSED &&
	       domain_primary_state(domain) == PRIMARY_UP;
}

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

	if (domain->release.round.canaries == 0)
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

/* --- the breaker ---------------------------------------------------------------------------------
 */

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

/* Before anything is offered again, and may be taken out for what was said until now. */
static void
breaker_closed(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;

	ports->mended(ports->context, domain->name);
	domain_breaker_alert_ends(watch, domain);
}

static void
breaker_do(struct watch *watch, struct watch_domain *domain, enum breaker_act act)
{
	switch (act) {
	case BREAKER_NOTHING:
	case BREAKER_LIFT: break;
	case BREAKER_HOLD: domain_alert_breaker(watch, domain); break;
	case BREAKER_TRY:
		act = breaker_tried(
		    &domain->breaker, try_message(watch, breaker_pick(watch, domain)), watch->now);
		if (act == BREAKER_CLOSE)
			breaker_closed(watch, domain);
		break;
	case BREAKER_CLOSE: breaker_closed(watch, domain); break;
	}
}

/* --- when ----------------------------------------------------------------------------------------
 */

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

void
domain_judge_release(struct watch *watch, struct watch_domain *domain)
{
	domain_end_turn(domain);
	if (!may_leave(watch, domain)) {
		if (domain->release.stage != RELEASE_IDLE)
			release_stop(&domain->release);
	} else if (domain->release.stage == RELEASE_IDLE) {
		begin_release(watch, domain);
	}
}

void
domain_tried(struct watch *watch, struct watch_domain *domain, const struct event_attempt *attempt,
    enum release_news news)
{
	const bool surge = domain->breaker.stage != BREAKER_CLOSED;

	/* What is offered again says nothing new of the others: a message counts once. */
	if (news != RELEASE_AGAIN || surge)
		breaker_do(watch, domain, breaker_attempt(&domain->breaker, attempt, watch->now));
	/* The surge is over: what was refused in it need not wait as what is refused by itself. */
	if (surge && domain->breaker.stage == BREAKER_CLOSED && attempt->result == ATTEMPT_SENT)
		domain->mended_ms = watch->now.ms;
	release_do(watch, domain, release_attempt(&domain->release, attempt, news, watch->now));
}

void
domain_release_left(struct watch *watch, struct watch_domain *domain, const char *id)
{
	release_do(watch, domain, release_left(&domain->release, id, watch->now));
}

void
domain_listed(struct watch *watch, struct watch_domain *domain, bool good, bool singly)
{
	release_listed(&domain->release, good, singly, watch->now);
	domain_schedule(watch, domain);
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
domain_tick_release(struct watch *watch, struct watch_domain *domain)
{
	bool others_hold = domain_operator_holds(watch, domain) || domain_soc_hold(watch, domain);

	tick_release(watch, domain);
	if (watch->now.ms < domain->breaker.next_ms)
		return;
	if (others_hold) /* no message could be tried now */
		domain->breaker.next_ms = watch->now.ms + WATCH_REFRESH_MS;
	else if (!breaker_waits(watch, domain))
		breaker_do(watch, domain, breaker_tick(&domain->breaker, watch->now));
}
