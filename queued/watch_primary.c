/*
 * watch_primary: the part of the watch that shares primaries among domains and probes them.
 */
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- primaries -----------------------------------------------------------------------------------
 */

static struct probe_target
make_target(const struct watch_domain *domain, const struct route_endpoint *endpoint)
{
	struct probe_target target = {.address = endpoint->address, .port = endpoint->port};

	if (domain->row == NULL)
		return target;
	target.tls_required = domain->row->tls_required;
	memcpy(target.pin_certificate, domain->row->pin_certificate, PIN_SIZE);
	memcpy(target.pin_banner, domain->row->pin_banner, PIN_SIZE);
	return target;
}

static size_t
make_key(const struct probe_target *target, char *out, size_t size)
{
	char text[IP_TEXT_SIZE];

	return (size_t)snprintf(out, size, "%s %u %d %s\n%s", ip_format(&target->address, text),
	    target->port, target->tls_required, target->pin_certificate, target->pin_banner);
}

static struct watch_primary *
primary_get(struct watch *watch, const struct probe_target *target)
{
	struct watch_primary *primary = calloc(1, sizeof(*primary));
	struct keyed_node *node;

	if (primary == NULL)
		return NULL;
	primary->key_length = make_key(target, primary->key, sizeof(primary->key));
	node = keyed_find(&watch->primaries, primary->key, primary->key_length);
	if (node != NULL) {
		free(primary);
		return KEYED_OWNER(node, struct watch_primary, node);
	}
	primary->target = *target;
	primary->machine = primary_new(watch->now);
	if (keyed_add(&watch->primaries, &primary->node, primary->key, primary->key_length))
		return primary;
	free(primary);
	return NULL;
}

static void
unschedule(struct watch_primary *primary)
{
	if (primary->in != NULL)
		heap_remove(primary->in, &primary->due);
	primary->in = NULL;
}

static void
primary_forget_probe(struct watch *watch, struct watch_primary *primary)
{
	if (primary->probe == 0)
		return;
	keyed_remove(&watch->probes, &primary->by_probe);
	primary->probe = 0;
}

static void
primary_free(struct watch *watch, struct watch_primary *primary)
{
	primary_forget_probe(watch, primary);
	unschedule(primary);
	keyed_remove(&watch->primaries, &primary->node);
	free(primary);
}

/* Those that answer are few at a time, and must not wait behind thousands that do not. */
static struct heap *
heap_for(struct watch *watch, const struct watch_primary *primary)
{
	const struct primary *machine = &primary->machine;

	return machine->good > 0 || machine->state == PRIMARY_UP ? &watch->answering_due
								 : &watch->primaries_due;
}

bool
primary_is_probed(const struct watch_primary *primary)
{
	return primary->wants > 0 || primary->asked > 0 || primary->probe != 0;
}

void
primary_schedule(struct watch *watch, struct watch_primary *primary)
{
	struct heap *heap = heap_for(watch, primary);
	const bool due = (primary->wants > 0 || primary->asked > 0) && primary->probe == 0;

	if (primary->in != heap || !due)
		unschedule(primary);
	if (!due)
		return;
	if (heap_set(heap, &primary->due, primary->machine.next_ms))
		primary->in = heap;
	else
		primary->machine.next_ms = watch->now.ms; /* no memory: at the next change */
}

/* --- links ---------------------------------------------------------------------------------------
 */

/* What was not looked at for a while is not known any more. */
static bool
is_stale(const struct watch *watch, const struct watch_primary *primary)
{
	const struct primary_policy *policy = &watch->setup.primary;
	const int64_t interval = policy->interval_ms > policy->long_interval_ms
				     ? policy->interval_ms
				     : policy->long_interval_ms;
	const int64_t lasts = 2 * interval > WATCH_STALE_MS ? 2 * interval : WATCH_STALE_MS;

	return watch->now.ms - primary->seen_ms > lasts;
}

