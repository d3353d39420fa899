/*
 * serve_inner: what the files of the child process share. Private to serve.c (life, start, events),
 * serve_ports.c (the frame of every callback, and what the watch asks of the world) and others.
 */
#ifndef MXHOLD_QUEUED_SERVE_INNER_H
#define MXHOLD_QUEUED_SERVE_INNER_H

#include "queued/serve.h"

#include "core/decide.h"
#include "core/log.h"
#include "core/resolver.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "core/supervise.h"
#include "queued/census.h"
#include "queued/collector.h"
#include "queued/flush.h"
#include "queued/mxwatch_io.h"
#include "queued/operators.h"
#include "queued/postfix.h"
#include "queued/unopened.h"
#include "queued/watch.h"

#include <event2/event.h>

#define SERVE_HEARTBEAT_MS 1000 /* the snapshot is looked at so often */

struct serve_probe {
	struct serve *serve;
	struct serve_probe *next, **place;
	struct probe *probe;
	uint64_t id;
};

struct serve {
	const struct serve_setup *setup;
	const struct conf *conf;
	struct event_base *base;
	struct event *on_term, *on_alive, *on_tick, *on_retry, *on_heartbeat, *on_resolver,
	    *on_fetcher, *on_ask;
	struct queued_time now;
	unsigned depth;   /* of serve_enter: callbacks within callbacks */
	unsigned asked;   /* connections of who asks whether we live */
	unsigned put_off; /* how often opening the stores was, for them */
	/* stores */
	struct snapshot *snapshot;
	bool snapshot_open, snapshot_bad;
	uint64_t serial;
	struct state_writer *state;
	bool state_open, state_lost;
	bool quotas_judged;            /* those that a former process left standing */
	bool list_wanted;              /* `list` is to run again */
	bool dnssec;                   /* it is checked, as was told */
	int64_t state_told_ms;         /* when it was last told that it is unusable; 0: never */
	int64_t state_bad_ms;          /* since when it cannot be written; 0: it can */
	bool state_alert, spool_alert; /* who wants ALERT_SPOOL: the state, the collector */
	uint64_t state_renewed;        /* what was written before is gone */
	struct spool_writer *spool;
	int64_t tell_ms;
	bool attempted;  /* to open them */
	int64_t give_ms; /* until when a new process would be given no more than we were */
	struct unopened *unopened; /* why stores cannot be opened is told by it; NULL: by nobody */
	int64_t rows_ms;           /* when rows could be read first; 0: not yet */
	int64_t aside_ms;          /* when the alert of a spool that was set aside ends; 0: none */
	/* parts */
	struct postfix_settings postfix;
	struct instances instances; /* of Postfix, that share its log */
	struct resolver *resolver;
	struct sts_fetcher *fetcher;
	struct prober *prober;
	struct serve_probe *probes;
	struct flush *flush;
	struct census *list; /* where those are that a flush did not reach */
	struct event *on_list;
	int64_t list_began_ms, list_ended_ms;
	struct watch *watch;
	struct event_sink watch_sink;
	struct collector *collector;
	struct mxwatch_io *mxwatch;
	struct alerts *alerts;
	struct helper_client *helper;
	struct operators *operators;
};

void serve_set_timer(struct event *timer, int64_t ms);
/* Every callback begins and ends with these; they nest. */
void serve_enter(struct serve *serve);
void serve_leave(struct serve *serve);
/* Within them: a transaction that lasts until the outermost serve_leave(). False: not to be had. */
bool serve_need_snapshot(struct serve *serve);
bool serve_need_state(struct serve *serve);
struct watch_ports serve_ports(struct serve *serve);
/* serve_list.c: listings for the watch. False: out of memory. */
bool serve_list_start(struct serve *serve);
void serve_list_free(struct serve *serve);
void serve_list(void *context); /* the port */
enum watch_row_result serve_row(void *context, const char *domain, struct watch_row *out);
void serve_raise(void *context, const struct alert *alert);
void serve_end_alert(void *context, enum alert_kind kind, const char *domain);
void serve_cancel_probes(struct serve *serve);
/* libevent's: the resolver has something, or its deadline has come. */
void serve_resolver(evutil_socket_t fd, short what, void *context);
/* The same of what fetches MTA-STS policies. */
void serve_fetcher(evutil_socket_t fd, short what, void *context);

#endif
