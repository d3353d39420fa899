/*
 * watch_queue: the part of the watch that knows which messages a domain has in the queue, by id and
 * by age. A message with several recipients in one domain counts once there.
 */
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t
make_key(struct watch_message *message, struct watch_domain *domain, const char *id)
{
	memset(&message->key, 0, sizeof(message->key));
	message->key.domain = domain;
	(void)snprintf(message->key.id, sizeof(message->key.id), "%s", id);
	return sizeof(message->key);
}

struct watch_message *
queue_find(struct watch *watch, struct watch_domain *domain, const char *id)
{
	struct watch_message wanted;
	size_t length = make_key(&wanted, domain, id);
	struct keyed_node *node = keyed_find(&watch->messages, &wanted.key, length);

	return node != NULL ? KEYED_OWNER(node, struct watch_message, node) : NULL;
}

static struct watch_message *
queue_add(struct watch *watch, struct watch_domain *domain, const struct event_held *event)
{
	struct watch_message *message = calloc(1, sizeof(*message));
	size_t length;

	if (message == NULL)
		return NULL;
	length = make_key(message, domain, event->queue_id);
	message->size = event->size;
	message->wave = domain->wave; /* new: Postfix tries it of its own accord */
	if (!heap_set(&domain->by_age, &message->age, event->accepted_at)) {
		free(message);
		return NULL;
	}
	if (!keyed_add(&watch->messages, &message->node, &message->key, length)) {
		heap_remove(&domain->by_age, &message->age);
		free(message);
		return NULL;
	}
	domain->messages++;
	domain->bytes += message->size;
	owner_count(watch, domain->owner, 1, (int64_t)message->size);
	return message;
}

static void
queue_drop(struct watch *watch, struct watch_message *message)
{
	struct watch_domain *domain = message->key.domain;

	queue_tried(message);
	heap_remove(&domain->by_age, &message->age);
	keyed_remove(&watch->messages, &message->node);
	domain->messages--;
	domain->bytes -= message->size;
	owner_count(watch, domain->owner, -1, -(int64_t)message->size);
	free(message);
}

void
queue_wave(struct watch_domain *domain)
{
	domain->wave++;
	domain->untried = domain->messages;
}

void
queue_tried(struct watch_message *message)
{
	if (message->wave == message->key.domain->wave)
		return;
	message->wave = message->key.domain->wave;
	message->key.domain->untried--;
}

void
queue_free(struct watch *watch, struct watch_domain *domain)
{
	struct heap_node *node;

	while ((node = heap_first(&domain->by_age)) != NULL)
		queue_drop(watch, HEAP_OWNER(node, struct watch_message, age));
	heap_free(&domain->by_age);
}

void
queue_round(struct watch_domain *domain)
{
	domain->round = domain->turns;
}

bool
queue_can_leave(const struct watch *watch, const struct watch_message *message)
{
	const struct watch_ports *ports = &watch->setup.ports;

	return !ports->on_hold(ports->context, message->key.id);
}

static bool
is_wanted(const struct watch *watch, const struct watch_message *message, enum queue_wish wish)
{
	if (message->turn > message->key.domain->round)
		return false;
	return wish == QUEUE_FOR_BREAKER || message->refused_ms == 0 ||
	       message->refused_ms <= watch->now.ms - RELEASE_REFUSED_MS;
}

/* By turns: a message that is put off each time must not keep the others back. */
static bool
is_better(
    const struct watch_message *message, const struct watch_message *best, enum queue_wish wish)
{
	if (best == NULL)
		return true;
	const bool refused = message->refused_ms != 0, differs = refused != (best->refused_ms != 0);
	if (differs && (wish == QUEUE_FOR_RELEASE || message->turn == best->turn))
		return !refused;
	if (message->turn != best->turn)
		return message->turn < best->turn;
	return message->age.key < best->age.key;
}

struct watch_message *
queue_pick(struct watch *watch, struct watch_domain *domain, enum queue_wish wish)
{
	struct watch_message *best = NULL;

	for (size_t i = 1; i <= domain->by_age.count; i++) {
		struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (is_wanted(watch, message, wish) && is_better(message, best, wish) &&
		    queue_can_leave(watch, message))
			best = message;
		if (i == 1 && best != NULL && best->turn == 0 && best->refused_ms == 0)
			break; /* the oldest of all */
	}
	if (best != NULL)
		best->turn = ++domain->turns;
	return best;
}

