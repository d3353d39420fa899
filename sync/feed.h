/*
 * feed: what a relay asks of the authority (docs/feed.md), as sequential code: connect, listen,
 * begin, read the state, read rows, end. Each call returns within its deadlines; while it waits,
 * the pump serves the rest. It knows nothing of the snapshot.
 */
#ifndef MXHOLD_SYNC_FEED_H
#define MXHOLD_SYNC_FEED_H

#include "sync/backlog.h"
#include "sync/policy.h"
#include "sync/pump.h"
#include "sync/row.h"

enum feed_result {
	FEED_OK,
	FEED_FAILED,  /* feed_problem says why; close, wait, connect anew */
	FEED_REFUSED, /* the visitor returned false */
	FEED_STOPPED, /* the program has to end */
};

struct feed;

struct feed *feed_new(struct pump *pump);
void feed_free(struct feed *feed);
/* One line, never NULL, never a password. */
const char *feed_problem(const struct feed *feed);
/* The caller found a fault in what came: it becomes the problem. */
void feed_blame(struct feed *feed, const char *fault);
bool feed_is_open(const struct feed *feed);

enum feed_result feed_open(struct feed *feed, const char *conninfo)
    __attribute__((warn_unused_result));
void feed_close(struct feed *feed);

/*
 * LISTEN mxhold_feed. OK also when the server refuses it (a hot standby): *listening then is false,
 * and only polling finds what is new.
 */
enum feed_result feed_listen(struct feed *feed, bool *listening)
    __attribute__((warn_unused_result));

/*
 * Begins a transaction (REPEATABLE READ, READ ONLY) and reads the state as `meta` (NULL: nothing
 * applied) sees it; its newest rows tell the history. *read_at: when it had been read, milliseconds
 * of CLOCK_BOOTTIME.
 */
enum feed_result feed_begin(struct feed *feed, const struct snapshot_meta *meta,
    struct feed_state *out, int64_t *read_at) __attribute__((warn_unused_result));
/* Reads rows of one kind, or one page of what changed. The visitor must not block. */
typedef bool feed_visit(const struct row *row, void *context);
enum feed_result feed_full(struct feed *feed, enum row_kind kind, feed_visit *visit, void *context)
    __attribute__((warn_unused_result));
enum feed_result feed_since(struct feed *feed, const struct backlog_page *page, feed_visit *visit,
    void *context) __attribute__((warn_unused_result));
/* Reads which domains vanished within the last 30 days: rows that are not present. */
enum feed_result feed_gone(struct feed *feed, feed_visit *visit, void *context)
    __attribute__((warn_unused_result));
/* Ends the transaction. */
enum feed_result feed_end(struct feed *feed) __attribute__((warn_unused_result));

/* mxhold.feed_maintain(), which prunes old versions. A refusal is OK: the owner may do it. */
enum feed_result feed_maintain(struct feed *feed) __attribute__((warn_unused_result));

enum feed_idle {
	FEED_IDLE_NOTICE, /* there is something newer than `version` */
	FEED_IDLE_DUE,    /* the deadline has passed */
	FEED_IDLE_WAKE,   /* somebody wants something of the main loop */
	FEED_IDLE_LOST,   /* the connection is gone: feed_problem */
	FEED_IDLE_STOP,
};
enum feed_idle feed_idle(struct feed *feed, uint64_t version, int64_t deadline);

#endif
