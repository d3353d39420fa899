/*
 * alert: tells people what is amiss, and when it has ended: a row of the journal (kind "event"), a
 * line of syslog, and [alert] command, which gets one JSON object on its standard input.
 *
 * What stands is kept in the spool, so that a restart neither repeats nor forgets it. May be called
 * from anywhere in the event loop: rows are written by a timer, when no transaction of the spool is
 * open. It never waits for the command.
 */
#ifndef MXHOLD_QUEUED_ALERT_H
#define MXHOLD_QUEUED_ALERT_H

#include "core/spool.h"
#include "queued/alert_book.h"

#include <event2/event.h>

#define ALERT_ROWS 10000 /* rows that wait for the spool; what is beyond: see alert_queue */

struct alerts;

struct alerts_setup {
	struct event_base *base;
	struct spool_writer *spool; /* NULL: none (nothing is kept) */
	const char *relay, *region; /* named in what the command gets */
	const char *command;        /* absolute path; NULL: none */
};

/* Reads from the spool what stood. The strings are kept by reference. NULL: out of memory. */
struct alerts *alerts_new(const struct alerts_setup *setup) __attribute__((warn_unused_result));
/* Writes what waits for the spool; commands that run go on, and what waits for one is handed over
   by the next process. */
void alerts_free(struct alerts *alerts);

/* Raising what stands already changes nothing, unless its level is higher. */
void alerts_raise(struct alerts *alerts, const struct alert *alert);
/* Ending what does not stand does nothing. `domain`: "" for none. */
void alerts_end(struct alerts *alerts, enum alert_kind kind, const char *domain);

/* Ends those of `kind` whose domain is not wanted. wanted() must not call back. */
void alerts_sweep(struct alerts *alerts, enum alert_kind kind, alert_keep *wanted, void *context);

/* Does one stand that a former process has raised, and this one not yet? */
bool alerts_restored(const struct alerts *alerts, enum alert_kind kind, const char *domain);

/* An operator's act, for the journal and the log. */
struct alerts_act {
	const char *act;      /* "hold", "release", "flush", "drop", ... */
	const char *domain;   /* "": none */
	const char *queue_id; /* "": none */
	const char *by;
	const char *text; /* "": none */
	int64_t until;    /* 0: none; HOLD_FOREVER */
};
void alerts_act(struct alerts *alerts, const struct alerts_act *act);

/* What stands and was told. */
void alerts_each(struct alerts *alerts, alert_visit *visit, void *context);
struct alerts_counts {
	size_t standing, waiting_rows, waiting_commands, running;
	uint64_t lost_rows, lost_commands, failed_commands;
};
struct alerts_counts alerts_count(const struct alerts *alerts);

#endif
