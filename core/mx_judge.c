/*
 * mx_judge: see mx_judge.h. Findings first (each rule one function), then the rows that would be
 * right, as close to those that are there as can be.
 */
#include "core/mx_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 10 /* between preferences that we propose */
#define PREFERENCE_MOST 65535u

struct judge {
	const struct mx_facts *facts;
	struct mx_verdict *out;
	enum mx_role roles[MX_HOSTS_MOST];
	bool by_address[MX_HOSTS_MOST];
	bool named[MX_HOSTS_MOST]; /* relays, by index: named by some host */
};

static const struct {
	const char *name;
	enum mx_severity severity;
} issues[MX_ISSUES] = {
    [MX_ISSUE_DNS] = {"dns-unreadable", MX_CANNOT_TELL},
    [MX_ISSUE_BOGUS] = {"dnssec-bogus", MX_CANNOT_TELL},
    [MX_ISSUE_NO_DOMAIN] = {"no-such-domain", MX_ERROR},
    [MX_ISSUE_NO_MX] = {"no-mx", MX_ERROR},
    [MX_ISSUE_NULL_MX] = {"null-mx", MX_ERROR},
    [MX_ISSUE_NULL_MX_MIXED] = {"null-mx-mixed", MX_ERROR},
    [MX_ISSUE_TOO_MANY] = {"too-many-records", MX_WARNING},
    [MX_ISSUE_ALIAS] = {"domain-is-alias", MX_WARNING},
    [MX_ISSUE_NOT_NAMED] = {"relay-not-named", MX_ERROR},
    [MX_ISSUE_BY_ADDRESS] = {"relay-by-address", MX_NOTE},
    [MX_ISSUE_REGION] = {"region-not-permitted", MX_ERROR},
    [MX_ISSUE_RELAY_MISSING] = {"relay-missing", MX_WARNING},
    [MX_ISSUE_NO_PRIMARY] = {"no-primary", MX_ERROR},
    [MX_ISSUE_EQUAL] = {"equal-preference", MX_ERROR},
    [MX_ISSUE_NOT_FIRST] = {"primary-not-first", MX_ERROR},
    [MX_ISSUE_NOT_LAST] = {"primary-not-last", MX_WARNING},
    [MX_ISSUE_PREFERENCES] = {"preferences-differ", MX_WARNING},
    [MX_ISSUE_TARGET_ODD] = {"target-no-host", MX_ERROR},
    [MX_ISSUE_TARGET_ALIAS] = {"target-is-alias", MX_WARNING},
    [MX_ISSUE_TARGET_NO_ADDRESS] = {"target-without-address", MX_ERROR},
    [MX_ISSUE_TARGET_DNS] = {"target-unreadable", MX_CANNOT_TELL},
    [MX_ISSUE_TARGET_FENCED] = {"target-fenced", MX_ERROR},
    [MX_ISSUE_SIZE] = {"answer-too-large", MX_WARNING},
    [MX_ISSUE_PROPOSAL_SIZE] = {"proposal-too-large", MX_WARNING},
    [MX_ISSUE_STS_RELAY] = {"mta-sts-leaves-relay-out", MX_ERROR},
    [MX_ISSUE_STS_PRIMARY] = {"mta-sts-leaves-primary-out", MX_ERROR},
    [MX_ISSUE_STS_BROKEN] = {"mta-sts-broken", MX_WARNING},
    [MX_ISSUE_STS_DNS] = {"mta-sts-unreadable", MX_CANNOT_TELL},
    [MX_ISSUE_NEXT_HOP] = {"next-hop-refused", MX_ERROR},
};

const char *
mx_issue_name(enum mx_issue issue)
{
	return (size_t)issue < MX_ISSUES ? issues[issue].name : "?";
}

const char *
mx_severity_name(enum mx_severity severity)
{
	static const char *const names[] = {[MX_NOTE] = "note",
	    [MX_CANNOT_TELL] = "cannot-tell",
	    [MX_WARNING] = "warning",
	    [MX_ERROR] = "error"};

	return (size_t)severity < sizeof(names) / sizeof(names[0]) ? names[severity] : "?";
}

const char *
mx_role_name(enum mx_role role)
{
	static const char *const names[] = {[MX_ROLE_PRIMARY] = "customer's server",
	    [MX_ROLE_SELF] = "this relay",
	    [MX_ROLE_RELAY] = "relay",
	    [MX_ROLE_FOREIGN] = "relay of another region",
	    [MX_ROLE_NOTHING] = "no host"};

	return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : "?";
}

