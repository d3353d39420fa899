/*
 * route: see route.h. What Postfix does is in its smtp_connect.c and smtp_addr.c (3.7); where it
 * shuffles exchangers of one preference, they stand in the order of their names here, so that
 * domains that share a primary find the same endpoints.
 */
#include "queued/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TTL_MAX 3600
#define NO_PREFERENCE 65536 /* worse than each */

struct exchanger {
	uint16_t preference;
	char host[DOMAIN_SIZE]; /* "": `address` */
	struct ip address;
};

struct exchangers {
	struct exchanger list[ROUTE_HOSTS];
	size_t count;
	size_t fenced;      /* left out by the fence */
	unsigned odd_least; /* preference of those whose name is none */
};

/* One address of an exchanger, or of a host. */
struct candidate {
	uint16_t preference;
	bool self;
	struct route_endpoint endpoint;
};

struct candidates {
	struct candidate list[4 * ROUTE_HOSTS];
	size_t count, fenced;
	/* The best preference of those of which nothing is here: */
	unsigned fenced_least; /* the fence leaves an address out, */
	unsigned untold_least; /* an answer was "cannot tell", */
	unsigned bare_least;   /* there is no address */
};

#define NO_CANDIDATES                                                                              \
	{                                                                                          \
		.fenced_least = NO_PREFERENCE, .untold_least = NO_PREFERENCE,                      \
		.bare_least = NO_PREFERENCE                                                        \
	}

struct search {
	const struct route_request *request;
	struct route *route;
};

struct hop {
	char host[DOMAIN_SIZE];
	bool literal; /* no MX lookup */
	struct ip address;
	uint16_t port;
};

/* --- asking --------------------------------------------------------------------------------------
 */

static void
need(struct search *search, const char *name, enum resolver_type type)
{
	struct route *route = search->route;

	for (size_t i = 0; i < route->need_count; i++) {
		if (route->need[i].type == type && strcmp(route->need[i].name, name) == 0)
			return;
	}
	if (route->need_count == ROUTE_NEEDS)
		return;
	route->need[route->need_count].type = type;
	(void)snprintf(route->need[route->need_count].name, DOMAIN_SIZE, "%s", name);
	route->need_count++;
}

/* The answer; NULL: it is needed first. */
static const struct route_answer *
ask(struct search *search, const char *name, enum resolver_type type)
{
	const struct route_request *request = search->request;
	const struct route_answer *answer = request->find(request->context, name, type);

	if (answer == NULL)
		need(search, name, type);
	else if (answer->outcome != RESOLVER_CANNOT_TELL && answer->ttl < search->route->ttl)
		search->route->ttl = answer->ttl;
	return answer;
}

/* Several next hops: what was wrong with each. */
static void
explain(struct search *search, const char *name, const char *problem)
{
	struct route *route = search->route;
	size_t used = strlen(route->why);

	(void)snprintf(route->why + used, sizeof(route->why) - used, "%s%s: %s",
	    used > 0 ? "; " : "", name, problem);
}

/* --- addresses -----------------------------------------------------------------------------------
 */

static void
note_least(unsigned *least, unsigned preference)
{
	if (*least > preference)
		*least = preference;
}

static void
add_candidate(struct search *search, struct candidates *candidates, uint16_t preference,
    const char *name, const struct ip *address, uint16_t port)
{
	const struct route_request *request = search->request;
	const struct dns_record record = {
	    .type = address->family == 4 ? DNS_A : DNS_AAAA, .address = *address};
	struct candidate *candidate = &candidates->list[candidates->count];

	if (fence_record(&record, request->fleet, request->allow).drop) {
		note_least(&candidates->fenced_least, preference);
		candidates->fenced++;
		return;
	}
	if (candidates->count == sizeof(candidates->list) / sizeof(candidates->list[0]))
		return;
	*candidate = (struct candidate){.preference = preference,
	    .self = port == request->port && fleet_address(request->fleet, address) == FLEET_SELF,
	    .endpoint = {.address = *address, .port = port}};
	(void)snprintf(candidate->endpoint.name, DOMAIN_SIZE, "%s", name);
	candidates->count++;
}

static void
add_host(struct search *search, struct candidates *candidates, uint16_t preference,
    const char *host, uint16_t port)
{
	const enum resolver_type types[] = {RESOLVER_AAAA, RESOLVER_A};
	const bool use[] = {search->request->use6, search->request->use4};
	bool bare = true;

	for (size_t i = 0; i < 2; i++) {
		const struct route_answer *answer = use[i] ? ask(search, host, types[i]) : NULL;
		if (answer == NULL)
			continue;
		if (answer->outcome == RESOLVER_CANNOT_TELL)
			note_least(&candidates->untold_least, preference);
		if (answer->outcome == RESOLVER_CANNOT_TELL || answer->count > 0)
			bare = false;
		for (size_t j = 0; j < answer->count; j++)
			add_candidate(search, candidates, preference, host,
			    &answer->records[j].address, port);
	}
	if (bare)
		note_least(&candidates->bare_least, preference);
}

