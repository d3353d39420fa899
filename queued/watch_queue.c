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
	if (domain->messages++ == 0 && domain->wanted)
		watch->wanted--; /* it is watched for its mail now */
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
	if (--domain->messages == 0 && domain->wanted)
		watch->wanted++;
	domain->bytes -= message->size;
	owner_count(watch, domain->owner, -1, -(int64_t)message->size);
	free(message);
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

static bool
leaves(const struct watch *watch, const struct watch_message *message)
{
	return message->taken_ms != 0 && watch->now.ms - message->taken_ms < WATCH_LEAVES_MS;
}

bool
queue_can_leave(const struct watch *watch, const struct watch_message *message)
{
	const struct watch_ports *ports = &watch->setup.ports;

	return !leaves(watch, message) && !ports->on_hold(ports->context, message->key.id);
}

/* --- refusals ------------------------------------------------------------------------------------
 */

bool
queue_refused(const struct watch_message *message)
{
	return message->refused_ms != 0 && !message->mixed;
}

/* From when on is a delivery one by which the message is owed an offer? */
static int64_t
owed_from(const struct watch_message *message)
{
	if (message->offered == 0)
		return message->refused_ms;
	if (message->offered >= WATCH_AT_ONCE)
		return NEVER_MS;
	return message->refused_ms + ((int64_t)WATCH_OWED_MS << (message->offered - 1));
}

/*
 * Whose primary took mail since it refused this goes at once, in a moment when it is well: one that
 * knows nobody but now and then may be believed later (queued/refusal.h). One that is refused then,
 * too, is owed it again by a later delivery if there was a gap between: perhaps the moment had been
 * over too soon. A busy domain's spam is not offered with each delivery.
 */
static bool
is_owed(const struct watch_message *message)
{
	const struct watch_domain *domain = message->key.domain;

	return message->taken != domain->taken && domain->taken_ms >= owed_from(message) &&
	       (message->offered == 0 || domain->gap_ms > message->refused_ms);
}

/* Is any? Finds out also when to look again. */
static bool
any_owed(struct watch *watch, struct watch_domain *domain)
{
	bool found = false;

	domain->owes_ms = NEVER_MS;
	for (size_t i = 1; i <= domain->by_age.count; i++) {
		const struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (!queue_refused(message))
			continue;
		const int64_t from = owed_from(message);
		if (from > watch->now.ms && from < domain->owes_ms)
			domain->owes_ms = from;
		found = found || is_owed(message);
	}
	return found;
}

/*
 * Where mail is taken seldom, a delivery shortens the pauses: a refusal is believed only shortly
 * after one (queued/refusal.h), and where the server was broken before, it is well now.
 */
static int64_t
due_of(const struct watch_message *message)
{
	const struct watch_domain *domain = message->key.domain;

	if (!queue_refused(message) || message->refused_ms <= domain->mended_ms || is_owed(message))
		return 0;
	const int64_t pause = release_refused_pause(message->refusals, message->unknown_user);
	return message->refused_ms + (message->refused_ms < domain->news_ms ? pause / 2 : pause);
}

bool
queue_may_go(const struct watch *watch, const struct watch_message *message)
{
	return due_of(message) <= watch->now.ms;
}

int64_t
queue_due(struct watch *watch, struct watch_domain *domain)
{
	int64_t due = NEVER_MS;

	for (size_t i = 1; i <= domain->by_age.count; i++) {
		const struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (queue_refused(message) && due_of(message) < due &&
		    queue_can_leave(watch, message))
			due = due_of(message);
	}
	return due;
}

/* Who the breaker asks is not spared because there is no such user: perhaps nobody is known. */
static int64_t
breaker_due_of(const struct watch_message *message)
{
	if (!queue_refused(message))
		return 0;
	return message->refused_ms + release_refused_pause(message->refusals, false);
}

