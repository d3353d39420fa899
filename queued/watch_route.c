/*
 * watch_route: the part of the watch that keeps DNS answers for their TTL, and finds each domain's
 * way to its primary with them. One question serves all domains that need its answer.
 */
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_LEAST_MS 30000
#define TTL_MOST_MS 300000
#define UNTOLD_MS 15000 /* what the DNS did not tell is asked again after this */
#define ANSWER_MS 60000 /* an answer that does not come at all */

/* --- answers -------------------------------------------------------------------------------------
 */

static size_t
answer_key(char out[DOMAIN_SIZE + 2], const char *name, enum resolver_type type)
{
	out[0] = (char)('0' + type);
	return 1 + (size_t)snprintf(out + 1, DOMAIN_SIZE + 1, "%s", name);
}

static struct watch_answer *
answer_find(const struct watch *watch, const char *name, enum resolver_type type)
{
	char key[DOMAIN_SIZE + 2];
	size_t length = answer_key(key, name, type);
	struct keyed_node *node = keyed_find(&watch->answers, key, length);

	return node != NULL ? KEYED_OWNER(node, struct watch_answer, node) : NULL;
}

static void
answer_free(struct watch *watch, struct watch_answer *answer)
{
	keyed_remove(&watch->answers, &answer->node);
	heap_remove(&watch->answers_due, &answer->due);
	free(answer->records);
	free(answer->waiting);
	free(answer);
}

static struct watch_answer *
answer_new(struct watch *watch, const char *name, enum resolver_type type, bool fresh)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct watch_answer *answer = calloc(1, sizeof(*answer));

	if (answer == NULL)
		return NULL;
	answer->key_length = answer_key(answer->key, name, type);
	if (!heap_set(&watch->answers_due, &answer->due, watch->now.ms + ANSWER_MS)) {
		free(answer);
		return NULL;
	}
	if (!keyed_add(&watch->answers, &answer->node, answer->key, answer->key_length)) {
		heap_remove(&watch->answers_due, &answer->due);
		free(answer);
		return NULL;
	}
	answer->fresh_ms = fresh ? watch->now.ms : 0;
	if (ports->resolve(ports->context, name, type, fresh))
		return answer;
	answer_free(watch, answer);
	return NULL;
}

/* One that has come is asked for again, past the cache. */
static struct watch_answer *
answer_renew(struct watch *watch, struct watch_answer *answer, const struct route_need *need)
{
	const struct watch_ports *ports = &watch->setup.ports;

	free(answer->records);
	answer->records = NULL;
	answer->come = false;
	answer->fresh_ms = watch->now.ms;
	heap_move(&watch->answers_due, &answer->due, watch->now.ms + ANSWER_MS);
	if (ports->resolve(ports->context, need->name, need->type, true))
		return answer;
	answer_free(watch, answer);
	return NULL;
}

static bool
answer_await(struct watch_answer *answer, struct watch_domain *domain)
{
	if (answer->waiting_count == answer->waiting_room) {
		size_t room = answer->waiting_room != 0 ? 2 * answer->waiting_room : 4;
		struct watch_domain **more =
		    realloc(answer->waiting, room * sizeof(struct watch_domain *));
		if (more == NULL)
			return false;
		answer->waiting = more;
		answer->waiting_room = room;
	}
	answer->waiting[answer->waiting_count++] = domain;
	domain->waits++;
	return true;
}

/* Those who waited go on. */
static void
answer_tell(struct watch *watch, struct watch_answer *answer)
{
	struct watch_domain **waiting = answer->waiting;
	size_t count = answer->waiting_count;

	answer->waiting = NULL;
	answer->waiting_count = answer->waiting_room = 0;
	for (size_t i = 0; i < count; i++) {
		struct watch_domain *domain = waiting[i];
		if (--domain->waits > 0)
			continue;
		if (domain->dead)
			free(domain);
		else
			domain_route(watch, domain);
	}
	free(waiting);
}

static int64_t
answer_lasts(const struct route_answer *answer)
{
	int64_t ms = (int64_t)answer->ttl * 1000;

	if (answer->outcome == RESOLVER_CANNOT_TELL)
		return UNTOLD_MS;
	if (ms < TTL_LEAST_MS)
		return TTL_LEAST_MS;
	return ms < TTL_MOST_MS ? ms : TTL_MOST_MS;
}

void
watch_resolved(struct watch *watch, const char *name, enum resolver_type type,
    const struct route_answer *come, struct queued_time now)
{
	struct watch_answer *answer = answer_find(watch, name, type);

	watch->now = now;
	if (answer == NULL || answer->come)
		return;
	answer->come = true;
	answer->answer = *come;
	answer->answer.records = NULL;
	if (come->count > 0)
		answer->records = malloc(come->count * sizeof(*come->records));
	if (answer->records != NULL) {
		memcpy(answer->records, come->records, come->count * sizeof(*come->records));
		answer->answer.records = answer->records;
	} else if (come->count > 0) {
		answer->answer =
		    (struct route_answer){.outcome = RESOLVER_CANNOT_TELL}; /* no memory */
	}
	heap_move(&watch->answers_due, &answer->due, now.ms + answer_lasts(&answer->answer));
	answer_tell(watch, answer);
}

