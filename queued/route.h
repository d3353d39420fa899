/*
 * route: from a domain's row and DNS answers to the endpoints that Postfix would deliver to, in its
 * order. Pure: it says which answers it lacks, the caller asks for them and calls again.
 *
 * As smtp(8) does it: next hops one after the other; `[host]` and `[host]:port` have no MX lookup,
 * `host` and `host:port` do; no MX records: the address records of the name itself; null MX:
 * nowhere; this relay among the exchangers: it and all that are not better are cut off. All of it
 * behind the fence, so that no relay of the fleet and no special address is ever asked.
 */
#ifndef MXHOLD_QUEUED_ROUTE_H
#define MXHOLD_QUEUED_ROUTE_H

#include "core/fence.h"
#include "core/resolver.h"
#include "core/state.h"

#define ROUTE_ENDPOINTS 8 /* Postfix tries 5 addresses (smtp_mx_address_limit) */
#define ROUTE_NEEDS 64    /* questions of one route */
#define ROUTE_HOSTS 16    /* exchangers that are looked up */

struct route_endpoint {
	char name[DOMAIN_SIZE];
	struct ip address;
	uint16_t port;
};

enum route_verdict {
	ROUTE_FOUND,       /* at least one endpoint */
	ROUTE_NOWHERE,     /* certainly none: `why` says so */
	ROUTE_CANNOT_TELL, /* the DNS does not tell */
	ROUTE_NEEDS_MORE,  /* needs[] are to be asked first */
};

struct route_need {
	char name[DOMAIN_SIZE];
	enum resolver_type type;
};

struct route {
	enum route_verdict verdict;
	char why[STATE_TEXT_SIZE]; /* "" where there are endpoints */
	struct route_endpoint endpoint[ROUTE_ENDPOINTS];
	size_t count;
	uint32_t ttl; /* seconds for which this holds, by the answers used */
	struct route_need need[ROUTE_NEEDS];
	size_t need_count;
};

/* What is known of one question. `records` may be NULL where count is 0. */
struct route_answer {
	enum resolver_outcome outcome;
	bool bogus; /* CANNOT_TELL, since DNSSEC signatures fail */
	uint32_t ttl;
	const struct dns_record *records;
	size_t count;
};

struct route_request {
	const char *domain;    /* of the recipients */
	const char *next_hops; /* of the row; "": by MX */
	const struct fleet *fleet;
	const struct fence_networks *allow;
	bool use4, use6; /* inet_protocols */
	uint16_t port;   /* of smtp: 25 */
	/* The answer to a question; NULL: not asked yet. */
	const struct route_answer *(*find)(
	    void *context, const char *name, enum resolver_type type);
	void *context;
};

void route_find(const struct route_request *request, struct route *out);

#endif
