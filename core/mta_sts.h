/*
 * mta_sts: MTA-STS (RFC 8461): the TXT record at _mta-sts.DOMAIN, and the policy that lies at
 * https://mta-sts.DOMAIN/.well-known/mta-sts.txt. Pure: it parses, it fetches nothing.
 */
#ifndef MXHOLD_CORE_MTA_STS_H
#define MXHOLD_CORE_MTA_STS_H

#include "core/domain.h"

#include <stdint.h>

#define MTA_STS_MX_MOST 64
#define MTA_STS_POLICY_MAX 65536 /* bytes of a policy that are read (RFC 8461, 3.3) */
#define MTA_STS_ID_SIZE 33

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };
const char *mta_sts_mode_name(enum mta_sts_mode mode);

struct mta_sts_policy {
	enum mta_sts_mode mode;
	uint32_t max_age; /* seconds */
	/* Patterns: names in normal form, perhaps with "*." in front. */
	char mx[MTA_STS_MX_MOST][DOMAIN_SIZE + 2];
	size_t mx_count;
};

/* Is this TXT record one of MTA-STS (section 3.1)? Its id goes to `id`. */
bool mta_sts_record(const char *text, size_t length, char id[MTA_STS_ID_SIZE]);
/* Section 3.2. False: no valid policy, and *problem says why (static text). */
bool mta_sts_policy_parse(const char *text, size_t length, struct mta_sts_policy *out,
    const char **problem) __attribute__((warn_unused_result));
/* Section 4.1: may mail go to an MX host of that name (normal form)? */
bool mta_sts_permits(const struct mta_sts_policy *policy, const char *host);

#endif
