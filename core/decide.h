/*
 * decide: the rules at RCPT TO (docs/decisions.md), as one pure function of facts.
 *
 * In: what was found about recipient, client, domain, customer and state. Out: a verdict with SMTP
 * code, enhanced code (RFC 3463), text and the rule that decided. It has no clock, no descriptor
 * and no allocation. It must never answer 5xx for what could not be told.
 */
#ifndef MXHOLD_CORE_DECIDE_H
#define MXHOLD_CORE_DECIDE_H

#include "core/address.h"
#include "core/records.h"

enum decide_rule { /* numbers are part of the logs and of mxholdctl's output */
	RULE_ODD_ADDRESS = 0,
	RULE_FLEET_CLIENT = 1,
	RULE_NO_SNAPSHOT = 2,
	RULE_UNKNOWN_STALE = 3,
	RULE_UNKNOWN = 4,
	RULE_RETIRED = 5,
	RULE_SUSPENDED = 6,
	RULE_REGION = 7,
	RULE_MX = 8,
	RULE_QUOTA = 9,
	RULE_PRIMARY_UP = 10,
	RULE_SIZE = 11,
	RULE_AUTHORISED = 12,
};

enum verdict_kind {
	VERDICT_PERMIT,   /* rule 12 */
	VERDICT_DEFER,    /* 4xx */
	VERDICT_REJECT,   /* 5xx: the sender's own fault (size, bytes of the local part) */
	VERDICT_NOT_OURS, /* rule 4: the domain is certainly not ours; Postfix decides */
	/*
	 * Later. Rules 2 and 3: nobody knows whether the domain is ours (DEFER_IF_REJECT, so that
	 * other mail of the host goes its way). With any other rule the domain is ours, and that
	 * rule could not be checked for a damaged record: a plain 450, else Postfix would accept.
	 */
	VERDICT_CANNOT_TELL,
};

struct verdict {
	enum verdict_kind kind;
	enum decide_rule rule;
	unsigned code;        /* SMTP reply code; 0 for PERMIT and NOT_OURS */
	const char *enhanced; /* "4.7.1"; "" with code 0 */
	const char *text;     /* static, for the sender: says what, never who is behind it */
};

enum known { KNOWN_NO, KNOWN_YES, KNOWN_UNCLEAR };

struct decide_facts {
	bool never_ours; /* an address literal, or no domain at all: rule 4, whatever else holds */
	bool snapshot_usable;
	bool contact_fresh; /* the authority was heard within stale_after */
	bool address_plain;
	enum address_bytes local_bytes; /* of a plain address; or CONTROL, if all else is plain */
	enum known odd_names_known;     /* only for an address that is not plain */
	enum known domain_known;        /* plain or CONTROL; UNCLEAR: the record was damaged */
	enum known client_is_fleet;     /* UNCLEAR: the fleet's records were damaged */
	const struct domain_record *domain;     /* set when domain_known is YES */
	const struct customer_record *customer; /* NULL: missing or damaged */
	const char *region;                     /* of this relay */
	int64_t now;                            /* seconds since the epoch */
	int64_t queue_lifetime;                 /* seconds a retired row still counts */
	uint64_t declared_size;                 /* bytes; UINT64_MAX: not declared */
	const struct state_facts *state;        /* NULL: absent */
	uint64_t quota_messages, quota_bytes;   /* where no row says; 0: none */
};

struct verdict decide_recipient(const struct decide_facts *facts);

/* What counts for a domain after inheritance; defaults filled in (quota 0: none). */
struct limits decide_limits(
    const struct domain_record *domain, const struct customer_record *customer);

/* At end of message: is `bytes` of content within `limits`? PERMIT, or rule 11's refusal. */
struct verdict decide_content_size(const struct limits *limits, uint64_t bytes);

/* Is mail of this domain permitted in `region`? */
bool decide_region_permitted(
    const struct domain_record *domain, const struct customer_record *customer, const char *region);

/*
 * A retired row counts for as long as mail that came in under it can lie in the queue. Expired, it
 * is unknown to the rules, and must not be a destination for Postfix either. (0: not retired.)
 */
bool decide_retired_expired(int64_t retired_at, int64_t now, int64_t queue_lifetime);

const char *decide_rule_name(enum decide_rule rule);  /* "region", "unknown-stale", ... */
const char *decide_kind_name(enum verdict_kind kind); /* "permit", "defer", ... */

#endif