/* The last finding that is of less weight, where there is no room left. NULL: there is none. */
static struct mx_finding *
make_room(struct mx_verdict *out, enum mx_severity severity)
{
	for (size_t i = MX_FINDINGS_MOST; i > 0; i--)
		if (out->findings[i - 1].severity < severity)
			return &out->findings[i - 1];
	return NULL;
}

static void __attribute__((format(printf, 4, 5)))
find_as(struct judge *j, enum mx_issue issue, enum mx_severity severity, const char *format, ...)
{
	struct mx_verdict *out = j->out;
	va_list arguments;

	struct mx_finding *finding = out->finding_count < MX_FINDINGS_MOST
					 ? &out->findings[out->finding_count++]
					 : make_room(out, severity);
	if (finding == NULL)
		return;
	finding->issue = issue;
	finding->severity = severity;
	va_start(arguments, format);
	vsnprintf(finding->text, sizeof(finding->text), format, arguments);
	va_end(arguments);
}

#define find(j, issue, ...) find_as(j, issue, issues[issue].severity, __VA_ARGS__)

/* --- who is who ------------------------------------------------------------------------------ */

static bool
list_has_address(const char *list, const struct ip *address)
{
	while (*(list += strspn(list, " ")) != '\0') {
		const size_t length = strcspn(list, " ");
		struct ip item;

		if (ip_parse_bytes(list, length, &item)) {
			item = ip_unmap(&item);
			if (ip_equal(&item, address))
				return true;
		}
		list += length;
	}
	return false;
}

static bool
relay_has_address(const struct mx_facts *facts, const struct mx_relay *relay, const struct ip *raw)
{
	const struct ip address = ip_unmap(raw);

	for (size_t i = 0; relay->self && i < facts->own_count; i++) {
		const struct ip own = ip_unmap(&facts->own[i]);

		if (ip_equal(&own, &address))
			return true;
	}
	return list_has_address(relay->addresses, &address);
}

enum match { MATCH_NOT, MATCH_ADDRESS, MATCH_NAME };

static enum match
match_relay(const struct mx_facts *facts, const struct mx_host *host, const struct mx_relay *relay)
{
	if (records_list_has(relay->names, host->name) ||
	    (host->canonical[0] != '\0' && records_list_has(relay->names, host->canonical)))
		return MATCH_NAME;
	for (size_t i = 0; i < host->address_count; i++)
		if (relay_has_address(facts, relay, &host->addresses[i]))
			return MATCH_ADDRESS;
	return MATCH_NOT;
}

static enum mx_role
role_of_relay(const struct mx_relay *relay)
{
	if (!relay->permitted)
		return MX_ROLE_FOREIGN;
	return relay->self ? MX_ROLE_SELF : MX_ROLE_RELAY;
}

/* A name may be shared within a region: the best of those who have it counts. */
static void
find_role(struct judge *j, size_t index)
{
	const struct mx_facts *facts = j->facts;
	const struct mx_host *host = &facts->hosts[index];
	enum mx_role role = host->null_mx || host->odd ? MX_ROLE_NOTHING : MX_ROLE_PRIMARY;
	bool relay_seen = false;

	for (size_t i = 0; i < facts->relay_count && role != MX_ROLE_NOTHING; i++) {
		const enum match match = match_relay(facts, host, &facts->relays[i]);

		if (match == MATCH_NOT)
			continue;
		if (i < MX_HOSTS_MOST)
			j->named[i] = true;
		const enum mx_role candidate = role_of_relay(&facts->relays[i]);
		if (!relay_seen || candidate < role) {
			role = candidate;
			j->by_address[index] = match == MATCH_ADDRESS;
		}
		relay_seen = true;
	}
	j->roles[index] = role;
}

static bool
is_fleet(enum mx_role role)
{
	return role == MX_ROLE_SELF || role == MX_ROLE_RELAY || role == MX_ROLE_FOREIGN;
}

static const struct mx_relay *
self_of(const struct mx_facts *facts)
{
	for (size_t i = 0; i < facts->relay_count; i++)
		if (facts->relays[i].self)
			return &facts->relays[i];
	return NULL;
}

