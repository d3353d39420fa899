/*
 * decide: the rules at RCPT TO, in their order (docs/decisions.md).
 *
 * In: facts. Out: a verdict. Pure: no clock, no descriptor, no allocation; what it answers depends
 * on its arguments alone. It must never answer 5xx for what could not be told, and it must never
 * permit what it could not check to the end.
 */
#include "core/decide.h"

#include <string.h>

/* Clients declare SIZE with their own idea of line ends and headers, and round up (RFC 1870, 6.1).
 */
#define SIZE_DECLARED_SLACK 2048u

static const char *const rule_names[] = {
    [RULE_ODD_ADDRESS] = "odd-address",
    [RULE_FLEET_CLIENT] = "fleet-client",
    [RULE_NO_SNAPSHOT] = "no-snapshot",
    [RULE_UNKNOWN_STALE] = "unknown-stale",
    [RULE_UNKNOWN] = "unknown",
    [RULE_RETIRED] = "retired",
    [RULE_SUSPENDED] = "suspended",
    [RULE_REGION] = "region",
    [RULE_MX] = "mx",
    [RULE_QUOTA] = "quota",
    [RULE_PRIMARY_UP] = "primary-up",
    [RULE_SIZE] = "size",
    [RULE_AUTHORISED] = "authorised",
};

static const char *const kind_names[] = {
    [VERDICT_PERMIT] = "permit",
    [VERDICT_DEFER] = "defer",
    [VERDICT_REJECT] = "reject",
    [VERDICT_NOT_OURS] = "not-ours",
    [VERDICT_CANNOT_TELL] = "cannot-tell",
};

/*
 * What each rule answers when it applies. Rule 11 has a second answer, for `oversize = defer`, and
 * rule 0 two, for local parts that no recipient may have.
 */
static const struct verdict answers[] = {
    [RULE_ODD_ADDRESS] = {VERDICT_DEFER, RULE_ODD_ADDRESS, 450, "4.1.3",
	"Address form not accepted, use localpart@domain"},
    [RULE_FLEET_CLIENT] = {VERDICT_DEFER, RULE_FLEET_CLIENT, 450, "4.7.1",
	"Backup relays do not take mail from each other"},
    [RULE_NO_SNAPSHOT] = {VERDICT_CANNOT_TELL, RULE_NO_SNAPSHOT, 450, "4.3.0",
	"Temporary lookup failure, try again later"},
    [RULE_UNKNOWN_STALE] = {VERDICT_CANNOT_TELL, RULE_UNKNOWN_STALE, 450, "4.7.1",
	"Domain not known here at present, try again later"},
    [RULE_UNKNOWN] = {VERDICT_NOT_OURS, RULE_UNKNOWN, 0, "", "Domain not served here"},
    [RULE_RETIRED] = {VERDICT_DEFER, RULE_RETIRED, 450, "4.7.1", "Domain no longer served here"},
    [RULE_SUSPENDED] = {VERDICT_DEFER, RULE_SUSPENDED, 450, "4.7.1",
	"Service for this domain is suspended"},
    [RULE_REGION] = {VERDICT_DEFER, RULE_REGION, 450, "4.7.1",
	"Domain not served in this region, try another mail exchanger"},
    [RULE_MX] = {VERDICT_DEFER, RULE_MX, 450, "4.7.1",
	"This host is not a mail exchanger of the domain"},
    [RULE_QUOTA] = {VERDICT_DEFER, RULE_QUOTA, 452, "4.2.2", "Queue of this domain is full"},
    [RULE_PRIMARY_UP] = {VERDICT_DEFER, RULE_PRIMARY_UP, 450, "4.3.2",
	"Primary mail server is available, deliver there"},
    [RULE_SIZE] = {VERDICT_REJECT, RULE_SIZE, 552, "5.3.4",
	"Message size exceeds the limit of this domain"},
    [RULE_AUTHORISED] = {VERDICT_PERMIT, RULE_AUTHORISED, 0, "", "Domain authorised"},
};

