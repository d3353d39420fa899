/*
 * postfix_queue: how much of an instance's queue is customers' mail, by postqueue(1).
 *
 * On a dedicated relay all of it counts; on a shared one what has a recipient in a domain of the
 * snapshot, also a retired one; all of it where there is no snapshot. It changes nothing.
 */
#ifndef MXHOLD_CTL_POSTFIX_QUEUE_H
#define MXHOLD_CTL_POSTFIX_QUEUE_H

#include "core/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct queue_count {
	bool known;      /* false: postqueue could not tell; see `why` */
	bool at_least;   /* there may be more: it took too long, or was too much */
	size_t messages; /* customers' */
	char *why;       /* postqueue's words, or NULL; the caller frees */
};

/* Needs root where Postfix does not run. Takes up to 30 s, and at most 64 MB of the listing. */
struct queue_count queue_count(const struct conf *conf, const char *config_dir, bool verbose);

/*
 * Does a line of `postqueue -j` name a recipient for whom `is_ours(context, domain)` holds? A line
 * that cannot be read counts as one that does. Pure.
 */
bool queue_line_counts(
    const char *line, bool (*is_ours)(void *context, const char *domain), void *context);

#endif
