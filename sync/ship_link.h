/*
 * ship_link: a connection of the shipper that is there when it is needed: it dials, sends one
 * statement after the other with a deadline each, and after a failure waits longer and longer, with
 * jitter. Served in a pump; nothing here blocks.
 *
 * Whoever uses it says whether there is something to say (wants), and takes each turn: with the
 * result of his last statement, or without one when the link is free.
 */
#ifndef MXHOLD_SYNC_SHIP_LINK_H
#define MXHOLD_SYNC_SHIP_LINK_H

#include "sync/pump.h"

#include <libpq-fe.h>

#define SHIP_PROBLEM_SIZE 240

struct ship_user {
	const char *name; /* for the log: `event=NAME-failed`, `event=NAME-restored` */
	/* Is there something to say? *when: the next time to ask. May read from disk. */
	bool (*wants)(void *context, int64_t now, int64_t *when);
	/* `result` is good, or a failure that the user has to judge; NULL: there was no statement.
	   It sends the next one, fails the link, or leaves it idle. */
	void (*turn)(void *context, const PGresult *result, int64_t now);
	/* The connection is gone: what was not answered was perhaps not done. */
	void (*lost)(void *context);
	void *context;
};

struct ship_link;

/* `conninfo` is kept by reference. NULL: out of memory. */
struct ship_link *ship_link_new(const struct ship_user *user, const char *conninfo);
void ship_link_free(struct ship_link *link);
struct pump_task ship_link_task(struct ship_link *link);

/* Within `turn`. */
void ship_link_send(struct ship_link *link, const char *sql, int count, const char *const *values,
    int64_t patience_ms, int64_t now);
/* It works: the next failure counts as the first again. */
void ship_link_good(struct ship_link *link);
/* Closes the connection and waits before the next. NULL: in the server's words. */
void ship_link_fail(struct ship_link *link, const char *why, int64_t now);
/* Why it fails at present; "" where it does not. */
const char *ship_link_problem(const struct ship_link *link);

#endif