enum mx_state
mx_judge_state(const struct mx_facts *facts)
{
	const struct mx_relay *self = self_of(facts);
	bool unclear = facts->cut || facts->bogus;

	if (facts->mx == RESOLVER_CANNOT_TELL || self == NULL)
		return MX_STATE_UNKNOWN;
	for (size_t i = 0; i < facts->host_count; i++) {
		const struct mx_host *host = &facts->hosts[i];

		if (host->null_mx || host->odd)
			continue;
		if (match_relay(facts, host, self) != MATCH_NOT)
			return facts->bogus ? MX_STATE_UNKNOWN : MX_STATE_NAMED;
		unclear = unclear || host->half || host->lookup == RESOLVER_CANNOT_TELL;
	}
	if (facts->mx == RESOLVER_NODATA) { /* its own address stands in for an MX record */
		if (match_relay(facts, &facts->itself, self) != MATCH_NOT)
			return MX_STATE_NAMED;
		unclear =
		    unclear || facts->itself.half || facts->itself.lookup == RESOLVER_CANNOT_TELL;
	}
	return unclear ? MX_STATE_UNKNOWN : MX_STATE_NOT_NAMED;
}

/* --- bytes of the answer --------------------------------------------------------------------- */

#define SUFFIXES_MOST 1024

struct message {
	size_t size;
	struct {
		const char *text;
	} suffixes[SUFFIXES_MOST]; /* that a pointer can lead to */
	size_t count;
};

/* Adds a name, compressed as RFC 1035, 4.1.4 allows. */
static void
add_name(struct message *message, const char *name)
{
	while (name != NULL && *name != '\0') {
		for (size_t i = 0; i < message->count; i++)
			if (strcmp(message->suffixes[i].text, name) == 0) {
				message->size += 2;
				return;
			}
		if (message->count < SUFFIXES_MOST && message->size < 0x4000)
			message->suffixes[message->count++].text = name;
		const size_t label = strcspn(name, ".");
		message->size += label + 1;
		name = name[label] == '.' ? name + label + 1 : NULL;
	}
	message->size++; /* the root */
}

/* Header, question, and for each record: pointer to the name, type, class, TTL, length, data. */
static size_t
answer_size(const char *domain, const struct mx_row *rows, size_t count)
{
	struct message message = {.size = 12};

	add_name(&message, domain);
	message.size += 4;
	for (size_t i = 0; i < count; i++) {
		message.size += 2 + 2 + 2 + 4 + 2 + 2;
		add_name(&message, rows[i].host);
	}
	return message.size;
}

/* --- findings: the records as a whole ----------------------------------------------------------
 */

/* False: there is nothing more to be said. */
static bool
judge_lookup(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const char *domain = facts->domain;

	if (facts->bogus)
		find(j, MX_ISSUE_BOGUS,
		    "the DNSSEC signatures of %s fail: servers that check them get no answer (%s)",
		    domain, facts->problem != NULL ? facts->problem : "bogus");
	if (facts->mx == RESOLVER_CANNOT_TELL && facts->bogus)
		return false;
	if (facts->mx == RESOLVER_CANNOT_TELL) {
		find(j, MX_ISSUE_DNS, "the MX records of %s could not be read: %s", domain,
		    facts->problem != NULL ? facts->problem : "no answer");
		return false;
	}
	if (facts->mx == RESOLVER_NXDOMAIN)
		find(j, MX_ISSUE_NO_DOMAIN, "there is no domain %s in the DNS", domain);
	else if (facts->mx == RESOLVER_NODATA && facts->itself.lookup == RESOLVER_FOUND)
		find(j, MX_ISSUE_NO_MX,
		    "%s has no MX record: senders go to its own address, and to no relay", domain);
	else if (facts->mx == RESOLVER_NODATA)
		find(j, MX_ISSUE_NO_MX, "%s has neither MX record nor address", domain);
	if (facts->cut)
		find(j, MX_ISSUE_TOO_MANY,
		    "%s has more MX records than the %zu that are read here: what the others name "
		    "is not known, and no records are proposed",
		    domain, facts->host_count);
	if (facts->canonical[0] != '\0')
		find(j, MX_ISSUE_ALIAS,
		    "%s is an alias (CNAME) of %s: a mail domain should have records of its own",
		    domain, facts->canonical);
	return true;
}

static void
judge_null(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	bool null = false;

	for (size_t i = 0; i < facts->host_count; i++)
		null = null || facts->hosts[i].null_mx;
	if (!null)
		return;
	if (facts->host_count == 1)
		find(j, MX_ISSUE_NULL_MX,
		    "%s has a null MX record (RFC 7505): it says that it takes no mail at all",
		    facts->domain);
	else
		find(j, MX_ISSUE_NULL_MX_MIXED,
		    "%s has a null MX record beside others; RFC 7505 forbids that: remove it",
		    facts->domain);
}

/* --- findings: the targets ---------------------------------------------------------------------
 */