/*
 * Postfix logs and lists such bytes as '?', and where SMTPUTF8 is not offered no client may send
 * them (RFC 6531 section 3.5, RFC 5321 section 4.1.2): taken, two recipients would look like one.
 */
static const struct verdict local_refused[] = {
    [ADDRESS_EIGHT_BIT] = {VERDICT_REJECT, RULE_ODD_ADDRESS, 553, "5.6.7",
	"Address requires SMTPUTF8, which is not offered"},
    [ADDRESS_CONTROL] = {VERDICT_REJECT, RULE_ODD_ADDRESS, 553, "5.1.3",
	"Control characters are not allowed in an address"},
};

static struct verdict
cannot_tell(enum decide_rule rule)
{
	struct verdict verdict = answers[RULE_NO_SNAPSHOT];

	verdict.rule = rule;
	return verdict;
}

static struct verdict
oversize(const struct limits *limits)
{
	struct verdict verdict = answers[RULE_SIZE];

	if (limits->oversize == OVERSIZE_DEFER) {
		verdict.kind = VERDICT_DEFER;
		verdict.code = 452;
		verdict.enhanced = "4.3.4";
	}
	return verdict;
}

bool
decide_retired_expired(int64_t retired_at, int64_t now, int64_t queue_lifetime)
{
	return retired_at != 0 && now > retired_at && now - retired_at >= queue_lifetime;
}

static bool
domain_is_known(const struct decide_facts *facts)
{
	return facts->domain_known == KNOWN_YES && facts->domain != NULL &&
	       !decide_retired_expired(
		   facts->domain->retired_at, facts->now, facts->queue_lifetime);
}

static struct verdict
unknown_domain(const struct decide_facts *facts)
{
	return answers[facts->contact_fresh ? RULE_UNKNOWN : RULE_UNKNOWN_STALE];
}

static struct verdict
decide_odd(const struct decide_facts *facts)
{
	switch (facts->odd_names_known) {
	case KNOWN_YES: return answers[RULE_ODD_ADDRESS];
	case KNOWN_UNCLEAR: return cannot_tell(RULE_ODD_ADDRESS);
	case KNOWN_NO: break;
	}
	return unknown_domain(facts);
}

static uint64_t
first_set(uint64_t domain, uint64_t customer, uint64_t fallback)
{
	return domain != 0 ? domain : customer != 0 ? customer : fallback;
}

struct limits
decide_limits(const struct domain_record *domain, const struct customer_record *customer)
{
	static const struct limits none;
	const struct limits *d = &domain->limits;
	const struct limits *c = customer != NULL ? &customer->limits : &none;

	return (struct limits){
	    .size_limit = first_set(d->size_limit, c->size_limit, SIZE_LIMIT_DEFAULT),
	    .quota_messages = first_set(d->quota_messages, c->quota_messages, 0),
	    .quota_bytes = first_set(d->quota_bytes, c->quota_bytes, 0),
	    .retention = (uint32_t)first_set(d->retention, c->retention, 0),
	    .oversize = (enum oversize)first_set(d->oversize, c->oversize, OVERSIZE_REJECT),
	    .when_primary_up = (enum primary_up)first_set(
		d->when_primary_up, c->when_primary_up, PRIMARY_UP_ACCEPT),
	    .mx_check = (enum mx_check)first_set(d->mx_check, c->mx_check, MX_CHECK_ON),
	    .refused = (enum refused)first_set(d->refused, c->refused, REFUSED_INHERIT),
	};
}

bool
decide_region_permitted(
    const struct domain_record *domain, const struct customer_record *customer, const char *region)
{
	if (customer == NULL || region == NULL || region[0] == '\0')
		return false;
	return records_list_has(customer->regions, region) &&
	       (domain->regions[0] == '\0' || records_list_has(domain->regions, region));
}