void
answer_expire(struct watch *watch, struct watch_answer *answer)
{
	if (!answer->come) {
		answer->come = true;
		answer->answer = (struct route_answer){.outcome = RESOLVER_CANNOT_TELL};
		heap_move(&watch->answers_due, &answer->due, watch->now.ms + UNTOLD_MS);
		answer_tell(watch, answer);
		return;
	}
	answer_free(watch, answer);
}

void
answers_free(struct watch *watch)
{
	struct heap_node *node;

	while ((node = heap_first(&watch->answers_due)) != NULL) {
		struct watch_answer *answer = HEAP_OWNER(node, struct watch_answer, due);
		for (size_t i = 0; i < answer->waiting_count; i++) {
			struct watch_domain *domain = answer->waiting[i];
			if (--domain->waits == 0 && domain->dead)
				free(domain);
		}
		answer_free(watch, answer);
	}
	heap_free(&watch->answers_due);
}

/* --- routes --------------------------------------------------------------------------------------
 */

struct asker {
	const struct watch *watch;
	const struct watch_domain *domain;
};

static const struct route_answer *
find_answer(void *context, const char *name, enum resolver_type type)
{
	const struct asker *asker = context;
	const struct watch_answer *answer = answer_find(asker->watch, name, type);

	return answer != NULL && answer->come && answer->fresh_ms >= asker->domain->route_from_ms
		   ? &answer->answer
		   : NULL;
}

/* Asks for what the route lacks. False: something could not be asked. */
static bool
ask_needs(struct watch *watch, struct watch_domain *domain, const struct route *route)
{
	bool asked = true;

	for (size_t i = 0; i < route->need_count; i++) {
		const struct route_need *need = &route->need[i];
		struct watch_answer *answer = answer_find(watch, need->name, need->type);
		if (answer == NULL)
			answer =
			    answer_new(watch, need->name, need->type, domain->route_from_ms != 0);
		else if (answer->come)
			answer = answer_renew(watch, answer, need);
		asked = answer != NULL && answer_await(answer, domain) && asked;
	}
	return asked;
}

static void
set_verdict(
    struct watch *watch, struct watch_domain *domain, enum route_verdict verdict, const char *why)
{
	if (domain->route_verdict != verdict || domain->route_since == 0)
		domain->route_since = domain->former == PRIMARY_DOWN && verdict == ROUTE_NOWHERE
					  ? domain->former_since
					  : watch->now.wall;
	domain->route_verdict = verdict;
	(void)snprintf(domain->route_why, sizeof(domain->route_why), "%s", why);
}

/* What is not known for the moment leaves the endpoints as they are. */
static void
take_route(struct watch *watch, struct watch_domain *domain, const struct route *route)
{
	int64_t lasts = (int64_t)route->ttl * 1000;

	if (route->verdict == ROUTE_CANNOT_TELL)
		lasts = UNTOLD_MS;
	else if (lasts < TTL_LEAST_MS)
		lasts = TTL_LEAST_MS;
	domain->route_ms = watch->now.ms + (lasts < TTL_MOST_MS ? lasts : TTL_MOST_MS);
	set_verdict(watch, domain, route->verdict, route->why);
	if (route->verdict != ROUTE_CANNOT_TELL) {
		domain->route_from_ms = 0;
		domain_link(watch, domain, route);
	}
	if (domain->asked && (route->verdict != ROUTE_CANNOT_TELL || domain->links > 0)) {
		domain_ask(watch, domain);
		domain->asked = false;
	}
	domain_judge(watch, domain);
}

void
domain_route(struct watch *watch, struct watch_domain *domain)
{
	const struct watch_setup *setup = &watch->setup;
	struct asker asker = {watch, domain};
	struct route_request request = {.domain = domain->name,
	    .next_hops = domain->row != NULL ? domain->row->next_hops : "",
	    .fleet = setup->ports.fleet(setup->ports.context),
	    .allow = &setup->allow,
	    .use4 = setup->use4,
	    .use6 = setup->use6,
	    .port = setup->port,
	    .find = find_answer,
	    .context = &asker};

	domain->route_ms = watch->now.ms + UNTOLD_MS;
	if (domain->waits > 0)
		return; /* the last answer that it waits for leads here again */
	struct route *route = request.fleet != NULL ? malloc(sizeof(*route)) : NULL;
	if (route == NULL) {
		domain_schedule(watch, domain);
		return;
	}
	route_find(&request, route);
	if (route->verdict == ROUTE_NEEDS_MORE) {
		(void)ask_needs(watch, domain, route); /* else again in a while */
		domain_schedule(watch, domain);
	} else {
		take_route(watch, domain, route);
	}
	free(route);
}

void
domain_reread(struct watch *watch, struct watch_domain *domain)
{
	domain->route_from_ms = watch->now.ms;
	domain_route(watch, domain);
}

void
domain_went_astray(
    struct watch *watch, struct watch_domain *domain, const struct event_attempt *attempt)
{
	struct ip address;
	unsigned port;

	if (!domain->active || domain->row == NULL || domain->route_since == 0 ||
	    (attempt->result == ATTEMPT_UNREACHED && !domain_is_pinned(domain)) ||
	    !primary_read_named(attempt->primary, &address, &port) || domain->route_from_ms != 0 ||
	    (domain->reread_ms != 0 && watch->now.ms - domain->reread_ms < WATCH_REREAD_MS))
		return;
	domain->reread_ms = watch->now.ms;
	if (domain->hold != HOLD_OPERATOR && !domain_soc_hold(watch, domain))
		domain->asked = true;
	domain_reread(watch, domain);
}
