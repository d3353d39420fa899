/*
 * watch_state: the part of the watch that counts by row and composes the records of core/state.
 * Changed domains are collected, and written at most five times a second.
 */
#include "queued/watch_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what has changed ----------------------------------------------------------------------------
 */

void
domain_dirty(struct watch *watch, struct watch_domain *domain)
{
	if (domain->dirty)
		return;
	domain->dirty = true;
	domain->next_dirty = watch->dirty;
	watch->dirty = domain;
}

static void
owner_dirty(struct watch *watch, struct watch_owner *owner)
{
	if (owner->dirty)
		return;
	owner->dirty = true;
	owner->next_dirty = watch->dirty_owners;
	watch->dirty_owners = owner;
}

/* --- rows ----------------------------------------------------------------------------------------
 */

static struct watch_owner *
owner_find(const struct watch *watch, const char *name)
{
	struct keyed_node *node = keyed_find(&watch->owners, name, strlen(name));

	return node != NULL ? KEYED_OWNER(node, struct watch_owner, node) : NULL;
}

static struct watch_owner *
owner_get(struct watch *watch, const char *name)
{
	struct watch_owner *owner = owner_find(watch, name);

	if (owner != NULL)
		return owner;
	owner = calloc(1, sizeof(*owner));
	if (owner == NULL)
		return NULL;
	(void)snprintf(owner->name, sizeof(owner->name), "%s", name);
	if (keyed_add(&watch->owners, &owner->node, owner->name, strlen(owner->name)))
		return owner;
	free(owner);
	return NULL;
}

void
owner_count(struct watch *watch, struct watch_owner *owner, int64_t messages, int64_t bytes)
{
	if (owner == NULL)
		return;
	owner->messages += (uint64_t)messages;
	owner->bytes += (uint64_t)bytes;
	owner_dirty(watch, owner);
}

void
domain_owner(struct watch *watch, struct watch_domain *domain, const struct watch_row *row)
{
	struct watch_owner *next = row != NULL ? owner_get(watch, row->owner) : NULL;

	if (next != NULL) {
		next->quota_messages = row->quota_messages;
		next->quota_bytes = row->quota_bytes;
		next->hold_until = row->hold_until;
		owner_dirty(watch, next);
	}
	if (next == domain->owner)
		return;
	if (domain->owner != NULL) {
		owner_count(
		    watch, domain->owner, -(int64_t)domain->messages, -(int64_t)domain->bytes);
		domain->owner->domains--;
	}
	domain->owner = next;
	if (next == NULL)
		return;
	next->domains++;
	owner_count(watch, next, (int64_t)domain->messages, (int64_t)domain->bytes);
}

/* --- records -------------------------------------------------------------------------------------
 */

/* What a primary that is up by its probes does not tell. */
static void
compose_beside(const struct watch_domain *domain, struct state_domain *out)
{
	const struct watch_link *stranger = domain_passed_by(domain);
	const enum unmet_kind unmet = unmet_kind(&domain->unmet);
	char name[WATCH_NAME_SIZE];

	if (unmet == UNMET_PIN) {
		out->primary = domain_told_state(domain);
		out->primary_since = unmet_since(&domain->unmet);
	}
	if (unmet != UNMET_NOT)
		(void)snprintf(out->primary_reason, sizeof(out->primary_reason),
		    "up by its probes, but Postfix says: %s", domain->unmet.words);
	else if (stranger != NULL)
		(void)snprintf(out->primary_reason, sizeof(out->primary_reason),
		    "Postfix passes a stranger by, at %s", link_name(stranger, name));
}

static void
compose_primary(
    const struct watch *watch, const struct watch_domain *domain, struct state_domain *out)
{
	const struct primary *primary = domain_primary(domain);

	if (primary != NULL) {
		out->primary = primary->state;
		out->primary_since = primary->since;
		out->primary_at = primary->at;
		out->primary_code = primary->code;
		(void)snprintf(
		    out->primary_reason, sizeof(out->primary_reason), "%s", primary->reason);
		compose_beside(domain, out);
		return;
	}
	out->primary = domain->route_verdict == ROUTE_NOWHERE ? PRIMARY_DOWN : PRIMARY_UNKNOWN;
	out->primary_since = domain->route_since;
	out->primary_at = domain->route_since != 0 ? watch->now.wall : 0;
	(void)snprintf(out->primary_reason, sizeof(out->primary_reason), "%s", domain->route_why);
}