/* Has an earlier record the same target? What is said of it is said once. */
static bool
seen_before(const struct mx_facts *facts, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(facts->hosts[i].name, facts->hosts[index].name) == 0)
			return true;
	return false;
}

/* What could not be read might have named this relay. */
static bool
half_matters(const struct judge *j, const struct mx_host *host)
{
	const struct mx_relay *self = self_of(j->facts);

	return host->half && j->out->state == MX_STATE_UNKNOWN && self != NULL && self->permitted;
}

static void
judge_target(struct judge *j, size_t index)
{
	const struct mx_host *host = &j->facts->hosts[index];

	if (host->null_mx || seen_before(j->facts, index))
		return;
	if (host->odd) {
		find(j, MX_ISSUE_TARGET_ODD,
		    "the MX target %s is no host name: an MX record must name a host",
		    host->name[0] != '\0' ? host->name : "(unreadable)");
		return;
	}
	if (host->canonical[0] != '\0')
		find(j, MX_ISSUE_TARGET_ALIAS,
		    "the MX target %s is an alias (CNAME) of %s, which RFC 2181, 10.3 forbids",
		    host->name, host->canonical);
	if (host->lookup == RESOLVER_CANNOT_TELL)
		find(j, MX_ISSUE_TARGET_DNS, "the addresses of %s could not be read", host->name);
	else if (half_matters(j, host))
		find(j, MX_ISSUE_TARGET_DNS,
		    "not all addresses of %s could be read: one may be this relay's", host->name);
	else if (host->lookup != RESOLVER_FOUND)
		find(j, MX_ISSUE_TARGET_NO_ADDRESS, "the MX target %s has no address", host->name);
	if (j->by_address[index])
		find(j, MX_ISSUE_BY_ADDRESS,
		    "%s names a relay by its address only: it will be wrong when that changes",
		    host->name);
	if (j->roles[index] == MX_ROLE_FOREIGN)
		find(j, MX_ISSUE_REGION,
		    "%s is a relay of a region that this domain does not permit: it defers all of "
		    "its mail",
		    host->name);
}

/* --- findings: who is named ----------------------------------------------------------------------
 */

static void
first_name(const struct mx_relay *relay, char out[DOMAIN_SIZE])
{
	const char *names = relay->names + strspn(relay->names, " ");
	const size_t length = strcspn(names, " ");

	snprintf(
	    out, DOMAIN_SIZE, "%.*s", (int)(length < DOMAIN_SIZE ? length : DOMAIN_MAX), names);
}

static void
judge_named(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const struct mx_relay *self = self_of(facts);
	char name[DOMAIN_SIZE];

	if (self != NULL && self->permitted && j->out->state == MX_STATE_NOT_NAMED) {
		first_name(self, name);
		if (facts->unjudged == NULL)
			find(j, MX_ISSUE_NOT_NAMED,
			    "no MX record names this relay (%s), nor one of its addresses: it "
			    "takes no mail for this domain",
			    name);
		else
			find(j, MX_ISSUE_NOT_NAMED,
			    "no MX record names this relay (%s), nor one of its addresses: senders "
			    "do not find it (rule 8 defers no mail that comes: %s)",
			    name, facts->unjudged);
	}
	/* Of a set that is cut nobody knows whom it leaves out. */
	for (size_t i = 0; !facts->cut && i < facts->relay_count && i < MX_HOSTS_MOST; i++) {
		const struct mx_relay *relay = &facts->relays[i];

		if (relay->self || !relay->permitted || j->named[i])
			continue;
		first_name(relay, name);
		find(j, MX_ISSUE_RELAY_MISSING, "no MX record names the relay %s of region %s",
		    name, relay->region);
	}
}

/* --- findings: the order ------------------------------------------------------------------------
 */

struct span {
	unsigned least, most;       /* preferences; least > most: there is none */
	const struct mx_host *host; /* of those at `least` the first by name */
};

static bool
in_span(const struct span *span)
{
	return span->least <= span->most;
}

static struct span
span_of(const struct judge *j, bool fleet)
{
	struct span span = {.least = PREFERENCE_MOST + 1, .most = 0};

	for (size_t i = 0; i < j->facts->host_count; i++) {
		const struct mx_host *host = &j->facts->hosts[i];

		if (fleet ? !is_fleet(j->roles[i]) : j->roles[i] != MX_ROLE_PRIMARY)
			continue;
		if (host->preference < span.least ||
		    (host->preference == span.least && strcmp(host->name, span.host->name) < 0)) {
			span.least = host->preference;
			span.host = host;
		}
		if (host->preference > span.most)
			span.most = host->preference;
	}
	return span;
}

