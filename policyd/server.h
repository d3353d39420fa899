/*
 * server: the child of policyd: one event loop that answers on both sockets.
 *
 * In: listening descriptors that the parent made, and the configuration. It runs until SIGTERM;
 * then it answers what lies in the backlog and in its buffers, tells its clients so that no request
 * is swallowed (it stops taking bytes before it closes), and ends.
 */
#ifndef MXHOLD_POLICYD_SERVER_H
#define MXHOLD_POLICYD_SERVER_H

#include "core/conf.h"
#include "core/listener.h"
#include "policyd/protocol.h"

struct server_setup {
	const struct conf *conf;
	const struct listener *listener; /* PROTOCOL_KINDS of them, one for each protocol */
};

/* Returns the exit code of the process. */
int server_run(const struct server_setup *setup);

#endif
