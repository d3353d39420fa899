/*
 * collector: knows what is in the queue and what became of it. It follows Postfix's log, lists the
 * queue now and then, keeps the accounts, writes the journal's rows with the position in the log
 * they came from in one transaction of the spool, and says what is to be taken out.
 *
 * The shell around pure parts (maillog, account, refusal, retention), on libevent. All in one
 * thread. It never answers for mail of domains that no row speaks for.
 */
#ifndef MXHOLD_QUEUED_COLLECTOR_H
#define MXHOLD_QUEUED_COLLECTOR_H

#include "core/conf.h"
#include "core/spool.h"
#include "queued/events.h"
#include "queued/instances.h"
#include "queued/rows.h"

#include <event2/event.h>

struct collector;

#define COLLECTOR_AT_ONCE 8 /* messages the helper is asked to take out */

/* A message that is to leave. The strings are valid during the call only. */
struct collector_act {
	const char *queue_id;
	enum journal_outcome outcome; /* REFUSED, EXPIRED or REMOVED */
	const char *by;               /* for REMOVED: who; else "" */
};

/* What the collector asks of the rest of mxhold-queued. */
struct collector_ports {
	struct event_sink sink; /* what happens to the domains' queues */
	/* Which row speaks for a domain? See rows_find. */
	enum rows_answer (*row)(void *context, const char *domain, struct row_facts *out);
	/* False: not now, nothing of the domain is taken out as refused (its breaker is open, its
	   primary is not the pinned one, ...). Expiry does not ask. NULL: always. */
	bool (*may_refuse)(void *context, const char *domain);
	/*
	 * Take the message out: the helper is to be asked. The intent is on the disk when this is
	 * called. Its answer goes to collector_taken_out, now or later. False: not now (the helper
	 * is away or busy); it is asked again later. NULL: nothing is ever taken out.
	 */
	bool (*take_out)(void *context, const struct collector_act *act);
	/* Raised, or (raised = false) ended: ALERT_UNACCOUNTED, _SPOOL, _LOG. NULL: none. */
	void (*alert)(void *context, const struct alert *alert, bool raised);
	const char *postqueue; /* absolute, kept by reference; NULL: /usr/sbin/postqueue */
	/* Whose lines are left out of the log (copied); NULL: nobody's. */
	const struct instances *instances;
	void *context;
};

/*
 * `spool` belongs to the caller, outlives the collector, and has no transaction open when control
 * is in the event loop. Reads the open rows and the position from it, and tells the sink `held` for
 * each recipient that is still held, before it returns. NULL: *problem says why (static text).
 */
struct collector *collector_new(struct event_base *base, const struct conf *conf,
    struct spool_writer *spool, const struct collector_ports *ports, const char **problem)
    __attribute__((warn_unused_result));
/* Writes what is not yet written; ends its child processes. */
void collector_free(struct collector *collector);
/* Begins to read the log and to list the queue. To be called from within or before the loop. */
bool collector_start(struct collector *collector) __attribute__((warn_unused_result));

/* The helper's answer to take_out. */
enum collector_answer {
	COLLECTOR_TAKEN_OUT,
	COLLECTOR_GONE,   /* there is no such message: it left another way */
	COLLECTOR_FAILED, /* it stays: what an operator dropped is asked for again, the rest judged
			   */
	COLLECTOR_UNSURE, /* asked, and no answer came: the log or a listing will tell */
};
void collector_taken_out(
    struct collector *collector, const char *queue_id, enum collector_answer answer);

/*
 * An operator has messages removed: recorded, all in one transaction, then the helper is asked
 * through take_out until they have left, also after a restart. *taken: how many are held. False:
 * the spool cannot be written, and none of them was recorded.
 */
bool collector_drop(struct collector *collector, const char (*ids)[JOURNAL_ID_SIZE], size_t count,
    const char *by, size_t *taken) __attribute__((warn_unused_result));

/* mxhold-milter tells a recipient that was accepted: see account_told. */
void collector_told(
    struct collector *collector, const char *queue_id, const char *address, size_t length);

/* A queue listing as soon as possible, e.g. after a flush (at most one at a time). */
void collector_census_soon(struct collector *collector);

/* The primary of the domain was not well, and is again: what it refused so far counts no more. */
void collector_refusals_anew(struct collector *collector, const char *domain);
/* Does an operator hold the message (postsuper -h)? See account_on_hold. */
bool collector_on_hold(const struct collector *collector, const char *queue_id);
/* How many messages of a domain are held so. */
size_t collector_count_on_hold(const struct collector *collector, const char *domain);
/* Each recipient that is held: of `domain` and of `queue_id`, where these are not NULL. */
void collector_each_held(struct collector *collector, const char *domain, const char *queue_id,
    bool (*visit)(const struct journal_row *row, void *context), void *context);

struct collector_status {
	const char *log;   /* "following", "missing", "waiting" (see problem) */
	int64_t log_at;    /* time of the last line read, microseconds; 0: none yet */
	bool caught_up;    /* all of the log that is there was read */
	int64_t census_at; /* end of the last good listing, seconds; 0: none yet */
	uint64_t recipients, messages;
	uint64_t unaccounted; /* since the start */
	struct spool_usage spool;
	char problem[256]; /* what is amiss and its cure; "": nothing */
};
void collector_status(struct collector *collector, struct collector_status *out);

#endif
