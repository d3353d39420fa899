/*
 * mx_gather: asks the DNS for what core/mx_judge wants to know of a domain: its MX records, the
 * addresses of their targets, its own address where there are none, and, if asked, whether there is
 * an MTA-STS record, and where its policy is.
 */
#ifndef MXHOLD_CORE_MX_GATHER_H
#define MXHOLD_CORE_MX_GATHER_H

#include "core/mx_judge.h"

struct mx_gather;

/*
 * `facts` holds what the DNS said (the caller adds the fleet, next hops and the policy) and is
 * valid during the call. facts->sts is NOT_ASKED, ABSENT, CANNOT_TELL, or POLICY with no policy
 * yet: the record is there, the caller may fetch from the addresses of facts->sts_host.
 */
typedef void mx_gather_done(struct mx_facts *facts, void *context);

struct mx_gather_question {
	const char *domain;  /* normal form */
	bool fresh;          /* not from the resolver's cache */
	bool sts;            /* the MTA-STS record too */
	int64_t deadline_ms; /* on resolver_process's clock, for all of it */
	mx_gather_done *done;
	void *context;
};

/* `done` is called once, never from within this call. NULL: out of memory. */
struct mx_gather *mx_gather_start(struct resolver *resolver,
    const struct mx_gather_question *question) __attribute__((warn_unused_result));
/* Not after `done` was called. */
void mx_gather_cancel(struct mx_gather *gather);

#endif
