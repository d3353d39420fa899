/*
 * judge: gathers from the snapshot what decide needs, for one recipient, and asks it.
 *
 * In: a snapshot with a begun transaction, a request, the time. Out: the verdict and what it rests
 * on. It has no opinion of its own: a record that is damaged is handed to decide as "unclear".
 */
#include "core/judge.h"

#include "core/address.h"

#include <string.h>

struct odd_search { /* rule 0: does an odd address name a known domain anywhere? */
	struct snapshot *snapshot;
	bool unclear;
};

static bool
visit_candidate(const char *domain, void *context)
{
	struct odd_search *search = context;
	struct domain_record record;

	switch (snapshot_domain_for(search->snapshot, domain, &record, NULL)) {
	case SNAPSHOT_OK: return true;
	case SNAPSHOT_NOT_FOUND: return false;
	case SNAPSHOT_DAMAGED:
	case SNAPSHOT_UNUSABLE: break;
	}
	search->unclear = true;
	return false;
}

static enum known
odd_names_known(struct snapshot *snapshot, const struct judge_request *request)
{
	struct odd_search search = {.snapshot = snapshot};

	if (address_any_domain(
		request->recipient, request->recipient_length, true, visit_candidate, &search))
		return KNOWN_YES;
	return search.unclear ? KNOWN_UNCLEAR : KNOWN_NO;
}

static enum known
client_is_fleet(struct snapshot *snapshot, const char *client_address)
{
	struct ip address;

	if (client_address == NULL || !ip_parse(client_address, &address))
		return KNOWN_NO;
	const struct fleet *fleet = snapshot_fleet(snapshot);
	if (fleet == NULL)
		return KNOWN_UNCLEAR;
	address = ip_unmap(&address);
	return fleet_address(fleet, &address) != FLEET_NOT ? KNOWN_YES : KNOWN_NO;
}

static bool
contact_fresh(struct snapshot *snapshot, const struct judge_relay *relay, int64_t boot_ms)
{
	const int64_t age = snapshot_contact_age(snapshot, boot_ms);

	return age >= 0 && age / 1000 < relay->stale_after;
}

/* A row that was retired too long ago speaks no more. */
static void
forget_expired(struct judgement *judgement)
{
	if (judgement->verdict.rule != RULE_UNKNOWN &&
	    judgement->verdict.rule != RULE_UNKNOWN_STALE)
		return;
	judgement->known = false;
	judgement->owner[0] = '\0';
	judgement->limits = (struct limits){0};
}

/* Fills in what the snapshot knows of a recipient's domain. */
static void
look_up_domain(struct snapshot *snapshot, struct judgement *judgement, struct decide_facts *facts,
    struct domain_record *domain, struct customer_record *customer)
{
	const char *owner = NULL;

	switch (snapshot_domain_for(snapshot, judgement->domain, domain, &owner)) {
	case SNAPSHOT_OK: break;
	case SNAPSHOT_NOT_FOUND: facts->domain_known = KNOWN_NO; return;
	case SNAPSHOT_DAMAGED:
	case SNAPSHOT_UNUSABLE: facts->domain_known = KNOWN_UNCLEAR; return;
	}
	facts->domain_known = KNOWN_YES;
	facts->domain = domain;
	if (snapshot_customer(snapshot, domain->customer, customer) == SNAPSHOT_OK)
		facts->customer = customer;
	judgement->known = true;
	memcpy(judgement->owner, owner, strlen(owner) + 1);
	judgement->limits = decide_limits(domain, facts->customer);
}

struct judgement
judge_recipient(struct snapshot *snapshot, enum snapshot_result begun,
    const struct judge_relay *relay, struct judge_time now, const struct judge_request *request,
    const struct state_facts *state)
{
	struct judgement judgement = {0};
	struct domain_record domain;
	struct customer_record customer;
	struct address address;
	struct decide_facts facts = {
	    .snapshot_usable = begun == SNAPSHOT_OK,
	    .region = relay->region,
	    .now = now.wall,
	    .queue_lifetime = relay->queue_lifetime,
	    .declared_size = request->declared_size,
	    .state = state,
	    .quota_messages = relay->quota_messages,
	    .quota_bytes = relay->quota_bytes,
	};

	address_parse(request->recipient, request->recipient_length, &address);
	facts.never_ours = address.form == ADDRESS_LITERAL || address.form == ADDRESS_NO_DOMAIN;
	facts.address_plain = address.form == ADDRESS_PLAIN;
	facts.local_bytes = address.bytes;
	const bool has_domain = facts.address_plain || facts.local_bytes == ADDRESS_CONTROL;
	if (has_domain)
		memcpy(judgement.domain, address.domain, strlen(address.domain) + 1);
	if (facts.snapshot_usable && !facts.never_ours) {
		facts.contact_fresh = contact_fresh(snapshot, relay, now.boot_ms);
		if (has_domain) {
			look_up_domain(snapshot, &judgement, &facts, &domain, &customer);
			if (judgement.known)
				facts.client_is_fleet =
				    client_is_fleet(snapshot, request->client_address);
		}
		if (!facts.address_plain)
			facts.odd_names_known = odd_names_known(snapshot, request);
	}
	judgement.verdict = decide_recipient(&facts);
	forget_expired(&judgement);
	return judgement;
}
