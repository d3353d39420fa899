/*
 * mx_judge: is a domain's MX set as a cloud backup needs it? Pure: facts in (what the DNS said, the
 * fleet, an MTA-STS policy), findings and the corrected rows out.
 *
 * Wanted: the customer's own server first, the fleet's names of his regions at one common
 * preference behind it, his own server again last; this relay among them; an answer of at most 512
 * bytes. What could not be read is "cannot tell", never "not named".
 */
#ifndef MXHOLD_CORE_MX_JUDGE_H
#define MXHOLD_CORE_MX_JUDGE_H

#include "core/mta_sts.h"
#include "core/records.h"
#include "core/resolver.h"

#define MX_HOSTS_MOST 64
#define MX_ADDRESSES_MOST 16
#define MX_FINDINGS_MOST 48
#define MX_ROWS_MOST 128
#define MX_TEXT_SIZE 400
#define MX_ANSWER_MOST 512 /* bytes of a DNS answer over UDP without EDNS (RFC 1035, 2.3.4) */

/* --- facts ----------------------------------------------------------------------------------- */

struct mx_host { /* one MX record, and what its target is */
	char name[DOMAIN_SIZE];
	uint16_t preference;
	bool null_mx;                 /* the root as target */
	bool odd;                     /* a target that is an address, or no host name */
	enum resolver_outcome lookup; /* of its addresses, A and AAAA together */
	bool half;                    /* one of the two could not be read */
	struct ip addresses[MX_ADDRESSES_MOST];
	/* What the fence says against a relay's connecting to each (static); NULL: it may. */
	const char *fenced[MX_ADDRESSES_MOST];
	size_t address_count;
	char canonical[DOMAIN_SIZE]; /* the target is an alias of this; "": it is none */
};

struct mx_relay {
	const char *names, *addresses; /* as in struct relay_record */
	const char *region;
	bool self;
	bool permitted; /* may hold mail of this domain */
};

enum mx_sts {
	MX_STS_NOT_ASKED,
	MX_STS_ABSENT,
	MX_STS_POLICY,
	MX_STS_BROKEN, /* the record is there, but no valid policy */
	MX_STS_CANNOT_TELL,
};

struct mx_facts {
	const char *domain; /* normal form */
	enum resolver_outcome mx;
	const char *problem;         /* why CANNOT_TELL */
	enum resolver_dnssec dnssec; /* of the MX answer */
	bool bogus;                  /* DNSSEC signatures fail */
	bool cut;                    /* there are more records than these */
	char canonical[DOMAIN_SIZE]; /* the domain is an alias of this */
	struct mx_host hosts[MX_HOSTS_MOST];
	size_t host_count;
	/* Of the domain itself: asked for where there is no MX record (RFC 5321, 5.1). */
	struct mx_host itself;
	enum mx_sts sts;
	struct mx_host sts_host; /* whence the policy is fetched: addresses of mta-sts.DOMAIN */
	const char *sts_problem;
	const struct mta_sts_policy *policy; /* MX_STS_POLICY */
	const struct mx_relay *relays;
	size_t relay_count;
	const struct ip *own; /* addresses of this relay by its configuration */
	size_t own_count;
	const char *next_hops;        /* of the row; "": by MX */
	const char *next_hop_problem; /* what the fence says against one of them; NULL: nothing */
	/* Why rule 8 defers no mail, whatever the records name (a few words); NULL: it does. */
	const char *unjudged;
};

/* --- verdict --------------------------------------------------------------------------------- */

enum mx_severity { MX_NOTE, MX_CANNOT_TELL, MX_WARNING, MX_ERROR };
const char *mx_severity_name(enum mx_severity severity);

enum mx_issue {
	MX_ISSUE_DNS,
	MX_ISSUE_BOGUS,
	MX_ISSUE_NO_DOMAIN,
	MX_ISSUE_NO_MX,
	MX_ISSUE_NULL_MX,
	MX_ISSUE_NULL_MX_MIXED,
	MX_ISSUE_TOO_MANY,
	MX_ISSUE_ALIAS,
	MX_ISSUE_NOT_NAMED,
	MX_ISSUE_BY_ADDRESS,
	MX_ISSUE_REGION,
	MX_ISSUE_RELAY_MISSING,
	MX_ISSUE_NO_PRIMARY,
	MX_ISSUE_EQUAL,
	MX_ISSUE_NOT_FIRST,
	MX_ISSUE_NOT_LAST,
	MX_ISSUE_PREFERENCES,
	MX_ISSUE_TARGET_ODD,
	MX_ISSUE_TARGET_ALIAS,
	MX_ISSUE_TARGET_NO_ADDRESS,
	MX_ISSUE_TARGET_DNS,
	MX_ISSUE_TARGET_FENCED,
	MX_ISSUE_SIZE,
	MX_ISSUE_PROPOSAL_SIZE,
	MX_ISSUE_STS_RELAY,
	MX_ISSUE_STS_PRIMARY,
	MX_ISSUE_STS_BROKEN,
	MX_ISSUE_STS_DNS,
	MX_ISSUE_NEXT_HOP,
	MX_ISSUES
};
const char *mx_issue_name(enum mx_issue issue); /* "relay-not-named", ... */

struct mx_finding {
	enum mx_issue issue;
	enum mx_severity severity;
	char text[MX_TEXT_SIZE]; /* one line, for people */
};

enum mx_role {
	MX_ROLE_PRIMARY, /* the customer's */
	MX_ROLE_SELF,
	MX_ROLE_RELAY,   /* another of the fleet, of a permitted region */
	MX_ROLE_FOREIGN, /* one of the fleet, of a region that is not permitted */
	MX_ROLE_NOTHING, /* the root, an address: no host */
};
const char *mx_role_name(enum mx_role role);

struct mx_row {
	char host[DOMAIN_SIZE]; /* "": the customer's server, whose name nobody knows */
	uint16_t preference;
	enum mx_role role;
	bool matches; /* there is such a row on the other side */
};

enum mx_outcome { MX_GOOD, MX_FINDINGS, MX_OUTCOME_CANNOT_TELL };

struct mx_verdict {
	enum mx_outcome outcome;
	enum mx_state state; /* for rule 8 */
	struct mx_finding findings[MX_FINDINGS_MOST];
	size_t finding_count;
	struct mx_row found[MX_HOSTS_MOST], expected[MX_ROWS_MOST]; /* by preference, then name */
	size_t found_count, expected_count;
	bool cut; /* there are more than were found: nothing is expected, and no row compared */
	size_t found_size, expected_size; /* bytes of the DNS answer */
};

void mx_judge(const struct mx_facts *facts, struct mx_verdict *out);

/* Is there a row to add or to remove? */
bool mx_rows_differ(const struct mx_verdict *verdict);

/* For rule 8 alone: do these records name this relay? */
enum mx_state mx_judge_state(const struct mx_facts *facts);

/* A line for a zone file: `customer.example. IN MX 10 mail.customer.example.` Returns out. */
#define MX_LINE_SIZE (2 * DOMAIN_SIZE + 64)
const char *mx_zone_line(const char *domain, const struct mx_row *row, char out[MX_LINE_SIZE]);

#endif
