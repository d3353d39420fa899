/*
 * operators: what operators look at and order (desk.h), carried to watch, collector, alerts and
 * helper; and their holds of domains, which the spool keeps over restarts. All of it in the event
 * loop, when no transaction of the spool is open.
 *
 * A domain is dropped by taking out the messages that are for nobody else; those that other
 * domains' recipients share are kept, and counted.
 */
#ifndef MXHOLD_QUEUED_OPERATORS_H
#define MXHOLD_QUEUED_OPERATORS_H

#include "queued/alert.h"
#include "queued/collector.h"
#include "queued/desk.h"
#include "queued/helper_client.h"
#include "queued/watch.h"

struct operators_setup {
	struct event_base *base;
	int listen_fd; /* of SOCKET_DIR/queue-control */
	const uid_t *readers;
	size_t reader_count;
	struct watch *watch;
	struct collector *collector;
	struct spool_writer *spool;
	struct alerts *alerts;
	struct helper_client *helper;
	/* Before and after calls of the watch; `enter` gives the time. */
	struct queued_time (*enter)(void *context);
	void (*leave)(void *context);
	/* Is it certain that no row speaks for the domain? Between enter and leave. */
	bool (*unknown)(void *context, const char *domain);
	/* Read the domain's MX records again. False: not here, or not now. NULL: nobody does. */
	bool (*mx)(void *context, const char *domain);
	void *context;
};

struct operators;

/* Gives the holds that the spool keeps to the watch. NULL: *problem says why (static text). */
struct operators *operators_new(const struct operators_setup *setup, const char **problem)
    __attribute__((warn_unused_result));
/* To be called when the helper client has been freed. */
void operators_free(struct operators *operators);
/* For watch_ports.changed. */
void operators_changed(struct operators *operators, const char *domain);

#endif
