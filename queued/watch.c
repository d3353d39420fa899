/*
 * watch: see watch.h. Here: the life of domains, time, and what operators ask for.
 */
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MOST 5000 /* domains looked at in one tick, so that other work gets its turn */
#define FAR_S 86400    /* holds that end later are looked at again by then */
#define PLACES_PART 4  /* of the probes at once: so many more for primaries that answer */

/* --- domains -------------------------------------------------------------------------------------
 */

struct watch_domain *
domain_find(struct watch *watch, const char *name)
{
	struct keyed_node *node = keyed_find(&watch->domains, name, strlen(name));

	return node != NULL ? KEYED_OWNER(node, struct watch_domain, node) : NULL;
}

/* Since when a primary is as it is does not begin anew with each process. */
static void
recall(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct state_domain record;

	if (!ports->get_state(ports->context, domain->name, &record) ||
	    record.counted_at < watch->now.wall - STATE_COUNTS_AGE)
		return;
	domain->former = record.primary;
	domain->former_since = record.primary_since;
}

struct watch_domain *
domain_get(struct watch *watch, const char *name)
{
	struct watch_domain *domain = domain_find(watch, name);

	if (domain != NULL || name[0] == '\0')
		return domain;
	domain = calloc(1, sizeof(*domain));
	if (domain == NULL)
		return NULL;
	(void)snprintf(domain->name, sizeof(domain->name), "%s", name);
	domain->activate_ms = domain->forget_ms = NEVER_MS;
	domain->route_ms = domain->turn_ms = domain->unknown_ms = NEVER_MS;
	domain->refresh_ms = watch->now.ms + WATCH_REFRESH_MS;
	domain->release = release_new();
	domain->breaker = breaker_new();
	if (!keyed_add(&watch->domains, &domain->node, domain->name, strlen(domain->name))) {
		free(domain);
		return NULL;
	}
	recall(watch, domain);
	domain_read_row(watch, domain);
	domain_schedule(watch, domain);
	return domain;
}

static void
dirty_remove(struct watch *watch, struct watch_domain *domain)
{
	struct watch_domain **place = &watch->dirty;

	while (domain->dirty && *place != domain)
		place = &(*place)->next_dirty;
	if (domain->dirty)
		*place = domain->next_dirty;
	domain->dirty = false;
}

/* Everybody is told that there is nothing more to tell. */
static void
domain_forget(struct watch *watch, struct watch_domain *domain)
{
	domain_end_alerts(watch, domain);
	domain_unlink(watch, domain);
	queue_free(watch, domain);
	domain_owner(watch, domain, NULL);
	heap_remove(&watch->domains_due, &domain->due);
	if (domain->active)
		watch->active--;
	if (domain->wanted)
		watch->wanted--;
	domain->active = domain->wanted = false;
	domain->hold = HOLD_NONE;
	domain->dead = true;
	domain_dirty(watch, domain);
	state_put_all(watch);
	dirty_remove(watch, domain);
	keyed_remove(&watch->domains, &domain->node);
	free(domain->row);
	domain->row = NULL;
	if (domain->waits == 0)
		free(domain);
}

static void
sooner(int64_t *when, int64_t other)
{
	if (other < *when)
		*when = other;
}

/* When the clock will show `wall`; where that is far away, a time to look again. */
static int64_t
ms_at(const struct watch *watch, int64_t wall)
{
	if (wall <= watch->now.wall)
		return watch->now.ms;
	const int64_t left = wall - watch->now.wall;
	return watch->now.ms + (left < FAR_S ? left : FAR_S) * 1000;
}

void
domain_schedule(struct watch *watch, struct watch_domain *domain)
{
	int64_t when = domain->refresh_ms;

	sooner(&when, domain->activate_ms);
	if (domain->messages == 0 && domain->operator_until == 0)
		sooner(&when, domain->forget_ms);
	sooner(&when, domain->release.next_ms);
	sooner(&when, domain->breaker.next_ms);
	sooner(&when, domain->turn_ms);
	if (domain->passed_ms > watch->now.ms)
		sooner(&when, domain->passed_ms);
	if (domain->unknown_ms > watch->now.ms)
		sooner(&when, domain->unknown_ms);
	if (domain->active && domain->row != NULL)
		sooner(&when, domain->route_ms);
	if (domain->operator_until != 0)
		sooner(&when, ms_at(watch, domain->operator_until));
	if (domain->row != NULL && domain_soc_hold(watch, domain))
		sooner(&when, ms_at(watch, domain->row->hold_until));
	/* No memory: it keeps its former place, or gets one when something happens to it. */
	if (!heap_set(&watch->domains_due, &domain->due, when))
		domain->due.key = when;
}

