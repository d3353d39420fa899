/*
 * milter: the parent process: the public socket, and the question by which it
 * knows that its child answers.
 */
#ifndef MXHOLD_MILTER_MILTER_H
#define MXHOLD_MILTER_MILTER_H

#include "core/service.h"

/* Serves under supervision until SIGTERM. Returns the exit code of the process. */
int milter_run(struct service *service);

#endif
