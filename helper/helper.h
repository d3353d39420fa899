/*
 * helper: the parent of mxhold-helper. It owns the socket SOCKET_DIR/helper and keeps a child that
 * serves on it (core/supervise). Both are root; the child gives up what postsuper(1) does not need.
 */
#ifndef MXHOLD_HELPER_HELPER_H
#define MXHOLD_HELPER_HELPER_H

#include "core/service.h"

/* Runs until SIGTERM. Returns the exit code of the process. */
int helper_run(struct service *service);

#endif