/* --- life ----------------------------------------------------------------------------------------
 */

struct watch *
watch_new(const struct watch_setup *setup)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch != NULL)
		watch->setup = *setup;
	return watch;
}

static void
free_domain(struct keyed_node *node, void *context)
{
	struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);
	struct watch *watch = context;

	domain->owner = NULL;
	domain_unlink(watch, domain);
	queue_free(watch, domain);
	heap_remove(&watch->domains_due, &domain->due);
	keyed_remove(&watch->domains, node);
	free(domain->row);
	free(domain);
}

static void
free_owner(struct keyed_node *node, void *context)
{
	struct watch *watch = context;

	keyed_remove(&watch->owners, node);
	free(KEYED_OWNER(node, struct watch_owner, node));
}

void
watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	answers_free(watch);
	keyed_each(&watch->domains, free_domain, watch);
	keyed_each(&watch->owners, free_owner, watch);
	heap_free(&watch->domains_due);
	heap_free(&watch->primaries_due);
	heap_free(&watch->answering_due);
	keyed_free(&watch->domains);
	keyed_free(&watch->messages);
	keyed_free(&watch->owners);
	keyed_free(&watch->primaries);
	keyed_free(&watch->probes);
	keyed_free(&watch->answers);
	free(watch);
}

/* --- time ----------------------------------------------------------------------------------------
 */

static void
refresh_soon(struct keyed_node *node, void *context)
{
	struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);
	struct watch *watch = context;
	const struct watch_ports *ports = &watch->setup.ports;

	domain->refresh_ms = watch->now.ms + (int64_t)(ports->random(ports->context) * 1000);
	domain_schedule(watch, domain);
}

/* Our own holds end by the clock as it was: those who read them must not see them ended. */
static void
hold_anew(struct keyed_node *node, void *context)
{
	struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);
	struct watch *watch = context;

	if (domain->hold != HOLD_NONE)
		domain_dirty(watch, domain);
	refresh_soon(node, watch);
}

void
watch_set_time(struct watch *watch, struct queued_time now)
{
	const int64_t ahead = now.wall - now.ms / 1000;
	const int64_t leap = ahead - watch->wall_ahead;

	watch->now = now;
	watch->wall_ahead = ahead;
	if (leap <= WATCH_LEAP_S && leap >= -WATCH_LEAP_S)
		return;
	keyed_each(&watch->domains, hold_anew, watch);
	watch->put_ms = now.ms;
}

static void
tick_domains(struct watch *watch)
{
	struct heap_node *node;

	for (unsigned i = 0; i < TICK_MOST; i++) {
		node = heap_first(&watch->domains_due);
		if (node == NULL || node->key > watch->now.ms)
			return;
		struct watch_domain *domain = HEAP_OWNER(node, struct watch_domain, due);
		if (domain->messages == 0 && domain->operator_until == 0 &&
		    watch->now.ms >= domain->forget_ms)
			domain_forget(watch, domain);
		else
			domain_tick(watch, domain);
	}
}

static void
tick_answers(struct watch *watch)
{
	struct heap_node *node;

	while ((node = heap_first(&watch->answers_due)) != NULL && node->key <= watch->now.ms)
		answer_expire(watch, HEAP_OWNER(node, struct watch_answer, due));
}

/* For those that answer there is always a place. */
static size_t
places_for_answering(const struct watch *watch)
{
	return watch->setup.probes + watch->setup.probes / PLACES_PART + 1;
}

static void
probe_due(struct watch *watch, struct heap *heap, size_t places)
{
	struct heap_node *node;

	while (watch->probes.count < places && (node = heap_first(heap)) != NULL &&
	       node->key <= watch->now.ms)
		primary_probe(watch, HEAP_OWNER(node, struct watch_primary, due));
}

