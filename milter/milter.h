/*
 * milter: the parent process: the configuration, the public socket, and the question by which it
 * knows that its child answers.
 */
#ifndef MXHOLD_MILTER_MILTER_H
#define MXHOLD_MILTER_MILTER_H

#include "core/conf.h"

/*
 * Serves under supervision until SIGTERM; `config` is read again at SIGHUP. Takes `conf` over.
 * Returns the exit code of the process.
 */
int milter_run(struct conf *conf, const char *config, bool foreground);

#endif
