/*
 * serve: the child process of mxhold-queued: the event loop that carries between the watch, the
 * collector, DNS, probes, postqueue, snapshot, state and spool.
 */
#ifndef MXHOLD_QUEUED_SERVE_H
#define MXHOLD_QUEUED_SERVE_H

#include "core/conf.h"

#include <sys/types.h>

#define SERVE_READERS 3

struct serve_setup {
	const struct conf *conf;
	const char *socket_dir;
	gid_t group;       /* of what is written for others; (gid_t)-1: as it comes */
	bool parent_gives; /* files of the stores, before each process: a new one may use them */
	int ask_fd;        /* datagrams of policyd (queued/mxwatch_io.h); -1: none */
	int control_fd;    /* listening: queue-control (queued/desk.h) */
	uid_t readers[SERVE_READERS]; /* who may look there, and not act: the other daemons */
	int alive_fd; /* listening: whoever connects and says a line hears that we live */
};

/* Serves until SIGTERM. Returns the exit code. */
int serve_run(const struct serve_setup *setup);

#endif
