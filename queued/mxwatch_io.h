/*
 * mxwatch_io: mxwatch with its ports: the snapshot's rows, the DNS (core/mx_gather), MTA-STS
 * policies (core/sts_fetch), the state, and the socket by which policyd asks for a new reading (and
 * how a primary is; and mxhold-milter tells recipients: both are passed on).
 */
#ifndef MXHOLD_QUEUED_MXWATCH_IO_H
#define MXHOLD_QUEUED_MXWATCH_IO_H

#include "core/conf.h"
#include "core/mx_gather.h"
#include "core/snapshot.h"
#include "core/state.h"
#include "core/sts_fetch.h"
#include "queued/events.h"
#include "queued/mxwatch.h"

#include <sys/types.h>

/*
 * SOCKET_DIR/queue-ask: a datagram socket, non-blocking, close-on-exec, mode 0660, group `group`
 * unless (gid_t)-1. To be made by the parent, who may write there. -1: errno is set.
 */
int mxwatch_ask_open(const char *socket_dir, gid_t group) __attribute__((warn_unused_result));
/*
 * This process begins to read there, and no other does any more: the file looks newer from now on,
 * by which mxhold-milter tells again what a former process may not have written down. It needs to
 * be the file's owner, or of its group. False: errno is set.
 */
bool mxwatch_ask_mark(const char *socket_dir) __attribute__((warn_unused_result));

struct mxwatch_io_setup { /* all of it outlives mxwatch_io, and belongs to the caller */
	const struct conf *conf;
	struct snapshot *snapshot;
	struct resolver *resolver;
	struct sts_fetcher *fetcher; /* NULL: MTA-STS policies are not read */
	/* See to it that a transaction is open until the caller's callback ends. False, NULL: there
	   is none to be had now. */
	bool (*need_snapshot)(void *context);
	struct state_writer *(*need_state)(void *context);
	int ask_fd; /* -1: nobody asks */
	void (*raise)(void *context, const struct alert *alert);
	void (*end)(void *context, enum alert_kind kind, const char *domain);
	/* Ends those of `kind` whose domain is not to be kept. */
	void (*sweep)(void *context, enum alert_kind kind,
	    bool (*keep)(const char *domain, void *keep_context), void *keep_context);
	/* Are no alerts to be raised about the domain now? While a transaction is open. */
	bool (*silent)(void *context, const char *domain);
	/* policyd asks how its primary is. From within mxwatch_io_asked(). */
	void (*primary_asked)(void *context, const char *domain);
	/* mxhold-milter tells a recipient that was accepted. From within mxwatch_io_asked(). */
	void (*recipient_told)(
	    void *context, const char *queue_id, const char *address, size_t length);
	void *context;
};

struct mxwatch_io;

struct mxwatch_io *mxwatch_io_new(const struct mxwatch_io_setup *setup); /* NULL: out of memory */
/* Before resolver_free and sts_fetcher_free. */
void mxwatch_io_free(struct mxwatch_io *io);
/*
 * Each MXWATCH_TICK_MS; now.ms on the clock of resolver_process(). Readings are judged in
 * resolver_process() and sts_fetcher_process(); they go into the state at the next tick.
 */
void mxwatch_io_tick(struct mxwatch_io *io, struct queued_time now);
/* ask_fd can be read from. */
void mxwatch_io_asked(struct mxwatch_io *io);
/*
 * An operator wants `domain` read now: the row that speaks for it is, at the next tick at which
 * there is a place, and shows in the state. False: no row that is watched speaks for it, there is
 * no snapshot or state to be had now, or too many wait.
 */
bool mxwatch_io_demand(struct mxwatch_io *io, const char *domain);

#endif