/* The pair of the lowest preference, whatever the order of the records: it is the worst. */
static bool
equal_pair(const struct judge *j, const struct mx_host **primary, const struct mx_host **relay)
{
	const struct mx_host *hosts = j->facts->hosts;

	*primary = *relay = NULL;
	for (size_t i = 0; i < j->facts->host_count; i++)
		for (size_t k = 0; k < j->facts->host_count; k++)
			if (j->roles[i] == MX_ROLE_PRIMARY && is_fleet(j->roles[k]) &&
			    hosts[i].preference == hosts[k].preference &&
			    (*relay == NULL || hosts[k].preference < (*relay)->preference)) {
				*primary = &hosts[i];
				*relay = &hosts[k];
			}
	return *relay != NULL;
}

static void
judge_equal(struct judge *j)
{
	const struct span primaries = span_of(j, false);
	const struct mx_host *primary, *relay;

	if (!equal_pair(j, &primary, &relay))
		return;
	/* Where the set is cut, nobody knows whether there is a better one. */
	const bool better = j->facts->cut || primaries.least < relay->preference;
	find_as(j, MX_ISSUE_EQUAL, better ? MX_WARNING : MX_ERROR,
	    "%s and the relay %s have one preference (%u): a relay delivers only "
	    "to "
	    "what is better than itself%s",
	    primary->name, relay->name, (unsigned)relay->preference,
	    better ? ", never there" : ", so mail stays until it expires");
}

static void
judge_order(struct judge *j)
{
	const struct span primary = span_of(j, false), fleet = span_of(j, true);
	const bool hops = j->facts->next_hops[0] != '\0';

	if (!in_span(&fleet))
		return;
	if (fleet.least != fleet.most)
		find(j, MX_ISSUE_PREFERENCES,
		    "the relays have several preferences (%u to %u); one common one spreads the "
		    "mail over all of them",
		    fleet.least, fleet.most);
	if (j->facts->cut) { /* what follows would be said of records that were not read */
		judge_equal(j);
		return;
	}
	if (!in_span(&primary)) {
		find_as(j, MX_ISSUE_NO_PRIMARY, hops ? MX_WARNING : MX_ERROR, "%s",
		    hops ? "only relays are named: all mail comes through them, and leaves by the "
			   "next hops of the row"
			 : "only relays are named: what they take they cannot deliver to anybody, "
			   "and it expires");
		return;
	}
	judge_equal(j);
	if (primary.least > fleet.least)
		find_as(j, MX_ISSUE_NOT_FIRST, hops ? MX_WARNING : MX_ERROR,
		    "the relay %s (%u) stands before the customer's server %s (%u): senders come "
		    "to "
		    "the relay first%s",
		    fleet.host->name, fleet.least, primary.host->name, primary.least,
		    hops ? "" : ", which then has nobody to deliver to");
	if (primary.most <= fleet.most)
		find(j, MX_ISSUE_NOT_LAST,
		    "the customer's server is not listed again behind the relays (%u): who tries "
		    "the last record first comes to a relay",
		    fleet.most);
}

/* --- findings: where no relay may connect to
 * -------------------------------------------------------
 */

/* What is not known may be good. */
static bool
is_fenced(const struct mx_host *host)
{
	for (size_t i = 0; i < host->address_count; i++)
		if (host->fenced[i] == NULL)
			return false;
	return host->address_count > 0 && !host->half;
}

/* Does a customer's server stand before the relays that they may deliver to, as far as is known? */
static bool
is_deliverable(const struct judge *j)
{
	const struct span fleet = span_of(j, true);

	for (size_t i = 0; i < j->facts->host_count; i++) {
		const struct mx_host *host = &j->facts->hosts[i];

		if (j->roles[i] == MX_ROLE_PRIMARY && !is_fenced(host) &&
		    (host->address_count > 0 || host->lookup == RESOLVER_CANNOT_TELL) &&
		    (!in_span(&fleet) || host->preference < fleet.least))
			return true;
	}
	return j->facts->cut;
}

/* `127.0.0.1 (loopback address), 10.0.0.1 (private address)`, as many as there is room for. */
static const char *
fenced_text(const struct mx_host *host, char out[200])
{
	char text[IP_TEXT_SIZE];
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < host->address_count && used + IP_TEXT_SIZE + 40 < 200; i++)
		used += (size_t)snprintf(out + used, 200 - used, "%s%s (%s)", i > 0 ? ", " : "",
		    ip_format(&host->addresses[i], text), host->fenced[i]);
	return out;
}

