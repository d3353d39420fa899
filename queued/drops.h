/*
 * drops: takes out what a domain holds, because an operator wants it: it is recorded, some in each
 * turn of the event loop, so that ten thousand keep nobody waiting. Only messages that are for
 * nobody else: those that other domains' recipients share are kept, and counted.
 */
#ifndef MXHOLD_QUEUED_DROPS_H
#define MXHOLD_QUEUED_DROPS_H

#include "queued/collector.h"

struct drops;

/* NULL: out of memory. */
struct drops *drops_new(struct event_base *base, struct collector *collector);
/* What was not yet recorded stays; `done` is called no more. */
void drops_free(struct drops *drops);

struct drops_found {
	size_t messages; /* wanted */
	size_t taken;    /* recorded: these will be taken out, the others have left meanwhile */
	size_t shared;   /* are kept */
	bool failed;     /* the spool takes no more: the rest stays */
};
typedef void drops_done(void *context, const struct drops_found *found);
enum drops_result { DROPS_BEGUN, DROPS_NONE, DROPS_NO_MEMORY };
struct drops_order {
	const char *domain;
	const char *by; /* who wants it, for the journal */
	int64_t newest; /* what was accepted later stays; microseconds; 0: all goes */
};
/* BEGUN: `done` is called, later, from the event loop. */
enum drops_result drops_domain(struct drops *drops, const struct drops_order *order,
    drops_done *done, void *context) __attribute__((warn_unused_result));

struct drops_count {
	size_t messages, shared; /* would go, would be kept */
	uint64_t bytes;          /* of those that would go */
	int64_t newest;          /* when the last of them all was accepted; 0: there is none */
};
/* What an order would find now. False: out of memory. */
bool drops_count(const struct drops *drops, const char *domain, struct drops_count *out)
    __attribute__((warn_unused_result));

#endif
