/*
 * statedir: STATE_DIR as sync needs it: its own user's, group mxhold; and the lock that makes this
 * the only instance.
 */
#ifndef MXHOLD_SYNC_STATEDIR_H
#define MXHOLD_SYNC_STATEDIR_H

#include "core/daemon.h"

/*
 * Makes the directory where it is missing (0750). As root it gives the directory, and what an
 * earlier start left in it, to identity's user and group. False: logged.
 */
bool statedir_prepare(const char *path, const struct daemon_identity *identity)
    __attribute__((warn_unused_result));

/*
 * Takes STATE_DIR/sync.lock, waiting up to 3 s for an instance that is just ending. Returns the
 * descriptor, to be kept open as long as this process and its heirs by fork live; -1: logged.
 */
int statedir_lock(const char *path, const struct daemon_identity *identity)
    __attribute__((warn_unused_result));
/* Writes this process's id into the lock file, for people. */
void statedir_write_pid(int lock);

#endif