static void
link_wants(struct watch *watch, struct watch_link *link, bool wants)
{
	struct watch_primary *primary = link->primary;

	if (primary == NULL || link->wants == wants)
		return;
	link->wants = wants;
	primary->wants += wants ? 1 : (size_t)-1;
	if (wants && primary->wants == 1 && primary->probe == 0 && is_stale(watch, primary)) {
		const struct primary before = primary->machine;
		primary->machine = primary_new(watch->now);
		primary->seen_ms = 0;
		primary_recall(&primary->machine, before.former, before.former_since);
	}
	primary_schedule(watch, primary);
}

void
domain_wants(struct watch *watch, struct watch_domain *domain, bool wants)
{
	for (size_t i = 0; i < domain->links; i++)
		link_wants(watch, &domain->link[i], wants);
}

void
domain_end_turn(struct watch_domain *domain)
{
	domain->turn_ms = NEVER_MS;
	if (domain->turn_at == NULL)
		return;
	if (domain->previous_turn != NULL)
		domain->previous_turn->next_turn = domain->next_turn;
	else
		domain->turn_at->first_turn = domain->next_turn;
	if (domain->next_turn != NULL)
		domain->next_turn->previous_turn = domain->previous_turn;
	domain->turn_at = NULL;
}

void
domain_await_turn(struct watch_domain *domain, struct watch_primary *primary, int64_t until)
{
	domain_end_turn(domain);
	domain->turn_ms = until;
	domain->turn_at = primary;
	domain->next_turn = primary->first_turn;
	domain->previous_turn = NULL;
	if (domain->next_turn != NULL)
		domain->next_turn->previous_turn = domain;
	primary->first_turn = domain;
}

static void
link_remove(struct watch *watch, struct watch_link *link)
{
	struct watch_primary *primary = link->primary;

	if (primary == NULL)
		return;
	link_wants(watch, link, false);
	if (link->domain->turn_at == primary)
		domain_end_turn(link->domain);
	if (link->previous != NULL)
		link->previous->next = link->next;
	else
		primary->first = link->next;
	if (link->next != NULL)
		link->next->previous = link->previous;
	link->primary = NULL;
	if (--primary->users == 0)
		primary_free(watch, primary);
}

static void
link_add(struct watch_link *link, struct watch_domain *domain, struct watch_primary *primary,
    const struct route_endpoint *endpoint)
{
	*link = (struct watch_link){
	    .primary = primary, .domain = domain, .next = primary->first, .endpoint = *endpoint};
	if (link->next != NULL)
		link->next->previous = link;
	primary->first = link;
	primary->users++;
}

void
domain_unlink(struct watch *watch, struct watch_domain *domain)
{
	for (size_t i = 0; i < domain->links; i++)
		link_remove(watch, &domain->link[i]);
	domain->links = 0;
}

void
domain_link(struct watch *watch, struct watch_domain *domain, const struct route *route)
{
	struct watch_primary *kept[ROUTE_ENDPOINTS];
	size_t count = 0;

	/* The new ones first, so that a primary that stays is not forgotten in between. */
	for (size_t i = 0; i < route->count; i++) {
		struct probe_target target = make_target(domain, &route->endpoint[i]);
		kept[i] = primary_get(watch, &target);
		if (kept[i] != NULL)
			kept[i]->users++;
	}
	domain_unlink(watch, domain);
	for (size_t i = 0; i < route->count; i++) {
		if (kept[i] == NULL)
			continue;
		kept[i]->users--;
		link_add(&domain->link[count++], domain, kept[i], &route->endpoint[i]);
	}
	domain->links = count;
	for (size_t i = 0; i < count; i++)
		primary_recall(
		    &domain->link[i].primary->machine, domain->former, domain->former_since);
	domain->former = PRIMARY_UNKNOWN;
}

