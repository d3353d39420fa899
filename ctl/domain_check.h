/*
 * domain_check: `mxholdctl domain check NAME|ADDRESS`: what this relay would answer, and why.
 */
#ifndef MXHOLD_CTL_DOMAIN_CHECK_H
#define MXHOLD_CTL_DOMAIN_CHECK_H

#include "ctl/ctl.h"

/* Exit codes: 0 permit, 75 defer or cannot tell, 69 reject or not ours, 65 no domain. */
int domain_check(struct ctl *ctl, int argc, char **argv);

#endif
