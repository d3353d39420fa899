/*
 * events: what the collector (log, census, accounts) tells the watch, as plain data, and what the
 * watch asks of the world. Both sides are pure; queued.c carries between them.
 */
#ifndef MXHOLD_QUEUED_EVENTS_H
#define MXHOLD_QUEUED_EVENTS_H

#include "core/journal.h"
#include "core/state.h"

/* Strings are valid during the call only. Times are microseconds since the epoch. */

enum attempt_result {
	ATTEMPT_SENT,      /* the primary took it */
	ATTEMPT_DEFERRED,  /* it answered 4xx */
	ATTEMPT_REFUSED,   /* it answered 5xx (kept by the status filter) */
	ATTEMPT_UNREACHED, /* no answer of a primary: connection, TLS, DNS, fence, a stranger */
	ATTEMPT_HELD,      /* our own `retry:` */
};

/* A recipient joined a domain's queue (log or census). */
struct event_held {
	const char *domain; /* of the recipient, normal form */
	const char *queue_id;
	int64_t accepted_at;
	uint64_t size;
	uint32_t refusals; /* before now, one after the other: it is known from the spool */
};

/* A recipient left it. */
struct event_left {
	const char *domain;
	const char *queue_id;
	uint64_t size;
	enum journal_outcome outcome;
};

struct event_attempt {
	const char *domain;
	const char *queue_id;
	enum attempt_result result;
	unsigned code;        /* of the reply, 0: none */
	const char *enhanced; /* "5.1.1", "" */
	const char *reply;    /* "" */
	bool unknown_user;    /* refused, since there is no such user (queued/refusal) */
	bool passed;          /* smtp(8) passed a stranger by before it, in the same delivery */
	bool answered;        /* a server answered before it, who had heard of the message */
	const char *primary;  /* host[address]:port, "" */
	int64_t at;           /* by the log */
};

/* What the collector calls. `context` is the watch. */
struct event_sink {
	void (*held)(void *context, const struct event_held *event);
	void (*left)(void *context, const struct event_left *event);
	void (*attempt)(void *context, const struct event_attempt *event);
	void *context;
};

/* Alerts, raised by key (kind and domain, or kind alone) and ended by the same key. */
enum alert_kind {
	ALERT_OUTAGE,     /* the first held message of an outage */
	ALERT_RETENTION,  /* the oldest is at 50, 80, 95 % of the retention: `level` */
	ALERT_BREAKER,    /* refusals surged: the domain is held */
	ALERT_WRONG_HOST, /* not the pinned primary */
	ALERT_QUOTA,      /* over quota */
	ALERT_UNACCOUNTED,
	ALERT_MX,      /* the MX set does not do what it should */
	ALERT_SPOOL,   /* nearly full, or it cannot be written */
	ALERT_DAMAGED, /* the spool was, and is set aside */
	ALERT_LOG,     /* it cannot be read, or lines of it are lost */
	ALERT_KINDS,
};

#define ALERT_TEXT_SIZE 256

struct alert {
	enum alert_kind kind;
	const char *domain; /* "": none */
	unsigned level;     /* percent, 0 where there are no levels */
	const char *text;   /* one line, for people; no addresses; ALERT_TEXT_SIZE is kept */
	bool more;          /* it happened again: told also where it stands already */
	bool reworded;      /* it may only change the words of what stands, and is not told */
};

#endif