struct verdict
decide_content_size(const struct limits *limits, uint64_t bytes)
{
	return bytes > limits->size_limit ? oversize(limits) : answers[RULE_AUTHORISED];
}

static bool
over_quota(const struct limits *limits, const struct state_facts *state)
{
	return (limits->quota_messages != 0 && state->held_messages >= limits->quota_messages) ||
	       (limits->quota_bytes != 0 && state->held_bytes >= limits->quota_bytes);
}

static bool
declared_too_large(const struct limits *limits, uint64_t declared)
{
	return declared != UINT64_MAX && declared > limits->size_limit &&
	       declared - limits->size_limit > SIZE_DECLARED_SLACK;
}

/* Rules 8 to 12: the domain is ours and may be held here; does anything stand against this mail? */
static struct verdict
decide_limited(const struct decide_facts *facts)
{
	struct limits limits = decide_limits(facts->domain, facts->customer);
	const struct state_facts *state = facts->state;

	limits.quota_messages = first_set(limits.quota_messages, facts->quota_messages, 0);
	limits.quota_bytes = first_set(limits.quota_bytes, facts->quota_bytes, 0);
	if (state != NULL) {
		if (state->mx == MX_STATE_NOT_NAMED && limits.mx_check != MX_CHECK_OFF)
			return answers[RULE_MX];
		if (over_quota(&limits, state))
			return answers[RULE_QUOTA];
		if (state->primary_is_up && limits.when_primary_up == PRIMARY_UP_DEFER &&
		    !state->sender_keeps_trying)
			return answers[RULE_PRIMARY_UP];
	}
	if (declared_too_large(&limits, facts->declared_size))
		return oversize(&limits);
	return answers[RULE_AUTHORISED];
}

/*
 * Rules 5 to 7: a row speaks for the domain; does it authorise this relay? Only where it does is an
 * address refused for good.
 */
static struct verdict
decide_known(const struct decide_facts *facts)
{
	const struct domain_record *domain = facts->domain;
	const struct customer_record *customer = facts->customer;

	if (domain->retired_at != 0 || (customer != NULL && customer->retired_at != 0))
		return answers[RULE_RETIRED];
	if (domain->suspended)
		return answers[RULE_SUSPENDED];
	if (customer == NULL)
		return cannot_tell(RULE_SUSPENDED);
	if (customer->suspended)
		return answers[RULE_SUSPENDED];
	if (!decide_region_permitted(domain, customer, facts->region))
		return answers[RULE_REGION];
	if (facts->local_bytes != ADDRESS_ASCII)
		return local_refused[facts->local_bytes];
	return decide_limited(facts);
}

struct verdict
decide_recipient(const struct decide_facts *facts)
{
	if (facts->never_ours)
		return answers[RULE_UNKNOWN];
	if (!facts->snapshot_usable)
		return answers[RULE_NO_SNAPSHOT];
	if (!facts->address_plain &&
	    !(facts->local_bytes == ADDRESS_CONTROL && domain_is_known(facts)))
		return decide_odd(facts);
	if (facts->domain_known == KNOWN_UNCLEAR)
		return cannot_tell(RULE_NO_SNAPSHOT);
	if (!domain_is_known(facts))
		return unknown_domain(facts);
	if (facts->client_is_fleet == KNOWN_YES)
		return answers[RULE_FLEET_CLIENT];
	if (facts->client_is_fleet == KNOWN_UNCLEAR)
		return cannot_tell(RULE_FLEET_CLIENT);
	return decide_known(facts);
}

const char *
decide_rule_name(enum decide_rule rule)
{
	return (size_t)rule < sizeof(rule_names) / sizeof(rule_names[0]) ? rule_names[rule] : "?";
}

const char *
decide_kind_name(enum verdict_kind kind)
{
	return (size_t)kind < sizeof(kind_names) / sizeof(kind_names[0]) ? kind_names[kind] : "?";
}