static int
compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int by_name;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	by_name = strcmp(a->endpoint.name, b->endpoint.name);
	if (by_name != 0)
		return by_name;
	if (a->endpoint.address.family != b->endpoint.address.family)
		return a->endpoint.address.family > b->endpoint.address.family ? -1 : 1;
	return memcmp(a->endpoint.address.bytes, b->endpoint.address.bytes, 16);
}

/*
 * This relay, and what is not better than it, is cut off. The preference of what is: NO_PREFERENCE
 * where this relay was not among them.
 */
static unsigned
cut_at_self(struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->count; i++) {
		if (!candidates->list[i].self)
			continue;
		uint16_t own = candidates->list[i].preference;
		while (i > 0 && candidates->list[i - 1].preference == own)
			i--;
		candidates->count = i;
		return own;
	}
	return NO_PREFERENCE;
}

static bool
endpoint_known(const struct route *route, const struct route_endpoint *endpoint)
{
	for (size_t i = 0; i < route->count; i++) {
		if (route->endpoint[i].port == endpoint->port &&
		    ip_equal(&route->endpoint[i].address, &endpoint->address))
			return true;
	}
	return false;
}

/* Why nobody is left of those better than `own`; of all, where this relay is not among them. */
static const char *
nobody_left(const struct candidates *candidates, unsigned own)
{
	const bool self = own != NO_PREFERENCE;

	if (candidates->untold_least < own)
		return self ? "the DNS does not tell the addresses of those that are better than "
			      "this relay"
			    : "the DNS does not tell the addresses";
	if (self && candidates->fenced_least < own)
		return "no address of those that are better than this relay is one that a relay "
		       "may use";
	if (self && candidates->bare_least < own)
		return "no exchanger that is better than this relay has an address";
	if (self)
		return "no exchanger is better than this relay";
	return candidates->fenced > 0 ? "no address is one that a relay may use"
				      : "no exchanger has an address";
}

/* Sorts, cuts, and appends to the route. `name` is the next hop, for words. */
static void
take_candidates(struct search *search, struct candidates *candidates, const char *name)
{
	struct route *route = search->route;

	qsort(candidates->list, candidates->count, sizeof(candidates->list[0]), compare_candidates);
	const unsigned own = cut_at_self(candidates);
	for (size_t i = 0; i < candidates->count && route->count < ROUTE_ENDPOINTS; i++) {
		if (!endpoint_known(route, &candidates->list[i].endpoint))
			route->endpoint[route->count++] = candidates->list[i].endpoint;
	}
	if (candidates->count > 0)
		return;
	if (candidates->untold_least < own)
		route->verdict = ROUTE_CANNOT_TELL;
	explain(search, name, nobody_left(candidates, own));
}

/* --- exchangers ----------------------------------------------------------------------------------
 */

static int
compare_exchangers(const void *left, const void *right)
{
	const struct exchanger *a = left, *b = right;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return strcmp(a->host, b->host);
}

/* Takes the record in if it is among the best ROUTE_HOSTS. */
static void
add_exchanger(struct exchangers *exchangers, const struct exchanger *exchanger)
{
	struct exchanger *list = exchangers->list;

	if (exchangers->count == ROUTE_HOSTS) {
		if (compare_exchangers(exchanger, &list[ROUTE_HOSTS - 1]) >= 0)
			return;
		exchangers->count--;
	}
	list[exchangers->count++] = *exchanger;
	qsort(list, exchangers->count, sizeof(list[0]), compare_exchangers);
}

/* False: null MX. */
static bool
read_exchangers(
    struct search *search, const struct route_answer *answer, struct exchangers *exchangers)
{
	const struct route_request *request = search->request;

	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];
		struct exchanger exchanger = {
		    .preference = record->preference, .address = record->address};
		if (record->null_mx && answer->count == 1)
			return false;
		if (fence_record(record, request->fleet, request->allow).drop) {
			exchangers->fenced++;
			continue;
		}
		if (record->null_mx)
			continue;
		if (record->host_odd && record->address.family == 0) {
			note_least(&exchangers->odd_least, record->preference);
			continue;
		}
		if (record->address.family == 0)
			(void)snprintf(exchanger.host, DOMAIN_SIZE, "%s", record->host);
		add_exchanger(exchangers, &exchanger);
	}
	return true;
}

static void
go_to_exchangers(struct search *search, const struct hop *hop, const struct exchangers *exchangers)
{
	struct candidates candidates = NO_CANDIDATES;
	char text[IP_TEXT_SIZE];

	candidates.fenced = exchangers->fenced;
	candidates.bare_least = exchangers->odd_least;
	for (size_t i = 0; i < exchangers->count; i++) {
		const struct exchanger *exchanger = &exchangers->list[i];
		if (exchanger->address.family != 0)
			add_candidate(search, &candidates, exchanger->preference,
			    ip_format(&exchanger->address, text), &exchanger->address, hop->port);
		else
			add_host(
			    search, &candidates, exchanger->preference, exchanger->host, hop->port);
	}
	take_candidates(search, &candidates, hop->host);
}