int64_t
queue_breaker_due(struct watch *watch, struct watch_domain *domain)
{
	int64_t due = NEVER_MS;

	for (size_t i = 1; i <= domain->by_age.count && due > watch->now.ms; i++) {
		const struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (breaker_due_of(message) < due && queue_can_leave(watch, message))
			due = breaker_due_of(message);
	}
	return due;
}

/*
 * Known from the spool: another process saw how it was refused. It comes last, as what is refused
 * does, and may go at once: nobody knows what has become of its primary meanwhile.
 */
static void
note_restored(struct watch *watch, struct watch_message *message, uint32_t refusals)
{
	message->counted = true;
	message->refusals = (uint8_t)(refusals < UINT8_MAX ? refusals : UINT8_MAX);
	message->refused_ms = watch->now.ms - RELEASE_REFUSED_MAX_MS;
}

/* It is refused, now: has it had the offer that it was owed? */
static void
note_owed(struct watch_message *message)
{
	if (message->refused_ms != 0 && message->taken != message->key.domain->taken &&
	    message->offered < WATCH_AT_ONCE)
		message->offered++;
	message->taken = message->key.domain->taken;
}

/* One attempt may have several recipients: a line each. After one that put somebody off, all of
 * them have to be refused. */
static enum release_news
note_refused(
    struct watch *watch, struct watch_message *message, const struct event_attempt *attempt)
{
	const bool again = message->counted;

	message->counted = true;
	message->key.domain->refused_run += !again;
	if (message->refused_ms == 0 || watch->now.ms - message->refused_ms >= WATCH_AGAIN_MS) {
		message->refusals += message->refusals < UINT8_MAX;
		message->refused = 0;
	}
	note_owed(message);
	message->refused_ms = watch->now.ms;
	if (owed_from(message) < message->key.domain->owes_ms)
		message->key.domain->owes_ms = owed_from(message);
	message->unknown_user = attempt->unknown_user;
	if (++message->refused >= message->recipients && message->mixed) {
		message->mixed = false;
		message->refusals = 1;
	}
	return again ? RELEASE_AGAIN : RELEASE_KNOWN;
}

/* It has to go again, be it for one recipient: what is refused then begins anew. */
static void
note_put_off(struct watch_message *message)
{
	message->mixed = message->recipients > 1;
	message->refused = 0;
	message->refused_ms = 0;
	message->refusals = 0;
	message->offered = 0;
}

/* `message` NULL: it went straight through. True: something that was refused may go again now: what
 * is owed that (is_owed()), or, where the primary is mended, all. */
static bool
note_sent(struct watch *watch, struct watch_domain *domain, struct watch_message *message)
{
	const bool again = message != NULL && queue_refused(message) &&
			   watch->now.ms - message->refused_ms >= WATCH_AGAIN_MS;
	const bool mended = again || domain->refused_run >= WATCH_REFUSED_RUN;
	const bool gap = domain->taken_ms == 0 || watch->now.ms - domain->taken_ms >= WATCH_GAP_MS;

	if (message != NULL && message->recipients <= 1)
		message->taken_ms = watch->now.ms;
	if (domain->taken_ms == 0 || watch->now.ms - domain->taken_ms >= WATCH_QUIET_MS)
		domain->news_ms = watch->now.ms;
	if (gap)
		domain->gap_ms = watch->now.ms;
	domain->taken_ms = watch->now.ms;
	domain->taken++;
	if (mended)
		domain->mended_ms = watch->now.ms;
	domain->refused_run = 0;
	const bool owed = (gap || watch->now.ms >= domain->owes_ms) && any_owed(watch, domain);
	return mended || owed;
}

enum release_news
queue_attempted(
    struct watch *watch, struct watch_message *message, const struct event_attempt *attempt)
{
	struct watch_domain *domain = message->key.domain;
	const bool ours = strcmp(message->key.id, domain->release.round.canary) == 0;
	const bool late = message->asked && (message->lost || !ours);
	const bool fresh = !message->attempted || queue_refused(message);

