/*
 * mx_gather: see mx_gather.h. First MX (and TXT), then A and AAAA of each target at once. What has
 * no answer in time is "cannot tell", and the rest is told all the same.
 */
#include "core/mx_gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERIES_MOST (2 * (MX_HOSTS_MOST + 2) + 2)

struct slot { /* one question */
	struct mx_gather *gather;
	struct resolver_query *query; /* NULL: not asked, or answered */
	struct mx_host *host;         /* A, AAAA: whose addresses */
};

struct mx_gather {
	struct resolver *resolver;
	char domain[DOMAIN_SIZE];
	bool fresh;
	int64_t deadline_ms;
	mx_gather_done *done;
	void *context;
	struct mx_facts facts;
	char problem[128];
	struct slot slots[QUERIES_MOST];
	size_t slot_count;
	size_t open; /* questions without an answer */
	bool asking; /* more of them are about to be asked */
};

static void
release(struct mx_gather *gather)
{
	for (size_t i = 0; i < gather->slot_count; i++)
		if (gather->slots[i].query != NULL)
			resolver_cancel(gather->slots[i].query);
	free(gather);
}

void
mx_gather_cancel(struct mx_gather *gather)
{
	if (gather != NULL)
		release(gather);
}

/* Everything is answered: over to the caller. */
static void
finish_if_done(struct mx_gather *gather)
{
	if (gather->open > 0 || gather->asking)
		return;
	gather->facts.domain = gather->domain;
	gather->facts.problem = gather->problem;
	gather->done(&gather->facts, gather->context);
	release(gather);
}

static bool
ask(struct mx_gather *gather, const char *name, enum resolver_type type, struct mx_host *host,
    resolver_done *done)
{
	if (gather->slot_count == QUERIES_MOST)
		return false;
	struct slot *slot = &gather->slots[gather->slot_count++];
	slot->gather = gather;
	slot->host = host;
	slot->query = resolver_ask(
	    gather->resolver, name, type, gather->fresh, gather->deadline_ms, done, slot);
	gather->open += slot->query != NULL;
	return slot->query != NULL;
}

static struct mx_gather *
answered(struct slot *slot)
{
	slot->query = NULL;
	slot->gather->open--;
	return slot->gather;
}

/* --- addresses ---------------------------------------------------------------------------------
 */

/* Of two answers: an address is an address; else what is not known outweighs what is not there. */
static enum resolver_outcome
both(enum resolver_outcome a, enum resolver_outcome b)
{
	if (a == RESOLVER_FOUND || b == RESOLVER_FOUND)
		return RESOLVER_FOUND;
	if (a == RESOLVER_CANNOT_TELL || b == RESOLVER_CANNOT_TELL)
		return RESOLVER_CANNOT_TELL;
	return a == RESOLVER_NXDOMAIN || b == RESOLVER_NXDOMAIN ? RESOLVER_NXDOMAIN
								: RESOLVER_NODATA;
}

static void
on_address(const struct resolver_answer *answer, void *context)
{
	struct slot *slot = context;
	struct mx_host *host = slot->host;
	struct mx_gather *gather = answered(slot);

	host->lookup = both(host->lookup, answer->outcome);
	host->half = host->half || answer->outcome == RESOLVER_CANNOT_TELL;
	memcpy(host->canonical, answer->canonical, sizeof(host->canonical));
	for (size_t i = 0; i < answer->count && host->address_count < MX_ADDRESSES_MOST; i++)
		host->addresses[host->address_count++] = answer->records[i].dns.address;
	finish_if_done(gather);
}

/* A target with one family that cannot be read may still be us: half an answer says nothing. */
static void
ask_addresses(struct mx_gather *gather, struct mx_host *host)
{
	host->lookup = RESOLVER_NODATA;
	if (!ask(gather, host->name, RESOLVER_A, host, on_address) ||
	    !ask(gather, host->name, RESOLVER_AAAA, host, on_address))
		host->half = true;
}

/* --- MX ------------------------------------------------------------------------------------------
 */

static void
take_mx(struct mx_facts *facts, const struct dns_record *record)
{
	if (facts->host_count == MX_HOSTS_MOST) {
		facts->cut = true;
		return;
	}
	struct mx_host *host = &facts->hosts[facts->host_count++];
	host->preference = record->preference;
	host->null_mx = record->null_mx;
	host->odd = record->host_odd || record->address.family != 0;
	if (record->address.family != 0)
		(void)ip_format(&record->address, host->name);
	else
		snprintf(host->name, sizeof(host->name), "%s", record->host);
}

