/*
 * postfix_stranger: what becomes, at RCPT TO, of a recipient in a domain that is nobody's here,
 * from a client that nothing else permits: the question whether an instance, or one of its
 * services, is an open relay; and whether mail for customers runs into a plain refusal.
 *
 * In: the settings, main.cf, a service's own options, and what the tables were found to answer
 * (postfix_access.c). Out: which of smtpd's two lists decides, how, and who gets past it. Pure.
 */
#ifndef MXHOLD_CTL_POSTFIX_STRANGER_H
#define MXHOLD_CTL_POSTFIX_STRANGER_H

#include "ctl/postfix_facts.h"

enum stranger_fate {
	STRANGER_REFUSED,
	STRANGER_PERMITTED, /* something permits everything, before anything refuses strangers */
	STRANGER_UNDECIDED, /* both lists come to their end: smtpd takes that for a yes */
};

enum stranger_who {
	STRANGER_FOREIGN,  /* a recipient in a domain that is nobody's here */
	STRANGER_CUSTOMER, /* a recipient in a customer's domain, by whom the gate has let pass */
};

/* How a client gets past what refuses strangers; from the least to the worst. */
enum stranger_kind {
	WAY_SOME,      /* by an entry for certain clients or recipients: the operator's will */
	WAY_UNKNOWN,   /* it cannot be told whom this permits */
	WAY_FORGED,    /* by an entry whose name anybody can give */
	WAY_EVERYBODY, /* anybody at all */
};

struct stranger_way {
	const char *parameter; /* static text */
	enum stranger_kind kind;
	char *check, *table; /* table is "" for a restriction without one */
	char *key, *result;  /* what it answers to whom; "" where that is not known */
};

struct stranger_ways {
	struct stranger_way *items;
	size_t count;
};

/*
 * `service`: one of smtpd's, whose -o options go before main.cf; NULL: main.cf alone. *parameter is
 * set to the list in question (static text). When strangers are refused, `ways` gets those past it;
 * the caller frees them.
 */
enum stranger_fate stranger_fate(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char **parameter, struct stranger_ways *ways);
void stranger_ways_free(struct stranger_ways *ways);

/*
 * Is mail for a customer refused by this list of main.cf? Then `ways` gets the table that does so,
 * or nothing where a plain word does.
 */
bool stranger_refuses_customers(const struct pf_facts *facts, const struct pf_file *main,
    const char *parameter, struct stranger_ways *ways);

/* The effective value of a parameter in a service, with $names replaced. The caller frees. */
char *stranger_value(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char *parameter);

/* --- for postfix_access.c --------------------------------------------------------------- */

struct stranger_place { /* a table in a list */
	const char *parameter, *check, *table;
	enum stranger_who who;
};

/* Calls `visit` for each table that both questions meet. It may add to facts->access. */
void stranger_visit(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service,
    void (*visit)(const struct stranger_place *place, void *context), void *context);

enum access_kind {
	ACCESS_CLIENT,     /* by the client's address or verified name */
	ACCESS_RECIPIENT,  /* by the recipient */
	ACCESS_CREDENTIAL, /* by login or certificate */
	ACCESS_FORGED,     /* by what a client says, or by DNS that anybody can write */
};

/* What check_*_access goes by. */
enum access_kind access_kind(const char *check);
/* Does this result of access(5) neither permit nor name restrictions? */
bool stranger_result_is_inert(const char *result);

#endif
