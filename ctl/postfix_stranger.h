/*
 * postfix_stranger: what becomes, at RCPT TO, of a recipient in a domain that is nobody's here,
 * from a client that nothing else permits: the question whether an instance, or one of its
 * services, is an open relay.
 *
 * In: the settings, main.cf and a service's own options. Out: which of smtpd's two lists decides,
 * and how. Pure. Lookup tables are not asked, but for static:, which answers alike for everybody.
 */
#ifndef MXHOLD_CTL_POSTFIX_STRANGER_H
#define MXHOLD_CTL_POSTFIX_STRANGER_H

#include "ctl/postfix_facts.h"

enum stranger_fate {
	STRANGER_REFUSED,
	STRANGER_PERMITTED, /* something permits everything, before anything refuses strangers */
	STRANGER_UNDECIDED, /* both lists come to their end: smtpd takes that for a yes */
};

/*
 * `service`: one of smtpd's, whose -o options go before main.cf; NULL: main.cf alone. *parameter is
 * set to the list in question (static text).
 */
enum stranger_fate stranger_fate(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char **parameter);

/* The effective value of a parameter in a service, with $names replaced. The caller frees. */
char *stranger_value(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char *parameter);

#endif