/* The row's next hops count instead of the MX records, where it has them. */
static void
judge_fenced(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const bool deliverable = is_deliverable(j);
	char text[200];

	for (size_t i = 0; i < facts->host_count && facts->next_hops[0] == '\0'; i++) {
		if (j->roles[i] != MX_ROLE_PRIMARY || !is_fenced(&facts->hosts[i]) ||
		    seen_before(facts, i))
			continue;
		find_as(j, MX_ISSUE_TARGET_FENCED, deliverable ? MX_WARNING : MX_ERROR,
		    "no relay may connect to %s: %s%s", facts->hosts[i].name,
		    fenced_text(&facts->hosts[i], text),
		    deliverable ? "" : "; what they take they cannot deliver, and it expires");
	}
}

/* --- findings: MTA-STS and next hops
 * -------------------------------------------------------------- */

/* Does a record name it, be it as it should or not? */
static bool
is_found(const struct mx_facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->host_count; i++)
		if (strcmp(facts->hosts[i].name, name) == 0)
			return true;
	return false;
}

/* Is the row's host one of an earlier row, too? */
static bool
expected_before(const struct mx_verdict *out, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(out->expected[i].host, out->expected[index].host) == 0)
			return true;
	return false;
}

static void
judge_policy_found(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const struct mta_sts_policy *policy = facts->policy;
	const bool enforced = policy->mode == MTA_STS_ENFORCE;

	for (size_t i = 0; i < facts->host_count; i++) {
		const struct mx_host *host = &facts->hosts[i];
		const bool fleet = is_fleet(j->roles[i]);

		if (j->roles[i] == MX_ROLE_NOTHING || seen_before(facts, i) ||
		    mta_sts_permits(policy, host->name))
			continue;
		find_as(j, fleet ? MX_ISSUE_STS_RELAY : MX_ISSUE_STS_PRIMARY,
		    enforced ? MX_ERROR : MX_WARNING,
		    "the MTA-STS policy (%s) leaves %s out: senders who follow it %s; add `mx: %s`",
		    mta_sts_mode_name(policy->mode), host->name,
		    enforced ? "do not deliver there"
			     : "report it, and will not deliver there once it "
			       "is enforced",
		    host->name);
	}
}

/* What is to be added to the zone must be in the policy before. Nobody goes there yet: a warning.
 */
static void
judge_policy_expected(struct judge *j)
{
	const struct mta_sts_policy *policy = j->facts->policy;
	const struct mx_verdict *out = j->out;

	for (size_t i = 0; i < out->expected_count; i++) {
		const struct mx_row *row = &out->expected[i];

		if (row->host[0] == '\0' || is_found(j->facts, row->host) ||
		    expected_before(out, i) || mta_sts_permits(policy, row->host))
			continue;
		find_as(j, is_fleet(row->role) ? MX_ISSUE_STS_RELAY : MX_ISSUE_STS_PRIMARY,
		    MX_WARNING,
		    "the MTA-STS policy (%s) leaves %s out, which the MX records should name: add "
		    "`mx: %s` to it before they change",
		    mta_sts_mode_name(policy->mode), row->host, row->host);
	}
}

static void
judge_sts(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const char *problem = facts->sts_problem != NULL ? facts->sts_problem : "no answer";

	switch (facts->sts) {
	case MX_STS_NOT_ASKED:
	case MX_STS_ABSENT: return;
	case MX_STS_POLICY:
		judge_policy_found(j);
		judge_policy_expected(j);
		return;
	case MX_STS_BROKEN:
		find(j, MX_ISSUE_STS_BROKEN,
		    "there is an MTA-STS record, but the policy is not valid: %s", problem);
		return;
	case MX_STS_CANNOT_TELL:
		find(j, MX_ISSUE_STS_DNS, "the MTA-STS policy could not be read: %s", problem);
		return;
	}
}

/* --- the rows that would be right
 * ----------------------------------------------------------------- */

static int
compare_rows(const void *a, const void *b)
{
	const struct mx_row *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return strcmp(x->host, y->host);
}

static void
expect(struct judge *j, const char *host, unsigned preference, enum mx_role role)
{
	struct mx_verdict *out = j->out;

	for (size_t i = 0; i < out->expected_count; i++)
		if (out->expected[i].preference == preference &&
		    strcmp(out->expected[i].host, host) == 0)
			return;
	if (out->expected_count == MX_ROWS_MOST || preference > PREFERENCE_MOST)
		return;
	struct mx_row *row = &out->expected[out->expected_count++];
	snprintf(row->host, sizeof(row->host), "%s", host);
	row->preference = (uint16_t)preference;
	row->role = role;
}