static void
tick_primaries(struct watch *watch)
{
	probe_due(watch, &watch->answering_due, places_for_answering(watch));
	probe_due(watch, &watch->primaries_due, watch->setup.probes);
}

static int64_t
next_tick(const struct watch *watch)
{
	const struct heap_node *domain = heap_first(&watch->domains_due);
	const struct heap_node *answer = heap_first(&watch->answers_due);
	const struct heap_node *primary = heap_first(&watch->primaries_due);
	const struct heap_node *answering = heap_first(&watch->answering_due);
	int64_t when = NEVER_MS;

	if (domain != NULL)
		sooner(&when, domain->key);
	if (answer != NULL)
		sooner(&when, answer->key);
	if (primary != NULL && watch->probes.count < watch->setup.probes)
		sooner(&when, primary->key);
	if (answering != NULL && watch->probes.count < places_for_answering(watch))
		sooner(&when, answering->key);
	if (watch->dirty != NULL || watch->dirty_owners != NULL)
		sooner(&when, watch->put_ms);
	return when;
}

int64_t
watch_tick(struct watch *watch, struct queued_time now)
{
	watch_set_time(watch, now);
	tick_answers(watch);
	tick_domains(watch);
	tick_primaries(watch);
	if ((watch->dirty != NULL || watch->dirty_owners != NULL) && now.ms >= watch->put_ms)
		state_put_all(watch);
	return next_tick(watch);
}

void
watch_rows_changed(struct watch *watch, struct queued_time now)
{
	watch->now = now;
	keyed_each(&watch->domains, refresh_soon, watch);
}

static bool
row_wants_state(struct watch *watch, const char *name)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct watch_row row = {.wants_state = false};

	return ports->row(ports->context, name, &row) == WATCH_ROW_FOUND && row.wants_state;
}

void
watch_asked(struct watch *watch, const char *name, struct queued_time now)
{
	struct watch_domain *domain = domain_find(watch, name);

	watch->now = now;
	if (!row_wants_state(watch, name) || (domain == NULL && watch->wanted >= WATCH_ASKED_MOST))
		return;
	if (domain == NULL) {
		domain = domain_get(watch, name);
		if (domain == NULL)
			return;
		domain->wanted = true;
		watch->wanted++;
	}
	if (domain->messages == 0)
		domain->forget_ms = now.ms + WATCH_WANTED_MS;
	domain_activate(watch, domain);
	domain_schedule(watch, domain);
}

void
watch_passed(struct watch *watch, const char *name, struct queued_time now)
{
	struct watch_domain *domain;

	watch->now = now;
	domain = domain_for_passed(watch, name);
	if (domain == NULL)
		return;
	domain_note_passed(watch, domain);
	domain_judge(watch, domain);
}

/* --- operators -----------------------------------------------------------------------------------
 */

bool
watch_hold(struct watch *watch, const char *name, int64_t until, const char *reason, bool silent,
    struct queued_time now)
{
	struct watch_domain *domain;

	watch->now = now;
	domain = domain_get(watch, name);
	if (domain == NULL)
		return false;
	domain->operator_until = until;
	domain->operator_silent = silent;
	(void)snprintf(domain->operator_reason, sizeof(domain->operator_reason), "%s", reason);
	if (domain->messages == 0 && domain->forget_ms == NEVER_MS)
		domain->forget_ms = now.ms + WATCH_LINGER_MS;
	domain_dirty(watch, domain);
	domain_judge(watch, domain);
	return true;
}

bool
watch_release(struct watch *watch, const char *name, struct queued_time now)
{
	struct watch_domain *domain = domain_find(watch, name);

	watch->now = now;
	if (domain == NULL)
		return false;
	const bool hurried = breaker_hurry(&domain->breaker, now);
	if (hurried)
		domain_schedule(watch, domain);
	if (domain->operator_until == 0)
		return hurried;
	domain->operator_until = 0;
	domain_dirty(watch, domain);
	domain_judge(watch, domain);
	return true;
}