	message->asked = message->lost = false;
	if (attempt->result == ATTEMPT_HELD) {
		message->turn = message->turn_back; /* it was offered to nobody */
		return RELEASE_KNOWN;
	}
	message->taken_ms = 0;
	message->attempted = true;
	if (late && message->turn > domain->round)
		message->turn = domain->round; /* once more in this round */
	message->turn_back = message->turn;
	switch (attempt->result) {
	case ATTEMPT_SENT:
		return note_sent(watch, domain, message) ? RELEASE_MENDED : RELEASE_KNOWN;
	case ATTEMPT_REFUSED: return note_refused(watch, message, attempt);
	case ATTEMPT_DEFERRED: note_put_off(message); break;
	case ATTEMPT_UNREACHED:
	case ATTEMPT_HELD: break;
	}
	if (late)
		return RELEASE_LATE;
	return fresh && !queue_refused(message) ? RELEASE_FRESH : RELEASE_KNOWN;
}

/* --- waves and canaries --------------------------------------------------------------------------
 */

static void
ask_one_by_one(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_ports *ports = &watch->setup.ports;

	for (size_t i = 1; i <= domain->by_age.count; i++) {
		struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (queue_may_go(watch, message) && queue_can_leave(watch, message))
			ports->flush_id(ports->context, message->key.id, true);
		else
			queue_tried(message);
	}
}

bool
queue_wave(struct watch *watch, struct watch_domain *domain, uint64_t *wanted)
{
	uint64_t spared = 0;

	*wanted = 0;
	for (size_t i = 1; i <= domain->by_age.count; i++) {
		const struct watch_message *message =
		    HEAP_OWNER(domain->by_age.nodes[i], struct watch_message, age);
		if (!queue_may_go(watch, message))
			spared++;
		else
			*wanted += !leaves(watch, message);
	}
	domain->wave++;
	domain->untried = domain->messages;
	if (spared == 0 || *wanted > WATCH_MISSED)
		return true;
	ask_one_by_one(watch, domain);
	return false;
}

static bool
is_wanted(const struct watch *watch, const struct watch_message *message, enum queue_wish wish)
{
	if (message->turn > message->key.domain->round)
		return false;
	if (wish == QUEUE_FOR_BREAKER)
		return breaker_due_of(message) <= watch->now.ms;
	return wish == QUEUE_AT_ONCE || queue_may_go(watch, message);
}

/* By turns: a message that is put off each time must not keep the others back. */
static bool
is_better(
    const struct watch_message *message, const struct watch_message *best, enum queue_wish wish)
{
	if (best == NULL)
		return true;
	const bool refused = queue_refused(message), differs = refused != queue_refused(best);
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
		if (i == 1 && best != NULL && best->turn == 0 && !queue_refused(best))
			break; /* the oldest of all */
	}
	if (best != NULL) {
		domain->turns++;
		/* The breaker tries what met the hold once more by itself. */
		best->turn_back = wish == QUEUE_FOR_RELEASE ? best->turn : domain->turns;
		best->turn = domain->turns;
	}
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
	if (event->refusals > 0)
		note_restored(watch, message, event->refusals);
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
	struct watch_domain *domain = event->passed ? domain_for_passed(watch, event->domain)
						    : domain_find(watch, event->domain);
	struct watch_message *message =
	    domain != NULL ? queue_find(watch, domain, event->queue_id) : NULL;
	enum release_news news = RELEASE_KNOWN;

	if (domain == NULL)
		return;
	if (message != NULL) {
		news = queue_attempted(watch, message, event);
		/* Of an attempt before the wave: it has still to be tried in it. */
		if (news != RELEASE_LATE || domain->release.stage != RELEASE_DRAIN)
			queue_tried(message);
	} else if (event->result == ATTEMPT_SENT && note_sent(watch, domain, NULL)) {
		news = RELEASE_MENDED;
	}
	domain_attempt(watch, domain, event, news);
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