/* An MX record must name a host itself, no alias of it. */
static const char *
proper_name(const struct mx_host *host)
{
	return host->canonical[0] != '\0' ? host->canonical : host->name;
}

/* The relays that may be named, at one preference. */
static void
expect_relays(struct judge *j, unsigned preference)
{
	const struct mx_facts *facts = j->facts;
	char name[DOMAIN_SIZE];

	for (size_t i = 0; i < facts->host_count; i++)
		if (j->roles[i] == MX_ROLE_SELF || j->roles[i] == MX_ROLE_RELAY)
			expect(j, proper_name(&facts->hosts[i]), preference, j->roles[i]);
	for (size_t i = 0; i < facts->relay_count && i < MX_HOSTS_MOST; i++) {
		if (j->named[i] || !facts->relays[i].permitted)
			continue;
		first_name(&facts->relays[i], name);
		expect(j, name, preference, role_of_relay(&facts->relays[i]));
	}
}

/* Do the customer's records stand well around the relays as they are? */
static bool
order_is_kept(const struct judge *j)
{
	const struct span primary = span_of(j, false), fleet = span_of(j, true);

	if (!in_span(&primary) || !in_span(&fleet) || fleet.least != fleet.most ||
	    primary.least >= fleet.least ||
	    (primary.most <= fleet.most && fleet.most + STEP > PREFERENCE_MOST))
		return false;
	for (size_t i = 0; i < j->facts->host_count; i++)
		if (j->roles[i] == MX_ROLE_PRIMARY && j->facts->hosts[i].preference == fleet.least)
			return false;
	return true;
}

static void
expect_kept(struct judge *j)
{
	const struct span primary = span_of(j, false), fleet = span_of(j, true);

	for (size_t i = 0; i < j->facts->host_count; i++)
		if (j->roles[i] == MX_ROLE_PRIMARY)
			expect(j, proper_name(&j->facts->hosts[i]), j->facts->hosts[i].preference,
			    MX_ROLE_PRIMARY);
	expect_relays(j, fleet.least);
	if (primary.most <= fleet.most)
		expect(j, proper_name(primary.host), fleet.most + STEP, MX_ROLE_PRIMARY);
}

/* The lowest preference of a host. */
static unsigned
lowest(const struct mx_facts *facts, const char *name)
{
	unsigned least = PREFERENCE_MOST;

	for (size_t i = 0; i < facts->host_count; i++)
		if (strcmp(facts->hosts[i].name, name) == 0 && facts->hosts[i].preference < least)
			least = facts->hosts[i].preference;
	return least;
}

/* The customer's first server; without an MX record the domain's own address, if it is not one of
   ours. "": nobody knows. */
static const char *
first_server(const struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const struct span primary = span_of(j, false);

	if (in_span(&primary))
		return proper_name(primary.host);
	for (size_t i = 0; i < facts->relay_count; i++)
		if (match_relay(facts, &facts->itself, &facts->relays[i]) != MATCH_NOT)
			return "";
	if (facts->itself.lookup != RESOLVER_FOUND)
		return "";
	return facts->itself.canonical[0] != '\0' ? facts->itself.canonical : facts->domain;
}

/* The customer's servers at their lowest preference, the relays behind them, the first one last. */
static void
expect_anew(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	const struct span primary = span_of(j, false);
	unsigned highest = 0, front = 0;
	const char *first = first_server(j);

	for (size_t i = 0; i < facts->host_count; i++)
		if (j->roles[i] == MX_ROLE_PRIMARY && lowest(facts, facts->hosts[i].name) > highest)
			highest = lowest(facts, facts->hosts[i].name);
	const bool renumber = highest + 2 * STEP > PREFERENCE_MOST;
	for (size_t i = 0; i < facts->host_count; i++) {
		if (j->roles[i] != MX_ROLE_PRIMARY || seen_before(facts, i))
			continue;
		const unsigned own = lowest(facts, facts->hosts[i].name);
		const unsigned preference = !renumber              ? own
					    : own == primary.least ? STEP
								   : 2 * STEP;
		expect(j, proper_name(&facts->hosts[i]), preference, MX_ROLE_PRIMARY);
		front = preference > front ? preference : front;
	}
	if (!in_span(&primary)) {
		front = STEP;
		expect(j, first, front, MX_ROLE_PRIMARY);
	}
	expect_relays(j, front + STEP);
	expect(j, first, front + 2 * STEP, MX_ROLE_PRIMARY);
}