static void
go_to_host(struct search *search, const struct hop *hop)
{
	struct candidates candidates = NO_CANDIDATES;

	add_host(search, &candidates, 0, hop->host, hop->port);
	take_candidates(search, &candidates, hop->host);
}

static void
go_by_mx(struct search *search, const struct hop *hop)
{
	const struct route_answer *answer = ask(search, hop->host, RESOLVER_MX);
	struct exchangers exchangers = {.odd_least = NO_PREFERENCE};

	if (answer == NULL)
		return;
	switch (answer->outcome) {
	case RESOLVER_FOUND:
		if (read_exchangers(search, answer, &exchangers))
			go_to_exchangers(search, hop, &exchangers);
		else
			explain(search, hop->host, "null MX: it takes no mail");
		return;
	case RESOLVER_NODATA: go_to_host(search, hop); return;
	case RESOLVER_NXDOMAIN: explain(search, hop->host, "no such domain"); return;
	case RESOLVER_CANNOT_TELL: break;
	}
	search->route->verdict = ROUTE_CANNOT_TELL;
	explain(search, hop->host,
	    answer->bogus ? "the DNSSEC signatures of its MX records fail"
			  : "the DNS does not tell the MX records");
}

/* --- next hops -----------------------------------------------------------------------------------
 */

/* `text` is one that the fence could read: its form is good. */
static bool
read_hop(const char *text, size_t length, uint16_t port, struct hop *out)
{
	static const char tag[] = "IPv6:";
	const char *end = text + length, *host = text, *stop;
	size_t skip = strlen(tag);

	*out = (struct hop){.port = port, .literal = text[0] == '['};
	if (out->literal)
		host++;
	stop = memchr(host, out->literal ? ']' : ':', (size_t)(end - host));
	if (stop == NULL)
		stop = end;
	const char *colon = memchr(stop, ':', (size_t)(end - stop));
	if (colon != NULL)
		out->port = (uint16_t)strtoul(colon + 1, NULL, 10);
	if ((size_t)(stop - host) > skip && strncasecmp(host, tag, skip) == 0)
		host += skip;
	if (ip_parse_host(host, (size_t)(stop - host), &out->address)) {
		out->literal = true;
		(void)snprintf(out->host, sizeof(out->host), "%.*s", (int)(stop - host), host);
		return out->port != 0;
	}
	return domain_normalise_host(host, (size_t)(stop - host), out->host) && out->port != 0;
}

/* An address as a next hop was judged by fence_next_hop already. */
static void
go_to_address(struct search *search, const struct hop *hop)
{
	struct route *route = search->route;
	struct route_endpoint endpoint = {.address = hop->address, .port = hop->port};

	(void)snprintf(endpoint.name, sizeof(endpoint.name), "%s", hop->host);
	if (!endpoint_known(route, &endpoint) && route->count < ROUTE_ENDPOINTS)
		route->endpoint[route->count++] = endpoint;
}

static void
go_by_hop(struct search *search, const char *text, size_t length)
{
	const struct route_request *request = search->request;
	const struct fence_verdict verdict =
	    fence_next_hop(text, length, request->fleet, request->allow);
	struct hop hop;

	if (verdict.drop) {
		explain(search, "a next hop is not used", verdict.reason);
		return;
	}
	if (!read_hop(text, length, request->port, &hop)) {
		explain(search, "a next hop is not used", "it cannot be read");
		return;
	}
	if (hop.address.family != 0)
		go_to_address(search, &hop);
	else if (hop.literal)
		go_to_host(search, &hop);
	else
		go_by_mx(search, &hop);
}

static void
go_by_hops(struct search *search)
{
	const char *at = search->request->next_hops;

	while (*at != '\0') {
		size_t length;
		at += strspn(at, ", \t");
		length = strcspn(at, ", \t");
		if (length > 0)
			go_by_hop(search, at, length);
		at += length;
	}
}

void
route_find(const struct route_request *request, struct route *out)
{
	struct search search = {.request = request, .route = out};
	struct hop hop = {.port = request->port};

	memset(out, 0, sizeof(*out));
	out->verdict = ROUTE_NOWHERE;
	out->ttl = TTL_MAX;
	if (request->next_hops[0] != '\0') {
		go_by_hops(&search);
	} else {
		(void)snprintf(hop.host, sizeof(hop.host), "%s", request->domain);
		go_by_mx(&search, &hop);
	}
	if (out->need_count > 0) {
		out->verdict = ROUTE_NEEDS_MORE;
		out->why[0] = '\0';
	} else if (out->count > 0) {
		out->verdict = ROUTE_FOUND;
		out->why[0] = '\0';
	}
}