/* Servers answer in turns: what is found, and said, must not depend on it. */
static int
compare_hosts(const void *left, const void *right)
{
	const struct mx_host *a = left, *b = right;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Targets that are listed twice are asked for twice: the second answer is in the resolver's cache.
 */
static void
ask_targets(struct mx_gather *gather)
{
	struct mx_facts *facts = &gather->facts;

	for (size_t i = 0; i < facts->host_count; i++) {
		struct mx_host *host = &facts->hosts[i];

		host->lookup = RESOLVER_NODATA;
		if (!host->null_mx && !host->odd)
			ask_addresses(gather, host);
	}
}

static void
on_mx(const struct resolver_answer *answer, void *context)
{
	struct mx_gather *gather = answered(context);
	struct mx_facts *facts = &gather->facts;

	facts->mx = answer->outcome;
	facts->dnssec = answer->dnssec;
	facts->bogus = answer->dnssec == RESOLVER_BOGUS;
	facts->cut = answer->cut;
	memcpy(facts->canonical, answer->canonical, sizeof(facts->canonical));
	snprintf(gather->problem, sizeof(gather->problem), "%s", answer->problem);
	for (size_t i = 0; i < answer->count; i++)
		take_mx(facts, &answer->records[i].dns);
	qsort(facts->hosts, facts->host_count, sizeof(facts->hosts[0]), compare_hosts);
	gather->asking = true;
	ask_targets(gather);
	facts->itself.lookup = RESOLVER_NODATA;
	snprintf(facts->itself.name, sizeof(facts->itself.name), "%s", gather->domain);
	if (answer->outcome == RESOLVER_NODATA)
		ask_addresses(gather, &facts->itself);
	gather->asking = false;
	finish_if_done(gather);
}

/* --- MTA-STS -------------------------------------------------------------------------------------
 */

/* The name fits: "_mta-sts." before the domain did. */
static void
ask_policy_host(struct mx_gather *gather)
{
	struct mx_host *host = &gather->facts.sts_host;

	snprintf(host->name, sizeof(host->name), "mta-sts.%.*s", DOMAIN_MAX - 8, gather->domain);
	ask_addresses(gather, host);
}

static void
on_txt(const struct resolver_answer *answer, void *context)
{
	struct mx_gather *gather = answered(context);
	char id[MTA_STS_ID_SIZE];
	size_t records = 0;

	for (size_t i = 0; i < answer->count; i++)
		if (answer->records[i].text != NULL &&
		    mta_sts_record(answer->records[i].text, answer->records[i].text_length, id))
			records++;
	/* RFC 8461, 3.1: with more than one there is no policy. */
	gather->facts.sts = answer->outcome == RESOLVER_CANNOT_TELL ? MX_STS_CANNOT_TELL
			    : records == 1                          ? MX_STS_POLICY
								    : MX_STS_ABSENT;
	if (gather->facts.sts == MX_STS_POLICY)
		ask_policy_host(gather);
	finish_if_done(gather);
}

/* "_mta-sts." before the domain; a domain so long that it does not fit has no such record. */
static void
ask_sts(struct mx_gather *gather)
{
	char name[DOMAIN_SIZE + 16];

	snprintf(name, sizeof(name), "_mta-sts.%s", gather->domain);
	gather->facts.sts = MX_STS_ABSENT;
	if (strlen(name) <= DOMAIN_MAX && !ask(gather, name, RESOLVER_TXT, NULL, on_txt))
		gather->facts.sts = MX_STS_CANNOT_TELL;
}

struct mx_gather *
mx_gather_start(struct resolver *resolver, const struct mx_gather_question *question)
{
	struct mx_gather *gather = calloc(1, sizeof(*gather));

	if (gather == NULL)
		return NULL;
	gather->resolver = resolver;
	gather->fresh = question->fresh;
	gather->deadline_ms = question->deadline_ms;
	gather->done = question->done;
	gather->context = question->context;
	snprintf(gather->domain, sizeof(gather->domain), "%s", question->domain);
	if (!ask(gather, gather->domain, RESOLVER_MX, NULL, on_mx)) {
		release(gather);
		return NULL;
	}
	if (question->sts)
		ask_sts(gather);
	return gather;
}