static void
compose_hold(const struct watch *watch, const struct watch_domain *domain, struct state_domain *out)
{
	const char *reason = "";

	out->hold = domain->hold;
	if (domain->hold == HOLD_NONE)
		return;
	out->hold_until = watch->now.wall + WATCH_HOLD_S;
	switch (domain->hold) {
	case HOLD_OPERATOR:
		out->hold_until = domain->operator_until;
		reason = domain->operator_reason;
		break;
	case HOLD_BREAKER: reason = "the primary refuses what it is offered"; break;
	case HOLD_WRONG_HOST: reason = out->primary_reason; break;
	case HOLD_NONE: break;
	}
	(void)snprintf(out->hold_reason, sizeof(out->hold_reason), "%s", reason);
}

void
state_compose(const struct watch *watch, const struct watch_domain *domain,
    const struct watch_owner *owner, struct state_domain *out)
{
	memset(out, 0, sizeof(*out));
	if (domain != NULL && !domain->dead) {
		const struct heap_node *oldest = heap_first(&domain->by_age);
		out->messages = domain->messages;
		out->bytes = domain->bytes;
		out->oldest = oldest != NULL ? oldest->key / 1000000 : 0;
		if (domain->active || domain->hold != HOLD_NONE) {
			compose_primary(watch, domain, out);
			compose_hold(watch, domain, out);
		}
		out->counted_at = watch->now.wall;
	}
	if (owner != NULL) {
		out->row_messages = owner->messages;
		out->row_bytes = owner->bytes;
		out->counted_at = watch->now.wall;
	}
}

static void
put_name(struct watch *watch, const char *name)
{
	const struct watch_ports *ports = &watch->setup.ports;
	struct watch_domain *domain = domain_find(watch, name);
	struct watch_owner *owner = owner_find(watch, name);
	struct state_domain record;

	if (owner != NULL && owner->domains == 0)
		owner = NULL; /* about to go */
	state_compose(watch, domain, owner, &record);
	ports->put_state(ports->context, name, &record);
}

/* The row's name is one domain: an operator's hold of another one is not the row's. */
static bool
owner_is_silent(struct watch *watch, const struct watch_owner *owner)
{
	const struct watch_domain *domain = domain_find(watch, owner->name);

	return owner->hold_until > watch->now.wall ||
	       (domain != NULL && domain_hushed(watch, domain));
}

static bool
is_over(const struct watch_owner *owner)
{
	return (owner->quota_messages != 0 && owner->messages >= owner->quota_messages) ||
	       (owner->quota_bytes != 0 && owner->bytes >= owner->quota_bytes);
}

bool
watch_over_quota(const struct watch *watch, const char *row)
{
	const struct watch_owner *owner = owner_find(watch, row);

	return owner != NULL && is_over(owner);
}

static void
judge_quota(struct watch *watch, struct watch_owner *owner)
{
	const struct watch_ports *ports = &watch->setup.ports;
	const bool over = is_over(owner);
	const struct alert alert = {.kind = ALERT_QUOTA,
	    .domain = owner->name,
	    .text = "the quota is reached: further mail is deferred (452)"};

	if (over == owner->over_quota || (over && owner_is_silent(watch, owner)))
		return;
	owner->over_quota = over;
	if (over)
		ports->raise(ports->context, &alert);
	else
		ports->end(ports->context, ALERT_QUOTA, owner->name);
}

static void
owner_settle(struct watch *watch, struct watch_owner *owner)
{
	judge_quota(watch, owner);
	put_name(watch, owner->name);
	if (owner->domains > 0)
		return;
	keyed_remove(&watch->owners, &owner->node);
	free(owner);
}

void
state_put_all(struct watch *watch)
{
	struct watch_domain *domain;
	struct watch_owner *owner;

	while ((domain = watch->dirty) != NULL) {
		watch->dirty = domain->next_dirty;
		domain->dirty = false;
		put_name(watch, domain->name);
		if (domain->owner != NULL && strcmp(domain->owner->name, domain->name) != 0)
			owner_dirty(watch, domain->owner);
	}
	while ((owner = watch->dirty_owners) != NULL) {
		watch->dirty_owners = owner->next_dirty;
		owner->dirty = false;
		owner_settle(watch, owner);
	}
	watch->put_ms = watch->now.ms + WATCH_PUT_MS;
}
