/*
 * mx_policy: fetches an MTA-STS policy over HTTPS (RFC 8461, 3.3).
 */
#ifndef MXHOLD_CTL_MX_POLICY_H
#define MXHOLD_CTL_MX_POLICY_H

#include "core/mx_judge.h"

/*
 * https://mta-sts.DOMAIN/.well-known/mta-sts.txt, within ten seconds and 64 KiB, certificate and
 * name checked, no redirect followed. POLICY fills in `out`; BROKEN and CANNOT_TELL set *problem
 * (valid until the next call).
 */
enum mx_sts mx_policy_fetch(const char *domain, struct mta_sts_policy *out, const char **problem);

#endif