/* Is it better known, or known to be better? */
static bool
speaks_before(const struct primary *machine, const struct primary *best)
{
	return best == NULL || (machine->state == PRIMARY_UP && best->state != PRIMARY_UP) ||
	       (best->state == PRIMARY_UNKNOWN && machine->state != PRIMARY_UNKNOWN);
}

/* May it be up in a moment: is its first probe to come, or a confirmation? */
static bool
is_coming(const struct watch_primary *primary)
{
	return primary->machine.good > 0 ||
	       (primary->machine.state == PRIMARY_UNKNOWN && primary->seen_ms == 0);
}

const struct primary *
domain_primary(const struct watch_domain *domain)
{
	const struct primary *best = NULL, *stranger = NULL, *coming = NULL;

	for (size_t i = 0; i < domain->links; i++) {
		const struct watch_primary *primary = domain->link[i].primary;
		if (primary->machine.state == PRIMARY_WRONG_HOST) {
			stranger = stranger != NULL ? stranger : &primary->machine;
			continue;
		}
		if (is_coming(primary) && (coming == NULL || coming->state != PRIMARY_UNKNOWN))
			coming = &primary->machine;
		if (speaks_before(&primary->machine, best))
			best = &primary->machine;
	}
	if (best != NULL && best->state == PRIMARY_UP)
		return best;
	if (stranger != NULL)
		return coming != NULL ? coming : stranger;
	return coming != NULL && coming->state == PRIMARY_UNKNOWN ? coming : best;
}

const char *
link_name(const struct watch_link *link, char out[WATCH_NAME_SIZE])
{
	char address[IP_TEXT_SIZE];

	(void)snprintf(out, WATCH_NAME_SIZE, "%.90s[%s]:%u", link->endpoint.name,
	    ip_format(&link->endpoint.address, address), link->endpoint.port);
	return out;
}

const struct watch_link *
domain_passed_by(const struct watch_domain *domain)
{
	const struct primary *speaker = domain_primary(domain);

	if (speaker == NULL || speaker->state != PRIMARY_UP)
		return NULL;
	for (size_t i = 0; i < domain->links; i++)
		if (domain->link[i].primary->machine.state == PRIMARY_WRONG_HOST)
			return &domain->link[i];
	return NULL;
}

struct watch_primary *
domain_primary_up(const struct watch_domain *domain)
{
	for (size_t i = 0; i < domain->links; i++)
		if (domain->link[i].primary->machine.state == PRIMARY_UP)
			return domain->link[i].primary;
	return NULL;
}

bool
primary_read_named(const char *text, struct ip *address, unsigned *port)
{
	const char *open = strrchr(text, '['), *end = strrchr(text, ']');

	if (open == NULL || end == NULL || end < open || end[1] != ':' ||
	    !ip_parse_bytes(open + 1, (size_t)(end - open - 1), address))
		return false;
	*port = (unsigned)strtoul(end + 2, NULL, 10);
	return true;
}

struct watch_primary *
domain_primary_named(struct watch_domain *domain, const char *text)
{
	struct ip address;
	unsigned port;

	if (!primary_read_named(text, &address, &port))
		return NULL;
	for (size_t i = 0; i < domain->links; i++) {
		struct watch_primary *primary = domain->link[i].primary;
		if (primary->target.port == port && ip_equal(&primary->target.address, &address))
			return primary;
	}
	return NULL;
}

/* --- probes --------------------------------------------------------------------------------------
 */

void
primary_tell(struct watch *watch, struct watch_primary *primary)
{
	struct watch_link *link, *next;

	for (link = primary->first; link != NULL; link = next) {
		next = link->next;
		domain_judge(watch, link->domain);
	}
}

void
primary_proved(struct watch *watch, struct watch_primary *primary)
{
	struct watch_domain *domain, *next;

	for (domain = primary->first_turn; domain != NULL; domain = next) {
		next = domain->next_turn; /* what waits on is put before it */
		domain_judge(watch, domain);
	}
}