static void
fill_found(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	struct mx_verdict *out = j->out;

	for (size_t i = 0; i < facts->host_count; i++) {
		struct mx_row *row = &out->found[out->found_count++];

		snprintf(row->host, sizeof(row->host), "%s", facts->hosts[i].name);
		row->preference = facts->hosts[i].preference;
		row->role = j->roles[i];
	}
	qsort(out->found, out->found_count, sizeof(out->found[0]), compare_rows);
	out->found_size = answer_size(facts->domain, out->found, out->found_count);
}

/* Nothing in place of records that were not read. */
static void
fill_expected(struct judge *j)
{
	const struct mx_facts *facts = j->facts;
	struct mx_verdict *out = j->out;

	out->cut = facts->cut;
	if (facts->cut)
		return;
	if (order_is_kept(j))
		expect_kept(j);
	else
		expect_anew(j);
	qsort(out->expected, out->expected_count, sizeof(out->expected[0]), compare_rows);
	for (size_t i = 0; i < out->found_count; i++)
		for (size_t k = 0; k < out->expected_count; k++)
			if (out->found[i].role != MX_ROLE_NOTHING &&
			    compare_rows(&out->found[i], &out->expected[k]) == 0)
				out->found[i].matches = out->expected[k].matches = true;
	out->expected_size = answer_size(facts->domain, out->expected, out->expected_count);
}

bool
mx_rows_differ(const struct mx_verdict *verdict)
{
	bool differ = false;

	for (size_t i = 0; !verdict->cut && i < verdict->expected_count; i++)
		differ = differ || !verdict->expected[i].matches;
	for (size_t i = 0; !verdict->cut && i < verdict->found_count; i++)
		differ = differ || !verdict->found[i].matches;
	return differ;
}

static void
judge_sizes(struct judge *j)
{
	const struct mx_verdict *out = j->out;

	if (out->found_size > MX_ANSWER_MOST)
		find(j, MX_ISSUE_SIZE,
		    "the answer takes %s%zu bytes of DNS message, more than %u: who cannot do EDNS "
		    "or TCP does not get all of it",
		    out->cut ? "at least " : "", out->found_size, (unsigned)MX_ANSWER_MOST);
	if (out->expected_size > MX_ANSWER_MOST && mx_rows_differ(out))
		find(j, MX_ISSUE_PROPOSAL_SIZE,
		    "with the records that are proposed the answer would take %zu bytes of DNS "
		    "message, more than %u: leave out servers that are not needed, or shorten "
		    "their names",
		    out->expected_size, (unsigned)MX_ANSWER_MOST);
}

/* --- the whole
 * -------------------------------------------------------------------------------------- */

static enum mx_outcome
outcome_of(const struct mx_verdict *verdict)
{
	enum mx_outcome outcome = MX_GOOD;

	for (size_t i = 0; i < verdict->finding_count; i++) {
		const enum mx_severity severity = verdict->findings[i].severity;

		if (severity >= MX_WARNING)
			return MX_FINDINGS;
		if (severity == MX_CANNOT_TELL)
			outcome = MX_OUTCOME_CANNOT_TELL;
	}
	return outcome;
}

void
mx_judge(const struct mx_facts *facts, struct mx_verdict *out)
{
	struct judge j = {.facts = facts, .out = out};

	memset(out, 0, sizeof(*out));
	out->state = mx_judge_state(facts);
	if (judge_lookup(&j)) {
		for (size_t i = 0; i < facts->host_count; i++)
			find_role(&j, i);
		judge_null(&j);
		for (size_t i = 0; i < facts->host_count; i++)
			judge_target(&j, i);
		judge_named(&j);
		judge_order(&j);
		judge_fenced(&j);
		fill_found(&j);
		fill_expected(&j);
		judge_sizes(&j);
	}
	judge_sts(&j);
	if (facts->next_hop_problem != NULL)
		find(&j, MX_ISSUE_NEXT_HOP, "a next hop of the row cannot be used: %s",
		    facts->next_hop_problem);
	out->outcome = outcome_of(out);
}

const char *
mx_zone_line(const char *domain, const struct mx_row *row, char out[MX_LINE_SIZE])
{
	if (row->host[0] == '\0')
		snprintf(out, MX_LINE_SIZE, "; %s. IN MX %u NAME-OF-THE-CUSTOMER'S-SERVER.", domain,
		    (unsigned)row->preference);
	else
		snprintf(out, MX_LINE_SIZE, "%s. IN MX %u %s.", domain, (unsigned)row->preference,
		    row->host);
	return out;
}
