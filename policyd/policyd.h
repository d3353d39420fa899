/*
 * policyd: the parent process: the configuration, the public sockets, and the questions by which it
 * knows that its child answers.
 */
#ifndef MXHOLD_POLICYD_POLICYD_H
#define MXHOLD_POLICYD_POLICYD_H

#include "core/conf.h"

/*
 * Serves under supervision until SIGTERM; `config` is read again at SIGHUP. Takes `conf` over.
 * Returns the exit code of the process.
 */
int policyd_run(struct conf *conf, const char *config, bool foreground);

#endif