bool
watch_silent(struct watch *watch, const char *name)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const struct watch_domain *domain = domain_find(watch, name);
	struct watch_row row = {.hold_until = 0};

	if (domain != NULL && (domain_hushed(watch, domain) || domain_soc_hold(watch, domain)))
		return true;
	return ports->row(ports->context, name, &row) == WATCH_ROW_FOUND &&
	       row.hold_until > watch->now.wall;
}

bool
watch_probe(struct watch *watch, const char *name, struct queued_time now)
{
	struct watch_domain *domain = domain_find(watch, name);

	watch->now = now;
	if (domain == NULL)
		return false;
	domain->route_from_ms = now.ms;
	domain_activate(watch, domain);
	domain_read_row(watch, domain);
	if (domain->row != NULL)
		domain_reread(watch, domain);
	domain_ask(watch, domain);
	domain_judge(watch, domain);
	return true;
}

bool
watch_flush(struct watch *watch, const char *name, struct queued_time now)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct watch_domain *domain = domain_find(watch, name);

	watch->now = now;
	if (domain == NULL || domain->hold != HOLD_NONE || domain_soc_hold(watch, domain))
		return false;
	ports->flush_domain(ports->context, domain->name, domain->messages);
	return true;
}

bool
watch_look(struct watch *watch, const char *name, struct watch_view *out)
{
	struct watch_domain *domain = domain_find(watch, name);

	memset(out, 0, sizeof(*out));
	if (domain == NULL)
		return false;
	out->domain = domain->name;
	out->row = domain->row;
	state_compose(watch, domain, domain->owner, &out->state);
	out->release = domain->release.stage;
	out->breaker = domain->breaker.stage;
	out->soc_hold = domain_soc_hold(watch, domain);
	out->held = out->soc_hold || domain->hold == HOLD_OPERATOR;
	out->next_dns_ms = NEVER_MS;
	if (domain->active && domain->row != NULL && domain->links == 0)
		out->next_dns_ms = domain->waits > 0 ? watch->now.ms : domain->route_ms;
	out->reading = domain->asked && domain->waits > 0;
	out->endpoints = domain->links;
	for (size_t i = 0; i < domain->links; i++) {
		out->endpoint[i].endpoint = &domain->link[i].endpoint;
		out->endpoint[i].primary = &domain->link[i].primary->machine;
		out->endpoint[i].probed = primary_is_probed(domain->link[i].primary);
	}
	return true;
}

struct below {
	const char *domain;
	const char **names;
	size_t count, room;
	uint64_t messages;
};

static bool
is_below(const char *name, const char *domain)
{
	const size_t length = strlen(name), above = strlen(domain);

	return length > above + 1 && name[length - above - 1] == '.' &&
	       strcmp(name + length - above, domain) == 0;
}

/* Of a row of its own, below `domain`, nobody thinks that an order for that is for it as well. */
static void
visit_below(struct keyed_node *node, void *context)
{
	const struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);
	struct below *below = context;

	if (domain->messages == 0 || domain->owner == NULL ||
	    !is_below(domain->name, below->domain) || is_below(domain->owner->name, below->domain))
		return;
	if (below->count < below->room)
		below->names[below->count] = domain->name;
	below->count++;
	below->messages += domain->messages;
}

size_t
watch_below(
    struct watch *watch, const char *name, const char **names, size_t room, uint64_t *messages)
{
	struct below below = {.domain = name, .names = names, .room = room};

	keyed_each(&watch->domains, visit_below, &below);
	*messages = below.messages;
	return below.count;
}

struct each {
	void (*visit)(const char *domain, void *context);
	void *context;
};

static void
visit_domain(struct keyed_node *node, void *context)
{
	const struct each *each = context;

	each->visit(KEYED_OWNER(node, struct watch_domain, node)->name, each->context);
}

void
watch_each(struct watch *watch, void (*visit)(const char *domain, void *context), void *context)
{
	struct each each = {visit, context};

	keyed_each(&watch->domains, visit_domain, &each);
}

struct watch_counts
watch_count(const struct watch *watch)
{
	return (struct watch_counts){.domains = watch->domains.count,
	    .active = watch->active,
	    .messages = watch->messages.count,
	    .primaries = watch->primaries.count,
	    .probing = watch->probes.count,
	    .answers = watch->answers.count};
}