/* --- events --------------------------------------------------------------------------------------
 */

static void
on_held(void *context, const struct event_held *event)
{
	struct watch *watch = context;
	struct watch_domain *domain = domain_get(watch, event->domain);
	struct watch_message *message;
	int64_t waited_ms;

	if (domain == NULL)
		return; /* out of memory: Postfix delivers it as if we were not there */
	message = queue_find(watch, domain, event->queue_id);
	if (message == NULL)
		message = queue_add(watch, domain, event);
	if (message == NULL)
		return;
	message->recipients++;
	domain->forget_ms = NEVER_MS;
	if (domain->messages == 1)
		domain->fresh_ms = watch->now.ms;
	domain_dirty(watch, domain);
	if (domain->active) {
		domain_judge(watch, domain);
		return;
	}
	waited_ms = watch->now.wall * 1000 - event->accepted_at / 1000;
	if (waited_ms >= WATCH_ACTIVE_MS)
		domain_activate(watch, domain);
	else if (domain->activate_ms == NEVER_MS)
		domain->activate_ms = watch->now.ms + WATCH_ACTIVE_MS;
	domain_schedule(watch, domain);
}

static void
on_left(void *context, const struct event_left *event)
{
	struct watch *watch = context;
	struct watch_domain *domain = domain_find(watch, event->domain);
	struct watch_message *message =
	    domain != NULL ? queue_find(watch, domain, event->queue_id) : NULL;

	if (message == NULL)
		return;
	if (message->recipients > 1) {
		message->recipients--;
		return;
	}
	queue_drop(watch, message);
	domain_left(watch, domain, event->queue_id);
}

static void
on_attempt(void *context, const struct event_attempt *event)
{
	struct watch *watch = context;
	struct watch_domain *domain = domain_find(watch, event->domain);
	struct watch_message *message =
	    domain != NULL ? queue_find(watch, domain, event->queue_id) : NULL;

	if (domain == NULL)
		return;
	if (message != NULL)
		queue_tried(message);
	if (message != NULL && event->result == ATTEMPT_REFUSED)
		message->refused_ms = watch->now.ms;
	domain_attempt(watch, domain, event);
}

/* --- listings ------------------------------------------------------------------------------------
 */

static void
list_begins(struct keyed_node *node, void *context)
{
	struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);

	(void)context;
	domain->in_list = domain->wants_list;
	domain->wants_list = false;
}

void
watch_list_began(struct watch *watch)
{
	watch->listing++;
	keyed_each(&watch->domains, list_begins, watch);
}

void
watch_listed(struct watch *watch, const char *name, const char *queue_id, const char *queue)
{
	struct watch_domain *domain = domain_find(watch, name);
	struct watch_message *message =
	    domain != NULL && domain->in_list ? queue_find(watch, domain, queue_id) : NULL;

	if (message == NULL || strcmp(queue, "hold") == 0)
		return;
	message->listing = watch->listing;
	message->put_off = strcmp(queue, "deferred") == 0;
}

/*
 * What was not tried, and lies in the deferred queue, was missed by the flush. What is not there at
 * all is on its way out, or on hold: not waited for.
 */
static bool
settle_untried(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;
	unsigned missed = 0;

	for (size_t i = 1; i <= domain->by_age.count && domain->untried > 0; i++) {
		struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		bool seen = message->listing == watch->listing;
		if (message->wave == domain->wave || (seen && !message->put_off))
			continue;
		if (seen && missed == WATCH_MISSED)
			continue;
		if (seen) {
			ports->flush_id(ports->context, message->key.id, true);
			missed++;
		}
		queue_tried(message);
	}
	return missed > 0;
}

static void
list_ends(struct keyed_node *node, void *context)
{
	struct watch_domain *domain = KEYED_OWNER(node, struct watch_domain, node);
	struct watch *watch = context;

	if (!domain->in_list)
		return;
	domain->in_list = false;
	if (domain->release.stage == RELEASE_DRAIN)
		domain_listed(watch, domain, watch->list_good,
		    watch->list_good && settle_untried(watch, domain));
}

void
watch_list_ended(struct watch *watch, bool good, struct queued_time now)
{
	watch->now = now;
	watch->list_good = good;
	keyed_each(&watch->domains, list_ends, watch);
}

struct event_sink
watch_sink(struct watch *watch)
{
	return (struct event_sink){
	    .held = on_held, .left = on_left, .attempt = on_attempt, .context = watch};
}
