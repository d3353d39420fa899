/*
 * census: what is in the queue now, by `postqueue -j` (postqueue(1), JSON OBJECT FORMAT).
 *
 * The parser is pure and bounded: one object a line. The runner starts the command as a child,
 * reads it through libevent under a deadline, and hands out each message as it comes.
 */
#ifndef MXHOLD_QUEUED_CENSUS_H
#define MXHOLD_QUEUED_CENSUS_H

#include "core/journal.h"

#include <event2/event.h>

#define CENSUS_LINE_MAX ((size_t)64 << 20) /* a message may have 100,000 recipients */

/* One message. The strings are valid during the call only. */
struct census_message {
	const char *queue_id;
	const char *queue;  /* "active", "deferred", "hold", "incoming", "maildrop" */
	int64_t arrived_at; /* microseconds since the epoch */
	uint64_t size;
	const char *sender;
	size_t recipients;
	const struct json_t *list; /* see census_recipient */
};
/* Address and reason ("": none) of the recipient `index`. False: it is none. */
bool census_recipient(const struct census_message *message, size_t index, const char **address,
    const char **reason) __attribute__((warn_unused_result));

/* False: not a message; a broken line. */
bool census_parse(const char *line, size_t length,
    void (*visit)(const struct census_message *message, void *context), void *context)
    __attribute__((warn_unused_result));

struct census;

struct census_ports {
	void (*message)(const struct census_message *message, void *context);
	/* `problem` NULL: complete. Else why not, and its cure where there is one. */
	void (*end)(const char *problem, void *context);
	void *context;
};

/* `config_dir` is kept by reference. NULL: out of memory. */
struct census *census_new(
    struct event_base *base, const char *config_dir, const struct census_ports *ports);
void census_free(struct census *census); /* ends a running one, without a call of `end` */
/* Another command than /usr/sbin/postqueue, kept by reference (tests). */
void census_set_command(struct census *census, const char *path);
/* False: one is running, or the child could not be started (*problem). */
bool census_begin(struct census *census, int deadline_s, const char **problem)
    __attribute__((warn_unused_result));
bool census_running(const struct census *census);

#endif