/* Thousands that swallow their SYNs must not take so long that one that is back waits for them. */
static int64_t
connect_time(const struct watch *watch)
{
	const size_t silent = watch->primaries_due.count + watch->probes.count;
	const int64_t share =
	    silent > 0 ? (int64_t)(watch->setup.probes * (uint64_t)WATCH_ROUND_MS / silent) : 0;

	if (silent == 0 || share >= PROBE_CONNECT_MS)
		return PROBE_CONNECT_MS;
	return share > WATCH_CONNECT_MS ? share : WATCH_CONNECT_MS;
}

void
primary_probe(struct watch *watch, struct watch_primary *primary)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct probe_target target = primary->target;
	uint64_t id = ++watch->probe_ids;

	target.connect_ms = connect_time(watch);
	primary->machine.next_ms = watch->now.ms + watch->setup.primary.interval_ms;
	if (primary->asked > 0)
		primary->asked--;
	if (ports->probe(ports->context, id, &target)) {
		primary->probe = id;
		primary->started_ms = watch->now.ms;
		if (!keyed_add(&watch->probes, &primary->by_probe, &primary->probe, sizeof(id)))
			primary->probe = 0; /* no memory: its finding is nobody's */
	}
	primary_schedule(watch, primary);
}

void
domain_ask(struct watch *watch, struct watch_domain *domain)
{
	/* What the DNS is still asked about comes later: see take_route(). */
	domain->asked = domain->links == 0 || domain->waits > 0;
	if (domain->waits > 0)
		return;
	for (size_t i = 0; i < domain->links; i++) {
		struct watch_primary *primary = domain->link[i].primary;
		struct primary *machine = &primary->machine;
		if (primary->wants == 0 && primary->asked == 0)
			machine->good = machine->bad = 0; /* of another time */
		primary->asked = primary_needed(machine, &watch->setup.primary) + 1;
		if (primary->probe == 0)
			primary_probe(watch, primary);
	}
}

void
primary_doubt(struct watch *watch, struct watch_primary *primary)
{
	const int64_t soonest = primary->started_ms + PRIMARY_SPACING_MS;

	primary->doubted = primary->probe != 0;
	primary_hurry(&primary->machine, soonest > watch->now.ms ? soonest : watch->now.ms);
	primary_schedule(watch, primary);
}

/* Is neither up to be confirmed, nor a doubt to be settled? */
static bool
is_settled(const struct primary *machine)
{
	return machine->good == 0 && (machine->state != PRIMARY_UP || machine->bad == 0);
}

/* Intervals count from the start of a probe: one that waited for its deadline has waited enough. */
static void
count_from_start(struct watch *watch, struct watch_primary *primary)
{
	int64_t took = watch->now.ms - primary->started_ms;
	int64_t soonest = watch->now.ms + PRIMARY_SPACING_MS / 2;

	if (primary->machine.next_ms <= watch->now.ms + PRIMARY_SPACING_MS)
		return;
	primary->machine.next_ms -= took;
	if (primary->machine.next_ms < soonest)
		primary->machine.next_ms = soonest;
}

void
watch_probed(
    struct watch *watch, uint64_t id, const struct probe_finding *finding, struct queued_time now)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct keyed_node *node = keyed_find(&watch->probes, &id, sizeof(id));
	struct watch_primary *primary;
	bool changed;

	watch->now = now;
	if (node == NULL)
		return; /* nobody wants to know any more */
	primary = KEYED_OWNER(node, struct watch_primary, by_probe);
	primary_forget_probe(watch, primary);
	primary->seen_ms = now.ms;
	changed = primary_probed(
	    &primary->machine, &watch->setup.primary, finding, now, ports->random(ports->context));
	count_from_start(watch, primary);
	if (primary->doubted)
		primary_doubt(watch, primary);
	if (finding->outcome != PROBE_CANNOT_TELL && is_settled(&primary->machine))
		primary->asked = 0;
	primary_schedule(watch, primary);
	if (changed)
		primary_tell(watch, primary);
}
