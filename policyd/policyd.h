/*
 * policyd: the parent process: the public sockets, and the questions by which it
 * knows that its child answers.
 */
#ifndef MXHOLD_POLICYD_POLICYD_H
#define MXHOLD_POLICYD_POLICYD_H

#include "core/service.h"

/* Serves under supervision until SIGTERM. Returns the exit code of the process. */
int policyd_run(struct service *service);

#endif
