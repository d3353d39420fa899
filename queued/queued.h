/*
 * queued: the parent process of mxhold-queued: what outlives its child, and the question by which
 * it knows that the child lives.
 */
#ifndef MXHOLD_QUEUED_QUEUED_H
#define MXHOLD_QUEUED_QUEUED_H

#include "core/service.h"

/* Serves under supervision until SIGTERM. Returns the exit code of the process. */
int queued_run(struct service *service);

#endif
