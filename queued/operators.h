/*
 * operator: what operators look at and order (control.h), carried to watch, collector, alerts and
 * helper; and their holds of domains, which the spool keeps over restarts. All of it in the event
 * loop, when no transaction of the spool is open.
 */
#ifndef MXHOLD_QUEUED_OPERATOR_H
#define MXHOLD_QUEUED_OPERATOR_H

#include "queued/alert.h"
#include "queued/collector.h"
#include "queued/control.h"
#include "queued/helper_client.h"
#include "queued/watch.h"

struct operator_setup {
	struct event_base *base;
	int listen_fd; /* of SOCKET_DIR/queue-control */
	const uid_t *readers;
	size_t reader_count;
	struct watch *watch;
	struct collector *collector;
	struct spool_writer *spool;
	struct alerts *alerts;
	struct helper_client *helper;
	struct queued_time (*now)(void *context);
	/* Something was told to the watch: watch_tick() is due. */
	void (*wake)(void *context);
	/* Read the domain's MX records again. False: not now. NULL: nobody does. */
	bool (*mx)(void *context, const char *domain);
	void *context;
};

struct operator;

/* Gives the holds that the spool keeps to the watch. NULL: *problem says why (static text). */
struct operator* operator_new(const struct operator_setup *setup, const char **problem)
    __attribute__((warn_unused_result));
void operator_free(struct operator* operator);
/* For watch_ports.changed. */
void operator_changed(struct operator* operator, const char * domain);

#endif
