/*
 * serve: the child process: libmilter on a socket that the parent made.
 */
#ifndef MXHOLD_MILTER_SERVE_H
#define MXHOLD_MILTER_SERVE_H

#include "core/conf.h"
#include "core/listener.h"

#define SERVE_DRAIN_MS 25000 /* how long sessions may go on after SIGTERM, at most */

struct serve_setup {
	const struct conf *conf;
	const struct listener *listener; /* shared with the parent and other children */
	const char *socket_dir;          /* where mxhold-queued's socket is */
	int dead_fd;                     /* a listening socket that nobody can reach: see serve.c */
};

/*
 * Serves until SIGTERM and until the sessions have ended, then returns the exit code. Calls
 * supervise_ready() once it can answer. To be called once a process, from its only thread.
 */
int serve_run(const struct serve_setup *setup);

#endif
