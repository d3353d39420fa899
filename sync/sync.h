/*
 * sync: the daemon's life: rounds with the authority, waits between them, local jobs.
 *
 * A round is one transaction at the authority: state, decision, rows, end. Whatever goes wrong in
 * it leaves the snapshot as it was; what was not heard is not noted as heard.
 */
#ifndef MXHOLD_SYNC_SYNC_H
#define MXHOLD_SYNC_SYNC_H

#include "core/daemon.h"

/*
 * Serves until SIGTERM. Takes over `conf`. `config` is read again at SIGHUP. Returns the process's
 * exit code.
 */
int sync_run(struct conf *conf, const char *config, gid_t group);

/*
 * What conf_load cannot know: the connection strings can be used. False: each fault as one line to
 * `errors`, without showing the string.
 */
bool sync_check_conf(const struct conf *conf, const char *config, FILE *errors)
    __attribute__((warn_unused_result));

#endif
