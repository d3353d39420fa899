/*
 * drops: takes out what a domain holds, because an operator wants it: message by message, some in
 * each turn of the event loop, so that ten thousand keep nobody waiting. Only messages that are for
 * nobody else: those that other domains' recipients share are kept, and counted.
 */
#ifndef MXHOLD_QUEUED_DROPS_H
#define MXHOLD_QUEUED_DROPS_H

#include "queued/collector.h"

struct drops;

/* NULL: out of memory. */
struct drops *drops_new(struct event_base *base, struct collector *collector);
/* What was not yet taken out stays. */
void drops_free(struct drops *drops);

struct drops_found {
	size_t messages; /* are being taken out */
	size_t shared;   /* are kept */
};
enum drops_result { DROPS_BEGUN, DROPS_NONE, DROPS_NO_MEMORY };
/* `by`: who wants it, for the journal. */
enum drops_result drops_domain(struct drops *drops, const char *domain, const char *by,
    struct drops_found *out) __attribute__((warn_unused_result));

#endif
