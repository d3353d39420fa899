/*
 * mxwatch: when is which domain's MX set to be read, and what of a reading goes into the state?
 *
 * Each row is read when it is new, once in each interval, on demand, and when somebody asks. A row
 * that seems not to name this relay is read a second time, fresh, before that is written for the
 * first time: for it refuses mail. Rows are walked in slices, readings are bounded in rate and
 * number: ten million rows cost as much at a time as ten. Pure: ports and time, no descriptor.
 */
#ifndef MXHOLD_QUEUED_MXWATCH_H
#define MXHOLD_QUEUED_MXWATCH_H

#include "core/records.h"
#include "queued/clock.h"

#include <stdbool.h>
#include <stddef.h>

struct mxwatch_fact { /* what the state says about a row */
	enum mx_state mx;
	int64_t at; /* wall clock; 0: never */
};

struct mxwatch_finding {     /* what a reading found */
	enum mx_state state; /* UNKNOWN: it could not be told */
	bool judged;         /* the two below count */
	bool wrong;          /* the set does not do what it should */
	const char *text;    /* why, one line */
};

struct mxwatch_ports {
	/*
	 * Visits up to `most` rows that are to be watched behind `after`, in order, until visit
	 * returns false. False: there is no snapshot now. *end: no more rows follow.
	 */
	bool (*rows)(void *context, const char *after, size_t most,
	    bool (*visit)(const char *row, void *visit_context), void *visit_context, bool *end);
	/* Is it a row that is to be watched? */
	bool (*wanted)(void *context, const char *row);
	/* A number that changes with the rows. */
	uint64_t (*serial)(void *context);
	struct mxwatch_fact (*known)(void *context, const char *row);
	void (*put)(void *context, const char *row, struct mxwatch_fact fact);
	/* Answered by mxwatch_read_done(), not from within. False: not now. */
	bool (*read)(void *context, const char *row, bool fresh);
	void (*wrong)(void *context, const char *row, const char *text); /* raises the alert */
	void (*right)(void *context, const char *row);                   /* ends it */
	/* Ends those of rows that are not to be watched any more: no reading will. */
	void (*sweep)(void *context);
	/* Is nothing told about the row now? What would have been told then is read again later. */
	bool (*silent)(void *context, const char *row);
	void *context;
};

struct mxwatch_setup {
	int64_t interval; /* seconds: [queue] mx_interval */
	struct mxwatch_ports ports;
};

struct mxwatch;

struct mxwatch *mxwatch_new(const struct mxwatch_setup *setup); /* NULL: out of memory */
void mxwatch_free(struct mxwatch *watch);

#define MXWATCH_READINGS 256 /* at once */
#define MXWATCH_WALKED 192   /* of these, at most, because their time has come */
#define MXWATCH_KEPT 256     /* of which nothing was told; more are at their next reading */
#define MXWATCH_TICK_MS 500  /* how often mxwatch_tick() wants to be called */

void mxwatch_tick(struct mxwatch *watch, struct queued_time now);
void mxwatch_read_done(struct mxwatch *watch, const char *row,
    const struct mxwatch_finding *finding, struct queued_time now);
/*
 * An operator wants it read, now. False: it is no row, too many are being read, or it is itself: by
 * a reading that may have begun before what the operator wants to be seen was there.
 */
bool mxwatch_demand(struct mxwatch *watch, const char *row, struct queued_time now);
/*
 * policyd met a fact that grows old, or none; or mxhold-sync a new row. It comes before those that
 * are walked. False: not now (too many are being read): to be told again later.
 */
bool mxwatch_asked(struct mxwatch *watch, const char *row, struct queued_time now)
    __attribute__((warn_unused_result));
/* Readings that are under way. */
size_t mxwatch_open(const struct mxwatch *watch);

#endif
