/*
 * postfix_access: asks the tables of access(5) that smtpd meets at RCPT TO, before anything has
 * refused a stranger, whom they permit.
 *
 * In: the lists as postfix_stranger.c reads them. Each table is asked by postmap(1) for made-up
 * clients, senders, names and recipients, which stand for anybody; where it can be read, its
 * entries are looked at too. Out: facts->access, and the domains of recipients that such a table
 * may permit. It changes nothing.
 */
#ifndef MXHOLD_CTL_POSTFIX_ACCESS_H
#define MXHOLD_CTL_POSTFIX_ACCESS_H

#include "ctl/postfix_facts.h"

void access_gather(struct pf_facts *facts, struct facts_hits *candidates, bool verbose);

#endif
