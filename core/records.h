/*
 * records: what the snapshot holds about a domain, a customer and a relay, and the state's facts,
 * as plain data. Absent limits are 0 and inherit: domain, then customer, then the relay's default.
 */
#ifndef MXHOLD_CORE_RECORDS_H
#define MXHOLD_CORE_RECORDS_H

#include "core/domain.h"

#include <stdbool.h>
#include <stdint.h>

#define CUSTOMER_SIZE 65    /* name of a customer, with NUL */
#define REGION_SIZE 33      /* name of a region, with NUL */
#define REGIONS_SIZE 1024   /* region names separated by single blanks, with NUL */
#define NEXT_HOPS_SIZE 1024 /* next hops, ", " between them, with NUL */
#define RELAY_NAMES_SIZE 2048
#define HOLD_REASON_SIZE 129         /* why mail is held back, with NUL */
#define PIN_SIZE 257                 /* a pinned banner or certificate, with NUL */
#define SIZE_LIMIT_DEFAULT 10485760u /* bytes of content: 10 MB */

enum oversize { OVERSIZE_INHERIT, OVERSIZE_REJECT, OVERSIZE_DEFER };
enum primary_up { PRIMARY_UP_INHERIT, PRIMARY_UP_ACCEPT, PRIMARY_UP_DEFER };
enum mx_check { MX_CHECK_INHERIT, MX_CHECK_ON, MX_CHECK_OFF };
enum refused { REFUSED_INHERIT, REFUSED_JUDGE, REFUSED_KEEP }; /* what the primary refuses */

struct limits {
	uint64_t size_limit;     /* bytes of content; 0: inherit */
	uint64_t quota_messages; /* 0: inherit */
	uint64_t quota_bytes;    /* 0: inherit */
	uint32_t retention;      /* seconds; 0: inherit */
	enum oversize oversize;
	enum primary_up when_primary_up;
	enum mx_check mx_check;
	enum refused refused;
};

struct domain_record {
	char customer[CUSTOMER_SIZE];
	bool include_subdomains;
	bool suspended;
	bool tls_required;
	bool hops_withheld; /* the row has next hops, but not for this relay's region */
	int64_t retired_at; /* seconds since the epoch; 0: not retired */
	/* When include_subdomains was withdrawn (0: it was not): the subdomains retired then, and
	   their held mail needs a row. Kept by the snapshot's writer; the feed leaves it 0. */
	int64_t subdomains_retired_at;
	int64_t hold_until; /* a declared maintenance: mail waits until then; INT64_MAX: until
			       changed */
	char hold_reason[HOLD_REASON_SIZE];
	/* Only a primary that shows these gets mail. "": not pinned. */
	char pin_certificate[PIN_SIZE]; /* SHA-256 of its public key (SPKI), 64 hex digits */
	char pin_banner[PIN_SIZE];      /* text that its banner begins with, behind the code */
	struct limits limits;
	char regions[REGIONS_SIZE];     /* narrows the customer's; "": all of them */
	char next_hops[NEXT_HOPS_SIZE]; /* "": by MX */
};

struct customer_record {
	bool suspended;
	int64_t retired_at; /* as above: a customer leaves only through retired too */
	struct limits limits;
	char regions[REGIONS_SIZE]; /* where his mail may be held; "": nowhere */
};

struct relay_record {
	char region[REGION_SIZE];
	char names[RELAY_NAMES_SIZE];     /* published names, normal form, single blanks */
	char addresses[RELAY_NAMES_SIZE]; /* published addresses, single blanks */
};

/* Facts of the state, written by mxhold-queued. A fact that is not known never refuses. */
enum mx_state { MX_STATE_UNKNOWN, MX_STATE_NAMED, MX_STATE_NOT_NAMED };

struct state_facts {
	enum mx_state mx; /* do the domain's MX records name this relay? */
	uint64_t held_messages;
	uint64_t held_bytes;
	bool primary_is_up;       /* confirmed */
	bool sender_keeps_trying; /* rule 10: first seen 5 minutes ago or more */
};

/* Does a list of blank-separated names hold `name`? */
bool records_list_has(const char *list, const char *name);

#endif
