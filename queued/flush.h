/*
 * flush: asks flush(8) for the mail of a domain or for a message (queued/flush_ask) or, where that
 * cannot be, runs postqueue(1) for it (-s, -i); some at a time, each with a deadline, and
 * processes with a clean environment. Single messages go first (or, late ones, last); of the
 * domains the one with the fewest messages, so that a flood waits for the others, and not they for
 * it. What waits already is not taken twice. It never blocks.
 */
#ifndef MXHOLD_QUEUED_FLUSH_H
#define MXHOLD_QUEUED_FLUSH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLUSH_AT_ONCE 2 /* more would only wait for each other, in the directory `incoming` */
#define FLUSH_DEADLINE_S 20
#define FLUSH_STRANGE_S                                                                            \
	60                  /* flush(8) that does not speak as we do is asked again after so long  \
			     */
#define FLUSH_WAITING 50000 /* at most; what is beyond is dropped: the watch asks again */

struct flush;

struct flush_setup {
	struct event_base *base;
	const char *postqueue;  /* its path */
	const char *config_dir; /* Postfix's */
	const char *socket;     /* of flush(8); NULL or "": it is not asked */
	unsigned deadline_s;    /* for each; 0: FLUSH_DEADLINE_S */
};
/* Strings are copied. NULL: out of memory, or libevent refuses. */
struct flush *flush_new(const struct flush_setup *setup);
/* Ends what runs. */
void flush_free(struct flush *flush);
void flush_domain(struct flush *flush, const char *domain, uint64_t messages);
/* `late`: after the domains that wait. */
void flush_id(struct flush *flush, const char *queue_id, bool late);
/* Does the flush of the domain wait, or run? */
bool flush_has_domain(const struct flush *flush, const char *domain);

struct flush_counts {
	size_t waiting, running;
	uint64_t done, failed, dropped;
};
struct flush_counts flush_count(const struct flush *flush);

#endif
